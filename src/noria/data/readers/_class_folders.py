"""The walk that readers of folders share: ROOT/LABEL/**/FILE -> a Listing, without opening a file.

The label is the first folder's name; how deep a file lies below it does not matter. A ROOT of `train`, `val` (or
`valid`, `validation`) and `test` folders, each with folders of classes, is a given split, and is kept.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from noria.contracts import SPLITS, Candidate, Finding, SetAside, Split
from noria.data.readers import Listing, is_unicode, shown
from noria.errors import DataError
from noria.tree import Found, everything_below

SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_NOT_FOR_PEOPLE = {"thumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "system volume information", "@eadir"}
PICTURE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjp", ".png", ".apng", ".webp"),
    *(".bmp", ".dib", ".gif", ".tif", ".tiff"),
)
VIDEO_ENDINGS = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".asf", ".flv", ".3gp", ".3g2"),
    *(".ogv", ".mts", ".m2ts", ".vob", ".mxf", ".dav", ".h264", ".264", ".hevc", ".265"),
)
TEXT_ENDINGS = (".txt", ".txt.gz")
_PEEKED_AT = 1_000  # entries of folders, to tell texts from pictures
_OPENED = 40  # files of those whose ending says nothing
_HEAD = 16  # bytes


def has_folders(path: Path) -> bool:
    """Whether it is a folder that has folders in it."""
    try:
        with os.scandir(path) as entries:
            return any(not _is_hidden(entry.name) and entry.is_dir() for entry in entries)
    except OSError:
        return False


def holds_texts(path: Path) -> bool:
    """Whether the first files in the folders below are texts, and none is a picture, whatever its ending.

    Cheap: it lists few folders and opens few files.
    """
    return _hold_and_no_picture(path, TEXT_ENDINGS)


def holds_videos(path: Path) -> bool:
    """Whether the first files in the folders below are videos, and none is a picture."""
    return _hold_and_no_picture(path, VIDEO_ENDINGS)


def list_files(path: Path, is_input: Callable[[str], bool]) -> Listing:
    """List the files below a folder. Each folder is read once, however many links lead to it.

    Args:
        path: the root.
        is_input: whether a file is named as an input, so that a person should hear of it if it has no label. Only the
            loudness depends on it: whatever lies in the folder of a class is a candidate.
    """
    walk = _Walk()
    walk.run(path)
    splits = _given_splits(walk)
    candidates = []
    for file in walk.files:
        found = _candidate(file, splits)
        if isinstance(found, Candidate):
            candidates.append(found)
        else:
            walk.put("unlabelled" if is_input(file) else "passed_over", *found)
    labels = {label for folder in walk.folders if (label := _label(folder, splits)) is not None}
    unknown = {label for one in walk.closed if (label := _label(one, splits)) is not None}
    return Listing(
        root=path,
        candidates=tuple(sorted(candidates, key=lambda one: one.path)),
        set_aside={kind: sorted(ones, key=lambda one: one.path) for kind, ones in walk.set_aside.items()},
        empty_labels=tuple(sorted(labels - unknown - {candidate.label for candidate in candidates})),
        findings=_split_finding(splits),
    )


def _hold_and_no_picture(path: Path, endings: tuple[str, ...]) -> bool:
    found, opened = False, 0
    for entry in itertools.islice(_entries_below(path), _PEEKED_AT):
        name = entry.name.lower()
        if name.endswith(PICTURE_ENDINGS):
            return False
        if name.endswith((*TEXT_ENDINGS, *VIDEO_ENDINGS)):
            found = found or name.endswith(endings)
        elif opened < _OPENED:
            opened += 1
            if _is_picture(entry):
                return False
    return found


def _is_picture(entry: os.DirEntry[str]) -> bool:
    from noria.inputs.image import looks_like_picture  # Pillow is slow to load, and the endings mostly say enough

    try:
        if not entry.is_file():  # a pipe would be waited for
            return False
        with open(entry.path, "rb") as file:  # noqa: PTH123
            return looks_like_picture(file.read(_HEAD))
    except OSError:
        return False


def _entries_below(root: Path) -> Iterator[os.DirEntry[str]]:
    """Files in folders below the root, a few of each folder first."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in itertools.islice(entries, _PEEKED_AT // 10):
                    if _is_hidden(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif folder != root:
                        yield entry
        except OSError:
            continue


@dataclass
class _Walk:
    """What one pass over the tree found."""

    files: list[str] = field(default_factory=list)  # relative, with forward slashes
    folders: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)  # folders that cannot be listed
    set_aside: dict[str, list[SetAside]] = field(default_factory=dict)  # by kind, see Listing

    def run(self, root: Path) -> None:
        for found in everything_below(root, wanted=lambda name: is_unicode(name) and not _is_hidden(name)):
            self._sort_in(found, found.path.rpartition("/")[2])

    def put(self, kind: str, path: str, reason: str) -> None:
        self.set_aside.setdefault(kind, []).append(SetAside(path, reason))

    def _sort_in(self, found: Found, name: str) -> None:
        path, kind = found.path, found.kind
        if not is_unicode(name):
            self.put("unreachable", shown(path), "its name is not valid UTF-8: rename it")
        elif kind in ("closed", "unreadable"):
            if kind == "closed":
                self.closed.add(path)
            self.put("unreachable", path or ".", found.reason)
        elif _is_hidden(name):
            self.put(
                "passed_over", path, f"a hidden or system {'folder, not looked into' if kind == 'skipped' else 'file'}"
            )
        elif kind == "file":
            self.files.append(path)
        elif kind == "folder":
            self.folders.add(path)
        else:
            self.put("passed_over", path, found.reason or "neither a file nor a folder (a device, pipe or socket)")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _NOT_FOR_PEOPLE


