"""Scores of models that did not see the examples -> which labels are likely wrong, and how many.

Confident learning: a label is doubted where another one is as probable as it usually is for the examples that carry it.
Source: Northcutt, Jiang and Chuang, "Confident learning", JAIR 2021 (arXiv 1911.00068).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Example, Figures, Finding, Suspect

KIND = "wrong_labels"
FEWEST = 60  # examples; fewer say nothing
_SHOWN = 20  # examples named in a finding
_BOOTSTRAPS, _SEED = 400, 0
_LEVEL = 0.95

Scores = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Doubts:
    """What is thought of n labels."""

    sureness: NDArray[np.float64]  # (n,) from 0 to 1: how likely each label is wrong; ranks all of them
    suggested: Indices  # (n,) the label that each seems to have, as an index
    wrong: Indices  # indices of those that are doubted, the surest first
    rate: float  # estimated share of wrong labels
    interval: tuple[float, float]  # of the rate, 95 %
    agreement: float  # share of the labels that the scores are highest for


def doubt(scores: Scores, labels: Indices) -> Doubts:
    """Return which labels are doubted.

    Args:
        scores: (n, C) probabilities, each row from a model that was not trained on that example.
        labels: (n,) indices of the given labels.
    """
    count, classes = scores.shape
    own = scores[np.arange(count), labels].astype(np.float64)
    usual = np.array([own[labels == label].mean() if np.any(labels == label) else np.inf for label in range(classes)])
    above = np.where(scores >= usual, scores, -1.0)  # (n, C): labels that an example is confidently of
    confident = np.where(above.max(axis=1) >= 0, above.argmax(axis=1), labels)
    others = scores.astype(np.float64)
    others[np.arange(count), labels] = -1
    suggested = others.argmax(axis=1)
    sureness = np.clip(1 - own, 0, 1)
    wrong = np.flatnonzero(confident != labels)
    wrong = wrong[np.argsort(-sureness[wrong], kind="stable")]
    decided = above.max(axis=1) >= 0
    rate, interval = _noise_rate(labels[decided], confident[decided], np.bincount(labels, minlength=classes))
    agreement = float((scores.argmax(axis=1) == labels).mean())
    return Doubts(sureness, suggested, wrong, rate, interval, agreement)


def finding(doubts: Doubts, examples: Sequence[Example], names: Sequence[str]) -> list[Finding]:
    """Return the finding about labels that are likely wrong; none where none is.

    Args:
        examples: those that the scores are of, in order.
        names: of the labels, in the order of the columns of the scores.
    """
    if not doubts.wrong.size:
        return []
    suspects = tuple(
        Suspect(examples[place].path, examples[place].label, round(float(doubts.sureness[place]), 3),
                suggested=names[doubts.suggested[place]])
        for place in doubts.wrong.tolist()
    )  # fmt: skip
    low, high = doubts.interval
    what = "1 label is" if len(suspects) == 1 else f"{len(suspects):,} labels are"
    message = (
        f"{what} likely wrong: a model that did not see them is as sure of another one as it usually is when it is "
        f"right. Of all labels, an estimated {doubts.rate:.1%} are wrong (95 %: {low:.1%} to {high:.1%}), if it errs "
        f"nowhere itself: it agrees with {doubts.agreement:.1%} of them. Of a weak model, read that as the most."
    )
    remedy = "Look at them, the surest first: noria check DATA --page. Test figures with wrong labels are too low."
    paths = tuple(one.path for one in suspects[:_SHOWN])
    figures: Figures = {"noise_rate": doubts.rate, "noise_rate_interval": [low, high], "agreement": doubts.agreement}
    return [Finding(KIND, "warning", len(suspects), paths, message, remedy, suspects, figures)]


def _noise_rate(labels: Indices, confident: Indices, sizes: NDArray[np.int64]) -> tuple[float, tuple[float, float]]:
    """Return the share of wrong labels as the confident ones say, and its bootstrap interval (Efron 1979)."""
    classes = len(sizes)
    joint = np.bincount(labels * classes + confident, minlength=classes * classes)
    drawn = np.random.default_rng(_SEED).multinomial(len(labels), joint / max(int(joint.sum()), 1), _BOOTSTRAPS)
    rates = np.sort([_rate(one.reshape(classes, classes), sizes) for one in drawn])
    low, high = np.quantile(rates, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return _rate(joint.reshape(classes, classes), sizes), (float(low), float(high))


def _rate(joint: NDArray[np.int64], sizes: NDArray[np.int64]) -> float:
    """Scale each label's row to how many examples carry it, and return the share off the diagonal."""
    rows = np.maximum(joint.sum(axis=1), 1)
    wrong = (rows - np.diagonal(joint)) / rows
    return float((np.where(joint.sum(axis=1) > 0, wrong, 0.0) * sizes).sum() / max(int(sizes.sum()), 1))
