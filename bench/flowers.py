"""How much faster than the documented Keras recipe is `noria train`, and is it as accurate? 4,054 flower photos.

The same split, the same backbone, each side in a process of its own, Noria from an empty cache. Both train, choose and
answer for the test pictures. `python bench/flowers.py` takes half an hour or more on 2 cores, nearly all of it the
recipe's (an epoch of it takes 39 to 85 s, by machine and load); stopped, it goes on from the last finished seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from _harness import (
    BENCH,
    MIB,
    Kept,
    Row,
    flowers,
    mean,
    noria_command,
    parser,
    percent,
    publish,
    read_manifest,
    run_child,
    scratch_folder,
    split_as_noria,
    spread,
    table,
    write_manifest,
)

FASTER = 20.0  # the aim: as many times, at no less accuracy
RECIPE = BENCH / "_keras_recipe.py"
MODEL = "efficientnet_lite0"
CACHED = "keras-cached"
TRAINING = ("engine", "features", "load", "head")  # stages of `noria train`; the others read, judge and split data


def main() -> None:
    """Measure both sides on each seed and publish the comparison."""
    given = _options()
    settings = {"limit": given.limit, "epochs": given.keras_epochs}
    kept = Kept("flowers-quick" if given.quick else "flowers", settings)
    for seed in range(given.seeds):
        with scratch_folder() as scratch:
            rows = split_as_noria(flowers(given.limit), seed, scratch)
            manifest = write_manifest(scratch / "flowers.csv", rows)
            kept.get(f"noria {seed}", _noria, manifest, seed, scratch)
            if seed < given.keras_seeds:
                for side in _recipes(given):
                    kept.get(f"{side} {seed}", _keras, rows, seed, scratch / side, given)
    publish("flowers", "Flowers: `noria train` against the Keras recipe", _body(kept.figures, given), kept.figures,
            quick=given.quick)  # fmt: skip
    kept.finish()


def _options() -> argparse.Namespace:
    options = parser(str(__doc__))
    options.add_argument("--keras-seeds", type=int, help="seeds of the recipe (default: as many as --seeds)")
    options.add_argument("--keras-epochs", type=int, default=10, help="epochs of the recipe (default %(default)s)")
    options.add_argument("--with-keras-cache", action="store_true", help="the recipe with .cache(), too")
    options.add_argument("--limit", type=int, help="only so many pictures of each label")
    given = options.parse_args()
    if given.quick:
        given.seeds, given.keras_epochs, given.limit = 1, min(given.keras_epochs, 1), given.limit or 30
    given.keras_seeds = min(given.seeds if given.keras_seeds is None else given.keras_seeds, given.seeds)
    return given


def _recipes(given: argparse.Namespace) -> dict[str, str]:
    """Return the ways in which the recipe is run, and what is told of each in the table."""
    epochs = f"{given.keras_epochs} epoch{'s' if given.keras_epochs != 1 else ''}"
    ways = {"keras": f"Keras recipe, {epochs}"}
    return ways | ({CACHED: f"Keras recipe, {epochs}, with .cache()"} if given.with_keras_cache else {})


def _noria(manifest: Path, seed: int, scratch: Path) -> dict[str, Any]:
    run = scratch / "run"
    command = noria_command("train", manifest, "--out", run, "--seed", str(seed), "--model", MODEL, "--json", "--quiet")
    measured = run_child(command, cache=scratch / "empty-cache")
    told = measured.json()
    rows = read_manifest(run / "predictions.csv")
    return {
        "seconds": measured.seconds,
        "peak_bytes": measured.peak_bytes,
        "training_seconds": sum(told["seconds"][stage] for stage in TRAINING),
        "stages": told["seconds"],
        "counts": told["num_examples"],
        "right": {str(manifest.parent / row["path"]): row["answer"] == row["label"] for row in rows},
    }


def _keras(rows: list[Row], seed: int, place: Path, given: argparse.Namespace) -> dict[str, Any]:
    tree, out = place / "tree", place / "keras.json"
    by_name = _link_tree(rows, tree)
    command = [
        sys.executable,
        str(RECIPE),
        str(tree),
        str(out),
        "--epochs",
        str(given.keras_epochs),
        "--seed",
        str(seed),
    ]
    measured = run_child([*command, "--model", MODEL, *(["--cache"] if place.name == CACHED else [])])
    told = json.loads(out.read_text(encoding="utf-8"))
    return {
        "seconds": measured.seconds,
        "peak_bytes": measured.peak_bytes,
        "training_seconds": told["fit_seconds"],
        "epoch_seconds": told["epoch_seconds"],
        "val_accuracy": told["val_accuracy"],
        "right": {by_name[name]["path"]: answer == by_name[name]["label"] for name, answer in told["answers"].items()},
    }


def _link_tree(rows: list[Row], tree: Path) -> dict[str, Row]:
    """Make SPLIT/LABEL/FILE of links, as the recipe wants it; return the row of each file's name."""
    by_name = {}
    for number, row in enumerate(rows):
        name = f"{number:05d}{Path(row['path']).suffix}"
        place = tree / row["split"] / row["label"] / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(row["path"])
        by_name[name] = row
    return by_name


