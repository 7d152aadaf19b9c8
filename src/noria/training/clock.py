"""Wall seconds by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Counts from when it was made. A stage within a stage counts as its own, and not as the outer one's."""

    seconds: dict[str, float] = field(default_factory=dict)
    begun: float = field(default_factory=time.perf_counter)
    _within: list[float] = field(default_factory=list)  # seconds of finished stages in each open one

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to what is kept under this name."""
        start = time.perf_counter()
        self._within.append(0.0)
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self.add({name: seconds - self._within.pop()})
            if self._within:
                self._within[-1] += seconds

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add seconds that were counted elsewhere, by stage."""
        for name, more in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + more

    def with_total(self) -> dict[str, float]:
        """Return the seconds of each stage, and of all since the clock was made."""
        return {**self.seconds, "total": time.perf_counter() - self.begun}
