"""Inputs and what ties them -> which must be on one side of a split, and by which pair each is tied to the next.

Ties are exact copies, near duplicates, groups, and what a decision calls the same. Each pair that is told is a direct
one, so that a person who says that its two are different takes just that tie away.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from noria.contracts import Candidate, Finding, SetAside, Suspect
from noria.data.duplicates import Sets, exact_duplicates, join
from noria.data.findings import Near
from noria.data.inspection import Inspected
from noria.data.nearness import Pair
from noria.data.split import STRICTEST

_SHOWN = 20
_Key = tuple[str, Hashable]  # the kind of a tie, and what all have that it ties
_HOW = {
    "copy": "a copy",
    "near": "nearly the same",
    "group": "of the same group",
    "same": "the same by decision",
}


@dataclass(frozen=True, slots=True)
class Record:
    """A usable input on its way to becoming an Example."""

    place: int  # of its candidate in the listing
    candidate: Candidate
    seen: Inspected


@dataclass(frozen=True, slots=True)
class Ties:
    """What ties the inputs of a listing, which are known by their places."""

    near: Sequence[Pair]
    groups: Sequence[int]  # of near duplicates: what is connected has one number
    content: Sequence[str]  # of each input
    same: Sequence[tuple[int, int]] = ()  # by decision


@dataclass(frozen=True, slots=True)
class Leak:
    """A record that a given split has on a less strict side than one of its unit."""

    record: Record
    suspect: Suspect
    aside: SetAside


@dataclass(frozen=True, slots=True)
class _Step:
    """How a record is reached from one that it is tied to."""

    record: int
    how: str
    likeness: float = 1.0


def copies(records: Sequence[Record]) -> list[int]:
    """Return the number of each record's exact copies."""
    return exact_duplicates(
        [record.seen.sha256 or "" for record in records], [record.seen.content_sha256 for record in records]
    )


def units_of(records: Sequence[Record], ties: Ties) -> list[int]:
    """Return the number of each record's unit: copies, near copies, members of one group, and what is the same."""
    said = _said(ties.same)
    return join(
        (
            ("copy", copy),
            ("near", ties.groups[record.place]),
            *((("group", group),) if (group := record.candidate.group) else ()),
            *said.get(record.place, ()),
        )
        for record, copy in zip(records, copies(records), strict=True)
    )


def told_near(records: Sequence[Record], ties: Ties) -> list[Near]:
    """Return each near duplicate but the first of its set, with the one that it is most like of those between them.

    Of exact copies one stands for all: they are told of elsewhere.
    """
    shown: dict[str, int] = {}
    for rank, record in enumerate(records):
        shown.setdefault(record.seen.content_sha256, rank)
    pairs = []
    for one, other, likeness in ties.near:
        ranks = sorted(shown[ties.content[place]] for place in (one, other) if ties.content[place] in shown)
        if len(ranks) == 2 and ranks[0] != ranks[1]:
            pairs.append((ranks[0], ranks[1], likeness))
    # The likeliest pairs that connect each set (Kruskal 1956), then outwards from the first of it.
    sets = Sets(len(records))
    beside: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for one, other, likeness in sorted(pairs, key=lambda pair: (-pair[2], pair)):
        if sets.first_of(one) != sets.first_of(other):
            sets.join(one, other)
            beside[one].append((other, likeness))
            beside[other].append((one, likeness))
    found: dict[int, tuple[int, float]] = {}
    for first in sorted(beside):
        if sets.first_of(first) != first:
            continue
        waiting = deque([first])
        while waiting:
            here = waiting.popleft()
            for other, likeness in beside[here]:
                if other != first and other not in found:
                    found[other] = here, likeness
                    waiting.append(other)
    return [
        Near(records[rank].candidate, records[other].candidate, likeness, ties.groups[records[rank].place])
        for rank, (other, likeness) in sorted(found.items())
    ]


def leaks_of(records: Sequence[Record], units: Sequence[int], ties: Ties) -> dict[int, Leak]:
    """Return the records that a given split puts on a less strict side than another of their unit, by their numbers."""
    strictest: dict[int, int] = {}
    for record, unit in zip(records, units, strict=True):
        if record.candidate.split:
            strictest[unit] = min(strictest.get(unit, len(STRICTEST)), _rank(record))
    leaking = [
        number
        for number, (record, unit) in enumerate(zip(records, units, strict=True))
        if record.candidate.split and _rank(record) > strictest[unit]
    ]
    if not leaking:
        return {}
    among = {units[number] for number in leaking}
    members = [number for number, unit in enumerate(units) if unit in among]
    sources = [number for number in members if _rank(records[number]) == strictest[units[number]]]
    steps, roots = _reached(records, members, sources, ties), dict[int, int]()
    for number, step in steps.items():  # in the order in which they were reached
        roots[number] = roots.get(step.record, number)
    return {number: _leak(records, number, steps[number], roots[number]) for number in leaking}


