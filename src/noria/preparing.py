"""The verbs about data as functions: frames, check, review, compare_data; each imports its rooms when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from noria import plugins
from noria.config import Config, load_config, parse, resolved
from noria.contracts import Progress, Silent
from noria.data.video import SIMILAR
from noria.errors import MissingExtraError

if TYPE_CHECKING:
    from noria.against import Comparison
    from noria.artifacts.dataset import Dataset
    from noria.data.features import Wanted
    from noria.data.video.frames import Frames
    from noria.reviewing.server import ReviewServer
    from noria.training.clock import Clock
    from noria.vectors import Vectors

PathLike = str | Path


def frames(
    videos: PathLike,
    out: PathLike,
    *,
    every: float = 1.0,
    similar: float = SIMILAR,
    label: str | None = None,
    progress: Progress | None = None,
) -> Frames:
    """Make pictures of videos, all frames of one video one group, for `check` and `train`.

    Args:
        videos: a video, a folder of videos, or a folder with a folder of videos for each label.
        out: the new folder: `LABEL/VIDEO-000123.jpg` (the number of the frame), `frames.csv`, `videos.json`.
        every: seconds from one frame to the next, by the time stamps; 0: every frame.
        similar: leave out what differs by less from the frame written before: percent of the brightness range, of the
            spot (1/64 of the longer side) that changed most; 0: nothing is left out.
        label: of all frames; by default the folder that a video lies in, or none.

    Raises:
        DataError: there is no video, or not one frame can be decoded.
        ConfigError: a number or the label cannot be used, or `out` lies inside `videos`.
        ArtifactError: `out` is there already.
        MissingExtraError: PyAV is not installed.
    """
    try:
        from noria.data.video.frames import write_frames
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"The module {error.name}, which decodes videos,", "video") from None
    progress = progress or Silent()
    return write_frames(Path(videos), Path(out), every=every, similar=similar, label=label, progress=progress)


def check(data: PathLike, *, config: Config | None = None, progress: Progress | None = None) -> Dataset:
    """Read a folder or a table once: what can be used, what cannot and why, and how it is split.

    Args:
        data: a folder with a folder for each label, or a CSV, TSV or JSONL manifest `path,label[,split][,group]`, or a
            table of texts and labels (also Parquet). Decisions beside it are applied (`config.data.decisions`). Or a
            run, or its `dataset` folder: then it is verified, and what does not hold is a finding.
        config: by default that of the task whose reader recognises the data.

    Returns:
        The dataset, with its `findings`, `set_aside` and `fingerprint`.

    Raises:
        DataError: there is nothing there that any reader knows.
    """
    from noria.data.audit import dataset_folder

    if folder := dataset_folder(Path(data)):
        return _audited(folder, progress)
    return checked(data, resolved(config or load_config(data=Path(data))), progress)


def checked(data: PathLike, config: Config, progress: Progress | None, clock: Clock | None = None) -> Dataset:
    """Check what is no dataset yet, by a resolved config; `clock` counts the features, which training goes on with."""
    from noria.data import decisions

    return _checked(Path(data), config, progress, decisions.place(config.data.decisions, Path(data)), clock)


def review(
    data: PathLike, *, config: Config | None = None, progress: Progress | None = None
) -> tuple[Dataset, ReviewServer]:
    """Check data as `check` does, and make the page on which the findings are answered.

    Returns:
        The dataset, and a server that answers at its `url` once `serve` is called. Answers go to the decisions file.

    Raises:
        DataError: there is nothing there that any reader knows.
        ConfigError: there is no place for the decisions.
    """
    from noria.data import decisions
    from noria.reviewing.review import Review
    from noria.reviewing.server import ReviewServer

    config = resolved(config or load_config(data=Path(data)))
    place = decisions.place_to_write(config.data.decisions, Path(data))
    dataset = _checked(Path(data), config, progress, place if place.exists() else None)
    before = dataset if dataset.decisions is None else _checked(Path(data), config, progress, None)
    module = plugins.load("noria.inputs", plugins.load("noria.tasks", config.task).INPUT)
    texts = module.MEDIA_TYPE.startswith("text/")
    return dataset, ReviewServer(Review(dataset, before, place, module.close_up, texts=texts))


def compare_data(
    new: PathLike | Dataset, old: PathLike | Dataset, *, config: Config | None = None, progress: Progress | None = None
) -> Comparison:
    """Tell how new data differs from old: what is added, gone and relabelled, and how far labels and inputs moved.

    Args:
        new: data as for `check`, a run, a run's `dataset` folder, or what `check` returned; `old` likewise.
        config: how data is read that is not a dataset yet.

    Returns:
        `changes`, `shares`, `drift` (AUC, interval, p-value), `moved_most`, `findings`, and `as_dict()` of all.

    Raises:
        DataError: one of them cannot be read, or they are for different tasks.
    """
    from noria.against import compare_datasets, kept_dataset

    progress = progress or Silent()
    first, second = (kept_dataset(one) or check(str(one), config=config, progress=progress) for one in (new, old))
    return compare_datasets(first, second, seed=config.seed if config else 0, progress=progress)


def _audited(folder: Path, progress: Progress | None) -> Dataset:
    from noria.artifacts.store import cache_folder
    from noria.data.audit import audit
    from noria.data.inspection import INSPECTIONS, InspectionCache
    from noria.vectors import features

    told = progress or Silent()
    with InspectionCache(cache_folder() / INSPECTIONS) as cache:
        return audit(folder, features=lambda dataset: features(_config_of(dataset), told), progress=told, cache=cache)


def _config_of(dataset: Dataset) -> Config:
    return parse({"task": dataset.task, "input": dict(dataset.settings or {})})


def _checked(
    data: Path, config: Config, progress: Progress | None, decisions: Path | None, clock: Clock | None = None
) -> Dataset:
    from noria.artifacts.store import cache_folder
    from noria.data.check import check as check_data
    from noria.data.inspection import INSPECTIONS, InspectionCache
    from noria.held_out import scorer
    from noria.vectors import features

    progress = progress or Silent()
    vectors = features(config, progress)

    def counted(wanted: Sequence[Wanted]) -> Vectors | None:
        with clock.stage("features") if clock else nullcontext():
            return vectors(wanted)

    with InspectionCache(cache_folder() / INSPECTIONS) as cache:
        return check_data(
            data,
            settings=config.input,
            task=config.task,
            reader=config.data.reader,
            columns=config.data.columns,
            split=config.data.split,
            seed=config.seed,
            progress=progress,
            cache=cache,
            decisions=decisions,
            features=counted,
            held_out=scorer(config, progress) if config.data.wrong_labels else None,
        )
