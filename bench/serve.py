"""A server under load: `noria serve`, float32 and int8 on two engines, against FastAPI with Keras and three servers.

The three: LitServe, BentoML and MLServer. One EfficientNet-Lite0 trained on the flowers, JPEG bytes in, the five best
labels with their scores out, the load from another process. The aims: 2.5 times the best rival with float32 and 5 times
with int8; 85 % of the engine's own speed; at 70 % of capacity p99 no more than 4 times a single request. `python
bench/serve.py` takes about 30 minutes on 2 cores, and the first time 5 more to install the rivals, each in an
environment of its own in the user's cache.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _harness import (
    cores,
    flowers,
    parser,
    publish,
    run_child,
    say,
    scratch_folder,
    table,
)
from _serve_rivals import RIVALS, Rival, environment_of, environment_variables, version_in
from _serve_running import (
    DoesNotStartError,
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
from noria.inference import runtimes

ROUNDS = 3
CLIENTS = (1, 2, 4, 8, 16, 64)
SHARES = (0.5, 0.7, 0.9)  # of capacity, in the open loop
PICTURES = 200
TRIED_WITH = 16  # clients, to choose how many processes a rival gets
NORIA = {
    "noria serve, float32": "litert",
    "noria serve, int8": "litert_int8",
    "noria serve, float32, OpenVINO": "openvino",
    "noria serve, float32 in bfloat16, OpenVINO": "openvino_bfloat16",
    "noria serve, int8, OpenVINO": "openvino_int8",
}
AIMS = {name: 5.0 if name.endswith("int8") else 2.5 for name in NORIA.values()}  # times the best rival
ENGINE_AIM, TAIL_AIM = 0.85, 4.0
DOOR = Door("/v1/models/m:predict", "image/jpeg")
PROTOCOL = """
Requests a second of {pictures} photos of flowers, one a request, over kept connections; in brackets p50, p95 and p99
in ms; medians of {rounds} rounds of {seconds:g} s (open loops: twice that), in each of which every side has its turn.
Open loop: Poisson arrivals at shares of each side's own capacity, the best of its closed loops; latency counts from
when a request was due. To the first answer: seconds from the start of the process. MiB: all processes after the load,
shared pages counted once. Agrees: answers whose first label is that of the model run by itself in float32; in
brackets the largest difference of a first score. The rivals run the same float Keras model: FastAPI with `predict` is
what people write; all others call it under `tf.function` with libjpeg's scaled decoding, LitServe, BentoML and
MLServer with their batching (up to 16; 5 ms) and pictures as base64 in JSON; each in one process with all processors'
threads or in two with half of them, whichever answered more with {tried} clients. Noria's server runs as it comes,
one process. bfloat16: OpenVINO multiplies so in the float32 file, where the processor can, held to tolerances of its
own.
"""


def main() -> None:
    """Measure every side and publish."""
    given = _options()
    if given.engine:
        print(json.dumps(engine_rate(given.bundle, given.engine, given.seconds, _pictures(given))))
        return
    with scratch_folder() as scratch:
        bundle = given.bundle.resolve() if given.bundle else trained_bundle(scratch, limit=40 if given.quick else None)
        pictures = [path.read_bytes() for path in _pictures(given)]
        reference = _reference(bundle, pictures)
        sides, absent = _sides(bundle, pictures, given, scratch)
        rounds = 1 if given.quick else ROUNDS
        for side in _turns(sides, "closed loops", rounds):
            if side.runtime:
                side.engine.append(_engine(bundle, side.runtime, given))
            _closed(side, given.seconds)
        for side in _turns(sides, "open loops", rounds):
            _opened(side, given.seconds)
    told = {side.name: side.told(reference) for side in sides}
    publish("serve", "Serving pictures under load", _body(told, absent, given), {"sides": told, "absent": absent},
            quick=given.quick)  # fmt: skip


def engine_rate(bundle: Path, runtime: str, seconds: float, pictures: list[Path]) -> float:
    """Return pictures a second of decoding and running in a thread for each processor, without a server."""
    from noria.artifacts.bundle import open_bundle
    from noria.inference.predictor import Input, Predictor

    predictor = Predictor(open_bundle(bundle), runtime=runtime)
    inputs = [Input(path.name, path.read_bytes()) for path in pictures]
    local = threading.local()

    def answered_until(end: float) -> int:
        count = getattr(local, "count", 0)  # goes on where it was, so that no picture is favoured
        begun = count
        while time.perf_counter() < end:
            predictor.run([inputs[count % len(inputs)]])
            count += 1
        local.count = count
        return count - begun

    with ThreadPoolExecutor(cores()) as pool:
        for period in (min(1.0, seconds), seconds):  # the first opens the sessions and is not counted
            start = time.perf_counter()
            counts = list(pool.map(answered_until, [start + period] * cores()))
        return sum(counts) / (time.perf_counter() - start)


def _options() -> argparse.Namespace:
    options = parser(str(__doc__), seeds=None)
    options.add_argument("--bundle", type=Path, help="a bundle of pictures with model.keras; by default one is made")
    options.add_argument("--seconds", type=float, default=2.5, help="of each closed loop in a round; an open one has "
                         "twice as many (default %(default)s)")  # fmt: skip
    options.add_argument("--rivals", nargs="*", choices=sorted({one.short for one in RIVALS}),
                         help="only some of them")  # fmt: skip
    options.add_argument("--engine", help=argparse.SUPPRESS)  # this program again, for the engine without a server
    given = options.parse_args()
    if given.quick:
        given.seconds = min(given.seconds, 1.0)
    return given


def _pictures(given: argparse.Namespace) -> list[Path]:
    every = [Path(row["path"]) for row in flowers()]
    return every[:: max(1, len(every) // (20 if given.quick else PICTURES))]


def _engine(bundle: Path, runtime: str, given: argparse.Namespace) -> float:
    say(f"the engine alone, {runtime}")
    command = [sys.executable, __file__, "--engine", runtime, "--bundle", str(bundle), "--seconds", str(given.seconds)]
    rate: float = json.loads(run_child([*command, *(["--quick"] if given.quick else [])]).stdout.splitlines()[-1])
    return rate


def _reference(bundle: Path, pictures: list[bytes]) -> list[tuple[str, float]]:
    """Return what the model says of each picture by itself."""
    from noria.artifacts.bundle import open_bundle
    from noria.inference.predictor import Input, Predictor

    predictor = Predictor(open_bundle(bundle), runtime="litert")
    answers = predictor.answers(Input(str(place), data) for place, data in enumerate(pictures))
    return [(one["label"], one["confidence"]) for one in answers]


@dataclass
class Side:
    """One server under measurement, and what was seen of it in the rounds."""

    name: str
    start: Callable[[], AbstractContextManager[Server]]
    bodies: list[Path]
    best: Callable[[Any], list[tuple[str, float]]]  # the labels and scores of an answer, the best first
    runtime: str = ""  # of Noria's
    facts: dict[str, Any] = field(default_factory=dict)
    engine: list[float] = field(default_factory=list)  # pictures a second without a server
    closed: dict[int, list[dict[str, Any]]] = field(default_factory=lambda: {count: [] for count in CLIENTS})
    open: dict[float, list[dict[str, Any]]] = field(default_factory=lambda: {share: [] for share in SHARES})
    first_answer_seconds: list[float] = field(default_factory=list)
    mebibytes: list[float] = field(default_factory=list)
    seen: dict[tuple[int, str], list[Any]] = field(default_factory=dict)  # (picture, label): answers, first score

    @property
    def capacity(self) -> float:
        """Requests a second: the best of its closed loops, each the median of its rounds."""
        return max(_median(rounds)["rate"] for rounds in self.closed.values())

    def told(self, reference: list[tuple[str, float]]) -> dict[str, Any]:
        """Return the figures of all rounds together."""
        return {
            **self.facts,
            "runtime": self.runtime,
            "engine": self.engine,
            "closed": {count: _median(rounds) for count, rounds in self.closed.items()},
            "open": {share: _median(rounds) for share, rounds in self.open.items()},
            "rounds": {"closed": self.closed, "open": self.open},
            "capacity": self.capacity,
            "first_answer_seconds": statistics.median(self.first_answer_seconds),
            "mebibytes": max(self.mebibytes),
            "agreement": _agreement(self.seen, reference),
        }


def _sides(
    bundle: Path, pictures: list[bytes], given: argparse.Namespace, scratch: Path
) -> tuple[list[Side], dict[str, str]]:
    """Return who is measured, and why others are not."""
    sides, absent = [], {}
    for name, runtime in NORIA.items():
        if runtimes.runs_here(runtime):
            sides.append(_noria(name, bundle, runtime, pictures, scratch))
        else:
            absent[name] = f"it needs {runtimes.member(runtime).NEEDS}"
    for rival in RIVALS:
        if not given.rivals or rival.short in given.rivals:
            try:
                sides.append(_rival(rival, bundle, pictures, given, scratch))
            except DoesNotStartError as error:
                say(f"{rival.name}: {error}")
                absent[rival.name] = str(error)
    return sides, absent


def _turns(sides: list[Side], told: str, rounds: int) -> Iterator[Side]:
    """Yield every side once a round: what the machine does for a minute falls on nobody alone."""
    for number in range(rounds):
        for side in sides:
            say(f"{told}, round {number + 1} of {rounds}: {side.name}")
            yield side


def _noria(name: str, bundle: Path, runtime: str, pictures: list[bytes], scratch: Path) -> Side:
    def start() -> AbstractContextManager[Server]:
        port = free_port()
        return running(noria_server(f"m={bundle}", port=port, runtime=runtime), port, DOOR, pictures[0])

    return Side(name, start, write_bodies(scratch / runtime, pictures), _best_of_noria, runtime)


def _best_of_noria(answer: Any) -> list[tuple[str, float]]:
    return [(str(label), float(score)) for label, score in answer["answers"][0]["top"]]


def _rival(rival: Rival, bundle: Path, pictures: list[bytes], given: argparse.Namespace, scratch: Path) -> Side:
    environment = environment_of(rival)
    sent = [rival.body(picture) for picture in pictures]
    bodies = write_bodies(scratch / rival.name.replace("/", "-"), sent)

    def start(processes: int) -> AbstractContextManager[Server]:
        port = free_port()
        command = rival.command(environment, bundle, port, processes, scratch)
        variables = environment_variables(bundle, processes, environment)
        return running(command, port, rival.door, sent[0], environment=variables, folder=scratch)

    tried: dict[int, float] = {}
    for processes in rival.processes if len(rival.processes) > 1 else ():
        say(f"{rival.name}, {processes} process(es)")
        with start(processes) as server:
            load(server, bodies, clients=TRIED_WITH, seconds=min(4.0, given.seconds))
            tried[processes] = figures(load(server, bodies, clients=TRIED_WITH, seconds=min(4.0, given.seconds)))[
                "rate"
            ]
    chosen = max(tried, key=lambda count: tried[count]) if tried else rival.processes[0]
    facts = {"processes": chosen, "tried": tried, "version": version_in(environment, rival.told)}
    return Side(rival.name, lambda: start(chosen), bodies, rival.best, facts=facts)


def _closed(side: Side, seconds: float) -> None:
    """Load a side by so many clients, each with its next request when the last one is answered."""
    with side.start() as server:
        load(server, side.bodies, clients=4, seconds=min(2.0, seconds))  # warms up
        side.first_answer_seconds.append(server.seconds)
        for clients in CLIENTS:
            told = load(server, side.bodies, clients=clients, seconds=seconds)
            side.closed[clients].append(figures(told))
            _see(told, side)
        side.mebibytes.append(server.mebibytes())


def _opened(side: Side, seconds: float) -> None:
    """Load a side at shares of what it can do, whether it answers or not."""
    with side.start() as server:
        load(server, side.bodies, clients=4, seconds=min(2.0, seconds))
        for share in SHARES:
            told = load(server, side.bodies, rates=[[2 * seconds, max(1.0, share * side.capacity)]])
            side.open[share].append(figures(told))
            _see(told, side)
        side.mebibytes.append(server.mebibytes())


def _median(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return each figure's median over the rounds; of what went unanswered all of it."""
    told = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    return {**told, **{name: sum(one[name] for one in rounds) for name in ("answers", "others")}}


