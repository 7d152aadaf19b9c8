"""TensorFlow running the SavedModel: the one runtime that takes a file's bytes and decodes in its own graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.errors import UnreadableInputError
from noria.quiet import load_tensorflow

FORMAT = "savedmodel"
REQUIRES = "tensorflow"
EXTRA = "train"
ACCEPTS = "bytes"
BATCH = 32
PARALLEL = False
RANK = 6


def open_session(path: Path, threads: int = 1) -> SavedModelSession:
    """Open a SavedModel folder; TensorFlow chooses its own threads."""
    return SavedModelSession(path)


class SavedModelSession:
    """The default signature: raw bytes in, `scores` out."""

    def __init__(self, path: Path) -> None:
        load_tensorflow()
        import tensorflow as tf

        self._constant = tf.constant
        self._refusal = tf.errors.InvalidArgumentError
        self._model = tf.saved_model.load(str(path))  # kept: the signature holds only a weak reference to it
        self._signature = self._model.signatures["serving_default"]

    def run(self, batch: Sequence[Any]) -> NDArray[np.float32]:
        """Return scores (n, C) float32 for n files' bytes."""
        try:
            scores: NDArray[np.float32] = self._signature(self._constant(list(batch)))["scores"].numpy()
        except self._refusal as error:
            raise UnreadableInputError(f"the SavedModel's own decoder refuses it: {_first_line(error)}") from None
        return scores


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
