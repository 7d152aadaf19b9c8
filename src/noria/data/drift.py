"""Two sets of vectors -> whether they are from one source: how well they are told apart, a p-value, which rows moved.

A classifier two-sample test (Lopez-Paz and Oquab 2017): ridge classifiers learn to tell new rows from old and are asked
about rows that they did not see. How often the better one is right is the effect; how often chance does as well is p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.errors import DataError

FEWEST = 20  # independent rows of a set; fewer say nothing
MOST = 5_000  # rows of a set that are compared: the figure is then good to a hundredth
PERMUTATIONS = 499

_FOLDS = 5
# Degrees of freedom for each row that is learnt from. Few see that there are more roses now, or fewer unusual pictures;
# many see faint blur. bench/drift.py measures both.
_FREEDOM = (0.01, 0.3)
_SMALLEST_DEVIATION = 0.1  # of a column, in units of the usual one: what hardly varies must not be blown up
_AT_ONCE = 100  # permutations in memory together
_NORMAL = 1.959964  # two-sided 95 %

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a new set of vectors lies from an old one."""

    auc: float  # how often a new row is told from an old one: 0.5 by chance, 1.0 always
    interval: tuple[float, float]  # 95 %, of the AUC
    p_value: float  # how often sets from one source are told apart as well
    new_rows: Indices  # the rows of the new set that were compared, those that moved most first
    positions: Floats  # of each of these, the share of old rows that look less new
    old_rows: Indices  # the rows of the old set that were compared


@dataclass(frozen=True, slots=True)
class _Outcome:
    p_value: float
    by_chance: NDArray[np.float64]  # the AUC of each permutation


def measure(
    new: Floats,
    old: Floats,
    *,
    new_units: Sequence[int] | None = None,
    old_units: Sequence[int] | None = None,
    seed: int = 0,
    most: int = MOST,
    permutations: int = PERMUTATIONS,
) -> Drift | None:
    """Compare two sets of vectors, or return None where one of them has fewer than 20 independent rows.

    The p-value is exact: where both sets are from one source it is p or less with a probability of p at most. Labels
    are permuted within the folds, each of which holds both sets in proportion; for every permutation the classifiers
    learn anew, and the better one is taken anew. Ridge regression is linear in its labels, so that is a product of
    matrices. Time and memory do not grow with the sets beyond `most`: 10,000 rows of 1,280 numbers take some
    seconds and 300 MiB.

    Args:
        new: (n, D) float32.
        old: (m, D) float32.
        new_units: a number for each row; rows of one number (of one group, copies) are not independent, and one of
            them is drawn.
        old_units: the same for `old`, in the same numbers. A unit may be in both: its rows are in one fold then.
        seed: of what is drawn and of the permutations.
        most: rows of each set that are drawn at most.

    Raises:
        DataError: a vector holds a value that is not finite.
    """
    random = np.random.default_rng(seed)
    units = [np.arange(len(new)) if new_units is None else np.asarray(new_units, np.int64)]
    units.append(np.arange(len(new), len(new) + len(old)) if old_units is None else np.asarray(old_units, np.int64))
    chosen = [draw(some, most, random) for some in units]
    if min(map(len, chosen)) < FEWEST:
        return None
    is_new = np.arange(sum(map(len, chosen))) < len(chosen[0])
    folds = _folds(units[0][chosen[0]], units[1][chosen[1]], random)
    order = random.permutation(is_new.size)  # equal scores are ranked by place, which must not know the sets
    rows = _standardised(np.concatenate([new[chosen[0]], old[chosen[1]]])[order])
    classifiers = _classifiers(rows, folds[order])
    scores = np.empty(is_new.size, np.float32)
    scores[order], outcome = _compared(classifiers, is_new[order], folds[order], permutations, random)
    return _told(scores, is_new, chosen, outcome)


