"""One `noria train` in a process of its own, from an empty cache -> its figures; and a line of a table for several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _harness import MIB, mean, noria_command, percent, read_manifest, run_child, spread

HEADER = ("", "seeds", "test accuracy (95 %)", "smallest and largest seed", "seconds", "peak memory, MiB")


def train_cold(manifest: Path, run: Path, seed: int, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Train on a manifest and return seconds, memory, counts and, by path, the test pictures' truth and answer."""
    options = [part for setting in settings for part in ("--set", setting)]
    command = noria_command("train", manifest, "--out", run, "--seed", str(seed), *options, "--json", "--quiet")
    measured = run_child(command, cache=run.with_name(f"{run.name}-cache"))
    told = measured.json()
    return {
        "seconds": measured.seconds,
        "peak_bytes": measured.peak_bytes,
        "stages": told["seconds"],
        "counts": told["num_examples"],
        "answers": {row["path"]: (row["label"], row["answer"]) for row in read_manifest(run / "predictions.csv")},
    }


def fitted(manifest: Path, model: str, settings: Sequence[str], run: Path, seed: int, quick: bool) -> dict[str, Any]:
    """Train a model in a process of its own; runs in one folder share a cache, so that one check does for all."""
    if quick:
        settings = [*(one for one in settings if not one.startswith("training.epochs")), "training.epochs=1"]
    options = [part for setting in settings for part in ("--set", setting)]
    command = noria_command(
        "train", manifest, "--model", model, "--out", run, "--seed", str(seed), *options, "--json", "--quiet"
    )
    measured = run_child(command, cache=run.with_name("cache"))
    told = measured.json()
    return {
        "accuracy": told["test"]["accuracy"],
        "tested": told["num_examples"]["test"],
        "seconds": measured.seconds,
        "check": sum(told["seconds"].get(name, 0.0) for name in ("check", "features")),
        "peak_mib": measured.peak_bytes / MIB,
    }


def accuracy(answers: dict[str, Sequence[str]]) -> float:
    """Return the share of answers that are the truth."""
    return mean([float(truth == answer) for truth, answer in answers.values()])


def line(name: str, seeds: Sequence[dict[str, Any]]) -> list[str]:
    """Return a row of the table under HEADER."""
    each = [accuracy(one["answers"]) for one in seeds]
    return [
        name,
        str(len(seeds)),
        percent(mean(each), len(seeds[0]["answers"])),
        f"{min(each):.1%}, {max(each):.1%}",
        spread([one["seconds"] for one in seeds]),
        spread([one["peak_bytes"] / MIB for one in seeds], "{:.0f}"),
    ]
