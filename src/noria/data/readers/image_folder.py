"""A folder for each class: ROOT/LABEL/**/FILE -> a Listing, without opening a file.

The label is the first folder's name; how deep a file lies below it does not matter. A ROOT of `train`, `val` (or
`valid`, `validation`) and `test` folders, each with folders of classes, is a given split, and is kept.
Pictures that are frames of videos (see `noria frames`) are in the group of their video.
"""

from __future__ import annotations

import os
from pathlib import Path

from noria.data.readers import Columns, Listing
from noria.data.readers._class_folders import PICTURE_ENDINGS, has_folders, holds_texts, holds_videos, list_files
from noria.data.readers._video_frames import with_groups


def recognises(path: Path) -> bool:
    """Whether it is a folder that has folders in it, and not of texts or of videos."""
    return has_folders(path) and not holds_texts(path) and not holds_videos(path)


def read(path: Path, columns: Columns) -> Listing:
    """List the files below a folder. Each folder is read once, however many links lead to it."""
    return with_groups(path, list_files(path, _is_named_as_picture))


def _is_named_as_picture(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in ("", *PICTURE_ENDINGS)  # noqa: PTH122
