"""Shelf: what may be wrong with inputs that can all be read, for a person to judge.

A member offers `KINDS`, the kinds of findings that it makes, and `suspicions(looked: Looked) -> list[Finding]`. It
opens no file: it judges by what the check has measured already, and by texts. Where it cannot tell, it raises
NotSearchedError with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria import plugins
from noria.contracts import Example, Finding
from noria.data.inspection import Inspected
from noria.data.nearness import Vectors
from noria.data.unsearched import Unsearched
from noria.errors import NotSearchedError


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


def asked(
    names: Sequence[str],
    examples: Sequence[Example],
    units: Sequence[int],
    seen: Sequence[Inspected],
    *,
    features: Vectors,
    contents: Mapping[str, bytes],
    settings: Mapping[str, Any],
    unsearched: Unsearched,
) -> list[Finding]:
    """Return what the named members of the shelf find.

    Args:
        names: members of the shelf `noria.data.suspicions`.
        examples: those of the dataset; `units` likewise.
        seen: inputs with different content, among them those of all examples.
        features: gives a vector for each of `seen`.
        contents: of a table's cells, by their SHA-256.
        settings: of the input.
        unsearched: is told of members that could not tell.
    """
    if not names:
        return []
    row_of = {one.content_sha256: row for row, one in enumerate(seen)}
    rows = [row_of[one.content_sha256] for one in examples]

    def of_examples() -> NDArray[np.float32] | None:
        found = features()
        if features.lacking:
            raise NotSearchedError(features.lacking)
        return None if found is None else found[rows]

    sketches = [seen[row].sketch for row in rows]
    held = examples if contents else ()
    looked = Looked(
        examples,
        units,
        sketches if all(sketches) else [],
        of_examples,
        lambda: (contents[one.sha256] for one in held),
        settings,
    )
    found: list[Finding] = []
    for name in names:
        try:
            found += plugins.load("noria.data.suspicions", name).suspicions(looked)
        except NotSearchedError as error:
            unsearched[str(error)].append(name)
    return found
