"""The verb train as one of several workers: the chief writes the run, the others train along and leave nothing."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from noria import api, choosing, plugins
from noria.config import STRATEGIES, Config, resolved
from noria.contracts import Progress, Silent
from noria.errors import NoriaError
from noria.jobs import make_job
from noria.preparing import checked
from noria.quiet import require_tensorflow

if TYPE_CHECKING:
    from noria.artifacts.run import Run
    from noria.training.cluster import Cluster
    from noria.training.devices import Devices

GO_ON = "Start all workers again with the same command: the training goes on from what the chief kept."


def train(
    cluster: Cluster,
    data: str | Path,
    out: str | Path | None = None,
    *,
    config: Config,
    progress: Progress | None = None,
    command: str = "noria.working.train(...)",
) -> Run | None:
    """Train with the other workers, each on a part of every batch; return the run, or None where this is no chief.

    All read the same data. What is kept of a training that ends early lies in the chief's cache.

    Args:
        data, out, config, progress: as for `noria.train`.

    Raises:
        NoriaError: the others cannot be reached, or one of them is gone.
        ConfigError: the strategy has nothing to share, or the workers have other data or settings.
    """
    from noria.training.cluster import peers_watched
    from noria.training.devices import find_devices, require_devices

    progress = progress or Silent()
    given, start = choosing.of_run(config)
    training = resolved(given).training
    plugins.require(STRATEGIES, training.strategy)
    require_devices(training.strategy)
    require_tensorflow()
    several = len(cluster.addresses) > 1
    if several:
        progress.note(f"{cluster}: waits for the others")
    devices = find_devices(training.precision, cluster if several else None)
    progress.note(devices.found)
    with peers_watched(cluster, GO_ON):
        if not devices.chief:
            _train_along(Path(data), resolved(given), start, devices)
            return None
        return _lead(devices, data, out, config=config, progress=progress, command=command)


def _lead(
    devices: Devices,
    data: str | Path,
    out: str | Path | None,
    *,
    config: Config,
    progress: Progress,
    command: str,
) -> Run:
    team = devices.team
    try:
        run = api.train(data, out, config=config, progress=progress, command=command, devices=devices)
    except NoriaError:
        if team:
            with suppress(Exception):  # what went wrong here is what matters
                team.dismiss(failed=True)
        raise
    if team:
        team.dismiss()
    return run


def _train_along(data: Path, config: Config, start: Run | None, devices: Devices) -> None:
    from noria.artifacts.store import Store, cache_folder
    from noria.training import continuing

    dataset = checked(data, config, Silent())
    dataset.require_trainable()
    if start:
        dataset = continuing.with_labels_of(dataset, start, Silent())
    job, _ = make_job(dataset, config, time.monotonic(), start, devices)
    if devices.meet(dataset.fingerprint, config.model_dump(mode="json")):
        strategy = plugins.load(STRATEGIES, config.training.strategy)
        with Store(cache_folder() / "features.sqlite") as store:
            strategy.train(replace(job, unfinished=None), store=store, progress=Silent())
