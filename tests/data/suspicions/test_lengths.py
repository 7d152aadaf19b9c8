"""Texts that are extremely short or long beside the others are found, and those that a model will cut are counted."""

from __future__ import annotations

from collections.abc import Callable

from noria.data.suspicions import Looked
from noria.data.suspicions.lengths import suspicions

Row = tuple[str, str]
Maker = Callable[..., Looked]


def test_fragments_and_books_are_found_among_reviews(films: list[Row], looked: Maker) -> None:
    rows = [*films, ("ok", "good"), ("N/A", "bad"), (" ".join(text for text, _ in films[:60]), "good")]
    found = {one.kind: [suspect.path for suspect in one.suspects] for one in suspicions(looked(rows))}
    assert found == {"short_text": [str(len(films)), str(len(films) + 1)], "long_text": [str(len(films) + 2)]}


def test_nothing_is_told_of_real_reviews(films: list[Row], hotels: list[Row], looked: Maker) -> None:
    assert suspicions(looked(films)) == []
    assert suspicions(looked(hotels)) == []


def test_texts_of_one_word_are_no_fault_where_all_are_short(looked: Maker) -> None:
    rows = [(f"word{number} " * (1 + number % 4), "ab"[number % 2]) for number in range(400)]
    assert suspicions(looked(rows)) == []


def test_texts_that_a_model_cuts_are_counted(films: list[Row], looked: Maker) -> None:
    (found,) = suspicions(looked(films, encoding="sequence", length=256))
    assert found.kind == "text_cut"
    assert 0.2 * len(films) < found.count < 0.6 * len(films)
    assert not found.suspects


def test_a_model_of_ngrams_cuts_nothing(films: list[Row], looked: Maker) -> None:
    assert suspicions(looked(films, encoding="ngrams", length=256)) == []
