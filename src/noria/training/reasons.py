"""A trained model of texts -> what its report says of words: of those in a test text, and of those behind a label."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Example, Parts
from noria.errors import DataError, UnreadableInputError
from noria.evaluation.attribution import Attribution, attribute, exact, speaking_words
from noria.inference.batching import stacked
from noria.training.job import Job, Trained

SECONDS = 30.0  # for leaving out words of the examples that a report shows; what is not done by then is shown plain
MOST_CALLS = 100  # about one text
SAMPLE = 2_000  # training texts in which the frequent words are counted
FREQUENT = 4_000  # n-grams that are looked at for what they speak for
IN_TEXTS = 5  # of the sample, at least
TRIED = 5  # texts that show whether a model is linear


@dataclass(frozen=True, slots=True)
class Reasons:
    """What can be said about a model's answers; nothing at all where its inputs have no words."""

    of_example: Callable[[str], Attribution | None]  # a test example's path -> what its words did
    speaking: Sequence[Mapping[str, Any]]  # for each label its words, of a linear model


def find_reasons(job: Job, trained: Trained, inputs: ModuleType) -> Reasons:
    """Prepare to explain answers; `inputs` is the member of the input shelf."""
    if not hasattr(inputs, "open_parts"):
        return Reasons(lambda _path: None, ())
    model = _Model(job, trained, inputs)
    examples = {example.path: example for example in job.dataset.by_split("test")}
    begun = time.perf_counter()

    def of_example(path: str) -> Attribution | None:
        if path not in examples or time.perf_counter() - begun > SECONDS:
            return None
        return model.attribution(examples[path])

    return Reasons(of_example, model.speaking())


class _Model:
    """A trained model and its input, open for being asked."""

    def __init__(self, job: Job, trained: Trained, inputs: ModuleType) -> None:
        self._dataset = job.dataset
        self._labels = job.dataset.labels
        self._keras = trained.model
        self._read = job.open_reader(trained.input_files)
        self._parts: Callable[[bytes], Parts] = inputs.open_parts(job.input, trained.input_files)
        self._read_bulk = inputs.open_bulk_reader(job.input, trained.input_files)
        self._names: Callable[[Sequence[int]], list[str]] = partial(inputs.feature_names, trained.input_files)

    def attribution(self, example: Example) -> Attribution | None:
        """A report with one text unexplained is better than a training lost to it."""
        try:
            parts = self._parts(self._dataset.read(example))
            return attribute(parts, self._labels, self._about_texts, self._about_arrays, most_calls=MOST_CALLS)
        except (DataError, UnreadableInputError):
            return None

    def speaking(self) -> list[dict[str, Any]]:
        """Return the frequent n-grams that speak for each label, or nothing for a model that is not linear in them."""
        training = self._dataset.by_split("train")
        sample = [self._dataset.read(one) for one in training[:: -(-len(training) // SAMPLE)]]
        # What one text shows may be chance: one with a single known n-gram is linear in it.
        if any(exact(self._parts(text), self._labels, self._about_arrays) is None for text in sample[:TRIED]):
            return []
        rows = self._read_bulk(sample)
        counts = np.bincount(rows.values)
        frequent = np.argsort(-counts, kind="stable")[:FREQUENT]
        features = [int(feature) for feature in frequent if counts[feature] >= IN_TEXTS]
        names = dict(zip(features, self._names(features), strict=True))
        told = {feature: int(counts[feature]) for feature in features}
        typical = int(np.median(rows.lengths))
        return speaking_words(names, told, self._labels, self._about_arrays, typical=typical)

    def _about_texts(self, texts: Iterable[bytes]) -> NDArray[np.float32]:
        rows = [self._readable(text) for text in texts]
        scores = np.full((len(rows), len(self._labels)), np.nan, np.float32)
        there = [number for number, row in enumerate(rows) if row is not None]
        if there:
            scores[there] = self._about_arrays([row for row in rows if row is not None])
        return scores

    def _readable(self, text: bytes) -> NDArray[Any] | None:
        try:
            return self._read(text)
        except UnreadableInputError:
            return None

    def _about_arrays(self, rows: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        # As a graph: eagerly, a recurrent network takes a hundred times as long.
        return np.asarray(self._keras.predict_on_batch(stacked(rows)), np.float32)
