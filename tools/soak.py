"""A server under steady load, and everything that may happen to one: `make soak MINUTES=5`.

Two processes serve pictures and texts. Clients ask all the time and compare every answer with the one that the model
gives alone, while faults come round: malformed requests in JSON, protobuf and plain bytes, what schemathesis makes of
the OpenAPI document, odd pictures, clients that hang up, slow senders, a process that is killed, versions that are cut
in half, come and vanish, and a log on a full disk. It fails where an answer is wrong, missing, or a 500, where a server
hangs, or where memory grows.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import csv
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx

import noria

DATA = Path(os.environ.get("NORIA_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PROCESSES, CLIENTS = 2, 3
DISK_BYTES = 2 * 2**20  # a file may not be larger: what a full disk does to a log
SENDERS = 200
PATIENCE = 30.0  # seconds for any answer
GROWTH = 1.25, 48 * 2**20  # of memory: times, and bytes more
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
PREDICT = "/tensorflow.serving.PredictionService/Predict"
GOOD = {200, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 431, 499, 503, 504}  # of bad requests: whose fault it is
GOOD_CODES = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"}


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


def main() -> int:
    """Run the soak and print what came of it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=5.0)
    options.add_argument("--malformed", type=int, default=10_000, help="requests at least (default %(default)s)")
    options.add_argument("--photos", type=Path, help="a bundle of pictures; by default one is made")
    options.add_argument("--texts", type=Path, help="a bundle of texts; by default one is made")
    options.add_argument("--share", type=float, default=1.0, help="of what each round sends; under 1 no schemathesis")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="noria-soak-") as folder:
        scratch = Path(folder)
        photos = given.photos or photos_bundle(scratch)
        texts = given.texts or texts_bundle(scratch)
        with served(scratch, photos, texts, given.seed) as soak:
            soak.share = given.share
            run(soak, given.minutes * 60, given.malformed)
        for name, count in sorted(soak.counts.items()):
            print(f"{name:48} {count:>9,}")
        print(f"{len(soak.failures)} failures" + "".join(f"\n- {one}" for one in soak.failures[:20]))
    return 1 if soak.failures else 0


def run(soak: Soak, seconds: float, malformed: int) -> None:
    """Keep the load up and let every fault come round, until the time is over and enough was sent."""
    askers = [threading.Thread(target=ask_steadily, args=(soak, number)) for number in range(CLIENTS)]
    for asker in askers:
        asker.start()
    time.sleep(3)
    before, end, rounds = memory(soak), time.monotonic() + seconds, 0
    while rounds == 0 or time.monotonic() < end or soak.counts["malformed requests"] < malformed:
        for fault in FAULTS:
            fault(soak)
        if rounds == 0:
            if soak.share >= 1:
                schemathesis(soak)
            before = max(before, memory(soak))  # every size of request has been there once
        rounds += 1
    soak.counts["rounds"] = rounds
    time.sleep(3)
    soak.stop.set()
    for asker in askers:
        asker.join()
    after = memory(soak)
    soak.counts["MiB before"], soak.counts["MiB after"] = before >> 20, after >> 20
    if after > before * GROWTH[0] + GROWTH[1]:
        soak.fail(f"memory grew from {before >> 20} to {after >> 20} MiB")
    if not soak.counts["steady answers, as alone"]:
        soak.fail("the steady clients got no answer")
    check_log(soak)


def ask_steadily(soak: Soak, number: int) -> None:
    """Ask one input after the other, and compare."""
    place = number
    client = httpx.Client(base_url=soak.url, timeout=PATIENCE)
    while not soak.stop.is_set():
        model, body, kind, alone = soak.work[place % len(soak.work)]
        place += CLIENTS
        try:
            answer = client.post(f"/v1/models/{model}:predict", content=body, headers={"content-type": kind})
        except httpx.TransportError as error:
            if soak.excused():
                soak.counts["steady requests, cut off by a kill"] += 1
            else:
                soak.fail(f"a steady request: {type(error).__name__} {error}")
            continue
        if answer.status_code == 503:
            soak.counts["steady requests, told to come later"] += 1
            time.sleep(0.2)
        elif answer.status_code != 200:
            soak.fail(f"a steady request of {model} was answered {answer.status_code}: {answer.text[:200]}")
        elif answer.json()["answers"][0]["label"] != alone:
            soak.fail(f"a wrong answer of {model}: {answer.text[:200]}, not {alone}")
        else:
            soak.counts["steady answers, as alone"] += 1
    client.close()


