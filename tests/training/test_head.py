"""The head: every strength is trained at once, and each becomes what it would have become alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from noria.training.head import Head, Labelled, fit_head
from noria.training.settings import TrainingSettings

STRENGTHS = (1e-4, 1e-2, 1.0)
WIDTH, CLASSES = 24, 3


def cloud(counts: tuple[int, ...], *, seed: int, spread: float = 1.0) -> Labelled:
    """Points around one centre for each class, off the origin and of unequal scale, as real features are."""
    centres = np.random.default_rng(7).normal(size=(CLASSES, WIDTH))
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    points = centres[labels] + spread * np.random.default_rng(seed).normal(size=(len(labels), WIDTH))
    return (points * np.linspace(0.1, 5, WIDTH) + 3).astype(np.float32), labels


@pytest.fixture(scope="module")
def train() -> Labelled:
    return cloud((40, 40, 40), seed=1, spread=2.0)


@pytest.fixture(scope="module")
def validation() -> Labelled:
    return cloud((15, 15, 15), seed=2, spread=2.0)


def fit(train: Labelled, validation: Labelled, *, seed: int = 0, **settings: Any) -> Head:
    given = {"epochs": 10, "batch_size": 32, "learning_rate": 1e-2, "patience": 100, "l2": STRENGTHS, **settings}
    return fit_head(train, validation, CLASSES, TrainingSettings(**given), seed=seed)


def accuracy(head: Head, data: Labelled) -> float:
    answers: NDArray[np.int64] = head.logits(data[0]).argmax(axis=1)
    return float((answers == data[1]).mean())


def test_candidates_trained_side_by_side_are_those_trained_alone(train: Labelled, validation: Labelled) -> None:
    together = fit(train, validation)
    alone = [fit(train, validation, l2=(strength,)) for strength in STRENGTHS]
    for row, head in zip(together.candidates, alone, strict=True):
        (expected,) = head.candidates
        assert row["l2"] == expected["l2"]
        assert row["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-4)
        assert row["val_accuracy"] == pytest.approx(expected["val_accuracy"], abs=1e-6)
    assert len({round(row["val_loss"], 3) for row in together.candidates}) == len(STRENGTHS)


def test_the_chosen_weights_are_those_of_the_same_strength_alone(train: Labelled, validation: Labelled) -> None:
    few = {"epochs": 3, "learning_rate": 3e-3}  # so few that every epoch is better than the one before
    together = fit(train, validation, **few)
    alone = fit(train, validation, l2=(together.chosen["l2"],), **few)
    assert together.chosen["epoch"] == alone.chosen["epoch"] == 3
    np.testing.assert_allclose(together.kernel, alone.kernel, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(together.bias, alone.bias, rtol=1e-3, atol=1e-4)


def test_the_chosen_strength_has_the_lowest_validation_loss(train: Labelled, validation: Labelled) -> None:
    head = fit(train, validation)
    (chosen,) = [row for row in head.candidates if row["chosen"]]
    assert chosen["l2"] == head.chosen["l2"]
    lowest = min(row["val_loss"] for row in head.candidates)
    assert chosen["val_loss"] <= lowest * 1.002  # a gain of less than 0.2 % does not count as better
    assert max(row["val_loss"] for row in head.candidates) > lowest * 1.05


def test_the_weights_are_those_of_the_best_epoch_and_take_plain_features(train: Labelled, validation: Labelled) -> None:
    head = fit(train, validation, epochs=40, learning_rate=5e-2, l2=(1e-6,))
    best = head.chosen["epoch"] - 1
    assert best < 39  # it overfits after its best epoch
    assert accuracy(head, train) == pytest.approx(head.history["accuracy"][best], abs=0.01)
    assert accuracy(head, validation) == pytest.approx(head.history["val_accuracy"][best], abs=0.03)
    assert head.history["val_loss"][best] <= min(head.history["val_loss"]) * 1.002


def test_training_stops_once_nothing_gets_better(train: Labelled, validation: Labelled) -> None:
    head = fit(train, validation, epochs=200, learning_rate=5e-2, patience=4)
    trained = head.chosen["epochs_trained"]
    assert trained == head.chosen["epoch"] + 4 < 200
    assert {name: len(curve) for name, curve in head.history.items()} == dict.fromkeys(
        ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"), trained
    )


def test_the_learning_rate_warms_up_and_falls(train: Labelled, validation: Labelled) -> None:
    rates = fit(train, validation, epochs=15, learning_rate=1e-2).history["learning_rate"]
    peak = int(np.argmax(rates))
    assert 0 < peak < 5
    assert rates[peak] == pytest.approx(1e-2, rel=0.05)
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 1e-3


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(train: Labelled, validation: Labelled) -> None:
    first, again, other = (fit(train, validation, seed=seed, epochs=4) for seed in (3, 3, 4))
    assert first.kernel.tobytes() == again.kernel.tobytes()
    assert first.bias.tobytes() == again.bias.tobytes()
    assert first.history == again.history
    assert first.kernel.tobytes() != other.kernel.tobytes()


def test_balanced_class_weights_find_more_of_a_rare_class(validation: Labelled) -> None:
    rare = cloud((150, 150, 8), seed=5, spread=3.0)
    plain, balanced = (
        fit(rare, cloud((30, 30, 30), seed=6, spread=3.0), class_weights=kind, l2=(1e-2,))
        for kind in ("none", "balanced")
    )
    features, labels = cloud((100, 100, 100), seed=8, spread=3.0)
    found = [float((head.logits(features[labels == 2]).argmax(axis=1) == 2).mean()) for head in (plain, balanced)]
    assert found[1] > found[0] + 0.1


def test_one_class_weight_each_leaves_equal_classes_as_they_were(train: Labelled, validation: Labelled) -> None:
    plain, balanced = (fit(train, validation, class_weights=kind, epochs=4) for kind in ("none", "balanced"))
    np.testing.assert_allclose(plain.kernel, balanced.kernel, rtol=1e-4, atol=1e-6)
