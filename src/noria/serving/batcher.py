"""Rows of many requests -> batches for the engine, in worker threads; never more waiting than can be answered in time.

A free worker takes what is there at once, so a request that comes alone waits for nothing; while all are busy the next
rows gather. Requests of many rows take turns with the others, batch by batch. An engine that likes batches waits a few
milliseconds more, but only while other requests are on their way.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from noria.errors import BusyError, DeadlineError
from noria.serving.affinity import stay_on
from noria.serving.contracts import Outcome, Row

SMOOTHING = 0.1  # of the moving average of seconds a row
LEAST_WAIT = 0.05  # seconds; shorter queues are never refused, whatever the average says


class Engine(Protocol):
    """What a worker does with rows; a Servable is one."""

    batch: int

    def self_test(self) -> None: ...

    def decode(self, rows: Sequence[Row]) -> list[Any]: ...

    def run(self, decoded: Sequence[Any]) -> list[Outcome]: ...


@dataclass(eq=False, slots=True)
class Job:
    """The rows of one request on their way."""

    rows: Sequence[Row]
    deadline: float  # on the clock of time.monotonic
    future: asyncio.Future[list[Outcome]]
    submitted: float
    outcomes: list[Outcome] = field(default_factory=list)
    taken: int = 0  # rows that a worker has
    missing: int = 0  # rows without an outcome
    started: float = 0.0  # when the first row was taken
    decode_seconds: float = 0.0
    run_seconds: float = 0.0
    batch_rows: int = 0  # of the largest batch that a row of it was run in
    dropped: bool = False  # nobody waits for it


class Batcher:
    """The queue and the workers of one open model."""

    def __init__(
        self,
        engine: Engine,
        *,
        workers: int,
        wait_seconds: float,
        queue_seconds: float,
        queue_rows: int,
        pinned: bool = False,
        name: str = "model",
    ) -> None:
        """Start the workers and wait until each has opened the engine for itself and passed its self-test.

        Args:
            wait_seconds: that a worker waits for a fuller batch.
            queue_seconds: the longest that a new request may be expected to wait.
            queue_rows: how many rows may wait.
            pinned: whether a worker may stay on a processor of its own: it runs the engine alone, in one thread.

        Raises:
            VerificationError: the engine answers otherwise than it must.
        """
        self._engine = engine
        self._wait = wait_seconds
        self._queue_seconds = queue_seconds
        self._queue_rows = queue_rows
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._waiting = 0  # rows
        self._running = 0  # rows
        self._seconds_a_row = 0.0
        self._closed = False
        ready: list[Future[None]] = [Future() for _ in range(workers)]
        self._threads = [
            threading.Thread(
                target=self._work, args=(one, number if pinned else None), name=f"{name}-{number}", daemon=True
            )
            for number, one in enumerate(ready)
        ]
        for thread in self._threads:
            thread.start()
        try:
            for one in ready:
                one.result()
        except BaseException:
            self.close()
            raise

    @property
    def waiting(self) -> int:
        """How many rows wait for a worker."""
        return self._waiting

    @property
    def busy(self) -> bool:
        """Whether any row waits or is being run."""
        return bool(self._waiting or self._running)

    @property
    def capacity(self) -> float:
        """Rows a second that the workers have lately been able to answer; 0 before the first."""
        return len(self._threads) / self._seconds_a_row if self._seconds_a_row else 0.0

    def refusal(self, rows: int = 1) -> BusyError | None:
        """Return why so many more rows would be refused now, or None."""
        ahead = min(self._waiting, len(self._jobs) * rows)  # requests take turns, so of each no more than its own
        expected = ahead * self._seconds_a_row / len(self._threads)
        too_long = expected > max(self._queue_seconds, LEAST_WAIT)
        if self._waiting and (too_long or self._waiting + rows > self._queue_rows):
            return BusyError(
                f"The server is at its capacity: {ahead} inputs go before, about {expected:.1f} s. Try again later.",
                retry_after=max(expected, 0.1),
            )
        return None

    def submit(self, rows: Sequence[Row], deadline: float) -> Job:
        """Queue rows; call it on the event loop and await `job.future`.

        Raises:
            BusyError: the rows would have to wait too long.
        """
        loop = asyncio.get_running_loop()
        now = monotonic()
        job = Job(rows, deadline, loop.create_future(), now, [None] * len(rows), missing=len(rows))
        if not rows:
            job.future.set_result([])
            return job
        with self._changed:
            self._refuse_or_queue(job)
            self._changed.notify()
        return job

    def drop(self, job: Job) -> None:
        """Forget a job that nobody waits for; rows that a worker has taken are finished."""
        with self._changed:
            if not job.dropped:
                job.dropped = True
                self._waiting -= len(job.rows) - job.taken

    def close(self) -> None:
        """Stop the workers after the rows that wait, and wait for them."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _refuse_or_queue(self, job: Job) -> None:
        if self._closed:
            raise BusyError("This version is being taken out of service; send the request again.", 0.1)
        if refusal := self.refusal(len(job.rows)):
            raise refusal
        self._waiting += len(job.rows)
        self._jobs.append(job)

    # In the worker threads.

    def _work(self, ready: Future[None], number: int | None) -> None:
        try:
            self._engine.self_test()  # here, for engines keep a session for each thread
        except Exception as error:
            ready.set_exception(error)
            return
        if number is not None:
            stay_on(number, len(self._threads))
        ready.set_result(None)
        while taken := self._take():
            started = monotonic()
            outcomes, decode_seconds = _answers(self._engine, [job.rows[place] for job, place in taken])
            ended = monotonic()
            self._finish(taken, outcomes, decode_seconds, ended - started)

    def _take(self) -> list[tuple[Job, int]]:
        """Return the next rows, or nothing when there will be no more."""
        with self._changed:
            # Asked anew after each wait: what there was may be too late by now.
            while not (taken := self._next_rows([])) and not self._closed:
                self._changed.wait()
            if taken and len(taken) < self._engine.batch and self._wait and self._running:
                self._changed.wait(self._wait)  # another worker is at it: more is likely to come
                taken = self._next_rows(taken)
            self._running += len(taken)
            if self._jobs:
                self._changed.notify()
            return taken

    def _next_rows(self, taken: list[tuple[Job, int]]) -> list[tuple[Job, int]]:
        now = monotonic()
        self._skip_dead()
        while self._jobs and len(taken) < self._engine.batch:
            job = self._jobs[0]
            job.started = job.started or now
            count = min(self._engine.batch - len(taken), len(job.rows) - job.taken)
            taken += [(job, place) for place in range(job.taken, job.taken + count)]
            job.taken += count
            self._waiting -= count
            self._jobs.popleft()
            if job.taken < len(job.rows):
                self._jobs.append(job)  # a batch is full; the next one begins with another request
            self._skip_dead()
        return taken

    def _skip_dead(self) -> None:
        """Drop from the head of the queue what nobody waits for any more, or what is too late."""
        now = monotonic()
        while self._jobs and (self._jobs[0].dropped or self._jobs[0].deadline < now):
            job = self._jobs.popleft()
            if not job.dropped:
                job.dropped = True
                self._waiting -= len(job.rows) - job.taken
                _tell(job, job.future.set_exception, DeadlineError("The answer was not there in time."))

    def _finish(self, taken: list[tuple[Job, int]], outcomes: list[Outcome], decoding: float, seconds: float) -> None:
        finished = []
        with self._changed:
            self._running -= len(taken)
            each = seconds / len(taken)
            self._seconds_a_row += (each - self._seconds_a_row) * (SMOOTHING if self._seconds_a_row else 1)
            for (job, place), outcome in zip(taken, outcomes, strict=True):
                job.outcomes[place] = outcome
                job.missing -= 1
                if not job.missing:
                    finished.append(job)
            for job in {job for job, _ in taken}:
                job.decode_seconds += decoding
                job.run_seconds += seconds - decoding
                job.batch_rows = max(job.batch_rows, len(taken))
        for job in finished:
            _tell(job, job.future.set_result, job.outcomes)


