"""The gRPC door on loopback: TensorFlow Serving's services, health and reflection."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import HealthCheck, given, settings, strategies

import noria
from noria.artifacts.bundle import Bundle
from noria.errors import RequestError, TooLargeError
from noria.serving import protos
from noria.serving.protos import message
from noria.serving.protos.tensors import to_array, to_arrays, to_tensor

PROJECT = Path(__file__).resolve().parents[3]


def new(name: str) -> Any:
    return message(f"tensorflow.serving.{name}")()


@pytest.fixture(scope="module")
def channel(served: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.grpc) as made:
        yield made


@pytest.fixture(scope="module")
def photo(photos: Path) -> bytes:
    return min((photos / "rose").glob("[0-9]*.jpg")).read_bytes()


def call(channel: grpc.Channel, method: str, request: Any, *, metadata: Any = (), timeout: float = 20) -> Any:
    """Call a method by its service's last word: "Prediction.Predict"."""
    service, _, name = method.partition(".")
    answers = {
        "Predict": "PredictResponse",
        "Classify": "ClassificationResponse",
        "Regress": "RegressionResponse",
        "GetModelMetadata": "GetModelMetadataResponse",
        "GetModelStatus": "GetModelStatusResponse",
        "HandleReloadConfigRequest": "ReloadConfigResponse",
    }
    stub = channel.unary_unary(
        f"/tensorflow.serving.{service}Service/{name}",
        request_serializer=lambda value: value.SerializeToString(),
        response_deserializer=message(f"tensorflow.serving.{answers[name]}").FromString,
    )
    return stub(request, timeout=timeout, metadata=metadata)


def predict_request(model: str, name: str, values: list[bytes]) -> Any:
    request = new("PredictRequest")
    request.model_spec.name = model
    array = np.empty(len(values), np.object_)
    array[:] = values
    request.inputs[name].CopyFrom(to_tensor(array))
    return request


def test_predict_answers_raw_pictures_as_noria_predict_does(
    channel: grpc.Channel, served: Any, bundle: Bundle, photo: bytes
) -> None:
    answer = call(channel, "Prediction.Predict", predict_request("photos", "image_bytes", [photo, photo]))
    with served.client() as client:
        runtime = client.get("/v1/models/photos/card").json()["runtime"]
    (alone,) = noria.predict(bundle, [photo], runtime=runtime, top=100)
    scores = to_array(answer.outputs["scores"], "scores")
    labels = [one.decode() for one in to_array(answer.outputs["labels"], "labels")[0]]
    assert scores.shape == (2, len(labels))
    assert dict(zip(labels, scores[0].tolist(), strict=True)) == pytest.approx(dict(alone["top"]), abs=1e-5)
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("photos", 1, "serving_default")


def test_predict_gives_only_the_outputs_asked_for(channel: grpc.Channel) -> None:
    request = predict_request("texts", "input_text", ["房间干净".encode()])
    request.output_filter.append("label")
    assert list(call(channel, "Prediction.Predict", request).outputs) == ["label"]
    request.output_filter[0] = "nothing"
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "Prediction.Predict", request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_classify_takes_examples(channel: grpc.Channel, photo: bytes) -> None:
    request = new("ClassificationRequest")
    request.model_spec.name = "photos"
    example = request.input.example_list.examples.add()
    example.features.feature["image_bytes"].bytes_list.value.append(photo)
    (found,) = call(channel, "Prediction.Classify", request).result.classifications
    answer = call(channel, "Prediction.Predict", predict_request("photos", "image_bytes", [photo]))
    best = max(found.classes, key=lambda one: one.score)
    assert best.label == to_array(answer.outputs["label"], "label")[0].decode()


def test_metadata_names_the_signatures(channel: grpc.Channel) -> None:
    request = new("GetModelMetadataRequest")
    request.model_spec.name = "texts"
    request.metadata_field.append("signature_def")
    answer = call(channel, "Prediction.GetModelMetadata", request)
    packed = answer.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    told = message("tensorflow.serving.SignatureDefMap").FromString(packed.value)
    assert told.signature_def["serving_default"].inputs["input_text"].dtype == 7
    assert told.signature_def["classify"].method_name == "tensorflow/serving/classify"


