"""Evaluation through a predictor: runs and bundles agree, and nothing is counted that should not be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from noria import api
from noria.artifacts.bundle import Bundle
from noria.artifacts.dataset import Dataset
from noria.artifacts.run import Run
from noria.contracts import Silent
from noria.errors import DataError
from noria.inference.predictor import Input, Predictor
from noria.inference.scoring import score


@pytest.fixture
def strangers(photos: Path, tmp_path: Path) -> Path:
    """Known flowers, a label that the model does not know, and a broken file."""
    root = tmp_path / "strangers"
    for label, source in (("rose", "rose"), ("daisy", "daisy"), ("orchid", "sunflower")):
        (root / label).mkdir(parents=True)
        for photo in sorted((photos / source).glob("[0-9]*.jpg"))[:3]:
            shutil.copyfile(photo, root / label / photo.name)
    (root / "daisy" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    return root


def test_run_and_bundle_agree(run: Run, bundle: Bundle, photos: Path) -> None:
    on_run, on_bundle = api.evaluate(run, photos), api.evaluate(bundle, photos)
    assert (on_run["runtime"], on_bundle["runtime"]) == ("keras", "litert")
    for name in ("accuracy", "interval", "num_examples", "set_aside"):
        assert on_run[name] == on_bundle[name]
    assert on_run["num_examples"] == 49


def test_the_test_split_measures_what_the_run_says(run: Run, bundle: Bundle, tmp_path: Path) -> None:
    dataset = Dataset.load(run.dataset)
    table = tmp_path / "test.csv"
    rows = [f'"{dataset.path_of(one)}",{one.label}' for one in dataset.by_split("test")]
    table.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    told = api.evaluate(bundle, table)
    assert told["accuracy"] == pytest.approx(run.manifest.test["accuracy"])
    assert told["interval"] == pytest.approx(run.manifest.test["interval"])
    assert told["seen_in_training"] == api.evaluate(run, table)["seen_in_training"] == 0


def test_a_run_and_a_bundle_count_what_trained_or_chose_them(run: Run, bundle: Bundle, photos: Path) -> None:
    examples = run.manifest.num_examples
    seen = api.evaluate(run, photos)["seen_in_training"]
    assert seen == examples["train"] + examples["validation"]  # validation chose, so it is not unseen either
    assert api.evaluate(bundle, photos)["seen_in_training"] == seen


def test_unknown_labels_and_bad_files_are_listed_and_not_counted(bundle: Bundle, strangers: Path) -> None:
    told = api.evaluate(bundle, strangers)
    assert told["num_examples"] == 6
    set_aside = {one["path"]: one["reason"] for one in told["set_aside"]}
    assert len(set_aside) == 4
    assert "daisy/broken.jpg" in set_aside
    orchids = {path: reason for path, reason in set_aside.items() if path.startswith("orchid/")}
    assert len(orchids) == 3
    assert all("orchid" in reason for reason in orchids.values())


def test_scores_stand_beside_the_truth(bundle: Bundle, strangers: Path) -> None:
    files = sorted((strangers / "rose").iterdir())
    scored, set_aside = score(Predictor(bundle), [Input(file.name, file, "rose") for file in files], Silent())
    assert not set_aside
    assert scored.names == tuple(file.name for file in files)
    assert scored.labels == bundle.labels
    assert set(scored.truth) == {bundle.labels.index("rose")}
    assert scored.scores.shape == (3, 3)


def test_nothing_to_evaluate_on_is_an_error_with_the_first_reason(bundle: Bundle, tmp_path: Path) -> None:
    inputs = [Input("a.jpg", b"", "rose"), Input("b.jpg", b"", "rose")]
    with pytest.raises(DataError, match=r"none of 2 files.*a\.jpg.*daisy, rose, sunflower"):
        score(Predictor(bundle), inputs, Silent())
