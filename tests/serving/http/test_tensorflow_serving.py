"""TensorFlow Serving's REST API, asked over loopback; the answers are those that `noria.predict` gives alone."""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import noria
from noria.artifacts.bundle import Bundle
from noria.errors import RequestError
from noria.serving.http.tensors_json import to_array
from noria.serving.tensors import TensorSpec

TEXTS = ["房间很干净，服务也好，下次还来", "太差了，又脏又吵，不会再住", "Great hotel, friendly staff."]


@pytest.fixture(scope="module")
def client(served: Any) -> Iterator[httpx.Client]:
    with served.client() as made:
        yield made


@pytest.fixture(scope="module")
def photo(photos: Path) -> bytes:
    return min((photos / "rose").glob("0*.jpg"), default=min((photos / "rose").glob("*.jpg"))).read_bytes()


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def scores_alone(bundle: Bundle, data: bytes, runtime: str) -> dict[str, float]:
    (told,) = noria.predict(bundle, [data], runtime=runtime, top=100)
    return dict(told["top"])


def served_scores(prediction: dict[str, Any]) -> dict[str, float]:
    return dict(zip(prediction["labels"], prediction["scores"], strict=True))


def close(left: dict[str, float], right: dict[str, float]) -> bool:
    return left.keys() == right.keys() and all(abs(left[name] - right[name]) < 1e-5 for name in left)


def test_rows_of_pictures_in_base64_are_answered_as_alone(client: httpx.Client, bundle: Bundle, photo: bytes) -> None:
    answer = client.post("/v1/models/photos:predict", json={"instances": [b64(photo), b64(photo)]})
    assert answer.status_code == 200
    runtime = client.get("/v1/models/photos/card").json()["runtime"]
    first, second = answer.json()["predictions"]
    assert first == second
    assert close(served_scores(first), scores_alone(bundle, photo, runtime))
    assert first["label"] == max(served_scores(first), key=lambda label: served_scores(first)[label])


@pytest.mark.parametrize("form", ["named b64", "bare base64", "data URL", "columns", "named columns"])
def test_every_form_of_a_request_gets_the_same_answer(client: httpx.Client, photo: bytes, form: str) -> None:
    text = base64.b64encode(photo).decode()
    bodies = {
        "named b64": {"instances": [{"image_bytes": b64(photo)}]},
        "bare base64": {"instances": [text]},
        "data URL": {"instances": [f"data:image/jpeg;base64,{text}"]},
        "columns": {"inputs": [b64(photo)]},
        "named columns": {"inputs": {"image_bytes": [b64(photo)]}, "signature_name": "serving_default"},
    }
    answer = client.post("/v1/models/photos:predict", json=bodies[form]).json()
    expected = client.post("/v1/models/photos:predict", json={"instances": [b64(photo)]}).json()["predictions"][0]
    if "outputs" in answer:
        assert answer["outputs"] == {name: [value] for name, value in expected.items()}
    else:
        assert answer["predictions"] == [expected]


def test_texts_are_rows_of_strings(client: httpx.Client, texts_bundle: Bundle) -> None:
    texts = [TEXTS[0] * 20, *TEXTS, "".join(TEXTS) * 5]  # of several lengths, the longest first
    answer = client.post("/v1/models/texts:predict", json={"instances": texts}).json()["predictions"]
    named = client.post("/v1/models/texts:predict", json={"instances": [{"input_text": one} for one in texts]}).json()
    assert named["predictions"] == answer
    runtime = client.get("/v1/models/texts/card").json()["runtime"]
    for text, prediction in zip(texts, answer, strict=True):
        assert close(served_scores(prediction), scores_alone(texts_bundle, text.encode(), runtime))


def test_answers_are_counted_by_label_and_confidence(client: httpx.Client) -> None:
    def counted() -> dict[str, float]:
        lines = client.get("/metrics").text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if "#" not in name}

    before = counted()
    answer = client.post("/v1/models/texts:predict", json={"instances": TEXTS * 10}).json()["predictions"]
    after = counted()
    for label in {one["label"] for one in answer}:
        name = f'noria_answers_total{{label="{label}",model="texts",version="1"}}'
        assert after[name] - before.get(name, 0) == sum(one["label"] == label for one in answer)
    name = 'noria_confidence_sum{model="texts",version="1"}'
    assert after[name] - before.get(name, 0) == pytest.approx(sum(max(one["scores"]) for one in answer), rel=1e-4)


def test_arrays_can_be_sent_in_the_place_of_files(client: httpx.Client) -> None:
    shape = client.get("/v1/models/photos/metadata").json()["metadata"]["signature_def"]["signature_def"]["arrays"]
    sides = [int(side["size"]) for side in shape["inputs"]["images"]["tensor_shape"]["dim"]][1:]
    body = {"signature_name": "arrays", "instances": np.full((1, *sides), 128).tolist()}
    (prediction,) = client.post("/v1/models/photos:predict", json=body).json()["predictions"]
    assert abs(sum(prediction["scores"]) - 1) < 0.02


