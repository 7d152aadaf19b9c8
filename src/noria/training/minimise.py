"""L-BFGS in numpy: the smallest value of a smooth convex function of very many variables, by whole-data steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Function = Callable[[Vector], tuple[float, Vector]]  # a point -> the value there, and the gradient

SUFFICIENT = 1e-4  # of the fall that the slope promises (Armijo)
SMALLEST_STEP = 1e-6


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where the search ended."""

    point: Vector
    value: float
    steps: int


@dataclass(frozen=True, slots=True)
class _Move:
    """One step that was taken and how the gradient changed along it."""

    step: Vector
    change: Vector
    curvature: float  # their dot product, greater than zero


def minimise(function: Function, start: Vector, *, tolerance: float, max_steps: int, memory: int = 6) -> Minimum:
    """Return the minimum, once a step lowers the value by less than `tolerance` of it, or after `max_steps`.

    Takes 2 * memory + 5 vectors of space. Source: Nocedal and Wright, Numerical Optimization, 2006, algorithms 7.4
    and 3.1.
    """
    point = start
    value, gradient = function(point)
    moves: deque[_Move] = deque(maxlen=memory)
    for steps in range(1, max_steps + 1):
        direction = _direction(gradient, moves)
        length = 1.0 if moves else min(1.0, 1 / max(float(np.linalg.norm(gradient)), 1e-12))
        slope = float(direction @ gradient)
        while True:
            reached = point + np.float32(length) * direction
            reached_value, reached_gradient = function(reached)
            if reached_value <= value + SUFFICIENT * length * slope or length < SMALLEST_STEP:
                break
            length /= 2
        if reached_value >= value:  # as low as float32 can tell
            return Minimum(point, value, steps)
        move = _Move(reached - point, reached_gradient - gradient, 0.0)
        fall, (point, value, gradient) = value - reached_value, (reached, reached_value, reached_gradient)
        curvature = float(move.step @ move.change)
        if curvature > 1e-12:
            moves.append(_Move(move.step, move.change, curvature))
        if fall < tolerance * abs(value):
            break
    return Minimum(point, value, steps)


def _direction(gradient: Vector, moves: deque[_Move]) -> Vector:
    """Minus the inverse Hessian, as far as the last moves tell it, times the gradient (the two-loop recursion)."""
    direction = -gradient
    shares = []
    for move in reversed(moves):
        share = np.float32(float(move.step @ direction) / move.curvature)
        shares.append(share)
        direction -= share * move.change
    if moves:
        last = moves[-1]
        direction *= np.float32(last.curvature / float(last.change @ last.change))
    for move, share in zip(moves, reversed(shares), strict=True):
        back = np.float32(float(move.change @ direction) / move.curvature)
        direction += (share - back) * move.step
    return direction
