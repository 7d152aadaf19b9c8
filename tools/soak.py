"""A server under steady load, and everything that may happen to one: `make soak MINUTES=5`.

Two processes serve pictures and texts. Clients ask all the time and compare every answer with the one that the model
gives alone, while faults come round: malformed requests in JSON, protobuf and plain bytes, what schemathesis makes of
the OpenAPI document, odd pictures, clients that hang up, slow senders, a process that is killed, versions that are cut
in half, come and vanish, and a log on a full disk. It fails where an answer is wrong, missing, or a 500, where a server
hangs, or where memory grows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from _soak_faults import FAULTS, schemathesis
from _soak_server import CLIENTS, PATIENCE, Soak, memory, photos_bundle, served, texts_bundle

GROWTH = 1.25, 48 * 2**20  # of memory: times, and bytes more


def main() -> int:
    """Run the soak and print what came of it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=5.0)
    options.add_argument("--malformed", type=int, default=10_000, help="requests at least (default %(default)s)")
    options.add_argument("--photos", type=Path, help="a bundle of pictures; by default one is made")
    options.add_argument("--texts", type=Path, help="a bundle of texts; by default one is made")
    options.add_argument("--share", type=float, default=1.0, help="of what each round sends; under 1 no schemathesis")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="noria-soak-") as folder:
        scratch = Path(folder)
        photos = given.photos or photos_bundle(scratch)
        texts = given.texts or texts_bundle(scratch)
        with served(scratch, photos, texts, given.seed) as soak:
            soak.share = given.share
            run(soak, given.minutes * 60, given.malformed)
        for name, count in sorted(soak.counts.items()):
            print(f"{name:48} {count:>9,}")
        print(f"{len(soak.failures)} failures" + "".join(f"\n- {one}" for one in soak.failures[:20]))
    return 1 if soak.failures else 0


def run(soak: Soak, seconds: float, malformed: int) -> None:
    """Keep the load up and let every fault come round, until the time is over and enough was sent."""
    askers = [threading.Thread(target=ask_steadily, args=(soak, number)) for number in range(CLIENTS)]
    for asker in askers:
        asker.start()
    time.sleep(3)
    before, end, rounds = memory(soak), time.monotonic() + seconds, 0
    while rounds == 0 or time.monotonic() < end or soak.counts["malformed requests"] < malformed:
        for fault in FAULTS:
            fault(soak)
        if rounds == 0:
            if soak.share >= 1:
                schemathesis(soak)
            before = max(before, memory(soak))  # every size of request has been there once
        rounds += 1
    soak.counts["rounds"] = rounds
    time.sleep(3)
    soak.stop.set()
    for asker in askers:
        asker.join()
    after = memory(soak)
    soak.counts["MiB before"], soak.counts["MiB after"] = before >> 20, after >> 20
    if after > before * GROWTH[0] + GROWTH[1]:
        soak.fail(f"memory grew from {before >> 20} to {after >> 20} MiB")
    if not soak.counts["steady answers, as alone"]:
        soak.fail("the steady clients got no answer")
    check_log(soak)


def ask_steadily(soak: Soak, number: int) -> None:
    """Ask one input after the other, and compare."""
    place = number
    client = httpx.Client(base_url=soak.url, timeout=PATIENCE)
    while not soak.stop.is_set():
        model, body, kind, alone = soak.work[place % len(soak.work)]
        place += CLIENTS
        try:
            answer = client.post(f"/v1/models/{model}:predict", content=body, headers={"content-type": kind})
        except httpx.TransportError as error:
            if soak.excused():
                soak.counts["steady requests, cut off by a kill"] += 1
            else:
                soak.fail(f"a steady request: {type(error).__name__} {error}")
            continue
        if answer.status_code == 503:
            soak.counts["steady requests, told to come later"] += 1
            time.sleep(0.2)
        elif answer.status_code != 200:
            soak.fail(f"a steady request of {model} was answered {answer.status_code}: {answer.text[:200]}")
        elif answer.json()["answers"][0]["label"] != alone:
            soak.fail(f"a wrong answer of {model}: {answer.text[:200]}, not {alone}")
        else:
            soak.counts["steady answers, as alone"] += 1
    client.close()


def check_log(soak: Soak) -> None:
    """The log reached the limit of its disk, or not, and has no word of an error of the server itself."""
    log = soak.models.parent / "log.jsonl"
    soak.counts["log: KiB"] = log.stat().st_size // 1024
    for line in log.read_bytes().splitlines():
        with contextlib.suppress(ValueError):  # the last line of a full disk may be cut off
            told = json.loads(line)
            if told["event"] == "error":
                soak.fail(f"the log tells of an error: {told}")


if __name__ == "__main__":
    sys.exit(main())
