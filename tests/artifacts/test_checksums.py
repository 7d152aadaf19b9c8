"""Files are compared with the SHA-256 that was taken when they were written."""

from __future__ import annotations

from pathlib import Path

import pytest

from noria.artifacts.checksums import checksums, require_intact
from noria.errors import ArtifactError

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "model" / "deep").mkdir(parents=True)
    (folder / "model" / "deep" / "a").write_bytes(b"abc")
    (folder / "model" / "b").write_bytes(b"")
    (folder / "one").write_bytes(b"abc")
    return folder


def test_one_file_has_one_checksum_and_a_folder_one_for_each_file_below_it(folder: Path) -> None:
    assert checksums(folder, "one") == {"one": ABC}
    assert checksums(folder, "model") == {
        "model/b": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "model/deep/a": ABC,
    }


def test_unchanged_files_pass(folder: Path) -> None:
    require_intact(folder, checksums(folder, "model"), remedy="")


def test_a_changed_file_is_named_with_the_remedy(folder: Path) -> None:
    taken = checksums(folder, "model")
    (folder / "model" / "deep" / "a").write_bytes(b"abd")
    with pytest.raises(ArtifactError, match=r"deep/a is damaged.*Do this\.") as caught:
        require_intact(folder, taken, remedy="Do this.")
    assert caught.value.exit_code == 2


def test_a_missing_file_is_named_with_the_remedy(folder: Path) -> None:
    taken = checksums(folder, "one")
    (folder / "one").unlink()
    with pytest.raises(ArtifactError, match=r"one is missing.*Do this\."):
        require_intact(folder, taken, remedy="Do this.")


@pytest.mark.parametrize("name", ["../outside", "model/../../outside", "/etc/hostname", "link"])
def test_a_file_outside_of_the_folder_is_refused_unread(folder: Path, name: str) -> None:
    (folder.parent / "outside").write_bytes(b"abc")
    (folder / "link").symlink_to(folder.parent / "outside")
    with pytest.raises(ArtifactError, match="lies outside"):
        require_intact(folder, {name: ABC}, remedy="")
