"""LiteRT running the float32 file: the default engine, 0.1 s to import, 3 to 6 times TensorFlow's own kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.quiet import native_output_hidden

FORMAT = "litert"
REQUIRES = "ai_edge_litert"
EXTRA = ""
ACCEPTS = "arrays"
BATCH = 1
PARALLEL = True
RANK = 0


def open_session(path: Path, threads: int = 1) -> LiteRTSession:
    """Open a `.tflite` file; float or full-integer, a static batch of 1."""
    return LiteRTSession(path.read_bytes(), threads)


def open_content(content: bytes, threads: int = 1) -> LiteRTSession:
    """Open the bytes of such a file, which several sessions may share."""
    return LiteRTSession(content, threads)


class LiteRTSession:
    """One interpreter; quantised inputs and outputs are converted by the file's own scale and zero point.

    From bytes: LiteRT would map a file into memory, and whoever cuts or overwrites it later would kill the process by
    a signal, or change its answers.
    """

    def __init__(self, content: bytes, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with native_output_hidden():
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        self._shape = tuple(int(side) for side in self._input["shape"][1:])

    def run(self, batch: Sequence[Any]) -> NDArray[np.float32]:
        """Return (n, D) float32 for n arrays of the file's input shape, or of any length where that is open."""
        by_length = sorted(range(len(batch)), key=lambda place: batch[place].shape)  # each other length costs a set-up
        found = {place: self._run_one(batch[place]) for place in by_length}
        return np.stack([found[place] for place in range(len(batch))])

    def _run_one(self, array: NDArray[Any]) -> NDArray[np.float32]:
        if self._shape != array.shape:  # ids of texts: the reader pads them to few different lengths
            self._interpreter.resize_tensor_input(self._input["index"], (1, *array.shape))
            self._interpreter.allocate_tensors()
            self._shape = array.shape
        self._interpreter.set_tensor(self._input["index"], self._quantise(array)[np.newaxis])
        self._interpreter.invoke()
        output = self._interpreter.get_tensor(self._output["index"])[0]
        scale, zero_point = self._output["quantization"]
        if scale:
            return np.asarray((output.astype(np.float32) - zero_point) * np.float32(scale), np.float32)
        return np.asarray(output, dtype=np.float32)

    def _quantise(self, array: NDArray[Any]) -> NDArray[Any]:
        kind = self._input["dtype"]
        scale, zero_point = self._input["quantization"]
        if not scale:
            return array.astype(kind)
        limits = np.iinfo(kind)
        return np.asarray(np.clip(np.rint(array / scale + zero_point), limits.min, limits.max), dtype=kind)