def _answers(engine: Engine, rows: list[Row]) -> tuple[list[Outcome], float]:
    """Return an outcome for each row, whatever a row does to the engine, and the seconds that decoding took."""
    started = monotonic()
    decoded = _each(engine.decode, rows)
    decoding = monotonic() - started
    good = [value for value in decoded if not isinstance(value, str)]
    ran = iter(_each(engine.run, good))
    return [value if isinstance(value, str) else next(ran) for value in decoded], decoding


def _each(work: Callable[[Sequence[Any]], list[Any]], values: list[Any]) -> list[Any]:
    """Do work on a few values together; where it fails as a whole, one by one, so that one cannot spoil the others."""
    if not values:
        return []
    try:
        return list(work(values))
    except Exception as error:  # an engine's own errors have no common class, and no row may stop a worker
        if len(values) > 1:
            return [found for value in values for found in _each(work, [value])]
        return [f"the engine cannot run it: {type(error).__name__}: {str(error)[:200]}"]


def _tell(job: Job, set_future: Callable[[Any], None], value: Any) -> None:
    """Hand over to the event loop of a request; one that has been closed waits for nothing."""

    def tell() -> None:
        if not job.future.done():
            set_future(value)

    try:
        job.future.get_loop().call_soon_threadsafe(tell)
    except RuntimeError:
        return
