"""Videos -> a folder of pictures with `frames.csv`, in which all frames of one video are one group, and `videos.json`.

The folder gets its name when it is whole. A video that is damaged gives the frames that can be trusted, and its reason.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from noria.artifacts.files import folder_being_written, refuse_existing, write_atomic, write_json
from noria.contracts import Progress, SetAside
from noria.data.readers._video_frames import FRAMES
from noria.data.video.change import Spots, change, spots
from noria.data.video.film import Film, Shot
from noria.data.video.found import Video, find_videos
from noria.data.video.upright import jpeg
from noria.errors import ConfigError, DataError, UnreadableInputError
from noria.ordered import default_threads, ordered_map

VIDEOS = "videos.json"
MOST_OF_A_VIDEO = 100_000  # frames that are written
MOST_OF_ALL = 1_000_000
_LONGEST_STEM = 180  # bytes of UTF-8; names of files may have 255
_AHEAD = 2  # frames for each thread that writes; each is a picture in memory
_LONGEST_STEP = 1e6  # seconds
_EARLY = 1e-6  # of the step: 0.1 s thrice is a little more than 0.3 s


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a video."""

    video: str  # as in the manifest's column `group`
    label: str
    width: int  # of its frames, as they are stored
    height: int
    seconds: float  # up to the last frame that was decoded
    decoded: int
    frames: int  # that were written
    similar: int  # that were due, but nearly the same as the one written before
    trouble: str  # what was wrong with it


@dataclass(frozen=True)
class Frames:
    """A folder of frames, as it was written."""

    path: Path
    videos: tuple[Told, ...]
    set_aside: tuple[SetAside, ...]

    @property
    def manifest(self) -> Path:
        """The table of all frames."""
        return self.path / FRAMES

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "frames": str(self.path),
            "manifest": str(self.manifest),
            "num_frames": sum(one.frames for one in self.videos),
            "num_similar": sum(one.similar for one in self.videos),
            "videos": [asdict(one) for one in self.videos],
            "set_aside": [asdict(one) for one in self.set_aside],
        }


def write_frames(
    videos: Path, out: Path, *, every: float, similar: float, label: str | None, progress: Progress
) -> Frames:
    """Write frames of videos as JPEG into a new folder.

    Args:
        videos: a video, a folder of videos, or a folder with a folder of videos for each label.
        out: the new folder; not inside `videos`.
        every: seconds from one frame to the next; 0: every frame.
        similar: percent of the brightness range, see `change`: a frame that differs less from the last one that was
            written is left out; 0: none is.
        label: of all frames, whatever folders the videos lie in.

    Raises:
        DataError: there is no video, or not a frame of any can be decoded.
        ConfigError: a number is out of range, the label cannot be used, or `out` lies inside `videos`.
        ArtifactError: `out` is there already.
    """
    _check(every, similar)
    found, set_aside = find_videos(videos, label)
    _refuse_inside(videos, out)
    refuse_existing(out, replace=False, marker=None)
    writer = _Writer(every, similar, progress)
    with folder_being_written(out) as folder:
        for number, (video, stem) in enumerate(zip(found, _stems([one.name for one in found]), strict=True), start=1):
            writer.write(folder, video, stem, f"video {number} of {len(found)}")
        if not writer.rows:
            raise DataError(f"Not one frame of {videos} can be written. {_reasons(writer.set_aside)}")
        set_aside = sorted([*set_aside, *writer.set_aside], key=lambda one: one.path)
        written = Frames(out, tuple(writer.told), tuple(set_aside))
        write_atomic(folder / FRAMES, _table(writer.rows))
        facts = {key: value for key, value in written.as_dict().items() if key not in ("frames", "manifest")}
        write_json(folder / VIDEOS, {**facts, "every": every, "similar": similar})
    return written


@dataclass(frozen=True, slots=True)
class _Row:
    path: str  # relative to the folder
    video: Video


