"""A finished run and new data -> a training that goes on from what the run has learnt, with more labels if need be.

The head keeps the columns of the labels that it knows, by their names; a new label begins with none of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.artifacts.dataset import Dataset
from noria.artifacts.run import Run
from noria.contracts import Progress, Scored
from noria.evaluation.intervals import wilson

if TYPE_CHECKING:
    import keras

NEW_SPREAD = 0.01  # of a new label's weights


def with_labels_of(dataset: Dataset, run: Run, progress: Progress) -> Dataset:
    """Return the dataset with the labels of the run beside its own."""
    labels = tuple(sorted({*dataset.labels, *run.labels}))
    if absent := sorted(set(run.labels) - set(dataset.labels)):
        told = ", ".join(absent[:5]) + (", …" if len(absent) > 5 else "")
        progress.note(
            f"{len(absent)} of the {len(run.labels)} labels of {run.path.name} have no example here ({told}): the "
            "model keeps them, and will forget much of what they look like. Add some of their examples to the data."
        )
    return replace(dataset, labels=labels)


def network(run: Run, labels: Sequence[str], *, seed: int) -> keras.Model:
    """Return the run's network with a head for `labels`."""
    import keras

    old = keras.saving.load_model(run.file("keras"), compile=False, safe_mode=True)
    scores = old.get_layer("scores")
    head = keras.layers.Dense(len(labels), activation="softmax", dtype="float32", name="scores")
    model = keras.Model(old.input, head(scores.input), name=old.name)
    known, bias = scores.get_weights()
    columns = np.random.default_rng(seed).normal(0, NEW_SPREAD, (len(known), len(labels))).astype(np.float32)
    biases = np.full(len(labels), float(bias.mean()), np.float32)
    place = {label: number for number, label in enumerate(run.labels)}
    for number, label in enumerate(labels):
        if label in place:
            columns[:, number], biases[number] = known[:, place[label]], bias[place[label]]
    head.set_weights([columns, biases])
    return model


def compared(run: Run, test: Scored) -> Mapping[str, Any]:
    """Return how well the test examples of old labels and those of new ones are answered, each with its interval."""
    old = np.isin(np.array(test.labels, dtype=object)[test.truth], list(run.labels))
    right = test.scores.argmax(axis=1) == test.truth
    return {
        "from": str(run.path),
        "from_model": run.checksum("keras"),  # another run may come to lie there
        "old": _part(right[old], [label for label in test.labels if label in run.labels]),
        "new": _part(right[~old], [label for label in test.labels if label not in run.labels]),
    }


def _part(right: Any, labels: Sequence[str]) -> dict[str, Any]:
    count, hits = len(right), int(right.sum())
    return {
        "labels": list(labels),
        "num_examples": count,
        "accuracy": hits / count if count else None,
        "interval": list(wilson(hits, count)) if count else None,
    }
