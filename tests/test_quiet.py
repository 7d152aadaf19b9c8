"""Importing TensorFlow says nothing and leaves the garbage collector as it was, with less to search."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from noria.quiet import interrupts_held

LOAD = """
import gc
{before}
from noria.quiet import load_tensorflow
load_tensorflow()
print(gc.isenabled(), gc.get_freeze_count() > 100_000)
"""


@pytest.mark.parametrize(("before", "collecting"), [("", True), ("gc.disable()", False)])
def test_tensorflow_is_loaded_in_silence_and_never_searched_for_garbage(before: str, collecting: bool) -> None:
    child = subprocess.run([sys.executable, "-c", LOAD.format(before=before)], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == [str(collecting), "True"]
    assert child.stderr == ""


def test_ctrl_c_within_the_import_comes_after_it() -> None:
    """A finder that presses Ctrl-C in the middle of TensorFlow: broken off there, the import would swallow it."""
    code = """
import signal, sys
from noria.quiet import load_tensorflow

class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow.python.framework.ops":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Presses())
try:
    load_tensorflow()
except KeyboardInterrupt:
    print("stopped, whole" if "keras" in sys.modules else "stopped, half")
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("heard again")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == ["stopped, whole", "heard again"]


def test_who_hears_ctrl_c_by_other_means_is_left_alone() -> None:
    def other(*_: object) -> None:
        raise AssertionError("not to be called")

    usual = signal.signal(signal.SIGINT, other)
    try:
        with interrupts_held():
            assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, usual)
