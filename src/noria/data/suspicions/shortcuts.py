"""Pictures -> the classes that can be told without looking at what the pictures show: a model would do just that.

A naive Bayes classifier, cross-validated, is given nothing but how the files are: format, size, camera, bytes, the
outermost rim, or the colour of the background. A class that it tells from all others far better than a coin does is a
finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Example, Finding
from noria.data.suspicions import Looked
from noria.inputs.image import open_sketches

KINDS = frozenset({"shortcut"})

_CLEAR = 0.7  # the balanced accuracy that a class must exceed, beyond doubt; 0.5 is chance
_CLEARER = 0.8  # the same for what also depends, in part, on what the pictures show
_MARGIN = 0.05  # by which it must exceed what the pictures themselves tell as easily
_FOLDS, _BINS, _SEED = 5, 10, 0
_FEWEST = 10  # units of a class
_MOST = 20_000  # examples that are looked at
_Z = 1.96
_RIM = 2  # of 48 pixels
_INNER = 12
_SHOWN = 20  # classes named in a finding

_Codes = NDArray[np.int64]
_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The balanced accuracy of telling one class from all others, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Trait:
    """Something about files that should not tell what they show."""

    name: str
    columns: Sequence[_Codes]  # each (n,) small numbers that stand for values or ranges of them
    clear: float = _CLEAR
    rival: Sequence[_Codes] = ()  # the same of what may well tell the classes; then the trait must tell them better


def suspicions(looked: Looked) -> list[Finding]:
    """Return a finding for each trait of the files that gives a class away."""
    labels, truth = np.unique([one.label for one in looked.examples], return_inverse=True)
    if len(labels) < 2:
        return []
    chosen = np.flatnonzero([bool(one.facts.get("taken")) for one in looked.examples])
    chosen = chosen[_spread(len(chosen))]
    examples = [looked.examples[place] for place in chosen.tolist()]
    units, truth = np.asarray(looked.units, np.int64)[chosen], truth[chosen]
    found = []
    for trait in _traits(examples, [looked.sketches[place] for place in chosen.tolist()] if looked.sketches else []):
        told = told_apart(trait.columns, truth, units, len(labels))
        against = told_apart(trait.rival, truth, units, len(labels)) if trait.rival else {}
        given_away = {
            str(labels[number]): one
            for number, one in told.items()
            if one.low > max(trait.clear, against[number].high + _MARGIN if number in against else 0.0)
        }
        if given_away:
            found.append(_finding(trait, given_away))
    return found


def told_apart(columns: Sequence[_Codes], truth: _Codes, units: _Codes, count: int) -> dict[int, Accuracy]:
    """Return for each class how well it is told from all others by naive Bayes on codes, cross-validated over units.

    Args:
        columns: each (n,) codes from 0.
        truth: (n,) the class of each example.
        units: (n,) what must not be on both sides.
        count: how many classes there are.
    """
    sizes = np.bincount(truth[np.unique(units, return_index=True)[1]], minlength=count)
    scores = np.zeros((len(truth), count))
    _, unit = np.unique(units, return_inverse=True)
    fold = np.random.default_rng(_SEED).permutation(unit.max(initial=0) + 1)[unit] % _FOLDS
    for number in range(_FOLDS):
        test = fold == number
        for column in columns:
            table = _log_odds(column[~test], truth[~test], count, int(column.max()) + 1)
            scores[test] += table[:, column[test]].T
    told = {}
    for number in np.flatnonzero((sizes >= _FEWEST) & (sizes.sum() - sizes >= _FEWEST)).tolist():
        of_class, said = truth == number, scores[:, number] > 0
        told[number] = _balanced(
            float(said[of_class].mean()),
            int(sizes[number]),
            float((~said[~of_class]).mean()),
            int(sizes.sum() - sizes[number]),
        )
    return told


def _log_odds(codes: _Codes, truth: _Codes, count: int, values: int) -> _Values:
    """Return (count, values): log of P(value | class) / P(value | any other class), with one added to each count."""
    counts = np.bincount(truth * values + codes, minlength=count * values).reshape(count, values).astype(np.float64)
    others = counts.sum(axis=0) - counts
    shares = [(table + 1) / (table.sum(axis=1, keepdims=True) + values) for table in (counts, others)]
    odds: _Values = np.log(shares[0]) - np.log(shares[1])
    return odds


def _balanced(recall: float, positives: int, specificity: float, negatives: int) -> Accuracy:
    """Wilson's intervals of both shares, combined (Newcombe 1998, method 10)."""
    value = (recall + specificity) / 2
    bounds = [_wilson(recall, positives), _wilson(specificity, negatives)]
    down = np.hypot(recall - bounds[0][0], specificity - bounds[1][0]) / 2
    up = np.hypot(bounds[0][1] - recall, bounds[1][1] - specificity) / 2
    return Accuracy(value, float(value - down), float(min(1.0, value + up)))


