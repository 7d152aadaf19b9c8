"""Native libraries write to file descriptor 2 by themselves; here that is caught, and shown only when work fails."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TypeVar

from noria.errors import MissingExtraError

TAIL = 2_000  # characters of native output that an error shows
SWITCH_SECONDS = 0.0005  # as often other threads get a turn while TensorFlow is imported beside them; Python: 0.005

Result = TypeVar("Result")


class _Hiding:
    """File descriptor 2 pointed at a temporary file, for as long as any thread wants it so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._kept = -1
        self._hidden: IO[bytes] | None = None

    def begin(self) -> IO[bytes]:
        with self._lock:
            if self._hidden is None:
                sys.stderr.flush()
                self._hidden = _hiding_place()
                self._kept = os.dup(2)
                os.dup2(self._hidden.fileno(), 2)
            self._wanted += 1
            return self._hidden

    def end(self) -> None:
        with self._lock:
            self._wanted -= 1
            if self._wanted == 0 and self._hidden is not None:
                os.dup2(self._kept, 2)
                os.close(self._kept)
                self._hidden.close()
                self._hidden = None


_hiding = _Hiding()


@contextmanager
def native_output_hidden() -> Iterator[None]:
    """Point file descriptor 2 at a temporary file; on an error its tail becomes a note of the exception.

    The command line writes its bars to a copy of the descriptor, so they go on meanwhile. Threads may hide at the
    same time; the last one shows again.
    """
    hidden = _hiding.begin()
    try:
        yield
    except Exception as error:
        hidden.seek(0)
        error.add_note(hidden.read().decode(errors="replace")[-TAIL:])
        raise
    finally:
        _hiding.end()


@contextmanager
def tensorflow_beside(then: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Load TensorFlow in a thread beside the work of the block, and do `then` there.

    Gives a function that waits for what `then` returned; it raises what went wrong there.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)

    def load() -> Result:
        try:
            load_tensorflow()
            return then()
        finally:
            sys.setswitchinterval(usual)

    with ThreadPoolExecutor(1, thread_name_prefix="noria-tensorflow") as pool:
        yield pool.submit(load).result


def load_tensorflow() -> None:
    """Import TensorFlow and Keras without their start-up lines.

    Raises:
        MissingExtraError: they are not installed.
    """
    if "keras" in sys.modules and "tensorflow" in sys.modules:
        return
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Convolutions 1.7 times as fast on AVX2; by itself TensorFlow uses them only where there is AVX-512 VNNI.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    require_tensorflow()
    with interrupts_held(), native_output_hidden(), _import_without_collecting():
        importlib.import_module("tensorflow")
        importlib.import_module("keras")
    # Advice to developers of models, which a user of a finished road can do nothing about.
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C until the end of the block, where that is Python's to raise.

    Broken off within an import, TensorFlow swallows it, or the process ends by the signal instead of its exit code.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


def require_tensorflow() -> None:
    """Raise MissingExtraError where TensorFlow or Keras is not installed, without importing them."""
    if find_spec("tensorflow") is None or find_spec("keras") is None:
        raise MissingExtraError("TensorFlow (needed to train, export and run Keras files)", "train")


@contextmanager
def _import_without_collecting() -> Iterator[None]:
    """Keep the garbage collector away from what is imported, for good: modules are never garbage.

    It would search TensorFlow's some million objects a dozen times while they are made, which is a fifth of the
    import, again and again while training, and once more at the end of the process, for a second.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collecting:
            gc.enable()


def _hiding_place() -> IO[bytes]:
    """A temporary file, or on a system without a place for one (read-only containers) nowhere at all."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return Path(os.devnull).open("w+b")
