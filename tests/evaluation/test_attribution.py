"""Attribution: contributions that add up to the answer, found by asking models and never by opening them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from noria.contracts import Parts
from noria.evaluation.attribution import MOST_CALLS, attribute, exact, occlusion, speaking_words

WORDS = ["the", "film", "was", "not", "good", "at", "all", "but", "the", "music", "was", "good"]
LABELS = ("neg", "neutral", "pos")
DIVISIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "sum": lambda number: np.ones_like(number),
    "square root": lambda number: 1 / np.sqrt(np.maximum(number, 1.0)),
    "mean": lambda number: 1 / np.maximum(number, 1.0),
}


def vocabulary(words: Sequence[str]) -> dict[tuple[str, ...], int]:
    grams = {tuple(words[at : at + n]) for n in (1, 2, 3) for at in range(len(words) - n + 1)}
    return {gram: number for number, gram in enumerate(sorted(grams), start=1)}


def taken_apart(words: Sequence[str], known: dict[tuple[str, ...], int], seen: int | None = None) -> Parts:
    text, spans = " ".join(words), []
    for word in words:
        start = spans[-1][1] + 1 if spans else 0
        spans.append((start, start + len(word)))
    occurrences = [
        (at, n, known[gram])
        for n in (1, 2, 3)
        for at in range(len(words) - n + 1)
        if (gram := tuple(words[at : at + n])) in known
    ]
    table = np.array(occurrences, np.int64).reshape(-1, 3)
    return Parts(text, tuple(spans), len(words) if seen is None else seen, table)


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


class Linear:
    """A bag of features: softmax(bias + division * sum of weights), asked about rows of features as an engine is."""

    def __init__(self, features: int, classes: int, division: str = "sum") -> None:
        rng = np.random.default_rng(classes)
        self.weights = np.vstack([np.zeros(classes), rng.normal(size=(features, classes))])
        self.bias = rng.normal(size=classes)
        self.divide = DIVISIONS[division]

    def __call__(self, rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        assert all(row.dtype == np.int32 and len(row) >= 16 and len(row) & (len(row) - 1) == 0 for row in rows)
        logits = [self.weights[row].sum(axis=0) * self.divide(np.count_nonzero(row)) + self.bias for row in rows]
        return softmax(np.stack(logits))


def log_odds(scores: NDArray[Any], label: int) -> float:
    logs = np.log(scores.astype(np.float64))
    return float(logs[label] - np.delete(logs, label).mean())


def no_texts(_texts: Sequence[bytes]) -> NDArray[np.float32]:
    raise AssertionError("a linear model need not be asked about texts")


@pytest.mark.parametrize("division", DIVISIONS)
@pytest.mark.parametrize("classes", [2, 3])
def test_in_a_linear_model_bias_and_contributions_add_up_to_the_log_odds_of_the_answer(
    classes: int, division: str
) -> None:
    known = vocabulary(WORDS)
    model = Linear(len(known), classes, division)
    told = attribute(taken_apart(WORDS, known), LABELS[:classes], no_texts, model)
    ids = np.zeros(64, np.int32)
    ids[: len(known)] = range(1, len(known) + 1)
    scores = model([ids])[0]
    assert told.method == "exact"
    assert (told.label, told.confidence) == (LABELS[scores.argmax()], pytest.approx(scores.max()))
    total = told.bias + sum(part.contribution for part in told.tokens)
    assert total == pytest.approx(log_odds(scores, int(scores.argmax())), abs=1e-4)


def test_an_n_gram_is_shared_by_its_words_and_by_the_places_where_it_stands() -> None:
    known = {("good",): 1, ("not", "good"): 2}
    model = Linear(2, 2)
    model.weights[1:] = [[0, 3], [4, 0]]
    model.bias[:] = 0
    told = attribute(taken_apart(["not", "good", "good"], known), LABELS[:2], no_texts, model)
    assert told.label == "neg"
    # ln(p(neg) / p(pos)): "good" -3 at two places, "not good" +4 over two words.
    assert [part.contribution for part in told.tokens] == pytest.approx([2, 2 - 1.5, -1.5], abs=1e-5)
    assert [part.text for part in told.tokens] == ["not", "good", "good"]


def test_a_text_without_a_known_word_is_answered_by_the_bias_alone() -> None:
    model = Linear(5, 3)
    told = attribute(taken_apart(["quux", "frob"], {}), LABELS, no_texts, model)
    assert [part.contribution for part in told.tokens] == [0, 0]
    assert told.bias == pytest.approx(log_odds(softmax(model.bias[np.newaxis])[0], int(model.bias.argmax())), abs=1e-5)


def test_features_that_cancel_out_are_still_exact() -> None:
    model = Linear(2, 2, "square root")
    model.weights[1:] = [[0, 3], [3, 0]]
    told = exact(taken_apart(["good", "bad"], {("good",): 1, ("bad",): 2}), LABELS[:2], model)
    assert told is not None
    assert sorted(part.contribution for part in told.tokens) == pytest.approx([-3 / 2**0.5, 3 / 2**0.5], abs=1e-4)


def test_a_model_that_is_not_linear_is_found_out_and_asked_about_texts_instead() -> None:
    known = vocabulary(WORDS)
    linear = Linear(len(known), 2)

    def crossed(rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        both = np.array([[2.5 * ({1, 2} <= set(row.tolist())), 0] for row in rows])
        return softmax(np.log(linear(rows)) + both)

    parts = taken_apart(WORDS, known)
    assert exact(parts, LABELS[:2], linear) is not None
    assert exact(parts, LABELS[:2], crossed) is None
    told = attribute(parts, LABELS[:2], counting_model([]), crossed)
    assert told.method == "occlusion"


def counting_model(asked: list[bytes]) -> Callable[[Sequence[bytes]], NDArray[np.float32]]:
    """Positive by 1 for each "good", negative by 2 for "not good"; an empty text it refuses."""

    def scores(texts: Sequence[bytes]) -> NDArray[np.float32]:
        asked.extend(texts)
        value = [float(text.count(b"good")) - 2 * text.count(b"not good") for text in texts]
        rows = softmax(np.array([[0, one] for one in value]))
        rows[[not text.strip() for text in texts]] = np.nan
        return rows

    return scores


def test_leaving_a_word_out_tells_what_it_did_together_with_its_neighbours() -> None:
    told = occlusion(taken_apart(["a", "not", "good", "film"], {}), LABELS[:2], counting_model([]))
    assert told.label == "neg"
    assert [part.contribution for part in told.tokens] == pytest.approx([0, 2, 1, 0], abs=1e-5)
    assert told.bias == 0


def test_the_only_word_of_a_text_gets_all_though_nothing_is_left_to_ask_about() -> None:
    told = occlusion(taken_apart(["good"], {}), LABELS[:2], counting_model([]))
    assert [part.contribution for part in told.tokens] == pytest.approx([1], abs=1e-5)


def test_a_long_text_is_asked_about_in_windows_and_not_behind_what_the_model_reads() -> None:
    asked: list[bytes] = []
    words = ["dull"] * 999 + ["good"] + ["good"] * 500
    told = occlusion(taken_apart(words, {}, seen=1000), LABELS[:2], counting_model(asked))
    assert len(asked) <= MOST_CALLS + 2
    assert max(text.count(b"good") for text in asked) == 1
    contributions = np.array([part.contribution for part in told.tokens])
    assert contributions[995:1000] == pytest.approx([0.2] * 5, abs=1e-5)
    assert not contributions[:995].any()
    assert not contributions[1000:].any()


def test_a_text_without_words_has_an_answer_and_no_parts() -> None:
    told = occlusion(Parts(" \n", (), 0, None), LABELS[:2], lambda texts: np.full((len(texts), 2), 0.5, np.float32))
    assert (told.tokens, told.confidence, told.bias) == ((), 0.5, 0)


def test_each_label_gets_the_n_grams_that_speak_for_it_and_none_twice() -> None:
    names = {1: "worst", 2: "the worst", 3: "good", 4: "film", 5: "very good"}
    model = Linear(5, 2)
    model.weights[1:] = [[3, 0], [2.9, 0], [0, 2], [0, 0], [0, 2.5]]
    told = speaking_words(names, dict.fromkeys(names, 7), ("neg", "pos"), model)
    assert [row["label"] for row in told] == ["neg", "pos"]
    assert [[word["text"] for word in row["words"]] for row in told] == [["worst"], ["very good"]]
    assert told[0]["words"][0] == {"text": "worst", "weight": pytest.approx(3, abs=1e-5), "count": 7}


def test_more_features_than_fit_in_one_question_are_asked_about_in_several() -> None:
    model = Linear(10_000, 2)
    names = {number: f"w{number}" for number in range(1, 10_001)}
    told = speaking_words(names, dict.fromkeys(names, 1), ("neg", "pos"), model, most=3)
    expected = np.argsort(model.weights[1:, 0] - model.weights[1:, 1])[::-1][:3] + 1
    assert [word["text"] for word in told[0]["words"]] == [f"w{number}" for number in expected]