def _body(figures: dict[str, Any], given: argparse.Namespace) -> str:
    noria = [figures[f"noria {seed}"] for seed in range(given.seeds)]
    keras = [figures[f"keras {seed}"] for seed in range(given.keras_seeds)]
    lines = [_line(f"`noria train`, cold cache ({MODEL})", noria)]
    for side, told in _recipes(given).items():
        if keras:
            lines.append(_line(told, [figures[f"{side} {seed}"] for seed in range(given.keras_seeds)]))
    counts = noria[0]["counts"]
    text = table(
        ["", "seeds", "test accuracy (95 %)", "whole process, s", "training alone, s", "peak memory, MiB"], lines
    )
    total = counts["train"] + counts["validation"] + counts["test"]
    text += (
        f"\n\n{total:,} photos of 5 labels: {counts['train']:,} train, "
        f"{counts['validation']:,} validation, {counts['test']:,} test; a seed is a split, the same for both. "
        "Training alone: engine, features, what was left to load of Keras, and head, or `fit`. Spreads are from the "
        "smallest to the largest seed."
    )
    return text + (_verdict(noria[: len(keras)], keras) if keras else "")


def _line(name: str, side: list[dict[str, Any]]) -> list[str]:
    accuracy = mean([mean([float(right) for right in one["right"].values()]) for one in side])
    return [
        name,
        str(len(side)),
        percent(accuracy, len(side[0]["right"])),
        spread([one["seconds"] for one in side]),
        spread([one["training_seconds"] for one in side]),
        spread([one["peak_bytes"] / MIB for one in side], "{:.0f}"),
    ]


def _verdict(noria: list[dict[str, Any]], keras: list[dict[str, Any]]) -> str:
    """Compare on the same test pictures: ratio of seconds, and difference of accuracy with a paired interval."""
    import numpy as np

    from noria.evaluation.compare import paired_difference

    ratio = mean([b["seconds"] for b in keras]) / mean([a["seconds"] for a in noria])
    alone = mean([b["training_seconds"] for b in keras]) / mean([a["training_seconds"] for a in noria])
    seeds = []
    for a, b in zip(noria, keras, strict=True):
        shared = sorted(a["right"].keys() & b["right"].keys())
        if len(shared) != len(a["right"]) or len(shared) != len(b["right"]):
            raise SystemExit("The two sides did not answer for the same test pictures.")
        right = [np.array([side["right"][path] for path in shared], np.int64) for side in (a, b)]
        seeds.append(paired_difference(right[0], right[1], np.ones(len(shared), np.int64)))
    difference = mean([one["difference"] for one in seeds])
    told = ", ".join(
        f"{one['difference'] * 100:+.1f} ({one['interval'][0] * 100:+.1f} to {one['interval'][1] * 100:+.1f})"
        for one in seeds
    )
    met = "met" if ratio >= FASTER and difference >= 0 else "not met"
    return (
        f"\n\nAgainst the recipe as documented: **{ratio:.1f} times as fast** (whole process; training alone "
        f"{alone:.1f} times). Accuracy of Noria minus the recipe's: **{difference * 100:+.2f} points**, seed by seed "
        f"with paired 95 % intervals {told}. Aim, {FASTER:.0f} times at no less accuracy: {met}."
    )


if __name__ == "__main__":
    main()