def test_classify_gives_labels_with_scores(client: httpx.Client, photo: bytes) -> None:
    body = {"context": {}, "examples": [{"image_bytes": b64(photo)}, {"image_bytes": b64(photo)}]}
    results = client.post("/v1/models/photos:classify", json=body).json()["results"]
    (prediction,) = client.post("/v1/models/photos:predict", json={"instances": [b64(photo)]}).json()["predictions"]
    assert dict(map(tuple, results[0])) == pytest.approx(served_scores(prediction))
    assert results[0] == results[1]


def test_status_and_metadata_are_worded_as_tensorflow_serving_words_them(client: httpx.Client) -> None:
    status = client.get("/v1/models/photos").json()
    expected = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert status == {"model_version_status": [expected]}
    assert client.get("/v1/models/photos/versions/1").json() == status
    told = client.get("/v1/models/photos/metadata").json()
    assert told["model_spec"] == {"name": "photos", "signature_name": "", "version": "1"}
    entry = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert entry["method_name"] == "tensorflow/serving/predict"
    assert entry["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    assert entry["inputs"]["image_bytes"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }


WRONG: dict[str, tuple[str, Any, int, str]] = {
    "no such model": ("/v1/models/none:predict", {"instances": ["x"]}, 404, "Servable not found"),
    "no such version": ("/v1/models/texts/versions/7:predict", {"instances": ["x"]}, 404, "Version 7"),
    "no such label": ("/v1/models/texts/labels/stable:predict", {"instances": ["x"]}, 404, "stable"),
    "no such signature": ("/v1/models/texts:predict", {"instances": ["x"], "signature_name": "s"}, 400, "signature"),
    "neither rows nor columns": ("/v1/models/texts:predict", {"signature_name": ""}, 400, "instances"),
    "rows and columns": ("/v1/models/texts:predict", {"instances": ["x"], "inputs": ["x"]}, 400, "either"),
    "no rows": ("/v1/models/texts:predict", {"instances": []}, 400, "at least one"),
    "no list": ("/v1/models/texts:predict", {"instances": "x"}, 400, "list"),
    "a number for a text": ("/v1/models/texts:predict", {"instances": [1]}, 400, "expected a text"),
    "an unknown name": ("/v1/models/texts:predict", {"instances": [{"words": "x"}]}, 400, "words"),
    "mixed rows": ("/v1/models/texts:predict", {"instances": [{"input_text": "x"}, "x"]}, 400, "named"),
    "a list too deep": ("/v1/models/texts:predict", {"instances": [["x"]]}, 400, "shape"),
    "no base64": ("/v1/models/photos:predict", {"instances": [{"b64": "***"}]}, 400, "base64"),
    "no picture": ("/v1/models/photos:predict", {"instances": [b64(b"no picture")]}, 400, "not a picture"),
    "an empty text": ("/v1/models/texts:predict", {"instances": ["good", ""]}, 400, "Instance 1"),
    "regress what classifies": ("/v1/models/photos:regress", {"examples": [{"x": 1.0}]}, 400, "regress"),
    "no examples": ("/v1/models/photos:classify", {"examples": []}, 400, "examples"),
    "an example without its feature": ("/v1/models/photos:classify", {"examples": [{"x": 1}]}, 400, "image_bytes"),
    "a list": ("/v1/models/texts:predict", ["x"], 400, "JSON object"),
    "a signature that is no text": ("/v1/models/texts:predict", {"signature_name": 3, "instances": ["x"]}, 400, "text"),
}


@pytest.mark.parametrize("case", WRONG, ids=list(WRONG))
def test_what_is_wrong_is_told_with_its_status(client: httpx.Client, case: str) -> None:
    path, body, status, words = WRONG[case]
    answer = client.post(path, json=body)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


def test_what_is_no_json_is_told(client: httpx.Client) -> None:
    for body in (b"", b"{", b"\xff\xfe", b'{"instances": [1e999999]', b"[" * 5000):
        answer = client.post("/v1/models/texts:predict", content=body)
        assert answer.status_code == 400, body[:20]
        assert "error" in answer.json()


def test_what_was_refused_gives_back_its_memory(client: httpx.Client) -> None:
    entry = b'{"name": "\\ud800", "shape": [1], "datatype": "FP32", "data": [NaN]}'
    body = gzip.compress(b'{"inputs": [' + entry + b"]" + b" " * (30 * 2**20) + b"}", 1)
    for _ in range(10):  # together more than all requests under way may have
        answer = client.post("/v2/models/texts/infer", content=body, headers={"content-encoding": "gzip"})
        assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_a_long_text_among_numbers_makes_no_array_of_long_texts() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RequestError, match="expected numbers"):
            to_array([["a" * 30_000], *([0] for _ in range(2_000))], TensorSpec("DT_FLOAT", None), "x")
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_brackets_may_not_be_nested_without_end(client: httpx.Client) -> None:
    deep = b'{"instances": ' + b"[" * 100 + b'"x"' + b"]" * 100 + b"}"
    answer = client.post("/v1/models/texts:predict", content=deep)
    assert answer.status_code == 400
    assert "deep" in answer.json()["error"]


