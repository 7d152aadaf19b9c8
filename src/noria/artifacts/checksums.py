"""SHA-256 of the files of a run or a bundle: taken when they are written, compared before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from noria.artifacts.files import sha256_file
from noria.errors import ArtifactError


def checksums(folder: Path, name: str) -> dict[str, str]:
    """Return the SHA-256 of a file, or of every file of a folder, by its path relative to `folder`."""
    target = folder / name
    files = sorted(target.rglob("*")) if target.is_dir() else [target]
    return {file.relative_to(folder).as_posix(): sha256_file(file) for file in files if file.is_file()}


def require_intact(folder: Path, expected: Mapping[str, str], *, remedy: str) -> None:
    """Raise ArtifactError where a file is missing, lies outside the folder, or has another SHA-256."""
    for name, sha256 in expected.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ArtifactError(f"{folder} names the file {name!r}, which lies outside it. It was not made by Noria.")
        if not path.is_file():
            raise ArtifactError(f"{path} is missing. {remedy}")
        if sha256_file(path) != sha256:
            raise ArtifactError(f"{path} is damaged: its SHA-256 is not the one in the manifest. {remedy}")
