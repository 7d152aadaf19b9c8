"""The two kinds of sides of a text benchmark, each in processes of its own: `noria train`, and a recipe -> figures.

Both are asked for all test texts of the same table. Where the clock of one side stands when its model is saved is read
from the wall clock, so what a side does before it (start, imports, reading, checking) is in, and what after is not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _harness import BENCH, MIB, mean, noria_command, percent, run_child, say, spread
from _text_recipe import folder_bytes
from _texts import read_table

HEADER = ("", "seeds", "test accuracy (95 %)", "to the saved model, s", "with all answers, s", "peak memory, MiB",
          "model, MB", "µs a text, together", "µs a text, singly")  # fmt: skip
ANSWERS_ON = "litert"
MB = 1e6


def noria(
    table: Path, scratch: Path, seed: int, settings: Sequence[str] = (), also: Sequence[str] = ()
) -> dict[str, Any]:
    """Train by the command line from an empty cache, export, and answer with LiteRT from the bundle.

    Args:
        also: other runtimes that answer, too; their figures, or None where the export is refused, are in `runtimes`.
    """
    run = scratch / "run"
    options = [part for setting in settings for part in ("--set", setting)]
    begun = time.time()
    train = noria_command("train", table, "--out", run, "--seed", str(seed), *options, "--json", "--quiet")
    trained = run_child(train, cache=scratch / "empty-cache")
    told = trained.json()
    bundled = _bundled(run, ANSWERS_ON, table)
    return {
        **bundled,
        "seconds_to_saved": (run / "model.keras").stat().st_mtime - begun,
        "seconds": trained.seconds,
        "peak_bytes": trained.peak_bytes,
        "model_bytes": bundled["file_bytes"] + folder_bytes(run / "input"),
        "cpu_seconds": trained.cpu_seconds,
        "stages": told["seconds"],
        "counts": told["num_examples"],
        "runtimes": {ANSWERS_ON: bundled, **{name: _bundled_or_refused(run, name, table) for name in also}},
    }


def recipe(script: str, table: Path, scratch: Path, seed: int = 0, variant: str | None = None) -> dict[str, Any]:
    """Run a recipe and return its figures in the same words."""
    out = scratch / f"{script}-{variant}.json"
    options = ["--seed", str(seed), *(["--variant", variant] if variant else [])]
    begun = time.time()
    measured = run_child([sys.executable, str(BENCH / f"{script}.py"), table, out, *options])
    told = json.loads(out.read_text(encoding="utf-8"))
    return {
        **_judged(told, table),
        "seconds_to_saved": told["saved_at"] - begun,
        "seconds": told["answered_at"] - begun,
        "peak_bytes": measured.peak_bytes,
        "model_bytes": told["model_bytes"],
        "facts": told["facts"],
    }


def accuracy(figures: dict[str, Any]) -> float:
    """Return the share of right answers."""
    return figures["right"].count("1") / len(figures["right"])


def line(name: str, seeds: Sequence[dict[str, Any]], *, trains: bool = True) -> list[str]:
    """Return a row of the table under HEADER."""
    return [
        name,
        str(len(seeds)),
        percent(mean([accuracy(one) for one in seeds]), len(seeds[0]["right"])),
        spread([one["seconds_to_saved"] for one in seeds]) if trains else "",
        spread([one["seconds"] for one in seeds]),
        spread([one["peak_bytes"] / MIB for one in seeds], "{:,.0f}"),
        f"{mean([one['model_bytes'] for one in seeds]) / MB:,.1f}" if trains else "",
        f"{mean([one['microseconds_together'] for one in seeds]):,.0f}",
        f"{mean([one['microseconds_singly'] for one in seeds]):,.0f}",
    ]


def paired(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> str:
    """Return our accuracy minus theirs in points, with the paired 95 % interval of each seed."""
    import numpy as np

    from noria.evaluation.compare import paired_difference

    told = []
    for a, b in zip(ours, theirs, strict=False):
        right = [np.array([int(one) for one in side["right"]], np.int64) for side in (a, b)]
        found = paired_difference(right[0], right[1], np.ones(len(right[0]), np.int64))
        low, high = found["interval"]
        told.append(f"{found['difference'] * 100:+.2f} ({low * 100:+.2f} to {high * 100:+.2f})")
    return ", ".join(told)


def _bundled(run: Path, runtime: str, table: Path) -> dict[str, Any]:
    """Export for one runtime, and let it answer."""
    bundle, out = run.with_name(f"bundle-{runtime}"), run.with_name(f"answers-{runtime}.json")
    exported = run_child(noria_command("export", run, "--out", bundle, "--formats", runtime, "--json", "--quiet"))
    run_child([sys.executable, str(BENCH / "_noria_answers.py"), bundle, table, out, "--runtime", runtime])
    return {
        **_judged(json.loads(out.read_text(encoding="utf-8")), table),
        "export_seconds": exported.seconds,
        "file_bytes": next(one["bytes"] for one in exported.json()["files"] if one["format"] == runtime),
    }


def _bundled_or_refused(run: Path, runtime: str, table: Path) -> dict[str, Any] | None:
    """A file that is refused is a result, too, and no reason to lose an hour of training."""
    try:
        return _bundled(run, runtime, table)
    except SystemExit:
        say(f"no {runtime} of {run}")
        return None


def _judged(told: dict[str, Any], table: Path) -> dict[str, Any]:
    """Keep of the answers which were right, as a line of ones and noughts, in the order of the table's test rows."""
    truth = [row["label"] for row in read_table(table) if row["split"] == "test"]
    right = "".join(str(int(answer == label)) for answer, label in zip(told["answers"], truth, strict=True))
    singly, together = told["microseconds_singly"], told["microseconds_together"]
    return {"right": right, "microseconds_singly": singly, "microseconds_together": together}
