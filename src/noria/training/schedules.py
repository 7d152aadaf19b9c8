"""Learning rates over a training: where it is (0 to 1) -> the share of the highest rate.

All but `plateau` are functions of the place alone, so that a training that goes on after it was killed, and one that is
given minutes instead of epochs, need nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Name = Literal["constant", "exponential", "cosine", "one_cycle", "plateau"]
FALLING = ("exponential", "cosine", "one_cycle")  # whose end is the point of them: stopping early would miss it
PLATEAU_FACTOR = 0.3  # of the rate, after each epoch that was no better
_CYCLE_START = 0.04  # of the highest rate


@dataclass(frozen=True, slots=True)
class Shape:
    """What a schedule may be told."""

    warmup: float  # share of the training in which the rate rises
    final: float  # share of the highest rate at the end


def schedule(name: Name, shape: Shape) -> Callable[[float], float]:
    """Return the function of one schedule.

    Sources: cosine, Loshchilov and Hutter, SGDR, 2017; one cycle, Smith and Topin, Super-Convergence, 2018.
    """
    falls, lowest = _FALLS[name], _CYCLE_START if name == "one_cycle" else 0.0

    def share(place: float) -> float:
        if place < shape.warmup:
            return lowest + (1 - lowest) * place / shape.warmup
        return falls(min(1.0, (place - shape.warmup) / (1 - shape.warmup)), shape.final)

    return share


def _constant(place: float, final: float) -> float:
    return 1.0


def _exponential(place: float, final: float) -> float:
    return math.exp(math.log(final) * place)


def _cosine(place: float, final: float) -> float:
    return final + (1 - final) * (1 + math.cos(math.pi * place)) / 2


def _linear(place: float, final: float) -> float:
    return 1 - (1 - final) * place


_FALLS: dict[str, Callable[[float, float], float]] = {
    "constant": _constant,
    "plateau": _constant,  # and falls when an epoch was no better
    "exponential": _exponential,
    "cosine": _cosine,
    "one_cycle": _linear,
}
