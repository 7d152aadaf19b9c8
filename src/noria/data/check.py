"""A folder or a table of labelled inputs -> a Dataset: each opened, nothing dropped in silence, split.

Whatever is not used is set aside with its reason, and what a person should know is a finding. A finding is an
"error" exactly where training is impossible (`Dataset.require_trainable`); everything else has been made safe.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from noria import plugins
from noria.artifacts.dataset import Dataset, fingerprint, nfc, tidy_label
from noria.contracts import Candidate, Example, Finding, Progress, SetAside, Silent, Split, Suspect
from noria.data import decisions as decisions_file
from noria.data.cells import ByHash
from noria.data.duplicates import join_pairs, members
from noria.data.findings import COMPARED, KINDS, Near, findings, ranked, with_files
from noria.data.grouping import grouped
from noria.data.inspection import Inspected, InspectionCache, decoder, inspect_all
from noria.data.judging import HeldOut, judge
from noria.data.mending import Known, Mended, mend, without_answered
from noria.data.nearness import Features, Pair, Thresholds, Vectors, first_places, near_pairs, pairs_of
from noria.data.ordering import assign_in_order, told_order, with_moment
from noria.data.proof import by_content, prove
from noria.data.readers import Columns, Listing, find_reader
from noria.data.readers import read as read_listing
from noria.data.split import Item, Ratios, assign
from noria.data.suspicions import asked
from noria.data.together import (
    Leak,
    Record,
    Ties,
    copies,
    leaks_of,
    never_together,
    still_together,
    told_near,
    units_of,
)
from noria.data.unsearched import Unsearched
from noria.data.unsearched import findings as about_unsearched
from noria.errors import DataError

__all__ = ["COMPARED", "KINDS", "InspectionCache", "check", "inspected", "near_pairs", "reopened"]

_SHAPING = {"height", "width", "fit", "resample"}  # settings that change the array but not whether a file is good


@dataclass(frozen=True, slots=True)
class _Arranged:
    """What becomes of the inputs: examples with their sides, and what is set aside."""

    records: Sequence[Record]  # all that are readable, labelled and wanted
    examples: tuple[Example, ...]
    set_aside: Mapping[str, Sequence[SetAside]]
    near: Sequence[Near]
    contradictions: Sequence[Suspect]
    units: Sequence[int]  # of the examples: what stays on one side has the same number
    leaked: Sequence[Leak]  # what a given split put on a less strict side than one of its unit
    found: Sequence[Finding]  # what decisions could not put apart


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
    decisions: Path | None = None,
    features: Features | None = None,
    held_out: HeldOut | None = None,
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
        decisions: a file of decisions (`noria.data.decisions`), to be applied; one that is not there has none.
        features: gives vectors (n, D) of inputs, or None, for the search for near duplicates.
        held_out: gives scores (n, C) of examples by models that did not see them, or None: for wrong labels.

    Raises:
        DataError: the path cannot be read as labelled data at all, or the decisions are no such file. Anything less
            is a finding.
        ConfigError: the ratios are impossible.
    """
    progress = progress or Silent()
    log = decisions_file.read(decisions) if decisions is not None else None
    row = plugins.load("noria.tasks", task)
    reader = find_reader(path, reader, task)
    columns = columns or Columns()
    listing = grouped(read_listing(path, reader, columns), columns, path)
    seen = inspected(listing, row.INPUT, settings, workers, progress, cache)
    mended = _mended(log, listing, seen, progress)
    search = plugins.load("noria.data.similarity", row.SIMILARITY).near_pairs
    places = first_places(seen)
    vectors, unsearched = Vectors(listing, seen, places, features), Unsearched(list)
    pairs = partial(pairs_of, listing, seen, places, search, vectors, memory=cache, progress=progress)
    plain, near, thresholds = _searched(pairs, mended, unsearched)
    arrange = partial(_arranged, seen=seen, split=split, seed=seed, order=columns.order)
    before = arrange(listing, mended=Mended(), near=plain).examples if mended.changes else None
    listing = _relabelled(listing, mended)
    arranged = arrange(listing, mended=mended, near=near, plain=plain)
    examples, contents = arranged.examples, _by_hash(listing, arranged.records)
    found = _found(listing, arranged, min_per_class, columns.order)
    told = settings.model_dump(mode="json")
    found += (
        *_asked(row.SUSPICIONS, arranged, [seen[place] for place in places], vectors, contents, told, unsearched),
        *_judged(arranged, listing.root, contents, held_out, unsearched),
    )
    return Dataset(
        name=_name(path),
        root=listing.root.absolute(),
        task=task,
        labels=tuple(sorted({example.label for example in examples})),
        examples=examples,
        set_aside=tuple(sorted((one for ones in arranged.set_aside.values() for one in ones), key=_by_path)),
        findings=_filed(path, listing, [*without_answered(found, mended), *mended.findings], unsearched),
        settings=told,
        seed=seed,
        ratios=split,
        origin=_origin(path, reader, columns, listing),
        contents=contents,
        decisions=_told(log, mended, fingerprint(examples if before is None else before)),
        proof=prove(examples, by_content(near, seen), mended.said_of_pairs, task, thresholds, columns.order).facts,
    )


