"""The `[data]` section of a config."""

from __future__ import annotations

import math
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field, field_validator

from noria.data.grouping import require_order, rule_of
from noria.data.readers import Columns
from noria.errors import ConfigError


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
    group: str = Field("", description="what stays together, e.g. {group}_*.jpg, folder:2 or column:author")
    order: str = Field("", description="a split by time, train the oldest: name, or a column, e.g. column:date")

    @property
    def columns(self) -> Columns:
        """What was said about a table."""
        said = (self.text, self.label, self.encoding, self.group, self.order)
        return Columns(*(one or None for one in said))

    @field_validator("group")
    @classmethod
    def _group_is_a_rule(cls, group: str) -> str:
        if group:
            _accept(rule_of, group)
        return group

    @field_validator("order")
    @classmethod
    def _order_is_known(cls, order: str) -> str:
        _accept(require_order, order)
        return order

    @field_validator("split")
    @classmethod
    def _parts_are_positive(cls, split: tuple[float, float, float]) -> tuple[float, float, float]:
        if not all(0 < part < math.inf for part in split):
            raise ValueError(f"three numbers above 0 are expected, e.g. [3, 1, 1], not {list(split)}")
        return split


def _accept(rule: Callable[[str], object], said: str) -> None:
    try:
        rule(said)
    except ConfigError as error:
        raise ValueError(str(error)) from None
