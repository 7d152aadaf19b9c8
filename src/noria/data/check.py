"""A folder or a table of labelled pictures -> a Dataset: every file opened, nothing dropped in silence, split.

Whatever is not used is set aside with its reason, and what a person should know is a finding. A finding is an
"error" exactly where training is impossible (`Dataset.require_trainable`); everything else has been made safe.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Literal

import PIL
from pydantic import BaseModel

from noria import plugins
from noria.artifacts.dataset import Dataset, nfc, obstacles, tidy_label
from noria.contracts import SPLITS, Candidate, Example, Finding, Progress, SetAside, Silent
from noria.data.duplicates import exact_duplicates, join, members
from noria.data.inspection import Inspected, InspectionCache, inspect_files
from noria.data.readers import Listing, find_reader
from noria.data.split import STRICTEST, Item, Ratios, assign

__all__ = ["KINDS", "InspectionCache", "check"]

_SHOWN = 20  # examples named in a finding; all of them stand in the set-aside list
_IMBALANCE = 10.0  # largest class / smallest class
_SHAPING = {"height", "width", "fit", "resample"}  # settings that change the array but not whether a file is good

Severity = Literal["error", "warning", "info"]
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

# kind -> severity, message for n files, remedy
_SET_ASIDE: Mapping[str, tuple[Severity, str, str]] = {
    "unreadable": (
        "warning",
        "{n} that cannot be used as a picture.",
        "Replace or delete them; the list of what was set aside gives the reason for each.",
    ),
    "unreachable": (
        "warning",
        "{n} that cannot be reached.",
        "Look at their reasons: missing, no permission, or a name that is not UTF-8.",
    ),
    "unlabelled": (
        "warning",
        "{n} without a label.",
        "Put each into the folder of its class, or give its row a label.",
    ),
    "not_a_picture": (
        "info",
        "{n} passed over: hidden, beside the class folders, or a link to what is read already.",
        "",
    ),
    "conflicting_labels": (
        "warning",
        "{n}, the same picture as one with another label: nobody knows which is right, so none is used.",
        "Delete the wrong copies.",
    ),
    "conflicting_rows": (
        "warning",
        "{n} in the table more than once with different labels, splits or groups; none of them is used.",
        "Keep the right row of each.",
    ),
    "given_split_leak": (
        "warning",
        "{n} of a picture or group that the given split also puts on a stricter side; not used here "
        "(test is kept before validation, validation before train).",
        "Figures that were measured on this split before may be too good.",
    ),
}
# Every kind of finding that there can be: those above, those of `obstacles`, those below, and the readers'.
KINDS = frozenset(_SET_ASIDE) | {
    *("nothing_usable", "single_class", "too_few_pictures", "empty_train_split", "empty_split"),
    *("labels_spelled_alike", "labels_differ_by_case", "exact_duplicates"),
    *("empty_class", "tiny_class", "imbalance", "too_few_for_split"),
    *("given_split", "repeated_rows", "ignored_columns"),
}


@dataclass(frozen=True, slots=True)
class _Record:
    """A usable picture on its way to becoming an Example."""

    candidate: Candidate
    seen: Inspected


def check(
    path: Path,
    *,
    settings: BaseModel,
    reader: str = "auto",
    split: Ratios = (3, 1, 1),
    seed: int = 0,
    min_per_class: int = 10,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: InspectionCache | None = None,
    task: str = "image_classification",
    input_name: str = "image",
) -> Dataset:
    """Read, check and split labelled pictures. The files are neither copied nor changed.

    Args:
        path: a folder of folders, or a table.
        settings: those of the input (`noria.inputs.image.Settings`); too small or too large is judged by them.
        reader: a member of the shelf `noria.data.readers`, or "auto".
        split: the ratios train : validation : test for what has no given split.
        seed: of the split.
        min_per_class: fewer usable pictures make a class "tiny".
        workers: threads; by default one a processor.
        progress: is told of every file.
        cache: outcomes of earlier checks.
        task: is written into the dataset.
        input_name: a member of the shelf `noria.inputs`.

    Raises:
        DataError: the path cannot be read as labelled data at all. Anything less is a finding.
        ConfigError: the ratios are impossible.
    """
    listing = find_reader(path, reader).read(path)
    set_aside: defaultdict[str, list[SetAside]] = defaultdict(list)
    for kind, ones in listing.set_aside.items():
        set_aside[kind].extend(ones)
    candidates = [_tidy(candidate) for candidate in listing.candidates]
    module = plugins.load("noria.inputs", input_name)
    seen = inspect_files(
        [listing.root / candidate.path for candidate in candidates],
        partial(module.inspect, settings=settings),
        scope=f"{decoder(module)} {settings.model_dump_json(exclude=_SHAPING)}",
        workers=workers,
        progress=progress or Silent(),
        cache=cache,
    )
    records = _without_unreadable(candidates, seen, set_aside)
    records = _without_contradictions(records, set_aside)
    units = _units(records)
    records, units = _without_leaks(records, units, set_aside)
    examples = _split(records, units, split, seed)
    return Dataset(
        name=_name(path),
        root=listing.root.absolute(),
        task=task,
        labels=tuple(sorted({example.label for example in examples})),
        examples=examples,
        set_aside=tuple(sorted((one for ones in set_aside.values() for one in ones), key=lambda one: one.path)),
        findings=_findings(listing, set_aside, examples, min_per_class),
        settings=settings.model_dump(mode="json"),
        seed=seed,
        ratios=split,
    )


def _name(path: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - unlike Path.absolute it resolves "..", unlike resolve no link
    return absolute.stem if path.is_file() else absolute.name or "data"


def _tidy(candidate: Candidate) -> Candidate:
    """Spellings that look the same are the same label: NFC, without surrounding spaces."""
    group = nfc(candidate.group) if candidate.group else None
    return Candidate(candidate.path, tidy_label(candidate.label), candidate.split, group)


def decoder(module: ModuleType) -> str:
    """Return what names the code that decodes, beside its settings: part of every cache's key."""
    code = hashlib.sha256(Path(module.__file__ or "").read_bytes()).hexdigest()[:16]
    return f"{module.__name__} {code} pillow {PIL.__version__}"


