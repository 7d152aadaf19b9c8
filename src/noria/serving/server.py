"""One server process: HTTP and gRPC on one event loop, signals, and an end that drops nothing."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import uvicorn

from noria.errors import ConfigError, NoriaError, UserError
from noria.serving.guards.certificate import Identity, Shown, first_identity, renewed_identity, stamp_of
from noria.serving.guards.connections import protocol_with
from noria.serving.guards.door import Guard
from noria.serving.http.app import application
from noria.serving.peers import Peers, told_models
from noria.serving.service import Service, require_servable
from noria.serving.settings import ConfigSource, ServeConfig, Tls
from noria.serving.telemetry import LinesLog, Rerouted

if TYPE_CHECKING:
    from noria.serving.rpc import GrpcServer


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a server listens."""

    http: str
    grpc: str | None


Told = Callable[[Service, Addresses], None]


def run_server(
    config: ServeConfig,
    *,
    told: Told,
    source: ConfigSource,
    together: Path | None = None,
    identity: Identity | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP looks for new versions and reads the config's models, keys and rates
    again, and the certificate.

    Args:
        told: is called once everything answers.
        source: where the config came from, for SIGHUP.
        together: a folder that several processes share, which listen on the same port.
        identity: what is shown first, with TLS; by default what the config says.

    Raises:
        UserError: a port is taken, a certificate cannot be read, or nothing can be served.
    """
    named_since = told_models(together) if together else None
    for model in config.models if named_since is None else named_since:
        require_servable(model)
    with ExitStack() as stack:
        log = LinesLog(config.server.log)
        stack.callback(log.close)
        _reroute(log, stack)
        _allow_files()
        journal = log if config.server.journal is None else LinesLog(config.server.journal)
        listening = stack.enter_context(_listening(config.server.host, config.server.http, together is not None))
        identity = identity or first_identity(config.tls, config.server.host)
        shown = Shown(identity) if identity else None
        server = _Server(config, log, journal, listening, shown, told, source, together)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(server.run())


class _Server:
    """What belongs to one run of the event loop."""

    def __init__(
        self,
        config: ServeConfig,
        log: LinesLog,
        journal: LinesLog,
        listening: socket.socket,
        shown: Shown | None,
        told: Told,
        source: ConfigSource,
        together: Path | None,
    ) -> None:
        self._config = config
        self._listening = listening
        self._shown = shown
        self._tls = config.tls
        self._told = told
        self._source = source
        self._together = together is not None
        peers = Peers(together) if together else None
        self._service = Service(config, log=log, journal=journal, each_model=source.each_model, peers=peers)
        self._guard = Guard(config.keys, config.rate, together)
        self._http = _Uvicorn(self._uvicorn_config(), config.limits.header_seconds)
        self._stopping = asyncio.Event()
        self._reloads: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None  # at the certificate

    async def run(self) -> None:
        """Start everything, wait for the signal to stop, let requests end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        if self._together and (parent := parent_process()):
            loop.add_reader(parent.sentinel, self._stop_alone)
        stopping = loop.create_task(self._stopping.wait())
        if not await self._started(stopping):
            return
        _require_some_model(self._service)
        http = loop.create_task(self._http.serve(sockets=[self._listening]))
        grpc = await self._start_grpc()
        while not (self._http.started or http.done()):
            await asyncio.sleep(0.002)
        self._told(self._service, self._addresses(grpc.port if grpc else None))
        if self._shown and self._config.server.poll_seconds:
            self._looking = loop.create_task(self._keep_looking_at_certificate())
        await asyncio.wait({http, stopping}, return_when=asyncio.FIRST_COMPLETED)
        self._service.draining = True  # /readyz says so; what has begun is finished
        self._http.should_exit = True
        if grpc:
            await grpc.stop(self._config.server.drain_seconds)
        await http
        if self._looking:
            self._looking.cancel()
        await self._service.close()

    async def _started(self, stopping: asyncio.Task[Literal[True]]) -> bool:
        """Load the models; return False where the server is to stop before they are: what has not begun is left."""
        starting = asyncio.get_running_loop().create_task(self._service.start())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            return True
        starting.cancel()
        await asyncio.wait({starting})
        self._service.journal("stopped while loading")
        await self._service.close()
        return False

    async def _start_grpc(self) -> GrpcServer | None:
        settings = self._config.server
        if settings.grpc < 0:
            return None
        from noria.serving.rpc import start_grpc

        return await start_grpc(
            self._service,
            self._guard,
            address=f"{_bracketed(settings.host)}:{settings.grpc}",
            credentials=self._shown.grpc_credentials() if self._shown else None,
            shared_port=self._together,
        )

    def _uvicorn_config(self) -> uvicorn.Config:
        limits = self._config.limits
        door, refuse = application(self._service, self._guard)
        made = uvicorn.Config(
            door,
            http=protocol_with(limits.header_seconds, limits.body_seconds, limits.connections, refuse, refuse.crowded),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=max(1, round(limits.idle_seconds)),
            timeout_graceful_shutdown=max(1, round(self._config.server.drain_seconds)),
            backlog=2048,
        )
        made.load()
        made.ssl = self._shown.context if self._shown else None
        return made

    def _addresses(self, grpc_port: int | None) -> Addresses:
        shown = _bracketed(self._config.server.host)
        scheme = "https" if self._shown else "http"
        port = self._listening.getsockname()[1]
        return Addresses(f"{scheme}://{shown}:{port}", None if grpc_port is None else f"{shown}:{grpc_port}")

    def _stop_alone(self) -> None:
        """Stop where the parent was killed: nobody would replace this process, or could stop it by the parent."""
        if not self._stopping.is_set():
            self._service.journal("parent gone")
        self._stopping.set()
        if parent := parent_process():
            asyncio.get_running_loop().remove_reader(parent.sentinel)

    def _reload(self) -> None:
        task = asyncio.get_running_loop().create_task(self._read_again())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _read_again(self) -> None:
        """Take over models, keys and rates of config file and command line; a file that is wrong changes nothing.

        The certificate is read again in any case: what is wrong with the rest does not hold it up, nor the other way.
        """
        try:
            config = self._source.read() if self._source.path else None
        except NoriaError as error:
            self._service.journal("reload refused", error=str(error))
            self._renew_certificate()
            return
        if config:
            self._guard.change(config.keys, config.rate)
            self._change_tls(config.tls)
        self._renew_certificate()
        try:
            await self._service.reload(config.models if config else None)
        except NoriaError as error:
            self._service.journal("reload refused", error=str(error))

    def _change_tls(self, tls: Tls) -> None:
        """Look for the certificate where the config says now; whether there is TLS at all is settled at the start."""
        if tls.wanted == self._tls.wanted:
            self._tls = tls
        else:
            self._service.journal("tls unchanged", error="TLS is turned on or off by a new start, not by a reload.")

    def _renew_certificate(self) -> None:
        """Show the certificate as it is on disk now; one that cannot be used is refused, and the old one stays."""
        if self._shown is None or self._tls.certificate is None or self._tls.key is None:
            return
        try:
            if self._shown.change(renewed_identity(self._tls.certificate, self._tls.key)):
                self._service.journal("certificate", **self._shown.identity.told())
        except ConfigError as error:
            kept = self._shown.identity.told()
            self._service.journal("certificate refused", error=str(error), kept=kept)

    async def _keep_looking_at_certificate(self) -> None:
        """Take up a certificate whose files were written anew, once they rest: one is written after the other."""
        seen: tuple[int, ...] = ()
        done = seen
        while True:
            await asyncio.sleep(self._config.server.poll_seconds)
            now = stamp_of(self._tls)
            if now == seen and now != done:
                self._renew_certificate()
                done = now
            seen = now


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own handling of signals; who connects has so many seconds for the handshake of TLS.

    Until that has been made, nothing else counts or ends a connection, and a minute is what it would have.
    """

    def __init__(self, config: uvicorn.Config, handshake_seconds: float) -> None:
        super().__init__(config)
        self._handshake_seconds = handshake_seconds if config.ssl else None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        config, loop = self.config, asyncio.get_running_loop()

        def protocol() -> Any:
            made: Any = config.http_protocol_class
            return made(config=config, server_state=self.server_state, app_state={}, _loop=loop)

        self.servers = [
            await loop.create_server(
                protocol,
                sock=one,
                ssl=config.ssl,
                ssl_handshake_timeout=self._handshake_seconds,
                backlog=config.backlog,
            )
            for one in sockets or []
        ]
        self.started = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bracketed(host: str) -> str:
    """Return a host as it stands before a port: addresses of IPv6 have colons of their own."""
    return f"[{host}]" if ":" in host else host


@contextmanager
def _listening(host: str, port: int, shared: bool) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            made.bind((host, port))
        except OSError as error:
            raise UserError(
                f"The address {host}:{port} cannot be used: {error.strerror}. Choose another with --host and --http."
            ) from None
        made.setblocking(False)
        yield made


def _reroute(log: LinesLog, stack: ExitStack) -> None:
    """Have the warnings of libraries in the log while the server runs; else they would go to standard error."""
    handler = Rerouted(log)
    logging.getLogger().addHandler(handler)
    stack.callback(logging.getLogger().removeHandler, handler)


def _allow_files() -> None:
    """Let the process open as many files as it may: a shell's usual limit is as many as there may be connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop

    return uvloop.new_event_loop


def _require_some_model(service: Service) -> None:
    """Raise UserError where a model cannot be served at all, with the reason."""
    for name, model in service.models.items():
        if not model.loaded:
            raise UserError(f"The model {name!r} cannot be served: {model.why_not()}")
