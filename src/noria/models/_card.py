"""What a person should know about a model before choosing it; known without importing Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model on the shelf. `weights_source` and `licence` speak of the first weights, not of Noria's code."""

    name: str
    input: str  # the member of `noria.inputs` that it takes
    settings: Mapping[str, Any]  # input settings that it was made for, used where the user sets no others
    strategy: str  # how it is trained unless the user says otherwise
    parameters: int | None  # without a classifier; None where they depend on the data
    licence: str
    weights_source: str
    note: str
    url: str
    paper: str
    training: Mapping[str, Any] = field(
        default_factory=dict
    )  # settings for that strategy, where the user sets no others
