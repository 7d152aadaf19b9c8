"""A shadow version is asked what another has answered; whether it agrees is counted, and nothing of it is returned."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic

import numpy as np

from noria.errors import BusyError, DeadlineError
from noria.serving.contracts import Outcome, Row
from noria.serving.telemetry import Metrics
from noria.serving.versions import Version


class Shadows:
    """The questions to shadow versions that are under way."""

    def __init__(self, metrics: Metrics, seconds: float) -> None:
        """Ask nobody yet.

        Args:
            seconds: that an answer of a shadow may take.
        """
        self._metrics = metrics
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, model: str, shadow: Version, rows: list[Row], outcomes: list[Outcome]) -> None:
        """Ask a shadow in its own time what came to these outcomes."""
        task = asyncio.get_running_loop().create_task(self._compare(model, shadow, rows, outcomes))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _compare(self, model: str, shadow: Version, rows: list[Row], outcomes: list[Outcome]) -> None:
        """Ask the shadow version the same, where it has time, and count how often it agrees."""
        if shadow.batcher is None or shadow.batcher.waiting:
            self._metrics.shadow.labels(model, "skipped").inc(len(rows))
            return
        shadow.in_flight += 1
        try:
            job = shadow.batcher.submit(rows, monotonic() + self._seconds)
            theirs = await job.future
        except (BusyError, DeadlineError):
            self._metrics.shadow.labels(model, "skipped").inc(len(rows))
            return
        finally:
            shadow.in_flight -= 1
        for ours, other in zip(outcomes, theirs, strict=True):
            self._metrics.shadow.labels(model, "agrees" if _alike(ours, other) else "differs").inc()


def _alike(ours: Outcome, other: Outcome) -> bool:
    if isinstance(ours, str) or isinstance(other, str):
        return isinstance(ours, str) and isinstance(other, str)
    if isinstance(ours, Mapping):
        return ours.keys() == other.keys() and all(np.array_equal(ours[name], other[name]) for name in ours)
    return ours.shape == other.shape and bool(ours.argmax() == other.argmax())
