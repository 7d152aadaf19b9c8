"""The whole path on real photos: 2,624 electroluminescence pictures of solar cells, sound or defective.

The photos come with the Python package `elpv-dataset` (CC BY-NC-SA 4.0; Buerhop-Lutz et al. 2018, Deitsch et al.
2019); they are read where that package lies, through a link beside the table, and are not copied.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from noria import api
from noria.artifacts.bundle import MANIFEST, Bundle, open_bundle
from noria.artifacts.dataset import Dataset
from noria.artifacts.files import write_atomic
from noria.artifacts.run import Run
from noria.contracts import Progress
from noria.errors import ArtifactError, MissingExtraError, VerificationError

PACKAGE = "elpv_dataset"
PHOTOS = "photos"  # the link
DEFECTIVE_FROM = 0.5  # the experts' probability of a defect, given in steps of a third
SHOWN = 6


def run(out: Path, progress: Progress) -> dict[str, Any]:
    """Walk from check to predict below `out`; what is there from an earlier walk is used again."""
    start = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    photos = write_manifest(out / "solar-cells.csv")
    progress.note("Photos: elpv-dataset, licence CC BY-NC-SA 4.0 (not for commercial use)")

    progress.note("1 check     which pictures can be used, and how they are split")
    dataset = api.check(photos, progress=progress)
    progress.note(f"            {len(dataset.examples):,} pictures, {len(dataset.findings)} findings")

    progress.note("2 train     features once, then a head; report")
    trained = _train(photos, out, progress)
    low, high = trained.manifest.test["interval"]
    progress.note(f"            {trained.manifest.test['accuracy']:.1%} right (95 %: {low:.1%} to {high:.1%})")

    progress.note("3 export    four files, each compared with the Keras model")
    bundle = _bundle(trained, out / "bundle", progress)
    for file in bundle.manifest.files:
        progress.note(f"            {file.format:<12} {file.bytes / 1e6:6.2f} MB")

    progress.note("4 evaluate  the exported file on the test pictures, without TensorFlow")
    test = _write_test_manifest(trained, out / "test-pictures.csv")
    measured = api.evaluate(bundle, test, progress=progress)
    progress.note(f"            {measured['accuracy']:.1%} right on {measured['num_examples']:,} pictures")

    progress.note("5 verify    golden examples through every file")
    verification = api.verify(bundle, timed=False, progress=progress)  # the export has measured the speed
    if verification.failures(of_files=True):
        raise VerificationError(f"The files in {bundle.path} do not answer alike; see: noria verify {bundle.path}")
    alike = ", ".join(row.name for row in verification.runtimes if not row.failures)
    progress.note(f"            answer alike: {alike}")

    progress.note("6 predict   some of the test pictures")
    answers = _predict(bundle, trained)
    for answer in answers:
        progress.note(f"            {Path(answer['input']).name}: {answer['label']} ({answer['confidence']:.0%})")
    return {
        "out": str(out),
        "run": str(trained.path),
        "report": str(trained.report),
        "bundle": str(bundle.path),
        "test": trained.manifest.test,
        "passed": verification.passed,
        "answers": answers,
        "seconds": time.perf_counter() - start,
    }


def write_manifest(path: Path) -> Path:
    """Write the table of the photos, with paths through the link `photos` beside it, the same on every machine.

    Raises:
        MissingExtraError: the package is not installed.
        ArtifactError: the link cannot be made.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise MissingExtraError("The package with the demo's photos (elpv-dataset)", "demo")
    folder = Path(found.origin).parent / "data"
    _link(path.with_name(PHOTOS), folder)
    rows = [line.split() for line in (folder / "labels.csv").read_text(encoding="utf-8").splitlines() if line.strip()]
    labelled = [
        (f"{PHOTOS}/{name}", "defective" if float(probability) >= DEFECTIVE_FROM else "sound")
        for name, probability, _kind in rows
    ]
    return _write_csv(path, labelled)


def _link(link: Path, folder: Path) -> None:
    """Let a link lead to a folder, wherever an earlier one led."""
    try:
        if link.is_symlink():
            link.unlink()
        link.symlink_to(folder.absolute(), target_is_directory=True)
    except OSError as error:
        raise ArtifactError(
            f"{link} cannot be made, a link to the demo's photos: {error.strerror}. Choose another place with --out."
        ) from error


def _train(photos: Path, out: Path, progress: Progress) -> Run:
    """Train, or take the run that is there; one of an older version or of other settings is left alone."""
    for name in ("run", *(f"run-{number}" for number in range(2, 100))):
        with suppress(ArtifactError):
            return api.train(photos, out / name, progress=progress, command="noria demo")
    raise ArtifactError(f"{out} is full of runs of other versions. Choose another place with --out, or remove it.")


def closing_lines(told: dict[str, Any]) -> list[str]:
    """Return what a person reads at the end: where everything lies, and what to type next."""
    bundle = shlex.quote(told["bundle"])
    return [
        f"Done in {told['seconds']:.0f} s.",
        f"Report:  {told['report']}   (open it in a browser)",
        f"Run:     {told['run']}",
        f"Bundle:  {told['bundle']}",
        "Next, with pictures of your own (a folder with a folder for each label):",
        "         noria train PHOTOS",
        f"         noria predict {bundle} SOME-PICTURE.jpg",
    ]


def _write_test_manifest(trained: Run, path: Path) -> Path:
    dataset = Dataset.load(trained.dataset)
    return _write_csv(path, [(one.path, one.label) for one in dataset.by_split("test")])


def _write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("path", "label"), *rows])
    write_atomic(path, text.getvalue())
    return path


def _bundle(trained: Run, out: Path, progress: Progress) -> Bundle:
    """Export, or take the bundle that an earlier walk made from the same run."""
    if (out / MANIFEST).is_file():
        with suppress(ArtifactError):  # of another version, or damaged: made again
            there = open_bundle(out)
            if there.checksum("keras") == trained.checksum("keras"):
                return there
    return api.export(trained, out, replace=True, leave_out_failing=True, progress=progress)


def _predict(bundle: Bundle, trained: Run) -> list[dict[str, Any]]:
    dataset = Dataset.load(trained.dataset)
    return list(api.predict(bundle, [dataset.path_of(one) for one in dataset.by_split("test")[:SHOWN]]))
