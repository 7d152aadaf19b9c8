"""Work on large requests and answers: beside the event loop, where it would keep everybody else waiting.

A thread does not make it faster, and what is written in C keeps Python's lock meanwhile; so the limits on a request
bound how long that can be (`limits.json_values`), and few threads bound how much of it is in memory at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

THREADS = 2
LARGE = 65_536  # bytes; less is done at once, for handing it over takes longer
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

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False)
