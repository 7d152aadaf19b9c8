"""What does it cost to watch a training: TensorBoard's files and alarms?

Two small networks on real photos of flowers at 32 pixels, watched. What the watches take is measured as processor time
of the thread in which they run, as it is what an epoch gets longer by; the epoch as processor time of the process,
divided by the cores that it can use, which is the shortest that it can take: so the share is an upper bound.
`python bench/watching.py` takes about 3 minutes on 2 cores.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from _harness import Kept, cores, flowers, parser, publish, table, write_manifest
from noria import api
from noria.config import load_config, resolved
from noria.contracts import Silent
from noria.jobs import make_job
from noria.training import board as boards
from noria.training.alarms import Alarms
from noria.training.board import Board
from noria.training.strategies import scratch

NETWORKS = ("convnet", "resnet_small")
EPOCHS = 4


def main() -> None:
    """Train each network once, watched, and publish the table."""
    given = parser(str(__doc__), seeds=None).parse_args()
    limit = 40 if given.quick else None
    kept = Kept("watching-quick" if given.quick else "watching", {"limit": limit})
    for name in NETWORKS:
        kept.get(name, _measured, name, limit)
    publish("watching", "What watching a training costs", _body(kept.figures), kept.figures, quick=given.quick)
    kept.finish()


def _measured(name: str, limit: int | None) -> dict[str, Any]:
    spent: dict[str, list[float]] = {"step": [], "epoch": []}
    ends: list[float] = []

    def timed(method: Callable[[Any, Any], None], kind: str, last: bool) -> Callable[[Any, Any], None]:
        def call(watch: Any, told: Any) -> None:
            begun = time.thread_time()
            method(watch, told)
            spent[kind].append(time.thread_time() - begun)
            if last:
                ends.append(time.process_time())

        return call

    for watch in (Alarms, Board):
        for kind in spent:
            setattr(watch, kind, timed(getattr(watch, kind), kind, watch is Board and kind == "epoch"))
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        place = Path(folder)
        config = load_config(
            model__name=name, training__epochs=EPOCHS, training__patience=EPOCHS, data__wrong_labels=False
        )
        dataset = api.check(write_manifest(place / "flowers.csv", flowers(limit)), config=config)
        job, _ = make_job(dataset, resolved(config), time.monotonic())
        scratch.train(replace(job, unfinished=place / "unfinished"), store=None, progress=Silent())  # type: ignore[arg-type]
        written = sum(file.stat().st_size for file in (place / "unfinished" / boards.BOARD).rglob("*"))
    # The first epoch makes the graphs.
    epochs = [after - before for before, after in pairwise(ends)]
    return {
        "pictures": len(dataset.by_split("train")),
        "steps": len(spent["step"]) // 2 // EPOCHS,
        "step": sum(spent["step"]) / len(spent["step"]) * 2,
        "at_end": median(a + b for a, b in zip(spent["epoch"][2::2], spent["epoch"][3::2], strict=True)),
        "epoch": median(epochs) / cores(),
        "bytes": written,
    }


def _body(figures: dict[str, Any]) -> str:
    rows = []
    for name in NETWORKS:
        told = figures[name]
        watching = told["at_end"] + told["steps"] * told["step"]
        rows.append(
            [
                name,
                f"{told['pictures']:,}",
                f"{told['epoch']:.2f}",
                f"{told['at_end'] * 1000:.1f}",
                f"{told['step'] * 1e6:.0f}",
                f"{watching / told['epoch']:.1%}",
                f"{told['bytes'] / 1e6:.1f}",
            ]
        )
    return table(
        ["network", "pictures learnt from", "s an epoch, at least", "watching: ms an epoch", "µs a step",
         "of an epoch, at most", f"MB written, {EPOCHS} epochs"], rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
