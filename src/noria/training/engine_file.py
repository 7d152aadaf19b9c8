"""The backbone of a training -> a LiteRT file in the cache, and the name by which its features are known."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from noria import models
from noria.artifacts.files import read_json, sha256_file, write_atomic, write_json
from noria.errors import ArtifactError, NoriaError
from noria.inference.runtimes import litert

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Engine:
    """A file that an inference engine runs; `fingerprint` names the function that it computes."""

    path: Path
    fingerprint: str


def written_engine(name: str, folder: Path, *, image_size: int, weights: str) -> Engine | None:
    """Return the engine of a backbone that can be written without Keras; None of one that must be converted.

    Raises:
        WeightsError: the weights cannot be had.
    """
    data = models.find(name).write_engine(name, image_size=image_size, weights=weights)
    if data is None:
        return None
    fingerprint = hashlib.sha256(data).hexdigest()
    path = folder / f"{fingerprint}.tflite"
    if path.is_file() and sha256_file(path) == fingerprint:
        return Engine(path, fingerprint)
    return Engine(_kept(path, data), fingerprint)


def converted_engine(backbone: keras.Model, folder: Path) -> Engine:
    """Return the engine of any backbone, converted once for each fingerprint; a damaged file is made again."""
    from noria.convert import to_litert

    fingerprint = models.fingerprint(backbone)
    path = folder / f"{fingerprint}.tflite"
    if path.is_file() and _sealed(_seal(path)) == sha256_file(path):
        return Engine(path, fingerprint)
    path = _kept(path, to_litert(backbone), seal=lambda kept: write_json(_seal(kept), {"sha256": sha256_file(kept)}))
    return Engine(path, fingerprint)


def feature_space(engine: Engine, decoder: str, settings: BaseModel) -> str:
    """Return all that a picture's features depend on beside the picture: the part of the cache where they lie."""
    return f"{engine.fingerprint}/{litert.FORMAT} {version('ai-edge-litert')}/{decoder}/{settings.model_dump_json()}"


def _kept(path: Path, data: bytes, seal: Callable[[Path], object] = lambda _: None) -> Path:
    """Write a file into the cache; a cache that cannot be written costs time, no more."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
        seal(path)
    except (OSError, NoriaError):
        path = Path(tempfile.mkdtemp(prefix="noria-")) / path.name
        path.write_bytes(data)
    return path


def _seal(path: Path) -> Path:
    return path.with_suffix(".json")


def _sealed(seal: Path) -> str | None:
    """Return the SHA-256 that was written beside an engine, or None where that cannot be read."""
    try:
        facts = read_json(seal)
    except ArtifactError:
        return None
    return facts.get("sha256") if isinstance(facts, dict) else None
