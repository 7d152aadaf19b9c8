"""What a bar says in a real terminal while work goes on."""

from __future__ import annotations

import os
import pty
import re
import time
from contextlib import suppress
from io import StringIO

import pytest
from rich.console import Console

from noria.terminal import TerminalProgress


def shown(steps: int, seconds: float) -> str:
    """What a terminal is shown of a bar of so many steps, one more than are done."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        console = Console(file=stream, force_terminal=True, width=120)
        with TerminalProgress(console).track("export", steps + 1) as advance:
            for _ in range(steps):
                time.sleep(seconds)
                advance(1)
            time.sleep(0.3)  # the bar is drawn ten times a second
    os.set_blocking(ours, False)
    said = b""
    with suppress(OSError):  # the end of a terminal is an error
        while piece := os.read(ours, 65536):
            said += piece
    os.close(ours)
    return said.decode()


@pytest.mark.parametrize(("steps", "seconds", "unit"), [(1, 2.5, " s each"), (50, 0.002, "/s")])
def test_a_bar_of_slow_steps_says_how_long_one_takes(steps: int, seconds: float, unit: str) -> None:
    said = shown(steps, seconds)
    assert unit in said
    assert not re.search(r"(?<![\d,])0/s", said)


def test_a_note_cannot_move_the_cursor_or_colour_what_follows() -> None:
    stream = StringIO()
    TerminalProgress(Console(file=stream, width=120)).note("read as: a\x1b[31m\x9b2J\nb")
    assert stream.getvalue() == "  read as: a\\x1b[31m\\x9b2J\\nb\n"
