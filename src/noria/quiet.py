"""Native libraries write to file descriptor 2 by themselves; here that is caught, and shown only when work fails."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from noria.errors import MissingExtraError

_one_at_a_time = threading.RLock()  # two threads that swap the descriptor would restore each other's copy
TAIL = 2_000  # characters of native output that an error shows


@contextmanager
def native_output_hidden() -> Iterator[None]:
    """Point file descriptor 2 at a temporary file; on an error its tail becomes a note of the exception.

    The command line writes its bars to a copy of the descriptor, so they go on meanwhile.
    """
    sys.stderr.flush()
    with _one_at_a_time, _hiding_place() as hidden:
        kept = os.dup(2)
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except Exception as error:
            hidden.seek(0)
            error.add_note(hidden.read().decode(errors="replace")[-TAIL:])
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def load_tensorflow() -> None:
    """Import TensorFlow and Keras without their start-up lines.

    Raises:
        MissingExtraError: they are not installed.
    """
    if "keras" in sys.modules and "tensorflow" in sys.modules:
        return
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    require_tensorflow()
    with native_output_hidden(), _import_without_collecting():
        importlib.import_module("tensorflow")
        importlib.import_module("keras")
    # Advice to developers of models, which a user of a finished road can do nothing about.
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)


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
