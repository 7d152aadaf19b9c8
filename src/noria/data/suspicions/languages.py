"""Texts -> those in another script or language than nearly all the others; and of several, what they tell of labels.

The script of a text is that of most of its letters, by Unicode blocks. Texts in Latin letters are told apart by the
commonest words of a few languages, where they have enough of them.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Finding, Suspect
from noria.data.suspicions import Looked

KINDS = frozenset({"other_language", "languages", "language_tells_label"})

_SMALL = 0.05  # share of the texts that a language has at most, to be told of
_MAIN = 0.8  # share that the main language has at least
_LETTERS = 8  # fewer say nothing of a script; three of scripts whose characters are words
_WORDS = 12  # fewer say nothing of a language
_COMMON = 0.15  # share of the words that are among the commonest of the language
_TIMES = 3.0  # as many as of any other language
_LOOKED_AT = 600  # characters of a text
_SHOWN = 20
_TELLS = 0.2  # by which share more labels can be told from the language than without it, to be warned of

_BLOCKS: tuple[tuple[int, int, str], ...] = (
    (0x41, 0x5B, "Latin"),
    (0x61, 0x7B, "Latin"),
    (0xC0, 0x250, "Latin"),
    (0x370, 0x400, "Greek"),
    (0x400, 0x530, "Cyrillic"),
    (0x530, 0x590, "Armenian"),
    (0x590, 0x600, "Hebrew"),
    (0x600, 0x780, "Arabic"),
    (0x900, 0x980, "Devanagari"),
    (0x980, 0xA00, "Bengali"),
    (0xB80, 0xC00, "Tamil"),
    (0xC00, 0xC80, "Telugu"),
    (0xE00, 0xE80, "Thai"),
    (0x10A0, 0x1100, "Georgian"),
    (0x1100, 0x1200, "Hangul"),
    (0x1E00, 0x1F00, "Latin"),
    (0x3041, 0x3097, "Kana"),  # hiragana: katakana also draws faces in Chinese texts
    (0x3400, 0x4DC0, "Han"),
    (0x4E00, 0xA000, "Han"),
    (0xAC00, 0xD7B0, "Hangul"),
)
_DENSE = {"Han", "Kana", "Hangul"}
_COMMONEST: Mapping[str, str] = {
    "English": "the and of to is was that it this with for you not are but have they be his from at my were had who",
    "German": "der die und ist das nicht ein eine zu den mit sich auf für dem von auch es sie wir war aber ich einen",
    "French": "le la les des et est une dans que qui pas pour sur ce avec il au du je mais nous très cette été vous",
    "Spanish": "el los las y es una que en por con para su del lo se pero muy como más este esta fue al todo era",
    "Italian": "il che di è una per non con del della sono gli ma anche questo molto più nel alla dei le ho si da",
    "Portuguese": "o os as e é uma que em não com para do da dos se mas muito por mais ao ele foi como são um",
    "Dutch": "de het een en van is dat niet te zijn op voor met die aan er maar ook als bij naar wel heel dit ik",
}


def suspicions(looked: Looked) -> list[Finding]:
    """Return the texts whose language few others have, where nearly all have one; or the mix of languages."""
    names = [_language(text) for text in looked.texts()]
    counts = Counter(name for name in names if name)
    return [*_others(looked, names, counts), *_mix(looked, names, counts)] if counts else []


def _others(looked: Looked, names: Sequence[str], counts: Counter[str]) -> list[Finding]:
    main, most = counts.most_common(1)[0]
    total = counts.total()
    if most < _MAIN * total:
        return []
    rare = {name for name, count in counts.items() if name != main and count <= _SMALL * total}
    places = [place for place, name in enumerate(names) if name in rare]
    if not places:
        return []
    suspects = tuple(
        Suspect(looked.examples[place].path, looked.examples[place].label, round(1 - counts[names[place]] / total, 4))
        for place in places
    )
    found = Counter(names[place] for place in places)
    parts = ", ".join(f"{name}: {count:,}" for name, count in found.most_common(5))
    message = (
        f"{len(places):,} of {len(names):,} texts seem to be in another language or script than most, {main} ({parts})."
    )
    remedy = (
        "Few texts of a language are hardly learnt: drop what does not belong here (noria check DATA --page), add "
        "texts, or name the encoding (--set data.encoding=NAME)."
    )
    paths = tuple(one.path for one in suspects[:_SHOWN])
    return [Finding("other_language", "warning", len(places), paths, message, remedy, suspects)]


def _mix(looked: Looked, names: Sequence[str], counts: Counter[str]) -> list[Finding]:
    """Tell of several languages, and warn where they tell the label, as when each label was gathered in its own."""
    large = {name: count for name, count in counts.most_common() if count > _SMALL * counts.total()}
    if len(large) < 2:
        return []
    labels = {name: Counter[str]() for name in large}
    for example, name in zip(looked.examples, names, strict=True):
        if name in labels:
            labels[name][example.label] += 1
    total = sum(large.values())
    told = sum(max(of.values()) for of in labels.values()) / total
    without = max(sum(labels.values(), Counter[str]()).values()) / total
    shares = ", ".join(f"{name} {count / counts.total():.0%}" for name, count in large.items())
    firsts: dict[str, list[str]] = {name: [] for name in large}
    for example, name in zip(looked.examples, names, strict=True):
        if len(firsts.get(name, range(_SHOWN))) < _SHOWN // len(large):
            firsts[name].append(example.path)
    files = tuple(path for some in firsts.values() for path in some)
    message = f"The texts are in {len(large)} languages or scripts: {shares}."
    if told - without < _TELLS:
        remedy = "One model learns them all. Split the table by language to train one for each."
        return [Finding("languages", "info", len(large), tuple(large), message, remedy, files=files)]
    most = ", ".join(f"{name}: {of.most_common(1)[0][0]}" for name, of in labels.items())
    message += (
        f" The language alone tells the label of {told:.0%} ({most}), where the most frequent label is right for "
        f"{without:.0%}: a model can learn the language in place of what is meant."
    )
    remedy = "Bring texts of each label in each language, or train a model for each language."
    return [Finding("language_tells_label", "warning", len(large), tuple(large), message, remedy, files=files)]


def _language(data: bytes) -> str:
    """Return the language or the script of a text, empty where it does not say."""
    text = data[: 4 * _LOOKED_AT].decode("utf-8", "ignore")[:_LOOKED_AT]
    script = "Latin" if text.isascii() else _script(text)
    if script != "Latin":
        return script
    words = text.lower().split()
    if len(words) < _WORDS:
        return ""
    counts = Counter(language for word in words for language in _languages_of().get(word.strip(".,;:!?()\"'"), ()))
    if not counts:
        return ""
    (first, most), *others = counts.most_common(2)
    clear = most >= _COMMON * len(words) and (not others or most >= _TIMES * others[0][1])
    return first if clear else ""


def _script(text: str) -> str:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    table, names = _scripts()
    counts = np.bincount(table[np.minimum(codes, 0xFFFF)], minlength=len(names))
    counts[0] = 0  # no letter
    kana, han = names.index("Kana"), names.index("Han")
    if counts[kana] * 5 >= counts[han] and counts[kana]:  # Japanese is written with both
        counts[kana], counts[han] = counts[kana] + counts[han], 0
    best = int(counts.argmax())
    enough = 3 if names[best] in _DENSE else _LETTERS
    return names[best] if counts[best] >= max(enough, counts.sum() / 2) else ""


@functools.cache
def _scripts() -> tuple[NDArray[np.uint8], list[str]]:
    """Return the number of the script of each code point up to 0xFFFF, and the scripts' names."""
    names = ["", *sorted({name for _, _, name in _BLOCKS})]
    table = np.zeros(0x10000, np.uint8)
    for start, end, name in _BLOCKS:
        table[start:end] = names.index(name)
    table[0xFFFF] = 0
    return table, names


@functools.cache
def _languages_of() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for language, words in _COMMONEST.items():
        for word in words.split():
            found[word] = (*found.get(word, ()), language)
    return found
