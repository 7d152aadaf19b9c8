"""Two workers on loopback train the model that one trains; where one is killed, the others say so, and all go on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import noria
from noria.config import load_config

EPOCHS = 40
WAIT = 280  # seconds, on a busy machine
SETTINGS: dict[str, Any] = {
    "model.options.dropout": 0.0,
    "input.height": 16,
    "input.width": 16,
    "data.wrong_labels": "false",
    "augment.views": 0,
    "training.epochs": EPOCHS,
    "training.patience": EPOCHS,
    "training.batch_size": 7,
    "training.optimizer": "sgd",
    "training.learning_rate": 0.0002,
}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def started(photos: Path, out: Path, *more: str, settings: dict[str, Any] | None = None) -> list[subprocess.Popen[str]]:
    """Start two workers, the chief first."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    told = [f"--set={key}={value}" for key, value in {**SETTINGS, **(settings or {})}.items()]
    command = [
        sys.executable,
        "-m",
        "noria",
        "train",
        str(photos),
        "--out",
        str(out),
        "--model",
        "convnet",
        "--workers",
    ]
    return [
        subprocess.Popen(
            [*command, *told, *more],
            env={
                **os.environ,
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}},
                ),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]


@pytest.mark.timeout(900)
def test_killed_workers_end_the_others_and_all_go_on_to_the_model_of_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORIA_CACHE", str(tmp_path / "cache"))
    for killed in (1, 0):
        workers = started(photos, tmp_path / "run")
        _wait_for_a_newer_state(tmp_path / "cache", workers)
        workers[killed].send_signal(signal.SIGKILL)
        assert workers[killed].wait() == -signal.SIGKILL
        survivor = workers[1 - killed]
        _, said = survivor.communicate(timeout=WAIT)
        assert survivor.returncode == 1, said
        assert "Traceback" not in said
        assert "is gone. Start all workers again" in said.splitlines()[-1]
        assert f"worker {killed + 1}" in said.splitlines()[-1] or "Another worker" in said.splitlines()[-1]
        assert not (tmp_path / "run").exists()

    said = [worker.communicate(timeout=WAIT) for worker in started(photos, tmp_path / "run")]
    assert "goes on with epoch" in said[0][1]
    assert "trains on worker 1 of 2, the chief" in said[0][1]
    assert said[1][0] == "Done: this worker trained along, and the chief has the run.\n", said[1]

    one = noria.train(photos, tmp_path / "one", config=load_config(**_keywords({"model.name": "convnet"})))
    several = noria.open_run(tmp_path / "run")
    curves = [json.loads((run.path / "report.json").read_bytes())["history"] for run in (one, several)]
    assert len(curves[0]["loss"]) == EPOCHS
    for name in curves[0]:
        np.testing.assert_allclose(curves[1][name], curves[0][name], rtol=1e-2, atol=1e-3, err_msg=name)
    models = [keras.saving.load_model(run.path / "model.keras", compile=False).get_weights() for run in (one, several)]
    for mine, theirs in zip(*models, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-2, atol=1e-3)

    again = [worker.communicate(timeout=WAIT) for worker in started(photos, tmp_path / "run")]
    assert "already trained" in again[0][1]
    assert again[1][0] == "Done: this worker trained along, and the chief has the run.\n", again[1]


def test_what_the_chief_cannot_begin_ends_all(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    workers = started(photos, tmp_path / "run")
    said = [worker.communicate(timeout=WAIT)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [2, 1]
    assert "is there already and is not a run" in said[0]
    assert "the chief could not begin" in said[1].splitlines()[-1]


def _keywords(more: dict[str, Any]) -> dict[str, Any]:
    given = {**SETTINGS, **more, "data.wrong_labels": False}
    return {key.replace(".", "__"): value for key, value in given.items()}


def _wait_for_a_newer_state(cache: Path, workers: list[subprocess.Popen[str]]) -> None:
    def states() -> list[int]:
        return [file.stat().st_mtime_ns for file in cache.glob("unfinished/*/training.npz")]

    before, until = states(), time.monotonic() + WAIT
    while states() == before and time.monotonic() < until and all(worker.poll() is None for worker in workers):
        time.sleep(0.02)
    assert states() != before, [worker.communicate() for worker in workers]


def test_who_waits_for_the_others_can_be_stopped(photos: Path, tmp_path: Path) -> None:
    chief, other = started(photos, tmp_path / "run")
    chief.kill()
    chief.wait()
    assert other.stderr is not None
    assert "worker 2 of 2: waits for the others" in other.stderr.readline()
    time.sleep(1)
    other.send_signal(signal.SIGINT)
    _, said = other.communicate(timeout=WAIT)
    assert other.returncode == 130, said
    assert "Traceback" not in said
