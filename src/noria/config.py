"""TOML and `--set key=value` -> one frozen, validated Config; an unknown key names the nearest known one.

A config is parsed once, here. The sections live in the rooms that they configure; the task decides which input and
augmentation settings it has.
"""

from __future__ import annotations

import functools
import json
import tomllib
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, create_model

from noria import models, plugins
from noria.data.readers import find_task
from noria.data.settings import DataSettings
from noria.errors import ConfigError
from noria.exporting.settings import ExportSettings
from noria.tomlfile import explain, read_toml
from noria.training.settings import ModelSettings, TrainingSettings

DEFAULT_TASK = "image_classification"
STRATEGIES = "noria.training.strategies"


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
    tree = read_toml(path) if path else {}
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
        raise ConfigError(explain(error, kind)) from None
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
    """Return the config with what model and strategy decide where the user did not: input, strategy, its settings."""
    card = models.card(config.model.name)
    left = {name: value for name, value in card.settings.items() if name not in config.input.model_fields_set}
    changed: dict[str, Any] = {"input": config.input.model_copy(update=left)}
    training = config.training
    strategy = card.strategy if training.strategy == "auto" else training.strategy
    wanted = {**_defaults(strategy), **(card.training if strategy == card.strategy else {})}
    if training.batch_size == "auto" and not _makes_steps(strategy):
        training = training.model_copy(update={"batch_size": TrainingSettings().batch_size})
    suited = {name: value for name, value in wanted.items() if name not in training.model_fields_set}
    # All of them count as set from here on: a run's config.toml says what was used, whatever will suit one day.
    changed["training"] = training.model_copy(update={**dict(training), **suited, "strategy": strategy})
    return config.model_copy(update=changed)


def _makes_steps(strategy: str) -> bool:
    return strategy in plugins.names(STRATEGIES) and hasattr(plugins.load(STRATEGIES, strategy), "prepare")


def with_batch_size(config: Config, size: Any) -> Config:
    """Return the config with the batch size that was found, where it left it to be found."""
    if config.training.batch_size != "auto" or size is None:
        return config
    return config.model_copy(update={"training": config.training.model_copy(update={"batch_size": size})})


def _defaults(strategy: str) -> Mapping[str, Any]:
    """Return the settings that suit a strategy; none of one that is not known, which is told where it is used."""
    if strategy not in plugins.names(STRATEGIES):
        return {}
    found: Mapping[str, Any] = getattr(plugins.load(STRATEGIES, strategy), "DEFAULTS", {})
    return found


def _with_model(config: Config) -> Config:
    """Name the task's own model where none is named, and refuse one that takes something else."""
    row = plugins.load("noria.tasks", config.task)
    if not config.model.name:
        model = config.model.model_copy(update={"name": row.MODEL})
        model.model_fields_set.discard("name")  # a run that is gone on from may name another one
        config = config.model_copy(update={"model": model})
    takes = models.card(config.model.name).input
    if takes != row.INPUT:
        raise ConfigError(
            f"The model {config.model.name} takes {takes} input, and the task {config.task} has {row.INPUT} input. "
            f"Models for it: {', '.join(models.names(row.INPUT))}."
        )
    return config.model_copy(update={"model": _with_options(config.model)})


def _with_options(model: ModelSettings) -> ModelSettings:
    """Fill in the options of the model, and refuse those that it has not."""
    kind = models.options(model.name)
    if kind is None:
        if model.options:
            raise ConfigError(f"The model {model.name} has no options: model.options.{next(iter(model.options))}.")
        return model
    try:
        options = kind.model_validate(model.options)
    except ValidationError as error:
        raise ConfigError(f"model.options of {model.name}: {explain(error, kind)}") from None
    return model.model_copy(update={"options": options.model_dump()})


def to_toml(config: Config) -> str:
    """Return the config as commented TOML, every value written out."""
    lines = ["# Settings of Noria. What is left out, or stands behind a #, has its default."]
    values = config.model_dump(mode="json")
    lines += _toml_lines(config, {key: value for key, value in values.items() if not isinstance(value, dict)})
    left = {
        "input": models.card(config.model.name).settings.keys() - config.input.model_fields_set,
        "training": _decided_later(config.task) - config.training.model_fields_set,
    }
    for name, value in values.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *_toml_lines(getattr(config, name), value, left.get(name, frozenset()))]
    return "\n".join(lines) + "\n"


def _decided_later(task: str) -> Set[str]:
    """Return the settings of a training that some strategy or model has values of its own for."""
    cards = map(models.card, models.names(plugins.load("noria.tasks", task).INPUT))
    found = [*map(_defaults, plugins.names(STRATEGIES)), *(card.training for card in cards)]
    return {name for wanted in found for name in wanted}


def _toml_lines(section: BaseModel, values: Mapping[str, Any], off: Set[str] = frozenset()) -> list[str]:
    """The settings of a section; those in `off` are left to model and strategy, and stand behind a #.

    Writing 224 down would set it for a network that is made for 260.
    """
    lines = []
    for key, value in values.items():
        note = type(section).model_fields[key].description
        mark = "# " if key in off else ""
        lines.append(f"{mark}{key} = {_written(value)}" + (f"  # {note}" if note else ""))
    return lines


def _written(value: Any) -> str:
    """A value in TOML, which differs from JSON in its tables."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    inside = ", ".join(f"{name} = {_written(one)}" for name, one in value.items())
    return f"{{ {inside} }}" if inside else "{}"


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
