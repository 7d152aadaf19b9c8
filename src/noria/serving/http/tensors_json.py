"""JSON <-> tensors as TensorFlow Serving's REST API has them: rows or columns, named or not, `{"b64": ...}`.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from noria.errors import RequestError
from noria.serving.contracts import Example
from noria.serving.examples import with_context
from noria.serving.tensors import DTYPES, Signature, Tensors, TensorSpec

BINARY_SUFFIX: Final = "_bytes"  # of tensors whose strings are no text
_B64: Final = {"b64"}


def from_rows(instances: Any, signature: Signature) -> Tensors:
    """Return the inputs of `{"instances": [...]}`, each a value or an object of named values.

    Raises:
        RequestError: they do not fit the signature.
    """
    if not isinstance(instances, list) or not instances:
        raise RequestError('"instances" is to be a list with at least one value.')
    if all(_is_named(one) for one in instances):
        names = instances[0].keys()
        if any(one.keys() != names for one in instances):
            raise RequestError('All "instances" are to have the same names.')
        columns = {name: [one[name] for one in instances] for name in names}
        return {name: to_array(columns[name], _spec(signature, name), name) for name in columns}
    if any(_is_named(one) for one in instances):
        raise RequestError('Some "instances" are named and some are not.')
    name = _only_input(signature)
    return {name: to_array(instances, signature.inputs[name], name)}


def from_columns(inputs: Any, signature: Signature) -> Tensors:
    """Return the inputs of `{"inputs": ...}`: an object of named tensors, or the only tensor.

    Raises:
        RequestError: they do not fit the signature.
    """
    if _is_named(inputs):
        return {name: to_array(value, _spec(signature, name), name) for name, value in inputs.items()}
    name = _only_input(signature)
    return {name: to_array(inputs, signature.inputs[name], name)}


def to_array(value: Any, spec: TensorSpec, name: str) -> NDArray[Any]:
    """Return a tensor from nested lists.

    Raises:
        RequestError: the lists are ragged, or hold something else than the type says.
    """
    if spec.dtype == "DT_STRING":
        return _strings(value, name)
    kind = np.dtype(DTYPES[spec.dtype][1])
    if _leaf_types(value) - {int, float, bool}:
        raise RequestError(f"Input {name!r}: expected {_WORDS[kind.kind]}, got {_excerpt(value)}.")
    try:
        found = np.asarray(value)
    except (ValueError, OverflowError):
        raise RequestError(f"Input {name!r}: the lists are of different lengths, or nested too deeply.") from None
    if found.size == 0:
        return found.astype(kind)
    if found.dtype.kind not in _TAKEN[kind.kind]:
        raise RequestError(f"Input {name!r}: expected {_WORDS[kind.kind]}, got {_excerpt(value)}.")
    if kind.kind in "iu":
        _require_in_range(found, kind, name)
    return found.astype(kind)


def to_rows(outputs: Tensors) -> list[Any]:
    """Return one value for each row: the output itself where there is only one, else an object of named values.

    Raises:
        RequestError: the outputs have not one row for each input.
    """
    sizes = {len(array) if array.ndim else -1 for array in outputs.values()}
    if len(sizes) != 1 or -1 in sizes:
        raise RequestError('The outputs have no common first dimension: ask by columns, with "inputs".')
    columns = {name: _values(array, name) for name, array in outputs.items()}
    if len(columns) == 1:
        return list(next(iter(columns.values())))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def to_columns(outputs: Tensors) -> Any:
    """Return the tensors by name, or the only one by itself."""
    columns = {name: _values(array, name) for name, array in outputs.items()}
    return next(iter(columns.values())) if len(columns) == 1 else columns


def dump(value: Any) -> bytes:
    """Return JSON; what is no number is written as TensorFlow Serving writes it: NaN, Infinity, -Infinity."""
    if _has_odd_numbers(value):
        return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":")).encode()
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def examples_from(body: Mapping[str, Any], most_bytes: int) -> list[Example]:
    """Return `tf.train.Example`s of `{"context": {...}, "examples": [{...}]}`, the context added to each.

    Args:
        most_bytes: that the context may take, once for each example.

    Raises:
        RequestError: a feature is no list of one kind of values.
        TooLargeError: the context would take more.
    """
    examples, context = body.get("examples"), body.get("context", {})
    if not isinstance(examples, list) or not examples or not isinstance(context, dict):
        raise RequestError('"examples" is to be a list with at least one object of named features.')
    if not all(isinstance(one, dict) for one in examples):
        raise RequestError('Each of "examples" is to be an object of named features.')
    return with_context(_features(context), list(map(_features, examples)), most_bytes)


def from_base64(text: str, name: str) -> bytes:
    """Return the bytes of base64, also of a data URL.

    Raises:
        RequestError: it is not base64.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(f"Input {name!r}: not base64: {text[:20]!r}.") from None


