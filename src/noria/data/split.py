"""Which example is learnt from, which chooses, which judges: items -> train, validation or test.

The same on every machine: the order within a class comes from SHA-256 of the seed and the file's own hash, never
from names or the disk. Each class is cut in that order, so that added pictures move few of the others.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from noria.contracts import SPLITS, Split
from noria.errors import ConfigError

Ratios = tuple[float, float, float]  # train : validation : test
_Shares = dict[Split, float]

# A class with one picture is learnt from, with two also tested; a third lets it be chosen by.
PRIORITY: tuple[Split, ...] = ("train", "test", "validation")
STRICTEST: tuple[Split, ...] = ("test", "validation", "train")


@dataclass(frozen=True, slots=True)
class Item:
    """What the split needs to know of one example."""

    label: str
    sha256: str  # of the file
    unit: int  # items with the same number stay on one side
    group: str | None = None
    given: Split | None = None


@dataclass(frozen=True, slots=True)
class _Unit:
    """Items that stay together."""

    key: bytes  # its place in the order
    labels: Mapping[str, int]  # how many of each
    members: tuple[int, ...]
    given: Split | None


def assign(items: Sequence[Item], *, ratios: Ratios, seed: int) -> list[Split]:
    """Return the side of each item.

    Every class is divided by `ratios` as exactly as its units allow, and a class of three or more units has one on
    each side (with a group column whose groups hold several labels: wherever that can be had). A unit with a given
    side stays there (on the strictest of several: test, then validation, then train). Where some sides are given,
    the others are filled: units without a side go to `train` once validation and test are given; a missing
    validation or test is taken, by `ratios`, from those units and from the given `train`. So train and test given
    with 3:1:1 leaves three quarters of train, and one quarter is validation. O(n log n).

    Raises:
        ConfigError: a ratio is negative or not a number, or that of train is 0.
    """
    shares = _shares(ratios)
    units = _units(items, seed)
    sides: list[Split] = ["train"] * len(items)
    present = {unit.given for unit in units}
    missing: set[Split] = {side for side in ("validation", "test") if side not in present and shares[side] > 0}
    pool = []
    for unit in units:
        if unit.given is None or (unit.given == "train" and missing):
            pool.append(unit)
        _place(sides, unit, unit.given or "train")
    if missing:
        open_shares = {side: shares[side] if side == "train" or side in missing else 0.0 for side in SPLITS}
        for unit, side in _divide(pool, open_shares):
            _place(sides, unit, side)
    return sides


def _shares(ratios: Ratios) -> _Shares:
    valid = len(ratios) == 3 and all(math.isfinite(ratio) and ratio >= 0 for ratio in ratios) and ratios[0] > 0
    if not valid:
        raise ConfigError(
            f"The split is {':'.join(map(str, ratios))}. Expected three numbers train:validation:test, "
            "none negative and the first above 0, for example 3:1:1."
        )
    total = sum(ratios)
    return {side: ratio / total for side, ratio in zip(SPLITS, ratios, strict=True)}


def _units(items: Sequence[Item], seed: int) -> list[_Unit]:
    """The units in their order of the hash."""
    together: defaultdict[int, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        together[item.unit].append(index)
    return sorted((_unit(items, members, seed) for members in together.values()), key=lambda unit: unit.key)


def _unit(items: Sequence[Item], members: list[int], seed: int) -> _Unit:
    labels: dict[str, int] = {}
    for index in members:
        labels[items[index].label] = labels.get(items[index].label, 0) + 1
    groups = [group for index in members if (group := items[index].group) is not None]
    # A group keeps its place when pictures are added to it; a lone picture is known by its bytes.
    name = f"group {min(groups)}" if groups else f"file {min(items[index].sha256 for index in members)}"
    given = {items[index].given for index in members}
    return _Unit(
        key=hashlib.sha256(f"{seed}\n{name}".encode()).digest(),
        labels=labels,
        members=tuple(members),
        given=next((side for side in STRICTEST if side in given), None),
    )


def _place(sides: list[Split], unit: _Unit, side: Split) -> None:
    for index in unit.members:
        sides[index] = side


def _divide(units: list[_Unit], shares: _Shares) -> list[tuple[_Unit, Split]]:
    """Large units first, each where it fits best; then the single pictures of each class fill what is left."""
    state = _State(units, shares)
    singles: defaultdict[str, list[_Unit]] = defaultdict(list)
    large = []
    for unit in units:
        if len(unit.members) == 1:
            singles[next(iter(unit.labels))].append(unit)
        else:
            large.append(unit)
    large.sort(key=lambda unit: -len(unit.members))  # stable: the order of the hash among equals
    placed = []
    for unit in large:
        side = state.best(unit)
        state.take(unit, side)
        placed.append((unit, side))
    for label, ordered in singles.items():
        quotas = state.fill(label, len(ordered))
        # test and train touch only through validation: a border that shifts never carries a picture across both
        end = 0
        for side in STRICTEST:
            start, end = end, end + quotas[side]
            placed.extend((unit, side) for unit in ordered[start:end])
    return placed


class _State:
    """How much room is left on each side for each class while units are dealt out."""

    def __init__(self, units: list[_Unit], shares: _Shares) -> None:
        self.open = [side for side in PRIORITY if shares[side] > 0]
        sizes: Counter[str] = Counter()
        self.units_left: Counter[str] = Counter()
        for unit in units:
            for label, count in unit.labels.items():
                sizes[label] += count
                self.units_left[label] += 1
        self.quota = {label: {side: size * shares[side] for side in SPLITS} for label, size in sizes.items()}
        self.left = {label: dict(quota) for label, quota in self.quota.items()}
        # Which sides still need a first unit of the class, most needed first; fewer units serve fewer sides.
        self.bare = {label: self.open[: self.units_left[label]] for label in sizes}

    def best(self, unit: _Unit) -> Split:
        """The side that needs the unit most."""
        return max(self.open, key=lambda side: self._merit(unit, side))

    def _merit(self, unit: _Unit, side: Split) -> tuple[int, float, float, float]:
        must = sum(
            side in self.bare[label] and self.units_left[label] <= len(self.bare[label]) for label in unit.labels
        )
        excess = relative = absolute = 0.0
        for label, count in unit.labels.items():
            left = self.left[label][side]
            excess += max(0.0, count - left)
            relative += count * left / self.quota[label][side]
            absolute += left
        return must, -round(excess, 6), round(relative, 6), absolute

    def take(self, unit: _Unit, side: Split) -> None:
        for label, count in unit.labels.items():
            self.left[label][side] -= count
            self.units_left[label] -= 1
            if side in self.bare[label]:
                self.bare[label].remove(side)

    def fill(self, label: str, count: int) -> dict[Split, int]:
        """How many of the `count` single pictures of a class go to each side."""
        room = {side: max(0.0, self.left[label][side]) if side in self.open else 0.0 for side in PRIORITY}
        total = sum(room.values())
        exact = {side: count * room[side] / total if total else 0.0 for side in PRIORITY}
        shares = {side: math.floor(exact[side] + 1e-9) for side in PRIORITY}
        by_rest = sorted(self.open, key=lambda side: shares[side] - exact[side])  # stable: PRIORITY among equals
        for turn in range(count - sum(shares.values())):
            shares[by_rest[turn % len(by_rest)]] += 1
        needed = self.bare[label][:count]
        for side in needed:
            if shares[side] == 0:
                donor = max(self.open, key=lambda one: shares[one] - (one in needed))
                shares[donor] -= 1
                shares[side] = 1
        return shares
