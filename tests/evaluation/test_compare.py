"""Two models on the same examples."""

from __future__ import annotations

import numpy as np
import pytest

from noria.errors import DataError
from noria.evaluation.compare import paired_difference


def answers(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a = np.repeat([1, 1, 0, 0], [both, only_a, only_b, neither])
    b = np.repeat([1, 0, 1, 0], [both, only_a, only_b, neither])
    return a, b, np.ones(len(a), np.int64)


def test_the_interval_and_p_value_equal_the_published_example() -> None:
    # Airway measurements of 21 children before and after a transplant, in Fagerland, Lydersen and Laake (2014).
    facts = paired_difference(*answers(1, 1, 7, 12))
    assert facts["difference"] == pytest.approx(-6 / 21)
    assert [round(end, 3) for end in facts["interval"]] == [-0.507, -0.026]
    assert facts["p_value"] == pytest.approx(0.0703125)


def test_counts_are_those_of_the_four_cells() -> None:
    facts = paired_difference(*answers(10, 3, 2, 5))
    assert [facts[key] for key in ("both_right", "only_a", "only_b", "neither")] == [10, 3, 2, 5]


def test_a_model_compared_with_itself_differs_by_nothing() -> None:
    facts = paired_difference(*answers(40, 0, 0, 10))
    assert facts["difference"] == 0
    assert facts["interval"][0] < 0 < facts["interval"][1]
    assert facts["p_value"] == 1.0


def test_the_p_value_equals_the_binomial_test_on_many_examples() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    facts = paired_difference(*answers(50_000, 1_030, 1_150, 3_000))
    assert facts["p_value"] == pytest.approx(stats.binomtest(1_030, 2_180).pvalue, rel=1e-6)


def test_answers_to_different_examples_are_refused() -> None:
    with pytest.raises(DataError, match="got 2 and 3 answers"):
        paired_difference(np.zeros(2, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64))
