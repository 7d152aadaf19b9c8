"""From a real folder to a dataset: every bad input has its place, and nothing is dropped in silence."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from noria.artifacts.dataset import Dataset
from noria.contracts import Finding
from noria.data.check import InspectionCache, check
from noria.data.findings import ranked
from noria.data.inspection import inspect_all
from noria.data.similarity import image as image_similarity
from noria.errors import DataError
from noria.inputs.image import Settings
from noria.inputs.text import Settings as TextSettings

SETTINGS = Settings()


def photo(path: Path, seed: int, **options: object) -> Path:
    """Write a picture of its own: a few soft blobs, as a camera would see them."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).resize((32, 24), Image.Resampling.BICUBIC).save(path, **options)
    return path


def photos(root: Path, **sizes: int) -> Path:
    for number, (label, size) in enumerate(sizes.items()):
        for index in range(size):
            photo(root / label / f"{index:03}.jpg", 1000 * number + index)
    return root


def finding(dataset: Dataset, kind: str) -> Finding:
    found = [one for one in dataset.findings if one.kind == kind]
    assert len(found) == 1, dataset.findings
    return found[0]


def kinds(dataset: Dataset) -> set[str]:
    return {one.kind for one in dataset.findings}


def aside(dataset: Dataset) -> dict[str, str]:
    return {one.path: one.reason for one in dataset.set_aside}


def test_good_photos_give_a_dataset_without_findings(tmp_path: Path) -> None:
    dataset = check(photos(tmp_path / "pets", cat=10, dog=10), settings=SETTINGS)
    assert dataset.findings == ()
    assert (dataset.name, dataset.labels) == ("pets", ("cat", "dog"))
    assert dataset.counts() == {"train": 12, "validation": 4, "test": 4, "set_aside": 0}
    facts = dict(dataset.examples[0].facts)
    assert (facts.pop("bytes"), facts.pop("taken").keys()) == (
        803,
        {"brightness", "contrast", "sharpness", "camera", "around", "middle"},
    )
    assert facts == {"width": 32, "height": 24, "format": "JPEG", "mode": "RGB"}
    dataset.require_trainable()


def test_the_same_folder_has_the_same_fingerprint_wherever_it_lies(tmp_path: Path) -> None:
    first = photos(tmp_path / "a", cat=5, dog=7)
    second = tmp_path / "deep" / "b"
    for path in sorted(first.rglob("*.jpg"), reverse=True):  # another order on disk
        target = second / path.relative_to(first)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    assert check(first, settings=SETTINGS).fingerprint == check(second, settings=SETTINGS, workers=3).fingerprint
    photo(second / "cat" / "new.jpg", 77)
    assert check(first, settings=SETTINGS).fingerprint != check(second, settings=SETTINGS).fingerprint


def test_files_that_are_no_pictures_are_set_aside_with_reason_and_hash(tmp_path: Path) -> None:
    root = photos(tmp_path, cat=10, dog=10)
    (root / "cat" / "empty.jpg").touch()
    (root / "cat" / "notes.txt").write_text("not a picture")
    whole = (root / "dog" / "000.jpg").read_bytes()
    (root / "dog" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / ".DS_Store").touch()
    dataset = check(root, settings=SETTINGS)
    assert set(aside(dataset)) == {"cat/empty.jpg", "cat/notes.txt", "dog/cut.jpg", ".DS_Store"}
    assert finding(dataset, "unreadable").count == 3
    assert "The first, cat/empty.jpg: empty: 0 bytes." in finding(dataset, "unreadable").message
    assert finding(dataset, "passed_over").severity == "info"
    assert all(one.reason and one.sha256 for one in dataset.set_aside if one.path != ".DS_Store")


def test_every_odd_picture_is_either_an_example_or_set_aside(shared_data: Path, tmp_path: Path) -> None:
    files = [path for path in sorted((shared_data / "odd_images").rglob("*")) if path.is_file()]
    for number, path in enumerate(files):
        target = tmp_path / ("odd" if number % 2 else "even") / f"{number}{path.suffix}"
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(path.resolve())
    dataset = check(tmp_path, settings=SETTINGS)
    assert len(dataset.examples) + len(dataset.set_aside) == len(files)
    assert len(dataset.examples) > 100
    assert all(one.reason for one in dataset.set_aside)


