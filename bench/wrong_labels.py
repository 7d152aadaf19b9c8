"""Are planted wrong labels found? Noria's ranking against cleanlab's on the same held out scores: flowers, steel, IMDB.

A share of all labels is replaced by another one, drawn evenly. Both sides rank the labels by the scores of models that
did not see them (`noria.held_out`). `python bench/wrong_labels.py` takes about 10 minutes on 2 cores.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _harness import PROJECT, SETS, Kept, data_folder, mean, parser, publish, spread, table
from noria.artifacts.checksums import sha256_file
from noria.config import load_config, resolved
from noria.contracts import Silent
from noria.data.features import Wanted
from noria.data.folds import folds_of
from noria.data.wrong_labels import doubt
from noria.held_out import scores_of_texts, scores_of_vectors
from noria.vectors import features

RATES = (0.05, 0.1, 0.2)
TEXTS = 25_000

Labels = NDArray[np.int64]


def main() -> None:
    """Plant, rank by both sides, and publish how good the rankings are."""
    given = parser(str(__doc__)).parse_args()
    os.environ.setdefault("NORIA_CACHE", str(PROJECT / ".noria" / "bench"))
    limit, seeds = (40, 1) if given.quick else (None, given.seeds)
    kept = Kept("wrong_labels-quick" if given.quick else "wrong_labels", {"limit": limit})
    for name in ("flowers", "steel", "imdb"):
        for rate in RATES:
            for seed in range(seeds):
                kept.get(f"{name} {rate} {seed}", _measured, name, rate, seed, limit)
        kept.get(f"{name} as it is", _measured, name, 0.0, 0, limit)
    publish("wrong_labels", "Planted wrong labels, and how they are ranked", _body(kept.figures, seeds), kept.figures,
            quick=given.quick)  # fmt: skip
    kept.finish()


def _measured(name: str, rate: float, seed: int, limit: int | None) -> dict[str, Any]:
    inputs, truth, classes = _texts(limit) if name == "imdb" else _pictures(name, limit)
    drawn = np.random.default_rng(seed)
    count = round(rate * len(truth))
    wrong = np.zeros(len(truth), np.bool_)
    wrong[drawn.choice(len(truth), count, replace=False)] = True
    given = np.where(wrong, (truth + drawn.integers(1, classes, len(truth))) % classes, truth)
    started = monotonic()
    score = scores_of_texts if name == "imdb" else scores_of_vectors
    (scores,) = score(inputs, given, classes, [folds_of(range(len(truth)), given)])
    seconds = monotonic() - started
    doubts = doubt(scores, given)
    told: dict[str, Any] = {
        "seconds": seconds,
        "accuracy": float((scores.argmax(axis=1) == truth).mean()),
        "doubted": len(doubts.wrong),
        "rate": doubts.rate,
        "interval": list(doubts.interval),
    }
    if not count:
        return told
    told["doubted_right"] = int(wrong[doubts.wrong].sum())
    for side, ranking in {"noria": doubts.sureness, **_cleanlab(scores, given)}.items():
        order = np.argsort(-ranking, kind="stable")
        told[side] = {"auprc": _auprc(wrong[order]), "precision": float(wrong[order[:count]].mean())}
    return told


def _cleanlab(scores: NDArray[np.float32], given: Labels) -> dict[str, NDArray[np.float64]]:
    """Return how doubtful cleanlab finds each label: by its default and by its other score of quality."""
    from cleanlab.rank import get_label_quality_scores

    methods = ("self_confidence", "normalized_margin")
    return {f"cleanlab {one}": -get_label_quality_scores(given, scores, method=one) for one in methods}


def _auprc(found: NDArray[np.bool_]) -> float:
    """Return the area under the precision-recall curve, as average precision."""
    precision = np.cumsum(found) / np.arange(1, len(found) + 1)
    return float(precision[found].mean())


@functools.cache
def _pictures(name: str, limit: int | None) -> tuple[Any, Labels, int]:
    rows = SETS[name](limit)
    from pathlib import Path

    wanted = [Wanted(Path(row["path"]), sha256_file(Path(row["path"]))) for row in rows]
    vectors = features(resolved(load_config(task="image_classification")), Silent())(wanted)
    names, labels = np.unique([row["label"] for row in rows], return_inverse=True)
    return vectors, labels, len(names)


@functools.cache
def _texts(limit: int | None) -> tuple[Any, Labels, int]:
    with gzip.open(data_folder("imdb") / "imdb_train.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][: None if limit is None else 20 * limit]
    order = np.random.default_rng(0).permutation(len(rows))[:TEXTS]
    names, labels = np.unique([str(rows[place]["label"]) for place in order], return_inverse=True)
    return [rows[place]["text"].encode() for place in order], labels, len(names)


def _body(figures: dict[str, Any], seeds: int) -> str:
    rows = []
    for name in ("flowers", "steel", "imdb"):
        for rate in RATES:
            runs = [figures[f"{name} {rate} {seed}"] for seed in range(seeds)]
            sides = [one for one in runs[0] if isinstance(runs[0][one], dict)]
            rows.append([
                name, f"{rate:.0%}", f"{mean([run['accuracy'] for run in runs]):.1%}",
                *(spread([run[side]["auprc"] for run in runs], "{:.3f}") for side in sides),
                *(f"{mean([run[side]['precision'] for run in runs]):.3f}" for side in sides[:2]),
                _doubted(runs), spread([100 * run["rate"] for run in runs], "{:.1f} %"),
                f"{mean([run['seconds'] for run in runs]):.0f}",
            ])  # fmt: skip
    header = ["set", "planted", "accuracy of the scores", "AUPRC, Noria", "AUPRC, cleanlab self_confidence",
              "AUPRC, cleanlab normalized_margin", "precision at the planted number, Noria", "the same, cleanlab",
              "told: number, planted among them", "estimated rate", "s"]  # fmt: skip
    as_it_is = "; ".join(
        f"{name} {figures[f'{name} as it is']['doubted']:,} ({figures[f'{name} as it is']['rate']:.1%})"
        for name in ("flowers", "steel", "imdb")
    )
    return (
        f"{table(header, rows)}\n\n{seeds} seeds each, smallest to largest in brackets. Told without any planted "
        f"label: {as_it_is}; wrong labels that were there before count as wrongly accused in every row. Aim: AUPRC of "
        "0.8 at 10 %."
    )


def _doubted(runs: list[dict[str, Any]]) -> str:
    told, right = (mean([run[what] for run in runs]) for what in ("doubted", "doubted_right"))
    return f"{told:,.0f}, {right:,.0f}"


if __name__ == "__main__":
    main()
