"""`batch_size = "auto"`: a network and its examples -> the largest power of two that fits in memory, found by trying.

A real step is made at 8 examples, 16, 32 and so on. A GPU says when it is full. The memory of the machine does not:
Linux kills who takes too much of it, so there a size is tried only where what the sizes before it took, and as much
again for twice as many, is free. What the steps changed is put back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noria.artifacts.files import read_json, write_json
from noria.contracts import Progress
from noria.errors import ArtifactError, ConfigError
from noria.ordered import default_threads
from noria.training import memory
from noria.training.feed import AHEAD, Examples, Feed
from noria.training.job import Job
from noria.training.loss import Loss
from noria.training.network import Group, compiled_step

if TYPE_CHECKING:
    import keras

SMALLEST = 8
LARGEST = 65_536
STEPS_AN_EPOCH = 20  # at least, where there are examples enough: with fewer, a network hardly moves
SHARE = 0.7  # of the memory that is free; the rest is for copies of the weights and whatever else may come
MARGIN = 1.25  # on what is reckoned
PATIENCE = 30.0  # seconds for a step, after which no larger one is tried
BLIND = 128  # the largest size where nobody tells how much memory a step takes
_FILE = "batch_size.json"  # beside the checkpoint: a training that goes on must have the same

Groups = Callable[[int], Sequence[Group]]  # steps of an epoch -> the weights with new optimizers


def with_batch_size(job: Job, feed: Feed, network: keras.Model, groups: Groups, progress: Progress) -> Feed:
    """Return the feed with the batch size of the settings; where that is "auto", with the one that is found.

    Raises:
        ConfigError: several workers would each find their own.
    """
    if job.training.batch_size != "auto":
        return feed
    if job.devices.team:
        raise ConfigError("training.batch_size is auto, and each worker would find another one: name it, e.g. 256.")
    size = _kept(job.unfinished)
    if size is None:
        size, why = _found(feed.train.examples, network, groups, job)
        progress.note(f"batch size {size}: {why}")
        _keep(job.unfinished, size)
    return replace(feed, train=replace(feed.train, batch_size=size))


def most(count: int) -> int:
    """Return the largest size worth trying for so many examples."""
    size = SMALLEST
    while size * 2 <= min(LARGEST, count // STEPS_AN_EPOCH):
        size *= 2
    return size


def _found(examples: Examples, network: keras.Model, groups: Groups, job: Job) -> tuple[int, str]:
    """Return the size, and why no larger one."""
    import tensorflow as tf

    on_device = bool(tf.config.list_physical_devices("GPU"))
    largest = most(len(examples))
    variables = [variable.value.numpy() for variable in network.variables]
    trial = _Trial(examples, network, groups(len(examples) // SMALLEST), job)
    size, why = SMALLEST, f"the largest power of two with {STEPS_AN_EPOCH} steps an epoch"
    try:
        while True:
            try:
                seconds = trial.step(size)
            except tf.errors.ResourceExhaustedError:
                size, why = max(1, size // 2), f"the memory is full at {size}"
                break
            if size >= largest:
                break
            if not on_device and (full := trial.too_large(size * 2)):
                why = full
                break
            if seconds > PATIENCE:
                why = f"one of its steps takes {seconds:.0f} s, so none larger was tried"
                break
            size *= 2
    finally:
        for variable, value in zip(network.variables, variables, strict=True):
            variable.assign(value)
    return size, why


class _Trial:
    """Steps of rising size, and the memory that they take."""

    def __init__(self, examples: Examples, network: keras.Model, groups: Sequence[Group], job: Job) -> None:
        self._examples = examples
        for group in groups:
            group.optimizer.build(list(group.variables))
        self._step = compiled_step(network, groups, Loss(job.training.label_smoothing, job.training.focal_gamma))
        self._told = memory.reset_peak()
        self._before = memory.resident()
        self._peak: int | None = None

    def step(self, size: int) -> float:
        """Make a step; return its seconds."""
        places = np.arange(size) % len(self._examples)
        batch = self._examples.batch(places)
        self._step_bytes = batch[0].nbytes
        begun = time.monotonic()
        float(self._step(*batch)[0])
        self._peak = memory.peak_since_reset()
        return time.monotonic() - begun

    def too_large(self, size: int) -> str:
        """Say why a step of twice the last size is not to be tried; nothing where it may be."""
        now = memory.resident()
        if not self._told or self._peak is None or self._before is None or now is None:
            return "" if size <= BLIND else "nobody tells here how much memory a larger one would take"
        taken = self._peak - self._before
        ahead = AHEAD * default_threads() * 2 * self._step_bytes  # batches that are made while the network is busy
        needed = int(self._peak + taken * MARGIN) - now + ahead
        free = int(memory.free_memory() * SHARE)
        if needed <= free:
            return ""
        return f"{size} would take about {needed / 2**30:.1f} GiB more, of {free / 2**30:.1f} GiB that may be taken"


def _kept(folder: Path | None) -> int | None:
    """Return what a training that was killed had found."""
    if folder is None or not (folder / _FILE).is_file():
        return None
    try:
        return int(read_json(folder / _FILE)["batch_size"])
    except (ArtifactError, KeyError, TypeError, ValueError):
        return None


def _keep(folder: Path | None, size: int) -> None:
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / _FILE, {"batch_size": size})
        except (OSError, ArtifactError):
            return  # a full disk: what is killed begins anew then, as the checkpoint says
