"""What each file of a bundle is, read with the engine's own tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from noria import plugins
from noria.artifacts.bundle import Bundle
from noria.artifacts.run import Run
from noria.inputs import image

GOLDEN_TOLERANCE = 0.01  # libjpeg inside TensorFlow rounds unlike Pillow's, by one level of 255


@pytest.fixture(scope="module")
def served(bundle: Bundle) -> Any:
    return tf.saved_model.load(str(bundle.file("savedmodel")))


@pytest.fixture(scope="module")
def expected(bundle: Bundle) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([one.scores for one in bundle.manifest.golden], np.float32)


def interpreter(path: Path) -> Interpreter:
    """Without delegates, so that the file's own operations are seen."""
    from ai_edge_litert.interpreter import OpResolverType

    opened = Interpreter(
        model_path=str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    opened.allocate_tensors()
    return opened


@pytest.mark.parametrize("name", plugins.names("noria.exporting.formats"))
def test_every_format_states_its_path_and_its_tolerances(name: str) -> None:
    member = plugins.load("noria.exporting.formats", name)
    assert member.PATH
    difference = "mean_score_difference" if name == "litert_int8" else "score_difference"
    assert member.TOLERANCES.keys() == {"agreement", difference, "accuracy_loss"}
    assert 0 < member.TOLERANCES[difference] <= 0.25
    assert 0.9 <= member.TOLERANCES["agreement"] <= 1
    assert callable(member.write)


def test_keras_is_the_file_of_the_run(bundle: Bundle, run: Run) -> None:
    assert bundle.checksum("keras") == run.checksum("keras")
    model = keras.saving.load_model(bundle.file("keras"), compile=False, safe_mode=True)
    assert model.input_shape == (None, 224, 224, 3)
    assert model.output_shape == (None, 3)


def test_savedmodel_takes_raw_bytes_and_returns_label_scores_and_labels(
    bundle: Bundle, served: Any, expected: np.ndarray[Any, np.dtype[np.float32]]
) -> None:
    signature = served.signatures["serving_default"]
    (given,) = signature.structured_input_signature[1].values()
    assert (given.dtype, given.shape.as_list()) == (tf.string, [None])
    answer = signature(tf.constant(bundle.golden_inputs()))
    assert answer.keys() == {"label", "scores", "labels"}
    np.testing.assert_allclose(answer["scores"].numpy(), expected, atol=GOLDEN_TOLERANCE)
    best = [bundle.labels[index] for index in expected.argmax(axis=1)]
    assert [label.decode() for label in answer["label"].numpy()] == best
    assert [[name.decode() for name in row] for row in answer["labels"].numpy()] == [list(bundle.labels)] * len(best)


def test_savedmodel_has_a_signature_for_decoded_pictures_too(
    bundle: Bundle, served: Any, expected: np.ndarray[Any, np.dtype[np.float32]]
) -> None:
    settings = image.Settings.model_validate(bundle.manifest.input)
    arrays = np.stack([image.read(data, settings) for data in bundle.golden_inputs()]).astype(np.float32)
    scores = served.signatures["arrays"](tf.constant(arrays))["scores"].numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_savedmodel_refuses_what_is_no_picture(served: Any) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        served.signatures["serving_default"](tf.constant([b"no picture"]))


def test_litert_takes_and_gives_float32_one_picture_at_a_time(bundle: Bundle) -> None:
    opened = interpreter(bundle.file("litert"))
    (given,), (returned,) = opened.get_input_details(), opened.get_output_details()
    assert (given["dtype"], list(given["shape"])) == (np.float32, [1, 224, 224, 3])
    assert (returned["dtype"], list(returned["shape"])) == (np.float32, [1, 3])


def test_int8_is_full_integer_from_end_to_end(bundle: Bundle) -> None:
    opened = interpreter(bundle.file("litert_int8"))
    (given,), (returned,) = opened.get_input_details(), opened.get_output_details()
    assert (given["dtype"], returned["dtype"]) == (np.uint8, np.uint8)
    assert given["quantization"] == (1.0, 0)  # a uint8 picture is its own quantised form
    assert returned["quantization"] == pytest.approx((1 / 256, 0))
    kinds = {np.dtype(one["dtype"]).name for one in opened.get_tensor_details() if one["name"]}
    assert kinds <= {"int8", "uint8", "int32"}


def test_int8_weights_have_a_scale_for_each_channel(bundle: Bundle) -> None:
    scales = [
        one["quantization_parameters"]["scales"] for one in interpreter(bundle.file("litert_int8")).get_tensor_details()
    ]
    assert sum(len(one) >= 32 for one in scales) > 20
