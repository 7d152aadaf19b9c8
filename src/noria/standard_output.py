"""Answers on standard output: JSON for programs, lines and tables for people; all else goes to standard error."""

from __future__ import annotations

import sys
from typing import Any

import orjson
from rich.text import Text

from noria.terminal import printable

_written: list[bool] = []  # one entry for each JSON object on standard output


def say(as_json: bool, facts: dict[str, Any], *lines: Any) -> None:
    """Print the one JSON object, or what a person reads."""
    if as_json:
        write(facts)
        return
    for line in lines:
        say_line(line)


def say_line(line: Any) -> None:
    """Print a line or a table for a person."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 10_000  # a pipe has no edge at which names would be cut
    Console(highlight=False, soft_wrap=True, width=width).print(Text(line) if isinstance(line, str) else line)


def write(facts: dict[str, Any]) -> None:
    """Print a JSON object on a line."""
    _written.append(True)
    sys.stdout.buffer.write(
        orjson.dumps(_storable(facts), option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
    )
    sys.stdout.buffer.flush()


def written() -> bool:
    """Tell whether a JSON object has been printed."""
    return bool(_written)


def _storable(value: Any) -> Any:
    """Make names that are not valid Unicode writable: JSON must never fail on a file's name."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in value]
    return value
