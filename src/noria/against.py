"""Two checked datasets -> a Comparison: what is new, gone and relabelled, and how far labels and inputs have moved.

`data/comparison` and `data/drift` have the figures; here they are put together, and what a person or a job should not
overlook becomes a finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from noria import plugins
from noria.artifacts.dataset import INDEX as DATASET_INDEX
from noria.artifacts.dataset import Dataset
from noria.artifacts.run import MANIFEST as RUN_MANIFEST
from noria.artifacts.run import open_run
from noria.artifacts.store import cache_folder
from noria.contracts import Candidate, Example, Figures, Finding, Progress, Suspect
from noria.data.check import inspected, reopened
from noria.data.comparison import Changes, Shares, as_dict, compare, compare_shares, shares_by_label, units
from noria.data.drift import FEWEST, MOST, Drift, draw, measure
from noria.data.duplicates import join_pairs
from noria.data.findings import with_files
from noria.data.inspection import INSPECTIONS, InspectionCache
from noria.data.readers import Listing
from noria.data.unsearched import findings as about_unsearched
from noria.errors import DataError, MissingExtraError, WeightsError
from noria.vectors import Vectors, input_settings, vectors

DRIFT = "drift"
CHANCE = 0.01  # a finding's p-value is this or less: of a hundred comparisons of like data, one is a false alarm
SMALLEST_AUC = 0.55  # as if a tenth of the inputs were of another kind, and the rest the same
SMALLEST_V = 0.1  # a "small" effect (Cohen 1988)
MOVED_MOST = 50  # listed
_SHOWN = 20
_WORDS = ((0.55, "hardly"), (0.65, "a little"), (0.8, "clearly"), (1.01, "much"))

Side = Literal["added", "gone"]


@dataclass(frozen=True)
class Comparison:
    """How a new dataset differs from an old one."""

    old: str  # where the old one was read
    changes: Changes
    tested: Side  # which inputs were tested: those added, against all old ones; or those gone, against those kept
    labels: tuple[dict[str, Any], ...]  # the share of each label in the old, the new and the tested inputs
    shares: Shares | None
    drift: Drift | None
    moved_most: tuple[Suspect, ...]  # of the tested inputs; the score is the share of the others that moved less
    untested: str  # why there is no drift, where there is none
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON."""
        drift = self.drift and {
            "compared": [len(self.drift.new_rows), len(self.drift.old_rows)],
            "auc": self.drift.auc,
            "interval": list(self.drift.interval),
            "p_value": self.drift.p_value,
            "how_far": in_words(self.drift),
            "moved_most": [asdict(one) for one in self.moved_most],
        }
        return {
            "old": self.old,
            **as_dict(self.changes),
            "tested": self.tested,
            "labels": list(self.labels),
            "shares": self.shares and asdict(self.shares),
            "drift": drift,
            "untested": self.untested,
        }


def kept_dataset(source: str | Path | Dataset) -> Dataset | None:
    """Return a dataset that is one already: what `check` returned, a run's, or its folder; None of data to be checked.

    Raises:
        ArtifactError: the run or the folder is damaged, or of another version.
    """
    if isinstance(source, Dataset):
        return source
    path = Path(source)
    if (path / RUN_MANIFEST).is_file():
        return Dataset.load(open_run(path).dataset)
    return Dataset.load(path) if (path / DATASET_INDEX).is_file() else None


def compare_datasets(new: Dataset, old: Dataset, *, seed: int, progress: Progress) -> Comparison:
    """Return how `new` differs from `old`.

    The inputs that only `new` has are tested against all of `old`; where they are too few, those that are gone
    against those that were kept. Inputs that both have say nothing of a change, and would hide one.

    Raises:
        DataError: the datasets are of different tasks.
    """
    if new.task != old.task:
        kinds = [plugins.load("noria.tasks", one.task).TITLE for one in (new, old)]
        raise DataError(
            f"{new.where} is data for {kinds[0]}, {old.where} for {kinds[1]}: they cannot be compared. Name two "
            "datasets of one kind."
        )
    changes = compare(new, old)
    gone_instead = len(changes.added) < FEWEST <= len(changes.gone)
    tested: Side = "gone" if gone_instead else "added"
    sides = ((old, changes.gone), (old, changes.kept)) if gone_instead else ((new, changes.added), (old, old.examples))
    (first, second) = (examples for _, examples in sides)
    shares = compare_shares(first, second, seed=seed)
    drift, moved, untested = _drift(sides[0], sides[1], seed, progress)
    inputs = [Candidate(one.path, one.label) for one in (*new.examples, *old.examples)]
    by_label = shares_by_label({"old": old.examples, "new": new.examples, "tested": first})
    return Comparison(
        old=old.where,
        changes=changes,
        tested=tested,
        labels=tuple(by_label),
        shares=shares,
        drift=drift,
        moved_most=moved,
        untested=untested,
        findings=(
            *with_files(_findings(new, old, changes, tested, shares, drift, moved), inputs, (), ""),
            *about_unsearched({untested: [DRIFT] if untested and first else []}),
        ),
    )


