"""Pictures -> those that are like no class: by the features of a network, far from the pictures of every label.

A picture's distance to a class is that to its k-th nearest there, so that a few strangers, however alike among
themselves, do not vouch for one another. Each is compared with so many of each class at most: linear growth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Finding, Suspect
from noria.data.similarity._whitening import spread_over, unit
from noria.data.suspicions import Looked
from noria.errors import NotSearchedError

KINDS = frozenset({"outlier"})

_FAR = 3.4  # deviations above the median
_TAIL = 0.9, 1.282  # a quantile, and where the normal distribution has it
_REFERENCES, _LEAST = 4000, 20  # pictures that each is compared with, of all classes together and of each
_NEAREST, _SHARE = 10, 0.02  # which neighbour counts; of a large class the one at this share of it
_FEW = 10  # units of a class below which nobody is accused of being unlike it
_FEWEST = 5 * _FEW  # pictures; fewer say nothing
_AT_ONCE = 2048
_SHOWN = 20

_Vectors = NDArray[np.float32]
_Indices = NDArray[np.int64]


def suspicions(looked: Looked) -> list[Finding]:
    """Return one finding with the pictures that are far from every class; nothing where there are no features.

    Raises:
        NotSearchedError: there are too few pictures to tell what is usual.
    """
    if not looked.examples:
        return []
    vectors = looked.features()
    if vectors is None or not vectors.size:
        return []
    if len(looked.examples) < _FEWEST:
        raise NotSearchedError(f"It takes {_FEWEST} pictures, and these are {len(looked.examples)}: add some.")
    examples, units = looked.examples, np.asarray(looked.units, np.int64)
    _, truth = np.unique([one.label for one in examples], return_inverse=True)
    firsts = np.unique(units, return_index=True)[1]
    sizes = np.bincount(truth[firsts], minlength=int(truth.max()) + 1)
    distances = class_distances(vectors, truth, units)
    scores = np.where(sizes[truth] >= _FEW, _beyond(distances), 0.0)
    order = sorted(np.flatnonzero(scores).tolist(), key=lambda place: (-scores[place], examples[place].path))
    suspects = tuple(Suspect(examples[at].path, examples[at].label, float(scores[at])) for at in order)
    return [_finding(suspects)] if suspects else []


def class_distances(vectors: _Vectors, truth: _Indices, units: _Indices) -> NDArray[np.float64]:
    """Return (n,): how far each example is from the class that it is nearest to; a cosine distance, 0 to 2.

    Args:
        vectors: (n, D) features, not below 0.
        truth: (n,) the class of each.
        units: (n,) copies, near copies and members of one group have the same: they do not vouch for one another.
    """
    # Features of a rectified network have long tails; logarithms keep one that is large from deciding alone.
    codes = unit(np.log1p(4 * np.maximum(vectors, 0)))
    firsts = np.unique(units, return_index=True)[1]
    classes = [firsts[truth[firsts] == number] for number in range(int(truth.max(initial=-1)) + 1)]
    most = max(_LEAST, _REFERENCES // max(1, len(classes)))
    distances = np.full(len(codes), 2.0)
    for members in classes:
        references = members[spread_over(len(members), most)] if len(members) else members
        rank = min(max(_NEAREST, round(_SHARE * len(references))), (len(references) + 1) // 2)
        if not rank:
            continue
        for start in range(0, len(codes), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            likeness = codes[some] @ codes[references].T
            likeness[units[some, None] == units[references]] = -1
            distances[some] = np.minimum(distances[some], 1 - np.partition(likeness, -rank, axis=1)[:, -rank])
    return distances


def _beyond(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n,): how sure, from 0.5 to 1, for what is far beyond the others; 0 for all else."""
    median, tail = np.quantile(distances, (0.5, _TAIL[0]))
    above = distances[distances > median] - median
    if not above.size:
        return np.zeros(len(distances))
    deviation = max(1.4826 * float(np.median(above)), float(tail - median) / _TAIL[1])
    excess = (distances - median) / (_FAR * max(deviation, 1e-6)) - 1
    return np.where(excess > 0, np.round(np.clip(0.5 + excess / 2, 0.5, 1), 3), 0.0)


def _finding(suspects: tuple[Suspect, ...]) -> Finding:
    count = len(suspects)
    pictures = "1 picture that is" if count == 1 else f"{count:,} pictures that are"
    return Finding(
        "outlier",
        "info",
        count,
        tuple(one.path for one in suspects[:_SHOWN]),
        f"{pictures} unlike those of every class: of something else, or of something rare.",
        "Look at them (noria check DATA --page): drop what belongs to no class, keep what is only rare.",
        suspects,
    )
