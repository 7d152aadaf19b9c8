"""The HTTP application: every protocol's addresses behind one door."""

from __future__ import annotations

from noria.serving.guards.door import Guard
from noria.serving.http import answers, inference_protocol, operations, tensorflow_serving
from noria.serving.http.door import Door, Routes
from noria.serving.http.early import EarlyRefusals
from noria.serving.service import Service


def application(service: Service, guard: Guard) -> tuple[Door, EarlyRefusals]:
    """Return the ASGI application of a server, and what it refuses before a request reaches it."""
    routes = Routes(tensorflow_serving.routes(), answers.routes(), inference_protocol.routes(), operations.routes())
    return Door(service, guard, routes), EarlyRefusals(service, guard, routes)
