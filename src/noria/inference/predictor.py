"""A bundle or a run, and files -> scores and answers: decoded and run in parallel, answered in order.

A bad file is answered with its reason while the others go on. TensorFlow is imported only by the runtimes that are it.
"""

from __future__ import annotations

import itertools
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from noria import plugins
from noria.artifacts import bundle, run
from noria.artifacts.bundle import Bundle
from noria.artifacts.run import Run
from noria.contracts import Session
from noria.errors import ArtifactError, MissingExtraError, UnreadableInputError
from noria.inference import runtimes
from noria.ordered import default_threads, ordered_map
from noria.tree import everything_below

MAX_INPUT_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Input:
    """One thing to answer: its name, where its bytes are (or the bytes themselves), and its label where it is known."""

    name: str
    source: Path | bytes
    label: str | None = None
    trouble: str = ""  # why there are no bytes, where it is known already


@dataclass(frozen=True, slots=True)
class Result:
    """The scores (C,) float32 of one input, or why there are none."""

    name: str
    scores: NDArray[np.float32] | None
    error: str = ""


class Predictor:
    """A model that is open for answering, on one runtime."""

    def __init__(
        self,
        source: Run | Bundle,
        *,
        runtime: str | None = None,
        workers: int | None = None,
        input_settings: BaseModel | None = None,
    ) -> None:
        """Open `source`; `input_settings` in the place of its own may set lower limits, as a server does."""
        row = plugins.load("noria.tasks", source.manifest.task)
        self.labels = source.labels
        self.runtime = runtime or _default_runtime(source)
        self._engine = runtimes.require_usable(self.runtime)
        self.file = source.file(self._engine.FORMAT)
        self._content = self.file.read_bytes() if hasattr(self._engine, "open_content") else None
        self._input = plugins.load("noria.inputs", row.INPUT)
        settings = input_settings or self._input.Settings.model_validate(source.manifest.input)
        self._read = self._input.open_batch_reader(settings, source.input_files())
        self._answer = plugins.load("noria.answers", row.ANSWER)
        self._workers = workers or default_threads()
        self._local = threading.local()
        self._shared: Session | None = None
        self._lock = threading.Lock()

    def answers(self, inputs: Iterable[Input], *, top: int = 5) -> Iterator[dict[str, Any]]:
        """Yield for each input, in order, `input` and either `label`, `confidence`, `top`, or `error`."""
        for result in self.results(inputs):
            if result.scores is None:
                yield {"input": result.name, "error": result.error}
            else:
                yield {"input": result.name, **self._answer.answer(result.scores, self.labels, top=top)}

    def results(self, inputs: Iterable[Input]) -> Iterator[Result]:
        """Yield the scores of each input, in order; a bounded number of inputs is in memory at once."""
        size = max(self.batch, self._input.AT_ONCE)
        for results in ordered_map(self.run, _chunks(inputs, size), threads=self._workers):
            yield from results

    @property
    def batch(self) -> int:
        """How many inputs the engine likes at once."""
        return int(self._engine.BATCH)

    @property
    def parallel(self) -> bool:
        """Whether every thread has a session of its own."""
        return bool(self._engine.PARALLEL)

    @property
    def takes_arrays(self) -> bool:
        """Whether the engine takes what the input reads, and not only the bytes of whole inputs."""
        return bool(self._engine.ACCEPTS == "arrays")

    def scores(self, arrays: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Return the scores (n, C) of arrays as the input reads them, in the calling thread."""
        return self._scores(list(arrays))

    def run(self, chunk: Sequence[Input]) -> list[Result]:
        """Answer a few inputs in the calling thread."""
        prepared = self._prepared(chunk)
        rows = iter(self.outcomes([value for value in prepared if not isinstance(value, str)]))
        outcomes = [value if isinstance(value, str) else next(rows) for value in prepared]
        return [
            Result(one.name, None, outcome) if isinstance(outcome, str) else Result(one.name, outcome)
            for one, outcome in zip(chunk, outcomes, strict=True)
        ]

    def read(self, inputs: Sequence[bytes]) -> list[NDArray[Any] | UnreadableInputError]:
        """Return the bytes of each input as the array that the network takes, or why it is refused."""
        return list(self._read(inputs))

    def prepare(self, inputs: Sequence[bytes]) -> list[Any]:
        """Return for the bytes of each input what the engine accepts, or why it is refused (a text)."""
        arrays = self.read(inputs)  # also where the engine decodes by itself: one validator guards every door
        accepted = inputs if self._engine.ACCEPTS == "bytes" else arrays
        return [
            str(array) if isinstance(array, UnreadableInputError) else given
            for array, given in zip(arrays, accepted, strict=True)
        ]

    def outcomes(self, batch: Sequence[Any]) -> list[NDArray[np.float32] | str]:
        """Return scores (C,), or the reason why the engine itself refuses an input; the others of its batch go on.

        Args:
            batch: what `prepare` returns, or arrays (see `takes_arrays`).
        """
        if not batch:
            return []
        try:
            return list(self._scores(list(batch)))
        except UnreadableInputError as error:
            return [str(error)] if len(batch) == 1 else [row for one in batch for row in self.outcomes([one])]

    def _prepared(self, chunk: Sequence[Input]) -> list[Any]:
        """Return for each input what the engine accepts, or the reason (text) why there is nothing to run."""
        found = [_bytes_or_reason(one) for one in chunk]
        prepared = iter(self.prepare([data for data in found if isinstance(data, bytes)]))
        return [next(prepared) if isinstance(data, bytes) else data for data in found]

    def _open(self, threads: int) -> Session:
        """From the bytes that were verified, where the engine takes bytes: the file may be another one by now."""
        if self._content is None:
            session: Session = self._engine.open_session(self.file, threads)
        else:
            session = self._engine.open_content(self._content, threads)
        return session

    def _scores(self, batch: list[Any]) -> NDArray[np.float32]:
        if self.parallel:
            if not hasattr(self._local, "session"):
                self._local.session = self._open(1)
            return np.asarray(self._local.session.run(batch), np.float32)
        with self._lock:
            self._shared = self._shared or self._open(self._workers)
            return np.asarray(self._shared.run(batch), np.float32)


def open_source(path: Path) -> Run | Bundle:
    """Open what can answer: a bundle or a run.

    Raises:
        ArtifactError: the path is neither.
    """
    if (path / bundle.MANIFEST).is_file():
        return bundle.open_bundle(path)
    if (path / run.MANIFEST).is_file():
        return run.open_run(path)
    state = "does not exist" if not path.exists() else "is neither"
    raise ArtifactError(
        f"Expected a bundle (`noria export` makes one) or a run (`noria train` makes one), but {path} {state}."
    )


def bytes_of(one: Input) -> bytes:
    """Return the bytes of an input.

    Raises:
        UnreadableInputError: there is no such file, it is too large, or it cannot be read.
    """
    if one.trouble:
        raise UnreadableInputError(one.trouble)
    return one.source if isinstance(one.source, bytes) else _read(one.source)


def _bytes_or_reason(one: Input) -> bytes | str:
    try:
        return bytes_of(one)
    except UnreadableInputError as error:
        return str(error)


def files_below(paths: Iterable[Path]) -> Iterator[Input]:
    """Yield every file named, and every file below every folder named, in sorted order.

    Links to folders are followed, at the end, and each folder is read once; what cannot be read has its reason.
    """
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 - not Path.is_dir, which raises in a folder that may not be read
            yield Input(str(path), path)
            continue
        for found in everything_below(path):
            if found.kind not in ("folder", "repeated"):
                file = path / found.path
                yield Input(str(file), file, trouble=found.reason)


def usable_runtimes(source: Run | Bundle) -> list[str]:
    """Return the installed runtimes that can run a file of `source` on this processor, the preferred ones first."""
    return [name for name in _runtimes_for(source) if runtimes.is_usable(name)]


def _default_runtime(source: Run | Bundle) -> str:
    usable = usable_runtimes(source)
    if usable:
        return usable[0]
    needed = _runtimes_for(source)
    extra = runtimes.member(needed[0]).EXTRA if needed else ""
    raise MissingExtraError(f"An engine that runs {source.path} ({', '.join(needed) or 'none is known'})", extra)


def _runtimes_for(source: Run | Bundle) -> list[str]:
    return [name for name in runtimes.ranked() if runtimes.member(name).FORMAT in source.formats]


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableInputError("not a file, or a folder that may not be read")
        if status.st_size > MAX_INPUT_BYTES:
            raise UnreadableInputError(f"larger than {MAX_INPUT_BYTES // 2**20} MiB")
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadableInputError("there is no such file") from None
    except (OSError, ValueError) as error:
        raise UnreadableInputError(getattr(error, "strerror", None) or str(error)) from None


def _chunks(inputs: Iterable[Input], size: int) -> Iterator[list[Input]]:
    source = iter(inputs)
    while chunk := list(itertools.islice(source, size)):
        yield chunk