def draw(units: Sequence[int] | Indices, most: int, random: np.random.Generator) -> Indices:
    """Return ascending places, one of each unit, `most` at most."""
    order = random.permutation(len(units))
    _, first = np.unique(np.asarray(units, np.int64)[order], return_index=True)
    places = order[first]
    return np.sort(random.choice(places, most, replace=False) if places.size > most else places)


def auc_interval(auc: float, first: int, second: int, widening: float = 1.0) -> tuple[float, float]:
    """Return the 95 % interval of an AUC between `first` and `second` rows (Newcombe 2006, part 2, method 5).

    Args:
        widening: the deviation in units of that which rows with fixed scores would have.
    """
    pairs, half = first * second, (first + second) / 2 - 1

    def too_far(theta: float) -> bool:
        spread = 1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)
        return bool(abs(auc - theta) > widening * _NORMAL * np.sqrt(theta * (1 - theta) * spread / pairs))

    return _edge(auc, 0.0, too_far), _edge(auc, 1.0, too_far)


def _edge(inside: float, outside: float, too_far: Callable[[float], bool]) -> float:
    for _ in range(40):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if too_far(middle) else (middle, outside)
    return inside


def _told(scores: Floats, is_new: Labels, chosen: Sequence[Indices], outcome: _Outcome) -> Drift:
    new, old = scores[is_new], np.sort(scores[~is_new])
    positions = (np.searchsorted(old, new, "left") + np.searchsorted(old, new, "right")) / (2 * old.size)
    auc = float(positions.mean())
    order = np.argsort(-new, kind="stable")
    # Scores of rows that were learnt from together vary more than fixed ones: by as much as the permutations show.
    fixed = np.sqrt((is_new.size + 1) / (12 * new.size * old.size))
    by_chance = np.sqrt(np.square(outcome.by_chance - 0.5).mean())
    return Drift(
        auc=auc,
        interval=auc_interval(auc, new.size, old.size, max(1.0, float(by_chance / fixed))),
        p_value=outcome.p_value,
        new_rows=chosen[0][order],
        positions=positions[order].astype(np.float32),
        old_rows=chosen[1],
    )


def _folds(new_units: Indices, old_units: Indices, random: np.random.Generator) -> Indices:
    """The fold of each row, new ones first: as many of each set in every fold, and a unit of both sets in one."""
    both = np.intersect1d(new_units, old_units)
    distinct, place = np.unique(np.concatenate([new_units, old_units]), return_inverse=True)
    shuffled = random.permutation(distinct.size)[place]
    folds = np.empty(place.size, np.int64)
    for units, start in ((new_units, 0), (old_units, new_units.size)):
        own = slice(start, start + units.size)
        folds[own][np.lexsort((shuffled[own], ~np.isin(units, both)))] = np.arange(units.size) % _FOLDS
    return folds


def _standardised(rows: Floats) -> Floats:
    """Columns of mean 0 and deviation 1 over both sets together, so that the sets cannot be told by it."""
    if not np.isfinite(rows).all():
        raise DataError("Some vectors hold values that are not finite, so the sets cannot be compared.")
    centred: Floats = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = np.sqrt(np.square(centred).mean(axis=0, dtype=np.float64))
    floor = _SMALLEST_DEVIATION * np.sqrt(np.square(deviation).mean()) + np.finfo(np.float32).tiny
    centred /= np.maximum(deviation, floor).astype(np.float32)
    return centred


def _classifiers(rows: Floats, folds: Indices) -> list[Callable[[Labels], Floats]]:
    """Return what gives each row's score, learnt from the other folds: labels (n, B) -> scores (n, B)."""
    if len(rows) < rows.shape[1]:  # as many columns as rows hold all that rows say of one another
        strengths, axes = np.linalg.eigh((rows @ rows.T).astype(np.float64))
        rows = (axes * np.sqrt(np.maximum(strengths, 0))).astype(np.float32)
        products = np.diag(np.maximum(strengths, 0))
    else:
        products = (rows.T @ rows).astype(np.float64)
        strengths = np.linalg.eigvalsh(products)
    ridges = [_ridge(np.maximum(strengths, 0), freedom * len(rows)) for freedom in _FREEDOM]
    return [_classifier(rows, folds, products, ridge) for ridge in ridges]


