"""A gRPC server on the event loop of the HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from noria.errors import UserError
from noria.serving.guards.door import Guard
from noria.serving.protos import pool
from noria.serving.rpc.arrivals import Arrivals, GuardedStreams
from noria.serving.rpc.door import details, handler
from noria.serving.rpc.models import MODEL_METHODS
from noria.serving.rpc.prediction import PREDICTION_METHODS
from noria.serving.service import Service

SERVICES = {
    "tensorflow.serving.PredictionService": PREDICTION_METHODS,
    "tensorflow.serving.ModelService": MODEL_METHODS,
}
MOST_STREAMS = 256  # requests at once on a connection
LOOK_SECONDS = 0.5  # how often a watched state is looked at
_STATES = health_pb2.HealthCheckResponse.ServingStatus


class GrpcServer:
    """A server that listens; `port` is where."""

    def __init__(self, server: Any, port: int, arrivals: Arrivals) -> None:
        self._server = server
        self._arrivals = arrivals
        self.port = port

    async def stop(self, grace: float) -> None:
        """Take no more requests, and give those under way some seconds."""
        stopping = asyncio.ensure_future(self._server.stop(grace))
        await asyncio.sleep(0)  # from here on no stream comes in
        self._arrivals.end()
        await stopping


async def start_grpc(
    service: Service, guard: Guard, *, address: str, credentials: Any, shared_port: bool = False
) -> GrpcServer:
    """Start listening.

    Args:
        shared_port: several processes of one server listen on the same port.

    Raises:
        UserError: the port is taken.
    """
    limits = service.config.limits
    arrivals = Arrivals(limits)
    server = grpc.aio.server(
        interceptors=[GuardedStreams(arrivals, Arrivals(limits))],
        options=[
            ("grpc.max_allowed_incoming_connections", limits.connections),
            ("grpc.server_handshake_timeout_ms", round(limits.header_seconds * 1e3)),
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", MOST_STREAMS),
            ("grpc.max_connection_idle_ms", round(limits.idle_seconds * 1e3)),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.max_metadata_size", 16_384),
            ("grpc.so_reuseport", int(shared_port)),
        ],
    )
    for name, methods in SERVICES.items():
        handlers = {method: handler(service, guard, arrivals, method, told) for method, told in methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    health_pb2_grpc.add_HealthServicer_to_server(_Health(service), server)
    reflected = [*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
    _reflect(reflected, server)
    try:
        port = (
            server.add_secure_port(address, credentials)
            if credentials is not None
            else server.add_insecure_port(address)
        )
    except RuntimeError:
        port = 0
    if not port:
        raise UserError(
            f"The address {address} cannot be used for gRPC. Choose another port with --grpc, or -1 for none."
        )
    await server.start()
    return GrpcServer(server, port, arrivals)


class _Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpc has no types
    """Says for the server (the empty name), or for a model, whether it answers."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Answer once."""
        if (state := self._state(request.service)) == _STATES.SERVICE_UNKNOWN:
            words = f"There is no service or model {request.service!r}."
            await context.abort(grpc.StatusCode.NOT_FOUND, details(words))
        return health_pb2.HealthCheckResponse(status=state)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the protocol's name
        """Answer at once, and whenever the state changes; to the end of the server or of the client's interest."""
        told = None
        while True:
            ends, state = self._service.draining, self._state(request.service)
            if state != told:
                yield health_pb2.HealthCheckResponse(status=state)
                told = state
            if ends:  # who watches must not hold up the end, but is told of it
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _state(self, name: str) -> Any:
        if not name or name in SERVICES:
            good = self._service.ready
        elif model := self._service.models.get(name):
            good = bool(model.loaded) and not self._service.draining
        else:
            return _STATES.SERVICE_UNKNOWN
        return _STATES.SERVING if good else _STATES.NOT_SERVING


def _reflect(names: list[str], server: Any) -> None:
    """Tell clients such as grpcurl what there is; our messages are in a pool of their own."""
    health = health_pb2.DESCRIPTOR.serialized_pb
    told = pool()
    try:
        told.FindFileByName(health_pb2.DESCRIPTOR.name)
    except KeyError:
        told.AddSerializedFile(health)
    reflection.enable_server_reflection(names, server, pool=told)
