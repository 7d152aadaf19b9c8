"""Texts a second over HTTP in batches of 64: `noria serve` with `ngrams`, the default, and FastAPI with scikit-learn.

Both learn from the same texts in their whole; the rival is TF-IDF on words (English) or characters (Chinese) with a
logistic regression. Aim: 10,000 texts a second. `python bench/serve_texts.py` takes about 4 minutes on 2 cores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _harness import BENCH, Row, cores, noria_command, parser, publish, run_child, say, scratch_folder, table
from _serve_running import Door, Server, figures, free_port, load, noria_server, running, write_bodies
from _texts import hotel, imdb, split_texts_as_noria, write_table

BATCH = 64
CLIENTS = (1, 4, 16)
AIM = 10_000
SETS = {"hotel reviews, Chinese": (hotel, "char"), "film reviews, English": (imdb, "word")}
RIVAL = "FastAPI, scikit-learn"
NORIA = {  # runtime, and processes
    "noria serve, float32": ("litert", 1),
    "noria serve, int8": ("litert_int8", 1),
    f"noria serve, int8, --processes {cores()}": ("litert_int8", cores()),
}


def main() -> None:
    """Measure both sides on both sets and publish."""
    options = parser(str(__doc__), seeds=None)
    options.add_argument("--seconds", type=float, default=8.0, help="of each closed loop (default %(default)s)")
    given = options.parse_args()
    seconds = 1.0 if given.quick else given.seconds
    told: dict[str, Any] = {}
    for name, (read, analyzer) in SETS.items():
        with scratch_folder() as scratch:
            rows = read(300 if given.quick else None)
            if "split" not in rows[0]:
                rows = split_texts_as_noria(rows, 0, scratch)
            told[name] = _one_set(name, rows, analyzer, seconds, scratch)
    lines = [
        [f"{name}, {each['characters']:.0f} characters a text", side,
         *(f"**{one['rate'] * BATCH:,.0f}** ({one['p50']:.0f}, {one['p99']:.0f})" for one in found["closed"]),
         f"{found['accuracy']:.1%}", f"{found['mebibytes']:.0f}"]
        for name, each in told.items() for side, found in each["sides"].items()
    ]  # fmt: skip
    header = ["", "", *(f"{count} client{'s' if count > 1 else ''}" for count in CLIENTS), "right", "MiB"]
    verdicts = [_verdict(name, each["sides"]) for name, each in told.items()]
    text = f"""{table(header, lines)}

Texts a second in requests of {BATCH} test texts as JSON, over kept connections, the load from another process on
the same processors; in brackets p50 and p99 of a request in ms. Right: of the answers to the texts that were sent.
One process answers where no more are named: cutting texts into words is Python's work, which one process does one after
the other.

"""
    text += "\n".join(verdicts)
    publish("serve_texts", "Serving texts in batches", text, told, quick=given.quick)


def _verdict(name: str, sides: dict[str, Any]) -> str:
    best = {side: max(one["rate"] for one in found["closed"]) * BATCH for side, found in sides.items()}
    ours = max(rate for side, rate in best.items() if side != RIVAL)
    is_met = "met" if ours >= AIM else "not met"
    return f"- {name}: {ours:,.0f} a second (aim {AIM:,}: {is_met}), {ours / best[RIVAL]:.1f} times the rival."


def _one_set(name: str, rows: list[Row], analyzer: str, seconds: float, scratch: Path) -> dict[str, Any]:
    say(f"{name}: training")
    whole = write_table(scratch / "table.jsonl", rows)
    run_child(noria_command("train", whole, "--out", scratch / "run", "--json", "--quiet"))
    bundle = scratch / "bundle"
    formats = "keras,litert,litert_int8"
    run_child(noria_command("export", scratch / "run", "--out", bundle, "--formats", formats, "--json", "--quiet"))
    test = [row for row in rows if row["split"] == "test"][: 64 * BATCH]
    batches = [test[start : start + BATCH] for start in range(0, len(test) - BATCH + 1, BATCH)]
    sent = [json.dumps({"instances": [row["text"] for row in batch]}).encode() for batch in batches]
    bodies = write_bodies(scratch / "bodies", sent)
    sides = {}
    for side, (runtime, processes) in NORIA.items():
        port = free_port()
        door = Door("/v1/models/m:predict", "application/json")
        command = [*noria_server(f"m={bundle}", port=port, runtime=runtime), "--processes", str(processes)]
        with running(command, port, door, sent[0]) as server:
            sides[side] = _measured(f"{name}: {side}", server, bodies, batches, seconds)
    port = free_port()
    command = [sys.executable, str(BENCH / "_serve_sklearn.py"), str(whole), str(port), analyzer]
    with running(command, port, Door("/predict", "application/json"), sent[0], folder=scratch) as server:
        sides[RIVAL] = _measured(f"{name}: {RIVAL}", server, bodies, batches, seconds)
    return {"sides": sides, "characters": sum(len(row["text"]) for row in test) / len(test)}


def _measured(
    name: str, server: Server, bodies: list[Path], batches: Sequence[Sequence[Row]], seconds: float
) -> dict[str, Any]:
    load(server, bodies, clients=2, seconds=min(2.0, seconds))  # warms up
    closed, right = [], {}
    for clients in CLIENTS:
        say(f"{name}, {clients} clients")
        told = load(server, bodies, clients=clients, seconds=seconds)
        closed.append(figures(told))
        for _, place, status, _, answer in told["rows"]:
            if status == 200 and place not in right:
                labels = [one["label"] for one in json.loads(told["answers"][answer])["predictions"]]
                right[place] = sum(label == row["label"] for label, row in zip(labels, batches[place], strict=True))
    if any(one["others"] for one in closed):
        say(f"{name}: {sum(one['others'] for one in closed)} requests were not answered")
    accuracy = sum(right.values()) / (BATCH * len(right))
    return {"closed": closed, "mebibytes": server.mebibytes(), "accuracy": accuracy}


if __name__ == "__main__":
    main()
