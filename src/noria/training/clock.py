"""Wall seconds by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Counts from when it was made."""

    seconds: dict[str, float] = field(default_factory=dict)
    begun: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Keep the seconds of the block under this name."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def with_total(self) -> dict[str, float]:
        """Return the seconds of each stage, and of all since the clock was made."""
        return {**self.seconds, "total": time.perf_counter() - self.begun}
