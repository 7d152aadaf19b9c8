"""Shelf: what finds inputs that are nearly the same, which must stay on one side of a split.

A member offers `groups(inputs: Sequence[bytes | None]) -> Sequence[int]`: a number for each input, the same for those
that are nearly the same. None stands for an input that lies in a file of its own.
"""
