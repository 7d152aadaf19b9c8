"""Scores by models that did not see the examples -> findings: likely wrong labels, and what a leak would claim.

The cost of a split that cannot leak is the accuracy that the leak would have claimed too much. It is measured by the
same quick models that doubt the labels: once with copies and groups on one side, once as if nobody had looked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Example, Figures, Finding
from noria.data import wrong_labels
from noria.data.folds import LEARNT, OUT, Folds, folds_of
from noria.data.unsearched import Unsearched
from noria.errors import NotSearchedError

LEAK_COST = "leak_cost"
_SEARCHES = ("wrong labels", "leak cost")
KINDS = frozenset({wrong_labels.KIND, LEAK_COST})
_WORTH_TELLING = 0.01  # of the examples have a copy or a group; fewer change the accuracy by less than that
_FEWEST_UNITS = 3  # of a label: copies and members of a group are one
_BOOTSTRAPS, _SEED = 400, 0
_SHOWN = 20

Scores = NDArray[np.float32]
Indices = NDArray[np.int64]
# Examples, where each lies or its bytes, and foldings -> scores (n, C) for each folding, or None where none can be.
HeldOut = Callable[[Sequence[Example], Callable[[Example], Path | bytes], Sequence[Folds]], Sequence[Scores] | None]


def judge(
    examples: Sequence[Example],
    units: Sequence[int],
    leaked: Sequence[Example],
    source_of: Callable[[Example], Path | bytes],
    held_out: HeldOut,
    unsearched: Unsearched,
) -> list[Finding]:
    """Return the findings about labels and about leaks.

    Args:
        units: (n,) what stays on one side has the same number.
        leaked: what a given split put into train, and was left out because it leaks.
        unsearched: is told where there are too few examples, or no scores of them.
    """
    try:
        return _judged(examples, units, leaked, source_of, held_out)
    except NotSearchedError as error:
        unsearched[str(error)] += _SEARCHES
        return []


def _judged(
    examples: Sequence[Example],
    units: Sequence[int],
    leaked: Sequence[Example],
    source_of: Callable[[Example], Path | bytes],
    held_out: HeldOut,
) -> list[Finding]:
    names = sorted({one.label for one in (*examples, *leaked)})
    if len({one.label for one in examples}) < 2:
        return []
    if len(examples) < wrong_labels.FEWEST:
        raise NotSearchedError(f"It takes {wrong_labels.FEWEST} examples, and these are {len(examples)}: add some.")
    index = {name: number for number, name in enumerate(names)}
    labels = np.array([index[one.label] for one in (*examples, *leaked)], np.int64)
    count = len(examples)
    judged = _judgeable(units, labels[:count])
    usual = np.append(np.where(judged, folds_of(units, labels[:count]), OUT), np.full(len(leaked), OUT))
    pair = _as_given(examples, len(leaked)) if leaked else _as_if_untied(units, labels)
    scores = held_out([*examples, *leaked], source_of, [usual, *pair])
    if scores is None:
        return []
    doubts = wrong_labels.doubt(scores[0][:count][judged], labels[:count][judged])
    found = wrong_labels.finding(doubts, [examples[place] for place in np.flatnonzero(judged).tolist()], names)
    if pair:
        with_leaks, without = (scores[1], scores[2]) if leaked else (scores[1], scores[0])
        judged = pair[0][:count] >= 0 if leaked else judged
        right = [(one[:count].argmax(axis=1) == labels[:count])[judged] for one in (with_leaks, without)]
        tied = [one.path for one in leaked] or [examples[place].path for place in _tied(units)]
        found.append(_cost(right, np.asarray(units)[judged], tied, given=bool(leaked)))
    return found


def _judgeable(units: Sequence[int], labels: Indices) -> NDArray[np.bool_]:
    """Return (n,) which examples can be judged: a model that knows a label from no other unit would deny it to all."""
    unit_and_label = np.unique(np.stack([np.asarray(units, np.int64), labels], axis=1), axis=0)
    enough = np.bincount(unit_and_label[:, 1]) >= _FEWEST_UNITS
    if np.count_nonzero(enough) < 2:
        raise NotSearchedError(
            f"It takes two labels with {_FEWEST_UNITS} examples each that are no copies of one another, and of "
            f"{_FEWEST_UNITS} videos or groups where there are such: add some."
        )
    return np.asarray(enough[labels], np.bool_)


def _as_given(examples: Sequence[Example], leaked: int) -> list[Folds]:
    """Learn from train, once with what was left out; score test, or where there is none validation."""
    sides = {one.split for one in examples}
    judge_side = "test" if "test" in sides else "validation"
    if not {judge_side, "train"} <= sides:
        return []
    fold = {judge_side: 0, "train": LEARNT}
    folds = np.array([fold.get(one.split, OUT) for one in examples], np.int64)
    return [np.append(folds, np.full(leaked, place)) for place in (LEARNT, OUT)]


def _as_if_untied(units: Sequence[int], labels: Indices) -> list[Folds]:
    """Deal out each example by itself, where enough of them are tied."""
    return [folds_of(range(len(labels)), labels)] if len(_tied(units)) >= _WORTH_TELLING * len(labels) else []


def _tied(units: Sequence[int]) -> list[int]:
    """Return the places of those that are in a unit with others."""
    sizes = Counter(units)
    return [place for place, unit in enumerate(units) if sizes[unit] > 1]


def _cost(right: Sequence[NDArray[np.bool_]], units: Indices, tied: Sequence[str], *, given: bool) -> Finding:
    leaking, sound = (float(one.mean()) for one in right)
    low, high = _interval(right[0].astype(np.float64) - right[1], units)
    points = f"{100 * (leaking - sound):+.1f} points, 95 %: {100 * low:+.1f} to {100 * high:+.1f}"
    if given:
        message = (
            f"The given split leaks: learnt with the {len(tied):,} inputs that are left out, a quick model has "
            f"{leaking:.1%} of {len(units):,} right; without them, {sound:.1%} ({points})."
        )
    else:
        message = (
            f"{len(tied):,} inputs have a copy or a group. Split as if they had none, a quick model claims to have "
            f"{leaking:.1%} right; kept together as they are here, {sound:.1%} ({points})."
        )
    remedy = (
        "Compare with other figures only where they are from a split without leaks. What is not tied can be said to be "
        "different (noria check DATA --page)."
    )
    figures: Figures = {
        "accuracy_with_leaks": leaking,
        "accuracy_without_leaks": sound,
        "accuracy_difference": leaking - sound,
        "accuracy_difference_interval": [low, high],
        "scored": len(units),
    }
    return Finding(LEAK_COST, "info", len(tied), tuple(tied[:_SHOWN]), message, remedy, figures=figures)


def _interval(differences: NDArray[np.float64], units: Indices) -> tuple[float, float]:
    """Return the 95 % interval of the mean of (n,) differences: a bootstrap of whole units (Efron 1979)."""
    _, unit_of = np.unique(units, return_inverse=True)
    sums, sizes = np.bincount(unit_of, weights=differences), np.bincount(unit_of)
    drawn = np.random.default_rng(_SEED).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), _BOOTSTRAPS)
    low, high = np.quantile((drawn @ sums) / np.maximum(drawn @ sizes, 1), [0.025, 0.975])
    return float(low), float(high)
