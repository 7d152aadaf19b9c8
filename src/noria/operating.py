"""The verbs of those who run models: serve, versions, key, deploy; on the command line beside the pipeline's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from noria.errors import ConfigError, MissingExtraError
from noria.standard_output import say, say_line, write
from noria.terminal import stderr_console

if TYPE_CHECKING:
    from noria.serving.guards.certificate import Identity
    from noria.serving.server import Addresses
    from noria.serving.service import Service
    from noria.serving.settings import ConfigSource, ServeConfig

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]BUNDLE|MODELS...",
            help="Bundles, or folders of numbered versions (1, 2, ...), each a bundle or a SavedModel.",
        ),
    ] = None,
    http: Annotated[int | None, typer.Option(help="Port; 0: any. \\[default: 8501]", show_default=False)] = None,
    grpc: Annotated[
        int | None, typer.Option(help="Port; 0: any, -1: none. \\[default: 8500]", show_default=False)
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="0.0.0.0: reachable from outside. \\[default: 127.0.0.1]", show_default=False)
    ] = None,
    runtime: Annotated[
        str | None, typer.Option(help="The engine. \\[default: the fastest that passed `verify`]", show_default=False)
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="A TOML file: models, limits, keys, TLS.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="On one port; metrics are added up.")] = 1,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Answers of lower confidence are marked as not sure.")
    ] = None,
    trial_tls: Annotated[bool, typer.Option("--trial-tls", help="HTTPS with a certificate made for this run.")] = False,
    log: Annotated[Path | None, typer.Option(help="Where the lines of requests go. \\[default: stderr]")] = None,
    as_json: AsJson = False,
) -> None:
    """Answer over HTTP and gRPC, as TensorFlow Serving does, with a page to try it at /."""
    try:
        from noria.serving.processes import Supervisor
        from noria.serving.server import run_server
        from noria.serving.service import require_servable
        from noria.serving.settings import ConfigSource
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"The server's module {error.name}", "serve") from None
    source = ConfigSource(
        path=config,
        models=tuple(map(_named, models or ())),
        server=_given(http=http, grpc=grpc, host=host, log=log),
        each_model=_given(runtime=runtime, threshold=threshold),
        trial_tls=trial_tls,
    )
    found = source.read()
    if processes == 1:
        run_server(found, told=_tell_as_json if as_json else _tell, source=source)
        return
    for model in found.models:
        require_servable(model)
    Supervisor(run_child, found, source, processes, write if as_json else _tell_processes).watch()


def run_child(config: ServeConfig, source: ConfigSource, folder: Path, identity: Identity | None) -> None:
    """Serve as one of several processes on a port, which share a folder."""
    from noria.serving.processes import tell_ready
    from noria.serving.server import run_server

    def ready(*told: Any) -> None:
        tell_ready(folder, _as_json(*told))

    run_server(config, told=ready, source=source, together=folder, identity=identity)


def versions(
    models: Annotated[Path, typer.Argument(metavar="MODELS", help="A folder of numbered versions.")],
    pin: Annotated[
        int | None, typer.Option(metavar="N", help="Answer with this version, whatever comes later.")
    ] = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="Answer with the latest again; no share, no shadow.")
    ] = False,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=N", help="Name a version: stable=3. NAME= takes a name away.")
    ] = None,
    share: Annotated[
        list[str] | None, typer.Option(metavar="N=PART", help="Send this part of the traffic to a version: 4=0.1.")
    ] = None,
    shadow: Annotated[
        int | None, typer.Option(metavar="N", help="Ask this version too, compare and count; 0: none.")
    ] = None,
    roll_back: Annotated[bool, typer.Option("--roll-back", help="Undo the last change made by this command.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say which versions of a model answer; every server that looks at the folder follows within a second."""
    from noria.serving.routing import changed, read_routing, versions_in, write_routing

    found = versions_in(models)
    now = read_routing(models)
    wanted = changed(
        now, found, pin=pin, latest=latest, labels=label or [], shares=share or [], shadow=shadow, roll_back=roll_back
    )
    if wanted != now:
        write_routing(models, wanted)
    told = {"versions": found, **wanted.model_dump(mode="json", exclude={"previous"})}
    say(as_json, told, f"Versions: {', '.join(map(str, found))}. {wanted.in_words(found)}")


