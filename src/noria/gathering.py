"""The verbs of those who gather data: frames, check; on the command line before the pipeline's."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from noria.data.video import SIMILAR
from noria.errors import ConfigError, NoriaError, UnknownNameError
from noria.options import (
    AsJson,
    ConfigFile,
    Data,
    Decisions,
    Group,
    LabelColumn,
    Quiet,
    Seed,
    Settings,
    TextColumn,
    progress,
)
from noria.standard_output import say
from noria.tables import comparison_tables, dataset_table, findings_table, new_table, proof_line
from noria.terminal import show_page, visible

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
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make pictures of videos, all frames of one video one group, so that no split can tear them apart."""
    from noria import api

    written = api.frames(videos, out, every=every, similar=similar, label=label, progress=progress(quiet))
    say(as_json, written.as_dict(), *_lines(written))


def check(
    data: Data,
    text: TextColumn = None,
    label: LabelColumn = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Older data, or a run: tell what is new, gone and relabelled, and how far it has moved."),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", metavar="KIND", help="Exit with 1 where there is a finding of this kind (or: any)."),
    ] = None,
    decisions: Decisions = None,
    group: Group = None,
    page: Annotated[
        bool, typer.Option("--page", help="Answer the findings one by one in a browser, on this machine only.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="With --page: open the browser.")] = False,
    seed: Seed = None,
    settings: Settings = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Look at the data: what can be used, what cannot and why, duplicates, and how it would be split."""
    from dataclasses import asdict

    from noria import api
    from noria.config import load_config
    from noria.data.audit import dataset_folder
    from noria.data.findings import COMPARED, KINDS, UNREADABLE, ranked
    from noria.data.proof import KINDS as BROKEN
    from noria.data.proof import LEAKS

    wanted = {kind.strip() for given in fail_on or () for kind in given.split(",")}
    for kind in sorted(wanted - KINDS - {"any"}):
        raise UnknownNameError("kind of finding", kind, {*KINDS, "any"})
    if "leak" in wanted:
        wanted |= LEAKS
    if "unreadable" in wanted:
        wanted |= UNREADABLE
    if not against and (idle := sorted(wanted & COMPARED)):
        raise ConfigError(f"--fail-on {', '.join(idle)} looks at older data: name it with --against OLD.")
    finished = dataset_folder(data)
    given = {"seed": seed, "data__text": text, "data__label": label, "data__decisions": decisions, "data__group": group}
    if finished and (page or open_page or config or settings or any(given.values())):
        raise ConfigError(
            f"{data} is a finished dataset, which is verified as it is: only --against, --fail-on go with it."
        )
    loaded = None if finished else load_config(config, settings or (), data=data, **given)
    server = None
    if page or open_page:
        dataset, server = api.review(data, config=loaded, progress=progress(quiet))
    else:
        dataset = api.check(data, config=loaded, progress=progress(quiet))
    compared = api.compare_data(dataset, against, config=loaded, progress=progress(quiet)) if against else None
    findings = [asdict(one) for one in ranked([*dataset.findings, *(compared.findings if compared else ())])]
    facts: dict[str, Any] = {
        "data": str(data),
        "num_examples": len(dataset.examples),
        "labels": list(dataset.labels),
        "splits": dataset.counts(),
        "fingerprint": dataset.fingerprint,
        "decisions": dataset.decisions,
        "proof": dataset.proof,
        "findings": findings,
        "set_aside": [asdict(one) for one in dataset.set_aside],
    }
    tables = [dataset_table(dataset)]
    if compared:
        facts["against"] = compared.as_dict()
        tables += comparison_tables(facts["against"])
    say(as_json, facts, *tables, findings_table(findings), proof_line(dataset))
    if server is not None:
        show_page(server, open_browser=open_page)
    if broken := sorted(BROKEN & {finding["kind"] for finding in findings}):
        raise NoriaError(f"{data} does not hold: {', '.join(broken)}.")
    if failed := sorted({finding["kind"] for finding in findings if wanted & {finding["kind"], "any"}}):
        raise NoriaError(f"Found, as --fail-on asked: {', '.join(failed)}.")


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


VERBS = (frames, check)
