"""Texts as rows of word ids, padded and cut to one length."""

from __future__ import annotations

import numpy as np

from noria.contracts import Progress
from noria.training.class_weights import example_weights
from noria.training.clock import Clock
from noria.training.encoded import encode, text_settings
from noria.training.feed import Examples, Feed, Training
from noria.training.job import Job


def feed(job: Job, *, clock: Clock, progress: Progress) -> Feed:
    """Return ids (n, length) int32 of every text.

    Raises:
        ConfigError: the model does not take sequences of words.
        DataError: a text changed while training.
    """
    settings = text_settings(job, "sequence")
    with clock.stage("encode"):
        encoded = encode(job, settings, progress=progress, files=job.start.input_files() if job.start else None)
        rows = {split: ids.padded(settings.length) for split, ids in encoded.ids.items()}
    labels = encoded.labels
    weights = example_weights(labels["train"], len(job.dataset.labels), job.training)
    return Feed(
        train=Training(Examples(rows["train"], labels["train"], weights), job.training.step_size, job.seed),
        held_out={
            split: Examples(rows[split], labels[split], np.ones(len(labels[split]), np.float32))
            for split in ("validation", "test")
        },
        shapes={"vocabulary_size": encoded.vocabulary_size, "length": settings.length},
        width=settings.length,
        input_files=encoded.files,
    )
