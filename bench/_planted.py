"""Copies that were planted and pairs that a side found -> recall by kind, and precision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from noria.data.duplicates import join_pairs

Item = TypeVar("Item", str, int)  # an input's name, or its place


def judged(pairs: Sequence[tuple[Item, Item]], planted: Mapping[Item, tuple[str, Item]]) -> dict[str, Any]:
    """Return, by kind, how many copies are in a set with their original; and how many pairs are of two originals.

    Args:
        planted: of each copy its kind, and what it was made from.
    """
    names = sorted({name for pair in pairs for name in pair} | planted.keys() | {one for _, one in planted.values()})
    index = {name: number for number, name in enumerate(names)}
    groups = join_pairs([(index[one], index[other]) for one, other in pairs], len(names))
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for name, (kind, source) in planted.items():
        found[kind].append(groups[index[name]] == groups[index[source]])
    origin = {name: planted[name][1] if name in planted else name for name in names}
    return {
        "found": {kind: [sum(ones), len(ones)] for kind, ones in sorted(found.items())},
        "pairs": len(pairs),
        "wrong_pairs": sum(origin[one] != origin[other] for one, other in pairs),
    }


def recall(side: str, kinds: Iterable[str], runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the share of the copies of these kinds that a side found, for a table."""
    kinds = list(kinds)
    found, planted = (sum(run[side]["found"][kind][place] for run in runs for kind in kinds) for place in (0, 1))
    return f"{found / planted:.3f} ({found} of {planted})"


def precision(side: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the share of a side's pairs that are of one original, for a table."""
    pairs, wrong = (sum(run[side][what] for run in runs) for what in ("pairs", "wrong_pairs"))
    return f"{1 - wrong / max(pairs, 1):.3f} ({wrong} wrong of {pairs})"
