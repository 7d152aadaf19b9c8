"""Connections of clients that neither finish nor read, on loopback, in plain and under TLS."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from noria.artifacts.bundle import Bundle

LIMITS = "[limits]\nheader_seconds = 1\nbody_seconds = 1\nidle_seconds = 1\nconnections = 64\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
TEXTS = 500  # in one request: the answer is longer than what is written at once


@pytest.fixture(scope="module", params=["plain", "TLS"])
def impatient(
    request: pytest.FixtureRequest,
    serving_process: Callable[..., Any],
    texts_bundle: Bundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """A server that waits for nothing longer than a second."""
    folder = tmp_path_factory.mktemp("impatient")
    config = folder / "serve.toml"
    tls = "[tls]\ntrial = true\n" if request.param == "TLS" else ""
    config.write_text(f'{LIMITS}{tls}[[models]]\nname = "m"\npath = "{texts_bundle.path}"\n', encoding="utf-8")
    with serving_process(folder, "--config", config, "--grpc", "-1") as server:
        yield server


def connected(server: Any, *, receives: int = 0) -> socket.socket:
    """Connect; with a small buffer for a client that is to be seen not to read."""
    scheme, _, address = server.http.partition("://")
    host, _, port = address.partition(":")
    made = socket.socket()
    if receives:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    made.settimeout(30)
    made.connect((host, int(port)))
    if scheme == "http":
        return made
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(made)


def open_sockets(server: Any) -> int:
    count = 0
    for one in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(OSError):
            count += str(one.readlink()).startswith("socket:")
    return count


def falls_to(server: Any, count: int, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while open_sockets(server) > count and time.monotonic() < end:
        time.sleep(0.05)
    return open_sockets(server) <= count


def settled(server: Any) -> int:
    """Return how many sockets the server has while nobody is connected."""
    before = -1
    while before != (before := open_sockets(server)):
        time.sleep(1.5)
    return before


def test_who_comes_when_it_is_full_is_told_and_who_is_there_is_served_on(
    serving_process: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path
) -> None:
    model = f'[[models]]\nname = "m"\npath = "{texts_bundle.path}"\n'
    (tmp_path / "serve.toml").write_text(f"[limits]\nconnections = 4\n{model}", encoding="utf-8")
    with serving_process(tmp_path, "--config", tmp_path / "serve.toml", "--grpc", "-1") as server:
        before = settled(server)
        there = [connected(server) for _ in range(4)]
        late = connected(server)
        late.sendall(HEALTH + b"\r\n")
        head, _, body = b"".join(iter(lambda: late.recv(65536), b"")).partition(b"\r\n\r\n")  # then it hangs up
        assert head.startswith(b"HTTP/1.1 503") and b"retry-after: " in head and b"application/json" in head
        assert b"as many connections as it takes" in body
        for one in there:
            one.sendall(HEALTH + b"\r\n")
            assert one_answer(one) == b'{"status":"ok"}'
            one.close()
        assert falls_to(server, before)
        told = httpx.get(f"{server.http}/metrics").text
    assert 'code="503",method="connection"' in told


def ends(made: socket.socket, drop: bytes) -> bool:
    """Send a few bytes again and again until the server hangs up."""
    made.settimeout(0.2)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            made.sendall(drop)
            if not made.recv(65536):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def one_answer(made: socket.socket) -> bytes:
    """Return the body of the next answer, which must be good."""
    head, _, body = made.recv(65536).partition(b"\r\n\r\n")
    length = good_length(head)
    while len(body) < length:
        body += made.recv(65536)
    return body


def good_length(head: bytes) -> int:
    """Return how long the body is that follows the head of a good answer."""
    assert head.startswith(b"HTTP/1.1 200"), head[:200]
    (length,) = [int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.startswith(b"content-length")]
    return length


def answers_in(received: bytes) -> list[Any]:
    """Return the values of a connection's answers."""
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        length = good_length(head)
        found.append(json.loads(received[:length]))
        received = received[length:]
    return found


def many_texts() -> bytes:
    body = json.dumps({"instances": ["房间很干净，服务也好"] * TEXTS}).encode()
    return b"POST /v1/models/m:predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


