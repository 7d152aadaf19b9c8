"""How many examples a second each part of a training gets through by itself, and all of them together.

Decoding and augmentation run in as many threads as there are processors, as in training; the device is the network's
own step (of a frozen backbone: its engine) on batches that are ready. Where the device is the CPU, all share it, so
that together they are slower than the slowest of them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from noria import models
from noria.artifacts.store import Store
from noria.contracts import Progress
from noria.errors import ConfigError
from noria.ordered import default_threads, ordered_map
from noria.training.clock import Clock
from noria.training.descent import open_feed
from noria.training.feed import AHEAD, Array, Batch, Examples, Training, as_they_are
from noria.training.job import Job
from noria.training.loss import Loss
from noria.training.network import compiled_step
from noria.training.pixels import Decoding, kept_in

SECONDS = 5.0  # of each measurement
MOST_EXAMPLES = 2_048  # that are decoded and kept for the measurements after it
MOST_BYTES = 2**28
FROZEN_BATCH = 32  # pictures that the engine of a frozen backbone is given at a time

Device = Callable[[Batch], Any]


@dataclass(frozen=True, slots=True)
class InputSpeed:
    """Examples a second."""

    decode: float  # from the file, or the row, to the array
    augmentation: float | None  # None: nothing is varied
    device: float
    together: float  # as in an epoch
    batch_size: int
    threads: int
    decoded: str  # "once" before the epochs; "in every epoch" where there is no room for all; "with the features"
    bottleneck: str  # decode, augmentation or device

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return asdict(self)


def measure(job: Job, strategy: ModuleType, *, seconds: float, store: Store, progress: Progress) -> InputSpeed:
    """Measure a training without making it.

    Args:
        strategy: the member of the shelf that the job names.
        seconds: of each of the four measurements, at least.

    Raises:
        ConfigError: the strategy trains nothing by steps.
        DataError: an example changed since it was checked.
    """
    require_steps(strategy, job, or_engine=True)
    lazy = replace(job, training=job.training.model_copy(update={"cache": "none"}), unfinished=None)
    training, device, files = _opened(lazy, strategy, store, progress)
    size, threads = training.batch_size, default_threads()
    read = job.open_reader(files)
    examples = job.dataset.by_split("train")

    with progress.track("decoding", None) as advance:
        decode, arrays = _decode(lambda place: read(job.dataset.read(examples[place])), len(examples), seconds, advance)
    ready = _ready(training, arrays)
    with progress.track("augmentation", None) as advance:
        varied = None if training.vary is as_they_are else _rate(_varied(ready, threads), seconds, advance)
    batches = list(itertools.islice(ready.batches(0), 8))
    for batch in _of_two_sizes(batches[0]):  # the network is compiled for one size, then for any
        device(batch)
    with progress.track("device", None) as advance:
        alone = _rate(_through(device, itertools.cycle(batches)), seconds, advance)
    decoded = "with the features" if hasattr(strategy, "open_device") else _decoded(job, arrays[0], training.examples)
    whole = ready if decoded == "once" else training
    with progress.track("together", None) as advance:
        endless = (batch for epoch in itertools.count() for batch in whole.batches(epoch))
        together = _rate(_through(device, endless), seconds, advance)
    rates = {"decode": decode if decoded != "once" else None, "augmentation": varied, "device": alone}
    slowest = min((rate, name) for name, rate in rates.items() if rate is not None)[1]
    return InputSpeed(decode, varied, alone, together, size, threads, decoded, slowest)


def require_steps(strategy: ModuleType, job: Job, *, or_engine: bool = False) -> None:
    """Refuse a strategy that trains no network by steps; `or_engine`: but for one whose engine can be measured.

    Raises:
        ConfigError: with the models that would do.
    """
    if hasattr(strategy, "prepare") or (or_engine and hasattr(strategy, "open_device")):
        return
    others = [
        name for name in models.names(models.card(job.model.name).input) if models.card(name).strategy == "scratch"
    ]
    raise ConfigError(
        f"The strategy {job.training.strategy} of the model {job.model.name} trains no network step by step. Name one "
        f"that is trained so: --model {' or '.join(others)}, or for pictures --strategy finetune."
    )


def _opened(
    job: Job, strategy: ModuleType, store: Store, progress: Progress
) -> tuple[Training, Device, dict[str, bytes]]:
    """Return what the job learns from, what takes a batch of it, and what its input has learnt."""
    clock = Clock()
    if not hasattr(strategy, "prepare"):
        feed, engine = open_feed(job, clock=clock, progress=progress), strategy.open_device(job)
        vary = feed.train.vary if job.views else as_they_are
        return replace(feed.train, vary=vary, batch_size=FROZEN_BATCH), lambda batch: engine(batch[0]), feed.input_files
    ready = strategy.prepare(job, store=store, clock=clock, progress=progress)
    step = compiled_step(ready.model, ready.groups, Loss(job.training.label_smoothing, job.training.focal_gamma))
    for group in ready.groups:
        group.optimizer.build(list(group.variables))
    return ready.feed.train, lambda batch: float(step(*batch)[0]), ready.feed.input_files


def _decode(
    one: Callable[[int], Array], count: int, seconds: float, advance: Callable[[int], None]
) -> tuple[float, list[Array]]:
    """Decode examples from all over the set, for so long; return how many a second, and the first of them."""
    kept: list[Array] = []
    order = np.random.default_rng(0).permutation(count).tolist()

    def decoded() -> Iterator[int]:
        for array in ordered_map(one, itertools.cycle(order), threads=default_threads()):
            if len(kept) < MOST_EXAMPLES and len(kept) * array.nbytes < MOST_BYTES:
                kept.append(array)
            yield 1

    return _rate(decoded(), seconds, advance), kept


def _ready(training: Training, arrays: list[Array]) -> Training:
    """Return the training on decoded examples alone, enough of them for a batch."""
    count = min(len(training.examples), max(len(arrays), training.batch_size))
    places = np.resize(np.arange(len(arrays)), count)
    whole = training.examples
    few = Examples(np.stack(arrays)[places], whole.labels[:count], whole.weights[:count])
    return replace(training, examples=few)


def _varied(training: Training, threads: int) -> Iterator[int]:
    size, count = training.batch_size, len(training.examples)

    def made(step: int) -> int:
        places = np.arange(step * size, (step + 1) * size) % count
        training.vary(training.examples.batch(places), places, (0, step))
        return size

    return ordered_map(made, itertools.count(), threads=threads, ahead=AHEAD)


def _through(device: Device, batches: Iterable[Batch]) -> Iterator[int]:
    for batch in batches:
        device(batch)
        yield len(batch[1])


def _of_two_sizes(batch: Batch) -> Iterator[Batch]:
    inputs, labels, weights = batch
    few = max(1, len(labels) - 1)
    yield from (batch, (inputs[:few], labels[:few], weights[:few]), batch)


def _rate(work: Iterator[int], seconds: float, advance: Callable[[int], None]) -> float:
    """Return how many a second are done, the first piece of work not counted."""
    next(work)
    done, begun = 0, time.perf_counter()
    for count in work:
        done += count
        advance(count)
        if (passed := time.perf_counter() - begun) >= seconds:
            break
    return done / passed


def _decoded(job: Job, array: Array, examples: Examples) -> str:
    """Say whether a training would decode once, or again in each epoch."""
    if not isinstance(examples.inputs, Decoding):
        return "once"
    kind = kept_in(job.training.cache, len(job.dataset.examples) * array.nbytes, job.unfinished)
    return "in every epoch" if kind == "none" else "once"
