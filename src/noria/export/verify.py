"""A bundle and examples -> for every file and every installed runtime: does it answer like the Keras model?

Without data the golden examples inside the bundle are used, so that any machine can check what it was sent, light half
only. With data the Keras file is the reference, where TensorFlow is installed; else the scores of the first runtime.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.artifacts.bundle import Bundle
from noria.contracts import Progress
from noria.errors import DataError
from noria.evaluation.intervals import wilson
from noria.inference import runtimes
from noria.inference.predictor import Input, Predictor, usable_runtimes

REFERENCE = "keras"
TIMED = 40  # examples that speed is measured on


@dataclass(frozen=True, slots=True)
class RuntimeRow:
    """What one runtime did; `failures` says which tolerance was exceeded, and by what."""

    name: str
    format: str
    accuracy: float | None  # None where no example has a label
    interval: tuple[float, float] | None
    agreement: float  # share of inputs with the reference's top label
    max_score_difference: float
    milliseconds: float  # a picture, from bytes to scores, one session
    bytes: int
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome for a whole bundle."""

    passed: bool
    reference: str
    num_examples: int
    set_aside: tuple[dict[str, str], ...]
    runtimes: tuple[RuntimeRow, ...]
    not_installed: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def verify(bundle: Bundle, inputs: Sequence[Input] | None, *, progress: Progress) -> Verification:
    """Run examples through every file of the bundle.

    Args:
        inputs: with labels where they are known, or None for the golden examples in the bundle.

    Raises:
        ArtifactError: a file is missing or damaged.
        DataError: not one input could be read.
    """
    names = usable_runtimes(bundle)
    if REFERENCE in names:
        names = [REFERENCE, *(name for name in names if name != REFERENCE)]
    golden = inputs is None
    inputs = _golden(bundle) if inputs is None else list(inputs)
    outputs: dict[str, NDArray[np.float32]] = {}
    set_aside: list[dict[str, str]] = []
    speeds: dict[str, float] = {}
    for name in names:
        predictor = Predictor(bundle, runtime=name)
        with progress.track(f"verify {name}", len(inputs)) as advance:
            outputs[name], failed = _scores(predictor, inputs, advance)
        speeds[name] = _milliseconds(bundle, name, inputs[:TIMED])
        set_aside = set_aside or failed
    reference_name, reference = _reference(bundle, names, outputs, golden=golden)
    readable = ~np.isnan(outputs[names[0]][:, 0])
    if not readable.any():
        raise DataError(f"None of {len(inputs)} inputs could be read; the first: {set_aside[0]['error']}")
    truth = np.array([bundle.labels.index(one.label) if one.label in bundle.labels else -1 for one in inputs])[readable]
    rows = tuple(
        _row(bundle, name, outputs[name][readable], reference[readable], truth, speeds[name]) for name in names
    )
    return Verification(
        passed=not any(row.failures for row in rows),
        reference=reference_name,
        num_examples=int(readable.sum()),
        set_aside=tuple(set_aside),
        runtimes=rows,
        not_installed=tuple(
            name
            for name in runtimes.ranked()
            if runtimes.member(name).FORMAT in bundle.formats and not runtimes.is_installed(name)
        ),
    )


def _golden(bundle: Bundle) -> list[Input]:
    pairs = zip(bundle.manifest.golden, bundle.golden_inputs(), strict=True)
    return [Input(one.path, data, one.label) for one, data in pairs]


def _reference(
    bundle: Bundle, names: list[str], outputs: dict[str, NDArray[np.float32]], *, golden: bool
) -> tuple[str, NDArray[np.float32]]:
    if golden:
        return "golden", np.array([one.scores for one in bundle.manifest.golden], np.float32)
    return names[0], outputs[names[0]]


def _scores(predictor: Predictor, inputs: list[Input], advance: Any) -> tuple[NDArray[np.float32], list[dict[str, str]]]:
    """Return (n, C), a row of NaN for what could not be read, and the reasons."""
    rows, failed = [], []
    for result in predictor.results(inputs):
        advance(1)
        if result.scores is None:
            failed.append({"input": result.name, "error": result.error})
        rows.append(np.full(len(predictor.labels), np.nan) if result.scores is None else result.scores)
    return np.asarray(rows, np.float32), failed


def _milliseconds(bundle: Bundle, name: str, inputs: list[Input]) -> float:
    predictor = Predictor(bundle, runtime=name, workers=1)
    list(predictor.results(inputs[:1]))  # opens the session
    batch = runtimes.member(name).BATCH
    list(predictor.results(inputs[:batch]))  # the first run at a batch size builds what later ones re-use
    start = time.perf_counter()
    list(predictor.results(inputs))
    return (time.perf_counter() - start) / len(inputs) * 1e3


def _row(
    bundle: Bundle,
    name: str,
    scores: NDArray[np.float32],
    reference: NDArray[np.float32],
    truth: NDArray[np.int64],
    milliseconds: float,
) -> RuntimeRow:
    format_name = runtimes.member(name).FORMAT
    entry = next(one for one in bundle.manifest.files if one.format == format_name)
    known = truth >= 0
    right = int((scores.argmax(axis=1) == truth)[known].sum())
    count = int(known.sum())
    row = RuntimeRow(
        name=name,
        format=format_name,
        accuracy=right / count if count else None,
        interval=wilson(right, count) if count else None,
        agreement=float(np.mean(scores.argmax(axis=1) == reference.argmax(axis=1))),
        max_score_difference=float(np.abs(scores - reference).max()),
        milliseconds=milliseconds,
        bytes=entry.bytes,
    )
    expected = float(np.mean((reference.argmax(axis=1) == truth)[known])) if count else None
    failures = _failures(row, bundle.manifest.tolerances[format_name], expected)
    return RuntimeRow(**{**asdict(row), "failures": failures})


def _failures(row: RuntimeRow, tolerances: dict[str, float], expected: float | None) -> tuple[str, ...]:
    found = []
    if row.agreement < tolerances["agreement"]:
        found.append(f"agreement {row.agreement:.4f} is below {tolerances['agreement']}")
    if not row.max_score_difference <= tolerances["score_difference"]:  # also where it is NaN
        found.append(f"a score differs by {row.max_score_difference:.4f}, above {tolerances['score_difference']}")
    if row.accuracy is not None and expected is not None and expected - row.accuracy > tolerances["accuracy_loss"] + 1e-9:
        found.append(
            f"accuracy {row.accuracy:.4f} is more than {tolerances['accuracy_loss']} below the reference's {expected:.4f}"
        )
    return tuple(found)
