"""A folder of text files for each class: ROOT/LABEL/**/FILE.txt -> a Listing that holds the texts as UTF-8.

Folders and given splits are those of `image_folder`. Files may be compressed with gzip. Each file's encoding is found;
the files that are not UTF-8 are likely to be in one encoding, which short ones take from the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from noria.contracts import Candidate, Finding, Progress, SetAside, Silent
from noria.data.cells import Cells
from noria.data.readers import Columns, Listing, tell_guesses
from noria.data.readers._class_folders import TEXT_ENDINGS, has_folders, holds_texts, list_files
from noria.data.readers._encoding import Encoding, Tally, finding, guess, named, proven
from noria.data.readers._gzip import opened
from noria.errors import DataError
from noria.tree import everything_below

_WITHOUT_LABELS = ("unsup", "unsupervised", "unlabeled", "unlabelled")  # as in the folder aclImdb/train
_LARGEST = 1 << 26  # bytes; more than any text that a model reads


@dataclass(frozen=True, slots=True)
class _File:
    """A file that was read. Usable where `reason` is empty."""

    candidate: Candidate
    content: bytes = b""
    encoding: Encoding | None = None  # None where it is not known until all were read
    reason: str = ""


def recognises(path: Path) -> bool:
    """Whether it is a folder of folders in which there are texts and no pictures."""
    return has_folders(path) and holds_texts(path)


def read(path: Path, columns: Columns) -> Listing:
    """Read the text files below a folder.

    Raises:
        DataError: a folder of a split has no folders of classes.
        ConfigError: there is no encoding of the name that is said.
    """
    listing = list_files(path, _is_named_as_text)
    said = named(columns.encoding) if columns.encoding else None
    set_aside = defaultdict(list, {kind: list(ones) for kind, ones in listing.set_aside.items()})
    files = []
    for candidate in listing.candidates:
        passed_over = _passed_over(candidate)
        if passed_over is None:
            files.append(_opened(path, candidate, said))
        else:
            kind, reason = passed_over
            set_aside[kind].append(SetAside(candidate.path, reason))
    files = _with_guesses(files)
    candidates, texts = [], Cells()
    for file in files:
        found = _decoded(file)
        if isinstance(found, bytes):
            candidates.append(file.candidate)
            texts.append(found)
        else:
            kind, one = found
            set_aside[kind].append(one)
    classes = {one.label for one in listing.candidates if one.label.lower() not in _WITHOUT_LABELS}
    return Listing(
        root=path,
        candidates=tuple(candidates),
        contents=texts,
        set_aside=set_aside,
        empty_labels=tuple(sorted({*classes, *listing.empty_labels} - {one.label for one in candidates})),
        findings=(*listing.findings, *_about_encodings(files, said is not None)),
    )


def inputs(path: Path, columns: Columns, progress: Progress | None = None) -> Iterator[tuple[str, bytes | Path]]:
    """Yield the path and the text, as UTF-8, of a text file, or of each one below a folder.

    A file that cannot be read stays a path: who reads it again says why. `progress` is told what was guessed.

    Raises:
        ConfigError: there is no encoding of the name that is said.
    """
    said = named(columns.encoding) if columns.encoding else None
    found = sorted(_texts_below(path)) if path.is_dir() else [path]
    files = _with_guesses([_opened(Path(), Candidate(str(one), ""), said) for one in found])
    tell_guesses(path, _about_encodings(files, said is not None), columns, progress or Silent())
    for file in files:
        decoded = _decoded(file)
        yield file.candidate.path, decoded if isinstance(decoded, bytes) else Path(file.candidate.path)


def answers_for(path: Path) -> bool:
    """Whether `inputs` reads what lies there: a text file, or a folder with one somewhere below it."""
    return _is_named_as_text(path.name) or (path.is_dir() and any(True for _ in _texts_below(path)))


def _texts_below(path: Path) -> Iterator[Path]:
    found = everything_below(path)
    return (path / one.path for one in found if one.kind in ("file", "unreadable") and _is_named_as_text(one.path))


def _is_named_as_text(path: str) -> bool:
    return path.lower().endswith(TEXT_ENDINGS)


def _passed_over(candidate: Candidate) -> tuple[str, str] | None:
    """Kind and reason where a listed file is no example."""
    if not _is_named_as_text(candidate.path):
        return "passed_over", f"it is not named as a text ({' or '.join(TEXT_ENDINGS)})"
    if candidate.split and candidate.label.lower() in _WITHOUT_LABELS:
        return "unlabelled", f"it lies in the folder {candidate.label}, of texts without a label"
    return None


def _opened(root: Path, candidate: Candidate, said: Encoding | None) -> _File:
    try:
        with opened(root / candidate.path) as stream:
            content = stream.read(_LARGEST + 1)
    except DataError as error:
        return _File(candidate, reason=str(error))
    if len(content) > _LARGEST:
        return _File(candidate, reason=f"it has more than {_LARGEST:,} bytes")
    return _File(candidate, content, said or proven(content) or _utf8(content))


def _utf8(content: bytes) -> Encoding | None:
    tally = Tally()
    tally.add(content)
    encoding = tally.encoding()
    return None if encoding.guessed else encoding


def _with_guesses(files: Sequence[_File]) -> list[_File]:
    """The files, those of unknown encoding with the likeliest."""
    together = Tally()
    for file in files:
        if file.encoding is None and not file.reason:
            together.add(file.content + b"\n")
    if not together.evidence:
        return list(files)
    usual = guess(b"".join(together.evidence))
    return [
        replace(file, encoding=guess(file.content, usual=usual)) if not (file.encoding or file.reason) else file
        for file in files
    ]


def _decoded(file: _File) -> bytes | tuple[str, SetAside]:
    """The text as UTF-8, or (kind, what is set aside)."""
    path = file.candidate.path
    if file.encoding is None:
        return "unreadable", SetAside(path, file.reason)
    try:
        data = file.encoding.decode(file.content).strip("\ufeff").encode()
    except UnicodeEncodeError:
        return "unreadable", SetAside(path, f"it holds bytes that are not {file.encoding.title}")
    if not data or data.isspace():
        return "empty_text", SetAside(path, "the text is empty")
    return data


def _about_encodings(files: Sequence[_File], said: bool) -> Iterator[Finding]:
    by_name: defaultdict[str, list[_File]] = defaultdict(list)
    for file in files:
        if file.encoding is not None:
            by_name[file.encoding.name].append(file)
    for some in by_name.values():
        encoding = some[0].encoding
        if encoding is not None:
            yield finding(encoding, tuple(file.candidate.path for file in some), said=said)
