"""What is deployed: a bundle or a folder of versions, and a few wishes -> one frozen `Plan`, of which all is checked.

Names come from bundles and folders, so from anybody. What is in a plan is safe wherever a template puts it: labels,
image and numbers by their alphabet, the one free text, the path of the models, by the filters of `rendering`.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from noria import plugins
from noria.artifacts.bundle import MANIFEST, Bundle, open_bundle
from noria.errors import ArtifactError, ConfigError, UnknownNameError
from noria.serving.routing import numbered
from noria.serving.settings import ServerSettings

Models = Literal["image", "volume"]

LABEL_LENGTH = 50  # of 63: KServe and its revisions append to it
SAVEDMODEL = "saved_model.pb"
NAME_LENGTH = 128
_PRE_STOP_SECONDS = 5  # that a pod still answers after it is told to stop, until every proxy has heard of it
_SPARE_SECONDS = 10  # after the server has drained
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?/)?"  # registry
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r":(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})"
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How many servers, and how large each one is."""

    min_replicas: int = 2
    max_replicas: int = 10
    cpus: int = 2
    memory_mib: int = 1024
    queue_rows: int = 32  # pictures or texts that wait, on average over the servers, above which one more is started

    def __post_init__(self) -> None:
        """Raise ConfigError where there can be no such server."""
        for name, least in (("min_replicas", 1), ("cpus", 1), ("memory_mib", 128), ("queue_rows", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)}: expected a whole number of at least {least}.")
        if self.max_replicas < self.min_replicas:
            raise ConfigError(
                f"max_replicas = {self.max_replicas} is less than min_replicas = {self.min_replicas}. Raise one, or "
                "lower the other."
            )


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the templates know."""

    label: str  # of every object in a cluster: a DNS label
    model: str  # as in /v1/models/NAME
    image: str  # with its tag
    models: Models
    source: Path  # absolute
    one_bundle: bool  # then it becomes version 1; else `source` is a folder of versions
    version: int  # the latest
    takes: str | None  # the kind of input, `image` or `text`; None where the model does not say
    savedmodel: Path | None  # of the latest version, below `source`
    needs_tensorflow: bool  # to be served: a version is a SavedModel and not a bundle
    scale: Scale
    http: int
    grpc: int
    drain_seconds: int

    @property
    def folder(self) -> str:
        """Where the versions lie in a container."""
        return f"/models/{self.model}"

    @property
    def mounted(self) -> str:
        """Where `source` belongs in a container."""
        return f"{self.folder}/{self.version}" if self.one_bundle else self.folder

    @property
    def pre_stop_seconds(self) -> int:
        return _PRE_STOP_SECONDS

    @property
    def grace_seconds(self) -> int:
        """What a container has between being told to stop and being killed."""
        return _PRE_STOP_SECONDS + self.drain_seconds + _SPARE_SECONDS


def make_plan(
    source: Path,
    *,
    name: str | None = None,
    image: str | None = None,
    models: str = "image",
    scale: Scale | None = None,
) -> Plan:
    """Look at what is to be served and check every wish; arguments as in `write.write_deployment`.

    Raises:
        ArtifactError: there is neither a bundle nor a folder of versions.
        ConfigError: no name can be made, the image has no tag, or a path cannot be written into a file.
        UnknownNameError: `models` is neither of the two ways.
    """
    if models not in get_args(Models):
        raise UnknownNameError("way to bring models", models, get_args(Models))
    source = source.resolve()
    require_writable(source)
    version, latest = _latest(source)
    opened = open_bundle(latest) if (latest / MANIFEST).is_file() else None
    if name is None:
        name = opened.manifest.name if opened and latest == source else source.name
    server = ServerSettings()
    label = dns_label(name)
    return Plan(
        label=label,
        model=model_name(name),
        image=_checked_image(image or f"{label}:{version}"),
        models="image" if models == "image" else "volume",
        source=source,
        one_bundle=latest == source,
        version=version,
        takes=_takes(opened) if opened else None,
        savedmodel=_savedmodel(latest, opened),
        needs_tensorflow=opened is None,
        scale=scale or Scale(),
        http=server.http,
        grpc=server.grpc,
        drain_seconds=int(server.drain_seconds),
    )


def dns_label(name: str) -> str:
    """Return a name as a DNS label of at most 50 characters that begins with a letter, as Services must.

    Raises:
        ConfigError: the name has no letter a-z and no digit.
    """
    label = re.sub("[^a-z0-9]+", "-", _ascii(name).lower()).strip("-")
    if label[:1].isdigit():
        label = f"model-{label}"
    if not label:
        raise ConfigError(f"No name can be made of {name!r}: letters a-z or digits are expected. Give one with --name.")
    return label[:LABEL_LENGTH].rstrip("-")


def model_name(name: str) -> str:
    """Return a name as it may stand in an address: letters, digits, `.`, `_` and `-`, the first a letter or digit.

    Raises:
        ConfigError: nothing of the name can.
    """
    plain = re.sub("[^A-Za-z0-9._-]+", "-", _ascii(name)).lstrip("._-")[:NAME_LENGTH].rstrip("._-")
    if not plain:
        raise ConfigError(f"No name can be made of {name!r}: letters a-z or digits are expected. Give one with --name.")
    return plain


def require_writable(path: Path) -> None:
    """Raise ConfigError where a path holds what cannot be written into YAML or a script."""
    if not str(path).isprintable():
        raise ConfigError(f"The path {str(path)!r} holds a line break or another character that cannot be shown.")


def _ascii(name: str) -> str:
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()


def _checked_image(image: str) -> str:
    found = _IMAGE.fullmatch(image)
    if found is None or found["tag"] == "latest":
        raise ConfigError(
            f"--image {image!r}: expected a name with a tag that is not `latest`, e.g. registry.example.com/flowers:1, "
            "so that two servers of one name are the same."
        )
    return image


def _latest(source: Path) -> tuple[int, Path]:
    """Return the number and the folder of the latest version; a bundle is its own version 1."""
    if (source / MANIFEST).is_file():
        return 1, source
    if not source.is_dir():
        raise ArtifactError(f"{source} is not a folder. Expected a bundle (`noria export` makes one), or versions.")
    versions = {number: child for number, child in numbered(source).items() if _servable(child)}
    if not versions:
        raise ArtifactError(
            f"{source} is neither a bundle nor a folder of versions (1, 2, ...), each a bundle or a SavedModel. "
            "`noria export RUN` makes a bundle."
        )
    number = max(versions)
    return number, versions[number]


def _servable(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() or (folder / SAVEDMODEL).is_file()


def _savedmodel(latest: Path, opened: Bundle | None) -> Path | None:
    if opened is None:
        return latest
    paths = [latest / one.path for one in opened.manifest.files if one.format == "savedmodel"]
    # A manifest is somebody's: what it names must lie in the bundle.
    inside = [path for path in paths if os.path.normpath(path) == str(path) and path.is_relative_to(latest)]
    if inside:
        require_writable(inside[0])
    return inside[0] if inside else None


def _takes(opened: Bundle) -> str | None:
    task = opened.manifest.task
    if task not in plugins.names("noria.tasks"):
        return None
    return str(plugins.load("noria.tasks", task).INPUT)
