"""What goes wrong in a network's training, told once, in words, with a setting to change; the run keeps it.

An alarm is raised where a training will not mend itself: its bounds are wide enough for one that learns to raise none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Progress
from noria.training.settings import TrainingSettings
from noria.training.watch import Epoch, Start, Step, by_layer

PATIENCE = 3  # epochs that must show the same, where one alone may be chance
VANISHED = 1e-4  # of the norm of all gradients together, in a layer
LEARNT = 0.9  # training accuracy from which on small gradients are no wonder
EXPLODED = 1_000.0  # norm of a gradient, which is about 1 in a training that learns
GROWN = 100.0  # times what it was in an earlier epoch, and at least so large
WORSE_AT_FIRST, LARGE_AT_FIRST = 3.0, 5.0  # times the loss of guessing, and at least so large: in epoch 1
WORSE_LATER, FALLING = 1.1, 0.95  # times the loss of guessing; times that of the epoch before, which is on its way
STILL = 0.01  # share of the loss, within `PATIENCE` epochs
DIVERGED = 1.5  # times the lowest validation loss, while the loss of training falls
FEW = 3  # validation examples of a label, below which it may never be answered by chance
RARE = 0.5  # times the share that each label would have if all were alike
NAMED = 3

_KEPT = "alarms"
_SILENT = "silent"  # label -> epochs in a row in which it was never answered
_FAINT = "faint"  # layer -> epochs in a row with next to no gradient


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong."""

    kind: str
    epoch: int
    message: str
    remedy: str


