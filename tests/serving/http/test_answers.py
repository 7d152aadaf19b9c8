"""Pictures and texts posted as they are, explanations, cards; and the Open Inference Protocol on the same port."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import noria
from noria.artifacts.bundle import Bundle

GOOD = "房间很干净，服务态度非常好"


@pytest.fixture(scope="module")
def client(served: Any) -> Iterator[httpx.Client]:
    with served.client() as made:
        yield made


@pytest.fixture(scope="module")
def files(photos: Path) -> list[Path]:
    return [min((photos / label).glob("[0-9]*.jpg")) for label in ("daisy", "rose", "sunflower")]


def post(client: httpx.Client, path: str, data: bytes, kind: str) -> httpx.Response:
    return client.post(path, content=data, headers={"content-type": kind})


def runtime_of(client: httpx.Client, model: str) -> str:
    """Return what serves a model: the fastest of its verified files here, which may be the int8 one."""
    return str(client.get(f"/v1/models/{model}/card").json()["runtime"])


def test_a_picture_is_answered_as_predict_answers_it(client: httpx.Client, bundle: Bundle, files: list[Path]) -> None:
    runtime = runtime_of(client, "photos")
    for file in files:
        told = post(client, "/v1/models/photos:predict", file.read_bytes(), "image/jpeg").json()
        (alone,) = noria.predict(bundle, [file], runtime=runtime)
        (answer,) = told["answers"]
        assert (told["model"], told["version"]) == ("photos", 1)
        assert answer["label"] == alone["label"]
        assert answer["confidence"] == pytest.approx(alone["confidence"], abs=1e-5)
        assert answer["top"][0][0] == alone["top"][0][0]


def test_several_files_of_a_form_are_answered_one_by_one(client: httpx.Client, files: list[Path]) -> None:
    parts = [("file", (file.name, file.read_bytes(), "image/jpeg")) for file in files]
    parts.insert(1, ("file", ("蛋糕.jpg", b"no picture", "image/jpeg")))
    answer = client.post("/v1/models/photos:predict", files=parts)
    assert answer.status_code == 200
    told = answer.json()["answers"]
    assert [one["input"] for one in told] == [files[0].name, "蛋糕.jpg", files[1].name, files[2].name]
    assert "not a picture" in told[1]["error"]
    assert all("label" in one for one in (told[0], told[2], told[3]))


def test_where_nothing_can_be_read_the_status_says_so(client: httpx.Client) -> None:
    answer = post(client, "/v1/models/photos:predict", b"no picture", "image/png")
    assert answer.status_code == 422
    assert "not a picture" in answer.json()["error"]
    assert post(client, "/v1/models/texts:predict", b"  \n ", "text/plain").status_code == 422


def test_a_form_that_is_broken_is_told(client: httpx.Client) -> None:
    broken = post(client, "/v1/models/photos:predict", b"--x\r\nnothing", "multipart/form-data; boundary=x")
    empty = post(client, "/v1/models/photos:predict", b"--x--\r\n", "multipart/form-data; boundary=x")
    without = post(client, "/v1/models/photos:predict", b"--x--\r\n", "multipart/form-data")
    assert [one.status_code for one in (broken, empty, without)] == [400, 400, 400]


def test_a_chinese_text_is_answered_and_top_is_followed(client: httpx.Client, texts_bundle: Bundle) -> None:
    answer = post(client, "/v1/models/texts:predict?top=1", GOOD.encode(), "text/plain; charset=utf-8").json()
    (alone,) = noria.predict(texts_bundle, [GOOD.encode()], runtime=runtime_of(client, "texts"))
    assert answer["answers"][0]["label"] == alone["label"]
    assert len(answer["answers"][0]["top"]) == 1
    assert post(client, "/v1/models/texts:predict?top=0", GOOD.encode(), "text/plain").status_code == 400


def test_a_number_of_thousands_of_digits_is_told(client: httpx.Client) -> None:
    answer = post(client, f"/v1/models/texts:predict?top=000001{'0' * 5000}", GOOD.encode(), "text/plain")
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_there_is_no_file_of_any_name(client: httpx.Client) -> None:
    assert client.get(f"/ui/{'x' * 300}.js").status_code == 404


def test_a_picture_is_not_read_as_a_text(client: httpx.Client, files: list[Path]) -> None:
    picture, jpeg = files[0].read_bytes(), {"content-type": "image/jpeg"}
    for answer in (
        client.post("/v1/models/texts:predict", content=picture, headers=jpeg),
        client.post("/v1/models/texts:explain", content=picture, headers=jpeg),
        client.post("/v1/models/texts:predict", files={"file": ("a.jpg", picture, "image/jpeg")}),
    ):
        assert answer.status_code == 400
        assert "text/*" in answer.json()["error"]


def test_the_words_of_an_explanation_add_up_to_the_answer(client: httpx.Client, texts_bundle: Bundle) -> None:
    told = post(client, "/v1/models/texts:explain", GOOD.encode(), "text/plain").json()
    (alone,) = noria.explain(texts_bundle, [GOOD.encode()], runtime=runtime_of(client, "texts"))
    assert told["method"] == "exact"
    assert told["label"] == alone["label"]
    assert [word[0] for word in told["words"]] == [word[0] for word in alone["words"]]
    assert sum(word[1] for word in told["words"]) == pytest.approx(sum(word[1] for word in alone["words"]), abs=1e-3)


def test_pictures_are_not_explained(client: httpx.Client, files: list[Path]) -> None:
    answer = post(client, "/v1/models/photos:explain", files[0].read_bytes(), "image/jpeg")
    assert (answer.status_code, "explains nothing" in answer.json()["error"]) == (400, True)


def test_the_card_says_what_a_person_may_know(client: httpx.Client, bundle: Bundle) -> None:
    card = client.get("/v1/models/photos/card").json()
    assert card["labels"] == list(bundle.labels)
    assert card["test"]["accuracy"] == bundle.manifest.test["accuracy"]
    assert card["fingerprint"] == bundle.manifest.fingerprint
    assert card["versions"] == [{"version": 1, "state": "AVAILABLE", "error": ""}]
    listed = client.get("/v1/models").json()["models"]
    assert [(one["name"], one["input"], one["ready"]) for one in listed] == [
        ("photos", "image", True),
        ("texts", "text", True),
    ]


def test_below_the_threshold_an_answer_is_not_sure(
    start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path
) -> None:
    server = start(f"t={texts_bundle.path}", "--threshold", "1.0", "--grpc", "-1")
    with server.client() as client:
        (answer,) = post(client, "/v1/models/t:predict", "一般".encode(), "text/plain").json()["answers"]
    assert answer["sure"] is False


def test_the_open_inference_protocol(client: httpx.Client, files: list[Path]) -> None:
    assert client.get("/v2").json()["name"] == "noria"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/photos/ready").json()["ready"] is True
    assert client.get("/v2/models/photos/versions/9/ready").status_code == 503
    model = client.get("/v2/models/photos").json()
    assert model["inputs"] == [{"name": "image_bytes", "datatype": "BYTES", "shape": [-1]}]
    data = [base64.b64encode(file.read_bytes()).decode() for file in files]
    entry = {"name": "image_bytes", "shape": [3], "datatype": "BYTES", "data": data}
    told = client.post("/v2/models/photos/infer", json={"id": "7", "inputs": [entry]}).json()
    outputs = {one["name"]: one for one in told["outputs"]}
    rows = client.post("/v1/models/photos:predict", json={"instances": data}).json()["predictions"]
    assert (told["id"], told["model_version"]) == ("7", "1")
    assert outputs["label"]["data"] == [row["label"] for row in rows]
    assert outputs["scores"]["shape"] == [3, 3]
    assert outputs["scores"]["data"] == pytest.approx([score for row in rows for score in row["scores"]])


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [4]},
        {"datatype": "FP31"},
        {"data": "x"},
        {"shape": [-1]},
        {"name": 3},
        {"datatype": "FP32"},
        {"shape": [1] * 65},
        {"shape": [2**63 - 1] * 33},
        {"shape": [0, 2**64 - 1], "data": []},
    ],
)
def test_wrong_tensors_of_the_open_inference_protocol_are_told(client: httpx.Client, change: dict[str, Any]) -> None:
    entry = {"name": "input_text", "shape": [1], "datatype": "BYTES", "data": ["good"], **change}
    answer = client.post("/v2/models/texts/infer", json={"inputs": [entry]})
    assert answer.status_code == 400
    assert answer.json()["error"]
    sides = change.get("shape", ())
    assert len(sides) <= 32 or "at most 32 whole numbers" in answer.json()["error"]  # they are not multiplied


@pytest.mark.parametrize("charset", ["gb18030", "GBK", "utf-16", "utf-8", '"big5"'])
def test_a_text_is_read_in_the_charset_that_it_says(client: httpx.Client, charset: str) -> None:
    text = "good 人生" if "big5" in charset else GOOD
    data, kind = text.encode(charset.strip('"')), f"text/plain; charset={charset}"
    plain = post(client, "/v1/models/texts:predict", text.encode(), "text/plain").json()["answers"]
    assert post(client, "/v1/models/texts:predict", data, kind).json()["answers"] == plain
    form = client.post("/v1/models/texts:predict", files={"file": ("body", data, kind)}).json()["answers"]
    assert form == plain


@pytest.mark.parametrize("charset", ["punycode", "zip", "unicode_escape", "x" * 200, "gbk"])
def test_a_charset_that_is_not_read_or_not_true_is_told(client: httpx.Client, charset: str) -> None:
    answer = post(client, "/v1/models/texts:predict", b"\xff\xff", f"text/plain; charset={charset}")
    assert (answer.status_code, charset[:9] in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("outputs", [[{"name": ["label"]}], [{"name": {}}], ["label"], {"name": "label"}, [{}]])
def test_outputs_that_are_no_names_are_told(client: httpx.Client, outputs: Any) -> None:
    entry = {"name": "input_text", "shape": [1], "datatype": "BYTES", "data": ["good"]}
    answer = client.post("/v2/models/texts/infer", json={"inputs": [entry], "outputs": outputs})
    assert (answer.status_code, "outputs" in answer.json()["error"]) == (400, True)
    answer = client.post("/v2/models/texts/infer", json={"inputs": [entry, entry]})
    assert (answer.status_code, "twice" in answer.json()["error"]) == (400, True)


def test_a_text_that_is_too_long_to_be_explained_is_told(client: httpx.Client) -> None:
    data = (GOOD * 5_000).encode()
    answer = post(client, "/v1/models/texts:explain", data, "text/plain")
    assert (answer.status_code, "65,536" in answer.json()["error"]) == (413, True)
    assert post(client, "/v1/models/texts:predict", data, "text/plain").status_code == 200
