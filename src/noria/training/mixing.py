"""Batches of pictures that are mixed and covered while a network learns: MixUp, CutMix, RandAugment, random erasing.

By the layers of Keras, made anew for each batch with a seed of its own, so that a batch follows from seed, epoch and
step alone, whichever thread makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pydantic import BaseModel

from noria.training.feed import Batch

Mix = Callable[[Batch, tuple[int, int]], Batch]  # a batch, (epoch, step) -> the mixed batch

LEVELS = (0, 255)
_MIXED = ("mixup", "cutmix")
_COVERED = ("rand_augment", "random_erasing")


def mixer(augment: BaseModel, num_classes: int, seed: int) -> Mix | None:
    """Return what mixes a batch by the `[augment]` settings; None where they ask for nothing of that.

    Pictures come out as float32; where they are mixed, labels as the share of each (n, C) float32.
    Where both MixUp and CutMix are asked for, each batch has one of them, by turns of a coin.
    """
    asked = {name: value for name in (*_MIXED, *_COVERED) if (value := getattr(augment, name, 0))}
    if not asked:
        return None
    mixed = [name for name in _MIXED if name in asked]

    def mix(batch: Batch, moment: tuple[int, int]) -> Batch:
        pixels, labels, weights = batch
        rng = np.random.default_rng([seed, *moment, 1])
        seeds = {name: int(rng.integers(2**31)) for name in (*_COVERED, *_MIXED)}
        which = mixed[int(rng.integers(len(mixed)))] if mixed else ""
        found = np.asarray(pixels, np.float32)
        for name in _COVERED:
            if name in asked:
                found = _numbers(_layer(name, asked[name], seeds[name])(found, training=True))
        if not which:
            return found, labels, weights
        # Who weighs more than others keeps doing so: the weight goes with the shares.
        shares = np.eye(num_classes, dtype=np.float32)[labels]
        told = _layer(which, asked[which], seeds[which])({"images": found, "labels": shares}, training=True)
        return _numbers(told["images"]), _numbers(told["labels"]), weights

    return mix


def _layer(name: str, value: float, seed: int) -> Any:
    import keras

    if name == "mixup":
        return keras.layers.MixUp(alpha=value, seed=seed)
    if name == "cutmix":
        return keras.layers.CutMix(factor=value, seed=seed)
    if name == "random_erasing":
        return keras.layers.RandomErasing((value, value), value_range=LEVELS, seed=seed)
    return keras.layers.RandAugment(value_range=LEVELS, num_ops=2, factor=value, seed=seed)


def _numbers(tensor: Any) -> Any:
    return np.asarray(tensor, np.float32)
