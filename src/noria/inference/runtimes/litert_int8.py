"""LiteRT running the full-integer int8 file: a quarter of the size, about 1.6 times the speed."""

from noria.inference.runtimes.litert import ACCEPTS, BATCH, EXTRA, PARALLEL, REQUIRES, open_content, open_session

__all__ = ["ACCEPTS", "BATCH", "EXTRA", "FORMAT", "PARALLEL", "RANK", "REQUIRES", "open_content", "open_session"]

FORMAT = "litert_int8"
RANK = 2
