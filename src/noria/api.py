"""The verbs as functions, in the order of the pipeline; each imports its rooms when it is called.

Paths may be `str` or `Path`. Long work reports to `progress` (silent by default). Every error is a `NoriaError`.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria import plugins
from noria.artifacts.bundle import MANIFEST as BUNDLE_MANIFEST
from noria.artifacts.bundle import Bundle, open_bundle
from noria.artifacts.files import folder_being_written, sha256_file
from noria.artifacts.run import MANIFEST as RUN_MANIFEST
from noria.artifacts.run import Run, open_run
from noria.config import Config, load_config, parse, to_toml
from noria.contracts import Progress, SetAside, Silent
from noria.errors import ArtifactError, DataError

if TYPE_CHECKING:
    from noria.artifacts.dataset import Dataset
    from noria.exporting.verify import Verification
    from noria.inference.predictor import Input
    from noria.training.job import Job

__all__ = ["check", "evaluate", "export", "open_bundle", "open_run", "predict", "train", "verify"]

PathLike = str | Path
RUNS = Path("runs")
STRATEGIES = "noria.training.strategies"
FORMATS = "noria.exporting.formats"


def check(data: PathLike, *, config: Config | None = None, progress: Progress | None = None) -> Dataset:
    """Read a folder or a table once: what can be used, what cannot and why, and how it is split.

    Args:
        data: a folder with a folder for each label, or a CSV, TSV or JSONL manifest `path,label[,split][,group]`.

    Returns:
        The dataset, with its `findings`, `set_aside` and `fingerprint`.

    Raises:
        DataError: there is nothing there that any reader knows.
    """
    from noria.artifacts.store import cache_folder
    from noria.data.check import InspectionCache
    from noria.data.check import check as check_data

    config = _with_model_size(config or load_config())
    with InspectionCache(cache_folder() / "inspections.sqlite") as cache:
        return check_data(
            Path(data),
            settings=config.input,
            task=config.task,
            input_name=plugins.load("noria.tasks", config.task).INPUT,
            reader=config.data.reader,
            split=config.data.split,
            seed=config.seed,
            progress=progress or Silent(),
            cache=cache,
        )


def train(
    data: PathLike,
    out: PathLike | None = None,
    *,
    config: Config | None = None,
    progress: Progress | None = None,
    command: str = "noria.train(...)",
) -> Run:
    """Check the data, train a model and report on it.

    The same data and settings at the same place are not trained again. A training that was killed goes on: what it
    had computed lies in the cache.

    Args:
        data: as for `check`.
        out: the run's folder; by default `runs/NAME`, or `runs/NAME-2` where that is another run.

    Raises:
        DataError: the data cannot be trained on; the message says what is missing.
        ArtifactError: `out` is there already and is not this run.
        MissingExtraError: TensorFlow is not installed.
    """
    from noria.quiet import require_tensorflow

    progress = progress or Silent()
    config = _with_model_size(config or load_config())
    plugins.require(STRATEGIES, config.training.strategy)
    require_tensorflow()
    _refuse_foreign(out)
    clock = _Clock()
    with clock.stage("check"):
        dataset = check(data, config=config, progress=progress)
    dataset.require_trainable()
    progress.note(_told(dataset))
    place = _place(out, dataset, config)
    if isinstance(place, Run):
        progress.note(f"already trained: {place.path} has this data and these settings")
        return place
    return _train(dataset, place, config, clock, progress, command)


def evaluate(
    source: PathLike | Run | Bundle, data: PathLike, *, runtime: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Measure a run or a bundle on labelled data.

    Returns:
        `accuracy`, its 95 % `interval`, `num_examples`, the classification report, `set_aside`, and how many of the
        examples the model was trained on (`seen_in_training`, where that is known: for a run).

    Raises:
        DataError: none of the data can be read, or has a label that the model knows.
    """
    from noria.evaluation.metrics import classification
    from noria.inference.predictor import Predictor
    from noria.inference.scoring import score

    opened = _opened(source)
    inputs, unusable = _labelled(data)
    predictor = Predictor(opened, runtime=runtime)
    scored, unread = score(predictor, inputs, progress or Silent())
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
    progress: Progress | None = None,
) -> Bundle:
    """Write a bundle: the model in several formats, with golden examples, compared file by file before it is kept.

    Args:
        out: the bundle's folder; by default `bundle` beside the run's model.
        formats: names from the shelf `exporting/formats`; by default those of the run's config.

    Returns:
        The bundle; `manifest.verified` says what every runtime did on test examples.

    Raises:
        VerificationError: a file answers differently from the Keras model; nothing is left.
    """
    from noria.artifacts.dataset import Dataset
    from noria.artifacts.files import refuse_existing
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
    load_tensorflow()
    from noria.exporting.build import build

    dataset = Dataset.load(opened.dataset)
    return build(opened, dataset, place, settings, replace=replace, progress=progress or Silent())


