"""The strategy by the time that there is: said with its reason, and only where it is left open."""

from __future__ import annotations

from typing import Any

import pytest

from listening import Notes
from noria import api, choosing
from noria.artifacts.dataset import Dataset
from noria.config import load_config


@pytest.fixture(scope="module")
def dataset(photos: Any) -> Dataset:
    return api.check(photos, config=load_config(data__wrong_labels=False))


@pytest.mark.parametrize(
    ("minutes", "fewest", "strategy", "why"),
    [
        (600, 2, "finetune", "600 minutes are about"),
        (0.001, 2, "frozen", "0.001 minutes are about"),
        (600, 20, "frozen", "fewer than 20"),
    ],
)
def test_minutes_choose_and_say_why(
    minutes: float, fewest: int, strategy: str, why: str, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "FEWEST_EXAMPLES", fewest)
    progress = Notes()
    chosen = choosing.by_time(load_config(training__minutes=minutes), dataset, progress)
    assert chosen.training.strategy == strategy
    [note] = progress.notes
    assert note.startswith(f"strategy {strategy}: ")
    assert why in note


@pytest.mark.parametrize(
    ("given", "notes"),
    [
        ({}, ["strategy frozen: the quickest for a trained backbone; --minutes N fine-tunes it where they are enough"]),
        ({"training__minutes": 9, "training__strategy": "frozen"}, []),
        ({"training__minutes": 9, "model__name": "convnet"}, ["strategy scratch: convnet is made for it"]),
    ],
)
def test_what_is_not_to_be_chosen_stays(given: dict[str, Any], notes: list[str], dataset: Dataset) -> None:
    progress = Notes()
    config = load_config(**given)
    assert choosing.by_time(config, dataset, progress) == config
    assert progress.notes == notes


def test_settings_that_do_nothing_in_a_strategy_are_told() -> None:
    progress = Notes()
    given = load_config(training__optimizer="sgd", training__epochs=5, training__momentum=0.5, training__warmup=0.0)
    choosing.tell_unused(given, "frozen", progress)
    [note] = progress.notes
    assert note.startswith("training.optimizer, training.momentum do nothing in the strategy frozen")
    assert "finetune, scratch" in note
    choosing.tell_unused(given, "finetune", progress)
    choosing.tell_unused(load_config(training__minutes=3, training__l2=[0.1]), "frozen", progress)
    assert len(progress.notes) == 1
    choosing.tell_unused(load_config(training__l2=[0.1], training__optimizer="sgd"), "scratch", progress)
    assert progress.notes[1:] == ["training.l2 does nothing in the strategy scratch"]
