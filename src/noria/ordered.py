"""A function and a stream of work -> its results in order, computed in a few threads, with bounded memory."""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

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
    workers = _Workers(function, threads)
    try:
        queue = deque(workers.begin(one) for one in itertools.islice(work, ahead * threads))
        while queue:
            yield queue.popleft().result()
            queue.extend(workers.begin(one) for one in itertools.islice(work, 1))
    finally:
        workers.stop()


class _Piece(Generic[Work, Result]):
    """A piece of work, and the place for what comes of it."""

    __slots__ = ("_outcome", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self._outcome: SimpleQueue[tuple[Result | None, BaseException | None]] = SimpleQueue()

    def do(self, function: Callable[[Work], Result]) -> None:
        try:
            self._outcome.put((function(self.work), None))
        except BaseException as error:
            self._outcome.put((None, error))

    def result(self) -> Result:
        result, error = self._outcome.get()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]


class _Workers(Generic[Work, Result]):
    """Threads that are started as work comes.

    Not a ThreadPoolExecutor: a Ctrl-C that falls into one of its locks, which are Python code, leaves it locked, and
    its threads and the program wait for ever. A SimpleQueue has none that could be left so.
    """

    def __init__(self, function: Callable[[Work], Result], most: int) -> None:
        self._function = function
        self._most = most
        self._waiting: SimpleQueue[_Piece[Work, Result] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def begin(self, work: Work) -> _Piece[Work, Result]:
        piece: _Piece[Work, Result] = _Piece(work)
        self._waiting.put(piece)
        if len(self._threads) < self._most:
            name = f"noria_{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._run, name=name, daemon=True))
            self._threads[-1].start()
        return piece

    def stop(self) -> None:
        """Drop what has not begun, and wait for what has."""
        self._stopped = True
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            if thread.ident is not None:  # a Ctrl-C may have come before it was started
                thread.join()

    def _run(self) -> None:
        while (piece := self._waiting.get()) is not None and not self._stopped:
            piece.do(self._function)
            del piece  # what it holds is large, and the next one may be long in coming
