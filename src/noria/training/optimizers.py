"""The optimizers of Keras by the names that people know, with the settings of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noria.training.settings import TrainingSettings

if TYPE_CHECKING:
    import keras

_CLASSES = {"adam": "Adam", "adamw": "AdamW", "lion": "Lion", "rmsprop": "RMSprop", "sgd": "SGD"}
_WITH_MOMENTUM = ("rmsprop", "sgd")
_DECAYED_ALREADY = ("adamw",)  # whose own default would be taken where nothing is said


def make_optimizer(training: TrainingSettings, *, steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer of a training whose epochs have so many steps.

    Weight decay is decoupled from the gradients (Loshchilov and Hutter 2019), and spares biases and the scales of
    normalisation.
    """
    import keras

    name = training.optimizer
    given: dict[str, Any] = {"global_clipnorm": training.clip_norm or None}
    if name in _WITH_MOMENTUM:
        given["momentum"] = training.momentum
    if name == "sgd":
        given["nesterov"] = training.momentum > 0
    if training.weight_decay or name in _DECAYED_ALREADY:
        given["weight_decay"] = training.weight_decay
    if training.ema_steps:
        given |= {"use_ema": True, "ema_momentum": 1 - 1 / max(1, min(training.ema_steps, steps / 3))}
    optimizer = getattr(keras.optimizers, _CLASSES[name])(training.learning_rate, **given)
    if training.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
