"""Does `noria check NEW --against OLD` hold its level, and what does it find? Beside MMD on the same vectors.

Many pairs of sets are drawn: from one source (p-values must be uniform), and with a change of a known kind and strength
in one of them. MMD is the kernel two-sample test of Gretton et al. 2012 with the median bandwidth and as many
permutations. Flowers as features of EfficientNet-Lite0, hotel and film reviews as hashed words. Then seconds and memory
as the sets grow. `python bench/drift.py` takes about 10 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from _features import keep_features
from _harness import MIB, Kept, flowers, parser, publish, run_child, say, table, write_manifest
from _texts import hotel, imdb
from noria import api
from noria.contracts import Silent
from noria.data.drift import measure
from noria.data.text_vectors import text_vectors
from noria.vectors import vectors

Floats = NDArray[np.float32]
Pair = tuple[Floats, Floats]  # the new set, the old set
PERMUTATIONS = 199
PICTURES = 800  # of which there are changed versions
GROWTH = (1_000, 10_000, 100_000)
GROWN = """
import json, sys, time, numpy as np
from noria.data.drift import measure
random = np.random.default_rng(0)
new, old = (random.standard_normal((int(sys.argv[1]), int(sys.argv[2])), dtype=np.float32) for _ in range(2))
start = time.perf_counter()
drift = measure(new, old)
print(json.dumps({"seconds": time.perf_counter() - start, "sets_bytes": new.nbytes + old.nbytes}))
"""


def _camera(photo: Image.Image) -> Image.Image:
    """Fewer pixels, warmer colours."""
    width, height = photo.size
    small = photo.resize((width * 6 // 10, height * 6 // 10), Image.Resampling.BILINEAR)
    red, green, blue = small.resize((width, height), Image.Resampling.BILINEAR).split()
    warmer = red.point(lambda value: min(255, round(value * 1.06))), green, blue.point(lambda value: value * 0.92)
    return Image.merge("RGB", warmer)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "same": lambda photo: photo,
    "5 % brighter": lambda photo: ImageEnhance.Brightness(photo).enhance(1.05),
    "15 % brighter": lambda photo: ImageEnhance.Brightness(photo).enhance(1.15),
    "40 % brighter": lambda photo: ImageEnhance.Brightness(photo).enhance(1.4),
    "blurred by 0.5 px": lambda photo: photo.filter(ImageFilter.GaussianBlur(0.5)),
    "blurred by 1 px": lambda photo: photo.filter(ImageFilter.GaussianBlur(1)),
    "of another camera": _camera,
}


@dataclass(frozen=True)
class Question:
    """Pairs of sets to be told apart, or not."""

    name: str
    count: int  # rows of each set
    draw: Callable[[np.random.Generator, int], Pair]
    same: bool = False  # both sets are from one source


def main() -> None:
    """Make vectors, draw pairs, test each in both ways, and publish."""
    given = _options()
    keep_features()
    kept = Kept("drift-quick" if given.quick else "drift", {"pairs": given.pairs, "pictures": given.pictures})
    for question in [*_of_pictures(given), *_of_texts(given)]:
        pairs = given.pairs * 5 if question.same else given.pairs
        kept.get(f"{question.name}, {question.count}", _asked, question, pairs)
    for rows in GROWTH[:1] if given.quick else GROWTH:
        kept.get(f"rows {rows}", _grown, rows)
    publish("drift", "Two sets of one source, or not?", _body(kept.figures), kept.figures, quick=given.quick)
    kept.finish()


def _options() -> argparse.Namespace:
    options = parser(str(__doc__), seeds=None)
    options.add_argument("--pairs", type=int, default=40, help="of each kind; five times as many of one source")
    options.add_argument("--pictures", type=int, default=PICTURES, help="with changed versions (default %(default)s)")
    given = options.parse_args()
    if given.quick:
        given.pairs, given.pictures = min(given.pairs, 4), min(given.pictures, 120)
    return given


def _of_pictures(given: argparse.Namespace) -> list[Question]:
    count = min(300, given.pictures // 2)
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        scratch = Path(folder)
        rows = flowers(60 if given.quick else None)
        whole, labels = _features(rows, scratch / "all.csv")
        chosen = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))[: given.pictures]]
        changed = {name: _features(_stored(chosen, name, scratch), scratch / "some.csv")[0] for name in CHANGES}
    roses = np.where(labels == "rose", 2.0, 1.0)
    far = np.square(whole - whole.mean(axis=0)).sum(axis=1)
    usual = np.where(far < np.quantile(far, 0.8), 1.0, 1e-9)
    some = min(1000, len(rows) // 3)
    return [
        Question("flowers, halves", 100 if not given.quick else 40, _halves(whole), same=True),
        Question("flowers, halves", count, _halves(whole), same=True),
        *(Question(f"flowers, all {name}", count, _part(changed, name, 1.0)) for name in list(CHANGES)[1:]),
        *(Question(f"flowers, 20 % {name}", count, _part(changed, name, 0.2)) for name in list(CHANGES)[3:]),
        Question("flowers, twice as many roses", count, _weighted(whole, roses)),
        Question("flowers, twice as many roses", some, _weighted(whole, roses)),
        Question("flowers, without the fifth that is unusual", count, _weighted(whole, usual)),
    ]


def _of_texts(given: argparse.Namespace) -> list[Question]:
    rows = hotel(200 if given.quick else None)
    hotels = text_vectors(row["text"].encode() for row in rows)
    good = np.array([row["label"] == "positive" for row in rows])
    films = text_vectors(row["text"].encode() for row in imdb(200 if given.quick else 1000))
    small, large = (40, 60) if given.quick else (100, 1000)

    def against_films(random: np.random.Generator, count: int) -> Pair:
        return films[random.permutation(len(films))[:count]], hotels[random.permutation(len(hotels))[:count]]

    return [
        Question("hotel reviews, halves", small, _halves(hotels), same=True),
        Question("hotel reviews, halves", large, _halves(hotels), same=True),
        Question("hotel reviews, good ones 1.5 times as likely", large, _weighted(hotels, 1 + good / 2)),
        Question("hotel reviews, good ones twice as likely", large, _weighted(hotels, 1.0 + good)),
        Question("film reviews against hotel reviews", small, against_films),
    ]


def _features(rows: list[dict[str, str]], manifest: Path) -> tuple[Floats, NDArray[np.str_]]:
    """Vectors in the order of the rows' paths, and labels."""
    dataset = api.check(write_manifest(manifest, rows))
    say(f"features of {len(dataset.examples):,} pictures")
    found = vectors(dataset, dataset.examples, Silent())
    assert found is not None
    return found, np.array([one.label for one in dataset.examples])


