"""The run's own `.keras` file, unchanged: to train on, to look into, to compare with."""

from __future__ import annotations

import shutil
from pathlib import Path

from noria.exporting.source import ExportSource

PATH = "model.keras"
TOLERANCES = {"agreement": 1.0, "score_difference": 1e-3, "accuracy_loss": 0.0}


def write(source: ExportSource, folder: Path) -> None:
    """Copy the model file."""
    shutil.copyfile(source.model_file, folder / PATH)
