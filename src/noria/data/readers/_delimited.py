"""A CSV or TSV file -> a Table: delimiter, quotes and header found, lines counted, broken records left to their line.

A record that cannot be right (a quote never closed, too many cells) costs its own line and no other: reading goes on
with the line after it.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from noria.data.readers import Columns
from noria.data.readers._columns import is_known
from noria.data.readers._encoding import Encoding, detect, named
from noria.data.readers._gzip import opened
from noria.data.readers._table import Row, Table
from noria.errors import DataError

_HEAD = 1 << 20  # characters that the dialect and the header are found from
_HEAD_RECORDS = 500
_LARGEST_CELL = 1 << 26  # characters; more than any text that a model reads
_LONG_NAME = 80  # characters; a name of a column has fewer
_DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True, slots=True)
class _Dialect:
    delimiter: str
    quoted: bool  # whether " at the start of a cell opens a quotation


@dataclass(frozen=True, slots=True)
class _Head:
    """The first lines of a table."""

    lines: list[str]
    is_cut: bool  # whether more lines follow, so that the last record may be unfinished


def open_table(path: Path, columns: Columns) -> Table:
    """Open a table of text.

    Raises:
        DataError: it cannot be read, or has no row.
    """
    encoding = _encoding(path, columns)
    # The limit is the interpreter's, for all threads: it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
    head = _head(path, encoding)
    dialect = _dialect(path, head)
    records = _first_records(head, dialect)
    first = next((row for row in records if row.cells), None)
    if first is None:
        raise DataError(f"{path} has no row that can be read. Expected a header such as text,label and rows below it.")
    header = _is_header(first.cells, [row.cells for row in records if row is not first], columns)
    names = tuple(str(one).strip() for one in first.cells)
    if not header:
        names = tuple(str(number) for number in range(1, len(first.cells) + 1))
    return Table(
        names=names,
        rows=lambda: _rows(path, encoding, dialect, first, header),
        header=header,
        encoding=encoding,
        note="" if dialect.quoted else 'The sign " is read as itself: in this table it does not enclose cells.',
    )


def _encoding(path: Path, columns: Columns) -> Encoding:
    if columns.encoding:
        return named(columns.encoding)
    with opened(path) as stream:
        return detect(stream)


def _lines(path: Path, encoding: Encoding) -> Iterator[str]:
    with opened(path) as stream, io.TextIOWrapper(stream, encoding.name, encoding.errors, newline="") as text:
        yield from text


def _head(path: Path, encoding: Encoding) -> _Head:
    """The first lines, but for those that are too long to say anything in reasonable time."""
    found: list[str] = []
    size = 0
    for line in _lines(path, encoding):
        if size > _HEAD:
            return _Head(found, is_cut=True)
        if len(line) <= _HEAD:
            found.append(line)
        size += len(line)
    return _Head(found, is_cut=False)


def _dialect(path: Path, head: _Head) -> _Dialect:
    """The delimiter under which the first records look most like a table, and whether quotes enclose cells there."""
    delimiters = ("\t",) if _is_tsv(path) else _DELIMITERS
    quoted = max((_Dialect(one, True) for one in delimiters), key=lambda one: _tableness(_first_records(head, one)))
    records = _first_records(head, quoted)
    broken = sum(bool(row.trouble) for row in records)
    if not broken:
        return quoted
    plain = _Dialect(quoted.delimiter, False)
    plain_records = _first_records(head, plain)
    enclosed = sum(len(cell) > 1 and cell[0] == cell[-1] == '"' for row in plain_records for cell in row.cells)
    return plain if broken > enclosed and _of_one_width(plain_records) > _of_one_width(records) else quoted


def _is_tsv(path: Path) -> bool:
    return ".tsv" in [suffix.lower() for suffix in path.suffixes[-2:]]


def _first_records(head: _Head, dialect: _Dialect) -> list[Row]:
    records = itertools.islice(_records(iter(head.lines), dialect, is_cut=head.is_cut), _HEAD_RECORDS)
    return [row for row in records if row.cells or row.trouble]


def _tableness(records: Sequence[Row]) -> float:
    """The share of records with as many cells as the first, at least two; and 1 for each name that is well known."""
    first = next((row.cells for row in records if row.cells), ())
    return sum(map(is_known, first)) + _of_one_width(records) / len(records) if len(first) > 1 else 0.0


def _of_one_width(records: Sequence[Row]) -> int:
    """How many records have as many cells as the first."""
    widths = [len(row.cells) for row in records if row.cells]
    return widths.count(widths[0]) if widths else 0


def _is_header(first: Sequence[str], others: Sequence[Sequence[str]], columns: Columns) -> bool:
    """Whether the first record is a row of names rather than one of data."""
    cells = [cell.strip() for cell in first]
    below = [{cell.strip() for cell in column} for column in itertools.zip_longest(*others, fillvalue="")]
    again = {cell for cell, column in zip(cells, below, strict=False) if cell and cell in column}
    # A label may be called as columns often are, `date` or `name`: then it is found again in its own column.
    if any(is_known(cell) for cell in cells if cell not in again) or _has_names(cells, columns):
        return True
    if again and _is_repeated_header(cells, others):
        return True
    if any(_is_content(cell) for cell in cells) or len(set(filter(None, cells))) < len(list(filter(None, cells))):
        return False
    return not again


def _is_repeated_header(cells: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether names are found again below because tables were joined, each with its header."""
    return sum(map(is_known, cells)) > 1 and any([cell.strip() for cell in row] == cells for row in others)


