"""Several server processes on one port: who dies is started again, with what the others serve, and takes none along."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from noria.artifacts.bundle import Bundle
from noria.serving.processes import SOON, config_of_each
from noria.serving.protos import message
from noria.serving.settings import ServeConfig

TEXT = "房间很干净，服务也好"
PLAIN = {"content-type": "text/plain"}


class Processes:
    """A server of two processes, and what can be seen of it."""

    def __init__(self, folder: Path, *models: str) -> None:
        with socket.socket() as free, socket.socket() as free_too:
            free.bind(("127.0.0.1", 0))
            free_too.bind(("127.0.0.1", 0))
            http, rpc = free.getsockname()[1], free_too.getsockname()[1]
        self.http, self.grpc = f"http://127.0.0.1:{http}", f"127.0.0.1:{rpc}"
        command = [sys.executable, "-m", "noria", "serve", *models, "--processes", "2"]
        with (folder / "log").open("wb") as log:
            self.parent = subprocess.Popen([*command, "--http", str(http), "--grpc", str(rpc)], stderr=log)

    def reload(self, **models: tuple[Path, dict[str, int]]) -> Any:
        """Have one of the processes told which models are to be served, each with its labels; return the status."""
        request = message("tensorflow.serving.ReloadConfigRequest")()
        for name, (path, labels) in models.items():
            told = request.config.model_config_list.config.add(name=name, base_path=str(path))
            told.model_version_policy.all.SetInParent()
            told.version_labels.update(labels)
        with grpc.insecure_channel(self.grpc) as channel:
            method = channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")
            answer = method(request.SerializeToString(), timeout=60)
        return message("tensorflow.serving.ReloadConfigResponse").FromString(answer).status

    def version(self, label: str) -> Any:
        """Return the version that one of the processes says a label of `m` is."""
        return httpx.get(f"{self.http}/v1/models/m/labels/{label}/card").json().get("version")

    def answers(self, model: str = "m") -> bool:
        try:
            url = f"{self.http}/v1/models/{model}:predict"
            return httpx.post(url, content=TEXT.encode(), headers=PLAIN).status_code == 200
        except httpx.TransportError:
            return False

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children").read_text(encoding="utf-8")
        found = []
        for one in listed.split():
            with suppress(OSError):  # it has died meanwhile
                found += [int(one)] if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes() else []
        return found


@pytest.fixture
def processes(tmp_path: Path, until: Callable[..., Any]) -> Iterator[Callable[..., Processes]]:
    begun: list[Processes] = []

    def begin(*models: str) -> Processes:
        begun.append(Processes(tmp_path, *models))
        until(lambda: begun[-1].answers() and len(begun[-1].children()) == 2)
        return begun[-1]

    yield begin
    for one in begun:
        one.parent.send_signal(signal.SIGTERM)
        assert one.parent.wait(40) == 0


def test_a_worker_that_is_killed_is_replaced_and_the_port_stays(
    texts_bundle: Bundle, processes: Callable[..., Processes], until: Callable[..., Any]
) -> None:
    server = processes(f"m={texts_bundle.path}")
    killed = server.children()[0]
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(server.children()) == 2 and killed not in server.children())
    until(server.answers)
    assert "noria_requests_total" in httpx.get(f"{server.http}/metrics").text


def test_a_worker_that_cannot_be_started_again_takes_no_other_with_it(
    texts_bundle: Bundle, tmp_path: Path, processes: Callable[..., Processes], until: Callable[..., Any]
) -> None:
    copy, away = tmp_path / "bundle", tmp_path / "away"
    shutil.copytree(texts_bundle.path, copy)
    server = processes(f"m={copy}")
    time.sleep(SOON + 1)  # who has lived so long counts as one that answers
    killed, survivor = server.children()
    copy.rename(away)
    os.kill(killed, signal.SIGKILL)
    seen: set[int] = set()

    def tried_often() -> bool:
        seen.update(server.children())
        return len(seen - {killed, survivor}) > 4

    until(tried_often)
    assert server.parent.poll() is None
    assert survivor in server.children() and server.answers()
    away.rename(copy)
    until(lambda: len(server.children()) == 2 and server.answers())


def test_a_worker_that_is_replaced_after_a_reload_serves_what_the_others_do(
    texts_bundle: Bundle, tmp_path: Path, processes: Callable[..., Processes], until: Callable[..., Any]
) -> None:
    one = f'[[models]]\nname = "m"\npath = "{texts_bundle.path}"\n'
    (tmp_path / "serve.toml").write_text(one, encoding="utf-8")
    server = processes("--config", str(tmp_path / "serve.toml"))
    (tmp_path / "serve.toml").write_text(one + one.replace('"m"', '"n"'), encoding="utf-8")
    server.parent.send_signal(signal.SIGHUP)
    until(lambda: all(server.answers("n") for _ in range(12)))
    for killed in server.children():
        os.kill(killed, signal.SIGKILL)
        until(lambda killed=killed: len(server.children()) == 2 and killed not in server.children())
    until(server.answers)
    assert all(server.answers("n") for _ in range(12))


def test_what_one_process_is_told_over_grpc_every_process_serves(
    texts_bundle: Bundle, tmp_path: Path, processes: Callable[..., Processes], until: Callable[..., Any]
) -> None:
    folder, other = tmp_path / "models", tmp_path / "other"
    shutil.copytree(texts_bundle.path, other)
    for number in ("1", "2"):
        shutil.copytree(texts_bundle.path, folder / number)
    server = processes(f"m={folder}")
    assert not server.answers("n")
    assert server.reload(m=(folder, {"stable": 1}), n=(other, {})).error_message == ""
    assert all(server.answers("n") for _ in range(20))
    assert {server.version("stable") for _ in range(20)} == {1}
    assert server.reload(m=(folder, {"stable": 2}), n=(other, {})).error_message == ""
    assert {server.version("stable") for _ in range(20)} == {2}
    for killed in server.children():
        os.kill(killed, signal.SIGKILL)
        until(lambda killed=killed: len(server.children()) == 2 and killed not in server.children())
    until(server.answers)
    assert all(server.answers("n") for _ in range(20))
    assert {server.version("stable") for _ in range(20)} == {2}
    assert "version 9" in server.reload(m=(folder, {"stable": 1, "canary": 9})).error_message
    assert {server.version("stable") for _ in range(20)} == {2}
    assert not any(server.answers("n") for _ in range(20))
    assert not (folder / "routing.json").exists()  # a server writes nothing into a folder of models


def test_a_config_that_is_read_again_goes_before_what_was_told_over_grpc(
    texts_bundle: Bundle, tmp_path: Path, processes: Callable[..., Processes], until: Callable[..., Any]
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text(f'[[models]]\nname = "m"\npath = "{texts_bundle.path}"\nlabels = {{stable = 1}}\n', "utf-8")
    server = processes("--config", str(config))
    assert {server.version("stable") for _ in range(20)} == {1}
    assert server.reload(m=(texts_bundle.path, {}), n=(texts_bundle.path, {})).error_message == ""
    assert {server.version("stable") for _ in range(20)} == {None}
    server.parent.send_signal(signal.SIGHUP)
    until(lambda: {server.version("stable") for _ in range(20)} == {1} and not any(map(server.answers, "n" * 12)))
    killed = server.children()[0]
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(server.children()) == 2 and killed not in server.children())
    until(server.answers)
    assert not any(server.answers("n") for _ in range(20))


def test_processes_count_the_requests_of_an_address_together(
    texts_bundle: Bundle, tmp_path: Path, processes: Callable[..., Processes]
) -> None:
    config = tmp_path / "serve.toml"
    model = f'[[models]]\nname = "m"\npath = "{texts_bundle.path}"\n'
    config.write_text(f"[rate]\nper_second = 0.001\nburst = 30\n{model}", "utf-8")
    server = processes("--config", str(config))
    codes = [httpx.get(f"{server.http}/v1/models/m").status_code for _ in range(40)]
    assert codes.index(429) < 30  # some were sent until both processes answered
    assert set(codes[codes.index(429) :]) == {429}


def test_processes_say_where_they_answer_and_show_one_certificate(
    start: Callable[..., Any], texts_bundle: Bundle
) -> None:
    server = start(f"m={texts_bundle.path}", "--processes", "2", "--trial-tls")
    assert (server.told["processes"], server.told["models"]) == (2, {"m": [1]})
    host, _, port = server.http.removeprefix("https://").partition(":")
    assert server.grpc and int(port) > 0
    shown = {ssl.get_server_certificate((host, int(port))) for _ in range(12)}
    assert len(shown) == 1


def test_processes_end_whose_parent_was_killed(
    start: Callable[..., Any], texts_bundle: Bundle, until: Callable[..., Any]
) -> None:
    server = start(f"m={texts_bundle.path}", "--processes", "2")

    def refused() -> bool:
        try:
            return httpx.get(f"{server.http}/readyz").status_code == 0
        except httpx.TransportError:
            return True

    assert not refused()
    server.process.kill()
    until(lambda: all(refused() for _ in range(6)))


@pytest.mark.parametrize(("told", "count", "threads"), [(0, 1, 8), (0, 2, 4), (0, 3, 3), (0, 16, 1), (5, 2, 5)])
def test_processes_share_the_processors(told: int, count: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noria.serving.processes.default_threads", lambda: 8)
    config = ServeConfig.model_validate({"server": {"workers": told, "drain_seconds": 7.0}})
    each = config_of_each(config, count)
    assert each == config.model_copy(update={"server": config.server.model_copy(update={"workers": threads})})
    assert each.server.drain_seconds == 7
