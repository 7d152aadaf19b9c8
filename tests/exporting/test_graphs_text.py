"""The text graph answers as the Python reader does: same words, same numbers, same refusals, with TensorFlow alone."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, strategies
from hypothesis import settings as hypothesis_settings
from numpy.typing import NDArray

from noria.inputs import text
from noria.inputs._words import tokens
from noria.inputs.text import Settings
from noria.quiet import load_tensorflow

load_tensorflow()

import tensorflow as tf  # noqa: E402

from noria.exporting.graphs import text as graph  # noqa: E402

Graph = Callable[[Sequence[bytes]], NDArray[np.int32]]
BOTH = ({"encoding": "ngrams", "min_count": 1}, {"encoding": "sequence", "min_count": 1, "length": 24})

# Pieces of texts, wild and plain: what the vocabulary knows, so that arrays hold more than zeros.
PIECES = [
    *("a", "B", "no", "Not", "good", "é", "e\u0301", "ß", "İ", "ı", "ſ", "ﬃ", "Ａ", "½", "ﷺ", "㌖", "don't", "don’t"),
    *("。", "我", "爱", "が", "か\u3099", "ｶﾞ", "한", "\u1112\u1161\u11ab", "ส", "ำ", "ខ្", "မ္"),
    *("שָׁ", "م\u0651", "\u202e", "\u200f", "हि", "்", "á̂̃", "Z͑ͫ̓ͪ̂ͫ̽͏"),
    *("👍", "🏽", "👨\u200d👩\u200d👧", "❤\ufe0f", "1\ufe0f\u20e3", "🇩🇪", "🏴\U000e0067\U000e007f"),
    *(" ", "\n", "\r\n", "\t", "\0", "\u0085", "\u00a0", "\u2028", "\u3000", "\u200b", "\ufeff", "\u00ad", "\ufffd"),
    *("<br />", "<BR>", "<bR/>", "<br", "/>", "<", "&amp;", "_", "-", ".", "…", "\ue000", "\uffff", "\U0010ffff"),
]
INVALID = [b"\xff", b"\x80", b"\xc0\xaf", b"\xc0\x80", b"\xe2\x82", b"\xe2\x28\xa1", b"\xf0\x9f", b"\xf4\x90\x80\x80"]
SURROGATES = [one.encode("utf-8", "surrogatepass") for one in ("\ud800", "\udfff", "\ud83d\ude00", "\udc00a")]


def wild_texts() -> strategies.SearchStrategy[bytes]:
    any_text = strategies.text(strategies.characters(), max_size=20).map(
        lambda one: one.encode("utf-8", "surrogatepass")
    )
    known = strategies.sampled_from([*(one.encode() for one in PIECES), *INVALID, *SURROGATES])
    return strategies.lists(known | any_text | strategies.binary(max_size=6), max_size=30).map(b"".join)


@cache
def vocabulary(**options: object) -> dict[str, bytes]:
    pieces = [one.encode() for one in PIECES]
    pairs = [one + joint + other for joint in (b"", b" ") for one in pieces for other in pieces]
    return text.learn(pairs, Settings.model_validate(options))


def as_function(chosen: Settings, files: dict[str, bytes]) -> Graph:
    read = graph.build(chosen, files)
    traced = tf.function(read, input_signature=[tf.TensorSpec((None,), tf.string)])
    return lambda texts: traced(tf.constant(list(texts), tf.string)).numpy()


@cache
def reader(**options: object) -> tuple[Callable[[bytes], NDArray[np.int32]], Graph]:
    """Both worlds with the vocabulary of the pieces."""
    chosen, files = Settings.model_validate(options), vocabulary(**options)
    return text.open_reader(chosen, files), as_function(chosen, files)


@cache
def cut_by_graph() -> Callable[[Sequence[bytes]], list[list[str]]]:
    cut = tf.function(graph.Tokenizer(1_000_000), input_signature=[tf.TensorSpec((None,), tf.string)])
    return lambda texts: [[one.decode() for one in row] for row in cut(tf.constant(list(texts))).to_list()]


def assert_alike(read: Callable[[bytes], NDArray[np.int32]], by_graph: Graph, texts: Sequence[bytes]) -> None:
    got = by_graph(texts)
    assert got.dtype == np.int32
    for row, one in zip(got, texts, strict=True):
        expected = read(one)
        width = min(len(row), len(expected))
        assert (row[:width] == expected[:width]).all(), one
        assert not row[width:].any(), one
        assert not expected[width:].any(), one


@hypothesis_settings(max_examples=300, deadline=None)
@given(strategies.lists(wild_texts(), min_size=1, max_size=6))
@example([b"\xed\xa0\x80\xed\xb0\x80a", b"\0", b"a\0b"])
@example([b"\xf0\x9fa", b"\xe2\x28\xa1", b"\xf8\x88\x80\x80\x80z", b"\xfe\xffb"])
def test_wild_texts_are_cut_and_numbered_alike_in_both_encodings(texts: list[bytes]) -> None:
    readable = [one for one in texts if tokens(one)]
    for empty in set(texts) - set(readable):
        with pytest.raises(tf.errors.InvalidArgumentError, match="without a word or sign"):
            cut_by_graph()([empty])
    if readable:
        assert cut_by_graph()(readable) == [tokens(one) for one in readable]
        for options in BOTH:
            assert_alike(*reader(**options), readable)


def every_code_point() -> list[bytes]:
    """Each of the 0x110000 once between letters, surrogates as the bytes that broken programs write."""
    size = 4096
    return [
        "\n".join(f"a{chr(code)}b" for code in range(first, first + size)).encode("utf-8", "surrogatepass")
        for first in range(0, sys.maxunicode + 1, size)
    ]


def test_every_code_point_is_cut_alike() -> None:
    texts = every_code_point()
    for at in range(0, len(texts), 16):
        assert cut_by_graph()(texts[at : at + 16]) == [tokens(one) for one in texts[at : at + 16]]


@pytest.mark.parametrize("encoding", ["ngrams", "sequence"])
def test_every_code_point_gives_equal_arrays(encoding: str) -> None:
    texts = every_code_point()
    options = {"encoding": encoding, "min_count": 1, "vocabulary": 1_000_000, "length": 65_536}
    chosen = Settings.model_validate(options)
    files = text.learn(texts, chosen)
    assert len(text.words_of(files)) > 130_000
    read, by_graph = text.open_reader(chosen, files), as_function(chosen, files)
    for at in range(0, len(texts), 16):
        assert_alike(read, by_graph, texts[at : at + 16])


@pytest.mark.parametrize("options", BOTH, ids=["ngrams", "sequence"])
@pytest.mark.parametrize("letter", ["a", "é", "我", "👍", "a ", "é\u0301", "ﷺ", "\0a"])
def test_a_megabyte_of_one_letter_reads_alike(letter: str, options: dict[str, object]) -> None:
    data = letter.encode()
    assert_alike(*reader(**options), [data * (1_000_000 // len(data)), b"a"])


@pytest.mark.parametrize("longest", [1, 2, 5])
def test_ngrams_of_every_length_read_alike(longest: int) -> None:
    texts = [b"a b c d e f", b"b c d e f a", b"c d e", b"c b a c d e a b c d e f", b"f"]
    chosen = Settings(ngrams=longest, min_count=1)
    files = text.learn(texts, chosen)
    assert_alike(text.open_reader(chosen, files), as_function(chosen, files), [*texts, b"a b x c d"])


@pytest.mark.parametrize("options", BOTH, ids=["ngrams", "sequence"])
def test_real_reviews_read_alike(options: dict[str, object], shared_data: Path) -> None:
    chosen = Settings.model_validate(options)
    with (shared_data / "zh_reviews" / "online_shopping_10_cats.csv").open(encoding="utf-8-sig") as lines:
        reviews = [row["review"].encode() for row in csv.DictReader(lines)][::100]
    readable = [one for one in reviews if tokens(one)]
    files = text.learn(readable[:300], chosen)
    assert_alike(text.open_reader(chosen, files), as_function(chosen, files), readable)


@pytest.mark.parametrize("options", BOTH, ids=["ngrams", "sequence"])
def test_the_graph_refuses_what_the_reader_refuses(options: dict[str, object]) -> None:
    _, by_graph = reader(**options)
    with pytest.raises(tf.errors.InvalidArgumentError, match="without a word or sign"):
        by_graph([b"good", b" \0 "])
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 1000000 bytes"):
        by_graph([b"good", b"a" * 1_000_001])


def test_no_texts_and_texts_without_known_words_have_rows_of_the_shortest_length() -> None:
    chosen = Settings()
    files = text.learn([b"one", b"two"], chosen)
    assert text.words_of(files) == []
    by_graph = as_function(chosen, files)
    assert by_graph([]).shape == (0, 16)
    assert by_graph([b"one two", b"three"]).tolist() == [[0] * 16] * 2


ALONE = """
import json, sys
import tensorflow as tf
texts = tf.constant([bytes.fromhex(one) for one in json.loads(sys.argv[1])])
signatures = [tf.saved_model.load(folder).signatures["serving_default"] for folder in sys.argv[2:]]
got = [signature(input_text=texts)["numbers"].numpy().tolist() for signature in signatures]
print(json.dumps({"got": got, "noria": any(name.split(".")[0] == "noria" for name in sys.modules)}))
"""


def test_saved_graphs_answer_alike_in_a_process_with_nothing_but_tensorflow(tmp_path: Path) -> None:
    texts = ["not good 👨\u200d👩 don’t".encode(), "我爱 <br />e\u0301\0a".encode(), b"a\xffB"]
    folders, expected = [], []
    for options in BOTH:
        folders.append(str(tmp_path / str(options["encoding"])))
        save(options, folders[-1])
        read, by_graph = reader(**options)
        assert_alike(read, by_graph, texts)
        expected.append(by_graph(texts).tolist())
    child = [sys.executable, "-c", ALONE, json.dumps([one.hex() for one in texts]), *folders]
    answer = json.loads(subprocess.run(child, capture_output=True, text=True, check=True).stdout)
    assert answer == {"got": expected, "noria": False}


def save(options: dict[str, object], folder: str) -> None:
    module = tf.Module()
    module.decode = graph.build(Settings.model_validate(options), vocabulary(**options))
    signature = tf.function(
        lambda raw: {"numbers": module.decode(raw)},
        input_signature=[tf.TensorSpec((None,), tf.string, name=text.INPUT_NAME)],
    )
    tf.saved_model.save(module, folder, signatures=signature)