def test_status_and_health(channel: grpc.Channel) -> None:
    request = new("GetModelStatusRequest")
    request.model_spec.name = "photos"
    (status,) = call(channel, "Model.GetModelStatus", request).model_version_status
    assert (status.version, status.state, status.status.error_code) == (1, 30, 0)
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", "photos", "tensorflow.serving.PredictionService"):
        assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == 1
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_is_watched_to_the_end_of_the_server(start: Callable[..., Any], texts_bundle: Bundle) -> None:
    server = start(f"m={texts_bundle.path}")
    with grpc.insecure_channel(server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        unknown = health.Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=30)
        assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        unknown.cancel()
        watched = health.Watch(health_pb2.HealthCheckRequest(service="m"), timeout=60)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        server.process.send_signal(signal.SIGTERM)
        assert [one.status for one in watched] == [health_pb2.HealthCheckResponse.NOT_SERVING]
        assert server.process.wait(30) == 0


def test_reflection_tells_what_there_is(channel: grpc.Channel) -> None:
    told = ProtoReflectionDescriptorDatabase(channel)
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"} <= set(told.get_services())
    assert told.FindFileContainingSymbol("tensorflow.serving.PredictionService").package == "tensorflow.serving"


def test_errors_have_their_codes(channel: grpc.Channel) -> None:
    cases = [
        (predict_request("nobody", "x", [b"x"]), grpc.StatusCode.NOT_FOUND),
        (predict_request("texts", "wrong_name", [b"x"]), grpc.StatusCode.INVALID_ARGUMENT),
        (predict_request("photos", "image_bytes", [b"no picture"]), grpc.StatusCode.INVALID_ARGUMENT),
        (predict_request("texts", "input_text", [b"x"] * 2000), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ]
    for request, code in cases:
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "Prediction.Predict", request)
        assert caught.value.code() is code


def test_an_error_that_quotes_a_long_name_arrives_as_what_it_is(channel: grpc.Channel) -> None:
    request = predict_request("texts", "input_text", [b"good"])
    health = health_pb2_grpc.HealthStub(channel)
    for letter in ("签", "s", " ") * 4:  # clients refuse long words by chance
        request.model_spec.signature_name = letter * 20_000
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "Prediction.Predict", request)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "There is no signature" in caught.value.details()
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service=letter * 20_000))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        assert "There is no service" in caught.value.details()


def test_a_context_is_not_repeated_without_end(channel: grpc.Channel) -> None:
    request = new("ClassificationRequest")
    request.model_spec.name = "texts"
    told = request.input.example_list_with_context
    told.context.features.feature["input_text"].bytes_list.value.append(b"x" * 100_000)
    for _ in range(400):
        told.examples.add()
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "Prediction.Classify", request)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "The context" in caught.value.details()


