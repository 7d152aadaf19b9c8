"""A table of paths and labels (CSV, TSV or JSON lines) -> a Listing, without opening a picture.

Columns: `path` and `label`, and where wanted `split` and `group` (all pictures of one group stay on one side of the
split). Paths are absolute, or relative to the table's folder.
"""

from __future__ import annotations

import csv
import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TypeVar

import orjson

from noria.artifacts.dataset import tidy_label
from noria.contracts import SPLITS, Candidate, Finding, SetAside, Split
from noria.data.readers import Columns, Listing, column_of, shown
from noria.data.readers.text_table import names_pictures
from noria.errors import DataError, nearest_name

COLUMNS = ("path", "label", "split", "group")
_REQUIRED = ("path", "label")
_SPLIT_NAMES: dict[str, Split] = {**{split: split for split in SPLITS}, "val": "validation", "valid": "validation"}
_JSON_LINES = (".jsonl", ".ndjson")
_LARGEST_CELL = 2**17  # characters; a quote that is not closed makes one of all the lines after it


_Cell = TypeVar("_Cell")


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    cells: dict[str, str]  # of COLUMNS only, as written
    trouble: str = ""


def recognises(path: Path) -> bool:
    """Whether it is a file that is named as a table, and whose first line is that of a table of pictures."""
    named = path.suffix.lower() in (".csv", ".tsv", *_JSON_LINES) and path.is_file() and path.stat().st_size > 0
    return named and names_pictures(path)


def read(path: Path, columns: Columns) -> Listing:
    """List the rows of a table; its columns have fixed names.

    Raises:
        DataError: the table itself cannot be understood (encoding, header, quotes, an unknown split).
    """
    text = _text(path)
    named = {role: name for role, name in _named(columns) if name}
    read_rows = _json_rows if path.suffix.lower() in _JSON_LINES else _csv_rows
    rows, extra = read_rows(path, text, named)
    root = path.parent
    by_path: dict[str, list[tuple[int, Candidate]]] = defaultdict(list)
    set_aside: defaultdict[str, list[SetAside]] = defaultdict(list)
    for row in rows:
        found = _candidate(path, root, row)
        if isinstance(found, Candidate):
            by_path[found.path].append((row.line, found))
        else:
            kind, one = found
            set_aside[kind].append(one)
    candidates, contradictions = _agreeing(by_path)
    if contradictions:
        set_aside["conflicting_rows"] = contradictions
    return Listing(
        root=root,
        candidates=tuple(candidates),
        set_aside=set_aside,
        findings=_findings(extra, by_path, contradictions),
    )


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}, is not UTF-8 text (byte 0x{content[error.start]:02x}). "
            "Save the table as UTF-8 (in Excel: “CSV UTF-8”)."
        ) from error


def _named(columns: Columns) -> Iterator[tuple[str, str]]:
    """What is read from a column that the user named: the role, and the column as headers are compared."""
    for role, rule in (("group", columns.group), ("order", columns.order)):
        yield role, (column_of(rule) or "").lower()


def _csv_rows(path: Path, text: str, named: Mapping[str, str]) -> tuple[list[_Row], tuple[str, ...]]:
    delimiter = _delimiter(path, text)
    # strict: a quote that is never closed would otherwise swallow the rest of the table in silence
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        _check_header(path, header, named)
        rows = list(_numbered(reader, header, named))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}, cannot be read: {error}. Is there a quote that is not closed?"
        ) from error
    return rows, tuple(name for name in header if name not in {*_of_roles(named)})


