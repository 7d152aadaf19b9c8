"""What a person should know about a dataset: counts and reasons -> findings, the gravest first.

A kind of finding has one severity, one message and one remedy; `KINDS` lists all that there can be, for `--fail-on`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal

from noria.artifacts.dataset import nfc, obstacles, tidy_label
from noria.contracts import SPLITS, Candidate, Example, Finding, SetAside, Suspect
from noria.data.duplicates import exact_duplicates, members
from noria.data.grouping import KINDS as OF_GROUPS
from noria.data.judging import KINDS as OF_JUDGING
from noria.data.mending import KINDS as OF_DECISIONS
from noria.data.ordering import KINDS as OF_ORDER
from noria.data.proof import KINDS as OF_PROOF
from noria.data.readers import Listing
from noria.data.unsearched import KINDS as OF_UNSEARCHED

__all__ = ["COMPARED", "KINDS", "UNREADABLE", "Near", "findings", "ranked", "with_files"]

_SHOWN = 20  # examples named in a finding; all of them stand in the set-aside list
_MISSING = frozenset({"nan", "<na>", "n/a", "#n/a", "null"})  # what programs write where a table has no value
_IMBALANCE = 10.0  # largest class / smallest class


@dataclass(frozen=True, slots=True)
class Near:
    """An input that is nearly the same as another one."""

    candidate: Candidate
    other: Candidate
    likeness: float  # from 0 to 1
    group: int  # the set of near duplicates that both are in


Severity = Literal["error", "warning", "info"]
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

# What makes the figures wrong, then what teaches the wrong thing, then what takes examples away; then all others.
_BY_EFFECT = (
    *("leak", "given_split_leak", "still_together", "leak_cost", "possible_groups", "dataset_changed"),
    *("label_leak", "shortcut", "language_tells_label", "drift", "shares_changed"),
    *("conflicting_labels", "near_duplicates_across_labels", "wrong_labels", "relabelled"),
    *("encoding", "broken_rows", "unreadable", "unreachable", "unlabelled", "empty_text", "many_empty_texts"),
)

# kind -> severity, message for n files, remedy
_SET_ASIDE: Mapping[str, tuple[Severity, str, str]] = {
    "unreadable": (
        "warning",
        "{n} that cannot be used.",
        "Replace or drop them (noria check DATA --page); the list of what was set aside gives the reason for each.",
    ),
    "unreachable": (
        "warning",
        "{n} that cannot be reached.",
        "Look at their reasons (noria check DATA --json): missing, no permission, or a name that is not UTF-8.",
    ),
    "unlabelled": (
        "warning",
        "{n} without a label.",
        "Put each into the folder of its class, or give its row a label.",
    ),
    "passed_over": (
        "info",
        "{n} passed over: hidden, beside the class folders, or a link to what is read already.",
        "Move those that you want used into a folder of their class, with a name that does not begin with a dot.",
    ),
    "conflicting_labels": (
        "warning",
        "{n}, the same as one with another label: nobody knows which is right, so none is used.",
        "Say which is right (noria check DATA --page), or delete the wrong copies.",
    ),
    "dropped": (
        "info",
        "{n} left out, as decisions say.",
        "A row `undo` of the decisions takes one back; --decisions none leaves all of them aside.",
    ),
    "empty_text": (
        "warning",
        "{n} without a text.",
        "Look at the rows: was the table cut or badly quoted? --set data.text=NAME names another column.",
    ),
    "broken_rows": (
        "warning",
        "{n} of the table that cannot be read.",
        "Mend them as their reasons say (noria check DATA --json).",
    ),
    "conflicting_rows": (
        "warning",
        "{n} in the table more than once with different labels, splits or groups; none of them is used.",
        "Keep the right row of each.",
    ),
    "given_split_leak": (
        "warning",
        "{n} of which a copy, a near copy or another of its group is on a stricter side of the given split; not used "
        "here (test is kept before validation, validation before train).",
        "Figures that were measured on this split before may be too good. Look at each pair (noria check DATA --page): "
        "those that are different (N) are used again.",
    ),
}
# What a job means that asks for unreadable: each of them for a reason of its own.
UNREADABLE = frozenset({"unreadable", "unreachable", "broken_rows"})
# Their examples are names of files, and no inputs; or there is no file that they are about.
_WITHOUT_FILES = frozenset({"encoding", "decisions_refused", "decisions_without_input", "not_searched"})
# What a comparison with older data finds.
COMPARED = frozenset({"drift", "shares_changed", "relabelled", "new_label", "gone_label"})
# Every kind of finding that there can be: those above, those of `obstacles`, those below, and the readers'.
KINDS = (
    frozenset(_SET_ASIDE)
    | COMPARED
    | OF_DECISIONS
    | OF_GROUPS
    | OF_JUDGING
    | OF_ORDER
    | OF_PROOF
    | OF_UNSEARCHED
    | {
        *("nothing_usable", "single_class", "too_few_examples", "empty_train_split", "empty_split"),
        *("labels_spelled_alike", "labels_differ_by_case", "label_missing_by_name"),
        *("exact_duplicates", "near_duplicates"),
        *("near_duplicates_across_labels", "still_together", "never_together"),
        *("empty_class", "tiny_class", "imbalance", "too_few_for_split"),
        *("given_split", "repeated_rows", "ignored_columns", "columns_chosen", "encoding", "video_frames"),
        *("many_empty_texts", "labels_with_fractions", "labels_equal_as_numbers"),
        *("label_leak", "other_language", "languages", "language_tells_label", "short_text", "long_text", "text_cut"),
        *("blank", "blurred", "dark", "bright", "odd_shape", "odd_size", "shortcut", "outlier"),
        "possible_groups",
    }
)


def findings(
    listing: Listing,
    set_aside: Mapping[str, Sequence[SetAside]],
    examples: Sequence[Example],
    near: Sequence[Near],
    min_per_class: int,
    suspects: Mapping[str, Sequence[Suspect]],
) -> tuple[Finding, ...]:
    """Return all findings, the gravest first.

    Args:
        near: near duplicates, each with the one that stays where it is dropped.
        suspects: of kinds that are set aside, each beside the input that it is compared with.
    """
    labels = {candidate.path: tidy_label(candidate.label) for candidate in listing.candidates}
    unreadable = [Suspect(one.path, labels.get(one.path, "")) for one in set_aside.get("unreadable", ())]
    spellings = [*(candidate.label for candidate in listing.candidates), *listing.empty_labels]
    found = [
        *obstacles(examples),
        *_about_set_aside(set_aside, {"unreadable": unreadable, **suspects}),
        *_about_spellings(set(spellings)),
        *_about_duplicates(examples),
        *_about_near(near),
        *_about_sizes(Counter(example.label for example in examples), {*map(tidy_label, spellings)}, min_per_class),
        *_about_sides(examples),
        *listing.findings,
        *_about_given_split(listing),
    ]
    return ranked(found)


def with_files(
    found: Iterable[Finding], candidates: Sequence[Candidate], aside: Iterable[str], table: str
) -> list[Finding]:
    """Return findings with files: of those that name labels some inputs of each, of all others any that are there.

    Args:
        candidates: all inputs, whose labels or paths the findings name.
        aside: paths of what the reader has set aside.
        table: the name of the table that was read; empty of a folder.
    """
    by_label: defaultdict[str, list[str]] = defaultdict(list)
    for one in candidates:
        for label in {one.label, tidy_label(one.label)}:
            if len(by_label[label]) < _SHOWN:
                by_label[label].append(one.path)
    named = {*(one.path for one in candidates), *aside}
    return [
        one
        if one.files or one.kind in _WITHOUT_FILES or not named.isdisjoint(one.examples)
        else replace(one, files=_files_of(one, by_label, table or next(iter(sorted(named)), "")))
        for one in found
    ]


def _files_of(one: Finding, by_label: Mapping[str, Sequence[str]], otherwise: str) -> tuple[str, ...]:
    """As many of each label that is named; where none is, the table, or a first input."""
    lists = [by_label[name] for name in one.examples if name in by_label]
    dealt = [path for some in zip_longest(*lists) for path in some if path is not None]
    return tuple(dict.fromkeys(dealt[:_SHOWN])) or ((otherwise,) if otherwise else ())


def ranked(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings with the gravest first: by severity, then by what they do to a model and to its figures."""

    def place(one: Finding) -> tuple[int, int, int, str]:
        effect = _BY_EFFECT.index(one.kind) if one.kind in _BY_EFFECT else len(_BY_EFFECT)
        return _SEVERITIES.index(one.severity), effect, -one.count, one.kind

    return tuple(sorted(found, key=place))


