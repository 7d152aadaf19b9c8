"""The `[data]` section of a config."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from noria.data.readers import Columns


class DataSettings(BaseModel):
    """How a folder or a table becomes a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reader: str = Field("auto", description="e.g. image_folder or text_table; auto: whichever recognises the data")
    split: tuple[float, float, float] = Field((3.0, 1.0, 1.0), description="parts of train, validation and test")
    decisions: str = Field("auto", description="a file of decisions; auto: DATA.decisions.csv beside DATA; none")
    wrong_labels: bool = Field(True, description="look for labels that are likely wrong")

    text: str = Field("", description="of a table of texts: the name, or the number, of the column of texts")
    label: str = Field("", description="of a table of texts: the name, or the number, of the column of labels")
    encoding: str = Field("", description="of texts, e.g. gb18030; empty: detected, and told")

    @property
    def columns(self) -> Columns:
        """What was said about a table."""
        return Columns(self.text or None, self.label or None, self.encoding or None)

    @field_validator("split")
    @classmethod
    def _parts_are_positive(cls, split: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(split) <= 0:
            raise ValueError(f"three numbers above 0 are expected, e.g. [3, 1, 1], not {list(split)}")
        return split
