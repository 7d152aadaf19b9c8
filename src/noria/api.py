"""The verbs as functions, in the order of the pipeline; each imports its rooms when it is called.

Paths may be `str` or `Path`. Long work reports to `progress` (silent by default). Every error is a `NoriaError`.
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria import choosing, models, places, plugins
from noria.artifacts.bundle import MANIFEST as BUNDLE_MANIFEST
from noria.artifacts.bundle import Bundle, open_bundle
from noria.artifacts.files import folder_being_written
from noria.artifacts.run import Run, open_run
from noria.config import STRATEGIES, Config, load_config, parse, resolved, to_toml, with_batch_size
from noria.contracts import Parts, Progress, SetAside, Silent
from noria.data.readers import Columns
from noria.errors import ConfigError, DataError
from noria.jobs import make_job
from noria.preparing import check, checked, compare_data, frames, review
from noria.tuning import bench_input, find_rate

if TYPE_CHECKING:
    from noria.artifacts.dataset import Dataset
    from noria.exporting.verify import Verification
    from noria.inference.predictor import Input, Predictor
    from noria.training.clock import Clock
    from noria.training.devices import Devices

__all__ = [
    "bench_input",
    "check",
    "compare_data",
    "evaluate",
    "explain",
    "export",
    "find_rate",
    "frames",
    "open_bundle",
    "open_run",
    "predict",
    "review",
    "train",
    "verify",
]

PathLike = str | Path
FORMATS = "noria.exporting.formats"


def train(
    data: PathLike,
    out: PathLike | None = None,
    *,
    config: Config | None = None,
    progress: Progress | None = None,
    command: str = "noria.train(...)",
    devices: Devices | None = None,
) -> Run:
    """Check the data, train a model and report on it.

    The same data and settings at the same place are not trained again. A training that was killed goes on: what it
    had computed lies in the cache.

    Args:
        data: as for `check`.
        out: the run's folder; by default `runs/NAME`, or `runs/NAME-2` where that is another run.
        devices: what a network is trained on; by default what `noria.training.devices.find_devices` finds here.

    Raises:
        DataError: the data cannot be trained on; the message says what is missing.
        ArtifactError: `out` is there already and is not this run, or the default lies inside the data.
        MissingExtraError: TensorFlow is not installed.
    """
    from noria.quiet import require_tensorflow, tensorflow_beside
    from noria.training import continuing
    from noria.training.clock import Clock
    from noria.training.devices import devices_for

    progress = progress or Silent()
    places.refuse_finished(Path(data))
    given, start = choosing.of_run(config or load_config(data=Path(data)))
    config = resolved(given)
    plugins.require(STRATEGIES, config.training.strategy)
    if start is None:
        models.weights_file(config.model.name, config.model.weights)  # refuses one that is not there, before the check
    require_tensorflow()
    places.refuse_inside(Path(data), out)
    places.refuse_foreign(out)
    places.refuse_unwritable(Path(out) if out is not None else places.RUNS)
    clock = Clock()
    found = devices or devices_for(config.training, progress)
    # Where a run may lie already, TensorFlow may not be needed at all.
    fresh = not (Path(out) if out is not None else places.RUNS).exists()
    with clock.stage("check"), tensorflow_beside(lambda: None) if fresh else nullcontext():
        dataset = checked(data, config, progress, clock)
    dataset.require_trainable()
    progress.note(_told(dataset))
    if start:
        dataset = continuing.with_labels_of(dataset, start, progress)
    config = resolved(choosing.by_time(given, dataset, progress))
    choosing.tell_unused(given, config.training.strategy, progress)
    found = devices or devices_for(config.training, progress, told=found)
    place = places.place(out, dataset, config, start)
    if isinstance(place, Run):
        progress.note(f"already trained: {place.path} has this data and these settings")
        return place
    return _train(dataset, place, config, clock, progress, command, start, found)


def evaluate(
    source: PathLike | Run | Bundle,
    data: PathLike,
    *,
    runtime: str | None = None,
    columns: Columns | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a run or a bundle on labelled data.

    Args:
        columns: of a table of texts; by default those that the run was trained on, or found as in training.

    Returns:
        `accuracy`, its 95 % `interval`, `num_examples`, the classification report, `set_aside`, and how many of the
        examples the model was made from (`seen_in_training`; a bundle of an older version does not know).

    Raises:
        DataError: none of the data can be read, or has a label that the model knows.
    """
    from noria.evaluation.metrics import classification
    from noria.inference.predictor import Predictor
    from noria.inference.scoring import score

    opened = _opened(source)
    progress = progress or Silent()
    inputs, unusable = _labelled(data, opened, columns, progress)
    predictor = Predictor(opened, runtime=runtime)
    scored, unread = score(predictor, inputs, progress)
    set_aside = [*unusable, *unread]
    measured = classification.measure(scored)
    seen = _seen(opened, inputs, scored.names)
    return {**measured, "set_aside": [asdict(one) for one in set_aside], "runtime": predictor.runtime, **seen}