def _see(told: Mapping[str, Any], side: Side) -> None:
    first = [side.best(json.loads(answer))[0] for answer in told["answers"]]
    for _, place, status, _, answer in told["rows"]:
        if status == 200:
            label, score = first[answer]
            side.seen.setdefault((place, label), [0, score])[0] += 1


def _agreement(seen: Mapping[tuple[int, str], list[Any]], reference: list[tuple[str, float]]) -> dict[str, float]:
    """Return the share of answers with the model's own label, and the largest difference of a first score."""
    total = sum(count for count, _ in seen.values())
    same = [(place, *one) for (place, label), one in seen.items() if label == reference[place][0]]
    return {
        "share": sum(count for _, count, _ in same) / max(1, total),
        "largest_difference": max((abs(score - reference[place][1]) for place, _, score in same), default=1.0),
    }


def _body(there: Mapping[str, Any], absent: Mapping[str, str], given: argparse.Namespace) -> str:
    closed = table(["", *(f"{count} client{'s' if count > 1 else ''}" for count in CLIENTS)], [
        [name, *(_cell(one) for one in side["closed"].values())] for name, side in there.items()
    ])  # fmt: skip
    opened = table(
        ["", *(f"at {share:.0%}" for share in SHARES), "no answer", "to the first answer", "MiB", "agrees"],
        [_open_line(name, side) for name, side in there.items()],
    )
    rounds = len(next(iter(there.values()))["rounds"]["closed"][1])
    told = PROTOCOL.format(pictures=len(_pictures(given)), tried=TRIED_WITH, rounds=rounds, seconds=given.seconds)
    text = f"{closed}\n\n{opened}\n{told}"
    text += _chosen(there) + "".join(f"\n{name} is not in the table: {why}\n" for name, why in absent.items())
    return text + "\n" + "\n".join(_verdicts(there)) + "\n\n" + _generator(there)


