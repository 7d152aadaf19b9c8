"""How often: a bucket of tokens for each key and each address."""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic

from noria.errors import TooManyRequestsError
from noria.serving.settings import Rate

MOST_BUCKETS = 100_000  # addresses that are remembered; who has been silent longest is forgotten


class Rates:
    """One rate for many who are told apart by a name."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted

    def take(self, name: str) -> None:
        """Count a request.

        Raises:
            TooManyRequestsError: there were too many.
        """
        if not self._rate.per_second:
            return
        now = monotonic()
        tokens, counted = self._buckets.pop(name, (float(self._rate.burst), now))
        tokens = min(self._rate.burst, tokens + (now - counted) * self._rate.per_second)
        self._buckets[name] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            raise TooManyRequestsError(
                f"Too many requests: {self._rate.per_second:g} a second are allowed.",
                retry_after=(1 - tokens) / self._rate.per_second,
            )
