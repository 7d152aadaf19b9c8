"""Examples -> feature vectors, each computed once: an inference engine beside a cache addressed by content.

The key is the picture's SHA-256 and the view; the space is the input settings, the backbone's fingerprint and the
engine. What was computed is committed every few seconds, so a killed run goes on where it was.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noria.artifacts.store import Store
from noria.contracts import Progress, Session
from noria.data.unchanged import unchanged_bytes
from noria.ordered import default_threads, ordered_map

COMMIT_SECONDS = 2.0
OF_MIDDLE = 1  # the view of a picture's middle, enlarged, where a check asks for it

Vector = NDArray[np.float32]
Pixels = NDArray[np.uint8]
ViewKey = tuple[str, int]  # the picture's SHA-256, and 0 for itself or the number of a varied view


@dataclass(frozen=True, slots=True)
class Wanted:
    """A picture whose features are needed."""

    path: Path
    sha256: str
    views: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Extractor:
    """How a picture becomes a vector; `space` names everything that the vector depends on beside the picture."""

    space: str
    view_spec: str  # what varied views depend on: settings and recipe of the augmentation
    read: Callable[[bytes], Pixels]
    vary: Callable[[Pixels, str], Pixels]
    open_session: Callable[[], Session]

    def cache_key(self, key: ViewKey) -> bytes:
        sha256, view = key
        spec = f"{view}:{self.view_spec}" if view else "0"
        return hashlib.sha256(f"{sha256}:{spec}".encode()).digest()


def compute_features(
    wanted: Sequence[Wanted],
    extractor: Extractor,
    store: Store,
    *,
    progress: Progress,
    workers: int | None = None,
) -> tuple[dict[ViewKey, Vector], int]:
    """Return the vector (D,) float32 of every wanted view, and how many had to be computed.

    Raises:
        DataError: a file changed or went away after it was checked.
    """
    vectors = _cached(wanted, extractor, store)
    missing = [(item, views) for item in wanted if (views := _missing_views(item, vectors))]
    # The same bytes under two names are computed once.
    missing = list({item.sha256: (item, views) for item, views in missing}.values())
    computed = 0
    total = sum(len(views) for _, views in missing)
    if not missing:
        return vectors, 0
    with progress.track("features", total) as advance:
        fresh: dict[bytes, bytes] = {}
        committed = time.monotonic()
        try:
            for found in _in_parallel(missing, extractor, workers or default_threads()):
                vectors.update(found)
                fresh.update({extractor.cache_key(key): vector.tobytes() for key, vector in found.items()})
                computed += len(found)
                advance(len(found))
                if time.monotonic() - committed > COMMIT_SECONDS:
                    store.put_many(extractor.space, fresh)
                    fresh, committed = {}, time.monotonic()
        finally:
            store.put_many(extractor.space, fresh)  # also on Ctrl-C: nothing computed is lost
    return vectors, computed


def _cached(wanted: Sequence[Wanted], extractor: Extractor, store: Store) -> dict[ViewKey, Vector]:
    keys = {extractor.cache_key((item.sha256, view)): (item.sha256, view) for item in wanted for view in item.views}
    entries = store.get_many(extractor.space, keys)
    return {keys[key]: np.frombuffer(value, np.float32) for key, value in entries.items()}


def _missing_views(item: Wanted, vectors: dict[ViewKey, Vector]) -> tuple[int, ...]:
    return tuple(view for view in item.views if (item.sha256, view) not in vectors)


def _in_parallel(
    missing: Sequence[tuple[Wanted, tuple[int, ...]]], extractor: Extractor, workers: int
) -> Iterator[dict[ViewKey, Vector]]:
    """Each thread reads, decodes, varies and infers one picture at a time with a session of its own."""
    local = threading.local()

    def work(entry: tuple[Wanted, tuple[int, ...]]) -> dict[ViewKey, Vector]:
        item, views = entry
        if not hasattr(local, "session"):
            local.session = extractor.open_session()
        pixels = extractor.read(unchanged_bytes(item.path, item.sha256))
        arrays = [extractor.vary(pixels, f"{item.sha256}:{view}") if view else pixels for view in views]
        return {(item.sha256, view): row for view, row in zip(views, local.session.run(arrays), strict=True)}

    return ordered_map(work, missing, threads=workers)
