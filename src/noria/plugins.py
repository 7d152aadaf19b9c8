"""Shelves: folders of modules in which the file's name is the key.

`names("noria.exporting.formats")` lists a shelf, `load(...)` imports one member. An installed package adds a member
with an entry point in the group of the shelf's name; nothing is imported until it is asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType

from noria.errors import UnknownNameError, UserError


def names(shelf: str) -> list[str]:
    """Return the sorted public keys of a shelf, e.g. `names("noria.inference.runtimes")`."""
    package = importlib.import_module(shelf)
    files = {module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")}
    return sorted(files | {point.name for point in entry_points(group=shelf)})


def require(shelf: str, name: str) -> None:
    """Raise UnknownNameError where a shelf has no member `name`, without importing anything."""
    if name not in names(shelf):
        raise UnknownNameError(_singular(shelf.rsplit(".", 1)[-1]), name, names(shelf))


def load(shelf: str, name: str) -> ModuleType:
    """Import and return the member `name` of a shelf.

    Raises:
        UnknownNameError: there is no such member; the message lists those there are.
    """
    for point in entry_points(group=shelf):
        if point.name == name:
            module = point.load()
            if not isinstance(module, ModuleType):
                raise UserError(
                    f"The entry point {name!r} = {point.value!r} of {shelf} is a {type(module).__name__}, not a module."
                )
            return module
    require(shelf, name)
    return importlib.import_module(f"{shelf}.{name}")


def _singular(word: str) -> str:
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")
