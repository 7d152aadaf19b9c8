"""TOML and `--set key=value` -> one frozen, validated Config; an unknown key names the nearest known one.

A config is parsed once, here. The sections live in the rooms that they configure; the task decides which input and
augmentation settings it has.
"""

from __future__ import annotations

import functools
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, create_model

from noria import models, plugins
from noria.data.readers import find_task
from noria.data.settings import DataSettings
from noria.errors import ConfigError, nearest_name
from noria.exporting.settings import ExportSettings
from noria.training.settings import ModelSettings, TrainingSettings

DEFAULT_TASK = "image_classification"
MAX_CONFIG_BYTES = 1_000_000


class Config(BaseModel):
    """Everything that decides what a run becomes, with every default resolved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = DEFAULT_TASK
    seed: int = Field(0, ge=0, lt=2**31, description="same seed, same data, same versions: same model")
    data: DataSettings = DataSettings()
    input: SerializeAsAny[BaseModel]
    augment: SerializeAsAny[BaseModel]
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    export: ExportSettings = ExportSettings()


def load_config(
    path: Path | None = None, overrides: Iterable[str] = (), *, data: Path | None = None, **given: Any
) -> Config:
    """Return the config of a TOML file, changed by `key=value` overrides, then by keyword values that are not None.

    Args:
        path: a TOML file as `noria init` writes it, or None for the defaults.
        overrides: e.g. `["training.epochs=20", "input.fit=crop"]`; values are read as TOML, else as text.
        data: what it is for: where no task is named, the one whose reader recognises the data is taken.
        given: dotted keys with `__` for the dot, e.g. `training__strategy="frozen"`.

    Raises:
        ConfigError: the file is missing or not TOML, a key is unknown, or a value is impossible.
    """
    tree = _read_toml(path) if path else {}
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            raise ConfigError(f"--set {override!r}: expected key=value, e.g. --set training.epochs=20")
        _put(tree, key.strip(), _toml_value(value.strip()))
    for name, value in given.items():
        if value is not None:
            _put(tree, name.replace("__", "."), value)
    if data is not None and "task" not in tree:
        tree["task"] = find_task(data)
    return parse(tree)


def parse(tree: Mapping[str, Any]) -> Config:
    """Return the validated config of a nested mapping, e.g. one read back from a run."""
    kind = config_class(str(tree.get("task", DEFAULT_TASK)))
    try:
        config = kind.model_validate(dict(tree))
    except ValidationError as error:
        raise ConfigError(_explain(error, kind)) from None
    return _with_model(config)


@functools.cache  # the same class each time, so that equal configs are equal
def config_class(task: str) -> type[Config]:
    """Return the Config of one task: its `input` and `augment` sections are those its row names."""
    row = plugins.load("noria.tasks", task)
    sections = {
        "input": plugins.load("noria.inputs", row.INPUT).Settings,
        "augment": plugins.load("noria.data.augment", row.AUGMENT).Settings,
    }
    fields: dict[str, Any] = {name: (kind, kind()) for name, kind in sections.items()}
    return cast(type[Config], create_model(f"{task}_config", __base__=Config, **fields))


def resolved(config: Config) -> Config:
    """Return the config with what the model decides where the user did not: input settings and strategy."""
    card = models.card(config.model.name)
    left = {name: value for name, value in card.settings.items() if name not in config.input.model_fields_set}
    changed: dict[str, Any] = {"input": config.input.model_copy(update=left)}
    if config.training.strategy == "auto":
        changed["training"] = config.training.model_copy(update={"strategy": card.strategy})
    return config.model_copy(update=changed)


def _with_model(config: Config) -> Config:
    """Name the task's own model where none is named, and refuse one that takes something else."""
    row = plugins.load("noria.tasks", config.task)
    if not config.model.name:
        return config.model_copy(update={"model": config.model.model_copy(update={"name": row.MODEL})})
    takes = models.card(config.model.name).input
    if takes != row.INPUT:
        raise ConfigError(
            f"The model {config.model.name} takes {takes} input, and the task {config.task} has {row.INPUT} input. "
            f"Models for it: {', '.join(models.names(row.INPUT))}."
        )
    return config


