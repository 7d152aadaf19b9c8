"""How soon does a server answer, and what does it hold in memory? With one model, and with ten.

`noria serve` against FastAPI with Keras' `predict`, in a process of its own each, the flowers' EfficientNet-Lite0.
`python bench/serve_start.py` takes about 3 minutes.
"""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _harness import flowers, parser, publish, say, scratch_folder, spread, table
from _serve_rivals import RIVALS, environment_of, environment_variables
from _serve_running import Door, Server, free_port, noria_server, running, trained_bundle

REPEATS = 5
MODELS = 10
AIM = 1.0  # seconds


def main() -> None:
    """Measure both sides and publish."""
    options = parser(str(__doc__), seeds=None)
    options.add_argument("--bundle", type=Path, help="a bundle of pictures with model.keras; by default one is made")
    given = options.parse_args()
    repeats = 2 if given.quick else REPEATS
    photo = Path(flowers(5)[0]["path"]).read_bytes()
    told: dict[str, Any] = {}
    with scratch_folder() as scratch:
        bundle = given.bundle.resolve() if given.bundle else trained_bundle(scratch, limit=40 if given.quick else None)
        for name, runtime in (("float32", "litert"), ("int8", "litert_int8")):
            for count in (1, MODELS):
                key = f"noria serve, {name}, {count} model{'s' if count > 1 else ''}"
                told[key] = [_noria(key, bundle, runtime, count, photo) for _ in range(repeats)]
        told["FastAPI, Keras `predict`, 1 model"] = [_rival(bundle, photo, scratch) for _ in range(repeats)]
    rows = [
        [name, spread([one["seconds"] for one in each], "{:.2f}"), spread([one["mebibytes"] for one in each], "{:.0f}")]
        for name, each in told.items()
    ]
    seconds = [one["seconds"] for one in told["noria serve, float32, 1 model"]]
    is_met = "met" if max(seconds) < AIM else "not met"
    text = f"""{table(["", "to the first answer, s", "MiB"], rows)}

{repeats} starts of each, mean (and spread), files in the system's cache. Seconds from the start of the process to the
first answer, every model checked by its golden examples before; MiB after each model answered once, all processes,
shared pages counted once. Aim: up in under {AIM:.0f} s: {is_met} with one model."""
    publish("serve_start", "Start and memory of a server", text, told, quick=given.quick)


def _noria(name: str, bundle: Path, runtime: str, count: int, photo: bytes) -> dict[str, float]:
    say(name)
    port, models = free_port(), [f"m{place}={bundle}" for place in range(count)]
    doors = [Door(f"/v1/models/m{place}:predict", "image/jpeg") for place in range(count)]
    with running(noria_server(*models, port=port, runtime=runtime), port, doors[0], photo) as server:
        return _weighed(server, doors, photo)


def _rival(bundle: Path, photo: bytes, scratch: Path) -> dict[str, float]:
    rival = RIVALS[0]
    say(rival.name)
    port, environment = free_port(), environment_of(rival)
    command = rival.command(environment, bundle, port, 1, scratch)
    variables = environment_variables(bundle, 1, environment)
    with running(command, port, rival.door, photo, environment=variables, folder=scratch) as server:
        return _weighed(server, [rival.door], photo)


def _weighed(server: Server, doors: Sequence[Door], photo: bytes) -> dict[str, float]:
    for door in doors:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("POST", door.path, photo, {"content-type": door.content_type})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{door.path}: {answer.status}")
    return {"seconds": server.seconds, "mebibytes": server.mebibytes()}


if __name__ == "__main__":
    main()
