"""A bundle is opened by its manifest, and no file of it is used unchecked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from noria.artifacts.bundle import Bundle, open_bundle
from noria.artifacts.dataset import Dataset
from noria.artifacts.files import read_json, write_json
from noria.artifacts.run import Run
from noria.errors import ArtifactError, UnknownNameError

FORMATS = ("keras", "savedmodel", "litert", "litert_int8")


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.path, tmp_path / "bundle"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change(folder: Path, **facts: Any) -> None:
    write_json(folder / "manifest.json", {**read_json(folder / "manifest.json"), **facts})


def test_a_copy_at_another_place_opens(bundle: Bundle, copy: Path) -> None:
    opened = open_bundle(copy)
    assert opened.manifest == bundle.manifest
    assert opened.formats == FORMATS
    assert all(opened.file(name).is_relative_to(copy) for name in FORMATS)


def test_a_format_of_one_file_has_a_checksum_and_a_folder_has_none(bundle: Bundle) -> None:
    assert {name: bundle.checksum(name) is not None for name in FORMATS} == {
        "keras": True,
        "savedmodel": False,
        "litert": True,
        "litert_int8": True,
    }


@pytest.mark.parametrize("name", ["model.keras", "model.tflite", "model_int8.tflite", "savedmodel/saved_model.pb"])
def test_a_flipped_byte_in_any_file_is_damage(bundle: Bundle, copy: Path, name: str) -> None:
    (format_name,) = [one.format for one in bundle.manifest.files if name in one.sha256]
    flip(copy / name)
    opened = open_bundle(copy)
    with pytest.raises(ArtifactError, match="damaged") as caught:
        opened.file(format_name)
    assert caught.value.exit_code == 2
    assert all(opened.file(other) for other in FORMATS if other != format_name)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "model.tflite").unlink()
    with pytest.raises(ArtifactError, match=r"model\.tflite is missing.*Export the bundle again"):
        open_bundle(copy).file("litert")


def test_a_flipped_byte_in_a_golden_example_is_damage(copy: Path) -> None:
    flip(min((copy / "golden").iterdir()))
    with pytest.raises(ArtifactError, match="damaged"):
        open_bundle(copy).golden_inputs()


def test_a_manifest_that_names_a_file_outside_is_refused(bundle: Bundle, copy: Path) -> None:
    outside = copy.parent / "elsewhere.tflite"
    shutil.copyfile(copy / "model.tflite", outside)
    files = read_json(copy / "manifest.json")["files"]
    (entry,) = [one for one in files if one["format"] == "litert"]
    entry["path"], entry["sha256"] = "../elsewhere.tflite", {"../elsewhere.tflite": bundle.checksum("litert")}
    change(copy, files=files)
    with pytest.raises(ArtifactError, match="lies outside"):
        open_bundle(copy).file("litert")


def test_a_path_whose_checksum_the_manifest_does_not_name_is_refused(bundle: Bundle, copy: Path) -> None:
    """The checksum of one file must not vouch for another that is loaded in its place."""
    shutil.copyfile(copy / "model.tflite", copy / "unchecked.tflite")
    flip(copy / "unchecked.tflite")
    files = read_json(copy / "manifest.json")["files"]
    (entry,) = [one for one in files if one["format"] == "litert"]
    entry["path"] = "unchecked.tflite"
    change(copy, files=files)
    with pytest.raises(ArtifactError):
        open_bundle(copy).file("litert")


def test_a_golden_example_outside_is_refused(copy: Path) -> None:
    golden = read_json(copy / "manifest.json")["golden"]
    golden[0]["path"] = "../../etc/hostname"
    change(copy, golden=golden)
    with pytest.raises(ArtifactError, match="lies outside"):
        open_bundle(copy).golden_inputs()


def test_an_unknown_format_lists_those_there_are(bundle: Bundle) -> None:
    with pytest.raises(UnknownNameError, match="litert_int8"):
        bundle.file("onnx")


def test_a_folder_without_a_manifest_is_no_bundle(copy: Path) -> None:
    (copy / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="is not a bundle"):
        open_bundle(copy)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ({"format_version": 2}, "version 1"),
        ({"surprise": 1}, "1 fields are missing or wrong"),
        ({"labels": None}, "1 fields are missing or wrong"),
        ({"tolerances": {}}, "damaged: no tolerances for keras, litert, litert_int8, savedmodel"),
        ({"tolerances": {"keras": {"agreement": 1}}}, "1 fields are missing or wrong"),
    ],
)
def test_another_version_or_wrong_fields_are_refused(copy: Path, harm: dict[str, Any], said: str) -> None:
    change(copy, **harm)
    with pytest.raises(ArtifactError, match=said):
        open_bundle(copy)


@pytest.mark.parametrize("ragged", [[], [0.5], [0.1] * 9])
def test_golden_scores_of_another_length_than_the_labels_are_damage(copy: Path, ragged: list[float]) -> None:
    golden = read_json(copy / "manifest.json")["golden"]
    golden[1]["scores"] = ragged
    change(copy, golden=golden)
    with pytest.raises(ArtifactError, match="damaged: a golden example has not 3 scores"):
        open_bundle(copy)


def test_a_bundle_knows_the_files_it_was_made_from_by_short_hashes(run: Run, bundle: Bundle, copy: Path) -> None:
    examples = Dataset.load(run.dataset).examples
    seen = bundle.seen()
    assert seen == {one.sha256[:16] for one in examples if one.split != "test"}
    assert (bundle.path / "seen.bin").stat().st_size == 8 * len(seen)
    flip(copy / "seen.bin")
    with pytest.raises(ArtifactError, match=r"seen\.bin is damaged"):
        open_bundle(copy).seen()
    change(copy, seen_sha256=None)
    assert open_bundle(copy).seen() is None


def test_a_notebook_shows_every_file(bundle: Bundle) -> None:
    shown = bundle._repr_html_()
    assert all(entry.path in shown for entry in bundle.manifest.files)
