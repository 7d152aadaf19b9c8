"""Shelf: the inputs again, as TensorFlow ops, for models that take raw bytes.

A member has the name of an input and offers `build(settings, files)`: what turns a string tensor (n,) of raw inputs
into the batch that the input reads, to within rounding, e.g. float32 (n, height, width, 3). `files` is what the input
learnt in training.
"""
