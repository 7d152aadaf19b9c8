"""Keras running the `.keras` file: the model that every other file is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.inference.batching import stacked
from noria.quiet import load_tensorflow

FORMAT = "keras"
REQUIRES = "tensorflow"
EXTRA = "train"
ACCEPTS = "arrays"
BATCH = 32
PARALLEL = False
RANK = 7


def open_session(path: Path, threads: int = 1) -> KerasSession:
    """Open a `.keras` file in safe mode: code hidden in it is refused, not run."""
    return KerasSession(path)


class KerasSession:
    """One loaded model."""

    def __init__(self, path: Path) -> None:
        load_tensorflow()
        import keras

        self._model = keras.saving.load_model(path, compile=False, safe_mode=True)

    def run(self, batch: Sequence[Any]) -> NDArray[np.float32]:
        """Return scores (n, C) float32 for n arrays as the input reads them."""
        return np.asarray(self._model.predict_on_batch(stacked(batch)), dtype=np.float32)
