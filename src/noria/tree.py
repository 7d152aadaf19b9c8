"""A folder -> all that lies below it, each folder once however many links lead to it; links in a circle end.

Real folders first, then links to folders that no other way led to. No file is opened.
"""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Identity = tuple[int, int]  # device and inode
# repeated: a folder that is seen in another place; above: a link to a folder that contains the root, not looked into;
# skipped: a folder that is not wanted; closed: one that cannot be listed; other: a device, pipe or socket.
Kind = Literal["file", "folder", "repeated", "above", "skipped", "closed", "other", "unreadable"]
_ABOVE = "a folder that contains this one"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing in a tree."""

    path: str  # relative to the root, with forward slashes; the root is ""
    kind: Kind
    reason: str = ""  # where nothing can be read there: why


def everything_below(root: Path, wanted: Callable[[str], bool] = lambda _name: True) -> Iterator[Found]:
    """Yield what lies below a folder, of each folder in sorted order, the files before what its folders hold.

    Args:
        root: the folder; it may be a link.
        wanted: whether to look into a folder of that name.
    """
    seen: dict[Identity, str] = {}
    # A link to a folder above the root would bring in everything beside the root.
    for above in root.resolve().parents:
        with suppress(PermissionError):  # which then cannot be entered by a link either
            seen[_identity(above.stat())] = _ABOVE
    seen[_identity(root.stat())] = ""
    waiting, links = [""], list[tuple[str, Identity]]()
    while waiting:
        folder = waiting.pop()
        below: list[str] = []
        for found, identity, is_link in _entries(root, folder):
            if identity is None:
                yield found
            elif not wanted(os.path.basename(found.path)):  # noqa: PTH119
                yield Found(found.path, "skipped")
            elif is_link:
                heapq.heappush(links, (found.path, identity))
            else:
                yield _entered(found.path, identity, seen, below)
        waiting.extend(reversed(below))
        while links and not waiting:
            yield _entered(*heapq.heappop(links), seen, waiting)  # the first by name wins


def _entered(path: str, identity: Identity, seen: dict[Identity, str], waiting: list[str]) -> Found:
    if identity in seen:
        if seen[identity] == _ABOVE:
            return Found(path, "above", f"it leads to {_ABOVE}, which is not looked into")
        return Found(path, "repeated", f"it leads to {seen[identity] or 'the root'}, which is read once")
    seen[identity] = path
    waiting.append(path)
    return Found(path, "folder")


def _entries(root: Path, folder: str) -> Iterator[tuple[Found, Identity | None, bool]]:
    """What lies in a folder; of folders also which they are, and whether they are links."""
    try:
        with os.scandir(root / folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield Found(folder, "closed", f"the folder cannot be read: {error.strerror}"), None, False
        return
    for entry in listed:
        path = f"{folder}/{entry.name}" if folder else entry.name
        try:
            status = entry.stat()
        except OSError as error:
            reason = "a link that leads nowhere" if entry.is_symlink() else f"it cannot be read: {error.strerror}"
            yield Found(path, "unreadable", reason), None, False
            continue
        if stat.S_ISDIR(status.st_mode):
            yield Found(path, "folder"), _identity(status), entry.is_symlink()
        else:
            yield Found(path, "file" if stat.S_ISREG(status.st_mode) else "other"), None, False


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino
