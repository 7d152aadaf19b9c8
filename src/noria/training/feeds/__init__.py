"""Shelf: what a network learns from and is measured on, by the input that its model takes.

A member is named as the input and offers `feed(job, *, clock, progress) -> Feed`: every example of the dataset ready
for a network. It imports no Keras.
"""
