"""A table of texts and labels (CSV, TSV, JSON lines or Parquet, also with gzip) -> a Listing that holds the texts.

Each row is a candidate, named TABLE:LINE after the line where it starts, or is set aside under that name with its
reason. Columns, encoding and header are found or said, and what was found is a finding.
"""

from __future__ import annotations

import datetime
import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from noria.contracts import SPLITS, Candidate, Finding, Progress, SetAside, Silent, Split
from noria.data.cells import Cells
from noria.data.readers import Columns, Listing, _delimited, _encoding, _json_lines, tell_guesses
from noria.data.readers._class_folders import PICTURE_ENDINGS, SPLIT_FOLDERS
from noria.data.readers._columns import TEXT_NAMES, Chosen, choose, choose_text, is_number, normal, shortened
from noria.data.readers._gzip import opened
from noria.data.readers._table import Row, Table
from noria.errors import DataError, MissingExtraError, NoriaError, UnreadableInputError, nearest_name

_HEAD_BYTES = 64 * 1024
_OTHER_FORMATS: Mapping[bytes, str] = {
    b"PK\x03\x04": "a ZIP file or an Excel table; save the sheet as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "an old Excel table; save the sheet as CSV (UTF-8)",
    b"%PDF": "a PDF document",
    b"BZh": "compressed with bzip2; unpack it, or compress it with gzip",
    b"\xfd7zXZ": "compressed with xz; unpack it, or compress it with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it, or compress it with gzip",
}
_MANY_EMPTY = 0.05  # share of rows without a text that is worth a warning of its own
_FEW_ROWS = 20  # fewer are too few to say that labels are none
_FEW_NUMBERS = 20  # more different numbers with fractions are measurements, not classes
_SHOWN = 20
_WHOLE_NUMBER = re.compile(r"(-?[0-9]+)\.0+")


def recognises(path: Path) -> bool:
    """Whether it is a file that is named as a table and whose first line is not that of a table of pictures."""
    if _opener(path) is None or not path.is_file() or path.stat().st_size == 0:
        return False
    return not names_pictures(path)


def names_pictures(path: Path) -> bool:
    """Whether a table's first line is one of pictures: a column `path` and none of texts, or a picture's name."""
    try:
        with opened(path) as stream:
            return _heads_pictures(stream.read(_HEAD_BYTES))
    except NoriaError:
        return False  # to be told why when it is read


def read(path: Path, columns: Columns) -> Listing:
    """List the rows of a table.

    Raises:
        DataError: the table cannot be understood, it is not clear which columns to take, or the labels are none.
        ConfigError: there is no encoding of the name that is said.
        MissingExtraError: it is Parquet, and pyarrow is not installed.
    """
    table = _open(path, columns)
    chosen = choose(path, table, columns)
    rows = _Rows(path, table, chosen)
    rows.read()
    _require_labels(path, table, chosen, rows)
    return Listing(
        root=path.parent,
        candidates=tuple(rows.candidates),
        contents=rows.texts,
        set_aside=rows.set_aside,
        findings=tuple(_findings(path, table, chosen, rows, columns)),
    )


def answers_for(path: Path) -> bool:
    """Whether `inputs` reads what lies there: a file that is named as a table."""
    return _opener(path) is not None and path.is_file()


def inputs(
    path: Path, columns: Columns, progress: Progress | None = None
) -> Iterator[tuple[str, bytes | UnreadableInputError]]:
    """Yield the name and the text, as UTF-8, of each row of a table that need not have labels, or why it has none.

    `progress` is told what was guessed.

    Raises:
        DataError: the table cannot be understood, or it is not clear which column is the text.
    """
    table = _open(path, columns)
    text, why = choose_text(path, table, columns)
    tell_guesses(path, _guesses(path, table, text, why, columns), columns, progress or Silent())
    for row in table.rows():
        yield f"{path.name}:{row.line}", _input(table, row, text)


def _guesses(path: Path, table: Table, text: int, why: str, columns: Columns) -> Iterator[Finding]:
    if why:
        name = table.names[text]
        message = " ".join([f"Texts are in the column {name!r} ({why}).", *_how_read(table)])
        yield Finding("columns_chosen", "info", 1, (name,), message, "Name another with --column NAME.")
    yield from _about_encoding(path, table, columns)


