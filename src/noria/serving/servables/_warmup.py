"""What a SavedModel is asked before it answers anybody: the requests that lie beside it, or made-up ones.

Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from noria.serving.protos import message
from noria.serving.tensors import DTYPES, Signature, Tensors

FILE = Path("assets.extra", "tf_serving_warmup_requests")
MOST_REQUESTS = 1000  # that are sent, as by TensorFlow Serving
MOST_VALUES = 2**22  # of a tensor that is made up
_WRITES = re.compile(r"Assign|Resource\w*(Apply|Scatter)|Lookup\w*(Insert|Import|Remove)|Enqueue|WriteFile|^Save|Print")


def recorded(tf: Any, path: Path) -> Iterator[Any]:
    """Give the requests that lie in the folder of a SavedModel: PredictRequest, ClassificationRequest, ...

    Raises:
        DecodeError, tf.errors.OpError: the file is damaged.
    """
    kind = message("tensorflow.serving.PredictionLog")
    for record in islice(tf.data.TFRecordDataset(str(path / FILE)).as_numpy_iterator(), MOST_REQUESTS):
        log = kind.FromString(record)
        if which := log.WhichOneof("log_type"):
            yield getattr(log, which).request


def made_up(signature: Signature) -> Tensors | None:
    """Return one row of zeros and empty texts, or None where no shape is known."""
    inputs = {}
    for name, spec in signature.inputs.items():
        sides = None if spec.shape is None else tuple(1 if side is None else side for side in spec.shape)
        if sides is None or prod(sides) > MOST_VALUES:
            return None
        empty: Any = b"" if spec.dtype == "DT_STRING" else 0
        inputs[name] = np.full(sides, empty, DTYPES[spec.dtype][1])
    return inputs


def writes(operations: Iterable[str]) -> bool:
    """Tell whether one of the operations changes something that stays: a made-up request must not."""
    return any(map(_WRITES.search, operations))
