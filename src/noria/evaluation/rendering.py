"""A template and what it shows -> a page in the house's style that loads nothing and runs nothing."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import jinja2
from markupsafe import Markup

from noria.evaluation import wording


def rendered(template: str, **told: Any) -> str:
    """Return the page; the template is given `style` and `style_digest` beside what is told."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("noria.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_readable,
    )
    environment.filters |= {
        name: getattr(wording, name)
        for name in ("percent", "short_percent", "percent_interval", "number", "count", "duration", "size")
    }
    style, *_ = environment.loader.get_source(environment, "report.css")  # type: ignore[union-attr]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template(template).render(**told, style=Markup(style), style_digest=digest)


def _readable(value: Any) -> Any:
    return wording.readable(value) if type(value) is str else value