def verify(
    bundle: PathLike | Bundle, data: PathLike | None = None, *, progress: Progress | None = None
) -> Verification:
    """Run examples through every file of a bundle that an engine here can run, and compare.

    Args:
        data: labelled data, or None for the golden examples inside the bundle.

    Returns:
        `passed`, and a row for each runtime.
    """
    from noria.exporting.verify import Runtimes
    from noria.exporting.verify import verify as verify_bundle

    opened = bundle if isinstance(bundle, Bundle) else open_bundle(Path(bundle))
    there = Runtimes(opened)
    on_golden = verify_bundle(there, None, progress=progress or Silent())
    if data is None:
        return on_golden
    inputs, _ = _labelled(data)
    # Golden too: without Keras here, only they say what the model itself would have answered.
    return verify_bundle(there, inputs, progress=progress or Silent()).joined_with(on_golden)


def predict(
    source: PathLike | Run | Bundle,
    inputs: PathLike | bytes | Iterable[PathLike | bytes],
    *,
    runtime: str | None = None,
    top: int = 5,
) -> Iterator[dict[str, Any]]:
    """Yield an answer for each input, in order: `input` and either `label`, `confidence`, `top`, or `error`.

    Args:
        inputs: files, folders (every file below them) or raw bytes; one, or any number of them.
    """
    from noria.inference.predictor import Input, Predictor, find_inputs

    predictor = Predictor(_opened(source), runtime=runtime)
    many = [inputs] if isinstance(inputs, (str, Path, bytes)) else inputs

    def found() -> Iterator[Input]:
        for number, one in enumerate(many):
            if isinstance(one, bytes):
                yield Input(f"bytes-{number}", one)
            else:
                yield from find_inputs([Path(one)])

    return predictor.answers(found(), top=top)


@dataclass
class _Clock:
    """Wall seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    begun: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def with_total(self) -> dict[str, float]:
        return {**self.seconds, "total": time.perf_counter() - self.begun}


def _with_model_size(config: Config) -> Config:
    """Where the user set no picture size, take the one that the model's weights were made for."""
    from noria import models

    given = config.input.model_fields_set
    size = models.card(config.model.name).image_size
    if not hasattr(config.input, "height") or {"height", "width"} & given:
        return config
    sized = config.input.model_copy(update={"height": size, "width": size})
    return config.model_copy(update={"input": sized})


def _told(dataset: Dataset) -> str:
    counts = dataset.counts()
    return (
        f"{len(dataset.examples):,} examples of {len(dataset.labels)} labels: {counts['train']:,} train, "
        f"{counts['validation']:,} validation, {counts['test']:,} test; {counts['set_aside']:,} set aside"
    )


def _place(out: PathLike | None, dataset: Dataset, config: Config) -> Path | Run:
    """Return where the run goes, or the finished run that it would be equal to."""
    if out is not None:
        path = Path(out)
        if path.exists():
            same = _same_run(path, dataset, config)
            if same is None:
                raise ArtifactError(
                    f"{path} is there already, and is not a run of this data with these settings. "
                    "Choose another --out, or remove it."
                )
            return same
        return path
    number = 1
    while (path := RUNS / (dataset.name if number == 1 else f"{dataset.name}-{number}")).exists():
        if same := _same_run(path, dataset, config):
            return same
        number += 1
    return path


