"""Importing TensorFlow says nothing and leaves the garbage collector as it was, with less to search."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