def _finding(
    kind: str,
    severity: Severity,
    examples: Sequence[str],
    message: str,
    remedy: str = "",
    suspects: Iterable[Suspect] = (),
) -> Finding:
    return Finding(kind, severity, len(examples), tuple(examples[:_SHOWN]), message, remedy, tuple(suspects))


def _about_given_split(listing: Listing) -> Iterable[Finding]:
    given = [candidate.path for candidate in listing.candidates if candidate.split]
    if given and all(finding.kind != "given_split" for finding in listing.findings):
        message = f"The split that is given for {_inputs(len(given))} is kept."
        remedy = "To have it made anew, take the column away; --set data.split=[3,1,1] says how."
        yield _finding("given_split", "info", given, message, remedy)


def _about_set_aside(
    set_aside: Mapping[str, Sequence[SetAside]], suspects: Mapping[str, Sequence[Suspect]]
) -> Iterable[Finding]:
    for kind, ones in set_aside.items():
        severity, message, remedy = _SET_ASIDE.get(kind, ("warning", "{n} set aside.", ""))
        ordered = sorted(ones, key=lambda one: one.path)
        told = message.format(n=_inputs(len(ordered)))
        if kind in UNREADABLE:
            told += f" The first, {ordered[0].path}: {ordered[0].reason}."
        judged = sorted(suspects.get(kind, ()), key=lambda one: one.path)
        yield _finding(kind, severity, [one.path for one in ordered], told, remedy, judged)


