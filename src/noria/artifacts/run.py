"""A run: the folder that training leaves. `run.json` says what it is; the model, report and dataset lie beside it.

RUN/run.json        what was trained, on what, how well, with which versions
RUN/model.keras     the whole model, normalisation to softmax
RUN/report.html     for people;  RUN/report.json  the same facts
RUN/config.toml     every setting, resolved
RUN/input/          what the input learnt, e.g. a vocabulary, where it learns something
RUN/dataset/        the split, the hashes, what was set aside
RUN/predictions.csv the test split's answers
RUN/tensorboard/    how a network was trained, for `noria tensorboard`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from noria.artifacts.checksums import require_intact
from noria.artifacts.files import read_json, write_json
from noria.artifacts.input_files import INPUT, read_input_files
from noria.errors import ArtifactError, UnknownNameError

FORMAT_VERSION = 1
MANIFEST = "run.json"
MODEL = "model.keras"
BOARD = "tensorboard"
REMEDY = "Train again, or restore the run from a copy."


class RunManifest(BaseModel):
    """The contents of `run.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    noria: str
    created: str
    command: str
    task: str
    labels: tuple[str, ...]
    input: dict[str, Any]
    config: dict[str, Any]
    data: str  # the folder or table, as the user named it, made absolute
    fingerprint: str  # of the dataset
    model: dict[str, Any]
    strategy: str
    temperature: float
    chosen: dict[str, Any]
    num_examples: dict[str, int]
    test: dict[str, Any]
    features: dict[str, int]
    seconds: dict[str, float]
    peak_memory_bytes: int
    versions: dict[str, str]
    checksums: dict[str, str]
    alarms: tuple[dict[str, Any], ...] = ()  # of the training: each kind, epoch, message, remedy
    # Of a training that went on from a run: `from`, `from_model` (SHA-256), and of `old` and `new` labels the test
    # accuracy, with interval.
    continued: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run on disk."""

    path: Path
    manifest: RunManifest

    @property
    def labels(self) -> tuple[str, ...]:
        return self.manifest.labels

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def formats(self) -> tuple[str, ...]:
        return ("keras",)

    def warnings(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the report's concerns and findings: each `kind`, `severity`, `message`, `remedy` and more."""
        path = self.path / "report.json"
        facts = read_json(path) if path.is_file() else {}
        return facts.get("concerns", []), facts.get("findings", [])

    def file(self, format_name: str) -> Path:
        """Return the checked path of the model.

        Raises:
            UnknownNameError: a run holds the Keras file only; other formats are made by `noria export`.
            ArtifactError: the file is missing or its SHA-256 differs from the manifest's.
        """
        if format_name != "keras":
            raise UnknownNameError("file format in a run", format_name, self.formats)
        require_intact(self.path, self.manifest.checksums, remedy=REMEDY)
        return self.path / MODEL

    def input_files(self) -> dict[str, bytes]:
        """Return what the input learnt in training, checked: file name -> content.

        Raises:
            ArtifactError: a file is missing or its SHA-256 differs from the manifest's.
        """
        sums = {name: sum_ for name, sum_ in self.manifest.checksums.items() if name.startswith(f"{INPUT}/")}
        require_intact(self.path, sums, remedy=REMEDY)
        return read_input_files(self.path, sums)

    def checksum(self, format_name: str) -> str | None:
        """Return the SHA-256 of the model file, as in `Bundle.checksum`."""
        return self.manifest.checksums.get(MODEL) if format_name == "keras" else None

    @property
    def dataset(self) -> Path:
        return self.path / "dataset"

    def _repr_html_(self) -> str:
        from html import escape

        test, manifest = self.manifest.test, self.manifest
        low, high = test["interval"]
        return (
            f"<p><b>{escape(Path(manifest.data).name)}</b>: {test['accuracy']:.1%} right on "
            f"{manifest.num_examples['test']:,} test examples (95 %: {low:.1%} to {high:.1%}), "
            f"{len(manifest.labels)} labels, {manifest.seconds['total']:.0f} s. "
            f'<a href="{escape(self.report.resolve().as_uri())}">Report</a></p>'
        )


def save_manifest(folder: Path, manifest: RunManifest) -> None:
    """Write `run.json` into a run that is being written."""
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))


def open_run(path: str | Path) -> Run:
    """Open a finished run.

    Raises:
        ArtifactError: there is no run there, or it is damaged or of a later version.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise ArtifactError(f"{path} is not a run: it has no {MANIFEST}. `noria train DATA --out {path}` makes one.")
    facts = read_json(path / MANIFEST)
    if not isinstance(facts, dict) or facts.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(f"{path} is not a run of version {FORMAT_VERSION}. Train again with this version of Noria.")
    try:
        return Run(path, RunManifest.model_validate(facts))
    except ValidationError as error:
        raise ArtifactError(
            f"{path / MANIFEST} is damaged: {error.error_count()} fields are missing or wrong."
        ) from None
