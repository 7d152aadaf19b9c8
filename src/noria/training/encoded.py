"""A dataset of texts -> the ids of every text, split by split, and the files that say what the ids mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.contracts import SPLITS, Progress, Split
from noria.errors import ConfigError
from noria.inputs import text
from noria.inputs.text import Rows
from noria.training.job import Job


@dataclass(frozen=True, slots=True)
class Encoded:
    """All texts of a dataset."""

    files: dict[str, bytes]  # what the input learnt from the training texts
    vocabulary_size: int  # number of different ids, the padding's 0 included
    rows: Rows  # the ids of every text, the splits one after the other
    labels: dict[Split, NDArray[np.int64]]  # indices of labels

    @property
    def ids(self) -> Mapping[Split, Rows]:
        """The ids of the texts of each split."""
        return {split: self.of(split, split) for split in self.labels}

    def of(self, first: Split, last: Split) -> Rows:
        """Return the ids from the first text of one split to the last of another one, without copying them."""
        ends = dict(zip(self.labels, np.cumsum([len(one) for one in self.labels.values()]).tolist(), strict=True))
        return self.rows.between(ends[first] - len(self.labels[first]), ends[last])


def encode(job: Job, settings: text.Settings, *, progress: Progress, files: dict[str, bytes] | None = None) -> Encoded:
    """Learn the vocabulary from the training texts, then encode every split with it.

    Args:
        settings: those of the job, or as the strategy bounds them for the learning.
        files: a vocabulary that was learnt before, and is kept.
    """
    if files is None:
        with progress.track("vocabulary", len(job.dataset.by_split("train"))) as advance:
            files = text.learn(_texts(job, "train", advance), settings)
    read = text.open_bulk_reader(settings, files)
    with progress.track("encoding texts", len(job.dataset.examples)) as advance:
        rows = read(text for split in SPLITS for text in _texts(job, split, advance))
    return Encoded(files, _vocabulary_size(settings, files), rows, {split: _labels(job, split) for split in SPLITS})


def text_settings(job: Job, encoding: str) -> text.Settings:
    """Return the job's input settings.

    Raises:
        ConfigError: they are not of texts, or of texts encoded in another way than the model takes them.
    """
    if not isinstance(job.input, text.Settings):
        raise ConfigError(
            f"The strategy {job.training.strategy} learns from texts, and {job.model.name} takes other inputs. Leave "
            "--strategy out: the one that suits the model is taken."
        )
    if job.input.encoding != encoding:
        raise ConfigError(
            f"input.encoding is {job.input.encoding!r}, but the model {job.model.name} takes {encoding!r}. "
            "Leave the setting out, or choose another model."
        )
    return job.input


def _texts(job: Job, split: Split, advance: Callable[[int], None]) -> Iterator[bytes]:
    for example in job.dataset.by_split(split):
        yield job.dataset.read(example)
        advance(1)


def _labels(job: Job, split: Split) -> NDArray[np.int64]:
    return np.array([job.dataset.label_index[one.label] for one in job.dataset.by_split(split)], dtype=np.int64)


def _vocabulary_size(settings: text.Settings, files: dict[str, bytes]) -> int:
    if settings.encoding == "ngrams":
        return len(text.keys_of(files)) + 1  # and the padding
    return len(text.words_of(files)) + 2  # and the padding, and the unknown word
