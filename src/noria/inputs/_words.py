"""UTF-8 bytes -> words: the rules in plain Python; `exporting/graphs/text.py` has them as TensorFlow ops.

1. The line breaks of web pages, `<br>`, `<br/>` and `<br />` in any case, separate words.
2. Bytes that are not UTF-8 separate words.
3. Each code point folds by itself (`_unicode.py`): accents, apostrophes, soft hyphens and variation selectors go,
   capitals become small letters, and full-width and other compatibility forms plain ones.
4. Words are runs of letters, digits and their marks. Punctuation, symbols, emoji, and the characters of scripts that
   are written without spaces (Han, kana, Thai, Hangul …) are each a word of their own.
5. All else separates words: spaces, controls, invisible format characters, what Unicode 14 has not assigned.
"""

from __future__ import annotations

import re

from noria.inputs._unicode import foldings

LINE_BREAK = r"<[bB][rR] ?/?>"  # in a syntax that RE2, which TensorFlow uses, reads alike

_LINE_BREAK = re.compile(LINE_BREAK.encode())


def tokens(data: bytes) -> list[str]:
    """Return the words of a text in order, e.g. b"Don't say 'caf\\xc3\\xa9'!" -> ["dont", "say", "cafe", "!"]."""
    return without_line_breaks(data).decode("utf-8", "replace").translate(foldings()).split()


def without_line_breaks(data: bytes) -> bytes:
    """Return the text with a space for each line break of a web page."""
    return _LINE_BREAK.sub(b" ", data) if b"<" in data else data