def test_keys_are_asked_for(start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path) -> None:
    from noria.serving.guards.door import new_key

    key, sha256 = new_key()
    config = tmp_path / "serve.toml"
    config.write_text(
        f'[[keys]]\nname = "shop"\nsha256 = "{sha256}"\nscopes = ["predict"]\n'
        f'[[models]]\nname = "t"\npath = "{texts_bundle.path}"\n'
    )
    server = start("--config", config)
    request = predict_request("t", "input_text", ["好".encode()])
    with grpc.insecure_channel(server.grpc) as channel:
        for metadata, code in [((), "UNAUTHENTICATED"), ((("x-api-key", "noria_wrong"),), "UNAUTHENTICATED")]:
            with pytest.raises(grpc.RpcError) as caught:
                call(channel, "Prediction.Predict", request, metadata=metadata)
            assert caught.value.code().name == code
        assert call(channel, "Prediction.Predict", request, metadata=(("authorization", f"Bearer {key}"),)).outputs
        reload = new("ReloadConfigRequest")
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "Model.HandleReloadConfigRequest", reload, metadata=(("x-api-key", key),))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_reload_serves_other_models_but_no_folder_of_the_machine(
    start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "models" / "t"
    shutil.copytree(texts_bundle.path, folder / "1")
    shutil.copytree(texts_bundle.path, folder / "2")
    server = start(f"t={folder}", "--threshold", "0.9")
    with grpc.insecure_channel(server.grpc) as channel, server.client() as client:
        request = new("ReloadConfigRequest")
        model = request.config.model_config_list.config.add(name="t", base_path=str(folder))
        model.model_version_policy.specific.versions.extend([1, 2])
        model.version_labels["stable"] = 1
        assert call(channel, "Model.HandleReloadConfigRequest", request).status.error_code == 0
        assert client.get("/v1/models/t/card").json()["threshold"] == 0.9
        asked = predict_request("t", "input_text", ["好".encode()])
        asked.model_spec.version_label = "stable"
        assert call(channel, "Prediction.Predict", asked).model_spec.version.value == 1
        model.version_labels["canary"] = 9
        refused = call(channel, "Model.HandleReloadConfigRequest", request).status
        assert (refused.error_code, "9" in refused.error_message) == (3, True)
        del model.version_labels["canary"]
        (folder.parent / "empty").mkdir()
        model.base_path = str(folder.parent / "empty")
        refused = call(channel, "Model.HandleReloadConfigRequest", request).status
        assert (refused.error_code, "'t'" in refused.error_message) == (3, True)
        assert call(channel, "Prediction.Predict", asked).model_spec.version.value == 1
        model.base_path = "/etc"
        assert call(channel, "Model.HandleReloadConfigRequest", request).status.error_code == 7


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=strategies.data())
def test_no_message_however_wild_is_the_servers_fault(channel: grpc.Channel, data: Any) -> None:
    good = predict_request("texts", "input_text", ["房间干净".encode()]).SerializeToString()
    place, lost = data.draw(strategies.tuples(strategies.integers(0, len(good)), strategies.integers(0, 8)))
    wild = good[:place] + data.draw(strategies.binary(max_size=40)) + good[place + lost :]
    stub = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    try:
        stub(wild, timeout=20)
    except grpc.RpcError as error:
        assert error.code().name in ("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"), error


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array([], np.int64),
        np.array(7, np.int32),
        np.array([True, False]),
        np.array([1.5, -2], np.float16),
        np.array([[b"a", b"\xff"]], np.object_),
        np.arange(3, dtype=np.uint64),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_arrays_survive_the_journey(array: np.ndarray[Any, Any]) -> None:
    found = to_array(to_tensor(array), "x")
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_the_last_value_stands_for_those_that_are_left_out() -> None:
    tensor = message("tensorflow.TensorProto")(dtype=1, float_val=[1, 2])
    tensor.tensor_shape.dim.add(size=4)
    assert to_array(tensor, "x").tolist() == [1, 2, 2, 2]


def test_repeated_values_are_not_more_than_a_request_may_hold(channel: grpc.Channel) -> None:
    tensor = message("tensorflow.TensorProto")(dtype=7, string_val=[b"x" * 4000])
    tensor.tensor_shape.dim.add(size=1_000_000)
    for name, code in [("input_text", "RESOURCE_EXHAUSTED"), ("unknown", "INVALID_ARGUMENT")]:
        request = new("PredictRequest")
        request.model_spec.name = "texts"
        request.inputs[name].CopyFrom(tensor)
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "Prediction.Predict", request)
        assert caught.value.code().name == code
    numbers = message("tensorflow.TensorProto")(dtype=1, float_val=[1.0])
    numbers.tensor_shape.dim.add(size=600)
    with pytest.raises(TooLargeError):
        to_arrays({"a": numbers, "b": numbers}, 4_000)
    assert to_arrays({"a": numbers, "b": numbers}, 4_800)["b"].tolist() == [1.0] * 600


