"""The texts of a table, one after the other: a few in memory, many in a temporary file, so that memory is for learning.

The file has no name and is gone with the object that uses it, however the process ends. It lies where Python's
`tempfile` puts such files (the variable TMPDIR says another place) and takes as much room as the texts.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, cast, overload

from noria.errors import NoriaError

IN_MEMORY = 16 * 1024 * 1024  # bytes of the last texts


class _Texts(Sequence[bytes]):
    """Texts by number, or a list of some by a slice; a kind of texts says how one is got."""

    @overload
    def __getitem__(self, place: int) -> bytes: ...

    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...

    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        if isinstance(place, slice):
            return [self._one(one) for one in range(*place.indices(len(self)))]
        return self._one(place)

    @abstractmethod
    def _one(self, place: int) -> bytes: ...


class Cells(_Texts):
    """Texts that were appended. Any number of threads may read them at once."""

    def __init__(self, texts: Iterable[bytes] = ()) -> None:
        self._ends = array("q")  # of each text, in bytes from the start of the first one
        self._recent = bytearray()  # what is not in the file
        self._in_file = 0  # bytes
        self._file: BinaryIO | None = None
        for text in texts:
            self.append(text)

    def append(self, text: bytes) -> None:
        """Add one at the end.

        Raises:
            NoriaError: there is no room for the temporary file.
        """
        self._recent += text
        self._ends.append(self._in_file + len(self._recent))
        if len(self._recent) >= IN_MEMORY:
            self._write()

    def __len__(self) -> int:
        return len(self._ends)

    def _one(self, place: int) -> bytes:
        end = self._ends[place]
        place %= len(self._ends)
        start = self._ends[place - 1] if place else 0
        if start >= self._in_file:
            return bytes(self._recent[start - self._in_file : end - self._in_file])
        return os.pread(cast(BinaryIO, self._file).fileno(), end - start, start)

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = cast(BinaryIO, tempfile.TemporaryFile(prefix="noria-", buffering=0))  # noqa: SIM115
                weakref.finalize(self, self._file.close)
            written = 0
            while written < len(self._recent):
                written += self._file.write(memoryview(self._recent)[written:])
        except OSError as error:
            raise NoriaError(
                f"The texts, {self._in_file + len(self._recent):,} bytes so far, cannot be kept in {_folder()}: "
                f"{error.strerror or error}. Make room there, or name another folder with TMPDIR."
            ) from error
        self._in_file += len(self._recent)
        self._recent.clear()


class Chosen(_Texts):
    """Some texts in another order: text i is the one at `places[i]`."""

    def __init__(self, texts: Sequence[bytes], places: Sequence[int]) -> None:
        self._texts, self._places = texts, array("q", places)

    def __len__(self) -> int:
        return len(self._places)

    def _one(self, place: int) -> bytes:
        return self._texts[self._places[place]]


class ByHash(Mapping[str, bytes]):
    """Texts by the SHA-256 of each, 64 hexadecimal digits."""

    def __init__(self, texts: Sequence[bytes], places: Mapping[str, int]) -> None:
        self._texts, self._places = texts, places

    def __getitem__(self, sha256: str) -> bytes:
        return self._texts[self._places[sha256]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # there is none that can be written to
        return "a temporary file"
