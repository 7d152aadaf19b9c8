"""Texts that differ by a little are found, whatever their script, and no others are."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import orjson
import pytest

from noria.data.duplicates import join_pairs, members
from noria.data.similarity.text import THRESHOLD, near_pairs

REVIEW = (
    "We stayed for three nights in March and would not come again. The room was cold, the window did not close and the "
    "man at the desk told us to wear a coat. Breakfast was good, the coffee was not, and the bus to the station leaves "
    "only once an hour, which nobody says before one has paid for all of it."
)
CHINESE = (
    "房间很干净，早餐也不错，前台的服务员态度非常好，下次出差还会选择这家酒店，只是离地铁站有点远，晚上打车不太方便，"
    "隔壁的房间整夜都很吵，希望以后能够改进隔音，其他方面都很满意，性价比高。"
)


def groups(texts: list[bytes | str | None]) -> list[int]:
    return join_pairs(near_pairs(texts), len(texts))


def are_near(first: str, second: str) -> bool:
    return len(set(groups([first, "something else entirely, of no interest to anybody here", second]))) == 2


@pytest.mark.parametrize(
    "changed",
    [
        REVIEW,
        REVIEW.replace("cold", "freezing"),
        REVIEW.upper().replace(",", " , "),
        REVIEW + " I am cross.",
        "Re: " + REVIEW,
        REVIEW.replace("three nights", "four nights").replace("coffee", "tea"),
    ],
)
def test_a_few_other_words_are_near(changed: str) -> None:
    assert are_near(REVIEW, changed)


@pytest.mark.parametrize("changed", [CHINESE.replace("早餐", "晚餐"), "转发：" + CHINESE, CHINESE + "推荐。"])
def test_chinese_is_compared_by_its_characters(changed: str) -> None:
    assert are_near(CHINESE, changed)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (REVIEW, " ".join(sorted(REVIEW.split()))),
        (REVIEW, REVIEW[: len(REVIEW) // 2]),
        (REVIEW, REVIEW + " " + " ".join(f"word{number}" for number in range(40))),
        ("very good", "very bad"),
        ("good", "good good good"),
        (CHINESE, CHINESE[::-1]),
    ],
)
def test_the_same_words_in_other_company_are_not_near(first: str, second: str) -> None:
    assert not are_near(first, second)


def test_what_has_no_words_is_near_to_nothing() -> None:
    assert groups(["", "", None, None, "...", "\0", " \n", "!!!"]) == list(range(8))
    assert groups([]) == []


def test_bytes_and_text_are_the_same_and_odd_bytes_are_survived() -> None:
    assert groups([REVIEW, REVIEW.encode(), b"\xff\xfe\xed\xa0\x80", "\ud800", "😀" * 5, "a" * 100_000])[:3] == [
        0,
        0,
        2,
    ]


def test_a_text_with_null_characters_does_not_shift_its_neighbours() -> None:
    assert groups(["a\0b\0c d e", REVIEW, "x", REVIEW + " Bye."]) == [0, 1, 2, 1]


def test_a_chain_is_one_group() -> None:
    chain = [REVIEW]
    for word in ("nights", "window", "coffee", "station", "paid", "coat"):
        chain.append(chain[-1].replace(word, "x" + word))
    assert set(groups(chain)) == {0}


def test_thousands_of_one_template_stay_bounded_and_copies_are_found_among_them() -> None:
    texts = [
        f"Dear {number}, your order {number * 7} of {number * 3} was sent to {number * 11}" for number in range(5_000)
    ]
    texts += [texts[17], texts[4_000].upper()]
    found = [group for group in members(groups(texts)) if len(group) > 1]
    assert found == [[17, 5_000], [4_000, 5_001]]


def test_planted_copies_among_real_reviews_are_found_and_every_pair_is_near(shared_data: Path) -> None:
    with gzip.open(shared_data / "imdb" / "imdb_test.jsonl.gz") as lines:
        texts = list(dict.fromkeys(orjson.loads(line)["text"] for line, _ in zip(lines, range(3_000), strict=False)))
    chosen = random.Random(0).sample([index for index, text in enumerate(texts) if len(text) > 800], 200)
    copies = []
    for index in chosen:
        words = texts[index].split(" ")
        words[len(words) // 2] = "planted"
        copies.append(" ".join([*words, "Posted", "by", "me."]))
    group = groups([*texts, *copies])
    assert sum(group[index] == group[len(texts) + number] for number, index in enumerate(chosen)) >= 198
    everything = [*texts, *copies]
    assert all(
        _overlap(everything[first], everything[second]) >= THRESHOLD - 0.01
        for first, second, _ in near_pairs(everything)
    )


def _overlap(first: str, second: str) -> float:
    """The definition again, in plain Python."""
    sets = []
    for text in (first, second):
        words = "".join(one if one.isalnum() else " " for one in text.lower()).split()
        sets.append({tuple(words[start : start + 3]) for start in range(len(words) - 2)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_a_review_that_was_edited_cut_or_quoted_is_near_to_itself(shared_data: Path) -> None:
    with gzip.open(shared_data / "imdb" / "imdb_test.jsonl.gz") as lines:
        texts = [orjson.loads(line)["text"] for line, _ in zip(lines, range(1_000), strict=False)]
    drawn, chosen = random.Random(0), [text for text in texts if 900 < len(text) < 3_000][:150]
    copies = []
    for number, text in enumerate(chosen):
        words = text.split()
        if number % 3 == 0:
            for place in drawn.sample(range(len(words)), len(words) // 14):
                words[place] = "other"
        elif number % 3 == 1:
            words = words[: len(words) * 3 // 4]
        else:
            words = ["quoted"] * (len(words) // 4) + words
        copies.append(" ".join(words))
    group = groups([*chosen, *copies])
    assert sum(group[number] == group[len(chosen) + number] for number in range(len(chosen))) >= 147
    assert len(set(group)) >= len(chosen) - 2


def test_letters_from_one_template_are_no_copies_where_there_are_many() -> None:
    drawn, words = random.Random(1), [f"word{number}" for number in range(3_000)]
    template = " ".join(drawn.sample(words, 90))
    letters = [f"{template} {' '.join(drawn.sample(words, 30))}" for _ in range(300)]  # 0.6 of all runs are shared
    assert len(set(groups(letters))) == len(letters)
