"""Examples and what ties them together -> how many tied pairs the split tears apart (none, of a dataset of ours).

Ties are exact copies, near duplicates, groups, and what a decision said is the same. The numbers travel in the saved
dataset; `noria.data.audit` counts them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noria import plugins
from noria.contracts import SPLITS, Example, Suspect
from noria.data.duplicates import exact_duplicates, join, join_pairs, members
from noria.data.inspection import Inspected
from noria.data.ordering import newer_than_held_out

KINDS = frozenset({"dataset_changed", "leak"})
# What a job means that asks for leaks: those of a finished dataset, and those of a split that was given.
LEAKS = frozenset({"leak", "given_split_leak"})

NearPair = tuple[str, str, float]  # the `content_sha256` of two inputs, and how alike they are
Pairs = Iterable[Iterable[str]]  # of paths


@dataclass(frozen=True, slots=True)
class Tie:
    """Two examples, by their numbers, that must be on one side."""

    kind: str  # one of those that `prove` counts
    first: int
    second: int
    likeness: float = 1.0


@dataclass(frozen=True, slots=True)
class Proof:
    """How the ties of a dataset lie to its split."""

    facts: Mapping[str, Any]  # for the dataset's index
    torn: Sequence[Suspect]  # an example of each torn tie, with its other
    newer: Sequence[Suspect]  # what is learnt from but, by the order of time, newer than what is held out


def prove(
    examples: Sequence[Example],
    near: Iterable[NearPair],
    said: Mapping[str, Pairs],
    task: str,
    thresholds: Mapping[str, float | None],
    order: str | None = None,
) -> Proof:
    """Count the ties, and those across the split; of a split by time also what is learnt from too late.

    Args:
        near: pairs of near duplicates, enough of them to connect each set.
        said: pairs of paths that a person said to be "same", or "different"; none of the latter is in `near`.
        task: names the search for near duplicates.
        thresholds: the likeness from which that search took a pair; None where it made none.
        order: of a split by time, see `noria.data.ordering`.
    """
    near = list(near)
    pairs = {word: sorted(sorted(pair) for pair in said.get(word, ())) for word in ("same", "different")}
    ties = list(_ties(examples, near, pairs["same"]))
    units = members(join(_keys(ties, len(examples))))
    together = [unit for unit in units if len(unit) > 1]
    kinds = ("copies", "near_duplicates", "groups", "same")
    count = Counter(tie.kind for tie in ties)
    torn = [tie for tie in ties if examples[tie.first].split != examples[tie.second].split]
    across = Counter(tie.kind for tie in torn)
    search = plugins.load("noria.tasks", task).SIMILARITY
    newer = newer_than_held_out(examples, _units(examples, near, ties), order) if order else []
    facts = {
        "cross_split_pairs": {kind: across[kind] for kind in kinds},
        "ties": {kind: count[kind] for kind in kinds},
        "units_together": len(together),
        "examples_together": sum(map(len, together)),
        "near_duplicates": {"search": search, **thresholds},
        **pairs,
        "time_order": {"order": order, "train_newer_than_held_out": len(newer)} if order else None,
    }
    too_new = [Suspect(examples[one].path, examples[one].label, other=examples[other].path) for one, other in newer]
    return Proof(facts, [_suspect(examples, tie) for tie in torn], too_new)


def by_content(near: Iterable[tuple[int, int, float]], seen: Sequence[Inspected]) -> Iterator[NearPair]:
    """Yield near duplicates, given by their places, as what `prove` takes."""
    return ((seen[one].content_sha256, seen[other].content_sha256, likeness) for one, other, likeness in near)


def _ties(examples: Sequence[Example], near: Iterable[NearPair], same: Iterable[Sequence[str]]) -> Iterator[Tie]:
    """Each member of a set is tied to its first one; other pairs are as they were found."""
    yield from _of_sets(
        "copies", examples, exact_duplicates([one.sha256 for one in examples], [one.content_sha256 for one in examples])
    )
    by_content = {one.content_sha256: place for place, one in reversed(list(enumerate(examples)))}
    for first, second, likeness in near:
        if first in by_content and second in by_content:
            yield Tie("near_duplicates", by_content[first], by_content[second], likeness)
    groups: dict[str, int] = {}
    yield from _of_sets(
        "groups", examples, [groups.setdefault(one.group or f"\0{place}", place) for place, one in enumerate(examples)]
    )
    by_path = {one.path: place for place, one in enumerate(examples)}
    for pair in same:
        if len(pair) == 2 and pair[0] in by_path and pair[1] in by_path:
            yield Tie("same", by_path[pair[0]], by_path[pair[1]])


def _of_sets(kind: str, examples: Sequence[Example], sets: Sequence[int]) -> Iterator[Tie]:
    for some in members(sets):
        yield from (Tie(kind, some[0], other) for other in some[1:])


def _keys(ties: Sequence[Tie], count: int) -> Iterator[list[int]]:
    of_each: dict[int, list[int]] = {}
    for number, tie in enumerate(ties):
        of_each.setdefault(tie.first, []).append(number)
        of_each.setdefault(tie.second, []).append(number)
    return (of_each.get(place, []) for place in range(count))


def _units(examples: Sequence[Example], near: Iterable[NearPair], ties: Sequence[Tie]) -> list[int]:
    """What stays together has one number, also by way of near duplicates that are not used."""
    numbers: dict[str, int] = {}
    pairs = [[numbers.setdefault(one, len(numbers)) for one in pair[:2]] for pair in near]
    groups = join_pairs(pairs, len(numbers))
    found = (
        [("near", groups[numbers[one.content_sha256]])] if one.content_sha256 in numbers else () for one in examples
    )
    return join([*keys, *near_keys] for keys, near_keys in zip(_keys(ties, len(examples)), found, strict=True))


def _suspect(examples: Sequence[Example], tie: Tie) -> Suspect:
    """The one that is on the side which is learnt from, beside the other."""
    one, other = sorted((examples[tie.first], examples[tie.second]), key=lambda example: SPLITS.index(example.split))
    return Suspect(one.path, one.label, min(1.0, tie.likeness), other.path)