def test_copies_in_bytes_or_pixels_stay_on_one_side(tmp_path: Path) -> None:
    root = photos(tmp_path, cat=12, dog=12)
    for number in range(6):
        shutil.copyfile(root / "cat" / f"{number:03}.jpg", root / "cat" / f"copy{number}.jpg")
        Image.open(root / "dog" / f"{number:03}.jpg").save(root / "dog" / f"lossless{number}.png")
    dataset = check(root, settings=SETTINGS)
    assert finding(dataset, "exact_duplicates").count == 12
    sides: dict[str, set[str]] = {}
    for one in dataset.examples:
        sides.setdefault(one.content_sha256, set()).add(one.split)
    assert all(len(found) == 1 for found in sides.values())


def test_a_picture_with_two_labels_is_not_used_at_all(tmp_path: Path) -> None:
    root = photos(tmp_path, cat=10, dog=10)
    shutil.copyfile(root / "cat" / "003.jpg", root / "dog" / "x.jpg")
    dataset = check(root, settings=SETTINGS)
    assert aside(dataset) == {
        "cat/003.jpg": "labelled cat, but dog/x.jpg is the same, labelled dog",
        "dog/x.jpg": "labelled dog, but cat/003.jpg is the same, labelled cat",
    }
    assert finding(dataset, "conflicting_labels").examples == ("cat/003.jpg", "dog/x.jpg")


def test_one_class_is_reported_and_cannot_be_trained_on(tmp_path: Path) -> None:
    dataset = check(photos(tmp_path, cat=3), settings=SETTINGS)
    assert dataset.findings[0].kind == "single_class"
    assert dataset.findings[0].severity == "error"
    with pytest.raises(DataError, match=r"one label, 'cat', with 3 usable examples \(for example cat/000\.jpg\)"):
        dataset.require_trainable()


def test_an_empty_class_is_told_and_left_out(tmp_path: Path) -> None:
    root = photos(tmp_path, cat=10, dog=10)
    (root / "bird").mkdir()
    (root / "fish").mkdir()
    (root / "fish" / "broken.jpg").write_bytes(b"x")
    dataset = check(root, settings=SETTINGS)
    assert finding(dataset, "empty_class").examples == ("bird", "fish")
    assert dataset.labels == ("cat", "dog")
    dataset.require_trainable()


def test_a_class_with_one_picture_is_learnt_and_said_to_be_untested(tmp_path: Path) -> None:
    dataset = check(photos(tmp_path, cat=10, dog=10, bird=1), settings=SETTINGS)
    assert [one.split for one in dataset.examples if one.label == "bird"] == ["train"]
    assert finding(dataset, "too_few_for_split").examples == ("bird",)
    assert finding(dataset, "tiny_class").examples == ("bird",)
    dataset.require_trainable()


def test_ten_thousand_classes_of_nothing_are_answered_quickly(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"class{number:05}").mkdir()
    start = time.monotonic()
    dataset = check(tmp_path, settings=SETTINGS)
    assert time.monotonic() - start < 10
    assert finding(dataset, "empty_class").count == 10_000
    assert len(finding(dataset, "empty_class").message) < 300
    with pytest.raises(DataError, match="not one usable example"):
        dataset.require_trainable()


def test_labels_that_differ_by_case_are_told_and_kept_apart(tmp_path: Path) -> None:
    dataset = check(photos(tmp_path, cat=10, Cat=10), settings=SETTINGS)
    assert finding(dataset, "labels_differ_by_case").examples == ("Cat", "cat")
    assert dataset.labels == ("Cat", "cat")


def test_a_label_that_programs_write_for_none_is_told(tmp_path: Path) -> None:
    dataset = check(photos(tmp_path, cat=10, dog=10, NaN=3, none=3), settings=SETTINGS)
    assert finding(dataset, "label_missing_by_name").examples == ("NaN",)
    assert "NaN" in dataset.labels


def test_labels_that_look_the_same_are_one_class(tmp_path: Path) -> None:
    names = ["é", unicodedata.normalize("NFD", "é"), "é "]
    photos(tmp_path, **dict.fromkeys(names, 5), dog=10)
    dataset = check(tmp_path, settings=SETTINGS)
    assert dataset.labels == ("dog", "é")
    assert finding(dataset, "labels_spelled_alike").count == 3
    assert all((tmp_path / one.path).exists() for one in dataset.examples)


