"""A folder of pictures that came from videos -> which of them belong together, whatever folders they lie in now.

`noria frames` writes `frames.csv` beside its pictures. A person may sort the pictures into other folders, add some and
delete some: the frames of one video stay one group, found by the names of their files.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from noria.contracts import Finding
from noria.data.readers import Listing

FRAMES = "frames.csv"
_LARGEST = 1 << 30  # bytes


def with_groups(root: Path, listing: Listing) -> Listing:
    """Return the listing with the groups of `frames.csv`; as it is where there is no such table."""
    groups = dict(_groups(root / FRAMES))
    if not groups:
        return listing
    candidates = [
        one if one.group else replace(one, group=groups.get(PurePosixPath(one.path).name)) for one in listing.candidates
    ]
    frames = [one for one in candidates if one.group]
    if not frames:
        return listing
    count = len({one.group for one in frames})
    message = (
        f"{len(frames):,} pictures are frames of {count:,} {'video' if count == 1 else 'videos'} ({FRAMES}); "
        "all frames of one video stay on one side of the split."
    )
    finding = Finding(
        "video_frames",
        "info",
        len(frames),
        tuple(one.path for one in frames[:20]),
        message,
        "--group RULE joins videos.",
    )
    return replace(listing, candidates=tuple(candidates), findings=(*listing.findings, finding))


def _groups(table: Path) -> Iterator[tuple[str, str]]:
    """The name of each frame's file with its group. A table of another kind, or one that is broken, has none."""
    try:
        if table.stat().st_size > _LARGEST:
            return
        with table.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if not {"path", "group"} <= set(rows.fieldnames or ()):
                return
            for row in rows:
                if row["path"] and (group := (row["group"] or "").strip()):
                    yield PurePosixPath(row["path"]).name, group
    except (OSError, UnicodeDecodeError, csv.Error):
        return
