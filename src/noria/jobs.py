"""A checked dataset and a resolved config -> the job that a strategy of training is given."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria import models, plugins
from noria.config import Config

if TYPE_CHECKING:
    from noria.artifacts.dataset import Dataset
    from noria.artifacts.run import Run
    from noria.training.devices import Devices
    from noria.training.job import Job


def make_job(
    dataset: Dataset, config: Config, begun: float, start: Run | None = None, devices: Devices | None = None
) -> tuple[Job, Any]:
    """Return the training of a dataset; `begun` is when the command was, as `time.monotonic` counts."""
    from noria.data.inspection import decoder
    from noria.training.job import Job
    from noria.training.mixing import mixer

    row = plugins.load("noria.tasks", config.task)
    inputs = plugins.load("noria.inputs", row.INPUT)
    augment = plugins.load("noria.data.augment", row.AUGMENT)
    job = Job(
        dataset=dataset,
        model=config.model,
        training=config.training,
        seed=config.seed,
        open_reader=lambda files: inputs.open_reader(config.input, files),
        decoder=decoder(inputs),
        input=config.input,
        vary=lambda array, key: augment.vary(array, config.augment, key),
        vary_spec=f"{augment.RECIPE}:{config.augment.model_dump_json(exclude={'views'})}",
        views=augment.number_of_views(config.augment, dataset.counts()["train"]),
        varied=augment.varies(config.augment),
        start=start,
        mix=mixer(config.augment, len(dataset.labels), config.seed),
        deadline=begun + config.training.minutes * 60 if config.training.minutes else math.inf,
        unfinished=_unfinished(dataset, config, start),
    )
    return (replace(job, devices=devices) if devices else job), inputs


def _unfinished(dataset: Dataset, config: Config, start: Run | None) -> Path:
    """Return where this very training goes on from once it was killed: of other settings it is another place.

    So it is of other first weights, which may have come to lie under the same name.
    """
    from noria.artifacts.files import sha256_file
    from noria.artifacts.store import cache_folder
    from noria.training.finish import versions

    if start:
        first = start.checksum("keras")
    else:
        weights = models.weights_file(config.model.name, config.model.weights)
        first = sha256_file(weights) if weights else None
    decided_by = [dataset.fingerprint, config.model_dump(mode="json"), versions(), first]
    return cache_folder() / "unfinished" / hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()
