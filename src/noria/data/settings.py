"""The `[data]` section of a config."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class DataSettings(BaseModel):
    """How a folder or a table becomes a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reader: str = Field("auto", description="image_folder, manifest, or auto: whichever recognises the data")
    split: tuple[float, float, float] = Field((3.0, 1.0, 1.0), description="parts of train, validation and test")

    @field_validator("split")
    @classmethod
    def _parts_are_positive(cls, split: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(split) <= 0:
            raise ValueError(f"three numbers above 0 are expected, e.g. [3, 1, 1], not {list(split)}")
        return split