def key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is; for the log.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="predict, explain, metadata, metrics, reload. \\[default: the first three]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key: it is shown once; a server's config holds its hash."""
    from pydantic import ValidationError

    from noria.serving.guards.door import new_key
    from noria.serving.settings import Key
    from noria.tomlfile import explain

    made, sha256 = new_key()
    try:
        entry = Key.model_validate({"name": name, "sha256": sha256, **({"scopes": scope} if scope else {})})
    except ValidationError as error:
        raise ConfigError(explain(error, Key)) from None
    told = {"key": made, "name": name, "sha256": sha256, "scopes": list(entry.scopes)}
    if as_json:
        write(told)
        return
    lines = [f"{field} = {orjson.dumps(told[field]).decode()}" for field in ("name", "sha256", "scopes")]
    stderr_console().print("The key, shown only now; send it as `Authorization: Bearer KEY`:", highlight=False)
    say_line(made)
    stderr_console().print("For the server's config file:\n", highlight=False)
    stderr_console().print("\n".join(["[[keys]]", *lines]), markup=False, highlight=False, soft_wrap=True)


def deploy(
    source: Annotated[
        Path, typer.Argument(metavar="BUNDLE|MODELS", help="A bundle, or a folder of its versions (1, 2, ...).")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("deploy"),
    name: Annotated[
        str | None, typer.Option(help="The model's name. \\[default: the bundle's]", show_default=False)
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:TAG", help="The image to build. \\[default: the model's name and version]", show_default=False
        ),
    ] = None,
    models: Annotated[
        str, typer.Option(metavar="image|volume", help="Build the models into the image, or mount them.")
    ] = "image",
    min_replicas: Annotated[
        int | None, typer.Option(help="Servers that always run. \\[default: 2]", show_default=False)
    ] = None,
    max_replicas: Annotated[
        int | None, typer.Option(help="Servers under full load. \\[default: 10]", show_default=False)
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(help="Processors of each server. \\[default: 2]", show_default=False)
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(metavar="MIB", help="Memory of each server. \\[default: 1024]", show_default=False),
    ] = None,
    queue: Annotated[
        int | None,
        typer.Option(
            metavar="ROWS",
            help="Inputs waiting in each server that call for one more. \\[default: 32]",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what was written before, edits included.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write what builds and runs a server elsewhere: Docker, Compose, Kubernetes, KServe, TensorFlow Serving."""
    from noria.deploying.plan import Scale
    from noria.deploying.write import write_deployment

    wished = {
        "min_replicas": min_replicas, "max_replicas": max_replicas, "cpus": cpus, "memory_mib": memory,
        "queue_rows": queue,
    }  # fmt: skip
    scale = Scale(**{wish: value for wish, value in wished.items() if value is not None})
    written = write_deployment(source, out, name=name, image=image, models=models, scale=scale, replace=force)
    files = [path.relative_to(out.absolute()).as_posix() for path in written]
    say(
        as_json,
        {"out": str(out), "files": files},
        *(f"  {file}" for file in files),
        f"{len(files)} files written to {out}. What to do with them: {out / 'README.md'}",
    )


def _given(**values: Any) -> dict[str, Any]:
    """Return the options that the command line holds."""
    return {name: value for name, value in values.items() if value is not None}


def _named(told: str) -> tuple[str, Path]:
    """Return the name and the path of `NAME=PATH`, or of a path, whose last part is the name."""
    name, separator, path = told.partition("=")
    if separator and not Path(told).exists():
        return name, Path(path).absolute()
    return Path(told).absolute().name, Path(told).absolute()


def _tell(service: Service, addresses: Addresses) -> None:
    out = stderr_console()
    for name, model in service.models.items():
        for number, version in model.loaded.items():
            if version.servable:
                out.print(f"{name}, version {number}, on {version.servable.runtime}", highlight=False)
    grpc = f" · gRPC at {addresses.grpc}" if addresses.grpc else ""
    out.print(f"The page and HTTP at {addresses.http}{grpc} · Ctrl-C stops.", highlight=False)


def _tell_as_json(service: Service, addresses: Addresses) -> None:
    write(_as_json(service, addresses))


def _as_json(service: Service, addresses: Addresses) -> dict[str, Any]:
    return {
        "http": addresses.http,
        "grpc": addresses.grpc,
        "models": {name: sorted(model.loaded) for name, model in service.models.items()},
    }


def _tell_processes(told: dict[str, Any]) -> None:
    grpc = f" · gRPC at {told['grpc']}" if told["grpc"] else ""
    out = stderr_console()
    out.print(f"{told['processes']} processes serve HTTP at {told['http']}{grpc} · Ctrl-C stops.", highlight=False)


VERBS = (serve, versions, key, deploy)
