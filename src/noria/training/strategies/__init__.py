"""Shelf: a member offers `train(job, *, store, progress) -> Trained`.

A member does not import Keras with itself, but in `train`: what needs no Keras can be done while TensorFlow is loaded.
"""
