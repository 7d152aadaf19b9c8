"""What one of several server processes is told by a request, the others are told, too; through a folder that only they
have. In: which models are to be served. Out: what the others cannot serve so.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from noria.artifacts.files import read_json, write_json
from noria.errors import ArtifactError, DeadlineError
from noria.serving.settings import ModelSettings

NEWS, LOCK = "models.json", "models.lock"
LOOK_SECONDS = 0.1


class Peers:
    """The processes of one server, as one of them sees them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine = _answer_of(folder, os.getpid())
        self._heard: Any = None  # which news, as the file system tells them apart
        self._token = ""

    def news(self) -> tuple[ModelSettings, ...] | None:
        """Return the models that are to be served, where another process was told so since the last call."""
        try:
            status = (self._folder / NEWS).stat()
        except FileNotFoundError:
            return None
        if self._heard == (heard := (status.st_ino, status.st_mtime_ns)):
            return None
        try:
            told = read_json(self._folder / NEWS)
        except ArtifactError:
            return None  # a new config was read meanwhile, which goes before it
        self._heard, self._token = heard, told["token"]
        return tuple(ModelSettings.model_validate(one) for one in told["models"])

    def answer(self, refused: dict[str, str]) -> None:
        """Say that the last news are taken over, but for models that cannot be served so."""
        write_json(self._mine, {"token": self._token, "refused": refused})

    @asynccontextmanager
    async def one_at_a_time(self) -> AsyncIterator[None]:
        """Wait until no other process tells anything; who dies meanwhile holds up nobody."""
        with (self._folder / LOCK).open("wb") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(LOOK_SECONDS)
            yield

    async def tell(self, models: Sequence[ModelSettings], *, deadline: float) -> dict[str, str]:
        """Tell the others what is served, and wait until they do so.

        Args:
            deadline: on the clock of time.monotonic.

        Returns:
            Why models cannot be served by another process, by name.

        Raises:
            DeadlineError: not all were done with it in time; they go on.
        """
        self._token = secrets.token_hex(8)
        told = [one.model_dump(mode="json") for one in models]
        write_json(self._folder / NEWS, {"token": self._token, "models": told})
        status = (self._folder / NEWS).stat()
        self._heard = (status.st_ino, status.st_mtime_ns)
        self.answer({})
        while missing := [one for one in self._answers() if one["token"] != self._token]:
            if monotonic() > deadline:
                raise DeadlineError(f"{len(missing)} of the server's processes are not done with it yet; they go on.")
            await asyncio.sleep(LOOK_SECONDS)
        return {name: reason for one in self._answers() for name, reason in one["refused"].items()}

    def _answers(self) -> list[Any]:
        found = []
        for path in self._folder.glob(_answer_of(self._folder, "*").name):
            try:
                found.append(read_json(path))
            except ArtifactError:
                continue  # that process has died
        return found


def told_models(folder: Path) -> tuple[ModelSettings, ...] | None:
    """Return the models that a request named after the config was read, for a process that starts; None: none did."""
    return Peers(folder).news()


def forget_news(folder: Path) -> None:
    """Let the config count again, which was read anew."""
    (folder / NEWS).unlink(missing_ok=True)


def forget_process(folder: Path, number: int) -> None:
    """Wait no more for a process that has died."""
    _answer_of(folder, number).unlink(missing_ok=True)


def _answer_of(folder: Path, number: int | str) -> Path:
    return folder / f"process-{number}.json"
