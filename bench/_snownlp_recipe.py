"""SnowNLP's own sentiment of Chinese, as it is installed: nothing is trained, above 0.5 is positive.

python bench/_snownlp_recipe.py TABLE.jsonl OUT.json
"""

from __future__ import annotations

from snownlp import SnowNLP

from _text_recipe import Given, Ready, run


def train(given: Given) -> Ready:
    """Train nothing: its model came with the package."""

    def answer_one(text: str) -> str:
        return "positive" if SnowNLP(text).sentiments > 0.5 else "negative"

    return Ready(lambda texts: [answer_one(text) for text in texts], answer_one)


if __name__ == "__main__":
    run(__doc__, train)
