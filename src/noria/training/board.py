"""What TensorBoard shows of a training, written while it goes on; the training itself is not changed by a bit.

FOLDER/steps/       loss, learning rate and gradient norm, as they are within an epoch
FOLDER/training/    by epoch: loss, accuracy, rate, speed, memory, weights, gradients, the pictures learnt from, graph
FOLDER/validation/  by epoch: loss, accuracy, confusion matrix; at the end the projector's files

The folder lies where a killed training goes on from, and is copied into the finished run. Until then the run that is
being written holds a link to it, by which it is found.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.artifacts.run import BOARD
from noria.contracts import Progress
from noria.errors import NoriaError
from noria.training import sheets
from noria.training.events import Events, cut
from noria.training.feed import Examples
from noria.training.job import Job
from noria.training.memory import held
from noria.training.projector import write_projector
from noria.training.watch import Array, Epoch, Start, Step, by_layer

if TYPE_CHECKING:
    import keras

EVERY_SECONDS = 2.0  # a step is written
SHOWN = 16  # pictures of a batch
SAMPLED = 100_000  # numbers of a weight, at most, that its histogram is made of
_PROFILE_AFTER = 3  # steps, the first of which are slow

PARTS = ("steps", "training", "validation")


def open_board(job: Job, validation: Examples, progress: Progress) -> list[Board]:
    """Return the watch that writes TensorBoard's files; none where they are not wanted, or have no place."""
    if not job.training.tensorboard or job.unfinished is None:
        return []
    return [Board(job, job.unfinished / BOARD, validation, progress)]


def link(folder: Path, job: Job) -> None:
    """Let a run that is being written point at the files of its training."""
    if job.unfinished is not None:
        with suppress(OSError):  # a file system without links: they are there when the run is
            (folder / BOARD).symlink_to(job.unfinished / BOARD, target_is_directory=True)


def take(folder: Path, job: Job) -> None:
    """Copy the files of a finished training into its run."""
    place = folder / BOARD
    place.unlink(missing_ok=True)
    if job.unfinished is not None and (job.unfinished / BOARD).is_dir():
        shutil.copytree(job.unfinished / BOARD, place)