def _without_unreadable(
    candidates: Sequence[Candidate], seen: Sequence[Inspected], set_aside: dict[str, list[SetAside]]
) -> list[_Record]:
    records = []
    for candidate, one in zip(candidates, seen, strict=True):
        reason = one.reason or ("" if candidate.label else "the name of its class is empty")
        if not reason:
            records.append(_Record(candidate, one))
            continue
        kind = "unreadable" if one.reason else "unlabelled"
        set_aside[kind].append(SetAside(candidate.path, reason, one.sha256))
    return sorted(records, key=lambda record: (nfc(record.candidate.path), record.candidate.path))


def _without_contradictions(records: Sequence[_Record], set_aside: dict[str, list[SetAside]]) -> list[_Record]:
    """Leave out every copy of a picture that carries two labels."""
    wrong = set()
    for group in members(_duplicates(records)):
        labels = {records[index].candidate.label for index in group}
        if len(labels) < 2:
            continue
        wrong.update(group)
        for index in group:
            record = records[index]
            other = next(
                records[one].candidate for one in group if records[one].candidate.label != record.candidate.label
            )
            reason = f"labelled {record.candidate.label}, but {other.path} is the same picture, labelled {other.label}"
            set_aside["conflicting_labels"].append(SetAside(record.candidate.path, reason, record.seen.sha256))
    return [record for index, record in enumerate(records) if index not in wrong]


def _duplicates(records: Sequence[_Record]) -> list[int]:
    return exact_duplicates(
        [record.seen.sha256 or "" for record in records], [record.seen.content_sha256 for record in records]
    )


def _units(records: Sequence[_Record]) -> list[int]:
    """What must stay on one side: copies of a picture, and pictures of one group."""
    return join(
        (("picture", picture), *((("group", group),) if (group := record.candidate.group) else ()))
        for record, picture in zip(records, _duplicates(records), strict=True)
    )


def _without_leaks(
    records: Sequence[_Record], units: Sequence[int], set_aside: dict[str, list[SetAside]]
) -> tuple[list[_Record], list[int]]:
    """Where a given split puts one unit on two sides, keep the strictest side and leave out the rest."""
    strictest: dict[int, _Record] = {}
    for record, unit in zip(records, units, strict=True):
        if record.candidate.split and (unit not in strictest or _rank(record) < _rank(strictest[unit])):
            strictest[unit] = record
    kept, kept_units = [], []
    for record, unit in zip(records, units, strict=True):
        if record.candidate.split and _rank(record) > _rank(strictest[unit]):
            other = strictest[unit].candidate
            reason = (
                f"given as {record.candidate.split}, but {other.path}, of the same picture or group, as {other.split}"
            )
            set_aside["given_split_leak"].append(SetAside(record.candidate.path, reason, record.seen.sha256))
        else:
            kept.append(record)
            kept_units.append(unit)
    return kept, kept_units


def _rank(record: _Record) -> int:
    return STRICTEST.index(record.candidate.split) if record.candidate.split else len(STRICTEST)


def _split(records: Sequence[_Record], units: Sequence[int], ratios: Ratios, seed: int) -> tuple[Example, ...]:
    items = [
        Item(
            label=record.candidate.label,
            sha256=record.seen.sha256 or "",
            unit=unit,
            group=record.candidate.group,
            given=record.candidate.split,
        )
        for record, unit in zip(records, units, strict=True)
    ]
    return tuple(
        Example(
            path=record.candidate.path,
            label=record.candidate.label,
            sha256=record.seen.sha256 or "",
            content_sha256=record.seen.content_sha256,
            split=side,
            group=record.candidate.group,
            facts=record.seen.facts,
        )
        for record, side in zip(records, assign(items, ratios=ratios, seed=seed), strict=True)
    )


