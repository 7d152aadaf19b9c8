"""Are groups that only names tell of found, and none where names mean nothing?

Groups that are there: clips of a real surveillance camera (Debian's opencv-doc), 3 seconds each with pauses of 3, and
flowers as twelve cameras would have taken them, each with its own cast, noise and blur of three strengths. Groups that
are not: the same flowers with group names dealt out at random, many ways, and sets with the names they came with. The
other side is what a careful script does: take the part before the first separator wherever it repeats.
`python bench/groups.py` takes about 10 minutes on 2 cores.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageFilter

from _harness import SETS, Kept, give_up, noria_command, parser, publish, run_child, scratch_folder, table

CLIPS = Path(os.environ.get("NORIA_TEST_VIDEOS", "/usr/share/doc/opencv-doc/examples/data")) / "vtest.avi"
OF_A_LABEL, CAMERAS = 300, 12
STRENGTHS = {"faint": 0.5, "weak": 1.0, "strong": 2.0}
DEALT = (12, 40, 150)  # groups that mean nothing
FEWEST_GROUPS, FEWEST_MEMBERS = 5, 3  # before the other side speaks; members on average
Make = Callable[[Path, random.Random], None]


def main() -> None:
    """Make the sets, ask both sides about each, and publish."""
    given = parser(str(__doc__), seeds=5).parse_args()
    seeds = 1 if given.quick else given.seeds
    kept = Kept("groups-quick" if given.quick else "groups", {})
    for name, (make, draws, _) in _sets(seeds).items():
        kept.get(name, _measured, make, draws)
    publish("groups", "Groups in names", _body(kept.figures, seeds), kept.figures, quick=given.quick)
    kept.finish()


def _sets(seeds: int) -> dict[str, tuple[Make, int, bool]]:
    """Return how each kind of set is made, how many are drawn, and whether its names tell of groups."""
    made: dict[str, tuple[Make, int, bool]] = {"clips of one camera": (_clips, 1, True)}
    for strength, by in STRENGTHS.items():
        made[f"flowers of {CAMERAS} cameras, {strength}"] = (_cameras(by), seeds, True)
    for count in DEALT:
        made[f"flowers, {count} names at random"] = (_dealt(count), seeds, False)
    for name in ("flowers", "steel", "solar"):
        made[f"{name}, names as they came"] = (_as_they_came(name), 1, False)
    return made


def _measured(make: Make, draws: int) -> list[dict[str, Any]]:
    told = []
    with scratch_folder() as scratch:
        for seed in range(draws):
            folder = scratch / f"set {seed}"
            make(folder, random.Random(seed))
            command = noria_command("check", folder, "--json", "--quiet", "--set", "data.wrong_labels=false")
            measured = run_child(command, cache=scratch / "cache")
            found = [one for one in measured.json()["findings"] if one["kind"] == "possible_groups"]
            files = sorted(folder.rglob("*.*"))
            told.append({
                "pictures": len(files), "names_alone": _names_alone([file.name for file in files]),
                "noria": bool(found), "figures": found[0]["figures"] if found else {},
                "message": found[0]["message"] if found else "",
            })  # fmt: skip
            shutil.rmtree(folder)
    return told


def _names_alone(names: list[str]) -> bool:
    groups = Counter(re.split(r"[_\- ]", Path(name).stem)[0] for name in names)
    return FEWEST_GROUPS <= len(groups) <= len(names) / FEWEST_MEMBERS


def _clips(folder: Path, _: random.Random) -> None:
    """Cut a film in clips with pauses between them; its left half is one label, its right half the other."""
    if not CLIPS.is_file():
        give_up(f"There is no {CLIPS}: install Debian's opencv-doc, or set NORIA_TEST_VIDEOS to a folder that has it.")
    with av.open(str(CLIPS)) as film:
        for number, frame in enumerate(film.decode(video=0)):
            if number % 3 or (number // 30) % 2:
                continue
            picture, half = frame.to_image(), (number // 3) % 2
            width, height = picture.size
            cut = picture.crop((width // 2 * half, 0, width // 2 * (half + 1), height))
            _save(cut, folder / ("left", "right")[half] / f"clip{number // 60:02d}_{number:05d}.jpg")


def _cameras(strength: float) -> Make:
    def make(folder: Path, drawn: random.Random) -> None:
        looks = np.random.default_rng(drawn.randrange(2**32))
        casts = 1 + looks.normal(0, 0.06 * strength, (CAMERAS, 3))
        offsets, blurs = looks.normal(0, 6 * strength, CAMERAS), looks.uniform(0, 0.75 * strength, CAMERAS)
        for number, row in enumerate(_flowers(drawn)):
            camera = drawn.randrange(CAMERAS)
            pixels = np.asarray(Image.open(row["path"]).convert("RGB"), np.float32)
            pixels = pixels * casts[camera] + offsets[camera]
            taken = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            taken = taken.filter(ImageFilter.GaussianBlur(float(blurs[camera])))
            _save(taken, folder / row["label"] / f"camera{camera}-{number:04d}.jpg")

    return make


def _dealt(count: int) -> Make:
    def make(folder: Path, drawn: random.Random) -> None:
        for number, row in enumerate(_flowers(drawn)):
            _copy(row["path"], folder / row["label"] / f"day{drawn.randrange(count)}-{number:04d}.jpg")

    return make


def _as_they_came(name: str) -> Make:
    def make(folder: Path, _: random.Random) -> None:
        for row in SETS[name](None):
            _copy(row["path"], folder / row["label"] / Path(row["path"]).name)

    return make


def _flowers(drawn: random.Random) -> list[dict[str, str]]:
    """Return the flowers in an order of its own, so that a number in a name says nothing."""
    rows = SETS["flowers"](OF_A_LABEL)
    return drawn.sample(rows, len(rows))


def _copy(file: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _save(picture: Image.Image, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target, quality=90)


def _body(figures: dict[str, list[dict[str, Any]]], seeds: int) -> str:
    rows = []
    for name, (_, _, there) in _sets(seeds).items():
        draws = figures[name]
        shares = [one["figures"] for one in draws if one["noria"]]
        rows.append([
            name, f"{draws[0]['pictures']:,}", "yes" if there else "no",
            *(f"{sum(one[side] for one in draws)} of {len(draws)}" for side in ("noria", "names_alone")),
            *(_mean([one[key] for one in shares]) for key in ("same_group", "same_group_by_chance")),
        ])  # fmt: skip
    header = ["set", "pictures", "groups are there", "told by `noria check`", "told from names alone"]
    header += ["most alike are of one group", "by chance"]
    return table(header, rows) + (
        "\n\nFrom names alone: the part before the first of `_`, `-` and space makes at least "
        f"{FEWEST_GROUPS} groups of {FEWEST_MEMBERS} members on average. The last two columns are what a finding says, "
        "mean over those that were told. Cameras differ by a cast (a factor for each of red, green and blue), an "
        f"offset of light and a blur; deviations {_graded('{:.0%}', 0.06)} of the factors, {_graded('{:g}', 6)} grey "
        f"levels, and blurs up to {_graded('{:g}', 0.75)} pixels."
    )


def _graded(pattern: str, unit: float) -> str:
    return ", ".join(pattern.format(unit * by) for by in STRENGTHS.values())


def _mean(shares: list[float]) -> str:
    return f"{sum(shares) / len(shares):.0%}" if shares else ""


if __name__ == "__main__":
    main()
