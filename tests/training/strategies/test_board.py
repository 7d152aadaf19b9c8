"""TensorBoard's files: whole curves after kills, what the network saw, and the verb that shows them."""

from __future__ import annotations

import io
import itertools
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from listening import Killed, Killing
from noria import api
from noria.artifacts.store import Store
from noria.config import load_config, resolved
from noria.contracts import Silent
from noria.jobs import make_job as make_job_of
from noria.training import board as boards
from noria.training import checkpoint as checkpoints
from noria.training.board import SHOWN
from noria.training.clock import Clock
from noria.training.feeds import image as image_feed
from noria.training.job import Job
from noria.training.sheets import TILE
from noria.training.strategies import scratch

accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
)

NORIA = [sys.executable, "-c", "from noria.cli import main; main()"]
SIDE, EPOCHS, STEPS = 32, 3, 4
SETTINGS = {
    "model__name": "convnet",
    "input__height": SIDE,
    "input__width": SIDE,
    "training__batch_size": 8,
    "training__epochs": EPOCHS,
    "training__patience": EPOCHS,
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "EVERY_SECONDS", 0.0)


@pytest.fixture(scope="module")
def job(photos: Path) -> Job:
    dataset = api.check(photos, config=load_config(data__wrong_labels=False))
    made, _ = make_job_of(dataset, resolved(load_config(**SETTINGS)), time.monotonic())
    assert -(-len(dataset.by_split("train")) // 8) == STEPS
    return replace(made, unfinished=None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "features.sqlite") as opened:
        yield opened


def read(folder: Path) -> Any:
    """What TensorBoard itself reads of a folder."""
    found = accumulators.EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0, "histograms": 0})
    found.Reload()
    return found


def steps(found: Any, tag: str) -> list[int]:
    return [event.step for event in found.Tensors(tag)]


def number(event: Any) -> float:
    from tensorboard.util import tensor_util

    return float(tensor_util.make_ndarray(event.tensor_proto))


