"""The linear strategy on real reviews: the model against its own scores, and against what the paper says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from noria.artifacts.dataset import Dataset
from noria.artifacts.store import Store
from noria.contracts import Silent, Split
from noria.errors import ConfigError
from noria.evaluation.calibration import apply_temperature
from noria.training.encoded import encode, text_settings
from noria.training.job import Job, Trained
from noria.training.strategies import linear

MakeJob = Callable[..., Job]


@pytest.fixture(scope="module")
def trained(make_job: MakeJob, store: Store) -> Trained:
    return linear.train(make_job("ngrams"), store=store, progress=Silent())


def truth(dataset: Dataset, split: Split) -> NDArray[np.int64]:
    return np.array([dataset.label_index[one.label] for one in dataset.by_split(split)])


def answers(job: Job, trained: Trained, split: Split) -> NDArray[np.float32]:
    """What the Keras model says of each text by itself, read as a server reads it."""
    read = job.open_reader(trained.input_files)
    rows = [read(job.dataset.read(one)) for one in job.dataset.by_split(split)]
    return np.concatenate([np.asarray(trained.model(row[np.newaxis])) for row in rows])


def test_the_ids_of_all_texts_are_in_memory_once(make_job: MakeJob, reviews: Dataset) -> None:
    job = make_job("ngrams")
    encoded = encode(job, text_settings(job, "ngrams"), progress=Silent())
    sides = [*encoded.ids.values(), encoded.of("train", "validation")]
    assert [len(side) for side in sides] == [600, 150, 250, 750]
    assert all(np.shares_memory(side.values, encoded.rows.values) for side in sides)
    assert np.array_equal(encoded.of("train", "validation")[600], encoded.ids["validation"][0])
    assert np.array_equal(encoded.ids["test"][249], encoded.rows[999])


def test_some_hundred_reviews_are_enough_for_four_of_five(trained: Trained, reviews: Dataset) -> None:
    assert (trained.test_scores.argmax(axis=1) == truth(reviews, "test")).mean() > 0.8


def test_the_keras_model_answers_as_the_scores_say_with_the_temperature_in_it(
    make_job: MakeJob, trained: Trained
) -> None:
    expected = apply_temperature(trained.test_scores, trained.temperature)
    np.testing.assert_allclose(answers(make_job("ngrams"), trained, "test"), expected, atol=1e-5)
    assert trained.temperature != 1


def test_the_strength_with_the_lowest_validation_loss_is_chosen(trained: Trained) -> None:
    (chosen,) = [row for row in trained.candidates if row["chosen"]]
    assert [row["l2"] for row in trained.candidates] == sorted(linear.STRENGTHS, reverse=True)
    assert chosen["val_loss"] == min(row["val_loss"] for row in trained.candidates)
    assert trained.chosen == {"l2": chosen["l2"]}
    assert max(row["val_loss"] for row in trained.candidates) > 1.02 * chosen["val_loss"]


def test_validation_scores_are_of_a_model_that_did_not_see_these_texts(
    make_job: MakeJob, trained: Trained, reviews: Dataset
) -> None:
    right = truth(reviews, "validation")
    (chosen,) = [row for row in trained.candidates if row["chosen"]]
    accuracy = (trained.validation_scores.argmax(axis=1) == right).mean()
    assert accuracy == pytest.approx(chosen["val_accuracy"])
    final = answers(make_job("ngrams"), trained, "validation")  # it has learnt them by then
    assert (final.argmax(axis=1) == right).mean() > accuracy


def test_training_twice_gives_the_same_bits(make_job: MakeJob, trained: Trained, store: Store) -> None:
    again = linear.train(make_job("ngrams"), store=store, progress=Silent())
    assert again.input_files == trained.input_files
    for mine, theirs in zip(again.model.get_weights(), trained.model.get_weights(), strict=True):
        assert mine.tobytes() == theirs.tobytes()


def test_words_speak_for_the_label_that_they_should(trained: Trained) -> None:
    words = trained.input_files["words.txt"].decode().splitlines()
    weights = trained.model.get_layer("ngrams").get_weights()[0]
    assert not weights[0].any()
    for word, label in (("worst", 0), ("bad", 0), ("great", 1), ("excellent", 1)):
        row = weights[words.index(word) + 1]  # the keys of single words come first and are their numbers
        assert row[label] > 0 > row[1 - label]


def test_three_labels_are_learnt_side_by_side(make_job: MakeJob, reviews: Dataset, store: Store) -> None:
    """The third label: reviews with an exclamation mark, which is a word of its own."""
    examples = tuple(replace(one, label="loud") if b"!" in reviews.read(one) else one for one in reviews.examples)
    labels = ("loud", *reviews.labels)
    three = replace(reviews, labels=labels, examples=examples)
    job = make_job("ngrams", dataset=three)
    trained = linear.train(job, store=store, progress=Silent())
    assert trained.model.output_shape == (None, 3)
    right = trained.test_scores.argmax(axis=1) == truth(three, "test")
    assert right.mean() > 0.7
    expected = apply_temperature(trained.test_scores, trained.temperature)
    np.testing.assert_allclose(answers(job, trained, "test"), expected, atol=1e-5)


def test_balanced_class_weights_find_more_of_a_rare_label(make_job: MakeJob, reviews: Dataset, store: Store) -> None:
    seen, kept = 0, []
    for one in reviews.examples:
        seen += one.split == "train" and one.label == "positive"
        if one.split != "train" or one.label == "negative" or seen <= 40:
            kept.append(one)
    uneven = replace(reviews, examples=tuple(kept))
    found = []
    for kind in ("none", "balanced"):
        job = make_job("ngrams", dataset=uneven, class_weights=kind, l2=(1e-2,))
        scores = linear.train(job, store=store, progress=Silent()).test_scores
        found.append((scores.argmax(axis=1) == truth(uneven, "test"))[truth(uneven, "test") == 1].mean())
    assert found[1] > found[0] + 0.1


def test_many_labels_bound_the_number_of_ngrams(
    make_job: MakeJob, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "MOST_WEIGHTS", 2_000)
    trained = linear.train(make_job("ngrams"), store=store, progress=Silent())
    assert trained.model.get_layer("ngrams").get_weights()[0].shape == (1_001, 2)


def test_words_in_order_are_refused(make_job: MakeJob, store: Store) -> None:
    with pytest.raises(ConfigError, match=r"encoding.*'ngrams'"):
        linear.train(make_job("ngrams", {"encoding": "sequence"}), store=store, progress=Silent())
