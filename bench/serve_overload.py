"""Five times more requests than a server can answer, for a minute: what becomes of it?

`noria serve` against FastAPI with Keras' `predict`, each at five times its own capacity, measured before; JPEG
photos of flowers, EfficientNet-Lite0. Aims: answered at capacity or refused at once, memory flat, recovered within a
second. `python bench/serve_overload.py` takes about 5 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _harness import flowers, parser, publish, say, scratch_folder, table
from _serve_rivals import RIVALS, environment_of, environment_variables
from _serve_running import (
    Door,
    Server,
    figures,
    free_port,
    load,
    noria_server,
    percentile,
    running,
    trained_bundle,
    write_bodies,
)

TIMES, CALM = 5.0, 0.5  # of capacity
RECOVERED = 2.0  # times the median before
WINDOW = 0.25  # seconds


def main() -> None:
    """Measure both sides and publish."""
    options = parser(str(__doc__), seeds=None)
    options.add_argument("--bundle", type=Path, help="a bundle of pictures with model.keras; by default one is made")
    given = options.parse_args()
    every = [Path(row["path"]) for row in flowers()]
    pictures = [path.read_bytes() for path in every[:: max(1, len(every) // 50)]]
    told: dict[str, Any] = {}
    with scratch_folder() as scratch:
        bundle = given.bundle.resolve() if given.bundle else trained_bundle(scratch, limit=40 if given.quick else None)
        bodies = write_bodies(scratch / "bodies", pictures)
        for name, runtime in (("noria serve, float32", "litert"), ("noria serve, int8", "litert_int8")):
            port = free_port()
            door = Door("/v1/models/m:predict", "image/jpeg")
            with running(noria_server(f"m={bundle}", port=port, runtime=runtime), port, door, pictures[0]) as server:
                told[name] = _overloaded(name, server, bodies, given)
        rival = RIVALS[0]
        port, environment = free_port(), environment_of(rival)
        command = rival.command(environment, bundle, port, 1, scratch)
        variables = environment_variables(bundle, 1, environment)
        with running(command, port, rival.door, pictures[0], environment=variables, folder=scratch) as server:
            told[rival.name] = _overloaded(rival.name, server, bodies, given)
    header = ["", "capacity, /s", "answered, /s", "of capacity", "answered: p50, p99 ms", "refused: share, p99 ms",
              "no answer", "MiB before, most, after", "recovered after, s"]  # fmt: skip
    text = f"{table(header, [_line(name, one) for name, one in told.items()])}\n\n{_protocol(told)}"
    publish("serve_overload", "A server at five times its capacity", text, told, quick=given.quick)


def _overloaded(name: str, server: Server, bodies: list[Path], given: argparse.Namespace) -> dict[str, Any]:
    seconds = 5.0 if given.quick else 60.0
    say(f"{name}: capacity")
    load(server, bodies, clients=4, seconds=3)
    capacity = figures(load(server, bodies, clients=16, seconds=8 if not given.quick else 2))["rate"]
    calm = seconds / 6
    say(f"{name}: {TIMES:.0f} times {capacity:.0f} requests a second")
    with _weighed(server) as weights:
        rates = [[calm, CALM * capacity], [seconds, TIMES * capacity], [2 * calm, CALM * capacity]]
        told = load(server, bodies, rates=rates)
    begun, ended = calm, calm + seconds
    before = [row for row in told["rows"] if row[0] < begun]
    during = [row for row in told["rows"] if begun <= row[0] < ended]
    after = [row for row in told["rows"] if row[0] >= ended]
    good = [row for row in during if row[2] == 200]
    refused = [row[3] for row in during if row[2] == 503]
    normal = percentile([row[3] for row in before], 0.5)
    inside = [one for at, one in weights if at < begun] or [weights[0][1]]
    return {
        "capacity": capacity,
        "answered": sum(1 for row in good if row[0] + row[3] / 1e3 < ended) / seconds,
        "good": [percentile([row[3] for row in good], share) for share in (0.5, 0.99)],
        "refused": len(refused) / max(1, len(during)),
        "refused_p99": percentile(refused, 0.99),
        "others": len(during) - len(good) - len(refused) + told["unanswered"] + told["starved"],
        "without_retry_after": told["without_retry_after"],
        "mebibytes": [inside[-1], max(one for _, one in weights), weights[-1][1]],
        "recovered": _recovered(after, ended, normal),
        "asked": len(during) / seconds,
        "late": told["late"],
    }


def _recovered(after: Sequence[Sequence[float]], ended: float, normal: float) -> float | None:
    """Return seconds until all requests are answered, with a median as before; None: never."""
    place, found = 0, None
    last = max((row[0] for row in after), default=ended) - ended
    while (place + 1) * WINDOW <= last:
        rows = [row for row in after if place * WINDOW <= row[0] - ended < (place + 1) * WINDOW]
        fine = all(row[2] == 200 for row in rows) and percentile([row[3] for row in rows], 0.5) <= RECOVERED * normal
        if rows and not fine:
            found = None
        elif rows and found is None:
            found = place * WINDOW
        place += 1
    return found


@contextmanager
def _weighed(server: Server) -> Any:
    """Weigh the server each second meanwhile: (seconds, MiB)."""
    weights = [(0.0, server.mebibytes())]
    stopped = threading.Event()

    def weigh() -> None:
        while not stopped.wait(1.0):
            weights.append((len(weights), server.mebibytes()))

    thread = threading.Thread(target=weigh)
    thread.start()
    try:
        yield weights
    finally:
        stopped.set()
        thread.join()
        weights.append((len(weights), server.mebibytes()))


def _line(name: str, one: dict[str, Any]) -> list[str]:
    before, most, after = one["mebibytes"]
    recovered = one["recovered"]
    return [
        name,
        f"{one['capacity']:.0f}",
        f"{one['answered']:.0f}",
        f"{one['answered'] / one['capacity']:.0%}",
        f"{one['good'][0]:.0f}, {one['good'][1]:.0f}",
        f"{one['refused']:.0%}, {one['refused_p99']:.0f}" if one["refused"] else "none",
        f"{one['others']:,}",
        f"{before:.0f}, {most:.0f}, {after:.0f}",
        "not in the time" if recovered is None else f"{recovered:.2f}",
    ]


def _protocol(told: dict[str, Any]) -> str:
    asked = ", ".join(f"{one['asked']:.0f}" for one in told.values())
    missing = sum(one["without_retry_after"] for one in told.values())
    return f"""Open loop, Poisson arrivals: 10 s at half of the capacity (16 clients, closed loop), 60 s at {TIMES:.0f}
times, 20 s at half. Requests a second that were really sent in the minute: {asked}; the load generator
is on the same processors. No answer: the connection was closed or refused, nothing came within 35 s after the end, or
4,000 connections were open already. Recovered: seconds after the minute from which on, in windows of {WINDOW} s, all
were answered with a median of at most {RECOVERED:.0f} times that before. Refusals without Retry-After: {missing}."""


if __name__ == "__main__":
    main()
