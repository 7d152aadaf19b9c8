"""CIFAR-10: what each regularisation is worth on the tutorials' network, and what Noria's own networks reach.

The published table (base, then dropout of 0.5, then batch normalisation, then augmentation, each with the one before)
is a network of 32, 64 and 128 filters: its test accuracy, and how much better it is on what it was trained on. Here
both are of the weights that are kept; on 10,000 of the training pictures. Then a frozen EfficientNet-Lite0, and a small
residual network from nothing. `python bench/cifar10.py` takes about two and a half hours on 2 cores, the last two rows
one of them; `--rows` takes some of it, and publishes that by itself.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _cifar10 import A_BATCH, write_cifar10
from _harness import (
    Kept,
    mean,
    noria_command,
    parser,
    percent,
    publish,
    run_child,
    scratch_folder,
    spread,
    table,
)  # fmt: skip
from _trained import fitted

SPLIT = "data.split=[9,1,1]"  # a tenth of the training pictures validates; the test set is as it is published
SEEN = 10_000  # training pictures on which the finished model is measured as well
# How far pictures vary in the tutorials' table is not told with it; this is what is usual for CIFAR-10.
VARIED = (
    "augment.width_shift_range=0.1", "augment.height_shift_range=0.1", "augment.rotation_range=0",
    "augment.zoom_range=0", "augment.brightness_range=[1,1]", "augment.contrast_range=[1,1]",
)  # fmt: skip
NEARER = ("augment.width_shift_range=0.0625", "augment.height_shift_range=0.0625")
MIRRORED = (*VARIED, *NEARER, "training.epochs=20", "training.mirrored=true")
PLAIN = ("augment.views=0",)
FALLING = ("training.schedule=cosine", "training.warmup=0.05", "training.batch_size=64")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what is trained, and what was published."""

    name: str
    model: str
    settings: Sequence[str]
    published: str = "–"
    searched: bool = False  # for near duplicates and wrong labels, as is the default
    seeds: int | None = None  # where it is not as many as for the others


def _convnet(norm: bool, dropout: float, epochs: int, *settings: str) -> tuple[str, ...]:
    return (
        f"model.options.batch_norm={str(norm).lower()}", f"model.options.dropout={dropout}",
        f"training.epochs={epochs}", *FALLING, *settings,
    )  # fmt: skip


ROWS = {
    # First, for the others then have its check.
    "frozen": Row("`efficientnet_lite0`, frozen", "efficientnet_lite0", (), searched=True, seeds=1),
    "base": Row("`convnet`: 32, 64, 128 filters", "convnet", _convnet(False, 0.0, 8, *PLAIN), "78.5 %, gap 12.3"),
    "dropout": Row("+ dropout 0.5", "convnet", _convnet(False, 0.5, 12, *PLAIN), "81.2 %, gap 5.7"),
    "norm": Row("+ batch normalisation", "convnet", _convnet(True, 0.5, 12, *PLAIN), "83.1 %, gap 4.2"),
    "varied": Row("+ augmentation", "convnet", _convnet(True, 0.5, 20, *VARIED), "85.6 %, gap 2.8"),
    "resnet": Row("`resnet_small`", "resnet_small", (*VARIED, *NEARER), seeds=1),
    "mirrored": Row("`resnet_small`, 20 epochs, mirrored", "resnet_small", MIRRORED, seeds=1),
}  # fmt: skip


def main() -> None:
    """Train each row with each seed, and publish the table."""
    given = _options()
    limit = 60 if given.quick else A_BATCH
    name = "cifar10" if given.rows == list(ROWS) else f"cifar10-{'-'.join(given.rows)}"
    kept = Kept(f"{name}-quick" if given.quick else name, {"limit": limit})
    with scratch_folder() as scratch:
        manifest = write_cifar10(scratch / "cifar10", limit)
        seen = _seen(manifest)
        for key in given.rows:
            for seed in range(_seeds(key, given)):
                kept.get(f"{key} {seed}", _trained, ROWS[key], manifest, seen, scratch / f"{key}{seed}", seed, given)
    publish(name, "CIFAR-10: from the tutorials' network to ours", _body(kept.figures, given), kept.figures,
            quick=given.quick)  # fmt: skip
    kept.finish()


def _options() -> argparse.Namespace:
    options = parser(str(__doc__), seeds=2)
    options.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    return options.parse_args()


def _seeds(key: str, given: argparse.Namespace) -> int:
    return 1 if given.quick else min(given.seeds, ROWS[key].seeds or given.seeds)


def _seen(manifest: Path) -> Path:
    """Write a manifest of training pictures: as test pictures, to measure a finished model on."""
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    chosen = rows[:: max(1, len(rows) // SEEN)]
    path = manifest.with_name("seen.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((row["path"], row["label"]) for row in chosen)])
    return path


def _trained(row: Row, manifest: Path, seen: Path, run: Path, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    settings = (SPLIT, *row.settings) if row.searched else (SPLIT, *row.settings, "data.wrong_labels=false")
    figures = fitted(manifest, row.model, settings, run, seed, given.quick)
    known = run_child(noria_command("evaluate", run, seen, "--json", "--quiet"), cache=run.with_name("cache")).json()
    return {**figures, "gap": known["accuracy"] - figures["accuracy"]}


def _body(figures: dict[str, Any], given: argparse.Namespace) -> str:
    lines = []
    for key in given.rows:
        each = [figures[f"{key} {seed}"] for seed in range(_seeds(key, given))]
        right = [one["accuracy"] for one in each]
        lines.append([
            ROWS[key].name,
            str(len(each)),
            percent(mean(right), each[0]["tested"]),
            f"{100 * (max(right) - min(right)):.1f}" if len(each) > 1 else "–",
            f"{100 * mean([one['gap'] for one in each]):.1f}",
            ROWS[key].published,
            spread([one["seconds"] - one["check"] for one in each], "{:.0f}"),
            f"{max(one['peak_mib'] for one in each):,.0f}",
        ])  # fmt: skip
    header = ("", "seeds", "test accuracy (95 %)", "points between seeds", "points better on seen pictures",
              "published", "seconds after check and features", "MiB")  # fmt: skip
    told = (
        "Of the 50,000 training pictures those with a copy in the test set are set aside, a tenth of the others "
        "validates; tested on all 10,000. "
    )
    if "frozen 0" in figures:
        cold = figures["frozen 0"]
        told += (
            f"The frozen network was the first: from an empty cache `noria train` took {cold['seconds']:.0f} seconds, "
            f"of which the check and the features {cold['check']:.0f}; the others have the check's outcome from there."
        )
    return table(header, lines) + "\n\n" + told


if __name__ == "__main__":
    main()