def still_together(
    records: Sequence[Record], units: Sequence[int], ties: Ties, apart: Iterable[tuple[int, int]]
) -> list[Finding]:
    """Return the finding of pairs that a decision calls different, and that something else keeps on one side."""
    found: list[tuple[Suspect, str]] = []
    for one, other in _there(records, apart):
        if units[one] == units[other]:
            first, second = records[one].candidate, records[other].candidate
            found.append((Suspect(first.path, first.label, other=second.path), _why(records[one], records[other])))
    if not found:
        return []
    (first_pair, why), count = found[0], len(found)
    told = "1 pair that a decision calls" if count == 1 else f"{count:,} pairs that decisions call"
    message = f"{told} different, still on one side: {first_pair.path} and {first_pair.other} {why}."
    remedy = "Say the same of the pairs between them (noria check DATA --page), or drop one of the two."
    suspects = tuple(suspect for suspect, _ in found)
    return [
        Finding(
            "still_together", "warning", count, tuple(one.path for one in suspects[:_SHOWN]), message, remedy, suspects
        )
    ]


def never_together(records: Sequence[Record], ties: Ties, apart: Iterable[tuple[int, int]]) -> list[Finding]:
    """Return the finding of pairs that a decision calls different, and that nothing ties without it.

    Args:
        ties: those that there are without decisions of this kind.
    """
    asked = list(apart)
    if not asked:
        return []
    units = units_of(records, ties)
    told = [
        (records[one].candidate, records[other].candidate)
        for one, other in _there(records, asked)
        if units[one] != units[other]
    ]
    if not told:
        return []
    (one, other), count = told[0], len(told)
    said = "1 decision `different`" if count == 1 else f"{count:,} decisions `different`"
    message = f"{said} about two that nothing has tied: {one.path} and {other.path} were not found alike."
    remedy = "They do nothing, and may stay: if the two are found alike one day, they count. Were others meant?"
    return [Finding("never_together", "info", count, tuple(one.path for one, _ in told[:_SHOWN]), message, remedy)]


def _there(records: Sequence[Record], pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the pairs of places as indices of records, without those of which a record is missing."""
    number = {record.place: at for at, record in enumerate(records)}
    return [(number[one], number[other]) for one, other in pairs if one in number and other in number]


def _why(one: Record, other: Record) -> str:
    if one.seen.content_sha256 == other.seen.content_sha256:
        return "have the same content"
    if one.candidate.group and one.candidate.group == other.candidate.group:
        return f"are of the same group, {one.candidate.group}"
    return "are both tied to others, which tie them"


def _said(same: Sequence[tuple[int, int]]) -> Mapping[int, list[_Key]]:
    tied: defaultdict[int, list[_Key]] = defaultdict(list)
    for number, tie in enumerate(same):
        for place in tie:
            tied[place].append(("same", number))
    return tied


def _reached(records: Sequence[Record], members: Sequence[int], sources: Sequence[int], ties: Ties) -> dict[int, _Step]:
    """Go from the sources along the ties, breadth first: each member that is reached, with the step that reaches it."""
    said = _said(ties.same)
    owners: defaultdict[_Key, list[int]] = defaultdict(list)
    for number in members:
        for key in _keys(records[number], said):
            owners[key].append(number)
    near: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for one, other, likeness in ties.near:
        near[ties.content[one]].append((ties.content[other], likeness))
        near[ties.content[other]].append((ties.content[one], likeness))
    steps: dict[int, _Step] = {}
    passed: set[_Key] = set()
    waiting: deque[tuple[_Key, _Step]] = deque()

    def arrive(number: int, step: _Step) -> None:
        steps[number] = step
        waiting.extend((key, _Step(number, key[0])) for key in _keys(records[number], said) if key not in passed)

    for number in sources:
        arrive(number, _Step(number, ""))
    while waiting:
        key, step = waiting.popleft()
        if key in passed:
            continue
        passed.add(key)
        for number in owners.get(key, ()):
            if number not in steps:
                arrive(number, step)
        beside = near.get(str(key[1]), ()) if key[0] == "copy" else ()
        own = owners.get(key, ())  # none of what is set aside: it ties, and cannot be named
        here = step.record if step.record in own or not own else own[0]
        waiting.extend((("copy", other), _Step(here, "near", likeness)) for other, likeness in beside)
    return steps


def _keys(record: Record, said: Mapping[int, Sequence[_Key]]) -> Iterator[_Key]:
    yield "copy", record.seen.content_sha256
    if record.candidate.group:
        yield "group", record.candidate.group
    yield from said.get(record.place, ())


def _leak(records: Sequence[Record], number: int, step: _Step, root: int) -> Leak:
    """Say beside whom a record is, and who of its unit is on a stricter side."""
    one, strict = records[number].candidate, records[root].candidate
    beside = records[step.record].candidate
    reason = f"given as {one.split}, but {beside.path}, {_HOW[step.how]}, "
    reason += f"as {beside.split}" if step.record == root else f"is tied to {strict.path}, given as {strict.split}"
    return Leak(
        records[number],
        Suspect(one.path, one.label, step.likeness, beside.path),
        SetAside(one.path, reason, records[number].seen.sha256),
    )


def _rank(record: Record) -> int:
    return STRICTEST.index(record.candidate.split) if record.candidate.split else len(STRICTEST)
