"""A network trained from nothing, by gradient descent: early stopping on validation, best weights kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from noria import models
from noria.artifacts.store import Store
from noria.contracts import Progress
from noria.quiet import load_tensorflow
from noria.training import continuing
from noria.training.batch_size import with_batch_size
from noria.training.clock import Clock
from noria.training.descent import Ready, open_feed, train_network
from noria.training.describe import describe
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
        model = _network(job, feed.shapes)
        own = {"source": "the training data alone", "licence": "none needed"}

    def groups(steps: int) -> list[Group]:
        return [Group(model.trainable_variables, make_optimizer(job.training, steps=steps))]

    feed = with_batch_size(job, feed, model, groups, progress)
    return Ready(feed, model, groups(feed.train.steps), card={**describe(job.model.name, model), **own})


def _network(job: Job, shapes: Mapping[str, int]) -> keras.Model:
    """Return the network as its family builds it; of a family of backbones, one with a layer of scores on top."""
    family, num_classes = models.find(job.model.name), len(job.dataset.labels)
    if hasattr(family, "build_network"):
        kind = models.options(job.model.name)
        told = {"options": kind.model_validate(job.model.options)} if kind else {}
        return family.build_network(job.model.name, **shapes, num_classes=num_classes, **told)
    import keras

    backbone = family.build_backbone(job.model.name, **shapes, weights="none")
    scores = keras.layers.Dense(num_classes, activation="softmax", name="scores")
    return keras.Model(backbone.input, scores(keras.layers.Dropout(DROPOUT)(backbone.output)), name=backbone.name)
