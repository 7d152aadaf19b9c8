"""A content-addressed cache in one SQLite file: (space, key) -> bytes, each entry with its own checksum.

A damaged entry reads as absent, a damaged file is put aside and begun anew: a cache may cost time, never be wrong.
Commits are whole, so a process killed at any moment leaves all that was committed before.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from platformdirs import user_cache_path

from noria.errors import NoriaError

SCHEMA_VERSION = 1
LOOKUP = 500  # keys in one query; SQLite admits 999 variables in its oldest builds


def cache_folder() -> Path:
    """Return where caches lie: `$NORIA_CACHE`, or the user's cache folder of this system."""
    return Path(os.environ.get("NORIA_CACHE") or user_cache_path("noria"))


class Store:
    """One open cache file. Used by one thread; several processes may share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._open()
        except (OSError, sqlite3.OperationalError) as error:
            raise NoriaError(
                f"The cache {path} cannot be written: {error}. Set NORIA_CACHE to a folder that can."
            ) from None

    def get_many(self, space: str, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the intact entries among `keys`."""
        wanted = list(keys)
        found: dict[bytes, bytes] = {}
        for start in range(0, len(wanted), LOOKUP):
            part = wanted[start : start + LOOKUP]
            for key, value, checksum in self._select(space, part):
                if zlib.crc32(key + value) == checksum:
                    found[key] = value
        return found

    def put_many(self, space: str, entries: Mapping[bytes, bytes]) -> None:
        """Add or replace entries in one transaction."""
        rows = [(space, key, value, zlib.crc32(key + value)) for key, value in entries.items()]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", rows)
        except sqlite3.DatabaseError as error:
            raise NoriaError(f"The cache {self.path} cannot be written: {error}. Is the disk full?") from None

    def sizes(self) -> list[tuple[str, int, int]]:
        """Return (space, entries, bytes) for each space."""
        query = "SELECT space, COUNT(*), SUM(LENGTH(value)) FROM entries GROUP BY space ORDER BY space"
        return list(self._connection.execute(query))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self.path)
        except sqlite3.OperationalError:
            raise  # locked or not writable: the file itself may be well
        except sqlite3.DatabaseError:
            _put_aside(self.path)
            return _connect(self.path)

    def _select(self, space: str, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes, int]]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, value, checksum FROM entries WHERE space = ? AND key IN ({marks})"
        try:
            yield from self._connection.execute(query, (space, *keys))
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # Found damaged while reading: what was read before it was intact, the rest is computed again.
            self._connection.close()
            _put_aside(self.path)
            self._connection = _connect(self.path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"schema version {version}")
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS entries (space TEXT, key BLOB, value BLOB, checksum INTEGER, "
                "PRIMARY KEY (space, key))"
            )
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _put_aside(path: Path) -> None:
    path.replace(path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
