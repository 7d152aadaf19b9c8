"""The queue: nothing waits that need not, nothing waits too long, and everybody gets their own answers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, count
from time import monotonic, sleep
from typing import Any

import pytest

from noria.errors import BusyError, DeadlineError, VerificationError
from noria.serving.batcher import Batcher


class Doubler:
    """An engine that doubles numbers; it can be held, and remembers what it was given."""

    def __init__(self, batch: int = 4, seconds: float = 0.0) -> None:
        self.batch = batch
        self.seconds = seconds
        self.ran: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()

    def self_test(self) -> None:
        return

    def decode(self, rows: Sequence[Any]) -> list[Any]:
        if "explosive" in rows:
            raise RuntimeError("no engine expected this")
        return ["it is damaged" if row == "damaged" else row for row in rows]

    def run(self, decoded: Sequence[Any]) -> list[Any]:
        self.ran.append(list(decoded))
        assert self.open.wait(10)
        sleep(self.seconds)
        if -1 in decoded:
            raise ValueError("one row spoils this batch")
        return [2 * value for value in decoded]


@contextmanager
def batcher(
    engine: Any, *, workers: int = 1, wait: float = 0.0, queue: float = 10.0, rows: int = 100, pinned: bool = False
) -> Iterator[Any]:
    made = Batcher(engine, workers=workers, wait_seconds=wait, queue_seconds=queue, queue_rows=rows, pinned=pinned)
    try:
        yield made
    finally:
        made.close()


def soon(seconds: float = 10.0) -> float:
    return monotonic() + seconds


def in_loop(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(work())


async def eventually(condition: Callable[[], Any]) -> None:
    end = soon()
    while not condition():
        assert monotonic() < end
        await asyncio.sleep(0.001)


def test_rows_come_back_in_their_order() -> None:
    with batcher(Doubler()) as made:

        async def work() -> list[Any]:
            return list(await made.submit([1, 2, 3, 4, 5, 6, 7], soon()).future)

        assert in_loop(work) == [2, 4, 6, 8, 10, 12, 14]


def test_no_rows_are_answered_at_once() -> None:
    with batcher(Doubler()) as made:

        async def work() -> list[Any]:
            return list(await made.submit([], soon()).future)

        assert in_loop(work) == []


def test_what_gathers_while_the_engine_is_busy_runs_together() -> None:
    engine = Doubler(batch=8)
    with batcher(engine) as made:

        async def work() -> list[Any]:
            engine.open.clear()
            first = made.submit([1], soon())
            await eventually(lambda: engine.ran)
            others = [made.submit([number, number + 10], soon()) for number in (2, 3, 4)]
            engine.open.set()
            return list(await asyncio.gather(first.future, *(one.future for one in others)))

        assert in_loop(work) == [[2], [4, 24], [6, 26], [8, 28]]
    assert engine.ran == [[1], [2, 12, 3, 13, 4, 14]]


def test_a_long_request_takes_turns_with_short_ones_and_does_not_shut_them_out() -> None:
    engine = Doubler(batch=2, seconds=0.02)
    with batcher(engine, queue=0.2) as made:

        async def work() -> list[str]:
            done: list[str] = []
            await made.submit([0], soon()).future  # now it knows how long a row takes
            long = made.submit(list(range(100, 160)), soon())
            await eventually(lambda: len(engine.ran) > 2)
            short = [made.submit([number], soon()) for number in (1, 2, 3)]
            with pytest.raises(BusyError):
                made.submit(list(range(200, 260)), soon())  # it would have to wait for as many of the long one
            for name, job in [("long", long), *(("short", one) for one in short)]:
                job.future.add_done_callback(lambda _, name=name: done.append(name))
            answers = await asyncio.gather(long.future, *(one.future for one in short))
            assert answers == [[2 * number for number in range(100, 160)], [2], [4], [6]]
            return done

        assert in_loop(work) == ["short", "short", "short", "long"]


def test_a_long_request_is_shared_by_the_workers() -> None:
    engine = Doubler(batch=2, seconds=0.01)
    with batcher(engine, workers=2) as made:

        async def work() -> list[Any]:
            return list(await made.submit(list(range(12)), soon()).future)

        assert in_loop(work) == [2 * number for number in range(12)]
    assert max(map(len, engine.ran)) == 2


def test_a_bad_row_is_told_and_the_others_of_its_batch_go_on() -> None:
    with batcher(Doubler()) as made:

        async def work() -> list[Any]:
            return list(await made.submit([1, "damaged", "explosive", 3], soon()).future)

        good, damaged, explosive, last = in_loop(work)
    assert (good, damaged, last) == (2, "it is damaged", 6)
    assert "no engine expected this" in explosive


def test_a_row_that_the_engine_refuses_does_not_spoil_its_batch() -> None:
    engine = Doubler(batch=8)
    with batcher(engine) as made:

        async def work() -> list[Any]:
            return list(await made.submit([1, -1, 3], soon()).future)

        good, bad, last = in_loop(work)
    assert (good, last) == (2, 6)
    assert "one row spoils this batch" in bad


def test_more_rows_than_may_wait_are_refused_at_once_and_the_others_answered() -> None:
    engine = Doubler(batch=1)
    with batcher(engine, rows=3) as made:

        async def work() -> tuple[list[Any], BusyError]:
            engine.open.clear()
            first = made.submit([1], soon())
            await eventually(lambda: engine.ran)
            waiting = made.submit([2, 3], soon())
            with pytest.raises(BusyError, match="capacity") as caught:
                made.submit([4, 5], soon())
            engine.open.set()
            return [*await first.future, *await waiting.future], caught.value

        answers, error = in_loop(work)
    assert answers == [2, 4, 6]
    assert error.retry_after > 0
    assert list(chain(*engine.ran)) == [1, 2, 3]


def test_a_request_larger_than_the_queue_is_taken_when_nothing_waits() -> None:
    with batcher(Doubler(), rows=3) as made:

        async def work() -> list[Any]:
            return list(await made.submit(list(range(10)), soon()).future)

        assert len(in_loop(work)) == 10


def test_requests_that_would_wait_too_long_are_refused() -> None:
    engine = Doubler(batch=1, seconds=0.05)
    with batcher(engine, queue=0.1) as made:

        async def work() -> int:
            await made.submit([0], soon()).future  # now it knows how long a row takes
            refused, taken = 0, []
            for number in range(20):
                try:
                    taken.append(made.submit([number], soon()).future)
                except BusyError:
                    refused += 1
            await asyncio.gather(*taken)
            return refused

        assert in_loop(work) >= 15


def test_what_is_too_late_is_not_computed() -> None:
    engine = Doubler(batch=1)
    with batcher(engine) as made:

        async def work() -> None:
            engine.open.clear()
            first = made.submit([1], soon())
            await eventually(lambda: engine.ran)
            late = made.submit([2], soon(0.01))
            last = made.submit([3], soon())
            await asyncio.sleep(0.05)
            engine.open.set()
            with pytest.raises(DeadlineError):
                await late.future
            assert await last.future == [6]
            await first.future

        in_loop(work)
    assert list(chain(*engine.ran)) == [1, 3]


def test_a_worker_outlives_what_is_too_late_at_the_very_moment_that_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with batcher(Doubler(batch=1)) as made:

        async def work() -> None:
            for margin in range(1, 9):  # one of them ends between two looks at the clock
                steps = count(monotonic() + 1000)
                with monkeypatch.context() as clock:
                    clock.setattr("noria.serving.batcher.monotonic", lambda steps=steps: next(steps))
                    late = made.submit([2], monotonic() + 1000 + margin)
                    with suppress(DeadlineError):
                        await late.future
            assert await made.submit([3], soon()).future == [6]

        in_loop(work)


def test_what_nobody_waits_for_is_not_computed_and_makes_room() -> None:
    engine = Doubler(batch=1)
    with batcher(engine, rows=2) as made:

        async def work() -> None:
            engine.open.clear()
            first = made.submit([1], soon())
            await eventually(lambda: engine.ran)
            gone = made.submit([2, 3], soon())
            assert made.waiting == 2
            made.drop(gone)
            made.drop(gone)  # twice is once
            assert made.waiting == 0
            last = made.submit([4, 5], soon())
            engine.open.set()
            assert await last.future == [8, 10]
            await first.future

        in_loop(work)
    assert list(chain(*engine.ran)) == [1, 4, 5]


def test_closing_finishes_what_waits_and_takes_nothing_more() -> None:
    engine = Doubler(batch=1, seconds=0.01)
    made = Batcher(engine, workers=2, wait_seconds=0, queue_seconds=10, queue_rows=100)

    async def work() -> list[Any]:
        job = made.submit(list(range(10)), soon())
        closing = asyncio.get_running_loop().run_in_executor(None, made.close)
        found = await job.future
        await closing
        with pytest.raises(BusyError):
            made.submit([1], soon())
        return list(found)

    assert in_loop(work) == [2 * number for number in range(10)]


def test_an_engine_that_fails_its_self_test_is_not_opened() -> None:
    class Wrong(Doubler):
        def self_test(self) -> None:
            raise VerificationError("it answers otherwise")

    before = threading.active_count()
    with pytest.raises(VerificationError, match="it answers otherwise"), batcher(Wrong(), workers=3):
        pass
    assert threading.active_count() == before


def test_each_worker_tests_the_engine_for_itself() -> None:
    class Counting(Doubler):
        def __init__(self) -> None:
            super().__init__()
            self.tested: set[int] = set()

        def self_test(self) -> None:
            self.tested.add(threading.get_ident())
            sleep(0.01)

    engine = Counting()
    with batcher(engine, workers=3):
        assert len(engine.tested) == 3


def test_an_engine_of_batches_waits_for_more_while_another_worker_is_busy() -> None:
    engine = Doubler(batch=4)
    with batcher(engine, workers=2, wait=1.0) as made:

        async def work() -> None:
            engine.open.clear()
            first = made.submit([1], soon())
            await eventually(lambda: engine.ran)
            second = made.submit([2], soon())
            await eventually(lambda: made.waiting == 0)
            third = made.submit([3], soon())
            await eventually(lambda: len(engine.ran) == 2)
            engine.open.set()
            await asyncio.gather(first.future, second.future, third.future)

        in_loop(work)
    assert engine.ran == [[1], [2, 3]]


def test_thousands_of_requests_from_several_loops_get_their_own_answers() -> None:
    engine = Doubler(batch=16)
    wrong: list[int] = []
    with batcher(engine, workers=3, rows=100_000) as made:

        async def ask(first: int) -> None:
            async def one(number: int) -> None:
                if await made.submit([number, number + 1], soon(30)).future != [2 * number, 2 * number + 2]:
                    wrong.append(number)

            await asyncio.gather(*(one(number) for number in range(first, first + 700)))

        threads = [
            threading.Thread(target=lambda first=first: asyncio.run(ask(first))) for first in (0, 10_000, 20_000)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert sum(map(len, engine.ran)) == 3 * 700 * 2


class Placed(Doubler):
    """An engine that tells on which processors the calling thread may run, before and after its self-test."""

    def __init__(self) -> None:
        super().__init__(batch=1)
        self.before: list[set[int]] = []
        self.after: list[set[int]] = []

    def self_test(self) -> None:
        self.before.append(os.sched_getaffinity(0))

    def run(self, decoded: Sequence[Any]) -> list[Any]:
        self.after.append(os.sched_getaffinity(0))
        sleep(0.05)  # so that every worker gets some
        return super().run(decoded)


@pytest.mark.parametrize(("more", "pinned", "alone"), [(0, True, True), (1, True, False), (0, False, False)])
def test_as_many_workers_as_processors_have_one_each(more: int, pinned: bool, alone: bool) -> None:
    every = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(every) < 2:
        pytest.skip("there is one processor only, or a system that tells nothing of them")
    engine, count_of_workers = Placed(), len(every) + more

    async def work() -> None:
        jobs = [made.submit([number], soon()) for number in range(4 * count_of_workers)]
        await asyncio.gather(*(job.future for job in jobs))

    with batcher(engine, workers=count_of_workers, rows=1000, pinned=pinned) as made:
        in_loop(work)
    assert engine.before == [every] * count_of_workers  # what an engine starts for itself may run everywhere
    if alone:
        assert all(len(one) == 1 for one in engine.after)
        assert set().union(*engine.after) == every
    else:
        assert all(one == every for one in engine.after)
    assert os.sched_getaffinity(0) == every
