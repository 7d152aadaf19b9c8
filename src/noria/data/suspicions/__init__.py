"""Shelf: what may be wrong with inputs that can all be read, for a person to judge.

A member offers `KINDS`, the kinds of findings that it makes, and `suspicions(looked: Looked) -> list[Finding]`. It
opens no file: it judges by what the check has measured already, and by texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Example


def _nothing() -> None:
    return None


def _no_texts() -> Iterator[bytes]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Looked:
    """What the check knows of n examples."""

    examples: Sequence[Example]
    units: Sequence[int] = ()  # n numbers: equal for copies, near copies and members of one group
    sketches: Sequence[bytes] = ()  # n sketches as the input makes them; empty where it makes none
    features: Callable[[], NDArray[np.float32] | None] = _nothing  # gives (n, D), or None where there is no network
    texts: Callable[[], Iterator[bytes]] = _no_texts  # gives n texts as UTF-8, one at a time; none of pictures
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the input
