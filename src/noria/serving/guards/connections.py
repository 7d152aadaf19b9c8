"""Slow senders: uvicorn's protocol with a limit on the time and the size of a request's head."""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536  # of a request line and its headers
REFUSALS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class GuardedProtocol(HttpToolsProtocol):
    """One HTTP/1.1 connection that is closed when the head of a request does not come."""

    header_seconds: ClassVar[float] = 10.0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
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
        super().on_headers_complete()

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


def protocol_with(header_seconds: float) -> type[Any]:
    """Return the protocol with this limit, for uvicorn's `http` option."""
    return type("LimitedProtocol", (GuardedProtocol,), {"header_seconds": header_seconds})