class _Writer:
    """The frames of one video after the other, and what is to be told of them."""

    def __init__(self, every: float, similar: float, progress: Progress) -> None:
        self._every = every
        self._similar = similar
        self._progress = progress
        self._dropped = 0  # of this video, as those below
        self._full = False
        self.rows: list[_Row] = []
        self.told: list[Told] = []
        self.set_aside: list[SetAside] = []

    def write(self, folder: Path, video: Video, stem: str, title: str) -> None:
        """Write the frames of one video; what cannot be read is set aside with its reason."""
        most = min(MOST_OF_A_VIDEO, MOST_OF_ALL - len(self.rows))
        if not most:
            self.set_aside.append(
                SetAside(video.name, f"there are {MOST_OF_ALL:,} frames already, the most for one folder")
            )
            return
        film, self._dropped, self._full = Film(video.path), 0, False
        shots = self._at_most(most, self._changed(self._due(self._watched(film, title))))
        try:
            paths = list(_saved(shots, film, folder, video, stem))
        except UnreadableInputError as error:
            self.set_aside.append(SetAside(video.name, str(error)))
            return
        self.rows += [_Row(path, video) for path in paths]
        width, height = film.size
        told = Told(
            video=video.name,
            label=video.label,
            width=width,
            height=height,
            seconds=round(film.seconds, 3),
            decoded=film.count,
            frames=len(paths),
            similar=self._dropped,
            trouble=self._trouble(film, most),
        )
        self.told.append(told)

    def _trouble(self, film: Film, most: int) -> str:
        if self._full:
            return f"more than {most:,} frames: those after {film.seconds:.1f} s are left out; take a larger step"
        return film.trouble()

    def _watched(self, film: Film, title: str) -> Iterator[Shot]:
        """Every frame, with a bar of the seconds of the video."""
        shots = film.shots()
        first = list(itertools.islice(shots, 1))  # how long it is, is known once it is open
        with self._progress.track(title, math.ceil(film.length) or None) as advance:
            done = 0
            for shot in itertools.chain(first, shots):
                yield shot
                advance(max(0, int(shot.seconds) - done))
                done = max(done, int(shot.seconds))

    def _due(self, shots: Iterator[Shot]) -> Iterator[Shot]:
        """The first frame in each step of time; a step in which the picture stood still has none."""
        last = -1
        for shot in shots:
            step = math.floor(shot.seconds / self._every + _EARLY) if self._every else shot.number
            if step > last:
                last = step
                yield shot

    def _changed(self, shots: Iterator[Shot]) -> Iterator[Shot]:
        """Those that differ from the last one that was kept."""
        kept: Spots | None = None
        for shot in shots:
            if self._similar:
                try:
                    now = spots(shot.frame)
                except UnreadableInputError:  # to be told of when it is written
                    yield shot
                    continue
                if kept is not None and change(kept, now) < self._similar:
                    self._dropped += 1
                    continue
                kept = now
            yield shot

    def _at_most(self, most: int, shots: Iterator[Shot]) -> Iterator[Shot]:
        yield from itertools.islice(shots, most)
        self._full = next(shots, None) is not None


def _saved(shots: Iterator[Shot], film: Film, folder: Path, video: Video, stem: str) -> Iterator[str]:
    """Write frames in a few threads, and yield their paths below the folder, in order.

    Raises:
        UnreadableInputError: there is not one that can be written.
    """
    below = "/".join(part for part in (video.split, video.label) if part)

    def save(shot: Shot) -> str | UnreadableInputError:
        path = f"{below}/{stem}-{shot.number:06d}.jpg".removeprefix("/")
        try:
            content = jpeg(shot.frame, film.aspect)
        except UnreadableInputError as error:
            return error
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        return path

    refused, written = None, False
    for one in ordered_map(save, shots, threads=default_threads(), ahead=_AHEAD):
        if isinstance(one, UnreadableInputError):
            refused = one
            film.note_damage()
        else:
            written = True
            yield one
    if refused and not written:
        raise refused


def _check(every: float, similar: float) -> None:
    if not 0 <= every <= _LONGEST_STEP:
        raise ConfigError(
            f"A frame every {every:g} seconds is not possible. Expected a number from 0 (every frame) on."
        )
    if not 0 <= similar <= 100:
        raise ConfigError(f"A change of {similar:g} % is not possible. Expected a number from 0 (all are kept) to 100.")


def _refuse_inside(videos: Path, out: Path) -> None:
    if videos.is_dir() and out.resolve().is_relative_to(videos.resolve()):
        raise ConfigError(
            f"{out} lies in the folder of the videos, where nothing is written. Choose a place beside it."
        )


def _stems(names: Sequence[str]) -> list[str]:
    """What the names of a video's frames begin with: the name of the video, each only once in the whole folder.

    So frames still say which video they are from when a person has sorted them into other folders.
    """
    taken: set[str] = set()
    numbers: Counter[str] = Counter()
    stems = []
    for name in names:
        stem = free = _stem(name)
        while _folded(free) in taken:
            numbers[_folded(stem)] += 1
            free = f"{stem}-{numbers[_folded(stem)] + 1}"
        taken.add(_folded(free))
        stems.append(free)
    return stems


def _stem(name: str) -> str:
    kept = "".join(one if one.isprintable() and one != "\\" else "_" for one in PurePosixPath(name).stem)
    return kept.encode()[:_LONGEST_STEM].decode(errors="ignore").strip(" .") or "video"


def _folded(stem: str) -> str:
    """The same for names that some file systems take for one."""
    return unicodedata.normalize("NFC", stem).casefold()


def _table(rows: Sequence[_Row]) -> str:
    """The manifest. All cells are in quotes: a space at the beginning of a name is part of it."""
    split = any(row.video.split for row in rows)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["path", "label", *(["split"] if split else []), "group"])
    for row in rows:
        video = row.video
        writer.writerow([row.path, video.label, *([video.split or ""] if split else []), video.name])
    return text.getvalue()


def _reasons(set_aside: Sequence[SetAside]) -> str:
    more = f" And {len(set_aside) - 1:,} more." if len(set_aside) > 1 else ""
    return f"{set_aside[0].path}: {set_aside[0].reason}.{more}"