def _classifier(
    rows: Floats, folds: Indices, products: NDArray[np.float64], ridge: float
) -> Callable[[Labels], Floats]:
    asked = []
    for fold in range(_FOLDS):
        own = rows[folds == fold]
        learnt_from = products - (own.T @ own).astype(np.float64) + ridge * np.eye(len(products))
        asked.append(own @ np.linalg.inv(learnt_from).astype(np.float32))

    def scores_of(labels: Labels) -> Floats:
        targets = labels.astype(np.float32) - labels.mean(axis=0, dtype=np.float32)
        scores: Floats = np.empty_like(targets)
        total = rows.T @ targets
        for fold in range(_FOLDS):
            own = folds == fold
            scores[own] = asked[fold] @ (total - rows[own].T @ targets[own])
        return scores

    return scores_of


def _ridge(strengths: NDArray[np.float64], freedom: float) -> float:
    """The penalty that leaves so many degrees of freedom; it looks at the rows, not at which set they are of."""
    wanted = min(max(freedom, 2.0), np.count_nonzero(strengths > strengths.max() * 1e-9) / 2)
    low, high = 1e-9, 1e9
    for _ in range(60):
        middle = np.sqrt(low * high)
        free = (strengths / (strengths + middle * strengths.mean() + 1e-30)).sum()
        low, high = (middle, high) if free > wanted else (low, middle)
    share_learnt_from = (_FOLDS - 1) / _FOLDS
    return float(high * strengths.mean() * share_learnt_from + 1e-6)


def _compared(
    classifiers: Sequence[Callable[[Labels], Floats]],
    is_new: Labels,
    folds: Indices,
    permutations: int,
    random: np.random.Generator,
) -> tuple[Floats, _Outcome]:
    """Return the scores (n,) of the classifier that tells the sets apart better, and what the permutations say."""
    scores = [scores_of(is_new[:, np.newaxis])[:, 0] for scores_of in classifiers]
    aucs = [np.array([_aucs(found[:, np.newaxis], is_new[:, np.newaxis])[0] for found in scores])[:, np.newaxis]]
    for start in range(0, permutations, _AT_ONCE):
        labels = np.repeat(is_new[:, np.newaxis], min(_AT_ONCE, permutations - start), axis=1)
        for fold in range(_FOLDS):
            own = folds == fold
            labels[own] = random.permuted(labels[own], axis=0)
        aucs.append(np.stack([_aucs(scores_of(labels), labels) for scores_of in classifiers]))
    every = np.concatenate(aucs, axis=1)  # (classifiers, 1 + permutations), the true labels first
    # In units of their own spread, over all columns alike: so the true labels are one permutation among others.
    standing = (every - every.mean(axis=1, keepdims=True)) / (every.std(axis=1, keepdims=True) + 1e-12)
    best, reached = standing.argmax(axis=0), standing.max(axis=0)
    as_good = np.count_nonzero(reached >= reached[0] - 1e-9)  # the true labels among them
    by_chance = np.take_along_axis(every, best[np.newaxis], axis=0)[0, 1:]
    return scores[best[0]], _Outcome(float(as_good / reached.size), by_chance)


def _aucs(scores: Floats, labels: Labels) -> NDArray[np.float64]:
    """The AUC of each column, from the ranks (Mann and Whitney 1947); equal scores are ranked by place."""
    sorted_labels = np.take_along_axis(labels, np.argsort(scores, axis=0, kind="stable"), axis=0)
    ranks = np.arange(1, len(scores) + 1, dtype=np.float64)
    new = labels.sum(axis=0)
    found: NDArray[np.float64] = (ranks @ sorted_labels - new * (new + 1) / 2) / (new * (len(scores) - new))
    return found
