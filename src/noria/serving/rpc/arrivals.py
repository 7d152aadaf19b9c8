"""From the head of a gRPC stream to its message: a place among the calls is had only by who has sent one.

A stream costs its client nothing but a head. Those whose message has not come are let wait for some seconds, so many
of them at once; one more ends the stream that has waited longest, so that who only sends heads keeps nobody out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from noria.errors import BusyError, NoriaError, RequestError, SlowRequestError
from noria.serving.settings import Limits

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class Arrivals:
    """The streams of one server: those whose message is awaited, and the calls under way."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.connections
        self._seconds = limits.body_seconds
        self._awaited: dict[asyncio.Timeout, None] = {}  # the one that has waited longest first
        self._running = 0

    async def message(self, context: Any) -> Any:
        """Return the next message of a stream; grpc.aio.EOF at its end.

        Raises:
            SlowRequestError: it did not come in time, or too many others came meanwhile.
        """
        try:
            async with asyncio.timeout(self._seconds) as waiting:
                self._awaited[waiting] = None
                if len(self._awaited) > self._most:
                    self._end_the_oldest()
                try:
                    return await context.read()
                finally:
                    self._awaited.pop(waiting, None)
        except TimeoutError:
            raise SlowRequestError("The request did not arrive in time.") from None

    async def only_message(self, context: Any) -> Any:
        """Return the message of a stream that has one.

        Raises:
            RequestError: it has none.
            SlowRequestError: as `message`.
        """
        told = await self.message(context)
        if told is grpc.aio.EOF:
            raise RequestError("The call has no message.")
        return told

    def end(self) -> None:
        """Await no message any more: the server is about to stop."""
        self._seconds = 0.0
        while self._awaited:
            self._end_the_oldest()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a call whose message is there.

        Raises:
            BusyError: as many are under way as the server takes.
        """
        if self._running >= self._most:
            raise BusyError("The server has as many calls under way as it takes; try again.", retry_after=1.0)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    def _end_the_oldest(self) -> None:
        oldest = next(iter(self._awaited))
        del self._awaited[oldest]
        if not oldest.expired():
            oldest.reschedule(asyncio.get_running_loop().time())


class GuardedStreams(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """The same for services that are not ours: health and reflection. Who watches is under way all the time."""

    def __init__(self, arrivals: Arrivals, watching: Arrivals) -> None:
        """Guard streams.

        Args:
            arrivals: of the server.
            watching: where streams count that last, so that they take no place of a call.
        """
        self._arrivals = arrivals
        self._watching = watching

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return what answers a stream, from its first message on."""
        found = await continuation(details)
        if found is None or not details.method.startswith("/grpc."):
            return found
        if found.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._answers(found), found.request_deserializer, found.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(
            self._answer(found), found.request_deserializer, found.response_serializer
        )

    def _answer(self, found: Any) -> Any:
        async def answer(_: Any, context: Any) -> Any:
            try:
                request = await self._arrivals.only_message(context)
                with self._arrivals.under_way():
                    return await found.unary_unary(request, context)
            except NoriaError as error:
                await context.abort(status_of(error), str(error))

        return answer

    def _answers(self, found: Any) -> Any:
        async def answers(_: Any, context: Any) -> AsyncIterator[Any]:
            try:
                first = await self._arrivals.only_message(context)
                with self._watching.under_way():
                    asked = self._messages(first, context) if found.request_streaming else first
                    answered = (found.stream_stream if found.request_streaming else found.unary_stream)(asked, context)
                    async for one in answered:
                        yield one
            except NoriaError as error:
                await context.abort(status_of(error), str(error))

        return answers

    async def _messages(self, first: Any, context: Any) -> AsyncIterator[Any]:
        told = first
        while told is not grpc.aio.EOF:
            yield told
            told = await self._arrivals.message(context)


def status_of(error: NoriaError) -> grpc.StatusCode:
    """Return the status that an error is over gRPC."""
    return CODES.get(error.http_status, grpc.StatusCode.INTERNAL)
