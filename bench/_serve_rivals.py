"""The rivals of `bench/serve.py`: what each is given, in a virtual environment of its own, and how it is asked.

All run the float Keras model as `_serve_keras.py` does. LitServe, BentoML and MLServer batch, as their documents
recommend, and take pictures as base64 in JSON, for their batches are of decoded JSON.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from _environments import python_with
from _harness import BENCH, cores
from _serve_running import DoesNotStartError, Door, free_port

THREADS = "BENCH_TENSORFLOW_THREADS"  # as in `_serve_keras.py`, which needs TensorFlow
Best = list[tuple[str, float]]  # label and score, the best first


@dataclass(frozen=True)
class Rival:
    """One way to serve the Keras model."""

    name: str  # in the table
    short: str  # for `--rivals`
    packages: tuple[str, ...]
    told: str  # which packages' versions are printed
    door: Door
    command: Callable[[Path, Path, int, int, Path], list[str]]  # bin, bundle, port, processes, scratch
    body: Callable[[bytes], bytes] = field(default=lambda picture: picture)
    best: Callable[[Any], Best] = field(default=lambda answer: _pairs(answer["top"]))
    processes: tuple[int, ...] = (1, 2)  # what is tried; the better is measured


def environment_of(rival: Rival) -> Path:
    """Return the `bin` of the rival's environment, made where it is not there yet.

    Raises:
        DoesNotStartError: pip cannot install it.
    """
    wanted = [*rival.packages, "pillow", f"{_tensorflow()}=={version(_tensorflow())}", f"keras=={version('keras')}"]
    python = python_with(*wanted)
    if python is None:
        raise DoesNotStartError("pip cannot install it")
    return python.parent


def version_in(environment: Path, package: str) -> str:
    """Return the version of a package that is installed there."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    told = subprocess.run([str(environment / "python"), "-c", code], capture_output=True, text=True, check=True)
    return f"{package} {told.stdout.strip()}"


def environment_variables(bundle: Path, processes: int, environment: Path) -> dict[str, str]:
    """Return what a rival's processes are told: as many threads in all as there are processors."""
    return {
        "BENCH_BUNDLE": str(bundle),
        "BENCH_PROCESSES": str(processes),
        THREADS: str(max(1, cores() // processes)) if processes > 1 else "0",
        "BENTOML_DO_NOT_TRACK": "True",
        "PATH": f"{environment}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(BENCH),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _fastapi(*more: str) -> Callable[[Path, Path, int, int, Path], list[str]]:
    def command(environment: Path, bundle: Path, port: int, processes: int, scratch: Path) -> list[str]:
        return _script(environment, "_serve_fastapi", bundle, port, processes, *more)

    return command


def _litserve(environment: Path, bundle: Path, port: int, processes: int, scratch: Path) -> list[str]:
    return _script(environment, "_serve_litserve", bundle, port, processes)


def _bentoml(environment: Path, bundle: Path, port: int, processes: int, scratch: Path) -> list[str]:
    return [str(environment / "bentoml"), "serve", "_serve_bentoml:Pictures", "--host", "127.0.0.1", "--port",
            str(port), "--working-dir", str(BENCH)]  # fmt: skip


def _mlserver(environment: Path, bundle: Path, port: int, processes: int, scratch: Path) -> list[str]:
    folder = scratch / f"mlserver-{processes}"
    folder.mkdir(exist_ok=True)
    server = {
        "debug": False, "host": "127.0.0.1", "http_port": port, "grpc_port": free_port(),
        "metrics_port": free_port(), "parallel_workers": processes,
    }  # fmt: skip
    model = {
        "name": "m", "implementation": "_serve_mlserver.Pictures", "max_batch_size": 16, "max_batch_time": 0.005
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(server), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    return [str(environment / "mlserver"), "start", str(folder)]


def _script(environment: Path, name: str, bundle: Path, port: int, processes: int, *more: str) -> list[str]:
    return [str(environment / "python"), str(BENCH / f"{name}.py"), str(bundle), str(port), str(processes), *more]


def _tensorflow() -> str:
    try:
        version("tensorflow-cpu")
    except PackageNotFoundError:
        return "tensorflow"
    return "tensorflow-cpu"


def _pairs(top: list[list[Any]]) -> Best:
    return [(str(label), float(score)) for label, score in top]


def _text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def _v2(picture: bytes) -> bytes:
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"}}
    return json.dumps({"inputs": [{**tensor, "data": [_text(picture)]}]}).encode()


JSON = "application/json"
WEB = ("fastapi==0.163.2", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
RIVALS = (
    Rival("FastAPI, Keras `predict`", "fastapi", WEB, "fastapi", Door("/predict", "image/jpeg"),
          _fastapi("predict"), processes=(1,)),
    Rival("FastAPI, `tf.function`", "fastapi", WEB, "fastapi", Door("/predict", "image/jpeg"), _fastapi()),
    Rival("LitServe", "litserve", ("litserve==0.2.19",), "litserve", Door("/predict", JSON), _litserve,
          body=lambda picture: json.dumps({"image": _text(picture)}).encode()),
    # 1.4.40 asks for a certifi that is a day newer than what mirrors had.
    Rival("BentoML", "bentoml", ("bentoml==1.4.39",), "bentoml", Door("/predict", JSON), _bentoml,
          body=lambda picture: json.dumps({"images": [_text(picture)]}).encode(),
          best=lambda answer: _pairs(answer[0]["top"])),
    # With uvloop 0.22 and later its workers die at their start.
    Rival("MLServer", "mlserver", ("mlserver==1.7.1", "uvloop<0.22"), "mlserver", Door("/v2/models/m/infer", JSON),
          _mlserver, body=_v2, best=lambda answer: _pairs(json.loads(answer["outputs"][0]["data"][0])["top"])),
)  # fmt: skip
