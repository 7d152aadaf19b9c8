"""The verb of those who gather data: frames; on the command line before the pipeline's."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from noria.data.video import SIMILAR
from noria.standard_output import say
from noria.tables import new_table, visible
from noria.terminal import TerminalProgress, stderr_console

if TYPE_CHECKING:
    from noria.data.video.frames import Frames

_SHOWN = 20  # videos in the table; videos.json has all
_SIDES = 3


def frames(
    videos: Annotated[
        Path,
        typer.Argument(
            metavar="VIDEOS",
            help="A video, a folder of videos, or a folder with a folder of videos for each label.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new folder for the pictures and frames.csv.")],
    every: Annotated[
        float, typer.Option(metavar="SECONDS", help="From one frame to the next, by time; 0: every frame.")
    ] = 1.0,
    similar: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            help="Leave out a frame if no spot of it differs by this much of the brightness range from the last one "
            "written; 0: keep all.",
        ),
    ] = SIMILAR,
    label: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The label of all frames. \\[default: the folder that a video lies in]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No bars and no lines of outcome.")] = False,
) -> None:
    """Make pictures of videos, all frames of one video one group, so that no split can tear them apart."""
    from noria import api

    progress = TerminalProgress(stderr_console(), quiet=quiet)
    written = api.frames(videos, out, every=every, similar=similar, label=label, progress=progress)
    say(as_json, written.as_dict(), *_lines(written))


def _lines(written: Frames) -> list[Any]:
    told = written.as_dict()
    lines: list[Any] = [_table(written)]
    if (hidden := len(written.videos) - _SHOWN) > 0:
        lines.append(f"... and {hidden:,} more, in {written.path / 'videos.json'}")
    if written.set_aside:
        first = written.set_aside[0]
        lines.append(
            f"{len(written.set_aside):,} set aside; the first: {visible(first.path)}: {visible(first.reason)}."
        )
    lines.append(
        f"{told['num_frames']:,} frames of {_videos(len(written.videos))}; {told['num_similar']:,} more were left out: "
        "nearly the same as the one before."
    )
    return [*lines, *_advice(written)]


def _videos(count: int) -> str:
    return "1 video" if count == 1 else f"{count:,} videos"


def _table(written: Frames) -> Any:
    table = new_table("video", "label", "seconds", "frames", "similar", "")
    for one in sorted(written.videos, key=lambda one: not one.trouble)[:_SHOWN]:
        figures = (f"{one.seconds:,.1f}", f"{one.frames:,}", f"{one.similar:,}")
        table.add_row(Text(visible(one.video)), Text(visible(one.label)), *figures, Text(visible(one.trouble)))
    return table


def _advice(written: Frames) -> list[str]:
    """What to type next, and what stands in the way of a split by video."""
    labels = Counter(one.label for one in written.videos)
    if not labels.keys() - {""}:
        return [
            f"Next:    give each frame its label, in the column `label` of {written.manifest}, or by sorting the "
            "pictures into a folder for each label; then noria check that table, or the folder."
        ]
    few = sorted(name for name, count in labels.items() if count < _SIDES)
    lines = [f"Next:    noria check {shlex.quote(str(written.path))}"]
    if few:
        names = ", ".join(visible(name) for name in few[:5]) + (" ..." if len(few) > 5 else "")
        lines.insert(
            0,
            f"Too few videos for a split into train, validation and test: {names} (a label needs {_SIDES} videos, for "
            "all frames of one stay on one side).",
        )
    return lines
