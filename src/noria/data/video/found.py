"""A video, a folder of videos, or a folder with a folder of videos for each label -> the videos that lie there.

No file is opened. Folders, given splits and what is passed over are those of a folder of pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from noria.artifacts.dataset import tidy_label
from noria.contracts import SetAside, Split
from noria.data.readers import is_unicode, require_existing, shown
from noria.data.readers._class_folders import VIDEO_ENDINGS, list_files
from noria.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Video:
    """A file that may be a video."""

    path: Path
    name: str  # relative to what was given, with forward slashes
    label: str = ""  # empty: none is known
    split: Split | None = None


def find_videos(path: Path, label: str | None = None) -> tuple[list[Video], list[SetAside]]:
    """List every file that may be a video, in the order of their names, and what is passed over, with reasons.

    Args:
        path: a file, a folder of videos, or a folder with a folder of videos for each label.
        label: the label of all of them, whatever folders they lie in.

    Raises:
        DataError: there is no such path, it is neither file nor folder, or there is no file in it.
        ConfigError: the label cannot be the name of a folder.
    """
    label = None if label is None else _usable(label)
    require_existing(path)
    if path.is_file():
        return [Video(path, path.name, label or "")], []
    if not path.is_dir():
        raise DataError(f"{path} is neither a file nor a folder. Expected a video, or a folder of videos.")
    listing = list_files(path, lambda _name: True)
    set_aside = {kind: list(ones) for kind, ones in listing.set_aside.items()}
    at_top = [one.path for one in set_aside.get("unlabelled", ())]
    by_folder = _named_as_videos(one.path for one in listing.candidates) or not _named_as_videos(at_top)
    videos = [
        Video(path / one.path, one.path, label or (tidy_label(one.label) if by_folder else ""), one.split)
        for one in listing.candidates
    ]
    if label is not None or not by_folder or not videos:
        set_aside.pop("unlabelled", None)
        videos += [Video(path / name, name, label or "") for name in at_top]
    passed_over = sorted((one for ones in set_aside.values() for one in ones), key=lambda one: one.path)
    if not videos:
        raise DataError(f"{shown(path)} has no file that could be a video.{_first(passed_over)}")
    return sorted(videos, key=lambda one: one.name), passed_over


def _usable(label: str) -> str:
    tidy = tidy_label(label)
    if not tidy or tidy.startswith(".") or "/" in tidy or not tidy.isprintable() or not is_unicode(tidy):
        raise ConfigError(
            f"The label {label!r} cannot be the name of a folder. Expected one without / or control characters that "
            "does not begin with a dot."
        )
    return tidy


def _named_as_videos(names: Iterable[str]) -> bool:
    return any(name.lower().endswith(VIDEO_ENDINGS) for name in names)


def _first(passed_over: Iterable[SetAside]) -> str:
    return next((f" Passed over: {one.path}: {one.reason}." for one in passed_over), "")
