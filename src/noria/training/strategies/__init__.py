"""Shelf: a member offers `train(job, *, store, progress) -> Trained`.

It may offer `DEFAULTS`: the `[training]` settings that suit it, where neither the user nor the model's card has others.

It offers `ON_DEVICES = True` where it trains a network on whatever device there is, and on several.

A member does not import Keras with itself, but in `train`: what needs no Keras can be done while TensorFlow is loaded.
"""
