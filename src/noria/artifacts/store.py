"""A content-addressed cache in one SQLite file: (space, key) -> bytes, each entry with its own checksum.

It may cost time, but is never wrong and never stands in the way: a damaged entry counts as absent, a damaged file is
put aside and a new one begun, and on a full or read-only disk work goes on without it; `trouble` then says so.
Commits are whole, so a process that is killed leaves all that was committed before.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from platformdirs import user_cache_path

LOOKUP = 500  # keys in one query; SQLite admits 999 variables in its oldest builds
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLE = """CREATE TABLE IF NOT EXISTS entries (
    space TEXT, key BLOB, value BLOB, checksum INTEGER, PRIMARY KEY (space, key))"""

T = TypeVar("T")


def cache_folder() -> Path:
    """Return where caches lie: `$NORIA_CACHE`, or the user's cache folder of this system."""
    return Path(os.environ.get("NORIA_CACHE") or user_cache_path("noria"))


class Store:
    """One open cache file; several processes and threads may use it at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._open()

    def get_many(self, space: str, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the intact entries among `keys`."""
        wanted = list(keys)
        rows: list[tuple[bytes, Any, int]] = []
        for start in range(0, len(wanted), LOOKUP):
            rows += self._attempt(partial(_select, space, wanted[start : start + LOOKUP]), [])
        return {
            key: value
            for key, value, checksum in rows
            if isinstance(value, bytes) and zlib.crc32(key + value) == checksum
        }

    def put_many(self, space: str, entries: Mapping[bytes, bytes]) -> None:
        """Add or replace entries in one transaction."""
        rows = [(space, key, value, zlib.crc32(key + value)) for key, value in entries.items()]

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", rows)

        if rows:
            self._attempt(write, None)

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _attempt(self, action: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._lock:
            if self._connection is None:
                return otherwise
            try:
                return action(self._connection)
            except sqlite3.DatabaseError as error:
                self._after(error)
                return otherwise

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connect_patiently()
        except sqlite3.DatabaseError as error:
            self._after(error)
        except OSError as error:
            self.trouble = f"The cache {self.path} is not used: {error.strerror}."

    def _connect_patiently(self) -> None:
        """Two processes that begin a cache at once: changing to WAL fails at once where the other is at it."""
        for wait in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0):
            try:
                return self._connect()
            except sqlite3.OperationalError as error:
                self._disconnect()
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise
                time.sleep(wait)
        return self._connect()

    def _connect(self) -> None:
        # One connection for all threads; the lock takes turns.
        self._connection = sqlite3.connect(self.path, timeout=30, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        with self._connection:
            self._connection.execute(_TABLE)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _after(self, error: sqlite3.DatabaseError) -> None:
        """Begin anew where the file is damaged; otherwise go on without a cache."""
        damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
        self._disconnect()
        if not damaged or self.trouble:
            self.trouble = f"The cache {self.path} is not used: {error}."
            return
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        self.trouble = f"The cache {self.path} was damaged ({error}); it was put aside as {aside.name} and begun anew."
        try:
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self.path.replace(aside)
            self._connect()
        except (OSError, sqlite3.DatabaseError) as again:
            self._disconnect()
            self.trouble = f"The cache {self.path} is damaged and cannot be begun anew: {again}."


def _select(space: str, keys: list[bytes], connection: sqlite3.Connection) -> list[tuple[bytes, Any, int]]:
    marks = ",".join("?" * len(keys))
    query = f"SELECT key, value, checksum FROM entries WHERE space = ? AND key IN ({marks})"
    return list(connection.execute(query, (space, *keys)))