def _stored(rows: list[dict[str, str]], name: str, scratch: Path) -> list[dict[str, str]]:
    """Store each picture once more, changed; the unchanged too, so that storing them is no difference."""
    folder = scratch / name.replace(" ", "-").replace("%", "percent")
    folder.mkdir()
    stored = []
    for number, row in enumerate(rows):
        with Image.open(row["path"]) as photo:
            CHANGES[name](photo.convert("RGB")).save(folder / f"{number:05d}.jpg", quality=92)
        stored.append({"path": str(folder / f"{number:05d}.jpg"), "label": row["label"]})
    return stored


def _halves(rows: Floats) -> Callable[[np.random.Generator, int], Pair]:
    def draw(random: np.random.Generator, count: int) -> Pair:
        places = random.permutation(len(rows))
        return rows[places[:count]], rows[places[count : 2 * count]]

    return draw


def _part(changed: Mapping[str, Floats], name: str, part: float) -> Callable[[np.random.Generator, int], Pair]:
    """Other pictures of the same flowers, a part of the new ones changed."""
    length = min(map(len, changed.values()))

    def draw(random: np.random.Generator, count: int) -> Pair:
        places = random.permutation(length)
        new, old = places[:count], places[count : 2 * count]
        many = round(part * count)
        return np.concatenate([changed[name][new[:many]], changed["same"][new[many:]]]), changed["same"][old]

    return draw