_TAKEN: Final = {"f": "fiu", "i": "iuf", "u": "iuf", "b": "b"}
_WORDS: Final = {"f": "numbers", "i": "whole numbers", "u": "whole numbers that are not negative", "b": "true or false"}


def _leaf_types(value: Any) -> set[type]:
    """Return what the lists hold: numpy makes texts of all that stands beside a text, each as long as that."""
    found, level = set[type](), [value]
    while level:
        types = set(map(type, level))
        found |= types - {list}
        level = list(chain.from_iterable(one for one in level if type(one) is list)) if list in types else []
    return found


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() != _B64


def _only_input(signature: Signature) -> str:
    if len(signature.inputs) != 1:
        raise RequestError(f"The inputs are to be named: {', '.join(sorted(signature.inputs))}.")
    return next(iter(signature.inputs))


def _spec(signature: Signature, name: str) -> TensorSpec:
    if name in signature.inputs:
        return signature.inputs[name]
    raise RequestError(f"There is no input {name!r}. Inputs: {', '.join(sorted(signature.inputs))}.")


def _strings(value: Any, name: str) -> NDArray[Any]:
    """Return an object array of bytes; lists are dimensions."""
    shape: list[int] = []
    level: list[Any] = [value]
    while level and all(isinstance(one, list) for one in level):
        lengths = {len(one) for one in level}
        if len(lengths) != 1 or len(shape) == _MOST_DIMENSIONS:
            raise RequestError(f"Input {name!r}: the lists are of different lengths, or nested too deeply.")
        shape.append(lengths.pop())
        level = [child for one in level for child in one]
    array = np.empty(len(level), np.object_)
    array[:] = [_bytes(one, name) for one in level]
    return array.reshape(shape)


_MOST_DIMENSIONS: Final = 8


def _bytes(value: Any, name: str) -> bytes:
    if isinstance(value, str):
        if name.endswith(BINARY_SUFFIX):
            return from_base64(value, name)
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and value.keys() == _B64 and isinstance(value["b64"], str):
        return from_base64(value["b64"], name)
    raise RequestError(f"Input {name!r}: expected a text or {{'b64': ...}}, got {_excerpt(value)}.")


def _require_in_range(found: NDArray[Any], kind: np.dtype[Any], name: str) -> None:
    limits = np.iinfo(kind)
    if found.dtype.kind == "f" and not np.array_equal(found, np.trunc(found)):
        raise RequestError(f"Input {name!r}: expected whole numbers.")
    if found.min() < limits.min or found.max() > limits.max:
        raise RequestError(f"Input {name!r}: a number is not between {limits.min:,} and {limits.max:,}.")


def _features(told: Mapping[str, Any]) -> Example:
    return {name: _feature(name, value) for name, value in told.items()}


def _feature(name: str, value: Any) -> Sequence[bytes] | Sequence[float] | Sequence[int]:
    values = value if isinstance(value, list) else [value]
    if all(isinstance(one, (str, dict)) for one in values):
        return [_bytes(one, name) for one in values]
    if all(isinstance(one, int) and not isinstance(one, bool) and -(2**63) <= one < 2**63 for one in values):
        return [int(one) for one in values]
    if all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values):
        return [float(one) for one in values]
    raise RequestError(f"Feature {name!r}: expected texts, whole numbers or numbers, got {_excerpt(value)}.")


def _values(array: NDArray[Any], name: str) -> Any:
    """Return what the JSON writer takes: numbers as an array, strings as nested lists."""
    if array.dtype.kind in "OSU":
        return _texts(array.tolist(), name.endswith(BINARY_SUFFIX))
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    return np.ascontiguousarray(array) if array.ndim else array.item()


def _texts(value: Any, binary: bool) -> Any:
    if isinstance(value, list):
        return [_texts(one, binary) for one in value]
    if isinstance(value, str) and not binary:
        return value
    data = value.encode() if isinstance(value, str) else value
    if not binary:
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass  # bytes that are no text, though the name does not say so
    return {"b64": base64.b64encode(data).decode()}


def _has_odd_numbers(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and not np.isfinite(value).all()
    if isinstance(value, (float, np.floating)):
        return not np.isfinite(value)
    if isinstance(value, dict):
        return any(_has_odd_numbers(one) for one in value.values())
    return isinstance(value, (list, tuple)) and any(_has_odd_numbers(one) for one in value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _excerpt(value: Any) -> str:
    shown = ""
    for piece in json.JSONEncoder(default=str, ensure_ascii=False).iterencode(value):
        shown += piece
        if len(shown) > 60:
            break
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