def in_words(drift: Drift) -> str:
    """Return how far inputs moved: "not" where chance does as much, else "hardly", "a little", "clearly" or "much"."""
    return "not" if drift.p_value > CHANCE else next(word for below, word in _WORDS if drift.auc < below)


_Sided = tuple[Dataset, Sequence[Example]]


def _drift(
    first: _Sided, second: _Sided, seed: int, progress: Progress
) -> tuple[Drift | None, tuple[Suspect, ...], str]:
    """The test, the inputs that moved most, and why there is no test where there is none."""
    drawn = _drawn(first, second, seed)
    if min(map(len, drawn)) < FEWEST:
        return None, (), f"{_few(*drawn)}; from fewer than {FEWEST} on a side nothing can be told."
    try:
        sides = [(_with_contents(side[0]), some) for side, some in zip((first, second), drawn, strict=True)]
        near = _near(sides, progress)
        firsts, first_vectors, first_near = _with_vectors(sides[0], near[: len(drawn[0])], progress)
        seconds, second_vectors, second_near = _with_vectors(sides[1], near[len(drawn[0]) :], progress)
    except (DataError, MissingExtraError, WeightsError) as error:
        return None, (), str(error)
    if first_vectors is None or second_vectors is None:
        return None, (), "for inputs of this kind there are no vectors to compare yet."
    numbers = units([*firsts, *seconds], [*first_near, *second_near])
    known = set(second_near)  # nearly the same as one of the others: it is no more new than a copy
    own = [place for place, number in enumerate(first_near) if number not in known]
    drift = measure(
        first_vectors[own],
        second_vectors,
        new_units=[numbers[place] for place in own],
        old_units=numbers[len(firsts) :],
        seed=seed,
    )
    if drift is None:
        return None, (), f"fewer than {FEWEST} inputs on a side are independent; from so few nothing can be told."
    ranked = zip(drift.new_rows[:MOVED_MOST].tolist(), drift.positions.tolist(), strict=False)
    moved = ((firsts[own[row]], position) for row, position in ranked)
    return drift, tuple(Suspect(one.path, one.label, round(position, 4)) for one, position in moved), ""


def _drawn(first: _Sided, second: _Sided, seed: int) -> list[list[Example]]:
    """One input of each group of both sides, so many that vectors take minutes at most."""
    random = np.random.default_rng(seed)
    return [[examples[place] for place in draw(units(examples), MOST, random)] for _, examples in (first, second)]


def _with_contents(dataset: Dataset) -> Dataset:
    return dataset if dataset.contents else reopened(dataset)


def _near(sides: Sequence[_Sided], progress: Progress) -> list[int]:
    """A number for each input of both sides, the same for near duplicates (of pictures: of whole ones)."""
    similarity = plugins.load("noria.data.similarity", plugins.load("noria.tasks", sides[0][0].task).SIMILARITY)
    looks = [look for dataset, examples in sides for look in _looks(dataset, examples, progress)]
    there = [place for place, look in enumerate(looks) if look]
    pairs = similarity.near_pairs([looks[place] for place in there])
    return join_pairs(((there[first], there[second]) for first, second, _ in pairs), len(looks))


def _looks(dataset: Dataset, examples: Sequence[Example], progress: Progress) -> list[bytes | None]:
    """What near duplicates are searched by, or None of an input that is not there."""
    if dataset.contents:
        return [dataset.contents.get(one.sha256) for one in examples]
    listing = Listing(Path(dataset.root), [Candidate(one.path, one.label) for one in examples])
    name = plugins.load("noria.tasks", dataset.task).INPUT
    with InspectionCache(cache_folder() / INSPECTIONS) as cache:
        seen = inspected(listing, name, input_settings(dataset), None, progress, cache)
    return [one.sketch or None for one in seen]


def _with_vectors(
    side: _Sided, near: Sequence[int], progress: Progress
) -> tuple[Sequence[Example], Vectors | None, Sequence[int]]:
    """The examples whose inputs can still be had, with their vectors and numbers."""
    dataset, examples = side
    try:
        return examples, vectors(dataset, examples, progress), near
    except DataError:
        there = [place for place, one in enumerate(examples) if dataset.path_of(one).is_file()]
        if len(there) < FEWEST:
            raise DataError(f"the inputs of {dataset.where} are no longer there, or were changed.") from None
    left = [examples[place] for place in there]
    return left, vectors(dataset, left, progress), [near[place] for place in there]


