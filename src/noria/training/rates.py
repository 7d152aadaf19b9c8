"""A network before its training -> the learning rate to train it with, by a test of rising rates.

Smith, Cyclical Learning Rates for Training Neural Networks, 2017, section 3.3: from step to step the rate rises, here
by the same factor, until the loss leaps away. Below the rate where the loss is lowest, rates are high and still safe.
The network is spoilt by the test.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.artifacts.store import Store
from noria.contracts import Progress
from noria.errors import ConfigError
from noria.training.clock import Clock
from noria.training.feed import Training
from noria.training.job import Job
from noria.training.loss import Loss
from noria.training.network import Group, compiled_step

if TYPE_CHECKING:
    import keras

LOWEST, HIGHEST = 1e-6, 10.0
STEPS = 100  # from the lowest to the highest rate: 14 for each factor of ten
FEWEST = 10  # steps before the loss leaps away, for anything to be seen
LEAP = 3.0  # times the lowest loss, where the test ends
OF_LAST = 0.9  # how much of the running mean stays at each step
BLUR = 3.0  # steps, one standard deviation: what the curve is smoothed by, to both sides so that nothing moves
BELOW_LOWEST = 3.0  # the suggested rate is so many times below that of the lowest loss

Curve = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RateTest:
    """What was seen, and what it suggests."""

    suggested: float
    lowest: float  # the rate where the smoothed loss is lowest: above it, training suffers
    leapt: float | None  # the rate at which the loss leapt away, if it did
    rates: tuple[float, ...]
    losses: tuple[float, ...]  # mean of the batch at each rate
    smoothed: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return asdict(self)


def find_rate(
    network: keras.Model,
    groups: Sequence[Group],
    train: Training,
    loss: Loss,
    *,
    progress: Progress,
    steps: int = STEPS,
) -> RateTest:
    """Make a step at each rate, all groups of weights together as in the last epochs of a training.

    Raises:
        ConfigError: the loss leaps away at once, or never falls.
    """
    for group in groups:
        group.optimizer.build(list(group.variables))
    step = compiled_step(network, groups, loss)
    rates = np.geomspace(LOWEST, HIGHEST, steps)
    losses: list[float] = []
    mean, best = 0.0, math.inf
    batches = (batch for epoch in itertools.count() for batch in train.batches(epoch))
    with progress.track("rates", steps) as advance:
        for rate, batch in zip(rates, batches, strict=False):
            for group in groups:
                group.optimizer.learning_rate.assign(float(rate) * group.share)
            one = float(step(*batch)[0]) / len(batch[1])
            advance(1)
            if not math.isfinite(one):
                break
            losses.append(one)
            mean = OF_LAST * mean + (1 - OF_LAST) * one
            corrected = mean / (1 - OF_LAST ** len(losses))
            best = min(best, corrected)
            if len(losses) >= FEWEST and corrected > LEAP * best:
                break
    return judged(rates, losses)


def tested(job: Job, strategy: ModuleType, *, steps: int, store: Store, progress: Progress) -> RateTest:
    """Return what the test of a job's network says; raises as `find_rate` does."""
    ready = strategy.prepare(job, store=store, clock=Clock(), progress=progress)
    loss = Loss(job.training.label_smoothing, job.training.focal_gamma)
    return find_rate(ready.model, ready.groups, ready.feed.train, loss, progress=progress, steps=steps)


def judged(rates: Curve, losses: Sequence[float]) -> RateTest:
    """Return what the losses at rising rates suggest; fewer losses than rates: the last was followed by a leap.

    Raises:
        ConfigError: they are too few, or do not fall.
    """
    seen = len(losses)
    if seen < FEWEST:
        raise ConfigError(
            f"The loss is no number any more after {seen} steps at rates of {LOWEST:g} and a little more: look for "
            "what is wrong with the inputs, the labels or the weights that the network begins with."
        )
    smoothed = _smoothed(np.array(losses))
    lowest = int(smoothed.argmin())
    if lowest == 0:
        raise ConfigError(
            "The loss falls at no learning rate, so none can be suggested. More steps (--steps) would make a small "
            "fall visible; else the network learns nothing from these inputs."
        )
    return RateTest(
        suggested=float(f"{rates[lowest] / BELOW_LOWEST:.1g}"),
        lowest=float(rates[lowest]),
        leapt=float(rates[seen]) if seen < len(rates) else None,
        rates=tuple(float(rate) for rate in rates[:seen]),
        losses=tuple(losses),
        smoothed=tuple(float(value) for value in smoothed),
    )


def _smoothed(losses: Curve) -> Curve:
    """Return weighted means over neighbours; at the ends, of those that there are."""
    apart = np.arange(len(losses))
    weights = np.exp(-(((apart[:, None] - apart) / BLUR) ** 2) / 2)
    smoothed: Curve = weights @ losses / weights.sum(axis=1)
    return smoothed
