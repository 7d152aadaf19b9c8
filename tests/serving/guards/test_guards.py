"""Keys, rates and TLS, asked over loopback."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from noria.artifacts.bundle import Bundle
from noria.errors import ForbiddenError, TooManyRequestsError, UnauthenticatedError
from noria.serving.guards import rates
from noria.serving.guards.door import Guard, hash_of, network_of, new_key
from noria.serving.protos import message
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


def test_addresses_without_end_fill_no_memory_and_do_not_hide_who_sent_too_many() -> None:
    kept = rates.Rates(Rate(per_second=0.001, burst=3))
    for _ in range(3):
        kept.take("1.2.3.4")
    before = len(kept._memory)
    for number in range(100_000):
        kept.take(f"another {number}")
    assert len(kept._memory) == before
    with pytest.raises(TooManyRequestsError):
        kept.take("1.2.3.4")


def test_what_was_counted_still_counts_after_keys_were_read_again() -> None:
    key, sha256 = new_key()
    keys = [Key(name="a", sha256=sha256, rate=Rate(per_second=0.001, burst=2))]
    guard = Guard(keys, Rate(per_second=0.001, burst=3))
    guard.admit(key, "1.2.3.4", scope="predict")
    guard.change(keys, Rate(per_second=0.001, burst=3))
    guard.admit(key, "1.2.3.4", scope="predict")
    with pytest.raises(TooManyRequestsError):
        guard.admit(key, "5.6.7.8", scope="predict")
    guard.admit(None, "1.2.3.4", scope=None)
    with pytest.raises(TooManyRequestsError):
        guard.admit(None, "1.2.3.4", scope=None)


def test_processes_that_share_a_folder_count_together(tmp_path: Path) -> None:
    key, sha256 = new_key()
    keys = [Key(name="other", sha256="0" * 64), Key(name="a", sha256=sha256, rate=Rate(per_second=0.001, burst=2))]
    first, second = (Guard(keys, Rate(per_second=0.001, burst=4), tmp_path) for _ in range(2))
    for guard in (first, second):
        guard.admit(key, "1.2.3.4", scope="predict")
    with pytest.raises(TooManyRequestsError):
        first.admit(key, "5.6.7.8", scope="predict")
    second.admit(None, "1.2.3.4", scope=None)
    first.admit(None, "1.2.3.4", scope=None)
    for guard in (first, second):
        with pytest.raises(TooManyRequestsError):
            guard.admit(None, "1.2.3.4", scope=None)


@pytest.mark.parametrize(
    ("address", "other", "same"),
    [
        ("1.2.3.4", "1.2.3.5", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:1.2.3.4", "1.2.3.4", True),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_a_network_of_ipv6_is_one_address(address: str, other: str, same: bool) -> None:
    assert (network_of(address) == network_of(other)) is same


def test_who_asks_for_metadata_or_tries_addresses_is_counted_but_not_who_looks_after_health(
    start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text(f'[rate]\nper_second = 0.001\nburst = 5\n[[models]]\nname = "m"\npath = "{texts_bundle.path}"\n')
    server = start("--config", config)
    with server.client() as client:
        paths = ["/v1/models/m", "/v1/models/m/metadata", "/v2/models/m", "/v1/models/m/versions/x"]
        assert [client.get(path).status_code for path in paths] == [200, 200, 200, 400]
        with grpc.insecure_channel(server.grpc) as channel:
            ask = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
            request = message("tensorflow.serving.GetModelStatusRequest")()
            request.model_spec.name = "m"
            assert ask(request.SerializeToString(), timeout=5)
            with pytest.raises(grpc.RpcError) as caught:
                ask(request.SerializeToString(), timeout=5)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            health = health_pb2_grpc.HealthStub(channel)
            assert health.Check(health_pb2.HealthCheckRequest(service="m")).status == 1
        assert [client.get(path).status_code for path in [*paths, "/"]] == [429] * 5
        for path in ("/healthz", "/readyz", "/v2/health/ready", "/v2/models/m/ready"):
            assert client.get(path).status_code == 200


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


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.0.2.1", False), ("2001:db8::1", False)],
)
def test_without_keys_only_this_machine_says_which_models_are_served(address: str, local: bool) -> None:
    guard = Guard([], Rate())
    guard.admit(None, address, scope="predict")
    if local:
        guard.admit(None, address, scope="reload")
    else:
        with pytest.raises(ForbiddenError):
            guard.admit(None, address, scope="reload")


def test_addresses_of_ipv6_are_served(start: Callable[..., Any], texts_bundle: Bundle) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    server = start(f"m={texts_bundle.path}", "--host", "::1")
    with server.client() as client:
        assert client.get("/readyz").status_code == 200
    with grpc.insecure_channel(server.grpc) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="m"), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        request = message("tensorflow.serving.ReloadConfigRequest")()
        told = channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")
        assert b"model_config_list" in told(request.SerializeToString(), timeout=10)  # let in, and told what is wrong


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_key_that_is_taken_out_of_the_config_lets_nobody_in_after_sighup(
    start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path, processes: str, until: Callable[..., Any]
) -> None:
    (old, old_hash), (new, new_hash) = new_key(), new_key()
    model = f'[[models]]\nname = "m"\npath = "{texts_bundle.path}"\n'
    config = tmp_path / "serve.toml"
    config.write_text(f'{model}[[keys]]\nname = "old"\nsha256 = "{old_hash}"\n', encoding="utf-8")
    server = start("--config", config, "--processes", processes)

    def codes(key: str) -> set[int]:
        headers = {**PLAIN, "x-api-key": key}  # each on a connection of its own, to any of the processes
        asked = (httpx.post(f"{server.http}/v1/models/m:predict", content=TEXT, headers=headers) for _ in range(12))
        return {answer.status_code for answer in asked}

    assert (codes(old), codes(new)) == ({200}, {401})
    config.write_text(f'{model}[[keys]]\nname = "new"\nsha256 = "{new_hash}"\n', encoding="utf-8")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: (codes(old), codes(new)) == ({401}, {200}))
