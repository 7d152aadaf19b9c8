"""Around every request: who comes in, what it may cost, what goes out, one line in the log; errors become answers."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from typing import Any, TypeVar
from uuid import uuid4

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from noria.errors import BusyError, NoriaError, RequestError, SlowRequestError, TooLargeError, TooManyRequestsError
from noria.serving.guards.budget import Budget
from noria.serving.guards.door import Guard, key_in, shortened
from noria.serving.http.body import read_body
from noria.serving.service import Service
from noria.serving.settings import Scope as KeyScope
from noria.serving.tracing import Stage, keep_stages

Endpoint = Callable[["Visit"], Awaitable[Response]]
Answer = TypeVar("Answer")

SMALL = 1024  # bytes; shorter answers are not packed
PIECE = 65_536  # bytes of an answer that are written at once; the next when most of them have been taken
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
}
_SECURITY = [(name.encode(), value.encode()) for name, value in SECURITY.items()]


@dataclass(eq=False, slots=True)
class Visit:
    """One request on its way through the door."""

    request: Request
    service: Service
    budget: Budget
    started: float = field(default_factory=monotonic)
    model: str = ""
    version: int = 0
    key: str | None = None
    body_bytes: int = 0
    body_sha256: str = ""
    read_seconds: float = 0.0
    invited: bool = False  # to send the body, where the client waits for that
    stages: list[Stage] = field(default_factory=list)

    @property
    def deadline(self) -> float:
        """When nobody waits any more: as the header X-Request-Timeout says, in seconds, or the limit."""
        limit = self.service.config.limits.request_seconds
        told = self.request.headers.get("x-request-timeout", "")
        try:
            seconds = float(told) if told else limit
        except ValueError:
            raise RequestError(f"X-Request-Timeout is to be a number of seconds, not {told[:20]!r}.") from None
        return self.started + max(0.0, min(seconds, limit) if seconds == seconds else 0.0)

    async def body(self) -> bytes:
        """Return the body of the request, unpacked, and remember its size and hash for the log."""
        self.invited = True
        data = await read_body(self.request, self.service.config.limits, self.budget, self.service.aside)
        self.body_bytes = len(data)
        self.body_sha256 = await self.service.aside.sha256(data)
        self.read_seconds = monotonic() - self.started
        return data

    async def aside(self, work: Callable[[], Answer]) -> Answer:
        """Return what work on the body gives; where that is large, the event loop goes on meanwhile."""
        return await self.service.aside(self.body_bytes, work)

    async def unless_gone(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Return what `work` gives, or give it up as soon as the client has hung up."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_gone(self.request))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ClientDisconnect
        finally:
            gone.cancel()
            task.cancel()


class Door:
    """The ASGI application."""

    def __init__(self, service: Service, guard: Guard, routes: Routes) -> None:
        self._service = service
        self._guard = guard
        self._routes = routes
        self._budget = service.budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        visit = Visit(Request(scope, receive), self._service, self._budget)
        try:
            await self._visited(visit, scope, receive, send)
        finally:
            self._budget.give_back(scope.pop("reserved", 0))

    async def _visited(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        if self._service.tracing:
            visit.stages = keep_stages()
        self._service.metrics.in_flight.inc()
        method = "unknown"
        try:
            endpoint, method, key_scope, parameters = self._found(visit, scope)
            visit.model = parameters.get("name", "")
            scope["path_params"] = parameters
            self._admit(visit, method, key_scope)
            response = await endpoint(visit)
        except ClientDisconnect:
            response = Response(status_code=499)
        except Exception as error:
            response = self._refusal(visit, error)
        finally:
            self._service.metrics.in_flight.dec()
        await self._send(visit, method, response, scope, receive, send)

    def _found(self, visit: Visit, scope: Scope) -> tuple[Endpoint, str, KeyScope | None, dict[str, str]]:
        try:
            return self._routes.find(scope["method"], scope["path"])
        except HTTPException:
            self._admit(visit, "unknown", None)  # who tries addresses is counted, too
            raise

    def _admit(self, visit: Visit, method: str, key_scope: KeyScope | None) -> None:
        if key_scope == "metadata" and self._service.config.server.public_status:
            key_scope = None
        if key_scope is None and method == "health":
            return  # who looks whether the server is well must not be told to come later
        headers = visit.request.headers
        client = visit.request.client
        key = key_in(headers.get("authorization"), headers.get("x-api-key"))
        address = client.host if client else ""
        visitor = self._guard.admit(key, address, scope=key_scope)
        visit.key = visitor.name
        visitor.require_model(visit.model)

    def _refusal(self, visit: Visit, error: Exception) -> Response:
        """Return the answer that an error is, as TensorFlow Serving words it."""
        if isinstance(error, HTTPException):
            return error_answer(error.status_code, error.detail, dict(error.headers or {}))
        if not isinstance(error, NoriaError):
            # What nobody foresaw: the log has its kind and place, the client nothing of this machine.
            self._service.log.write("error", kind=type(error).__name__, at=_place(error))
            return error_answer(500, "The server failed at this request; its log says how.")
        self._service.metrics.count_rejection(error)
        headers = {}
        if isinstance(error, (BusyError, TooManyRequestsError)):
            headers["retry-after"] = str(retry_after(error))
        if isinstance(error, (SlowRequestError, TooLargeError)):
            headers["connection"] = "close"  # the rest of the body is not waited for
        if error.http_status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        return error_answer(error.http_status, str(error), headers)

    async def _send(
        self, visit: Visit, method: str, response: Response, scope: Scope, receive: Receive, send: Send
    ) -> None:
        told = visit.request.headers.get("x-request-id", "")
        request_id = told if REQUEST_ID.fullmatch(told) else uuid4().hex
        response.raw_headers += _SECURITY
        response.headers["x-request-id"] = request_id
        if not visit.invited and "expect" in visit.request.headers:
            response.headers["connection"] = "close"  # whether a body comes after this answer, nobody knows
        if _is_to_be_packed(response, visit.request.headers.get("accept-encoding", "")):
            await self._service.aside(len(response.body), lambda: _pack(response))
        self._budget.give_back(scope.pop("reserved", 0))  # the request has gone; a slow reader holds its answer only
        writing = monotonic()
        with suppress(OSError):  # the client has gone
            await response(scope, receive, _in_pieces(send))
        self._count(visit, method, response, request_id, monotonic() - writing)

    def _count(self, visit: Visit, method: str, response: Response, request_id: str, write_seconds: float) -> None:
        metrics = self._service.metrics
        known = visit.model if visit.model in self._service.models else ""
        metrics.requests.labels("http", method, known, str(response.status_code)).inc()
        if visit.body_bytes:
            metrics.stages.labels(known, "read").observe(visit.read_seconds)
            metrics.stages.labels(known, "write").observe(write_seconds)
        if method == "health":
            return
        self._trace(visit, method, known, response.status_code, request_id)
        self._service.log.write(
            "request",
            id=request_id,
            protocol="http",
            method=method,
            model=known,
            version=visit.version,
            code=response.status_code,
            milliseconds=round((monotonic() - visit.started) * 1e3, 2),
            bytes=visit.body_bytes,
            sha256=visit.body_sha256,
            key=visit.key,
        )

    def _trace(self, visit: Visit, method: str, model: str, status: int, request_id: str) -> None:
        if self._service.tracing is None:
            return
        verb = visit.request.method
        attributes = {
            "http.request.method": verb,
            "http.response.status_code": status,
            "noria.model": model,
            "noria.version": visit.version or None,
            "noria.request_id": request_id,
            "noria.bytes": visit.body_bytes,
        }
        reading = [("read", visit.started, visit.started + visit.read_seconds)] if visit.read_seconds else []
        self._service.tracing.record(
            f"{verb} {method}",
            visit.started,
            [*reading, *visit.stages],
            attributes,
            carrier=visit.request.headers,
            failed=status >= 500,
        )


@dataclass(frozen=True, slots=True)
class Route:
    """An address, what answers it, and what a key must be good for."""

    verb: str
    pattern: re.Pattern[str]
    endpoint: Endpoint
    method: str  # for log and metrics
    scope: KeyScope | None


class Routes:
    """The addresses of the server, in the order in which they are tried."""

    def __init__(self, *groups: list[Route]) -> None:
        self._routes = [route for group in groups for route in group]

    def find(self, verb: str, path: str) -> tuple[Endpoint, str, KeyScope | None, dict[str, str]]:
        """Return what answers a request, and the named parts of its path.

        Raises:
            HTTPException: there is no such address (404; below /v1/ it is 400, as TensorFlow Serving says), or not with
                this verb (405).
        """
        allowed = []
        for route in self._routes:
            if match := route.pattern.fullmatch(path):
                if route.verb == verb or (verb == "HEAD" and route.verb == "GET"):
                    parameters = {name: value for name, value in match.groupdict().items() if value is not None}
                    return route.endpoint, route.method, route.scope, parameters
                allowed.append(route.verb)
        if allowed:
            raise HTTPException(405, f"{verb} is not answered here.", {"allow": ", ".join(sorted(set(allowed)))})
        if path.startswith("/v1/"):
            raise HTTPException(400, f"Malformed request: {verb} {path[:100]}")
        raise HTTPException(404, f"There is nothing at {path[:100]}.")


def retry_after(error: BusyError | TooManyRequestsError) -> int:
    """Return whole seconds for the header Retry-After."""
    return max(1, round(error.retry_after + 0.5))


def json_answer(value: Any, status: int = 200) -> Response:
    """Return an answer of plain values."""
    return Response(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), status, media_type="application/json")


def error_answer(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error as TensorFlow Serving gives it."""
    told = shortened(message).encode("utf-8", "replace").decode()  # a message may quote what is no text
    return Response(orjson.dumps({"error": told}), status, headers, media_type="application/json")


