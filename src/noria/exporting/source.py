"""What every file format is written from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras
    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A run's model, opened, with what its files must carry."""

    model: keras.Model
    model_file: Path
    labels: tuple[str, ...]
    input: BaseModel
    decode: Callable[[Any], Any]  # raw bytes (n,) -> float32 (n, height, width, 3), as TensorFlow ops
    calibration: Callable[[], list[NDArray[np.uint8]]]  # training examples for int8 ranges, read when asked for