def _refuse_foreign(out: PathLike | None) -> None:
    """Refuse a place that no run can go to before the data is read, not after."""
    if out is not None and Path(out).exists() and not (Path(out) / RUN_MANIFEST).is_file():
        raise ArtifactError(f"{out} is there already and is not a run. Choose another --out, or remove it.")


def _same_run(path: Path, dataset: Dataset, config: Config) -> Run | None:
    try:
        run = open_run(path)
    except ArtifactError:
        return None  # of another version, or damaged
    facts = run.manifest
    there = (facts.fingerprint, facts.config, facts.data)
    return run if there == (dataset.fingerprint, config.model_dump(mode="json"), str(dataset.root)) else None


def _train(dataset: Dataset, place: Path, config: Config, clock: _Clock, progress: Progress, command: str) -> Run:
    from noria.artifacts.store import Store, cache_folder
    from noria.quiet import load_tensorflow

    with clock.stage("load"):
        load_tensorflow()
        from noria.training.finish import write_run
    strategy = plugins.load(STRATEGIES, config.training.strategy)
    job, preview = _job(dataset, config)
    with folder_being_written(place) as folder, Store(cache_folder() / "features.sqlite") as store:
        trained = strategy.train(job, store=store, progress=progress)
        if store.trouble:
            progress.note(store.trouble)
        clock.seconds.update(trained.seconds)
        progress.note("writing model and report")
        write_run(
            folder,
            job,
            trained,
            config=config.model_dump(mode="json"),
            config_toml=to_toml(config),
            command=command,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            clock=clock.with_total,
            thumbnail=preview,
        )
    return open_run(place)


def _job(dataset: Dataset, config: Config) -> tuple[Job, Any]:
    from noria.data.check import decoder
    from noria.training.job import Job

    row = plugins.load("noria.tasks", config.task)
    inputs = plugins.load("noria.inputs", row.INPUT)
    augment = plugins.load("noria.data.augment", row.AUGMENT)
    job = Job(
        dataset=dataset,
        model=config.model,
        training=config.training,
        seed=config.seed,
        read=lambda data: inputs.read(data, config.input),
        decoder=decoder(inputs),
        input=config.input,
        vary=lambda array, key: augment.vary(array, config.augment, key),
        vary_spec=f"{augment.RECIPE}:{config.augment.model_dump_json(exclude={'views'})}",
        views=augment.number_of_views(config.augment, dataset.counts()["train"]),
    )
    return job, lambda data: inputs.encode_preview(data, 160)


def _opened(source: PathLike | Run | Bundle) -> Run | Bundle:
    from noria.inference.predictor import open_source

    return source if isinstance(source, (Run, Bundle)) else open_source(Path(source))


def _labelled(data: PathLike) -> tuple[list[Input], list[SetAside]]:
    """Return the labelled files of a folder or a table, labels spelled as training spells them, and the rest."""
    from noria.artifacts.dataset import tidy_label
    from noria.data.readers import find_reader
    from noria.inference.predictor import Input

    path = Path(data)
    listing = find_reader(path).read(path)
    set_aside = [one for ones in listing.set_aside.values() for one in ones]
    inputs = [Input(one.path, listing.root / one.path, tidy_label(one.label)) for one in listing.candidates]
    if not inputs:
        first = f" The first: {set_aside[0].path}: {set_aside[0].reason}." if set_aside else ""
        raise DataError(f"{path} has no labelled file that can be used.{first}")
    return inputs, set_aside


def _seen(opened: Run | Bundle, inputs: Sequence[Input], used: Sequence[str]) -> dict[str, int]:
    """Count the examples that a run was trained on: a figure that they are part of says little."""
    if isinstance(opened, Bundle):
        return {}
    from noria.artifacts.dataset import Dataset

    # The validation pictures count, too: they chose the regularisation, the epoch and the temperature.
    trained_on = {one.sha256 for one in Dataset.load(opened.dataset).examples if one.split != "test"}
    names = set(used)
    files = (one.source for one in inputs if one.name in names and isinstance(one.source, Path))
    return {"seen_in_training": sum(sha256_file(path) in trained_on for path in files)}
