"""A run is whole and checked, or it is refused with what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from noria.artifacts.dataset import Dataset
from noria.artifacts.files import read_json, sha256_file, write_json
from noria.artifacts.run import Run, open_run
from noria.errors import ArtifactError, UnknownNameError


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run.path, tmp_path / "run"))


def change(folder: Path, **facts: object) -> None:
    write_json(folder / "run.json", {**read_json(folder / "run.json"), **facts})


def test_a_run_holds_all_that_it_promises(run: Run) -> None:
    names = {path.name for path in run.path.iterdir()}
    assert names >= {
        "run.json",
        "model.keras",
        "report.html",
        "report.json",
        "config.toml",
        "dataset",
        "predictions.csv",
    }
    assert not any(name.endswith(".partial") for name in names)


def test_the_manifest_says_what_was_trained(run: Run, photos: Path) -> None:
    facts = run.manifest
    dataset = Dataset.load(run.dataset)
    assert facts.labels == run.labels == ("daisy", "rose", "sunflower")
    assert facts.fingerprint == dataset.fingerprint
    assert facts.num_examples == dataset.counts()
    assert sum(dataset.counts().values()) - dataset.counts()["set_aside"] == 49  # 48 photos and a copy
    assert facts.data == str(photos.resolve())
    assert facts.checksums == {"model.keras": sha256_file(run.path / "model.keras")}
    assert {"check", "features", "head", "total"} <= facts.seconds.keys()
    assert {"noria", "keras", "numpy", "python"} <= facts.versions.keys()
    assert facts.peak_memory_bytes > 2**20
    assert facts.test["accuracy"] > 0.6  # guessing is right one time in three


def test_every_dirty_file_is_set_aside_by_name(run: Run) -> None:
    set_aside = {one.path: one.reason for one in Dataset.load(run.dataset).set_aside}
    assert set_aside.keys() == {
        "daisy/broken.jpg",
        "daisy/.hidden.jpg",
        "rose/notes.txt",
        "rose/empty.jpg",
        "sunflower/cut off.jpg",
    }
    assert all(set_aside.values())


def test_a_copy_at_another_place_opens(copy: Path, run: Run) -> None:
    opened = open_run(copy)
    assert opened.manifest == run.manifest
    assert opened.file("keras") == copy / "model.keras"
    assert opened.checksum("keras") == run.checksum("keras") is not None


def test_a_run_has_the_keras_file_only(run: Run) -> None:
    assert run.formats == ("keras",)
    assert run.checksum("litert") is None
    with pytest.raises(UnknownNameError, match="litert"):
        run.file("litert")


def test_a_damaged_model_is_refused(copy: Path) -> None:
    model = copy / "model.keras"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.keras is damaged.*Train again"):
        open_run(copy).file("keras")


def test_a_folder_without_a_manifest_is_no_run(copy: Path) -> None:
    (copy / "run.json").unlink()
    with pytest.raises(ArtifactError, match="is not a run"):
        open_run(copy)


def test_a_later_version_is_refused(copy: Path) -> None:
    change(copy, format_version=2)
    with pytest.raises(ArtifactError, match="not a run of version 1"):
        open_run(copy)


@pytest.mark.parametrize("harm", [{"labels": 3}, {"surprise": 1}, {"temperature": "warm"}])
def test_a_manifest_with_wrong_fields_is_refused(copy: Path, harm: dict[str, object]) -> None:
    change(copy, **harm)
    with pytest.raises(ArtifactError, match="fields are missing or wrong"):
        open_run(copy)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "\x00"])
def test_a_manifest_that_is_no_object_is_refused(copy: Path, text: str) -> None:
    (copy / "run.json").write_text(text)
    with pytest.raises(ArtifactError):
        open_run(copy)


def test_a_notebook_shows_accuracy_and_a_link_to_the_report(run: Run) -> None:
    shown = run._repr_html_()
    assert f"{run.manifest.test['accuracy']:.1%}" in shown
    assert run.report.as_uri() in shown
