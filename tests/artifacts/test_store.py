"""The cache: shared by processes, whole after any end, and never wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from noria.artifacts.store import LOOKUP, Store, cache_folder

WRITER = """
import sys
from pathlib import Path
from noria.artifacts.store import Store
with Store(Path(sys.argv[1])) as store:
    for number in range(int(sys.argv[3])):
        key = f"{sys.argv[2]}{number}".encode()
        store.put_many("space", {key: key * 500, b"shared": b"by all"})
        print(number, flush=True)
"""
FULL_DISK = """
import resource, sys
from pathlib import Path
from noria.artifacts.store import Store
with Store(Path(sys.argv[1])) as store:
    store.put_many("space", {b"before": b"kept"})
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    store.put_many("space", {b"large": b"x" * 1_000_000})
    print(store.trouble)
"""
MANY = {f"key {number}".encode(): os.urandom(3000) for number in range(200)}


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def damaged_copies(path: Path) -> list[Path]:
    return list(path.parent.glob(f"{path.name}.damaged-*"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with many entries."""
    with Store(tmp_path / "cache.sqlite") as store:
        store.put_many("space", MANY)
    return tmp_path / "cache.sqlite"


def test_what_was_put_is_found_by_another_process_and_what_was_not_is_absent(path: Path) -> None:
    with Store(path) as store:
        assert store.get_many("space", [*MANY, b"unknown"]) == MANY
        assert store.get_many("space", []) == {}


def test_spaces_do_not_see_each_other(path: Path) -> None:
    with Store(path) as store:
        assert store.get_many("another space", MANY) == {}
        store.put_many("another space", {b"key 1": b"other"})
        assert store.get_many("space", [b"key 1"]) == {b"key 1": MANY[b"key 1"]}


def test_a_later_value_takes_the_place_of_an_earlier_one(path: Path) -> None:
    with Store(path) as store:
        store.put_many("space", {b"key 1": b"new"})
        assert store.get_many("space", [b"key 1"]) == {b"key 1": b"new"}


def test_more_keys_than_one_query_takes_are_all_found(tmp_path: Path) -> None:
    entries = {str(number).encode(): bytes([number % 256]) for number in range(2 * LOOKUP + 1)}
    with Store(tmp_path / "cache.sqlite") as store:
        store.put_many("space", entries)
        assert store.get_many("space", entries) == entries


def test_two_processes_write_at_once_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    writers = [writer(path, name, 150) for name in ("a", "b")]
    for one in writers:
        one.communicate(timeout=60)
    assert [one.returncode for one in writers] == [0, 0]
    keys = [f"{name}{number}".encode() for name in ("a", "b") for number in range(150)]
    with Store(path) as store:
        assert store.get_many("space", keys) == {key: key * 500 for key in keys}
    assert not damaged_copies(path)


def test_a_killed_writer_leaves_all_that_it_had_committed(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    child = writer(path, "a", 1_000_000)
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(100)]
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    keys = [f"a{number}".encode() for number in told]
    with Store(path) as store:
        assert store.get_many("space", keys) == {key: key * 500 for key in keys}
    assert not damaged_copies(path)


@pytest.mark.parametrize("where", ["head", "all", "cut off"])
def test_a_damaged_file_is_put_aside_and_begun_anew(path: Path, where: str) -> None:
    content = path.read_bytes()
    harmed = {"head": b"\xff" * 100 + content[100:], "all": b"not a database" * 1000, "cut off": content[:5000]}[where]
    path.write_bytes(harmed)
    with Store(path) as store:
        assert not store.get_many("space", MANY)
        store.put_many("space", {b"key": b"value"})
    with Store(path) as store:
        assert store.get_many("space", [b"key"]) == {b"key": b"value"}
    assert [one.read_bytes() for one in damaged_copies(path)] == [harmed]


@pytest.mark.parametrize("page", [1, 5, 20, 50, 100])
def test_a_damaged_page_costs_entries_and_never_gives_wrong_ones(path: Path, page: int) -> None:
    content = bytearray(path.read_bytes())
    content[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with Store(path) as store:
        found = store.get_many("space", MANY)
        assert len(found) < len(MANY)
        assert found.items() <= MANY.items()
        store.put_many("space", MANY)
        assert store.get_many("space", MANY) == MANY


def test_an_entry_with_flipped_bytes_reads_as_absent(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entries SET value = zeroblob(3000) WHERE key = ?", (b"key 7",))
    with Store(path) as store:
        assert store.get_many("space", MANY) == {key: value for key, value in MANY.items() if key != b"key 7"}
    assert not damaged_copies(path)


def test_an_entry_under_the_wrong_key_reads_as_absent(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM entries WHERE key = ?", (b"key 7",))
        connection.execute("UPDATE entries SET key = ? WHERE key = ?", (b"key 7", b"key 8"))
    with Store(path) as store:
        assert store.get_many("space", [b"key 7", b"key 8"]) == {}


@pytest.mark.parametrize("name", ["file/cache.sqlite", "folder", "locked/cache.sqlite"])
def test_a_place_that_cannot_be_written_is_told_and_work_goes_on_without_a_cache(tmp_path: Path, name: str) -> None:
    if name.startswith("locked") and os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "locked").mkdir(mode=0o500)
    with Store(tmp_path / name) as store:
        assert "is not used" in store.trouble
        store.put_many("space", MANY)
        assert store.get_many("space", MANY) == {}


def test_a_full_disk_is_told_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    told = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "is not used" in told
    with Store(path) as store:
        assert store.get_many("space", [b"before", b"large"]) == {b"before": b"kept"}
    assert not damaged_copies(path)


def test_the_cache_lies_where_noria_cache_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NORIA_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("NORIA_CACHE", "")
    assert cache_folder().name == "noria"
