"""One side of `bench/input.py`, in a process and, where it is not ours, an environment of its own.

SIDE FOLDER SECONDS PIXELS BATCH THREADS -> pictures a second as a JSON object: files below FOLDER/LABEL in an order by
chance, to batches of PIXELS x PIXELS; what comes in the first two
seconds is not counted: until then processes start, and what was made ahead meanwhile is taken.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP = 2.0  # seconds


def main() -> None:
    """Measure the side that is named."""
    side, folder, seconds, pixels, batch, threads = sys.argv[1:]
    files = sorted(Path(folder).glob("*/*.jpg"))
    for file in files:
        file.read_bytes()  # none reads from the disk what another has read into memory
    made = SIDES[side](files, int(pixels), int(batch), int(threads))
    next(made)
    warm = time.perf_counter() + WARM_UP
    while time.perf_counter() < warm:
        next(made)
    done, begun = 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < float(seconds):
        done += next(made)
    print(json.dumps({"rate": done / passed, "pictures": done}))
    sys.stdout.flush()
    os._exit(0)  # worker processes are not waited for


def noria(files: list[Path], pixels: int, batch: int, threads: int) -> Iterator[int]:
    """As in an epoch of pictures that there is no room to keep: whole order, each file looked at for changes."""
    import hashlib

    from noria.contracts import Example
    from noria.inputs import image
    from noria.training.feed import Examples, Training
    from noria.training.pixels import Decoding

    settings = image.Settings(height=pixels, width=pixels)
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    examples = [Example(str(file), "", one, one, "train") for file, one in zip(files, digests, strict=True)]
    inputs = Decoding(Path("/"), examples, image.open_reader(settings, {}))
    whole = Examples(inputs, np.zeros(len(files), np.int64), np.ones(len(files), np.float32))
    training = Training(whole, batch, seed=0)
    for epoch in itertools.count():
        for one in training.batches(epoch):
            yield len(one[0])


def decoder(files: list[Path], pixels: int, batch: int, threads: int) -> Iterator[int]:
    """Nothing but libjpeg, at the scale that ours decodes at, in threads."""
    import io

    from PIL.JpegImagePlugin import JpegImageFile

    from noria.inputs.image import decode_ratio
    from noria.ordered import ordered_map

    def decoded(data: bytes) -> int:
        picture = JpegImageFile(io.BytesIO(data))
        ratio = decode_ratio(picture.size, (pixels, pixels))
        if ratio > 1:
            picture.draft(None, (picture.width // ratio, picture.height // ratio))
        picture.load()
        return 1

    contents = [file.read_bytes() for file in files]
    yield from ordered_map(decoded, itertools.cycle(contents), threads=threads)


def keras(files: list[Path], pixels: int, batch: int, threads: int) -> Iterator[int]:
    """As the guides write it: image_dataset_from_directory and prefetch; it does not antialias."""
    from noria.quiet import load_tensorflow

    load_tensorflow()
    import keras as library
    import tensorflow as tf

    dataset = library.utils.image_dataset_from_directory(
        files[0].parent.parent, image_size=(pixels, pixels), batch_size=batch, verbose=False
    )
    for pictures, _ in dataset.repeat().prefetch(tf.data.AUTOTUNE):
        yield len(pictures)


def _decoded(file: Path, pixels: int) -> Any:
    from PIL import Image

    with Image.open(file) as picture:
        return np.array(picture.convert("RGB").resize((pixels, pixels), Image.Resampling.BILINEAR))


class _Files:
    """A map-style dataset of PyTorch, without its base class so that this file needs none."""

    def __init__(self, files: list[Path], pixels: int) -> None:
        self.files, self.pixels = files, pixels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> Any:
        return _decoded(self.files[place], self.pixels)


def torch(files: list[Path], pixels: int, batch: int, threads: int) -> Iterator[int]:
    """A DataLoader with as many worker processes as there are processors."""
    from torch.utils.data import DataLoader

    loader = DataLoader(
        _Files(files, pixels), batch_size=batch, shuffle=True, num_workers=threads, persistent_workers=True
    )
    for _ in itertools.count():
        for pictures in loader:
            yield len(pictures)


def grain(files: list[Path], pixels: int, batch: int, threads: int) -> Iterator[int]:
    """Grain with its default of 16 threads."""
    import grain.python as library

    dataset = library.MapDataset.source(files).seed(0).shuffle().map(lambda file: _decoded(file, pixels)).repeat()
    for pictures in dataset.batch(batch).to_iter_dataset():
        yield len(pictures)


SIDES: dict[str, Callable[[list[Path], int, int, int], Iterator[int]]] = {
    "noria": noria,
    "decoder": decoder,
    "keras": keras,
    "torch": torch,
    "grain": grain,
}

if __name__ == "__main__":
    main()
