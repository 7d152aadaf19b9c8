"""What the strategies that train a whole network share: from the settings to a finished, calibrated model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria import models, plugins
from noria.contracts import Progress
from noria.errors import ConfigError
from noria.evaluation.calibration import fit_temperature
from noria.training.alarms import Alarms
from noria.training.board import open_board
from noria.training.checkpoint import Checkpoint
from noria.training.clock import Clock
from noria.training.feed import Examples, Feed
from noria.training.job import Job, Trained
from noria.training.loss import Loss
from noria.training.mirroring import mirrored
from noria.training.network import Group, Plan, fit
from noria.training.optimizers import make_optimizer
from noria.training.replicas import placed
from noria.training.schedules import FALLING, Shape, schedule
from noria.training.watch import Lines

if TYPE_CHECKING:
    import keras

FEEDS = "noria.training.feeds"
PATIENCE = 3  # epochs, where the settings leave it open
SCORED_AT_ONCE = 128
LEFT, LEFT_SECONDS = 0.1, 10.0  # of the time that there is when the training begins: for scores, model and report


@dataclass(frozen=True, slots=True)
class Ready:
    """A network before its first step, and what it learns from."""

    feed: Feed
    model: keras.Model
    groups: Sequence[Group]
    card: dict[str, Any]  # what the run says about the model
    head: Trained | None = None  # the finished model that the network goes on from, which may be the best


def open_feed(job: Job, *, clock: Clock, progress: Progress) -> Feed:
    """Return the dataset of a job as its model takes it.

    Raises:
        ConfigError: the model takes other inputs than the job's settings make.
        DataError: an example changed while training.
    """
    feed: Feed = _member(job).feed(job, clock=clock, progress=progress)
    return feed


def train_network(
    job: Job,
    ready: Ready,
    *,
    clock: Clock,
    progress: Progress,
) -> Trained:
    """Train a network whose last layer, "scores", gives probabilities; return its best epoch, calibrated.

    Raises:
        ConfigError: the loss is no number any more, or texts were to be mirrored.
    """
    feed, model, devices = ready.feed, ready.model, job.devices
    if job.training.mirrored and len(model.input.shape) != 4:
        raise ConfigError(f"training.mirrored is for pictures, and {job.model.name} takes none. Leave it out.")
    names = [example.path for example in job.dataset.by_split("train")]
    alarms = Alarms(job.dataset.labels, feed.train.examples.labels, job.training, progress)
    board = open_board(job, feed.held_out["validation"], progress) if devices.chief else []
    with clock.stage("fit"):
        learning, own_groups = placed(
            model, ready.groups, devices, lambda: make_optimizer(job.training, steps=feed.train.steps)
        )
        history, best = fit(
            learning, own_groups, feed.train, feed.held_out["validation"], _plan(job),
            checkpoint=Checkpoint(job.unfinished, progress), progress=progress,
            watches=[Lines(progress), alarms, *board] if devices.chief else [],
            first_counts=ready.head is not None, names=names, devices=devices,
        )  # fmt: skip
        if learning is not model:  # what is measured, saved and exported is the float32 model of one device
            model.set_weights(learning.get_weights())
        if job.training.mirrored:
            model = mirrored(model)
        validation, test, temperature = _measured(model, feed, progress) if devices.chief else _nothing(model)
        for each in board:
            each.finish(model)
    divide_logits(model, temperature)
    return Trained(
        model=model,
        temperature=temperature,
        validation_scores=validation,
        test_scores=test,
        history=history,
        candidates=[],
        chosen={"epoch": best, "epochs_trained": len(history["val_loss"])},
        card=ready.card,
        features={"width": feed.width, "computed": len(job.dataset.examples), "from_cache": 0},
        seconds=clock.seconds,
        input_files=feed.input_files,
        alarms=alarms.raised,
        contact_sheet=_contact_sheet(job, feed) if devices.chief else None,
        batch_size=feed.train.batch_size,
    )


def _contact_sheet(job: Job, feed: Feed) -> bytes | None:
    """Show the very tensors of the first step, where the input can be shown."""
    draw: Callable[[Any], bytes] | None = getattr(_member(job), "contact_sheet", None)
    return draw(feed.train.batch(0, 0)[0]) if draw else None


def _member(job: Job) -> ModuleType:
    return plugins.load(FEEDS, models.card(job.model.name).input)


def divide_logits(model: keras.Model, temperature: float) -> None:
    """Put the temperature into the last layer's weights, so that no server can forget it."""
    layer = model.get_layer("scores")
    layer.set_weights([weight / temperature for weight in layer.get_weights()])


def _plan(job: Job) -> Plan:
    training = job.training
    falls = training.schedule in FALLING
    return Plan(
        epochs=training.epochs,
        patience=training.patience or (training.epochs if falls else PATIENCE),
        rate=training.learning_rate,
        schedule=schedule(training.schedule, Shape(training.warmup, training.final_rate)),
        loss=Loss(training.label_smoothing, training.focal_gamma),
        falls_on_plateau=training.schedule == "plateau",
        seconds=_seconds(job.deadline - time.monotonic()),
    )


def _seconds(there: float) -> float:
    """Return for how long to train, of the seconds that there are; at least for one."""
    return there if math.isinf(there) else max(1.0, there - max(LEFT_SECONDS, LEFT * there))


def _measured(
    model: keras.Model, feed: Feed, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    with progress.track("scores") as advance:
        validation, test = (_scores(model, feed.held_out[split], advance) for split in ("validation", "test"))
    return validation, test, fit_temperature(validation, feed.held_out["validation"].labels)


def _nothing(model: keras.Model) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """The model is the chief's to measure and to keep."""
    none = np.zeros((0, int(model.output.shape[-1])), np.float32)
    return none, none, 1.0


def _scores(model: keras.Model, examples: Examples, advance: Callable[[int], None]) -> NDArray[np.float32]:
    found = []
    for batch in examples.input_batches(SCORED_AT_ONCE):
        found.append(np.asarray(model.predict_on_batch(batch), np.float32))
        advance(len(batch))
    return np.concatenate(found)
