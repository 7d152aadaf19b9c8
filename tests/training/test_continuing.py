"""A training that goes on from a run: what was learnt is kept, labels are added, old and new ones are told apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import noria
from listening import Notes
from noria import api, choosing
from noria.artifacts.run import Run
from noria.cli import app
from noria.config import load_config, resolved
from noria.errors import ArtifactError, ConfigError
from noria.jobs import make_job
from noria.training import continuing

OLD, NEW = ("daisy", "rose"), "sunflower"
SMALL = {
    "model__name": "convnet",
    "input__height": 32,
    "input__width": 32,
    "training__epochs": 2,
    "data__wrong_labels": False,
}


def folder(photos: Path, place: Path, labels: Sequence[str]) -> Path:
    for label in labels:
        shutil.copytree(photos / label, place / label)
    return place


@pytest.fixture(scope="module")
def old_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("old")
    return api.train(folder(photos, place / "two", OLD), place / "run", config=load_config(**SMALL))


def test_the_head_keeps_what_it_knows_by_the_names_of_its_labels(old_run: Run) -> None:
    old = keras.saving.load_model(old_run.file("keras"), compile=False)
    new = continuing.network(old_run, ("a new one", "rose", "daisy"), seed=0)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    before, after = (np.asarray(model.predict(pictures, verbose=0)) for model in (old, new))
    known = after[:, [2, 1]] / after[:, [2, 1]].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(known, before, atol=1e-5)


def test_labels_are_added_and_old_and_new_ones_are_told_apart(
    old_run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder(photos, tmp_path / "three", (*OLD, NEW))
    command = ["train", str(data), "--from", str(old_run.path), "--out", str(tmp_path / "run"), "--json", "--quiet"]
    result = CliRunner().invoke(app, [*command, "--set", "training.epochs=2", "--set", "data.wrong_labels=false"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["continued"]
    run = noria.open_run(tmp_path / "run")
    assert run.manifest.continued == told
    assert run.labels == (*OLD, NEW)
    assert run.manifest.config["model"]["name"] == "convnet"
    assert run.manifest.input == old_run.manifest.input
    assert (told["old"]["labels"], told["new"]["labels"]) == (list(OLD), [NEW])
    assert told["old"]["num_examples"] + told["new"]["num_examples"] == run.manifest.num_examples["test"]
    right = sum(part["accuracy"] * part["num_examples"] for part in (told["old"], told["new"]))
    assert right / run.manifest.num_examples["test"] == pytest.approx(run.manifest.test["accuracy"])
    assert "Old labels and new ones" in run.report.read_text(encoding="utf-8")
    again = CliRunner().invoke(app, [*command, "--set", "training.epochs=2", "--set", "data.wrong_labels=false"])
    assert json.loads(again.stdout) == json.loads(result.stdout), "the same training is not done again"


def test_labels_without_examples_stay_and_are_told(old_run: Run, photos: Path, tmp_path: Path) -> None:
    progress = Notes()
    config = load_config(model__start=str(old_run.path), training__epochs=1, data__wrong_labels=False)
    data = folder(photos, tmp_path / "others", ("rose", NEW))
    run = api.train(data, tmp_path / "run", config=config, progress=progress)
    assert run.labels == (*OLD, NEW)
    assert any("daisy" in note and "no example" in note for note in progress.notes)
    assert run.manifest.continued["old"]["num_examples"] > 0


def test_another_run_under_the_same_name_makes_another_training(photos: Path, tmp_path: Path) -> None:
    data, place = folder(photos, tmp_path / "two", OLD), tmp_path / "old"
    config = load_config(model__start=str(place), training__epochs=1, data__wrong_labels=False)
    runs, unfinished = [], set()
    for seed in (1, 2):
        shutil.rmtree(place, ignore_errors=True)
        api.train(data, place, config=load_config(**SMALL, seed=seed))
        runs.append(api.train(data, tmp_path / "new" if seed == 1 else tmp_path / "newer", config=config))
        job, _ = make_job(
            api.check(data, config=config), resolved(choosing.of_run(config)[0]), 0.0, noria.open_run(place)
        )
        unfinished.add(job.unfinished)
    assert len(unfinished) == 2, "what one of them left when it was killed is not taken for the other"
    assert runs[0].checksum("keras") != runs[1].checksum("keras")
    with pytest.raises(ArtifactError, match="is not a run of this data with these settings"):
        api.train(data, tmp_path / "new", config=config)
    assert api.train(data, tmp_path / "newer", config=config).manifest == runs[1].manifest


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"model__start": "nowhere"}, ArtifactError, "not a run"),
        ({"model__name": "resnet_small"}, ConfigError, "resnet_small.*leave it out"),
        ({"input__height": 64}, ConfigError, "input.height cannot be another"),
        ({"training__strategy": "frozen"}, ConfigError, "frozen, which starts anew"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(
    given: dict[str, Any], error: type[Exception], said: str, old_run: Run, photos: Path, tmp_path: Path
) -> None:
    config = load_config(**{"model__start": str(old_run.path), **given})
    with pytest.raises(error, match=said):
        api.train(photos, tmp_path / "run", config=config)
    assert not (tmp_path / "run").exists()


def test_a_run_of_pictures_does_not_go_on_with_texts(old_run: Run, tmp_path: Path) -> None:
    table = tmp_path / "reviews.csv"
    table.write_text(
        "text,label\n" + "".join(f"{word} film {n},{word}\n" for n in range(9) for word in ("good", "bad"))
    )
    with pytest.raises(ConfigError, match=r"image classification.*text classification"):
        api.train(table, tmp_path / "run", config=load_config(data=table, model__start=str(old_run.path)))


def test_a_network_of_texts_goes_on_with_its_own_words(tmp_path: Path) -> None:
    def table(name: str, labels: dict[str, str]) -> Path:
        lines = [f"a {word} film number {n},{label}" for n in range(30) for label, word in labels.items()]
        (tmp_path / name).write_text("text,label\n" + "\n".join(lines), encoding="utf-8")
        return tmp_path / name

    old, new = table("old.csv", {"good": "fine", "bad": "dull"}), table("new.csv", {"good": "fine", "funny": "witty"})
    given = {"training__epochs": 2, "data__wrong_labels": False}
    first = api.train(old, tmp_path / "old", config=load_config(data=old, model__name="textcnn", **given))
    config = load_config(data=new, model__start=str(first.path), **given)
    second = api.train(new, tmp_path / "new", config=config)
    assert second.labels == ("bad", "funny", "good")
    assert second.input_files() == first.input_files()
