"""A dataset and a trained model -> the folder of a run: model, report, config, dataset, predictions."""

from __future__ import annotations

import csv
import io
import platform
import resource
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.artifacts.checksums import checksums
from noria.artifacts.dataset import Dataset
from noria.artifacts.files import write_atomic
from noria.artifacts.run import MODEL, RunManifest, save_manifest
from noria.contracts import SPLITS, Scored, Split
from noria.errors import UnreadableInputError
from noria.evaluation.calibration import apply_temperature
from noria.evaluation.metrics import classification
from noria.evaluation.report import ReportContent, write_report
from noria.training.job import Job, Trained

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
    thumbnail: Callable[[bytes], bytes],
) -> RunManifest:
    """Fill the folder of a run that is being written."""
    trained.model.save(folder / MODEL)
    write_atomic(folder / "config.toml", config_toml)
    job.dataset.save(folder / "dataset")
    test = _scored(job.dataset, "test", apply_temperature(trained.test_scores, trained.temperature))
    write_atomic(folder / "predictions.csv", _predictions_csv(test))
    content = _report(job, trained, test, config, command, created, clock(), thumbnail)
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
        data=str(job.dataset.root),
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
        checksums=checksums(folder, MODEL),
    )
    save_manifest(folder, manifest)
    return manifest


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    kibibytes = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kibibytes


def versions() -> dict[str, str]:
    """Return the versions of what decides a model's numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in VERSIONED:
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
    thumbnail: Callable[[bytes], bytes],
) -> ReportContent:
    dataset = job.dataset
    files = {one.path: dataset.path_of(one) for one in dataset.by_split("test")}
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
        split_note=_split_note(dataset),
        thumbnail=lambda name: _thumbnail(files[name], thumbnail) if name in files else None,
        next_steps=["noria export RUN", "noria predict BUNDLE new-photos/"],
    )


def _thumbnail(path: Path, thumbnail: Callable[[bytes], bytes]) -> bytes | None:
    """A report without one picture is better than a training lost to it."""
    try:
        return thumbnail(path.read_bytes())
    except (OSError, UnreadableInputError):
        return None


def _split_note(dataset: Dataset) -> str:
    ratios = ":".join(f"{part:g}" for part in dataset.ratios)
    if any(finding.kind == "given_split" for finding in dataset.findings):
        return f"The split that was given is kept; what it left open was drawn {ratios} by seed {dataset.seed}."
    return (
        f"Train, validation and test in the ratio {ratios}, each class alike, drawn by seed {dataset.seed}; "
        "pictures with the same bytes or pixels, and groups, are on one side."
    )
