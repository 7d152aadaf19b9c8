"""A run -> a bundle: every format is written, hashed, and compared with the Keras model before it is called good."""

from __future__ import annotations

import datetime
import random
import shutil
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from noria import plugins
from noria.artifacts.bundle import (
    MANIFEST,
    Bundle,
    BundleManifest,
    ExportedFile,
    GoldenExample,
    Tolerances,
    open_bundle,
    save_manifest,
)
from noria.artifacts.checksums import checksums
from noria.artifacts.dataset import Dataset
from noria.artifacts.files import folder_being_written
from noria.artifacts.input_files import INPUT, write_input_files
from noria.artifacts.run import Run
from noria.artifacts.seen import seen_hashes, write_seen
from noria.contracts import Progress
from noria.errors import VerificationError
from noria.exporting.golden import Golden, choose_golden, ids_of
from noria.exporting.settings import ExportSettings
from noria.exporting.source import ExportSource
from noria.exporting.verify import Runtimes, Verification, verify
from noria.inference.batching import stacked
from noria.inference.predictor import Input, Predictor

SHELF = "noria.exporting.formats"
GRAPHS = "noria.exporting.graphs"


def build(
    run: Run,
    dataset: Dataset,
    out: Path,
    settings: ExportSettings,
    *,
    replace: bool,
    progress: Progress,
    leave_out_failing: bool = False,
) -> Bundle:
    """Write and verify a bundle at `out`.

    Args:
        leave_out_failing: a file that answers differently is told and left out, where others do not.

    Raises:
        VerificationError: a file answers differently; nothing is left at `out`.
        ArtifactError: `out` is there already (and `replace` is not set), or the run is damaged.
    """
    members = {name: plugins.load(SHELF, name) for name in settings.formats}
    source = _open_source(run, dataset, settings)
    with folder_being_written(out, replace=replace, marker=MANIFEST) as folder:
        files = []
        with progress.track("export", len(members)) as advance:
            for name, member in members.items():
                member.write(source, folder)
                files.append(_exported(folder, name, member.PATH))
                advance(1)
        write_input_files(folder, source.input_files)
        input_files = checksums(folder, INPUT) if source.input_files else {}
        progress.note("golden examples, and what each file answers to them")
        golden = _write_golden(folder, source, run, dataset, settings)
        tolerances = {name: Tolerances.model_validate(member.TOLERANCES) for name, member in members.items()}
        seen_sha256 = write_seen(folder, seen_hashes(dataset.examples))
        manifest = _manifest(run, out.name, files, golden, input_files, tolerances, seen_sha256)
        save_manifest(folder, manifest)
        # The bundle's own Keras file is the run's, byte for byte; without it the run's is opened.
        reference = None if "keras" in members else Predictor(run, runtime="keras")
        verification = _verify_all(open_bundle(folder), reference, dataset, settings, progress)
        _judge(verification, settings.formats, progress, leave_out_failing=leave_out_failing)
        save_manifest(folder, _without_failing(folder, manifest, verification))
    return open_bundle(out)


def _open_source(run: Run, dataset: Dataset, settings: ExportSettings) -> ExportSource:
    row = plugins.load("noria.tasks", run.manifest.task)
    inputs = plugins.load("noria.inputs", row.INPUT)
    graph = plugins.load(GRAPHS, row.INPUT)
    input_settings = inputs.Settings.model_validate(run.manifest.input)
    files = run.input_files()
    read = inputs.open_reader(input_settings, files)
    file = run.file("keras")
    return ExportSource(
        model=keras.saving.load_model(file, compile=False, safe_mode=True),
        model_file=file,
        labels=run.labels,
        input=input_settings,
        input_files=files,
        input_name=inputs.INPUT_NAME,
        array_name=inputs.ARRAY_NAME,
        read=read,
        decode=graph.build(input_settings, files),
        calibration=lambda: _calibration(dataset, settings, read),
    )