def _given_splits(walk: _Walk) -> dict[str, Split]:
    """Return {folder: split} where the root is laid out by split, else nothing.

    It is so where two such folders hold folders of classes, or where no other folder is there: a single class may
    well be called "train".
    """
    top = {folder for folder in walk.folders if "/" not in folder}
    named = {folder: SPLIT_FOLDERS[folder.lower()] for folder in top if folder.lower() in SPLIT_FOLDERS}
    with_classes = {folder.split("/", 1)[0] for folder in walk.folders if "/" in folder} & named.keys()
    if len(with_classes) >= 2 or (with_classes and len(named) == len(top)):
        return named
    if len(named) >= 2 and len(named) == len(top):
        raise DataError(
            f"{', '.join(sorted(named))} are the folders of a split, but there are no folders of classes in them. "
            "Expected e.g. train/cat/1.jpg, or cat/1.jpg without a split."
        )
    return {}


def _candidate(path: str, splits: dict[str, Split]) -> Candidate | tuple[str, str]:
    """The candidate that a file is, or (path, reason) where it has no label."""
    parts = path.split("/")
    depth = 1 if splits else 0
    if splits and parts[0] not in splits:
        return path, f"it lies outside the folders of the split ({', '.join(sorted(splits))})"
    if len(parts) <= depth + 1:
        return path, "it lies in no folder of a class, so it has no label"
    return Candidate(path, label=parts[depth], split=splits.get(parts[0]))


def _label(folder: str, splits: dict[str, Split]) -> str | None:
    """The label that a folder stands for or lies below, if any."""
    parts = folder.split("/")
    if not splits:
        return parts[0] or None
    return parts[1] if parts[0] in splits and len(parts) > 1 else None


def _split_finding(splits: dict[str, Split]) -> tuple[Finding, ...]:
    if not splits:
        return ()
    folders = tuple(sorted(splits, key=lambda folder: (SPLITS.index(splits[folder]), folder)))
    message = f"The split of the folders {', '.join(folders)} is kept."
    remedy = "To have it made anew, move the folders of the labels out of these; --set data.split=[3,1,1] says how."
    return (Finding("given_split", "info", len(folders), folders, message, remedy),)
