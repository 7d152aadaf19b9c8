"""The page's server: it answers its own page and nobody else, gives nothing but examples, and loses no answer."""

from __future__ import annotations

import io
import json
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from noria.data.decisions import Decision, append, default_place, read


def raw(url: str, head: str, body: bytes = b"") -> bytes:
    """Send a request as it is, and return the whole answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        pieces = []
        while piece := connection.recv(65_536):
            pieces.append(piece)
    return b"".join(pieces)


def number_of(state: dict[str, Any], path: str) -> int:
    return [one["path"] for one in state["inputs"]].index(path)


def test_it_shows_findings_with_their_inputs_and_takes_answers(flowers: Path, start: Any) -> None:
    page = start(flowers)
    assert not default_place(flowers).exists()  # nothing is written unasked
    with page.client() as client:
        state = client.get("state").json()
        kinds = [one["kind"] for one in state["findings"] if one["suspects"]]
        assert kinds == ["conflicting_labels", "unreadable", "exact_duplicates"]
        assert state["labels"] == ["daisy", "rose"]
        twin, first = number_of(state, "rose/twin.jpg"), number_of(state, "rose/01.jpg")
        told = client.post("answer", json={"input": twin, "decision": "drop", "other": first, "finding": "x"}).json()
        assert told["answers"][str(twin)]["decision"] == "drop"
        assert told["standing"] == 1
        (decision,) = read(default_place(flowers)).standing
        assert (decision.verdict, decision.path, decision.label) == ("drop", "rose/twin.jpg", "rose")
        assert (decision.other, decision.finding) == ("rose/01.jpg", "x")
        assert decision.sha256 == decision.other_sha256 != ""
        undone = client.post("undo", json={}).json()
        assert undone["answers"] == {str(twin): None}
        assert read(default_place(flowers)).standing == ()
        assert client.post("undo", json={}).status_code == 400
    code, said = page.stop()
    assert code == 0
    assert f"0 answers in {default_place(flowers)}" in said


def test_it_says_that_nothing_was_written_where_nothing_was_answered(flowers: Path, start: Any) -> None:
    code, said = start(flowers).stop()
    assert code == 0
    assert "No answers; nothing was written." in said
    assert not default_place(flowers).exists()


def test_a_picture_is_a_new_jpeg_and_never_the_file(flowers: Path, start: Any) -> None:
    photo = flowers / "rose" / "twin.jpg"
    comment = b"secret place of the photo"
    with Image.open(photo) as image:
        image.save(photo, quality=95, comment=comment)
    shutil.copyfile(photo, flowers / "rose" / "again.jpg")
    with start(flowers).client() as client:
        state = client.get("state").json()
        answer = client.get(f"input/{number_of(state, 'rose/twin.jpg')}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert comment in photo.read_bytes() and comment not in answer.content
        assert Image.open(io.BytesIO(answer.content)).format == "JPEG"
        broken = client.get(f"input/{number_of(state, 'rose/<b>broken.jpg')}")
        assert broken.status_code == 422
        assert "not a picture" in broken.json()["error"]


def test_what_was_changed_or_replaced_since_is_not_shown(flowers: Path, start: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes((flowers / "daisy" / "05.jpg").read_bytes())
    with start(flowers).client() as client:
        state = client.get("state").json()
        for name in ("twin.jpg", "lossless.png"):
            (flowers / "rose" / name).unlink()
        (flowers / "rose" / "twin.jpg").symlink_to(tmp_path / "secret.jpg")
        changed = client.get(f"input/{number_of(state, 'rose/twin.jpg')}")
        gone = client.get(f"input/{number_of(state, 'rose/lossless.png')}")
    assert (changed.status_code, gone.status_code) == (400, 422)
    assert "was changed" in changed.json()["error"]


@pytest.fixture
def page(flowers: Path, start: Callable[..., Any]) -> Any:
    return start(flowers)


HOSTILE_PATHS = [
    *("input/../../etc/passwd", "input/%2e%2e/secret", "../state", "input/-1", "input/999999", "input/1e3", "input/"),
    *("page.py", "../page.js", "ui/page.js", "style.css/../../x", "%00", "input/1/..", "a" * 5000),
]


def test_nothing_but_the_page_and_its_inputs_is_served(page: Any) -> None:
    parts = urlsplit(page.url)
    for path in HOSTILE_PATHS:
        answer = raw(page.url, f"GET {parts.path}{path} HTTP/1.1\nHost: {parts.netloc}\nConnection: close")
        assert answer.split(b" ", 2)[1] in (b"404", b"403"), (path, answer[:300])
        assert b"root:" not in answer and b"Traceback" not in answer


def test_every_request_needs_the_token_and_our_own_host(page: Any) -> None:
    parts = urlsplit(page.url)
    token = parts.path.strip("/")
    assert len(token) >= 32
    for path in (
        "/",
        "/state",
        f"/{token[:-1]}/state",
        f"/{token.swapcase()}/state",
        "/favicon.ico",
        f"/?{token}",
        f"/x/{token}/",
    ):
        answer = raw(page.url, f"GET {path} HTTP/1.1\nHost: {parts.netloc}\nConnection: close")
        assert b" 403 " in answer.splitlines()[0], path
        assert token.encode() not in answer
    for host in ("evil.example", f"evil.example:{parts.port}", "127.0.0.1", f"127.0.0.1:{parts.port}@evil", ""):
        answer = raw(page.url, f"GET {parts.path}state HTTP/1.1\nHost: {host}\nConnection: close")
        assert b" 403 " in answer.splitlines()[0], host
    with page.client() as client:
        assert client.get("state").status_code == 200
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
            assert client.get("state", headers=headers).status_code == 403
            assert client.post("undo", json={}, headers=headers).status_code == 403


def test_it_listens_on_the_loopback_interface_only(page: Any) -> None:
    port = urlsplit(page.url).port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: says which address we have to the outside
        own = probe.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError):
        socket.create_connection((own, port), timeout=5)


BODIES = {
    "a form": ("application/x-www-form-urlencoded", b"input=0&decision=drop"),
    "text": ("text/plain", b'{"input": 0, "decision": "drop"}'),
    "no JSON": ("application/json", b"{"),
    "a list": ("application/json", b"[]"),
    "an unknown decision": ("application/json", b'{"input": 0, "decision": "undo"}'),
    "an unknown key": ("application/json", b'{"input": 0, "decision": "keep", "path": "/etc/passwd"}'),
    "a name instead of a number": ("application/json", b'{"input": "rose/01.jpg", "decision": "keep"}'),
    "no such input": ("application/json", b'{"input": 4000, "decision": "keep"}'),
    "a negative number": ("application/json", b'{"input": -1, "decision": "keep"}'),
    "no label": ("application/json", b'{"input": 0, "decision": "relabel", "label": "  "}'),
    "a label of two lines": ("application/json", b'{"input": 0, "decision": "relabel", "label": "a\\nb"}'),
    "to keep for nothing": ("application/json", b'{"input": 0, "decision": "keep"}'),
    "the same as nothing": ("application/json", b'{"input": 0, "decision": "same"}'),
    "the same as itself": ("application/json", b'{"input": 0, "decision": "same", "other": 0}'),
    "deep": ("application/json", b"[" * 60_000),
    "large": ("application/json", json.dumps({"input": 0, "decision": "keep", "finding": "x" * 70_000}).encode()),
}


def test_an_answer_that_is_none_is_refused_and_nothing_is_written(page: Any, flowers: Path) -> None:
    with page.client() as client:
        for name, (kind, body) in BODIES.items():
            answer = client.post("answer", content=body, headers={"Content-Type": kind})
            assert 400 <= answer.status_code < 500, name
            assert answer.json()["error"], name
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            assert client.request(method, "state").status_code == 501
        assert client.get("answer").status_code == 404
        assert client.post("state", json={}).status_code == 404
    assert not default_place(flowers).exists()


def test_what_is_no_http_hurts_nobody(page: Any) -> None:
    for head in (
        "GET",
        "\x00\x01\x02",
        "GET / HTTP/9.9",
        f"GET /{'x' * 70_000} HTTP/1.1",
        "POST x HTTP/1.1\nContent-Length: -5",
    ):
        assert b"Traceback" not in raw(page.url, head)
    with page.client() as client:
        assert client.get("state").status_code == 200


def test_answers_are_guarded_by_headers(page: Any) -> None:
    with page.client() as client:
        for path in ("", "state", "page.js", "input/0"):
            headers = client.get(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "python" not in headers["server"].lower()


def test_answers_from_many_threads_are_all_written(page: Any, flowers: Path) -> None:
    with page.client() as client:
        inputs = len(client.get("state").json()["inputs"])

    def ask(number: int) -> None:
        answer = {"input": number % inputs, "decision": "keep", "finding": "unreadable"}
        assert httpx.post(f"{page.url}answer", json=answer, timeout=30).status_code == 200

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = read(default_place(flowers))
    assert sorted(one.verdict for one in log.standing) == ["keep"] * inputs  # what was said already is not said twice
    assert log.refused == ()
    code, said = page.stop()
    assert code == 0
    assert f"{inputs} answers in {default_place(flowers)}" in said


def test_another_word_about_the_same_input_is_written_and_the_same_word_is_not(page: Any, flowers: Path) -> None:
    with page.client() as client:
        twin = number_of(client.get("state").json(), "rose/twin.jpg")
        words = [
            ("keep", ""),
            ("keep", ""),
            ("relabel", "daisy"),
            ("relabel", "daisy"),
            ("relabel", "tulip"),
            ("keep", ""),
        ]
        for decision, label in words:
            told = client.post(
                "answer", json={"input": twin, "decision": decision, "label": label, "finding": "x"}
            ).json()
        assert told["standing"] == 4
        assert told["labels"] == ["daisy", "rose", "tulip"]
    said = [(one.verdict, one.label) for one in read(default_place(flowers)).standing]
    assert said == [("keep", "rose"), ("relabel", "daisy"), ("relabel", "tulip"), ("keep", "rose")]


def test_what_another_hand_writes_meanwhile_is_seen(page: Any, flowers: Path) -> None:
    with page.client() as client:
        state = client.get("state").json()
        append(default_place(flowers), Decision("drop", "rose/twin.jpg"))
        twin = number_of(state, "rose/twin.jpg")
        assert client.get("state").json()["answers"][str(twin)]["decision"] == "drop"
        assert client.post("undo", json={}).json()["undone"] == {"decision": "drop", "path": "rose/twin.jpg"}


def test_earlier_answers_are_there_when_the_page_is_opened_again(flowers: Path, start: Any, check: Any) -> None:
    first = start(flowers)
    with first.client() as client:
        state = client.get("state").json()
        twin = number_of(state, "rose/twin.jpg")
        client.post("answer", json={"input": twin, "decision": "drop"})
    first.stop()
    assert [one["count"] for one in check(flowers)["findings"] if one["kind"] == "exact_duplicates"] == [1]
    with start(flowers).client() as client:
        state = client.get("state").json()
        assert state["answers"][str(number_of(state, "rose/twin.jpg"))]["decision"] == "drop"
        assert client.get(f"input/{number_of(state, 'rose/twin.jpg')}").status_code == 200
        client.post("undo", json={})
    assert [one["count"] for one in check(flowers)["findings"] if one["kind"] == "exact_duplicates"] == [2]


def test_texts_are_given_as_text(shared_data: Path, tmp_path: Path, start: Any) -> None:
    rows = [f"<script>alert({n})</script> {word} film,{n % 2}" for n, word in enumerate("abcdefghijklmnopqrst" * 2)]
    (tmp_path / "films.csv").write_text("\n".join(["text,label", *rows, rows[3], f"{rows[4][:-1]}1"]))
    with start(tmp_path / "films.csv").client() as client:
        state = client.get("state").json()
        assert state["shows"] == "text"
        for kind, line in (("conflicting_labels", 4), ("exact_duplicates", 3)):
            (found,) = (one for one in state["findings"] if one["kind"] == kind)
            for row in found["suspects"]:
                for number in (row["input"], row["other"]):
                    answer = client.get(f"input/{number}")
                    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
                    assert answer.text == rows[line].rpartition(",")[0]
