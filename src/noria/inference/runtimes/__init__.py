"""Shelf: what can run a file of a bundle.

A member offers `FORMAT` (the key of the exported file that it reads), `REQUIRES` (the module that must be installed),
`EXTRA` (what installs it), `ACCEPTS` ("arrays": what the input reads, or "bytes": files as they are), `BATCH` (how
many inputs it likes at once), `PARALLEL` (a session for each worker, or one for all), `RANK` (lowest is taken first)
and `open_session(path, threads) -> Session`. Engines are imported when a session is opened: listing stays light.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

from noria import plugins
from noria.errors import MissingExtraError

SHELF = "noria.inference.runtimes"


def member(name: str) -> ModuleType:
    """Return a runtime by name.

    Raises:
        UnknownNameError: there is none of that name.
    """
    return plugins.load(SHELF, name)


def ranked() -> list[str]:
    """Return the names of all runtimes, the preferred ones first."""
    return sorted(plugins.names(SHELF), key=lambda name: int(member(name).RANK))


def is_installed(name: str) -> bool:
    """Tell whether a runtime's engine is there, without importing it."""
    return find_spec(member(name).REQUIRES) is not None


def require_installed(name: str) -> ModuleType:
    """Return a runtime whose engine is there.

    Raises:
        MissingExtraError: it is not; the message says what to install.
    """
    if not is_installed(name):
        raise MissingExtraError(f"The engine of the runtime {name!r} ({member(name).REQUIRES})", member(name).EXTRA)
    return member(name)
