"""What does a split that cannot leak change? Test accuracy of a naive split and of Noria's, beside the truth.

Copies of the kinds that `bench/duplicates.py` plants are added to some of the photos, as a set gathered from the web or
from bursts has them. A quarter of the photos is put away first: no copy of them is anywhere, so accuracy there is the
truth. Naive is scikit-learn's `train_test_split` by label; features and heads of both are as `noria train` has them,
without varied views. `python bench/leaks.py` takes about 20 minutes on 2 cores.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from sklearn.model_selection import train_test_split

from _features import checked, head_accuracy, open_backbone
from _harness import SETS, Kept, Row, mean, parser, percent, publish, scratch_folder, spread, table
from duplicates import KINDS
from noria.config import load_config, resolved
from noria.contracts import SPLITS, Example

APART, COPIED, COPIES = 0.25, 0.5, 2  # shares of the photos put away, and copied; copies of each of those


def main() -> None:
    """Plant, split by both sides, train, score, and publish."""
    given = parser(str(__doc__)).parse_args()
    limit, seeds = (40, 1) if given.quick else (None, given.seeds)
    names = ("solar", "flowers")
    kept = Kept("leaks-quick" if given.quick else "leaks", {"limit": limit})
    for name in names:
        for seed in range(seeds):
            kept.get(f"{name} {seed}", _measured, name, seed, limit)
    publish("leaks", "What leak-proofing changes", _body(kept.figures, names, seeds), kept.figures, quick=given.quick)
    kept.finish()


def _measured(name: str, seed: int, limit: int | None) -> dict[str, Any]:
    rows = SETS[name](limit)
    rest, apart = train_test_split(rows, test_size=APART, random_state=seed, stratify=[row["label"] for row in rows])
    config = resolved(load_config(task="image_classification", seed=seed))
    backbone = open_backbone(config)
    with scratch_folder() as scratch:
        planted = _planted(rest, scratch / "copies", random.Random(seed))
        sets = {
            "all": checked(planted, seed, scratch / "all.csv"),
            "apart": checked(apart, seed, scratch / "apart.csv"),
        }
        vectors = {}
        for one in sets.values():
            vectors.update(backbone.features(one, config, 0))
    split = {
        "naive": _naive(sets["all"].examples, seed),
        "noria": {side: sets["all"].by_split(side) for side in SPLITS},
    }
    told: dict[str, Any] = {"planted": len(planted) - len(rest), "apart": len(sets["apart"].examples)}
    for side, sides in split.items():
        judged = {"claimed": sides["test"], "true": sets["apart"].examples}
        told[side] = {
            what: head_accuracy(vectors, sets["all"].labels, {**sides, "test": ones}, config, seed=seed)["accuracy"]
            for what, ones in judged.items()
        }
        told[side]["tested"] = len(sides["test"])
    return told


def _planted(rows: list[Row], folder: Path, drawn: random.Random) -> list[Row]:
    """Return the rows, and copies of some of them, each of a kind and strength drawn."""
    folder.mkdir()
    kinds = [(change, strength) for kind, (change, strengths, _) in KINDS.items() for strength in strengths[:2]
             if kind != "recompressed"]  # fmt: skip
    found = [_bare(row) for row in rows]
    for number, row in enumerate(drawn.sample(rows, round(COPIED * len(rows)))):
        with Image.open(row["path"]) as photo:
            image = photo.convert("RGB")
        for copy in range(COPIES):
            change, strength = drawn.choice(kinds)
            path = folder / f"{number:05d} {copy}.jpg"
            change(image, strength, drawn).save(path, "JPEG", quality=90)
            found.append({"path": str(path), "label": row["label"]})
    return found


def _naive(examples: Sequence[Example], seed: int) -> dict[str, Sequence[Example]]:
    """Split 3:1:1 by label, as if no picture had a copy."""
    rest, test = train_test_split(examples, test_size=0.2, random_state=seed, stratify=[one.label for one in examples])
    train, validation = train_test_split(rest, test_size=0.25, random_state=seed, stratify=[one.label for one in rest])
    return {"train": train, "validation": validation, "test": test}


def _bare(row: Row) -> Row:
    return {"path": row["path"], "label": row["label"]}


def _body(figures: dict[str, Any], names: tuple[str, ...], seeds: int) -> str:
    rows = []
    for name in names:
        runs = [figures[f"{name} {seed}"] for seed in range(seeds)]
        for side, told in (("naive", "naive, by label"), ("noria", "Noria's")):
            ones = [run[side] for run in runs]
            too_much = [100 * (one["claimed"] - one["true"]) for one in ones]
            rows.append([
                name, told, percent(mean([one["claimed"] for one in ones]), ones[0]["tested"]),
                percent(mean([one["true"] for one in ones]), runs[0]["apart"]), spread(too_much, "{:+.1f}"),
            ])  # fmt: skip
    header = ["set", "split", "test accuracy claimed (95 %)", "on photos put away (95 %)", "claimed too much, points"]
    planted = ", ".join(f"{figures[f'{name} 0']['planted']:,} copies in {name}" for name in names)
    return f"{table(header, rows)}\n\n{seeds} seeds, smallest to largest in brackets; planted: {planted}."


if __name__ == "__main__":
    main()
