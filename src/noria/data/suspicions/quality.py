"""Pictures -> those that were taken badly: blank, blurred, too dark, too bright, of an odd shape or size.

Each has to fail twice: by a bound that holds for all pictures, and against the others of its class. So neither pictures
from a night camera nor smooth steel are accused as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Example, Finding, Suspect
from noria.data.suspicions import Looked

KINDS = frozenset({"blank", "blurred", "dark", "bright", "odd_shape", "odd_size"})

_BLANK = 4.0  # deviation of grey, of 255, below which a picture shows next to nothing
_CONSTANT = 0.5  # and below which it shows nothing
_BLURRED = 0.12  # sharpness; nine of ten photos blurred by 3 of 256 pixels are below, one sharp photo of 200 is
_DARK = 64.0  # grey that hardly a pixel exceeds
_BRIGHT = 48.0  # how far below white hardly a pixel lies
_SHAPE = 3.0  # longer side / shorter side
_FEW = 20  # pictures of a class, below which they are no measure
_SHOWN = 20

_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Fault:
    """One way to be bad: suspects have a value below `bound`, and far below the others'."""

    kind: str
    severity: Literal["warning", "info"]
    values: _Values  # (n,) positive, small where it is bad
    bound: float
    deviations: float  # below the median, of the logarithm
    spread: float  # the least that one deviation is taken for, as a logarithm
    message: str
    remedy: str

    @property
    def of_one(self) -> str:
        """The message about a single picture."""
        return self.message.replace("that show ", "that shows ")


def suspicions(looked: Looked) -> list[Finding]:
    """Return what was taken badly, a finding for each way. A blank picture is told of once."""
    examples = [one for one in looked.examples if "taken" in one.facts]
    if not examples:
        return []
    labels = [one.label for one in examples]
    blank, *others = _faults(examples)
    told = [(blank, _scores(blank, labels))]
    told += [(fault, np.where(told[0][1] > 0, 0.0, _scores(fault, labels))) for fault in others]
    return [_finding(fault, examples, scores) for fault, scores in told if scores.any()]


def _faults(examples: Sequence[Example]) -> Iterator[_Fault]:
    taken = [one.facts["taken"] for one in examples]
    brightness, contrast, sharpness = (_array(one[name] for one in taken) for name in _MEASURED)
    width, height = (_array(one.facts[name] for one in examples) for name in ("width", "height"))
    yield _Fault("blank", "warning", contrast, _BLANK, 3.0, 0.3, "that show nothing, or next to nothing", _DROP)
    yield _Fault("blurred", "info", sharpness, _BLURRED, 2.5, 0.25, "blurred, beside the others", _LOOK)
    # Two deviations above the mean: hardly a pixel is brighter.
    yield _Fault("dark", "info", brightness + 2 * contrast, _DARK, 3.0, 0.25, "dark all over", _LOOK)
    yield _Fault("bright", "info", 255 - brightness + 2 * contrast, _BRIGHT, 3.0, 0.25, "too bright all over", _LOOK)
    shape = np.minimum(width, height) / np.maximum(width, height)
    yield _Fault("odd_shape", "info", shape, 1 / _SHAPE, 3.0, 0.2, "far longer one way than the other", _SHAPED)
    side = np.sqrt(width * height)
    odd = np.exp(-np.abs(np.log(side / np.median(side))))
    yield _Fault("odd_size", "info", odd, 1 / 3, 4.0, 0.25, "far smaller or larger than the others", _SIZED)


_MEASURED = ("brightness", "contrast", "sharpness")
_LOOK = "Look at them (noria check DATA --page): keep what a model will meet in use, drop what nobody could name."
_DROP = "Drop them (noria check DATA --page): a model can only learn noise from them."
_SHAPED = "A model sees them squeezed. Crop them, or try --set input.fit=pad."
_SIZED = "Small ones are blurred when they are enlarged. Get them as large, or drop them (noria check DATA --page)."


def _scores(fault: _Fault, labels: Sequence[str]) -> _Values:
    """Return (n,): how sure, from 0 to 1; 0 of what is no suspect."""
    logs = np.log(np.maximum(fault.values, 1e-3))
    medians = np.full(len(logs), np.median(logs))
    spreads = np.full(len(logs), fault.spread)
    of_label: defaultdict[str, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        of_label[label].append(place)
    for places in of_label.values():
        if len(places) >= _FEW:
            medians[places] = np.median(logs[places])
            spreads[places] = _spread(medians[places] - logs[places])
    spreads = np.maximum(spreads, max(fault.spread, _spread(medians - logs)))
    limits = np.minimum(np.log(fault.bound), medians - fault.deviations * spreads)
    if fault.kind == "blank":  # what shows nothing at all does so in whichever company
        limits = np.maximum(limits, np.log(_CONSTANT))
    excess = 1 - np.exp(np.minimum(logs - limits, 0))
    return np.where(logs < limits, np.round(0.5 + excess / 2, 3), 0.0)


def _spread(below: _Values) -> float:
    """One deviation of how far values lie below their median, by those that do."""
    return 1.4826 * float(np.median(below[below >= 0]))


def _finding(fault: _Fault, examples: Sequence[Example], scores: _Values) -> Finding:
    order = sorted(np.flatnonzero(scores).tolist(), key=lambda place: (-scores[place], examples[place].path))
    suspects = tuple(Suspect(examples[at].path, examples[at].label, float(scores[at])) for at in order)
    count = len(suspects)
    return Finding(
        fault.kind,
        fault.severity,
        count,
        tuple(one.path for one in suspects[:_SHOWN]),
        f"{count:,} {'picture' if count == 1 else 'pictures'} {fault.message if count > 1 else fault.of_one}.",
        fault.remedy,
        suspects,
    )


def _array(values: Iterable[float]) -> _Values:
    return np.array(list(values), np.float64)
