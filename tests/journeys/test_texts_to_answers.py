"""Journeys of a user with texts: a table to answers, Chinese and English, TensorFlow alone, the light half alone."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import noria
from noria.artifacts.bundle import Bundle
from noria.artifacts.run import Run

NORIA = [sys.executable, "-m", "noria"]
ENGLISH, CHINESE = 1_200, 900  # texts


def call(*words: object, given: bytes = b"") -> list[dict[str, Any]]:
    """Run one command to its end and return the JSON objects that it printed."""
    done = subprocess.run([*NORIA, *map(str, words), "--json"], input=given, capture_output=True, timeout=280)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return [json.loads(line) for line in done.stdout.split(b"\n") if line]


@pytest.fixture(scope="module")
def films(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Film reviews as a CSV with the dirt that tables have: a copy, an empty text, one text with two labels."""
    table = tmp_path_factory.mktemp("texts") / "films.csv"
    with gzip.open(shared_data / "imdb" / "imdb_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        every = [json.loads(line) for line in lines]
    rows = [(one["text"], ("bad", "good")[one["label"]]) for one in every[:: len(every) // ENGLISH]]
    rows += [rows[0], ("", "good"), ("Both sides of this film", "good"), ("both sides  of this film", "bad")]
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("review", "sentiment"), *rows])
    return table


@pytest.fixture(scope="module")
def films_run(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return noria.train(films, tmp_path_factory.mktemp("runs") / "films")


@pytest.fixture(scope="module")
def films_bundle(films_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return noria.export(films_run, tmp_path_factory.mktemp("bundles") / "films")


def test_a_table_of_reviews_becomes_a_model_that_is_right_more_often_than_not(films_run: Run) -> None:
    facts = films_run.manifest
    assert facts.task == "text_classification"
    assert facts.labels == ("bad", "good")
    assert facts.test["accuracy"] > 0.7
    assert facts.num_examples["set_aside"] == 3


def test_the_report_tells_the_dirt_and_shows_texts(films_run: Run) -> None:
    told = json.loads((films_run.path / "report.json").read_text(encoding="utf-8"))
    reasons = {one["path"]: one["reason"] for one in told["set_aside"]}
    assert sum("labelled" in reason for reason in reasons.values()) == 2
    kinds = {finding["kind"] for finding in told["findings"]}
    assert {"conflicting_labels", "empty_text", "exact_duplicates", "columns_chosen"} <= kinds
    page = films_run.report.read_text(encoding="utf-8")
    assert "<blockquote>" in page or "<mark" in page


def test_every_file_of_the_bundle_answers_like_the_keras_model(films_bundle: Bundle) -> None:
    verified = {row["name"]: row for row in films_bundle.manifest.verified}
    assert {"keras", "savedmodel", "litert"} <= set(verified)
    assert all(not row["failures"] for row in verified.values())
    assert verified["litert"]["max_score_difference"] < 1e-4
    assert verified["savedmodel"]["max_score_difference"] < 1e-4


def test_answers_come_from_the_light_half_alone(films_bundle: Bundle) -> None:
    code = (
        "import sys, noria\n"
        f"answers = list(noria.predict({str(films_bundle.path)!r}, [b'A wonderful, moving film', b'Awful. A waste']))\n"
        "assert [one['label'] for one in answers] == ['good', 'bad'], answers\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_each_line_of_standard_input_is_a_text(films_bundle: Bundle) -> None:
    answers = call("predict", films_bundle.path, "-", given=b"A wonderful, moving film\n\nAwful. A waste of time\n")
    assert [one.get("label") for one in answers] == ["good", None, "bad"]
    assert "error" in answers[1]


def test_the_rows_of_a_table_and_a_text_given_in_the_command_are_answered(films_bundle: Bundle, tmp_path: Path) -> None:
    table = tmp_path / "new.csv"
    table.write_text("id,review\n1,A wonderful moving film\n2,\n3,Awful. A waste\n4,a,b\n", encoding="utf-8")
    rows = call("predict", films_bundle.path, table)
    assert [one.get("label", "error") for one in rows] == ["good", "error", "bad", "error"]
    assert "empty" in rows[1]["error"]
    assert "it has 3 cells, but the table has 2 columns" in rows[3]["error"]
    (one,) = call("predict", films_bundle.path, "--text", "A wonderful, moving film")
    assert one["label"] == "good"


def test_a_guessed_encoding_is_told_on_standard_error_by_every_verb_that_reads_texts(
    films_bundle: Bundle, tmp_path: Path
) -> None:
    table = tmp_path / "new.csv"
    rows = "Un café très agréable,good\nUne soirée gâchée,bad\n"
    table.write_bytes(f"review,sentiment\n{rows}".encode("cp1252"))
    for verb in ("predict", "explain", "evaluate", "verify"):
        done = subprocess.run([*NORIA, verb, films_bundle.path, table, "--json"], capture_output=True, timeout=280)
        told = [line for line in done.stderr.decode().splitlines() if "Guessed" in line]
        assert len(told) == 1 and "column 'review'" in told[0] and "café" in told[0], done.stderr.decode()


def test_the_savedmodel_answers_raw_strings_with_nothing_but_tensorflow(films_bundle: Bundle) -> None:
    golden = films_bundle.manifest.golden
    texts = [(films_bundle.path / one.path).read_bytes() for one in golden]
    code = (
        "import sys, json\n"
        "sys.modules['noria'] = None\n"
        "import tensorflow as tf\n"
        f"model = tf.saved_model.load({str(films_bundle.file('savedmodel'))!r})\n"
        f"answer = model.signatures['serving_default'](input_text=tf.constant({texts!r}))\n"
        "print(json.dumps(answer['scores'].numpy().tolist()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=120)
    scores = json.loads(done.stdout.splitlines()[-1])
    for row, one in zip(scores, golden, strict=True):
        assert row == pytest.approx(one.scores, abs=1e-4)


def test_a_run_is_exported_after_rows_were_added_to_its_table(films: Path, films_run: Run, tmp_path: Path) -> None:
    before = films.read_bytes()
    try:
        films.write_bytes(before.replace(b"review,sentiment\r\n", b"review,sentiment\r\nA new row,good\r\n"))
        assert noria.export(films_run, tmp_path / "bundle", formats="litert").manifest.golden
        films.write_bytes(b"review,sentiment\r\nonly,good\r\nthis,bad\r\n")
        with pytest.raises(noria.errors.DataError, match=r"was changed"):
            noria.export(films_run, tmp_path / "other", formats="litert")
    finally:
        films.write_bytes(before)


def test_evaluate_measures_a_bundle_on_a_table(films_bundle: Bundle, films: Path) -> None:
    (told,) = call("evaluate", films_bundle.path, films)
    assert told["num_examples"] > ENGLISH * 0.9
    assert told["accuracy"] > 0.8  # mostly texts that it was trained on


# Chinese, in the encoding of old Windows programs


@pytest.fixture(scope="module")
def hotels_run(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("hotels")
    with (shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    table = folder / "酒店.csv"
    with table.open("w", encoding="gb18030", newline="") as file:
        csv.writer(file).writerows([rows[0], *rows[1 :: len(rows) // CHINESE]])
    return noria.train(table, folder / "run")


def test_chinese_in_gb18030_is_read_told_and_learnt(hotels_run: Run) -> None:
    told = json.loads((hotels_run.path / "report.json").read_text(encoding="utf-8"))
    (finding,) = (one for one in told["findings"] if one["kind"] == "encoding")
    assert "gb18030" in finding["message"].lower()
    assert hotels_run.manifest.test["accuracy"] > told["baseline"]["accuracy"]
    words: Sequence[str] = (hotels_run.path / "input" / "words.txt").read_text(encoding="utf-8").splitlines()
    assert "酒" in words and "店" in words
