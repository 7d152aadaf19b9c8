"""The reader of legacy torch files: right values, and nothing foreign is ever unpickled."""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from noria.errors import WeightsError
from noria.models._legacy_torch import MAGIC, PROTOCOL, read_state_dict


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _numbers(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def _legacy_file(values: Sequence[float], *, offset: int, shape: Sequence[int], strides: Sequence[int]) -> bytes:
    """One float32 tensor "weight" as torch wrote it, from the opcodes of pickle."""
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("7") + _text("cpu")
    storage += b"J" + struct.pack("<i", len(values)) + b"NtQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"J" + struct.pack("<i", offset)
    tensor += _numbers(shape) + _numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    tensors = b"\x80\x02ccollections\nOrderedDict\n)R(" + _text("weight") + tensor + b"u."
    head = [pickle.dumps(part, 2) for part in (MAGIC, PROTOCOL, {"little_endian": True})]
    raw = struct.pack("<q", len(values)) + struct.pack(f"<{len(values)}f", *values)
    return b"".join([*head, tensors, pickle.dumps(["7"], 2), raw])


def _read(folder: Path, data: bytes) -> dict[str, np.ndarray]:
    file = folder / "weights.pth"
    file.write_bytes(data)
    return read_state_dict(file, sha256=hashlib.sha256(data).hexdigest())


def test_strides_and_offset_decide_where_values_lie(tmp_path: Path) -> None:
    arrays = _read(tmp_path, _legacy_file(range(7), offset=1, shape=(2, 3), strides=(1, 2)))
    np.testing.assert_array_equal(arrays["weight"], [[1, 3, 5], [2, 4, 6]])
    assert arrays["weight"].flags.c_contiguous
    assert arrays["weight"].dtype == np.float32


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(2, (2, 3), (1, 2)), (0, (2, 3), (1, 3)), (0, (2, 3), (-1, 2)), (-1, (2,), (1,)), (0, (2, 3), (1,))],
)
def test_a_tensor_that_reaches_outside_its_storage_is_refused(
    tmp_path: Path, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    with pytest.raises(WeightsError, match="not a legacy torch file: a tensor"):
        _read(tmp_path, _legacy_file(range(7), offset=offset, shape=shape, strides=strides))


def test_a_file_that_is_cut_short_or_too_long_is_refused(tmp_path: Path) -> None:
    whole = _legacy_file(range(6), offset=0, shape=(2, 3), strides=(3, 1))
    for data in (whole[:-4], whole + b"more", whole[:40], b""):
        with pytest.raises(WeightsError, match="is not a legacy torch file"):
            _read(tmp_path, data)


class _Intruder:
    """Touches a file when it is unpickled carelessly."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.target,)


def test_a_file_of_another_checksum_is_not_opened(tmp_path: Path) -> None:
    target = tmp_path / "touched"
    file = tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps(_Intruder(target)))
    with pytest.raises(WeightsError, match=r"its SHA-256 is [0-9a-f]{64}, expected 0{64}.*not opened"):
        read_state_dict(file, sha256="0" * 64)
    assert not target.exists()


def test_a_file_of_the_right_checksum_that_asks_for_code_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "touched"
    with pytest.raises(WeightsError, match=r"it asks for .*, which no weights need"):
        _read(tmp_path, pickle.dumps(_Intruder(target)))
    assert not target.exists()


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot be read: No such file.*Install its package again"):
        read_state_dict(tmp_path / "none.pth", sha256="0" * 64)
