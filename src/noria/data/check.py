"""A folder or a table of labelled inputs -> a Dataset: each opened, nothing dropped in silence, split.

Whatever is not used is set aside with its reason, and what a person should know is a finding. A finding is an
"error" exactly where training is impossible (`Dataset.require_trainable`); everything else has been made safe.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType

import PIL
from pydantic import BaseModel

from noria import plugins
from noria.artifacts.dataset import Dataset, nfc, tidy_label
from noria.contracts import Candidate, Example, Progress, SetAside, Silent
from noria.data.cells import ByHash, Chosen
from noria.data.duplicates import exact_duplicates, join, members
from noria.data.findings import COMPARED, KINDS, findings
from noria.data.inspection import Inspected, InspectionCache, inspect_all
from noria.data.readers import Columns, Listing, find_reader
from noria.data.readers import read as read_listing
from noria.data.split import STRICTEST, Item, Ratios, assign
from noria.errors import DataError

__all__ = ["COMPARED", "KINDS", "InspectionCache", "check", "reopened"]

_SHAPING = {"height", "width", "fit", "resample"}  # settings that change the array but not whether a file is good


@dataclass(frozen=True, slots=True)
class _Record:
    """A usable input on its way to becoming an Example."""

    place: int  # of its candidate in the listing
    candidate: Candidate
    seen: Inspected


def check(
    path: Path,
    *,
    settings: BaseModel,
    reader: str = "auto",
    columns: Columns | None = None,
    split: Ratios = (3, 1, 1),
    seed: int = 0,
    min_per_class: int = 10,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: InspectionCache | None = None,
    task: str = "image_classification",
) -> Dataset:
    """Read, check and split labelled inputs. The files are neither copied nor changed.

    Args:
        path: a folder of folders, or a table.
        settings: those of the input (`noria.inputs.image.Settings`); too small or too large is judged by them.
        reader: a member of the shelf `noria.data.readers`, or "auto": the task's first that recognises the data.
        columns: what the user said about a table.
        split: the ratios train : validation : test for what has no given split.
        seed: of the split.
        min_per_class: fewer usable examples make a class "tiny".
        workers: threads; by default one a processor.
        progress: is told of every file.
        cache: outcomes of earlier checks.
        task: a member of the shelf `noria.tasks`: names the readers, the input and the search for near duplicates.

    Raises:
        DataError: the path cannot be read as labelled data at all. Anything less is a finding.
        ConfigError: the ratios are impossible.
    """
    row = plugins.load("noria.tasks", task)
    reader = find_reader(path, reader, task)
    columns = columns or Columns()
    listing = read_listing(path, reader, columns)
    set_aside: defaultdict[str, list[SetAside]] = defaultdict(list)
    for kind, ones in listing.set_aside.items():
        set_aside[kind].extend(ones)
    candidates = [_tidy(candidate) for candidate in listing.candidates]
    module = plugins.load("noria.inputs", row.INPUT)
    seen = inspect_all(
        listing.contents if listing.contents is not None else [listing.root / one.path for one in candidates],
        partial(module.inspect, settings=settings),
        scope=f"{decoder(module)} {settings.model_dump_json(exclude=_SHAPING)}",
        workers=workers,
        progress=progress or Silent(),
        cache=cache,
    )
    records = _without_unreadable(candidates, seen, set_aside)
    records = _without_contradictions(records, set_aside)
    similar = plugins.load("noria.data.similarity", row.SIMILARITY).groups(_contents(listing, records))
    nearly = _near_duplicates(records, similar)
    units = _units(records, similar)
    records, units = _without_leaks(records, units, set_aside)
    examples = _split(records, units, split, seed)
    return Dataset(
        name=_name(path),
        root=listing.root.absolute(),
        task=task,
        labels=tuple(sorted({example.label for example in examples})),
        examples=examples,
        set_aside=tuple(sorted((one for ones in set_aside.values() for one in ones), key=lambda one: one.path)),
        findings=findings(listing, set_aside, examples, nearly, min_per_class),
        settings=settings.model_dump(mode="json"),
        seed=seed,
        ratios=split,
        origin={
            "path": str(path.absolute()),
            "reader": reader,
            "columns": asdict(columns),
            "cells": listing.contents is not None,
        },
        contents=_by_hash(listing, records),
    )


def reopened(dataset: Dataset) -> Dataset:
    """Return a dataset that was loaded, with the contents of its table's cells read again.

    A row that has moved is found by its SHA-256. A dataset of files is returned as it is.

    Raises:
        DataError: the table is no longer there, or lacks texts that the dataset has.
    """
    origin = dataset.origin
    if origin is None or not origin["cells"]:
        return dataset
    texts = read_listing(Path(origin["path"]), origin["reader"], Columns(**origin["columns"])).contents or ()
    wanted = {one.sha256 for one in dataset.examples}
    hashed = ((hashlib.sha256(text).hexdigest(), place) for place, text in enumerate(texts))
    found = {sha256: place for sha256, place in hashed if sha256 in wanted}
    if missing := len(wanted - found.keys()):
        raise DataError(
            f"{origin['path']} was changed: {missing:,} of the {len(wanted):,} texts that the run was made from are no "
            "longer in it. Restore it, or train again on what there is now."
        )
    return replace(dataset, contents=ByHash(texts, found))


def _name(path: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - unlike Path.absolute it resolves "..", unlike resolve no link
    return absolute.stem if path.is_file() else absolute.name or "data"


def _tidy(candidate: Candidate) -> Candidate:
    """Spellings that look the same are the same label: NFC, without surrounding spaces."""
    label, group = tidy_label(candidate.label), nfc(candidate.group) if candidate.group else None
    if (label, group) == (candidate.label, candidate.group):
        return candidate
    return replace(candidate, label=label, group=group)


def decoder(module: ModuleType) -> str:
    """Return what names the code that decodes, beside its settings: part of every cache's key."""
    code = hashlib.sha256(Path(module.__file__ or "").read_bytes()).hexdigest()[:16]
    return f"{module.__name__} {code} pillow {PIL.__version__}"


