"""uvicorn's protocol with two guards: a limit on time and size of a request's head, and a refusal right after it.

Refused so early, a request costs a tenth of what it costs in the application. Past its capacity a server has no more
than that to spare: each refusal takes time from an answer.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536  # of a request line and its headers
Headers = Sequence[tuple[bytes, bytes]]  # names in lower case
# Method, path, headers, address -> the head and the body of an answer without its end, or None: let it in.
Refuse = Callable[[str, str, Headers, str], tuple[bytes, bytes] | None]
REFUSALS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class GuardedProtocol(HttpToolsProtocol):
    """One HTTP/1.1 connection that is closed when the head of a request does not come."""

    header_seconds: ClassVar[float] = 10.0
    body_seconds: ClassVar[float] = 30.0
    refuse: ClassVar[Refuse | None] = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._refusal: tuple[bytes, bytes] | None = None  # the answer to the request that is being read and not kept
        self._head_bytes = 0
        self._in_head = True
        self._timer: TimerHandle | None = self.loop.call_later(self.header_seconds, self._refuse, 408)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse(431)

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._stop_timer()
        self._timer = self.loop.call_later(self.header_seconds, self._refuse, 408)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        refuse = type(self).refuse
        if refuse and (self.cycle is None or self.cycle.response_complete):  # else an earlier one is being answered
            path = self.url.partition(b"?")[0].decode("ascii", "replace")
            address = self.client[0] if self.client else ""
            self._refusal = refuse(self.parser.get_method().decode("ascii"), path, self.headers, address)
        if self._refusal is None:
            super().on_headers_complete()
        else:
            self._timer = self.loop.call_later(self.body_seconds, self._refuse, 408)

    def on_body(self, body: bytes) -> None:
        if self._refusal is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refusal is None:
            super().on_message_complete()
            return
        (head, body), self._refusal = self._refusal, None
        self._stop_timer()
        keep = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        ends = [b"%s: %s\r\n" % pair for pair in self.server_state.default_headers]
        ends += [b"content-length: %d\r\n\r\n" % len(body) if keep else
                 b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)]  # fmt: skip
        self.transport.write(head + b"".join(ends) + body)
        if keep:
            self.on_response_complete()
        else:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        if self.transport.is_closing():
            return
        reason = REFUSALS[status]
        body = b'{"error": "' + reason + b'"}'
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (status, reason, len(body), body)
        )
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


def protocol_with(header_seconds: float, body_seconds: float, refuse: Refuse) -> type[Any]:
    """Return the protocol with these limits, for uvicorn's `http` option."""
    limits = {"header_seconds": header_seconds, "body_seconds": body_seconds, "refuse": staticmethod(refuse)}
    return type("LimitedProtocol", (GuardedProtocol,), limits)
