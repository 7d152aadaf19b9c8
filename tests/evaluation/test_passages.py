"""Passages: the part of a text that is worth showing, cut at words, with every character of it once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from noria.evaluation.attribution import Part
from noria.evaluation.passages import LIMIT, cut, passage, strength


def parts(words: Sequence[str], pushed: dict[int, float]) -> tuple[str, list[Part]]:
    found, at = [], 0
    for number, word in enumerate(words):
        found.append(Part(at, at + len(word), word, pushed.get(number, 0.0)))
        at += len(word) + 1
    return " ".join(words), found


def test_a_short_text_is_shown_whole_with_white_space_and_line_breaks_of_web_pages_as_one_space() -> None:
    text = "Good \n\n film!<br /><BR>Really"
    words = [Part(0, 4, "Good", 1.5), Part(8, 12, "film", 0.0), Part(12, 13, "!", -0.2), Part(23, 29, "Really", 0.1)]
    shown = passage(text, words)
    assert "".join(piece.text for piece in shown) == "Good film! Really"
    assert [piece for piece in shown if piece.contribution is not None] == [
        ("Good", 1.5),
        ("film", 0.0),
        ("!", -0.2),
        ("Really", 0.1),
    ]


@pytest.mark.parametrize("place", [0, 3, 2_000, 4_990, 4_999])
def test_a_long_text_is_cut_around_the_word_that_counts(place: int) -> None:
    words = [f"w{number}" for number in range(5_000)]
    shown = passage(*parts(words, {place: -2.0}))
    text = "".join(piece.text for piece in shown)
    assert f"w{place}" in text.split()
    assert len(text) <= LIMIT + 4
    assert len(text) > LIMIT - 20
    assert text.startswith("… ") == (not text.startswith("w0 "))
    assert text.endswith(" …") == (not text.endswith(" w4999"))
    assert set(text.split()) <= {*words, "…"}


def test_the_stretch_with_the_largest_sum_wins_over_the_largest_word_alone() -> None:
    words = ["word"] * 2_000
    shown = passage(*parts(words, {100: 3.0, **dict.fromkeys(range(1500, 1510), -1.0)}))
    assert sum(abs(piece.contribution or 0) for piece in shown) == 10


def test_a_word_of_a_megabyte_is_cut() -> None:
    text, words = parts(["a" * 1_000_000, "good"], {0: 5.0, 1: 1.0})
    shown = "".join(piece.text for piece in passage(text, words))
    assert len(shown) < 100
    assert shown.startswith("aaaa")


def test_a_text_without_words_is_shown() -> None:
    assert passage("   ", []) == [(" ", None)]
    assert passage("", []) == []
    assert cut("a " * 1000, 9) == "a a a a a …"
    assert cut(" two\nlines ") == "two lines"


def test_strength_is_by_size_against_the_largest_and_nothing_is_strong_where_nothing_pushed() -> None:
    assert [strength(pushed, 2.0) for pushed in (0.0, 0.1, 0.4, -0.6, 1.2, -2.0)] == [0, 0, 1, 2, 3, 4]
    assert strength(0.001, 0.001) == 0
