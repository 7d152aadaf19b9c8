"""Standard input -> inputs: a text on each line, or the bytes of one file, or a path on each line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from noria import plugins
from noria.artifacts.bundle import Bundle
from noria.artifacts.run import Run
from noria.inference.predictor import MAX_INPUT_BYTES, Input, files_below


def read_inputs(opened: Run | Bundle) -> list[Input]:
    """Return what standard input holds for this model.

    Where it takes texts, each line is one. Otherwise data with a NUL byte in its head is a file's own bytes, all else
    paths.
    """
    data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    taken = plugins.load("noria.inputs", plugins.load("noria.tasks", opened.manifest.task).INPUT)
    if taken.STANDARD_INPUT == "lines":
        rows = data.removesuffix(b"\n").split(b"\n")
        return [Input(f"line {number}", row.removesuffix(b"\r")) for number, row in enumerate(rows, start=1)]
    if b"\0" in data[:1024]:  # no path has one, and the head of every picture file does
        return [Input("-", data)]
    paths = (os.fsdecode(line.removesuffix(b"\r")) for line in data.split(b"\n"))
    return list(files_below(Path(path) for path in paths if path))
