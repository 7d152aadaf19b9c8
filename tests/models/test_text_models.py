"""Each network for texts, loaded in safe mode by a stranger and in LiteRT, answers as it did in Keras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from noria import models
from noria.errors import MissingExtraError, UnknownNameError, WeightsError
from noria.models import static_embeddings
from noria.quiet import native_output_hidden

NETWORKS = ("bilstm", "fasttext", "static_embeddings", "textcnn", "transformer")
VOCABULARY, LENGTH, CLASSES = 500, 32, 3

Ids = NDArray[np.int32]


def texts(length: int = LENGTH) -> Ids:
    """Rows of 1 to `length` ids and then padding, and one of padding alone."""
    random = np.random.default_rng(3)
    ids = random.integers(1, VOCABULARY, (12, length)).astype(np.int32)
    for row, count in zip(ids, (length, length, 20, 9, 5, 3, 2, 1, 1, 0, 30, 12), strict=True):
        row[count:] = 0
    return ids


def build(name: str, length: int | None = LENGTH) -> keras.Model:
    """A network with weights that say something everywhere, as after a training."""
    keras.utils.set_random_seed(5)
    model = models.find(name).build_network(name, vocabulary_size=VOCABULARY, length=length, num_classes=CLASSES)
    random = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(weight + 0.2 * random.normal(size=weight.shape))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Embedding) and name in ("ngrams", "static_embeddings"):
            table = layer.get_weights()[0]
            table[: 1 if name == "ngrams" else 2] = 0  # as their documentation asks
            layer.set_weights([table])
    return model


def scores_of(model: keras.Model, ids: Ids) -> NDArray[np.float32]:
    return np.asarray(model.predict(ids, verbose=0))


def converted(model: keras.Model, *, dynamic_range: bool = False) -> bytes:
    taken = model.inputs[0]
    function = tf.function(lambda ids: model(ids, training=False), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((1, *taken.shape[1:]), tf.int32, name="ids"))
    with native_output_hidden():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
        if dynamic_range:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return bytes(converter.convert())


class Engine:
    """A LiteRT interpreter; one that needs Flex operations fails when it is made."""

    def __init__(self, content: bytes) -> None:
        with native_output_hidden():
            self._interpreter = Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        assert (self._input["dtype"], self._output["dtype"]) == (np.int32, np.float32)

    def run(self, ids: Ids) -> NDArray[np.float32]:
        return np.stack([self._run_one(row) for row in ids])

    def _run_one(self, row: Ids) -> Any:
        if tuple(self._interpreter.get_input_details()[0]["shape"]) != (1, len(row)):
            self._interpreter.resize_tensor_input(self._input["index"], (1, len(row)))
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(self._input["index"], row[np.newaxis])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])[0]


@pytest.mark.parametrize("name", ("ngrams", *NETWORKS))
def test_what_comes_out_are_finite_probabilities_even_for_nothing_but_padding(name: str) -> None:
    scores = scores_of(build(name), texts())
    assert scores.shape == (12, CLASSES)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert len(np.unique(scores.round(5), axis=0)) > 6  # it looks at its input


@pytest.mark.parametrize("name", ("ngrams", "bilstm", "fasttext", "static_embeddings", "transformer"))
def test_more_padding_changes_no_answer(name: str) -> None:
    if name == "ngrams":
        model = build(name, None)
        longer = np.pad(texts(), ((0, 0), (0, 32)))
        np.testing.assert_allclose(scores_of(model, longer), scores_of(model, texts()), atol=1e-6)
        return
    short, long = build(name), build(name, 2 * LENGTH)
    for mine, theirs in zip(long.weights, short.weights, strict=True):
        value = np.asarray(mine)
        value[: theirs.shape[0]] = np.asarray(theirs)  # a longer transformer has more positions
        mine.assign(value)
    longer = np.pad(texts(), ((0, 0), (0, LENGTH)))
    np.testing.assert_allclose(scores_of(long, longer), scores_of(short, texts()), atol=1e-5)


@pytest.mark.parametrize("name", ("bilstm", "textcnn", "transformer", "fasttext"))
def test_the_order_of_words_matters_to_networks_that_read_it(name: str) -> None:
    model = build(name)
    row = texts()[:1]
    assert np.abs(scores_of(model, row) - scores_of(model, row[:, ::-1])).max() > 1e-4


@pytest.mark.parametrize("name", ("ngrams", *NETWORKS))
def test_a_process_without_noria_loads_the_file_in_safe_mode_and_answers_alike(name: str, tmp_path: Path) -> None:
    model = build(name, None if name == "ngrams" else LENGTH)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "ids.npy", texts())
    program = (
        "import sys, numpy, keras\n"
        "model = keras.saving.load_model('model.keras', compile=False, safe_mode=True)\n"
        "numpy.save('scores.npy', model.predict(numpy.load('ids.npy'), verbose=0))\n"
        "assert not any(module.partition('.')[0] == 'noria' for module in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), scores_of(model, texts()), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_litert_answers_as_keras_does_also_for_short_texts(name: str) -> None:
    model = build(name)
    np.testing.assert_allclose(Engine(converted(model)).run(texts()), scores_of(model, texts()), atol=1e-4)


@pytest.mark.parametrize("name", ("ngrams", *NETWORKS))
def test_weights_of_eight_bits_answer_nearly_alike_in_a_file_of_less_than_half(name: str) -> None:
    model = build(name)
    small, large = converted(model, dynamic_range=True), converted(model)
    assert np.abs(Engine(small).run(texts()) - scores_of(model, texts())).max() < 0.05
    assert len(small) < (0.9 if name == "ngrams" else 0.5) * len(large)  # this one has 6 kB of weights only


def test_litert_takes_sets_of_ngrams_of_any_length() -> None:
    model = build("ngrams", None)
    engine = Engine(converted(model))
    for length in (32, 1, 16, 700, 32):
        ids = texts(max(length, 32))[:, :length]
        np.testing.assert_allclose(engine.run(ids), scores_of(model, ids), atol=1e-5)


def test_ngrams_logits_are_the_bias_and_the_sum_of_weights_by_the_root_of_their_number() -> None:
    model = build("ngrams", None)
    table, (kernel, bias) = model.get_layer("ngrams").get_weights()[0], model.get_layer("scores").get_weights()
    for row in texts():
        present = row[row > 0]
        logits = table[present].sum(axis=0) / max(1, len(present)) ** 0.5 @ kernel + bias
        expected = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(scores_of(model, row[np.newaxis])[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", ("ngrams", *NETWORKS))
def test_the_card_says_how_it_is_trained_and_refuses_other_names(name: str) -> None:
    card = models.card(name)
    assert card.input == "text"
    assert card.settings["encoding"] == ("ngrams" if name == "ngrams" else "sequence")
    with pytest.raises(UnknownNameError):
        models.find(name).card("another")


def similarity(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def test_words_of_like_meaning_have_like_vectors() -> None:
    pytest.importorskip("wordllama")
    good, great, train, empty = static_embeddings.word_vectors(["good", "great", "train", ""])
    assert similarity(good, great) > 2 * similarity(good, train)
    assert not empty.any()


def test_without_the_package_of_vectors_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_embeddings, "PACKAGE", "no_such_package")
    with pytest.raises(MissingExtraError, match=r"noria\[encoders\]"):
        static_embeddings.word_vectors(["good"])


def test_a_file_that_holds_no_vectors_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"\x05\0\0\0\0\0\0\0{}   ", b"\xff" * 100):
        (tmp_path / "weights").write_bytes(content)
        with pytest.raises(WeightsError, match="word vectors"):
            static_embeddings._read_safetensors(tmp_path / "weights")
