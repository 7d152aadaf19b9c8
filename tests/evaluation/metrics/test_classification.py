"""The metrics of one-label answers, against hand-counted numbers and scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from noria.contracts import Scored
from noria.errors import DataError, NoriaError
from noria.evaluation.metrics import classification


def scored(scores: list[list[float]], truth: list[int], labels: str = "abcdefgh") -> Scored:
    width = len(scores[0]) if scores else 2
    return Scored(
        names=tuple(f"{i}.jpg" for i in range(len(truth))),
        labels=tuple(labels[:width]),
        truth=np.array(truth, np.int64),
        scores=np.array(scores, np.float32).reshape(-1, width),
    )


def by_chance(examples: int, classes: int, seed: int = 3) -> Scored:
    labels = "".join(chr(ord("a") + number) for number in range(classes))
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(examples, classes))
    truth = rng.integers(0, classes, examples)
    logits[np.arange(examples), truth] += 1.5
    powers = np.exp(logits)
    return scored((powers / powers.sum(1, keepdims=True)).tolist(), truth.tolist(), labels)


SMALL = scored([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]], [0, 0, 1, 1])


def test_figures_equal_those_counted_by_hand() -> None:
    facts = classification.measure(SMALL)
    assert facts["num_examples"] == 4
    assert facts["accuracy"] == 0.75
    assert facts["confusion"] == [[2, 0], [1, 1]]
    first, second = facts["classes"]
    assert (first["precision"], first["recall"], first["f1"]) == (pytest.approx(2 / 3), 1.0, pytest.approx(0.8))
    assert (second["precision"], second["recall"], second["f1"]) == (1.0, 0.5, pytest.approx(2 / 3))
    assert second["taken_for"] == {"label": "a", "count": 1}
    assert facts["balanced_accuracy"] == 0.75
    assert facts["log_loss"] == pytest.approx(-np.log([0.9, 0.6, 0.2, 0.7]).mean(), abs=1e-6)
    assert facts["brier"] == pytest.approx(2 * (0.01 + 0.16 + 0.64 + 0.09) / 4, abs=1e-6)
    assert facts["top_3_accuracy"] is None
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_the_interval_is_wilsons() -> None:
    # 15 of 20: the published score interval is 0.531 to 0.888
    rows = [[0.9, 0.1]] * 15 + [[0.1, 0.9]] * 5
    low, high = classification.measure(scored(rows, [0] * 20))["interval"]
    assert (round(low, 3), round(high, 3)) == (0.531, 0.888)


def test_an_interval_of_all_right_reaches_exactly_one() -> None:
    facts = classification.measure(scored([[0.9, 0.1]] * 10, [0] * 10))
    assert facts["interval"][1] == 1.0
    assert facts["interval"][0] == pytest.approx(0.7225, abs=1e-4)


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_figures_equal_those_of_scikit_learn(classes: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    data = by_chance(400, classes)
    facts, answer = classification.measure(data), data.scores.argmax(1)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(data.truth, answer, zero_division=0)
    for key, expected in (("precision", precision), ("recall", recall), ("f1", f1), ("support", support)):
        assert [row[key] for row in facts["classes"]] == pytest.approx(expected.tolist())
    for average in ("macro", "weighted"):
        expected = metrics.precision_recall_fscore_support(data.truth, answer, average=average)[:3]
        assert list(facts[average].values()) == pytest.approx(expected)
    assert facts["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(data.truth, answer))
    matrix = metrics.confusion_matrix(data.truth, answer)
    assert facts["confusion"] == matrix.tolist()
    assert facts["confusion_cells"] == [[*map(int, at), int(matrix[tuple(at)])] for at in np.argwhere(matrix)]
    exact = data.scores.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    assert facts["log_loss"] == pytest.approx(metrics.log_loss(data.truth, exact), abs=1e-5)
    if classes > 3:
        expected = metrics.top_k_accuracy_score(data.truth, data.scores, k=3)
        assert facts["top_3_accuracy"] == pytest.approx(expected)


def test_equal_scores_everywhere_are_not_counted_as_top_3() -> None:
    facts = classification.measure(scored([[0.25] * 4] * 5, [0, 1, 2, 3, 0]))
    assert facts["top_3_accuracy"] == 0.0


def test_a_class_that_was_not_tested_has_no_recall_and_does_not_lower_the_averages() -> None:
    facts = classification.measure(scored([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]], [0, 1]))
    row = facts["classes"][2]
    assert (row["support"], row["recall"], row["precision"], row["f1"], row["recall_interval"]) == (0,) + (None,) * 4
    assert facts["balanced_accuracy"] == facts["macro"]["f1"] == 1.0


def test_a_score_of_zero_for_the_truth_gives_a_finite_log_loss() -> None:
    facts = classification.measure(scored([[1.0, 0.0]], [1]))
    assert 15 < facts["log_loss"] < 17


def test_confident_mistakes_come_with_the_surest_first_and_hold_only_mistakes() -> None:
    data = scored([[0.9, 0.1], [0.6, 0.4], [0.99, 0.01], [0.3, 0.7]], [1, 1, 0, 1])
    assert classification.confident_mistakes(data, 5) == [0, 1]
    assert classification.confident_mistakes(data, 1) == [0]


def test_least_certain_come_with_the_smallest_lead_first() -> None:
    assert classification.least_certain(SMALL, 2) == [1, 3]


def test_above_200_classes_the_confusion_is_told_by_its_cells_alone() -> None:
    few, many = (classification.measure(by_chance(300, classes)) for classes in (200, 201))
    assert len(few["confusion"]) == 200
    assert many["confusion"] is None
    for facts in (few, many):
        assert sum(count for _, _, count in facts["confusion_cells"]) == 300
    weakest = next(row for row in many["classes"] if row["support"] and not row["recall"])
    wrong = {
        count for truth, _, count in many["confusion_cells"] if many["classes"][truth]["label"] == weakest["label"]
    }
    assert weakest["taken_for"]["count"] == max(wrong)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(DataError, match="0 examples"):
        classification.measure(scored([], []))


def test_a_score_that_is_not_a_number_is_refused_with_the_name_of_its_example() -> None:
    with pytest.raises(NoriaError, match=r"1 of 2 examples.*'1\.jpg'"):
        classification.measure(scored([[0.5, 0.5], [float("nan"), 0.5]], [0, 1]))
