"""What a server tells about itself: Prometheus metrics and one JSON line a request, nothing of a request's content."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import Counter as Counted
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from noria.errors import BusyError, DeadlineError, NoriaError

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
TENTHS = tuple(step / 10 for step in range(1, 11))
MOST_LABELS = 200  # of a model that are counted by name; the others are counted together
OTHERS = "(others)"
AVAILABLE = "noria_model_version_available"
ENDED_KEPT = 16  # versions whose answers are still told after they have ended
REASONS: Mapping[type[NoriaError], str] = {BusyError: "capacity", DeadlineError: "deadline"}
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # set before the first import, where several processes count together


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        if SHARED_FOLDER not in os.environ:
            ProcessCollector(registry=self.registry)
        kept: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("noria_requests", "Requests.", ["protocol", "method", "model", "code"], **kept)
        self.rejections = Counter("noria_rejections", "Requests refused, by reason.", ["reason"], **kept)
        self.stages = Histogram(
            "noria_stage_seconds",
            "Seconds of a request in each stage: read, queue, decode, run, write.",
            ["model", "stage"],
            buckets=SECONDS,
            **kept,
        )
        self.batches = Histogram("noria_batch_rows", "Rows that were run together.", ["model"], buckets=ROWS, **kept)
        self.answers = Counter("noria_answers", "Answers, by label.", ["model", "version", "label"], **kept)
        self.confidence = Histogram(
            "noria_confidence", "Confidence of answers.", ["model", "version"], buckets=TENTHS, **kept
        )
        self.unreadable = Counter("noria_unreadable", "Inputs that could not be read.", ["model"], **kept)
        self.shadow = Counter(
            "noria_shadow", "Answers of a shadow version beside the real one.", ["model", "result"], **kept
        )
        together: dict[str, Any] = {**kept, "multiprocess_mode": "livesum"}
        self.queue_rows = Gauge("noria_queue_rows", "Rows that wait for the engine.", ["model"], **together)
        self.capacity = Gauge("noria_capacity_rows_per_second", "Rows the engine answers.", ["model"], **together)
        self.in_flight = Gauge("noria_requests_in_flight", "Requests under way.", **together)
        self.versions = Gauge(
            AVAILABLE,
            "1 for each version that answers.",
            ["model", "version"],
            multiprocess_mode="livemax",
            **kept,
        )
        self._available: set[tuple[str, str]] = set()
        self._counted: dict[tuple[str, str], set[str]] = {}  # model and version -> labels that were answered

    def tell_versions(self, available: Collection[tuple[str, str]]) -> None:
        """Say which versions, each with its model, answer from now on."""
        for model, number in self._available - set(available):
            if SHARED_FOLDER in os.environ:
                self.versions.labels(model, number).set(0)  # the others still count it; see _Together
            else:
                self.versions.remove(model, number)
        for model, number in available:
            self.versions.labels(model, number).set(1)
        self._available = set(available)
        self._forget_old(available)

    def count_rejection(self, error: NoriaError) -> None:
        """Count a refusal; the doors call it, each once, so that a reason has one name whatever the protocol."""
        self.rejections.labels(REASONS.get(type(error)) or type(error).__name__.removesuffix("Error")).inc()

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format; of all processes where several serve together."""
        if SHARED_FOLDER in os.environ:
            together = CollectorRegistry()
            together.register(_Together())
            return generate_latest(together)
        return generate_latest(self.registry)

    def count_answers(self, model: str, version: int, scores: NDArray[np.float32], labels: Sequence[str]) -> None:
        """Count labels and confidences of scores (n, C), so that drift shows."""
        number = str(version)
        for place, count in Counted(np.minimum(scores.argmax(axis=1), MOST_LABELS).tolist()).items():
            name = labels[place] if place < MOST_LABELS else OTHERS
            self.answers.labels(model, number, name).inc(count)
            self._counted.setdefault((model, number), set()).add(name)
        observe = self.confidence.labels(model, number).observe
        for confidence in scores.max(axis=1).tolist():
            observe(confidence)

    def _forget_old(self, available: Collection[tuple[str, str]]) -> None:
        """Keep what the last versions that have ended answered; a server that learns every day has thousands."""
        if SHARED_FOLDER in os.environ:
            return  # what several processes count together is forgotten when it is told
        ended = [one for one in self._counted if one not in available]
        for one in ended[:-ENDED_KEPT]:
            for name in self._counted.pop(one):
                self.answers.remove(*one, name)
            self.confidence.remove(*one)


class _Together(Collector):
    """What all processes have counted, without the versions that ended long ago: in their files those stay."""

    def collect(self) -> Iterator[Metric]:
        """Yield each metric."""
        counted = multiprocess.MultiProcessCollector(None)  # type: ignore[no-untyped-call]
        metrics: list[Metric] = list(counted.collect())  # type: ignore[no-untyped-call]
        ended: defaultdict[str, list[int]] = defaultdict(list)
        for metric in metrics:
            for sample in metric.samples if metric.name == AVAILABLE else ():
                if not sample.value:
                    ended[sample.labels["model"]].append(int(sample.labels["version"]))
        old = {(model, str(one)) for model, numbers in ended.items() for one in sorted(numbers)[:-ENDED_KEPT]}
        for metric in metrics:
            metric.samples = [
                sample
                for sample in metric.samples
                if (sample.labels.get("model"), sample.labels.get("version")) not in old
            ]
            yield metric


class LinesLog:
    """JSON lines, each with its time, to a file or to standard error as it was when the log was opened.

    Engines write to standard error by themselves, which is hidden while they load; this log is not.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._file: IO[bytes] = (
            os.fdopen(os.dup(2), "wb", buffering=0) if path is None else path.open("ab", buffering=0)
        )

    def write(self, event: str, **facts: Any) -> None:
        """Append one line; a full disk or a closed pipe loses the line, not the request."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        told = {"time": now, "event": event, **facts}
        try:
            line = orjson.dumps(told, default=str, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # numbers of more than 64 bits, halves of a character
            line = json.dumps(told, default=str, skipkeys=True).encode() + b"\n"
        with self._lock:
            try:
                self._file.write(line)
            except OSError:
                return

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Rerouted(logging.Handler):
    """What libraries have to say, as lines of the log: where they say it, for their words may be a request's."""

    def __init__(self, log: LinesLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        kind = getattr(record.exc_info[0], "__name__", None) if record.exc_info else None
        place = f"{record.filename}:{record.lineno}"
        self._log.write("library", source=record.name, level=record.levelname, at=place, kind=kind)
