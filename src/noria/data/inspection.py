"""Every file opened once: paths -> its SHA-256 with what it decodes to, or the reason why it cannot be used.

Files are read in a few threads (Pillow decodes outside Python's lock), with bounded memory. Outcomes are kept in an
`InspectionCache`, addressed by content, so that a second pass over the same files costs little more than hashing.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import orjson

from noria.contracts import Progress, Silent
from noria.errors import UnreadableInputError

MAX_FILE_BYTES = 512 * 1024 * 1024
_LARGE_BYTES = 32 * 1024 * 1024  # larger files are read one at a time
_FLUSH_EVERY = 500
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLE = """CREATE TABLE IF NOT EXISTS inspections_1 (
    scope TEXT, sha256 TEXT, outcome BLOB, checksum BLOB, PRIMARY KEY (scope, sha256)) WITHOUT ROWID"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What is known of one file. Usable where `reason` is empty."""

    sha256: str | None
    content_sha256: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def inspect_files(
    paths: Sequence[Path],
    inspect: Callable[[bytes], Any],
    *,
    scope: str,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: InspectionCache | None = None,
) -> list[Inspected]:
    """Read, hash and inspect files; the outcomes are in the order of `paths`.

    Args:
        paths: the files.
        inspect: bytes -> a dataclass of facts with `content_sha256`, or UnreadableInputError. Runs in threads.
        scope: what the outcome depends on besides the bytes (settings, versions): part of the cache's key.
        workers: threads; by default one for each processor that this process may use.
        progress: is told of every file.
        cache: outcomes of earlier passes.
    """
    inspector = _Inspector(inspect, scope, cache)
    threads = workers or len(os.sched_getaffinity(0))
    outcomes = []
    pool = ThreadPoolExecutor(threads, thread_name_prefix="inspect")
    try:
        with (progress or Silent()).track("check pictures", len(paths)) as advance:
            for outcome in _in_order(pool, inspector.inspect, paths, waiting=32 * threads):
                outcomes.append(outcome)
                advance(1)
    finally:
        # After Ctrl-C: at most one file for each thread is finished, and what was learnt is kept.
        pool.shutdown(wait=True, cancel_futures=True)
        if cache is not None:
            cache.flush()
    if progress is not None and cache is not None and cache.trouble:
        progress.note(cache.trouble)
    return outcomes


class InspectionCache:
    """Outcomes of inspections in one SQLite file, by (scope, SHA-256 of the file).

    Several processes and threads may use it at once. It never stands in the way: a damaged file is put aside and a
    new one begun, a damaged row counts as absent, and on a full or read-only disk work goes on without it;
    `trouble` then says so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        self._lock = threading.Lock()
        self._new: list[tuple[str, str, bytes, bytes]] = []
        self._connection: sqlite3.Connection | None = None
        self._open()

    def get(self, scope: str, sha256: str) -> Inspected | None:
        """Return the outcome for a file, or None where there is none that can be trusted."""
        query = "SELECT outcome, checksum FROM inspections_1 WHERE scope = ? AND sha256 = ?"
        row = self._attempt(lambda connection: connection.execute(query, (scope, sha256)).fetchone(), None)
        if row is None or not isinstance(row[0], bytes) or row[1] != _checksum(scope, sha256, row[0]):
            return None
        return Inspected(sha256, **orjson.loads(row[0]))

    def put(self, scope: str, outcome: Inspected) -> None:
        """Keep an outcome. It is written with others, at the latest by `flush`."""
        if outcome.sha256 is None:
            return
        value = {"content_sha256": outcome.content_sha256, "facts": dict(outcome.facts), "reason": outcome.reason}
        content = orjson.dumps(value)
        with self._lock:
            self._new.append((scope, outcome.sha256, content, _checksum(scope, outcome.sha256, content)))
            full = len(self._new) >= _FLUSH_EVERY
        if full:
            self.flush()

    def flush(self) -> None:
        """Write what is new, in one short transaction."""
        with self._lock:
            rows, self._new = self._new, []

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT OR REPLACE INTO inspections_1 VALUES (?, ?, ?, ?)", rows)

        if rows:
            self._attempt(write, None)

    def close(self) -> None:
        """Write what is new and let go of the file."""
        self.flush()
        with self._lock:
            self._disconnect()

    def __enter__(self) -> InspectionCache:
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
            self._connect()
        except sqlite3.DatabaseError as error:
            self._after(error)
        except OSError as error:
            self.trouble = f"The cache {self.path} is not used: {error.strerror}."

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
        aside = self.path.with_name(self.path.name + ".damaged")
        self.trouble = f"The cache {self.path} was damaged ({error}); it was put aside as {aside.name} and begun anew."
        try:
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self.path.replace(aside)
            self._connect()
        except (OSError, sqlite3.DatabaseError) as again:
            self._disconnect()
            self.trouble = f"The cache {self.path} is damaged and cannot be begun anew: {again}."


class _Inspector:
    """One file at a time, from any thread."""

    def __init__(self, inspect: Callable[[bytes], Any], scope: str, cache: InspectionCache | None) -> None:
        self._inspect = inspect
        self._scope = scope
        self._cache = cache
        self._large = threading.Lock()

    def inspect(self, path: Path) -> Inspected:
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > MAX_FILE_BYTES:
                    limit = MAX_FILE_BYTES // (1024 * 1024)
                    return Inspected(None, reason=f"it has {size:,} bytes; more than {limit} MiB are not read")
                if size <= _LARGE_BYTES:
                    return self._of_bytes(file.read(MAX_FILE_BYTES))
                with self._large:
                    return self._of_bytes(file.read(MAX_FILE_BYTES))
        except OSError as error:
            return Inspected(None, reason=f"it cannot be read: {error.strerror or error}")

    def _of_bytes(self, data: bytes) -> Inspected:
        sha256 = hashlib.sha256(data).hexdigest()
        known = self._cache.get(self._scope, sha256) if self._cache else None
        if known is not None:
            return known
        try:
            facts = asdict(self._inspect(data))
            outcome = Inspected(sha256, facts.pop("content_sha256"), facts)
        except UnreadableInputError as error:
            outcome = Inspected(sha256, reason=str(error))
        if self._cache:
            self._cache.put(self._scope, outcome)
        return outcome


def _checksum(scope: str, sha256: str, content: bytes) -> bytes:
    return hashlib.sha256(b"\0".join((scope.encode(), sha256.encode(), content))).digest()[:16]


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Path], Inspected], paths: Iterable[Path], *, waiting: int
) -> Iterator[Inspected]:
    """Map in threads with at most `waiting` calls under way or done and not yet taken."""
    futures: deque[Future[Inspected]] = deque()
    for path in paths:
        futures.append(pool.submit(function, path))
        if len(futures) >= waiting:
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()
