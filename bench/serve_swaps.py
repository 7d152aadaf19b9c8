"""A thousand versions swapped under load: is any request lost, or answered by the wrong version?

Two models of the flowers, by different seeds, take turns as the next version of one folder while 4 clients ask. Every
answer is compared with what the version that it names gives by itself. Aims: 0 failed requests, 0 answers of the wrong
version, memory flat. `python bench/serve_swaps.py` takes about 15 minutes on 2 cores.
"""

from __future__ import annotations

import http.client
import json
import shutil
import time
from pathlib import Path
from typing import Any

from _harness import flowers, parser, publish, say, scratch_folder, table
from _serve_running import (
    Door,
    Server,
    background_load,
    figures,
    free_port,
    load,
    noria_server,
    percentile,
    running,
    trained_bundle,
    write_bodies,
)

CLIENTS = 4
EACH = 100  # swaps a line of the table
RUNTIME = "litert_int8"
PATIENCE = 30.0
CLOSE = 1e-4


def main() -> None:
    """Swap, compare every answer, publish."""
    options = parser(str(__doc__), seeds=None)
    options.add_argument("--swaps", type=int, default=1000, help="how many (default %(default)s)")
    options.add_argument("--bundles", type=Path, nargs=2, help="two bundles of pictures; by default they are made")
    given = options.parse_args()
    swaps = min(given.swaps, 20) if given.quick else given.swaps
    every = [Path(row["path"]) for row in flowers()]
    pictures = [path.read_bytes() for path in every[:: max(1, len(every) // 40)]]
    with scratch_folder() as scratch:
        bundles = given.bundles or [
            trained_bundle(scratch, limit=40 if given.quick else 200, seed=seed, formats="keras,litert,litert_int8")
            for seed in (0, 1)
        ]
        references = [_reference(bundle, pictures) for bundle in bundles]
        models = scratch / "models"
        _put(bundles[1], models, 1)
        config = scratch / "noria.toml"
        config.write_text(
            f'[server]\npoll_seconds = 0.05\nlog = "{scratch / "requests.log"}"\n'
            f'[[models]]\nname = "m"\npath = "{models}"\nruntime = "{RUNTIME}"\n',
            encoding="utf-8",
        )
        bodies = write_bodies(scratch / "bodies", pictures)
        port = free_port()
        door = Door("/v1/models/m:predict", "image/jpeg")
        lines: list[dict[str, Any]] = []
        with running(noria_server(port=port, config=config), port, door, pictures[0]) as server:
            load(server, bodies, clients=CLIENTS, seconds=3)
            calm = figures(load(server, bodies, clients=CLIENTS, seconds=3 if given.quick else 20))
            weight = server.mebibytes()
            number = 1
            for start in range(0, swaps, EACH):
                with background_load(server, bodies, clients=CLIENTS, seconds=24 * 3600.0) as finish:
                    took = []
                    for _ in range(min(EACH, swaps - start)):
                        number += 1
                        took.append(_swap(server, bundles[number % 2], models, number))
                    told = finish()
                lines.append(
                    {**_judged(told, references), "swaps": len(took), "took": took, "mebibytes": server.mebibytes()}
                )
                say(f"{number - 1} swaps, {lines[-1]['failed']} failed, {lines[-1]['wrong']} wrong, "
                    f"{lines[-1]['mebibytes']:.0f} MiB")  # fmt: skip
    raw = {"calm": calm, "mebibytes_before": weight, "lines": lines}
    publish("serve_swaps", "Versions swapped under load", _body(raw), raw, quick=given.quick)


def _reference(bundle: Path, pictures: list[bytes]) -> list[dict[str, float]]:
    """Return what a bundle says of each picture by itself."""
    from noria.artifacts.bundle import open_bundle
    from noria.inference.predictor import Input, Predictor

    predictor = Predictor(open_bundle(bundle), runtime=RUNTIME)
    answers = predictor.answers(Input(str(place), data) for place, data in enumerate(pictures))
    return [dict(one["top"]) for one in answers]


def _put(bundle: Path, models: Path, number: int) -> None:
    """Copy a bundle beside its place, then give it its number."""
    models.mkdir(exist_ok=True)
    partial = models / f".{number}.partial"
    shutil.copytree(bundle, partial)
    partial.rename(models / str(number))


def _swap(server: Server, bundle: Path, models: Path, number: int) -> float:
    """Add a version, wait until it answers, delete the one before; return the seconds to its first answers."""
    _put(bundle, models, number)
    started = time.perf_counter()
    while _states(server).get(str(number)) != "AVAILABLE":
        if time.perf_counter() - started > PATIENCE:
            raise RuntimeError(f"Version {number} does not answer: {_states(server)}")
        time.sleep(0.01)
    seconds = time.perf_counter() - started
    shutil.rmtree(models / str(number - 1))
    return seconds


def _states(server: Server) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/v1/models/m")
    told = json.loads(connection.getresponse().read())
    connection.close()
    return {one["version"]: one["state"] for one in told["model_version_status"]}


def _judged(told: dict[str, Any], references: list[list[dict[str, float]]]) -> dict[str, Any]:
    answers = [json.loads(one) for one in told["answers"]]
    wrong = 0
    for _, place, status, _, answer in told["rows"]:
        if status == 200:
            said = answers[answer]
            alone = references[said["version"] % 2][place]
            top = said["answers"][0]["top"]
            wrong += any(abs(alone[label] - score) > CLOSE for label, score in top)
    failed = sum(1 for row in told["rows"] if row[2] != 200) + told["unanswered"] + told["starved"]
    return {
        "requests": len(told["rows"]),
        "failed": failed,
        "wrong": wrong,
        "versions": len({one["version"] for one in answers}),
        "p50": percentile([row[3] for row in told["rows"]], 0.5),
        "p99": percentile([row[3] for row in told["rows"]], 0.99),
        "longest": max(row[3] for row in told["rows"]),
    }


def _body(raw: dict[str, Any]) -> str:
    calm = raw["calm"]
    rows = [[
        "none, before", f"{calm['answers']:,}", str(calm["others"]), "",
        f"{calm['p50']:.1f}, {calm['p99']:.1f}", "", "", f"{raw['mebibytes_before']:.0f}",
    ]]  # fmt: skip
    done = 0
    for one in raw["lines"]:
        rows.append([
            f"{done + 1} to {done + one['swaps']}", f"{one['requests']:,}", str(one["failed"]), str(one["wrong"]),
            f"{one['p50']:.1f}, {one['p99']:.1f}", f"{one['longest']:.0f}",
            f"{percentile(one['took'], 0.5):.2f}, {max(one['took']):.2f}", f"{one['mebibytes']:.0f}",
        ])  # fmt: skip
        done += one["swaps"]
    header = ["swaps", "requests", "failed", "of the wrong version", "p50, p99 ms", "longest ms",
              "new version answers after s: median, longest", "MiB"]  # fmt: skip
    failed, wrong = (sum(one[key] for one in raw["lines"]) for key in ("failed", "wrong"))
    requests = sum(one["requests"] for one in raw["lines"])
    return f"""{table(header, rows)}

{done} swaps, {requests:,} requests: **{failed} failed, {wrong} answered by another version than they name** (aim: 0 and
0). {CLIENTS} clients in a closed loop, the int8 files; all scores of every answer are compared, to {CLOSE}. A swap: the
next folder is found, its checksums and golden examples are checked, it is warmed up, takes over, and the old one
drains. The client's copying of the next version, on the same processors, is in."""


if __name__ == "__main__":
    main()
