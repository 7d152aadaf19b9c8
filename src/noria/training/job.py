"""What a strategy is given (`Job`) and what it gives back (`Trained`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from noria.artifacts.dataset import Dataset
from noria.training.settings import ModelSettings, TrainingSettings

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Job:
    """One training, with every setting resolved."""

    dataset: Dataset
    model: ModelSettings
    training: TrainingSettings
    seed: int
    read: Callable[[bytes], NDArray[np.uint8]]  # bytes of a file -> (height, width, 3)
    decoder: str  # names the code behind `read`, so that a cache never serves what another one decoded
    input: BaseModel  # the settings that `read` follows
    vary: Callable[[NDArray[np.uint8], str], NDArray[np.uint8]]  # a varied view, named by a key
    vary_spec: str  # everything that `vary` depends on beside picture and key
    views: int


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished model and how it came about; scores are softmax outputs (n, C) before calibration."""

    model: keras.Model  # float32 (batch, height, width, 3) in 0..255 -> float32 (batch, C) calibrated probabilities
    temperature: float
    validation_scores: NDArray[np.float32]
    test_scores: NDArray[np.float32]
    history: dict[str, list[float]]
    candidates: list[dict[str, Any]]
    chosen: dict[str, Any]
    card: dict[str, Any]  # name, parameters, licence and source of the weights
    features: dict[str, int]  # width, computed, from_cache
    seconds: dict[str, float]
