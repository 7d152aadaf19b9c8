"""Shelf: the file formats of a bundle.

A member offers `PATH` (its file or folder in the bundle), `TOLERANCES` (how far it may differ from the Keras model) and
`write(source, folder)`, which writes `folder / PATH`.

Tolerances: `agreement` (least share of equal top labels), `score_difference` (largest difference of any score) and
`accuracy_loss` (most that accuracy may fall, as a fraction).
"""
