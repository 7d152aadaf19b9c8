"""The dataset: which files are learnt from, under which label, on which side of the split, and what was found.

In: what `noria.data.check` decided. Out: a folder with dataset.json, examples.jsonl and set_aside.jsonl that a person
can open and that names the SHA-256 of each file; the files themselves stay where they are.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from noria.artifacts.files import MIB, folder_being_written, read_json, read_limited, write_atomic, write_json
from noria.contracts import SPLITS, Example, Finding, SetAside, Split, Suspect
from noria.errors import ArtifactError, DataError

FORMAT = 1  # of the folder; a higher number in a file means a newer Noria wrote it
FINGERPRINT = b"noria dataset 1\n"
INDEX = "dataset.json"
_EXAMPLES, _SET_ASIDE = "examples.jsonl", "set_aside.jsonl"
_LIMIT = 4096 * MIB


@dataclass(frozen=True)
class Dataset:
    """Labelled examples with their split.

    Labels are in Unicode form NFC and sorted by code point, so that class 0 is the same class on every machine.
    Examples are sorted by path (NFC, then as on disk).
    """

    name: str
    root: Path  # relative paths of examples start here
    task: str
    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    set_aside: tuple[SetAside, ...] = ()
    findings: tuple[Finding, ...] = ()
    settings: Mapping[str, Any] | None = None  # the input settings that the files were judged with
    seed: int = 0
    ratios: tuple[float, float, float] = (3, 1, 1)  # train : validation : test
    origin: Mapping[str, Any] | None = None  # path, reader, columns, and whether its inputs are cells
    # The decisions file that was applied: its path, SHA-256, counts, and the fingerprint of the dataset without it.
    decisions: Mapping[str, Any] | None = None
    # How many pairs that belong together lie on two sides of the split (0 of a dataset that `check` made), and ties.
    proof: Mapping[str, Any] | None = None
    # Inputs that are no files of their own, by the SHA-256 of their bytes: the cells of a table. They are not saved.
    contents: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (64 digits) over path, file hash, label, split and group of every example.

        Not over the root, times or the order on disk: the same folder has the same fingerprint wherever it lies.
        """
        return fingerprint(self.examples)

    @cached_property
    def label_index(self) -> Mapping[str, int]:
        """The number of each label: its column in the scores."""
        return {label: index for index, label in enumerate(self.labels)}

    @property
    def where(self) -> str:
        """The folder or table that was read, as an absolute path."""
        return str(self.origin["path"] if self.origin else self.root)

    def path_of(self, example: Example) -> Path:
        """Where the file of an example lies on this machine."""
        return self.root / example.path

    def source_of(self, example: Example) -> Path | bytes:
        """The path of an example's file, or its bytes where it is a table's cell."""
        return self.contents.get(example.sha256) or self.path_of(example)

    def read(self, example: Example) -> bytes:
        """Return the bytes of an example.

        Raises:
            DataError: its file, or its row, is no longer there.
        """
        source = self.source_of(example)
        if isinstance(source, bytes):
            return source
        try:
            return source.read_bytes()
        except OSError as error:
            raise DataError(
                f"{source} cannot be read: {error.strerror or error}. The data that a run was trained on stays where "
                "it is; put it back, or train again on what there is now."
            ) from None

    def by_split(self, split: Split) -> tuple[Example, ...]:
        """The examples on one side, in order."""
        return tuple(example for example in self.examples if example.split == split)

    def counts(self) -> dict[str, int]:
        """How many: `train`, `validation`, `test` and `set_aside`."""
        sides = Counter(example.split for example in self.examples)
        return {**{split: sides[split] for split in SPLITS}, "set_aside": len(self.set_aside)}

    def require_trainable(self) -> None:
        """Raise DataError, with all reasons, where nothing can be learnt from these examples."""
        found = obstacles(self.examples)
        if found:
            reasons = " ".join(f"{finding.message} {finding.remedy}".strip() for finding in found)
            raise DataError(f"{self.name} cannot be trained on. {reasons}")

    def save(self, folder: Path) -> None:
        """Write the dataset as a folder, whole or not at all; an older dataset under that name is replaced.

        Raises:
            ArtifactError: something else is there under that name.
            NoriaError: the disk is full, or there is no permission.
        """
        with folder_being_written(folder, replace=True, marker=INDEX) as partial:
            write_atomic(partial / _EXAMPLES, _lines(map(asdict, self.examples)))
            write_atomic(partial / _SET_ASIDE, _lines(map(asdict, self.set_aside)))
            write_json(partial / INDEX, self._index())

    @classmethod
    def load(cls, folder: Path, *, root: Path | None = None, strict: bool = True) -> Dataset:
        """Read a dataset folder and check that it says what its fingerprint says.

        Args:
            folder: what `save` wrote.
            root: where the files lie now, if they were moved.
            strict: refuse one that was changed by hand.

        Raises:
            ArtifactError: it is missing, damaged, changed by hand, or written by a newer Noria.
        """
        index = _read_index(folder)
        try:
            dataset = cls(
                name=index["name"],
                root=root if root is not None else Path(index["root"]),
                task=index["task"],
                labels=tuple(index["labels"]),
                examples=tuple(Example(**row) for row in _rows(folder / _EXAMPLES)),
                set_aside=tuple(SetAside(**row) for row in _rows(folder / _SET_ASIDE)),
                findings=tuple(map(_finding, index["findings"])),
                settings=index["settings"],
                seed=index["seed"],
                ratios=tuple(index["ratios"]),
                origin=index.get("origin"),
                decisions=index.get("decisions"),
                proof=index.get("proof"),
            )
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{folder} is damaged: {error}. Train again to make it anew.") from error
        if strict and dataset.fingerprint != index.get("fingerprint"):
            raise ArtifactError(
                f"{folder / _EXAMPLES} does not match the fingerprint in {INDEX}: it is damaged or was changed by "
                "hand. Train again to make it anew."
            )
        return dataset

    def _index(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "root": str(self.root),
            "task": self.task,
            "labels": self.labels,
            "counts": self.counts(),
            "findings": [asdict(finding) for finding in self.findings],
            "settings": None if self.settings is None else dict(self.settings),
            "seed": self.seed,
            "ratios": self.ratios,
            "origin": None if self.origin is None else dict(self.origin),
            "decisions": None if self.decisions is None else dict(self.decisions),
            "proof": None if self.proof is None else dict(self.proof),
            "fingerprint": self.fingerprint,
        }


