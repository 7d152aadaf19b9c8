"""Two workers on one core each against one: how much faster is an epoch? The same batches, the same model to rounding.

Workers are processes that talk over loopback, as machines would over a network. Beside them stands one process with
both cores, which is what a single machine does by itself. An epoch is its steps and its validation; the first one, in
which graphs are made, does not count, and of the others the fastest does, as other work on the machine only slows.
`python bench/devices.py` takes about half an hour on 2 cores.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

from _harness import (
    BENCH,
    Kept,
    cores,
    flowers,
    give_up,
    parser,
    publish,
    scratch_folder,
    spread,
    table,
    write_manifest,
)

NETWORKS = {
    "convnet": {"model__name": "convnet", "model__options__dropout": 0.0},
    "resnet_small": {"model__name": "resnet_small", "model__options__width": 32},
}
BATCHES = (64, 256)
WAYS = {"one, 1 core": [[0]], "two, 1 core each": [[0], [1]], "one, 2 cores": [[0, 1]]}
FIRST = "one, 1 core"
SIDE = 32


def main() -> None:
    """Measure each network, batch size and way, and publish the table."""
    given = parser(str(__doc__)).parse_args()
    if cores() < 2:
        give_up("Two workers need two cores.")
    limit, epochs, rounds = (20, 3, 1) if given.quick else (200, 6, given.seeds)
    kept = Kept("devices-quick" if given.quick else "devices", {"limit": limit, "epochs": epochs, "rounds": rounds})
    for number in range(rounds):
        for name in NETWORKS:
            for batch in BATCHES:
                for way in WAYS:
                    kept.get(f"{name} {batch} {way} {number}", _measured, name, batch, way, limit, epochs)
    publish("devices", "Two workers against one", _body(kept.figures, rounds, limit), kept.figures, quick=given.quick)
    kept.finish()


def _measured(name: str, batch: int, way: str, limit: int, epochs: int) -> dict[str, Any]:
    available = sorted(os.sched_getaffinity(0))
    with scratch_folder() as scratch:
        manifest = write_manifest(scratch / "flowers.csv", flowers(limit))
        settings = {
            **NETWORKS[name], "input__height": SIDE, "input__width": SIDE, "data__wrong_labels": False,
            "augment__views": 0, "training__batch_size": batch, "training__epochs": epochs,
            "training__patience": epochs, "training__optimizer": "sgd", "training__learning_rate": 0.01,
            "training__schedule": "constant",
        }  # fmt: skip
        (scratch / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(len(WAYS[way]))]
        children = []
        for rank, own in enumerate(WAYS[way]):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
            environment = {**os.environ, **({"TF_CONFIG": json.dumps(task)} if len(addresses) > 1 else {})}
            command = [sys.executable, str(BENCH / "_devices_child.py"), str(manifest), str(scratch / "run"),
                       str(scratch / "settings.json"), ",".join(str(available[core]) for core in own)]  # fmt: skip
            children.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
        said = [child.communicate() for child in children]
    if any(child.returncode for child in children):
        print(*(err[-2000:] for _, err in said), sep="\n", file=sys.stderr)
        sys.exit(1)
    told: dict[str, Any] = json.loads(said[0][0].splitlines()[-1])
    return told


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _body(figures: dict[str, Any], rounds: int, limit: int) -> str:
    rows = []
    for name in NETWORKS:
        for batch in BATCHES:
            of_way = {way: [figures[f"{name} {batch} {way} {number}"] for number in range(rounds)] for way in WAYS}
            seconds = {way: [min(one["epochs"]) for one in found] for way, found in of_way.items()}
            for way, found in of_way.items():
                ratios = [first / own for first, own in zip(seconds[FIRST], seconds[way], strict=True)]
                rows.append([
                    name, str(batch), way, spread(seconds[way], "{:.2f}"), spread(ratios, "{:.2f}"),
                    f"{found[0]['loss']:.5f}",
                ])  # fmt: skip
    counts = figures[f"{next(iter(NETWORKS))} {BATCHES[0]} {FIRST} 0"]["examples"]
    header = ["network", "batch", "processes", "seconds an epoch", f"times as fast as {FIRST}", "loss at the end"]
    return (
        f"{table(header, rows)}\n\n{counts['train']:,} flower photos of {SIDE} pixels to learn from and "
        f"{counts['validation']:,} to validate on (at most {limit} of each label), float32, no augmentation. Of each "
        f"training the fastest epoch after its first; mean over {rounds} trainings, smallest and largest. The loss is "
        "that of the last epoch of the first training: the same for all ways but for rounding, which training grows."
    )


if __name__ == "__main__":
    main()
