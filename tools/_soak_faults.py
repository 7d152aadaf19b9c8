"""What comes round in `soak.py`: each function is a fault, and fails the soak where the server does not survive it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
from _soak_server import DATA, PATIENCE, PROCESSES, Soak, children, until_available

SENDERS = 200
PREDICT = "/tensorflow.serving.PredictionService/Predict"
GOOD = {200, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 431, 499, 503, 504}  # of bad requests: whose fault it is
GOOD_CODES = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
HEADERS: list[dict[str, str]] = [
    {}, {}, {"content-type": "application/json"}, {"content-type": "text/plain"}, {"content-type": "image/png"},
    {"content-type": "multipart/form-data; boundary=x"}, {"content-encoding": "gzip"}, {"content-encoding": "br"},
    {"x-request-timeout": "0.001"}, {"x-request-timeout": "-1"}, {"accept-encoding": "gzip"},
    {"content-type": "application/octet-stream"}, {"x-request-id": "a" * 900}, {"authorization": "Bearer x"},
]  # fmt: skip


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
