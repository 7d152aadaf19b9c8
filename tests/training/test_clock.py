"""Seconds by stage: each second counts once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from noria.training.clock import Clock


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A time that passes only where the test says so."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


def test_a_stage_within_a_stage_counts_as_its_own(wait: Callable[[float], None]) -> None:
    clock = Clock(begun=0)
    with clock.stage("check"):
        wait(2)
        with clock.stage("features"):
            wait(30)
        wait(3)
    wait(1)
    assert clock.with_total() == {"features": 30, "check": 5, "total": 36}


def test_seconds_of_one_stage_in_two_places_add_up(wait: Callable[[float], None]) -> None:
    clock = Clock()
    with clock.stage("features"):
        wait(2)
    clock.add({"features": 3, "head": 1})
    assert clock.seconds == {"features": 5, "head": 1}


def test_a_stage_that_fails_is_closed_all_the_same(wait: Callable[[float], None]) -> None:
    clock = Clock()
    with clock.stage("outer"):
        with pytest.raises(OSError), clock.stage("inner"):
            raise OSError
        with clock.stage("after"):
            wait(4)
        wait(1)
    assert clock.seconds == {"inner": 0, "after": 4, "outer": 1}
