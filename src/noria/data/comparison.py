"""Two datasets -> what is new, gone, relabelled and renamed, and how the labels' shares have changed.

An input is known by the SHA-256 of its bytes and of what it decodes to, never by its name: a file that was moved,
renamed or stored in another format is not new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.artifacts.dataset import Dataset, nfc
from noria.contracts import Example
from noria.data.drift import draw
from noria.data.duplicates import exact_duplicates, join, members

FEWEST = 20  # independent inputs on each side; fewer say nothing of shares
_PERMUTATIONS = 9_999


@dataclass(frozen=True, slots=True)
class Relabelled:
    """An input that both datasets have, under different labels."""

    path: str  # in the new dataset
    other: str  # in the old one
    label: str
    before: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of an old dataset."""

    added: tuple[Example, ...]  # inputs that only the new dataset has
    gone: tuple[Example, ...]  # inputs that only the old one has
    kept: tuple[Example, ...]  # the old examples of inputs that both have
    relabelled: tuple[Relabelled, ...]
    renamed: tuple[tuple[str, str], ...]  # path in the old dataset, in the new one
    edited: tuple[str, ...]  # the path is in both, the input under it another
    set_aside: tuple[str, ...]  # paths of those that are gone because the new check has set them aside


@dataclass(frozen=True, slots=True)
class Shares:
    """How the labels' shares of two sides differ, tested on one input of each group."""

    compared: tuple[int, int]  # independent inputs of the first side and of the second
    cramers_v: float  # 0 the same shares, 1 no label in common
    p_value: float


def compare(new: Dataset, old: Dataset) -> Changes:
    """Return what is in one dataset and not in the other, and what changed in both."""
    every = [*new.examples, *old.examples]
    groups = exact_duplicates([one.sha256 for one in every], [one.content_sha256 for one in every])
    added, gone, kept, relabelled, renamed = list[Example](), list[Example](), list[Example](), [], []
    named = not (_has_cells(new) or _has_cells(old))  # a row's name is its line, which moves with every row before it
    for places in members(groups):
        now = [every[place] for place in places if place < len(new.examples)]
        before = [every[place] for place in places if place >= len(new.examples)]
        if not before:
            added += now
        elif not now:
            gone += before
        else:
            kept += before
            if now[0].label != before[0].label:  # within a dataset copies of one input have one label
                relabelled += [Relabelled(one.path, before[0].path, one.label, before[0].label) for one in now]
            elif named:
                renamed += _renamed(now, before)
    new_paths = {nfc(one.path) for one in added} if named else set()
    aside = {one.sha256 for one in new.set_aside if one.sha256}
    return Changes(
        added=tuple(added),
        gone=tuple(gone),
        kept=tuple(kept),
        relabelled=tuple(relabelled),
        renamed=tuple(renamed),
        edited=tuple(one.path for one in gone if nfc(one.path) in new_paths),
        set_aside=tuple(one.path for one in gone if one.sha256 in aside),
    )


def units(examples: Sequence[Example], near: Sequence[int] | None = None) -> list[int]:
    """Return a number for each example: the same for copies, members of a group, and what `near` gives one number."""
    return join(
        (
            ("bytes", one.sha256),
            ("content", one.content_sha256),
            *((("group", one.group),) if one.group else ()),
            *((("near", near[place]),) if near is not None else ()),
        )
        for place, one in enumerate(examples)
    )


def compare_shares(first: Sequence[Example], second: Sequence[Example], *, seed: int) -> Shares | None:
    """Test whether two sides have the same shares of labels, or return None where one is too small to tell.

    Chi-square, its p-value by permutation: labels that few inputs have are no trouble. Of each group one input is
    drawn, for its members are not independent.
    """
    random = np.random.default_rng(seed)
    numbers = np.array(units([*first, *second]), np.int64)
    drawn = [
        [side[place] for place in draw(own, len(side), random)]
        for side, own in ((first, numbers[: len(first)]), (second, numbers[len(first) :]))
    ]
    if min(map(len, drawn)) < FEWEST:
        return None
    counts = [Counter(one.label for one in side) for side in drawn]
    labels = sorted(set().union(*counts))
    table = np.array([[side[label] for label in labels] for side in counts], np.int64)  # (2, C)
    found = _chi_square(table[0], table)[0]
    permuted = random.multivariate_hypergeometric(table.sum(axis=0), len(drawn[0]), _PERMUTATIONS)
    as_far = int(np.count_nonzero(_chi_square(permuted, table) >= found - 1e-9))
    return Shares(
        compared=(len(drawn[0]), len(drawn[1])),
        cramers_v=float(np.sqrt(found / table.sum())),
        p_value=(1 + as_far) / (1 + _PERMUTATIONS),
    )


def shares_by_label(sides: Mapping[str, Sequence[Example]]) -> list[dict[str, Any]]:
    """Return a row for each label, those that changed most first: `label`, and its share in each of the sides."""
    counts = {name: Counter(one.label for one in examples) for name, examples in sides.items()}
    totals = {name: max(1, len(examples)) for name, examples in sides.items()}
    rows = [
        {"label": label, **{name: counts[name][label] / totals[name] for name in sides}}
        for label in sorted(set().union(*counts.values()))
    ]
    first, second = list(sides)[:2]
    return sorted(rows, key=lambda row: (-round(abs(row[first] - row[second]), 9), row["label"]))


def as_dict(changes: Changes) -> dict[str, Any]:
    """Return the changes as plain lists of paths, for JSON."""
    return {
        "added": [one.path for one in changes.added],
        "gone": [one.path for one in changes.gone],
        "kept": len(changes.kept),
        "relabelled": [asdict(one) for one in changes.relabelled],
        "renamed": [{"before": before, "now": now} for before, now in changes.renamed],
        "edited": list(changes.edited),
        "set_aside": list(changes.set_aside),
    }


def _has_cells(dataset: Dataset) -> bool:
    return bool(dataset.origin and dataset.origin["cells"])


def _renamed(now: Sequence[Example], before: Sequence[Example]) -> list[tuple[str, str]]:
    """Pairs of names of one input, those that both datasets have left out."""
    same = {nfc(one.path) for one in now} & {nfc(one.path) for one in before}
    left = [sorted(one.path for one in side if nfc(one.path) not in same) for side in (before, now)]
    return list(zip(*left, strict=False))


def _chi_square(first: NDArray[np.int64], table: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each row of counts (B, C) of the first side; the second has the rest of the table's sums."""
    sums = table.sum(axis=0)
    expected = sums * (table[0].sum() / sums.sum())
    # The second side differs by as much, from what is expected of it.
    differences: NDArray[np.float64] = np.square(np.atleast_2d(first) - expected)
    found: NDArray[np.float64] = (differences * (1 / expected + 1 / (sums - expected))).sum(axis=1)
    return found
