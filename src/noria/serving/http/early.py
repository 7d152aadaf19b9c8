"""What is refused before it is read: requests for a model that is at its capacity. The answer is the door's."""

from __future__ import annotations

from urllib.parse import unquote
from uuid import uuid4

import orjson
from starlette.exceptions import HTTPException

from noria.errors import BusyError, NoriaError
from noria.serving.guards.connections import Headers
from noria.serving.guards.door import Guard, key_in
from noria.serving.http.door import REQUEST_ID, SECURITY, Routes, retry_after
from noria.serving.service import Service

_FIXED = b"".join(f"{name}: {value}\r\n".encode() for name, value in SECURITY.items())
_HEAD = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n" + _FIXED


class EarlyRefusals:
    """A `connections.Refuse`."""

    def __init__(self, service: Service, guard: Guard, routes: Routes) -> None:
        self._service = service
        self._guard = guard
        self._routes = routes

    def __call__(self, method: str, path: str, headers: Headers, address: str) -> tuple[bytes, bytes] | None:
        """Return the answer to a request that would be refused after it was read, or None."""
        if method != "POST" or not any(map(self._service.refusal, self._service.models)):
            return None
        try:
            _, kind, scope, parameters = self._routes.find(method, unquote(path))
        except HTTPException:
            return None
        name = parameters.get("name", "")
        refusal = self._service.refusal(name)
        if scope is None or refusal is None:
            return None
        told = dict(headers)
        try:
            key = key_in(_text(told.get(b"authorization")), _text(told.get(b"x-api-key")))
            visitor = self._guard.admit(key, address, scope=scope)
            visitor.require_model(name)
        except NoriaError:
            return None  # the door says so, in its own words
        return self._answer(kind, name, visitor.name, refusal, _text(told.get(b"x-request-id")) or "")

    def crowded(self, headers: Headers) -> tuple[bytes, bytes]:
        """Return the answer to who connects while there are as many as the server takes."""
        refusal = BusyError("The server has as many connections as it takes; try again.", retry_after=1.0)
        return self._answer("connection", "", None, refusal, _text(dict(headers).get(b"x-request-id")) or "")

    def _answer(self, kind: str, name: str, key: str | None, refusal: BusyError, told: str) -> tuple[bytes, bytes]:
        request_id = told if REQUEST_ID.fullmatch(told) else uuid4().hex
        metrics = self._service.metrics
        metrics.count_rejection(refusal)
        metrics.requests.labels("http", kind, name, "503").inc()
        self._service.log.write(
            "request", id=request_id, protocol="http", method=kind, model=name, code=503, early=True, key=key
        )
        head = f"retry-after: {retry_after(refusal)}\r\nx-request-id: {request_id}\r\n".encode()
        return _HEAD + head, orjson.dumps({"error": str(refusal)})


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
