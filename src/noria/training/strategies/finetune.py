"""A backbone that knows photos already, trained on: its head first, then the backbone from the top, ever more gently.

The head comes from the frozen strategy, by cached features in seconds. Then the layers are let go in groups, the last
ones first, each with a lower learning rate than the one above it (Howard and Ruder 2018, section 3.2). Normalisation
keeps the statistics that the backbone came with. Where no epoch answers better than the head alone, that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from noria.artifacts.store import Store
from noria.contracts import Progress
from noria.quiet import load_tensorflow
from noria.training import continuing
from noria.training.batch_size import with_batch_size
from noria.training.clock import Clock
from noria.training.descent import Ready, open_feed, train_network
from noria.training.job import Job, Trained
from noria.training.network import Group
from noria.training.optimizers import make_optimizer
from noria.training.settings import TrainingSettings
from noria.training.strategies import frozen

if TYPE_CHECKING:
    import keras

DEFAULTS = {
    "learning_rate": 3e-4,
    "batch_size": 32,
    "epochs": 10,
    "schedule": "cosine",
    "warmup": 0.1,
    "weight_decay": 1e-4,
    "optimizer": "adamw",
}
ON_DEVICES = True  # of every kind, and several of them
GROUPS = 3  # of the backbone's layers; the head goes with the last ones
GENTLER = 0.3  # the learning rate of a group, as a share of that of the group above it


def train(job: Job, *, store: Store, progress: Progress) -> Trained:
    """Return the trained model of one job.

    Raises:
        WeightsError: the backbone's weights cannot be had.
        DataError: a picture changed while training.
    """
    clock = Clock()
    ready = prepare(job, store=store, clock=clock, progress=progress)
    head, tuned = ready.head, train_network(job, ready, clock=clock, progress=progress)
    if head is None:
        return tuned
    if tuned.chosen["epoch"] == 0:
        progress.note("no epoch answers better than the head on the frozen backbone, which is kept")
    return replace(tuned, candidates=head.candidates, chosen={**head.chosen, **tuned.chosen}, features=head.features)


def prepare(job: Job, *, store: Store, clock: Clock, progress: Progress) -> Ready:
    """Return the network with its head before the first step; raises as `train` does."""
    head: Trained | None = None
    if job.start:
        load_tensorflow()
        model = continuing.network(job.start, job.dataset.labels, seed=job.seed)
        own = {"parameters": int(model.count_params()), "source": f"the run {job.start.path}"}
        card = {**job.start.manifest.model, **own}
    else:
        settings = TrainingSettings(l2=job.training.l2, class_weights=job.training.class_weights)
        head = frozen.train(replace(job, training=settings, mix=None), store=store, progress=progress)
        clock.add(head.seconds)
        model, card = head.model, head.card
    import keras

    keras.utils.set_random_seed(job.seed)
    feed = open_feed(job, clock=clock, progress=progress)
    parts = _let_go(model)

    def groups(steps: int) -> list[Group]:
        return [
            Group(variables, make_optimizer(job.training, steps=steps), share=GENTLER**number, after=number)
            for number, variables in enumerate(parts)
        ]

    feed = with_batch_size(job, feed, model, groups, progress)
    return Ready(feed, model, groups(feed.train.steps), card, head)


def _let_go(model: keras.Model) -> list[Sequence[keras.Variable]]:
    """Let all layers but those of normalisation be trained; return their weights in groups, from the top down."""
    import keras

    layers = [layer for layer in model._flatten_layers(include_self=False) if layer.weights]
    for layer in layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    trained = [layer for layer in layers if layer.trainable and layer.trainable_variables]
    size = -(-len(trained) // GROUPS)
    parts = [trained[max(0, end - size) : end] for end in range(len(trained), 0, -size)]
    return [[variable for layer in part for variable in layer.trainable_variables] for part in parts]
