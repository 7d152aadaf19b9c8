"""A TOML file -> its values; and what is wrong with them, said in terms of the settings that a person may write."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from noria.errors import ConfigError, nearest_name

MAX_CONFIG_BYTES = 1_000_000


def read_toml(path: Path) -> dict[str, Any]:
    """Return the contents of a TOML file.

    Raises:
        ConfigError: it is missing, too large or not TOML.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_CONFIG_BYTES:,} bytes; that is not a config file.")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"Config file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"Config file {path} is not valid TOML: {error}") from None


def explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """Return what is wrong with each setting, in words that say what is expected."""
    known = sorted(_dotted_keys(kind))
    messages = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "missing" and isinstance(problem["loc"][-1], str):
            messages.append(f"Setting {key!r} is missing.")
            continue
        if problem["type"] == "extra_forbidden":
            nearest = _nearest_setting(".".join(str(part) for part in problem["loc"] if isinstance(part, str)), kind)
            hint = f" Did you mean {nearest!r}?" if nearest else f" Known: {', '.join(known)}."
            messages.append(f"Unknown setting {key!r}.{hint}")
            continue
        key, schema = _setting(problem["loc"], kind)
        # A validator of ours has said in its own words what is wrong.
        own = problem["type"] == "value_error"
        wanted = str(problem["ctx"]["error"]).rstrip(".") if own else f"expected {_described(schema, key)}"
        messages.append(f"Setting {key!r} = {problem['input']!r}: {wanted}." if key else f"{wanted.capitalize()}.")
    # One for each setting: a value that fits none of several types has an error for each of them.
    return "\n".join(dict.fromkeys(messages))


def _setting(location: Sequence[int | str], kind: type[BaseModel]) -> tuple[str, Mapping[str, Any]]:
    """Return the dotted key and the JSON schema of the setting that an error is about; {} for a whole section."""
    for depth, name in enumerate(map(str, location), start=1):
        if name.isdecimal():  # the place in a list of sections
            continue
        section = _section(kind.model_fields[name].annotation)
        if section is None:
            told = kind.model_json_schema()
            fields = told.get("properties") or told["$defs"][kind.__name__]["properties"]  # of a section within itself
            return ".".join(map(str, location[:depth])), fields[name]
        kind = section
    return ".".join(map(str, location)), {}


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a section, or of each of a list of sections; None for a plain setting."""
    candidates = [annotation, *get_args(annotation)]
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None)


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


def _nearest_setting(key: str, kind: type[BaseModel]) -> str | None:
    """A setting or section that looks like `key`; one whose section was forgotten is found, too."""
    known = {dotted: dotted for dotted in _dotted_keys(kind)}
    if "." not in key:
        known = {dotted.rpartition(".")[2]: dotted for dotted in known} | {name: name for name in kind.model_fields}
    nearest = _by_a_word(key, known) or nearest_name(key, known)
    return known[nearest] if nearest else None


def _by_a_word(key: str, known: Iterable[str]) -> str | None:
    """The setting of which `key` is one whole word, as flip, or the initials, as lr."""
    section, _, leaf = key.lower().rpartition(".")
    for name in known:
        of, _, last = name.rpartition(".")
        words = last.split("_")
        if of == section and len(words) > 1 and leaf in (*words, "".join(word[0] for word in words)):
            return name
    return None


def _dotted_keys(kind: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, info in kind.model_fields.items():
        section = _section(info.annotation)
        if section is not None and section is not kind:
            yield from _dotted_keys(section, f"{prefix}{name}.")
        else:
            yield prefix + name
