"""What a leak would have claimed is told: of a given split that leaks, and of copies that are kept together."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noria
from noria.contracts import Example, Finding
from noria.data.judging import judge
from noria.data.unsearched import Unsearched

REVIEWS = 1200


@pytest.fixture(scope="module")
def reviews(shared_data: Path) -> list[tuple[str, str]]:
    """Half of the labels are wrong, so that no text says its own: what is right beyond chance is learnt by heart."""
    with (shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv").open(encoding="utf-8-sig", newline="") as file:
        _, *rows = csv.reader(file)
    drawn = np.random.default_rng(0)
    long = [text for _, text in rows if len(text) > 60]
    return [(text, str(drawn.choice(["good", "bad"]))) for text in long[:: len(long) // REVIEWS]]


def _table(path: Path, rows: list[tuple[str, ...]], *columns: str) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("label", "review", *columns), *rows])
    return path


def _told(table: Path) -> Finding:
    (found,) = (one for one in noria.check(table).findings if one.kind == "leak_cost")
    return found


def _accuracies(found: Finding) -> tuple[float, float]:
    """With the leaks, and without; what the finding says of them fits together."""
    figures: dict[str, Any] = dict(found.figures)
    claimed, sound = figures["accuracy_with_leaks"], figures["accuracy_without_leaks"]
    low, high = figures["accuracy_difference_interval"]
    assert low <= figures["accuracy_difference"] == claimed - sound <= high
    assert f"{claimed:.1%}" in found.message and f"{sound:.1%}" in found.message
    return claimed, sound


def test_near_copies_that_are_kept_together_would_have_claimed_much(
    reviews: list[tuple[str, str]], tmp_path: Path
) -> None:
    rows = [(label, text + mark) for text, label in reviews for mark in ("", " 谢谢")]
    found = _told(_table(tmp_path / "hotels.csv", rows))
    claimed, sound = _accuracies(found)
    assert claimed > 0.75
    assert 0.4 < sound < 0.6  # nothing can be learnt of labels that were drawn
    assert found.severity == "info"
    assert found.count == len(rows)


def test_a_given_split_that_leaks_is_scored_with_and_without_what_is_left_out(
    reviews: list[tuple[str, str]], tmp_path: Path
) -> None:
    test = reviews[:300]
    rows = [(label, text, "test") for text, label in test]
    rows += [(label, text, "train") for text, label in reviews[300:]]
    rows += [(label, text + " 谢谢", "train") for text, label in test[:200]]
    found = _told(_table(tmp_path / "hotels.csv", rows, "split"))
    assert found.count == 200
    claimed, sound = _accuracies(found)
    assert claimed > sound + 0.15
    assert found.figures["scored"] == 300


def test_where_nothing_is_tied_nothing_is_told(reviews: list[tuple[str, str]], tmp_path: Path) -> None:
    table = _table(tmp_path / "hotels.csv", [(label, text) for text, label in reviews])
    assert all(one.kind != "leak_cost" for one in noria.check(table).findings)


def test_a_given_split_without_anything_to_score_tells_nothing() -> None:
    examples = [
        Example(f"{place}", "ab"[place % 2], f"{place:x}", f"{place:x}", "train", None, {}) for place in range(80)
    ]
    leaked = examples[:2]

    def held_out(given: object, source_of: object, foldings: list[np.ndarray]) -> list[np.ndarray]:
        assert len(foldings) == 1
        return [np.full((82, 2), 0.5, np.float32)]

    found = judge(examples, range(80), leaked, lambda one: Path(one.path), held_out, Unsearched(list))
    assert "leak_cost" not in {one.kind for one in found}
