"""`noria explain`: the words behind an answer, from Python and from the command line, of a model that was trained."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noria
from noria.artifacts.bundle import Bundle
from noria.artifacts.run import Run
from noria.data.readers import Columns
from noria.errors import ConfigError
from noria.highlights import explanation
from noria.inference.predictor import Predictor

TEXTS = 700
NORIA = [sys.executable, "-m", "noria", "explain"]


@pytest.fixture(scope="module")
def hotels(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Reviews of hotels in Chinese, and a model of them."""
    source = shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv"
    with source.open(encoding="utf-8-sig", newline="") as file:
        rows = [(row["review"], ("bad", "good")[int(row["label"])]) for row in csv.DictReader(file)]
    folder = tmp_path_factory.mktemp("hotels")
    with (folder / "hotels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("review", "opinion"), *rows[:: len(rows) // TEXTS]])
    return noria.train(folder / "hotels.csv", folder / "run")


@pytest.fixture(scope="module")
def reviews(hotels: Run) -> list[bytes]:
    with (hotels.path.parent / "hotels.csv").open(encoding="utf-8", newline="") as file:
        return [row["review"].encode() for row in csv.DictReader(file)][:40]


def test_bias_and_words_add_up_to_the_log_odds_of_the_very_answer(hotels: Run, reviews: list[bytes]) -> None:
    answers = list(noria.predict(hotels, reviews))
    for told, answer in zip(noria.explain(hotels, reviews), answers, strict=True):
        assert told["method"] == "exact"
        assert told["label"] == answer["label"]
        assert told["confidence"] == pytest.approx(answer["confidence"], abs=1e-5)
        total = told["bias"] + sum(word[1] for word in told["words"])
        confidence = answer["confidence"]
        assert total == pytest.approx(np.log(confidence / (1 - confidence)), abs=2e-3)


def test_every_word_is_told_with_its_place_in_the_text(hotels: Run, reviews: list[bytes]) -> None:
    for told, data in zip(noria.explain(hotels, reviews), reviews, strict=True):
        assert told["text"] == data.decode()
        assert all(told["text"][start:end] == word for word, _, start, end in told["words"])
        ends = [0, *(word[3] for word in told["words"])]
        assert all(word[2] >= end for word, end in zip(told["words"], ends, strict=False))


def test_what_pushes_an_answer_is_what_a_person_expects(hotels: Run) -> None:
    (told,) = noria.explain(hotels, "服务很差，很脏".encode())
    pushed = {word[0]: word[1] for word in told["words"]}
    assert told["label"] == "bad"
    assert pushed["差"] > 0.1
    assert pushed["差"] > pushed["很"]


def test_the_report_marks_words_and_lists_those_that_speak_for_each_label(hotels: Run) -> None:
    report = json.loads((hotels.path / "report.json").read_bytes())
    shown = [*report["mistakes"], *report["least_certain"]]
    assert shown
    assert {row["explained"]["method"] for row in shown} == {"exact"}
    words = {row["label"]: [word["text"] for word in row["words"]] for row in report["speaking"]}
    assert words.keys() == {"bad", "good"}
    assert any("差" in word for word in words["bad"])
    assert not any("差" in word for word in words["good"][:10])
    page = hotels.report.read_text("utf-8")
    assert "Words that speak for each label" in page
    assert '<mark class="for s4"' in page


def test_an_engine_that_takes_whole_texts_only_is_asked_by_leaving_words_out(
    hotels: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Predictor, "takes_arrays", property(lambda _self: False))
    (told,) = noria.explain(hotels, ["房间很好，但是早餐太差".encode()])
    assert told["method"] == "occlusion"
    assert len(told["words"]) == 11


def explain(run: Run, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*NORIA, str(run.path), *words], input=given, capture_output=True, timeout=120, check=False)


def test_the_command_line_writes_a_json_line_for_each_text(hotels: Run, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("酒店不错", encoding="utf-8")
    done = explain(hotels, str(tmp_path / "one.txt"), "-", "--text", "很脏", "--json", given="服务好\n\n".encode())
    assert done.returncode == 0, done.stderr.decode()
    rows: Sequence[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["input"] for row in rows] == ["text 1", str(tmp_path / "one.txt"), "line 1", "line 2"]
    words = [[word[0] for word in row.get("words", ())] for row in rows]
    assert words == [list("很脏"), list("酒店不错"), list("服务好"), []]
    assert "empty" in rows[3]["error"]


def test_the_column_of_a_table_can_be_named(hotels: Run, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("question,text\n服务好,很脏\n", encoding="utf-8")
    done = explain(hotels, str(tmp_path / "r.csv"), "--column", "question", "--json")
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["text"] == "服务好"
    (told,) = noria.explain(hotels, tmp_path / "r.csv", columns=Columns(text="text"))
    assert told["text"] == "很脏"


def test_a_person_reads_the_strongest_words_with_their_numbers(hotels: Run) -> None:
    done = explain(hotels, "--text", "服务很差\x1b[31m，很脏")
    said = done.stdout.decode()
    assert done.returncode == 0, done.stderr.decode()
    assert "text 1: bad" in said
    assert "差 +" in said
    assert "\x1b" not in said


def test_nothing_to_explain_is_a_message(hotels: Run) -> None:
    done = explain(hotels)
    assert done.returncode == 2
    assert "Name files, or - for standard input, or give a text" in done.stderr.decode()


def test_a_model_of_pictures_is_refused_before_anything_is_read(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match=r"answers for pictures, and only answers for texts can be explained"):
        noria.explain(bundle, "no such file.jpg")


def test_a_terminal_shows_what_pushed_in_green_and_red(hotels: Run, reviews: list[bytes]) -> None:
    told = next(
        one for one in noria.explain(hotels, reviews) if {word[1] > 0 for word in one["words"]} == {True, False}
    )
    _, passage, *_ = explanation(told)
    shown = {(passage.plain[span.start : span.end], str(span.style).split()[-1]) for span in passage.spans}
    pushed = {word: contribution for word, contribution, *_ in told["words"]}
    strongest, weakest = max(pushed, key=lambda word: pushed[word]), min(pushed, key=lambda word: pushed[word])
    assert any(strongest in text and colour == "green" for text, colour in shown)
    assert any(weakest in text and colour == "red" for text, colour in shown)
