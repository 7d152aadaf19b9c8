"""A bundle: what `noria export` leaves and production loads. Every file is named in the manifest with its SHA-256.

BUNDLE/manifest.json          labels, input settings, files, checksums, scores, licences, fingerprint
BUNDLE/model.keras ...        one model in several formats
BUNDLE/input/                 what the input learnt, e.g. a vocabulary, where it learns something
BUNDLE/golden/                raw inputs; the scores that every file must give are in the manifest
BUNDLE/seen.bin               short hashes of the files that the model was made from
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from noria.artifacts import seen
from noria.artifacts.checksums import require_intact
from noria.artifacts.files import read_json, write_json
from noria.artifacts.input_files import read_input_files
from noria.errors import ArtifactError, UnknownNameError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
REMEDY = "Export the bundle again, or restore it from a copy."


class ExportedFile(BaseModel):
    """One format of the model: a file, or a folder (SavedModel)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    path: str
    bytes: int
    sha256: dict[str, str]  # of each file below `path`, by its path relative to the bundle


class GoldenExample(BaseModel):
    """A raw input with the answer that every file of the bundle must give."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str
    label: str | None  # the truth; None for a variant made to try the decoder
    note: str
    scores: tuple[float, ...]
    ids: tuple[int, ...] | None = None  # that a text is read as, without padding: for readers that others write


class Tolerances(BaseModel):
    """How far a file may differ from the Keras model; None where that says nothing about a format."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreement: float  # the smallest share of inputs with the same top label
    accuracy_loss: float
    score_difference: float | None = None  # the largest of any score
    mean_score_difference: float | None = None  # of an input's scores the largest, averaged over the inputs


class BundleManifest(BaseModel):
    """The contents of `manifest.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    noria: str
    created: str
    name: str
    task: str
    labels: tuple[str, ...]
    input: dict[str, Any]
    model: dict[str, Any]  # name, parameters, licence and source of the weights
    temperature: float
    fingerprint: str  # of the dataset
    test: dict[str, Any]  # the run's accuracy and interval
    tolerances: dict[str, Tolerances]  # by format
    files: tuple[ExportedFile, ...]
    golden: tuple[GoldenExample, ...]
    input_files: dict[str, str] = {}  # what the input learnt: path in the bundle -> SHA-256
    verified: tuple[dict[str, Any], ...] = ()
    versions: dict[str, str] = {}
    seen_sha256: str | None = None  # of seen.bin; None in a bundle that has none

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """A damaged manifest is found when it is opened, not in the middle of a verification."""
        if missing := {entry.format for entry in self.files} - self.tolerances.keys():
            raise ValueError(f"no tolerances for {', '.join(sorted(missing))}")
        if any(len(one.scores) != len(self.labels) for one in self.golden):
            raise ValueError(f"a golden example has not {len(self.labels)} scores, one for each label")
        return self

    def file_of(self, format_name: str) -> ExportedFile:
        """Return the entry of one format; the caller knows that it is there."""
        return next(entry for entry in self.files if entry.format == format_name)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk."""

    path: Path
    manifest: BundleManifest

    @property
    def formats(self) -> tuple[str, ...]:
        return tuple(entry.format for entry in self.manifest.files)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.manifest.labels

    def file(self, format_name: str) -> Path:
        """Return the checked path of one format.

        Raises:
            UnknownNameError: the bundle has no such format.
            ArtifactError: a file is missing or its SHA-256 differs from the manifest's.
        """
        for entry in self.manifest.files:
            if entry.format == format_name:
                _require_named(entry)
                require_intact(self.path, entry.sha256, remedy=REMEDY)
                return self.path / entry.path
        raise UnknownNameError("file format in this bundle", format_name, self.formats)

    def input_files(self) -> dict[str, bytes]:
        """Return what the input learnt in training, checked: file name -> content.

        Raises:
            ArtifactError: a file is missing or its SHA-256 differs from the manifest's.
        """
        sums = self.manifest.input_files
        require_intact(self.path, sums, remedy=REMEDY)
        return read_input_files(self.path, sums)

    def checksum(self, format_name: str) -> str | None:
        """Return the SHA-256 of a format that is a single file, else None."""
        sums = [list(entry.sha256.values()) for entry in self.manifest.files if entry.format == format_name]
        return sums[0][0] if sums and len(sums[0]) == 1 else None

    def golden_inputs(self) -> list[bytes]:
        """Return the raw bytes of the golden examples, checked."""
        require_intact(self.path, {one.path: one.sha256 for one in self.manifest.golden}, remedy=REMEDY)
        return [(self.path / example.path).read_bytes() for example in self.manifest.golden]

    def seen(self) -> frozenset[str] | None:
        """Return the short hashes of the files that the model was made from; None where the bundle does not say.

        Raises:
            ArtifactError: the file that says it is missing or damaged.
        """
        if self.manifest.seen_sha256 is None:
            return None
        require_intact(self.path, {seen.PATH: self.manifest.seen_sha256}, remedy=REMEDY)
        return seen.read_seen(self.path)

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><td>{escape(f.format)}</td><td>{escape(f.path)}</td><td>{f.bytes / 1e6:.2f} MB</td></tr>"
            for f in self.manifest.files
        )
        return f"<p><b>{escape(self.manifest.name)}</b>, {len(self.labels)} labels</p><table>{rows}</table>"


def _require_named(entry: ExportedFile) -> None:
    """Raise ArtifactError where the checksums are those of other files than the one that would be opened."""
    if not entry.sha256 or not all(name == entry.path or name.startswith(f"{entry.path}/") for name in entry.sha256):
        raise ArtifactError(f"{MANIFEST} gives no SHA-256 of {entry.path!r} itself. It was not made by Noria. {REMEDY}")


def save_manifest(folder: Path, manifest: BundleManifest) -> None:
    """Write `manifest.json` into a bundle that is being written."""
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))


def open_bundle(path: str | Path) -> Bundle:
    """Open a bundle; its files are checked when they are used.

    Raises:
        ArtifactError: there is no bundle there, or it is damaged or of another version.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise ArtifactError(f"{path} is not a bundle: it has no {MANIFEST}. `noria export RUN --out {path}` makes one.")
    facts = read_json(path / MANIFEST)
    if not isinstance(facts, dict) or facts.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(f"{path} is not a bundle of version {FORMAT_VERSION}. Export it again with this version.")
    try:
        return Bundle(path, BundleManifest.model_validate(facts))
    except ValidationError as error:
        raise ArtifactError(f"{path / MANIFEST} is damaged: {_damage(error)} {REMEDY}") from None


def _damage(error: ValidationError) -> str:
    """Say in our own words what is wrong with a manifest."""
    own = [str(problem["ctx"]["error"]) for problem in error.errors() if problem["type"] == "value_error"]
    return f"{own[0]}." if own else f"{error.error_count()} fields are missing or wrong."