def _wilson(share: float, count: int) -> tuple[float, float]:
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return float(centre - half), float(centre + half)


def _traits(examples: Sequence[Example], sketches: Sequence[bytes]) -> Iterator[_Trait]:
    facts = [one.facts for one in examples]
    width, height, weight = (
        np.array([one[name] for one in facts], np.float64) for name in ("width", "height", "bytes")
    )
    yield _Trait("file format or pixel format", [_named([f"{one['format']} {one['mode']}" for one in facts])])
    yield _Trait("camera", [_named([one["taken"]["camera"] for one in facts])])
    exact = _named([f"{one['width']}x{one['height']}" for one in facts])
    yield _Trait("size or aspect", [exact, _ranges(np.log(width * height)), _ranges(np.log(width / height))])
    shown = [np.array([one["taken"][name] for one in facts]) for name in ("brightness", "contrast", "sharpness")]
    detail = np.log(shown[1] * shown[2] + 0.1)
    left = np.log(weight) - _fitted(np.log(weight), [np.log(width * height), detail, detail**2])
    yield _Trait("bytes of the file, given its size and detail", [_ranges(left)], _CLEARER, _all_ranges(shown))
    around, middle = (
        [np.array(one) for one in zip(*(each["taken"][where] for each in facts), strict=True)]
        for where in ("around", "middle")
    )
    yield _Trait("background (the colours around what is shown)", _all_ranges(around), _CLEARER, _all_ranges(middle))
    if sketches:
        grey = open_sketches(sketches)[0].astype(np.float32)
        inner = grey[:, _INNER:-_INNER, _INNER:-_INNER]
        yield _Trait("outermost rim", _rim(grey), _CLEARER, _rim(inner))


def _rim(grey: NDArray[np.float32]) -> list[_Codes]:
    """The mean and the deviation of a strip along each side."""
    sides = (grey[:, :_RIM], grey[:, -_RIM:], grey[:, :, :_RIM], grey[:, :, -_RIM:])
    strips = [side.reshape(len(grey), -1).astype(np.float64) for side in sides]
    return _all_ranges([measured for strip in strips for measured in (strip.mean(axis=1), strip.std(axis=1))])


def _fitted(values: _Values, by: Sequence[_Values]) -> _Values:
    """Values as a linear function of others explains them, by least squares."""
    matrix = np.stack([np.ones(len(values)), *by], axis=1)
    solved, *_ = np.linalg.lstsq(matrix, values, rcond=None)
    fitted: _Values = matrix @ solved
    return fitted


def _all_ranges(columns: Sequence[_Values]) -> list[_Codes]:
    return [_ranges(values) for values in columns]


def _ranges(values: _Values) -> _Codes:
    """The number of each value's range; ranges hold about as many values each; a frequent value is its own."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(values) else values
    return (np.searchsorted(edges, values, side="left") + np.searchsorted(edges, values, side="right")).astype(np.int64)


def _named(names: Sequence[str]) -> _Codes:
    """The number of each name; all rare ones have one number."""
    _, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
    rare = counts < _FEWEST
    numbers = np.where(rare, 0, np.cumsum(~rare))
    return numbers[codes].astype(np.int64)


def _spread(count: int) -> _Codes:
    return (
        np.unique(np.linspace(0, count - 1, min(count, _MOST)).round().astype(np.int64))
        if count
        else np.zeros(0, np.int64)
    )


def _finding(trait: _Trait, given_away: dict[str, Accuracy]) -> Finding:
    names = sorted(given_away, key=lambda label: (-given_away[label].value, label))
    shown = [given_away[label] for label in names[:_SHOWN]]
    told = [
        f"{label!r} ({given_away[label].value:.0%}, 95 %: {given_away[label].low:.0%} to {given_away[label].high:.0%})"
        for label in names[:5]
    ]
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    classes = "1 class" if len(names) == 1 else f"{len(names):,} classes"
    return Finding(
        "shortcut",
        "warning",
        len(names),
        tuple(names[:_SHOWN]),
        f"{classes} can be told by nothing but the {trait.name}: {', '.join(told)}{more}. The figure is the balanced "
        "accuracy of telling the class from all others without seeing what the pictures show; chance is 50 %.",
        "A model may learn this instead of what is shown, and fail where it does not hold. Collect or store all "
        "classes in the same way; it does no harm only where it belongs to the thing itself.",
        figures={  # of each of the examples, in their order
            "balanced_accuracy": [one.value for one in shown],
            "balanced_accuracy_low": [one.low for one in shown],
            "balanced_accuracy_high": [one.high for one in shown],
        },
    )
