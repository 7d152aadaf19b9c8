"""How work looks in a terminal: a bar with rate and time left for what takes long, a line for each outcome.

Everything here goes to standard error; standard output is for answers. Not a terminal: lines only, no bars.
"""

from __future__ import annotations

import os
import re
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def stderr_console() -> Console:
    """Return a console on a copy of file descriptor 2, which stays open while native libraries are silenced."""
    terminal = sys.stderr.isatty()
    stream = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace") if terminal else sys.stderr
    return Console(file=stream, stderr=not terminal, highlight=False, soft_wrap=True)


class Page(Protocol):
    """What `show_page` shows."""

    url: str

    def serve(self) -> None: ...

    def close(self) -> str: ...


def show_page(page: Page, *, open_browser: bool) -> None:
    """Say where a page is, and serve it until Ctrl-C."""
    console = stderr_console()
    with suppress(KeyboardInterrupt):
        console.print(Text(f"Open {page.url}"))
        console.print(Text("Ctrl-C ends it.", style="dim"))
        if open_browser:
            webbrowser.open(page.url)
        page.serve()
    console.print(Text(page.close()))


class TerminalProgress:
    """The Progress of the command line."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet

    @contextmanager
    def track(self, label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        if self._quiet or not self._console.is_terminal:
            yield lambda _done: None
            return
        columns = [
            TextColumn("  {task.description:<22}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True),
        ]
        with Progress(*columns, console=self._console, transient=True) as bars:
            bar = bars.add_task(label, total=total)
            yield lambda done: bars.advance(bar, done)

    def note(self, text: str) -> None:
        if not self._quiet:
            self._console.print(Text(f"  {visible(text)}"))


def printable(text: str) -> str:
    """A name as valid Unicode, whatever bytes it is made of."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def visible(text: str, *, lines: bool = False) -> str:
    """A name or message for a terminal: control characters, which could move the cursor or colour, as escapes.

    Args:
        lines: keep line breaks, as in a message of several lines.
    """
    return _CONTROLS.sub(
        lambda found: found[0] if lines and found[0] == "\n" else found[0].encode("unicode_escape").decode(),
        printable(text),
    )


class _Rate(ProgressColumn):
    """Steps a second, or for slow steps the seconds that one takes."""

    def render(self, task: Task) -> Text:
        # The speed is that of the last 30 seconds, in which no step may have ended.
        speed = task.speed or task.completed / (task.elapsed or 1)
        if not speed:
            return Text()
        return Text(f"{speed:,.0f}/s" if speed >= 1 else f"{1 / speed:,.1f} s each", style="dim")
