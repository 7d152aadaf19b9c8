"""Texts of a table are given back as they were, from memory or from a temporary file, and do not fill the memory."""

from __future__ import annotations

import gc
import random
import tempfile
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from noria.data import cells
from noria.data.cells import ByHash, Cells, Chosen
from noria.errors import NoriaError


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is used from the first hundred bytes."""
    monkeypatch.setattr(cells, "IN_MEMORY", 100)


@pytest.mark.usefixtures("tiny")
def test_texts_come_back_as_they_were_appended() -> None:
    draw = random.Random(0)
    texts = [draw.randbytes(draw.choice([0, 1, 7, 40, 300])) for _ in range(500)]
    kept = Cells(texts)
    assert list(kept) == texts
    assert kept[-1] == texts[-1]
    assert kept[10:20] == texts[10:20]
    with pytest.raises(IndexError):
        kept[500]
    with pytest.raises(IndexError):
        kept[-501]


@pytest.mark.usefixtures("tiny")
def test_several_threads_read_while_nobody_waits() -> None:
    texts = [f"{number} {'x' * (number % 90)}".encode() for number in range(2_000)]
    kept = Cells(texts)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda place: kept[place] == texts[place], [*range(2_000)] * 5))


@pytest.mark.usefixtures("tiny")
def test_texts_are_found_in_another_order_and_by_their_hash() -> None:
    kept = Cells([b"one", b"two" * 100, b"three"])
    assert list(Chosen(kept, [2, 0])) == [b"three", b"one"]
    assert Chosen(kept, [2, 0, 1])[1:] == [b"one", b"two" * 100]
    by_hash = ByHash(kept, {"aa": 1})
    assert dict(by_hash) == {"aa": b"two" * 100}
    assert by_hash.get("bb") is None


def test_many_texts_are_not_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "IN_MEMORY", 1 << 20)
    tracemalloc.start()
    try:
        kept = Cells(bytes(10_000) for _ in range(2_000))  # 20 MB
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept[1_999] == bytes(10_000)
    assert peak < 4 << 20


@pytest.mark.usefixtures("tiny")
def test_the_temporary_file_has_no_name_and_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = _open_files()
    kept = Cells([b"x" * 1_000])
    assert _open_files() == before + 1
    assert list(tmp_path.iterdir()) == []
    del kept
    gc.collect()
    assert _open_files() == before


@pytest.mark.usefixtures("tiny")
def test_a_folder_without_room_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(NoriaError, match=r"No space left on device.*TMPDIR"):
        Cells([b"x" * 1_000])


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
