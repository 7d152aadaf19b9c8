"""What a person should know about a pretrained model before choosing it; known without importing Keras."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model on the shelf. `weights_source` and `licence` speak of the ImageNet weights, not of Noria's code."""

    name: str
    image_size: int  # side in pixels of the square input that the weights were trained on
    parameters: int | None  # of the backbone, without a classifier
    licence: str
    weights_source: str
    note: str
    url: str
    paper: str