def _findings(
    listing: Listing, set_aside: Mapping[str, Sequence[SetAside]], examples: Sequence[Example], min_per_class: int
) -> tuple[Finding, ...]:
    """All findings, the gravest first."""
    spellings = [*(candidate.label for candidate in listing.candidates), *listing.empty_labels]
    found = [
        *obstacles(examples),
        *_about_set_aside(set_aside),
        *_about_spellings(set(spellings)),
        *_about_duplicates(examples),
        *_about_sizes(Counter(example.label for example in examples), {*map(tidy_label, spellings)}, min_per_class),
        *_about_sides(examples),
        *listing.findings,
        *_about_given_split(listing),
    ]
    return tuple(sorted(found, key=lambda one: (_SEVERITIES.index(one.severity), -one.count, one.kind)))


def _finding(kind: str, severity: Severity, examples: Sequence[str], message: str, remedy: str = "") -> Finding:
    return Finding(kind, severity, len(examples), tuple(examples[:_SHOWN]), message, remedy)


def _about_given_split(listing: Listing) -> Iterable[Finding]:
    given = [candidate.path for candidate in listing.candidates if candidate.split]
    if given and all(finding.kind != "given_split" for finding in listing.findings):
        message = f"The split that is given for {_files(len(given))} is kept."
        yield _finding("given_split", "info", given, message)


def _about_set_aside(set_aside: Mapping[str, Sequence[SetAside]]) -> Iterable[Finding]:
    for kind, ones in set_aside.items():
        severity, message, remedy = _SET_ASIDE.get(kind, ("warning", "{n} set aside.", ""))
        paths = sorted(one.path for one in ones)
        yield _finding(kind, severity, paths, message.format(n=_files(len(paths))), remedy)


def _about_spellings(spellings: set[str]) -> Iterable[Finding]:
    by_label: defaultdict[str, list[str]] = defaultdict(list)
    for spelling in sorted(spellings):
        by_label[tidy_label(spelling)].append(spelling)
    merged = [spelling for same in by_label.values() if len(same) > 1 for spelling in same]
    if merged:
        message = (
            f"{_listed(map(repr, merged))} differ only by spaces around them or by Unicode form; each set is one class."
        )
        yield _finding("labels_spelled_alike", "warning", merged, message, "Give each class one spelling.")
    by_folded: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(by_label):
        by_folded[nfc(label.casefold())].append(label)
    alike = [label for same in by_folded.values() if len(same) > 1 for label in same]
    if alike:
        message = f"The labels {_listed(map(repr, alike))} differ only by case; they are kept as separate classes."
        yield _finding("labels_differ_by_case", "warning", alike, message, "If they mean the same, join them.")


def _about_duplicates(examples: Sequence[Example]) -> Iterable[Finding]:
    groups = exact_duplicates([one.sha256 for one in examples], [one.content_sha256 for one in examples])
    copies = [examples[index].path for group in members(groups) for index in group[1:]]
    if copies:
        message = f"{_files(len(copies))} with the same bytes or pixels as another of the same label."
        remedy = "Copies stay on one side of the split, so they cannot leak; delete them to count each picture once."
        yield _finding("exact_duplicates", "info", copies, message, remedy)


def _about_sizes(sizes: Counter[str], labels: set[str], min_per_class: int) -> Iterable[Finding]:
    empty = sorted(label for label in labels if not sizes[label])
    if empty:
        message = f"{_classes(len(empty))} without one usable picture, left out: {_listed(empty)}."
        yield _finding("empty_class", "warning", empty, message, "Add pictures, or delete the folder.")
    tiny = sorted((label for label in sizes if sizes[label] < min_per_class), key=lambda label: (sizes[label], label))
    if tiny:
        message = f"{_classes(len(tiny))} with fewer than {min_per_class} usable pictures: {_listed(tiny)}."
        yield _finding("tiny_class", "warning", tiny, message, "Add pictures; figures for so few mean little.")
    if sizes and max(sizes.values()) > _IMBALANCE * min(sizes.values()):
        (most, largest), (least, smallest) = sizes.most_common(1)[0], sizes.most_common()[-1]
        message = f"{most} has {largest} usable pictures, {least} only {smallest}."
        yield _finding(
            "imbalance",
            "warning",
            (most, least),
            message,
            "Add pictures of the small one, or try --set training.class_weights=balanced.",
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
        remedy = "A class needs 3 different pictures to be learnt, chosen by and tested."
        yield _finding("too_few_for_split", "warning", lacking, message, remedy)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count:,} classes"


def _listed(names: Iterable[str], most: int = 5) -> str:
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")
