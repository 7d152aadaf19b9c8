"""A function and a stream of work -> its results in order, computed in a few threads, with bounded memory."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")

AHEAD = 8


def default_threads() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    function: Callable[[Work], Result], source: Iterable[Work], *, threads: int, ahead: int = AHEAD
) -> Iterator[Result]:
    """Yield `function(work)` for each piece of work, in order.

    Decoders, engines and numpy let go of Python's lock, so threads are enough. When the caller stops, by an error or
    Ctrl-C, what has not begun is dropped; at most one piece for each thread is finished.

    Args:
        ahead: pieces for each thread that are under way, or done and not yet taken; fewer where results are large.
    """
    work = iter(source)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="noria")
    queue: deque[Future[Result]] = deque()
    try:
        queue.extend(pool.submit(function, one) for one in itertools.islice(work, ahead * threads))
        while queue:
            yield queue.popleft().result()
            queue.extend(pool.submit(function, one) for one in itertools.islice(work, 1))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
