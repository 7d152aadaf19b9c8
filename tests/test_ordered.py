"""Work in a few threads: results in order, little ahead, and an end that does not hang."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from noria.ordered import ordered_map


def test_results_are_in_the_order_of_the_work_and_come_from_several_threads() -> None:
    seen = set()
    both = threading.Barrier(2, timeout=60)

    def slowly(number: int) -> int:
        if number < 2:
            both.wait()  # passes only where two are at work
        seen.add(threading.current_thread().name)
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(ordered_map(slowly, range(100), threads=4)) == [number * number for number in range(100)]
    assert 1 < len(seen) <= 4
    assert list(ordered_map(slowly, [], threads=4)) == []


def test_no_more_is_taken_than_was_said() -> None:
    taken = 0

    def source() -> Iterator[int]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    for place, _ in enumerate(ordered_map(abs, source(), threads=2, ahead=3)):
        assert taken <= place + 1 + 2 * 3


def test_an_error_comes_where_its_result_would_and_ends_the_rest() -> None:
    done = []

    def failing(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        done.append(number)
        return number

    results = []
    with pytest.raises(ValueError, match="five"):
        results.extend(iter(ordered_map(failing, itertools.count(), threads=2, ahead=2)))
    assert len(done) <= 5 + 2 * 2 + 2


def test_a_caller_who_stops_waits_for_what_is_under_way_and_for_no_more() -> None:
    begun, ended = [], []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.01)
        ended.append(number)
        return number

    results = ordered_map(work, itertools.count(), threads=2, ahead=10)
    assert [next(results), next(results)] == [0, 1]
    results.close()  # type: ignore[attr-defined]
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 12
    assert not [one for one in threading.enumerate() if one.name.startswith("noria_")]


@pytest.mark.parametrize("moment", range(5))
def test_ctrl_c_ends_it(moment: int) -> None:
    code = """
import itertools
from noria.ordered import ordered_map
print("ready", flush=True)
for _ in ordered_map(lambda number: sum(range(100)), itertools.count(), threads=4, ahead=2):
    pass
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert child.stdout and child.stdout.readline() == b"ready\n"
    time.sleep(0.05 + 0.013 * moment)
    child.send_signal(signal.SIGINT)
    try:
        _, said = child.communicate(timeout=60)
    finally:
        child.kill()
    assert said.rstrip().endswith(b"KeyboardInterrupt")