def export(
    run: PathLike | Run,
    out: PathLike | None = None,
    *,
    formats: str | Sequence[str] | None = None,
    replace: bool = False,
    leave_out_failing: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Write a bundle: the model in several formats, with golden examples, compared file by file before it is kept.

    Args:
        out: the bundle's folder; by default `bundle` beside the run's model.
        formats: names from the shelf `exporting/formats`; by default those of the run's config.
        leave_out_failing: a file that answers differently is told and left out, and the bundle is not refused.

    Returns:
        The bundle; `manifest.verified` says what every runtime did on test examples.

    Raises:
        VerificationError: a file answers differently from the Keras model; nothing is left.
    """
    from noria.artifacts.dataset import Dataset
    from noria.artifacts.files import refuse_existing
    from noria.data.check import reopened
    from noria.quiet import load_tensorflow

    opened = run if isinstance(run, Run) else open_run(Path(run))
    settings = parse(opened.manifest.config).export
    if formats:
        chosen = (formats,) if isinstance(formats, str) else tuple(formats)
        settings = settings.model_copy(update={"formats": chosen})
    for name in settings.formats:
        plugins.require(FORMATS, name)  # before TensorFlow is loaded, which takes seconds
    place = Path(out) if out is not None else opened.path / "bundle"
    refuse_existing(place, replace=replace, marker=BUNDLE_MANIFEST)
    progress = progress or Silent()
    progress.note("loading TensorFlow and the model")
    load_tensorflow()
    from noria.exporting.build import build

    dataset = reopened(Dataset.load(opened.dataset))
    return build(
        opened, dataset, place, settings,
        replace=replace, progress=progress, leave_out_failing=leave_out_failing,
    )  # fmt: skip


def verify(
    bundle: PathLike | Bundle,
    data: PathLike | None = None,
    *,
    columns: Columns | None = None,
    timed: bool = True,
    progress: Progress | None = None,
) -> Verification:
    """Run examples through every file of a bundle that an engine here can run, and compare.

    Args:
        data: labelled data, or None for the golden examples inside the bundle.
        columns: of a table of texts, as for `evaluate`.
        timed: whether to measure speed, too; else it is told as 0.

    Returns:
        `passed`, and a row for each runtime.
    """
    from noria.exporting.verify import Runtimes
    from noria.exporting.verify import verify as verify_bundle

    opened = bundle if isinstance(bundle, Bundle) else open_bundle(Path(bundle))
    there = Runtimes(opened)
    progress = progress or Silent()
    on_golden = verify_bundle(there, None, progress=progress, timed=timed and data is None)
    if data is None:
        return on_golden
    inputs, _ = _labelled(data, opened, columns, progress)
    # Golden too: without Keras here, only they say what the model itself would have answered.
    return verify_bundle(there, inputs, progress=progress, timed=timed).joined_with(on_golden)


def predict(
    source: PathLike | Run | Bundle,
    inputs: PathLike | bytes | Input | Iterable[PathLike | bytes | Input],
    *,
    runtime: str | None = None,
    columns: Columns | None = None,
    top: int = 5,
    progress: Progress | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield an answer for each input, in order: `input` and either `label`, `confidence`, `top`, or `error`.

    Args:
        inputs: files, folders (every file below them), tables of texts (every row) or raw bytes; one, or any number.
        columns: of a table of texts: which is the text, and its encoding; what is guessed is told to `progress`.
    """
    from noria.inference.predictor import Predictor

    opened = _opened(source)
    return Predictor(opened, runtime=runtime).answers(_found(opened, inputs, columns, progress), top=top)


def explain(
    source: PathLike | Run | Bundle,
    inputs: PathLike | bytes | Input | Iterable[PathLike | bytes | Input],
    *,
    runtime: str | None = None,
    columns: Columns | None = None,
    progress: Progress | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield for each text, in order, how far each of its words pushed the answer.

    Exact for a linear model (`ngrams`); for the others by leaving words out and asking again.

    Args:
        inputs, columns, progress: as for `predict`.

    Returns:
        `input` and either `error`, or `label`, `confidence`, `method` ("exact" or "occlusion"), `bias`, `text` and
        `words`: [[word, contribution, start, end], ...]. A contribution is in log-odds, above 0 towards the label;
        `start` and `end` count characters (code points) of `text`.

    Raises:
        ConfigError: the model answers for something else than texts.
    """
    from noria.inference.predictor import Predictor

    opened = _opened(source)
    parts_of = _open_parts(opened)
    predictor = Predictor(opened, runtime=runtime)
    return (_explained(predictor, parts_of, one) for one in _found(opened, inputs, columns, progress))


def _told(dataset: Dataset) -> str:
    counts = dataset.counts()
    return (
        f"{len(dataset.examples):,} examples of {len(dataset.labels)} labels: {counts['train']:,} train, "
        f"{counts['validation']:,} validation, {counts['test']:,} test; {counts['set_aside']:,} set aside"
    )


def _train(
    dataset: Dataset,
    place: Path,
    config: Config,
    clock: Clock,
    progress: Progress,
    command: str,
    start: Run | None,
    devices: Devices,
) -> Run:
    from noria.artifacts.store import Store, cache_folder
    from noria.training import board
    from noria.training.finish import write_run

    job, inputs = make_job(dataset, config, time.monotonic() - clock.with_total()["total"], start, devices)
    devices.meet(dataset.fingerprint, config.model_dump(mode="json"))
    with folder_being_written(place) as folder, Store(cache_folder() / "features.sqlite") as store:
        board.link(folder, job)
        trained = plugins.load(STRATEGIES, config.training.strategy).train(job, store=store, progress=progress)
        if store.trouble:
            progress.note(store.trouble)
        clock.add(trained.seconds)
        progress.note("writing model and report")
        config = with_batch_size(config, trained.batch_size)
        write_run(
            folder, job, trained, config=config.model_dump(mode="json"), config_toml=to_toml(config), command=command,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), clock=clock.with_total,
            inputs=inputs,
        )  # fmt: skip
    if job.unfinished:
        shutil.rmtree(job.unfinished, ignore_errors=True)
    return open_run(place)


def _found(
    opened: Run | Bundle,
    inputs: PathLike | bytes | Input | Iterable[PathLike | bytes | Input],
    columns: Columns | None,
    progress: Progress | None,
) -> Iterator[Input]:
    from noria.inference.predictor import Input
    from noria.sources import inputs_at

    many = [inputs] if isinstance(inputs, (str, Path, bytes, Input)) else inputs
    for number, one in enumerate(many):
        if isinstance(one, Input):
            yield one
        elif isinstance(one, bytes):
            yield Input(f"bytes-{number}", one)
        else:
            yield from inputs_at(Path(one), opened, columns, progress)


def _open_parts(opened: Run | Bundle) -> Callable[[bytes], Parts]:
    member = plugins.load("noria.inputs", plugins.load("noria.tasks", opened.manifest.task).INPUT)
    if not hasattr(member, "open_parts"):
        raise ConfigError(
            f"{opened.path} answers for {member.NOUN[1]}, and only answers for texts can be explained, by their words. "
            "The report of a run shows its most confident mistakes, and `noria predict` lists the runners-up."
        )
    settings = member.Settings.model_validate(opened.manifest.input)
    parts_of: Callable[[bytes], Parts] = member.open_parts(settings, opened.input_files())
    return parts_of


def _explained(predictor: Predictor, parts_of: Callable[[bytes], Parts], one: Input) -> dict[str, Any]:
    from noria.evaluation.attribution import attribute
    from noria.inference.predictor import Input, bytes_of

    def about_texts(texts: Sequence[bytes]) -> NDArray[np.float32]:
        refused = np.full(len(predictor.labels), np.nan, np.float32)
        results = predictor.results(Input("", text) for text in texts)
        return np.stack([refused if result.scores is None else result.scores for result in results])

    (result,) = predictor.run([one])
    if result.scores is None:
        return {"input": one.name, "error": result.error}
    about_features = predictor.scores if predictor.takes_arrays else None
    told = attribute(parts_of(bytes_of(one)), predictor.labels, about_texts, about_features)
    return {"input": one.name, **told.as_dict()}


def _opened(source: PathLike | Run | Bundle) -> Run | Bundle:
    from noria.inference.predictor import open_source

    return source if isinstance(source, (Run, Bundle)) else open_source(Path(source))


def _labelled(
    data: PathLike, opened: Run | Bundle, columns: Columns | None, progress: Progress
) -> tuple[list[Input], list[SetAside]]:
    """Return the labelled inputs of a folder or a table, labels spelled as training spells them, and the rest."""
    from noria.artifacts.dataset import tidy_label
    from noria.data.readers import find_reader, read, tell_guesses
    from noria.inference.predictor import Input

    path = Path(data)
    if columns is None and isinstance(opened, Run):
        columns = parse(opened.manifest.config).data.columns.of_inputs
    listing = read(path, find_reader(path, task=opened.manifest.task), columns)
    tell_guesses(path, listing.findings, columns or Columns(), progress)
    set_aside = [one for ones in listing.set_aside.values() for one in ones]
    inputs = [
        Input(one.path, source, tidy_label(one.label))
        for one, source in zip(listing.candidates, listing.sources(), strict=True)
    ]
    if not inputs:
        first = f" The first: {set_aside[0].path}: {set_aside[0].reason}." if set_aside else ""
        raise DataError(f"{path} has no labelled input that can be used.{first}")
    return inputs, set_aside


def _seen(opened: Run | Bundle, inputs: Sequence[Input], used: Sequence[str]) -> dict[str, int]:
    """Count the examples that the model was made from: a figure that they are part of says little."""
    from noria.artifacts.dataset import Dataset
    from noria.artifacts.seen import seen_hashes, short_hash

    known = opened.seen() if isinstance(opened, Bundle) else seen_hashes(Dataset.load(opened.dataset).examples)
    if known is None:
        return {}
    names = set(used)
    return {"seen_in_training": sum(short_hash(one.source) in known for one in inputs if one.name in names)}
