"""Standard input -> inputs: the bytes of one picture, or a path on each line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from noria.inference.predictor import MAX_INPUT_BYTES, Input, find_inputs


def read_inputs() -> list[Input]:
    """Return what standard input holds; data with a NUL byte in its head is a file's own bytes, all else is paths."""
    data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    if b"\0" in data[:1024]:  # no path has one, and the head of every picture file does
        return [Input("-", data)]
    lines = (os.fsdecode(line.removesuffix(b"\r")) for line in data.split(b"\n"))
    return list(find_inputs(Path(line) for line in lines if line))
