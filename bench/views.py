"""How many varied views of a training picture are worth their time, with how many pictures?

0, 1, 2 and 4 views with 10, 30, 100 and all training pictures a label, on flowers, solar cells and steel surfaces. All
features are computed once, then only heads are trained. The table decides `number_of_views` in
`noria/data/augment/image.py`. `python bench/views.py` takes about 15 minutes on 2 cores, with `--limit 200` about 6.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _features import (
    Backbone,
    Vectors,
    by_seed,
    checked,
    gain,
    head_accuracy,
    keep_features,
    open_backbone,
    options,
)
from _harness import SETS, Kept, mean, percent, publish, table
from noria.artifacts.dataset import Dataset
from noria.config import Config, load_config
from noria.contracts import Example

VIEWS = (0, 1, 2, 4)
AMOUNTS = (10, 30, 100, 0)  # training pictures of each label; 0: all there are
CHOOSING = 3  # one picture for choosing (validation) to this many for learning, as in a 3:1:1 split


def main() -> None:
    """Measure every number of views with every amount of data and publish the table."""
    given = options(str(__doc__), quick_limit=25)
    keep_features()
    kept = Kept("views-quick" if given.quick else "views", {"limit": given.limit, "sets": given.sets})
    config = load_config()
    backbone = open_backbone(config)
    for name in given.sets:
        for seed in range(given.seeds):
            _measure(name, seed, backbone, config, given, kept)
    publish(
        "views", "Varied views of each training picture", _body(kept.figures, given), kept.figures, quick=given.quick
    )
    kept.finish()


def _measure(name: str, seed: int, backbone: Backbone, config: Config, given: argparse.Namespace, kept: Kept) -> None:
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        dataset = checked(SETS[name](given.limit), seed, Path(folder) / "pictures.csv")
        vectors: Vectors = {}
        for amount in AMOUNTS:
            for views in VIEWS:
                key = f"{name} {amount or 'all'} {views} {seed}"
                if key not in kept.figures and not vectors:
                    vectors = backbone.features(dataset, config, max(VIEWS), dataset.by_split("train"))
                kept.get(key, _one, vectors, dataset, config, amount, views, seed)


def _one(vectors: Vectors, dataset: Dataset, config: Config, amount: int, views: int, seed: int) -> dict[str, Any]:
    sides = {
        "train": _some(dataset.by_split("train"), amount, seed),
        "validation": _some(dataset.by_split("validation"), amount // CHOOSING, seed),
        "test": dataset.by_split("test"),
    }
    told = head_accuracy(vectors, dataset.labels, sides, config, seed=seed, views=views)
    return {**told, "train": len(sides["train"])}


def _some(examples: Sequence[Example], amount: int, seed: int) -> Sequence[Example]:
    """Return `amount` examples of each label (fewer where there are fewer), or all where it is 0."""
    if amount == 0:
        return examples
    by_label: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_label[example.label].append(example)
    rng = random.Random(seed)
    return [one for label in sorted(by_label) for one in rng.sample(by_label[label], min(amount, len(by_label[label])))]


def _body(figures: dict[str, Any], given: argparse.Namespace) -> str:
    def accuracies(names: Sequence[str], amount: int, views: int) -> list[float]:
        """One for each seed: the mean over some sets."""
        return by_seed(figures, [f"{name} {amount or 'all'} {views}" for name in names], given.seeds)

    lines = []
    for names in [*([name] for name in given.sets), given.sets]:
        for amount in AMOUNTS:
            told = [figures[f"{name} {amount or 'all'} 0 0"] for name in names]
            middles = [mean(accuracies(names, amount, views)) for views in VIEWS]
            one = len(names) == 1
            cells = [percent(middle, told[0]["count"]) if one else f"{middle:.2%}" for middle in middles]
            in_all = f"{told[0]['train']:,}" if one else ""
            name = names[0] if one else "**mean**"
            gained = gain(accuracies(names, amount, 0), accuracies(names, amount, VIEWS[-1]))
            lines.append([name, str(amount or "all"), in_all, *cells, gained])
    header = ["set", "training pictures a label", "in all", *(f"views: {views}" for views in VIEWS)]
    amount_told = f"at most {given.limit} pictures a label in all" if given.limit else "all pictures"
    return (
        table([*header, f"{VIEWS[-1]} views minus none, points (seeds)"], lines)
        + f"\n\nTest accuracy with its 95 % interval, mean over seeds 0 to {given.seeds - 1} (a split and a draw "
        f"each); {amount_told}. The whole test side judges each time; for choosing there is one validation picture to "
        f"{CHOOSING} training pictures. Default augmentation, EfficientNet-Lite0, 224 pixels."
    )


if __name__ == "__main__":
    main()
