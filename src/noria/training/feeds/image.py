"""Pictures as uint8 pixels, decoded once; those to learn from are varied anew in each epoch, by seed, epoch, hash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from noria.contracts import SPLITS, Example, Progress, Split
from noria.errors import ConfigError
from noria.training.class_weights import example_weights
from noria.training.clock import Clock
from noria.training.feed import Batch, Examples, Feed, Indices, Training, Vary, as_they_are
from noria.training.job import Job
from noria.training.pixels import Decoding, decoded
from noria.training.sheets import overview

contact_sheet = overview


def feed(job: Job, *, clock: Clock, progress: Progress) -> Feed:
    """Return pixels (n, height, width, 3) uint8 of every picture.

    Raises:
        ConfigError: the pictures are not read as squares.
        DataError: a picture changed or went away after it was checked.
    """
    side = image_size(job)
    examples = [example for split in SPLITS for example in job.dataset.by_split(split)]
    with clock.stage("decode"):
        pixels = decoded(
            Path(job.dataset.root), examples, job.read, (side, side, 3),
            cache=job.training.cache, scratch=job.unfinished, progress=progress,
        )  # fmt: skip
    labels = np.array([job.dataset.label_index[example.label] for example in examples], np.int64)
    parts: dict[Split, Examples] = {}
    start = 0
    for split in SPLITS:
        part = slice(start, start + len(job.dataset.by_split(split)))
        inputs = pixels.part(part) if isinstance(pixels, Decoding) else pixels[part]
        parts[split] = Examples(inputs, labels[part], np.ones(len(labels[part]), np.float32))
        start = part.stop
    train = parts.pop("train")
    weights = example_weights(train.labels, len(job.dataset.labels), job.training)
    return Feed(
        train=Training(
            Examples(train.inputs, train.labels, weights),
            job.training.step_size,
            job.seed,
            _varied(job, examples),
            mixes=job.mix is not None,
        ),
        held_out=parts,
        shapes={"image_size": side},
        width=side,
    )


def image_size(job: Job) -> int:
    """Return the side of the pictures.

    Raises:
        ConfigError: they are no squares.
    """
    settings = job.input.model_dump()
    height, width = int(settings["height"]), int(settings["width"])
    if height != width:
        raise ConfigError(f"input.height is {height} and input.width {width}; {job.model.name} takes square pictures.")
    return height


def _varied(job: Job, examples: Sequence[Example]) -> Vary:
    """Return what varies a batch: each picture by a key of its own, so that no order of work changes a pixel."""
    mix = job.mix
    if not job.varied and mix is None:
        return as_they_are

    def vary(batch: Batch, places: Indices, moment: tuple[int, int]) -> Batch:
        pixels, labels, weights = batch
        if job.varied:
            keys = [f"{job.seed}:{moment[0]}:{examples[place].sha256}" for place in places]
            pixels = np.stack([job.vary(one, key) for one, key in zip(pixels, keys, strict=True)])
        varied = pixels, labels, weights
        return mix(varied, moment) if mix else varied

    return vary
