"""Decisions, and the inputs that there are -> what changes: labels, what is left out, what belongs together.

Nothing is done here: `check` makes the dataset from what this says. An input is found by its path and hash, after it
was moved by its hash alone, and by its path where a row has no hash.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from noria.contracts import Finding
from noria.data.decisions import Decision, Log, cell

__all__ = ["KINDS", "Known", "Mended", "mend", "places_of", "without_answered"]

KINDS = frozenset({"labels_decided", "decisions_refused", "decisions_without_input"})
_FACTS = frozenset({"conflicting_labels"})  # told until they are resolved, whatever was said about one input
_SHOWN = 20
_Key = tuple[str, str]  # path and SHA-256, one of them may be empty


@dataclass(frozen=True, slots=True)
class Known:
    """An input that is there."""

    path: str
    sha256: str | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Mended:
    """What decisions change; inputs are counted as they were given to `mend`."""

    labels: Mapping[int, str] = field(default_factory=dict)  # of the inputs that get another one
    dropped: Mapping[int, str] = field(default_factory=dict)  # with the reason
    ties: Sequence[tuple[int, int]] = ()  # what is the same thing
    said: Mapping[int, int] = field(default_factory=dict)  # whose label was said to be right; a later word is higher
    answered: frozenset[str] = frozenset()  # paths
    pairs: frozenset[frozenset[str]] = frozenset()  # paths of `ties`
    findings: tuple[Finding, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)  # of decisions that stand, by their kind

    @property
    def changes(self) -> bool:
        """Whether a dataset can be another one for it."""
        return bool(self.labels or self.dropped or self.ties or self.said)


def mend(log: Log, known: Sequence[Known]) -> Mended:
    """Return what the standing decisions of a file do to the inputs that there are.

    The last of keep, drop and relabel about an input counts; `same` joins two inputs beside that.
    """
    last: dict[int, tuple[int, Decision]] = {}
    ties: list[tuple[int, int]] = []
    without_input = []
    found = places_of(log.standing, known)
    others = places_of([Decision("same", one.other, one.other_sha256) for one in log.standing], known)
    for rank, (decision, places) in enumerate(zip(log.standing, found, strict=True)):
        partners = others[rank]
        if not places or (decision.verdict == "same" and not partners):
            without_input.append(decision)
        elif decision.verdict == "same":
            ties += [(place, partners[0]) for place in places if place != partners[0]]
        else:
            last.update((place, (rank, decision)) for place in places)
    spelled = {cell(one.label): one.label for one in known}
    relabelled = {
        place: spelled.get(cell(decision.label), decision.label)
        for place, (_, decision) in last.items()
        if decision.verdict == "relabel"
    }
    labels = {place: label for place, label in relabelled.items() if label != known[place].label}
    told = [*_about_labels(labels, known), *_about_refused(log), *_about_missing(log, without_input)]
    counts = Counter[str](decision.verdict for decision in log.standing)
    return Mended(
        labels=labels,
        dropped={place: _reason(one) for place, (_, one) in last.items() if one.verdict == "drop"},
        ties=ties,
        said={place: rank for place, (rank, one) in last.items() if one.verdict != "drop"},
        answered=frozenset(known[place].path for place in last),
        pairs=frozenset(frozenset((known[first].path, known[second].path)) for first, second in ties),
        findings=tuple(told),
        counts={**counts, "without_input": len(without_input), "refused": len(log.refused)},
    )


def places_of(decisions: Sequence[Decision], known: Sequence[Known]) -> list[tuple[int, ...]]:
    """Return for each decision the inputs that it is about.

    Of copies that were moved, each decision is given one, so that what was said of one copy is not done to all.
    """
    by_path, by_hash = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for place, one in enumerate(known):
        by_path[cell(one.path)].append(place)
        if one.sha256:
            by_hash[one.sha256].append(place)
    found: dict[_Key, tuple[int, ...]] = {}
    moved: dict[_Key, Decision] = {}
    for decision in decisions:
        path, sha256 = key = decision.path, decision.sha256
        if key in found:
            continue
        if path and sha256:
            found[key] = tuple(place for place in by_path.get(path, ()) if known[place].sha256 == sha256)
            if not found[key]:
                moved[key] = decision
        else:
            found[key] = tuple(by_path.get(path, ()) if path else by_hash.get(sha256, ()))
    taken = {place for (path, sha256), places in found.items() if path and sha256 for place in places}
    for key, decision in moved.items():
        free = [place for place in by_hash.get(decision.sha256, ()) if place not in taken]
        if free:
            best = min(free, key=lambda place: _strangeness(known[place], decision))
            taken.add(best)
            found[key] = (best,)
    return [found[one.path, one.sha256] for one in decisions]


def _strangeness(one: Known, decision: Decision) -> tuple[bool, bool]:
    """How little an input looks like the one of a decision, of those with the same bytes."""
    renamed = PurePosixPath(cell(one.path)).name != PurePosixPath(decision.path).name
    return renamed, decision.verdict != "relabel" and decision.label not in ("", cell(one.label))


def without_answered(findings: Iterable[Finding], mended: Mended) -> tuple[Finding, ...]:
    """Return findings without the suspects that a person has judged; one with none left is not told any more."""
    left = []
    for finding in findings:
        open_ones = tuple(one for one in finding.suspects if not _is_answered(one.path, one.other, mended))
        answered = len(finding.suspects) - len(open_ones)
        if not answered or finding.kind in _FACTS:
            left.append(finding)
        elif open_ones:
            left.append(
                replace(
                    finding,
                    count=finding.count - answered,
                    examples=tuple(one.path for one in open_ones[:_SHOWN]),
                    message=f"{finding.message} Of them {answered:,} answered, {len(open_ones):,} open.",
                    suspects=open_ones,
                )
            )
    return tuple(left)


def _is_answered(path: str, other: str, mended: Mended) -> bool:
    return path in mended.answered or frozenset((path, other)) in mended.pairs


def _reason(decision: Decision) -> str:
    note = f", {decision.note}" if decision.note else ""
    return f"left out by decision: line {decision.line}{note}"


def _about_labels(labels: Mapping[int, str], known: Sequence[Known]) -> Iterable[Finding]:
    if not labels:
        return
    moves = Counter((known[place].label, label) for place, label in labels.items())
    said = ", ".join(f"{count:,} from {old!r} to {new!r}" for (old, new), count in moves.most_common(10))
    more = f" and {len(moves) - 10:,} more kinds" if len(moves) > 10 else ""
    given = {one.label for one in known}
    new = sorted({label for label in labels.values() if label not in given})
    unheard = f" No input was given the label {', '.join(map(repr, new[:5]))}: it is new." if new else ""
    paths = tuple(sorted(known[place].path for place in labels))
    message = f"{_inputs(len(labels))} with another label by decision: {said}{more}.{unheard}"
    yield Finding("labels_decided", "info", len(labels), paths[:_SHOWN], message)


def _about_refused(log: Log) -> Iterable[Finding]:
    if log.refused:
        first = log.refused[0]
        yield Finding(
            "decisions_refused",
            "warning",
            len(log.refused),
            tuple(f"{log.path.name}:{one.line}" for one in log.refused[:_SHOWN]),
            f"{_counted(len(log.refused), 'row')} of {log.path.name} that cannot be used. "
            f"The first, in line {first.line}: {first.reason}.",
            "Mend them, or delete them.",
        )


def _about_missing(log: Log, decisions: Sequence[Decision]) -> Iterable[Finding]:
    if decisions:
        names = tuple(one.path or one.sha256 for one in decisions[:_SHOWN])
        yield Finding(
            "decisions_without_input",
            "info",
            len(decisions),
            names,
            f"{_counted(len(decisions), 'decision')} of {log.path.name} about what is no longer there, or was changed.",
        )


def _inputs(count: int) -> str:
    return _counted(count, "input")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
