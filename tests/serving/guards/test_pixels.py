"""How many pixels a request may have: counted by headers, over every protocol, before any picture is decoded."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from PIL import Image

from noria.serving.protos import message
from noria.serving.protos.tensors import to_tensor

SIDE = 7_000  # less than `limits.pixels` alone
FEW, MANY = 8, 9  # 392 and 441 million pixels; `limits.request_pixels` is 400
WORDS = "441,000,000 pixels together, at most 400,000,000"


@pytest.fixture(scope="module")
def client(served: Any) -> Iterator[httpx.Client]:
    with served.client() as made:
        yield made


@pytest.fixture(scope="module")
def large() -> bytes:
    """Return a picture of 49 million pixels in 6 KB, whose pixels cannot be decoded: what reads them says so."""
    target = io.BytesIO()
    Image.new("1", (SIDE, SIDE)).save(target, "PNG")
    data = target.getvalue()
    return data[: len(data) // 2]


def over_rest(client: httpx.Client, pictures: list[bytes]) -> httpx.Response:
    rows = [{"b64": base64.b64encode(one).decode()} for one in pictures]
    return client.post("/v1/models/photos:predict", json={"instances": rows})


def as_form(client: httpx.Client, pictures: list[bytes]) -> httpx.Response:
    parts = [("file", (f"{number}.png", one, "image/png")) for number, one in enumerate(pictures)]
    return client.post("/v1/models/photos:predict", files=parts)


def as_examples(client: httpx.Client, pictures: list[bytes]) -> httpx.Response:
    examples = [{"image_bytes": {"b64": base64.b64encode(one).decode()}} for one in pictures]
    return client.post("/v1/models/photos:classify", json={"examples": examples})


def over_v2(client: httpx.Client, pictures: list[bytes]) -> httpx.Response:
    data = [{"b64": base64.b64encode(one).decode()} for one in pictures]
    told = {"name": "image_bytes", "datatype": "BYTES", "shape": [len(data)], "data": data}
    return client.post("/v2/models/photos/infer", json={"inputs": [told]})


@pytest.mark.parametrize("ask", [over_rest, as_form, as_examples, over_v2])
def test_more_pixels_than_a_request_may_have_are_refused_before_any_is_decoded(
    client: httpx.Client, large: bytes, ask: Callable[..., httpx.Response]
) -> None:
    before = _decoded(client)
    answer = ask(client, [large] * MANY)
    assert answer.status_code == 413
    assert WORDS in answer.json()["error"]
    assert "several requests" in answer.json()["error"]
    assert _decoded(client) == before
    few = ask(client, [large] * FEW)
    assert few.status_code in (400, 422)  # let in, and found to be cut off
    assert "cut-off" in few.text


def test_the_same_holds_over_grpc(served: Any, large: bytes) -> None:
    with grpc.insecure_channel(served.grpc) as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        request = message("tensorflow.serving.PredictRequest")()
        request.model_spec.name = "photos"
        request.inputs["image_bytes"].CopyFrom(to_tensor(np.array([large] * MANY, np.object_)))
        with pytest.raises(grpc.RpcError) as caught:
            predict(request.SerializeToString(), timeout=30)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert WORDS in caught.value.details()


def test_small_pictures_may_be_many(client: httpx.Client) -> None:
    target = io.BytesIO()
    Image.new("RGB", (8, 8)).save(target, "PNG")
    assert len(over_rest(client, [target.getvalue()] * 64).json()["predictions"]) == 64


def _decoded(client: httpx.Client) -> str:
    """Return how often something of the model was decoded."""
    found = re.search(r'noria_stage_seconds_count{model="photos",stage="decode"} (\S+)', client.get("/metrics").text)
    return found.group(1) if found else "0"
