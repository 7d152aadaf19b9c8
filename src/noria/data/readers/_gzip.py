"""A file, compressed with gzip or not, whatever its name says -> a stream of the bytes that it holds."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from noria.errors import DataError

_MAGIC = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading.

    Raises:
        DataError: it cannot be read, or is compressed and damaged; also while the stream is read.
    """
    try:
        with path.open("rb") as file:
            compressed = file.peek(len(_MAGIC)).startswith(_MAGIC)
            yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if compressed else file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is compressed with gzip and damaged or cut off: {error}. Fetch it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
