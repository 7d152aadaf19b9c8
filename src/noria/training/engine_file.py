"""A Keras backbone -> a LiteRT file in the cache, converted once for each fingerprint."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras

from noria.artifacts.files import read_json, sha256_file, write_atomic, write_json
from noria.convert import to_litert
from noria.errors import ArtifactError, NoriaError


def engine_file(backbone: keras.Model, fingerprint: str, folder: Path) -> Path:
    """Return the path of the converted backbone; one that is damaged or was half written is made again."""
    path = folder / f"{fingerprint}.tflite"
    seal = folder / f"{fingerprint}.json"
    if path.is_file() and _sealed(seal) == sha256_file(path):
        return path
    converted = to_litert(backbone)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, converted)
        write_json(seal, {"sha256": sha256_file(path)})
    except (OSError, NoriaError):  # a cache that cannot be written costs time, no more
        path = Path(tempfile.mkdtemp(prefix="noria-")) / path.name
        path.write_bytes(converted)
    return path


def _sealed(seal: Path) -> str | None:
    """Return the SHA-256 that was written beside an engine, or None where that cannot be read."""
    try:
        facts = read_json(seal)
    except ArtifactError:
        return None
    return facts.get("sha256") if isinstance(facts, dict) else None
