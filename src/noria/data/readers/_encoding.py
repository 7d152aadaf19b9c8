"""The bytes of a file -> the encoding that its text is in, and the text.

What a byte order mark, null bytes or valid UTF-8 prove is known. All else is a guess, which says so and shows a line
as decoded, so that a wrong one cannot be missed. Bytes that are not in the encoding become lone surrogates: the text
around them survives, and whoever encodes such a piece again notices.
"""

from __future__ import annotations

import codecs
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Finding
from noria.errors import ConfigError, nearest_name

_CHUNK = 1 << 20
_EVIDENCE = 64 * 1024  # bytes that a guess is made from
_SHOWN = 160  # characters of the line that a finding shows
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\r"))
_HANDLER = "noria.bytes_as_surrogates"
_SETTLED = 100_000  # bytes that are not UTF-8
_MOSTLY = 2  # characters of UTF-8 for each byte that is none: text in GB18030 looks like one now and then
_CLEAR = 20.0  # nats by which a file must contradict its neighbours' encoding to be given another

_MARKS: Mapping[bytes, str] = {  # UTF-32 first: the mark of UTF-16 is the start of its mark
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_TITLES: Mapping[str, str] = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 (with a byte order mark)",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 (little endian, without a byte order mark)",
    "utf-16-be": "UTF-16 (big endian, without a byte order mark)",
    "utf-32": "UTF-32",
    "gb18030": "GB18030 (simplified Chinese)",
    "cp950": "Big5 (traditional Chinese)",
    "cp932": "Shift JIS (Japanese)",
    "euc_jp": "EUC-JP (Japanese)",
    "cp949": "EUC-KR (Korean)",
    "cp1252": "Windows-1252 (Western European, Latin-1)",
    "cp1251": "Windows-1251 (Cyrillic)",
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How bytes are to be read as text."""

    name: str  # of Python's codec
    guessed: bool = False
    sample: str = ""  # a line as decoded, where it was guessed

    @property
    def title(self) -> str:
        """The name that people know."""
        return _TITLES.get(self.name, self.name)

    @property
    def errors(self) -> str:
        """The error handler that belongs to it, for `open` and `decode`."""
        _register_handler()
        return _HANDLER

    def decode(self, data: bytes) -> str:
        """Return the text; a byte that is not in the encoding is a lone surrogate, which UTF-8 refuses to encode."""
        return data.decode(self.name, self.errors)


@dataclass(slots=True)
class Tally:
    """What is known of the bytes so far; whole lines (or files) go in."""

    valid: int = 0  # characters outside ASCII that are valid UTF-8
    invalid: int = 0  # bytes that are not
    evidence: list[bytes] = field(default_factory=list)  # lines that are not ASCII, of pieces that are not UTF-8
    size: int = 0  # of the evidence

    def add(self, piece: bytes) -> None:
        """Count what a piece holds."""
        if piece.isascii():
            return
        codes = _codes(piece.decode("utf-8", "surrogateescape"))
        escaped = int(np.count_nonzero((codes >= 0xDC80) & (codes <= 0xDCFF)))
        self.valid += int(np.count_nonzero(codes >= 0x80)) - escaped
        self.invalid += escaped
        if escaped and self.size < _EVIDENCE:
            self._keep(piece)

    @property
    def is_settled(self) -> bool:
        """Whether so much is not UTF-8 that the rest cannot be expected to change it."""
        return self.invalid > max(_SETTLED, self.valid)

    def encoding(self) -> Encoding:
        """UTF-8 where most of what could contradict it does not, else the likeliest of the others."""
        if _MOSTLY * self.invalid <= self.valid:
            return Encoding("utf-8")
        return guess(b"".join(self.evidence))

    def _keep(self, piece: bytes) -> None:
        for line in piece.splitlines(keepends=True):
            if self.size >= _EVIDENCE:
                return
            if not line.isascii():
                self.evidence.append(line[:_EVIDENCE])
                self.size += len(line[:_EVIDENCE])


def named(name: str) -> Encoding:
    """Return the encoding that a user has named.

    Raises:
        ConfigError: there is no text encoding of that name.
    """
    try:
        "".encode(name)  # refuses what is no encoding of text, such as "hex"
    except (LookupError, ValueError, UnicodeError) as error:
        nearest = nearest_name(name, [*_TITLES, "big5", "shift_jis", "latin-1"])
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        raise ConfigError(
            f"There is no encoding {name!r}.{hint} Known are Python's names, for example utf-8, gb18030, big5, latin-1."
        ) from error
    return Encoding(name)


def detect(stream: BinaryIO) -> Encoding:
    """Read a stream, to its end unless it is settled before, and return the encoding of its text."""
    pieces = _whole_lines(stream)
    first = next(pieces, b"")
    known = proven(first)
    if known is not None:
        return known
    tally = Tally()
    tally.add(first)
    for piece in pieces:
        if tally.is_settled:
            break
        tally.add(piece)
    return tally.encoding()


def proven(head: bytes) -> Encoding | None:
    """Return the encoding that the first bytes prove: by a byte order mark, or by the null bytes of UTF-16."""
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return Encoding(name)
    return _by_null_bytes(head)


def guess(evidence: bytes, *, usual: Encoding | None = None) -> Encoding:
    """Return the likeliest encoding of text that is not UTF-8.

    Args:
        evidence: lines of it; those without a byte outside ASCII say nothing.
        usual: what the neighbours are in; kept unless the evidence clearly speaks for another.
    """
    costs = {codec.name: codec.cost(evidence) for codec in _codecs()}
    best = min(costs, key=lambda name: costs[name])
    if usual is not None and costs.get(usual.name, np.inf) - costs[best] < _CLEAR:
        best = usual.name
    lines = (line for line in Encoding(best).decode(evidence).splitlines() if not line.isascii())
    return Encoding(best, guessed=True, sample=_shown(next(lines, "")))


def finding(encoding: Encoding, examples: tuple[str, ...], *, said: bool = False) -> Finding:
    """Return what a person should know of an encoding that `examples` (a file, or some of several) are in."""
    if not encoding.guessed:
        by = " as was said" if said else ""
        remedy = "--set data.encoding=NAME names another."
        return Finding("encoding", "info", len(examples), examples[:20], f"Read as {encoding.title}{by}.", remedy)
    return Finding(
        "encoding",
        "warning",
        len(examples),
        examples[:20],
        f"The text is not UTF-8 and does not say what it is. Guessed: {encoding.title}. A line so read: "
        f"“{encoding.sample}”",
        f"If that line is wrong, name the encoding: --set data.encoding=NAME, for example {_others(encoding.name)}.",
    )


def _others(name: str) -> str:
    names = [codec.name for codec in _codecs() if codec.name != name]
    return ", ".join(names[:3])


def _shown(line: str) -> str:
    """The part of a line around its first character outside ASCII: that is what a wrong guess spoils."""
    at = next((index for index, one in enumerate(line) if ord(one) >= 0x80), 0)
    start = max(0, at - 40)
    return line[start : start + _SHOWN].encode("utf-8", "backslashreplace").decode().strip()


def _register_handler() -> None:
    codecs.register_error(_HANDLER, _bytes_as_surrogates)


def _bytes_as_surrogates(error: UnicodeError) -> tuple[str, int]:
    # unlike "surrogateescape" for every codec and every byte: GB18030 and UTF-16 also refuse bytes below 0x80
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


def _whole_lines(stream: BinaryIO) -> Iterator[bytes]:
    """The stream in pieces of about a MiB, the later ones cut after a line's end."""
    left = b""
    while piece := stream.read(_CHUNK):
        whole, end, rest = (left + piece).rpartition(b"\n")
        if len(rest) > 64 * _CHUNK:  # one endless line
            whole, end, rest = whole + end + rest, b"", b""
        left = rest
        if whole or end:
            yield whole + end
    if left:
        yield left


def _by_null_bytes(head: bytes) -> Encoding | None:
    """UTF-16 without a mark: in it every comma, digit and line's end has a null byte."""
    even = head[: min(len(head), _CHUNK) // 2 * 2]
    if 0 not in even or not _is_no_utf8(even):
        return None
    decoded = {name: _codes(Encoding(name).decode(even)) for name in ("utf-16-le", "utf-16-be")}
    # Read the wrong way round, Chinese is no script at all, and ASCII is Chinese.
    best = max(decoded, key=lambda name: _share_written(decoded[name]) + float(np.mean(decoded[name] < 0x80)))
    return Encoding(best) if _share_written(decoded[best]) > 0.9 else None


def _share_written(codes: NDArray[np.uint32]) -> float:
    """The share of characters that are in the scripts of most of what is written: the wrong half has few."""
    written = (codes > 0) & (codes < 0x0700)
    for first, last in ((0x0900, 0x0DFF), (0x0E00, 0x0E7F), (0x1E00, 0x22FF), (0x3000, 0x9FFF), (0xAC00, 0xD7A3)):
        written |= (codes >= first) & (codes <= last)
    written |= (codes >= 0xFF00) & (codes != 0xFFFF) & (codes < 0x20000)
    return float(np.mean(written)) if codes.size else 0.0


def _is_no_utf8(head: bytes) -> bool:
    """Whether bytes with nulls among them are mostly no UTF-8, or every fourth and more is a control character."""
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls >= 0.25 * len(head):
        return True
    tally = Tally()
    tally.add(head)
    return tally.invalid > tally.valid


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@dataclass(frozen=True, slots=True)
class _Codec:
    """A codec and how text in it usually looks: a chain of ASCII and other characters, some of them more usual."""

    name: str
    tiers: tuple[tuple[str, float], ...]  # characters, and the share of those outside ASCII that they make up
    others: int  # how many more there are: the rest of the share
    begins: float  # probability that a character outside ASCII follows one of ASCII
    stays: float  # probability that it follows another outside ASCII

    def cost(self, evidence: bytes) -> float:
        """Minus the log-likelihood (natural) of the evidence; characters of one tier are equally likely."""
        codes = _codes(Encoding(self.name).decode(evidence))
        kinds = _kinds(self.tiers)[np.minimum(codes, 0xFFFF)]
        outside = kinds > 0
        before, after = outside[:-1], outside[1:]
        likely = np.where(
            before, np.where(after, self.stays, 1 - self.stays), np.where(after, self.begins, 1 - self.begins)
        )
        return float(self._costs()[kinds].sum() - np.log(likely).sum())

    def _costs(self) -> NDArray[np.float64]:
        """Of a character of ASCII, of each tier, of the others, and of a byte that is none."""
        rest = 1 - sum(share for _, share in self.tiers)
        tiers = [np.log(len(characters) / share) for characters, share in self.tiers]
        return np.array([np.log(60), *tiers, np.log(self.others / rest), 40.0])


@functools.cache  # a folder may have a hundred thousand small files
def _kinds(tiers: tuple[tuple[str, float], ...]) -> NDArray[np.uint8]:
    """Return (65536,): of each code point 0 for ASCII, the number of its tier, that of the others, or of none."""
    kinds = np.full(0x10000, len(tiers) + 1, np.uint8)
    kinds[:0x80] = 0
    for tier in range(len(tiers), 0, -1):  # the first tier that has a character wins
        kinds[[ord(one) for one in tiers[tier - 1][0]]] = tier
    kinds[0xD800:0xE000] = len(tiers) + 2
    return kinds


_Bytes = Iterable[int]
_HIGH = range(0xA1, 0xFF)
_BIG5 = (*range(0x40, 0x7F), *_HIGH)
_SJIS = (*range(0x40, 0x7F), *range(0x80, 0xFD))
# What a third and more of a text is made of.
_SIMPLIFIED = (
    "，。！、？的一是不了在有人我他这个们中来上大为和国地到以说时要就出会可"
    "也你对生能而子那得于着下自之年过发后作里好很没还都"
)
_TRADITIONAL = (
    "，。！、？的一是不了在有人我他這個們中來上大為和國地到以說時要就出會可"
    "也你對生能而子那得於著下自之年過發後作裡好很沒還都"
)
_HANGUL = "이다는에의가을하고지한로은도를서기사습니시아어있나리들자정과만대해게요"
_KANA = "".join(map(chr, [*range(0x3041, 0x3094), *range(0x30A1, 0x30F7)])) + "ー、。！？「」"
_ACCENTED = "éèàêçôîùâûëïœäöüßñáíóúÉÀÄÖÜåøæ’«»"
_WESTERN = "ãìòõýÿÁÂÃÅÆÇÈÊËÍÌÎÏÑÓÒÔÕØŒÚÙÛÝŸ“”‘„‚–—…€°§·¡¿´ªº£™®©\N{NO-BREAK SPACE}"
_RUSSIAN = "".join(map(chr, range(0x430, 0x450))) + "ё"
_CYRILLIC = "".join(map(chr, range(0x410, 0x430))) + "Ё«»“”„–—…№\N{NO-BREAK SPACE}"


@functools.cache
def _codecs() -> tuple[_Codec, ...]:
    """The likeliest first, which wins where nothing speaks for another."""
    # The first level of each character set is ordered by use: nearly every character of a text is in it.
    gb = _pairs("gb18030", (range(0xB0, 0xD8), _HIGH), ((0xA1, 0xA3), _HIGH))
    big5 = _pairs("cp950", (range(0xA4, 0xC7), _BIG5), ((0xA1,), _BIG5))
    shift_jis = _pairs("cp932", (range(0x81, 0x84), _SJIS), (range(0x88, 0x99), _SJIS))
    euc_jp = _pairs("euc_jp", ((0xA1, 0xA3), _HIGH), (range(0xB0, 0xD0), _HIGH))
    korean = _pairs("cp949", (range(0xB0, 0xC9), _HIGH), ((0xA1, 0xA3), _HIGH))
    asian: Callable[..., _Codec] = functools.partial(_Codec, others=20_000, begins=0.2, stays=0.9)
    return (
        asian("gb18030", ((_SIMPLIFIED, 0.4), (gb, 0.57))),
        _Codec("cp1252", ((_ACCENTED, 0.85), (_WESTERN, 0.13)), others=30, begins=0.06, stays=0.03),
        asian("cp950", ((_TRADITIONAL, 0.4), (big5, 0.57))),
        asian("cp932", ((_KANA, 0.6), (shift_jis, 0.37))),
        asian("euc_jp", ((_KANA, 0.6), (euc_jp, 0.37))),
        asian("cp949", ((_HANGUL, 0.4), (korean, 0.57))),
        _Codec("cp1251", ((_RUSSIAN, 0.9), (_CYRILLIC, 0.08)), others=60, begins=0.15, stays=0.85),
    )


def _pairs(name: str, *ranges: tuple[_Bytes, _Bytes]) -> str:
    """The characters of two bytes, the first from one range, the second from another."""
    found = {
        bytes((lead, trail)).decode(name, "ignore") for leads, trails in ranges for lead in leads for trail in trails
    }
    return "".join(sorted(one for one in found if len(one) == 1 and 0x80 <= ord(one) < 0x10000))
