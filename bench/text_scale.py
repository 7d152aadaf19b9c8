"""Do the seconds and the memory of `noria train` on texts grow faster than the texts? 10,000, 100,000 and 1,000,000.

The texts are made of real sentences: those of all 50,000 IMDB reviews, drawn at random from reviews of one label until
a length is reached that is itself drawn (log-normal, as lengths of reviews are). The aims: growth no faster than the
data, and less than 4 GiB. `python bench/text_scale.py` takes half an hour or more on 2 cores and 3 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

from _harness import MIB, Kept, noria_command, parser, percent, publish, run_child, say, scratch_folder, table
from _text_sides import MB
from _texts import IMDB_LABELS, imdb

SIZES, QUICK_SIZES = (10_000, 100_000, 1_000_000), (500, 2_000, 8_000)
MEMORY_AIM_MIB = 4096
GROWTH_AIM = 1.05  # 1 is as fast as the data; the rest is a machine that is not alone
SIGMA = 0.8  # of the logarithm of a length; IMDB's own is 0.64 with a median of 173 words
SHORTEST, LONGEST = 5, 1_000  # words
SEED = 0
_SENTENCE_END = re.compile(r"(?:<br />\s*)+|(?<=[.!?])\s+")
PROTOCOL = """
Made texts: whole sentences of IMDB reviews of one label, drawn with seed {seed}, until as many words are reached as a
log-normal distribution says (median {median}, sigma {sigma}, cut to {shortest} to {longest}). A sentence occurs in
several texts, on all sides of the split, so the accuracy is that of a harmless but leaky set: it shows that the model
learnt, and says nothing about other texts. Each size in a process of its own, from an empty cache, default settings
(3:1:1, ngrams), check, evaluation and report included. What a further text costs is the difference to the next
smaller size, so starting Python and TensorFlow is not in it. Growth: that cost and the number of texts together grow
like the number of texts to this power; 1 is as fast as the data.
"""


def main() -> None:
    """Make the texts, train on each size and publish the growth."""
    given = _options()
    kept = Kept("text_scale-quick" if given.quick else "text_scale", {"median": given.median_words})
    for size in given.sizes:
        with scratch_folder() as scratch:
            kept.get(str(size), _one, size, given.median_words, scratch)
    body = _body(kept.figures, given)
    if given.sizes != list(QUICK_SIZES if given.quick else SIZES):
        print(body)  # so far; the figures are kept
        return
    title = "Texts by the million: how time and memory grow"
    publish("text_scale", title, body, kept.figures, quick=given.quick)
    kept.finish()


def _options() -> argparse.Namespace:
    options = parser(str(__doc__), seeds=None)
    options.add_argument("--sizes", nargs="+", type=int, help="texts; only a run of all sizes is published")
    options.add_argument("--median-words", type=int, default=60,
                         help="of a text (default %(default)s; IMDB itself: 173)")  # fmt: skip
    given = options.parse_args()
    given.sizes = given.sizes or list(QUICK_SIZES if given.quick else SIZES)
    given.sizes = sorted(given.sizes)
    return given


def _one(size: int, median: int, scratch: Path) -> dict[str, Any]:
    texts, run = scratch / f"made-{size}.jsonl", scratch / "run"
    facts = _make(texts, size, median)
    say(f"training on {size:,} texts of {facts['mean_words']:.0f} words, {facts['bytes'] / MB:,.0f} MB")
    measured = run_child(
        noria_command("train", texts, "--out", run, "--json", "--quiet"), cache=scratch / "empty-cache"
    )
    told = measured.json()
    return {
        **facts,
        "seconds": measured.seconds,
        "cpu_seconds": measured.cpu_seconds,
        "peak_bytes": measured.peak_bytes,
        "stages": told["seconds"],
        "counts": told["num_examples"],
        "accuracy": told["test"]["accuracy"],
        "features": _features(run),
    }


def _make(path: Path, size: int, median: int) -> dict[str, Any]:
    """Write the made texts, a line at a time, and tell their lengths."""
    sentences = _sentences()
    rng = random.Random(SEED)
    lengths = []
    with path.open("w", encoding="utf-8") as file:
        for _ in range(size):
            label = rng.choice(IMDB_LABELS)
            wanted = min(max(rng.lognormvariate(math.log(median), SIGMA), SHORTEST), LONGEST)
            words, parts = 0, []
            while words < wanted:
                sentence, count = rng.choice(sentences[label])
                parts.append(sentence)
                words += count
            lengths.append(words)
            file.write(json.dumps({"text": " ".join(parts), "label": label}, ensure_ascii=False) + "\n")
    cuts = statistics.quantiles(lengths, n=20)
    return {
        "bytes": path.stat().st_size,
        "mean_words": statistics.fmean(lengths),
        "words": {"5 %": cuts[0], "median": cuts[9], "95 %": cuts[18], "most": max(lengths)},
    }


def _sentences() -> dict[str, list[tuple[str, int]]]:
    """The distinct sentences of each label and how many words each has, in the order in which they stand."""
    found: dict[str, dict[str, int]] = {label: {} for label in IMDB_LABELS}
    for row in imdb():
        for sentence in _SENTENCE_END.split(row["text"]):
            if words := len(sentence.split()):
                found[row["label"]][sentence] = words
    return {label: list(ones.items()) for label, ones in found.items()}


def _features(run: Path) -> int:
    """How many n-grams the model knows."""
    width: int = json.loads((run / "run.json").read_text(encoding="utf-8"))["features"]["width"]
    return width


def _body(figures: dict[str, Any], given: argparse.Namespace) -> str:
    sides = {size: figures[str(size)] for size in given.sizes}
    costs = {key: _costs(sides, key) for key in ("seconds", "peak_bytes")}
    lines = [_line(size, one, costs) for size, one in sides.items()]
    header = ["texts", "MB", "words, mean (median, 95 %)", "seconds", "ms a further text", "peak memory, MiB",
              "KiB a further text", "n-grams", "accuracy (95 %)"]  # fmt: skip
    text = table(header, lines) + "\n"
    text += PROTOCOL.format(
        seed=SEED, median=given.median_words, sigma=SIGMA, shortest=SHORTEST, longest=LONGEST
    ).rstrip()
    largest = max(one["peak_bytes"] for one in sides.values()) / MIB
    growth = {key: max(_growths(ones), default=math.nan) for key, ones in costs.items()}
    met = max(growth.values()) <= GROWTH_AIM
    text += (
        f"\n\n**Most memory: {largest:,.0f} MiB** (aim, less than {MEMORY_AIM_MIB:,}: "
        f"{'met' if largest < MEMORY_AIM_MIB else 'not met'}). **Growth: {growth['seconds']:.2f} of time, "
        f"{growth['peak_bytes']:.2f} of memory** (aim, no faster than the data, up to {GROWTH_AIM} for noise: "
        f"{'met' if met else 'not met'})."
    )
    return text + "".join(f"\n\nStages of {size:,}, s: {_told(one['stages'])}." for size, one in sides.items())


def _line(size: int, one: dict[str, Any], costs: dict[str, dict[int, float]]) -> list[str]:
    words = one["words"]
    seconds, memory = costs["seconds"].get(size), costs["peak_bytes"].get(size)
    return [
        f"{size:,}",
        f"{one['bytes'] / MB:,.0f}",
        f"{one['mean_words']:.0f} ({words['median']:.0f}, {words['95 %']:.0f})",
        f"{one['seconds']:,.1f}",
        "" if seconds is None else f"{seconds * 1000:.2f}",
        f"{one['peak_bytes'] / MIB:,.0f}",
        "" if memory is None else f"{memory / 1024:.2f}",
        f"{one['features']:,}",
        percent(one["accuracy"], one["counts"]["test"]),
    ]


def _costs(sides: dict[int, dict[str, Any]], key: str) -> dict[int, float]:
    """What each text costs that a size has more than the next smaller one."""
    return {
        size: (sides[size][key] - sides[smaller][key]) / (size - smaller) for smaller, size in pairwise(sorted(sides))
    }


def _growths(costs: dict[int, float]) -> list[float]:
    """The exponents from size to size: where n texts cost a + b n^p, and each size is k times the last, they are p."""
    return [
        1 + math.log(costs[size] / costs[smaller]) / math.log(size / smaller)
        if costs[smaller] > 0 < costs[size]
        else 0.0
        for smaller, size in pairwise(sorted(costs))
    ]


def _told(stages: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:,.1f}" for name, seconds in stages.items())


if __name__ == "__main__":
    main()
