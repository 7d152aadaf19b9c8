"""Shelf: what can be served, each opened from one folder.

A member offers `recognises(path)`, `candidates(path, runtime)`: the names of the engines to try, the best first, and
`open_servable(path, runtime, limits) -> Servable`. What a Servable offers is in `serving/contracts.py`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

from noria import plugins
from noria.errors import ArtifactError

SHELF = "noria.serving.servables"


def find(path: Path) -> ModuleType | None:
    """Return the member that can open a folder, or None."""
    return next((member for member in _members() if member.recognises(path)), None)


@cache
def _members() -> tuple[ModuleType, ...]:
    """Return all of them. Kept: a server asks each second for every folder, and plugins take milliseconds to find."""
    return tuple(plugins.load(SHELF, name) for name in plugins.names(SHELF))


def require(path: Path) -> ModuleType:
    """Return the member that can open a folder.

    Raises:
        ArtifactError: there is nothing there that can be served.
    """
    if found := find(path):
        return found
    state = "does not exist" if not path.exists() else "holds neither"
    raise ArtifactError(f"Expected a bundle (`noria export` makes one) or a SavedModel, but {path} {state}.")
