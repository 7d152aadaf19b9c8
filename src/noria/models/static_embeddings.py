"""The mean of frozen word vectors that others trained on very many texts, then one linear layer.

The vectors are those of the package wordllama, an extra. Only its two data files are read, none of its code is run:
each word of our own vocabulary gets the mean of the vectors of the pieces that it falls into.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.errors import MissingExtraError, UnknownNameError, WeightsError
from noria.models._card import ModelCard

if TYPE_CHECKING:
    import keras

NAMES = ("static_embeddings",)

PACKAGE = "wordllama"
WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
TENSOR = "embedding.weight"
WIDTH = 256


def card(name: str) -> ModelCard:
    """Return what to know before choosing."""
    if name not in NAMES:
        raise UnknownNameError("model", name, NAMES)
    return ModelCard(
        name=name,
        input="text",
        settings={"encoding": "sequence"},
        strategy="pooled",
        parameters=None,
        licence="MIT, as the package states; trained from Llama 2's token embeddings",
        weights_source="Python package wordllama: 32,000 vectors of width 256, mostly English",
        note="English, and some tens of examples. On film reviews ngrams is better from some hundred examples on.",
        url="https://github.com/dleemiller/WordLlama",
        paper="",
    )


def word_vectors(words: Sequence[str]) -> NDArray[np.float32]:
    """Return (len(words), 256) float32: for each word the mean of its pieces' vectors; zero where it has none.

    Raises:
        MissingExtraError: the package that holds the vectors, or the one that splits words, is not installed.
        WeightsError: the package's file is not what it should be.
    """
    folder = _package_folder()
    from tokenizers import Tokenizer

    vectors = _read_safetensors(folder / WEIGHTS)
    splitter = Tokenizer.from_file(str(folder / TOKENIZER))
    boundary = splitter.token_to_id("▁")  # stands before a word; alone it says nothing
    found = np.zeros((len(words), WIDTH), np.float32)
    for row, encoding in zip(found, splitter.encode_batch_fast(list(words), add_special_tokens=False), strict=True):
        pieces = [piece for piece in encoding.ids if piece != boundary]
        if pieces:
            row[:] = vectors[pieces].mean(axis=0)
    return found


def build_network(name: str, *, vocabulary_size: int, length: int, num_classes: int) -> keras.Model:
    """Return (batch, length) int32 -> (batch, num_classes) float32 probabilities; ids 0 and 1 count nowhere.

    0 is padding, 1 an unknown word. The layer "words" is frozen and holds zeros until vectors are set; "mean" gives
    the features (batch, 256); "scores" is to be trained.

    Args:
        vocabulary_size: number of ids, 0 included.
        length: ids in a row.
    """
    import keras
    from keras import layers, ops

    card(name)
    ids = keras.Input((length,), dtype="int32", name="ids")
    words = layers.Embedding(vocabulary_size, WIDTH, embeddings_initializer="zeros", trainable=False, name="words")(ids)
    count = ops.sum(ops.cast(ops.greater(ids, 1), "float32"), axis=1, keepdims=True)
    mean = layers.Identity(name="mean")(ops.sum(words, axis=1) / ops.maximum(count, 1.0))
    scores = layers.Dense(num_classes, activation="softmax", name="scores")(mean)
    return keras.Model(ids, scores, name=name)


def _package_folder() -> Path:
    """Find the package's data files without running its code."""
    for package in (PACKAGE, "tokenizers"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(f"The package {package}, which static_embeddings needs,", "encoders")
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(f"The package {PACKAGE}, which holds the word vectors,", "encoders")
    return Path(spec.submodule_search_locations[0])


def _read_safetensors(path: Path) -> NDArray[np.float32]:
    """Return the one table of vectors: 8 bytes of header length, a JSON header, then the values (float16)."""
    try:
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")
        facts = json.loads(content[8 : 8 + size])[TENSOR]
        start, stop = facts["data_offsets"]
        values = np.frombuffer(
            content[8 + size + start : 8 + size + stop], {"F16": "<f2", "F32": "<f4"}[facts["dtype"]]
        )
        return values.reshape(facts["shape"]).astype(np.float32).reshape(-1, WIDTH)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} does not hold the word vectors that were expected ({error}).") from error
