"""A server under measurement: started, asked until it answers, loaded from another process, weighed, stopped."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from _harness import BENCH, MIB, flowers, give_up, noria_command, run_child, say, split_as_noria, write_manifest

PATIENCE = 180.0  # seconds for the first answer of a server
PAUSE = 0.01


class DoesNotStartError(Exception):
    """A server that gives no answer, with its last words."""


@dataclass(frozen=True)
class Door:
    """How a server is asked for an answer."""

    path: str
    content_type: str


@dataclass
class Server:
    """One that answers."""

    process: subprocess.Popen[bytes]
    port: int
    door: Door
    seconds: float  # from the start of the process to the first answer

    def mebibytes(self) -> float:
        """Return what all its processes hold in memory, shared pages counted once where the system tells."""
        root = psutil.Process(self.process.pid)
        total = 0.0
        for one in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                told = one.memory_full_info()
                total += getattr(told, "pss", told.rss)
        return total / MIB


def trained_bundle(
    scratch: Path, *, limit: int | None = None, seed: int = 0, formats: str = "keras,litert,litert_int8"
) -> Path:
    """Train on the flowers, at most `limit` of each, and export."""
    say("training and exporting a model")
    place = scratch / f"model-{seed}"
    place.mkdir()
    manifest = write_manifest(place / "flowers.csv", split_as_noria(flowers(limit), seed, place))
    run_child(noria_command("train", manifest, "--out", place / "run", "--seed", str(seed), "--json", "--quiet"))
    run_child(
        noria_command("export", place / "run", "--out", place / "bundle", "--formats", formats, "--json", "--quiet")
    )
    return place / "bundle"


def write_bodies(folder: Path, bodies: Sequence[bytes]) -> list[Path]:
    """Write each body of a request into a file, for the load generator."""
    folder.mkdir()
    for place, body in enumerate(bodies):
        (folder / f"{place:04}").write_bytes(body)
    return sorted(folder.iterdir())


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def noria_server(*models: str | Path, port: int, runtime: str | None = None, config: Path | None = None) -> list[str]:
    """Return the command of a Noria server; its log is written, to nowhere."""
    command = ["serve", *models, "--http", str(port), "--grpc", "-1"]
    command += ["--runtime", runtime] if runtime else []
    return noria_command(*command, *(["--config", str(config)] if config else ["--log", os.devnull]))


@contextmanager
def running(
    command: Sequence[str], port: int, door: Door, body: bytes, *, environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[Server]:  # fmt: skip
    """Start a server, wait for its answer to `body`, stop all its processes in the end.

    Raises:
        DoesNotStartError: it ends by itself, or does not answer in time.
    """
    with tempfile.TemporaryFile() as words:
        started = time.perf_counter()
        process = subprocess.Popen(
            list(command), env={**os.environ, **(environment or {})}, cwd=folder, stdout=words, stderr=words,
            start_new_session=True,
        )  # fmt: skip
        try:
            while (status := _ask(port, door, body)) != 200:
                if process.poll() is not None or time.perf_counter() - started > PATIENCE:
                    raise DoesNotStartError(f"{_last(words)} (status {status}, exit code {process.poll()})")
                time.sleep(PAUSE)
            yield Server(process, port, door, time.perf_counter() - started)
        finally:
            _stop(process)


def load(server: Server, bodies: Sequence[Path], **plan: Any) -> dict[str, Any]:
    """Load a server to the end of the plan, and return what came back; see `_serve_load.py`."""
    with background_load(server, bodies, **plan) as finish:
        return finish(early=False)


@contextmanager
def background_load(server: Server, bodies: Sequence[Path], **plan: Any) -> Iterator[Any]:
    """Load a server meanwhile; yield what ends the load and returns what came back."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "plan.json", Path(folder) / "out.json"
        whole = {
            "host": "127.0.0.1", "port": server.port, "path": server.door.path,
            "content_type": server.door.content_type, "bodies": [str(one) for one in bodies], **plan,
        }  # fmt: skip
        files[0].write_text(json.dumps(whole), encoding="utf-8")
        process = subprocess.Popen([sys.executable, str(BENCH / "_serve_load.py"), *map(str, files)])

        def finish(*, early: bool = True) -> dict[str, Any]:
            if early:
                process.terminate()
            if process.wait():
                give_up("The load generator failed.")
            told: dict[str, Any] = json.loads(files[1].read_text(encoding="utf-8"))
            return told

        try:
            yield finish
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of them does not exceed; NaN where there is none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")


def figures(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rate and the latencies of the good answers of a load, and how many were none."""
    good = [row[3] for row in told["rows"] if row[2] == 200]
    in_time = sum(1 for row in told["rows"] if row[2] == 200 and row[0] + row[3] / 1e3 <= told["seconds"])
    return {
        "rate": in_time / told["seconds"],
        "p50": percentile(good, 0.5),
        "p95": percentile(good, 0.95),
        "p99": percentile(good, 0.99),
        "answers": len(good),
        "others": len(told["rows"]) - len(good) + told["unanswered"] + told["starved"],
        "load_cpu": told["cpu"],
        "late": told["late"],
    }


def _ask(port: int, door: Door, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", door.path, body, {"content-type": door.content_type})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and whatever it started: several of the rivals leave children behind."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last(words: Any) -> str:
    words.seek(0)
    lines = [line.strip() for line in words.read().decode(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-2:])[-300:]
