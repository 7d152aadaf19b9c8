"""Shelf: what lists the labelled files of a dataset without opening them.

A member offers `recognises(path) -> bool` and `read(path, columns) -> Listing`; where its inputs are no files of their
own also `answers_for(path)` and `inputs(path, columns, progress)`, which need no labels. The file's name is the
reader's name. A task names its readers, so that the reader which recognises the data also says which task it is for.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, cast

from noria import plugins
from noria.contracts import Candidate, Finding, Progress, SetAside, Silent
from noria.errors import DataError, UnreadableInputError, nearest_name

SHELF = "noria.data.readers"
TASKS = "noria.tasks"
Held = bytes | Path | UnreadableInputError  # an input, the file that it is, or why there is none
EXPECTED = """Expected a folder with one folder for each class, a table of paths and labels, or a table of texts:

    photos/                     labels.csv                  reviews.csv
      cat/  a.jpg  b.jpg          path,label                  text,label
      dog/  c.jpg  d.jpg          images/a.jpg,cat            "Great room, would come again",good
"""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the user said about a table: names of columns, or their numbers counted from 1, and its encoding."""

    text: str | None = None
    label: str | None = None
    encoding: str | None = None
    group: str | None = None  # a rule: see `noria.data.grouping`
    order: str | None = None

    @property
    def of_inputs(self) -> Columns:
        """The same without what only a split needs, which other data need not have."""
        return replace(self, group=None, order=None)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a reader found. Every file is either among `candidates` or in `set_aside`, with its reason.

    `set_aside` is by kind: "passed_over" (never meant to be an example: hidden files, a link to what is read
    already), "unlabelled", "unreachable" (missing files, unreadable folders), "conflicting_rows".
    """

    root: Path  # relative paths start here
    candidates: Sequence[Candidate]
    contents: Sequence[bytes] | None = None  # of each candidate, where it is no file of its own, or must be decoded
    set_aside: Mapping[str, Sequence[SetAside]] = field(default_factory=dict)
    empty_labels: tuple[str, ...] = ()  # classes without any file
    findings: tuple[Finding, ...] = ()  # what the reader itself has to say

    def sources(self) -> Iterator[Path | bytes]:
        """Yield the file, or the content, of each candidate."""
        return iter(self.contents or (self.root / one.path for one in self.candidates))


class Reader(Protocol):
    """A member of this shelf."""

    def recognises(self, path: Path) -> bool:
        """Whether this reader can read what lies at `path`."""
        ...

    def read(self, path: Path, columns: Columns) -> Listing:
        """List the candidates. Opens no file that is an input."""
        ...


def find_task(path: Path) -> str:
    """Return the name of the task whose reader recognises what lies at `path`.

    Raises:
        DataError: the path does not exist, is empty, or is nothing that a reader knows.
    """
    require_existing(path)
    for task in plugins.names(TASKS):
        if _recognising(path, task):
            return task
    raise DataError(f"{shown(path)} {_why_unknown(path)} {EXPECTED}")


def find_reader(path: Path, name: str = "auto", task: str | None = None) -> str:
    """Return `name`, or for "auto" the name of the reader of the task that recognises `path`.

    Raises:
        DataError: the path does not exist, is empty, or is nothing that a reader of the task knows.
        UnknownNameError: no reader has that name.
    """
    require_existing(path)
    if name != "auto":
        plugins.require(SHELF, name)
        return name
    task = task or find_task(path)
    reader = _recognising(path, task)
    if reader is None:
        of = next((name for name in plugins.names(TASKS) if _recognising(path, name)), None)
        why = f"is data of the task {of}." if of else _why_unknown(path)
        raise DataError(f"{shown(path)} {why} It was to be read for the task {task}. {EXPECTED}")
    return reader


def read(path: Path, reader: str, columns: Columns | None = None) -> Listing:
    """Return what the reader of that name lists."""
    return cast(Reader, plugins.load(SHELF, reader)).read(path, columns or Columns())


def unlabelled(
    path: Path, task: str, columns: Columns | None = None, progress: Progress | None = None
) -> Iterator[tuple[str, Held]] | None:
    """Return names and bytes of the inputs that a table or text file holds, or None where files are the inputs.

    `progress` is told what was guessed.
    """
    for name in plugins.load(TASKS, task).READERS:
        reader = plugins.load(SHELF, name)
        if hasattr(reader, "inputs") and reader.answers_for(path):
            found = reader.inputs(path, columns or Columns(), progress or Silent())
            return cast(Iterator[tuple[str, Held]], found)
    return None


def tell_guesses(path: Path, findings: Iterable[Finding], columns: Columns, progress: Progress) -> None:
    """Tell in one line what no one said and nothing proves: the columns of a table, the encoding of texts."""
    named = columns.text is not None and columns.label is not None
    guesses = [
        one.message
        for one in findings
        if (one.kind == "encoding" and one.severity == "warning") or (one.kind == "columns_chosen" and not named)
    ]
    if guesses:
        progress.note(f"{path.name!r}: {' '.join(guesses)}")


def _recognising(path: Path, task: str) -> str | None:
    readers = plugins.load(TASKS, task).READERS
    return next((name for name in readers if cast(Reader, plugins.load(SHELF, name)).recognises(path)), None)


def column_of(rule: str | None) -> str | None:
    """Return the name in a rule such as `column:author`, None where the rule is another."""
    kind, _, name = (rule or "").partition(":")
    return name.strip() or None if kind == "column" else None


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


def require_existing(path: Path) -> None:
    """Raise DataError where there is nothing at a path, or nothing that may be read; it names what is near."""
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
    from noria.data.readers._class_folders import VIDEO_ENDINGS, holds_videos  # it needs this module

    if not path.is_dir():
        if path.name.lower().endswith(VIDEO_ENDINGS) and path.stat().st_size:
            return f"is a video; {_frames_of(path)}"
        return "is empty." if path.stat().st_size == 0 else "is a file of a kind that no reader knows."
    try:
        names = sorted(os.listdir(path))  # noqa: PTH208
    except OSError as error:
        return f"cannot be read: {error.strerror}."
    if holds_videos(path) or any(name.lower().endswith(VIDEO_ENDINGS) for name in names):
        return f"holds videos; {_frames_of(path)}"
    tables = [name for name in names if name.lower().endswith((".csv", ".tsv", ".jsonl"))]
    if tables:
        return f"holds no folders of classes, but the file {shown(tables[0])}: name that file to read it as a table."
    return "is a folder without a folder for each class." if names else "is an empty folder."


def _frames_of(path: Path) -> str:
    return f"make pictures of them first (noria frames {shlex.quote(shown(path))} NEW-FOLDER)."
