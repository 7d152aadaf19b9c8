"""Every input opened once: paths or bytes -> SHA-256 with what it decodes to, or the reason why it cannot be used.

Files are read in a few threads (Pillow decodes outside Python's lock), with bounded memory. Outcomes are kept in an
`InspectionCache`, addressed by content, so that a second pass over the same files costs little more than hashing.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import orjson
import PIL

from noria.artifacts.store import Store
from noria.contracts import Progress, Silent
from noria.errors import UnreadableInputError
from noria.ordered import default_threads, ordered_map

INSPECTIONS = "inspections.sqlite"  # the file in the folder of caches
MAX_FILE_BYTES = 512 * 1024 * 1024
_LARGE_BYTES = 32 * 1024 * 1024  # larger files are read one at a time
_FLUSH_EVERY = 500


_CELLS_AT_ONCE = 500  # of a table: a text is checked in less time than it takes to hand it to a thread

Source = Path | bytes  # a file, or the cell of a table


@dataclass(frozen=True, slots=True)
class Inspected:
    """What is known of one input. Usable where `reason` is empty."""

    sha256: str | None
    content_sha256: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    sketch: bytes = b""  # what near duplicates are searched by, where the input makes one


def decoder(module: ModuleType) -> str:
    """Return what names the code that decodes, beside its settings: part of every cache's key."""
    own = Path(module.__file__ or "")
    code = hashlib.sha256(b"".join(file.read_bytes() for file in [own, *sorted(own.parent.glob("_*.py"))]))
    return f"{module.__name__} {code.hexdigest()[:16]} pillow {PIL.__version__}"


def inspect_all(
    sources: Sequence[Source],
    inspect: Callable[[bytes], Any],
    *,
    scope: str,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: InspectionCache | None = None,
) -> list[Inspected]:
    """Read, hash and inspect inputs; the outcomes are in the order of `sources`.

    Args:
        sources: files, or cells of a table; cells are looked at again each time, for the cache would cost more.
        inspect: bytes -> a dataclass of facts with `content_sha256`, or UnreadableInputError. Runs in threads.
        scope: what the outcome depends on besides the bytes (settings, versions): part of the cache's key.
        workers: threads; by default one for each processor that this process may use.
        progress: is told of every file.
        cache: outcomes of earlier passes.
    """
    inspector = _Inspector(inspect, scope, cache)
    threads = workers or default_threads()
    outcomes = []
    try:
        with (progress or Silent()).track("check", len(sources)) as advance:
            for some in ordered_map(inspector.inspect, _pieces(sources), threads=threads):
                outcomes.extend(some)
                advance(len(some))
    finally:
        if cache is not None:
            cache.flush()  # also after Ctrl-C: what was learnt is kept
    if progress is not None and cache is not None and cache.trouble:
        progress.note(cache.trouble)
    return outcomes


def _pieces(sources: Sequence[Source]) -> Iterator[Sequence[Source]]:
    """Files one by one, cells in handfuls."""
    size = _CELLS_AT_ONCE if sources and isinstance(sources[0], bytes) else 1
    return (sources[start : start + size] for start in range(0, len(sources), size))


class InspectionCache:
    """Outcomes of inspections in a Store, by (scope, SHA-256 of the file); used by several threads at once."""

    def __init__(self, path: Path) -> None:
        self._store = Store(path)
        self._lock = threading.Lock()
        self._new: dict[str, dict[bytes, bytes]] = {}  # scope -> what is not written yet

    @property
    def trouble(self) -> str:
        """Why the cache, or an earlier one, could not be used; empty where all is well."""
        return self._store.trouble

    def get(self, scope: str, sha256: str) -> Inspected | None:
        """Return the outcome for a file, or None where there is none that can be trusted."""
        key = bytes.fromhex(sha256)
        with self._lock:
            value = self._new.get(scope, {}).get(key)
        value = value or self._store.get_many(scope, [key]).get(key)
        if value is None:
            return None
        told, _, sketch = value.partition(b"\n")  # JSON has none
        return Inspected(sha256, **orjson.loads(told), sketch=sketch)

    def put(self, scope: str, outcome: Inspected) -> None:
        """Keep an outcome. It is written with others, at the latest by `flush`."""
        if outcome.sha256 is None:
            return
        value = {"content_sha256": outcome.content_sha256, "facts": dict(outcome.facts), "reason": outcome.reason}
        with self._lock:
            new = self._new.setdefault(scope, {})
            new[bytes.fromhex(outcome.sha256)] = orjson.dumps(value) + b"\n" + outcome.sketch
            full = len(new) >= _FLUSH_EVERY
        if full:
            self.flush()

    def recall(self, scope: str, key: bytes) -> bytes | None:
        """Return what `remember` was given for a key of 32 bytes, or None."""
        return self._store.get_many(scope, [key]).get(key)

    def remember(self, scope: str, key: bytes, value: bytes) -> None:
        """Keep a result that took long; it is written at once."""
        self._store.put_many(scope, {key: value})

    def flush(self) -> None:
        """Write what is new, in one short transaction."""
        with self._lock:
            waiting, self._new = self._new, {}
        for scope, entries in waiting.items():
            self._store.put_many(scope, entries)

    def close(self) -> None:
        """Write what is new and let go of the file."""
        self.flush()
        self._store.close()

    def __enter__(self) -> InspectionCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Inspector:
    """Inputs, from any thread."""

    def __init__(self, inspect: Callable[[bytes], Any], scope: str, cache: InspectionCache | None) -> None:
        self._inspect = inspect
        self._scope = scope
        self._cache = cache
        self._large = threading.Lock()

    def inspect(self, sources: Sequence[Source]) -> list[Inspected]:
        return [self._of_bytes(one) if isinstance(one, bytes) else self._of_file(one) for one in sources]

    def _of_file(self, path: Path) -> Inspected:
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > MAX_FILE_BYTES:
                    limit = MAX_FILE_BYTES // (1024 * 1024)
                    return Inspected(None, reason=f"it has {size:,} bytes; more than {limit} MiB are not read")
                if size <= _LARGE_BYTES:
                    return self._of_bytes(file.read(MAX_FILE_BYTES), self._cache)
                with self._large:
                    return self._of_bytes(file.read(MAX_FILE_BYTES), self._cache)
        except OSError as error:
            return Inspected(None, reason=f"it cannot be read: {error.strerror or error}")

    def _of_bytes(self, data: bytes, cache: InspectionCache | None = None) -> Inspected:
        sha256 = hashlib.sha256(data).hexdigest()
        known = cache.get(self._scope, sha256) if cache else None
        if known is not None:
            return known
        try:
            facts = asdict(self._inspect(data))
            facts["bytes"] = len(data)
            outcome = Inspected(sha256, facts.pop("content_sha256"), facts, sketch=facts.pop("sketch", b""))
        except UnreadableInputError as error:
            outcome = Inspected(sha256, reason=str(error))
        if cache:
            cache.put(self._scope, outcome)
        return outcome