def _searched(
    pairs: Callable[..., tuple[list[Pair], Thresholds]], mended: Mended, unsearched: Unsearched
) -> tuple[list[Pair], list[Pair], Thresholds]:
    """Search for near duplicates without the decisions and with them; and the likeness from which a pair was taken."""
    plain, thresholds = pairs(unsearched=unsearched)
    if not mended.apart:
        return plain, plain, thresholds
    # Pairs that were passed over, since others connect their sets, may be needed without these.
    return plain, *pairs(unsearched=Unsearched(list), apart=mended.apart)


def _found(listing: Listing, arranged: _Arranged, min_per_class: int, order: str | None) -> tuple[Finding, ...]:
    suspects = {
        "conflicting_labels": arranged.contradictions,
        "given_split_leak": [leak.suspect for leak in arranged.leaked],
    }
    found = findings(listing, arranged.set_aside, arranged.examples, arranged.near, min_per_class, suspects)
    return (*found, *arranged.found, *told_order(arranged.examples, order))


def _filed(
    path: Path, listing: Listing, found: Sequence[Finding], unsearched: Mapping[str, Sequence[str]]
) -> tuple[Finding, ...]:
    aside = (one.path for ones in listing.set_aside.values() for one in ones)
    filed = with_files(found, listing.candidates, aside, path.name if path.is_file() else "")
    return ranked([*filed, *about_unsearched(unsearched)])


def _asked(
    names: Sequence[str],
    arranged: _Arranged,
    seen: Sequence[Inspected],
    vectors: Vectors,
    contents: Mapping[str, bytes],
    settings: Mapping[str, Any],
    unsearched: Unsearched,
) -> list[Finding]:
    return asked(
        names,
        arranged.examples,
        arranged.units,
        seen,
        features=vectors,
        contents=contents,
        settings=settings,
        unsearched=unsearched,
    )


def _origin(path: Path, reader: str, columns: Columns, listing: Listing) -> dict[str, Any]:
    return {
        "path": str(path.absolute()),
        "reader": reader,
        "columns": asdict(columns),
        "cells": listing.contents is not None,
    }


def reopened(dataset: Dataset) -> Dataset:
    """Return a dataset that was loaded, with the contents of its table's cells read again.

    A row that has moved is found by its SHA-256. A dataset of files is returned as it is.

    Raises:
        DataError: the table is no longer there, or lacks texts that the dataset has.
    """
    origin = dataset.origin
    if origin is None or not origin["cells"]:
        return dataset
    texts = read_listing(Path(origin["path"]), origin["reader"], Columns(**origin["columns"]).of_inputs).contents or ()
    wanted = {one.sha256 for one in dataset.examples}
    hashed = ((hashlib.sha256(text).hexdigest(), place) for place, text in enumerate(texts))
    found = {sha256: place for sha256, place in hashed if sha256 in wanted}
    if missing := len(wanted - found.keys()):
        raise DataError(
            f"{origin['path']} was changed: {missing:,} of the {len(wanted):,} texts that the run was made from are no "
            "longer in it. Restore it, or train again on what there is now."
        )
    return replace(dataset, contents=ByHash(texts, found))


