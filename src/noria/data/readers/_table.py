"""What a file of any table format is opened as: names of columns, and rows that can be gone through again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from noria.data.readers._encoding import Encoding

Cells = Sequence[Any]  # one for each column: text, or what else JSON or Parquet knows; None where there is nothing


class Row(NamedTuple):
    """A record of a table."""

    line: int  # where it starts, counted from 1; of a format without lines, its number + 1
    cells: Cells
    trouble: str = ""  # why it cannot be used


@dataclass(frozen=True)
class Table:
    """A table that is opened."""

    names: tuple[str, ...]  # numbers, "1", "2" …, where the table has no header
    rows: Callable[[], Iterator[Row]]  # reads the file once more
    header: bool = True
    encoding: Encoding | None = None  # None where the format itself fixes it
    note: str = ""  # how it is read, where a person could have expected otherwise