def test_names_in_any_script_survive_saving_and_loading(tmp_path: Path) -> None:
    root = tmp_path / "фото 中文 😀\n"
    photos(root, **{"猫 咪": 4, "собака\n": 4, "🐟": 4})
    (root / "🐟" / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    dataset = check(root, settings=SETTINGS)
    assert dataset.labels == ("собака", "猫 咪", "🐟")
    dataset.save(tmp_path / "saved")
    loaded = Dataset.load(tmp_path / "saved")
    assert loaded == dataset
    assert all(loaded.path_of(one).is_file() for one in loaded.examples)
    assert aside(loaded) == {"🐟/\\xff.jpg": "its name is not valid UTF-8: rename it"}


def test_links_in_a_circle_do_not_hold_the_check_up(tmp_path: Path) -> None:
    root = photos(tmp_path / "pets", cat=10, dog=10)
    (root / "cat" / "round").symlink_to(root)
    dataset = check(root, settings=SETTINGS)
    assert len(dataset.examples) == 20
    assert set(aside(dataset)) == {"cat/round"}


AS_NOBODY = """
import os, sys
from pathlib import Path
from noria.data.check import check
from noria.inputs.image import Settings
os.setgroups([]); os.setgid(65534); os.setuid(65534)
dataset = check(Path(sys.argv[1]), settings=Settings())
for one in dataset.set_aside:
    print(one.path, "|", one.reason)
print(len(dataset.examples))
"""


def test_what_may_not_be_read_is_set_aside_with_that_reason(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become a user who may not read the files")
    # The folders above pytest's own are private.
    reachable = Path(tempfile.gettempdir()) / f"noria-test-{os.getpid()}"
    try:
        root = photos(reachable, cat=10, dog=10)
        (root / "cat" / "000.jpg").chmod(0)
        (root / "dog").chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(root)], capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        shutil.rmtree(reachable)
    if "PermissionError" in done.stderr and "noria" not in done.stdout:
        pytest.skip(f"another user cannot run Python here: {done.stderr.splitlines()[-1]}")
    assert done.stdout.splitlines() == [
        "cat/000.jpg | it cannot be read: Permission denied",
        "dog | the folder cannot be read: Permission denied",
        "9",
    ], done.stderr


def test_a_given_split_is_kept_but_never_leaks(tmp_path: Path) -> None:
    for side, start in (("train", 0), ("test", 100)):
        for label, offset in (("cat", 0), ("dog", 1000)):
            for number in range(12):
                photo(tmp_path / side / label / f"{number}.png", start + offset + number)
    shutil.copyfile(tmp_path / "test" / "cat" / "3.png", tmp_path / "train" / "cat" / "leak.png")
    dataset = check(tmp_path, settings=SETTINGS)
    assert dataset.counts() == {"train": 18, "validation": 6, "test": 24, "set_aside": 1}
    assert {one.split for one in dataset.examples if one.path.startswith("test/")} == {"test"}
    assert aside(dataset) == {"train/cat/leak.png": "given as train, but test/cat/3.png, a copy, as test"}
    assert finding(dataset, "given_split_leak").severity == "warning"
    assert "given_split" in kinds(dataset)


def test_pictures_of_one_group_stay_on_one_side(tmp_path: Path) -> None:
    rows = ["path,label,group"]
    for number in range(60):
        label = "sick" if number % 2 else "well"
        photo(tmp_path / f"{number}.png", number)
        rows.append(f"{number}.png,{label},patient {number // 5}")
    (tmp_path / "scans.csv").write_text("\n".join(rows))
    dataset = check(tmp_path / "scans.csv", settings=SETTINGS)
    assert dataset.name == "scans"
    assert len({(one.group, one.split) for one in dataset.examples}) == 12
    assert all(dataset.by_split(side) for side in ("train", "validation", "test"))


def test_few_against_many_is_told(tmp_path: Path) -> None:
    dataset = check(photos(tmp_path, cat=45, dog=4), settings=SETTINGS)
    assert finding(dataset, "imbalance").message == "'cat' has 45 usable examples, 'dog' only 4."


def test_findings_come_with_the_gravest_first(tmp_path: Path) -> None:
    root = photos(tmp_path, cat=1, dog=1)
    (root / ".hidden").touch()
    ranks = [("error", "warning", "info").index(one.severity) for one in check(root, settings=SETTINGS).findings]
    assert ranks == sorted(ranks)
    assert {0, 1, 2} <= set(ranks)


def test_what_makes_figures_wrong_comes_before_what_only_looks_odd() -> None:
    kinds = ["blurred", "unreadable", "shortcut", "wrong_labels", "given_split_leak"]
    found = [Finding(kind, "warning", 1000 - 200 * place, (), "") for place, kind in enumerate(kinds)]
    expected = ["given_split_leak", "shortcut", "wrong_labels", "unreadable", "blurred"]
    assert [one.kind for one in ranked(found)] == expected


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    root = photos(tmp_path, cat=4, dog=4)
    with (root / "cat" / "film.jpg").open("wb") as file:
        file.truncate(600 * 1024 * 1024)  # sparse: takes no room
    assert "more than 512 MiB" in aside(check(root, settings=SETTINGS))["cat/film.jpg"]


def test_a_second_check_takes_its_answers_from_the_cache(tmp_path: Path) -> None:
    root = photos(tmp_path / "pets", cat=10, dog=10)
    (root / "cat" / "bad.jpg").write_bytes(b"x")
    with InspectionCache(tmp_path / "cache" / "seen.sqlite") as cache:
        first = check(root, settings=SETTINGS, cache=cache)
    database = sqlite3.connect(tmp_path / "cache" / "seen.sqlite")
    assert database.execute("SELECT count(*) FROM entries").fetchone() == (21,)
    scope = database.execute("SELECT space FROM entries").fetchone()[0]
    database.close()

    def never(data: bytes) -> object:
        raise AssertionError("inspected again")

    with InspectionCache(tmp_path / "cache" / "seen.sqlite") as cache:
        assert check(root, settings=SETTINGS, cache=cache) == first
        paths = [root / one.path for one in first.examples]
        assert all(not one.reason for one in inspect_all(paths, never, scope=scope, cache=cache))
        with pytest.raises(AssertionError, match="inspected again"):
            inspect_all(paths, never, scope="other settings", cache=cache)


def test_other_limits_never_use_the_answers_of_these(tmp_path: Path) -> None:
    root = photos(tmp_path / "pets", cat=4, dog=4)
    with InspectionCache(tmp_path / "seen.sqlite") as cache:
        assert len(check(root, settings=SETTINGS, cache=cache).examples) == 8
        assert len(check(root, settings=Settings(min_side=25), cache=cache).examples) == 0
        assert len(check(root, settings=Settings(height=96), cache=cache).examples) == 8


def test_a_damaged_row_of_the_cache_is_not_believed(tmp_path: Path) -> None:
    root = photos(tmp_path / "pets", cat=4, dog=4)
    with InspectionCache(tmp_path / "seen.sqlite") as cache:
        first = check(root, settings=SETTINGS, cache=cache)
    with sqlite3.connect(tmp_path / "seen.sqlite") as database:
        database.execute("UPDATE entries SET value = replace(value, '32', '99')")
    database.close()
    with InspectionCache(tmp_path / "seen.sqlite") as cache:
        assert check(root, settings=SETTINGS, cache=cache) == first


@pytest.mark.parametrize("damage", [b"no database at all" * 500, None])
def test_a_damaged_cache_is_put_aside_and_begun_anew(tmp_path: Path, damage: bytes | None) -> None:
    root, path = photos(tmp_path / "pets", cat=30, dog=30), tmp_path / "seen.sqlite"
    with InspectionCache(path) as cache:
        first = check(root, settings=SETTINGS, cache=cache)
    content = path.read_bytes()
    path.write_bytes(damage or content[:4096] + b"\xff" * (len(content) - 4096))
    for turn in range(2):
        with InspectionCache(path) as cache:
            assert check(root, settings=SETTINGS, cache=cache) == first
            assert ("was damaged" in cache.trouble) == (turn == 0)
    assert list(tmp_path.glob("seen.sqlite.damaged-*"))


def test_a_cache_that_cannot_be_written_does_not_stop_the_check(tmp_path: Path) -> None:
    root = photos(tmp_path / "pets", cat=4, dog=4)
    for path in (root, root / "cat" / "000.jpg" / "seen.sqlite"):
        with InspectionCache(path) as cache:
            assert len(check(root, settings=SETTINGS, cache=cache).examples) == 8
            assert "is not used" in cache.trouble


INTERRUPTED = """
import sys, time
from pathlib import Path
from noria.data.inspection import InspectionCache, inspect_all
from noria.inputs.image import Settings, inspect

def slowly(data):
    print("inspecting", flush=True)
    time.sleep(0.05)
    return inspect(data, Settings())

paths = sorted(Path(sys.argv[1]).iterdir()) * 100
with InspectionCache(Path(sys.argv[2])) as cache:
    inspect_all(paths, slowly, scope="s", workers=2, cache=cache)
"""


def test_an_interrupted_check_stops_at_once_and_keeps_what_it_learnt(tmp_path: Path) -> None:
    for number in range(100):
        photo(tmp_path / "pets" / f"{number}.png", number)
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "pets"), str(tmp_path / "seen.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(10):
            child.stdout.readline()
        child.send_signal(signal.SIGINT)
        start = time.monotonic()
        _, errors = child.communicate(timeout=30)
    assert time.monotonic() - start < 5
    assert errors.strip().endswith("KeyboardInterrupt")
    database = sqlite3.connect(tmp_path / "seen.sqlite")
    assert 5 <= database.execute("SELECT count(*) FROM entries").fetchone()[0] < 100
    database.close()


def test_every_finding_names_files_that_are_there_and_what_to_do(
    photos: Path, shared_data: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(photos, tmp_path / "flowers"))
    (root / "Rose").mkdir()
    (root / "empty").mkdir()
    for number, photo in enumerate(sorted((shared_data / "flowers" / "tulip").glob("*.jpg"))[:2]):
        shutil.copyfile(photo, root / "Rose" / f"{number}.jpg")
    shutil.copyfile(root / "Rose" / "0.jpg", root / "daisy" / "tulip.jpg")
    for photo in sorted((shared_data / "flowers" / "rose").glob("*.jpg"))[20:32]:
        with Image.open(photo) as picture:
            picture.save(root / "rose" / f"{photo.stem}.png")
    told = {one.kind: one for one in check(root, settings=SETTINGS).findings}
    expected = {
        "tiny_class",
        "labels_differ_by_case",
        "too_few_for_split",
        "unreadable",
        "conflicting_labels",
        "imbalance",
    }
    assert expected <= told.keys()
    for one in told.values():
        named = one.files or one.examples
        assert one.remedy, one.kind
        assert len(named) <= 20, one.kind
        assert all((root / name).is_file() for name in named), (one.kind, named)
    assert set(told["tiny_class"].files) == {"Rose/1.jpg", "Rose/0.jpg"}
    texts = tmp_path / "t.csv"
    texts.write_text(
        "text,label,when\n" + "".join(f"some text {n} of {n * n} words,{'ab'[n % 2]},{n}\n" for n in range(60))
    )
    for one in check(texts, settings=TextSettings(), task="text_classification").findings:
        assert one.remedy and (one.kind == "not_searched" or {*one.files, *one.examples} & {"t.csv", "t.csv:2"}), (
            one.kind
        )


def test_near_duplicates_of_the_same_pictures_are_searched_once(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []

    @functools.wraps(image_similarity.near_pairs)
    def counted(*given: Any) -> Any:
        searched.append(len(given[0]))
        return near_pairs(*given)

    near_pairs = image_similarity.near_pairs
    monkeypatch.setattr(image_similarity, "near_pairs", counted)
    photos = sorted((shared_data / "flowers" / "rose").glob("*.jpg"))[:6]
    for number, file in enumerate(photos):
        (tmp_path / "data" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        with Image.open(file) as picture:
            picture.save(tmp_path / "data" / "ab"[number % 2] / f"{number}.png")
            picture.resize((200, 150)).save(tmp_path / "data" / "ab"[number % 2] / f"{number} small.png")

    def checked(with_features: bool) -> Any:
        vectors = np.eye(64, dtype=np.float32)
        features = (lambda wanted: vectors[: len(wanted)]) if with_features else None
        with InspectionCache(tmp_path / "seen.sqlite") as cache:
            return check(tmp_path / "data", settings=SETTINGS, cache=cache, features=features)

    assert checked(False).findings == checked(False).findings
    assert searched == [12, 12]  # without features parts are not found: another time they may be
    first = checked(True)
    assert checked(True) == first and first.proof is not None  # also the thresholds
    assert 0.22 <= first.proof["near_duplicates"]["threshold"] <= 0.6
    assert 0.5 <= first.proof["near_duplicates"]["parts_threshold"] <= 0.8
    assert [one.count for one in first.findings if one.kind == "near_duplicates"] == [6]
    assert searched == [12, 12, 12]
    (tmp_path / "data" / "a" / "0 small.png").unlink()
    assert [one.count for one in checked(True).findings if one.kind == "near_duplicates"] == [5]
    assert searched[3:] == [11]
