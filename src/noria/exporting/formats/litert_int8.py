"""A full-integer LiteRT file, calibrated on training examples: a quarter of the size, for integer-only devices too."""

from __future__ import annotations

from pathlib import Path

from noria.convert import to_litert_int8
from noria.exporting.source import ExportSource

PATH = "model_int8.tflite"
# Eight bits move scores near a boundary; what counts is that decisions hold.
TOLERANCES = {"agreement": 0.9, "score_difference": 1.0, "accuracy_loss": 0.02}


def write(source: ExportSource, folder: Path) -> None:
    """Convert and write the file."""
    (folder / PATH).write_bytes(to_litert_int8(source.model, source.calibration()))
