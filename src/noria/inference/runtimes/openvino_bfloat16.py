"""OpenVINO reading the float32 `.tflite` file and multiplying in bfloat16: nearly twice as fast where a processor can.

Weights and activations keep 8 of 24 bits of precision and the whole range of float32; sums are float32. Nothing is
calibrated and no file is added, but it is not the float32 model: `verify` holds it to tolerances of its own.
"""

from __future__ import annotations

from pathlib import Path

from noria.inference.runtimes._processor import has_bfloat16
from noria.inference.runtimes.openvino import ACCEPTS, BATCH, EXTRA, FORMAT, PARALLEL, REQUIRES, OpenVINOSession

__all__ = ["ACCEPTS", "BATCH", "EXTRA", "FORMAT", "NEEDS", "PARALLEL", "RANK", "REQUIRES", "TOLERANCES", "open_session"]

RANK = 5
NEEDS = "a processor that multiplies bfloat16 (avx512_bf16 or amx_bf16, told by Linux)"
TOLERANCES = {"agreement": 0.97, "mean_score_difference": 0.05, "accuracy_loss": 0.01}

runs_here = has_bfloat16


def open_session(path: Path, threads: int = 1) -> OpenVINOSession:
    """Open a float `.tflite` file; a static batch of 1."""
    return OpenVINOSession(path, threads, precision="bf16")
