"""Decisions, and the inputs that there are -> what changes: labels, what is left out, what belongs together.

Nothing is done here: `check` makes the dataset from what this says. An input is found by its path and hash, after it
was moved by its hash alone, and by its path where a row has no hash.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from noria.contracts import Finding, Suspect
from noria.data.decisions import ALL, Decision, Log, Refused, cell
from noria.errors import nearest_name

__all__ = [
    "KINDS",
    "Known",
    "Mended",
    "answered_kinds",
    "last_words",
    "mend",
    "of_pair",
    "places_of",
    "without_answered",
]

KINDS = frozenset({"labels_decided", "decisions_refused", "decisions_without_input"})
_FACTS = frozenset({"conflicting_labels"})  # told until they are resolved, whatever was said about one input
_SHOWN = 20
# What a word about a label, or about copies, answers whichever finding brought somebody to say it.
_OF_LABELS = frozenset({"wrong_labels", "near_duplicates_across_labels", "conflicting_labels"})
_OF_COPIES = frozenset({"near_duplicates", "exact_duplicates"})
_NEAR = frozenset({"near_duplicates", "near_duplicates_across_labels", "given_split_leak", "still_together"})
_TYING = frozenset({"same", "different"})
_OF_PAIRS = frozenset({"keep", *_TYING})  # words that are about two inputs, where another one is named
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
    apart: Sequence[tuple[int, int]] = ()  # what is different, however alike it looks
    said: Mapping[int, int] = field(default_factory=dict)  # whose label was said to be right; a later word is higher
    # Kinds of findings, or `ALL`; each with the path of an input, or with the paths of a pair
    answered: frozenset[tuple[str, str | frozenset[str]]] = frozenset()
    said_of_pairs: Mapping[str, frozenset[frozenset[str]]] = field(default_factory=dict)  # their paths, by the word
    findings: tuple[Finding, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)  # of decisions that stand, by their kind

    @property
    def changes(self) -> bool:
        """Whether a dataset can be another one for it."""
        return bool(self.labels or self.dropped or self.ties or self.apart or self.said)


def mend(log: Log, known: Sequence[Known], kinds: Collection[str]) -> Mended:
    """Return what the standing decisions of a file do to the inputs that there are.

    The last word about an input counts. Beside that `same` joins two inputs, and `different` says that they are no near
    duplicates; of these two the last about a pair counts. To keep an input takes an earlier drop
    back, and another label only where it is said of that label: that a blurred picture is good does not rename it.

    Args:
        kinds: of all findings that there can be; a row that says `keep` of another is refused.
    """
    refused, standing = _without_unknown(log, kinds)
    ranks = defaultdict[int, list[int]](list)  # of the words about each input
    tied: dict[tuple[int, int], str] = {}
    answered: set[tuple[str, str | frozenset[str]]] = set()
    without_input = []
    found = places_of(standing, known)
    others = places_of([Decision("same", one.other, one.other_sha256) for one in standing], known)
    for rank, (decision, places, partners) in enumerate(zip(standing, found, others, strict=True)):
        if not places or (decision.verdict in _TYING and not partners):
            without_input.append(decision)
            continue
        for place in places:
            path = known[place].path
            pairs = {frozenset((path, known[partner].path)) for partner in partners}
            about = pairs if of_pair(decision) else {path}
            if decision.verdict not in _TYING:
                ranks[place].append(rank)
            elif place != partners[0]:
                pair = min(place, partners[0]), max(place, partners[0])
                tied.pop(pair, None)
                tied[pair] = decision.verdict
            if decision.verdict != "different":  # what that puts apart is not found again, and what it cannot is told
                answered.update((kind, one) for kind in answered_kinds(decision) for one in about)
    dropped, words = {}, {}
    for place, some in ranks.items():
        drop, word = last_words([standing[rank] for rank in some])
        if drop is not None:
            dropped[place] = standing[some[drop]]
        elif word is not None:
            words[place] = some[word]
    spelled = {cell(one.label): one.label for one in known}
    relabelled = {
        place: spelled.get(cell(standing[rank].label), standing[rank].label)
        for place, rank in words.items()
        if standing[rank].verdict == "relabel"
    }
    labels = {place: label for place, label in relabelled.items() if label != known[place].label}
    ties, apart = ([pair for pair, word in tied.items() if word == verdict] for verdict in ("same", "different"))
    told = [*_about_labels(labels, known), *_about_refused(log, refused), *_about_missing(log, without_input)]
    counts = Counter[str](decision.verdict for decision in standing)
    return Mended(
        labels=labels,
        dropped={place: _reason(one) for place, one in dropped.items()},
        ties=ties,
        apart=apart,
        said=words,
        answered=frozenset(answered),
        said_of_pairs={"same": _paths(ties, known), "different": _paths(apart, known)},
        findings=tuple(told),
        counts={**counts, "without_input": len(without_input), "refused": len(refused)},
    )


def _paths(pairs: Iterable[tuple[int, int]], known: Sequence[Known]) -> frozenset[frozenset[str]]:
    return frozenset(frozenset((known[first].path, known[second].path)) for first, second in pairs)


def last_words(about: Sequence[Decision]) -> tuple[int | None, int | None]:
    """Return which of the decisions about one input, in their order, leaves it out, and which says its label."""
    drop: int | None = None
    word: int | None = None
    for place, one in enumerate(about):
        if one.verdict == "drop":
            drop = place
        elif one.verdict not in _TYING:
            drop = None
            if _is_of_label(one, None if word is None else about[word]):
                word = place
    return drop, word


def answered_kinds(decision: Decision) -> frozenset[str]:
    """Return the kinds of findings that a decision answers about its input, or about its pair; `ALL` for any."""
    named = frozenset({decision.finding} if decision.finding else ())
    if decision.verdict == "drop":
        return frozenset()  # what is left out is not found in anything
    if decision.verdict == "relabel":
        return _OF_LABELS | named
    if decision.verdict == "same":
        return (_OF_COPIES | named) - _FACTS
    if decision.verdict == "different":
        return (_NEAR | named) - _FACTS
    return named or frozenset({ALL})  # to keep a pair, without a word of what


def of_pair(decision: Decision) -> bool:
    """Whether a decision is about an input beside the other one that it names, and says nothing of it beside others."""
    return bool(decision.other) and decision.verdict in _OF_PAIRS


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
        open_ones = tuple(one for one in finding.suspects if not _is_answered(finding.kind, one, mended))
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


def _is_answered(kind: str, suspect: Suspect, mended: Mended) -> bool:
    about = suspect.path, frozenset((suspect.path, suspect.other))
    return any((what, one) in mended.answered for what in (kind, ALL) for one in about)


def _is_of_label(decision: Decision, before: Decision | None) -> bool:
    """Whether a word to keep or to relabel says which label is right; `before` is the last that did."""
    if decision.verdict == "relabel" or answered_kinds(decision) & {*_OF_LABELS, ALL}:
        return True
    return before is not None and before.finding == decision.finding  # who takes back what they said there


def _without_unknown(log: Log, kinds: Collection[str]) -> tuple[list[Refused], list[Decision]]:
    """The rows that are refused, also those that keep what no finding is about, and the decisions that stand."""
    refused, standing = list(log.refused), []
    for one in log.standing:
        if one.verdict == "keep" and one.finding and one.finding not in {*kinds, ALL}:
            nearest = nearest_name(one.finding, kinds)
            hint = f" Did you mean {nearest!r}?" if nearest else ""
            refused.append(Refused(one.line, f"there is no finding {one.finding!r}.{hint} Or say {ALL}"))
        else:
            standing.append(one)
    return sorted(refused, key=lambda one: one.line), standing


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
    remedy = "A row `undo` of the decisions takes one back; --decisions none leaves all of them aside."
    yield Finding("labels_decided", "info", len(labels), paths[:_SHOWN], message, remedy)


def _about_refused(log: Log, refused: Sequence[Refused]) -> Iterable[Finding]:
    if refused:
        first = refused[0]
        yield Finding(
            "decisions_refused",
            "warning",
            len(refused),
            tuple(f"{log.path.name}:{one.line}" for one in refused[:_SHOWN]),
            f"{_counted(len(refused), 'row')} of {log.path.name} that cannot be used. "
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
            "They do nothing. Put the inputs back, judge them anew (noria check DATA --page), or delete the rows.",
        )


def _inputs(count: int) -> str:
    return _counted(count, "input")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