def _few(first: Sequence[Example], second: Sequence[Example]) -> str:
    return f"{len(first):,} independent inputs against {len(second):,}"


def _findings(
    new: Dataset,
    old: Dataset,
    changes: Changes,
    tested: Side,
    shares: Shares | None,
    drift: Drift | None,
    moved: Sequence[Suspect],
) -> Iterator[Finding]:
    shifted = shares is not None and shares.p_value <= CHANCE and shares.cramers_v >= SMALLEST_V
    if drift is not None and drift.p_value <= CHANCE and drift.auc >= SMALLEST_AUC:
        yield _about_drift(drift, tested, moved, shifted)
    if changes.relabelled:
        yield _about_relabelled(changes)
    if shifted and shares is not None:
        message = (
            f"The labels' shares of the inputs that were {tested} are not those of the others (Cramer's V "
            f"{shares.cramers_v:.2f}, where 0 is the same and 1 no label in common; p = {shares.p_value:.4f})."
        )
        remedy = (
            "Confidence and figures of a model depend on the shares: are these what it will meet? If not, add "
            "inputs of the rare labels, or try --set training.class_weights=balanced."
        )
        figures = {"cramers_v": shares.cramers_v, "p_value": shares.p_value}
        yield Finding(
            "shares_changed", "warning", shares.compared[0], _most_changed(new, old), message, remedy, figures=figures
        )
    yield from _about_labels("new_label", sorted({*new.labels} - {*old.labels}), "that the old data lacks")
    yield from _about_labels("gone_label", sorted({*old.labels} - {*new.labels}), "of the old data without an example")


def _most_changed(new: Dataset, old: Dataset) -> tuple[str, ...]:
    """Return labels, those first whose share of the inputs has changed most."""
    counts = [Counter(one.label for one in dataset.examples) for dataset in (new, old)]
    shares = [{label: count / max(some.total(), 1) for label, count in some.items()} for some in counts]
    change = {label: abs(shares[0].get(label, 0.0) - shares[1].get(label, 0.0)) for label in {*shares[0], *shares[1]}}
    return tuple(sorted(change, key=lambda label: (-change[label], label))[:_SHOWN])


def _about_drift(drift: Drift, tested: Side, moved: Sequence[Suspect], shifted: bool) -> Finding:
    low, high = drift.interval
    message = (
        f"The inputs that were {tested} differ {in_words(drift)} from the others: one of each is told apart "
        f"{drift.auc:.0%} of the time (50 % is chance; 95 %: {low:.0%} to {high:.0%}; p = {drift.p_value:.3f}; "
        f"{len(drift.new_rows):,} against {len(drift.old_rows):,})."
    )
    remedy = "Look at those that moved most: another source or camera, or a mistake on the way?"
    if shifted:
        remedy += " Part of it is that the labels' shares have changed."
    paths = tuple(one.path for one in moved[:_SHOWN])
    figures: Figures = {"auc": drift.auc, "auc_interval": [low, high], "p_value": drift.p_value}
    return Finding(DRIFT, "warning", len(drift.new_rows), paths, message, remedy, tuple(moved), figures)


def _about_relabelled(changes: Changes) -> Finding:
    ways = Counter((one.before, one.label) for one in changes.relabelled).most_common()
    shown = ", ".join(f"{before!r} -> {label!r} ({count:,})" for (before, label), count in ways[:3])
    more = ", ..." if len(ways) > 3 else ""
    message = f"{len(changes.relabelled):,} inputs have another label than in the old data: {shown}{more}."
    return Finding(
        "relabelled",
        "warning",
        len(changes.relabelled),
        tuple(one.path for one in changes.relabelled[:_SHOWN]),
        message,
        "Were they corrected, or did something slip? Relabel what slipped by a decision (noria check DATA --page).",
        tuple(Suspect(one.path, one.label, 1.0, one.other, one.before) for one in changes.relabelled),
    )


def _about_labels(kind: str, labels: Sequence[str], what: str) -> Iterator[Finding]:
    if labels:
        shown = ", ".join(repr(label) for label in labels[:5]) + (", ..." if len(labels) > 5 else "")
        message = f"{len(labels):,} label{'s' if len(labels) > 1 else ''} {what}: {shown}."
        yield Finding(
            kind,
            "warning",
            len(labels),
            tuple(labels[:_SHOWN]),
            message,
            "A model knows its own labels only: train it anew (noria train NEW), or relabel.",
        )
