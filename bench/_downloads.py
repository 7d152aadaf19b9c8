"""Public packages that hold data, downloaded once: to `$NORIA_BENCH_DOWNLOADS`, or `.noria/downloads`."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path

from _harness import PROJECT, give_up, say
from noria.artifacts.checksums import sha256_file


def downloaded(source: str, sha256: str) -> Path:
    """Return the file that an address is of, and exit with 2 where it is not the one that is known."""
    folder = Path(os.environ.get("NORIA_BENCH_DOWNLOADS", PROJECT / ".noria" / "downloads"))
    path = folder / source.rpartition("/")[2]
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        say(f"downloading {source}")
        partial = path.with_suffix(".partial")
        urllib.request.urlretrieve(source, partial)
        partial.replace(path)
    if sha256_file(path) != sha256:
        give_up(f"{path} is not the package that this benchmark knows. Delete it, and start again.")
    return path
