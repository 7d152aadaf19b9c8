"""A bundle is whole, says what it holds, and is refused where a file answers differently."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from noria import api
from noria.artifacts.bundle import Bundle, open_bundle
from noria.artifacts.dataset import Dataset
from noria.artifacts.files import read_json, sha256_file, write_json
from noria.artifacts.run import Run, open_run
from noria.cli import app
from noria.contracts import Silent
from noria.errors import ArtifactError, DataError, UnknownNameError, VerificationError

LIMIT = 3_000_000  # bytes; smaller than each file of the model
FORMATS = ("keras", "savedmodel", "litert", "litert_int8")


@pytest.fixture(scope="module")
def coarse(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose model cannot be had in eight bits: beside a unit of a million, hundreds round to nothing."""
    inputs = keras.Input((224, 224, 3), name="image")
    means = keras.layers.GlobalAveragePooling2D()(inputs)
    wide = keras.layers.Dense(4, activation="relu", name="wide")
    scores = keras.layers.Dense(3, activation="softmax", name="scores")
    model = keras.Model(inputs, scores(wide(means)))
    wide.set_weights([np.eye(3, 4, dtype=np.float32), np.array([0, 0, 0, 1e6], np.float32)])
    darkest_channel = np.concatenate([-0.2 * np.eye(3), np.zeros((1, 3))]).astype(np.float32)
    scores.set_weights([darkest_channel, np.zeros(3, np.float32)])
    folder = tmp_path_factory.mktemp("coarse") / "run"
    shutil.copytree(run.path, folder)
    model.save(folder / "model.keras")
    facts = read_json(folder / "run.json")
    write_json(folder / "run.json", {**facts, "checksums": {"model.keras": sha256_file(folder / "model.keras")}})
    return open_run(folder)


def test_every_file_is_in_the_manifest_with_its_checksum(bundle: Bundle) -> None:
    facts = bundle.manifest
    named = {name: sha256 for one in facts.files for name, sha256 in one.sha256.items()}
    named |= {one.path: one.sha256 for one in facts.golden}
    there = {path.relative_to(bundle.path).as_posix() for path in bundle.path.rglob("*") if path.is_file()}
    named["seen.bin"] = facts.seen_sha256 or ""
    assert there == {*named, "manifest.json"}
    for name, sha256 in named.items():
        assert sha256_file(bundle.path / name) == sha256
    for one in facts.files:
        assert one.bytes == sum((bundle.path / name).stat().st_size for name in one.sha256)


def test_the_manifest_says_what_the_model_is(bundle: Bundle, run: Run) -> None:
    facts = bundle.manifest
    assert bundle.formats == FORMATS
    assert facts.labels == run.labels
    for name in ("task", "input", "model", "temperature", "fingerprint", "test", "versions"):
        assert getattr(facts, name) == getattr(run.manifest, name)
    assert facts.model["licence"] == "Apache-2.0"
    assert facts.tolerances.keys() == set(FORMATS)
    assert {row["name"] for row in facts.verified} >= {"keras", "savedmodel", "litert", "litert_int8"}
    assert all(row["failures"] == [] for row in facts.verified)


def test_nothing_unfinished_lies_beside_it(bundle: Bundle) -> None:
    assert [path.name for path in bundle.path.parent.iterdir()] == [bundle.path.name]


def test_int8_is_at_most_three_tenths_of_float(bundle: Bundle) -> None:
    sizes = {one.format: one.bytes for one in bundle.manifest.files}
    assert sizes["litert_int8"] <= 0.30 * sizes["litert"]


