"""Shelf: models, by name. This file and the cards need no Keras; building a model does.

A member is one file for one family of models and imports Keras only inside its build functions. It offers

- `NAMES: tuple[str, ...]`, the names that `--model` takes;
- `card(name) -> ModelCard`, what to know before choosing, and what the strategy that trains it builds it with:
- for `frozen`, `build_backbone(name, *, image_size, weights) -> keras.Model`: input "image" float32
  (batch, side, side, 3), RGB, 0 to 255, normalised inside the model; output float32 (batch, D), global average pooled
  features. `weights` is "imagenet", "none" (random) or the path of a `.keras`, `.weights.h5` or `.h5` file. The model
  has no Lambda layer, so that it loads in Keras' safe mode and converts to LiteRT's built-in operations;
- for `scratch`, `build_network(name, **shapes, num_classes) -> keras.Model`: the whole network, whose last layer is
  named "scores" and gives probabilities (batch, C) float32. The shapes are those of the input's feed: `image_size`, or
  `vocabulary_size` and `length`. Where the family has `Options`, a pydantic model, also `options`. It may offer
  `begin(network, inputs)`, which sets what some training inputs tell, `seen_first(**shapes)` of them, and
  `paces(network)`: groups of weights, each with its share of the learning rate, for training by SGD;
- for `frozen`, too, `write_engine(name, *, image_size, weights) -> bytes | None`: the same backbone as a LiteRT file,
  where the family can write it without Keras.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

from noria import plugins
from noria.errors import ConfigError, UnknownNameError
from noria.models._card import ModelCard
from noria.models._fingerprint import fingerprint

__all__ = ["ModelCard", "card", "find", "fingerprint", "names", "options", "weights_file"]

SHELF = "noria.models"
WEIGHTS_SUFFIXES = (".keras", ".weights.h5", ".h5", ".hdf5")


def names(input_name: str | None = None) -> list[str]:
    """Return the sorted names of all models on the shelf, or of those that take one input."""
    families = [plugins.load(SHELF, family) for family in plugins.names(SHELF)]
    every = sorted(name for family in families for name in family.NAMES)
    return [name for name in every if input_name is None or card(name).input == input_name]


def find(name: str) -> ModuleType:
    """Return the family module that builds the model `name`.

    Raises:
        UnknownNameError: no family has such a model; the message names the nearest and lists all.
    """
    for family in plugins.names(SHELF):
        module = plugins.load(SHELF, family)
        if name in module.NAMES:
            return module
    raise UnknownNameError("model", name, names())


def card(name: str) -> ModelCard:
    """Return the card of the model `name`, or raise UnknownNameError."""
    found = find(name).card(name)
    if not isinstance(found, ModelCard):
        raise TypeError(f"card({name!r}) of {find(name).__name__} returned {type(found).__name__}, not a ModelCard.")
    return found


def options(name: str) -> type[BaseModel] | None:
    """Return what the model `name` can be told beside its shapes; None where that is nothing."""
    kind: type[BaseModel] | None = getattr(find(name), "Options", None)
    return kind


def weights_file(name: str, weights: str) -> Path | None:
    """Return the user's file that the first weights of the model `name` are read from; None where they are of no file.

    Raises:
        ConfigError: there is no such file, or it is of no kind that is read.
    """
    if weights in ("imagenet", "none"):
        return None
    file = Path(weights).expanduser()
    expected = f"a file that ends in {', '.join(WEIGHTS_SUFFIXES)}"
    if not file.is_file():
        raise ConfigError(
            f"There is no weights file {weights!r} for the model {name}. "
            f'Expected "imagenet", "none" or the path of {expected}.'
        )
    if not file.name.endswith(WEIGHTS_SUFFIXES):
        raise ConfigError(f"{weights!r} is no Keras weights file: expected {expected}.")
    return file