def _calibration(
    dataset: Dataset, settings: ExportSettings, read: Callable[[bytes], NDArray[Any]]
) -> list[NDArray[Any]]:
    examples = sorted(dataset.by_split("train"), key=lambda one: one.sha256)
    random.Random(dataset.fingerprint).shuffle(examples)
    return [read(dataset.read(one)) for one in examples[: settings.calibration_examples]]


def _exported(folder: Path, name: str, path: str) -> ExportedFile:
    sums = checksums(folder, path)
    size = sum((folder / file).stat().st_size for file in sums)
    return ExportedFile(format=name, path=path, bytes=size, sha256=sums)


def _write_golden(
    folder: Path, source: ExportSource, run: Run, dataset: Dataset, settings: ExportSettings
) -> tuple[GoldenExample, ...]:
    inputs = plugins.load("noria.inputs", plugins.load("noria.tasks", run.manifest.task).INPUT)
    golden: Sequence[Golden] = choose_golden(dataset, settings.golden_examples, inputs.variants)
    arrays = [source.read(one.data) for one in golden]
    scores = np.asarray(source.model.predict_on_batch(stacked(arrays)))
    (folder / "golden").mkdir()
    for one in golden:
        (folder / one.name).write_bytes(one.data)
    return tuple(
        GoldenExample(
            path=one.name,
            sha256=checksums(folder, one.name)[one.name],
            label=one.label,
            note=one.note,
            scores=tuple(float(value) for value in row),
            ids=ids_of(array),
        )
        for one, row, array in zip(golden, scores, arrays, strict=True)
    )


def _manifest(
    run: Run,
    name: str,
    files: Sequence[ExportedFile],
    golden: tuple[GoldenExample, ...],
    input_files: dict[str, str],
    tolerances: dict[str, Tolerances],
    seen_sha256: str,
) -> BundleManifest:
    facts = run.manifest
    return BundleManifest(
        noria=version("noria"),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        name=name,
        task=facts.task,
        labels=facts.labels,
        input=facts.input,
        model=facts.model,
        temperature=facts.temperature,
        fingerprint=facts.fingerprint,
        test=facts.test,
        tolerances=tolerances,
        files=tuple(files),
        golden=golden,
        input_files=input_files,
        versions=facts.versions,
        seen_sha256=seen_sha256,
    )


def _verify_all(
    bundle: Bundle, reference: Predictor | None, dataset: Dataset, settings: ExportSettings, progress: Progress
) -> Verification:
    """Compare on the golden examples and on test pictures."""
    opened = Runtimes(bundle)
    on_golden = verify(opened, None, progress=progress, timed=False)
    examples = sorted(dataset.by_split("test"), key=lambda one: one.sha256)[: settings.verify_examples]
    inputs = [Input(one.path, dataset.source_of(one), one.label) for one in examples]
    on_test = verify(opened, inputs, progress=progress, reference=reference)
    return on_test.joined_with(on_golden)


def _judge(outcome: Verification, formats: Sequence[str], progress: Progress, *, leave_out_failing: bool) -> None:
    """Refuse a bundle of which a file fails, or say that the file is left out."""
    sound = [one for one in formats if one not in outcome.failing_formats]
    if problems := "; ".join(outcome.failures(of_files=True)):
        if not sound or not leave_out_failing:
            rest = f". To export what holds: --formats {','.join(sound)}" if sound else ""
            raise VerificationError(f"The bundle is refused, because a file answers differently. {problems}{rest}")
        progress.note(f"left out, because it answers differently: {problems}")
    for problem in outcome.failures(of_files=False):
        progress.note(f"not to be used on this machine: {problem}")


def _without_failing(folder: Path, manifest: BundleManifest, outcome: Verification) -> BundleManifest:
    """Take away the files that fail, and return the manifest with what the others' engines did."""
    failing = outcome.failing_formats
    for file in manifest.files:
        if file.format in failing:
            path = folder / file.path
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return manifest.model_copy(
        update={
            "files": tuple(file for file in manifest.files if file.format not in failing),
            "tolerances": {name: one for name, one in manifest.tolerances.items() if name not in failing},
            "verified": tuple(row for row in outcome.as_dict()["runtimes"] if row["format"] not in failing),
        }
    )
