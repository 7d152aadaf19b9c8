"""gRPC streams before they are calls: a head alone takes nobody's place, and bytes in memory are counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from noria.artifacts.bundle import Bundle
from noria.serving.guards.door import new_key
from noria.serving.protos import message
from noria.serving.protos.tensors import to_tensor

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PLACES = 4


def request(text: str = "房间干净") -> bytes:
    made = message("tensorflow.serving.PredictRequest")()
    made.model_spec.name = "m"
    made.inputs["input_text"].CopyFrom(to_tensor(np.array([text.encode()], np.object_)))
    return bytes(made.SerializeToString())


@pytest.fixture
def channel(start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path) -> Iterator[grpc.Channel]:
    """To a server that has few places, and little memory."""
    limits = f"[limits]\nconnections = {PLACES}\nbody_seconds = 2\nqueue_bytes = 10000\n"
    path = tmp_path / "serve.toml"
    path.write_text(f'{limits}[[models]]\nname = "m"\npath = "{texts_bundle.path}"\n', encoding="utf-8")
    server = start("--config", path)
    with grpc.insecure_channel(server.grpc) as made:
        yield made


class Heads:
    """Streams that send a head and nothing else, each in a thread, until they are ended."""

    def __init__(self, channel: grpc.Channel, method: str, count: int) -> None:
        self._enough = threading.Event()
        self.ended: list[tuple[str, float]] = []
        self._started = time.monotonic()
        self._threads = [threading.Thread(target=self._send, args=(channel, method)) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _nothing(self) -> Iterator[bytes]:
        self._enough.wait(20)
        yield from ()

    def _send(self, channel: grpc.Channel, method: str) -> None:
        try:
            channel.stream_unary(method)(self._nothing(), timeout=20)
        except grpc.RpcError as error:
            self.ended.append((error.code().name, time.monotonic() - self._started))

    def wait(self) -> list[tuple[str, float]]:
        for thread in self._threads:
            thread.join()
        self._enough.set()
        return self.ended


@pytest.mark.parametrize("method", [PREDICT, "/grpc.health.v1.Health/Check"])
def test_heads_without_messages_keep_nobody_out_and_are_ended(channel: grpc.Channel, method: str) -> None:
    heads = Heads(channel, method, 3 * PLACES)
    time.sleep(0.5)
    answers = [channel.unary_unary(PREDICT)(request(), timeout=5) for _ in range(2 * PLACES)]
    assert all(answers) and len(set(answers)) == 1
    ended = heads.wait()
    assert {code for code, _ in ended} == {"DEADLINE_EXCEEDED"}
    assert len(ended) == 3 * PLACES and max(seconds for _, seconds in ended) < 6


def test_who_watches_takes_no_place_of_a_call(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    watched = [health.Watch(health_pb2.HealthCheckRequest(service="m"), timeout=20) for _ in range(PLACES)]
    assert [next(one).status for one in watched] == [health_pb2.HealthCheckResponse.SERVING] * PLACES
    with pytest.raises(grpc.RpcError) as caught:
        next(health.Watch(health_pb2.HealthCheckRequest(service="m"), timeout=20))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert channel.unary_unary(PREDICT)(request(), timeout=5)
    for one in watched:
        one.cancel()


def test_reflection_answers_message_after_message(channel: grpc.Channel) -> None:
    told = ProtoReflectionDescriptorDatabase(channel)
    for name in ("PredictionService", "ModelService"):
        assert told.FindFileContainingSymbol(f"tensorflow.serving.{name}").package == "tensorflow.serving"


def test_calls_are_refused_that_memory_has_no_room_for(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(PREDICT)(request("很" * 5_000), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(caught.value.trailing_metadata())["retry-after"]
    assert channel.unary_unary(PREDICT)(request("很" * 2_000), timeout=5)


def test_without_a_key_no_message_is_read_and_a_key_for_some_models_serves_no_others(
    start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path
) -> None:
    key, sha256 = new_key()
    entry = f'[[keys]]\nname = "a"\nsha256 = "{sha256}"\nscopes = ["predict", "reload"]\nmodels = ["m"]\n'
    path = tmp_path / "serve.toml"
    path.write_text(f'{entry}[[models]]\nname = "m"\npath = "{texts_bundle.path}"\n', encoding="utf-8")
    server = start("--config", path)
    with grpc.insecure_channel(server.grpc) as channel:
        ((code, seconds),) = Heads(channel, PREDICT, 1).wait()
        assert (code, seconds < 5) == ("UNAUTHENTICATED", True)
        metadata = (("x-api-key", key),)
        assert channel.unary_unary(PREDICT)(request(), timeout=5, metadata=metadata)
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")(
                message("tensorflow.serving.ReloadConfigRequest")().SerializeToString(), timeout=5, metadata=metadata
            )
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_heads_without_messages_do_not_hold_up_the_end_of_a_server(
    start: Callable[..., Any], texts_bundle: Bundle
) -> None:
    server = start(f"m={texts_bundle.path}")
    with grpc.insecure_channel(server.grpc) as channel:
        heads = [Heads(channel, method, 2) for method in (PREDICT, "/grpc.health.v1.Health/Check")]
        time.sleep(0.5)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 10
        assert [len(one.wait()) for one in heads] == [2, 2]