@pytest.fixture(scope="module")
def killed(job: Job, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A training that was killed between checkpoints, its last record cut in half, and that went on: folder, outcome.

    The first process saves its state after each epoch only, and has written about steps beyond.
    """
    folder = tmp_path_factory.mktemp("kept")
    patch = pytest.MonkeyPatch()
    patch.setattr(boards, "EVERY_SECONDS", 0.0)
    patch.setattr(checkpoints, "EVERY_SECONDS", 1e9)
    with Store(folder / "features.sqlite") as store:
        for after in (STEPS + 3, STEPS + 2):
            with pytest.raises(Killed):
                scratch.train(replace(job, unfinished=folder), store=store, progress=Killing(after))
        newest = max((folder / "tensorboard" / "steps").iterdir())
        newest.write_bytes(newest.read_bytes()[:-7])
        trained = scratch.train(replace(job, unfinished=folder), store=store, progress=Silent())
    patch.undo()
    return folder / "tensorboard", trained


def test_a_killed_training_that_goes_on_has_whole_curves_and_no_step_twice(killed: tuple[Path, Any]) -> None:
    folder, trained = killed
    training, validation, by_step = (read(folder / part) for part in ("training", "validation", "steps"))
    every = list(range(1, EPOCHS + 1))
    for tag in ("loss", "accuracy", "learning_rate", "gradient_norm", "examples_per_second", "memory_mib"):
        assert steps(training, tag) == every, tag
    for tag in ("loss", "accuracy", "loss_calibrated", "confusion"):
        assert steps(validation, tag) == every, tag
    assert steps(by_step, "loss_by_step") == list(range(1, EPOCHS * STEPS + 1))
    told = [number(event) for event in training.Tensors("loss")]
    np.testing.assert_allclose(told, trained.history["loss"], rtol=1e-6)
    told = [number(event) for event in validation.Tensors("accuracy")]
    np.testing.assert_allclose(told, trained.history["val_accuracy"], rtol=1e-6)


def test_each_weight_has_its_histograms_and_each_layer_its_norms(killed: tuple[Path, Any]) -> None:
    from tensorboard.util import tensor_util

    folder, trained = killed
    found = read(folder / "training")
    paths = [variable.path for variable in trained.model.trainable_variables]
    tags = set(found.Tags()["tensors"])
    assert {f"{kind}/{path}" for kind in ("weights", "gradients") for path in paths} <= tags
    layers = {path.rpartition("/")[0] for path in paths}
    assert {f"{kind}_norm_by_layer/{layer}" for kind in ("weight", "gradient") for layer in layers} <= tags
    last = tensor_util.make_ndarray(found.Tensors(f"weights/{paths[0]}")[-1].tensor_proto)
    assert last.shape == (30, 3)
    assert last[:, 2].sum() == trained.model.trainable_variables[0].numpy().size
    assert found.Graph().node


def test_the_pictures_that_are_shown_are_the_very_ones_that_were_learnt_from(
    killed: tuple[Path, Any], job: Job
) -> None:
    from tensorboard.util import tensor_util

    shown = tensor_util.make_ndarray(read(killed[0] / "training").Tensors("learnt_from")[1].tensor_proto)
    width, height, encoded = shown
    sheet = np.asarray(Image.open(io.BytesIO(encoded)))
    assert (int(width), int(height)) == sheet.shape[1::-1]
    feed = image_feed.feed(job, clock=Clock(), progress=Silent())
    inputs = next(feed.train.batches(1))[0][:SHOWN]
    assert sheet.shape[1] == 3 * (TILE + 2)
    for place, pixels in enumerate(inputs):
        top, left = place // 3 * (TILE + 2) + 1, place % 3 * (TILE + 2) + 1
        step = TILE // SIDE
        np.testing.assert_array_equal(sheet[top : top + TILE : step, left : left + TILE : step], pixels)


def test_the_projector_has_a_point_a_name_and_a_thumbnail_of_each_validation_photo(
    killed: tuple[Path, Any], job: Job
) -> None:
    from google.protobuf import text_format
    from tensorboard.plugins.projector import ProjectorConfig

    folder, examples = killed[0] / "validation", job.dataset.by_split("validation")
    config = ProjectorConfig()
    text_format.Parse((folder / "projector_config.pbtxt").read_text(encoding="utf-8"), config)
    [embedding] = config.embeddings
    vectors = np.loadtxt(folder / embedding.tensor_path, delimiter="\t")
    assert vectors.shape == (len(examples), 128)
    header, *rows = (folder / embedding.metadata_path).read_text(encoding="utf-8").splitlines()
    assert header.split("\t") == ["label", "answer", "confidence", "file"]
    labels = {example.path: example.label for example in examples}
    assert {row.split("\t")[3]: row.split("\t")[0] for row in rows} == labels
    with Image.open(folder / embedding.sprite.image_path) as sprite:
        columns = sprite.width // embedding.sprite.single_image_dim[0]
    assert (columns - 1) ** 2 < len(examples) <= columns**2


def test_a_place_that_cannot_be_written_costs_the_files_and_nothing_else(
    job: Job, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    progress = Killing()
    trained = scratch.train(replace(job, unfinished=tmp_path / "file"), store=store, progress=progress)
    assert len(trained.history["loss"]) == EPOCHS
    assert sum("TensorBoard" in note for note in progress.notes) == 1


def test_none_are_written_where_they_are_not_wanted(job: Job, store: Store, tmp_path: Path) -> None:
    quiet = replace(job, training=job.training.model_copy(update={"tensorboard": False}), unfinished=tmp_path / "kept")
    scratch.train(quiet, store=store, progress=Silent())
    assert not (tmp_path / "kept" / "tensorboard").exists()


def test_a_profile_is_written_on_request(job: Job, store: Store, tmp_path: Path) -> None:
    asked = replace(job, training=job.training.model_copy(update={"profile": 2}), unfinished=tmp_path / "kept")
    scratch.train(asked, store=store, progress=Silent())
    assert [*(tmp_path / "kept" / "tensorboard" / "training").glob("plugins/profile/*/*.xplane.pb")]
    command = [*NORIA, "tensorboard", str(tmp_path / "kept"), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    told = "".join(itertools.takewhile(lambda line: "Ctrl-C stops" not in line, process.stderr))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert ("pip install xprof" in told) is (find_spec("xprof") is None)


# The verb


@contextmanager
def shown(*runs: Path) -> Iterator[str]:
    """The address at which the verb shows runs."""
    command = [*NORIA, "tensorboard", *map(str, runs), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            pytest.fail(process.communicate()[1].decode()[-2000:])
        yield json.loads(line)["url"]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def tags(url: str, *wanted: str, seconds: float = 60) -> dict[str, Any]:
    """What scalars TensorBoard knows: run -> tags; waited for until it has these runs."""
    until = time.monotonic() + seconds
    while True:
        with urllib.request.urlopen(f"{url}data/plugin/scalars/tags", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        if set(wanted) <= found.keys() or time.monotonic() > until:
            return found
        time.sleep(0.5)


def test_the_verb_shows_a_training_that_is_under_way_and_the_run_that_comes_of_it(photos: Path, tmp_path: Path) -> None:
    settings = [f"{name.replace('__', '.')}={value}" for name, value in SETTINGS.items() if name != "model__name"]
    options = [part for one in [*settings, "training.epochs=40", "training.patience=40"] for part in ("--set", one)]
    command = [*NORIA, "train", str(photos), "--out", str(tmp_path / "run"), "--model", "convnet", *options, "--quiet"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 200
    while not [*tmp_path.glob(".run.partial/tensorboard/training/*")] and time.monotonic() < until:
        assert child.poll() is None, child.communicate()[1].decode()[-2000:]
        time.sleep(0.1)
    with shown(tmp_path / "run") as url:
        assert url.startswith("http://127.0.0.1:")
        assert not (tmp_path / "run").exists(), "it is under way"
        wanted = {f"run/{part}" for part in ("steps", "training", "validation")}
        assert tags(url, *wanted).keys() == wanted
        assert child.wait(200) == 0
        run = api.open_run(tmp_path / "run")
        assert (run.path / "tensorboard").is_dir() and not (run.path / "tensorboard").is_symlink()
        written = read(run.path / "tensorboard" / "training")
        assert steps(written, "loss") == list(range(1, 41))
        assert steps(written, "learnt_from") == [*range(1, 11), 20, 30, 40], "ever fewer, or disks would fill"
        address, until = f"{url}data/plugin/scalars/scalars?run=run%2Ftraining&tag=loss", time.monotonic() + 60
        while True:
            points = []
            with suppress(urllib.error.HTTPError), urllib.request.urlopen(address, timeout=30) as answer:
                points = json.load(answer)  # while the files move, they are not there
            if len(points) == 40 or time.monotonic() > until:
                break
            time.sleep(0.5)
        assert [point[1] for point in points] == list(range(1, 41))


def test_without_files_or_the_package_the_verb_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run([*NORIA, "tensorboard", str(tmp_path / "none")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "no training that is under way" in done.stderr
    code = "import sys; sys.modules['tensorboard'] = None; sys.argv = ['noria', 'tensorboard', 'run']\n"
    command = [sys.executable, "-c", f"{code}from noria.cli import main; main()"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert 'pip install "noria[watch]"' in done.stderr
