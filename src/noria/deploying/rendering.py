"""A template and a plan -> the text of one file. Nothing that is not in the plan can be named in a template."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import jinja2


def renderer() -> Callable[..., str]:
    """Return `render(name, **facts)`, which gives the text of the file `name` of the room's templates."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("noria.deploying", "templates"),
        autoescape=False,  # YAML, TOML and shell: `quoted` and `shell` below stand where a text is free
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"quoted": quoted, "compose": compose, "shell": shell}

    def render(name: str, **facts: Any) -> str:
        return environment.get_template(f"{name}.j2").render(facts)

    return render


def quoted(text: object) -> str:
    """Return a printable text as a double-quoted scalar of YAML, which is also a string of JSON and TOML."""
    return json.dumps(str(text), ensure_ascii=False)


def compose(text: object) -> str:
    """Return a text as a scalar of a Compose file, where a dollar would begin a variable."""
    return quoted(str(text).replace("$", "$$"))


def shell(text: object) -> str:
    """Return a text as one word of a POSIX shell."""
    return shlex.quote(str(text))