def _in_pieces(send: Send) -> Send:
    """Send a long answer as fast as it is taken: so who reads slowly can be told from who does not read."""

    async def send_in_pieces(told: Message) -> None:
        body = told.get("body", b"")
        for start in range(0, len(body) - PIECE, PIECE):
            await send({**told, "body": body[start : start + PIECE], "more_body": True})
        await send({**told, "body": body[(len(body) - 1) // PIECE * PIECE :]} if body else told)

    return send_in_pieces


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _is_to_be_packed(response: Response, accepted: str) -> bool:
    return len(response.body) >= SMALL and _takes_gzip(accepted) and "content-encoding" not in response.headers


def _takes_gzip(accepted: str) -> bool:
    """Tell whether a client takes gzip, by its header Accept-Encoding; `gzip;q=0` says that it does not."""
    for one in accepted.lower().split(","):
        name, _, weight = one.partition(";")
        if name.strip() == "gzip":
            return not weight or weight.partition("=")[2].strip().strip("0.") != ""
    return False


def _pack(response: Response) -> None:
    """Pack a long answer for a client that can unpack it."""
    response.body = gzip.compress(response.body, compresslevel=3, mtime=0)
    response.headers["content-length"] = str(len(response.body))
    response.headers["content-encoding"] = "gzip"
    response.headers["vary"] = "Accept-Encoding"


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else ""
