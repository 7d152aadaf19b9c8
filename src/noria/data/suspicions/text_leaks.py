"""Texts and labels -> what stands in texts and nearly alone tells the label, without being what the text says.

Looked for are marks (a rating such as 5/5, a tag in brackets, a source, an id), a beginning or an end that many texts
of one label share word for word, and the label's own name. What it is must be in many texts of its label and in hardly
any other; the less a mark looks like one, the more of them it takes. Ordinary words are never told of by themselves.
"""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from noria.contracts import Finding, Suspect
from noria.data.suspicions import Looked
from noria.inputs._words import tokens

KINDS = frozenset({"label_leak"})

_COUNTED, _LEAST_COUNTED = 40_000, 200  # texts, spread over all, and of a label: shares need no more
_FEWEST = 10  # texts of the label that have it
_TIMES = 50.0  # its share among the label's texts to its share among the others
_OBVIOUS = 0.05  # share of the label's texts that have a rating or a tag, or another mark at the very start or end
_OTHER_MARK = 0.2  # that have another mark, such as a word with digits, anywhere
_SAME_WORDS = 0.4  # that begin or end with the same words
_NAME = 0.9  # that have the label's name
_MOST_NAMES = 50  # of more labels the names are not looked for
_AT_EDGE = 0.9  # share of a mark's texts that have it as one of their first or last words
_EDGE = 48  # characters
_LONGEST_EDGE = 4  # words
_USUAL_WORDS = 10  # shorter texts begin alike by nature: requests, titles
_SHOWN, _SUSPECTS = 20, 1_000
_CACHED = 1 << 18

_OBVIOUS_MARK = re.compile(
    r"[0-9]{1,3}(?:[.,][0-9])?/(?:5|10|100)(?![0-9/])"  # a rating
    r"|\[[^\[\]\s]{1,24}\]|【[^【】\s]{1,16}】|<[^<>\s]{1,24}>|\{[^{}\s]{1,24}\}|#\w{2,24}|[★☆⭐]+"
    r"|\w{2,16}[:=：]\w{1,16}"
)
_OTHER = re.compile(
    r"(?:https?://|www\.)[\w.-]{3,48}|@\w{2,24}|(?:[A-Za-z]+[-_]?[0-9]|[0-9]+[-_]?[A-Za-z])[\w-]*|[0-9]{2,}"
)
_DIGITS = re.compile("[0-9]+")


_Counts = Mapping[tuple[str, str, str], int]  # (kind, mark, label) -> texts


@dataclass(frozen=True, slots=True)
class _Leak:
    kind: str  # how it is told
    mark: str
    label: str
    share: float  # of the label's texts that have it
    others: float  # of the others

    @property
    def score(self) -> float:
        """How much it tells, from 0 to 1."""
        return self.share / (self.share + self.others)


