"""Around every gRPC call: who comes in, how long it may take, one line in the log; errors become status codes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

import grpc

from noria.errors import BusyError, ForbiddenError, NoriaError, TooManyRequestsError
from noria.serving.guards.door import Guard, Visitor, key_in, shortened
from noria.serving.protos import message
from noria.serving.rpc.arrivals import Arrivals, status_of
from noria.serving.service import Service, Spec
from noria.serving.settings import Scope
from noria.serving.tracing import Stage, keep_stages

SENT = 4096  # bytes of an error's words, percent-encoded; of metadata past 8 KiB a client refuses some by chance


@dataclass(eq=False, slots=True)
class Call:
    """One call on its way through the door."""

    service: Service
    deadline: float = 0.0  # known once the message is there
    version: int = 0
    size: int = 0  # bytes of the message
    sha256: str = ""
    started: float = field(default_factory=monotonic)
    stages: list[Stage] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Method:
    """What answers a method, from which message to which, and what a key must be good for."""

    answer: Callable[[Call, Any], Awaitable[Any]]
    request: str
    response: str
    scope: Scope


def handler(service: Service, guard: Guard, arrivals: Arrivals, name: str, method: Method) -> Any:
    """Return the handler of a method, as gRPC wants it: one message in, one out."""
    requests = message(f"tensorflow.serving.{method.request}")

    async def answer(_: Any, context: Any) -> bytes:
        call = Call(service)
        if service.tracing:
            call.stages = keep_stages()
        model, key, code = "", None, grpc.StatusCode.OK
        try:
            visitor = _admit(service, guard, context, method.scope)
            key = visitor.name
            if method.scope == "reload" and visitor.models:
                raise ForbiddenError("A key that is for some models only cannot say which are served.")
            data = await arrivals.only_message(context)
            call.deadline = monotonic() + _seconds(service, context)
            with arrivals.under_way(), service.budget.holding(len(data)):
                call.size = len(data)
                request = await service.aside(call.size, lambda: _parsed(requests, data))
                model = request.model_spec.name if hasattr(request, "model_spec") else ""
                call.sha256 = await service.aside.sha256(data)
                visitor.require_model(model)
                answered = await method.answer(call, request)
                told: bytes = answered.SerializeToString()
                return told
        except NoriaError as error:
            code = status_of(error)
            service.metrics.count_rejection(error)
            if isinstance(error, (BusyError, TooManyRequestsError)):
                context.set_trailing_metadata((("retry-after", str(max(1, round(error.retry_after + 0.5)))),))
            await context.abort(code, details(str(error)))
        except grpc.aio.AbortError:
            raise
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED  # the client has hung up, or waits no longer
            raise
        except Exception as error:
            code = grpc.StatusCode.INTERNAL
            service.log.write("error", kind=type(error).__name__, at=name)
            await context.abort(code, "The server failed at this request; its log says how.")
        finally:
            known = model if model in service.models else ""
            request_id = uuid4().hex
            _count(call, name, known, code, key, request_id)
            _trace(call, name, known, code, context, request_id)
        raise AssertionError("abort always raises")

    # Bytes in and out: bad messages are answered, too. And called with the head of the stream, before its message.
    return grpc.stream_unary_rpc_method_handler(answer)


def spec_of(model_spec: Any) -> Spec:
    """Return which model a request is for."""
    choice = model_spec.WhichOneof("version_choice")
    version = model_spec.version.value if choice == "version" else None
    label = model_spec.version_label if choice == "version_label" else None
    return Spec(model_spec.name, version, label, model_spec.signature_name)


def _parsed(requests: Any, data: bytes) -> Any:
    from google.protobuf.message import DecodeError

    from noria.errors import RequestError

    try:
        return requests.FromString(data)
    except DecodeError:
        raise RequestError("The request is no message of the kind that this method takes.") from None


def _seconds(service: Service, context: Any) -> float:
    limit = service.config.limits.request_seconds
    left = context.time_remaining()
    return limit if left is None else max(0.0, min(left, limit))


def _admit(service: Service, guard: Guard, context: Any, scope: Scope) -> Visitor:
    public = scope == "metadata" and service.config.server.public_status
    told = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
    key = key_in(told.get("authorization"), told.get("x-api-key"))
    # "ipv4:127.0.0.1:1234" or "ipv6:%5B::1%5D:1234"; without the port, which changes with every connection
    address = unquote(context.peer()).partition(":")[2].rpartition(":")[0]
    return guard.admit(key, address.strip("[]"), scope=None if public else scope)


def _count(call: Call, method: str, model: str, code: Any, key: str | None, request_id: str) -> None:
    call.service.metrics.requests.labels("grpc", method, model, code.name).inc()
    call.service.log.write(
        "request",
        id=request_id,
        protocol="grpc",
        method=method,
        model=model,
        version=call.version,
        code=code.name,
        milliseconds=round((monotonic() - call.started) * 1e3, 2),
        bytes=call.size,
        sha256=call.sha256,
        key=key,
    )


def _trace(call: Call, method: str, model: str, code: Any, context: Any, request_id: str) -> None:
    if call.service.tracing is None:
        return
    attributes = {
        "rpc.system": "grpc",
        "rpc.method": method,
        "rpc.grpc.status_code": code.value[0],
        "noria.model": model,
        "noria.version": call.version or None,
        "noria.request_id": request_id,
    }
    carrier = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
    failed = code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    call.service.tracing.record(method, call.started, call.stages, attributes, carrier=carrier, failed=failed)


def details(words: str) -> str:
    """Return the beginning of an error's words, as much as gRPC hands over: three bytes for each that is not ASCII."""
    told = shortened(words)
    while len(quote(told, errors="replace")) > SENT:
        told = told[: len(told) * 3 // 4] + "…"
    return told
