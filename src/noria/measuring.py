"""The verbs before a training: bench-input, find-rate."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noria.options import (
    AsJson,
    ConfigFile,
    Data,
    LabelColumn,
    Model,
    Quiet,
    Seed,
    Settings,
    Strategy,
    TextColumn,
    progress,
)
from noria.standard_output import say
from noria.tables import new_table

if TYPE_CHECKING:
    from noria.config import Config
    from noria.training.input_speed import InputSpeed

_PARTS = {
    "decode": "from file to array",
    "augmentation": "another view of each in every epoch",
    "device": "the network's own step, on batches that are ready",
    "together": "as in an epoch",
}


def bench_input(
    data: Data,
    text: TextColumn = None,
    label: LabelColumn = None,
    strategy: Strategy = None,
    model: Model = None,
    seconds: Annotated[float, typer.Option(metavar="N", min=0.1, help="How long each part is measured.")] = 5.0,
    seed: Seed = None,
    settings: Settings = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say how many inputs a second a training decodes, varies and learns from, and which of them is the bottleneck."""
    from noria import api

    loaded = _loaded(data, text, label, strategy, model, seed, settings, config)
    told = api.bench_input(data, config=loaded, seconds=seconds, progress=progress(quiet))
    table = new_table("", "a second", "")
    for name, meaning in _PARTS.items():
        rate = getattr(told, name)
        table.add_row(name, "-" if rate is None else f"{rate:,.0f}", meaning if rate is not None else "nothing varies")
    say(as_json, {"data": str(data), **told.as_dict()}, table, _verdict(told))


def find_rate(
    data: Data,
    text: TextColumn = None,
    label: LabelColumn = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page with the plot. \\[default: NAME-rates.html]")
    ] = None,
    strategy: Strategy = None,
    model: Model = None,
    steps: Annotated[int, typer.Option(min=20, max=10_000, help="How many, each with a higher rate.")] = 100,
    seed: Seed = None,
    settings: Settings = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find a learning rate for a network: it rises from step to step until the loss leaps away; write the plot."""
    from noria import api
    from noria.tuning import with_rate

    loaded = _loaded(data, text, label, strategy, model, seed, settings, config)
    options = {"--text": text, "--label": label, "--strategy": strategy, "--model": model, "--seed": seed}
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    words += ["--config", str(config)] if config else []
    words += [word for one in settings or () for word in ("--set", one)]
    command = shlex.join(["noria", "train", str(data), *words])
    page = out or Path(f"{data.resolve().name.partition('.')[0]}-rates.html")
    told = api.find_rate(data, page, config=loaded, steps=steps, command=command, progress=progress(quiet))
    leapt = f", and the loss leaps away at {told.leapt:.2g}" if told.leapt else ""
    say(
        as_json,
        {"data": str(data), "page": str(page), "command": with_rate(command, told.suggested), **told.as_dict()},
        f"Learning rate: {told.suggested:g} (the loss is lowest at {told.lowest:.2g}{leapt}).",
        f"Plot:    {page}",
        f"Next:    {with_rate(command, told.suggested)}",
    )


def _loaded(
    data: Path,
    text: str | None,
    label: str | None,
    strategy: str | None,
    model: str | None,
    seed: int | None,
    settings: Sequence[str] | None,
    config: Path | None,
) -> Config:
    """Return the config of the training that is measured."""
    from noria.config import load_config

    return load_config(
        config,
        settings or (),
        data=data,
        seed=seed,
        training__strategy=strategy,
        model__name=model,
        data__text=text,
        data__label=label,
    )


def _verdict(told: InputSpeed) -> str:
    when = {
        "once": "They are decoded once, before the first epoch, so decoding is left out of this.",
        "in every epoch": "They are decoded in every epoch, for there is no room to keep all of them.",
        "with the features": "They are decoded once, when their features are computed.",
    }
    advice = {
        "decode": "Smaller files, or room to keep them decoded (training.cache), would speed it up.",
        "augmentation": "More processors, or fewer variations ([augment]), would speed it up.",
        "device": "A smaller network or a faster device would speed it up; faster input would not.",
    }
    return f"The bottleneck is {told.bottleneck}. {advice[told.bottleneck]} {when[told.decoded]}"


VERBS = (bench_input, find_rate)
