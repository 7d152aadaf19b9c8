"""Pictures -> cached features -> heads, without a run around them: for questions that need hundreds of trainings.

The same functions that the strategy `frozen` calls, so that what is measured here is what `noria train` does. Features
stay in `.noria/bench` below the project (or NORIA_CACHE), so a second start computes only what is new.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _harness import PROJECT, SETS, Row, mean, parser, say, spread, write_manifest
from noria import api, models
from noria.artifacts.dataset import Dataset
from noria.artifacts.store import Store, cache_folder
from noria.config import Config, load_config
from noria.contracts import Example, Silent
from noria.data.augment import image as augment
from noria.data.features import Extractor, Wanted, compute_features
from noria.inference.runtimes import litert
from noria.inputs import image
from noria.quiet import load_tensorflow

Vectors = dict[tuple[str, int], NDArray[np.float32]]


def options(about: str, *, quick_limit: int) -> argparse.Namespace:
    """Read seeds, sets and how many pictures of each label are used; --quick takes one set and few pictures."""
    made = parser(about)
    made.add_argument("--limit", type=int, help="only so many pictures of each label, all sides together")
    made.add_argument("--sets", nargs="+", choices=sorted(SETS), default=sorted(SETS))
    given = made.parse_args()
    if given.quick:
        given.seeds, given.limit, given.sets = 1, given.limit or quick_limit, given.sets[:1]
    return given


def by_seed(figures: Mapping[str, Any], names: Sequence[str], seeds: int) -> list[float]:
    """Return one accuracy for each seed: the mean over the figures `NAME SEED`."""
    return [mean([figures[f"{name} {seed}"]["accuracy"] for name in names]) for seed in range(seeds)]


def gain(before: Sequence[float], after: Sequence[float]) -> str:
    """Return the difference in points, seed by seed, for a table."""
    return spread([(b - a) * 100 for a, b in zip(before, after, strict=True)], "{:+.1f}")


def keep_features() -> None:
    """Let features stay where a second start finds them."""
    os.environ.setdefault("NORIA_CACHE", str(PROJECT / ".noria" / "bench"))


def checked(rows: Sequence[Row], seed: int, place: Path) -> Dataset:
    """Return the dataset of these rows, split by a seed; `place` is where its manifest goes."""
    return api.check(write_manifest(place, rows), config=load_config(seed=seed))


@dataclass(frozen=True)
class Backbone:
    """A backbone ready to compute features."""

    fingerprint: str
    engine: Path

    def features(self, dataset: Dataset, config: Config, views: int, varied: Iterable[Example] = ()) -> Vectors:
        """Return the vectors of every picture, and `views` varied views of the pictures `varied`."""
        settings = image.Settings.model_validate(config.input.model_dump())
        variation = augment.Settings.model_validate(config.augment.model_dump())
        extractor = Extractor(
            space=f"{self.fingerprint}/{litert.FORMAT}/{settings.model_dump_json()}",
            view_spec=f"{augment.RECIPE}:{variation.model_dump_json(exclude={'views'})}",
            read=lambda data: image.read(data, settings),
            vary=lambda array, key: augment.vary(array, variation, key),
            open_session=lambda: litert.open_session(self.engine),
        )
        several = {one.sha256 for one in varied}
        wanted = [
            Wanted(dataset.path_of(one), one.sha256, tuple(range(views + 1)) if one.sha256 in several else (0,))
            for one in dataset.examples
        ]
        with Store(cache_folder() / "features.sqlite") as store:
            vectors, computed = compute_features(wanted, extractor, store, progress=Silent())
        say(f"{len(vectors):,} features, {computed:,} of them computed now")
        return vectors


def open_backbone(config: Config) -> Backbone:
    """Build and convert the backbone that a config names, or take it from the cache."""
    load_tensorflow()
    from noria.training.engine_file import converted_engine

    side = int(config.input.model_dump()["height"])
    network = models.find(config.model.name).build_backbone(
        config.model.name, image_size=side, weights=config.model.weights
    )
    engine = converted_engine(network, cache_folder() / "engines")
    return Backbone(engine.fingerprint, engine.path)


def head_accuracy(
    vectors: Vectors,
    labels: Sequence[str],
    sides: Mapping[str, Sequence[Example]],
    config: Config,
    *,
    seed: int,
    views: int = 0,
) -> dict[str, Any]:
    """Fit a head as `noria train` does and return its test `accuracy`, on `count` pictures."""
    from noria.training.head import fit_head

    index = {label: number for number, label in enumerate(labels)}

    def matrix(side: str, count: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        examples = sides[side]
        truth = np.array([index[one.label] for one in examples], np.int64)
        rows = [vectors[one.sha256, view] for view in range(count + 1) for one in examples]
        return np.stack(rows), np.tile(truth, count + 1)

    test, truth = matrix("test")
    head = fit_head(matrix("train", views), matrix("validation"), len(labels), config.training, seed=seed)
    right = head.logits(test).argmax(axis=1) == truth
    return {"accuracy": float(right.mean()), "count": len(truth), "chosen": head.chosen}
