"""Texts: the rules of words, what is learnt from texts, and the arrays that models read."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import random
import sys
import tracemalloc
import unicodedata
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies
from hypothesis import settings as hypothesis_settings

from noria.errors import UnreadableInputError
from noria.inputs import _ngrams, text
from noria.inputs._unicode import foldings
from noria.inputs._words import tokens
from noria.inputs.text import Rows, Settings

GENERATOR = Path(__file__).resolve().parents[2] / "tools" / "make_unicode_table.py"


def words(written: str) -> list[str]:
    return tokens(written.encode())


def encoded(*written: str) -> list[bytes]:
    return [one.encode() for one in written]


def named(files: dict[str, bytes]) -> list[str]:
    return text.feature_names(files, range(1, len(text.keys_of(files)) + 1))


def film_reviews(shared_data: Path, number: int) -> list[bytes]:
    with gzip.open(shared_data / "imdb" / "imdb_train.jsonl.gz") as lines:
        return [json.loads(line)["text"].encode() for _, line in zip(range(number), lines, strict=False)]


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the table is of Unicode 14, as in Python 3.11")
def test_the_table_of_code_points_is_what_its_generator_makes() -> None:
    spec = importlib.util.spec_from_file_location("make_unicode_table", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.TARGET.read_text(encoding="ascii") == generator.table()


def test_what_a_code_point_folds_to_folds_to_itself_and_the_only_white_space_is_the_space() -> None:
    table = foldings()
    assert len(table) == sys.maxunicode + 1
    for folded in set(table):
        assert folded.translate(table).split() == folded.split()
        assert all(one == " " or not one.isspace() for one in folded)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("It's GREAT, isn’t it?", "its great , isnt it ?"),
        ("ＦＵＬＬ－ｗｉｄｔｈ ﬁne x² ½", "full - width fine x2 1 ⁄ 2"),
        ("Straße STRASSE Çağrı naïve Ελλάδα", "strasse strasse cagrı naive ελλαδα"),
        ("ХОРОШИЙ фильм, ёлка", "хорошии фильм , елка"),
        ("服务很好，3天NBA！", "服 务 很 好 , 3 天 nba !"),
        ("パンが ﾊﾟﾝｶﾞ", "ハ ゚ ン か ゙ ハ ゚ ン カ ゙"),
        ("한국어 영화", "한 국 어 영 화"),
        ("สวัสดี", "ส ว ั ส ด ี"),
        ("שָׁלוֹם עולם", "שָׁלוֹם עולם"),
        ("مرحبا بالعالم", "مرحبا بالعالم"),
        ("हिन्दी फ़िल्म", "हिन्दी फ़िल्म"),
        ("I ❤️ it 👍🏽👨‍👩‍👧", "i ❤ it 👍 🏽 👨 👩 👧"),
        ("one<br /><BR>two<br/>three< br>", "one two three < br >"),
        ("null\0byte\tand\u2028line \u00adsoft\u00adhyphen\ufeff", "null byte and line softhyphen"),
        ("private \ue000 unassigned \U000e0fff\uffff end", "private unassigned end"),
        ("snake_case e-mail@x.org", "snake _ case e - mail @ x . org"),
    ],
)
def test_words_are_cut_by_the_rules(written: str, expected: str) -> None:
    assert words(written) == expected.split()


@given(strategies.text(strategies.characters(max_codepoint=127)))
def test_plain_ascii_is_cut_as_the_table_says(written: str) -> None:
    assert words(written.replace("<", "")) == written.replace("<", "").translate(foldings()).split()


@pytest.mark.parametrize("invalid", [b"\xff", b"\xc0\xaf", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80"])
def test_invalid_bytes_separate_words(invalid: bytes) -> None:
    assert tokens(b"a" + invalid + b"b") == ["a", "b"]


@given(strategies.text(strategies.characters(exclude_categories=["Cs", "Cn"])))
def test_composed_and_decomposed_texts_have_the_same_words_but_for_hangul(written: str) -> None:
    known = "".join(one for one in written if not "가" <= one <= "힣")
    # Marks of scripts without spaces are sorted by normalisation, so only what has one mark at a time is compared.
    plain = "".join(one for one in known if not unicodedata.combining(one))
    assert words(unicodedata.normalize("NFD", plain)) == words(plain)


def test_facts_are_the_size_and_a_hash_that_case_accents_and_spaces_leave_alone() -> None:
    facts = text.inspect("Très bon film!".encode(), Settings())
    assert (facts.characters, facts.words) == (14, 4)
    assert text.inspect(b"tres  BON\nfilm !", Settings()).content_sha256 == facts.content_sha256
    assert text.inspect(b"tres bonfilm !", Settings()).content_sha256 != facts.content_sha256


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty: 0 bytes"),
        (b" \r\n\t\0", "it has no word or sign (5 bytes)"),
        ("\u200b\ufeff’".encode(), "it has no word or sign (9 bytes)"),
        (b"\xff\xfe<br />", "it has no word or sign (8 bytes)"),
        (b"a" * 1_000_001, "too large: 1,000,001 bytes, at most 1,000,000 are read (the setting max_bytes)"),
    ],
)
@pytest.mark.parametrize("encoding", ["ngrams", "sequence"])
def test_what_has_no_word_or_is_too_large_is_refused_alike_by_inspect_and_by_the_reader(
    data: bytes, reason: str, encoding: str
) -> None:
    chosen = Settings.model_validate({"encoding": encoding})
    read = text.open_reader(chosen, text.learn(encoded("a b", "a b"), chosen))
    for verb in (lambda: text.inspect(data, chosen), lambda: read(data)):
        with pytest.raises(UnreadableInputError) as refused:
            verb()
        assert str(refused.value) == reason


def test_words_and_ngrams_of_two_texts_or_more_are_learnt_the_most_frequent_words_first() -> None:
    files = text.learn(encoded("not good at all", "good, not bad", "not good"), Settings(ngrams=2))
    assert text.words_of(files) == ["good", "not"]
    assert named(files) == ["good", "not", "not good"]
    assert files["words.txt"] == b"good\nnot\n"


def plain_counts(texts: list[bytes], longest: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for one in texts:
        cut = tokens(one)
        lengths = range(1, longest + 1)
        counts.update({" ".join(cut[at : at + n]) for n in lengths for at in range(len(cut) - n + 1)})
    return counts


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    texts=strategies.lists(strategies.text("abcd ,"), max_size=12),
    longest=strategies.integers(1, 5),
    min_count=strategies.integers(1, 3),
    most=strategies.integers(1, 60),
    part=strategies.integers(1, 40),
)
def test_the_ngrams_learnt_are_the_most_frequent_that_plain_counting_finds(
    texts: list[str], longest: int, min_count: int, most: int, part: int
) -> None:
    chosen = Settings(ngrams=longest, min_count=min_count, max_ngrams=most)
    data = encoded(*texts)
    counts = {gram: count for gram, count in plain_counts(data, longest).items() if count >= min_count}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ngrams, "PART_WORDS", part)  # many parts, as with many texts
        files = text.learn(data, chosen)
        rows = text.open_bulk_reader(chosen, files)(data)
    names = named(files)
    assert len(set(names)) == len(names) == min(most, len(counts))
    assert sorted(counts[name] for name in names) == sorted(counts.values(), reverse=True)[:most][::-1]
    read = text.open_reader(chosen, files)
    for number, one in enumerate(data):
        having = plain_counts([one], longest)
        assert rows[number].tolist() == [index for index, name in enumerate(names, 1) if name in having]
        if tokens(one):
            assert read(one)[: len(rows[number])].tolist() == rows[number].tolist()


def test_learning_does_not_depend_on_the_order_of_the_texts(shared_data: Path) -> None:
    reviews = film_reviews(shared_data, 400)
    files = text.learn(reviews, Settings(max_ngrams=5_000))
    random.Random(1).shuffle(reviews)
    assert text.learn(reviews, Settings(max_ngrams=5_000)) == files


def test_real_reviews_have_the_ngrams_that_plain_counting_finds(shared_data: Path) -> None:
    with (shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv").open(encoding="utf-8-sig") as lines:
        hotels = [row["review"].encode() for row in csv.DictReader(lines)]
    for texts in (film_reviews(shared_data, 300), hotels[:300]):
        files = text.learn(texts, Settings())
        names = named(files)
        assert set(names) == {name for name, count in plain_counts(texts, 3).items() if count >= 2}
        (row,) = text.open_bulk_reader(Settings(), files)(texts[7:8])
        assert {names[index - 1] for index in row} == set(plain_counts(texts[7:8], 3)) & set(names)


def test_parts_that_are_made_one_by_one_are_joined_without_a_second_copy_of_all() -> None:
    def parts() -> Iterator[Rows]:
        for part in range(200):
            yield Rows(np.full(20_000, part, np.int32), np.arange(0, 20_001, 100))

    tracemalloc.start()
    try:
        rows = _ngrams.joined(parts())  # 16 MB
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rows) == 40_000
    assert rows[399].tolist() == [1] * 100
    assert peak < 1.4 * (rows.values.nbytes + rows.splits.nbytes)
    assert len(_ngrams.joined([])) == 0


def test_ngrams_are_padded_to_a_power_of_two_of_sixteen_or_more() -> None:
    letters = "a b c d e f g h i j k l m n o p"
    chosen = Settings(ngrams=1)
    read = text.open_reader(chosen, text.learn(encoded(letters + " q", letters + " q"), chosen))
    assert read(b"b zzz a a").tolist() == [1, 2] + [0] * 14
    assert read(letters.encode()).tolist() == list(range(1, 17))
    assert read((letters + " q").encode()).tolist() == [*range(1, 18)] + [0] * 15
    assert read(b"nothing known").tolist() == [0] * 16
    assert read(b"a").dtype == np.int32


def test_sequences_are_the_first_words_with_one_number_for_what_is_not_known() -> None:
    chosen = Settings(encoding="sequence", length=4, vocabulary=2)
    files = text.learn(encoded("b a", "b, a c", "b c"), chosen)
    assert text.words_of(files) == ["b", "a"]
    read = text.open_reader(chosen, files)
    assert read(b"a new B").tolist() == [3, 1, 2, 0]
    assert read(b"a b c d b b").tolist() == [3, 2, 1, 1]
    rows = text.open_bulk_reader(chosen, files)(encoded("", "a b c d b b", "b"))
    assert rows.padded().tolist() == [[0, 0, 0, 0], [3, 2, 1, 1], [2, 0, 0, 0]]


def test_without_shared_words_nothing_is_learnt_and_everything_is_still_read() -> None:
    for chosen, expected in ((Settings(), [0] * 16), (Settings(encoding="sequence", length=3), [1, 1, 0])):
        files = text.learn(encoded("one", "two"), chosen)
        assert text.words_of(files) == []
        assert text.open_reader(chosen, files)(b"one two").tolist() == expected
    assert len(text.open_bulk_reader(Settings(), text.learn([], Settings()))([])) == 0


def test_a_megabyte_of_one_letter_is_one_word() -> None:
    files = text.learn([b"a" * 1_000_000, b"b b", b"b"], Settings())
    assert text.inspect(b"a" * 1_000_000, Settings()).words == 1
    assert text.open_reader(Settings(), files)(b"a" * 1_000_000).tolist() == [0] * 16


@pytest.mark.parametrize("encoding", ["ngrams", "sequence"])
def test_variants_read_alike(encoding: str, shared_data: Path) -> None:
    reviews = film_reviews(shared_data, 50)
    odd = "Ünï “dotless ı” straße<br />한국어 パン  が\nŉ ᾳ ﬃ ǅ".encode()
    chosen = Settings.model_validate({"encoding": encoding, "min_count": 1})
    read = text.open_reader(chosen, text.learn([*reviews, odd], chosen))
    for one in (reviews[3], odd):
        made = text.variants(one)
        assert len({data for *_, data in made} | {one}) == len(made) + 1
        for ending, note, data in made:
            assert ending == ".txt"
            assert (read(data) == read(one)).all(), note


def test_an_excerpt_is_one_line_of_at_most_so_many_characters() -> None:
    data = "  First line<br />second\r\n\tline 👍 ".encode()
    assert text.excerpt(data, 100) == "First line second line 👍"
    assert text.excerpt(data, 12) == "First line…"
    assert len(text.preview(b"word " * 1_000)) <= 300


def test_threads_get_the_same_answers_as_one_thread(shared_data: Path) -> None:
    reviews = film_reviews(shared_data, 200)
    read = text.open_reader(Settings(), text.learn(reviews, Settings()))
    alone = [read(one) for one in reviews]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(read, reviews))
    assert all((one == other).all() for one, other in zip(alone, together, strict=True))
