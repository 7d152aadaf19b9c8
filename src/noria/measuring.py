"""The verb of those who wonder why a training is slow: bench-input."""

from __future__ import annotations

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
    from noria.config import load_config

    loaded = load_config(
        config,
        settings or (),
        data=data,
        seed=seed,
        training__strategy=strategy,
        model__name=model,
        data__text=text,
        data__label=label,
    )
    told = api.bench_input(data, config=loaded, seconds=seconds, progress=progress(quiet))
    table = new_table("", "a second", "")
    for name, meaning in _PARTS.items():
        rate = getattr(told, name)
        table.add_row(name, "-" if rate is None else f"{rate:,.0f}", meaning if rate is not None else "nothing varies")
    say(as_json, {"data": str(data), **told.as_dict()}, table, _verdict(told))


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


VERBS = (bench_input,)
