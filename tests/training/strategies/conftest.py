"""Trainings on a few hundred real film reviews, and on 48 photos of flowers."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from noria import api, models
from noria.artifacts.dataset import Dataset
from noria.artifacts.store import Store
from noria.config import load_config, resolved
from noria.contracts import SPLITS, Example
from noria.inputs import text
from noria.jobs import make_job as make_job_of
from noria.training.job import Job
from noria.training.settings import ModelSettings, TrainingSettings

REVIEWS = {"train": 600, "validation": 150, "test": 250}
LABELS = ("negative", "positive")
PHOTO_SIDE = 32

MakeJob = Callable[..., Job]


@pytest.fixture(scope="session")
def reviews(shared_data: Path) -> Dataset:
    """1,000 reviews, both labels in turn, as a reader of tables would hand them on."""
    by_label: dict[str, list[bytes]] = {label: [] for label in LABELS}
    with gzip.open(shared_data / "imdb" / "imdb_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            by_label[LABELS[row["label"]]].append(row["text"].encode())
    count = sum(REVIEWS.values()) // 2
    pairs = zip(*(by_label[label][:count] for label in LABELS), strict=True)
    texts = [(data, label) for pair in pairs for data, label in zip(pair, LABELS, strict=True)]
    splits = [split for split in SPLITS for _ in range(REVIEWS[split])]
    examples, contents = [], {}
    for line, ((data, label), split) in enumerate(zip(texts, splits, strict=True), 2):
        digest = hashlib.sha256(data).hexdigest()
        contents[digest] = data
        examples.append(Example(f"reviews.csv:{line}", label, digest, digest, split))
    return Dataset("reviews", Path(), "text_classification", LABELS, tuple(examples), contents=contents)


@pytest.fixture(scope="session")
def make_job(reviews: Dataset) -> MakeJob:
    """A function: the name of a model, its input settings, a dataset, training settings -> a job."""

    def make(model: str, given: dict[str, Any] | None = None, dataset: Dataset | None = None, **training: Any) -> Job:
        settings = text.Settings(**{**models.card(model).settings, **(given or {})})
        return Job(
            dataset=dataset or reviews,
            model=ModelSettings(name=model),
            training=TrainingSettings(**training),
            seed=training.get("seed", 0),
            open_reader=lambda files: text.open_reader(settings, files),
            decoder="text",
            input=settings,
            vary=lambda array, _key: array,
            vary_spec="",
            views=0,
        )

    return make


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that these strategies leave alone."""
    with Store(tmp_path_factory.mktemp("store") / "features.sqlite") as opened:
        yield opened


@pytest.fixture(scope="session")
def photo_job(photos: Path) -> Callable[..., Job]:
    """A function: settings -> a job on 48 photos of flowers."""
    dataset = api.check(photos, config=load_config(data__wrong_labels=False))

    def make(**given: Any) -> Job:
        settings = {
            "model__name": "convnet",
            "input__height": PHOTO_SIDE,
            "input__width": PHOTO_SIDE,
            "training__batch_size": 8,
        }
        job, _ = make_job_of(dataset, resolved(load_config(**{**settings, **given})), time.monotonic())
        return replace(job, unfinished=None)

    return make
