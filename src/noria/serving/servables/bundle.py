"""A bundle: raw pictures or texts in, labels and scores out, on the engine that was fastest when it was verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria import plugins
from noria.artifacts.bundle import MANIFEST, Bundle, open_bundle
from noria.contracts import Parts
from noria.errors import MissingExtraError, RequestError, VerificationError
from noria.evaluation.agreement import disagreements
from noria.evaluation.attribution import Attribution, exact
from noria.inference import runtimes
from noria.inference.predictor import Input, Predictor, usable_runtimes
from noria.serving.contracts import Example, Servable
from noria.serving.settings import Limits
from noria.serving.tensors import CLASSIFY, DEFAULT_SIGNATURE, DTYPES, Signature, Tensors, TensorSpec

ARRAYS = "arrays"
CLASSIFICATION = "classify"


def recognises(path: Path) -> bool:
    """Tell whether a folder is a bundle."""
    return (path / MANIFEST).is_file()


def candidates(path: Path, runtime: str | None) -> list[str]:
    """Return the runtimes to try: the one asked for, or the light ones that passed `verify`, the fastest first.

    Raises:
        ArtifactError: the bundle is damaged.
        MissingExtraError: no engine that runs it is installed.
    """
    if runtime:
        return [runtime]
    opened = open_bundle(path)
    rows = {str(row["name"]): row for row in opened.manifest.verified}
    usable = [name for name in usable_runtimes(opened) if not rows.get(name, {}).get("failures")]
    if not usable:
        raise MissingExtraError(f"An engine that runs {path}", "train")
    # TensorFlow may be the fastest for texts; but a server has the light half only, unless there is nothing else.
    light = [name for name in usable if runtimes.member(name).REQUIRES != "tensorflow"] or usable
    return sorted(light, key=lambda name: (name not in rows, rows.get(name, {}).get("milliseconds", 0.0)))


def open_servable(path: Path, runtime: str, limits: Limits) -> BundleServable:
    """Open a bundle on a runtime.

    Raises:
        ArtifactError: the bundle is damaged.
        MissingExtraError: the runtime's engine is not installed.
    """
    opened = open_bundle(path)
    for entry in opened.manifest.files:
        opened.file(entry.format)  # also what is not run here must be intact: the bundle may have been cut off
    return BundleServable(opened, runtime, limits)


@dataclass(frozen=True, slots=True)
class Explain:
    """A row whose answer is to be traced back to its words."""

    data: bytes


class BundleServable(Servable):
    """One open bundle; see `serving/contracts.py` for what each function is for."""

    def __init__(self, opened: Bundle, runtime: str, limits: Limits) -> None:
        manifest = opened.manifest
        row = plugins.load("noria.tasks", manifest.task)
        self._input = plugins.load("noria.inputs", row.INPUT)
        self._answer = plugins.load("noria.answers", row.ANSWER)
        settings = self._input.Settings.model_validate(limits.applied_to(manifest.input))
        self.bundle = opened
        self.predictor = Predictor(opened, runtime=runtime, input_settings=settings)
        self.runtime = runtime
        self.batch = max(self.predictor.batch, self._input.AT_ONCE)
        self.side_by_side = self.predictor.parallel
        self.labels = np.array(opened.labels, np.object_)
        self.explains = getattr(settings, "encoding", None) == "ngrams"
        self._parts_of = self._input.open_parts(settings, opened.input_files()) if self.explains else None
        self.signatures = self._signatures(settings)
        self.refused: dict[str, str] = {}
        self.media_type = str(self._input.MEDIA_TYPE)
        self.input_name = str(self._input.INPUT_NAME)
        self.card = {
            "name": manifest.name,
            "task": row.TITLE,
            "input": row.INPUT,
            "labels": list(opened.labels),
            "runtime": runtime,
            "model": manifest.model,
            "test": manifest.test,
            "fingerprint": manifest.fingerprint,
            "created": manifest.created,
            "noria": manifest.noria,
            "made_with": manifest.versions,
            "explains": self.explains,
        }

    def rows(self, signature: str, inputs: Tensors) -> list[Any]:
        return list(next(iter(inputs.values())))

    def pixels(self, rows: Sequence[bytes | NDArray[Any] | Explain]) -> int:
        """Return how many pixels of these rows are to be decoded, as headers say; what they hold is not looked at."""
        return sum(self._input.pixels(row) for row in rows if isinstance(row, bytes))

    def decode(self, rows: Sequence[bytes | NDArray[Any] | Explain]) -> list[Any]:
        raw = [row.data if isinstance(row, Explain) else row for row in rows if not isinstance(row, np.ndarray)]
        prepared = iter(self.predictor.prepare(raw))
        return [self._decoded(row, None if isinstance(row, np.ndarray) else next(prepared)) for row in rows]

    def run(self, decoded: Sequence[Any]) -> list[NDArray[np.float32] | Attribution | str]:
        scored = iter(self.predictor.outcomes([one for one in decoded if not isinstance(one, Parts)]))
        return [self._explained(one) if isinstance(one, Parts) else next(scored) for one in decoded]

    def outputs(self, signature: str, outcomes: Sequence[Any]) -> Tensors:
        scores = np.stack(outcomes) if outcomes else np.zeros((0, len(self.labels)), np.float32)
        every = np.broadcast_to(self.labels, scores.shape)
        if signature == CLASSIFICATION:
            return {"classes": every, "scores": scores}
        best = scores.argmax(axis=1) if len(scores) else np.zeros(0, np.int64)
        return {"label": self.labels[best], "labels": every, "scores": scores}

    def answer(self, scores: NDArray[np.float32], *, top: int, threshold: float) -> dict[str, Any]:
        """Return what a person reads; `sure` is False below the threshold."""
        told: dict[str, Any] = self._answer.answer(scores, self.bundle.labels, top=top)
        return {**told, "sure": told["confidence"] >= threshold}

    def example_inputs(self, signature: str, examples: Sequence[Example]) -> Tensors:
        rows: list[bytes] = []
        for number, example in enumerate(examples):
            values = example.get(self.input_name, ())
            if len(values) != 1 or not isinstance(values[0], bytes):
                raise RequestError(f"Example {number} is to have one value of bytes named {self.input_name!r}.")
            rows.append(values[0])
        return {self.input_name: _objects(rows)}

    def self_test(self) -> None:
        manifest = self.bundle.manifest
        inputs = [Input(one.path, data) for one, data in zip(manifest.golden, self.bundle.golden_inputs(), strict=True)]
        expected = np.array([one.scores for one in manifest.golden], np.float32)
        got = [result for start in range(0, len(inputs), self.batch) for result in self._tested(inputs, start)]
        if problems := disagreements(np.array(got, np.float32), expected, runtimes.tolerances(self.runtime, manifest)):
            raise VerificationError(
                f"{self.bundle.path} on {self.runtime} does not give its golden answers: {'; '.join(problems)}"
            )

    def _decoded(self, row: bytes | NDArray[Any] | Explain, prepared: Any) -> Any:
        if isinstance(row, np.ndarray):
            return row if self.predictor.takes_arrays else f"the runtime {self.runtime} takes {self.input_name} only"
        if isinstance(row, Explain) and not isinstance(prepared, str):
            return self._parts_of(row.data) if self._parts_of else "it cannot be explained"
        return prepared

    def _explained(self, parts: Parts) -> Attribution | str:
        told = exact(parts, self.bundle.labels, self.predictor.scores)
        return told or "this model is not linear: `noria explain` asks it many times, a server does not"

    def _tested(self, inputs: list[Input], start: int) -> list[NDArray[np.float32]]:
        found = self.predictor.run(inputs[start : start + self.batch])
        missing = np.full(len(self.labels), np.nan, np.float32)
        return [missing if result.scores is None else result.scores for result in found]

    def _signatures(self, settings: Any) -> dict[str, Signature]:
        count = len(self.labels)
        raw = {self._input.INPUT_NAME: TensorSpec("DT_STRING", (None,))}
        scores = TensorSpec("DT_FLOAT", (None, count))
        names = TensorSpec("DT_STRING", (None, count))
        outputs = {"label": TensorSpec("DT_STRING", (None,)), "labels": names, "scores": scores}
        found = {
            DEFAULT_SIGNATURE: Signature(raw, outputs),
            CLASSIFICATION: Signature(raw, {"classes": names, "scores": scores}, CLASSIFY),
        }
        if self.predictor.takes_arrays:
            dtype = next(name for name, (_, kind) in DTYPES.items() if kind == np.dtype(self._input.ARRAY_DTYPE))
            array = TensorSpec(dtype, (None, *self._input.array_shape(settings)))
            found[ARRAYS] = Signature({self._input.ARRAY_NAME: array}, outputs)
        return found


def _objects(values: Sequence[bytes]) -> NDArray[Any]:
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array
