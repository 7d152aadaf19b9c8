"""Stage "read": the body of a request, in time and within bounds, unpacked; and its JSON."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any

import numpy as np
import orjson
from starlette.requests import ClientDisconnect, Request

from noria.errors import RequestError, SlowRequestError, TooLargeError
from noria.serving.aside import Aside
from noria.serving.guards.budget import Budget
from noria.serving.settings import Limits

PIECE = 2**20  # bytes of JSON that are looked at at once
MOST_STREAMS = 1024  # of gzip in a body
PACKED_PIECE = 16_384  # bytes that are unpacked at once
_TOKENS = (b"NaN", b"Infinity")  # which TensorFlow Serving takes as numbers, and JSON does not know


async def read_body(request: Request, limits: Limits, budget: Budget, aside: Aside) -> bytes:
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
    unpacked = await aside(len(body), lambda: _unpacked(bytes(body), limits))
    _reserve(request, budget, len(unpacked))
    return unpacked


def parse_json(body: bytes, limits: Limits) -> Any:
    """Return the value of a JSON body; NaN, Infinity and -Infinity are numbers.

    Raises:
        RequestError: it is not JSON, or nested too deeply.
        TooLargeError: it has too many values.
    """
    if not body:
        raise RequestError("The request has no body; JSON is expected.")
    _require_modest(body, limits)
    try:
        return _loaded(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise RequestError(f"JSON Parse Error: {str(error)[:200]}") from None


def _loaded(body: bytes) -> Any:
    if not any(token in body for token in _TOKENS):
        return orjson.loads(body)
    value = json.loads(body)
    orjson.dumps(value)  # refuses what it would not have read: lone surrogates, whole numbers of more than 64 bits
    return value


def _require_modest(body: bytes, limits: Limits) -> None:
    """Refuse what would make too much of few bytes, before it is made: 32 MiB of `[],` are 11 million lists."""
    brackets = body.count(b"[") + body.count(b"{")
    if brackets <= limits.json_depth and brackets + body.count(b",") <= limits.json_values:
        return
    depth, values = _measured(body)
    if depth > limits.json_depth:
        raise RequestError(f"JSON Parse Error: brackets are nested more than {limits.json_depth} deep.")
    if values > limits.json_values:
        raise TooLargeError(
            f"The request has {values:,} numbers, texts, lists and objects, at most {limits.json_values:,} are taken."
        )


def _measured(body: bytes) -> tuple[int, int]:
    """Return how deep brackets are nested, and how many values there are; what stands in texts does not count."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # now every quote begins or ends a text
    depth = deepest = values = 0
    within = False  # a text
    for start in range(0, len(body), PIECE):
        piece = np.frombuffer(body[start : start + PIECE], np.uint8)
        folded = piece | 0x20  # [ and { differ in this bit, as ] and } do
        opens, closes, commas = folded == ord("{"), folded == ord("}"), piece == ord(",")
        quotes = piece == ord('"')
        if within or quotes.any():
            outside = (np.cumsum(quotes, dtype=np.int32) + within) % 2 == 0
            opens, closes, commas = opens & outside, closes & outside, commas & outside
            within = not outside[-1]
        depths = np.cumsum(opens.astype(np.int8) - closes.astype(np.int8), dtype=np.int32)
        deepest = max(deepest, depth + int(depths.max()))
        depth += int(depths[-1])
        values += int(np.count_nonzero(opens)) + int(np.count_nonzero(commas))
    return deepest, values


def _reserve(request: Request, budget: Budget, count: int) -> None:
    budget.take(count)
    request.scope["reserved"] = request.scope.get("reserved", 0) + count


def _unpacked(body: bytes, limits: Limits) -> bytes:
    """Unpack gzip, which may be several streams one after the other, as parallel packers write them."""
    data, start, streams = bytearray(), 0, 0
    unpacker = None
    while start < len(body):
        if unpacker is None or unpacker.eof:
            unpacker, streams = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), streams + 1
            if streams > MOST_STREAMS:
                raise RequestError(f"The body is more than {MOST_STREAMS:,} gzip streams; pack it as one.")
        piece = body[start : start + PACKED_PIECE]  # what is left of it after a stream's end is copied
        try:
            data += unpacker.decompress(piece, limits.body_bytes + 1 - len(data))
        except zlib.error as error:
            raise RequestError(f"The body is not gzip: {error}.") from None
        if len(data) > limits.body_bytes:
            raise _too_large(limits)
        start += len(piece) - len(unpacker.unused_data)
    if unpacker is None or not unpacker.eof:
        raise RequestError("The body is cut off: its gzip stream does not end.")
    return bytes(data)


def _too_large(limits: Limits) -> TooLargeError:
    return TooLargeError(f"The request is larger than {limits.body_bytes:,} bytes.")


__all__ = ["ClientDisconnect", "parse_json", "read_body"]
