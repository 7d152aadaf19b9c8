"""A Keras model -> 64 hex digits that change when its architecture or one weight changes.

Used as part of the address of cached features: two models with one fingerprint give one answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

# Settings that say how a model is trained, or where its values came from, and not what it answers.
_IRRELEVANT = {"trainable", "kernel_initializer", "bias_initializer", "depthwise_initializer", "shared_object_id"}


def fingerprint(model: keras.Model) -> str:
    """Return the SHA-256 of the model's name, architecture and weights, the same in every process.

    Keras numbers unnamed layers and weights by what else the process has built ("conv2d_7"): here position counts.
    Freezing layers does not change the fingerprint.
    """
    digest = hashlib.sha256()
    digest.update(_architecture(model).encode())
    for position, weight in enumerate(model.weights):
        array = np.ascontiguousarray(weight.numpy())
        digest.update(f"\n{position} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _architecture(model: keras.Model) -> str:
    names = {name: f"#{position}" for position, name in enumerate(_operation_names(model))}
    return json.dumps([model.name, _canonical(model.get_config(), names)], sort_keys=True, default=str)


def _operation_names(model: keras.Model) -> Iterator[str]:
    for operation in getattr(model, "operations", model.layers):
        yield operation.name
        if hasattr(operation, "layers"):
            yield from _operation_names(operation)


def _canonical(value: Any, names: dict[str, str]) -> Any:
    """Replace layer names by positions, drop what does not matter."""
    if isinstance(value, dict):
        return {str(key): _canonical(entry, names) for key, entry in value.items() if key not in _IRRELEVANT}
    if isinstance(value, list | tuple):
        return [_canonical(entry, names) for entry in value]
    return names.get(value, value) if isinstance(value, str) else value
