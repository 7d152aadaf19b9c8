"""Real bundles, and real server processes on loopback."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from noria.artifacts.bundle import Bundle

REVIEWS = 1_500  # of hotels, in Chinese: enough to be right more often than not
START_SECONDS = 60.0


@dataclass(eq=False)
class Server:
    """One `noria serve` in a process of its own."""

    process: subprocess.Popen[bytes]
    http: str
    grpc: str | None
    told: dict[str, Any]
    log_path: Path

    def log(self) -> list[dict[str, Any]]:
        """Return the lines that the server wrote so far."""
        lines = self.log_path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.http, timeout=30, **options)

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@contextmanager
def serving(folder: Path, *arguments: str | Path, environment: dict[str, str] | None = None) -> Iterator[Server]:
    """Start `noria serve` with these arguments on free ports, and stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    command = [sys.executable, "-m", "noria", "serve", *map(str, arguments), "--http", "0", "--json"]
    if "--grpc" not in arguments:
        command += ["--grpc", "0"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **(environment or {})}
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the server ended with {process.wait()}: {log.read_text(encoding='utf-8')[-2000:]}"
        told = json.loads(line)
        assert "error" not in told, told
        yield Server(process, told["http"], told["grpc"], told, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture(scope="session")
def texts_bundle(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of the default model of texts, made from Chinese hotel reviews; tests only read it."""
    import noria

    folder = tmp_path_factory.mktemp("reviews")
    with (shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv").open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    with (folder / "hotels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows[:: len(rows) // REVIEWS]])
    return noria.export(noria.train(folder / "hotels.csv", folder / "run"), folder / "bundle")


@pytest.fixture(scope="session")
def served(bundle: Bundle, texts_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the models `photos` and `texts`; tests do not change it."""
    with serving(tmp_path_factory.mktemp("served"), f"photos={bundle.path}", f"texts={texts_bundle.path}") as server:
        yield server


@pytest.fixture(scope="session")
def serving_process() -> Callable[..., Any]:
    """Start servers that outlive a test: `with serving_process(FOLDER, "photos=PATH") as server`."""
    return serving


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Return what a condition gives as soon as it is true: `until(condition, seconds=60)`."""

    def found(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if told := condition():
                return told
            time.sleep(0.02)
        raise AssertionError(f"it did not become true within {seconds} s")

    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of a test's own: `start("photos=PATH", "--config", FILE)`."""
    with ExitStack() as stack:
        count = iter(range(100))
        yield lambda *arguments, **options: stack.enter_context(
            serving(tmp_path / f"server-{next(count)}", *arguments, **options)
        )
