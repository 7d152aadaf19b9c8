"""Shelf: what a network learns from and is measured on, by the input that its model takes.

A member is named as the input and offers `feed(job, *, clock, progress) -> Feed`: every example of the dataset ready
for a network; and, where a person can judge them at a glance, `contact_sheet(inputs) -> bytes`: a JPEG of some inputs.
It imports no Keras.
"""
