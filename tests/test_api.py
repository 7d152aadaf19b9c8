"""The verbs as functions: the same names everywhere, documented, light until they are used."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import noria
from noria import api
from noria.artifacts.bundle import Bundle
from noria.artifacts.run import Run
from noria.errors import ArtifactError, DataError, UnknownNameError

VERBS = [name for name in noria.__all__ if not name.startswith("open_")]


@pytest.mark.parametrize("name", noria.__all__)
def test_every_public_name_is_a_documented_typed_function(name: str) -> None:
    function = getattr(noria, name)
    assert inspect.getdoc(function)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(one.annotation is not inspect.Parameter.empty for one in signature.parameters.values())


def test_the_package_and_its_api_offer_the_same_names() -> None:
    assert set(noria.__all__) == set(api.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = noria.nonsense


def test_every_public_function_of_the_api_is_listed() -> None:
    own = {
        name
        for name, one in inspect.getmembers(api, inspect.isfunction)
        if one.__module__ == api.__name__ and not name.startswith("_")
    }
    assert own <= set(api.__all__)


def test_predict_takes_one_path_many_paths_bytes_and_folders(bundle: Bundle, photos: Path) -> None:
    some = sorted((photos / "rose").glob("[0-9]*.jpg"))[:2]
    (one,) = noria.predict(bundle.path, some[0])
    (text,) = noria.predict(str(bundle.path), str(some[0]))
    (raw,) = noria.predict(bundle, some[0].read_bytes())
    many = list(noria.predict(bundle, [some[1], some[0].read_bytes(), "missing.jpg"]))
    assert one == text
    assert (raw["input"], raw["top"]) == ("bytes-0", one["top"])
    assert [answer["input"] for answer in many] == [str(some[1]), "bytes-1", "missing.jpg"]
    assert many[1]["top"] == one["top"]
    assert set(many[2]) == {"input", "error"}
    folder = list(noria.predict(bundle, photos / "daisy", top=1))
    assert [answer["input"] for answer in folder] == sorted(str(one) for one in (photos / "daisy").iterdir())
    assert all(len(answer["top"]) == 1 for answer in folder if "top" in answer)


def test_a_notebook_shows_runs_and_bundles_as_tables_or_lines(run: Run, bundle: Bundle) -> None:
    assert f"{run.manifest.test['accuracy']:.1%}" in run._repr_html_()
    assert all(name in bundle._repr_html_() for name in bundle.formats)


def test_training_the_same_again_gives_back_the_run_that_is_there(run: Run, photos: Path) -> None:
    from noria.config import parse

    again = noria.train(photos, run.path, config=parse(run.manifest.config))
    assert (again.path, again.manifest) == (run.path, run.manifest)


def test_runs_are_not_put_into_the_data_unasked(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(photos.iterdir())
    monkeypatch.chdir(photos)
    for data in (".", photos, "../" + photos.name):
        with pytest.raises(ArtifactError, match="inside the data"):
            noria.train(data)
    assert sorted(photos.iterdir()) == before


def test_every_verb_refuses_what_is_not_there(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    missing = tmp_path / "nothing"
    with pytest.raises(DataError, match="nothing"):
        noria.check(missing)
    with pytest.raises(DataError, match="nothing"):
        noria.train(missing)
    with pytest.raises(DataError, match="nothing"):
        noria.evaluate(bundle, missing)
    with pytest.raises(ArtifactError, match="nothing"):
        noria.export(missing)
    with pytest.raises(ArtifactError, match="nothing"):
        noria.verify(missing)
    with pytest.raises(ArtifactError, match="nothing"):
        noria.predict(missing, [])
    with pytest.raises(UnknownNameError, match="litert"):
        noria.predict(bundle, [], runtime="litrt")
    with pytest.raises(UnknownNameError, match="litert"):
        noria.export(run, tmp_path / "bundle", formats=["litrt"])
    assert not list(tmp_path.iterdir())
