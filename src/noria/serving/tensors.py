"""What goes into a model and comes out of it: named tensors, as TensorFlow Serving's metadata describes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from noria.errors import RequestError

PREDICT: Final = "tensorflow/serving/predict"
CLASSIFY: Final = "tensorflow/serving/classify"
REGRESS: Final = "tensorflow/serving/regress"
DEFAULT_SIGNATURE: Final = "serving_default"

# Names and numbers of tensorflow/core/framework/types.proto; strings are held as objects (bytes).
DTYPES: Final[dict[str, tuple[int, Any]]] = {
    "DT_FLOAT": (1, np.float32),
    "DT_DOUBLE": (2, np.float64),
    "DT_INT32": (3, np.int32),
    "DT_UINT8": (4, np.uint8),
    "DT_INT16": (5, np.int16),
    "DT_INT8": (6, np.int8),
    "DT_STRING": (7, np.object_),
    "DT_INT64": (9, np.int64),
    "DT_BOOL": (10, np.bool_),
    "DT_UINT16": (17, np.uint16),
    "DT_HALF": (19, np.float16),
    "DT_UINT32": (22, np.uint32),
    "DT_UINT64": (23, np.uint64),
}

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a signature; `shape` is None where even the number of dimensions is open."""

    dtype: str  # a key of DTYPES
    shape: tuple[int | None, ...] | None
    tensor: str = ""  # its name in the graph of a SavedModel, which metadata tell

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Tell whether an array of this shape fits."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            wanted in (None, given) for wanted, given in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call a model."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method: str = PREDICT
    any_shape: bool = False  # the shapes are only told: the model itself says which it takes


def dtype_of(array: NDArray[Any]) -> str:
    """Return the TensorFlow name of an array's type.

    Raises:
        RequestError: TensorFlow Serving has none that is served here.
    """
    if array.dtype.kind in "OSU":
        return "DT_STRING"
    for name, (_, kind) in DTYPES.items():
        if array.dtype == kind:
            return name
    raise RequestError(f"Tensors of type {array.dtype} are not served.")


def require_names(signature: Signature, names: Collection[str]) -> None:
    """Refuse names that are not those of a signature's inputs, before the tensors are read, which costs memory.

    Raises:
        RequestError: a name is missing or unknown.
    """
    if set(names) != signature.inputs.keys():
        wanted, given = ", ".join(sorted(signature.inputs)), ", ".join(sorted(names)) or "nothing"
        raise RequestError(f"Expected the inputs {wanted}; got {given}.")


def require_inputs(signature: Signature, inputs: Tensors) -> None:
    """Refuse tensors that a signature does not take, before anything is computed.

    Raises:
        RequestError: a name is missing or unknown, or a type or a shape does not fit.
    """
    require_names(signature, inputs)
    for name, spec in signature.inputs.items():
        array = inputs[name]
        if dtype_of(array) != spec.dtype:
            raise RequestError(f"Input {name!r} is to be {spec.dtype}, not {dtype_of(array)}.")
        if not signature.any_shape and not spec.accepts(array.shape):
            raise RequestError(f"Input {name!r} is to have the shape {shown(spec.shape)}, not {shown(array.shape)}.")


def shown(shape: tuple[int | None, ...] | None) -> str:
    """Return a shape as TensorFlow Serving writes it: -1 for a side that is open."""
    if shape is None:
        return "of any rank"
    return "(" + ", ".join("-1" if side is None else str(side) for side in shape) + ")"
