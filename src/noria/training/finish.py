"""A dataset and a trained model -> the folder of a run: model, report, config, dataset, predictions."""

from __future__ import annotations

import csv
import io
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.artifacts.checksums import checksums
from noria.artifacts.dataset import Dataset
from noria.artifacts.files import write_atomic
from noria.artifacts.input_files import INPUT, write_input_files
from noria.artifacts.run import MODEL, RunManifest, save_manifest
from noria.contracts import SPLITS, Example, Scored, Split
from noria.errors import DataError, UnreadableInputError
from noria.evaluation.calibration import apply_temperature
from noria.evaluation.metrics import classification
from noria.evaluation.report import ReportContent, write_report
from noria.training import board
from noria.training.continuing import compared
from noria.training.job import Job, Trained
from noria.training.memory import peak_memory
from noria.training.reasons import find_reasons

VERSIONED = ("noria", "tensorflow-cpu", "tensorflow", "keras", "ai-edge-litert", "numpy", "pillow")


def write_run(
    folder: Path,
    job: Job,
    trained: Trained,
    *,
    config: dict[str, Any],
    config_toml: str,
    command: str,
    created: str,
    clock: Callable[[], dict[str, float]],
    inputs: ModuleType,
) -> RunManifest:
    """Fill the folder of a run that is being written; `inputs` is the member of the input shelf."""
    trained.model.save(folder / MODEL)
    write_input_files(folder, trained.input_files)
    write_atomic(folder / "config.toml", config_toml)
    job.dataset.save(folder / "dataset")
    board.take(folder, job)
    test = _scored(job.dataset, "test", apply_temperature(trained.test_scores, trained.temperature))
    write_atomic(folder / "predictions.csv", _predictions_csv(test))
    content = _report(job, trained, test, config, command, created, clock(), inputs)
    write_report(folder, content)
    measured = classification.measure(test)
    manifest = RunManifest(
        noria=version("noria"),
        created=created,
        command=command,
        task=job.dataset.task,
        labels=job.dataset.labels,
        input=job.input.model_dump(mode="json"),
        config=config,
        data=job.dataset.where,
        fingerprint=job.dataset.fingerprint,
        model=trained.card,
        strategy=job.training.strategy,
        temperature=trained.temperature,
        chosen=trained.chosen,
        num_examples=job.dataset.counts(),
        test={"accuracy": measured["accuracy"], "interval": list(measured["interval"])},
        features=trained.features,
        seconds=clock(),
        peak_memory_bytes=peak_memory(),
        versions=versions(),
        alarms=tuple(trained.alarms),
        continued=dict(content.continued),
        checksums={**checksums(folder, MODEL), **(checksums(folder, INPUT) if trained.input_files else {})},
    )
    save_manifest(folder, manifest)
    return manifest


def versions(packages: Sequence[str] = VERSIONED) -> dict[str, str]:
    """Return the versions of Python, the platform and those packages that are installed: what decides the numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _scored(dataset: Dataset, split: Split, scores: NDArray[np.float32]) -> Scored:
    examples = dataset.by_split(split)
    truth = np.array([dataset.label_index[one.label] for one in examples], dtype=np.int64)
    return Scored(tuple(one.path for one in examples), dataset.labels, truth, scores)


def _predictions_csv(test: Scored) -> str:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["path", "label", "answer", "confidence"])
    for name, truth, row in zip(test.names, test.truth, test.scores, strict=True):
        table.writerow([name, test.labels[truth], test.labels[row.argmax()], f"{row.max():.6f}"])
    return text.getvalue()


def _report(
    job: Job,
    trained: Trained,
    test: Scored,
    config: dict[str, Any],
    command: str,
    created: str,
    seconds: Mapping[str, float],
    inputs: ModuleType,
) -> ReportContent:
    dataset = job.dataset
    examples = {one.path: one for one in dataset.by_split("test")}
    reasons = find_reasons(job, trained, inputs)
    return ReportContent(
        title=dataset.name,
        task=dataset.task,
        command=command,
        created=created,
        labels=dataset.labels,
        test=test,
        test_uncalibrated=_scored(dataset, "test", trained.test_scores),
        validation=_scored(dataset, "validation", apply_temperature(trained.validation_scores, trained.temperature)),
        temperature=trained.temperature,
        history=trained.history,
        candidates=trained.candidates,
        alarms=trained.alarms,
        num_examples=dataset.counts(),
        class_counts={split: dict(Counter(one.label for one in dataset.by_split(split))) for split in SPLITS},
        set_aside=dataset.set_aside,
        findings=dataset.findings,
        seconds=dict(seconds),
        peak_memory_bytes=peak_memory(),
        versions=versions(),
        seed=job.seed,
        fingerprint=dataset.fingerprint,
        config=config,
        model={**trained.card, "strategy": job.training.strategy, "features": trained.features["width"]},
        split_note=_split_note(dataset, inputs.NOUN[1]),
        contact_sheet=trained.contact_sheet,
        continued=compared(job.start, test) if job.start else {},
        attribution=reasons.of_example,
        speaking=reasons.speaking,
        preview=lambda name: _preview(dataset, examples[name], inputs) if name in examples else None,
        next_steps=["noria export RUN", f"noria predict BUNDLE new-{inputs.NOUN[1]}/"],
        noun=inputs.NOUN,
    )


def _preview(dataset: Dataset, example: Example, inputs: ModuleType) -> bytes | str | None:
    """A report without one picture is better than a training lost to it."""
    try:
        preview: bytes | str = inputs.preview(dataset.read(example))
    except (DataError, UnreadableInputError):
        return None
    return preview


def _split_note(dataset: Dataset, noun: str) -> str:
    ratios = ":".join(f"{part:g}" for part in dataset.ratios)
    if any(finding.kind == "given_split" for finding in dataset.findings):
        return f"The split that was given is kept; what it left open was drawn {ratios} by seed {dataset.seed}."
    return (
        f"Train, validation and test in the ratio {ratios}, each class alike, drawn by seed {dataset.seed}; "
        f"{noun} that are the same or nearly the same as far as that was looked for, and groups, are on one side."
    )