def _about_spellings(spellings: set[str]) -> Iterable[Finding]:
    by_label: defaultdict[str, list[str]] = defaultdict(list)
    for spelling in sorted(spellings):
        by_label[tidy_label(spelling)].append(spelling)
    merged = [spelling for same in by_label.values() if len(same) > 1 for spelling in same]
    if merged:
        message = (
            f"{_listed(map(repr, merged))} differ only by spaces around them or by Unicode form; each set is one class."
        )
        yield _finding(
            "labels_spelled_alike",
            "warning",
            merged,
            message,
            "Give each class one spelling, where it stands or by a decision `relabel`.",
        )
    if absent := sorted(label for label in by_label if label.casefold() in _MISSING):
        message = f"{_classes(len(absent))} named as programs write a missing value: {_listed(map(repr, absent))}."
        remedy = "If these inputs have no label, empty it, or drop them (noria check DATA --page): else it is learnt."
        yield _finding("label_missing_by_name", "warning", absent, message, remedy)
    by_folded: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(by_label):
        by_folded[nfc(label.casefold())].append(label)
    alike = [label for same in by_folded.values() if len(same) > 1 for label in same]
    if alike:
        message = f"The labels {_listed(map(repr, alike))} differ only by case; they are kept as separate classes."
        yield _finding(
            "labels_differ_by_case",
            "warning",
            alike,
            message,
            "If they mean the same, relabel one (column label of the decisions).",
        )


