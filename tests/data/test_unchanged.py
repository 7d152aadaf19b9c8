"""Files that are read in every epoch are hashed once, and whatever changes them is seen."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from noria.data import unchanged
from noria.data.unchanged import Unchanged
from noria.errors import DataError

OLD, NEW = b"as it was checked", b"as somebody wrote"  # of one length
SHA256 = hashlib.sha256(OLD).hexdigest()


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that was written a while ago: the time of its last change, unlike that of its content, cannot be set."""
    file = tmp_path / "one"
    file.write_bytes(OLD)
    monkeypatch.setattr(unchanged, "_SETTLED", 0.02)
    time.sleep(0.05)
    return file


def hashes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list to which everything is added that is hashed from now on."""
    seen: list[bytes] = []
    real = hashlib.sha256
    monkeypatch.setattr(unchanged.hashlib, "sha256", lambda data: (seen.append(data), real(data))[1])
    return seen


def test_a_file_is_hashed_once(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, hashed = Unchanged(), hashes(monkeypatch)
    assert [files.read(settled, SHA256) for _ in range(5)] == [OLD] * 5
    assert hashed == [OLD]


def test_a_file_that_was_just_written_is_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "one"
    file.write_bytes(OLD)
    files, hashed = Unchanged(), hashes(monkeypatch)
    assert [files.read(file, SHA256) for _ in range(2)] == [OLD] * 2
    assert hashed == [OLD] * 2


@pytest.mark.parametrize("how", ["in place", "by another file", "with its time put back"])
def test_a_change_is_seen_after_the_first_reading(settled: Path, how: str) -> None:
    files, before = Unchanged(), settled.stat()
    files.read(settled, SHA256)
    if how == "by another file":
        (settled.parent / "other").write_bytes(NEW)
        (settled.parent / "other").replace(settled)
    else:
        settled.write_bytes(NEW)
    if how == "with its time put back":
        os.utime(settled, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match=r"one changed since it was checked\. Start the same command again"):
        files.read(settled, SHA256)


def test_a_file_that_went_away_is_told(settled: Path) -> None:
    files = Unchanged()
    files.read(settled, SHA256)
    settled.unlink()
    with pytest.raises(DataError, match="one went away since it was checked"):
        files.read(settled, SHA256)


def test_another_file_is_asked_for_its_own_hash(settled: Path) -> None:
    files = Unchanged()
    files.read(settled, SHA256)
    with pytest.raises(DataError, match="changed since"):
        files.read(settled, hashlib.sha256(NEW).hexdigest())
