"""OpenTelemetry: what a collector on loopback gets over OTLP, from `noria serve` in a process of its own."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from noria.artifacts.bundle import Bundle
from noria.serving.protos import message

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector:
    """A collector of traces: the spans that it was sent, each with the resource of its sender."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.keep(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keep(self, request: Any) -> None:
        for resource in request.resource_spans:
            self.services |= {
                one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
            }
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def config(tmp_path: Path, bundle: Bundle, *traces: str) -> Path:
    path = tmp_path / "serve.toml"
    lines = ["[traces]", *traces, f'[[models]]\nname = "m"\npath = "{bundle.path}"']
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_each_request_is_a_span_with_its_stages(
    start: Callable[..., Any], collector: Collector, bundle: Bundle, photos: Path, tmp_path: Path
) -> None:
    endpoint = f"http://127.0.0.1:{collector.server.server_address[1]}/v1/traces"
    server = start("--config", config(tmp_path, bundle, f'endpoint = "{endpoint}"', 'service = "flowers"'))
    photo = min((photos / "rose").glob("[0-9]*.jpg")).read_bytes()
    with server.client() as client:
        headers = {"content-type": "image/jpeg", "traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
        assert client.post("/v1/models/m:predict", content=photo, headers=headers).status_code == 200
        assert client.get("/v1/models/other").status_code == 404
        assert client.get("/healthz").status_code == 200
    request = message("tensorflow.serving.GetModelStatusRequest")()
    request.model_spec.name = "m"
    with grpc.insecure_channel(server.grpc) as channel:
        stub = channel.unary_unary(
            "/tensorflow.serving.ModelService/GetModelStatus",
            request_serializer=lambda value: value.SerializeToString(),
            response_deserializer=message("tensorflow.serving.GetModelStatusResponse").FromString,
        )
        stub(request, timeout=20)
    assert server.stop() == 0  # what waited to be sent is sent
    assert collector.services == {"flowers"}
    roots = {span.name: span for span in collector.spans if span.kind == 2}
    assert set(roots) == {"POST predict", "GET status", "GetModelStatus"}
    asked = roots["POST predict"]
    assert (asked.trace_id.hex(), asked.parent_span_id.hex()) == (TRACE, PARENT)
    told = {one.key: one.value for one in asked.attributes}
    assert told["http.response.status_code"].int_value == 200
    assert (told["noria.model"].string_value, told["noria.request_id"].string_value) == ("m", "mine")
    inside = [span for span in collector.spans if span.parent_span_id == asked.span_id]
    assert [span.name for span in inside] == ["read", "queue", "decode", "run"]
    for span in inside:
        assert asked.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= asked.end_time_unix_nano
    assert abs(asked.end_time_unix_nano / 1e9 - time.time()) < 60
    assert not any(photo[:20] in span.SerializeToString() for span in collector.spans)


def test_a_collector_that_is_away_costs_no_request(
    start: Callable[..., Any], bundle: Bundle, photos: Path, tmp_path: Path
) -> None:
    server = start("--config", config(tmp_path, bundle, 'endpoint = "http://127.0.0.1:9/v1/traces"'))
    photo = min((photos / "rose").glob("[0-9]*.jpg")).read_bytes()
    for _ in range(3):
        answer = httpx.post(f"{server.http}/v1/models/m:predict", content=photo, headers={"content-type": "image/jpeg"})
        assert answer.status_code == 200
    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < 15
    lines = server.log_path.read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("{") for line in lines)
    assert any(line.get("event") == "traces" for line in server.log())


def test_an_endpoint_that_is_none_is_told(start: Callable[..., Any], bundle: Bundle, tmp_path: Path) -> None:
    from noria.errors import ConfigError
    from noria.serving.settings import load_serve_config

    with pytest.raises(ConfigError, match="http://collector:4318/v1/traces"):
        load_serve_config(config(tmp_path, bundle, 'endpoint = "collector:4318"'))
