"""The examples of a request to classify or regress, each with what the request says of all of them."""

from __future__ import annotations

from collections.abc import Sequence

from noria.errors import TooLargeError
from noria.serving.contracts import Example

ENTRY = 100  # bytes that a feature takes beside its values
NUMBER = 8


def with_context(context: Example, examples: Sequence[Example], most_bytes: int) -> list[Example]:
    """Return the examples, the context added to each.

    Args:
        most_bytes: that the context may take, written out for each.

    Raises:
        TooLargeError: it would take more; nothing is written out.
    """
    repeated = _size(context) * len(examples)
    if repeated > most_bytes:
        told = f"The context, once for each of {len(examples):,} examples, would fill {repeated:,} bytes"
        raise TooLargeError(f"{told}, at most {most_bytes:,} are taken. Send fewer examples at once.")
    return [{**context, **one} for one in examples]


def _size(context: Example) -> int:
    return sum(
        ENTRY + len(name) + sum(len(one) if isinstance(one, bytes) else NUMBER for one in values)
        for name, values in context.items()
    )
