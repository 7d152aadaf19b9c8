"""Which examples are one and the same picture: keys of each item -> the number of its group.

Equal bytes or equal pixels make exact duplicates. Whatever else ties pictures together (a `group` column, and one
day the buckets of a near-duplicate hash) is one more key for each item, joined by the same `join`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence


class Sets:
    """Items 0, 1, ... in sets that can be joined; a set is known by its first item. Near constant time a step."""

    def __init__(self, count: int) -> None:
        self.parents = list(range(count))

    def first_of(self, index: int) -> int:
        while self.parents[index] != index:
            self.parents[index] = self.parents[self.parents[index]]
            index = self.parents[index]
        return index

    def join(self, one: int, other: int) -> None:
        first, second = self.first_of(one), self.first_of(other)
        self.parents[max(first, second)] = min(first, second)


def exact_duplicates(sha256: Sequence[str], content_sha256: Sequence[str]) -> list[int]:
    """Return the group of each item; items with equal bytes or equal pixels are in one group."""
    return join((("bytes", one), ("content", other)) for one, other in zip(sha256, content_sha256, strict=True))


def join(keys: Iterable[Iterable[Hashable]]) -> list[int]:
    """Return a group number for each item, such that items which share a key, directly or in a chain, have the same.

    The number is the index of the group's first item. Linear in the number of keys (union-find with path halving).
    """
    sets = Sets(0)
    owner: dict[Hashable, int] = {}
    for index, item_keys in enumerate(keys):
        sets.parents.append(index)
        for key in item_keys:
            sets.join(owner.setdefault(key, index), index)
    return [sets.first_of(index) for index in range(len(sets.parents))]


def join_pairs(pairs: Iterable[Sequence[float]], count: int) -> list[int]:
    """Return a group number for each of `count` items, as `join` does; a pair begins with the indices of two items."""
    sets = Sets(count)
    for first, second, *_ in pairs:
        sets.join(int(first), int(second))
    return [sets.first_of(index) for index in range(count)]


def members(groups: Sequence[int]) -> list[list[int]]:
    """Return the items of each group, groups in the order of their first item."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        found[group].append(index)
    return list(found.values())
