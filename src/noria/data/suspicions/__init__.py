"""Shelf: what may be wrong with inputs that can all be read, for a person to judge.

A member offers `KINDS`, the kinds of findings that it makes, and `suspicions(looked: Looked) -> list[Finding]`. It
opens no file: it judges by what the check has measured already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria import plugins
from noria.contracts import Example, Finding
from noria.data.inspection import Inspected

Features = Callable[[], NDArray[np.float32] | None]  # gives (n, D), or None where there is no network


@dataclass(frozen=True, slots=True)
class Looked:
    """What the check knows of n examples."""

    examples: Sequence[Example]
    units: Sequence[int]  # n numbers: equal for copies, near copies and members of one group
    sketches: Sequence[bytes]  # n sketches as the input makes them; empty where it makes none
    features: Features


def asked(
    names: Sequence[str],
    examples: Sequence[Example],
    units: Sequence[int],
    seen: Sequence[Inspected],
    features: Features,
) -> list[Finding]:
    """Return what the named members of the shelf find.

    Args:
        names: members of the shelf `noria.data.suspicions`.
        examples: those of the dataset; `units` likewise.
        seen: inputs with different content, among them those of all examples.
        features: gives a vector for each of `seen`.
    """
    if not names:
        return []
    row_of = {one.content_sha256: row for row, one in enumerate(seen)}
    rows = [row_of[one.content_sha256] for one in examples]

    def of_examples() -> NDArray[np.float32] | None:
        found = features()
        return None if found is None else found[rows]

    sketches = [seen[row].sketch for row in rows]
    looked = Looked(examples, units, sketches if all(sketches) else [], of_examples)
    return [one for name in names for one in plugins.load("noria.data.suspicions", name).suspicions(looked)]
