"""`TensorProto` <-> arrays, with nothing allocated that the message does not hold or may stand for.

Source: tensorflow/core/framework/tensor.proto
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from noria.errors import RequestError, TooLargeError
from noria.serving.protos import message
from noria.serving.tensors import DTYPES, dtype_of

MOST_DIMENSIONS: Final = 32
PIECE: Final = 65_536  # values that are copied at once
MOST_REPEATED: Final = 2**24  # values that one value may stand for: the last value of a list is repeated to the end

_NAMES: Final = {number: name for name, (number, _) in DTYPES.items()}
_FIELDS: Final = {
    "DT_FLOAT": "float_val",
    "DT_DOUBLE": "double_val",
    "DT_INT32": "int_val",
    "DT_UINT8": "int_val",
    "DT_INT16": "int_val",
    "DT_INT8": "int_val",
    "DT_UINT16": "int_val",
    "DT_STRING": "string_val",
    "DT_INT64": "int64_val",
    "DT_BOOL": "bool_val",
    "DT_HALF": "half_val",
    "DT_UINT32": "uint32_val",
    "DT_UINT64": "uint64_val",
}


def to_arrays(tensors: Mapping[str, Any], most_bytes: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of the TensorProtos of a request.

    Args:
        most_bytes: that arrays may have, all together, which a message does not spell out but repeats a value for.

    Raises:
        TooLargeError: they would have more; nothing is allocated.
        RequestError: as `to_array`.
    """
    repeated = sum(map(_repeated_bytes, tensors.values()))
    if repeated > most_bytes:
        raise TooLargeError(f"Repeated values would fill {repeated:,} bytes, at most {most_bytes:,} are taken.")
    return {name: to_array(tensor, name) for name, tensor in tensors.items()}


def to_array(tensor: Any, name: str) -> NDArray[Any]:
    """Return the array of a TensorProto; strings as an object array of bytes.

    Raises:
        RequestError: its type is not served, or its content does not fill its shape.
    """
    dtype = _NAMES.get(tensor.dtype)
    if dtype is None:
        raise RequestError(f"Input {name!r}: tensors of the type {tensor.dtype} are not served.")
    shape = tuple(side.size for side in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or len(shape) > MOST_DIMENSIONS or any(side < 0 for side in shape):
        raise RequestError(f"Input {name!r}: its shape is not known.")
    count = prod(shape)
    kind = np.dtype(DTYPES[dtype][1])
    if tensor.tensor_content:
        if dtype == "DT_STRING" or count * kind.itemsize != len(tensor.tensor_content):
            raise RequestError(f"Input {name!r}: tensor_content does not fill the shape {list(shape)}.")
        return _shaped(np.frombuffer(tensor.tensor_content, kind.newbyteorder("<")).astype(kind), shape, name)
    values = getattr(tensor, _FIELDS[dtype])
    if len(values) > count or (count and not values) or (len(values) < count and count > MOST_REPEATED):
        raise RequestError(f"Input {name!r}: {len(values):,} values do not fill the shape {list(shape)}.")
    return _shaped(_filled(values, dtype, kind, count, name), shape, name)


def to_tensor(array: NDArray[Any]) -> Any:
    """Return the TensorProto of an array."""
    dtype = dtype_of(array)
    made = message("tensorflow.TensorProto")(dtype=DTYPES[dtype][0])
    made.tensor_shape.SetInParent()
    for side in array.shape:
        made.tensor_shape.dim.add(size=side)
    if dtype == "DT_STRING":
        made.string_val.extend(one.encode() if isinstance(one, str) else one for one in array.reshape(-1).tolist())
    else:
        kind = np.dtype(DTYPES[dtype][1]).newbyteorder("<")
        made.tensor_content = np.ascontiguousarray(array, kind).tobytes()
    return made


def _repeated_bytes(tensor: Any) -> int:
    """Return how large an array is whose last value is repeated; 0 for any other, or one that is refused anyway."""
    dtype = _NAMES.get(tensor.dtype)
    sides = [side.size for side in tensor.tensor_shape.dim]
    if dtype is None or tensor.tensor_content or len(sides) > MOST_DIMENSIONS or any(side < 0 for side in sides):
        return 0
    values, count = getattr(tensor, _FIELDS[dtype]), prod(sides)
    if not values or len(values) >= count:
        return 0
    written = len(values[-1]) if dtype == "DT_STRING" else 0  # TensorFlow has a copy of each string
    return int(count * (np.dtype(DTYPES[dtype][1]).itemsize + written))


def _shaped(array: NDArray[Any], shape: tuple[int, ...], name: str) -> NDArray[Any]:
    try:
        return array.reshape(shape)
    except ValueError:  # beside a side of 0, the others may be larger than NumPy can count
        raise RequestError(f"Input {name!r}: the shape {list(shape)} is too large.") from None


def _filled(values: Any, dtype: str, kind: np.dtype[Any], count: int, name: str) -> NDArray[Any]:
    """Return (count,): the values, the last one repeated."""
    array: NDArray[Any] = np.empty(count, kind)
    if not count:
        return array
    for start in range(0, len(values), PIECE):  # others have their turn between the pieces
        piece = values[start : start + PIECE]
        target = array[start : start + len(piece)]
        if dtype == "DT_HALF":
            target[:] = np.array([value & 0xFFFF for value in piece], np.uint16).view(np.float16)
        else:
            try:
                target[:] = piece
            except OverflowError:
                raise RequestError(f"Input {name!r}: a value is too large for {dtype}.") from None
    array[len(values) :] = array[len(values) - 1]
    return array