def test_no_address_and_no_verb_are_told(client: httpx.Client) -> None:
    for path in ("/v1/nothing", "/v1/models/texts/versions/latest", "/v1/models/texts:judge", "/v1/"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (400, {"error": f"Malformed request: GET {path}"})
    assert client.get("/nothing").status_code == 404
    answer = client.get("/v1/models/texts:predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_gzip_is_read_and_written(client: httpx.Client) -> None:
    body = gzip.compress(json.dumps({"instances": TEXTS * 20}).encode())
    answer = client.post(
        "/v1/models/texts:predict", content=body, headers={"content-encoding": "gzip", "accept-encoding": "gzip"}
    )
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["predictions"]) == 60
    plain = client.post("/v1/models/texts:predict", json={"instances": TEXTS}, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_a_body_of_several_gzip_streams_is_read_to_its_end_and_nothing_else_may_follow(client: httpx.Client) -> None:
    whole = json.dumps({"instances": ["很好", "很差"]}).encode()
    url, headers = "/v1/models/texts:predict", {"content-encoding": "gzip"}
    packed = gzip.compress(whole[:20]) + gzip.compress(b"") + gzip.compress(whole[20:])
    answer = client.post(url, content=packed, headers=headers)
    assert (answer.status_code, len(answer.json()["predictions"])) == (200, 2)
    for rest, words in (
        (b"rubbish", "not gzip"),
        (gzip.compress(b" ")[:-4], "cut off"),
        (gzip.compress(b"") * 2000, "streams"),
    ):
        answer = client.post(url, content=gzip.compress(whole) + rest, headers=headers)
        assert (answer.status_code, words in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize(("accepted", "packed"), [("gzip", True), ("identity, GZIP;q=0.5", True), ("gzip;q=0", False),
                                                  ("br, gzip; q=0.0, *", False), ("x-gzipped", False)])  # fmt: skip
def test_an_answer_is_packed_for_who_says_so(client: httpx.Client, accepted: str, packed: bool) -> None:
    answer = client.get("/openapi.json", headers={"accept-encoding": accepted})
    assert (answer.headers.get("content-encoding") == "gzip") is packed


def test_a_context_is_not_repeated_without_end(client: httpx.Client) -> None:
    body = {"context": {"input_text": "x" * 100_000}, "examples": [{}] * 400}
    answer = client.post("/v1/models/texts:classify", json=body)
    assert answer.status_code == 413
    assert "The context, once for each of 400 examples" in answer.json()["error"]
    few = client.post("/v1/models/texts:classify", json={**body, "examples": [{}] * 2})
    assert len(few.json()["results"]) == 2


def test_a_long_name_is_not_quoted_in_full(client: httpx.Client) -> None:
    answer = client.post("/v1/models/texts:predict", json={"signature_name": "s" * 100_000, "instances": ["x"]})
    assert answer.status_code == 400
    assert len(answer.json()["error"]) <= 1000


def test_a_gzip_that_is_a_bomb_or_cut_off_is_refused(client: httpx.Client) -> None:
    bomb = gzip.compress(b" " * (64 * 2**20), 9)
    headers = {"content-encoding": "gzip"}
    assert client.post("/v1/models/texts:predict", content=bomb, headers=headers).status_code == 413
    cut = gzip.compress(json.dumps({"instances": TEXTS}).encode())[:-9]
    assert client.post("/v1/models/texts:predict", content=cut, headers=headers).status_code == 400
    assert client.post("/v1/models/texts:predict", content=b"x", headers=headers).status_code == 400
    other = client.post("/v1/models/texts:predict", content=b"x", headers={"content-encoding": "br"})
    assert other.status_code == 400


@pytest.fixture(scope="module")
def theirs(others: Path, tmp_path_factory: pytest.TempPathFactory, request: Any) -> Iterator[httpx.Client]:
    serving: Callable[..., Any] = request.getfixturevalue("serving_process")
    models = [f"{name}={others / name}" for name in ("half_plus_two", "odd", "counter")]
    with serving(tmp_path_factory.mktemp("theirs"), *models) as server, server.client() as made:
        yield made


def test_half_plus_two_answers_as_tensorflow_serving_documents_it(theirs: httpx.Client) -> None:
    at = "/v1/models/half_plus_two"
    assert theirs.post(f"{at}:predict", json={"instances": [1.0, 2.0, 5.0]}).json() == {"predictions": [2.5, 3.0, 4.5]}
    assert theirs.post(f"{at}:predict", json={"inputs": [[1.0], [2]]}).json() == {"outputs": [[2.5], [3.0]]}
    assert theirs.get(at).json()["model_version_status"][0]["version"] == "123"
    body: dict[str, Any] = {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]}
    assert theirs.post(f"{at}:regress", json=body).json() == {"results": [2.5, 3.0]}
    assert theirs.post(f"{at}/versions/123:regress", json={"examples": [{"x": 4.0}]}).json() == {"results": [4.0]}
    body = {"signature_name": "classify_x_to_y", "context": {"x": 6.0}, "examples": [{}, {"x": 2.0}]}
    assert theirs.post(f"{at}:classify", json=body).json() == {"results": [[["", 5.0]], [["", 3.0]]]}
    told = theirs.get(f"{at}/metadata").json()["metadata"]["signature_def"]["signature_def"]["serving_default"]
    sides = [{"size": "-1", "name": ""}, {"size": "1", "name": ""}]
    shape = {"dim": sides, "unknown_rank": False}
    assert told["inputs"] == {"x": {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": "x:0"}}
    assert told["outputs"]["y"]["name"] == "y:0"
    wrong = theirs.post(f"{at}:predict", json={"instances": [[[1.0, 2.0]], [[3.0, 4.0]]], "signature_name": "none"})
    assert (wrong.status_code, "signature" in wrong.json()["error"]) == (400, True)


def test_signatures_without_inputs_and_variables_of_tensorflow_1_are_served(theirs: httpx.Client) -> None:
    at = "/v1/models/counter:predict"
    counted = []
    for name, inputs in [("incr_counter", {}), ("incr_counter_by", {"delta": 2.5}), ("get_counter", {})]:
        counted.append(theirs.post(at, json={"signature_name": name, "inputs": inputs}).json())
    assert counted == [{"outputs": 1.0}, {"outputs": 3.5}, {"outputs": 3.5}]
    told = theirs.get("/v1/models/counter/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert told["incr_counter"]["inputs"] == {}


def test_not_a_number_and_infinity_are_read_and_written(theirs: httpx.Client) -> None:
    body = b'{"instances": [NaN, Infinity, -Infinity, 1]}'
    answer = theirs.post("/v1/models/half_plus_two:predict", content=body)
    assert answer.text.replace(" ", "") == '{"predictions":[NaN,Infinity,-Infinity,2.5]}'


def test_named_inputs_and_outputs_of_several_types(theirs: httpx.Client) -> None:
    body = {"instances": [{"a": [1, 2], "n": 7}, {"a": [9, 3], "n": -1}]}
    assert theirs.post("/v1/models/odd:predict", json=body).json() == {
        "predictions": [{"ratio": 0.5, "next": 8}, {"ratio": 3.0, "next": 0}]
    }
    body = {"inputs": {"a": [[1, 2]], "n": [7]}}  # type: ignore[dict-item]
    assert theirs.post("/v1/models/odd:predict", json=body).json() == {"outputs": {"ratio": [0.5], "next": [8]}}
    wrong = theirs.post("/v1/models/odd:predict", json={"inputs": {"a": [[1, 2]], "n": [7.5]}})
    assert (wrong.status_code, "whole" in wrong.json()["error"]) == (400, True)
    ragged = theirs.post("/v1/models/odd:predict", json={"inputs": {"a": [[1, 2], [3]], "n": [1, 2]}})
    assert (ragged.status_code, "lengths" in ragged.json()["error"]) == (400, True)


def test_bytes_come_back_in_base64_where_the_name_says_so(theirs: httpx.Client) -> None:
    body = {"signature_name": "echo", "inputs": [b64(b"\x00\xff"), b64(b"ab")]}
    assert theirs.post("/v1/models/odd:predict", json=body).json() == {
        "outputs": {"same_bytes": [b64(b"\x00\xff"), b64(b"ab")], "size": [2, 2]}
    }


def test_scalars_have_no_rows_and_are_asked_by_columns(theirs: httpx.Client) -> None:
    body = {"signature_name": "scalar", "inputs": 4}
    assert theirs.post("/v1/models/odd:predict", json=body).json() == {"outputs": 8.0}
    assert theirs.get("/v1/models").json()["models"][0]["input"] == "tensors"


def test_what_the_model_itself_refuses_is_the_requests_fault(theirs: httpx.Client) -> None:
    body = {"signature_name": "regress_x_to_y", "examples": [{"z": 1.0}]}
    answer = theirs.post("/v1/models/half_plus_two:regress", json=body)
    assert (answer.status_code, "refuses" in answer.json()["error"]) == (400, True)