def fingerprint(examples: Iterable[Example]) -> str:
    """Return the fingerprint of a dataset of these examples, in whatever order."""
    rows = (orjson.dumps([nfc(one.path), one.sha256, one.label, one.split, one.group]) + b"\n" for one in examples)
    digest = hashlib.sha256(FINGERPRINT)
    for row in sorted(rows):
        digest.update(row)
    return digest.hexdigest()


def recorded_fingerprint(folder: Path) -> str:
    """Return the fingerprint that a dataset's folder was saved with.

    Raises:
        ArtifactError: it is no such folder, or of another version.
    """
    return str(_read_index(folder).get("fingerprint"))


def nfc(text: str) -> str:
    """Return the text in Unicode form NFC: the same name typed on a Mac and on Linux is the same text."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def tidy_label(label: str) -> str:
    """Return a label without surrounding spaces, in Unicode form NFC: what looks the same is the same label."""
    return nfc(label).strip()


def obstacles(examples: Sequence[Example]) -> tuple[Finding, ...]:
    """Return what makes training impossible, as findings of severity "error"; empty where nothing does."""
    sizes = Counter(example.label for example in examples)
    if not sizes:
        return (_obstacle("nothing_usable", (), "There is not one usable example with a label."),)
    if len(sizes) == 1:
        (label,) = sizes
        message = (
            f"There is only one label, {label!r}, with {sizes[label]} usable examples (for example "
            f"{examples[0].path}); at least two are needed."
        )
        return (_obstacle("single_class", (label,), message),)
    large_enough = [label for label, size in sizes.items() if size >= 2]
    if len(large_enough) < 2:
        small = tuple(sorted(label for label, size in sizes.items() if size < 2))
        message = f"Of {len(sizes)} classes, {len(small)} have only one usable example; two classes need at least two."
        return (_obstacle("too_few_examples", small, message),)
    trained = {example.label for example in examples if example.split == "train"}
    if len(trained) < 2:
        missing = tuple(sorted(sizes.keys() - trained))
        message = f"The train side of the split holds {len(trained)} of {len(sizes)} classes; it needs at least two."
        return (_obstacle("empty_train_split", missing, message, "Put more examples on the side train."),)
    for side in ("validation", "test"):
        if not any(example.split == side for example in examples):
            message = f"The {side} side of the split is empty."
            remedy = "Give each label at least 3 examples; copies, and all of one group or video, count as one."
            return (_obstacle("empty_split", (), message, remedy),)
    return ()


def _obstacle(kind: str, labels: tuple[str, ...], message: str, remedy: str = "") -> Finding:
    default = "Add examples, and look at `noria check` for what was set aside and why."
    return Finding(kind, "error", len(labels), labels[:20], message, remedy or default)


def _finding(row: Mapping[str, Any]) -> Finding:
    suspects = tuple(Suspect(**one) for one in row.get("suspects", ()))
    files = tuple(row.get("files", ()))
    return Finding(**{**row, "examples": tuple(row["examples"]), "suspects": suspects, "files": files})


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    return (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    # Not splitlines(): JSON escapes line feeds, but other line separators may stand in a name as they are.
    for number, line in enumerate(read_limited(path, limit=_LIMIT).split(b"\n"), start=1):
        if not line:
            continue
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ArtifactError(f"{path} is damaged in line {number}: {error}. Train again.") from error


def _read_index(folder: Path) -> dict[str, Any]:
    index = read_json(folder / INDEX, limit=_LIMIT)
    if not isinstance(index, dict) or not isinstance(index.get("format"), int):
        raise ArtifactError(f"{folder / INDEX} is not a dataset's index. Expected the `dataset` folder of a run.")
    if index["format"] > FORMAT:
        raise ArtifactError(
            f"{folder} was written by a newer Noria (format {index['format']}, known up to {FORMAT}). Upgrade Noria."
        )
    return index
