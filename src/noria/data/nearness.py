"""Inputs that were looked at -> pairs of near duplicates; of exact copies only the first is compared."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Progress
from noria.data import neighbours, similarity
from noria.data.cells import Chosen
from noria.data.features import OF_MIDDLE, Wanted
from noria.data.inspection import Inspected, InspectionCache
from noria.data.readers import Listing
from noria.data.unsearched import PARTS, Unsearched
from noria.errors import NotSearchedError

Pair = tuple[int, int, float]  # places of candidates, and how alike they are, from 0 to 1
Thresholds = Mapping[str, float | None]
Features = Callable[[Sequence[Wanted]], NDArray[np.float32] | None]  # may raise NotSearchedError
_THRESHOLDS = ("threshold", "parts_threshold")  # of the shelf `similarity`


class Vectors:
    """Gives a vector for each of some places, (n, D), computed once however often it is asked for; or None."""

    def __init__(
        self, listing: Listing, seen: Sequence[Inspected], places: Sequence[int], features: Features | None
    ) -> None:
        paths = [listing.root / listing.candidates[place].path for place in places]
        self._wanted = [Wanted(path, seen[place].sha256 or "") for path, place in zip(paths, places, strict=True)]
        self._features = features
        self.lacking = ""  # why there are none, where they were asked for and could not be had
        self._once = cache(lambda: self._made(self._wanted))

    def __call__(self) -> NDArray[np.float32] | None:
        return self._once()

    def middles(self, rows: Sequence[int]) -> NDArray[np.float32] | None:
        """Return the vectors of the middles of some, enlarged: (rows, D); or None."""
        return self._made([replace(self._wanted[row], views=(OF_MIDDLE,)) for row in rows])

    def _made(self, wanted: Sequence[Wanted]) -> NDArray[np.float32] | None:
        try:
            return self._features(wanted) if self._features else None
        except NotSearchedError as error:
            self.lacking = str(error)
            return None


def near_pairs(
    listing: Listing,
    seen: Sequence[Inspected],
    search: Callable[..., list[Pair]],
    features: Features | None,
    unsearched: Unsearched,
    apart: Sequence[tuple[int, int]] = (),
) -> tuple[list[Pair], Thresholds]:
    """Return pairs of the places of near duplicates and thresholds, as `pairs_of` does."""
    places = first_places(seen)
    return pairs_of(listing, seen, places, search, Vectors(listing, seen, places, features), unsearched, apart=apart)


def first_places(seen: Sequence[Inspected]) -> list[int]:
    """Return the places of inputs that differ: of exact copies the first."""
    firsts = {one.content_sha256: place for place, one in reversed(list(enumerate(seen))) if not one.reason}
    return sorted(firsts.values())


def pairs_of(
    listing: Listing,
    seen: Sequence[Inspected],
    places: Sequence[int],
    search: Callable[..., list[Pair]],
    vectors: Vectors,
    unsearched: Unsearched,
    memory: InspectionCache | None = None,
    progress: Progress | None = None,
    apart: Sequence[tuple[int, int]] = (),
) -> tuple[list[Pair], Thresholds]:
    """Return pairs of near duplicates among `places`; of the same inputs from `memory`, where it has them.

    Inputs whose places are in `apart`, and their copies, are different by decision and no pair. Beside the pairs the
    likeness from which one was taken: that of whole inputs, and that of parts if they were searched; if they could not
    be, `unsearched` is told.
    """
    used: dict[str, float] = {}
    denied = _denied(seen, places, apart)
    inputs: Sequence[bytes | None] = [seen[place].sketch or None for place in places]
    if listing.contents is not None:
        inputs = Chosen(listing.contents, places)
    searched = partial(search, inputs, vectors, progress, used, denied, vectors.middles)
    if memory is None or len(places) < 2:
        found = searched()
    else:
        key = hashlib.sha256()
        for place in places:
            key.update(bytes.fromhex(seen[place].sha256 or "") + seen[place].sketch)
        key.update(repr(sorted(denied)).encode() if denied else b"")
        scope = f"near pairs {_method(search.__module__)}"
        known = memory.recall(scope, key.digest())
        found = searched() if known is None else _unpacked(known, used)
        # Of files without vectors it is not remembered: another time there may be some, and more is found.
        if known is None and (listing.contents is not None or (vectors() is not None and not vectors.lacking)):
            memory.remember(scope, key.digest(), _packed(found, used))
    if vectors.lacking:
        unsearched[vectors.lacking].append(PARTS)
    pairs = [(places[first], places[second], likeness) for first, second, likeness in found]
    return pairs, {name: used.get(name) for name in _THRESHOLDS}


def _denied(
    seen: Sequence[Inspected], places: Sequence[int], apart: Sequence[tuple[int, int]]
) -> frozenset[tuple[int, int]]:
    """Return the pairs that are no near duplicates, by their numbers in `places`."""
    if not apart:
        return frozenset()
    number = {seen[place].content_sha256: at for at, place in enumerate(places)}
    pairs = ([number.get(seen[place].content_sha256, -1) for place in pair if place < len(seen)] for pair in apart)
    return frozenset((min(pair), max(pair)) for pair in pairs if len(set(pair)) == 2 and min(pair) >= 0)


def _packed(found: Sequence[Pair], used: Mapping[str, float]) -> bytes:
    """The thresholds in a row of their own, then a row for each pair."""
    return np.array([[*(used.get(name, np.nan) for name in _THRESHOLDS), 0], *found], np.float64).tobytes()


def _unpacked(known: bytes, used: dict[str, float]) -> list[Pair]:
    thresholds, *rows = np.frombuffer(known, np.float64).reshape(-1, 3).tolist()
    used.update((name, one) for name, one in zip(_THRESHOLDS, thresholds, strict=False) if one == one)  # not NaN
    return [(int(first), int(second), likeness) for first, second, likeness in rows]


@cache
def _method(module: str) -> str:
    """Return a digest of what searches: pairs that other code found are never taken."""
    own = sorted(Path(similarity.__file__).parent.glob("*.py"))
    files = [Path(__file__), Path(neighbours.__file__), *own, Path(str(sys.modules[module].__file__))]
    return f"{module} {hashlib.sha256(b''.join(file.read_bytes() for file in files)).hexdigest()[:16]}"
