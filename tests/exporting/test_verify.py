"""Verification finds the file that answers differently, damage, and nothing where nothing is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from noria import api
from noria.artifacts.bundle import Bundle
from noria.artifacts.files import read_json, sha256_file, write_json
from noria.cli import app
from noria.contracts import BEYOND
from noria.convert import to_litert
from noria.errors import ArtifactError, DataError
from noria.exporting.verify import RuntimeRow, Verification, _compared
from noria.inference import runtimes

HIDE_TENSORFLOW = """
import sys
from importlib.machinery import ModuleSpec

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in ("tensorflow", "keras") else found(name, package)
"""


@pytest.fixture(scope="module")
def other_weights(bundle: Bundle) -> bytes:
    """A LiteRT file of the same shape, converted from a model whose head answers another label."""
    model = keras.saving.load_model(bundle.file("keras"), compile=False)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel[:, [1, 2, 0]], bias[[1, 2, 0]]])
    return to_litert(model)


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle to harm, with the LiteRT files only: they are checked in a second."""
    folder = Path(shutil.copytree(bundle.path, tmp_path / "bundle"))
    facts = read_json(folder / "manifest.json")
    kept = [one for one in facts["files"] if one["format"].startswith("litert")]
    write_json(folder / "manifest.json", {**facts, "files": kept})
    return folder


def replace_litert(folder: Path, content: bytes) -> None:
    """Put another file in, as a careless hand would, with its checksum in order."""
    (folder / "model.tflite").write_bytes(content)
    facts = read_json(folder / "manifest.json")
    (entry,) = [one for one in facts["files"] if one["format"] == "litert"]
    entry["sha256"] = {"model.tflite": sha256_file(folder / "model.tflite")}
    write_json(folder / "manifest.json", facts)


def rows(verification: Verification) -> dict[str, Any]:
    return {row.name: row for row in verification.runtimes}


def test_a_good_bundle_passes_on_its_golden_examples(bundle: Bundle) -> None:
    verification = api.verify(bundle)
    assert verification.passed
    assert verification.reference == "golden"
    assert verification.num_examples == len(bundle.manifest.golden)
    found = rows(verification)
    installed = {name for name in runtimes.ranked() if runtimes.is_installed(name)}
    assert found.keys() == {name for name in installed if runtimes.runs_here(name)}
    assert found.keys() >= {"keras", "savedmodel", "litert", "litert_int8"}
    assert set(verification.not_installed) == set(runtimes.ranked()) - installed
    assert found["litert"].agreement == 1
    assert found["litert"].max_score_difference < 1e-3
    assert found["litert"].bytes == (bundle.path / "model.tflite").stat().st_size
    assert all(row.milliseconds > 0 for row in found.values())


def test_labelled_data_gives_accuracy_with_its_interval(bundle: Bundle, photos: Path) -> None:
    verification = api.verify(bundle, photos)
    assert verification.reference == "keras"
    assert verification.num_examples == 49
    assert {one["input"] for one in verification.set_aside} == {
        "daisy/broken.jpg",
        "rose/empty.jpg",
        "rose/notes.txt",
        "sunflower/cut off.jpg",
    }
    measured = api.evaluate(bundle, photos)
    row = rows(verification)["litert"]
    assert row.accuracy == pytest.approx(measured["accuracy"])
    assert row.interval == pytest.approx(tuple(measured["interval"]))
    assert rows(verification)["keras"].max_score_difference == 0


def test_a_file_of_other_weights_fails_by_name_with_exit_1(copy: Path, other_weights: bytes) -> None:
    replace_litert(copy, other_weights)
    done = CliRunner().invoke(app, ["verify", str(copy), "--json"])
    assert done.exit_code == 1
    assert "Not verified" in done.stderr
    assert "litert: agreement 0.0000" in done.stderr
    told = json.loads(done.stdout)
    assert told["passed"] is False
    assert {row["format"]: bool(row["failures"]) for row in told["runtimes"]} == {"litert": True, "litert_int8": False}


