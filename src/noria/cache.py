"""What earlier work left to be re-used: where it lies, how large it is, and clearing it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from noria.artifacts.store import cache_folder

# Only these are ever deleted: the folder may be shared, or somebody's own.
OWN = ("engines", "features.sqlite*", "inspections.sqlite*", "unfinished")


def show() -> dict[str, Any]:
    """Return `folder`, `bytes` and, for each part, its `name`, `files` and `bytes`."""
    folder = cache_folder()
    parts = [_part(path) for pattern in OWN for path in sorted(folder.glob(pattern))]
    return {"folder": str(folder), "bytes": sum(part["bytes"] for part in parts), "parts": parts}


def clear() -> dict[str, Any]:
    """Delete Noria's caches; return `folder` and how many `bytes` that freed."""
    told = show()
    for part in told["parts"]:
        path = Path(told["folder"]) / part["name"]
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return {"folder": told["folder"], "bytes": told["bytes"]}


def _part(path: Path) -> dict[str, Any]:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return {"name": path.name, "files": len(files), "bytes": sum(file.stat().st_size for file in files)}
