"""Stage "read": the body of a request, in time and within bounds, unpacked; and its JSON."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from noria.errors import RequestError, SlowRequestError, TooLargeError
from noria.serving.guards.budget import Budget
from noria.serving.settings import Limits

_TOKENS = (b"NaN", b"Infinity")  # which TensorFlow Serving takes as numbers, and JSON does not know


async def read_body(request: Request, limits: Limits, budget: Budget) -> bytes:
    """Return the body, unpacked; what it took of the budget is given back by the door, at the end of the request.

    Raises:
        TooLargeError, SlowRequestError, BusyError, RequestError: in the wrong encoding.
        ClientDisconnect: the client has gone.
    """
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limits.body_bytes:
        raise _too_large(limits)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                _reserve(request, budget, len(chunk))
                body += chunk
                if len(body) > limits.body_bytes:
                    raise _too_large(limits)
    except TimeoutError:
        raise SlowRequestError(f"The request did not arrive within {limits.body_seconds:g} s.") from None
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        return bytes(body)
    if encoding not in ("gzip", "x-gzip"):
        raise RequestError(f"The content encoding {encoding!r} is not read; gzip is.")
    unpacked = _unpacked(bytes(body), limits)
    _reserve(request, budget, len(unpacked))
    return unpacked


def parse_json(body: bytes, limits: Limits) -> Any:
    """Return the value of a JSON body; NaN, Infinity and -Infinity are numbers.

    Raises:
        RequestError: it is not JSON, or nested too deeply.
    """
    if not body:
        raise RequestError("The request has no body; JSON is expected.")
    try:
        value = _loaded(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise RequestError(f"JSON Parse Error: {str(error)[:200]}") from None
    if body.count(b"[") + body.count(b"{") > limits.json_depth:
        _require_shallow(value, limits.json_depth)
    return value


def _loaded(body: bytes) -> Any:
    if not any(token in body for token in _TOKENS):
        return orjson.loads(body)
    value = json.loads(body)
    orjson.dumps(value)  # refuses what it would not have read: lone surrogates, whole numbers of more than 64 bits
    return value


def _require_shallow(value: Any, depth: int) -> None:
    level = [value]
    for _ in range(depth + 1):
        level = [child for one in level for child in _children(one)]
        if not level:
            return
    raise RequestError(f"JSON Parse Error: brackets are nested more than {depth} deep.")


def _children(value: Any) -> list[Any]:
    inside = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return [one for one in inside if isinstance(one, (list, dict))]


def _reserve(request: Request, budget: Budget, count: int) -> None:
    budget.take(count)
    request.scope["reserved"] = request.scope.get("reserved", 0) + count


def _unpacked(body: bytes, limits: Limits) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        data = unpacker.decompress(body, limits.body_bytes + 1)
    except zlib.error as error:
        raise RequestError(f"The body is not gzip: {error}.") from None
    if len(data) > limits.body_bytes:
        raise _too_large(limits)
    if not unpacker.eof:
        raise RequestError("The body is cut off: its gzip stream does not end.")
    return data


def _too_large(limits: Limits) -> TooLargeError:
    return TooLargeError(f"The request is larger than {limits.body_bytes:,} bytes.")


__all__ = ["ClientDisconnect", "parse_json", "read_body"]
