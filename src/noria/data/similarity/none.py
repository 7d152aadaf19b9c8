"""No search: each input is alone. Copies with the same bytes or content are found without it."""

from __future__ import annotations

from collections.abc import Sequence


def groups(inputs: Sequence[bytes | None]) -> Sequence[int]:
    """Return a number of its own for each input."""
    return range(len(inputs))
