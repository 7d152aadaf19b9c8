"""Steps a second of training: our loop against a bare `model.fit` and a bare PyTorch loop of the same network.

Batches of 64, Adam, pixels in memory: the tutorials' network for CIFAR-10, and EfficientNet-Lite0 at 224 pixels, all of
it trained but its normalisation's statistics. The sides run in turn, several rounds, each in its own process.
`python bench/step.py` takes about 10 minutes on 2 cores, and the first time 2 more to install PyTorch.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from _environments import TORCH, python_with
from _harness import BENCH, Kept, cores, parser, publish, run_child, table, times_faster

BATCH, ROUNDS, SECONDS = 64, 3, {"convnet": 6.0, "efficientnet_lite0": 20.0}
SIDES = {
    "noria": "**Noria**, plain Adam as the others",
    "noria_default": "Noria as by default: gradients clipped, weights averaged",
    "keras": "Keras `model.fit`",
    "torch": "PyTorch, channels last",
    "torch_first": "PyTorch, channels first",
}
RIVALS = ("keras", "torch", "torch_first")


def main() -> None:
    """Measure every side with both networks in turn, and publish the table."""
    given = parser(str(__doc__), seeds=None).parse_args()
    rounds = 1 if given.quick else ROUNDS
    kept = Kept("step-quick" if given.quick else "step", {"rounds": rounds})
    own, other = python_with(), python_with(*TORCH, "numpy")
    pythons = {side: other if side.startswith("torch") else own for side in SIDES}
    there = [side for side, python in pythons.items() if python]
    for number in range(rounds):
        for network, seconds in SECONDS.items():
            for side in there:
                asked = 2.0 if given.quick else seconds
                kept.get(f"{network} {side} {number}", _rate, pythons[side], side, network, asked)
    publish("step", "Steps of training a second", _body(kept.figures, there, rounds), kept.figures, quick=given.quick)
    kept.finish()


def _rate(python: Path, side: str, network: str, seconds: float) -> dict[str, Any]:
    given = (side, network, seconds, BATCH, cores())
    return run_child([python, BENCH / "_step_sides.py", *map(str, given)]).json()


def _body(figures: dict[str, Any], there: list[str], rounds: int) -> str:
    cells: dict[str, list[str]] = {side: [SIDES[side]] for side in there}
    verdicts = []
    for network in SECONDS:
        rates = {side: [figures[f"{network} {side} {number}"]["rate"] for number in range(rounds)] for side in there}
        ratios = {side: times_faster(rates["noria"], rates[side]) for side in there}
        for side in there:
            cells[side] += [f"{statistics.median(rates[side]):.2f}", "" if side == "noria" else f"{ratios[side]:.2f}"]
        nearest = min((side for side in RIVALS if side in there), key=lambda side: ratios[side])
        verdicts.append(f"{network}: **{ratios[nearest]:.2f} times** the fastest other, {SIDES[nearest]} (aim 1)")
    header = ("", "`convnet`, steps/s", "ours is times that", "`efficientnet_lite0`, steps/s", "ours is times that")
    versions = sorted({figures[f"convnet {side} 0"]["versions"] for side in there})
    return (
        f"{table(header, list(cells.values()))}\n\n{'; '.join(verdicts)}.\n\nMedians of {rounds} rounds, the sides in "
        f"turn; ratios are medians of those within a round. Batches of {BATCH}; pixels by chance, for speed does not "
        f"depend on them. {'; '.join(versions)}."
    )


if __name__ == "__main__":
    main()
