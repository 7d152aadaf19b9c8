"""What `noria.explain` tells of a text -> lines for a terminal: green pushed towards the answer, red away from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from noria.evaluation import passages
from noria.evaluation.attribution import Part
from noria.evaluation.wording import readable

SHOWN_CHARACTERS = 2_000  # of a text
STRONGEST = 8  # words on a line
STYLES = ("", "dim {}", "{}", "bold {}", "bold underline {}")  # by strength


def explanation(told: Mapping[str, Any]) -> list[Text]:
    """Return the lines that show what `noria.explain` tells of a text: its words coloured, then words and numbers."""
    if "error" in told:
        return [Text.assemble((readable(told["input"]), "bold"), ": ", (told["error"], "red"))]
    parts = [Part(start, end, word, contribution) for word, contribution, start, end in told["words"]]
    head = Text.assemble((readable(told["input"]), "bold"), ": ", (told["label"], "bold"), f" {told['confidence']:.1%}")
    return [head, _coloured(told["text"], parts), *_strongest(parts), Text()]


def _coloured(text: str, parts: Sequence[Part]) -> Text:
    reference = passages.largest([part.contribution for part in parts])
    line = Text("  ")
    for piece in passages.passage(text, parts, SHOWN_CHARACTERS):
        pushed = piece.contribution or 0.0
        style = STYLES[passages.strength(pushed, reference)].format("green" if pushed > 0 else "red")
        line.append(readable(piece.text), style)
    return line


def _strongest(parts: Sequence[Part]) -> Iterator[Text]:
    """The words with the largest sums over the text, on a line for each direction: readable without colours."""
    sums: dict[str, float] = {}
    for part in parts:
        word = passages.short(part.text.lower())
        sums[word] = sums.get(word, 0.0) + part.contribution
    for name, colour, sign in (("for", "green", 1), ("against", "red", -1)):
        ranked = sorted((pair for pair in sums.items() if sign * pair[1] >= 0.005), key=lambda pair: -sign * pair[1])
        words = ", ".join(f"{readable(word)} {pushed:+.2f}" for word, pushed in ranked[:STRONGEST])
        if words:
            yield Text.assemble(f"  {name:<8}", (words, colour))
