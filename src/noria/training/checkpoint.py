"""The arrays of a training that is under way <-> one file, from which a killed training goes on.

NumPy's own format without pickles; each array has its CRC-32. The file is written beside and renamed, so it is whole
whenever the process is killed; one that cannot be read, or is of another network, counts as absent.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noria.artifacts.files import write_atomic
from noria.contracts import Progress
from noria.errors import NoriaError

EVERY_SECONDS = 10.0
LONGEST = 0.5  # seconds that saving may take before it is done more rarely: a twentieth of the time at most
_FILE = "training.npz"

Arrays = Mapping[str, NDArray[np.generic]]


class Checkpoint:
    """Keeps the newest state of one training in a folder of its own; without a folder, nothing is kept."""

    def __init__(self, folder: Path | None, progress: Progress) -> None:
        self._folder, self._progress = folder, progress
        self._saved, self._wait = time.monotonic(), EVERY_SECONDS

    def load(self) -> dict[str, NDArray[np.generic]] | None:
        """Return what was saved last, or None."""
        if self._folder is None:
            return None
        try:
            with (self._folder / _FILE).open("rb") as file:
                kept = np.load(file, allow_pickle=False)
                return {name: kept[name] for name in kept.files}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            self._progress.note(f"the training begins anew: what an earlier one left cannot be read ({error})")
            return None

    @property
    def due(self) -> bool:
        """Whether it is time to save again."""
        return self._folder is not None and time.monotonic() - self._saved >= self._wait

    def save(self, arrays: Arrays) -> None:
        """Replace what is kept. On a full disk the training goes on, and says once that it could not be killed."""
        if self._folder is None:
            return
        begun = time.monotonic()
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **arrays)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._folder / _FILE, packed.getvalue())
        except (OSError, NoriaError) as error:
            told = str(error).replace("--out", "NORIA_CACHE")  # which is where this lies
            self._progress.note(f"the training goes on, but killed it would begin anew: {told}")
            self._folder = None
        self._saved = time.monotonic()
        self._wait = EVERY_SECONDS * max(1.0, (self._saved - begun) / LONGEST)
