"""The verbs before a training as functions: bench_input, find_rate; each imports its rooms when it is called."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria import choosing, plugins
from noria.config import STRATEGIES, Config, load_config, resolved
from noria.contracts import Progress, Silent
from noria.jobs import make_job
from noria.preparing import checked

if TYPE_CHECKING:
    from noria.training.input_speed import InputSpeed
    from noria.training.job import Job
    from noria.training.rates import RateTest

PathLike = str | Path


def bench_input(
    data: PathLike, *, config: Config | None = None, seconds: float = 5.0, progress: Progress | None = None
) -> InputSpeed:
    """Measure how many examples a second a training decodes, varies and learns from, and which of them holds it up.

    Args:
        data, config: as for `train`.
        seconds: of each of the four measurements.

    Returns:
        Examples a second of `decode`, `augmentation` (None: nothing is varied), `device` and `together`, and which is
        the `bottleneck`; `as_dict()` of all.

    Raises:
        DataError: the data cannot be trained on.
        ConfigError: the strategy trains no network.
    """
    from noria.artifacts.store import Store, cache_folder
    from noria.training.input_speed import measure

    progress = progress or Silent()
    job, strategy = _job(data, config, progress)
    with Store(cache_folder() / "features.sqlite") as store:
        return measure(job, strategy, seconds=seconds, store=store, progress=progress)


def find_rate(
    data: PathLike,
    out: PathLike | None = None,
    *,
    config: Config | None = None,
    steps: int = 100,
    command: str = "",
    progress: Progress | None = None,
) -> RateTest:
    """Find a learning rate: from step to step it rises, until the loss leaps away.

    Args:
        data, config: as for `train`.
        out: a page with the plot (HTML), or None.
        steps: how many, each with another rate.
        command: what the page says to train with; the suggested rate is added.

    Returns:
        The `suggested` rate, that of the `lowest` loss, where it `leapt`, and all rates and losses.

    Raises:
        DataError: the data cannot be trained on.
        ConfigError: the strategy trains no network, or the loss falls at no rate.
    """
    from noria.artifacts.files import write_atomic
    from noria.artifacts.store import Store, cache_folder
    from noria.evaluation import charts
    from noria.evaluation.rendering import rendered
    from noria.training.input_speed import require_steps
    from noria.training.rates import tested

    progress = progress or Silent()
    job, strategy = _job(data, config, progress)
    require_steps(strategy, job)
    with Store(cache_folder() / "features.sqlite") as store:
        told = tested(job, strategy, steps=steps, store=store, progress=progress)
    if out is not None:
        chart = charts.rate_chart(told.rates, told.losses, told.smoothed, told.suggested)
        page = rendered(
            "rates.html", title=job.dataset.name, model=job.model.name, strategy=job.training.strategy,
            optimizer=job.training.optimizer, chart=chart, command=with_rate(command, told.suggested), **told.as_dict(),
        )  # fmt: skip
        write_atomic(Path(out), page)
    return told


def with_rate(command: str, rate: float) -> str:
    """Return a command that trains with this learning rate."""
    return f"{command} --set training.learning_rate={rate:g}".strip()


def _job(data: PathLike, config: Config | None, progress: Progress) -> tuple[Job, Any]:
    """Return the training that `train` would make, and the strategy that makes it."""
    from noria.quiet import require_tensorflow
    from noria.training import continuing

    given, start = choosing.of_run(config or load_config(data=Path(data)))
    config = resolved(given)
    strategy = plugins.load(STRATEGIES, config.training.strategy)
    require_tensorflow()
    dataset = checked(data, config, progress)
    dataset.require_trainable()
    if start:
        dataset = continuing.with_labels_of(dataset, start, progress)
    job, _ = make_job(dataset, config, time.monotonic(), start)
    return job, strategy