def _delimiter(path: Path, text: str) -> str:
    """Tab for .tsv; for .csv the comma, or what the header is written with where that makes a header of it."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    first = text.partition("\n")[0].lower()
    for delimiter in (",", ";", "\t"):
        if set(_REQUIRED) <= {cell.strip(' "\r') for cell in first.split(delimiter)}:
            return delimiter
    return ","


def _of_roles(named: Mapping[str, str]) -> Iterator[str]:
    """The columns that are read."""
    return (named.get(role, role) for role in (*COLUMNS, "order") if role != "order" or role in named)


def _by_role(cells: Mapping[str, _Cell], named: Mapping[str, str]) -> dict[str, _Cell]:
    """The cells that are read, under the names of their roles."""
    pairs = ((role, named.get(role, role)) for role in (*COLUMNS, *named.keys() - {*COLUMNS}))
    return {role: cells[name] for role, name in pairs if name in cells}


def _check_header(path: Path, header: list[str], named: Mapping[str, str]) -> None:
    for name in (*_REQUIRED, *named.values()):
        if name not in header:
            nearest = nearest_name(name, header)
            hint = f" Did you mean {nearest!r} to be {name!r}?" if nearest else ""
            raise DataError(
                f"{path} has no column {name!r}; its first line is {', '.join(map(repr, header)) or 'empty'}.{hint} "
                "Expected a header: path,label and where wanted split, group."
            )
    twice = [name for name in COLUMNS if header.count(name) > 1]
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} more than once. Remove or rename one of them.")


def _numbered(reader: Iterator[list[str]], header: list[str], named: Mapping[str, str]) -> Iterator[_Row]:
    line = reader.line_num + 1  # type: ignore[attr-defined]
    for cells in reader:
        if max(map(len, cells), default=0) > _LARGEST_CELL:  # csv's own limit may have been raised, for longer texts
            raise csv.Error(f"a cell has more than {_LARGEST_CELL:,} characters")
        known = _by_role(dict(zip(header, cells, strict=False)), named)
        more = len(cells) - len(header)
        if more > 0:
            yield _Row(line, known, f"it has {more} cells more than the header; put text with a comma in quotes")
        elif cells:
            yield _Row(line, known)
        line = reader.line_num + 1  # type: ignore[attr-defined]


def _json_rows(path: Path, text: str, named: Mapping[str, str]) -> tuple[list[_Row], tuple[str, ...]]:
    rows, names = [], set[str]()
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise DataError(f"{path}, line {number}, is not valid JSON: {error}.") from error
        if not isinstance(value, dict):
            raise DataError(f'{path}, line {number}, is not an object. Expected {{"path": "…", "label": "…"}}.')
        cells = {name.strip().lower(): cell for name, cell in value.items()}
        names.update(cells)
        rows.append(_json_row(number, _by_role(cells, named)))
    _check_header(path, sorted({*_REQUIRED, *names}), named)
    return rows, tuple(sorted(names - {*_of_roles(named)}))


def _json_row(line: int, cells: dict[str, object]) -> _Row:
    texts = {}
    for name, cell in cells.items():
        if cell is None:
            continue
        if isinstance(cell, bool) or not isinstance(cell, str | int | (float if name == "order" else int)):
            return _Row(
                line, {"path": str(cells.get("path", ""))}, f"its {name} is {cell!r}, neither text nor a number"
            )
        texts[name] = str(cell)
    return _Row(line, texts)


def _candidate(table: Path, root: Path, row: _Row) -> Candidate | tuple[str, SetAside]:
    """The candidate that a row is, or (kind, what is set aside)."""
    written = row.cells.get("path", "")
    trouble = row.trouble or _missing_cell(row)
    if trouble:
        return "unlabelled", SetAside(written, f"line {row.line}: {trouble}")
    path = _normal(root, written)
    trouble = _not_a_file(root, path)
    if trouble:
        return "unreachable", SetAside(path, f"line {row.line}: {trouble}")
    return Candidate(
        path=path,
        label=row.cells["label"],
        split=_split(table, row),
        group=row.cells.get("group", "").strip() or None,
        order=row.cells.get("order", "").strip() or None,
    )


def _missing_cell(row: _Row) -> str:
    for name in _REQUIRED:
        if not row.cells.get(name, "").strip():
            return f"the {name} is empty"
    return ""


def _normal(root: Path, written: str) -> str:
    """The path as it is kept: without ./ and a/../, relative to the root where it lies below it."""
    if "\\" in written and not os.path.lexists(root / written):
        written = written.replace("\\", "/")  # a table that was written on Windows
    # absolute() and normpath, not resolve(): links stay as they are written
    base = os.path.normpath(root.absolute())
    path = os.path.normpath(os.path.join(base, written))  # noqa: PTH118
    inside = path.startswith(base.rstrip("/") + "/")
    return path if written.startswith("/") and not inside else os.path.relpath(path, base)


def _not_a_file(root: Path, path: str) -> str:
    try:
        status = (root / path).stat()
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, ValueError) as error:
        return f"the file cannot be reached: {getattr(error, 'strerror', None) or error}"
    return "" if stat.S_ISREG(status.st_mode) else "it is not a file"


def _split(table: Path, row: _Row) -> Split | None:
    name = row.cells.get("split", "").strip()
    if not name:
        return None
    if name.lower() not in _SPLIT_NAMES:
        nearest = nearest_name(name, _SPLIT_NAMES)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        raise DataError(
            f"{table}, line {row.line}, has the split {name!r}.{hint} "
            f"Known: {', '.join(SPLITS)} (also val, valid), or nothing to let Noria choose."
        )
    return _SPLIT_NAMES[name.lower()]


def _agreeing(by_path: dict[str, list[tuple[int, Candidate]]]) -> tuple[list[Candidate], list[SetAside]]:
    """One candidate for a path whose rows agree; a path with two labels has none, for nobody knows the truth."""
    candidates, contradictions = [], []
    for path in sorted(by_path):
        rows = by_path[path]
        different = {(tidy_label(one.label), one.split, one.group) for _, one in rows}
        if len(different) == 1:
            candidates.append(rows[0][1])
            continue
        said = "; ".join(f"line {line}: {one.label}, {one.split}, {one.group}" for line, one in rows[:5])
        contradictions.append(SetAside(path, f"its rows contradict one another ({said})"))
    return candidates, contradictions


def _findings(
    extra: tuple[str, ...], by_path: dict[str, list[tuple[int, Candidate]]], contradictions: list[SetAside]
) -> tuple[Finding, ...]:
    found = []
    repeated = tuple(path for path, rows in sorted(by_path.items()) if len(rows) > 1)
    repeated = tuple(sorted(set(repeated) - {one.path for one in contradictions}))
    if repeated:
        message = f"{len(repeated)} files stand in the table more than once with the same label; each is used once."
        remedy = "Delete the rows that are too many; they change nothing."
        found.append(Finding("repeated_rows", "info", len(repeated), repeated[:20], message, remedy))
    if extra:
        names = tuple(map(shown, extra))
        message = f"The columns {', '.join(names[:20])} are not used."
        remedy = "One of groups or of dates is followed with --group column:NAME or --set data.order=column:NAME."
        found.append(Finding("ignored_columns", "info", len(names), names[:20], message, remedy))
    return tuple(found)
