"""Do time and memory of `noria check` grow with the number of pictures, or faster? 1,000, 10,000 and 100,000 of them.

The pictures are cuts of the flower photos, 25 of each photo, shrunk to 160 pixels, each with other light and noise. Two
cuts need not lie in each other, and the photo itself is not among them. From an empty cache, in a process of its own;
then it is counted of how many photos the split has cuts on both sides of it: each is a leak, if the check missed it.
`python bench/growth.py` takes about an hour on 2 cores; `--quick` takes 100, 200 and 400 pictures.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from _harness import MIB, Kept, cores, flowers, noria_command, parser, publish, run_child, say, scratch_folder, table

SIZES, QUICK = (1_000, 10_000, 100_000), (100, 200, 400)
SIDE, LEAST = 160, 0.8  # pixels of a picture; share of the photo's shorter side that a cut has at least
NOISE = 6.0  # grey levels, the deviation
EACH = 25  # cuts of a photo
SIDES = "import json, sys, noria; print(json.dumps({one.path: one.split for one in noria.check(sys.argv[1]).examples}))"


def main() -> None:
    """Check sets of growing size and publish what each took."""
    made = parser(str(__doc__), seeds=None)
    made.add_argument("--sizes", type=int, nargs="+", help="other numbers of pictures")
    given = made.parse_args()
    sizes = given.sizes or (QUICK if given.quick else SIZES)
    kept = Kept("growth-quick" if given.quick else "growth", {"side": SIDE})
    for size in sizes:
        kept.get(str(size), _measured, size)
    publish("growth", "Time and memory of a check, by the number of pictures", _body(kept.figures), kept.figures,
            quick=given.quick)  # fmt: skip
    kept.finish()


def _measured(size: int) -> dict[str, Any]:
    rows = flowers()
    with scratch_folder() as scratch:
        order = np.random.default_rng(0).permutation(len(rows)).tolist()
        chosen = [rows[order[number // EACH % len(rows)]] for number in range(size)]
        jobs = [(row["path"], row["label"], number, scratch / "set") for number, row in enumerate(chosen)]
        for label in {row["label"] for row in rows}:
            (scratch / "set" / label).mkdir(parents=True)
        say(f"writing {size:,} pictures")
        with ProcessPoolExecutor(cores()) as pool:
            list(pool.map(_write, jobs, chunksize=64))
        done = run_child(noria_command("check", scratch / "set", "--json", "--quiet"), cache=scratch / "cache")
        again = run_child(noria_command("check", scratch / "set", "--json", "--quiet"), cache=scratch / "cache")
        sides = run_child([sys.executable, "-c", SIDES, scratch / "set"], cache=scratch / "cache").json()
    told = done.json()
    return {
        "photos": -(-size // EACH),
        "photos_torn": _torn(sides),
        "seconds": done.seconds,
        "peak_bytes": done.peak_bytes,
        "seconds_again": again.seconds,
        "usable": told["num_examples"],
        "findings": {one["kind"]: one["count"] for one in told["findings"]},
    }


def _write(job: tuple[str, str, int, Path]) -> None:
    path, label, number, folder = job
    drawn = np.random.default_rng(number)
    with Image.open(path) as photo:
        photo.draft("RGB", (2 * SIDE, 2 * SIDE))
        whole = photo.convert("RGB")
    side = round(min(whole.size) * drawn.uniform(LEAST, 1))
    left, top = (int(drawn.integers(0, size - side + 1)) for size in whole.size)
    small = whole.resize(
        (SIDE, SIDE), Image.Resampling.BILINEAR, (left, top, left + side, top + side), reducing_gap=2.0
    )
    noisy = np.asarray(small, np.float32) * drawn.uniform(0.8, 1.2) + drawn.normal(0, NOISE, (SIDE, SIDE, 1))
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / label / f"{number:06d}.jpg", quality=85)


def _torn(sides: dict[str, str]) -> int:
    """Return of how many photos there are cuts on two sides."""
    of_photo = defaultdict(set)
    for path, side in sides.items():
        of_photo[int(Path(path).stem) // EACH].add(side)
    return sum(len(found) > 1 for found in of_photo.values())


def _body(figures: dict[str, Any]) -> str:
    sizes = sorted(figures, key=int)
    first = figures[sizes[0]]
    rows = []
    for size in sizes:
        one = figures[size]
        copies = one["findings"].get("near_duplicates", 0) + one["findings"].get("near_duplicates_across_labels", 0)
        rows.append([
            f"{int(size):,}", f"{one['photos']:,}", f"{one['seconds']:,.0f}",
            f"{one['seconds'] / int(size) * 1e3:.1f}", f"{one['peak_bytes'] / MIB:,.0f}",
            f"{one['seconds_again']:,.1f}", f"{copies:,}", f"{one['photos_torn']}",
        ])  # fmt: skip
    largest = figures[sizes[-1]]
    times, factor = largest["seconds"] / first["seconds"], int(sizes[-1]) / int(sizes[0])
    header = ["pictures", "photos they are cut from", "seconds", "milliseconds a picture", "peak memory, MiB",
              "seconds of a second check", "near duplicates told", "photos on two sides of the split"]  # fmt: skip
    return (
        f"{table(header, rows)}\n\n{factor:,.0f} times as many pictures take {times:,.0f} times as long and "
        f"{largest['peak_bytes'] / first['peak_bytes']:.1f} times the memory."
    )


if __name__ == "__main__":
    main()