def malformed_json(soak: Soak) -> None:
    """Bodies that are nearly right, and wild ones."""
    models = ["photos", "texts", "photos/versions/1", "texts/labels/none", "none"]
    verbs = ["predict", "classify", "regress", "explain"]
    with httpx.Client(base_url=soak.url, timeout=PATIENCE) as client:
        for _ in soak.times(400):
            body = spoilt(soak.chance, json.dumps(wild(soak.chance, 0)).encode())
            path = f"/v1/models/{soak.chance.choice(models)}:{soak.chance.choice(verbs)}"
            if soak.chance.random() < 0.2:
                path = f"/v2/models/{soak.chance.choice(models[:2])}/infer"
            headers = soak.chance.choice(HEADERS)
            judge(soak, lambda p=path, b=body, h=headers: client.post(p, content=b, headers=h), f"{path} {body[:80]!r}")


def malformed_messages(soak: Soak) -> None:
    """Protobuf messages with changed bytes, to gRPC."""
    from noria.serving.protos import message

    request = message("tensorflow.serving.PredictRequest")()
    request.model_spec.name = "texts"
    request.inputs["input_text"].dtype = 7
    request.inputs["input_text"].tensor_shape.dim.add(size=2)
    request.inputs["input_text"].string_val.extend([b"good", "差".encode()])
    whole = request.SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{soak.grpc_port}") as channel:
        call = channel.unary_unary(PREDICT)
        for _ in soak.times(200):
            soak.counts["malformed requests"] += 1
            try:
                call(spoilt(soak.chance, whole), timeout=PATIENCE)
                soak.counts["malformed: gRPC OK"] += 1
            except grpc.RpcError as error:
                code = error.code().name
                soak.counts[f"malformed: gRPC {code}"] += 1
                if code not in GOOD_CODES:
                    soak.fail(f"a malformed message was answered {code}: {error.details()}")