@pytest.mark.parametrize(
    ("request_head", "drop"),
    [
        (HEALTH + b"\r\n", b"\r\n"),
        (HEALTH + b"content-length: 1000000000000\r\n\r\n", b"x"),
        (HEALTH + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000000\r\n\r\n", b"x"),
    ],
    ids=["empty lines", "a body", "pieces of a body", "a body for no address"],
)
def test_what_follows_an_answer_does_not_hold_a_connection(impatient: Any, request_head: bytes, drop: bytes) -> None:
    with connected(impatient) as made:
        made.sendall(request_head)
        assert made.recv(65536).startswith(b"HTTP/1.1 ")
        assert ends(made, drop)


def test_an_empty_line_after_an_answer_is_no_end_of_the_connection(impatient: Any) -> None:
    with connected(impatient) as made:
        for _ in range(3):
            made.sendall(HEALTH + b"\r\n\r\n")
            assert json.loads(one_answer(made)) == {"status": "ok"}


@pytest.mark.parametrize("start", [HEALTH, b"POST /v1/models/m:predict HTTP/1.1\r\nhost: x\r\n"], ids=["GET", "POST"])
@pytest.mark.parametrize("lines", [b"X: y\r\n" * 170, b"y" * 1020], ids=["lines", "one line"])
def test_trailers_without_end_are_cut_off(served: Any, start: bytes, lines: bytes) -> None:
    with connected(served) as made, pytest.raises(OSError):
        made.sendall(start + b"transfer-encoding: chunked\r\n\r\n0\r\nX: ")
        for _ in range(50_000):
            made.sendall(lines)


def test_a_long_body_in_small_pieces_is_read(served: Any) -> None:
    text = "房间很干净，服务也好。".encode() * 4000
    pieces = (text[start : start + 100] for start in range(0, len(text), 100))
    answer = httpx.post(
        f"{served.http}/v1/models/texts:predict", content=pieces, headers={"content-type": "text/plain"}, timeout=30
    )
    assert answer.status_code == 200


def test_clients_that_read_nothing_are_let_go(impatient: Any) -> None:
    before = settled(impatient)
    asked = many_texts()
    held = []
    for count in (1, 200):
        made = connected(impatient, receives=4096)
        made.settimeout(1)
        with suppress(TimeoutError, OSError):
            for _ in range(count):
                made.sendall(asked)
        held.append(made)
    assert falls_to(impatient, before)
    for made in held:
        made.close()


def test_a_client_that_reads_slowly_and_steadily_gets_all_of_it(impatient: Any) -> None:
    count = 12
    with connected(impatient, receives=4096) as made:
        made.sendall(many_texts() * (count - 1) + many_texts().replace(b"host: x", b"host: x\r\nconnection: close"))
        received, started = bytearray(), time.monotonic()
        while piece := made.recv(16384):
            received += piece
            time.sleep(len(piece) / 100_000)
    assert time.monotonic() - started > 3  # several times as long as it may do nothing
    told = answers_in(bytes(received))
    assert [len(one["predictions"]) for one in told] == [TEXTS] * count


def test_requests_one_after_another_share_a_connection(impatient: Any) -> None:
    with httpx.Client(base_url=impatient.http, verify=False, timeout=30) as client:
        for _ in range(20):
            answer = client.post("/v1/models/m:predict", json={"instances": ["很好"] * TEXTS})
            assert len(answer.json()["predictions"]) == TEXTS
        streams = {id(answer.extensions["network_stream"]), id(client.get("/healthz").extensions["network_stream"])}
    assert len(streams) == 1


@pytest.mark.parametrize("cut", [10, 150, 300, 10_000], ids=lambda cut: f"after {cut} bytes")
def test_who_offers_another_protocol_is_answered_in_this_one(served: Any, cut: int) -> None:
    body = b'{"instances": ["good"]}'
    head = (
        b"POST /v1/models/texts:predict HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
        b"http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    many = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: a\r\n\r\n" * 1_000
    twice = (head + body) * 2 + many + HEALTH + b"connection: close\r\n\r\n"
    with connected(served) as made:
        made.sendall(twice[:cut])
        time.sleep(0.1)
        made.sendall(twice[cut:])
        received = b""
        while piece := made.recv(65_536):
            received += piece
    first, second, *healths = answers_in(received)
    assert first == second and first["predictions"] and healths == [{"status": "ok"}] * 1_001


def test_who_waits_to_send_a_body_is_not_kept_waiting_by_a_refusal(
    start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text(f'[limits]\nconnections = 1\n[[models]]\nname = "m"\npath = "{texts_bundle.path}"\n', "utf-8")
    server = start("--config", config, "--grpc", "-1")
    waiting = b"POST %s HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n"
    with connected(server) as first:
        first.sendall(HEALTH + b"\r\n")
        first.recv(65536)
        with connected(server) as surplus:
            surplus.sendall(waiting % b"/v1/models/m:predict")
            assert told_to_the_end(surplus).startswith(b"HTTP/1.1 503")
    with connected(server) as made:
        made.sendall(waiting % b"/nothing")
        answer = told_to_the_end(made)  # closed, for nobody knows whether the body will come
        assert answer.startswith(b"HTTP/1.1 404")
        assert b"connection: close" in answer
    with connected(server) as made:
        made.sendall(waiting % b"/v1/models/m:predict")
        assert made.recv(65536).startswith(b"HTTP/1.1 100")
        made.sendall(b"no JSON !")
        assert made.recv(65536).startswith(b"HTTP/1.1 400")


def told_to_the_end(made: socket.socket) -> bytes:
    told = b""
    while piece := made.recv(65536):
        told += piece
    return told


def test_a_server_is_no_proxy(served: Any) -> None:
    with connected(served) as made:
        made.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nhost: example.org:443\r\n\r\nabc")
        assert b"HTTP/1.1 400 " in made.recv(65_536)
