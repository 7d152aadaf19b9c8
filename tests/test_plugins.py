"""Shelves: files are found by name, and so is what an installed package adds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from noria import plugins
from noria.errors import UnknownNameError

RUNTIMES = "noria.inference.runtimes"


@pytest.fixture
def installed_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package as pip leaves it: one module, and metadata that puts it on a shelf under the name `echo`."""
    info = tmp_path / "noria_echo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noria-echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{RUNTIMES}]\necho = noria_echo\n")
    (tmp_path / "noria_echo.py").write_text(
        'FORMAT, REQUIRES, EXTRA, ACCEPTS, BATCH, PARALLEL, RANK = "litert", "json", "", "arrays", 1, True, 99\n'
        "def open_session(path, threads=1): raise NotImplementedError\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "noria_echo", raising=False)
    return "echo"


def test_a_shelf_lists_its_public_files_and_not_its_private_ones() -> None:
    families = set(plugins.names("noria.models"))
    assert {"efficientnet_lite", "keras_applications", "ngrams"} <= families
    assert not any(name.startswith("_") for name in families)


def test_an_installed_package_adds_a_member_that_is_imported_only_when_asked_for(installed_plugin: str) -> None:
    assert installed_plugin in plugins.names(RUNTIMES)
    assert "noria_echo" not in sys.modules
    assert plugins.load(RUNTIMES, installed_plugin).RANK == 99


def test_an_added_runtime_takes_its_place_in_the_order_of_preference(installed_plugin: str) -> None:
    from noria.inference import runtimes

    assert runtimes.ranked()[-1] == installed_plugin
    assert runtimes.is_installed(installed_plugin)


def test_without_the_package_the_member_is_gone() -> None:
    assert "echo" not in plugins.names(RUNTIMES)


@pytest.mark.parametrize("ask", [plugins.load, plugins.require])
def test_an_unknown_name_gives_the_nearest_and_all_choices(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(UnknownNameError, match=r"no runtime named 'litrt'. Did you mean 'litert'\? Known: keras, "):
        ask(RUNTIMES, "litrt")


@pytest.mark.parametrize("name", ["_private", "../litert", "litert.numpy", "", "__init__"])
def test_only_names_on_the_shelf_are_ever_imported(name: str) -> None:
    with pytest.raises(UnknownNameError):
        plugins.load(RUNTIMES, name)


def test_what_is_not_a_module_is_refused_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "noria_wrong-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noria-wrong\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{RUNTIMES}]\nwrong = json:dumps\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Exception, match="wrong"):
        plugins.load(RUNTIMES, "wrong")
