"""The solver against scikit-learn's, and its sums against plain loops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from noria.inputs.text import Rows
from noria.training import naive_bayes
from noria.training.minimise import minimise
from noria.training.naive_bayes import fit_path, log_count_ratios

FEATURES = 40


def ids_of(rows: Sequence[Sequence[int]]) -> Rows:
    values = np.array([value for row in rows for value in row], np.int32)
    return Rows(values, np.cumsum([0, *map(len, rows)]))


def random_texts(count: int, num_classes: int) -> tuple[list[list[int]], NDArray[np.int64]]:
    """Sets of features, some empty; a label makes some features likelier."""
    random = np.random.default_rng(num_classes)
    labels = random.integers(0, num_classes, count)
    likely = random.random((num_classes, FEATURES)) * 0.4
    rows = [
        [int(feature) + 1 for feature in np.flatnonzero(random.random(FEATURES) < likely[label])] for label in labels
    ]
    rows[3] = rows[-1] = []
    return rows, labels


def plain(rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """The matrix (n, FEATURES) of ones and zeros."""
    matrix = np.zeros((len(rows), FEATURES))
    for row, values in enumerate(rows):
        matrix[row, np.array(values, int) - 1] = 1
    return matrix


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_weights_are_those_that_scikit_learn_finds(num_classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naive_bayes, "PIECE", 100)  # many pieces, some of them without a text
    monkeypatch.setattr(naive_bayes, "TOLERANCE", 1e-9)
    rows, labels = random_texts(300, num_classes)
    texts, strength = ids_of(rows), 1e-3
    importance = np.random.default_rng(0).uniform(0.5, 1.5, len(rows)).astype(np.float32)
    importance /= importance.mean()
    ((_, model),) = fit_path(texts, labels, num_classes, [strength], num_features=FEATURES, example_weights=importance)
    if num_classes == 2:
        # Same problem by another road: every feature multiplied by its ratio, every text by its length.
        ratios = log_count_ratios(texts, labels, 2, FEATURES)[0, 1:]
        scale = np.sqrt(texts.lengths.mean() / np.maximum(texts.lengths, 1))
        other = LogisticRegression(C=1 / (strength * len(rows)), tol=1e-10, max_iter=5_000)
        design = plain(rows) * ratios * scale[:, np.newaxis]
        other.fit(design, labels, sample_weight=importance)
        np.testing.assert_allclose(model.scores(texts), other.predict_proba(design), atol=2e-3)
    assert (model.scores(texts).argmax(axis=1) == labels).mean() > 1.5 / num_classes
    np.testing.assert_allclose(model.scores(texts).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_ratios_are_logarithms_of_smoothed_shares(num_classes: int) -> None:
    rows, labels = random_texts(200, num_classes)
    ratios = log_count_ratios(ids_of(rows), labels, num_classes, FEATURES)
    matrix = np.concatenate([np.zeros((len(rows), 1)), plain(rows)], axis=1)
    for row, label in zip(ratios, [1] if num_classes == 2 else range(num_classes), strict=True):
        inside, outside = (matrix[labels == label].sum(axis=0) + 1, matrix[labels != label].sum(axis=0) + 1)
        expected = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
        np.testing.assert_allclose(row[1:], expected[1:], rtol=1e-5)
        assert row[0] == 0


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_gradient_is_the_slope_of_the_loss(num_classes: int) -> None:
    rows, labels = random_texts(60, num_classes)
    texts = ids_of(rows)
    ratios = log_count_ratios(texts, labels, num_classes, FEATURES)
    problem = naive_bayes._Problem(texts, labels, ratios, np.ones(60, np.float32))
    function = problem.function(0.01)
    random = np.random.default_rng(1)
    point, way = (random.normal(size=problem.size).astype(np.float32) * size for size in (0.1, 1.0))
    _, gradient = function(point)
    step = np.float32(1e-2)
    slope = (function(point + step * way)[0] - function(point - step * way)[0]) / (2 * step)
    assert slope == pytest.approx(float(gradient @ way), rel=0.02)


def test_weaker_regularisation_fits_the_training_texts_better() -> None:
    rows, labels = random_texts(300, 3)
    texts = ids_of(rows)
    strengths = (1e-4, 1e-1, 1e-2)
    path = list(fit_path(texts, labels, 3, strengths, num_features=FEATURES, example_weights=np.ones(300, np.float32)))
    losses = [-np.log(model.scores(texts)[np.arange(300), labels]).mean() for _, model in path]
    assert [strength for strength, _ in path] == [1e-1, 1e-2, 1e-4]
    assert losses == sorted(losses, reverse=True)


def test_lbfgs_finds_the_bottom_of_a_narrow_valley() -> None:
    scales = np.geomspace(1, 1e2, 30).astype(np.float32)
    goal = np.linspace(-2, 3, 30, dtype=np.float32)

    def valley(point: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
        return float(1 + (scales * (point - goal) ** 2).sum() / 2), scales * (point - goal)

    found = minimise(valley, np.zeros(30, np.float32), tolerance=1e-12, max_steps=500)
    np.testing.assert_allclose(found.point, goal, atol=1e-2)
    assert found.value == pytest.approx(1, abs=1e-3)
    assert found.steps < 100