def inspected(
    listing: Listing,
    name: str,
    settings: BaseModel,
    workers: int | None,
    progress: Progress,
    cache: InspectionCache | None,
) -> list[Inspected]:
    """Open each candidate once."""
    module = plugins.load("noria.inputs", name)
    return inspect_all(
        listing.contents if listing.contents is not None else [listing.root / one.path for one in listing.candidates],
        partial(module.inspect, settings=settings),
        scope=f"{decoder(module)} {settings.model_dump_json(exclude=_SHAPING)}",
        workers=workers,
        progress=progress,
        cache=cache,
    )


def _mended(log: decisions_file.Log | None, listing: Listing, seen: Sequence[Inspected], progress: Progress) -> Mended:
    if log is None:
        return Mended()
    mended = mend(log, _known(listing, seen), KINDS)
    progress.note(f"decisions: {log.path}: {decisions_file.summary(mended.counts)}")
    return mended


def _known(listing: Listing, seen: Sequence[Inspected]) -> list[Known]:
    """All that decisions can be about: the candidates, then what the reader has set aside."""
    found = [
        Known(one.path, inspected.sha256, tidy_label(one.label))
        for one, inspected in zip(listing.candidates, seen, strict=True)
    ]
    return found + [Known(one.path, one.sha256) for ones in listing.set_aside.values() for one in ones]


def _relabelled(listing: Listing, mended: Mended) -> Listing:
    if not mended.labels:
        return listing
    candidates = list(listing.candidates)
    for place, label in mended.labels.items():
        if place < len(candidates):
            candidates[place] = replace(candidates[place], label=label)
    return replace(listing, candidates=candidates)


def _arranged(
    listing: Listing,
    *,
    seen: Sequence[Inspected],
    mended: Mended,
    near: Sequence[Pair],
    split: Ratios,
    seed: int,
    order: str | None,
    plain: Sequence[Pair] = (),
) -> _Arranged:
    """Take out what cannot be used or is not wanted, and split the rest; `plain`: near duplicates without decisions."""
    set_aside = _set_aside_by_reader(listing, mended)
    candidates = [_tidy(candidate) for candidate in listing.candidates]
    readable = _without_unreadable(candidates, seen, mended.dropped, set_aside)
    records, contradictions = _without_contradictions(readable, mended.said, set_aside)
    ties = Ties(near, join_pairs(near, len(seen)), [one.content_sha256 for one in seen], mended.ties)
    undivided = replace(ties, near=plain, groups=join_pairs(plain, len(seen))) if mended.apart else ties
    units = units_of(records, ties)
    leaks = leaks_of(records, units, ties)
    set_aside["given_split_leak"] += [leak.aside for leak in leaks.values()]
    kept = [number for number in range(len(records)) if number not in leaks]
    left, its = [records[number] for number in kept], [units[number] for number in kept]
    return _Arranged(
        readable,
        _split(left, its, split, seed, order),
        {kind: ones for kind, ones in set_aside.items() if ones},
        told_near(records, ties),
        contradictions,
        its,
        list(leaks.values()),
        [*still_together(records, units, ties, mended.apart), *never_together(records, undivided, mended.apart)],
    )


def _judged(
    arranged: _Arranged,
    root: Path,
    contents: Mapping[str, bytes],
    held_out: HeldOut | None,
    unsearched: Unsearched,
) -> list[Finding]:
    if held_out is None:
        return []
    leaked = [_example(one.record, "train") for one in arranged.leaked if one.record.candidate.split == "train"]
    return judge(
        arranged.examples,
        arranged.units,
        leaked,
        lambda one: contents.get(one.sha256) or root / one.path,
        held_out,
        unsearched,
    )


def _set_aside_by_reader(listing: Listing, mended: Mended) -> defaultdict[str, list[SetAside]]:
    found: defaultdict[str, list[SetAside]] = defaultdict(list)
    place = len(listing.candidates)
    for kind, ones in listing.set_aside.items():
        for one in ones:
            reason = mended.dropped.get(place)
            found["dropped" if reason else kind].append(replace(one, reason=reason) if reason else one)
            place += 1
    return found