def _has_names(cells: Sequence[str], columns: Columns) -> bool:
    """Whether cells are the names that the user said. A number is also the number of a column, and often a label."""
    said = [name for name in (columns.text, columns.label) if name is not None]
    return any(name in cells and not name.isdecimal() for name in said) or (
        len(said) == 2 and len(set(cells).intersection(said)) == 2
    )


def _is_content(cell: str) -> bool:
    """Whether a cell is a number or a sentence, which no column is called."""
    try:
        float(cell)
    except ValueError:
        return len(cell) > _LONG_NAME or len(cell.split()) > 5 or any(mark in cell for mark in ".!?。！？，")
    return True


def _rows(path: Path, encoding: Encoding, dialect: _Dialect, first: Row, header: bool) -> Iterator[Row]:
    width = len(first.cells)
    for row in _records(_lines(path, encoding), dialect):
        cells = row.cells
        if row.trouble:
            yield row
        elif len(cells) == width:
            if not header or row.line != first.line:
                yield row
        elif cells:
            yield _of_width(row, width)


def _of_width(row: Row, width: int) -> Row:
    """A record with more or fewer cells than the header; empty ones at its end are no fault."""
    more = len(row.cells) - width
    if more > 0 and not any(row.cells[width:]):
        return Row(row.line, row.cells[:width])
    cells = "1 cell" if len(row.cells) == 1 else f"{len(row.cells)} cells"
    hint = "; put text that holds the delimiter in quotes" if more > 0 else ""
    return Row(row.line, (), f"it has {cells}, but the table has {width} columns{hint}")


def _records(lines: Iterator[str], dialect: _Dialect, *, is_cut: bool = False) -> Iterator[Row]:
    """Records with the line where each starts; one that cannot be read is its line, and the next line starts anew.

    Where the lines are cut off, a last record that is still open is neither wrong nor a record: it is left out.
    """
    source = _Lines(lines)
    while True:
        source.commit()
        reader = csv.reader(
            source,
            delimiter=dialect.delimiter,
            quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
            # strict: a quote that is never closed would otherwise swallow the rest of the table in silence
            strict=True,
        )
        try:
            for cells in reader:
                yield Row(source.first, cells)
                source.commit()
        except csv.Error as error:
            # A first record is kept: without any, a table whose very first quote is never closed could not be read.
            if is_cut and source.is_at_end and source.first > 1:
                return
            trouble = _trouble(error, source)
            yield Row(source.first, (), trouble)
            source.give_back_all_but_first()
        else:
            return


def _trouble(error: csv.Error, source: _Lines) -> str:
    if "field larger" in str(error):
        return f"it has a cell of more than {_LARGEST_CELL:,} characters"
    if source.is_at_end:
        return 'a quote (") in it is never closed; double a quote that belongs to the text ("")'
    return f'a quote (") in it ends before the cell does, or is never closed ({error}); double quotes inside cells ("")'


class _Lines:
    """Lines that can be given back, for a reader that took more of them than were its own."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: list[str] = []  # given back, the next one last
        self._taken: list[str] = []  # since the last record
        self.first = 1  # number of the first line taken
        self.is_at_end = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._again:
            line = self._again.pop()
        else:
            try:
                line = next(self._lines)
            except StopIteration:
                self.is_at_end = True
                raise
        self._taken.append(line)
        return line

    def commit(self) -> None:
        """The lines taken were a record's own."""
        self.first += len(self._taken)
        self._taken.clear()

    def give_back_all_but_first(self) -> None:
        """Only the first line taken was wrong."""
        self._again.extend(reversed(self._taken[1:]))
        del self._taken[1:]
        self.is_at_end = False
