"""A weights file that torch wrote before its version 1.6 -> arrays by name, with numpy alone.

Such a file is five pickles one after the other (magic number, protocol, system, tensors, storage keys) and then, for
each key, a count and the raw values. Unpickling can run code, so only a file of known SHA-256 is ever unpickled, and
even then nothing but the four names below is admitted.
"""

from __future__ import annotations

import hashlib
import io
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from noria.errors import WeightsError

MAX_BYTES = 512 * 1024 * 1024
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
_COUNT_BYTES = 8  # little-endian, before the values of each storage


def read_state_dict(path: Path, *, sha256: str) -> dict[str, NDArray[Any]]:
    """Return the tensors of a legacy torch file, each contiguous and of the file's own dtype (float32 or int64).

    Args:
        path: the file.
        sha256: 64 hex digits that the file must have. It is compared before anything is unpickled.

    Raises:
        WeightsError: the file is missing, too large, another file, or not of this format.
    """
    data = _read_known_file(path, sha256)
    try:
        return _parse(data)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} has the expected checksum and is not a legacy torch file: {error}.") from error


def _read_known_file(path: Path, sha256: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise WeightsError(f"{path} has {size:,} bytes; a weights file has at most {MAX_BYTES:,}.")
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}. Install its package again.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise WeightsError(
            f"{path} is damaged or another file: its SHA-256 is {found}, expected {sha256}. "
            "It was not opened. Install its package again."
        )
    return data


@dataclass(frozen=True, slots=True)
class _Storage:
    dtype: np.dtype[Any]
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """The arguments of torch's tensor rebuilder, in its order; the last two do not matter here."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements
    requires_grad: bool
    hooks: object


_ADMITTED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _Unpickler(pickle.Unpickler):
    """Admits the four names of a state dict and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no weights need")
        return _ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, count, _view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"it holds a reference of the unknown kind {kind!r}")
        return _Storage(dtype, str(key), int(count))


def _parse(data: bytes) -> dict[str, NDArray[Any]]:
    stream = io.BytesIO(data)
    magic, protocol, system, tensors, keys = (_Unpickler(stream).load() for _ in range(5))
    if magic != MAGIC or protocol != PROTOCOL or not system["little_endian"]:
        raise ValueError(f"magic number {magic}, protocol {protocol}, system {system}")
    storages = _read_storages(data, stream.tell(), keys, {tensor.storage for tensor in tensors.values()})
    return {str(name): _materialise(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_storages(data: bytes, start: int, keys: list[str], declared: set[_Storage]) -> dict[str, NDArray[Any]]:
    """Read the raw values that follow the pickles; every byte must be accounted for."""
    by_key = {storage.key: storage for storage in declared}
    storages: dict[str, NDArray[Any]] = {}
    for key in keys:
        storage = by_key[key]
        count = int.from_bytes(data[start : start + _COUNT_BYTES], "little")
        if count != storage.count:
            raise ValueError(f"storage {key} holds {count} values, {storage.count} were announced")
        start += _COUNT_BYTES
        storages[key] = np.frombuffer(data, storage.dtype, count, start)  # raises ValueError past the end
        start += count * storage.dtype.itemsize
    if start != len(data):
        raise ValueError(f"{len(data) - start} bytes are left over")
    return storages


def _materialise(tensor: _Tensor, values: NDArray[Any]) -> NDArray[Any]:
    """Lay the flat values out as the tensor says. Not every tensor is contiguous: its strides decide."""
    if len(tensor.shape) != len(tensor.strides) or min((tensor.offset, *tensor.shape, *tensor.strides)) < 0:
        raise ValueError(f"a tensor has shape {tensor.shape}, strides {tensor.strides}, offset {tensor.offset}")
    last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
    if math.prod(tensor.shape) and last >= values.size:
        raise ValueError(f"a tensor reaches value {last} of a storage of {values.size}")
    strides = tuple(step * values.itemsize for step in tensor.strides)
    view = as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.array(view, order="C")
