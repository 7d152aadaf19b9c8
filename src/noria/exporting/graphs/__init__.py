"""Shelf: the inputs again, as TensorFlow ops, for models that take raw bytes.

A member has the name of an input and offers `decode(data, settings)`: a string tensor (n,) of files' bytes -> a float32
tensor (n, height, width, 3) that equals what the input reads, to within rounding.
"""
