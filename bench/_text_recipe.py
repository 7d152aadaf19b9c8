"""What every recipe for texts shares: a table in, a model trained and saved, the test texts answered, and all timed.

A recipe is a program `python RECIPE.py TABLE OUT.json [--variant NAME] [--seed N]` that calls `run` with its `train`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _harness import Row
from _texts import read_table

Answer = Callable[[Sequence[str]], Sequence[str | None]]  # texts -> labels; None where an answer is refused

SINGLY = 200  # test texts that are also answered one at a time


@dataclass(frozen=True)
class Given:
    """What a recipe may learn from, and where its model goes."""

    train: list[Row]
    validation: list[Row]  # empty where the split does not say
    folder: Path
    variant: str
    seed: int


@dataclass(frozen=True)
class Ready:
    """A trained and saved model."""

    answer: Answer
    answer_one: Callable[[str], str | None]  # the quickest documented way to answer a single text
    facts: dict[str, Any] = field(default_factory=dict)


def run(about: str | None, train: Callable[[Given], Ready], variants: Sequence[str] = ("default",)) -> None:
    """Run a recipe as a program: train, save, answer, and write down times, answers and the size of what was saved."""
    options = argparse.ArgumentParser(description=about)
    options.add_argument("table", type=Path, help="JSON lines with text, label and split")
    options.add_argument("out", type=Path)
    options.add_argument("--variant", choices=variants, default=variants[0])
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()

    rows = read_table(given.table)
    by_split = {side: [row for row in rows if row["split"] == side] for side in ("train", "validation", "test")}
    folder = given.out.with_suffix("")
    folder.mkdir()
    ready = train(Given(by_split["train"], by_split["validation"], folder, given.variant, given.seed))
    saved_at = time.time()
    told = answered([row["text"] for row in by_split["test"]], ready.answer, ready.answer_one)
    told |= {"saved_at": saved_at, "model_bytes": folder_bytes(folder), "facts": ready.facts}
    given.out.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")


def answered(texts: list[str], answer: Answer, answer_one: Callable[[str], str | None]) -> dict[str, Any]:
    """Answer all texts at once, then some singly; return the answers, when they were there, and microseconds a text."""
    start = time.perf_counter()
    answers = list(answer(texts))
    seconds = time.perf_counter() - start
    answered_at = time.time()
    step = max(1, len(texts) // SINGLY)
    answer_one(texts[0])  # what is made at the first answer is not counted
    singly = [_seconds(answer_one, text) for text in texts[::step]]
    return {
        "answers": answers,
        "answered_at": answered_at,
        "microseconds_together": seconds / len(texts) * 1e6,
        "microseconds_singly": statistics.median(singly) * 1e6,
    }


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _seconds(answer_one: Callable[[str], str | None], text: str) -> float:
    start = time.perf_counter()
    answer_one(text)
    return time.perf_counter() - start
