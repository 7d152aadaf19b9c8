"""A load generator in a process of its own: requests over kept connections, what came back as JSON.

`python _serve_load.py PLAN.json OUT.json`: host, port, path, content_type, bodies (files), and either clients and
seconds (closed loop) or rates, pairs of seconds and requests a second (open loop, Poisson arrivals). Latencies count
from when a request was due, whenever it could be sent. SIGTERM ends the load early, and what came back is written.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

import httptools
import uvloop

GRACE = 35.0  # seconds for what is still under way at the end: longer than any server's own limit
MOST_CONNECTIONS = 4000


class Connection(asyncio.Protocol):
    """One kept connection, with at most one request on it."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._ready = asyncio.get_running_loop().create_future()
        self.place = -1  # of the request under way
        self.due = 0.0
        self.fresh = True  # nothing was answered on it yet

    async def opened(self) -> None:
        """Wait for the connection."""
        await self._ready

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class, but is one by its methods
        self._ready.set_result(None)

    def send(self, place: int, due: float) -> None:
        """Send a request."""
        assert self._transport is not None
        self.place, self.due = place, due
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._retry_after = False
        self._transport.write(self._load.requests[place])

    def close(self) -> None:
        """Close."""
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self.place >= 0:
            self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._retry_after = self._retry_after or name.lower() == b"retry-after"

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        place, self.place, self.fresh = self.place, -1, False
        keep = self._parser.should_keep_alive()
        if not keep:
            self.close()
        status = self._parser.get_status_code()
        self._load.done(self if keep else None, place, self.due, status, b"".join(self._body), self._retry_after)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.forget(self)
        if self.place >= 0:
            self._load.lost(self)


class Load:
    """The plan, and what has come of it."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self.requests = _requests(plan)
        self.rows: list[tuple[float, int, int, float, int]] = []  # at (s), place, status, milliseconds, answer
        self._answers: dict[tuple[int, bytes], int] = {}
        self._idle: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._open = 0
        self.resent = 0  # a kept connection had been closed by the server meanwhile, as HTTP allows
        self.late: list[float] = []  # milliseconds by which a request was sent after it was due
        self.without_retry_after = 0
        self.starved = 0  # requests that were not sent because too many were under way

    async def run(self) -> dict[str, Any]:
        """Send the load and return what came back."""
        self._loop = asyncio.get_running_loop()
        self._begun = time.perf_counter()
        self._end = self._begun + (self._plan.get("seconds") or sum(seconds for seconds, _ in self._plan["rates"]))
        self._loop.add_signal_handler(signal.SIGTERM, self._stop)
        cpu = _cpu()
        if "rates" in self._plan:
            await asyncio.to_thread(self._pace)
        else:
            for client in range(self._plan["clients"]):
                self._start(client % len(self.requests), time.perf_counter())
        while time.perf_counter() < self._end or (self._under_way and time.perf_counter() < self._end + GRACE):
            await asyncio.sleep(0.02)
        used, seconds = _cpu() - cpu, time.perf_counter() - self._begun
        return {
            "rows": self.rows,
            "answers": [body.decode(errors="replace") for _, body in self._answers],
            "unanswered": self._under_way,
            "seconds": self._end - self._begun,
            "cpu": used / seconds,
            "late": sorted(self.late)[int(0.99 * len(self.late))] if self.late else 0.0,
            "resent": self.resent,
            "starved": self.starved,
            "without_retry_after": self.without_retry_after,
        }

    def done(self, free: Connection | None, place: int, due: float, status: int, body: bytes, told: bool) -> None:
        """Keep what came back; in a closed loop the next request follows."""
        now = time.perf_counter()
        key = (status, body)
        answer = self._answers.setdefault(key, len(self._answers)) if status == 200 else -1
        self.rows.append((due - self._begun, place, status, (now - due) * 1e3, answer))
        self.without_retry_after += status == 503 and not told
        self._under_way -= 1
        if "rates" in self._plan:
            if free:
                self._idle.append(free)
        elif now < self._end:
            following = (place + self._plan["clients"]) % len(self.requests)
            if free:
                self._under_way += 1
                free.send(following, now)
            else:
                self._start(following, now)
        elif free:
            free.close()

    def lost(self, connection: Connection) -> None:
        """The server closed a connection: a kept one may have been closed before the request was seen."""
        if not connection.fresh:
            self.resent += 1
            self._under_way -= 1
            self._start(connection.place, connection.due)
        else:
            self.done(None, connection.place, connection.due, 0, b"", False)

    def forget(self, connection: Connection) -> None:
        """Do not use a closed connection again."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)

    def _pace(self) -> None:
        """Sleep from arrival to arrival, in a thread, for the timers of event loops are too coarse."""
        chance, number, phase_end = random.Random(0), 0, self._begun
        for seconds, rate in self._plan["rates"]:
            due, phase_end = phase_end, phase_end + seconds
            while (due := due + chance.expovariate(rate)) < min(phase_end, self._end):
                if (pause := due - time.perf_counter()) > 0:
                    time.sleep(pause)
                self._loop.call_soon_threadsafe(self._arrive, number % len(self.requests), due)
                number += 1

    def _stop(self) -> None:
        self._end = min(self._end, time.perf_counter())

    def _arrive(self, place: int, due: float) -> None:
        self.late.append((time.perf_counter() - due) * 1e3)
        if self._idle:
            self._under_way += 1
            self._idle.pop().send(place, due)
        elif self._open < MOST_CONNECTIONS:
            self._start(place, due)
        else:
            self.starved += 1

    def _start(self, place: int, due: float) -> None:
        self._under_way += 1
        self._open += 1
        task = asyncio.ensure_future(self._connect(place, due))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, place: int, due: float) -> None:
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self), self._plan["host"], self._plan["port"]
            )
            await connection.opened()
        except OSError:
            self._open -= 1
            await asyncio.sleep(0.01)
            self.done(None, place, due, 0, b"", False)
            return
        connection.send(place, due)


def _requests(plan: dict[str, Any]) -> list[bytes]:
    """Return whole HTTP requests, one for each file."""
    found = []
    for name in plan["bodies"]:
        body = Path(name).read_bytes()
        head = f"POST {plan['path']} HTTP/1.1\r\nhost: bench\r\ncontent-type: {plan['content_type']}\r\n"
        found.append(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return found


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Read the plan, send the load, write what came back."""
    threading.stack_size(256 * 1024)
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))

    async def whole() -> dict[str, Any]:
        return await Load(plan).run()

    uvloop.install()
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(whole())), encoding="utf-8")


if __name__ == "__main__":
    main()
