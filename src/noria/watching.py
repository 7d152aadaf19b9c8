"""The verb of those who watch a training: tensorboard."""

from __future__ import annotations

import sys
import tempfile
import threading
import webbrowser
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from noria.artifacts.run import BOARD
from noria.errors import ArtifactError, MissingExtraError, NoriaError
from noria.options import AsJson
from noria.quiet import native_output_hidden
from noria.standard_output import write
from noria.terminal import stderr_console

HOST = "127.0.0.1"
AGAIN_SECONDS = 2.0
PROFILE_PLUGIN = "xprof"  # of TensorBoard; too heavy to be installed for the few who profile


def tensorboard(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Runs, side by side: finished, or of a training that is under way (runs/NAME, or --out).",
        ),
    ],
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="0: any. \\[default: 6006, or the next that is free]")
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show in TensorBoard how networks were trained, or are being trained now; on this machine only.

    A training that is under way goes by the name that its run will have: start `noria train photos/`, and in another
    terminal `noria tensorboard runs/photos`. The page follows it, and stays when it has finished.
    """
    # Its own switch for working without TensorFlow, which it would otherwise import, for seconds and with many lines.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    try:
        with native_output_hidden():
            from tensorboard import program
    except ModuleNotFoundError:
        raise MissingExtraError("TensorBoard", "watch") from None
    named = _named(runs)
    for run in named.values():
        _require_files(run)
    if not as_json and any(_has_profile(run) for run in named.values()) and find_spec(PROFILE_PLUGIN) is None:
        stderr_console().print(
            f"There is a profile (training.profile): pip install {PROFILE_PLUGIN}, 400 MB, shows it."
        )
    with tempfile.TemporaryDirectory(prefix="noria-tensorboard-") as folder:
        _link(Path(folder), named)
        server = program.TensorBoard()
        server.configure(
            argv=["tensorboard", "--logdir", folder, "--host", HOST, "--reload_interval", "5"]
            + ([] if port is None else ["--port", str(port)])
        )
        try:
            with native_output_hidden():
                url = server.launch()
        except program.TensorBoardServerException as error:
            raise NoriaError(f"TensorBoard does not start: {error}. Choose another --port; 0 is any.") from None
        if as_json:
            write({"url": url, "runs": {name: str(run) for name, run in named.items()}})
        else:
            stderr_console().print(f"TensorBoard at {url} · Ctrl-C stops.", highlight=False)
        if open_page:
            webbrowser.open(url)
        waiting = threading.Event()
        while not waiting.wait(AGAIN_SECONDS):
            _link(Path(folder), named)


def _named(runs: list[Path]) -> dict[str, Path]:
    """Give each run a name of its own."""
    found: dict[str, Path] = {}
    for run in map(Path.absolute, runs):
        number = sum(one.name == run.name for one in found.values())
        found[f"{run.name}-{number + 1}" if number else run.name] = run
    return found


def _files(run: Path) -> Path | None:
    """Return where the files of a run lie: in it, or, while it is being written, where its training keeps them."""
    for folder in (run / BOARD, run.with_name(f".{run.name}.partial") / BOARD):
        if folder.is_dir():
            return folder.resolve()
    return None


def _require_files(run: Path) -> None:
    if _files(run) is None:
        raise ArtifactError(
            f"{run} has no files of TensorBoard, and no training that is under way has written any for it yet. They "
            "come of networks (--strategy scratch or finetune), once their training proper has begun, unless "
            "training.tensorboard is false."
        )


def _has_profile(run: Path) -> bool:
    files = _files(run)
    return files is not None and any(files.glob("*/plugins/profile"))


def _link(folder: Path, named: Mapping[str, Path]) -> None:
    """Point at the files of each run; those of a training move when it has finished."""
    for name, run in named.items():
        files, link = _files(run), folder / name
        if files is None or (link.is_symlink() and link.readlink() == files):
            continue
        beside: Any = folder / f".{name}"
        beside.symlink_to(files, target_is_directory=True)
        beside.replace(link)


VERBS = (tensorboard,)