def _told(log: decisions_file.Log | None, mended: Mended, before: str) -> dict[str, Any] | None:
    """What the dataset's index says of decisions: which file, what it did, and the fingerprint without it."""
    if log is None:
        return None
    return {"file": str(log.path.absolute()), "sha256": log.sha256, "counts": dict(mended.counts), "from": before}


def _by_path(one: SetAside) -> str:
    return one.path


def _name(path: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - unlike Path.absolute it resolves "..", unlike resolve no link
    return absolute.stem if path.is_file() else absolute.name or "data"


def _tidy(candidate: Candidate) -> Candidate:
    """Spellings that look the same are the same label: NFC, without surrounding spaces."""
    label, group = tidy_label(candidate.label), nfc(candidate.group) if candidate.group else None
    if (label, group) == (candidate.label, candidate.group):
        return candidate
    return replace(candidate, label=label, group=group)


def _without_unreadable(
    candidates: Sequence[Candidate],
    seen: Sequence[Inspected],
    dropped: Mapping[int, str],
    set_aside: dict[str, list[SetAside]],
) -> list[Record]:
    records = []
    for place, (candidate, one) in enumerate(zip(candidates, seen, strict=True)):
        if place in dropped:
            set_aside["dropped"].append(SetAside(candidate.path, dropped[place], one.sha256))
            continue
        reason = one.reason or ("" if candidate.label else "the name of its class is empty")
        if not reason:
            records.append(Record(place, candidate, one))
            continue
        kind = "unreadable" if one.reason else "unlabelled"
        set_aside[kind].append(SetAside(candidate.path, reason, one.sha256))
    return sorted(records, key=lambda record: (nfc(record.candidate.path), record.candidate.path))


def _by_hash(listing: Listing, records: Sequence[Record]) -> Mapping[str, bytes]:
    if listing.contents is None:
        return {}
    # The very strings of the examples as keys: a million more of them would be a hundred megabytes.
    return ByHash(listing.contents, {record.seen.sha256 or "": record.place for record in records})


def _without_contradictions(
    records: Sequence[Record], said: Mapping[int, int], set_aside: dict[str, list[SetAside]]
) -> tuple[list[Record], list[Suspect]]:
    """Leave out every copy of what carries two labels, or, where a person said which label is right, the others."""
    wrong = set()
    suspects = []
    for group in members(copies(records)):
        labels = {records[index].candidate.label for index in group}
        if len(labels) < 2:
            continue
        right = max(group, key=lambda index: said.get(records[index].place, -1))
        decided = records[right].place in said
        others = [records[index].candidate for index in ([right] if decided else group)]
        for index in group:
            one, sha256 = records[index].candidate, records[index].seen.sha256
            other = next((other for other in others if other.label != one.label), None)
            if other is None:  # it has the label that is right
                continue
            wrong.add(index)
            reason = f"labelled {one.label}, but {other.path} is the same, labelled {other.label}"
            if decided:
                set_aside["dropped"].append(SetAside(one.path, f"another label is right by decision: {reason}", sha256))
            else:
                set_aside["conflicting_labels"].append(SetAside(one.path, reason, sha256))
                suspects.append(Suspect(one.path, one.label, other=other.path))
    return [record for index, record in enumerate(records) if index not in wrong], suspects


def _split(
    records: Sequence[Record], units: Sequence[int], ratios: Ratios, seed: int, order: str | None
) -> tuple[Example, ...]:
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
    if order:
        sides = assign_in_order([one.candidate.order for one in records], units, ratios=ratios, order=order)
    else:
        sides = assign(items, ratios=ratios, seed=seed)
    return tuple(_example(record, side) for record, side in zip(records, sides, strict=True))


def _example(record: Record, side: Split) -> Example:
    return Example(
        path=record.candidate.path,
        label=record.candidate.label,
        sha256=record.seen.sha256 or "",
        content_sha256=record.seen.content_sha256,
        split=side,
        group=record.candidate.group,
        facts=with_moment(record.seen.facts, record.candidate.order),
    )
