"""uvicorn's protocol with guards: limits on what a connection may send and how long it may keep one waiting, and a
refusal right after the head of a request.

Refused so early, a request costs a tenth of what it costs in the application. Past its capacity a server has no more
than that to spare: each refusal takes time from an answer.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536  # of a request line and its headers, or of what stands around the pieces of a body
WRITE_BYTES = 65_536  # that wait for a client before it is not written to any more
Headers = Sequence[tuple[bytes, bytes]]  # names in lower case
# Method, path, headers, address -> the head and the body of an answer without its end, or None: let it in.
Refuse = Callable[[str, str, Headers, str], tuple[bytes, bytes] | None]
Crowded = Callable[[Headers], tuple[bytes, bytes]]  # headers -> the same, for one connection too many
REFUSALS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class GuardedProtocol(HttpToolsProtocol):
    """One HTTP/1.1 connection; closed when its client does not send what it began, or take what it asked for."""

    header_seconds: ClassVar[float] = 10.0
    body_seconds: ClassVar[float] = 30.0
    refuse: ClassVar[Refuse | None] = None
    crowded: ClassVar[Crowded | None] = None
    most: ClassVar[int] = 1024  # connections; as many more are told so, and further ones cut off

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Not uvicorn's own limit, which past it refuses everyone, also those who have been there before.
        self._surplus = len(self.connections) > self.most
        if len(self.connections) > 2 * self.most:
            transport.abort()
        transport.set_write_buffer_limits(high=WRITE_BYTES)  # TLS would wait for eight times as much
        self._refusal: tuple[bytes, bytes] | None = None  # the answer to the request that is being read and not kept
        self._part: Literal["head", "body", "between"] = "head"  # of a request, that is being read
        self._loose_bytes = 0  # since that part, or a piece of the body, began
        self._stalled: TimerHandle | None = None
        self._ending: TimerHandle | None = None
        self._timer: TimerHandle | None = self.loop.call_later(self.header_seconds, self._refuse, 408)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        for timer in (self._stalled, self._ending):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        self._limit_end()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled:
            self._stalled.cancel()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._limit_end()

    def data_received(self, data: bytes) -> None:
        self._loose_bytes += len(data)
        self._feed(data)
        if self.transport.is_closing():
            self._limit_end()
        elif self._loose_bytes > HEAD_BYTES:
            self._refuse(431)
        elif self._timer is None and self.timeout_keep_alive_task is None and not self._answering:
            # uvicorn waits without end for what is left of a request that has been answered, or after an empty line.
            seconds = self.body_seconds if self._part == "body" else self.timeout_keep_alive
            self._timer = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return
            except httptools.HttpParserUpgrade as told:
                if self.parser.get_method() == b"CONNECT":
                    self.send_400_response("This is no proxy.")
                    return
                data = self._without_upgrade(data[told.args[0] :])

    def _without_upgrade(self, rest: bytes) -> bytes:
        """Return a request to be read once more, as one that asks for no other protocol; a server may ignore that.

        The parser takes what follows such a head for the other protocol, so the body was lost of who offers HTTP/2
        beside it: `curl --http2`, Java's HttpClient.
        """
        wanted = self.parser.get_method(), self.url, self.parser.get_http_version().encode()
        lines = [b"%s: %s\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
        self._loose_bytes = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return b"".join([b"%s %s HTTP/%s\r\n" % wanted, *lines, b"\r\n", rest])

    def on_message_begin(self) -> None:
        self._part, self._loose_bytes = "head", 0
        self._stop_timer()
        self._timer = self.loop.call_later(self.header_seconds, self._refuse, 408)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._offers_upgrade():
            return
        self._part, self._loose_bytes = "body", 0
        self._stop_timer()
        refuse, crowded = type(self).refuse, type(self).crowded
        if self._surplus and crowded and not self._answering:
            self._refusal = crowded(self.headers)
        elif refuse and not self._answering:
            path = self.url.partition(b"?")[0].decode("ascii", "replace")
            address = self.client[0] if self.client else ""
            self._refusal = refuse(self.parser.get_method().decode("ascii"), path, self.headers, address)
        if self._refusal is None:
            super().on_headers_complete()
        elif self.expect_100_continue:  # its client sends the body only after a word of ours, which this is
            self._tell_refusal(self._refusal, keep=False)
        else:
            self._timer = self.loop.call_later(self.body_seconds, self._refuse, 408)

    def on_body(self, body: bytes) -> None:
        self._loose_bytes = 0
        if self._refusal is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._offers_upgrade():
            return
        self._part, self._loose_bytes = "between", 0
        self._stop_timer()
        if self._refusal is None:
            super().on_message_complete()
            return
        refusal, self._refusal = self._refusal, None
        if not self.transport.is_closing():
            keep = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive() and not self._surplus
            self._tell_refusal(refusal, keep=keep)

    def _tell_refusal(self, refusal: tuple[bytes, bytes], *, keep: bool) -> None:
        head, body = refusal
        ends = [b"%s: %s\r\n" % pair for pair in self.server_state.default_headers]
        ends += [b"content-length: %d\r\n\r\n" % len(body) if keep else
                 b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)]  # fmt: skip
        self.transport.write(head + b"".join(ends) + body)
        if keep:
            self.on_response_complete()
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._limit_end()

    def _offers_upgrade(self) -> bool:
        return bool(self.parser.should_upgrade())

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int) -> None:
        if self.transport.is_closing():
            return
        if status == 431 and (self._answering or self._part != "head"):
            self.transport.abort()  # an answer would stand in the midst of another, or after it
            return
        if self._answering:
            self.cycle.keep_alive = False  # closed after the answer that is under way
            return
        reason = REFUSALS[status]
        body = b'{"error": "' + reason + b'"}'
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (status, reason, len(body), body)
        )
        self.transport.close()
        self._limit_end()

    def _limit_end(self) -> None:
        """Cut off a connection that is to be closed and whose client does not take the rest; it would wait for ever."""
        if self._ending is None:
            self._ending = self.loop.call_later(self.body_seconds, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


def protocol_with(
    header_seconds: float, body_seconds: float, connections: int, refuse: Refuse, crowded: Crowded
) -> type[Any]:
    """Return the protocol with these limits, for uvicorn's `http` option."""
    times = {"header_seconds": header_seconds, "body_seconds": body_seconds, "most": connections}
    answers = {"refuse": staticmethod(refuse), "crowded": staticmethod(crowded)}
    return type("LimitedProtocol", (GuardedProtocol,), {**times, **answers})
