"""A load generator in a process of its own: requests over kept connections, from a file; latencies as JSON.

`python _serve_load.py PLAN.json`: host, port, path, content_type, bodies (files), seconds, and either clients (closed
loop) or rate (open loop, Poisson arrivals).
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

import uvloop


class Client:
    """One kept connection."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body; a connection that was closed is opened again for the next request."""
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._plan["host"], self._plan["port"])
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if b"connection: close" in lower:
            self._writer.close()
            self._reader = self._writer = None
        return int(head[9:12]), body


def requests_of(plan: dict[str, Any]) -> list[bytes]:
    """Return whole HTTP requests, one for each file."""
    found = []
    for name in plan["bodies"]:
        body = Path(name).read_bytes()
        head = f"POST {plan['path']} HTTP/1.1\r\nhost: bench\r\ncontent-type: {plan['content_type']}\r\n"
        found.append(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return found


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Send the load; return status codes, latencies in ms, and the first answer to each request."""
    requests = requests_of(plan)
    rows: list[tuple[int, float]] = []
    first: dict[int, str] = {}
    end = time.perf_counter() + plan["seconds"]

    async def one(client: Client, number: int, due: float) -> None:
        place = number % len(requests)
        try:
            status, body = await client.ask(requests[place])
        except (OSError, asyncio.IncompleteReadError):
            client.__init__(plan)  # type: ignore[misc]
            status, body = 0, b""
        rows.append((status, (time.perf_counter() - due) * 1e3))
        if status == 200 and place not in first:
            first[place] = body.decode()

    async def closed(start: int) -> None:
        client, number = Client(plan), start
        while time.perf_counter() < end:
            await one(client, number, time.perf_counter())
            number += plan["clients"]

    async def open_loop() -> None:
        idle: list[Client] = []
        tasks: set[asyncio.Task[None]] = set()
        due, number = time.perf_counter(), 0
        chance = random.Random(0)

        async def arrival(number: int, due: float) -> None:
            client = idle.pop() if idle else Client(plan)
            await one(client, number, due)
            idle.append(client)

        while due < end:
            due += chance.expovariate(plan["rate"])
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.add(asyncio.ensure_future(arrival(number, due)))
            tasks = {task for task in tasks if not task.done()}
            number += 1
        if tasks:
            await asyncio.wait(tasks, timeout=30)

    begun = time.perf_counter()
    if "rate" in plan:
        await open_loop()
    else:
        await asyncio.gather(*(closed(start) for start in range(plan["clients"])))
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = time.perf_counter() - begun
    return {"rows": rows, "first": first, "seconds": seconds, "cpu": (used.ru_utime + used.ru_stime) / seconds}


if __name__ == "__main__":
    uvloop.install()
    print(json.dumps(asyncio.run(run(json.loads(Path(sys.argv[1]).read_text())))))
