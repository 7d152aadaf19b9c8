"""Progresses for tests: one that keeps what it is told, and one that ends a training as a kill would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from noria.contracts import Silent


class Notes(Silent):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Killed(BaseException):
    """What nothing catches."""


class Killing(Notes):
    """Ends the process, as it were, after so many steps of training."""

    def __init__(self, after: int = -1) -> None:
        super().__init__()
        self.after = after

    @contextmanager
    def track(self, label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:  # type: ignore[override]
        done: list[int] = []

        def advance(count: int) -> None:
            done.append(count)
            if label == "training" and len(done) - 1 == self.after:  # the first is what had been done before
                raise Killed

        yield advance
