"""A network that reads words in order goes the whole way as n-grams do: three labels, Chinese, every verb."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NORIA = [sys.executable, "-m", "noria"]
CATEGORIES = ("书籍", "水果", "洗发水")
EACH = 220  # texts


def call(*words: object) -> list[dict[str, Any]]:
    """Run one command to its end and return the JSON objects that it printed."""
    done = subprocess.run([*NORIA, *map(str, words), "--json"], capture_output=True, timeout=280)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return [json.loads(line) for line in done.stdout.split(b"\n") if line]


@pytest.fixture(scope="module")
def table(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reviews of a Chinese shop, labelled by what was bought."""
    rows: dict[str, list[str]] = {name: [] for name in CATEGORIES}
    with (shared_data / "zh_reviews" / "online_shopping_10_cats.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            of = rows.get(row["cat"])
            if of is not None and len(of) < EACH and len(row["review"]) > 8:
                of.append(row["review"])
    path = tmp_path_factory.mktemp("shop") / "shop.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((text, name) for name in CATEGORIES for text in rows[name])])
    return path


@pytest.fixture(scope="module")
def trained(table: Path) -> dict[str, Any]:
    short = ("--set", "input.length=64", "--set", "training.epochs=10", "--set", "training.batch_size=32")
    (told,) = call("train", table, "--model", "textcnn", "--out", table.parent / "run", *short)
    return told


@pytest.fixture(scope="module")
def bundle(trained: dict[str, Any]) -> Path:
    (told,) = call("export", trained["run"], "--out", Path(trained["run"]).parent / "bundle")
    assert {"keras", "savedmodel", "litert"} <= {one["format"] for one in told["files"]}
    return Path(told["bundle"])


def test_it_is_right_far_more_often_than_chance(trained: dict[str, Any]) -> None:
    assert trained["num_classes"] == len(CATEGORIES)
    assert trained["test"]["accuracy"] > 0.6


def test_every_file_answers_alike(bundle: Path, table: Path) -> None:
    (told,) = call("verify", bundle, table)
    assert told["passed"]
    rows = {row["name"]: row for row in told["runtimes"]}
    assert all(rows[name]["max_score_difference"] < 1e-3 for name in ("keras", "savedmodel", "litert"))


def test_texts_are_answered_as_evaluated(bundle: Path, table: Path) -> None:
    (measured,) = call("evaluate", bundle, table)
    answers = call("predict", bundle, table)
    with table.open(encoding="utf-8", newline="") as file:
        truth = [row["label"] for row in csv.DictReader(file)]
    assert len(answers) == len(truth)
    right = sum(answer.get("label") == label for answer, label in zip(answers, truth, strict=True))
    assert right / len(truth) == pytest.approx(measured["accuracy"], abs=0.02)  # evaluate leaves copies out


def test_an_answer_is_explained_by_leaving_words_out(bundle: Path) -> None:
    (told,) = call("explain", bundle, "--text", "这本书很好看，内容丰富，孩子很喜欢看")
    assert told["method"] == "occlusion"
    assert told["label"] in CATEGORIES
    assert {word for word, *_ in told["words"]} >= {"书"}


def test_golden_texts_travel_with_their_ids_and_another_reader_is_refused(bundle: Path, tmp_path: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    assert all(one["ids"] and 0 not in one["ids"][-1:] for one in manifest["golden"])
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    manifest["golden"][0]["ids"][0] += 1
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    done = subprocess.run([*NORIA, "verify", str(copy)], capture_output=True, timeout=120)
    assert done.returncode != 0
    assert b"is read as other ids" in done.stderr
