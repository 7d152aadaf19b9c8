"""A Parquet file -> a Table, a batch of rows in memory at a time. Needs pyarrow, the extra `parquet`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow
from pyarrow import parquet

from noria.data.readers import Columns
from noria.data.readers._gzip import opened
from noria.data.readers._table import Row, Table
from noria.errors import DataError

_BATCH = 4_096  # rows


def open_table(path: Path, columns: Columns) -> Table:
    """Open a Parquet file; its text is UTF-8 by definition.

    Raises:
        DataError: it is no Parquet file, or damaged.
    """
    try:
        names = tuple(parquet.ParquetFile(_source(path)).schema_arrow.names)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    return Table(names, rows=lambda: _rows(path))


def _source(path: Path) -> str | io.BytesIO:
    """The file by its name, which reads no more of it than is wanted; unpacked where it is compressed as a whole."""
    if path.suffix.lower() != ".gz":
        return str(path)
    with opened(path) as stream:
        return io.BytesIO(stream.read())


def _rows(path: Path) -> Iterator[Row]:
    number = 1
    try:
        for batch in parquet.ParquetFile(_source(path)).iter_batches(_BATCH):
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield Row(number, cells)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet after row {number - 1}: {error}") from error
