"""What goes wrong outside: slow and rude clients, overload, kills, odd files, a full disk; others are served on."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import noria
from noria.artifacts.bundle import Bundle

TEXT = "房间很干净，服务也好"
PLAIN = {"content-type": "text/plain"}


def config(tmp_path: Path, bundle: Bundle, *sections: str) -> Path:
    path = tmp_path / "serve.toml"
    lines = [*sections, f'[[models]]\nname = "m"\npath = "{bundle.path}"']
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def connected(server: Any, data: bytes) -> socket.socket:
    host, _, port = server.http.removeprefix("http://").partition(":")
    made = socket.create_connection((host, int(port)), timeout=30)
    made.sendall(data)
    return made


def in_flight(server: Any) -> float:
    found = re.search(r"^noria_requests_in_flight ([0-9.]+)", httpx.get(f"{server.http}/metrics").text, re.M)
    assert found
    return float(found[1]) - 1  # the question itself


def descriptors(server: Any) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_slow_senders_are_let_go_and_others_served_meanwhile(
    start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path, until: Callable[..., Any]
) -> None:
    server = start(
        "--config", config(tmp_path, texts_bundle, "[limits]\nheader_seconds = 0.5\nbody_seconds = 0.5"), "--grpc", "-1"
    )
    heads = [connected(server, b"POST /v1/models/m:predict HTTP/1.1\r\nhost: x\r\n") for _ in range(150)]
    head = b"POST /v1/models/m:predict HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nab"
    bodies = [connected(server, head) for _ in range(150)]
    assert httpx.post(f"{server.http}/v1/models/m:predict", content=TEXT.encode(), headers=PLAIN).status_code == 200
    for one in heads + bodies:
        assert b" 408 " in one.recv(1000)
        one.close()
    until(lambda: in_flight(server) == 0)


def test_a_head_without_end_is_refused(served: Any) -> None:
    made = connected(served, b"GET / HTTP/1.1\r\nhost: x\r\n")
    with pytest.raises(OSError):
        for number in range(100_000):
            made.sendall(f"x-{number}: {'y' * 1000}\r\n".encode())


def test_clients_that_hang_up_leave_nothing_behind(served: Any, photos: Path, until: Callable[..., Any]) -> None:
    photo = min((photos / "rose").glob("[0-9]*.jpg")).read_bytes()
    head = "POST /v1/models/photos:predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\n"
    whole = f"{head}content-length: {len(photo)}\r\n\r\n".encode() + photo
    before = descriptors(served)
    for stage in (b"", whole[:30], whole[: len(whole) // 2], whole):
        for one in [connected(served, stage) for _ in range(50)]:
            one.close()
    until(lambda: in_flight(served) == 0)
    until(lambda: descriptors(served) <= before + 5)


def test_more_than_the_queue_takes_is_refused_at_once_and_the_rest_answered(
    start: Callable[..., Any], bundle: Bundle, photos: Path, tmp_path: Path
) -> None:
    server = start("--config", config(tmp_path, bundle, "[limits]\nqueue_rows = 8"), "--grpc", "-1")
    photo = min((photos / "rose").glob("[0-9]*.jpg")).read_bytes()

    def ask(_: int) -> httpx.Response:
        return httpx.post(
            f"{server.http}/v1/models/m:predict", content=photo, headers={"content-type": "image/jpeg"}, timeout=60
        )

    with ThreadPoolExecutor(48) as pool:
        answers = list(pool.map(ask, range(300)))
    codes = {answer.status_code for answer in answers}
    assert codes == {200, 503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code == 503)
    good = {json.dumps(answer.json()["answers"]) for answer in answers if answer.status_code == 200}
    assert len(good) == 1
    assert 'noria_rejections_total{reason="capacity"}' in httpx.get(f"{server.http}/metrics").text
    assert ask(0).status_code == 200


def test_an_answer_that_comes_too_late_is_told(served: Any) -> None:
    for told, status in (("0", 504), ("nonsense", 400), ("nan", 504), ("10", 200)):
        answer = httpx.post(
            f"{served.http}/v1/models/texts:predict",
            content=TEXT.encode(),
            headers={**PLAIN, "x-request-timeout": told},
        )
        assert answer.status_code == status, told


def test_everybody_gets_their_own_answer(served: Any, photos: Path, texts_bundle: Bundle, bundle: Bundle) -> None:
    files = sorted(path for label in ("daisy", "rose", "sunflower") for path in (photos / label).glob("[0-9]*.jpg"))
    texts = [
        f"{word}，{other}" for word in ("很好", "太差", "干净", "很吵") for other in ("推荐", "失望", "方便", "一般")
    ]
    with served.client() as client:
        runtimes = {name: client.get(f"/v1/models/{name}/card").json()["runtime"] for name in ("photos", "texts")}
    alone = [answer["label"] for answer in noria.predict(bundle, files, runtime=runtimes["photos"])]
    alone += [
        answer["label"]
        for answer in noria.predict(texts_bundle, [text.encode() for text in texts], runtime=runtimes["texts"])
    ]
    work = [("photos", file.read_bytes(), "image/jpeg") for file in files]
    work += [("texts", text.encode(), "text/plain") for text in texts]

    def ask(place: int) -> bool:
        model, data, kind = work[place % len(work)]
        answer = client.post(f"/v1/models/{model}:predict", content=data, headers={"content-type": kind})
        while answer.status_code == 503:  # a slow machine: asked to come later
            time.sleep(float(answer.headers["retry-after"]) / 10)
            answer = client.post(f"/v1/models/{model}:predict", content=data, headers={"content-type": kind})
        return bool(answer.json()["answers"][0]["label"] == alone[place % len(work)])

    with served.client() as client, ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(4 * len(work))))


def test_odd_pictures_are_answered_or_refused_as_predict_does(served: Any, shared_data: Path, bundle: Bundle) -> None:
    files = sorted(path for path in (shared_data / "odd_images").iterdir() if path.is_file() and path.stat().st_size)
    runtime = httpx.get(f"{served.http}/v1/models/photos/card").json()["runtime"]
    for file, alone in zip(files, noria.predict(bundle, files, runtime=runtime), strict=True):
        answer = httpx.post(
            f"{served.http}/v1/models/photos:predict",
            content=file.read_bytes(),
            headers={"content-type": "image/jpeg"},
            timeout=60,
        )
        if "error" in alone and "max_pixels" not in alone["error"]:
            assert (answer.status_code, answer.json()["error"]) == (422, alone["error"]), file.name
        elif answer.status_code == 200:
            assert answer.json()["answers"][0]["label"] == alone["label"], file.name
        else:  # a server decodes no picture as large as `noria predict` does
            assert "max_pixels" in answer.json()["error"], file.name


def test_a_stop_lets_running_requests_end(
    start: Callable[..., Any], bundle: Bundle, photos: Path, until: Callable[..., Any]
) -> None:
    server = start(f"m={bundle.path}", "--grpc", "-1")
    photo = min((photos / "rose").glob("[0-9]*.jpg")).read_bytes()
    parts = [("file", (str(number), photo, "image/jpeg")) for number in range(400)]
    found: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: found.append(httpx.post(f"{server.http}/v1/models/m:predict", files=parts, timeout=60))
    )
    asking.start()
    until(lambda: "noria_queue_rows" in (text := httpx.get(f"{server.http}/metrics").text) and waiting(text) > 0)
    assert server.stop() == 0
    asking.join()
    assert [answer.status_code for answer in found] == [200]
    assert len(found[0].json()["answers"]) == 400


def waiting(metrics: str) -> float:
    found = re.search(r'^noria_queue_rows\{model="m"\} ([0-9.]+)', metrics, re.M)
    return float(found[1]) if found else 0.0


def test_a_log_that_cannot_be_written_loses_lines_and_no_request(
    start: Callable[..., Any], texts_bundle: Bundle
) -> None:
    server = start(f"m={texts_bundle.path}", "--log", "/dev/full", "--grpc", "-1")
    assert httpx.post(f"{server.http}/v1/models/m:predict", content=TEXT.encode(), headers=PLAIN).status_code == 200


def test_the_log_has_sizes_and_hashes_and_nothing_of_a_request(served: Any, until: Callable[..., Any]) -> None:
    marker = "一个不会出现的记号 xyzzy"
    httpx.post(
        f"{served.http}/v1/models/texts:predict",
        content=marker.encode(),
        headers={**PLAIN, "x-request-id": "mine-1", "authorization": "Bearer noria_secret"},
    )
    (line,) = until(lambda: [one for one in served.log() if one.get("id") == "mine-1"])
    assert line["bytes"] == len(marker.encode())
    assert re.fullmatch("[0-9a-f]{16}", line["sha256"])
    text = served.log_path.read_text(encoding="utf-8")
    assert "xyzzy" not in text and "noria_secret" not in text


def test_the_server_of_bundles_never_loads_tensorflow(served: Any) -> None:
    loaded = Path(f"/proc/{served.process.pid}/maps").read_text(encoding="utf-8")
    assert "site-packages/numpy" in loaded
    assert "site-packages/tensorflow/" not in loaded and "site-packages/keras/" not in loaded


@pytest.mark.parametrize("runtime", ["litert", "openvino", "litert_int8"])
def test_a_file_cut_off_under_a_running_server_changes_no_answer(
    start: Callable[..., Any], bundle: Bundle, photos: Path, tmp_path: Path, runtime: str
) -> None:
    import shutil

    copy = Path(shutil.copytree(bundle.path, tmp_path / "bundle"))
    server = start(f"m={copy}", "--grpc", "-1", "--runtime", runtime)
    photo = min((photos / "rose").glob("[0-9]*.jpg")).read_bytes()
    url, jpeg = f"{server.http}/v1/models/m:predict", {"content-type": "image/jpeg"}
    before = httpx.post(url, content=photo, headers=jpeg, timeout=30)
    assert before.status_code == 200
    for harm in (lambda file: os.truncate(file, 1000), lambda file: os.truncate(file, 0)):
        for file in copy.glob("*.tflite"):
            harm(file)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: httpx.post(url, content=photo, headers=jpeg, timeout=30), range(32)))
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.text for answer in answers} == {before.text}


def test_what_is_refused_before_it_is_read_leaves_the_connection_usable(
    start: Callable[..., Any], bundle: Bundle, tmp_path: Path, photos: Path
) -> None:
    server = start("--config", config(tmp_path, bundle, "[limits]", "queue_rows = 1", "[server]", "workers = 1"))
    photo = min((photos / "rose").glob("[0-9]*.jpg")).read_bytes()
    host, port = server.http.removeprefix("http://").split(":")
    stop = threading.Event()

    def press() -> None:
        with server.client() as client:
            while not stop.is_set():
                client.post("/v1/models/m:predict", content=photo, headers={"content-type": "image/jpeg"})

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    codes: list[int] = []
    try:
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        for place in range(200):
            # In pieces, so that the answer is ready long before the body has come.
            headers = {"content-type": "image/jpeg", "x-request-id": f"id-{place}"}
            body = iter([photo[:100], photo[100:]])
            connection.request("POST", "/v1/models/m:predict", body, headers, encode_chunked=True)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            codes.append(answer.status)
            assert answer.headers["x-request-id"] == f"id-{place}"
            assert answer.headers["x-content-type-options"] == "nosniff"
            if answer.status == 503:
                assert int(answer.headers["retry-after"]) >= 1
                assert "capacity" in told["error"]
            connection.request("GET", "/v1/models/m")  # what costs nothing is answered all the same
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["model_version_status"][0]["version"]) == (200, "1")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(codes) == {200, 503}
    early = [line for line in server.log() if line.get("early")]
    assert early
    assert all(line["code"] == 503 and line["model"] == "m" for line in early)


def test_a_shells_limit_on_open_files_is_none_of_connections(start: Callable[..., Any], texts_bundle: Bundle) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))  # what a child begins with
    try:
        server = start(f"m={texts_bundle.path}", "--grpc", "-1")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    limits = Path(f"/proc/{server.process.pid}/limits").read_text(encoding="utf-8")
    (line,) = [one for one in limits.splitlines() if one.startswith("Max open files")]
    assert line.split()[3] == line.split()[4]