def test_a_file_that_answers_differently_refuses_the_bundle_and_leaves_nothing(coarse: Run, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with pytest.raises(VerificationError, match=r"litert_int8: agreement") as caught:
        api.export(coarse, out, formats=["keras", "litert_int8"])
    assert caught.value.exit_code == 1
    assert str(caught.value).endswith("--formats keras")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_answers_differently_can_be_left_out(coarse: Run, tmp_path: Path) -> None:
    class Told(Silent):
        def note(self, text: str) -> None:
            told.append(text)

    told: list[str] = []
    bundle = api.export(
        coarse, tmp_path / "bundle", formats=["keras", "litert_int8"], leave_out_failing=True, progress=Told()
    )
    assert any(one.startswith("left out") and "litert_int8" in one for one in told)
    assert bundle.formats == ("keras",) and {row["format"] for row in bundle.manifest.verified} == {"keras"}
    assert not list(bundle.path.glob("*int8*"))
    assert api.verify(bundle).passed
    with pytest.raises(VerificationError, match="refused"):
        api.export(coarse, tmp_path / "none", formats=["litert_int8"], leave_out_failing=True)
    assert not (tmp_path / "none").exists()


def test_the_refusal_exits_with_1_and_keeps_the_older_bundle(coarse: Run, bundle: Bundle, tmp_path: Path) -> None:
    out = Path(shutil.copytree(bundle.path, tmp_path / "bundle"))
    command = ["export", str(coarse.path), "--out", str(out), "--formats", "litert_int8,keras", "--force"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "litert_int8" in done.stderr
    assert open_bundle(out).manifest == bundle.manifest
    assert list(tmp_path.iterdir()) == [out]


def test_the_same_model_passes_in_the_formats_that_hold_it(coarse: Run, tmp_path: Path) -> None:
    made = api.export(coarse, tmp_path / "bundle", formats=["keras", "litert"])
    assert [row["failures"] for row in made.manifest.verified if row["failures"]] == []
    assert made.formats == ("keras", "litert")


def test_a_bundle_that_is_there_is_kept_unless_replaced(coarse: Run, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    first = api.export(coarse, out, formats=["keras"])
    with pytest.raises(ArtifactError, match="is there already"):
        api.export(coarse, out, formats=["keras"])
    second = api.export(coarse, out, formats=["keras", "litert"], replace=True)
    assert (first.formats, second.formats) == (("keras",), ("keras", "litert"))
    assert open_bundle(out).formats == second.formats


def test_somebodys_photos_are_never_replaced(coarse: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "only copy.jpg").write_bytes(b"precious")
    with pytest.raises(ArtifactError, match="not replaced"):
        api.export(coarse, tmp_path / "photos", formats=["keras"], replace=True)
    assert (tmp_path / "photos" / "only copy.jpg").read_bytes() == b"precious"


def test_an_unknown_format_names_the_nearest_and_writes_nothing(coarse: Run, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'litert'"):
        api.export(coarse, tmp_path / "bundle", formats=["litrt"])
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_run_is_not_exported(coarse: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(coarse.path, tmp_path / "run"))
    with (copy / "model.keras").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match="damaged"):
        api.export(copy, tmp_path / "bundle", formats=["keras"])
    assert not (tmp_path / "bundle").exists()


def test_int8_is_calibrated_on_training_pictures_only(coarse: Run, tmp_path: Path) -> None:
    """Without the test pictures on the disk the calibration still finds all that it needs."""
    copy = Path(shutil.copytree(coarse.path, tmp_path / "run"))
    dataset = Dataset.load(copy / "dataset")
    photos = tmp_path / "photos"
    for one in dataset.examples:
        if one.split != "train":
            (photos / one.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(dataset.path_of(one), photos / one.path)
    index = read_json(copy / "dataset" / "dataset.json")
    write_json(copy / "dataset" / "dataset.json", {**index, "root": str(photos)})
    api.export(copy, tmp_path / "float", formats=["keras", "litert"])  # needs no training picture
    with pytest.raises(DataError, match="cannot be read"):
        api.export(copy, tmp_path / "int8", formats=["keras", "litert_int8"])


@pytest.mark.parametrize("formats", ["savedmodel", "keras", "litert"])
def test_a_full_disk_is_told_and_leaves_nothing(run: Run, tmp_path: Path, formats: str) -> None:
    """A limit on the size of files stands for the disk: what is written fails in the same way."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT}, {LIMIT}))"
    code = f"{limited}; import noria.cli; noria.cli.main()"
    command = [sys.executable, "-c", code, "export", run.path, "--out", tmp_path / "bundle", "--formats", formats]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert "No room to write" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
