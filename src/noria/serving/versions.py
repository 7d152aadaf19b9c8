"""One model and its versions: a new one is loaded beside the old, must pass its own test, then takes over.

States are those of TensorFlow Serving's ModelVersionStatus. What answers is changed on the event loop between two
requests; loading, testing and closing happen in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from noria.errors import ArtifactError, MissingExtraError, NoriaError, NotServedError, VerificationError
from noria.serving import routing, servables
from noria.serving.batcher import Batcher
from noria.serving.contracts import Servable
from noria.serving.settings import Limits, ModelSettings, ServerSettings

State = Literal["LOADING", "AVAILABLE", "UNLOADING", "END"]
Journal = Callable[..., None]  # (event, **facts)
Stamp = tuple[int, ...]
REMEMBERED = 16  # ended versions whose status can be asked for


@dataclass(eq=False, slots=True)
class Version:
    """One version that is, was or could not be served."""

    number: int
    path: Path
    stamp: Stamp
    state: State = "LOADING"
    error: str = ""
    servable: Servable | None = None
    batcher: Batcher | None = None
    in_flight: int = 0  # requests that hold it; changed on the event loop only


class ServedModel:
    """All versions of one model, and which of them answers."""

    def __init__(
        self, settings: ModelSettings, server: ServerSettings, limits: Limits, *, workers: int, journal: Journal
    ) -> None:
        self.settings = settings
        self.routing = routing.Routing()  # in force
        self._told = routing.Routing()  # as it was last read; what it names may not be loaded yet
        self._server = server
        self._limits = limits.model_copy(update={"rows": settings.rows or limits.rows})
        self._workers = workers
        self._journal = journal
        self._loaded: dict[int, Version] = {}
        self._loading: Version | None = None
        self._failed: dict[int, Version] = {}
        self._ended: list[Version] = []
        self._missing: set[int] = set()  # loaded, but no longer on disk
        self._lock = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def loaded(self) -> Mapping[int, Version]:
        """The versions that can answer."""
        return self._loaded

    def pick(self, number: int | None = None, label: str | None = None) -> Version:
        """Return the version that answers a request.

        Raises:
            NotServedError: it is not loaded.
        """
        if label is not None:
            number = self.routing.labelled(label, self._loaded)
        elif number is None:
            number = self.routing.version(self._loaded)
        if found := self._loaded.get(number):
            return found
        known = ", ".join(map(str, sorted(self._loaded))) or "none"
        raise NotServedError(f"Version {number} of {self.settings.name!r} is not loaded. Loaded: {known}.")

    @property
    def most_rows(self) -> int:
        """How many rows a request may have."""
        return self._limits.rows

    def shadow(self) -> Version | None:
        """Return the version that is asked beside the one that answers, where there is one."""
        return None if self.routing.shadow is None else self._loaded.get(self.routing.shadow)

    def label(self, labels: Mapping[str, int]) -> None:
        """Name versions beside those that the folder names; a name of both is the one told here."""
        if labels != self.settings.labels:
            self.settings = self.settings.model_copy(update={"labels": dict(labels)})
            self._journal("labels", model=self.settings.name, labels=labels)
            self._route()

    def status(self) -> list[Version]:
        """Return every version that is known, the latest first; of one number the state that says most."""
        known = {one.number: one for one in self._ended}
        known |= self._failed
        if self._loading:
            known[self._loading.number] = self._loading
        return sorted((known | self._loaded).values(), key=lambda one: -one.number)

    def why_not(self) -> str:
        """Return why nothing of it is loaded."""
        return next((one.error for one in self.status() if one.error), "no version was found")

    async def refresh(self) -> None:
        """Look at the folder; load, refuse and retire what has changed. What goes wrong is in `status` and journal."""
        async with self._lock:
            found = await asyncio.to_thread(self._look)
            self._route()
            while missing := [number for number in self._wanted(found) if number not in self._loaded]:
                await self._load(missing[0], *found.get(missing[0], (self.settings.path / str(missing[0]), ())))
                self._route()
            wanted = self._wanted(found)
            for number in [number for number in self._loaded if number not in wanted]:
                self._retire(number)

    async def close(self) -> None:
        """Take every version out of service, after what they are running."""
        for number in list(self._loaded):
            self._retire(number)
        if self._retiring:
            await asyncio.wait(self._retiring)

    def _look(self) -> dict[int, tuple[Path, Stamp]]:
        """Return the versions on disk, and read the routing."""
        path = self.settings.path
        try:
            self._read_routing(path)
            if servables.find(path):
                return self._one_bundle(path)
            children = routing.numbered(path).items()
            found = {number: (child, _stamp(child)) for number, child in children if servables.find(child)}
        except OSError as error:
            self._journal("unreadable", model=self.settings.name, path=str(path), error=error.strerror)
            found = {}
        gone = self._loaded.keys() - found.keys()
        for number in gone - self._missing:
            self._journal("vanished", model=self.settings.name, version=number, kept="it is still served")
        self._missing = set(gone)
        return found

    def _one_bundle(self, path: Path) -> dict[int, tuple[Path, Stamp]]:
        """Return a bundle that is served without numbers; written anew, it is the next version."""
        stamp = _stamp(path)
        known = [*self._loaded.values(), *self._failed.values()]
        same = [one.number for one in known if one.stamp == stamp]
        return {same[0] if same else max((one.number for one in known), default=0) + 1: (path, stamp)}

    def _read_routing(self, folder: Path) -> None:
        """Take over what is told; what was told still holds where the folder was emptied, or its disk has gone.

        Raises:
            OSError: the folder cannot be read.
        """
        if not (folder / routing.FILE).is_file() and not servables.find(folder) and not routing.numbered(folder):
            return
        try:
            told = routing.read_routing(folder)
        except ArtifactError as error:
            self._journal("routing refused", model=self.settings.name, error=str(error))
            return
        if told != self._told:
            self._journal("routing", model=self.settings.name, **told.model_dump(exclude={"previous"}, mode="json"))
            self._told = told

    def _route(self) -> None:
        self.routing = self._wished().in_force(self.routing, self._loaded)

    def _wished(self) -> routing.Routing:
        """Return what the folder tells, with the labels of the settings."""
        return self._told.model_copy(update={"labels": {**self._told.labels, **self.settings.labels}})

    def _wanted(self, found: Mapping[int, tuple[Path, Stamp]]) -> set[int]:
        """Return what is to be loaded; what failed is not tried again until its files change."""
        refused = {
            number for number, one in self._failed.items() if number not in found or found[number][1] == one.stamp
        }
        candidates = (found.keys() | self._loaded.keys()) - refused
        if self.settings.versions:
            wanted = set(self.settings.versions) - refused
        else:
            wanted = set(sorted(candidates)[-self.settings.keep :])
        wanted |= (self._wished().named() | self.routing.named()) & candidates
        return wanted or set(self._loaded)  # rather the old one than none

    async def _load(self, number: int, path: Path, stamp: Stamp) -> None:
        started = monotonic()
        self._loading = version = Version(number, path, stamp)
        self._failed.pop(number, None)
        try:
            servable, version.batcher = await asyncio.to_thread(self._open, version)
        except Exception as error:  # whatever a folder made by others holds, the versions that answer go on
            version.state, version.error = "END", str(error) if isinstance(error, NoriaError) else repr(error)
            self._failed[number] = version
            self._journal("refused", model=self.settings.name, version=number, error=version.error)
        else:
            version.servable, version.state = servable, "AVAILABLE"
            self._loaded[number] = version
            seconds = round(monotonic() - started, 3)
            self._journal("loaded", model=self.settings.name, version=number, runtime=servable.runtime, seconds=seconds)
            for name, why in servable.refused.items():
                self._journal("signature refused", model=self.settings.name, version=number, signature=name, error=why)
        finally:
            self._loading = None

    def _open(self, version: Version) -> tuple[Servable, Batcher]:
        member = servables.require(version.path)
        names = member.candidates(version.path, self.settings.runtime)
        for name in names:
            try:
                servable = member.open_servable(version.path, name, self._limits)
                return servable, self._batcher(servable)
            except (VerificationError, MissingExtraError) as error:
                if name == names[-1]:
                    raise
                self._journal(
                    "runtime refused", model=self.settings.name, version=version.number, runtime=name, error=str(error)
                )
        raise AssertionError("the last runtime is either returned or its error raised")

    def _batcher(self, servable: Servable) -> Batcher:
        return Batcher(
            servable,
            workers=self._workers,
            wait_seconds=self._server.wait_milliseconds / 1e3,
            queue_seconds=self._limits.queue_seconds,
            queue_rows=self._limits.queue_rows,
            pinned=servable.side_by_side,
            name=self.settings.name,
        )

    def _retire(self, number: int) -> None:
        version = self._loaded.pop(number)
        version.state = "UNLOADING"
        self._ended = [*self._ended[1 - REMEMBERED :], version]
        task = asyncio.get_running_loop().create_task(self._drain(version))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _drain(self, version: Version) -> None:
        """Let an old version finish what it has begun, then let go of it."""
        end = monotonic() + self._server.drain_seconds
        while version.in_flight and monotonic() < end:
            await asyncio.sleep(0.02)
        if version.batcher:
            await asyncio.to_thread(version.batcher.close)
        version.servable = version.batcher = None
        version.state = "END"
        self._journal("unloaded", model=self.settings.name, version=version.number, abandoned=version.in_flight)


def _stamp(folder: Path) -> Stamp:
    """Return what changes when a version is written anew or a file of it is mended."""
    facts: list[Any] = []
    for file in sorted(folder.rglob("*")):
        try:
            status = file.stat()
        except OSError:
            continue  # it vanished meanwhile; the next look sees what is left
        facts += [status.st_ino, status.st_size, status.st_mtime_ns]
    return tuple(facts)


def require_loaded(version: Version) -> tuple[Servable, Batcher]:
    """Return what runs a version that was picked.

    Raises:
        NotServedError: it has been taken out of service meanwhile.
    """
    if version.servable is None or version.batcher is None:
        raise NotServedError(f"Version {version.number} is no longer loaded.")
    return version.servable, version.batcher
