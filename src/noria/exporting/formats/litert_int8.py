"""An int8 LiteRT file, a quarter of the size; of pictures full-integer, calibrated on training examples."""

from __future__ import annotations

from pathlib import Path

from noria.convert import to_litert_int8
from noria.exporting.source import ExportSource

PATH = "model_int8.tflite"
# Eight bits can move a single score by anything (0.3 on flowers, 0.5 on solar cells, 0.7 on steel, each in hundreds of
# pictures), so the largest difference says nothing. The mean over pictures of each one's largest does: 0.017, 0.047
# and 0.011 there, up to 0.12 over 16 of them, 0.16 over 6 for a model that 10 pictures calibrated.
TOLERANCES = {"agreement": 0.9, "mean_score_difference": 0.25, "accuracy_loss": 0.02}


def write(source: ExportSource, folder: Path) -> None:
    """Convert and write the file."""
    (folder / PATH).write_bytes(to_litert_int8(source.model, source.calibration()))