def _cell(one: Mapping[str, Any]) -> str:
    return f"**{one['rate']:.0f}** ({one['p50']:.1f}, {one['p95']:.1f}, {one['p99']:.1f})"


def _open_line(name: str, side: Mapping[str, Any]) -> list[str]:
    loads = [*side["closed"].values(), *side["open"].values()]
    agreement = side["agreement"]
    return [
        name,
        *(_cell(one) for one in side["open"].values()),
        str(sum(one["others"] for one in loads)),
        f"{side['first_answer_seconds']:.2f} s",
        f"{side['mebibytes']:.0f}",
        f"{agreement['share']:.1%} ({agreement['largest_difference']:.3f})",
    ]


def _chosen(there: Mapping[str, Any]) -> str:
    lines = []
    for name, side in there.items():
        if "version" in side:
            tried = ", ".join(f"{count}: {rate:.0f}/s" for count, rate in side["tried"].items())
            processes = f"{side['processes']} process{'es' if side['processes'] > 1 else ''}"
            lines.append(f"\n- {name}: {side['version']}, {processes}{f' ({tried})' if tried else ''}")
    return "".join(lines) + ("\n" if lines else "")


def _verdicts(there: Mapping[str, Any]) -> list[str]:
    rivals = {name: side["capacity"] for name, side in there.items() if name not in NORIA}
    best = max(rivals, key=lambda name: rivals[name], default=None)
    lines = []
    for name, runtime in NORIA.items():
        if name not in there:
            continue
        side = there[name]
        engine = statistics.median(side["engine"])
        share, aim = side["capacity"] / engine, AIMS[runtime]
        tail = side["open"][0.7]["p99"] / side["closed"][1]["p50"]
        times = side["capacity"] / rivals[best] if best else 0.0
        against = f"**{times:.1f} times** {best}, the best rival (aim {aim}: {_met(times >= aim)}); " if best else ""
        around = ", ".join(f"{rate:.0f}" for rate in side["engine"])
        lines.append(
            f"- {name}: {against}**{share:.0%}** of the engine's own {engine:.0f}/s, decoding included, in "
            f"{cores()} threads without a server (rounds: {around}; aim {ENGINE_AIM:.0%}: "
            f"{_met(share >= ENGINE_AIM)}); at 70 % load p99 is **{tail:.1f} times** a single request's median (aim "
            f"{TAIL_AIM:.0f}: {_met(tail <= TAIL_AIM)}; without any disturbance the queue alone makes it "
            f"{least_tail(0.7, cores()):.1f} times the seconds of an answer under full load)."
        )
    return lines


def least_tail(share: float, workers: int, arrivals: int = 100_000) -> float:
    """Return p99 over the time of one answer where answers all take the same time, by simulating the queue.

    Poisson arrivals at a share of what the workers can do, each taken by the first free worker: no server does better
    without answering faster when it has more to do.
    """
    chance, now = random.Random(0), 0.0
    free, took = [0.0] * workers, []
    for _ in range(arrivals):
        now += chance.expovariate(share * workers)
        ended = max(now, heapq.heappop(free)) + 1.0
        heapq.heappush(free, ended)
        took.append(ended - now)
    return percentile(took, 0.99)


def _generator(there: Mapping[str, Any]) -> str:
    loads = [one for side in there.values() for group in ("closed", "open") for one in side[group].values()]
    late = max(one["late"] for side in there.values() for one in side["open"].values())
    return (
        f"The load generator, on the same {cores()} processors, took at most {max(one['load_cpu'] for one in loads):.0%} "  # noqa: E501
        f"of one, and in the open loops sent 99 % of the requests within {late:.1f} ms of when they were due."
    )


def _met(is_met: bool) -> str:
    return "met" if is_met else "not met"


if __name__ == "__main__":
    main()
