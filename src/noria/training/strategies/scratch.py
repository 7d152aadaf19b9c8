"""A network trained from nothing, by gradient descent: early stopping on validation, best weights kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria import models
from noria.artifacts.store import Store
from noria.contracts import Progress
from noria.quiet import load_tensorflow
from noria.training import continuing
from noria.training.batch_size import with_batch_size
from noria.training.clock import Clock
from noria.training.descent import Ready, open_feed, train_network
from noria.training.describe import describe
from noria.training.feed import Examples, Feed
from noria.training.job import Job, Trained
from noria.training.network import Group
from noria.training.optimizers import make_optimizer
from noria.training.settings import TrainingSettings

if TYPE_CHECKING:
    import keras

USES = frozenset(TrainingSettings.model_fields) - {"l2"}
ON_DEVICES = True  # of every kind, and several of them
DROPOUT = 0.2  # before the scores of a backbone


def train(job: Job, *, store: Store, progress: Progress) -> Trained:
    """Return the trained model of one job; nothing of it is kept in `store`.

    Raises:
        ConfigError: the model takes other inputs than the job's settings make.
        DataError: an example changed while training.
    """
    clock = Clock()
    ready = prepare(job, store=store, clock=clock, progress=progress)
    return train_network(job, ready, clock=clock, progress=progress)


def prepare(job: Job, *, store: Store, clock: Clock, progress: Progress) -> Ready:
    """Return the network of one job before its first step; raises as `train` does."""
    feed = open_feed(job, clock=clock, progress=progress)
    with clock.stage("load"):
        load_tensorflow()
        import keras

    keras.utils.set_random_seed(job.seed)
    if job.start:
        model = continuing.network(job.start, job.dataset.labels, seed=job.seed)
        own = {"source": f"the run {job.start.path}"}
    else:
        model = _network(job, feed)
        own = {"source": "the training data alone", "licence": "none needed"}

    def groups(steps: int) -> list[Group]:
        return [
            Group(variables, make_optimizer(job.training, steps=steps), share=share)
            for variables, share in _paces(job, model)
        ]

    feed = with_batch_size(job, feed, model, groups, progress)
    return Ready(feed, model, groups(feed.train.steps), card={**describe(job.model.name, model), **own})


def _paces(job: Job, model: keras.Model) -> Sequence[tuple[Sequence[keras.Variable], float]]:
    """Return all weights in groups, each with its share of the learning rate, as the family says for plain descent."""
    family = models.find(job.model.name)
    if hasattr(family, "paces") and job.training.optimizer == "sgd":
        found: Sequence[tuple[Sequence[keras.Variable], float]] = family.paces(model)
        return found
    return [(model.trainable_variables, 1.0)]


def _network(job: Job, feed: Feed) -> keras.Model:
    """Return the network as its family builds and begins it; of a backbone, with a layer of scores on top."""
    shapes = feed.shapes
    family, num_classes = models.find(job.model.name), len(job.dataset.labels)
    if hasattr(family, "build_network"):
        kind = models.options(job.model.name)
        told = {"options": kind.model_validate(job.model.options)} if kind else {}
        network = family.build_network(job.model.name, **shapes, num_classes=num_classes, **told)
        if hasattr(family, "begin"):
            family.begin(network, _some(feed.train.examples, family.seen_first(**shapes)))
        return network
    import keras

    backbone = family.build_backbone(job.model.name, **shapes, weights="none")
    scores = keras.layers.Dense(num_classes, activation="softmax", name="scores")
    return keras.Model(backbone.input, scores(keras.layers.Dropout(DROPOUT)(backbone.output)), name=backbone.name)


def _some(examples: Examples, count: int) -> NDArray[Any]:
    """Return at most so many inputs, from everywhere in the set."""
    places = np.linspace(0, len(examples) - 1, min(count, len(examples))).astype(np.int64)
    return np.asarray(examples.inputs[places])