def test_who_hangs_up_is_not_counted_as_answered(start: Callable[..., Any], texts_bundle: Bundle) -> None:
    server = start(f"t={texts_bundle.path}")
    request = predict_request("t", "input_text", ["房间干净".encode() * 30_000] * 64)
    with grpc.insecure_channel(server.grpc) as channel, server.client() as client:
        stub = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        sent = stub.future(request.SerializeToString())
        time.sleep(0.5)
        sent.cancel()
        end = time.monotonic() + 20
        while 'method="Predict"' not in (told := client.get("/metrics").text) and time.monotonic() < end:
            time.sleep(0.05)
    counted = [line for line in told.splitlines() if line.startswith("noria_requests_total") and "Predict" in line]
    (line,) = counted  # of its model, or of none where the message was not read yet
    assert 'code="CANCELLED"' in line and line.endswith(" 1.0")


def test_refusals_are_counted_once_whatever_the_protocol(start: Callable[..., Any], texts_bundle: Bundle) -> None:
    server = start(f"t={texts_bundle.path}")
    with grpc.insecure_channel(server.grpc) as channel, server.client() as client:
        for place in range(2):
            with pytest.raises(grpc.RpcError):
                call(channel, "Prediction.Predict", predict_request("nobody", "x", [b"x"]))
            client.post("/v1/models/nobody:predict", json={"instances": ["x"]})
            assert f'noria_rejections_total{{reason="NotServed"}} {2.0 * (place + 1)}' in client.get("/metrics").text


def test_two_servers_do_not_share_a_port(served: Any, texts_bundle: Bundle) -> None:
    port = served.grpc.rpartition(":")[2]
    for processes in ("1", "2"):
        command = [sys.executable, "-m", "noria", "serve", f"m={texts_bundle.path}", "--processes", processes, "--json"]
        done = subprocess.run(
            [*command, "--http", "0", "--grpc", port], capture_output=True, timeout=60, check=False, text=True
        )
        assert (done.returncode, "--grpc" in json.loads(done.stdout)["error"]) == (2, True), done


@pytest.mark.parametrize("sides", [[-1], [2**62, 2**62], [0, 2**62, 2**62], [3], [2**40]], ids=str)
def test_a_shape_that_the_content_does_not_fill_is_refused_before_anything_is_allocated(sides: list[int]) -> None:
    tensor = message("tensorflow.TensorProto")(dtype=1, float_val={3: [1, 2, 3, 4], 0: []}.get(sides[0], [1, 2]))
    for side in sides:
        tensor.tensor_shape.dim.add(size=side)
    with pytest.raises(RequestError):
        to_array(tensor, "x")


def test_our_messages_have_the_numbers_of_tensorflows_own() -> None:
    from noria.quiet import load_tensorflow

    load_tensorflow()
    from google.protobuf import descriptor_pool

    theirs = descriptor_pool.Default()
    for name in ("TensorProto", "TensorShapeProto", "TensorInfo", "SignatureDef", "Feature", "Features", "Example"):
        other = theirs.FindMessageTypeByName(f"tensorflow.{name}")
        for field in protos.pool().FindMessageTypeByName(f"tensorflow.{name}").fields:
            twin = other.fields_by_name[field.name]
            assert (field.name, field.number, field.type) == (twin.name, twin.number, twin.type)
            assert field.is_repeated == twin.is_repeated
    numbers = theirs.FindEnumTypeByName("tensorflow.DataType").values_by_name
    for value in protos.pool().FindEnumTypeByName("tensorflow.DataType").values:
        assert numbers[value.name].number == value.number


def test_the_descriptors_are_those_of_the_proto_files() -> None:
    spec = importlib.util.spec_from_file_location("make_protos", PROJECT / "tools" / "make_protos.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    stored = (made.FOLDER / "descriptors.pb").read_bytes()
    kind = descriptor_pb2.FileDescriptorSet
    ours = {"serving.proto", "tensorflow.proto"}
    fresh, kept = (kind.FromString(data).file for data in (made.compiled(), stored))
    assert [one for one in fresh if one.name in ours] == [one for one in kept if one.name in ours]
