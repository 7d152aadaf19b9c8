"""The server of `soak.py`: two processes with models of pictures and texts, and what can be seen of them."""

from __future__ import annotations

import contextlib
import csv
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

import noria

DATA = Path(os.environ.get("NORIA_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PROCESSES, CLIENTS = 2, 3
DISK_BYTES = 2 * 2**20  # a file may not be larger: what a full disk does to a log
PATIENCE = 30.0  # seconds for any answer
AFTER_KILL = 10.0  # seconds in which a killed process explains a broken connection
CONFIG = """
[server]
http = {http}
grpc = {grpc}
log = "{log}"
[limits]
header_seconds = 2
body_seconds = 2
[[models]]
name = "photos"
path = "{models}"
[[models]]
name = "texts"
path = "{texts}"
"""


@dataclass(eq=False)
class Soak:
    """One server, what is sent to it, and what has come of it."""

    http_port: int
    grpc_port: int
    parent: subprocess.Popen[bytes]
    models: Path  # the folder of versions of `photos`
    bundle: Path
    work: list[tuple[str, bytes, str, str]]  # model, body, media type, label that the model gives alone
    chance: random.Random
    share: float = 1.0  # of what a fault sends in a round
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    killed: float = -1e9
    version: int = 1
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def times(self, count: int) -> range:
        """How often a fault does what it does, in a round."""
        return range(max(1, round(count * self.share)))

    def fail(self, words: str) -> None:
        self.failures.append(words)
        print(f"FAILED: {words}", file=sys.stderr)

    def connected(self, data: bytes) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.http_port), timeout=PATIENCE)
        with contextlib.suppress(OSError):
            made.sendall(data)
        return made

    def excused(self) -> bool:
        """Whether a broken connection is what a killed process leaves."""
        return time.monotonic() - self.killed < AFTER_KILL


@contextlib.contextmanager
def served(scratch: Path, photos: Path, texts: Path, seed: int) -> Iterator[Soak]:
    """Start the server with its limits, and stop it at the end."""
    place = scratch / "served"
    models = place / "models"
    models.mkdir(parents=True)
    shutil.copytree(photos, models / "1")
    ports = free_port(), free_port()
    config = place / "serve.toml"
    config.write_text(
        CONFIG.format(http=ports[0], grpc=ports[1], log=place / "log.jsonl", models=models, texts=texts), "utf-8"
    )
    command = [sys.executable, "-m", "noria", "serve", "--config", str(config), "--processes", str(PROCESSES)]
    parent = subprocess.Popen(
        command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, DISK_BYTES))
    )
    soak = Soak(*ports, parent, models, photos, [], random.Random(seed))
    try:
        until_available(soak, 1)
        soak.work = alone(soak, photos, texts)
        yield soak
        parent.send_signal(signal.SIGTERM)
        if code := parent.wait(60):
            soak.fail(f"the server ended with {code}")
    finally:
        if parent.poll() is None:
            parent.kill()


def until_available(soak: Soak, number: int) -> dict[int, str]:
    """Wait until both processes are likely to serve a version; return the states that one of them told last."""
    end, seen, states = time.monotonic() + PATIENCE, 0, {}
    while seen < 8 and time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            told = httpx.get(f"{soak.url}/v1/models/photos", timeout=PATIENCE).json()["model_version_status"]
            states = {int(one["version"]): str(one["state"]) for one in told}
            seen = seen + 1 if states.get(number) == "AVAILABLE" else 0  # each on a connection of its own
        time.sleep(0.1)
    if seen < 8:
        soak.fail(f"version {number} does not answer: {states}")
    return states


def alone(soak: Soak, photos: Path, texts: Path) -> list[tuple[str, bytes, str, str]]:
    """Return inputs with the label that the model gives each by itself, on the engine that serves."""
    golden = [(photos, "photos", "image/jpeg"), (texts, "texts", "text/plain")]
    made = []
    for path, name, kind in golden:
        runtime = httpx.get(f"{soak.url}/v1/models/{name}/card", timeout=PATIENCE).json()["runtime"]
        inputs = [file.read_bytes() for file in sorted((path / "golden").iterdir()) if file.is_file()]
        for data, told in zip(inputs, noria.predict(path, inputs, runtime=runtime), strict=True):
            if "label" in told:
                made.append((name, data, kind, str(told["label"])))
    soak.chance.shuffle(made)
    return made


def children(parent: int) -> list[int]:
    """Return the server processes below a parent."""
    found = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(one) for one in (task / "children").read_text().split()]
    return [one for one in found if "spawn_main" in command_of(one)]


def command_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode()
    except OSError:
        return ""


def memory(soak: Soak) -> int:
    """Return the bytes of all server processes, shared pages counted once."""
    total = 0
    for process in children(soak.parent.pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def photos_bundle(scratch: Path) -> Path:
    """Train on some photos of three flowers."""
    for label in ("daisy", "rose", "sunflower"):
        (scratch / "photos" / label).mkdir(parents=True)
        for file in sorted((DATA / "flowers" / label).glob("*.jpg"))[:40]:
            shutil.copyfile(file, scratch / "photos" / label / file.name)
    return noria.export(noria.train(scratch / "photos", scratch / "photos-run"), scratch / "photos-bundle").path


def texts_bundle(scratch: Path) -> Path:
    """Train on some reviews of hotels."""
    source = DATA / "zh_reviews" / "ChnSentiCorp_htl_all.csv"
    with source.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    with (scratch / "hotels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows[::4]])
    return noria.export(noria.train(scratch / "hotels.csv", scratch / "texts-run"), scratch / "texts-bundle").path


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])
