"""Inputs that are learnt as they are: no varied views."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

RECIPE = 1


class Settings(BaseModel):
    """The `[augment]` section, without a setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def number_of_views(settings: Settings, num_examples: int) -> int:
    """Return 0."""
    return 0


def varies(settings: Settings) -> bool:
    """Return False."""
    return False


def vary(array: Any, settings: Settings, key: str) -> Any:
    """Return the array as it is."""
    return array
