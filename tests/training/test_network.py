"""A network's training that is killed, wherever, and started again ends as one that was left alone: to the bit."""

from __future__ import annotations

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import noria
from listening import Killed, Killing
from noria.contracts import Silent
from noria.errors import ConfigError
from noria.training import checkpoint as checkpoints
from noria.training.checkpoint import Checkpoint
from noria.training.feed import Examples, Training
from noria.training.loss import Loss
from noria.training.network import Group, Plan, fit

WORDS, LENGTH, TEXTS, BATCH = 500, 24, 400, 32
PLAN = Plan(epochs=6, patience=4, rate=1e-2, schedule=lambda place: 1 - place / 2, loss=Loss(smoothing=0.05))
STEPS = -(-TEXTS // BATCH)
KILLED_AFTER = (1, STEPS - 1, STEPS, 5)  # steps: within an epoch, at its end, right after it

Fitted = tuple[dict[str, list[float]], list[NDArray[np.generic]]]


@pytest.fixture(scope="module")
def reviews(shared_data: Path) -> Examples:
    """Real film reviews as ids: each word by its rank among these texts."""
    with gzip.open(shared_data / "imdb" / "imdb_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        every = [json.loads(line) for line in lines]
    texts = every[:: len(every) // (TEXTS + 100)][: TEXTS + 100]
    words = [row["text"].lower().split()[:LENGTH] for row in texts]
    names, counts = np.unique([word for text in words for word in text], return_counts=True)
    ids = {str(name): rank + 1 for rank, name in enumerate(names[np.argsort(-counts, kind="stable")][: WORDS - 1])}
    rows = np.zeros((len(words), LENGTH), np.int32)
    for row, text in zip(rows, words, strict=True):
        row[: len(text)] = [ids.get(word, 0) for word in text]
    labels = np.array([row["label"] for row in texts], np.int64)
    return Examples(rows, labels, np.linspace(0.5, 1.5, len(rows), dtype=np.float32))


def trained(reviews: Examples, folder: Path | None, progress: Silent | None = None, width: int = 8) -> Fitted:
    """Train from the same seed, going on from what lies in the folder."""
    keras.utils.set_random_seed(1)
    ids = keras.Input((LENGTH,), dtype="int32")
    words = keras.layers.SpatialDropout1D(0.3)(keras.layers.Embedding(WORDS, width)(ids))
    hidden = keras.layers.Dropout(0.4)(keras.layers.LSTM(width)(words))
    network = keras.Model(ids, keras.layers.Dense(2, activation="softmax")(hidden))
    optimizer = keras.optimizers.Adam(1e-2, global_clipnorm=1.0, use_ema=True, ema_momentum=0.9)
    group = Group(network.trainable_variables, optimizer)
    sides = (slice(0, TEXTS), slice(TEXTS, None))
    train, validation = (Examples(*reviews.batch(side)) for side in sides)
    progress = progress or Silent()
    history, _ = fit(
        network, [group], Training(train, BATCH, seed=3), validation, PLAN,
        checkpoint=Checkpoint(folder, progress), progress=progress,
    )  # fmt: skip
    return history, network.get_weights()


@pytest.fixture(scope="module")
def undisturbed(reviews: Examples) -> Fitted:
    return trained(reviews, None)


@pytest.fixture(autouse=True)
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)


def same(one: Fitted, other: Fitted) -> bool:
    return one[0] == other[0] and all(a.tobytes() == b.tobytes() for a, b in zip(one[1], other[1], strict=True))


def test_killed_again_and_again_it_ends_as_if_left_alone(
    reviews: Examples, undisturbed: Fitted, tmp_path: Path
) -> None:
    assert len(undisturbed[0]["loss"]) > 1
    for steps in KILLED_AFTER:
        with pytest.raises(Killed):
            trained(reviews, tmp_path, Killing(after=steps))
    assert same(trained(reviews, tmp_path), undisturbed)


def test_a_finished_training_is_not_done_again(reviews: Examples, undisturbed: Fitted, tmp_path: Path) -> None:
    trained(reviews, tmp_path)
    assert same(trained(reviews, tmp_path, Killing(after=1)), undisturbed)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"PK" + data])
