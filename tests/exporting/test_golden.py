"""The examples that travel with a bundle: from the test split, every label, raw, and variants that try decoders."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from noria.artifacts.bundle import Bundle
from noria.artifacts.dataset import Dataset
from noria.artifacts.run import Run
from noria.exporting import golden
from noria.exporting.golden import choose_golden
from noria.inference.predictor import Input, Predictor
from noria.inputs import image


@pytest.fixture(scope="module")
def dataset(run: Run) -> Dataset:
    return Dataset.load(run.dataset)


def test_a_bundle_holds_test_pictures_of_every_label_byte_for_byte(bundle: Bundle, dataset: Dataset) -> None:
    tests = {one.sha256: one.label for one in dataset.by_split("test")}
    labelled = [one for one in bundle.manifest.golden if one.label is not None]
    assert Counter(one.label for one in labelled) == {"daisy": 2, "rose": 2, "sunflower": 2}
    assert all(tests[one.sha256] == one.label for one in labelled)
    assert len({one.sha256 for one in labelled}) == 6


def test_variants_have_no_label_and_say_what_they_try(bundle: Bundle) -> None:
    variants = [one for one in bundle.manifest.golden if one.label is None]
    assert variants
    assert all(one.note for one in variants)


def test_the_scores_are_what_the_keras_file_gives(bundle: Bundle) -> None:
    inputs = [Input(one.path, bundle.path / one.path) for one in bundle.manifest.golden]
    scores = [one.scores for one in Predictor(bundle, runtime="keras").results(inputs)]
    np.testing.assert_allclose(scores, [one.scores for one in bundle.manifest.golden], atol=1e-5)


def test_labels_take_turns_until_the_count_is_reached(dataset: Dataset) -> None:
    chosen = choose_golden(dataset, 4, lambda _data: [])
    assert len({one.label for one in chosen[:3]}) == 3
    assert len(chosen) == 4
    assert len(choose_golden(dataset, 1_000, lambda _data: [])) == len(dataset.by_split("test"))


def test_the_choice_is_the_same_each_time_and_the_names_differ(dataset: Dataset) -> None:
    first, second = (choose_golden(dataset, 6, image.variants) for _ in range(2))
    assert first == second
    assert len({one.name for one in first}) == len(first)
    assert all(Path(one.name).parent == Path("golden") for one in first)


def test_variants_are_made_from_the_first_and_keep_their_file_ending(dataset: Dataset) -> None:
    def reversed_bytes(data: bytes) -> list[tuple[str, str, bytes]]:
        return [(".bin", "reversed", data[::-1])]

    *plain, variant = choose_golden(dataset, 3, reversed_bytes)
    assert variant.data == plain[0].data[::-1]
    assert (variant.name, variant.note, variant.label) == ("golden/variant-0.bin", "reversed", None)


def test_smaller_files_are_preferred(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = dataset.by_split("test")
    smallest = min(tests, key=lambda one: dataset.path_of(one).stat().st_size)
    monkeypatch.setattr(golden, "LARGE", dataset.path_of(smallest).stat().st_size)
    chosen = [one for one in choose_golden(dataset, 3, lambda _data: []) if one.label == smallest.label]
    assert [hashlib.sha256(one.data).hexdigest() for one in chosen] == [smallest.sha256]
