"""What every file format is written from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    input_files: dict[str, bytes]  # what the input learnt in training
    read: Callable[[bytes], NDArray[Any]]  # raw bytes of one input -> its array
    input_name: str  # of the raw input in the SavedModel's default signature, e.g. "image_bytes"
    array_name: str  # of the array in its other one, e.g. "images"
    decode: Callable[[Any], Any]  # raw bytes (n,) -> the batch of arrays that the model takes, as TensorFlow ops
    calibration: Callable[[], list[NDArray[Any]]]  # training examples for int8 ranges, read when asked for
