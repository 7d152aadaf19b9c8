"""A run or a bundle answers the test texts of a table, as a recipe's child does: at once, then some singly.

python bench/_noria_answers.py BUNDLE TABLE.jsonl OUT.json --runtime litert
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from _text_recipe import answered
from _texts import read_table
from noria.inference.predictor import Input, Predictor, Result, open_source


def main() -> None:
    """Answer and write down answers and times."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("source", type=Path)
    options.add_argument("table", type=Path, help="JSON lines with text, label and split")
    options.add_argument("out", type=Path)
    options.add_argument("--runtime", required=True)
    given = options.parse_args()

    predictor = Predictor(open_source(given.source), runtime=given.runtime)

    def label(result: Result) -> str | None:
        return None if result.scores is None else predictor.labels[int(result.scores.argmax())]

    def answer(texts: Sequence[str]) -> list[str | None]:
        inputs = (Input(str(number), text.encode()) for number, text in enumerate(texts))
        return [label(result) for result in predictor.results(inputs)]

    def answer_one(text: str) -> str | None:
        return label(predictor.run([Input("one", text.encode())])[0])

    texts = [row["text"] for row in read_table(given.table) if row["split"] == "test"]
    given.out.write_text(json.dumps(answered(texts, answer, answer_one)), encoding="utf-8")


if __name__ == "__main__":
    main()
