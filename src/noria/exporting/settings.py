"""The `[export]` section of a config."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ExportSettings(BaseModel):
    """Which files a bundle holds and how far they may differ from the Keras model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formats: tuple[str, ...] = Field(("keras", "savedmodel", "litert", "litert_int8"), min_length=1)
    calibration_examples: int = Field(100, ge=1, le=10_000, description="training examples that set int8 ranges")
    golden_examples: int = Field(16, ge=1, le=256, description="test examples that travel in the bundle")
    verify_examples: int = Field(300, ge=1, description="test examples that every file is compared on")
