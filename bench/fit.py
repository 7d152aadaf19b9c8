"""Should a picture be stretched, padded or cropped to the square that a network wants, and with which filter?

Flowers, solar cells and steel surfaces, as they are (all square) and with every picture cut to another aspect between
9:16 and 16:9; a head on frozen features, as `noria train` makes it. This table decides the defaults of `[input]`.
`python bench/fit.py --limit 150` takes about 5 minutes on 2 cores, without a limit about 15.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import math
import random
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from _features import Backbone, by_seed, checked, gain, head_accuracy, keep_features, open_backbone, options
from _harness import SETS, Kept, Row, mean, percent, publish, table
from noria.artifacts.dataset import Dataset
from noria.config import load_config

FITS = ("stretch", "pad", "crop")
RESAMPLES = ("bilinear", "bicubic")
SHAPES = ("square", "ragged")
WIDEST = 16 / 9
QUALITY = 95


def main() -> None:
    """Measure every way on every set and publish the table."""
    given = options(str(__doc__), quick_limit=20)
    keep_features()
    settings = {"limit": given.limit, "sets": given.sets}
    kept = Kept("fit-quick" if given.quick else "fit", settings)
    backbone = open_backbone(load_config())
    for name in given.sets:
        for shape in SHAPES:
            _measure(name, shape, given, backbone, kept)
    publish("fit", "Stretch, pad or crop", _body(kept.figures, given), kept.figures, quick=given.quick)
    kept.finish()


def _measure(name: str, shape: str, given: argparse.Namespace, backbone: Backbone, kept: Kept) -> None:
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        place = Path(folder)
        rows = SETS[name](given.limit)
        if shape == "ragged":
            rows = [_cut(row, place) for row in rows]
        datasets = [checked(rows, seed, place / "pictures.csv") for seed in range(given.seeds)]
        square = all(one.facts["width"] == one.facts["height"] for one in datasets[0].examples)
        for fit in FITS:
            for resample in RESAMPLES:
                for seed, dataset in enumerate(datasets):
                    key = f"{name} {shape} {fit} {resample} {seed}"
                    if square and fit != FITS[0]:  # there is nothing to pad or to crop
                        kept.get(key, kept.figures.get, f"{name} {shape} {FITS[0]} {resample} {seed}")
                    else:
                        kept.get(key, _one, dataset, fit, resample, seed, backbone)


def _one(dataset: Dataset, fit: str, resample: str, seed: int, backbone: Backbone) -> dict[str, Any]:
    config = load_config(input__fit=fit, input__resample=resample)
    vectors = backbone.features(dataset, config, views=0)
    sides = {side: dataset.by_split(side) for side in ("train", "validation", "test")}
    return head_accuracy(vectors, dataset.labels, sides, config, seed=seed)


def _cut(row: Row, folder: Path) -> Row:
    """Cut the largest rectangle of a random aspect at a random place out of a picture; its bytes decide which."""
    data = Path(row["path"]).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    rng = random.Random(digest)
    with Image.open(io.BytesIO(data)) as image:
        whole = image.convert("RGB")
    aspect = math.exp(rng.uniform(-math.log(WIDEST), math.log(WIDEST)))
    width = min(whole.width, round(whole.height * aspect))
    height = min(whole.height, round(whole.width / aspect))
    left, top = rng.randint(0, whole.width - width), rng.randint(0, whole.height - height)
    out = folder / row["label"] / f"{digest}.jpg"
    out.parent.mkdir(exist_ok=True)
    whole.crop((left, top, left + width, top + height)).save(out, "JPEG", quality=QUALITY)
    return {"path": str(out), "label": row["label"]}


def _body(figures: dict[str, Any], given: argparse.Namespace) -> str:
    def accuracies(fit: str, resample: str, columns: list[tuple[str, str]]) -> list[float]:
        return by_seed(figures, [f"{name} {shape} {fit} {resample}" for name, shape in columns], given.seeds)

    columns = [(name, shape) for shape in SHAPES for name in given.sets]
    ragged = [column for column in columns if column[1] == "ragged"]
    first = accuracies(FITS[0], RESAMPLES[0], ragged)
    lines = []
    for fit in FITS:
        for resample in RESAMPLES:
            cells = [
                percent(
                    mean(accuracies(fit, resample, [(name, shape)])),
                    figures[f"{name} {shape} {fit} {resample} 0"]["count"],
                )
                for name, shape in columns
            ]
            of_ragged = accuracies(fit, resample, ragged)
            both = mean(accuracies(fit, resample, columns))
            lines.append([fit, resample, *cells, f"{mean(of_ragged):.2%}", gain(first, of_ragged), f"{both:.2%}"])
    header = ["fit", "filter", *(f"{name}, {shape}" for name, shape in columns)]
    header += ["mean of ragged", f"minus {FITS[0]} {RESAMPLES[0]}, points (seeds)", "mean of all"]
    amount = f"at most {given.limit} pictures a label" if given.limit else "all pictures"
    return (
        table(header, lines)
        + f"\n\nTest accuracy with its 95 % interval, mean over seeds 0 to {given.seeds - 1} (a split each); {amount}; "
        "EfficientNet-Lite0, 224 pixels, no varied views. Ragged: the largest rectangle of a random aspect between "
        "9:16 and 16:9 (even in its logarithm), cut at a random place, saved as JPEG of quality 95, the same for every "
        "way. Where all pictures are square the three fits are one."
    )


if __name__ == "__main__":
    main()
