"""Write src/noria/inputs/_unicode.txt: how each code point folds, made once from Python 3.11's Unicode 14.0.

The table is checked in, so that a text is cut into the same words by every version of Python and by TensorFlow.
Another version of Unicode would be other rules: trained models rely on these. Run: python tools/make_unicode_table.py
"""

from __future__ import annotations

import itertools
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

TARGET = Path(__file__).parent.parent / "src" / "noria" / "inputs" / "_unicode.txt"

HEADER = """\
# Made by tools/make_unicode_table.py from Unicode {version}; hexadecimal, read by inputs/_unicode.py.
# "word FIRST LAST": each of these code points stands for itself and is part of a word.
# "single FIRST LAST": each stands for itself and is a word of its own.
# "fold CODE CODES": becomes these code points, each of which is one of the above; 20 separates; none: dropped.
# What is not listed separates words.
"""

# Blocks of scripts that are written without spaces, and Hangul, whose syllables say more than its long words.
UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul jamo
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0xA4CF),  # radicals, kana, Bopomofo, Hangul compatibility jamo, Han, Yi
    (0xA960, 0xA97F),  # Hangul jamo
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xAC00, 0xD7FF),  # Hangul syllables and jamo
    (0xF900, 0xFAFF),  # Han for compatibility
    (0x16FE0, 0x18DFF),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # kana, Nushu
    (0x20000, 0x3FFFF),  # Han
)
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)

# What leaves no trace: accents, which others leave out; apostrophes, so that "don't" is one word, typed in any way;
# and what only says how a word or an emoji shall look.
DROPPED = frozenset(
    itertools.chain(
        range(0x0300, 0x0370),
        range(0x1AB0, 0x1B00),
        range(0x1DC0, 0x1E00),
        range(0x20D0, 0x2100),
        range(0xFE20, 0xFE30),
        (0x27, 0x2019, 0x02BC),
        (0xAD,),  # soft hyphen
        range(0xFE00, 0xFE10),  # variation selectors
        range(0xE0100, 0xE01F0),
    )
)
REPLACEMENT = 0xFFFD  # decoders put it where bytes were invalid


def main() -> None:
    """Write the file; refuse a Python of another Unicode."""
    if unicodedata.unidata_version != "14.0.0":
        sys.exit(f"This Python has Unicode {unicodedata.unidata_version}; the table is of 14.0.0 (Python 3.11).")
    TARGET.write_text(table(), encoding="ascii")


def table() -> str:
    """Return the file's content as this Python's Unicode has it."""
    itself, folds = {}, []
    for code in range(sys.maxunicode + 1):
        folded = fold(code)
        if folded == (code,) and kind(code) != "separator":
            itself[code] = kind(code)
        elif any(kind(one) != "separator" for one in folded) or not folded:
            folds.append((code, folded))
    lines = [f"{name} {first:X} {last:X}" for name, first, last in _ranges(itself)]
    for code, folded in folds:
        codes = (0x20 if kind(one) == "separator" else one for one in folded)
        lines.append(" ".join(["fold", f"{code:X}", *(f"{one:X}" for one in codes)]))
    return HEADER.format(version=unicodedata.unidata_version) + "\n".join(lines) + "\n"


def fold(code: int) -> tuple[int, ...]:
    """Fold one code point by itself: compatibility forms, case and accents go."""
    if code in HANGUL_SYLLABLES:
        return (code,)
    decomposed = unicodedata.normalize("NFKD", chr(code))
    folded = unicodedata.normalize("NFKD", decomposed.casefold())
    return tuple(ord(one) for one in folded if ord(one) not in DROPPED)


def kind(code: int) -> str:
    """Return "word", "single" or "separator" for a folded code point."""
    category = unicodedata.category(chr(code))
    if category[0] in "ZC" or code == REPLACEMENT:
        return "separator"
    if category[0] in "PS" or any(first <= code <= last for first, last in UNSPACED):
        return "single"
    return "word"


def _ranges(kinds: dict[int, str]) -> Iterable[tuple[str, int, int]]:
    def consecutive(numbered: tuple[int, int]) -> tuple[str, int]:
        place, code = numbered
        return kinds[code], code - place

    for (name, _), group in itertools.groupby(enumerate(sorted(kinds)), consecutive):
        codes = [code for _, code in group]
        yield name, codes[0], codes[-1]


if __name__ == "__main__":
    main()