def _weighted(rows: Floats, weights: NDArray[np.float64]) -> Callable[[np.random.Generator, int], Pair]:
    """The old set as it comes, the new one drawn from the rest by weights."""

    def draw(random: np.random.Generator, count: int) -> Pair:
        places = random.permutation(len(rows))
        rest = places[count:]
        new = random.choice(rest, count, replace=False, p=weights[rest] / weights[rest].sum())
        return rows[new], rows[places[:count]]

    return draw


def _asked(question: Question, pairs: int) -> dict[str, Any]:
    """The p-values of both tests, and the AUCs."""
    told: dict[str, Any] = {"same": question.same, "noria": [], "mmd": [], "auc": [], "holds": 0}
    for seed in range(pairs):
        new, old = question.draw(np.random.default_rng(seed), question.count)
        drift = measure(new, old, seed=seed, permutations=PERMUTATIONS)
        assert drift is not None
        told["noria"].append(drift.p_value)
        told["auc"].append(drift.auc)
        told["holds"] += drift.interval[0] <= 0.5 <= drift.interval[1]
        told["mmd"].append(_mmd(new, old, np.random.default_rng(seed)))
    return told


def _mmd(new: Floats, old: Floats, random: np.random.Generator) -> float:
    """The p-value of the squared maximum mean discrepancy on standardised columns."""
    rows = np.concatenate([new, old])
    rows = (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-6)
    squares = np.square(rows).sum(axis=1)
    distances = np.maximum(squares[:, np.newaxis] + squares - 2 * rows @ rows.T, 0)
    kernel = np.exp(-distances / np.median(distances))
    first = np.repeat((np.arange(len(rows)) < len(new))[:, np.newaxis], 1 + PERMUTATIONS, axis=1)
    first[:, 1:] = random.permuted(first[:, 1:], axis=0)
    weights = (first / len(new) - ~first / len(old)).astype(np.float32)
    found = (weights * (kernel @ weights)).sum(axis=0)
    return float((found >= found[0] - 1e-9).mean())


def _grown(rows: int) -> dict[str, Any]:
    measured = run_child([sys.executable, "-c", GROWN, str(rows), "1280"])
    return {**measured.json(), "peak_bytes": measured.peak_bytes}


def _body(figures: Mapping[str, Any]) -> str:
    level, power, growth = [], [], []
    for name, told in figures.items():
        if name.startswith("rows "):
            beside = (told["peak_bytes"] - told["sets_bytes"]) / MIB
            growth.append([f"{int(name.split()[1]):,}", f"{told['seconds']:.1f}", f"{beside:.0f}"])
            continue
        sets, _, count = name.rpartition(", ")
        at = [f"{np.mean(np.array(told[test]) <= limit):.1%}" for test in ("noria", "mmd") for limit in (0.01, 0.05)]
        middle = [sets, count, str(len(told["auc"])), f"{np.mean(told['auc']):.3f}"]
        if told["same"]:
            ordered = np.sort(told["noria"])
            distance = np.abs(ordered - np.arange(1, len(ordered) + 1) / len(ordered)).max() * np.sqrt(len(ordered))
            level.append([*middle, f"{told['holds'] / len(ordered):.1%}", f"{distance:.2f}", *at])
        else:
            power.append([*middle, *at])
    tests = ["noria: p <= 0.01", "p <= 0.05", "MMD: p <= 0.01", "p <= 0.05"]
    head = ["sets", "rows of each", "pairs", "mean AUC"]
    return (
        "Both sets from one source: alarms must be as rare as p says, and p uniform (distance of Kolmogorov and "
        "Smirnov times the root of the pairs: above 1.36 once in twenty, above 1.63 once in a hundred).\n\n"
        + table([*head, "95 % interval holds 0.5", "distance", *tests], level)
        + "\n\nThe new set changed: how often that is found.\n\n"
        + table([*head, *tests], power)
        + "\n\nSeconds and memory beside the sets themselves, of two sets of 1,280 numbers a row, 499 permutations.\n\n"
        + table(["rows of each", "seconds", "MiB"], growth)
    )


if __name__ == "__main__":
    main()
