"""Keys, rates and TLS, asked over loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from noria.artifacts.bundle import Bundle
from noria.errors import ForbiddenError, TooManyRequestsError, UnauthenticatedError
from noria.serving.guards import rates
from noria.serving.guards.door import Guard, hash_of, new_key
from noria.serving.settings import Key, Rate

TEXT = "房间很干净".encode()
PLAIN = {"content-type": "text/plain"}


def test_a_key_of_the_command_line_opens_the_server_and_is_nowhere_kept(
    start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "noria", "key", "shop", "--json"], capture_output=True, check=True, timeout=60
    )
    told = json.loads(done.stdout)
    config = tmp_path / "serve.toml"
    config.write_text(
        f'[[keys]]\nname = "shop"\nsha256 = "{told["sha256"]}"\n[[models]]\nname = "m"\npath = "{texts_bundle.path}"\n'
    )
    server = start("--config", config, "--grpc", "-1")
    with server.client() as client:
        ask = lambda headers: client.post("/v1/models/m:predict", content=TEXT, headers={**PLAIN, **headers})  # noqa: E731
        assert ask({"authorization": f"Bearer {told['key']}"}).status_code == 200
        assert ask({"x-api-key": told["key"]}).status_code == 200
        refused = ask({})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert ask({"x-api-key": "noria_guess"}).status_code == 401
        assert client.get("/metrics", headers={"x-api-key": told["key"]}).status_code == 403
        assert client.get("/healthz").status_code == 200
    everything = server.log_path.read_text(encoding="utf-8") + config.read_text(encoding="utf-8")
    everything += Path(f"/proc/{server.process.pid}/cmdline").read_text(encoding="utf-8")
    assert told["key"] not in everything


def test_a_key_is_good_for_its_scopes_and_models() -> None:
    key, sha256 = new_key()
    guard = Guard([Key(name="a", sha256=sha256, scopes=("predict",), models=("m",))], Rate())
    assert hash_of(key) == sha256
    visitor = guard.admit(key, "1.2.3.4", scope="predict")
    visitor.require_model("m")
    assert visitor.name == "a"
    with pytest.raises(ForbiddenError):
        guard.admit(key, "1.2.3.4", scope="reload")
    with pytest.raises(ForbiddenError):
        visitor.require_model("other")
    with pytest.raises(UnauthenticatedError):
        guard.admit(None, "1.2.3.4", scope="predict")


def test_a_rate_allows_a_burst_and_then_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(rates, "monotonic", lambda: now[0])
    guard = Guard([], Rate(per_second=2, burst=3))
    for _ in range(3):
        guard.admit(None, "1.2.3.4", scope="predict")
    with pytest.raises(TooManyRequestsError) as caught:
        guard.admit(None, "1.2.3.4", scope="predict")
    assert caught.value.retry_after == pytest.approx(0.5)
    guard.admit(None, "5.6.7.8", scope="predict")
    now[0] += 0.5
    guard.admit(None, "1.2.3.4", scope="predict")
    with pytest.raises(TooManyRequestsError):
        guard.admit(None, "1.2.3.4", scope="predict")


def test_addresses_without_end_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_BUCKETS", 10)
    kept = rates.Rates(Rate(per_second=1, burst=1))
    for number in range(100):
        kept.take(str(number))
    assert len(kept._buckets) == 10


def test_too_many_requests_are_told_when_to_come_again(
    start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text(f'[rate]\nper_second = 0.001\nburst = 2\n[[models]]\nname = "m"\npath = "{texts_bundle.path}"\n')
    server = start("--config", config, "--grpc", "-1")
    with server.client() as client:
        answers = [client.post("/v1/models/m:predict", content=TEXT, headers=PLAIN) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["retry-after"]) > 100


def test_a_trial_certificate_makes_it_https(start: Callable[..., Any], texts_bundle: Bundle) -> None:
    server = start(f"m={texts_bundle.path}", "--trial-tls", "--grpc", "-1")
    assert server.http.startswith("https://")
    with httpx.Client(base_url=server.http, verify=False) as client:
        assert client.get("/readyz").json()["ready"] is True
    with pytest.raises(httpx.ConnectError, match="certificate"), httpx.Client(base_url=server.http) as client:
        client.get("/readyz")


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('[tls]\ncertificate = "none.pem"', "belong together"),
        ('[tls]\ncertificate = "none.pem"\nkey = "none.pem"', "cannot be used"),
        ('[[keys]]\nname = "a"\nsha256 = "abc"', "64 hexadecimal"),
        ("[limits]\nrow = 3", "Did you mean"),
        ('[[models]]\nname = "a/b"\npath = "x"', "letters"),
        ('[[models]]\nname = "a"', "missing"),
    ],
)
def test_a_wrong_config_is_told_before_anything_starts(
    section: str, words: str, texts_bundle: Bundle, tmp_path: Path
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text(section, encoding="utf-8")
    command = [sys.executable, "-m", "noria", "serve", f"m={texts_bundle.path}", "--config", str(config), "--json"]
    done = subprocess.run([*command, "--http", "0", "--grpc", "-1"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert words in json.loads(done.stdout)["error"]
    assert b"Traceback" not in done.stderr
