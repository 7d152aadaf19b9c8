"""How much: bytes of requests that are in memory, of all protocols together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from noria.errors import BusyError


class Budget:
    """Bytes of requests that are in memory, all together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    def take(self, count: int) -> None:
        """Reserve bytes.

        Raises:
            BusyError: too much is in memory.
        """
        if self._used + count > self._limit:
            raise BusyError("The requests under way fill the memory that they may have. Try again later.", 0.5)
        self._used += count

    @contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Reserve bytes while a request is worked at."""
        self.take(count)
        try:
            yield
        finally:
            self.give_back(count)

    def give_back(self, count: int) -> None:
        """Release bytes."""
        self._used -= count
