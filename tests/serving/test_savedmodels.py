"""SavedModels of others: asked before they answer anybody, no more rows than are taken, signatures that cannot be."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from noria.errors import ArtifactError
from noria.quiet import load_tensorflow
from noria.serving.protos import message
from noria.serving.protos.tensors import to_tensor
from noria.serving.servables import savedmodel
from noria.serving.settings import Limits

REQUESTS = Path("assets.extra", "tf_serving_warmup_requests")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that counts its calls, one with a signature of bfloat16, and one with nothing else."""
    load_tensorflow()
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("made")

    class Counting(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.calls = tf.Variable(0, dtype=tf.int64)

        @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
        def double(self, x: Any) -> Any:
            self.calls.assign_add(1)
            return {"y": 2 * x}

        @tf.function(input_signature=[])
        def count(self) -> Any:
            return {"calls": self.calls + 0}

    class Mixed(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def double(self, x: Any) -> Any:
            return {"y": 2 * x}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.bfloat16, name="x")])
        def brain(self, x: Any) -> Any:
            return {"y": x}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def turned(self, x: Any) -> Any:
            return {"z": tf.complex(x, x)}

    counting, mixed = Counting(), Mixed()
    signatures = {"serving_default": counting.double, "count": counting.count}
    tf.saved_model.save(counting, str(folder / "counting" / "1"), signatures=signatures)
    shutil.copytree(folder / "counting" / "1", folder / "asked" / "1")
    write_requests(folder / "asked" / "1", [[1.0], [2.0], [3.0]])
    signatures = {"serving_default": mixed.double, "brain": mixed.brain, "turned": mixed.turned}
    tf.saved_model.save(mixed, str(folder / "mixed" / "1"), signatures=signatures)
    tf.saved_model.save(mixed, str(folder / "nothing" / "1"), signatures={"brain": mixed.brain})
    return folder


def write_requests(version: Path, values: list[list[float]], name: str = "x") -> None:
    """Write a file of warm-up requests as TensorFlow Serving reads it: TFRecord of PredictionLog."""
    import tensorflow as tf

    (version / REQUESTS).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(version / REQUESTS)) as writer:
        for one in values:
            log = message("tensorflow.serving.PredictionLog")()
            log.predict_log.request.inputs[name].CopyFrom(to_tensor(np.array([one], np.float32)))
            writer.write(log.SerializeToString())


@pytest.fixture(scope="module")
def server(made: Path, serving_process: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("served")
    lines = [f'[[models]]\nname = "{name}"\npath = "{made / name}"\n' for name in ("counting", "asked", "mixed")]
    wide = f'[[models]]\nname = "wide"\npath = "{made / "mixed"}"\nrows = 2000\n'
    (folder / "serve.toml").write_text("".join([*lines, wide]), encoding="utf-8")
    with serving_process(folder, "--config", folder / "serve.toml") as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def calls(client: httpx.Client, model: str) -> Any:
    return client.post(f"/v1/models/{model}:predict", json={"signature_name": "count", "inputs": {}}).json()["outputs"]


def test_requests_beside_a_model_are_asked_once_before_it_answers(client: httpx.Client) -> None:
    assert calls(client, "asked") == 3


def test_no_made_up_request_is_sent_to_a_signature_that_changes_something(client: httpx.Client) -> None:
    assert calls(client, "counting") == 0


def test_a_signature_that_changes_nothing_is_asked_once_with_zeros(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    called = savedmodel.SavedModelServable._called

    def spied(self: Any, signature: str, inputs: Any) -> Any:
        asked.append((signature, inputs["x"].tolist()))
        return called(self, signature, inputs)

    monkeypatch.setattr(savedmodel.SavedModelServable, "_called", spied)
    servable = savedmodel.open_servable(made / "mixed" / "1", "tensorflow", Limits())
    servable.self_test()
    servable.self_test()
    assert asked == [("serving_default", [0.0])]


@pytest.mark.parametrize("damage", ["a wrong name", "a broken record"])
def test_a_version_that_does_not_answer_the_requests_beside_it_is_refused(
    start: Callable[..., Any], made: Path, tmp_path: Path, damage: str, until: Callable[..., Any]
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(made / "counting" / "1", folder / "1")
    server = start(f"m={folder}")
    partial = folder / "partial"
    shutil.copytree(made / "counting" / "1", partial)
    write_requests(partial, [[1.0]], "z" if damage == "a wrong name" else "x")
    if damage == "a broken record":
        with (partial / REQUESTS).open("ab") as file:
            file.write(struct.pack("<Q", 9) + b"broken")
    partial.rename(folder / "2")
    (refused,) = until(lambda: [line for line in server.log() if line["event"] == "refused"])
    assert "tf_serving_warmup_requests" in refused["error"]
    with server.client() as client:
        answer = client.post("/v1/models/m:predict", json={"instances": [[4.0]]})
        assert answer.json() == {"predictions": [[8.0]]}
        states = client.get("/v1/models/m").json()["model_version_status"]
    assert {one["version"]: one["state"] for one in states} == {"1": "AVAILABLE", "2": "END"}


def test_a_request_may_not_have_rows_without_end(client: httpx.Client) -> None:
    rows = {"instances": [1.0] * 1025}
    answer = client.post("/v1/models/mixed:predict", json=rows)
    assert (answer.status_code, "1,024" in answer.json()["error"]) == (413, True)
    assert len(client.post("/v1/models/wide:predict", json=rows).json()["predictions"]) == 1025


def test_a_signature_that_cannot_be_served_takes_no_other_with_it(client: httpx.Client, made: Path) -> None:
    assert client.post("/v1/models/mixed:predict", json={"instances": [1.0]}).json() == {"predictions": [2.0]}
    for name, kind in [("brain", "DT_BFLOAT16"), ("turned", "DT_COMPLEX64")]:
        answer = client.post("/v1/models/mixed:predict", json={"signature_name": name, "instances": [1.0]})
        assert (answer.status_code, kind in answer.json()["error"]) == (400, True)
    assert set(client.get("/v1/models/mixed/card").json()["refused"]) == {"brain", "turned"}
    with pytest.raises(ArtifactError, match="DT_BFLOAT16"):
        savedmodel.open_servable(made / "nothing" / "1", "tensorflow", Limits())
