"""fastText (Joulin et al. 2016) by its own Python package, at the settings of its paper and of its tutorial.

Paper: its script classification-results.sh, with the rate that it uses for the polarity of reviews. Tutorial:
fasttext.cc/docs/en/supervised-tutorial.html. Both learn from every training text and choose nothing. `fasttext-numpy2`
is the package `fasttext` with one line mended: its `predict` fails with NumPy 2, and it has no wheels.

    python bench/_fasttext_recipe.py TABLE.jsonl OUT.json --variant tutorial
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import fasttext

from _harness import cores
from _text_recipe import Given, Ready, run

PREFIX = "__label__"
SETTINGS: dict[str, dict[str, Any]] = {
    "paper": {"dim": 10, "lr": 0.1, "wordNgrams": 2, "minCount": 1, "bucket": 10_000_000, "epoch": 5},
    "tutorial": {"lr": 1.0, "epoch": 25, "wordNgrams": 2},
}
_DROPPED = re.compile(r"<br />|[\";:\s]+")
_APART = re.compile(r"([.,!?()'])")


def train(given: Given) -> Ready:
    """Write the lines that fastText reads, train on them and save."""
    rows = random.Random(given.seed).sample([*given.train, *given.validation], len(given.train) + len(given.validation))
    lines = given.folder.with_suffix(".txt")
    lines.write_text("".join(f"{PREFIX}{row['label']} {_tidy(row['text'])}\n" for row in rows), encoding="utf-8")
    settings = SETTINGS[given.variant]
    model = fasttext.train_supervised(str(lines), thread=cores(), seed=given.seed, verbose=0, **settings)
    model.save_model(str(given.folder / "model.bin"))

    def answer(texts: Sequence[str]) -> list[str]:
        found, _ = model.predict([_tidy(text) for text in texts])
        return [one[0].removeprefix(PREFIX) for one in found]

    def answer_one(text: str) -> str:
        label: str = model.predict(_tidy(text))[0][0]
        return label.removeprefix(PREFIX)

    return Ready(answer, answer_one, {"settings": settings})


def _tidy(text: str) -> str:
    """Lower case, punctuation apart, as the script of the paper does it."""
    return " ".join(_APART.sub(r" \1 ", _DROPPED.sub(" ", text.lower())).split())


if __name__ == "__main__":
    run(__doc__, train, tuple(SETTINGS))
