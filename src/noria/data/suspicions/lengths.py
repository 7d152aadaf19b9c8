"""Texts -> those that are extremely short or long beside the others, and how many the model's input will cut.

Lengths are compared as logarithms, by their median and its median deviation, so that a few extremes do not hide each
other; and a bound that holds for all texts has to be broken, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from noria.contracts import Example, Finding, Suspect
from noria.data.suspicions import Looked

KINDS = frozenset({"short_text", "long_text", "text_cut"})

_FEW = 50  # texts, below which they are no measure
_DEVIATIONS = 4.5
_LEAST_SPREAD = 0.35  # of the logarithm: a deviation is taken for a factor of 1.4 at least
_SHORT = 3  # words; a longer text can say something
_TIMES = 10  # the median
_SHOWN = 20
_REMEDY = "Cut off, or several in one cell? Look at them: noria check DATA --page."


def suspicions(looked: Looked) -> list[Finding]:
    """Return what is extremely short, what is extremely long, and what will be cut."""
    examples = [one for one in looked.examples if "words" in one.facts]
    words = np.array([one.facts["words"] for one in examples], np.int64)
    return [*_about_extremes(examples, words), *_about_cut(examples, words, looked)]


def _about_extremes(examples: Sequence[Example], words: np.ndarray) -> Iterator[Finding]:
    if len(examples) < _FEW:
        return
    logarithms = np.log(np.maximum(words, 1))
    median = float(np.median(logarithms))
    spread = max(_LEAST_SPREAD, 1.4826 * float(np.median(np.abs(logarithms - median))))
    away = (logarithms - median) / spread
    usual = round(float(np.exp(median)))
    short = np.flatnonzero((away < -_DEVIATIONS) & (words <= _SHORT))
    long = np.flatnonzero((away > _DEVIATIONS) & (words > _TIMES * usual))
    for kind, found, what in (("short_text", short, "short"), ("long_text", long, "long")):
        if not found.size:
            continue
        ordered = found[np.argsort(-np.abs(away[found]), kind="stable")]
        scores = np.minimum(1.0, np.abs(away[ordered]) / (2 * _DEVIATIONS))
        suspects = tuple(
            Suspect(examples[place].path, examples[place].label, round(float(score), 4))
            for place, score in zip(ordered.tolist(), scores, strict=True)
        )
        least, most = int(words[found].min()), int(words[found].max())
        message = (
            f"{len(found):,} {'text is' if len(found) == 1 else 'texts are'} extremely {what}: {least:,} to {most:,} "
            f"words and signs, where {usual:,} are usual."
        )
        paths = tuple(one.path for one in suspects[:_SHOWN])
        yield Finding(kind, "info", len(found), paths, message, _REMEDY, suspects)


def _about_cut(examples: Sequence[Example], words: np.ndarray, looked: Looked) -> Iterator[Finding]:
    if looked.settings.get("encoding") != "sequence":
        return
    length = int(looked.settings["length"])
    cut = np.flatnonzero(words > length)
    if cut.size:
        message = (
            f"{len(cut):,} of {len(words):,} texts are longer than the {length:,} words that the model is given "
            "(input.length); the rest of each is not read."
        )
        paths = tuple(examples[place].path for place in cut[:_SHOWN].tolist())
        remedy = f"--set input.length={int(np.percentile(words, 95)):,} would read 95 % of them whole.".replace(",", "")
        yield Finding("text_cut", "info", len(cut), paths, message, remedy)
