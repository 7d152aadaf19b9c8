"""What does `noria check` suspect of pictures: planted faults among flowers and steel, and who is accused beside them?

Of each set 2 % of the pictures are blurred, darkened, washed out, emptied, squeezed or shrunk; a few pictures are taken
from the other set; and for shortcuts all of one class are stored in another way. "found" are the planted that are told
of under a kind that fits; "accused beside them" are others, without those that the untouched set is accused of already.
`python bench/suspicions.py` takes about 30 minutes on 2 cores.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from _features import keep_features
from _harness import SETS, Kept, Row, parser, publish, table, write_manifest
from noria import api
from noria.data.check import check
from noria.inputs.image import Settings

Change = Callable[[Image.Image], Image.Image]
SHARE = 0.02  # of a set, planted for each fault
FAULTS: Mapping[str, tuple[frozenset[str], Change]] = {
    "blurred by 2 px": (frozenset({"blurred"}), lambda photo: photo.filter(ImageFilter.GaussianBlur(2))),
    "blurred by 4 px": (frozenset({"blurred"}), lambda photo: photo.filter(ImageFilter.GaussianBlur(4))),
    "a quarter of the light": (frozenset({"dark", "blank"}), lambda photo: photo.point(lambda value: value // 4)),
    "an eighth of the light": (frozenset({"dark", "blank"}), lambda photo: photo.point(lambda value: value // 8)),
    "washed out": (frozenset({"bright", "blank"}), lambda photo: photo.point(lambda value: 225 + value * 30 // 255)),
    "one colour": (frozenset({"blank"}), lambda photo: Image.new("RGB", photo.size, photo.getpixel((9, 9)))),
    "squeezed to a fifth": (frozenset({"odd_shape"}), lambda photo: photo.resize((photo.width, photo.height // 5))),
    "of 24 pixels": (frozenset({"odd_size"}), lambda photo: photo.resize((24, 24))),
}
STORED: Mapping[str, tuple[str, Change, Mapping[str, Any]]] = {
    "as PNG": (".png", lambda photo: photo, {}),
    "with 160 pixels": (".jpg", lambda photo: photo.resize((160, 160)), {"quality": 95}),
    "with quality 30": (".jpg", lambda photo: photo, {"quality": 30}),
    "with a black frame": (
        ".jpg",
        lambda photo: ImageOps.expand(photo, 12, "black").resize(photo.size),
        {"quality": 95},
    ),
    "before a blue backdrop": (".jpg", lambda photo: _before(photo, (70, 110, 190)), {"quality": 95}),
}


def _before(photo: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """Put what is in the middle of a photo before a backdrop of one colour, as bright as the photo was there."""
    backdrop = ImageOps.colorize(photo.convert("L").filter(ImageFilter.GaussianBlur(8)), "black", "white", mid=colour)
    shape = Image.new("L", photo.size)
    ImageDraw.Draw(shape).ellipse([side * share // 20 for share in (3, 17) for side in photo.size], fill=255)
    return Image.composite(photo, backdrop, shape)


def main() -> None:
    """Plant, check, count, and publish."""
    made = parser(__doc__ or "")
    given = made.parse_args()
    seeds, limit = (1, 60) if given.quick else (given.seeds, None)
    keep_features()
    kept = Kept("suspicions-quick" if given.quick else "suspicions", {"seeds": seeds, "limit": limit})
    for name, other in (("flowers", "steel"), ("steel", "flowers")):
        rows, strangers = SETS[name](limit), SETS[other](limit)
        untouched = kept.get(f"{name}, untouched", _accused, rows)
        for seed in range(seeds):
            kept.get(f"{name}, faults, {seed}", _faults, rows, seed, untouched)
            kept.get(f"{name}, strangers, {seed}", _strangers, rows, strangers, seed, untouched)
            kept.get(f"{name}, shortcuts, {seed}", _shortcuts, rows, seed)
    publish("suspicions", "What is suspected of pictures", _body(kept.figures), kept.figures, quick=given.quick)
    kept.finish()


def _accused(rows: list[Row]) -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory() as scratch:
        found = api.check(write_manifest(Path(scratch) / "all.csv", rows)).findings
    return {one.kind: sorted(suspect.path for suspect in one.suspects) for one in found}


def _faults(rows: list[Row], seed: int, untouched: Mapping[str, list[str]]) -> dict[str, Any]:
    count = max(1, round(SHARE * len(rows)))
    drawn = np.random.default_rng(seed).permutation(len(rows))
    told = {}
    for number, (fault, (kinds, change)) in enumerate(FAULTS.items()):
        with tempfile.TemporaryDirectory() as scratch:
            changed = list(rows)
            for place in drawn[number * count : (number + 1) * count].tolist():
                changed[place] = _saved(rows[place], Path(scratch), change, ".jpg", {"quality": 95})
            found = check(write_manifest(Path(scratch) / "all.csv", changed), settings=Settings()).findings
        accused = {suspect.path for one in found if one.kind in kinds for suspect in one.suspects}
        told[fault] = _counted(
            accused, {row["path"] for row in changed} - {row["path"] for row in rows}, kinds, untouched
        )
    return told


def _strangers(rows: list[Row], others: list[Row], seed: int, untouched: Mapping[str, list[str]]) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    labels = sorted({row["label"] for row in rows})
    told = {}
    for share in (SHARE / 8, SHARE / 2):
        chosen = draw.choice(len(others), max(2, round(share * len(rows))), replace=False).tolist()
        planted = [{"path": others[place]["path"], "label": str(draw.choice(labels))} for place in chosen]
        accused = set(_accused(rows + planted).get("outlier", ()))
        kinds = frozenset({"outlier"})
        told[f"{share:.2%} of something else"] = _counted(accused, {row["path"] for row in planted}, kinds, untouched)
    return told


def _shortcuts(rows: list[Row], seed: int) -> dict[str, Any]:
    labels = sorted({row["label"] for row in rows})
    label = labels[seed % len(labels)]
    told = {}
    for way, (ending, change, how) in STORED.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            changed = [_saved(row, folder, change, ending, how) if row["label"] == label else row for row in rows]
            found = check(write_manifest(folder / "all.csv", changed), settings=Settings()).findings
        named = {name for one in found if one.kind == "shortcut" for name in one.examples}
        told[f"a class {way}"] = {"planted": 1, "found": int(label in named), "accused": len(named - {label})}
    return told


def _saved(row: Row, folder: Path, change: Change, ending: str, how: Mapping[str, Any]) -> Row:
    path = folder / f"{row['label']} {Path(row['path']).stem}{ending}"
    with Image.open(row["path"]) as photo:
        change(photo.convert("RGB")).save(path, **how)
    return {**row, "path": str(path)}


def _counted(
    accused: set[str], planted: set[str], kinds: frozenset[str], untouched: Mapping[str, list[str]]
) -> dict[str, int]:
    # By name: what lies beside the manifest is told of by its path from there.
    before = {Path(path).name for kind in kinds for path in untouched.get(kind, ())}
    accused, planted = ({Path(path).name for path in paths} for paths in (accused, planted))
    return {"planted": len(planted), "found": len(planted & accused), "accused": len(accused - planted - before)}


def _body(figures: Mapping[str, Any]) -> str:
    return "\n\n".join(
        [
            table(["set", "planted", "found", "of", "accused beside them"], list(_rows(figures))),
            table(["set, untouched", "kind", "accused"], list(_natural(figures))),
        ]
    )


def _rows(figures: Mapping[str, Any]) -> Iterator[list[str]]:
    sums: dict[tuple[str, str], list[int]] = {}
    for key, told in figures.items():
        name, what, *_ = key.split(", ")
        if what != "untouched":
            for fault, counts in told.items():
                total = sums.setdefault((name, fault), [0, 0, 0])
                for place, field in enumerate(("found", "planted", "accused")):
                    total[place] += counts[field]
    for (name, fault), total in sums.items():
        yield [name, fault, *map(str, total)]


def _natural(figures: Mapping[str, Any]) -> Iterator[list[str]]:
    suspected = {kind for kinds, _ in FAULTS.values() for kind in kinds} | {"outlier", "shortcut"}
    for key, told in figures.items():
        if key.endswith(", untouched"):
            for kind in sorted(suspected):
                yield [key.removesuffix(", untouched"), kind, str(len(told.get(kind, ())))]


if __name__ == "__main__":
    main()
