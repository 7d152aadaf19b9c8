"""Shelf: what finds inputs that are nearly the same, which must stay on one side of a split.

A member offers `near_pairs(inputs, features, progress, used, apart, middles) -> list[Pair]`: verified pairs (first,
second, likeness from 0 to 1), enough of them to connect each group; none that is in `apart`, as (smaller, larger).
`inputs` are what the member looks at: the sketch that the input's `inspect` made, or, where it makes none, the input's
bytes; None stands for an input that lies in a file of its own. `features()` gives vectors (n, D) float32, or None where
there is no network for these inputs; `middles(rows)` those of the enlarged middles of some. Into `used` it writes the
likeness from which it took a pair: `threshold`, and `parts_threshold` where it looked for parts.
"""
