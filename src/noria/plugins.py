"""Shelves: folders of modules in which the file's name is the key.

`names("noria.exporting.formats")` lists a shelf, `load(...)` imports one member. An installed package adds a member
with an entry point in the group of the shelf's name; nothing is imported until it is asked for.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType

from noria.errors import UnknownNameError, UserError


def names(shelf: str) -> list[str]:
    """Return the sorted public keys of a shelf, e.g. `names("noria.inference.runtimes")`."""
    return sorted(_files(shelf) | {point.name for point in entry_points(group=shelf)})


def require(shelf: str, name: str) -> None:
    """Raise UnknownNameError where a shelf has no member `name`, without importing anything."""
    if name not in names(shelf):
        raise UnknownNameError(_singular(shelf.rsplit(".", 1)[-1]), name, names(shelf))


def load(shelf: str, name: str) -> ModuleType:
    """Import and return the member `name` of a shelf; a plugin cannot take the place of a built-in member.

    Raises:
        UnknownNameError: there is no such member; the message lists those there are.
    """
    if name in _files(shelf):  # first: looking through all installed packages takes milliseconds
        return importlib.import_module(f"{shelf}.{name}")
    for point in entry_points(group=shelf):
        if point.name == name:
            module = point.load()
            if not isinstance(module, ModuleType):
                raise UserError(
                    f"The entry point {name!r} = {point.value!r} of {shelf} is a {type(module).__name__}, not a module."
                )
            return module
    raise UnknownNameError(_singular(shelf.rsplit(".", 1)[-1]), name, names(shelf))


@functools.cache
def _files(shelf: str) -> frozenset[str]:
    package = importlib.import_module(shelf)
    return frozenset(
        module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")
    )


def _singular(word: str) -> str:
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")
