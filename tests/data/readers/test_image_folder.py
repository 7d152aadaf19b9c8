"""A folder for each class is listed, whatever lies in it, and no file is opened."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from noria.contracts import Candidate
from noria.data.readers import Columns, _class_folders, find_reader, find_task, image_folder, read
from noria.errors import DataError, UnknownNameError


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def reasons(root: Path, kind: str) -> dict[str, str]:
    return {one.path: one.reason for one in image_folder.read(root, Columns()).set_aside.get(kind, ())}


def test_the_first_folder_is_the_label_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "cat/2020/may/2.jpg", "dog/1.jpg")
    assert image_folder.read(tmp_path, Columns()).candidates == (
        Candidate("cat/1.jpg", "cat"),
        Candidate("cat/2020/may/2.jpg", "cat"),
        Candidate("dog/1.jpg", "dog"),
    )


def test_names_in_any_script_are_listed_as_they_are(tmp_path: Path) -> None:
    names = ["猫/图 片.jpg", "🐈/😀.jpg", "a cat/ b .jpg", "new\nline/c\rd.jpg", "semi;,\"'/e.jpg", "-x/--help.jpg"]
    names.append(unicodedata.normalize("NFD", "é/é.jpg"))
    touch(tmp_path, *names)
    assert {one.path for one in image_folder.read(tmp_path, Columns()).candidates} == set(names)


def test_a_name_that_is_not_utf8_is_set_aside_under_a_printable_name(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg")
    (tmp_path / "cat" / os.fsdecode(b"caf\xe9.jpg")).touch()
    (tmp_path / os.fsdecode(b"d\xf6g")).mkdir()
    assert reasons(tmp_path, "unreachable") == {
        "cat/caf\\xe9.jpg": "its name is not valid UTF-8: rename it",
        "d\\xf6g": "its name is not valid UTF-8: rename it",
    }


def test_hidden_and_system_files_are_named_and_not_looked_into(tmp_path: Path) -> None:
    hidden = [".DS_Store", "cat/Thumbs.db", "cat/desktop.ini", "cat/._1.jpg"]
    touch(tmp_path, "cat/1.jpg", *hidden, "__MACOSX/cat/1.jpg", ".ipynb_checkpoints/1.jpg")
    assert set(reasons(tmp_path, "passed_over")) == {*hidden, "__MACOSX", ".ipynb_checkpoints"}
    assert len(image_folder.read(tmp_path, Columns()).candidates) == 1


def test_a_file_beside_the_classes_has_no_label(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg", "lost.JPG", "README.md")
    assert reasons(tmp_path, "unlabelled") == {"lost.JPG": "it lies in no folder of a class, so it has no label"}
    assert set(reasons(tmp_path, "passed_over")) == {"README.md"}


def test_links_in_a_circle_end_and_every_picture_is_listed_once(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    touch(root, "cat/1.jpg", "dog/deep/2.jpg")
    touch(tmp_path, "secret/3.jpg", "elsewhere/4.jpg")
    (root / "cat" / "round").symlink_to(root)
    (root / "cat" / "up").symlink_to(tmp_path)
    (root / "a_kitty").symlink_to(root / "cat")
    (root / "dog" / "deep" / "again").symlink_to("..")
    (root / "self").symlink_to("self")
    (root / "bird").symlink_to(tmp_path / "elsewhere")
    (root / "bird2").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "linked.jpg").symlink_to(tmp_path / "secret" / "3.jpg")
    (root / "cat" / "broken.jpg").symlink_to("nowhere")
    listing = image_folder.read(root, Columns())
    assert [one.path for one in listing.candidates] == ["bird/4.jpg", "cat/1.jpg", "cat/linked.jpg", "dog/deep/2.jpg"]
    once = {one.path: one.reason for one in listing.set_aside["passed_over"]}
    assert once.keys() == {"a_kitty", "bird2", "cat/round", "cat/up", "dog/deep/again"}
    assert once["cat/up"] == "it leads to a folder that contains this one, which is not looked into"
    assert set(reasons(root, "unreachable")) == {"self", "cat/broken.jpg"}


def test_a_link_to_a_folder_that_vanishes_while_it_is_listed_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "photos"
    touch(root, "cat/1.jpg", "dog/2.jpg")
    touch(tmp_path, "elsewhere/3.jpg")
    (root / "bird").symlink_to(tmp_path / "elsewhere")
    is_hidden = _class_folders._is_hidden

    def gone_after_it_was_seen(name: str) -> bool:
        if name == "bird":
            (root / name).unlink(missing_ok=True)
        return is_hidden(name)

    monkeypatch.setattr(_class_folders, "_is_hidden", gone_after_it_was_seen)
    listing = image_folder.read(root, Columns())
    assert [one.path for one in listing.candidates] == ["cat/1.jpg", "dog/2.jpg"]
    (told,) = listing.set_aside["unreachable"]
    assert told.path == "bird" and "the folder cannot be read" in told.reason


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg")
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    assert "pipe" in reasons(tmp_path, "passed_over")["cat/pipe.jpg"]


def test_a_class_without_a_file_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/.DS_Store")
    (tmp_path / "bird" / "2020").mkdir(parents=True)
    assert image_folder.read(tmp_path, Columns()).empty_labels == ("bird", "dog")


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "Valid", "Test"), ("train", "validation", "x")])
def test_folders_of_a_split_are_a_given_split(tmp_path: Path, names: tuple[str, ...]) -> None:
    train, validation, other = names
    touch(tmp_path, f"{train}/cat/1.jpg", f"{validation}/cat/a/2.jpg", f"{other}/dog/3.jpg", f"{train}/lost.jpg")
    listing = image_folder.read(tmp_path, Columns())
    expected = {
        Candidate(f"{train}/cat/1.jpg", "cat", "train"),
        Candidate(f"{validation}/cat/a/2.jpg", "cat", "validation"),
    }
    assert expected <= set(listing.candidates)
    assert {one.label for one in listing.candidates} <= {"cat", "dog"}
    assert [finding.kind for finding in listing.findings] == ["given_split"]
    outside = {"x/dog/3.jpg"} if other == "x" else set()
    assert set(reasons(tmp_path, "unlabelled")) == {f"{train}/lost.jpg", *outside}


@pytest.mark.parametrize("ending", [".jfif", ".JPE", "", ".0001"])
@pytest.mark.parametrize("stray", ["readme.txt", "clip.mp4"])
def test_photos_are_told_by_their_first_bytes_whatever_their_ending(tmp_path: Path, ending: str, stray: str) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(3):
            Image.new("RGB", (32, 32)).save(tmp_path / label / f"IMG_{number}{ending}", "JPEG")
    (tmp_path / "cat" / stray).write_bytes(b"not a photo")
    assert find_task(tmp_path) == "image_classification"


def test_texts_stay_texts_beside_empty_files_a_pipe_and_one_that_begins_as_a_bmp_does(tmp_path: Path) -> None:
    touch(tmp_path, "good/1.txt", "good/empty")
    os.mkfifo(tmp_path / "good" / "pipe")
    (tmp_path / "good" / "notes").write_text("BM is how some texts begin")
    assert find_task(tmp_path) == "text_classification"


def test_a_vehicle_called_train_is_a_class(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "train/night/2.jpg", "bus/1.jpg", "car/1.jpg")
    assert {one.label for one in image_folder.read(tmp_path, Columns()).candidates} == {"train", "bus", "car"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("photso", "Did you mean '.*photos'"),
        ("photso/cat/deep", "Did you mean '.*photos'"),
        ("empty", "is an empty folder"),
        ("flat", "without a folder for each class"),
        ("table", "but the file labels.csv"),
        ("photos/cat/1.zip", "a kind that no reader knows"),
        ("nothing.csv", "is empty"),
    ],
)
def test_what_no_reader_knows_is_told_with_what_is_expected(tmp_path: Path, path: str, message: str) -> None:
    touch(tmp_path, "photos/cat/1.jpg", "flat/1.jpg", "table/labels.csv", "nothing.csv")
    (tmp_path / "photos/cat/1.zip").write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        find_reader(tmp_path / path)


def test_a_reader_can_be_named_and_a_wrong_name_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg")
    assert read(tmp_path, find_reader(tmp_path, "image_folder")).candidates
    with pytest.raises(UnknownNameError, match="Did you mean 'image_folder'"):
        find_reader(tmp_path, "image_foldr")


def test_data_of_another_task_are_told_to_be_that(tmp_path: Path) -> None:
    for label in ("day", "night"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (20, 20), "white" if label == "day" else "black").save(tmp_path / label / "1.png")
    with pytest.raises(DataError, match="is data of the task image_classification"):
        find_reader(tmp_path, task="text_classification")
