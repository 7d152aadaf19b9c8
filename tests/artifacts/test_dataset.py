"""A dataset is saved, loaded and named by its fingerprint."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from noria.artifacts.dataset import Dataset
from noria.contracts import Example, Finding, SetAside, Split
from noria.errors import ArtifactError, DataError


def example(path: str, label: str, split: Split = "train", group: str | None = None) -> Example:
    return Example(path, label, f"{path}-bytes", f"{path}-pixels", split, group, {"width": 3, "format": "PNG"})


def dataset(*examples: Example) -> Dataset:
    return Dataset(
        name="pets",
        root=Path("/photos"),
        task="image_classification",
        labels=tuple(sorted({one.label for one in examples})),
        examples=examples,
        set_aside=(SetAside("cat/line\u2028break\n.jpg", "empty"),),
        findings=(Finding("tiny_class", "warning", 1, ("cat",), "few"),),
        settings={"height": 224},
        seed=7,
        ratios=(3, 1, 1),
    )


PETS = (
    example("cat/1.png", "cat"),
    example("cat/\u2028 2.png", "cat", "test"),
    example("dog/1.png", "dog", group="a"),
    example("dog/new\nline.png", "dog", "validation"),
)


def test_a_saved_dataset_loads_as_it_was(tmp_path: Path) -> None:
    dataset(*PETS).save(tmp_path / "data")
    assert Dataset.load(tmp_path / "data") == dataset(*PETS)
    assert Dataset.load(tmp_path / "data", root=Path("/moved")).path_of(PETS[0]) == Path("/moved/cat/1.png")


def test_figures_of_findings_are_kept_and_older_files_have_none(tmp_path: Path) -> None:
    figures = {"noise_rate": 0.03, "noise_rate_interval": [0.01, 0.1]}
    found = Finding("wrong_labels", "warning", 1, ("cat/1.png",), "one", figures=figures)
    kept = replace(dataset(*PETS), findings=(found,))
    kept.save(tmp_path / "data")
    assert Dataset.load(tmp_path / "data") == kept
    index = json.loads((tmp_path / "data" / "dataset.json").read_text(encoding="utf-8"))
    assert index["findings"][0].pop("figures") == figures
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(index), encoding="utf-8")
    assert Dataset.load(tmp_path / "data").findings == (replace(found, figures={}),)


def test_saving_again_replaces_a_dataset_but_nothing_else(tmp_path: Path) -> None:
    dataset(*PETS).save(tmp_path / "data")
    dataset(*PETS[1:]).save(tmp_path / "data")
    assert Dataset.load(tmp_path / "data").examples == PETS[1:]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    with pytest.raises(ArtifactError, match="not Noria's"):
        dataset(*PETS).save(tmp_path / "notes")


def test_the_fingerprint_ignores_order_root_and_unicode_form_and_sees_everything_else() -> None:
    cafe = example("café/1.png", "café")
    cafe_on_a_mac = replace(cafe, path=unicodedata.normalize("NFD", cafe.path))
    same = dataset(*PETS, cafe).fingerprint
    assert replace(dataset(cafe_on_a_mac, *reversed(PETS)), root=Path("/elsewhere"), seed=1).fingerprint == same
    for field, value in (("path", "x"), ("sha256", "x"), ("label", "x"), ("split", "test"), ("group", "x")):
        assert dataset(*PETS, replace(cafe, **{field: value})).fingerprint != same, field


def test_the_fingerprint_is_the_same_on_every_machine() -> None:
    assert dataset(*PETS).fingerprint == "582c8344512807cf0f2ae8e105939d8c1b09786316adcbb1475400a487077084"


def test_a_changed_or_newer_or_missing_dataset_is_refused(tmp_path: Path) -> None:
    dataset(*PETS).save(tmp_path / "data")
    rows, index = tmp_path / "data" / "examples.jsonl", tmp_path / "data" / "dataset.json"
    whole = rows.read_text(encoding="utf-8")
    for damage, message in (
        (whole.replace('"label":"cat"', '"label":"dog"'), "fingerprint"),
        (whole[:-9], "line 4"),
        (whole.replace('"sha256"', '"sha257"'), "damaged"),
    ):
        rows.write_text(damage, encoding="utf-8")
        with pytest.raises(ArtifactError, match=message):
            Dataset.load(tmp_path / "data")
    index.write_text('{"format": 99}')
    with pytest.raises(ArtifactError, match="newer Noria"):
        Dataset.load(tmp_path / "data")
    with pytest.raises(ArtifactError, match="missing"):
        Dataset.load(tmp_path / "nothing")


def test_counts_sides_and_label_numbers() -> None:
    pets = dataset(*PETS)
    assert pets.counts() == {"train": 2, "validation": 1, "test": 1, "set_aside": 1}
    assert pets.by_split("test") == (PETS[1],)
    assert pets.label_index == {"cat": 0, "dog": 1}


@pytest.mark.parametrize(
    ("examples", "reason"),
    [
        ((), "not one usable example"),
        ((example("1", "cat"), example("2", "cat")), "one label, 'cat'"),
        ((example("1", "cat"), example("2", "cat"), example("3", "dog")), "only one usable example"),
        ((*PETS[:2], replace(PETS[2], split="test"), PETS[3]), "train side .* holds 1 of 2"),
    ],
)
def test_what_cannot_be_trained_on_says_why(examples: tuple[Example, ...], reason: str) -> None:
    with pytest.raises(DataError, match=f"pets cannot be trained on.*{reason}"):
        dataset(*examples).require_trainable()


def test_two_classes_with_an_example_each_to_learn_from_and_no_empty_side_can_be_trained_on() -> None:
    dataset(*PETS).require_trainable()
