"""A bundle and examples -> for every file and every installed runtime: does it answer like the Keras model?

Without data the golden examples inside the bundle are used, so that any machine can check what it was sent, light half
only. With data the Keras file is the reference, where TensorFlow is installed; else the scores of the first runtime.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.artifacts.bundle import REMEDY, Bundle, ExportedFile, Tolerances
from noria.contracts import BEYOND, Progress
from noria.errors import ArtifactError, DataError, MissingExtraError
from noria.evaluation import agreement
from noria.evaluation.compare import paired_difference
from noria.evaluation.intervals import wilson
from noria.exporting.golden import ids_of
from noria.inference import runtimes
from noria.inference.predictor import Input, Predictor, bytes_of, usable_runtimes

REFERENCE = "keras"
TIMED = 32  # examples that speed is measured on, in at most so many seconds:
TIMED_SECONDS = 1.0


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
    num_examples: int  # that this runtime answered
    failures: tuple[str, ...] = ()
    beyond: int = 0  # inputs of a kind that its own decoder is known not to know, such as TIFF; not compared
    mean_score_difference: float = 0.0  # of an input's scores the largest difference, averaged over the inputs


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

    def failures(self, *, of_files: bool) -> list[str]:
        """Return what exceeds a tolerance: by the engine of a file's own format, or by the others that read the file.

        Where only another engine differs, it is the engine and not the file: OpenVINO's int8, for one, overflows on
        processors without VNNI (agreement 0.82 on solar cells where LiteRT has 0.96).
        """
        rows = (row for row in self.runtimes if (row.name == row.format) is of_files)
        return [f"{row.name}: {failure}" for row in rows for failure in row.failures]

    @property
    def failing_formats(self) -> frozenset[str]:
        """The formats whose files exceed a tolerance by their own engine."""
        return frozenset(row.format for row in self.runtimes if row.name == row.format and row.failures)

    def joined_with(self, other: Verification) -> Verification:
        """Return this outcome with the failures of another one, of the same runtimes, added."""
        failures = {row.name: row.failures for row in other.runtimes}
        rows = tuple(replace(row, failures=row.failures + failures.get(row.name, ())) for row in self.runtimes)
        return replace(self, passed=self.passed and other.passed, runtimes=rows)


class Runtimes:
    """The installed runtimes of one bundle, each opened once, the reference first."""

    def __init__(self, bundle: Bundle) -> None:
        names = usable_runtimes(bundle)
        self.bundle = bundle
        self.names = sorted(names, key=lambda name: name != REFERENCE)  # a stable sort: the others keep their rank
        self._open: dict[str, Predictor] = {}

    def __getitem__(self, name: str) -> Predictor:
        if name not in self._open:
            self._open[name] = Predictor(self.bundle, runtime=name)
        return self._open[name]

    def missing(self) -> tuple[str, ...]:
        """Return the runtimes that could run a file of the bundle, but are not installed."""
        return tuple(
            name
            for name in runtimes.ranked()
            if runtimes.member(name).FORMAT in self.bundle.formats and not runtimes.is_installed(name)
        )


def verify(
    opened: Runtimes,
    inputs: Sequence[Input] | None,
    *,
    progress: Progress,
    reference: Predictor | None = None,
    timed: bool = True,
) -> Verification:
    """Run examples through every file of the bundle.

    Args:
        inputs: with labels where they are known, or None for the golden examples in the bundle.
        reference: what to compare with; by default the golden scores, or the bundle's own Keras file, or where
            TensorFlow is not installed the first runtime.
        timed: whether to measure speed, too; else it is told as 0.

    Raises:
        ArtifactError: a file is missing or damaged, or golden texts are read as other ids than when it was exported.
        DataError: not one input could be read.
    """
    bundle, golden = opened.bundle, inputs is None
    for file in bundle.manifest.files:
        bundle.file(file.format)  # also what no engine here can run must be intact
    bundle.seen()
    if not opened.names:
        raise MissingExtraError(f"An engine that runs a file of {bundle.path}", "train")
    inputs = _golden(bundle) if inputs is None else list(inputs)
    outputs: dict[str, NDArray[np.float32]] = {}
    reasons: dict[str, list[str]] = {}
    for name in opened.names:
        outputs[name], reasons[name] = _scores(opened[name], inputs, f"verify {name}", progress)
    set_aside = {
        one.name: said for failed in reasons.values() for one, said in zip(inputs, failed, strict=True) if said
    }
    if golden:
        _require_same_ids(opened[opened.names[0]], bundle, inputs)
        against = _expected(bundle)
    else:
        against = (
            outputs[opened.names[0]] if reference is None else _scores(reference, inputs, "reference", progress)[0]
        )
    if np.isnan(against[:, 0]).all():
        raise DataError(f"None of {len(inputs)} inputs could be read; the first: {next(iter(set_aside.values()), '')}")
    truth = np.array([bundle.labels.index(one.label) if one.label in bundle.labels else -1 for one in inputs])
    rows = [_compared(bundle, name, outputs[name], reasons[name], against, truth) for name in opened.names]
    if timed:
        with progress.track("speed", len(rows)) as advance:
            for position, row in enumerate(rows):
                answered = [one for one, given in zip(inputs, outputs[row.name], strict=True) if not np.isnan(given[0])]
                rows[position] = replace(row, milliseconds=_speed(opened[row.name], answered) if answered else 0.0)
                advance(1)
    return Verification(
        passed=not any(row.failures for row in rows),
        reference="golden" if golden else opened.names[0] if reference is None else reference.runtime,
        num_examples=int((~np.isnan(against[:, 0])).sum()),
        set_aside=tuple({"input": name, "error": reason} for name, reason in set_aside.items()),
        runtimes=tuple(rows),
        not_installed=opened.missing(),
    )


def _golden(bundle: Bundle) -> list[Input]:
    pairs = zip(bundle.manifest.golden, bundle.golden_inputs(), strict=True)
    return [Input(one.path, data, one.label) for one, data in pairs]


def _require_same_ids(predictor: Predictor, bundle: Bundle, inputs: Sequence[Input]) -> None:
    """Refuse a bundle whose texts are cut into other words here: scores may hide it, or make it look like chance."""
    texts = [
        (one, bytes_of(given)) for one, given in zip(bundle.manifest.golden, inputs, strict=True) if one.ids is not None
    ]
    arrays = predictor.read([data for _, data in texts])
    for (example, _), array in zip(texts, arrays, strict=True):
        if isinstance(array, Exception) or ids_of(array) != example.ids:
            raise ArtifactError(
                f"{bundle.path / example.path} is read as other ids than those in the manifest: the vocabulary in the "
                f"bundle, or the reader of this version of Noria, is not that of the export. {REMEDY}"
            )


def _expected(bundle: Bundle) -> NDArray[np.float32]:
    return np.array([one.scores for one in bundle.manifest.golden], np.float32)


def _scores(
    predictor: Predictor, inputs: list[Input], told: str, progress: Progress
) -> tuple[NDArray[np.float32], list[str]]:
    """Return (n, C), a row of NaN for what could not be read, and n reasons, empty where it could."""
    rows, failed = [], []
    with progress.track(told, len(inputs)) as advance:  # the first one also opens the engine, which may take seconds
        for result in predictor.results(inputs):
            advance(1)
            failed.append(result.error if result.scores is None else "")
            rows.append(np.full(len(predictor.labels), np.nan) if result.scores is None else result.scores)
    return np.asarray(rows, np.float32), failed


def _speed(predictor: Predictor, inputs: list[Input]) -> float:
    """Return milliseconds an input from bytes to scores, one batch after the other in one session."""
    size = min(predictor.batch, len(inputs))
    batches = [inputs[start : start + size] for start in range(0, len(inputs) - size + 1, size)]
    if predictor.parallel:
        predictor.run(batches[0])  # opens this thread's session
    answered, start = 0, time.perf_counter()
    while answered < TIMED and time.perf_counter() - start < TIMED_SECONDS:
        predictor.run(batches[answered // size % len(batches)])
        answered += size
    return (time.perf_counter() - start) / answered * 1e3


def _compared(
    bundle: Bundle,
    runtime: str,
    scores: NDArray[np.float32],
    reasons: Sequence[str],
    reference: NDArray[np.float32],
    truth: NDArray[np.int64],
) -> RuntimeRow:
    """Compare on what this runtime answered: the SavedModel's decoder knows no TIFF, and says so.

    What it refuses without such a reason counts like answers that differ.
    """
    expected = ~np.isnan(reference[:, 0])
    answered = expected & ~np.isnan(scores[:, 0])
    beyond = expected & np.array([BEYOND in reason for reason in reasons])
    refused, wanted = expected & ~answered & ~beyond, int((expected & ~beyond).sum())
    entry = bundle.manifest.file_of(runtimes.member(runtime).FORMAT)
    tolerances = runtimes.tolerances(runtime, bundle.manifest)
    failures: tuple[str, ...] = ()
    if refused.sum() > (1 - tolerances.agreement) * wanted:
        first = reasons[int(refused.argmax())]
        failures = (f"it refused {refused.sum()} of {wanted} inputs; the first: {first}",)
    if not answered.any():
        row = RuntimeRow(runtime, entry.format, None, None, 1.0, 0.0, 0.0, entry.bytes, 0, failures)
    else:
        row, lost = _row(runtime, entry, scores[answered], reference[answered], truth[answered])
        failures += _failures(row, tolerances, lost)
    return replace(row, failures=failures, beyond=int(beyond.sum()))


def _row(
    name: str,
    entry: ExportedFile,
    scores: NDArray[np.float32],
    reference: NDArray[np.float32],
    truth: NDArray[np.int64],
) -> tuple[RuntimeRow, dict[str, Any] | None]:
    """Return the figures, and the paired difference of accuracy from the reference where labels are known."""
    known = truth >= 0
    right = int((scores.argmax(axis=1) == truth)[known].sum())
    count = int(known.sum())
    largest = np.abs(scores - reference).max(axis=1)  # (n,)
    row = RuntimeRow(
        name=name,
        format=entry.format,
        accuracy=right / count if count else None,
        interval=wilson(right, count) if count else None,
        agreement=float(np.mean(scores.argmax(axis=1) == reference.argmax(axis=1))),
        max_score_difference=float(largest.max()),
        milliseconds=0.0,
        bytes=entry.bytes,
        num_examples=len(scores),
        mean_score_difference=float(largest.mean()),
    )
    if not count:
        return row, None
    return row, paired_difference(reference.argmax(axis=1)[known], scores.argmax(axis=1)[known], truth[known])


def _failures(row: RuntimeRow, tolerances: Tolerances, lost: dict[str, Any] | None) -> tuple[str, ...]:
    found = agreement.beyond(
        tolerances,
        agreement=row.agreement,
        count=row.num_examples,
        largest=row.max_score_difference,
        mean=row.mean_score_difference,
    )
    # Here as there, a shortfall must be more than chance.
    if lost and lost["difference"] > tolerances.accuracy_loss and lost["interval"][0] > 0:
        found.append(f"accuracy falls by {lost['difference']:.4f}, more than {tolerances.accuracy_loss}")
    return tuple(found)
