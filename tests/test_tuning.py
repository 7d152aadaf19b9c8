"""The verbs before a training: what they measure on real photos, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

import noria
from noria.cli import app
from noria.config import load_config
from noria.errors import ConfigError

SMALL: dict[str, Any] = {
    "data__wrong_labels": False,
    "training__strategy": "scratch",
    "model__name": "convnet",
    "input__height": 32,
    "input__width": 32,
    "training__batch_size": 8,
}
SECONDS = 0.2


def test_the_parts_of_a_training_are_measured_and_the_slowest_is_named(photos: Path) -> None:
    told = noria.bench_input(photos, config=load_config(**SMALL), seconds=SECONDS)
    rates = {"augmentation": told.augmentation, "device": told.device}
    assert told.augmentation and min(told.decode, told.augmentation, told.device, told.together) > 0
    assert told.bottleneck == min(rates, key=lambda name: rates[name] or 0)
    assert (told.batch_size, told.decoded) == (8, "once")


def test_decoding_counts_where_it_is_done_in_every_epoch(photos: Path) -> None:
    given = {**SMALL, "augment__views": 0, "training__cache": "none", "model__options": {"convolutions": 1}}
    told = noria.bench_input(photos, config=load_config(**given), seconds=SECONDS)
    assert (told.augmentation, told.decoded) == (None, "in every epoch")
    assert told.bottleneck in ("decode", "device")


def test_of_a_frozen_backbone_the_engine_is_measured(photos: Path) -> None:
    config = load_config(data__wrong_labels=False, augment__views=2)
    told = noria.bench_input(photos, config=config, seconds=SECONDS)
    assert told.decoded == "with the features"
    assert told.device < told.decode
    assert told.augmentation


def test_texts_are_measured_too(tmp_path: Path) -> None:
    table = tmp_path / "reviews.csv"
    rows = [f"{word} film number {number},{word}" for word in ("good", "bad") for number in range(40)]
    table.write_text("\n".join(["text,label", *rows]))
    config = load_config(data=table, model__name="textcnn", data__wrong_labels=False)
    told = noria.bench_input(table, config=config, seconds=SECONDS)
    assert (told.augmentation, told.decoded) == (None, "once")
    assert told.decode > 0 and told.device > 0
    with pytest.raises(ConfigError, match=r"bilstm.*textcnn"):
        noria.bench_input(table, config=load_config(data=table, data__wrong_labels=False), seconds=SECONDS)


def test_the_command_line_says_it_in_a_table_or_as_json(photos: Path) -> None:
    settings = [f"--set={name.replace('__', '.')}={value}" for name, value in SMALL.items() if "data" not in name]
    line = ["bench-input", str(photos), *settings, "--set=data.wrong_labels=false", "--seconds=0.2", "-q"]
    told = orjson.loads(CliRunner().invoke(app, [*line, "--json"]).stdout)
    assert {"decode", "augmentation", "device", "together", "bottleneck"} <= told.keys()
    said = CliRunner().invoke(app, line)
    assert said.exit_code == 0
    assert "The bottleneck is" in said.stdout


@pytest.mark.parametrize("strategy", ["scratch", "finetune"])
def test_a_rate_is_found_and_shown_on_a_page(photos: Path, tmp_path: Path, strategy: str) -> None:
    given = {**SMALL, "training__strategy": strategy}
    if strategy == "finetune":
        given |= {"model__name": "efficientnet_lite0", "augment__views": 0}
    page = tmp_path / "rates.html"
    told = noria.find_rate(photos, page, config=load_config(**given), steps=30, command="noria train it")
    assert 1e-6 < told.suggested < told.lowest < 10
    assert told.smoothed[0] > min(told.smoothed)
    text = page.read_text()
    assert f"noria train it --set training.learning_rate={told.suggested:g}" in text
    assert "<polyline" in text


def test_the_command_line_says_the_rate_and_the_command_that_uses_it(photos: Path, tmp_path: Path) -> None:
    settings = [f"--set={name.replace('__', '.')}={value}" for name, value in SMALL.items() if "name" not in name]
    line = ["find-rate", str(photos), "--model", "convnet", *settings, "--steps=30", "-q"]
    said = CliRunner().invoke(app, [*line, "--json", f"--out={tmp_path / 'page.html'}"])
    told = orjson.loads(said.stdout)
    assert told["command"].startswith(f"noria train {photos} --model convnet --set data.wrong_labels=False")
    assert told["command"].endswith(f"--set training.learning_rate={told['suggested']:g}")
    assert Path(told["page"]).is_file()


def test_a_model_that_makes_no_steps_has_no_rate_to_be_found(photos: Path) -> None:
    with pytest.raises(ConfigError, match="trains no network step by step"):
        noria.find_rate(photos, config=load_config(data__wrong_labels=False))
