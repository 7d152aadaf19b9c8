"""Labelled inputs and an open predictor -> scores beside the truth, and what could not be used with its reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noria.contracts import Progress, Scored, SetAside
from noria.errors import DataError
from noria.inference.predictor import Input, Predictor


def score(predictor: Predictor, inputs: Sequence[Input], progress: Progress) -> tuple[Scored, list[SetAside]]:
    """Return the scores of every input that can be read and whose label the model knows.

    Raises:
        DataError: there is no such input.
    """
    index = {label: position for position, label in enumerate(predictor.labels)}
    names, truth, rows, set_aside = [], [], [], []
    with progress.track("evaluate", len(inputs)) as advance:
        for one, result in zip(inputs, predictor.results(inputs), strict=True):
            advance(1)
            if result.scores is None:
                set_aside.append(SetAside(result.name, result.error))
            elif one.label not in index:
                set_aside.append(SetAside(result.name, f"its label {one.label!r} is none that the model knows"))
            else:
                names.append(result.name)
                truth.append(index[one.label])
                rows.append(result.scores)
    if not rows:
        first = f" The first: {set_aside[0].path}: {set_aside[0].reason}." if set_aside else ""
        raise DataError(
            f"Nothing to evaluate on: none of {len(inputs)} files could be used.{first} "
            f"The model knows the labels {', '.join(predictor.labels[:20])}."
        )
    return Scored(tuple(names), predictor.labels, np.array(truth, np.int64), np.stack(rows)), set_aside