def _input(table: Table, row: Row, text: int) -> bytes | UnreadableInputError:
    if row.trouble:
        return UnreadableInputError(row.trouble)
    try:
        return _encoded(table, row.cells[text])
    except _NoTextError as error:
        return UnreadableInputError(str(error))


class _Rows:
    """One pass over a table, row by row."""

    def __init__(self, path: Path, table: Table, chosen: Chosen) -> None:
        self.path = path
        self.prefix = f"{path.name}:"
        self.table = table
        self.chosen = chosen
        self.candidates: list[Candidate] = []
        self.texts = Cells()  # one for each candidate
        self.set_aside: defaultdict[str, list[SetAside]] = defaultdict(list)
        self.labels: dict[object, str] = {}  # as written -> as it is kept: one string for all rows that have it
        self.spellings: dict[str, int] = {}  # each label as written -> the first line that has it
        self.splits: dict[str, Split | None] = {}

    def read(self) -> None:
        """Sort all rows into candidates and what is set aside."""
        for row in self.table.rows():
            if row.trouble:
                self._put("broken_rows", row.line, row.trouble)
            else:
                self._sort_in(row)

    def name(self, line: int) -> str:
        """The unique name of the text of a row."""
        return f"{self.prefix}{line}"

    def _sort_in(self, row: Row) -> None:
        chosen, line = self.chosen, row.line
        try:
            data = _encoded(self.table, row.cells[chosen.text])
            label = self._label(row.cells[chosen.label], line)
            split = "" if chosen.split is None else _as_text(row.cells[chosen.split], "split").strip()
            group = None if chosen.group is None else _as_text(row.cells[chosen.group], "group").strip() or None
            order = None if chosen.order is None else _moment(row.cells[chosen.order])
        except _NoTextError as error:
            self._put("broken_rows", line, str(error))
            return
        if not data or data.isspace():
            self._put("empty_text", line, "the text is empty")
        elif not label:
            self._put("unlabelled", line, "the label is empty", hashlib.sha256(data).hexdigest())
        else:
            self.candidates.append(Candidate(self.name(line), label, self._split(split, line), group, order))
            self.texts.append(data)

    def _put(self, kind: str, line: int, reason: str, sha256: str | None = None) -> None:
        self.set_aside[kind].append(SetAside(self.name(line), f"line {line}: {reason}", sha256))

    def _label(self, written: object, line: int) -> str:
        key = str(written) if isinstance(written, list | dict) else (type(written), written)
        if key not in self.labels:
            label = _encoded(self.table, written, "label").decode().strip()
            self.spellings.setdefault(str(written) if isinstance(written, float) else label, line)
            self.labels[key] = _as_whole_number(label)
        return self.labels[key]

    def _split(self, name: str, line: int) -> Split | None:
        if name not in self.splits:
            if name and name.lower() not in SPLIT_FOLDERS:
                nearest = nearest_name(name, SPLIT_FOLDERS)
                hint = f" Did you mean {nearest!r}?" if nearest else ""
                raise DataError(
                    f"{self.path}, line {line}, has the split {name!r}.{hint} "
                    f"Known: {', '.join(SPLITS)} (also val, valid), or nothing to let Noria choose."
                )
            self.splits[name] = SPLIT_FOLDERS[name.lower()] if name else None
        return self.splits[name]


class _NoTextError(Exception):
    """A cell that holds no text; the message is the reason."""


def _encoded(table: Table, value: object, role: str = "text") -> bytes:
    """A cell as UTF-8, without a byte order mark."""
    try:
        return _as_text(value, role).strip("\ufeff").encode()
    except UnicodeEncodeError:
        title = table.encoding.title if table.encoding else "text"
        raise _NoTextError(f"it holds bytes that are not {title}") from None


