"""Work on large requests and answers: beside the event loop, where it would keep everybody else waiting.

A thread does not make it faster, and what is written in C keeps Python's lock meanwhile; so the limits on a request
bound how long that can be (`limits.json_values`), and few threads bound how much of it is in memory at once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

THREADS = 2
LARGE = 2**18  # bytes of JSON, or the like; less is done at once, for handing it over takes its time, too
HASHED_AT_ONCE = 8  # as many bytes as are parsed in the same time
Result = TypeVar("Result")


class Aside:
    """The threads of one server for such work."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "aside")

    async def __call__(self, size: int, work: Callable[[], Result]) -> Result:
        """Return what `work` gives, which takes the longer the more bytes it works on."""
        if size < LARGE:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def sha256(self, data: bytes) -> str:
        """Return the first 16 digits of a hash, for the log."""
        return await self(len(data) // HASHED_AT_ONCE, lambda: hashlib.sha256(data).hexdigest()[:16])

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False)
