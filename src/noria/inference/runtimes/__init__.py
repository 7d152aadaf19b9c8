"""Shelf: what can run a file of a bundle.

A member offers `FORMAT` (the key of the exported file that it reads), `REQUIRES` (the module that must be installed),
`EXTRA` (what installs it), `ACCEPTS` ("arrays": what the input reads, or "bytes": files as they are), `BATCH` (how
many inputs it likes at once), `PARALLEL` (a session for each worker, or one for all), `RANK` (lowest is taken first)
and `open_session(path, threads) -> Session`. Engines are imported when a session is opened: listing stays light.
One that not every processor can run says so: `NEEDS` in words, and `runs_here() -> bool`. One that computes less
exactly than its file is meant to be has `TOLERANCES` of its own, as a format has (`exporting/formats`).
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

from noria import plugins
from noria.artifacts.bundle import BundleManifest, Tolerances
from noria.errors import ConfigError, MissingExtraError

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


def runs_here(name: str) -> bool:
    """Tell whether this processor can do what a runtime is for."""
    asked = getattr(member(name), "runs_here", None)
    return asked is None or bool(asked())


def is_usable(name: str) -> bool:
    """Tell whether a runtime's engine is there, on a processor that it is for."""
    return is_installed(name) and runs_here(name)


def require_usable(name: str) -> ModuleType:
    """Return a runtime whose engine is there, on a processor that it is for.

    Raises:
        MissingExtraError: the engine is not installed; the message says what to install.
        ConfigError: the processor cannot do what it needs.
    """
    if not is_installed(name):
        raise MissingExtraError(f"The engine of the runtime {name!r} ({member(name).REQUIRES})", member(name).EXTRA)
    if not runs_here(name):
        raise ConfigError(f"The runtime {name!r} needs {member(name).NEEDS}, and this one does not: choose another.")
    return member(name)


def tolerances(name: str, manifest: BundleManifest) -> Tolerances:
    """Return how far the answers of a runtime may differ from the Keras model's: its own, or those of its file."""
    own = getattr(member(name), "TOLERANCES", None)
    return manifest.tolerances[member(name).FORMAT] if own is None else Tolerances.model_validate(own)
