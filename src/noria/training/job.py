"""What a strategy is given (`Job`) and what it gives back (`Trained`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from noria.artifacts.dataset import Dataset
from noria.artifacts.run import Run
from noria.training.devices import ALONE, Devices
from noria.training.settings import ModelSettings, TrainingSettings

if TYPE_CHECKING:
    import keras

    from noria.training.mixing import Mix


@dataclass(frozen=True, slots=True)
class Job:
    """One training, with every setting resolved."""

    dataset: Dataset
    model: ModelSettings
    training: TrainingSettings
    seed: int
    open_reader: Callable[[Mapping[str, bytes]], Callable[[bytes], NDArray[Any]]]  # what was learnt -> bytes to array
    decoder: str  # names the code behind the reader, so that a cache never serves what another one decoded
    input: BaseModel  # the settings that the reader follows
    vary: Callable[[NDArray[np.uint8], str], NDArray[np.uint8]]  # a varied view, named by a key
    vary_spec: str  # everything that `vary` depends on beside picture and key
    views: int  # of each training picture, where features are computed once
    varied: bool = False  # whether a network sees another view of each training picture in every epoch
    start: Run | None = None  # that the training goes on from
    mix: Mix | None = None  # batches, while a network learns
    deadline: float = math.inf  # of the whole command, as `time.monotonic` counts
    unfinished: Path | None = None  # the folder of what a killed training goes on from
    devices: Devices = ALONE  # what a network is trained on

    @property
    def read(self) -> Callable[[bytes], NDArray[Any]]:
        """The reader of an input that learns nothing: bytes of a picture -> (height, width, 3) uint8."""
        return self.open_reader({})


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished model and how it came about; scores are softmax outputs (n, C) before calibration."""

    model: keras.Model  # (batch, ...) arrays as the input reads them -> float32 (batch, C) calibrated probabilities
    temperature: float
    validation_scores: NDArray[np.float32]
    test_scores: NDArray[np.float32]
    history: dict[str, list[float]]
    candidates: list[dict[str, Any]]
    chosen: dict[str, Any]
    card: dict[str, Any]  # name, parameters, licence and source of the weights
    features: dict[str, int]  # width, computed, from_cache
    seconds: dict[str, float]
    input_files: dict[str, bytes] = field(default_factory=dict)  # what the input learnt, by file name
    alarms: list[dict[str, Any]] = field(default_factory=list)  # each kind, epoch, message, remedy
    contact_sheet: bytes | None = None  # JPEG of training pictures, as the network saw them
    batch_size: int | None = None  # of a network's steps