def _about_duplicates(examples: Sequence[Example]) -> Iterable[Finding]:
    groups = exact_duplicates([one.sha256 for one in examples], [one.content_sha256 for one in examples])
    copies = [
        Suspect(examples[index].path, examples[index].label, other=examples[group[0]].path)
        for group in members(groups)
        for index in group[1:]
    ]
    if copies:
        message = f"{_inputs(len(copies))} with the same bytes or content as another of the same label."
        remedy = (
            "They stay on one side of the split, so they cannot leak. Drop copies (noria check DATA --page) to count "
            "each once."
        )
        yield _finding("exact_duplicates", "info", [one.path for one in copies], message, remedy, copies)


def _about_near(near: Sequence[Near]) -> Iterable[Finding]:
    torn = _suspects(one for one in near if one.candidate.label != one.other.label)
    if torn:
        message = f"{_inputs(len(torn))} nearly the same as one of another label: one of the two labels may be wrong."
        remedy = "Look at each pair (noria check DATA --page), and relabel or drop one of the two."
        yield _finding("near_duplicates_across_labels", "warning", [one.path for one in torn], message, remedy, torn)
    alike = _suspects(one for one in near if one.candidate.label == one.other.label)
    if alike:
        sets = len({one.group for one in near if one.candidate.label == one.other.label})
        message = f"{_inputs(len(alike))} nearly the same as another one ({_counted(sets, 'set')})."
        remedy = (
            "They stay on one side of the split, so they cannot leak. Drop some to count each once, or say which are "
            "different (noria check DATA --page)."
        )
        yield _finding("near_duplicates", "info", [one.path for one in alike], message, remedy, alike)


def _suspects(near: Iterable[Near]) -> list[Suspect]:
    """The surest first."""
    ordered = sorted(near, key=lambda one: (-one.likeness, one.candidate.path))
    return [
        Suspect(one.candidate.path, tidy_label(one.candidate.label), one.likeness, one.other.path) for one in ordered
    ]


def _about_sizes(sizes: Counter[str], labels: set[str], min_per_class: int) -> Iterable[Finding]:
    empty = sorted(label for label in labels if not sizes[label])
    if empty:
        message = f"{_classes(len(empty))} without one usable example, left out: {_listed(empty)}."
        yield _finding("empty_class", "warning", empty, message, "Add examples, or delete the class.")
    tiny = sorted((label for label in sizes if sizes[label] < min_per_class), key=lambda label: (sizes[label], label))
    if tiny:
        message = f"{_classes(len(tiny))} with fewer than {min_per_class} usable examples: {_listed(tiny)}."
        yield _finding("tiny_class", "warning", tiny, message, "Add examples; figures for so few mean little.")
    if sizes and max(sizes.values()) > _IMBALANCE * min(sizes.values()):
        (most, largest), (least, smallest) = sizes.most_common(1)[0], sizes.most_common()[-1]
        message = f"{most!r} has {largest:,} usable examples, {least!r} only {smallest:,}."
        yield _finding(
            "imbalance",
            "warning",
            (most, least),
            message,
            "Add examples of the small one, or try --set training.class_weights=balanced.",
        )


def _about_sides(examples: Sequence[Example]) -> Iterable[Finding]:
    """Classes that are missing on a side which others have."""
    on_side = {side: {example.label for example in examples if example.split == side} for side in SPLITS}
    labels = {example.label for example in examples}
    absent = {side: sorted(labels - present) for side, present in on_side.items() if present}
    lacking = sorted({label for missing in absent.values() for label in missing})
    if lacking:
        parts = [f"on {side}: {_listed(missing)}" for side, missing in absent.items() if missing]
        message = f"{_classes(len(lacking))} missing on a side of the split ({'; '.join(parts)})."
        remedy = "A class needs 3 different examples to be learnt, chosen by and tested."
        yield _finding("too_few_for_split", "warning", lacking, message, remedy)


def _inputs(count: int) -> str:
    return _counted(count, "input")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count:,} classes"


def _listed(names: Iterable[str], most: int = 5) -> str:
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")
