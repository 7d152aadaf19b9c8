"""Wrong labels that were planted are found, by scores of models that did not see them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noria
from noria.config import load_config
from noria.contracts import Finding, Silent
from noria.data.folds import FOLDS, folds_of
from noria.data.wrong_labels import doubt
from noria.held_out import scores_of_texts, scores_of_vectors

LABELS, PER_LABEL = 3, 200


@pytest.fixture(scope="module")
def clusters() -> tuple[Any, Any, Any]:
    """Vectors of three labels that hardly overlap, their true labels, and one label in ten made wrong."""
    drawn = np.random.default_rng(0)
    truth = np.repeat(np.arange(LABELS), PER_LABEL)
    centres = drawn.normal(size=(LABELS, 32))
    vectors = (centres[truth] + 0.6 * drawn.normal(size=(len(truth), 32))).astype(np.float32)
    wrong = np.zeros(len(truth), np.bool_)
    wrong[drawn.choice(len(truth), len(truth) // 10, replace=False)] = True
    given = np.where(wrong, (truth + drawn.integers(1, LABELS, len(truth))) % LABELS, truth)
    return vectors, truth, given


def scored_alone(vectors: Any, labels: Any) -> Any:
    (scores,) = scores_of_vectors(vectors, labels, LABELS, [folds_of(range(len(labels)), labels)])
    return scores


def test_the_wrong_ones_come_first_with_the_right_label_beside_them(clusters: tuple[Any, Any, Any]) -> None:
    vectors, truth, given = clusters
    doubts = doubt(scored_alone(vectors, given), given)
    wrong = set(np.flatnonzero(truth != given).tolist())
    assert len(set(doubts.wrong.tolist()) & wrong) >= 0.9 * len(wrong)
    assert len(set(doubts.wrong.tolist()) - wrong) <= 0.05 * len(wrong)
    first = doubts.wrong[: len(wrong) // 2]
    assert (doubts.suggested[first] == truth[first]).all()
    assert doubts.interval[0] <= 0.1 <= doubts.interval[1]
    assert list(doubts.sureness[doubts.wrong]) == sorted(doubts.sureness[doubts.wrong], reverse=True)


def test_right_labels_are_left_alone(clusters: tuple[Any, Any, Any]) -> None:
    vectors, truth, _ = clusters
    doubts = doubt(scored_alone(vectors, truth), truth)
    assert len(doubts.wrong) <= 2
    assert doubts.interval[0] <= 0.005


def test_it_is_told_how_often_the_model_agrees_with_the_labels() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
    assert doubt(scores, np.array([0, 1, 1, 1])).agreement == 0.5


def test_what_belongs_together_is_never_learnt_from_and_scored() -> None:
    units = np.repeat(np.arange(100), 3)
    folds = folds_of(units, np.arange(300) // 100 % 3)
    assert all(len(set(folds[units == unit])) == 1 for unit in range(100))
    assert {int((folds == fold).sum()) for fold in range(FOLDS)} == {60}


@pytest.fixture(scope="module")
def reviews(shared_data: Path) -> list[tuple[str, str]]:
    with (shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv").open(encoding="utf-8-sig", newline="") as file:
        _, *rows = csv.reader(file)
    rows = rows[:: len(rows) // 1200]
    return [(text, {"1": "good", "0": "bad"}[label]) for label, text in rows]


def test_wrong_labels_of_texts_are_found_and_answered_by_decisions(
    reviews: list[tuple[str, str]], tmp_path: Path
) -> None:
    drawn = np.random.default_rng(0)
    planted = set(drawn.choice(len(reviews), len(reviews) // 12, replace=False).tolist())
    other = {"good": "bad", "bad": "good"}
    table = tmp_path / "hotels.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "review"])
        for place, (text, label) in enumerate(reviews):
            writer.writerow([other[label] if place in planted else label, text])
    dataset = noria.check(table)
    (found,) = (one for one in dataset.findings if one.kind == "wrong_labels")
    assert found.severity == "warning"
    rate, interval = found.figures["noise_rate"], found.figures["noise_rate_interval"]
    assert isinstance(interval, list) and interval[0] <= rate <= interval[1]
    assert f"{rate:.1%}" in found.message
    agreement = found.figures["agreement"]
    assert isinstance(agreement, float) and 0.6 < agreement < 1
    assert f"agrees with {agreement:.1%}" in found.message
    scored = {suspect.path: suspect for suspect in found.suspects}
    surest = [suspect.path for suspect in found.suspects[:30]]
    lines = {f"hotels.csv:{line}" for line in _lines_of(table, planted)}
    assert len(set(surest) & lines) >= 20  # planted ones are one in twelve of all
    assert all(one.suggested == other[one.label] for one in scored.values())
    decision = tmp_path / "hotels.csv.decisions.csv"
    first = found.suspects[0]
    decision.write_text(f"path,decision,finding\n{first.path},keep,wrong_labels\n", encoding="utf-8")
    (again,) = (one for one in noria.check(table).findings if one.kind == "wrong_labels")
    assert first.path not in {one.path for one in again.suspects}


def _lines_of(table: Path, places: set[int]) -> list[int]:
    """The line on which each row of a table begins."""
    with table.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        begins, before = [], reader.line_num
        for _ in reader:
            begins.append(before + 1)
            before = reader.line_num
    return [begins[place] for place in places]


def test_the_search_tells_how_many_of_its_models_are_fitted(clusters: tuple[Any, Any, Any]) -> None:
    told: list[object] = []

    class Bars(Silent):
        def track(self, label: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
            told.append((label, total))
            return nullcontext(told.append)

    vectors, truth, _ = clusters
    foldings = [folds_of(range(len(truth)), truth)] * 2
    texts = [f"text {number % 7} of {label}".encode() for number, label in enumerate(truth)]
    bar = [("wrong labels", 2 * FOLDS), *[1] * (2 * FOLDS)]
    assert len(scores_of_vectors(vectors, truth, LABELS, foldings, Bars())) == 2
    assert told == bar
    scores_of_texts(texts, truth, LABELS, foldings, Bars())
    assert told == bar * 2


def test_a_setting_turns_the_search_off(reviews: list[tuple[str, str]], tmp_path: Path) -> None:
    table = tmp_path / "hotels.jsonl"
    rows = (json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in reviews[:200])
    table.write_text("\n".join(rows), encoding="utf-8")
    config = load_config(None, ["data.wrong_labels=false"], data=table)
    assert all(one.kind != "wrong_labels" for one in noria.check(table, config=config).findings)


def test_texts_that_are_copies_do_not_vouch_for_each_other(reviews: list[tuple[str, str]]) -> None:
    texts = [text.encode() for text, _ in reviews[:150]]
    labels = np.array([label == "good" for _, label in reviews[:150]], np.int64)
    doubled, wrong = texts * 2, np.concatenate([labels, labels])
    wrong[[0, 150]] = 1 - wrong[0]
    foldings = [folds_of([*range(150), *range(150)], wrong), folds_of(range(300), wrong)]
    scores, alone = scores_of_texts(doubled, wrong, 2, foldings)
    assert scores[0, wrong[0]] < alone[0, wrong[0]]


def test_a_label_that_lies_in_one_group_is_not_doubted(reviews: list[tuple[str, str]], tmp_path: Path) -> None:
    """As all frames of one video do: a model that did not see the group knows nothing of its label."""
    table = tmp_path / "hotels.csv"
    rows = [(text, label, label) for text, label in reviews[::4]]

    def checked(rows: list[tuple[str, ...]]) -> dict[str, Finding]:
        with table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label", "group"), *rows])
        return {one.kind: one for one in noria.check(table).findings}

    found = checked(rows)
    assert {"wrong_labels", "leak_cost"}.isdisjoint(found)
    assert found["not_searched"].examples == ("wrong labels", "leak cost")
    assert "videos or groups" in found["not_searched"].message
    apart = [(text, label, "") for text, label in reviews[::4]]
    strange = [(f"{text} 谢谢", "praise", "one author") for text, label in reviews[1:80:4] if label == "good"]
    found = checked([*apart, *strange])
    assert strange
    assert {one.label for one in found["wrong_labels"].suspects} == {"good", "bad"}
