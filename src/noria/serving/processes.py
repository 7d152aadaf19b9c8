"""Several server processes on one port, watched over: one that dies is started again, the others go on meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic
from typing import Any

from noria.artifacts.files import read_json, write_json
from noria.errors import ConfigError, NoriaError, UserError
from noria.ordered import default_threads
from noria.serving.guards.certificate import Identity, first_identity, renewed_identity, stamp_of
from noria.serving.peers import forget_news, forget_process
from noria.serving.settings import ConfigSource, ServeConfig
from noria.serving.telemetry import SHARED_FOLDER

SOON = 5.0  # seconds; a process that dies sooner than that, several times, will not live
MOST_EARLY_DEATHS = 3
PAUSE, LONGEST_PAUSE = 0.2, 30.0

Run = Callable[[ServeConfig, ConfigSource, Path, Identity | None], None]  # what a process does; importable by name


class Supervisor:
    """The parent of the server processes."""

    def __init__(
        self, run: Run, config: ServeConfig, source: ConfigSource, count: int, told: Callable[[dict[str, Any]], None]
    ) -> None:
        """Start nothing yet.

        Args:
            told: is called once all processes answer, with what one of them says of itself (`tell_ready`).
        """
        self._run = run
        self._told: Callable[[dict[str, Any]], None] | None = told
        self._config = config_of_each(config, count)
        self._source = source
        self._count = count
        self._context = get_context("spawn")
        self._identity: Identity | None = None  # the last one that could be shown
        self._stamp: tuple[int, ...] = ()  # of its files
        self._folder = Path()  # that only the processes of this server have
        self._children: dict[int, tuple[BaseProcess, float]] = {}
        self._early_deaths: dict[int, int] = {}  # of each number, one after the other
        self._due: dict[int, float] = {}  # when the dead are to be started again
        self._reloading = threading.Event()
        self._stopping = threading.Event()

    def watch(self) -> None:
        """Keep the processes running until SIGTERM or SIGINT; hand on SIGHUP.

        Raises:
            NoriaError: they die as soon as they are started, and none is left that answers.
        """
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, lambda *_: self._stopping.set())
        signal.signal(signal.SIGHUP, lambda *_: self._hand_on_reload())
        with tempfile.TemporaryDirectory(prefix="noria-serve-") as folder, _reserved(self._config) as config:
            self._folder = Path(folder)
            os.environ[SHARED_FOLDER] = folder  # read when the children import the metrics
            self._config = config
            self._identity = first_identity(config.tls, config.server.host)  # else each would make its own for a trial
            try:
                for number in range(self._count):
                    self._start(number)
                while not self._stopping.wait(PAUSE):
                    self._tell_once_all_answer()
                    self._read_models_again()
                    self._read_certificate_again()
                    self._replace_the_dead()
            finally:
                self._signal_all(signal.SIGTERM)
                for child, _ in self._children.values():
                    child.join()

    def _start(self, number: int) -> None:
        told = (self._config, self._source, self._folder, self._identity)  # over a pipe: no key in a file
        child = self._context.Process(target=self._run, args=told, name=f"noria-{number}")
        child.start()
        self._children[number] = (child, monotonic())

    def _tell_once_all_answer(self) -> None:
        if self._told is None:
            return
        ready = [self._folder / f"ready-{child.pid}.json" for child, _ in self._children.values()]
        if all(path.exists() for path in ready):
            self._told({**read_json(ready[0]), "processes": self._count})
            self._told = None

    def _hand_on_reload(self) -> None:
        self._reloading.set()
        self._signal_all(signal.SIGHUP)

    def _read_models_again(self) -> None:
        """After a SIGHUP: who is started from now on serves what the others do, who have read the config again."""
        if not self._reloading.is_set():
            return
        self._reloading.clear()
        if self._source.path is None:
            return  # the folders were looked at again, and nothing else
        with suppress(UserError):  # the others say what is wrong with it, and stay with what they have
            told = self._source.read()
            changed = {"models": told.models, "keys": told.keys, "rate": told.rate}
            if told.tls.wanted == self._config.tls.wanted:
                changed["tls"] = told.tls
            self._config = self._config.model_copy(update=changed)
            forget_news(self._folder)

    def _read_certificate_again(self) -> None:
        """Keep the last one that could be used: who is started from now on shows what the others do."""
        tls = self._config.tls
        if (stamp := stamp_of(tls)) == self._stamp or tls.certificate is None or tls.key is None:
            return
        self._stamp = stamp
        with suppress(ConfigError):  # the others say what is wrong with it
            self._identity = renewed_identity(tls.certificate, tls.key)

    def _replace_the_dead(self) -> None:
        for number, (child, started) in list(self._children.items()):
            if child.is_alive():
                continue
            if number not in self._due:
                self._due[number] = monotonic() + self._pause(number, monotonic() - started < SOON, child.exitcode)
                forget_process(self._folder, child.pid or 0)
                for left in self._folder.glob(f"gauge_live*_{child.pid}.db"):
                    left.unlink(missing_ok=True)  # what a dead process had waiting no longer counts
            if monotonic() >= self._due[number]:
                del self._due[number]
                self._start(number)

    def _pause(self, number: int, early: bool, code: int | None) -> float:
        """Return how long to wait before one that died is started again: longer each time that it did not live."""
        self._early_deaths[number] = deaths = self._early_deaths.get(number, 0) + 1 if early else 0
        if deaths > MOST_EARLY_DEATHS and not self._somebody_answers():
            raise NoriaError(f"The server processes end as soon as they are started (exit code {code}).")
        return min(PAUSE * 2**deaths, LONGEST_PAUSE) if early else 0.0

    def _somebody_answers(self) -> bool:
        return any(child.is_alive() and monotonic() - started >= SOON for child, started in self._children.values())

    def _signal_all(self, number: int) -> None:
        for child, _ in self._children.values():
            if child.is_alive() and child.pid:
                os.kill(child.pid, number)


def config_of_each(config: ServeConfig, count: int) -> ServeConfig:
    """Give each process its share of the processors, where it is left open how many threads a model has."""
    share = config.server.workers or -(-default_threads() // count)
    return config.model_copy(update={"server": config.server.model_copy(update={"workers": share})})


def tell_ready(folder: Path, told: dict[str, Any]) -> None:
    """Tell the parent, from one of the processes, that it answers from now on, and what it says of itself."""
    write_json(folder / f"ready-{os.getpid()}.json", told)


class _reserved:  # noqa: N801 - used as a function
    """Hold the ports, so that each process finds them, also where any free one was asked for."""

    def __init__(self, config: ServeConfig) -> None:
        self._config = config
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> ServeConfig:
        server = self._config.server
        ports = {"http": self._hold(server.http, "HTTP", "--http")}
        if server.grpc >= 0:
            ports["grpc"] = self._hold(server.grpc, "gRPC", "--grpc")
        return self._config.model_copy(update={"server": server.model_copy(update=ports)})

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            one.close()

    def _hold(self, port: int, protocol: str, option: str) -> int:
        host = self._config.server.host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        held = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(held)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            with socket.socket(family, socket.SOCK_STREAM) as alone:  # for another server may share its port as well
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind((host, port))
            held.bind((host, port))
        except OSError as error:
            raise UserError(
                f"The address {host}:{port} cannot be used for {protocol}: {error.strerror}. "
                f"Choose another port with {option}."
            ) from None
        return int(held.getsockname()[1])