def test_a_damaged_checkpoint_is_told_and_the_training_begins_anew(
    reviews: Examples, undisturbed: Fitted, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(Killed):
        trained(reviews, tmp_path, Killing(after=5))
    [file] = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    progress = Killing()
    assert same(trained(reviews, tmp_path, progress), undisturbed)
    assert any("begins anew" in note for note in progress.notes)


def test_what_another_network_left_is_not_taken(reviews: Examples, undisturbed: Fitted, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trained(reviews, tmp_path, Killing(after=5), width=4)
    assert same(trained(reviews, tmp_path), undisturbed)


def test_a_folder_that_cannot_be_written_is_told_once_and_costs_nothing_else(
    reviews: Examples, undisturbed: Fitted, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    progress = Killing()
    assert same(trained(reviews, tmp_path / "file" / "folder", progress), undisturbed)
    assert sum("killed" in note for note in progress.notes) == 1


def test_a_full_disk_is_told_with_the_place_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    progress = Killing()
    Checkpoint(tmp_path, progress).save({"a": np.zeros(3)})
    (note,) = progress.notes
    assert "No room" in note and "NORIA_CACHE" in note
    assert "--out" not in note


def test_a_loss_that_is_no_number_ends_the_training_with_advice(reviews: Examples) -> None:
    broken = Examples(reviews.inputs, reviews.labels, np.full(len(reviews), np.inf, np.float32))
    with pytest.raises(ConfigError, match=r"epoch 1, step 1 of 13.*learning_rate"):
        trained(broken, None)


CHILD = """
import sys, noria
from pathlib import Path
from noria.config import load_config
from noria.training import checkpoint
checkpoint.EVERY_SECONDS = 0.0
given = {"model__name": "textcnn", "training__epochs": 12, "training__patience": 12}
config = load_config(data=Path(sys.argv[1]), **given)
print(noria.train(sys.argv[1], sys.argv[2], config=config).manifest.chosen)
"""


def test_kill_9_loses_nothing_of_a_run(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice killed, as soon as there is something to go on from, and once left alone: the same model and curves."""
    table = tmp_path / "films.jsonl"
    with gzip.open(shared_data / "imdb" / "imdb_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        table.write_text("".join(line for place, line in enumerate(lines) if place % 50 == 0), encoding="utf-8")

    def begun(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", CHILD, str(table), str(tmp_path / name)], stderr=subprocess.PIPE)

    monkeypatch.setenv("NORIA_CACHE", str(tmp_path / "killed-cache"))
    for _ in range(2):
        child, until, seen = begun("killed"), time.monotonic() + 120, _states(tmp_path)
        while _states(tmp_path) == seen and time.monotonic() < until and child.poll() is None:
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, child.communicate()[1].decode()[-2000:]
    assert begun("killed").wait() == 0
    assert not _states(tmp_path), "what was finished leaves nothing behind"
    monkeypatch.setenv("NORIA_CACHE", str(tmp_path / "other-cache"))
    assert begun("left-alone").wait() == 0

    runs = [noria.open_run(tmp_path / name) for name in ("killed", "left-alone")]
    assert runs[0].manifest.chosen == runs[1].manifest.chosen
    histories = [json.loads((run.path / "report.json").read_bytes())["history"] for run in runs]
    assert histories[0] == histories[1]
    models = [keras.saving.load_model(run.path / "model.keras", compile=False).get_weights() for run in runs]
    assert all(one.tobytes() == other.tobytes() for one, other in zip(*models, strict=True))


def _states(folder: Path) -> list[tuple[Path, int]]:
    files = (folder / "killed-cache").glob("unfinished/*/*.npz")
    return [(file, file.stat().st_mtime_ns) for file in files if file.exists()]