@pytest.mark.parametrize("harm", ["flipped byte", "missing", "outside"])
def test_damage_is_the_users_error_with_exit_2(copy: Path, harm: str) -> None:
    path = copy / "model.tflite"
    content = bytearray(path.read_bytes())
    match harm:
        case "flipped byte":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        case "missing":
            path.unlink()
        case "outside":
            facts = read_json(copy / "manifest.json")
            (entry,) = [one for one in facts["files"] if one["format"] == "litert"]
            path.rename(copy.parent / "stolen.tflite")
            entry["sha256"] = {"../stolen.tflite": sha256_file(copy.parent / "stolen.tflite")}
            entry["path"] = "../stolen.tflite"
            write_json(copy / "manifest.json", facts)
    said = {"flipped byte": "damaged", "missing": "missing", "outside": "outside"}[harm]
    with pytest.raises(ArtifactError, match=said):
        api.verify(copy)
    done = CliRunner().invoke(app, ["verify", str(copy)])
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_golden_scores_that_were_changed_fail(copy: Path) -> None:
    facts = read_json(copy / "manifest.json")
    for one in facts["golden"]:
        one["scores"] = one["scores"][::-1]
    write_json(copy / "manifest.json", facts)
    verification = api.verify(copy)
    assert not verification.passed
    assert rows(verification)["litert"].failures


def test_what_a_decoder_is_known_not_to_know_is_told_and_is_no_failure(
    bundle: Bundle, photos: Path, tmp_path: Path
) -> None:
    folder = sorted(one for one in photos.iterdir() if one.is_dir())[0]
    (tmp_path / "tif" / folder.name).mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())[:4]):
        Image.open(file).convert("RGB").save(tmp_path / "tif" / folder.name / f"{number}.tif")
    found = rows(api.verify(bundle, tmp_path / "tif"))
    assert (found["savedmodel"].beyond, found["savedmodel"].num_examples, found["savedmodel"].failures) == (4, 0, ())
    assert (found["litert"].beyond, found["litert"].num_examples) == (0, 4)
    shown = CliRunner().invoke(app, ["verify", str(bundle.path), str(tmp_path / "tif")], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "not compared: of a kind that it cannot decode" in shown.output


def test_inputs_that_are_refused_for_no_known_reason_fail_a_file(bundle: Bundle) -> None:
    scores = np.full((200, 3), 1 / 3, np.float32)
    some = scores.copy()
    some[:3] = np.nan
    told = partial(_compared, bundle, "savedmodel", some)
    truth = np.zeros(200, np.int64)
    (failure,) = told(["boom"] * 3 + [""] * 197, scores, truth).failures
    assert failure == "it refused 3 of 200 inputs; the first: boom"
    assert told([f"a file {BEYOND}"] * 3 + [""] * 197, scores, truth).failures == ()


def test_data_that_nothing_can_read_is_told(bundle: Bundle, tmp_path: Path) -> None:
    for label in ("rose", "daisy"):
        (tmp_path / "bad" / label).mkdir(parents=True)
        (tmp_path / "bad" / label / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="None of 2 inputs could be read"):
        api.verify(bundle, tmp_path / "bad")


@pytest.fixture
def without_tensorflow() -> Callable[[Path], tuple[int, dict[str, Any]]]:
    """Run `noria verify` in a process that has no TensorFlow to find."""

    def verify(folder: Path) -> tuple[int, dict[str, Any]]:
        code = f"{HIDE_TENSORFLOW}\nfrom noria.cli import main\nmain()"
        command = [sys.executable, "-c", code, "verify", str(folder), "--json", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, json.loads(done.stdout)

    return verify


def test_a_machine_without_tensorflow_can_check_what_it_was_sent(
    bundle: Bundle, copy: Path, other_weights: bytes, without_tensorflow: Callable[[Path], tuple[int, dict[str, Any]]]
) -> None:
    code, told = without_tensorflow(bundle.path)
    assert (code, told["passed"]) == (0, True)
    assert {"keras", "savedmodel"} <= set(told["not_installed"])
    replace_litert(copy, other_weights)
    code, told = without_tensorflow(copy)
    assert (code, told["passed"]) == (1, False)


def test_an_engine_that_differs_is_told_apart_from_a_file_that_differs() -> None:
    def row(name: str, *failures: str) -> RuntimeRow:
        return RuntimeRow(name, "litert_int8", 0.9, (0.8, 0.95), 1.0, 0.0, 1.0, 10, 100, failures=failures)

    outcome = Verification(False, "keras", 100, (), (row("litert_int8"), row("openvino_int8", "agreement 0.82")))
    assert outcome.failures(of_files=True) == []
    assert outcome.failures(of_files=False) == ["openvino_int8: agreement 0.82"]
