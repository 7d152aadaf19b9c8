"""Parts: the words of a text where they stand in it, the very words that the model reads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.inputs._parts import located_tokens
from noria.inputs._words import tokens

ODD = st.sampled_from("aA1'’é\u0301½ﬁ酒。😀\u200d\u202eก\uac00<br />\0")
WILD = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), ODD), max_size=60)


@given(WILD)
@settings(max_examples=500, deadline=None)
def test_they_are_the_words_that_the_model_reads_each_where_it_stands(text: str) -> None:
    words, spans = located_tokens(text)
    assert words == tokens(text.encode())
    assert len(spans) == len(words)
    assert list(spans) == sorted(spans)
    for word, (start, end) in zip(words, spans, strict=True):
        assert 0 <= start < end <= len(text)
        assert word in "".join(tokens(text[start:end].encode()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Don't say 'café'!<br />OK", ["Don't", "say", "café'", "!", "OK"]),
        ("cafe\u0301 noir", ["cafe\u0301", "noir"]),
        ("酒店不错，好😀", ["酒", "店", "不", "错", "，", "好", "😀"]),
        ("½a", ["½", "½", "½a"]),
        (" \0\ufffd", []),
    ],
)
def test_a_place_holds_the_word_as_it_was_written(text: str, shown: list[str]) -> None:
    assert [text[start:end] for start, end in located_tokens(text)[1]] == shown
