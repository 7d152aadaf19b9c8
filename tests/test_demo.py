"""The demo's dataset is the same on every machine, wherever the package with its photos is installed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from noria import api, demo
from noria.artifacts.dataset import Dataset
from noria.errors import ArtifactError

EVERY = 200  # one photo in so many


def install(package: Path, site: Path) -> None:
    """Put the package, with some of its photos, into a folder."""
    data = site / demo.PACKAGE / "data"
    (data / "images").mkdir(parents=True)
    (site / demo.PACKAGE / "__init__.py").touch()
    lines = (package / "data" / "labels.csv").read_text(encoding="utf-8").splitlines()[::EVERY]
    (data / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    for line in lines:
        shutil.copyfile(package / "data" / line.split()[0], data / line.split()[0])


def checked(site: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    out.mkdir(exist_ok=True)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, demo.PACKAGE, raising=False)
    return api.check(demo.write_manifest(out / "solar-cells.csv"))


def test_the_fingerprint_is_the_same_wherever_the_package_and_the_demo_lie(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(package, tmp_path / "site")
    install(package, tmp_path / "another machine" / "site")
    first = checked(tmp_path / "site", tmp_path / "out", monkeypatch)
    other = tmp_path / "another machine" / "site"
    for out in (tmp_path / "another out", tmp_path / "out"):  # also after the package has moved
        second = checked(other, out, monkeypatch)
        assert second.fingerprint == first.fingerprint
        assert second.examples and not second.set_aside
        assert all(second.path_of(one).resolve().is_relative_to(other.resolve()) for one in second.examples)


def test_what_is_there_under_the_name_of_the_link_is_left_alone(package: Path, tmp_path: Path) -> None:
    (tmp_path / demo.PHOTOS).mkdir()
    (tmp_path / demo.PHOTOS / "mine.jpg").touch()
    with pytest.raises(ArtifactError, match="--out"):
        demo.write_manifest(tmp_path / "solar-cells.csv")
    assert (tmp_path / demo.PHOTOS / "mine.jpg").exists()
