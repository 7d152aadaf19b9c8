"""OpenVINO reading the full-integer int8 `.tflite` file: the fastest of all on x86."""

from __future__ import annotations

from pathlib import Path

from noria.inference.runtimes._processor import has_bfloat16
from noria.inference.runtimes.openvino import ACCEPTS, BATCH, EXTRA, PARALLEL, REQUIRES, OpenVINOSession

__all__ = ["ACCEPTS", "BATCH", "EXTRA", "FORMAT", "PARALLEL", "RANK", "REQUIRES", "open_session"]

FORMAT = "litert_int8"
RANK = 4


def open_session(path: Path, threads: int = 1) -> OpenVINOSession:
    """Open a full-integer `.tflite` file; a static batch of 1.

    OpenVINO 2026.4 runs depthwise convolutions of such a file in floating point. What they multiply has 8 bits, as
    bfloat16 has: where the processor can, that is enough, and the file a tenth faster.
    """
    return OpenVINOSession(path, threads, precision="bf16" if has_bfloat16() else "f32")
