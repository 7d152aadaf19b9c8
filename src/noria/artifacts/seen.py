"""Which files a model was made from: the first 8 bytes of the SHA-256 of each, sorted, in one small binary file.

Enough to say of a file that is at hand whether the model has seen it (a chance match is one in 10^13 for a million
files), and nothing that a file or its name could be had from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from noria.artifacts.files import MIB, read_limited, sha256_file, write_atomic
from noria.contracts import Example
from noria.errors import ArtifactError

PATH = "seen.bin"
WIDTH = 8  # bytes of each hash
_LIMIT = 4096 * MIB


def seen_hashes(examples: Iterable[Example]) -> frozenset[str]:
    """Return the short hashes of the examples that a model is made from.

    The validation side counts, too: it chose the regularisation, the epoch and the temperature.
    """
    return frozenset(_short(one.sha256) for one in examples if one.split != "test")


def short_hash(source: Path | bytes) -> str:
    """Return the short hash of a file, or of bytes that are in memory."""
    return _short(sha256_file(source) if isinstance(source, Path) else hashlib.sha256(source).hexdigest())


def write_seen(folder: Path, hashes: Iterable[str]) -> str:
    """Write the file for these short hashes; return its own SHA-256, for the manifest."""
    write_atomic(folder / PATH, b"".join(sorted(map(bytes.fromhex, hashes))))
    return sha256_file(folder / PATH)


def read_seen(folder: Path) -> frozenset[str]:
    """Return the short hashes.

    Raises:
        ArtifactError: the file is missing or not a whole number of hashes.
    """
    data = read_limited(folder / PATH, limit=_LIMIT)
    if len(data) % WIDTH:
        raise ArtifactError(
            f"{folder / PATH} is damaged: {len(data)} bytes are no whole number of {WIDTH}-byte hashes."
        )
    return frozenset(data[start : start + WIDTH].hex() for start in range(0, len(data), WIDTH))


def _short(sha256: str) -> str:
    return sha256[: 2 * WIDTH]
