"""Pictures a second from JPEG files to batches of 224 x 224: ours against what Keras, PyTorch and grain offer.

The flowers as they are, and 300 of them made larger (2,400 pixels on the longer side, as phones take them). The sides
run in turn, several rounds, each in its own process, so that what else the machine does falls on all of them.
`python bench/input.py` takes about 8 minutes on 2 cores, and the first time 3 more to install PyTorch and grain.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from PIL import Image

from _environments import TORCH, python_with
from _harness import BENCH, Kept, cores, flowers, parser, publish, run_child, say, scratch_folder, table, times_faster

PIXELS, BATCH, ROUNDS, SECONDS = 224, 64, 5, 8.0
LARGE, HOW_MANY, QUALITY = 2_400, 300, 90
AIM = 1.5
PACKAGES = {"": (), "torch": (*TORCH, "pillow", "numpy"), "grain": ("grain", "pillow", "numpy")}
SIDES = {  # the environment, "" for ours; what it is called
    "noria": ("", "**Noria**"),
    "keras": ("", "Keras `image_dataset_from_directory`"),
    "torch": ("torch", "PyTorch `DataLoader` with Pillow"),
    "grain": ("grain", "grain with Pillow, in threads"),
    "decoder": ("", "the decoder alone"),
}


def main() -> None:
    """Measure every side on both sets in turn, and publish the table."""
    options = parser(str(__doc__), seeds=None).parse_args()
    rounds, seconds = (1, 1.0) if options.quick else (ROUNDS, SECONDS)
    kept = Kept("input-quick" if options.quick else "input", {"rounds": rounds, "seconds": seconds})
    pythons = {name: python_with(*packages) for name, packages in PACKAGES.items()}
    there = {side: told for side, told in SIDES.items() if pythons[told[0]]}
    with scratch_folder() as scratch:
        sets = {"flowers": _linked(scratch / "flowers"), "large": _enlarged(scratch / "large")}
        for number in range(rounds):
            for kind, folder in sets.items():
                for side, (environment, _) in there.items():
                    kept.get(f"{kind} {side} {number}", _rate, pythons[environment], side, folder, seconds)
    publish(
        "input", "From files to batches", _body(kept.figures, there, rounds, seconds), kept.figures, quick=options.quick
    )
    kept.finish()


def _linked(folder: Path) -> Path:
    """The flowers as a folder of labels, all of them JPEG."""
    for row in flowers():
        place = folder / row["label"] / Path(row["path"]).name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(row["path"])
    return folder


def _enlarged(folder: Path) -> Path:
    say(f"{HOW_MANY} photos of {LARGE} pixels")
    for row in flowers(HOW_MANY // 5):
        place = folder / row["label"] / Path(row["path"]).name
        place.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(row["path"]) as photo:
            larger = LARGE / max(photo.size)
            size = round(photo.width * larger), round(photo.height * larger)
            photo.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(place, quality=QUALITY)
    return folder


def _rate(python: Path, side: str, folder: Path, seconds: float) -> dict[str, Any]:
    given = (side, folder, seconds, PIXELS, BATCH, cores())
    return run_child([python, BENCH / "_input_sides.py", *map(str, given)]).json()


def _body(figures: dict[str, Any], there: dict[str, Any], rounds: int, seconds: float) -> str:
    rows = []
    verdicts = []
    ratios: dict[str, dict[str, float]] = {}
    for kind in ("flowers", "large"):
        rates = {side: [figures[f"{kind} {side} {number}"]["rate"] for number in range(rounds)] for side in there}
        ratios[kind] = {side: times_faster(rates["noria"], rates[side]) for side in there}
        rivals = {side: ratio for side, ratio in ratios[kind].items() if side not in ("noria", "decoder")}
        nearest = min(rivals, key=lambda side: rivals[side])
        met = "met" if rivals[nearest] >= AIM else "not met"
        bound = times_faster(rates["decoder"], rates[nearest])
        verdicts.append(
            f"{kind}: **{rivals[nearest]:.2f} times** the fastest other, {there[nearest][1]} (aim {AIM}; {met}); the "
            f"decoder alone is {bound:.2f} times that other"
        )
    for side, (_, name) in there.items():
        cells = [name]
        for kind in ("flowers", "large"):
            middle = statistics.median(figures[f"{kind} {side} {number}"]["rate"] for number in range(rounds))
            cells += [f"{middle:,.0f}", "" if side == "noria" else f"{ratios[kind][side]:.2f}"]
        rows.append(cells)
    header = ["", "flowers, pictures/s", "ours is times that", "2,400 pixels, pictures/s", "ours is times that"]
    return (
        table(header, rows)
        + f"\n\n{'. '.join(verdicts)}.\n\nMedians of {rounds} rounds of {seconds:g} s, the sides in turn; ratios are "
        f"medians of those within a round. Batches of {BATCH}, {PIXELS} x {PIXELS}, whole order; files in memory "
        "already. All but Keras antialias; ours checks beside that each file is the one it knows: by its hash, and "
        "from the second time on by whether it was written to. As many threads, of PyTorch worker "
        "processes, as processors; of grain its default, 16. Its worker processes hung here, and are left out."
    )


if __name__ == "__main__":
    main()
