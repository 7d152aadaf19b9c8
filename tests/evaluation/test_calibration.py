"""Temperature scaling and the reliability diagram, on scores whose true temperature is known."""

from __future__ import annotations

import numpy as np
import pytest

from noria.evaluation.calibration import apply_temperature, confidence_histogram, coverage, fit_temperature, reliability

Pair = tuple[np.ndarray, np.ndarray]


def honest(examples: int = 6000, classes: int = 4, seed: int = 5) -> Pair:
    """Scores from which the truth is drawn: perfectly calibrated by construction."""
    rng = np.random.default_rng(seed)
    powers = np.exp(rng.normal(0, 1.5, (examples, classes)))
    scores = powers / powers.sum(1, keepdims=True)
    truth = (rng.random((examples, 1)) > scores.cumsum(1)).sum(1).clip(max=classes - 1)
    return scores.astype(np.float32), truth.astype(np.int64)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5, 6.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    scores, truth = honest()
    distorted = apply_temperature(scores, 1 / temperature)
    assert fit_temperature(distorted, truth) == pytest.approx(temperature, rel=0.06)


def test_the_calibration_error_of_an_overconfident_model_falls_on_other_examples() -> None:
    scores, truth = honest()
    sure = apply_temperature(scores, 1 / 3)
    temperature = fit_temperature(sure[:3000], truth[:3000])
    before = reliability(sure[3000:], truth[3000:])
    after = reliability(apply_temperature(sure[3000:], temperature), truth[3000:])
    assert before["ece"] > 0.15
    assert after["ece"] < 0.04
    assert after["accuracy"] == before["accuracy"]


def test_wrong_answers_at_full_certainty_stop_at_the_highest_temperature_and_stay_finite() -> None:
    scores = np.tile(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), (50, 1))
    truth = np.tile([0, 1], 50)
    truth[:10] = 1 - truth[:10]
    temperature = fit_temperature(scores, truth)
    assert temperature == pytest.approx(20.0, rel=1e-4)
    assert np.isfinite(apply_temperature(scores, temperature)).all()


def test_rows_sum_to_one_and_keep_their_order_after_scaling() -> None:
    scores, _ = honest(200)
    scaled = apply_temperature(scores, 2.0)
    assert scaled.dtype == np.float32
    assert scaled.sum(1) == pytest.approx(np.ones(200), abs=1e-5)
    assert (scaled.argsort(1) == scores.argsort(1)).all()


def test_too_few_examples_leave_the_scores_as_they_are() -> None:
    scores, truth = honest()
    sure = apply_temperature(scores, 0.3)
    assert fit_temperature(sure[:29], truth[:29]) == 1.0


def test_examples_of_one_class_leave_the_scores_as_they_are() -> None:
    scores, _ = honest(100)
    assert fit_temperature(scores, np.zeros(100, np.int64)) == 1.0


def test_examples_without_a_mistake_do_not_license_certainty() -> None:
    scores, _ = honest(100)
    assert fit_temperature(scores, scores.argmax(1)) == 1.0


def test_the_reliability_diagram_equals_one_counted_by_hand() -> None:
    scores = np.array([[0.95, 0.05], [0.91, 0.09], [0.55, 0.45], [0.42, 0.58]], np.float32)
    facts = reliability(scores, np.array([0, 1, 0, 1]), bins=10)
    last, middle = facts["bins"][9], facts["bins"][5]
    assert (last["count"], last["accuracy"], last["confidence"]) == (2, 0.5, pytest.approx(0.93))
    assert (middle["count"], middle["accuracy"], middle["confidence"]) == (2, 1.0, pytest.approx(0.565))
    assert facts["ece"] == pytest.approx(0.5 * 0.43 + 0.5 * 0.435)
    assert facts["max_ce"] == pytest.approx(0.435)
    assert facts["bins"][0] == {
        "low": 0.0, "high": 0.1, "count": 0, "confidence": None, "accuracy": None, "interval": None,
    }  # fmt: skip


def test_every_example_lies_in_one_bin_also_at_full_confidence() -> None:
    scores = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    truth = np.array([0, 0])
    assert [row["count"] for row in reliability(scores, truth, bins=2)["bins"]] == [1, 1]
    histogram = confidence_histogram(scores, truth)
    assert sum(histogram["right"]) + sum(histogram["wrong"]) == 2


def test_coverage_falls_as_the_threshold_rises_and_starts_with_all_examples() -> None:
    scores, truth = honest(500)
    facts = coverage(scores, truth)
    shares = [row["coverage"] for row in facts["curve"]]
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)
    assert facts["curve"][0]["accuracy"] == pytest.approx((scores.argmax(1) == truth).mean())
    at_half = next(row for row in facts["thresholds"] if row["threshold"] == 0.5)
    kept = scores.max(1) >= 0.5
    assert at_half["accuracy"] == pytest.approx((scores.argmax(1) == truth)[kept].mean())