def _without_unreadable(
    candidates: Sequence[Candidate], seen: Sequence[Inspected], set_aside: dict[str, list[SetAside]]
) -> list[_Record]:
    records = []
    for place, (candidate, one) in enumerate(zip(candidates, seen, strict=True)):
        reason = one.reason or ("" if candidate.label else "the name of its class is empty")
        if not reason:
            records.append(_Record(place, candidate, one))
            continue
        kind = "unreadable" if one.reason else "unlabelled"
        set_aside[kind].append(SetAside(candidate.path, reason, one.sha256))
    return sorted(records, key=lambda record: (nfc(record.candidate.path), record.candidate.path))


def _contents(listing: Listing, records: Sequence[_Record]) -> Sequence[bytes | None]:
    """What each record's input is, None where it is a file."""
    if listing.contents is None:
        return [None] * len(records)
    return Chosen(listing.contents, [record.place for record in records])


def _by_hash(listing: Listing, records: Sequence[_Record]) -> Mapping[str, bytes]:
    if listing.contents is None:
        return {}
    # The very strings of the examples as keys: a million more of them would be a hundred megabytes.
    return ByHash(listing.contents, {record.seen.sha256 or "": record.place for record in records})


def _without_contradictions(records: Sequence[_Record], set_aside: dict[str, list[SetAside]]) -> list[_Record]:
    """Leave out every copy of what carries two labels."""
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
            reason = f"labelled {record.candidate.label}, but {other.path} is the same, labelled {other.label}"
            set_aside["conflicting_labels"].append(SetAside(record.candidate.path, reason, record.seen.sha256))
    return [record for index, record in enumerate(records) if index not in wrong]


def _duplicates(records: Sequence[_Record]) -> list[int]:
    return exact_duplicates(
        [record.seen.sha256 or "" for record in records], [record.seen.content_sha256 for record in records]
    )


def _units(records: Sequence[_Record], similar: Sequence[int]) -> list[int]:
    """What must stay on one side: copies, near copies, and members of one group."""
    return join(
        (("copy", copy), ("similar", near), *((("group", group),) if (group := record.candidate.group) else ()))
        for record, copy, near in zip(records, _duplicates(records), similar, strict=True)
    )


def _near_duplicates(records: Sequence[_Record], similar: Sequence[int]) -> list[list[str]]:
    """The paths of each set of near duplicates; exact copies count as one, for they are told of elsewhere."""
    sets = []
    for group in members(similar):
        by_content = {records[index].seen.content_sha256: records[index].candidate.path for index in group}
        if len(by_content) > 1:
            sets.append(sorted(by_content.values()))
    return sets


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
                f"given as {record.candidate.split}, but {other.path}, a copy or of the same group, as {other.split}"
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
