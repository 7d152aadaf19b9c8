"""OpenTelemetry (extra `traces`): a span for each request, its stages inside, sent to the collector in the config.

Conventions: OpenTelemetry's for HTTP and RPC servers; what is Noria's own begins with `noria.`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

from noria.errors import MissingExtraError
from noria.serving.settings import Traces
from noria.serving.telemetry import LinesLog

FLUSH_MILLISECONDS = 2000  # that the last spans have when the server stops
Stage = tuple[str, float, float]  # name, beginning and end on the clock of time.monotonic
_stages: ContextVar[list[Stage] | None] = ContextVar("stages", default=None)


def keep_stages() -> list[Stage]:
    """Return a list to which the stages of the request that is handled here, and in tasks of it, will be added."""
    kept: list[Stage] = []
    _stages.set(kept)
    return kept


def add_stages(start: float, *stages: tuple[str, float]) -> None:
    """Add stages of these seconds, one after the other; without anybody who keeps them nothing happens."""
    kept = _stages.get()
    if kept is None:
        return
    for name, seconds in stages:
        kept.append((name, start, start + seconds))
        start += seconds


class Tracing:
    """Sends spans in the background; a collector that does not answer costs spans, never requests."""

    def __init__(self, settings: Traces, log: LinesLog) -> None:
        """Start the sender.

        Raises:
            MissingExtraError: OpenTelemetry is not installed.
        """
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ModuleNotFoundError:
            raise MissingExtraError("OpenTelemetry", "traces") from None
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(_IntoLog(log))
        logger.propagate = False
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": settings.service, "service.version": version("noria")}),
            sampler=ParentBased(TraceIdRatioBased(settings.share)),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
        self._tracer = self._provider.get_tracer("noria")
        self._context = TraceContextTextMapPropagator().extract
        self._trace = trace
        self._clock = time.time_ns() - int(time.monotonic() * 1e9)

    def record(
        self,
        name: str,
        started: float,
        stages: list[Stage],
        attributes: Mapping[str, Any],
        *,
        carrier: Mapping[str, str],
        failed: bool,
    ) -> None:
        """Send a span that ends now.

        Args:
            started: on the clock of time.monotonic, as are the stages.
            carrier: the request's headers; with `traceparent` the span belongs to the caller's trace.
            failed: the server, not the caller, is to blame.
        """
        context = self._context(carrier={"traceparent": carrier.get("traceparent", "")})
        span = self._tracer.start_span(
            name,
            context,
            kind=self._trace.SpanKind.SERVER,
            attributes={key: value for key, value in attributes.items() if value not in (None, "")},
            start_time=self._at(started),
        )
        if failed:
            span.set_status(self._trace.StatusCode.ERROR)
        inside = self._trace.set_span_in_context(span)
        for stage, start, end in stages:
            child = self._tracer.start_span(stage, inside, start_time=self._at(start))
            child.end(self._at(end))
        span.end(self._at(time.monotonic()))

    def close(self) -> None:
        """Send what waits, for at most two seconds."""
        self._provider.force_flush(FLUSH_MILLISECONDS)
        self._provider.shutdown()

    def _at(self, seconds: float) -> int:
        return self._clock + int(seconds * 1e9)


class _IntoLog(logging.Handler):
    """What OpenTelemetry complains of, as lines of the server's log."""

    def __init__(self, log: LinesLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write("traces", level=record.levelname.lower(), message=record.getMessage()[:300])
