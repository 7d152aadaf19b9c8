"""The `[model]` and `[training]` sections of a config."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from noria.training import schedules

Precision = Literal["auto", "float32", "float16", "bfloat16"]


class ModelSettings(BaseModel):
    """Which network, and where its first weights come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("", description="a name from `noria train --help`, or of keras.applications")
    weights: str = Field("imagenet", description="imagenet, none (random), or the path of a local weights file")
    start: str = Field("", description="the folder of a run that the training goes on from, as --from says")
    options: dict[str, bool | int | float | str] = Field({}, description="what this model can be told beside, by name")


class TrainingSettings(BaseModel):
    """How the model is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    strategy: str = Field(
        "auto", description="auto: as the model is made for; finetune, frozen, linear, pooled or scratch"
    )
    minutes: float = Field(0, ge=0, le=100_000, description="train a network for so long, and not longer; 0: no limit")
    epochs: int = Field(60, ge=1, le=10_000, description="at most this many; early stopping usually ends before")
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=65_536)] = Field(
        128, description="examples a step; auto: of a network, as many as fit in memory, at least 20 steps an epoch"
    )
    learning_rate: float = Field(1e-3, gt=0, le=1_000, description="at the highest point of the schedule")
    schedule: schedules.Name = Field(
        "constant", description="of a network's rate: constant, exponential, cosine, one_cycle or plateau"
    )
    warmup: float = Field(0.0, ge=0, lt=1, description="share of a network's training in which the rate rises")
    final_rate: float = Field(0.01, gt=0, le=1, description="share of the learning rate that is left at the end")
    optimizer: Literal["adam", "adamw", "lion", "rmsprop", "sgd"] = Field("adam", description="of a network")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd (Nesterov's) and rmsprop")
    weight_decay: float = Field(0.0, ge=0, le=1, description="decoupled from the gradients; biases are spared")
    clip_norm: float = Field(1.0, ge=0, description="the longest gradient of all weights together; 0: no limit")
    ema_steps: int = Field(100, ge=0, description="weights are averaged over about so many last steps; 0: they are not")
    mirrored: bool = Field(
        False, description="of a network of pictures: answer by a picture and its mirror image, for twice the work"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of each label that is given to all alike")
    focal_gamma: float = Field(0.0, ge=0, le=10, description="how little easy examples weigh; 0: all alike")
    patience: int = Field(0, ge=0, description="epochs without a better validation loss before stopping; 0: as suits")
    precision: Precision = Field(
        "auto", description="of a network's arithmetic; auto: float32, and shorter where the device is faster in it"
    )
    cache: Literal["auto", "memory", "disk", "none"] = Field(
        "auto", description="where decoded pictures are kept for the next epoch; auto: where there is room"
    )
    tensorboard: bool = Field(True, description="write files for `noria tensorboard` while a network is trained")
    profile: int = Field(0, ge=0, le=1_000, description="steps whose profile is written with them; 0: none")
    l2: tuple[float, ...] = Field(
        (), max_length=32, description="strengths, all tried: validation chooses; []: those that suit the strategy"
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: each class weighs the same, however few its examples"
    )

    @property
    def step_size(self) -> int:
        """Examples a step; 1 as long as the number is to be found."""
        return 1 if self.batch_size == "auto" else self.batch_size
