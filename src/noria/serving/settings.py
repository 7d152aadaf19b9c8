"""What a server may be told: on the command line, or as a TOML file. Every limit has a default that is safe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from noria.errors import ConfigError
from noria.tomlfile import explain, read_toml

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
Scope = Literal["predict", "explain", "metadata", "metrics", "reload"]
MiB = 2**20


class Section(BaseModel):
    """A part of the file; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(Section):
    """One model: a bundle, or a folder of versions (1, 2, ...), each a bundle or a SavedModel."""

    name: str = Field(description="as it stands in the address, /v1/models/NAME")
    path: Path = Field(description="the bundle or the folder of versions")
    runtime: str | None = Field(None, description="the engine; by default the fastest that passed `noria verify`")
    threshold: float = Field(0.0, ge=0, le=1, description="an answer of lower confidence is marked as not sure")
    keep: int = Field(1, ge=1, le=64, description="how many of the latest versions are served at once")
    versions: tuple[int, ...] = Field((), description="serve exactly these versions")
    rows: int | None = Field(None, ge=1, description="in one request of it; by default as `limits.rows`")

    labels: dict[str, int] = Field({}, description="names for versions; they go before those of `noria versions`")

    def reopens(self, before: ModelSettings) -> bool:
        """Tell whether a model must be opened anew that was served with other settings: not for labels alone."""
        return self.model_copy(update={"labels": before.labels}) != before

    @field_validator("name")
    @classmethod
    def _fits_into_an_address(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("a name is made of letters, digits, '.', '_' and '-'")
        return name


class Limits(Section):
    """What a request may cost."""

    body_bytes: int = Field(32 * MiB, ge=1024, description="of a request, also after it is unpacked")
    rows: int = Field(1024, ge=1, description="pictures or texts in one request")
    pixels: int = Field(50_000_000, ge=64, description="of a picture, as `max_pixels`")
    request_pixels: int = Field(400_000_000, ge=64, description="of all pictures of a request, as their headers say")
    text_bytes: int = Field(1 * MiB, ge=16, description="of a text")
    explained_bytes: int = Field(65_536, ge=16, description="of a text whose words are to be explained")
    json_depth: int = Field(32, ge=4, le=200, description="brackets within brackets")
    json_values: int = Field(2_000_000, ge=1024, description="numbers, texts, lists and objects of a JSON body")
    connections: int = Field(1024, ge=1, description="open at once, and gRPC calls under way; more are told 503")
    header_seconds: float = Field(10.0, gt=0, description="for the head of a request to arrive")
    body_seconds: float = Field(30.0, gt=0, description="for all of a request to arrive")
    idle_seconds: float = Field(30.0, gt=0, description="that a connection is kept without a request")
    request_seconds: float = Field(30.0, gt=0, description="for an answer; then 504")
    queue_seconds: float = Field(0.4, gt=0, description="that a request may have to wait; if longer, 503 at once")
    queue_rows: int = Field(4096, ge=1, description="pictures or texts that may wait, for each model version")
    queue_bytes: int = Field(256 * MiB, ge=1024, description="of requests that are read or wait, all together")

    def applied_to(self, input_settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return a bundle's input settings with these limits where they are lower."""
        ours = {"max_pixels": self.pixels, "max_bytes": self.text_bytes}
        return {name: min(value, ours[name]) if name in ours else value for name, value in input_settings.items()}


class Rate(Section):
    """Requests that an address or a key may send; looking whether the server is well does not count."""

    per_second: float = Field(0.0, ge=0, description="0: no limit")
    burst: int = Field(20, ge=1, description="at once, after a pause")


class Key(Section):
    """One API key, of which only the hash is kept; `noria key NAME` makes one."""

    name: str = Field(description="for the log")
    sha256: str = Field(description="of the key")
    scopes: tuple[Scope, ...] = Field(("predict", "explain", "metadata"), description="what it is good for")
    models: tuple[str, ...] = Field((), description="only for these models; empty: for all")
    rate: Rate = Field(Rate(), description="for this key")

    @field_validator("sha256")
    @classmethod
    def _is_a_hash(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", value):
            raise ValueError("64 hexadecimal digits are expected; `noria key NAME` prints them")
        return value


class Tls(Section):
    """HTTPS and secured gRPC: a certificate with its key, or one that is made for a trial."""

    certificate: Path | None = Field(None, description="PEM file, with the chain")
    key: Path | None = Field(None, description="PEM file")
    trial: bool = Field(False, description="make a self-signed certificate; browsers will warn")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: give both, or neither")
        return self

    @property
    def wanted(self) -> bool:
        return self.trial or self.certificate is not None


class Traces(Section):
    """OpenTelemetry (extra `traces`); headers for the collector come from OTEL_EXPORTER_OTLP_HEADERS."""

    endpoint: str = Field("", description="of a collector, e.g. http://collector:4318/v1/traces; empty: no traces")
    share: float = Field(1.0, ge=0, le=1, description="of the requests without a trace of their own")
    service: str = Field("noria", min_length=1, description="the name under which spans appear")

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value and not re.match(r"https?://[^/\s]+/", value):
            raise ValueError("an address such as http://collector:4318/v1/traces is expected")
        return value


class ServerSettings(Section):
    """A server."""

    host: str = Field("127.0.0.1", description="0.0.0.0: reachable from other machines")
    http: int = Field(8501, ge=0, le=65535, description="port; 0: any that is free")
    grpc: int = Field(8500, ge=-1, le=65535, description="port; 0: any that is free, -1: none")
    workers: int = Field(0, ge=0, le=256, description="threads for each model; 0: one for each processor")
    wait_milliseconds: float = Field(2.0, ge=0, le=1000, description="that an engine of batches waits for more")
    poll_seconds: float = Field(1.0, ge=0, description="between looks for new versions; 0: only on SIGHUP")
    drain_seconds: float = Field(30.0, ge=0, description="that running requests have when the server stops")
    public_status: bool = Field(True, description="health, status and page need no key")
    log: Path | None = Field(None, description="JSON lines of requests; by default standard error")
    journal: Path | None = Field(None, description="JSON lines of version changes; by default in the log")


class ServeConfig(Section):
    """All that `noria serve --config FILE` reads."""

    server: ServerSettings = ServerSettings()
    limits: Limits = Limits()
    rate: Rate = Field(Rate(), description="for each address (of IPv6: each /64), at all processes together")
    tls: Tls = Tls()
    traces: Traces = Traces()
    keys: tuple[Key, ...] = ()
    models: tuple[ModelSettings, ...] = ()

    @field_validator("models")
    @classmethod
    def _one_of_a_name(cls, models: tuple[ModelSettings, ...]) -> tuple[ModelSettings, ...]:
        names = [model.name for model in models]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two models have the name {min(twice)!r}: each needs its own")
        return models


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """Where a server's config comes from: a file, and a command line that goes before it each time the file is read."""

    path: Path | None = None
    models: tuple[tuple[str, Path], ...] = ()  # names and absolute paths, beside those of the file
    server: Mapping[str, Any] = field(default_factory=dict)  # fields of ServerSettings
    each_model: Mapping[str, Any] = field(default_factory=dict)  # fields of ModelSettings, for every model
    trial_tls: bool = False

    def read(self) -> ServeConfig:
        """Return the config as it is now.

        Raises:
            ConfigError: the file is wrong, a value is impossible, or no model is named.
        """
        tree = (load_serve_config(self.path) if self.path else ServeConfig()).model_dump()
        tree["server"] |= self.server
        tree["tls"]["trial"] = tree["tls"]["trial"] or self.trial_tls
        named = [{"name": name, "path": path} for name, path in self.models]
        tree["models"] = [{**one, **self.each_model} for one in [*tree["models"], *named]]
        if not tree["models"]:
            raise ConfigError(
                "There is nothing to serve: name a bundle, a folder of versions, or a --config with [[models]]."
            )
        try:
            return ServeConfig.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(explain(error, ServeConfig)) from None


def load_serve_config(path: Path) -> ServeConfig:
    """Return the settings of a TOML file; relative paths in it are relative to the file's folder.

    Raises:
        ConfigError: the file is missing or not TOML, a key is unknown, or a value is impossible.
    """
    try:
        config = ServeConfig.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, ServeConfig)}") from None
    folder = path.absolute().parent
    models = tuple(one.model_copy(update={"path": folder / one.path}) for one in config.models)
    named = {name: value for name, value in config.tls if isinstance(value, Path)}
    tls = config.tls.model_copy(update={name: folder / value for name, value in named.items()})
    return config.model_copy(update={"models": models, "tls": tls})