class Board:
    """The watch that writes; where the disk is full it says so once, and writes no more."""

    def __init__(self, job: Job, folder: Path, validation: Examples, progress: Progress) -> None:
        self._job, self._folder, self._validation, self._progress = job, folder, validation, progress
        self._labels = job.dataset.labels
        self._events: dict[str, Events] = {}
        self._batch: Array | None = None  # the first of the epoch
        self._epoch = 0
        self._told = 0.0
        self._first_step = 0
        self._profiling = self._broken = False

    def begin(self, start: Start) -> None:
        self._first_step = start.steps
        self._guarded(lambda: self._begin(start))

    def step(self, step: Step) -> None:
        if step.epoch != self._epoch:
            self._epoch = step.epoch
            self._batch = step.inputs[:SHOWN] if step.inputs.ndim == 4 else None
        if self._job.training.profile:
            self._guarded(lambda: self._profile(step.number - self._first_step))
        if time.monotonic() - self._told >= EVERY_SECONDS:
            self._told = time.monotonic()
            self._guarded(lambda: self._step(step))

    def epoch(self, epoch: Epoch) -> None:
        self._guarded(lambda: self._training(epoch))
        self._guarded(lambda: self._validated(epoch))

    def finish(self, network: keras.Model) -> None:
        """Write what the finished network makes of the validation split."""
        if self._profiling:
            self._guarded(self._end_profile)
        self._guarded(
            lambda: write_projector(
                self._folder / "validation", network, self._validation, self._job.dataset, self._job.deadline
            )
        )
        for events in self._events.values():
            self._guarded(events.close)

    def _begin(self, start: Start) -> None:
        if start.steps == 0:
            shutil.rmtree(self._folder, ignore_errors=True)
        for part in PARTS:
            cut(self._folder / part, start.steps if part == "steps" else start.epochs)
        self._events = {part: Events(self._folder / part) for part in PARTS}
        if start.steps == 0:
            self._events["training"].graph(_graph(start.network))
            self._events["training"].flush()

    def _step(self, step: Step) -> None:
        events = self._events["steps"]
        events.scalar("loss_by_step", step.loss, step.number)
        events.scalar("learning_rate_by_step", step.learning_rate, step.number)
        events.scalar("gradient_norm_by_step", step.gradient_norm, step.number)
        events.flush()

    def _training(self, epoch: Epoch) -> None:
        events, number, told = self._events["training"], epoch.number, epoch.told
        for name in ("loss", "accuracy", "learning_rate", "gradient_norm"):
            events.scalar(name, told[name], number)
        events.scalar("examples_per_second", epoch.per_second, number)
        events.scalar("memory_mib", held() / 2**20, number)
        for layer, norm in by_layer(epoch.norms).items():
            events.scalar(f"gradient_norm_by_layer/{layer}", norm, number)
        weights = {variable.path: variable.numpy() for variable in epoch.network.trainable_variables}
        sizes = {path: float(np.linalg.norm(weight)) for path, weight in weights.items()}
        for layer, norm in by_layer(sizes).items():
            events.scalar(f"weight_norm_by_layer/{layer}", norm, number)
        for kind, arrays in (("weights", weights), ("gradients", epoch.gradients)):
            for path, values in arrays.items() if _kept(number, 2) else ():
                events.histogram(f"{kind}/{path}", _sampled(values), number)
        if self._batch is not None and len(self._batch) and _kept(number, 1):
            events.picture("learnt_from", *sheets.contact_sheet(self._batch), number)
        for alarm in epoch.memory.get("alarms", ()):
            if alarm["epoch"] == number:
                events.text(f"alarms/{alarm['kind']}", f"{alarm['message']}\n\n`{alarm['remedy']}`", number)
        events.flush()

    def _validated(self, epoch: Epoch) -> None:
        events, number, told = self._events["validation"], epoch.number, epoch.told
        events.scalar("loss", told["val_loss"], number)
        events.scalar("loss_calibrated", told["val_loss_calibrated"], number)
        events.scalar("accuracy", told["val_accuracy"], number)
        counts = np.zeros((len(self._labels), len(self._labels)), np.int64)
        np.add.at(counts, (epoch.labels, epoch.scores.argmax(axis=1)), 1)
        if _kept(number, 2):
            events.picture("confusion", *sheets.confusion(counts, self._labels), number)
        events.flush()

    def _profile(self, step: int) -> None:
        import tensorflow as tf

        if step == _PROFILE_AFTER:
            tf.profiler.experimental.start(str(self._folder / "training"))
            self._profiling = True
        elif self._profiling and step == _PROFILE_AFTER + self._job.training.profile:
            self._end_profile()

    def _end_profile(self) -> None:
        import tensorflow as tf

        self._profiling = False
        tf.profiler.experimental.stop()

    def _guarded(self, write: Callable[[], None]) -> None:
        """A training is worth more than what is shown of it."""
        import tensorflow as tf

        if self._broken:
            return
        try:
            write()
        except (OSError, NoriaError, tf.errors.OpError) as error:
            self._broken = True
            self._progress.note(f"nothing more is written for TensorBoard: {error}")


def _kept(epoch: int, digits: int) -> bool:
    """Every epoch at first, then ever fewer: those of so many digits, with zeros after them. Else disks would fill."""
    return epoch % int(10 ** max(0, len(str(epoch)) - digits)) == 0


def _sampled(values: Array) -> NDArray[np.generic]:
    flat = values.ravel()
    return flat[:: -(-flat.size // SAMPLED) or 1]


def _graph(network: keras.Model) -> bytes:
    """The network as it answers, in operations, grouped by layer."""
    import tensorflow as tf

    shapes = tf.TensorSpec(network.input.shape, network.input.dtype)
    traced = tf.function(lambda inputs: network(inputs, training=False)).get_concrete_function(shapes)
    definition: bytes = traced.graph.as_graph_def().SerializeToString()
    return definition
