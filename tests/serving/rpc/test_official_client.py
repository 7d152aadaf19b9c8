"""TensorFlow Serving's own client package, unchanged, in a process of its own, against `noria serve`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import noria
from noria.artifacts.bundle import Bundle

PEERS = Path(sys.prefix) / "peers"
# As its users write it: protos and stubs of tensorflow_serving.apis, tensors by tf.make_tensor_proto.
CLIENT = """
import json, sys
peers, address, photo = sys.argv[1:]
sys.path.append(peers)
import grpc
import tensorflow as tf
from tensorflow_serving.apis import (classification_pb2, get_model_metadata_pb2, get_model_status_pb2,
    model_management_pb2, model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc)

channel = grpc.insecure_channel(address)
predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
models = model_service_pb2_grpc.ModelServiceStub(channel)
told = {}

request = get_model_metadata_pb2.GetModelMetadataRequest()
request.model_spec.name = "photos"
request.metadata_field.append("signature_def")
signatures = get_model_metadata_pb2.SignatureDefMap()
assert predictions.GetModelMetadata(request, 20).metadata["signature_def"].Unpack(signatures)
signature = signatures.signature_def["serving_default"]
(name,) = signature.inputs
told["input"] = [name, tf.dtypes.as_dtype(signature.inputs[name].dtype).name]

data = open(photo, "rb").read()
request = predict_pb2.PredictRequest()
request.model_spec.name = "photos"
request.model_spec.version.value = 1
request.inputs[name].CopyFrom(tf.make_tensor_proto([data, data]))
answer = predictions.Predict(request, 20)
told["scores"] = tf.make_ndarray(answer.outputs["scores"]).tolist()
told["labels"] = [one.decode() for one in tf.make_ndarray(answer.outputs["labels"])[0]]

request = classification_pb2.ClassificationRequest()
request.model_spec.name = "photos"
feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))
request.input.example_list.examples.append(tf.train.Example(features=tf.train.Features(feature={name: feature})))
(found,) = predictions.Classify(request, 20).result.classifications
told["classes"] = {one.label: one.score for one in found.classes}

request = get_model_status_pb2.GetModelStatusRequest()
request.model_spec.name = "photos"
(status,) = models.GetModelStatus(request, 20).model_version_status
told["state"] = get_model_status_pb2.ModelVersionStatus.State.Name(status.state)

request = predict_pb2.PredictRequest()
request.model_spec.name = "nothing"
try:
    predictions.Predict(request, 20)
except grpc.RpcError as error:
    told["error"] = error.code().name
print(json.dumps(told))
"""

HALF_PLUS_TWO = """
import json, sys
peers, address, base_path = sys.argv[1:]
sys.path.append(peers)
import grpc
import tensorflow as tf
from tensorflow_serving.apis import (classification_pb2, get_model_metadata_pb2, model_management_pb2,
    model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc, regression_pb2)
from tensorflow_serving.config import model_server_config_pb2

channel = grpc.insecure_channel(address)
predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
told = {}

request = get_model_metadata_pb2.GetModelMetadataRequest()
request.model_spec.name = "half_plus_two"
request.metadata_field.append("signature_def")
signatures = get_model_metadata_pb2.SignatureDefMap()
assert predictions.GetModelMetadata(request, 20).metadata["signature_def"].Unpack(signatures)
told["tensors"] = {name: one.inputs[key].name for name, one in signatures.signature_def.items() for key in one.inputs}

request = predict_pb2.PredictRequest()
request.model_spec.name = "half_plus_two"
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0, 5.0]))
told["predicted"] = tf.make_ndarray(predictions.Predict(request, 20).outputs["y"]).tolist()

for kind, method, module in (("regress", "Regress", regression_pb2.RegressionRequest),
                             ("classify", "Classify", classification_pb2.ClassificationRequest)):
    request = module()
    request.model_spec.name = "half_plus_two"
    request.model_spec.signature_name = f"{kind}_x_to_y"
    for x in (1.0, 2.0):
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(x)
    result = getattr(predictions, method)(request, 20).result
    told[kind] = ([one.value for one in result.regressions] if kind == "regress"
                  else [one.classes[0].score for one in result.classifications])

request = model_management_pb2.ReloadConfigRequest()
config = model_server_config_pb2.ModelConfig(name="again", base_path=base_path, model_platform="tensorflow")
config.model_version_policy.specific.versions.append(123)
config.version_labels["stable"] = 123
request.config.model_config_list.config.append(config)
status = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request, 60).status
told["reload"] = [status.error_code, status.error_message]
request = predict_pb2.PredictRequest()
request.model_spec.name = "again"
request.model_spec.version_label = "stable"
request.inputs["x"].CopyFrom(tf.make_tensor_proto([[4.0]]))
told["again"] = tf.make_ndarray(predictions.Predict(request, 20).outputs["y"]).tolist()
print(json.dumps(told))
"""


def answered(script: str, *arguments: str) -> Any:
    """What a client in a process of its own says of its answers."""
    if not (PEERS / "tensorflow_serving").is_dir():
        pytest.skip(f"tensorflow-serving-api is not at {PEERS}; `make test` puts it there")
    command = [sys.executable, "-c", script, str(PEERS), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_the_official_client_asks_tensorflow_servings_own_model(start: Callable[..., Any], others: Path) -> None:
    server = start(f"half_plus_two={others / 'half_plus_two'}")
    told = answered(HALF_PLUS_TWO, server.grpc, str(others / "half_plus_two"))
    assert told["tensors"] == {
        "serving_default": "x:0", "regress_x_to_y": "tf_example:0", "classify_x_to_y": "tf_example:0",
    }  # fmt: skip
    assert told["predicted"] == [2.5, 3.0, 4.5]
    assert told["regress"] == told["classify"] == [2.5, 3.0]
    assert (told["reload"], told["again"]) == ([0, ""], [[4.0]])


def test_the_official_client_is_answered_as_noria_predict_answers(served: Any, bundle: Bundle, photos: Path) -> None:
    photo = min((photos / "rose").glob("[0-9]*.jpg"))
    with served.client() as client:
        runtime = client.get("/v1/models/photos/card").json()["runtime"]
    told = answered(CLIENT, served.grpc, str(photo))
    (alone,) = noria.predict(bundle, [photo], runtime=runtime, top=100)
    assert told["input"] == ["image_bytes", "string"]
    for scores in told["scores"]:
        assert dict(zip(told["labels"], scores, strict=True)) == pytest.approx(dict(alone["top"]), abs=1e-5)
    assert told["classes"] == pytest.approx(dict(alone["top"]), abs=1e-5)
    assert (told["state"], told["error"]) == ("AVAILABLE", "NOT_FOUND")
