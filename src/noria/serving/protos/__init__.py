"""TensorFlow Serving's messages without TensorFlow: our own minimal `.proto` files with the same wire format.

TensorFlow may be imported in the same process and owns these names in protobuf's default pool, so ours live in a pool
of their own. `descriptors.pb` is made from the `.proto` files by `tools/make_protos.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from noria.errors import RequestError
from noria.serving.contracts import Example
from noria.serving.examples import with_context

DESCRIPTORS = "descriptors.pb"


@functools.cache
def pool() -> Any:
    """Return the pool of our messages."""
    made = DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(resources.files(__package__).joinpath(DESCRIPTORS).read_bytes())
    for file in files.file:
        made.Add(file)
    return made


@functools.cache
def message(full_name: str) -> Any:
    """Return the class of a message, e.g. `message("tensorflow.serving.PredictRequest")`."""
    return GetMessageClass(pool().FindMessageTypeByName(full_name))


def serialised_example(example: Example) -> bytes:
    """Return a `tf.train.Example` as it goes into a model."""
    made = message("tensorflow.Example")()
    for name, values in example.items():
        feature = made.features.feature[name]
        target = feature.int64_list
        if any(isinstance(one, float) for one in values):
            target = feature.float_list
        elif any(isinstance(one, bytes) for one in values):
            target = feature.bytes_list
        target.value.extend(values)
    data: bytes = made.SerializeToString()
    return data


def examples_of(given: Any, most_bytes: int) -> list[Example]:
    """Return the examples of a `tensorflow.serving.Input`, the context added to each.

    Args:
        most_bytes: that the context may take, once for each example.

    Raises:
        RequestError: there is none.
        TooLargeError: the context would take more.
    """
    kind = given.WhichOneof("kind")
    if kind is None or not getattr(given, kind).examples:
        raise RequestError("The input is to hold at least one tf.train.Example.")
    chosen = getattr(given, kind)
    context = _features(chosen.context) if kind == "example_list_with_context" else {}
    return with_context(context, list(map(_features, chosen.examples)), most_bytes)


def _features(example: Any) -> dict[str, Sequence[Any]]:
    found: dict[str, Sequence[Any]] = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found
