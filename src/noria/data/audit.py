"""A saved dataset -> whether it still holds: its inputs there and unchanged, and nothing tied across its split.

The search is a fresh one, over what lies at the inputs' places now. What does not hold is a finding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from noria import plugins
from noria.artifacts.dataset import INDEX, Dataset, recorded_fingerprint
from noria.artifacts.run import MANIFEST as RUN_MANIFEST
from noria.contracts import Candidate, Example, Finding, Progress, SetAside, Suspect
from noria.data.cells import Chosen
from noria.data.check import inspected, near_pairs
from noria.data.features import Wanted
from noria.data.findings import ranked
from noria.data.inspection import Inspected, InspectionCache
from noria.data.proof import KINDS, Proof, by_content, prove
from noria.data.readers import Columns, Listing, read
from noria.data.unsearched import KIND as UNSEARCHED
from noria.data.unsearched import PARTS, Unsearched, without
from noria.data.unsearched import findings as about_unsearched
from noria.errors import DataError

_SHOWN = 20

Features = Callable[[Sequence[Wanted]], NDArray[Any] | None]


def dataset_folder(path: Path) -> Path | None:
    """Return the folder of a finished dataset, where `path` is one or is a run; None of data that is to be checked."""
    if (path / RUN_MANIFEST).is_file() and (path / "dataset" / INDEX).is_file():
        return path / "dataset"
    return path if (path / INDEX).is_file() else None


def audit(
    folder: Path,
    *,
    features: Callable[[Dataset], Features | None] = lambda dataset: None,
    workers: int | None = None,
    progress: Progress,
    cache: InspectionCache | None = None,
) -> Dataset:
    """Return the dataset with a proof that was made now, and findings `dataset_changed` and `leak` where it fails.

    Where parts of pictures could not be looked for, a finding `not_searched` tells why.

    Args:
        folder: what `Dataset.save` wrote.
        features: gives what makes vectors for the search for near duplicates, as `check` takes it.

    Raises:
        ArtifactError: the folder is damaged, or of another version.
    """
    dataset = Dataset.load(folder, strict=False)
    known: list[Example | SetAside] = [*dataset.examples, *(one for one in dataset.set_aside if one.sha256)]
    known.sort(key=lambda one: one.path)
    row = plugins.load("noria.tasks", dataset.task)
    listing, places, missing = _listing(dataset, known)
    module = plugins.load("noria.inputs", row.INPUT)
    settings = module.Settings.model_validate(dict(dataset.settings or {}))
    found = inspected(listing, row.INPUT, settings, workers, progress, cache)
    reasons = [missing] * len(known)
    for here, place in enumerate(places):
        reasons[place] = _reason(known[place], found[here])
    unchanged = [replace(one, reason=one.reason or reasons[place]) for one, place in zip(found, places, strict=True)]
    search = plugins.load("noria.data.similarity", row.SIMILARITY).near_pairs
    unsearched = Unsearched(list)
    said = dataset.proof or {}
    place_of = {known[place].path: here for here, place in enumerate(places)}
    different = (pair for pair in said.get("different", ()) if set(pair) <= place_of.keys())
    apart = [(place_of[one], place_of[other]) for one, other in different]
    near, thresholds = near_pairs(listing, unchanged, search, features(dataset), unsearched, apart)
    now = {
        known[place].path: one.content_sha256 for one, place in zip(unchanged, places, strict=True) if not one.reason
    }
    examples = [replace(one, content_sha256=now.get(one.path, one.content_sha256)) for one in dataset.examples]
    order = dataset.origin["columns"].get("order") if dataset.origin else None
    proof = prove(examples, by_content(near, unchanged), said, dataset.task, thresholds, order)
    used = {one.path for one in dataset.examples}
    changed = [(one.path, why) for one, why in zip(known, reasons, strict=True) if why and one.path in used]
    by_hand = recorded_fingerprint(folder) != dataset.fingerprint
    told = [
        *_about_changes(folder, changed, by_hand),
        *_about_leaks(proof),
        *_about_time(proof),
        *about_unsearched(unsearched),
    ]
    earlier = [one for one in dataset.findings if one.kind not in {*KINDS, UNSEARCHED}]
    for one in dataset.findings:
        earlier += without(one, PARTS) if one.kind == UNSEARCHED else ()
    return replace(dataset, findings=ranked([*told, *earlier]), proof=proof.facts)


def _listing(dataset: Dataset, known: Sequence[Example | SetAside]) -> tuple[Listing, list[int], str]:
    """Return what can be opened, which of the known inputs each of it is, and why the others cannot."""
    origin = dataset.origin
    if origin is None or not origin["cells"]:
        return Listing(dataset.root, [Candidate(one.path, "") for one in known]), list(range(len(known))), ""
    try:
        texts = read(Path(origin["path"]), origin["reader"], Columns(**origin["columns"]).of_inputs).contents or ()
    except DataError as error:
        return Listing(dataset.root, [], []), [], str(error)
    wanted = {one.sha256 for one in known}
    hashed = ((hashlib.sha256(text).hexdigest(), row) for row, text in enumerate(texts))
    rows = {sha256: row for sha256, row in hashed if sha256 in wanted}
    ordered = sorted((rows[one.sha256], place) for place, one in enumerate(known) if one.sha256 in rows)
    places = [place for _, place in ordered]
    contents = Chosen(texts, [row for row, _ in ordered])
    listing = Listing(dataset.root, [Candidate(known[place].path, "") for place in places], contents)
    return listing, places, f"{origin['path']} has no such text any more"


def _reason(one: Example | SetAside, now: Inspected) -> str:
    """Why an input is not what it was; empty where it is."""
    if now.sha256 is None:
        return now.reason
    return "" if now.sha256 == one.sha256 else "its bytes are others than when the dataset was made"


def _about_changes(folder: Path, changed: Sequence[tuple[str, str]], by_hand: bool) -> list[Finding]:
    found = []
    if by_hand:
        message = (
            f"{folder}: its list of examples is not the one that its fingerprint was made of; it was changed by hand, "
            "or is damaged."
        )
        found.append(Finding("dataset_changed", "error", 1, (INDEX,), message, "Make it anew from the data."))
    if changed:
        path, why = changed[0]
        message = f"{len(changed):,} inputs of the dataset are gone or were changed since. The first, {path}: {why}."
        paths = tuple(path for path, _ in changed[:_SHOWN])
        remedy = "Put them back, or make the dataset anew: figures that were measured on it are of other inputs."
        found.append(Finding("dataset_changed", "error", len(changed), paths, message, remedy))
    return found


def _about_leaks(proof: Proof) -> list[Finding]:
    if not proof.torn:
        return []
    across = proof.facts["cross_split_pairs"]
    parts = ", ".join(f"{kind.replace('_', ' ')}: {count:,}" for kind, count in across.items() if count)
    message = f"{len(proof.torn):,} pairs that belong together are on two sides of the split ({parts})."
    return [_leak(proof.torn, message, "figures that were measured on this one may be too good.")]


def _about_time(proof: Proof) -> list[Finding]:
    if not proof.newer:
        return []
    order, first = proof.facts["time_order"]["order"], proof.newer[0]
    message = (
        f"{len(proof.newer):,} inputs of the side train are newer ({order}) than what is held out: {first.path} than "
        f"{first.other}."
    )
    return [_leak(proof.newer, message, "the model was told of what it is then asked about.")]


def _leak(suspects: Sequence[Suspect], message: str, why: str) -> Finding:
    remedy = f"Make the split anew (noria check DATA): {why}"
    paths = tuple(one.path for one in suspects[:_SHOWN])
    return Finding("leak", "error", len(suspects), paths, message, remedy, tuple(suspects))
