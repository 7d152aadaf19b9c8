"""A float32 LiteRT file: for the light half, phones and edge devices; the engine that answers by default."""

from __future__ import annotations

from pathlib import Path

from noria.convert import to_litert
from noria.exporting.source import ExportSource

PATH = "model.tflite"
TOLERANCES = {"agreement": 0.99, "score_difference": 1e-3, "accuracy_loss": 0.005}


def write(source: ExportSource, folder: Path) -> None:
    """Convert and write the file."""
    (folder / PATH).write_bytes(to_litert(source.model))
