"""Noria: from a folder of labelled pictures to a model that can be trusted in production.

The verbs of the command line are functions here, in the order of the pipeline:

    import noria
    run = noria.train("photos/")
    bundle = noria.export(run)
    for answer in noria.predict(bundle, ["new.jpg"]): ...
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

__version__ = version("noria")
__all__ = [
    "bench_input",
    "check",
    "compare_data",
    "evaluate",
    "explain",
    "export",
    "find_rate",
    "frames",
    "open_bundle",
    "open_run",
    "predict",
    "review",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    # On demand: `import noria` stays instant, and predicting never imports what training needs.
    if name in __all__:
        from noria import api

        return getattr(api, name)
    raise AttributeError(f"module 'noria' has no attribute {name!r}")
