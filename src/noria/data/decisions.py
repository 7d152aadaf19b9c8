"""A decisions file: what a person said about inputs, a row for each word, appended and never rewritten.

In: a CSV that Noria, a spreadsheet or a hand wrote. Out: the decisions that stand, with what was undone left out, and
the rows that were refused, each with its line and reason.
"""

from __future__ import annotations

import csv
import datetime
import fcntl
import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from noria.artifacts.dataset import nfc, tidy_label
from noria.artifacts.files import MIB
from noria.errors import ConfigError, DataError, NoriaError, nearest_name

Verdict = Literal["keep", "drop", "relabel", "same", "different", "undo"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
COLUMNS = ("when", "path", "sha256", "decision", "label", "other", "other_sha256", "finding", "note")
ALL = "all"  # in the column finding: whatever is found
ENDING = ".decisions.csv"

_MARK = b"\xef\xbb\xbf"  # without this byte order mark a spreadsheet does not read the file as UTF-8
_LARGEST = 256 * MIB
_DELIMITERS = (",", ";", "\t")
_MOST_LINES = 20  # of one row: a note that was typed with line breaks
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FORMULA = re.compile(r"'*(?:[=@]|[+-](?![0-9.]*\Z))")  # what a spreadsheet would compute, or has been kept from it
_HASH = re.compile(r"[0-9a-f]{64}")
_ONE_WORD = re.compile(r"[a-z]+(_[a-z]+)*")


@dataclass(frozen=True, slots=True)
class Decision:
    """What was said about one input, which is known by its path and the SHA-256 of its bytes, or by one of them."""

    verdict: Verdict
    path: str = ""
    sha256: str = ""
    label: str = ""  # of `relabel` the new one
    other: str = ""  # the path of the input that it was compared with
    other_sha256: str = ""
    finding: str = ""  # the kind that it answers, or `ALL`
    note: str = ""
    when: str = ""
    line: int = 0  # of the file, counted from 1


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that cannot be used, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Log:
    """A decisions file that was read."""

    path: Path
    sha256: str  # of its bytes
    standing: tuple[Decision, ...]  # in the order in which they were made, without those that were taken back
    refused: tuple[Refused, ...] = ()


def default_place(data: Path) -> Path:
    """Return where the decisions about a folder or a table lie: beside it, never inside."""
    absolute = Path(os.path.abspath(data))  # noqa: PTH100 - resolves ".." but no links
    return absolute.with_name(f"{absolute.name or 'data'}{ENDING}")


def place(setting: str, data: Path) -> Path | None:
    """Return the file that a setting names: a path, "none", or "auto" for the default place where a file lies there.

    Raises:
        DataError: a file is named and is not there.
    """
    if setting == "none":
        return None
    path = default_place(data) if setting == "auto" else Path(setting)
    if path.is_file():
        return path
    if setting == "auto":
        return None
    raise DataError(
        f"There is no file of decisions {setting!r}. `noria check DATA --decisions FILE --page` begins one; `none` is "
        "for no decisions."
    )


def place_to_write(setting: str, data: Path) -> Path:
    """Return the file that decisions about the data are to be written to.

    Raises:
        ConfigError: none is wanted, or it could not be written.
    """
    if setting == "none":
        raise ConfigError("Answers need a file of decisions, and the setting data.decisions says none.")
    path = default_place(data) if setting == "auto" else Path(setting)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"The decisions cannot be written to {path}. Choose another place with --decisions FILE.")
    return path


