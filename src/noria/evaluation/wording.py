"""Facts as a person reads them: shares, intervals, counts, durations, sizes and names, each to a short text."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

NBSP = "\u00a0"
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff"
_SPACE_WITHIN = re.compile(f"(?<=[{_UNSPACED}]) (?=[{_UNSPACED}])")


def percent(share: float | None) -> str:
    """0.8716 -> "87.2 %"; what is not quite all or nothing is never rounded to 100 % or 0 %."""
    if share is None or not math.isfinite(share):
        return "–"
    for digits in (1, 2, 3):
        text = f"{100 * share:.{digits}f}"
        if share in (0.0, 1.0) or float(text) not in (0.0, 100.0):
            return f"{text}{NBSP}%"
    return f"<0.001{NBSP}%" if share < 0.5 else f">99.999{NBSP}%"


def short_percent(share: float) -> str:
    """0.25 -> "25 %", with decimals only where there are any: for round values."""
    return f"{100 * share:.3g}{NBSP}%"


def points(difference: float) -> str:
    """0.027 -> "2.7 percentage points"."""
    return f"{100 * difference:.1f} percentage points"


def percent_interval(interval: Sequence[float] | None) -> str:
    """(0.841, 0.898) -> "84.1–89.8 %"."""
    if interval is None:
        return "–"
    return f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}{NBSP}%"


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many decimals, or a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def count(value: int) -> str:
    """12345 -> "12 345", with a space that does not break."""
    return f"{value:,}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    """0.034 -> "34 ms", 8.24 -> "8.2 s", 75 -> "1 min 15 s", 4000 -> "1 h 07 min"."""
    if seconds < 1:
        return f"{1000 * seconds:.0f}{NBSP}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest:02d}{NBSP}s"
    return f"{minutes // 60}{NBSP}h {minutes % 60:02d}{NBSP}min"


def size(num_bytes: int) -> str:
    """Bytes in binary units: 5_033_164 -> "4.8 MiB"."""
    value, unit = float(num_bytes), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f}{NBSP}{unit}" if unit == "bytes" else f"{value:.1f}{NBSP}{unit}"


def phrase(words: str) -> str:
    """ "not good" as it is, "不 错" -> "不错": words of one character, of scripts without spaces, stand together."""
    return _SPACE_WITHIN.sub("", words)


def readable(text: str) -> str:
    r"""Write what cannot be seen or stored as its escape: a newline as \n, half a surrogate pair as \udc80.

    File names may hold both, and marks that turn the direction of writing; a report must show them, not obey them.
    """
    if text.isprintable():
        return text
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    # Format characters stay where scripts and emoji need them: the joiners, not the direction marks.
    if char in "\u200c\u200d" or char.isprintable() or unicodedata.category(char) == "Zs":
        return char
    return char.encode("unicode_escape").decode("ascii")
