"""Where a run goes: a place of its own, refused before any work is done where it cannot be had."""

from __future__ import annotations

import os
from pathlib import Path

from noria.artifacts.dataset import Dataset
from noria.artifacts.run import MANIFEST, Run, open_run
from noria.config import Config, with_batch_size
from noria.errors import ArtifactError, DataError

PathLike = str | Path
RUNS = Path("runs")


def place(out: PathLike | None, dataset: Dataset, config: Config, start: Run | None = None) -> Path | Run:
    """Return where the run goes, or the finished run that it would be equal to; `start` is what it goes on from."""
    if out is not None:
        path = Path(out)
        if path.exists():
            same = _same_run(path, dataset, config, start)
            if same is None:
                raise ArtifactError(
                    f"{path} is there already, and is not a run of this data with these settings. "
                    "Choose another --out, or remove it."
                )
            return same
        return path
    number = 1
    while (path := RUNS / (dataset.name if number == 1 else f"{dataset.name}-{number}")).exists():
        if same := _same_run(path, dataset, config, start):
            return same
        number += 1
    return path


def refuse_foreign(out: PathLike | None) -> None:
    """Refuse a place that no run can go to before the data is read, not after."""
    if out is not None and Path(out).exists() and not (Path(out) / MANIFEST).is_file():
        raise ArtifactError(f"{out} is there already and is not a run. Choose another --out, or remove it.")


def refuse_inside(data: Path, out: PathLike | None) -> None:
    """Refuse to put the runs into the data unasked: the next check would take their folder for a label."""
    if out is None and data.is_dir() and RUNS.resolve().is_relative_to(data.resolve()):
        raise ArtifactError(f"The run would lie in {RUNS}, inside the data. Name a place outside of it with --out.")


def refuse_finished(data: Path) -> None:
    """Refuse what is a dataset or a run already."""
    from noria.data.audit import dataset_folder

    if dataset_folder(data):
        raise DataError(f"{data} is a finished dataset, or a run. Train on the data that it was made from.")


def refuse_unwritable(place: Path) -> None:
    """Refuse a place that cannot be made before the data is read; one that is there may hold this very run."""
    if place.exists():
        return
    parent = next(folder for folder in place.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise ArtifactError(f"{place} cannot be made: {parent} is a file. Choose another --out.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ArtifactError(f"{place} cannot be made: you may not write to {parent}. Choose another --out.")


def _same_run(path: Path, dataset: Dataset, config: Config, start: Run | None) -> Run | None:
    try:
        run = open_run(path)
    except ArtifactError:
        return None  # of another version, or damaged
    facts = run.manifest
    config = with_batch_size(config, facts.config.get("training", {}).get("batch_size"))
    there = (facts.fingerprint, facts.config, facts.data, facts.continued.get("from_model"))
    first = start.checksum("keras") if start else None
    return run if there == (dataset.fingerprint, config.model_dump(mode="json"), dataset.where, first) else None
