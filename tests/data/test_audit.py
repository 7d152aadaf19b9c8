"""A saved dataset is verified: what was changed, and what leaks, is found; what holds is left in peace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from noria.artifacts.dataset import Dataset
from noria.cli import app
from noria.contracts import Silent
from noria.data.audit import audit
from noria.data.check import check
from noria.data.decisions import Decision, append
from noria.data.readers import Columns
from noria.inputs.image import Settings
from noria.inputs.text import Settings as TextSettings


def kinds(dataset: Dataset) -> dict[str, int]:
    return {one.kind: one.count for one in dataset.findings if one.kind in ("leak", "dataset_changed")}


def torn(folder: Path, path: str, side: str) -> None:
    """Put an example on another side, as a hand would, and make the fingerprint fit."""
    rows = [orjson.loads(line) for line in (folder / "examples.jsonl").read_bytes().splitlines()]
    for row in rows:
        if row["path"] == path:
            row["split"] = side
    (folder / "examples.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    index = json.loads((folder / "dataset.json").read_text())
    index["fingerprint"] = Dataset.load(folder, strict=False).fingerprint
    (folder / "dataset.json").write_text(json.dumps(index))


@pytest.fixture
def data(photos: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(photos, tmp_path / "flowers"))


@pytest.fixture
def folder(data: Path, tmp_path: Path) -> Path:
    check(data, settings=Settings()).save(tmp_path / "dataset")
    return tmp_path / "dataset"


def audited(folder: Path) -> Dataset:
    return audit(folder, progress=Silent())


def test_a_dataset_carries_the_proof_that_nothing_is_torn(folder: Path) -> None:
    proof = Dataset.load(folder).proof
    assert proof is not None
    assert set(proof["cross_split_pairs"].values()) == {0}
    assert proof["ties"]["copies"] == 1
    assert proof["units_together"] >= 1
    assert proof["near_duplicates"]["search"] == "image"
    assert 0.22 <= proof["near_duplicates"]["threshold"] <= 0.6
    assert proof["near_duplicates"]["parts_threshold"] is None  # nothing gave features


def test_a_dataset_that_holds_is_left_in_peace(folder: Path) -> None:
    again = audited(folder)
    assert kinds(again) == {}
    assert again.proof == Dataset.load(folder).proof


def test_a_file_that_was_changed_and_one_that_is_gone_are_found(data: Path, folder: Path) -> None:
    first, second = sorted((data / "daisy").glob("1*.jpg"))[:2]
    first.unlink()
    second.write_bytes(second.read_bytes() + b"\0")
    (told,) = [one for one in audited(folder).findings if one.kind == "dataset_changed"]
    assert set(told.examples) == {f"daisy/{first.name}", f"daisy/{second.name}"}


def test_a_copy_on_another_side_is_a_leak_with_its_other(data: Path, folder: Path) -> None:
    copy = next(one for one in Dataset.load(folder).examples if one.path == "rose/copy of a rose.jpg")
    torn(folder, copy.path, "test" if copy.split != "test" else "train")
    (told,) = [one for one in audited(folder).findings if one.kind == "leak"]
    assert told.severity == "error"
    assert "rose/copy of a rose.jpg" in {told.suspects[0].path, told.suspects[0].other}


def test_a_list_that_was_changed_by_hand_is_found(folder: Path) -> None:
    rows = (folder / "examples.jsonl").read_bytes()
    (folder / "examples.jsonl").write_bytes(rows.replace(b'"split":"test"', b'"split":"train"', 1))
    assert kinds(audited(folder))["dataset_changed"] == 1


def test_the_texts_of_a_table_are_verified(tmp_path: Path) -> None:
    lines = [
        f'"this is text {number} of {number * 7} about things",{"ab"[number % 2]},w{number // 4}'
        for number in range(60)
    ]
    table = tmp_path / "notes.csv"
    table.write_text("\n".join(["text,label,author", *lines]))
    columns = Columns(group="column:author")
    check(table, settings=TextSettings(), columns=columns, task="text_classification").save(tmp_path / "dataset")
    assert kinds(audited(tmp_path / "dataset")) == {}
    table.write_text("\n".join(["text,label,author", *lines[1:]]).replace("text 9 ", "text nine "))
    assert kinds(audited(tmp_path / "dataset")) == {"dataset_changed": 2}
    table.unlink()
    assert kinds(audited(tmp_path / "dataset")) == {"dataset_changed": 60}


def test_members_of_a_group_on_two_sides_are_a_leak(tmp_path: Path) -> None:
    lines = [
        f'"this is text {number} of {number * 7} about things",{"ab"[number % 2]},w{number // 4}'
        for number in range(60)
    ]
    (tmp_path / "notes.csv").write_text("\n".join(["text,label,group", *lines]))
    dataset = check(tmp_path / "notes.csv", settings=TextSettings(), task="text_classification")
    dataset.save(tmp_path / "dataset")
    one = dataset.examples[0]
    torn(tmp_path / "dataset", one.path, "test" if one.split != "test" else "train")
    assert kinds(audited(tmp_path / "dataset")) == {"leak": 3}


def test_what_is_learnt_from_is_no_newer_than_what_is_held_out(tmp_path: Path) -> None:
    rows = [
        f'"this is text {number} of {number * 7} about things",{"ab"[number % 2]},2024-01-{1 + number:02},'
        + ("pair" if number in (0, 29) else "")
        for number in range(30)
    ]
    (tmp_path / "notes.csv").write_text("\n".join(["text,label,date,group", *rows]))
    columns = Columns(order="column:date")
    dataset = check(tmp_path / "notes.csv", settings=TextSettings(), columns=columns, task="text_classification")
    dataset.save(tmp_path / "dataset")
    assert dataset.proof is not None
    assert {one.split for one in dataset.examples if one.group == "pair"} == {"test"}  # as new as its newest member
    assert dataset.proof["time_order"] == {"order": "column:date", "train_newer_than_held_out": 0}
    assert audited(tmp_path / "dataset").proof == dataset.proof
    newest = max((one for one in dataset.examples if not one.group), key=lambda one: one.facts["order"])
    torn(tmp_path / "dataset", newest.path, "train")
    again = audited(tmp_path / "dataset")
    assert again.proof is not None and again.proof["time_order"]["train_newer_than_held_out"] == 1
    (told,) = [one for one in again.findings if one.kind == "leak"]
    assert told.examples == (newest.path,) and told.severity == "error"
    done = CliRunner().invoke(app, ["check", str(tmp_path / "dataset"), "-q"])
    assert done.exit_code == 1 and "newer than what is held out: 1" in " ".join(done.stdout.split())


def test_what_a_decision_tied_is_verified_without_its_file(data: Path, tmp_path: Path) -> None:
    before = check(data, settings=Settings())
    first = before.by_split("train")[0]
    second = next(one for one in before.by_split("test") if one.label == first.label)
    log = tmp_path / "decisions.csv"
    append(log, Decision("same", first.path, first.sha256, other=second.path, other_sha256=second.sha256))
    dataset = check(data, settings=Settings(), decisions=log)
    assert dataset.proof is not None
    assert dataset.proof["ties"]["same"] == 1
    dataset.save(tmp_path / "dataset")
    log.unlink()
    side = next(one.split for one in dataset.examples if one.path == first.path)
    torn(tmp_path / "dataset", first.path, "train" if side != "train" else "test")
    again = audited(tmp_path / "dataset")
    assert again.proof is not None
    assert again.proof["cross_split_pairs"]["same"] == 1


def test_the_command_fails_where_a_dataset_does_not_hold(data: Path, folder: Path) -> None:
    assert CliRunner().invoke(app, ["check", str(folder), "-q"]).exit_code == 0
    min((data / "rose").glob("1*.jpg")).unlink()
    failed = CliRunner().invoke(app, ["check", str(folder), "--json", "-q"])
    assert failed.exit_code == 1
    assert "dataset_changed" in {one["kind"] for one in json.loads(failed.stdout.splitlines()[0])["findings"]}


def test_a_finished_dataset_takes_no_settings(folder: Path) -> None:
    for option in (["--group", "{group}_*"], ["--seed", "1"], ["--page"]):
        assert CliRunner().invoke(app, ["check", str(folder), *option]).exit_code == 2


def test_fail_on_leak_covers_a_split_that_was_given(tmp_path: Path) -> None:
    lines = [f'"this is text {number} of {number * 7} about things",{"ab"[number % 2]}' for number in range(40)]
    rows = [f"{line},{('train', 'validation', 'test')[place % 3]}" for place, line in enumerate(lines)]
    table = tmp_path / "notes.csv"
    table.write_text("\n".join(["text,label,split", *rows]))
    assert CliRunner().invoke(app, ["check", str(table), "--fail-on", "leak,unreadable"]).exit_code == 0
    table.write_text("\n".join(["text,label,split", *rows, f"{lines[0]},test"]))
    assert CliRunner().invoke(app, ["check", str(table), "--fail-on", "leak,unreadable"]).exit_code == 1


def test_fail_on_unreadable_covers_what_cannot_be_reached_and_broken_rows(data: Path, tmp_path: Path) -> None:
    for name in ("daisy/broken.jpg", "rose/empty.jpg", "rose/notes.txt", "sunflower/cut off.jpg"):
        (data / name).unlink()
    words = ["--fail-on", "unreadable", "-q"]
    assert CliRunner().invoke(app, ["check", str(data), *words]).exit_code == 0
    (data / "rose" / "moved.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert CliRunner().invoke(app, ["check", str(data), *words]).exit_code == 1
    table = tmp_path / "notes.csv"
    lines = [f'"this is text {number} of {number * 7} about things",{"ab"[number % 2]}' for number in range(40)]
    table.write_text("\n".join(["text,label", *lines]))
    assert CliRunner().invoke(app, ["check", str(table), *words]).exit_code == 0
    table.write_text("\n".join(["text,label", *lines, "alone"]))
    assert CliRunner().invoke(app, ["check", str(table), *words]).exit_code == 1
    manifest = tmp_path / "manifest.csv"
    rows = [f"flowers/{photo.relative_to(data)},{photo.parent.name}" for photo in sorted(data.glob("*/[0-9]*.jpg"))]
    manifest.write_text("\n".join(["path,label", *rows]))
    assert CliRunner().invoke(app, ["check", str(manifest), *words]).exit_code == 0
    manifest.write_text("\n".join(["path,label", *rows, "flowers/gone.jpg,rose"]))
    assert CliRunner().invoke(app, ["check", str(manifest), *words]).exit_code == 1
