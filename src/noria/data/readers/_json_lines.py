"""A JSON lines file -> a Table: the columns are the keys of its objects."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from noria.data.readers import Columns
from noria.data.readers._columns import RESERVED, normal
from noria.data.readers._encoding import Encoding, detect, named
from noria.data.readers._gzip import opened
from noria.data.readers._table import Row, Table
from noria.errors import DataError

_HEAD_LINES = 1_000  # lines that the keys are collected from


def open_table(path: Path, columns: Columns) -> Table:
    """Open JSON lines.

    Raises:
        DataError: it cannot be read, or none of its first lines is an object.
    """
    if columns.encoding:
        encoding = named(columns.encoding)
    else:
        with opened(path) as stream:
            encoding = detect(stream)
    head = list(itertools.islice(_parsed(path, encoding), _HEAD_LINES))
    names = tuple(dict.fromkeys(key for _, value in head if isinstance(value, dict) for key in value))
    if not names:
        first = next((f"line {line}: {_said(value)}" for line, value in head), "it is empty")
        raise DataError(
            f"{path} has no line that is a JSON object ({first}). Expected one object a line, such as "
            '{"text": "…", "label": "…"}; save a JSON array as JSON lines first.'
        )
    # A key that only later lines have, e.g. where a train and a test file were joined, must not be passed over.
    names += tuple(name for name in RESERVED if name not in map(normal, names))
    return Table(names, rows=lambda: _rows(path, encoding, names), encoding=encoding)


def _parsed(path: Path, encoding: Encoding) -> Iterator[tuple[int, Any]]:
    """Number and value of each line that is not blank; a JSONDecodeError stands for a line that is not JSON."""
    for number, line in enumerate(_lines(path, encoding), start=1):
        if line.isspace():
            continue
        try:
            yield number, orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield number, error


def _lines(path: Path, encoding: Encoding) -> Iterator[bytes]:
    """The lines as UTF-8, but for bytes that are not in the encoding, which make a line invalid."""
    with opened(path) as stream:
        if encoding.name == "utf-8":
            yield from stream
        elif encoding.name == "utf-8-sig":
            stream.seek(3)
            yield from stream
        else:
            text = encoding.decode(stream.read())
            for line in text.lstrip("\ufeff").split("\n"):
                yield line.encode("utf-8", "surrogatepass")


def _rows(path: Path, encoding: Encoding, names: tuple[str, ...]) -> Iterator[Row]:
    for line, value in _parsed(path, encoding):
        if isinstance(value, dict):
            yield Row(line, [value.get(name) for name in names])
        else:
            yield Row(line, (), _said(value))


def _said(value: Any) -> str:
    if isinstance(value, orjson.JSONDecodeError):
        return f"it is not valid JSON: {value}"
    return f"it is {'an array' if isinstance(value, list) else 'a value'}, not an object"
