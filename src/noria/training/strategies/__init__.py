"""Shelf: a member offers `train(job, *, store, progress) -> Trained`.

One that trains a network by steps offers `prepare(job, *, store, clock, progress) -> Ready`, too: all that there is
before the first step, for those who measure steps. `frozen` offers `open_device` instead: its engine, for a batch.

It may offer `DEFAULTS`: the `[training]` settings that suit it, where neither the user nor the model's card has others.

It offers `USES`, the names of the `[training]` settings that do something in it, where that is not all of them.

It offers `ON_DEVICES = True` where it trains a network on whatever device there is, and on several.

A member does not import Keras with itself, but in `train`: what needs no Keras can be done while TensorFlow is loaded.
"""