def to_toml(config: Config) -> str:
    """Return the config as commented TOML, every value written out."""
    lines = ["# Settings of Noria. What is left out, or stands behind a #, has its default."]
    values = config.model_dump(mode="json")
    lines += _toml_lines(config, {key: value for key, value in values.items() if not isinstance(value, dict)})
    left = models.card(config.model.name).settings.keys() - config.input.model_fields_set
    for name, value in values.items():
        if isinstance(value, dict):
            off = left if name == "input" else frozenset()
            lines += ["", f"[{name}]", *_toml_lines(getattr(config, name), value, off)]
    return "\n".join(lines) + "\n"


def _toml_lines(section: BaseModel, values: Mapping[str, Any], off: Set[str] = frozenset()) -> list[str]:
    """The settings of a section; those in `off` are left to the model, and stand behind a #.

    Writing 224 down would set it for a network that is made for 260.
    """
    lines = []
    for key, value in values.items():
        note = type(section).model_fields[key].description
        mark = "# " if key in off else ""
        lines.append(f"{mark}{key} = {json.dumps(value, ensure_ascii=False)}" + (f"  # {note}" if note else ""))
    return lines


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_CONFIG_BYTES:,} bytes; that is not a config file.")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"Config file {path} cannot be read: {error.strerror}. `noria init` writes one.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"Config file {path} is not valid TOML: {error}") from None


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word, as people type it in a shell


def _put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, leaf = dotted.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"Unknown setting {dotted!r}: {parent!r} is a value, not a section.")
    tree[leaf] = value


def _explain(error: ValidationError, kind: type[Config]) -> str:
    known = sorted(_dotted_keys(kind))
    messages = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            nearest = _nearest_setting(key, kind)
            hint = f" Did you mean {nearest!r}?" if nearest else f" Known: {', '.join(known)}."
            messages.append(f"Unknown setting {key!r}.{hint}")
            continue
        key, schema = _setting(problem["loc"], kind)
        # A validator of ours has said in its own words what is wrong.
        own = problem["type"] == "value_error"
        wanted = str(problem["ctx"]["error"]).rstrip(".") if own else f"expected {_described(schema, key)}"
        messages.append(f"Setting {key!r} = {problem['input']!r}: {wanted}.")
    # One for each setting: a value that fits none of several types has an error for each of them.
    return "\n".join(dict.fromkeys(messages))


def _setting(location: Sequence[int | str], kind: type[BaseModel]) -> tuple[str, Mapping[str, Any]]:
    """Return the dotted key and the JSON schema of the setting that an error is about; {} for a whole section."""
    for depth, name in enumerate(map(str, location), start=1):
        section = kind.model_fields[name].annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return ".".join(map(str, location[:depth])), kind.model_json_schema()["properties"][name]
        kind = section
    return ".".join(map(str, location)), {}


def _described(schema: Mapping[str, Any], key: str) -> str:
    """Say what a setting may be, with its default as the example."""
    if not schema:
        return f"a section, [{key}]"
    default = schema.get("default")
    return _kind_of(schema) + (f", e.g. {json.dumps(default, ensure_ascii=False)}" if default is not None else "")


def _kind_of(schema: Mapping[str, Any]) -> str:
    """Return a plain value's JSON schema in words, e.g. "a whole number of at least 1 and at most 64"."""
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(map(_kind_of, schema["anyOf"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    said = [_WORDS.get(schema.get("type", ""), "another value")]
    if bounds := [f"{word} {schema[bound]:,}" for bound, word in _BOUNDS.items() if bound in schema]:
        said.append("of " + " and ".join(bounds))
    if "prefixItems" in schema:
        said.append(f"of {len(schema['prefixItems'])} values")
    elif "items" in schema:
        lengths = [f"{word} {schema[bound]}" for bound, word in _LENGTHS.items() if bound in schema]
        said.append(f"of {' and '.join(lengths) or 'any number of'} values, each {_kind_of(schema['items'])}")
    return " ".join(said)


_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}
_LENGTHS = {"minItems": "at least", "maxItems": "at most"}


def _nearest_setting(key: str, kind: type[Config]) -> str | None:
    """A setting or section that looks like `key`; one whose section was forgotten is found, too."""
    known = {dotted: dotted for dotted in _dotted_keys(kind)}
    if "." not in key:
        known = {dotted.rpartition(".")[2]: dotted for dotted in known} | {name: name for name in kind.model_fields}
    nearest = nearest_name(key, known)
    return known[nearest] if nearest else None


def _dotted_keys(kind: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, info in kind.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from _dotted_keys(section, f"{prefix}{name}.")
        else:
            yield prefix + name
