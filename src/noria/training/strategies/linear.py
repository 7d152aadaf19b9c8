"""Naive-Bayes-weighted logistic regression on sets of n-grams: whole-data numpy, no chance, seconds.

The strength of L2 is chosen on the validation split, and the temperature is fitted there, both by models that never saw
it. Then the chosen strength is fitted once more to training and validation texts together: with 4:1 on 25,000 film
reviews that is worth 0.3 points. The validation figures in the report are those of the model before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria import models
from noria.artifacts.store import Store
from noria.contracts import Progress, Split
from noria.evaluation.calibration import fit_temperature
from noria.quiet import tensorflow_beside
from noria.training.class_weights import example_weights
from noria.training.clock import Clock
from noria.training.describe import describe
from noria.training.encoded import Encoded, encode, text_settings
from noria.training.job import Job, Trained
from noria.training.naive_bayes import LinearModel, fit_path

if TYPE_CHECKING:
    import keras

STRENGTHS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)
MOST_WEIGHTS = 16_000_000  # n-grams times labels; the search takes some 20 vectors of that length

Array = NDArray[np.float32]
USES = frozenset({"l2", "class_weights"})


def train(job: Job, *, store: Store, progress: Progress) -> Trained:
    """Return the trained model of one job; nothing of it is kept in `store`.

    Raises:
        ConfigError: the model does not take n-grams.
        DataError: a text changed while training.
    """
    clock = Clock()
    settings = text_settings(job, "ngrams")
    bound = min(settings.max_ngrams, MOST_WEIGHTS // len(job.dataset.labels))
    strengths = sorted(job.training.l2 or STRENGTHS, reverse=True)
    with tensorflow_beside(lambda: None) as keras_side:
        with clock.stage("encode"):
            encoded = encode(job, settings.model_copy(update={"max_ngrams": bound}), progress=progress)
        with clock.stage("fit"), progress.track("linear model", len(strengths) + 1) as advance:
            tried = _fit_all(job, encoded, strengths, advance)
            best = min(tried, key=lambda one: one.loss)
            final = next(_path(job, encoded, "validation", [best.strength]))[1]
            advance(1)
        with clock.stage("load"):
            keras_side()
    temperature = fit_temperature(best.scores, encoded.labels["validation"])
    model = _assemble(job, final, temperature)
    return Trained(
        model=model,
        temperature=temperature,
        validation_scores=best.scores,
        test_scores=final.scores(encoded.ids["test"]),
        history={},
        candidates=[one.row(chosen=one is best) for one in tried],
        chosen={"l2": best.strength},
        card=describe(job.model.name, model),
        features={"width": encoded.vocabulary_size - 1, "computed": len(job.dataset.examples), "from_cache": 0},
        seconds=clock.seconds,
        input_files=encoded.files,
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One strength, and how its model does on the validation split."""

    strength: float
    scores: Array  # (n, C) of the validation split
    loss: float
    accuracy: float

    def row(self, *, chosen: bool) -> dict[str, Any]:
        return {"l2": self.strength, "val_loss": self.loss, "val_accuracy": self.accuracy, "chosen": chosen}


def _fit_all(
    job: Job, encoded: Encoded, strengths: Sequence[float], advance: Callable[[int], None]
) -> list[_Candidate]:
    truth = encoded.labels["validation"]
    tried = []
    for strength, model in _path(job, encoded, "train", strengths):
        scores = model.scores(encoded.ids["validation"])
        of_truth = np.maximum(scores[np.arange(len(truth)), truth], np.finfo(np.float32).tiny)
        accuracy = float((scores.argmax(axis=1) == truth).mean())
        tried.append(_Candidate(strength, scores, float(-np.log(of_truth).mean()), accuracy))
        advance(1)
    return tried


def _path(job: Job, encoded: Encoded, last: Split, strengths: Sequence[float]) -> Iterator[tuple[float, LinearModel]]:
    """Fit the texts from the split train to the split `last` together, from the strongest L2 to the weakest."""
    num_classes = len(job.dataset.labels)
    texts = encoded.of("train", last)
    labels = np.concatenate(list(encoded.labels.values()))[: len(texts)]
    weights = example_weights(labels, num_classes, job.training)
    return fit_path(
        texts, labels, num_classes, strengths, num_features=encoded.vocabulary_size - 1, example_weights=weights
    )


def _assemble(job: Job, linear: LinearModel, temperature: float) -> keras.Model:
    """Put the weights into the Keras model; the temperature goes into the last layer, so no server can forget it."""
    size, num_classes = linear.weights.shape
    family = models.find(job.model.name)
    model = family.build_network(job.model.name, vocabulary_size=size, length=None, num_classes=num_classes)
    model.get_layer("ngrams").set_weights([linear.weights])
    model.get_layer("scores").set_weights([np.eye(num_classes) / temperature, linear.bias / temperature])
    return model
