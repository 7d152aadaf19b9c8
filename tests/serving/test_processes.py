"""Several server processes on one port: who dies is started again, with what the others serve, and takes none along."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from noria.artifacts.bundle import Bundle
from noria.serving.processes import SOON

TEXT = "房间很干净，服务也好"
PLAIN = {"content-type": "text/plain"}


class Processes:
    """A server of two processes, and what can be seen of it."""

    def __init__(self, folder: Path, *models: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.http = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "noria", "serve", *models, "--processes", "2", "--grpc", "-1"]
        with (folder / "log").open("wb") as log:
            self.parent = subprocess.Popen([*command, "--http", str(port)], stderr=log)

    def answers(self, model: str = "m") -> bool:
        try:
            url = f"{self.http}/v1/models/{model}:predict"
            return httpx.post(url, content=TEXT.encode(), headers=PLAIN).status_code == 200
        except httpx.TransportError:
            return False

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children").read_text(encoding="utf-8")
        return [int(one) for one in listed.split() if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


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