def malformed_bytes(soak: Soak) -> None:
    """What is no HTTP at all, or hardly."""
    heads = [
        b"POST /v1/models/texts:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabc",
        b"POST /v1/models/texts:predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ]
    for _ in soak.times(100):
        made = soak.connected(spoilt(soak.chance, soak.chance.choice(heads)))
        with contextlib.suppress(OSError):
            made.shutdown(socket.SHUT_WR)
        started, told = time.monotonic(), b"x"
        with contextlib.suppress(OSError):
            while told := made.recv(4096):
                if b"HTTP/1.1 500" in told:
                    soak.fail(f"bytes that are no request were answered {told[:100]!r}")
        if time.monotonic() - started > PATIENCE - 1 and not soak.excused():
            soak.fail("bytes that are no request hang")
        made.close()
        soak.counts["malformed requests"] += 1


def odd_pictures(soak: Soak) -> None:
    """Every odd picture there is, as it is and in JSON."""
    folder, at = DATA / "odd_images", "/v1/models/photos:predict"
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    with httpx.Client(base_url=soak.url, timeout=PATIENCE) as client:
        for file in soak.chance.sample(files, len(soak.times(len(files)))) if files else ():
            data, body = file.read_bytes(), {"instances": [{"b64": base64.b64encode(file.read_bytes()).decode()}]}
            judge(soak, lambda d=data: client.post(at, content=d, headers={"content-type": "image/jpeg"}), file.name)
            judge(soak, lambda b=body: client.post(at, json=b), file.name)
            soak.counts["odd pictures"] += 1


def hang_ups(soak: Soak) -> None:
    """Clients that go at every stage of a request."""
    model, body, kind, _ = soak.work[0]
    head = f"POST /v1/models/{model}:predict HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\n"
    whole = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    for _ in soak.times(SENDERS):
        soak.connected(whole[: soak.chance.choice([0, 20, len(whole) // 2, len(whole)])]).close()
        soak.counts["clients that hung up"] += 1


def slow_senders(soak: Soak) -> None:
    """Hundreds that begin a request and do not go on: each is told 408, or let go."""
    head = b"POST /v1/models/texts:predict HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 99\r\n"
    every = [soak.connected(head if number % 2 else head + b"\r\nab") for number in soak.times(SENDERS)]
    for made in every:
        try:
            told = made.recv(1000)
        except TimeoutError:
            soak.fail("a slow sender was not let go")
            continue
        except OSError:
            told = b""
        soak.counts["slow senders, told 408" if b" 408 " in told else "slow senders, let go"] += 1
        made.close()


def killed_process(soak: Soak) -> None:
    """kill -9 of one of the processes: the others go on, and it is replaced."""
    victims = children(soak.parent.pid)
    if len(victims) != PROCESSES:
        soak.fail(f"there are {len(victims)} processes, not {PROCESSES}")
        return
    soak.killed = time.monotonic()
    os.kill(soak.chance.choice(victims), signal.SIGKILL)
    soak.counts["processes killed"] += 1
    end = time.monotonic() + PATIENCE
    while (set(children(soak.parent.pid)) == set(victims) or len(children(soak.parent.pid)) < PROCESSES) and (
        time.monotonic() < end
    ):
        time.sleep(0.05)
    if len(children(soak.parent.pid)) != PROCESSES:
        soak.fail("a killed process was not replaced")
    time.sleep(2)


def versions_come_and_go(soak: Soak) -> None:
    """A version that is cut in half is refused, a good one takes over, and one whose folder vanishes still answers."""
    cut, good = soak.version + 1, soak.version + 2
    partial = soak.models / ".partial"
    shutil.copytree(soak.bundle, partial)
    for file in partial.glob("*.tflite"):
        os.truncate(file, file.stat().st_size // 2)
    partial.rename(soak.models / str(cut))
    shutil.copytree(soak.bundle, partial)
    partial.rename(soak.models / str(good))
    states = until_available(soak, good)
    if states.get(cut) == "AVAILABLE":
        soak.fail("a version that is cut in half is served")
    for number in (soak.version, cut, good):
        shutil.rmtree(soak.models / str(number), ignore_errors=True)  # the last one vanishes under its server
    soak.version = good
    soak.counts["versions swapped"] += 1
    time.sleep(1.5)
    shutil.copytree(soak.bundle, partial)
    partial.rename(soak.models / str(good))


FAULTS: tuple[Callable[[Soak], None], ...] = (
    malformed_json, odd_pictures, malformed_messages, malformed_bytes, hang_ups, slow_senders, versions_come_and_go,
    killed_process,
)  # fmt: skip


def schemathesis(soak: Soak) -> None:
    """What a tool makes of the OpenAPI document, where it is installed; a 500 is in no document."""
    command = shutil.which("schemathesis", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if command is None:
        soak.counts["schemathesis: not installed"] += 1
        return
    checks = "status_code_conformance,content_type_conformance,response_schema_conformance"
    arguments = ["--checks", checks, "--max-examples", "10", "--phases", "examples,coverage,fuzzing", "--no-color"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [command, "run", f"{soak.url}/openapi.json", *arguments, "--request-timeout", str(PATIENCE)],
            capture_output=True, text=True, cwd=folder, check=False,
        )  # fmt: skip
    if done.returncode:
        soak.fail(f"schemathesis: {done.stdout[-3000:]}{done.stderr[-500:]}")
    generated = [line.split()[0] for line in done.stdout.splitlines() if " generated, " in line]
    soak.counts["schemathesis: requests"] += int(generated[0]) if generated else 0
    soak.counts["malformed requests"] += int(generated[0]) if generated else 0


def judge(soak: Soak, ask: Callable[[], httpx.Response], what: str) -> None:
    """Count a bad request, and fail where its answer is none or the server's fault."""
    soak.counts["malformed requests"] += 1
    try:
        answer = ask()
    except httpx.TransportError as error:
        if not soak.excused():
            soak.fail(f"{what}: {type(error).__name__} {error}")
        return
    soak.counts[f"malformed: HTTP {answer.status_code}"] += 1
    if answer.status_code not in GOOD:
        soak.fail(f"{what}: {answer.status_code} {answer.text[:200]}")


HEADERS: list[dict[str, str]] = [
    {}, {}, {"content-type": "application/json"}, {"content-type": "text/plain"}, {"content-type": "image/png"},
    {"content-type": "multipart/form-data; boundary=x"}, {"content-encoding": "gzip"}, {"content-encoding": "br"},
    {"x-request-timeout": "0.001"}, {"x-request-timeout": "-1"}, {"accept-encoding": "gzip"},
    {"content-type": "application/octet-stream"}, {"x-request-id": "a" * 900}, {"authorization": "Bearer x"},
]  # fmt: skip


def wild(chance: random.Random, depth: int) -> Any:
    """Return a value of JSON, most of them requests in their form."""
    if depth == 0 and chance.random() < 0.8:
        told: dict[str, Any] = {chance.choice(["instances", "inputs", "examples", "outputs"]): wild(chance, 1)}
        if chance.random() < 0.3:
            told["signature_name"] = chance.choice(["", "serving_default", "arrays", "classify", "none", 3, None])
        return told
    kinds = ["text", "number", "b64", "list", "object", "odd"] if depth < 6 else ["text", "number"]
    match chance.choice(kinds):
        case "text":
            return chance.choice(["", "good", "很好", "\ud800", "\0", "a" * 5000, "data:image/png;base64,AAAA"])
        case "number":
            return chance.choice([0, -1, 1.5, 1e308, 2**63, 2**70, -(2**63), True, None, 1e-320])
        case "b64":
            return {"b64": chance.choice(["", "AAAA", "/9j/4AAQ", "***", 7, None, "QUJD" * 50])}
        case "list":
            return [wild(chance, depth + 1) for _ in range(chance.choice([0, 1, 2, 3, 40]))]
        case "object":
            names = ["input_text", "image_bytes", "name", "shape", "datatype", "data", "b64", "x"]
            return {chance.choice(names): wild(chance, depth + 1) for _ in range(chance.randrange(4))}
    return chance.choice([float("nan"), float("inf"), [[[]]], {}, [], [[1], [1, 2]], {"shape": [2**40]}])


def spoilt(chance: random.Random, data: bytes) -> bytes:
    """Return bytes with something cut, changed, doubled or inserted; sometimes as they are."""
    made = bytearray(data)
    for _ in range(chance.choice([0, 0, 1, 1, 2, 5])):
        place = chance.randrange(len(made) + 1)
        match chance.randrange(4):
            case 0:
                del made[place:]
            case 1:
                made[place:place] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
            case 2:
                made[place : place + 1] = bytes([chance.randrange(256)])
            case _:
                made[place:place] = made[: chance.randrange(200)]
    return bytes(made)


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


def check_log(soak: Soak) -> None:
    """The log reached the limit of its disk, or not, and has no word of an error of the server itself."""
    log = soak.models.parent / "log.jsonl"
    soak.counts["log: KiB"] = log.stat().st_size // 1024
    for line in log.read_bytes().splitlines():
        with contextlib.suppress(ValueError):  # the last line of a full disk may be cut off
            told = json.loads(line)
            if told["event"] == "error":
                soak.fail(f"the log tells of an error: {told}")


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


if __name__ == "__main__":
    sys.exit(main())
