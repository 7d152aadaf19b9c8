"""OpenVINO reading the full-integer int8 `.tflite` file: the fastest of all on x86."""

from noria.inference.runtimes.openvino import ACCEPTS, BATCH, EXTRA, PARALLEL, REQUIRES, open_session

__all__ = ["ACCEPTS", "BATCH", "EXTRA", "FORMAT", "PARALLEL", "RANK", "REQUIRES", "open_session"]

FORMAT = "litert_int8"
RANK = 4