def read(path: Path) -> Log:
    """Read a decisions file; one that is not there yet, or is empty, has no decisions.

    Raises:
        DataError: it cannot be read, is no table of decisions, or is not in UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise DataError(f"The decisions {path} cannot be read: {error.strerror or error}.") from error
    if len(content) > _LARGEST:
        raise DataError(f"The decisions {path} have more than {_LARGEST / MIB:.0f} MiB; that is no such file.")
    shape = _shape(path, content)
    rows: list[Decision] = []
    refused = [Refused(line, "it was cut off while it was written") for line in range(1, shape.first)]
    for line, found in _rows(content, shape):
        try:
            rows.append(_decision(line, found, shape))
        except _RowError as error:
            refused.append(Refused(line, str(error)))
    standing, vain = _replayed(rows)
    refused += [Refused(row.line, "there is no decision about it to take back") for row in vain]
    refused.sort(key=lambda one: one.line)
    return Log(path, hashlib.sha256(content).hexdigest(), tuple(standing), tuple(refused))


def append(path: Path, decision: Decision) -> None:
    """Add a row at the end of the file, in its columns and with its separator; the file is made where there is none.

    A process that is killed meanwhile leaves at most this row broken, and what is written next does not touch it.

    Raises:
        DataError: what is there is no decisions file, or lacks a column that is needed.
        NoriaError: the disk is full, or there is no permission.
    """
    decision = replace(
        decision, when=decision.when or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # two pages at once
            content = _whole(handle)
            shape = _shape(path, content)
            data = _ended(content, shape) + _written(path, decision, shape)
            if os.write(handle, data) != len(data):
                raise OSError(0, "it was written in part only")
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise NoriaError(
            f"The decision cannot be written to {path}: {error.strerror or error}. Choose another place with "
            "--decisions FILE."
        ) from error


def summary(counts: Mapping[str, int]) -> str:
    """Return how many decisions of each kind there are, e.g. "2 drop, 1 keep"."""
    return ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS if counts.get(verdict)) or "none"


def taking_back(decision: Decision) -> Decision:
    """Return the row that undoes a decision."""
    return Decision("undo", decision.path, decision.sha256)


def cell(text: str) -> str:
    """Return a name as it stands in a cell: on one line, valid Unicode in form NFC. Names are compared in this form."""
    escaped = _CONTROLS.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)
    return nfc(escaped).strip()


# The table


class _RowError(Exception):
    """Why a row cannot be used."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """Of a file: which cell is which, and where the rows start."""

    columns: tuple[str, ...]
    delimiter: str
    first: int  # line of the header; 0 where there is none yet


def _shape(path: Path, content: bytes) -> _Shape:
    """Columns, separator and the line of the header: the first, or the second where the first is ours, cut off."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"The decisions {path} are in UTF-16. Save them as UTF-8 (in Excel: “CSV UTF-8”).")
    lines = [line.decode("utf-8", "ignore").strip("\ufeff\r\n ") for line in content.split(b"\n", 2)[:2]]
    ours = ",".join(COLUMNS)
    following = lines[1] if len(lines) > 1 else ""
    if lines[0] != ours and ours.startswith(lines[0]) and following in ("", ours):
        return _Shape(COLUMNS, ",", 2 if following else 0)
    for delimiter in _DELIMITERS:
        columns = tuple(name.strip(' "') for name in lines[0].lower().split(delimiter))
        if "decision" in columns and {"path", "sha256"} & set(columns):
            return _Shape(columns, delimiter, 1)
    raise DataError(
        f"{path} is no file of decisions: its first line is {lines[0][:80]!r}. Expected a header such as {ours}, of "
        "which decision and path (or sha256) are needed. `--decisions none` leaves it alone."
    )


def _rows(content: bytes, shape: _Shape) -> Iterator[tuple[int, list[str] | str]]:
    """The line where each row starts, with its cells or the reason why it has none."""
    lines = content.split(b"\n")
    number = shape.first
    while number < len(lines):
        raw = lines[number].rstrip(b"\r")
        number += 1
        if not raw.strip(b" \t;,"):
            continue
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            yield number, "it is not UTF-8; save the table as UTF-8 (in Excel: “CSV UTF-8”)"
            continue
        found, more = _cells(text, lines[number : number + _MOST_LINES], shape)
        if found is None:
            yield number, "a quote is not closed"
        elif number == len(lines) and len(found) < len(shape.columns):
            yield number, "it was cut off: it lacks cells, and the end of its line"
        else:
            yield number, found
        number += more


def _cells(text: str, following: Sequence[bytes], shape: _Shape) -> tuple[list[str] | None, int]:
    """The cells of a row, and how many further lines it takes: a cell in quotes may have line breaks."""
    for more in range(len(following) + 1):
        if more:
            text += "\n" + following[more - 1].decode("utf-8", "replace")
        try:
            (found,) = csv.reader(io.StringIO(text, newline=""), delimiter=shape.delimiter, strict=True)
        except (csv.Error, ValueError):
            continue
        if more == 0 or len(found) <= len(shape.columns):
            return found, more
    return None, 0


def _decision(line: int, cells: list[str] | str, shape: _Shape) -> Decision:
    if isinstance(cells, str):
        raise _RowError(cells)
    if len(cells) > len(shape.columns):
        raise _RowError(f"it has {len(cells)} cells, and the header {len(shape.columns)}")
    row = {name: _freed(one.strip()) for name, one in zip(shape.columns, cells, strict=False)}
    verdict = row.get("decision", "").lower()
    if verdict not in VERDICTS:
        nearest = nearest_name(verdict, VERDICTS)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        raise _RowError(f"there is no decision {verdict!r}.{hint} Known: {', '.join(VERDICTS)}")
    decision = Decision(
        verdict=verdict,
        path=cell(row.get("path", "")),
        sha256=_hash(row.get("sha256", "")),
        label=tidy_label(row.get("label", "")),
        other=cell(row.get("other", "")),
        other_sha256=_hash(row.get("other_sha256", "")),
        finding=row.get("finding", "").lower() or _finding_in_note(verdict, row.get("note", "")),
        note=row.get("note", ""),
        when=row.get("when", ""),
        line=line,
    )
    if not (decision.path or decision.sha256):
        raise _RowError("it names no input: path and sha256 are empty")
    if decision.verdict == "relabel" and not decision.label:
        raise _RowError("it is to relabel, and the label is empty")
    if decision.verdict in ("same", "different") and decision.other in ("", decision.path):
        how = "the same as" if decision.verdict == "same" else "different from"
        raise _RowError(f"it is {how} something, and the column other does not name another input")
    if decision.verdict == "keep" and not (decision.finding or decision.other):
        raise _RowError(
            "it is to keep, and does not say what is right as it is: the column finding needs a kind of finding, such "
            f"as wrong_labels, or {ALL}"
        )
    return decision


