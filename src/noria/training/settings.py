"""The `[model]` and `[training]` sections of a config."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ModelSettings(BaseModel):
    """Which network, and where its first weights come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("efficientnet_lite0", description="a name from `noria train --help`, or of keras.applications")
    weights: str = Field("imagenet", description="imagenet, none (random), or the path of a local weights file")


class TrainingSettings(BaseModel):
    """How the model is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str = Field("frozen", description="frozen: features computed once, then a head in seconds")
    epochs: int = Field(60, ge=1, le=10_000, description="at most this many; early stopping usually ends before")
    batch_size: int = Field(128, ge=1, le=65_536, description="examples a step")
    learning_rate: float = Field(1e-3, gt=0, le=10, description="Adam's, at the peak of the cosine schedule")
    patience: int = Field(10, ge=1, description="epochs without a better validation loss before stopping")
    l2: tuple[float, ...] = Field(
        (1e-3, 3e-3, 1e-2, 3e-2, 1e-1), min_length=1, max_length=32, description="all tried; validation chooses"
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: each class weighs the same, however few its pictures"
    )
