"""The files of a deployment, written into a folder that is there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import noria
from noria.artifacts.files import folder_being_written, write_atomic, write_json
from noria.deploying.plan import Plan, Scale, make_plan, require_writable
from noria.deploying.rendering import renderer

RECORD = "deployment.json"
CONFIG = "noria.toml"
USER = 10001  # of the server's processes: no user of the base image
_ALWAYS = (
    "README.md",
    CONFIG,
    "Dockerfile",
    ".dockerignore",
    "wheels/README.txt",
    "compose.yaml",
    "kubernetes/kustomization.yaml",
    "kubernetes/serviceaccount.yaml",
    "kubernetes/configmap.yaml",
    "kubernetes/deployment.yaml",
    "kubernetes/service.yaml",
    "kubernetes/horizontalpodautoscaler.yaml",
    "kubernetes/poddisruptionbudget.yaml",
    "kubernetes/networkpolicy.yaml",
    "kubernetes/monitoring/servicemonitor.yaml",
    "kubernetes/monitoring/prometheus-adapter-values.yaml",
    "kserve/inferenceservice.yaml",
)
_FOR_A_VOLUME = ("kubernetes/persistentvolumeclaim.yaml", "kubernetes/fill-volume.yaml", "kubernetes/add_version.sh")
_FOR_A_SAVEDMODEL = ("tensorflow-serving/run.sh",)


def write_deployment(
    source: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    image: str | None = None,
    models: str = "image",
    scale: Scale | None = None,
    replace: bool = False,
) -> list[Path]:
    """Write what builds, runs and scales a server of these models on other machines.

    Args:
        source: a bundle, or a folder of versions (1, 2, ...), each a bundle or a SavedModel. It is not copied.
        out: the folder to write.
        name: of the model in its address and, as a DNS label, of all objects; by default the bundle's or the folder's.
        image: name and tag of the image that will be built, with its registry; by default NAME:VERSION.
        models: `image` builds the models into the image; `volume` mounts them from a volume, on which versions can be
            added while the server runs.
        scale: how many servers, and how large.
        replace: take the place of an earlier deployment in `out`.

    Returns:
        The paths of the written files, sorted.

    Raises:
        ArtifactError: there are no models in `source`, or `out` is there and may not be replaced.
        ConfigError: a name or a number cannot be used; the message says which.
        NoriaError: the files cannot be written.
    """
    plan = make_plan(Path(source), name=name, image=image, models=models, scale=scale)
    out = Path(out).absolute()
    require_writable(out)
    with folder_being_written(out, replace=replace, marker=RECORD) as folder:
        written = [_put(folder / path, text) for path, text in _texts(plan, out)]
        write_json(folder / RECORD, _record(plan))
    return sorted([out / path.relative_to(folder) for path in written] + [out / RECORD])


def _texts(plan: Plan, out: Path) -> Iterator[tuple[str, str]]:
    """Yield each file's path in the folder and its text."""
    render = renderer()
    facts = {
        "plan": plan,
        "noria": noria.__version__,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",  # on which the deployer's Noria runs
        "user": USER,
        "source_from_out": _relative(plan.source, out),
    }
    config = render(CONFIG, **facts)
    facts |= {"config": config, "config_sha256": hashlib.sha256(config.encode()).hexdigest()}
    wanted = list(_ALWAYS)
    wanted += _FOR_A_VOLUME if plan.models == "volume" else ()
    wanted += _FOR_A_SAVEDMODEL if plan.savedmodel else ()
    for path in wanted:
        yield path, render(path, **facts, files=wanted)


def _relative(source: Path, out: Path) -> str:
    """The models as seen from the folder, so that both can be moved together; Compose wants the dot in front."""
    path = Path(os.path.relpath(source, out.resolve())).as_posix()
    return path if path.startswith("../") or path == ".." else f"./{path}"


def _put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)
    if path.suffix == ".sh":
        path.chmod(0o755)
    return path


def _record(plan: Plan) -> dict[str, object]:
    told = {"noria": noria.__version__, "name": plan.label, "model": plan.model, "image": plan.image}
    return {**told, "models": plan.models, "source": str(plan.source), "scale": asdict(plan.scale)}