def _finding_in_note(verdict: str, note: str) -> str:
    """The kind that a page wrote into the note, before files had a column for it."""
    return note if verdict == "keep" and _ONE_WORD.fullmatch(note) else ""


def _hash(text: str) -> str:
    if text and not _HASH.fullmatch(text.lower()):
        raise _RowError(f"{text[:80]!r} is no SHA-256 of 64 hexadecimal digits; leave it empty to go by the path")
    return text.lower()


# Undo


def _replayed(rows: Sequence[Decision]) -> tuple[list[Decision], list[Decision]]:
    """What stands at the end, and the rows that took back nothing."""
    standing: list[Decision] = []
    vain = []
    for row in rows:
        if row.verdict != "undo":
            standing.append(row)
        elif (place := _last_about(standing, row)) is None:
            vain.append(row)
        else:
            del standing[place]
    return standing, vain


def _last_about(standing: Sequence[Decision], row: Decision) -> int | None:
    """The last decision about the same input; failing that, about the same bytes under another name."""
    places = range(len(standing) - 1, -1, -1)
    found = next((place for place in places if _of_one_input(standing[place], row)), None)
    if found is None and row.sha256:
        found = next((place for place in places if standing[place].sha256 == row.sha256), None)
    return found


def _of_one_input(first: Decision, second: Decision) -> bool:
    """Whether two rows name one input; where a row leaves out its path or hash, the other must do."""
    paths, hashes = (first.path, second.path), (first.sha256, second.sha256)
    if (all(paths) and paths[0] != paths[1]) or (all(hashes) and hashes[0] != hashes[1]):
        return False
    return all(paths) or all(hashes)


# Writing


def _whole(handle: int) -> bytes:
    """The bytes of an open file; O_APPEND does not keep it from being read from its start."""
    size = os.fstat(handle).st_size
    pieces, at = [], 0
    while at < size and (piece := os.pread(handle, min(size - at, MIB), at)):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)


def _ended(content: bytes, shape: _Shape) -> bytes:
    """What ends a last line that has no end, so that nothing of it is read as if it were whole."""
    if not content or content.endswith(b"\n"):
        return b""
    if not shape.first or content.count(b"\n") < shape.first:  # the header itself
        return b"\n"
    last = content.rpartition(b"\n")[2].decode("utf-8", "replace")
    closing = '"' if last.count('"') % 2 else ""
    found, _ = _cells(last + closing, (), shape)
    broken = closing or found is None or len(found) < len(shape.columns)
    return (closing + (shape.delimiter * len(shape.columns) if broken else "") + "\n").encode()


def _written(path: Path, decision: Decision, shape: _Shape) -> bytes:
    """The row, after the header where there is none."""
    needed = {"relabel": "label", "same": "other", "different": "other", "keep": "finding"}.get(decision.verdict)
    in_note = needed == "finding" and needed not in shape.columns and "note" in shape.columns
    if needed and needed not in shape.columns and not in_note:
        raise DataError(f"{path} has no column {needed!r}, which {decision.verdict!r} needs. Add it to the header.")
    values = {
        "when": decision.when,
        "path": decision.path,
        "sha256": decision.sha256,
        "decision": decision.verdict,
        "label": decision.label,
        "other": decision.other,
        "other_sha256": decision.other_sha256,
        "finding": decision.finding,
        "note": decision.finding if in_note else decision.note,
    }
    row = io.StringIO()
    writer = csv.writer(row, delimiter=shape.delimiter, lineterminator="\n")
    if not shape.first:
        writer.writerow(shape.columns)
    writer.writerow([_harmless(cell(values.get(name, ""))) for name in shape.columns])
    return (b"" if shape.first else _MARK) + row.getvalue().encode()


def _harmless(text: str) -> str:
    """Keep a spreadsheet from computing what begins as a formula does: a file may have any name."""
    return f"'{text}" if _FORMULA.match(text) else text


def _freed(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
