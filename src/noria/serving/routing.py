"""Which version answers a request: told in `routing.json` beside the numbered versions, by `noria versions`."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from noria.artifacts.files import read_json, write_json
from noria.errors import ArtifactError, ConfigError, NotServedError
from noria.tomlfile import explain

FILE = "routing.json"

MOST_DIGITS = 18  # of a version; TensorFlow Serving counts in 64 bits

Part = Annotated[float, Field(gt=0, le=1)]


class Routing(BaseModel):
    """Where requests go that name no version. Empty: to the latest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pin: int | None = Field(None, description="this version, though there are later ones")
    labels: dict[str, int] = Field({}, description="names for versions, e.g. stable, canary")
    share: dict[int, Annotated[float, Field(gt=0, le=1)]] = Field(
        {}, description="parts of the traffic, by version; the rest goes where it would"
    )
    shadow: int | None = Field(None, description="a version that is asked too, compared, counted and not returned")
    previous: Routing | None = Field(None, description="what `noria versions --roll-back` goes back to")

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if sum(self.share.values()) > 1 + 1e-9:
            raise ValueError("the parts of the traffic add up to more than 1")
        return self

    def named(self) -> set[int]:
        """Return the versions that must be loaded for it."""
        single = {number for number in (self.pin, self.shadow) if number is not None}
        return single | set(self.labels.values()) | set(self.share)

    def in_force(self, before: Routing, loaded: Collection[int]) -> Routing:
        """Return this routing with each label, and the pin, where it was before until its version is loaded."""
        labels = {
            name: number if number in loaded else before.labels.get(name, number)
            for name, number in self.labels.items()
        }
        pin = self.pin if self.pin is None or self.pin in loaded else before.pin
        return self.model_copy(update={"labels": labels, "pin": pin})

    def version(self, loaded: Collection[int], *, chance: Callable[[], float] = random.random) -> int:
        """Return the version for a request that names none.

        Args:
            loaded: the versions that can answer.
            chance: a number from 0 to 1, which decides where traffic is shared.

        Raises:
            NotServedError: no version is loaded.
        """
        if not loaded:
            raise NotServedError("No version of the model is loaded.")
        drawn = chance() if self.share else 1.0
        for number, part in self.share.items():
            if drawn < part:
                return number if number in loaded else self._default(loaded)
            drawn -= part
        return self._default(loaded)

    def _default(self, loaded: Collection[int]) -> int:
        return self.pin if self.pin is not None and self.pin in loaded else max(loaded)

    def labelled(self, label: str, loaded: Collection[int]) -> int:
        """Return the version with a label.

        Raises:
            NotServedError: there is no such label, or its version is not loaded.
        """
        number = self.labels.get(label)
        if number is None:
            known = ", ".join(sorted(self.labels)) or "none"
            raise NotServedError(f"There is no version with the label {label!r}. Labels: {known}.")
        if number not in loaded:
            raise NotServedError(f"The version {number} with the label {label!r} is not loaded.")
        return number

    def in_words(self, found: Collection[int]) -> str:
        """Say where requests go."""
        said = [f"Answers come from {self._default(found)}."]
        said += [f"{name} is {number}." for name, number in sorted(self.labels.items())]
        said += [f"{part:.0%} of the requests go to {number}." for number, part in sorted(self.share.items())]
        return " ".join([*said, *([f"{self.shadow} is asked too and counted."] if self.shadow is not None else [])])


def versions_in(folder: Path) -> list[int]:
    """Return the numbers of the versions in a model folder, ascending.

    Raises:
        ArtifactError: there is none.
    """
    found = sorted(number for number, one in numbered(folder).items() if one.is_dir()) if folder.is_dir() else []
    if not found:
        raise ArtifactError(f"{folder} has no folder of a version, such as {folder / '1'}.")
    return found


def numbered(folder: Path) -> Mapping[int, Path]:
    """Return what lies in a folder under the name of a version: a whole number of at most 18 digits.

    Raises:
        OSError: the folder cannot be read.
    """
    names = (one.name for one in folder.iterdir())
    numbers = [name for name in names if name.isdecimal() and name.isascii() and len(name) <= MOST_DIGITS]
    return {int(name): folder / name for name in sorted(numbers, reverse=True)}  # of 01 and 1 the latter


def changed(
    now: Routing,
    found: Collection[int],
    *,
    pin: int | None = None,
    latest: bool = False,
    labels: Sequence[str] = (),
    shares: Sequence[str] = (),
    shadow: int | None = None,
    roll_back: bool = False,
) -> Routing:
    """Return the routing after what a person asked for; `now` where nothing was asked.

    Args:
        found: the versions that there are; others are refused.
        labels: NAME=N, or NAME= to take a name away.
        shares: N=PART.
        shadow: a version; 0 for none.

    Raises:
        ConfigError: a version is not there, or what was asked cannot be read.
    """
    if roll_back:
        if now.previous is None:
            raise ConfigError("There is no change to roll back.")
        return now.previous
    update: dict[str, Any] = {"pin": None, "share": {}, "shadow": None} if latest else {}
    if pin is not None:
        update["pin"] = _known(pin, found)
    if shadow is not None:
        update["shadow"] = _known(shadow, found) if shadow else None
    if labels:
        told = {name: number for name, _, number in (one.partition("=") for one in labels)}
        kept = {name: number for name, number in now.labels.items() if name not in told}
        update["labels"] = kept | {name: _known(number, found) for name, number in told.items() if number}
    if shares:
        update["share"] = {_known(number, found): part for number, _, part in (one.partition("=") for one in shares)}
    if not update:
        return now
    try:
        wanted = Routing.model_validate({**now.model_dump(exclude={"previous"}), **update})
    except ValidationError as error:
        raise ConfigError(explain(error, Routing)) from None
    before = now.model_copy(update={"previous": None})
    return now if wanted == before else wanted.model_copy(update={"previous": before})


def read_routing(folder: Path) -> Routing:
    """Return the routing of a model folder; the empty one where nothing is told.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return Routing()
    try:
        return Routing.model_validate(read_json(path))
    except ValidationError as error:
        raise ArtifactError(
            f"{path} is damaged: {error.error_count()} values are wrong. Delete it, or mend it."
        ) from None


def write_routing(folder: Path, routing: Routing) -> None:
    """Write the routing of a model folder, at once for every server that looks at it."""
    write_json(folder / FILE, routing.model_dump(mode="json", exclude_defaults=True))


def _known(number: int | str, found: Collection[int]) -> int:
    if not str(number).isdecimal() or int(number) not in found:
        raise ConfigError(f"There is no version {number}. Versions: {', '.join(map(str, sorted(found)))}.")
    return int(number)
