"""Which examples are one and the same picture: keys of each item -> the number of its group.

Equal bytes or equal pixels make exact duplicates. Whatever else ties pictures together (a `group` column, and one
day the buckets of a near-duplicate hash) is one more key for each item, joined by the same `join`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence


def exact_duplicates(sha256: Sequence[str], content_sha256: Sequence[str]) -> list[int]:
    """Return the group of each item; items with equal bytes or equal pixels are in one group."""
    return join((("bytes", one), ("content", other)) for one, other in zip(sha256, content_sha256, strict=True))


def join(keys: Iterable[Iterable[Hashable]]) -> list[int]:
    """Return a group number for each item, such that items which share a key, directly or in a chain, have the same.

    The number is the index of the group's first item. Linear in the number of keys (union-find with path halving).
    """
    parents: list[int] = []
    owner: dict[Hashable, int] = {}
    for index, item_keys in enumerate(keys):
        parents.append(index)
        for key in item_keys:
            first = _root(parents, owner.setdefault(key, index))
            second = _root(parents, index)
            parents[max(first, second)] = min(first, second)  # the root is always the first item
    return [_root(parents, index) for index in range(len(parents))]


def join_pairs(pairs: Iterable[Sequence[float]], count: int) -> list[int]:
    """Return a group number for each of `count` items, as `join` does; a pair begins with the indices of two items."""
    keys: dict[int, list[int]] = {}
    for number, (first, second, *_) in enumerate(pairs):
        keys.setdefault(int(first), []).append(number)
        keys.setdefault(int(second), []).append(number)
    return join(keys.get(place, ()) for place in range(count))


def members(groups: Sequence[int]) -> list[list[int]]:
    """Return the items of each group, groups in the order of their first item."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        found[group].append(index)
    return list(found.values())


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index