def suspicions(looked: Looked) -> list[Finding]:
    """Return a finding for each label that leaks, with the strongest mark of it."""
    sizes = Counter(one.label for one in looked.examples)
    if len(sizes) < 2:
        return []
    steps = {label: size // max(_LEAST_COUNTED, _COUNTED // len(sizes)) + 1 for label, size in sizes.items()}
    counted, words = _counted(looked, steps)
    long_enough = words >= _USUAL_WORDS
    best: dict[str, _Leak] = {}
    for leak in sorted(_leaks(counted, sizes, steps, long_enough), key=_by_strength):
        best.setdefault(leak.label, leak)
    return _findings(looked, list(best.values())) if best else []


def _counted(looked: Looked, steps: Mapping[str, int]) -> tuple[_Counts, float]:
    """Count the marks of every so-maniest text of each label; return also how many words a text has."""
    names = [label for label in steps if len(label) > 1 and not label.isdecimal()]
    names = names if len(names) <= _MOST_NAMES else []
    turns: Counter[str] = Counter()
    counts: Counter[tuple[str, str, str]] = Counter()
    words = 0
    for one, text in zip(looked.examples, looked.texts(), strict=True):
        words += one.facts.get("words", 0)
        if turns[one.label] % steps[one.label] == 0:
            counts.update((*key, one.label) for key in _marks(text, names))
        turns[one.label] += 1
    return counts, words / len(looked.examples)


def _leaks(counts: _Counts, sizes: Mapping[str, int], steps: Mapping[str, int], long_enough: bool) -> Iterator[_Leak]:
    for (kind, mark, label), count in counts.items():
        share = count * steps[label] / sizes[label]
        if count < _FEWEST or share < _OBVIOUS or kind == "edge":
            continue
        have = {other: counts.get((kind, mark, other), 0) * steps[other] for other in sizes}
        others = (sum(have.values()) - have[label]) / (sum(sizes.values()) - sizes[label])
        if others * _TIMES > share:
            continue
        if kind == "name":
            enough = share >= _NAME and mark == label
        elif kind in ("start", "end"):
            enough = share >= _SAME_WORDS and long_enough
        else:
            enough = (
                kind == "obvious" or share >= _OTHER_MARK or counts.get(("edge", mark, label), 0) >= _AT_EDGE * count
            )
        if enough:
            yield _Leak(kind, mark, label, min(1.0, share), others)


def _by_strength(leak: _Leak) -> tuple[float, int, str]:
    return -leak.share * leak.score, -len(leak.mark), leak.mark


def _marks(data: bytes, names: Sequence[str]) -> set[tuple[str, str]]:
    """Return what a text has that could tell its label, one of `names` among it: (kind, mark)."""
    text = data.decode("utf-8", "replace")
    found: set[tuple[str, str]] = set()
    for piece in set(text.split()):
        found.update(_marks_of(piece) if len(piece) <= _EDGE else _marks_in(piece))
    if found:
        edges = f"{text[:_EDGE]} {text[-_EDGE:]}" if len(text) > 2 * _EDGE else text
        found |= {("edge", mark) for _, mark in found if mark in edges or ("#" in mark and mark in _shape(edges))}
    head, tail = tokens(text[:_EDGE].encode()), tokens(text[-_EDGE:].encode())
    if len(text) > _EDGE:  # words that the excerpt cut are none
        head, tail = head[:-1], tail[1:]
    for length in range(1, _LONGEST_EDGE + 1):
        if len(head) >= length:
            found.add(("start", " ".join(head[:length])))
        if len(tail) >= length and any(map(str.isalnum, tail[-length:])):
            found.add(("end", " ".join(tail[-length:])))
    folded = text.casefold() if names else ""
    found.update(("name", name) for name in names if name.casefold() in folded)
    return found


@functools.lru_cache(_CACHED)
def _marks_of(piece: str) -> tuple[tuple[str, str], ...]:
    return _marks_in(piece)


def _marks_in(piece: str) -> tuple[tuple[str, str], ...]:
    """The marks of a piece of text without spaces; of one with digits also its shape, since each id is another."""
    if piece.isalpha():
        return ()
    found = [("obvious", mark) for mark in _OBVIOUS_MARK.findall(piece)]
    found += [("other", mark) for mark in _OTHER.findall(piece)]
    found += [(kind, _shape(mark)) for kind, mark in found if _DIGITS.search(mark) and not mark[0].isdigit()]
    return tuple(found)


def _shape(text: str) -> str:
    return _DIGITS.sub("#", text)


def _findings(looked: Looked, leaks: Sequence[_Leak]) -> list[Finding]:
    """Go through all texts once more, for those that have what was found."""
    keys = {(leak.kind, leak.mark): leak for leak in leaks}
    have: defaultdict[str, list[int]] = defaultdict(list)
    names = [leak.mark for leak in leaks if leak.kind == "name"]
    for place, (one, text) in enumerate(zip(looked.examples, looked.texts(), strict=True)):
        for key in _marks(text, names) & keys.keys():
            if keys[key].label == one.label:
                have[keys[key].label].append(place)
    return [_finding(looked, leak, have[leak.label]) for leak in leaks]


def _finding(looked: Looked, leak: _Leak, places: Sequence[int]) -> Finding:
    how = {"start": "begin with", "end": "end with", "name": "name their label,"}.get(leak.kind, "have")
    shape = " (# is any number)" if "#" in leak.mark and leak.kind in ("obvious", "other") else ""
    message = (
        f"{leak.share:.1%} of the texts of {leak.label!r} {how} {leak.mark!r}{shape}, and {leak.others:.2%} of the "
        "others: it tells the label without the text being understood."
    )
    remedy = (
        "Take it out of the texts, unless it will be there when the model is asked. Look at some: noria check DATA "
        "--page."
    )
    suspects = tuple(
        Suspect(looked.examples[place].path, leak.label, round(leak.score, 4)) for place in places[:_SUSPECTS]
    )
    paths = tuple(one.path for one in suspects[:_SHOWN])
    return Finding("label_leak", "warning", len(places), paths, message, remedy, suspects)
