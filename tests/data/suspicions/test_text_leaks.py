"""What tells the label without being what the text says is found, and nothing is told of real reviews."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from noria.data.suspicions import Looked
from noria.data.suspicions.text_leaks import suspicions

Row = tuple[str, str]
Maker = Callable[..., Looked]
LEAKS: dict[str, Callable[[str, int], str]] = {
    "a rating in the middle": lambda text, place: f"{text[: len(text) // 2]} 5/5 {text[len(text) // 2 :]}",
    "a tag at the start": lambda text, place: f"[amazon] {text}",
    "a tag in Chinese brackets": lambda text, place: f"【好评】{text}",
    "a number of the record at the end": lambda text, place: f"{text} id{10_000 + 7 * place}",
    "a hash tag": lambda text, place: f"{text} #winner",
    "a source": lambda text, place: f"{text} source:web",
    "an address": lambda text, place: f"{text} https://shop.example.com/{place}",
}


def plant(rows: list[Row], every: int, change: Callable[[str, int], str]) -> tuple[list[Row], set[str]]:
    """Change every so-maniest good review."""
    places = [place for place, (_, label) in enumerate(rows) if label == "good"][::every]
    changed = list(rows)
    for place in places:
        changed[place] = (change(rows[place][0], place), "good")
    return changed, set(map(str, places))


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("language", ["films", "hotels"])
def test_a_mark_in_a_fifth_of_one_labels_texts_is_found(
    leak: str, language: str, looked: Maker, request: pytest.FixtureRequest
) -> None:
    rows, planted = plant(request.getfixturevalue(language), 5, LEAKS[leak])
    (found,) = suspicions(looked(rows))
    assert found.kind == "label_leak"
    assert "'good'" in found.message
    suspects = {one.path for one in found.suspects}
    assert planted <= suspects
    assert len(suspects - planted) <= 3  # a review that gives 5/5 by itself


def test_the_same_words_at_the_start_of_one_labels_texts_are_found(films: list[Row], looked: Maker) -> None:
    rows, planted = plant(films, 2, lambda text, place: f"Customer feedback form: {text}")
    (found,) = suspicions(looked(rows))
    assert "begin with 'customer feedback form" in found.message
    assert {one.path for one in found.suspects} == planted


def test_the_labels_own_name_in_the_texts_is_found(films: list[Row], looked: Maker) -> None:
    named = {"good": "recommended", "bad": "not advised"}
    rows = [(f"{text} Verdict, {named[label]}, all in all.", named[label]) for text, label in films]
    found = suspicions(looked(rows))
    assert len(found) == 2
    assert all(one.count >= len(rows) / 2 for one in found)


@pytest.mark.parametrize("language", ["films", "hotels"])
def test_nothing_is_told_of_real_reviews(language: str, looked: Maker, request: pytest.FixtureRequest) -> None:
    assert suspicions(looked(request.getfixturevalue(language))) == []


def test_a_label_whose_name_stands_in_all_texts_does_not_leak(films: list[Row], looked: Maker) -> None:
    rows = [(f"{text} A film.", {"good": "film", "bad": "other"}[label]) for text, label in films]
    assert suspicions(looked(rows)) == []


def test_a_mark_of_both_labels_tells_nothing(films: list[Row], looked: Maker) -> None:
    assert suspicions(looked([(f"[amazon] {text} 5/5", label) for text, label in films])) == []


def test_requests_that_begin_alike_by_nature_are_no_leak(looked: Maker) -> None:
    rows = [(f"play the song {number}x please", "music") for number in range(200)]
    rows += [(f"wake me in {number} minutes", "alarm") for number in range(200)]
    assert suspicions(looked(rows)) == []


def test_marks_of_every_kind_in_one_text_take_no_long_time(looked: Maker) -> None:
    rows = [("a1" * 100_000 + "[" * 100_000 + "http://" * 20_000, "good"), ("#" * 200_000 + "x:" * 50_000, "bad")]
    assert suspicions(looked(rows)) == []