class Alarms:
    """The watch that raises them; `raised` has those of this training, before it was killed, too."""

    def __init__(
        self, labels: Sequence[str], truth: NDArray[np.int64], training: TrainingSettings, progress: Progress
    ) -> None:
        """`truth` (n,) are the labels of the training examples, as indices."""
        self._labels, self._training, self._progress = labels, training, progress
        self._examples = len(truth)
        self._shares = np.bincount(truth, minlength=len(labels)) / len(truth)
        self._commonest = float(self._shares.max())
        self._guess = math.log(len(labels))
        self._memory: dict[str, Any] = {}

    @property
    def raised(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._memory.get(_KEPT, [])
        return found

    def begin(self, start: Start) -> None:
        self._memory = start.memory

    def step(self, step: Step) -> None:
        return

    def epoch(self, epoch: Epoch) -> None:
        known = self._memory.setdefault(_KEPT, [])
        checks = (
            self._rate_too_high, self._exploded, self._vanished,
            self._stands_still, self._diverged, self._never_answered,
        )  # fmt: skip
        for alarm in (alarm for check in checks for alarm in check(epoch)):
            if alarm.kind not in {one["kind"] for one in known}:
                known.append(asdict(alarm))
                self._progress.note(f"alarm: {alarm.message} {alarm.remedy}")

    def _rate_too_high(self, epoch: Epoch) -> Iterator[Alarm]:
        if self._training.focal_gamma:
            return  # its loss cannot be compared with that of guessing
        *before, loss = epoch.history["loss"]
        if before:
            worse = loss > WORSE_LATER * self._guess and loss > FALLING * before[-1]
        else:
            worse = loss > max(WORSE_AT_FIRST * self._guess, LARGE_AT_FIRST)
        if worse:
            yield Alarm(
                "rate_too_high", epoch.number,
                f"After epoch {epoch.number} the training loss is {loss:.3g}, and guessing would have "
                f"{self._guess:.3g}: the learning rate of {epoch.told['learning_rate']:.2g} is too high.",
                f"Try --set training.learning_rate={self._training.learning_rate / 10:g}",
            )  # fmt: skip

    def _exploded(self, epoch: Epoch) -> Iterator[Alarm]:
        norm, before = epoch.told["gradient_norm"], epoch.history["gradient_norm"][:-1]
        if norm > EXPLODED or (norm > GROWN and before and norm > GROWN * min(before)):
            layer, largest = max(by_layer(epoch.norms).items(), key=lambda item: item[1])
            yield Alarm(
                "gradients_explode", epoch.number,
                f"Gradients explode in epoch {epoch.number}: their norm is {norm:.3g} on average, most of it in the "
                f"layer {layer} ({largest:.3g}).",
                f"Try --set training.learning_rate={self._training.learning_rate / 10:g}"
                + ("" if self._training.clip_norm else ", or --set training.clip_norm=1"),
            )  # fmt: skip

    def _vanished(self, epoch: Epoch) -> Iterator[Alarm]:
        layers = by_layer(epoch.norms)
        whole = math.sqrt(sum(norm**2 for norm in layers.values()))
        faint = [layer for layer, norm in layers.items() if not norm > VANISHED * whole]
        counted: Mapping[str, int] = self._memory.get(_FAINT, {})
        counted = {layer: counted.get(layer, 0) + 1 for layer in faint}
        self._memory[_FAINT] = counted
        gone = [layer for layer in faint if counted[layer] >= PATIENCE]
        if gone and math.isfinite(whole) and epoch.told["accuracy"] < LEARNT:
            share = max(layers[layer] for layer in gone) / whole if whole else 0.0
            yield Alarm(
                "gradients_vanish", epoch.number,
                f"Gradients vanish: for {PATIENCE} epochs next to nothing ({share:.1g} of the whole or less) has "
                f"reached {_listed(gone)}, which learn nothing.",
                "Take a model with normalisation and ReLU (convnet with batch_norm, resnet_small), or fewer layers.",
            )  # fmt: skip

    def _stands_still(self, epoch: Epoch) -> Iterator[Alarm]:
        losses, accuracies = (epoch.history[name][-PATIENCE:] for name in ("loss", "accuracy"))
        if len(losses) < PATIENCE:
            return
        chance = self._commonest + 2 * math.sqrt(self._commonest * (1 - self._commonest) / self._examples)
        if max(accuracies) > chance or losses[0] - losses[-1] > STILL * abs(losses[0]):
            return
        # Near the loss of guessing nothing has moved yet; far above it the weights leap about.
        rate = self._training.learning_rate * (10 if losses[-1] < WORSE_LATER * self._guess else 0.1)
        yield Alarm(
            "stands_still", epoch.number,
            f"Training stands still: for {PATIENCE} epochs its accuracy, {accuracies[-1]:.1%}, has been no better than "
            f"always answering the most common label, and the loss is not falling.",
            f"Try --set training.learning_rate={rate:g}, or look whether the labels are right (noria check).",
        )  # fmt: skip

    def _diverged(self, epoch: Epoch) -> Iterator[Alarm]:
        seen, unseen = epoch.history["loss"], epoch.history["val_loss"]
        best = int(np.argmin(unseen))
        if len(unseen) - 1 - best >= PATIENCE - 1 and unseen[-1] > DIVERGED * unseen[best] and seen[-1] < seen[best]:
            yield Alarm(
                "validation_diverges", epoch.number,
                f"Validation diverges: its loss was {unseen[best]:.3g} after epoch {best + 1} and is {unseen[-1]:.3g} "
                f"after epoch {epoch.number}, while that of training fell from {seen[best]:.3g} to {seen[-1]:.3g}: the "
                "network learns the examples by heart.",
                "The best epoch is kept. More examples, more augmentation, or --set training.weight_decay=0.01 help.",
            )  # fmt: skip

    def _never_answered(self, epoch: Epoch) -> Iterator[Alarm]:
        there = np.bincount(epoch.labels, minlength=len(self._labels))
        answered = np.bincount(epoch.scores.argmax(axis=1), minlength=len(self._labels))
        counted: Mapping[str, int] = self._memory.get(_SILENT, {})
        silent = [str(place) for place in np.flatnonzero((answered == 0) & (there >= FEW))]
        counted = {place: counted.get(place, 0) + 1 for place in silent}
        self._memory[_SILENT] = counted
        never = [int(place) for place in silent if counted[place] >= PATIENCE]
        if never:
            examples = sum(int(there[place]) for place in never)
            rare = self._shares[never].max() < RARE / len(self._labels)
            if not rare:
                remedy = "It is not rare in training: try a lower learning rate, or look at its examples."
            elif self._training.class_weights == "balanced":
                remedy = "Give more examples of it."
            else:
                remedy = "Try --set training.class_weights=balanced"
            yield Alarm(
                "label_never_answered", epoch.number,
                f"For {PATIENCE} epochs no validation example has been answered with "
                f"{_listed([self._labels[place] for place in never])}, though {examples} have it.",
                remedy,
            )  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f"“{name}”" for name in names[:NAMED]) + more
