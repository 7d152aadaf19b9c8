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

_COUNTED = 100_000  # texts, spread over all; shares need no more
_FEWEST = 10  # texts of the label that have it
_TIMES = 50.0  # its share among the label's texts to its share among the others
_OBVIOUS = 0.05  # share of the label's texts that have a rating or a tag, or another mark at the very start or end
_OTHER_MARK = 0.3  # that have another mark, such as a word with digits, anywhere
_SAME_WORDS = 0.4  # that begin or end with the same words
_NAME = 0.9  # that have the label's name
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
    step = len(looked.examples) // _COUNTED + 1
    sizes: Counter[str] = Counter()
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    words = 0
    for one, text in zip(looked.examples[::step], _every(looked.texts(), step), strict=True):
        sizes[one.label] += 1
        words += one.facts.get("words", 0)
        for key in _marks(text, one.label):
            counts[key][one.label] += 1
    if len(sizes) < 2:
        return []
    total = sizes.total()
    long_enough = words >= _USUAL_WORDS * total
    found = [leak for key, by_label in counts.items() for leak in _leaks(key, by_label, sizes, counts, long_enough)]
    best: dict[str, _Leak] = {}
    for leak in sorted(found, key=lambda leak: (-leak.share * leak.score, -len(leak.mark), leak.mark)):
        best.setdefault(leak.label, leak)
    return _findings(looked, list(best.values())) if best else []


def _leaks(
    key: tuple[str, str],
    by_label: Counter[str],
    sizes: Counter[str],
    counts: Mapping[tuple[str, str], Counter[str]],
    long_enough: bool,
) -> Iterator[_Leak]:
    kind, mark = key
    label, count = by_label.most_common(1)[0]
    rest = sizes.total() - sizes[label]
    share, others = count / sizes[label], (by_label.total() - count) / rest
    if count < _FEWEST or share < _OBVIOUS or others * _TIMES > share or (kind == "edge"):
        return
    if kind == "name":
        enough = share >= _NAME and mark == label
    elif kind in ("start", "end"):
        enough = share >= _SAME_WORDS and long_enough
    else:
        edge = counts.get(("edge", mark), Counter()).total() >= _AT_EDGE * by_label.total()
        enough = kind == "obvious" or share >= _OTHER_MARK or edge
    if enough:
        yield _Leak(kind, mark, label, share, others)


def _every(texts: Iterator[bytes], step: int) -> Iterator[bytes]:
    return (text for number, text in enumerate(texts) if number % step == 0)


def _marks(data: bytes, label: str) -> set[tuple[str, str]]:
    """Return what a text has that could tell its label: (kind, mark)."""
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
    if len(label) > 2 and not label.isdecimal() and label.casefold() in text.casefold():
        found.add(("name", label))
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
    for place, (one, text) in enumerate(zip(looked.examples, looked.texts(), strict=True)):
        for key in _marks(text, one.label) & keys.keys():
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
    remedy = "Take it out of the texts, unless it will be there when the model is asked."
    suspects = tuple(
        Suspect(looked.examples[place].path, leak.label, round(leak.score, 4)) for place in places[:_SUSPECTS]
    )
    paths = tuple(one.path for one in suspects[:_SHOWN])
    return Finding("label_leak", "warning", len(places), paths, message, remedy, suspects)
