"""The table by which code points fold into words, read from `_unicode.txt`: the same whatever Python runs.

Python's own tables change with its version, and TensorFlow's differ again; a trained model must outlive both. The
file is made by tools/make_unicode_table.py.
"""

from __future__ import annotations

import functools
import sys
from importlib.resources import files
from itertools import repeat

SEPARATOR = " "


@functools.cache
def foldings() -> list[str]:
    """Return, for each of the 0x110000 code points, what it becomes.

    A character of a word stands alone, one that is a word of its own between spaces, whatever separates is a space,
    and what leaves no trace is empty. So the words of a text are what is between the spaces of its folded characters.
    Not to be changed by the caller: there is one list for the process (9 MiB, made in about 50 ms).
    """
    table = [SEPARATOR] * (sys.maxunicode + 1)
    folds = []
    for line in files("noria.inputs").joinpath("_unicode.txt").read_text(encoding="ascii").splitlines():
        kind, *codes = line.split()
        match kind:
            case "word":
                _fill(table, codes, "{}")
            case "single":
                _fill(table, codes, " {} ")
            case "fold":
                folds.append([int(code, 16) for code in codes])
    # Last, for they are made of the others.
    folded = {code: "".join(table[one] for one in becomes) for code, *becomes in folds}
    for code, becomes in folded.items():
        table[code] = becomes
    return table


def _fill(table: list[str], codes: list[str], shape: str) -> None:
    first, last = (int(code, 16) for code in codes)
    table[first : last + 1] = map(str.format, repeat(shape), map(chr, range(first, last + 1)))
