"""The `[model]` and `[training]` sections of a config."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ModelSettings(BaseModel):
    """Which network, and where its first weights come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("", description="a name from `noria train --help`, or of keras.applications")
    weights: str = Field("imagenet", description="imagenet, none (random), or the path of a local weights file")


class TrainingSettings(BaseModel):
    """How the model is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str = Field("auto", description="auto: as the model is made for; frozen, linear, scratch or pooled")
    epochs: int = Field(60, ge=1, le=10_000, description="at most this many; early stopping usually ends before")
    batch_size: int = Field(128, ge=1, le=65_536, description="examples a step")
    learning_rate: float = Field(1e-3, gt=0, le=10, description="Adam's, at the peak of the cosine schedule")
    patience: int = Field(0, ge=0, description="epochs without a better validation loss before stopping; 0: as suits")
    l2: tuple[float, ...] = Field(
        (), max_length=32, description="strengths, all tried: validation chooses; []: those that suit the strategy"
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: each class weighs the same, however few its examples"
    )
