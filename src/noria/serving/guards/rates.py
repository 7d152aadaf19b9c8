"""How often: for each key and each address the moment from which on it may send again.

The generic cell rate algorithm: one number says as much as a bucket of tokens does, so several processes can keep it
in memory that they share, without a lock that one which stands still would hold. Where two write in the same instant, a
request is not counted.
Source: ITU-T I.371, annex A.
"""

from __future__ import annotations

import mmap
import os
import struct
from hashlib import blake2b
from pathlib import Path
from time import monotonic

from noria.errors import TooManyRequestsError, UserError
from noria.serving.settings import Rate

WAYS = 8  # places for names of one hash; who may send soonest is forgotten for another
SET = struct.Struct("=" + "Qd" * WAYS)  # the hash of a name, and when all that it sent is paid off
PLACE = struct.Struct("=Qd")
MANY = SET.size * 8192  # bytes, for 65,536 addresses
FEW = SET.size  # for one key
_ROUNDING = 1e-9  # seconds

Memory = bytearray | memoryview


class Rates:
    """One rate for many who are told apart by a name."""

    def __init__(self, rate: Rate, memory: Memory | None = None) -> None:
        """Count from now on.

        Args:
            memory: where it is kept; a whole number of sets.
        """
        self._rate = rate
        self._memory = bytearray(MANY) if memory is None else memory

    def take(self, name: str) -> None:
        """Count a request.

        Raises:
            TooManyRequestsError: there were too many.
        """
        if not self._rate.per_second:
            return
        now, each = monotonic(), 1 / self._rate.per_second
        place, known, paid = self._find(name)
        due = max(now, paid)
        wait = due - now - (self._rate.burst - 1) * each
        if wait > _ROUNDING:
            raise TooManyRequestsError(
                f"Too many requests: {self._rate.per_second:g} a second are allowed.", retry_after=wait
            )
        PLACE.pack_into(self._memory, place, known, due + each)

    def _find(self, name: str) -> tuple[int, int, float]:
        """Return where a name stands or is to stand, its hash, and what is known of it."""
        digest = blake2b(name.encode("utf-8", "replace"), digest_size=16).digest()
        start = int.from_bytes(digest[8:], "big") % (len(self._memory) // SET.size) * SET.size
        known = int.from_bytes(digest[:8], "big")
        places = SET.unpack_from(self._memory, start)
        hashes, paid = places[::2], places[1::2]
        way = hashes.index(known) if known in hashes else paid.index(min(paid))
        return start + way * PLACE.size, known, paid[way] if hashes[way] == known else 0.0


def shared_memory(path: Path, size: int) -> memoryview:
    """Return memory that every process has which asks for the same file.

    Raises:
        UserError: there is no room for it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)  # a disk that is full later would end the process by a signal
            return memoryview(mmap.mmap(descriptor, size))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UserError(f"There is no room to count requests in {path.parent}: {error.strerror}.") from None