def _as_text(value: object, role: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else repr(value)  # NaN: pandas' nothing
    raise _NoTextError(f"its {role} is {type(value).__name__}, neither text nor a number: {shortened(str(value))}")


def _as_whole_number(label: str) -> str:
    """A label without the .0 of a whole number.

    A column of whole numbers becomes one of fractions where a single cell is empty, as pandas keeps it; so 1.0 is the
    label 1, in every format, and whatever the other labels are: else a part of a table had other labels than the whole.
    """
    found = _WHOLE_NUMBER.fullmatch(label)
    return found[1] if found else label


def _moment(value: object) -> str | None:
    if isinstance(value, datetime.date):  # a moment of a day is one, too
        return value.isoformat()
    return _as_text(value, "moment").strip() or None


def _parquet_table(path: Path, columns: Columns) -> Table:
    try:
        from noria.data.readers import _parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow, which reads Parquet files,", "parquet") from error
    return _parquet.open_table(path, columns)


_FORMATS: Mapping[str, Callable[[Path, Columns], Table]] = {
    ".csv": _delimited.open_table,
    ".tsv": _delimited.open_table,
    ".jsonl": _json_lines.open_table,
    ".ndjson": _json_lines.open_table,
    ".parquet": _parquet_table,
}


def _opener(path: Path) -> Callable[[Path, Columns], Table] | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return _FORMATS.get(suffixes[-1]) if suffixes else None


def _open(path: Path, columns: Columns) -> Table:
    _require_table(path)
    opener = _opener(path)
    if opener is None:
        raise DataError(f"{path} is not named as a table. Expected {', '.join(_FORMATS)}, each also with .gz.")
    return opener(path, columns)


def _require_table(path: Path) -> None:
    with opened(path) as stream:
        head = stream.read(8)
    for magic, what in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise DataError(f"{path} is {what}.")


def _heads_pictures(head: bytes) -> bool:
    encoding = _encoding.proven(head) or _encoding.Encoding("utf-8")
    line = next(iter(encoding.decode(head).lstrip("\ufeff \r\n").splitlines()), "")
    if line.startswith("{"):
        cells = [part.rpartition('"')[2] for part in line.replace('" :', '":').split('":')[:-1]]
    else:
        cells = [cell.strip(' "') for cell in line.replace(";", ",").replace("\t", ",").split(",")]
    names = set(map(normal, cells))
    if names & TEXT_NAMES:
        return False
    return "path" in names or any(cell.lower().endswith(PICTURE_ENDINGS) for cell in cells)


def _require_labels(path: Path, table: Table, chosen: Chosen, rows: _Rows) -> None:
    """Refuse what cannot be labels: texts, names of rows, measurements."""
    counts = Counter(candidate.label for candidate in rows.candidates)
    total = len(rows.candidates)
    label, text = table.names[chosen.label], table.names[chosen.text]
    if 4 <= total < 2 * len(counts) and _are_swapped(rows.texts, counts):
        raise DataError(
            f"{path}: the text and the label seem to be swapped: {len(counts):,} of {total:,} labels ({label!r}) are "
            f"different and long, and the texts ({text!r}) are short and few.\n{_examples(rows)}\n"
            f"Say it the other way round: --text {label} --label {text}."
        )
    fractions = list(filter(_has_fraction, counts))
    if len(counts) > _FEW_NUMBERS and fractions and all(map(is_number, counts)):
        raise DataError(
            f"{path}: the labels ({label!r}) are {len(counts):,} different numbers with fractions, so this looks like "
            f"regression. Noria learns classes.\n{_examples(rows)}\n"
            "Make classes of them (for example low and high), or name another column: --label NAME."
        )
    if total >= _FEW_ROWS and len(counts) > total / 2:
        raise DataError(
            f"{path}: {len(counts):,} of the {total:,} labels ({label!r}) are different, so they are names or texts, "
            f"not classes.\n{_examples(rows)}\nName another column: --label NAME."
        )


def _has_fraction(label: str) -> bool:
    # Names such as nan and Infinity also read as numbers.
    return is_number(label) and math.isfinite(float(label)) and not float(label).is_integer()


def _are_swapped(texts: Sequence[bytes], counts: Counter[str]) -> bool:
    labels_length = sum(len(label.encode()) * count for label, count in counts.items())
    return labels_length > 2 * sum(map(len, texts)) and len(set(texts)) <= len(texts) / 2


def _examples(rows: _Rows) -> str:
    """The first rows, as a message shows them."""
    return "\n".join(
        f"  {one.path.rpartition(':')[2]}: text {shortened(text.decode())}, label {shortened(one.label)}"
        for one, text in zip(rows.candidates[:3], rows.texts[:3], strict=True)
    )


def _findings(path: Path, table: Table, chosen: Chosen, rows: _Rows, columns: Columns) -> Iterator[Finding]:
    yield _columns_finding(table, chosen)
    yield from _about_encoding(path, table, columns)
    used = {chosen.text, chosen.label, chosen.split, chosen.group, chosen.order}
    ignored = tuple(name for number, name in enumerate(table.names) if number not in used)
    if ignored:
        names = ", ".join(map(repr, ignored[:_SHOWN]))
        message = f"The columns {names} are not used."
        remedy = "One of groups or of dates is followed with --group column:NAME or --set data.order=column:NAME."
        yield Finding("ignored_columns", "info", len(ignored), ignored[:_SHOWN], message, remedy)
    yield from _about_empty_texts(rows)
    yield from _about_numbers(table.names[chosen.label], rows)
    yield from _about_equal_numbers(table.names[chosen.label], rows)


def _columns_finding(table: Table, chosen: Chosen) -> Finding:
    names = (table.names[chosen.text], table.names[chosen.label])
    parts = [f"Texts are in the column {names[0]!r}, labels in {names[1]!r} ({chosen.why}).", *_how_read(table)]
    return Finding("columns_chosen", "info", 2, names, " ".join(parts), "Name others with --text NAME --label NAME.")


def _how_read(table: Table) -> Iterator[str]:
    if not table.header:
        yield "The table has no header: its first line is data."
    if table.note:
        yield table.note


def _about_encoding(path: Path, table: Table, columns: Columns) -> Iterator[Finding]:
    if table.encoding is not None:
        yield _encoding.finding(table.encoding, (path.name,), said=columns.encoding is not None)


def _about_empty_texts(rows: _Rows) -> Iterator[Finding]:
    empty = rows.set_aside.get("empty_text", [])
    total = len(rows.candidates) + sum(map(len, rows.set_aside.values()))
    if not empty or len(empty) < _MANY_EMPTY * total:
        return
    first = ", ".join(one.path.rpartition(":")[2] for one in empty[:5])
    yield Finding(
        "many_empty_texts",
        "warning",
        len(empty),
        tuple(one.path for one in empty[:_SHOWN]),
        f"{len(empty):,} of {total:,} rows ({len(empty) / total:.0%}) have no text, the first in lines {first}.",
        "Look at them: is it the right column (--text NAME names another), and was the table written whole?",
    )


def _about_numbers(column: str, rows: _Rows) -> Iterator[Finding]:
    first = {one.label: one.path for one in reversed(rows.candidates)}
    fractions = sorted(filter(_has_fraction, first))
    if fractions:
        line = first[fractions[0]].rpartition(":")[2]
        yield Finding(
            "labels_with_fractions",
            "warning",
            len(fractions),
            tuple(first[label] for label in fractions[:_SHOWN]),
            f"Labels ({column!r}) such as {fractions[0]} (line {line}) are numbers with fractions; each is taken as a "
            "class of its own, without any order.",
            "If they are measurements, make classes of them (such as low and high), or name another: --label NAME.",
        )


def _about_equal_numbers(column: str, rows: _Rows) -> Iterator[Finding]:
    by_value: defaultdict[float, list[str]] = defaultdict(list)
    for label in rows.spellings:
        if is_number(label) and math.isfinite(float(label)):
            by_value[float(label)].append(label)
    equal = [label for labels in by_value.values() if len(labels) > 1 for label in labels]
    if equal:
        shown = ", ".join(f"{label} (line {rows.spellings[label]})" for label in equal[:_SHOWN])
        yield Finding(
            "labels_equal_as_numbers",
            "warning",
            len(equal),
            tuple(rows.name(rows.spellings[label]) for label in equal[:_SHOWN]),
            f"Labels ({column!r}) that are the same number are written differently: {shown}. Written with .0 it is the "
            "class of the whole number; written otherwise each is a class of its own.",
            "Write each number in one way.",
        )
