"""Bodies of JSON: what many values of few bytes may cost, and who waits meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, strategies

from noria.artifacts.bundle import Bundle
from noria.errors import RequestError, TooLargeError
from noria.serving.http import body
from noria.serving.settings import Limits

MANY = b'{"instances": [' + b"[]," * 11_000_000 + b"[]]}"
# What orjson reads, with much in texts that looks like brackets and commas.
TEXTS = strategies.text(alphabet='[]{},:"\\ab\n', max_size=20)
VALUES = strategies.recursive(
    strategies.integers(-9, 9) | TEXTS | strategies.none(),
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=40,
)


def counted(value: Any) -> tuple[int, int]:
    """How deep a value is nested; how many lists and objects it has, and values after the first in each."""
    if not isinstance(value, (list, dict)):
        return 0, 0
    inside = [counted(one) for one in (value.values() if isinstance(value, dict) else value)]
    commas = max(0, len(inside) - 1)
    return 1 + max((depth for depth, _ in inside), default=0), 1 + commas + sum(count for _, count in inside)


@given(value=VALUES, piece=strategies.integers(1, 50))
def test_depth_and_values_are_measured_as_they_are_read(value: Any, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body, "PIECE", piece)
        for ascii_only in (True, False):
            assert body._measured(json.dumps(value, ensure_ascii=ascii_only).encode()) == counted(value)


def test_limits_are_those_of_values_and_depth() -> None:
    limits = Limits(json_values=1024, json_depth=4)
    assert body.parse_json(json.dumps([1] * 1023).encode(), limits) == [1] * 1023
    assert body.parse_json(json.dumps(["[,{" * 2000]).encode(), limits) == ["[,{" * 2000]
    with pytest.raises(TooLargeError, match="1,025 numbers"):
        body.parse_json(json.dumps([1] * 1025).encode(), limits)
    with pytest.raises(RequestError, match="more than 4 deep"):
        body.parse_json(b"[[[[[1]]]]]", limits)


def test_a_body_of_millions_of_lists_is_refused_and_keeps_nobody_waiting(
    start: Callable[..., Any], texts_bundle: Bundle
) -> None:
    server = start(f"m={texts_bundle.path}")
    answers: list[httpx.Response] = []

    def send() -> None:
        with server.client() as client:
            answers.append(client.post("/v1/models/m:predict", content=MANY))

    with server.client() as client:
        client.get("/healthz")
        senders = [threading.Thread(target=send) for _ in range(2)]
        for sender in senders:
            sender.start()
        waits = []
        while any(sender.is_alive() for sender in senders):
            started = time.monotonic()
            assert client.get("/healthz").status_code == 200
            waits.append(time.monotonic() - started)
    assert [answer.status_code for answer in answers] == [413, 413]
    assert "22,000,003" in answers[0].json()["error"] and "2,000,000" in answers[0].json()["error"]
    assert max(waits) < 1.5, f"/healthz waited {max(waits):.1f} s"


def test_a_large_body_is_read_beside_the_event_loop(start: Callable[..., Any], texts_bundle: Bundle) -> None:
    server = start(f"m={texts_bundle.path}")
    with server.client() as client:
        texts = ["房间很干净" * 40] * 1000
        alone = client.post("/v1/models/m:predict", json={"instances": texts[:1]}).json()["predictions"]
        told = client.post("/v1/models/m:predict", json={"instances": texts}, headers={"accept-encoding": "gzip"})
        assert told.json()["predictions"] == alone * 1000
        answer = client.post("/v1/models/m:predict", json={"instances": [[1] * 50_000]})
        assert (answer.status_code, "expected a text" in answer.json()["error"]) == (400, True)
