"""`noria demo` walks the whole path; its dataset is the same on every machine, wherever the photos are installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from noria import api, demo
from noria.artifacts.bundle import open_bundle
from noria.artifacts.dataset import Dataset
from noria.errors import ArtifactError

EVERY = 200  # one photo in so many
STAGES = ("1 check", "2 train", "3 export", "4 evaluate", "5 verify", "6 predict")


def install(package: Path, site: Path, every: int = EVERY) -> None:
    """Put the package, with some of its photos, into a folder."""
    data = site / demo.PACKAGE / "data"
    (data / "images").mkdir(parents=True)
    (site / demo.PACKAGE / "__init__.py").touch()
    lines = (package / "data" / "labels.csv").read_text(encoding="utf-8").splitlines()[::every]
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


@pytest.mark.timeout(300)
def test_the_demo_walks_the_whole_path_and_again_over_what_is_there(package: Path, tmp_path: Path) -> None:
    install(package, tmp_path / "site", every=13)

    def walk() -> tuple[dict[str, Any], str]:
        command = [sys.executable, "-m", "noria", "demo", "--out", str(tmp_path / "out"), "--json"]
        search = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
        env = {**os.environ, "PYTHONPATH": search, "NORIA_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    first, said = walk()
    places = [said.index(stage) for stage in STAGES]
    assert places == sorted(places)
    assert "CC BY-NC-SA" in said
    assert "202 pictures" in said
    assert first["passed"] is True
    bundle = open_bundle(Path(first["bundle"]))
    assert set(bundle.formats) == {"keras", "savedmodel", "litert", "litert_int8"}
    assert "<html" in Path(first["report"]).read_text(encoding="utf-8")
    assert len(first["answers"]) == demo.SHOWN
    for told, mine in zip(
        first["answers"], api.predict(bundle, [one["input"] for one in first["answers"]]), strict=True
    ):
        assert (told["label"], told["confidence"]) == (mine["label"], pytest.approx(mine["confidence"], abs=1e-4))

    made = {path: path.stat().st_mtime_ns for name in ("run", "bundle") for path in Path(first[name]).rglob("*")}
    second, _ = walk()
    assert {**second, "seconds": 0} == {**first, "seconds": 0}
    assert {path: path.stat().st_mtime_ns for path in made} == made
