"""A file that was checked -> its bytes, if they are still the same: those whose hash the dataset knows."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from noria.errors import DataError

_SETTLED = 2.0  # seconds: a file changed less than that ago could change again under the same times


class Unchanged:
    """Files that are read again and again. Each is hashed once, and again whenever the system says it was written to.

    As git looks for changed files: by device, inode, size, and the times of change.
    """

    def __init__(self) -> None:
        self._hashed: dict[Path, tuple[str, tuple[int, ...]]] = {}

    def read(self, path: Path, sha256: str) -> bytes:
        """Return what a file holds.

        Raises:
            DataError: it went away or changed since it was checked.
        """
        try:
            with path.open("rb", buffering=0) as file:
                data = file.readall()
                facts = os.fstat(file.fileno())  # afterwards: what was written meanwhile shows in it
        except OSError as error:
            raise DataError(
                f"{path} went away since it was checked: {error.strerror}. Start the same command again."
            ) from None
        signature = facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
        if self._hashed.get(path) == (sha256, signature):
            return data
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DataError(f"{path} changed since it was checked. Start the same command again.")
        if time.time() - max(facts.st_mtime, facts.st_ctime) > _SETTLED:
            self._hashed[path] = sha256, signature
        return data


def unchanged_bytes(path: Path, sha256: str) -> bytes:
    """Return what a file holds that is read once; raises as `Unchanged.read` does."""
    return Unchanged().read(path, sha256)
