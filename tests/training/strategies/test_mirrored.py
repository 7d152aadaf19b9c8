"""A network that answers by a picture and its mirror image: the mean of both logits, in one ordinary model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from noria.artifacts.store import Store
from noria.contracts import Silent
from noria.errors import ConfigError
from noria.training.job import Job
from noria.training.mirroring import mirrored
from noria.training.strategies import scratch


def test_the_trained_model_answers_both_alike_by_the_mean_of_their_logits(
    photo_job: Callable[..., Job], store: Store, tmp_path: Path
) -> None:
    job = photo_job(training__epochs=2, training__mirrored=True)
    plain = scratch.train(photo_job(training__epochs=2), store=store, progress=Silent())
    both = scratch.train(job, store=store, progress=Silent())
    both.model.save(tmp_path / "both.keras")
    loaded = keras.saving.load_model(tmp_path / "both.keras", compile=False, safe_mode=True)
    photos = np.stack([job.read(job.dataset.read(one)) for one in job.dataset.by_split("test")]).astype(np.float32)
    answers, turned = loaded.predict(photos, verbose=0), loaded.predict(photos[:, :, ::-1], verbose=0)
    np.testing.assert_allclose(answers, turned, atol=1e-6)
    sides = [np.log(plain.model.predict(one, verbose=0)) for one in (photos, photos[:, :, ::-1])]
    mean = np.exp(plain.temperature / both.temperature * (sides[0] + sides[1]) / 2)
    np.testing.assert_allclose(answers, mean / mean.sum(axis=1, keepdims=True), atol=1e-5)
    assert mirrored(loaded) is loaded  # as when a training goes on from it


def test_texts_are_not_mirrored(make_job: Callable[..., Job], store: Store) -> None:
    job = make_job("fasttext", {"length": 8, "vocabulary": 100}, epochs=1, mirrored=True)
    with pytest.raises(ConfigError, match=r"training\.mirrored is for pictures, and fasttext takes none"):
        scratch.train(job, store=store, progress=Silent())
