"""What a run's manifest and report say about the model that was trained on texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noria import models

if TYPE_CHECKING:
    import keras


def describe(name: str, model: keras.Model) -> dict[str, Any]:
    """Return name, parameters, licence and source of the weights."""
    card = models.card(name)
    return {
        "name": card.name,
        "parameters": int(model.count_params()),
        "licence": card.licence,
        "source": card.weights_source,
    }
