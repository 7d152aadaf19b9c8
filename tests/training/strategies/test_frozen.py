"""The frozen strategy end to end: the cache may save time, and never changes what comes out."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from noria import api
from noria.artifacts.dataset import Dataset
from noria.artifacts.run import Run, open_run
from noria.cli import app
from noria.config import load_config, parse
from noria.inference.predictor import Input, Predictor

FEATURES = "features.sqlite"
QUICK = {"training__epochs": 2}
MANY_VIEWS = 12  # so that a training takes seconds, and can be killed in the middle


def weights(run: Run) -> list[bytes]:
    model = keras.saving.load_model(run.file("keras"), compile=False)
    return [weight.tobytes() for weight in model.get_weights()]


def views_of(run: Run, views: int) -> set[tuple[str, int]]:
    """Every (picture, view) that a training needs."""
    dataset = Dataset.load(run.dataset)
    return {(one.sha256, view) for one in dataset.examples for view in range(views + 1 if one.split == "train" else 1)}


@pytest.fixture
def cache(isolated_cache: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the cache that `run` left, to harm."""
    folder = tmp_path / "cache"
    shutil.copytree(isolated_cache, folder)
    monkeypatch.setenv("NORIA_CACHE", str(folder))
    return folder


def assert_answers_as_recorded(run: Run) -> None:
    """The Keras file, reading the test pictures anew, says what the cached features said while training."""
    with (run.path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    dataset = Dataset.load(run.dataset)
    assert [row["path"] for row in rows] == [one.path for one in dataset.by_split("test")]
    assert len(rows) >= 9
    predictor = Predictor(run)
    assert predictor.runtime == "keras"
    answers = list(predictor.answers([Input(row["path"], dataset.root / row["path"]) for row in rows]))
    for row, answer in zip(rows, answers, strict=True):
        assert answer["label"] == row["answer"]
        assert answer["confidence"] == pytest.approx(float(row["confidence"]), abs=1e-4)


def test_the_saved_model_answers_as_the_cached_features_did(run: Run) -> None:
    assert_answers_as_recorded(run)


def test_the_temperature_is_in_the_saved_model(cache: Path, photos: Path, tmp_path: Path) -> None:
    # Few pictures to learn from, and once: what is right is right with little confidence, and so a temperature.
    config = load_config(data__split=(1, 5, 2), augment__views=0, training__epochs=1, training__learning_rate=0.01)
    unsure = api.train(photos, tmp_path / "unsure", config=config)
    assert abs(unsure.manifest.temperature - 1) > 0.05
    assert_answers_as_recorded(unsure)


def test_training_twice_gives_the_same_bits_and_computes_nothing(run: Run, photos: Path, tmp_path: Path) -> None:
    again = api.train(photos, tmp_path / "again", config=parse(run.manifest.config))
    needed, plain = views_of(run, 4), views_of(run, 0)  # the check before has computed the plain ones
    assert again.manifest.features["computed"] == 0
    assert again.manifest.features["from_cache"] == len(needed)
    assert run.manifest.features["computed"] == len(needed - plain)
    assert run.manifest.features["from_cache"] == len(plain)
    assert weights(again) == weights(run)
    assert (again.path / "predictions.csv").read_bytes() == (run.path / "predictions.csv").read_bytes()


def test_the_same_training_at_the_same_place_is_not_done_again(run: Run, photos: Path) -> None:
    before = (run.path / "model.keras").stat().st_mtime_ns
    again = api.train(photos, run.path, config=parse(run.manifest.config))
    assert again.manifest.created == run.manifest.created
    assert (run.path / "model.keras").stat().st_mtime_ns == before


def test_added_pictures_are_all_that_is_computed(
    cache: Path, run: Run, photos: Path, shared_data: Path, tmp_path: Path
) -> None:
    more = tmp_path / "flowers"
    shutil.copytree(photos, more)
    new = sorted((shared_data / "flowers" / "rose").glob("*.jpg"))[16:19]
    for photo in new:
        shutil.copyfile(photo, more / "rose" / photo.name)
    grown = api.train(more, tmp_path / "grown", config=load_config(**QUICK))
    fresh = views_of(grown, 4) - views_of(run, 4)
    computed = {key for key in fresh if key[1]}  # the plain ones by the check before
    assert grown.manifest.features["computed"] == len(computed)
    assert grown.manifest.features["from_cache"] == len(views_of(grown, 4) - computed)
    known = {one.sha256 for one in Dataset.load(run.dataset).examples}
    new_shas = {one.sha256 for one in Dataset.load(grown.dataset).examples} - known
    assert len(new_shas) == len(new)
    # The plain view of a known picture is never computed again; only one that moved to train gets views.
    assert {sha256 for sha256, view in fresh if view == 0} == new_shas


def test_a_damaged_cache_file_is_put_aside_and_the_model_is_the_same(
    cache: Path, run: Run, photos: Path, tmp_path: Path
) -> None:
    content = bytearray((cache / FEATURES).read_bytes())
    content[:100] = b"\xff" * 100
    (cache / FEATURES).write_bytes(content)
    again = api.train(photos, tmp_path / "again", config=parse(run.manifest.config))
    plain = len({one.content_sha256 for one in Dataset.load(run.dataset).examples})  # computed by the check before
    assert again.manifest.features["from_cache"] == plain
    assert again.manifest.features["computed"] == len(views_of(run, 4)) - plain
    assert weights(again) == weights(run)
    assert [path.read_bytes() == bytes(content) for path in cache.glob(f"{FEATURES}.damaged-*")] == [True]


def test_features_of_other_input_settings_are_never_used(cache: Path, photos: Path, tmp_path: Path) -> None:
    cropped = api.train(photos, tmp_path / "cropped", config=load_config(input__fit="crop", augment__views=0, **QUICK))
    assert cropped.manifest.features["from_cache"] == 0
    assert cropped.manifest.features["computed"] == len(views_of(cropped, 0))


def test_other_augmentation_uses_the_plain_views_only(cache: Path, run: Run, photos: Path, tmp_path: Path) -> None:
    turned = api.train(photos, tmp_path / "turned", config=load_config(augment__rotation_range=30.0, **QUICK))
    plain = {key for key in views_of(run, 4) if key[1] == 0}
    assert turned.manifest.features["from_cache"] == len(plain)
    assert turned.manifest.features["computed"] == len(views_of(run, 4) - plain)


def rows_in(cache: Path) -> int:
    """How many feature vectors have been committed so far."""
    if not (cache / FEATURES).is_file():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{cache / FEATURES}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT COUNT(*) FROM entries").fetchone()[0])
        except sqlite3.OperationalError:  # its first writer is just making it
            return 0


def on_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def killed_while_computing(command: list[str], cache: Path, *, beyond: int) -> int:
    """Start a training, kill it (SIGKILL) once it has committed more than so many vectors; return how many."""
    child = subprocess.Popen(
        [sys.executable, "-c", "from noria.cli import main; main()", *command],
        env={**os.environ, "NORIA_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=on_one_core,  # slow enough to be caught in the middle on any machine
    )
    try:
        deadline = time.monotonic() + 120
        while rows_in(cache) <= beyond and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == -signal.SIGKILL
    return rows_in(cache)


def test_killed_and_started_again_equals_never_killed(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ["--set", f"augment.views={MANY_VIEWS}", "--set", "training.epochs=1", "--quiet"]
    command = ["train", str(photos), "--out", str(tmp_path / "killed"), *settings]
    plain = len(views_of(run, 0))  # the check before has computed those, and of each its middle
    committed = killed_while_computing(command, tmp_path / "cache", beyond=2 * plain) - plain
    assert not (tmp_path / "killed").exists()

    monkeypatch.setenv("NORIA_CACHE", str(tmp_path / "cache"))
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    resumed = open_run(tmp_path / "killed")
    total = len(views_of(resumed, MANY_VIEWS))
    assert plain < committed < total
    assert resumed.manifest.features["from_cache"] == committed
    assert resumed.manifest.features["computed"] == total - committed
    assert not list(tmp_path.glob(".*.partial"))

    monkeypatch.setenv("NORIA_CACHE", str(tmp_path / "another cache"))
    config = load_config(None, [f"augment.views={MANY_VIEWS}", "training.epochs=1"])
    never_killed = api.train(photos, tmp_path / "never killed", config=config)
    assert never_killed.manifest.features["from_cache"] == len(views_of(never_killed, 0))
    assert weights(resumed) == weights(never_killed)
    np.testing.assert_equal(resumed.manifest.test, never_killed.manifest.test)
