"""Shelf: what lists the labelled files of a dataset without opening them.

A member offers `recognises(path) -> bool` and `read(path) -> Listing`; `find_reader` asks all members. The file's
name is the name of the reader.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from noria import plugins
from noria.contracts import Candidate, Finding, SetAside
from noria.errors import DataError, nearest_name

SHELF = "noria.data.readers"
EXPECTED = """Expected a folder with one folder for each class, or a table of paths and labels:

    photos/                     labels.csv
      cat/  a.jpg  b.jpg          path,label
      dog/  c.jpg  d.jpg          images/a.jpg,cat
"""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a reader found. Every file is either among `candidates` or in `set_aside`, with its reason.

    `set_aside` is by kind: "not_a_picture" (never meant to be an example: hidden files, a link to what is read
    already), "unlabelled", "unreachable" (missing files, unreadable folders), "conflicting_rows".
    """

    root: Path  # relative paths start here
    candidates: tuple[Candidate, ...]
    set_aside: Mapping[str, Sequence[SetAside]] = field(default_factory=dict)
    empty_labels: tuple[str, ...] = ()  # classes without any file
    findings: tuple[Finding, ...] = ()  # what the reader itself has to say


class Reader(Protocol):
    """A member of this shelf."""

    def recognises(self, path: Path) -> bool:
        """Whether this reader can read what lies at `path`."""
        ...

    def read(self, path: Path) -> Listing:
        """List the candidates. Opens no picture."""
        ...


def find_reader(path: Path, name: str = "auto") -> Reader:
    """Return the reader of that name, or the first on the shelf that recognises `path`.

    Raises:
        DataError: the path does not exist, is empty, or is nothing that a reader knows.
        UnknownNameError: no reader has that name.
    """
    _require_existing(path)
    if name != "auto":
        return cast(Reader, plugins.load(SHELF, name))
    for member in plugins.names(SHELF):
        reader = cast(Reader, plugins.load(SHELF, member))
        if reader.recognises(path):
            return reader
    raise DataError(f"{shown(path)} {_why_unknown(path)} {EXPECTED}")


def shown(path: str | Path) -> str:
    """Return a path as text that can be printed and written as JSON, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_unicode(name: str) -> bool:
    """Whether a file's name is valid UTF-8 on disk."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _require_existing(path: Path) -> None:
    if not is_unicode(str(path)):
        raise DataError(f"The name {shown(path)!r} is not valid UTF-8. Rename it.")
    try:
        path.stat()
    except PermissionError as error:
        raise DataError(f"No permission to read {path}. Ask its owner, or run as a user who may.") from error
    except (OSError, ValueError) as error:
        raise DataError(f"There is no file or folder {str(path)!r}.{_nearest_sibling(path)}") from error


def _nearest_sibling(path: Path) -> str:
    """A hint for the first part of a path that does not exist."""
    for part in [*reversed(path.parents), path]:
        if os.path.lexists(part):
            continue
        try:
            found = nearest_name(part.name, os.listdir(part.parent))  # noqa: PTH208 - names are wanted, not paths
        except OSError:
            return ""
        missing = "" if part == path else f" {str(part)!r} does not exist."
        return f" Did you mean {shown(part.with_name(found))!r}?" if found else missing
    return ""


def _why_unknown(path: Path) -> str:
    if not path.is_dir():
        return "is empty." if path.stat().st_size == 0 else "is a file of a kind that no reader knows."
    try:
        names = sorted(os.listdir(path))  # noqa: PTH208
    except OSError as error:
        return f"cannot be read: {error.strerror}."
    tables = [name for name in names if name.lower().endswith((".csv", ".tsv", ".jsonl"))]
    if tables:
        return f"holds no folders of classes, but the file {shown(tables[0])}: name that file to read it as a table."
    return "is a folder without a folder for each class." if names else "is an empty folder."
