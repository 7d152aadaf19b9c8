"""The pictures of a dataset, decoded: all at once into memory or a file, or each again whenever it is asked for.

Decoded once, a picture costs nothing more in later epochs. A set that fits neither in a share of the memory nor of the
disk is decoded in each epoch, in threads, ahead of the network.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Example, Progress
from noria.data.unchanged import Unchanged
from noria.ordered import default_threads, ordered_map
from noria.training.memory import free_memory

OF_MEMORY = 4  # a set takes at most this part of what is free
OF_DISK = 2
_THREADS, _MANY_BATCHES = 4, 8  # that decode one batch, at most; batches for each of them in a set that needs none

Array = NDArray[np.uint8]
Read = Callable[[bytes], NDArray[Any]]


class Decoding:
    """Pictures that are decoded when they are asked for."""

    dtype = np.dtype(np.uint8)

    def __init__(self, root: Path, examples: Sequence[Example], read: Read, files: Unchanged | None = None) -> None:
        self._root, self._examples, self._read = root, examples, read
        self._files = files or Unchanged()

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, places: Any) -> Array:
        chosen = np.arange(len(self))[places]
        threads = min(_THREADS, default_threads())
        if len(self) >= _MANY_BATCHES * threads * len(chosen):
            return np.stack([self.one(int(place)) for place in chosen])
        # Batches are made in threads, one each: of a few batches the last would leave processors idle.
        parts = np.array_split(chosen, threads)
        pictures = ordered_map(lambda part: [self.one(int(place)) for place in part], parts, threads=threads)
        return np.stack([picture for part in pictures for picture in part])

    def part(self, places: slice) -> Decoding:
        """Return some of them, still undecoded."""
        return Decoding(self._root, self._examples[places], self._read, self._files)

    def one(self, place: int) -> Array:
        """Return the picture at a place.

        Raises:
            DataError: it changed or went away after it was checked.
        """
        example = self._examples[place]
        return self._read(self._files.read(self._root / example.path, example.sha256))


def decoded(
    root: Path,
    examples: Sequence[Example],
    read: Read,
    shape: tuple[int, ...],
    *,
    cache: str,
    scratch: Path | None,
    progress: Progress,
) -> Array | Decoding:
    """Return the pictures (n, *shape) uint8.

    Args:
        cache: "memory", "disk", "none", or "auto": the first of them that there is room for.
        scratch: the folder for the file of "disk"; the file has no name, and goes when the process ends.

    Raises:
        DataError: a picture changed or went away after it was checked.
    """
    lazy = Decoding(root, examples, read)
    size = len(examples) * int(np.prod(shape))
    kind = kept_in(cache, size, scratch)
    if kind == "none":
        if cache == "auto":
            progress.note(f"pictures are decoded in every epoch: all of them are {size / 2**30:.1f} GiB")
        return lazy
    pixels = _room((len(examples), *shape), scratch if kind == "disk" else None, in_memory=kind == "memory")
    with progress.track("decoding", len(examples)) as advance:
        for place, picture in enumerate(ordered_map(lazy.one, range(len(examples)), threads=default_threads())):
            pixels[place] = picture
            advance(1)
    return pixels


def kept_in(cache: str, size: int, scratch: Path | None) -> str:
    """Return where so many bytes are kept: "memory", "disk" or "none"."""
    if cache != "auto":
        return cache
    if size <= free_memory() // OF_MEMORY:
        return "memory"
    place = next(folder for folder in (scratch or Path(tempfile.gettempdir())).absolute().parents if folder.exists())
    return "disk" if size <= shutil.disk_usage(place).free // OF_DISK else "none"


def _room(shape: tuple[int, ...], scratch: Path | None, *, in_memory: bool) -> Array:
    if in_memory:
        return np.empty(shape, np.uint8)
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch) as file:
        os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)))  # a full disk is told now, not by a dead process
        return np.memmap(file, np.uint8, "r+", shape=shape)
