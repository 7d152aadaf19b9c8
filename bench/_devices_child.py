"""A manifest and settings -> JSON: the seconds of each epoch of a training, and its accuracy; alone or as a worker.

    python bench/_devices_child.py MANIFEST OUT SETTINGS.json CORE[,CORE...]

With TF_CONFIG it is one of the workers that are named there. It keeps to the cores that it is given.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Train, and print what it took; who is no chief prints nothing."""
    manifest, out, settings, cores = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4].split(",")
    os.sched_setaffinity(0, set(map(int, cores)))
    os.environ |= {"TF_NUM_INTRAOP_THREADS": str(len(cores)), "TF_NUM_INTEROP_THREADS": str(len(cores))}
    import noria
    from noria import working
    from noria.config import load_config
    from noria.contracts import Silent
    from noria.training.cluster import read_cluster

    class Ends(Silent):
        """When each epoch ended."""

        def __init__(self) -> None:
            self.seconds: list[float] = []

        def note(self, text: str) -> None:
            if text.startswith("epoch "):
                self.seconds.append(time.perf_counter())

    config = load_config(data=manifest, **json.loads(Path(settings).read_text(encoding="utf-8")))
    ends = Ends()
    run: Any
    if "TF_CONFIG" in os.environ:
        run = working.train(read_cluster(os.environ), manifest, out, config=config, progress=ends)
    else:
        run = noria.train(manifest, out, config=config, progress=ends)
    if run is not None:
        epochs = [after - before for before, after in zip(ends.seconds, ends.seconds[1:], strict=False)]
        history = json.loads((run.path / "report.json").read_bytes())["history"]
        told = {"epochs": epochs, "loss": history["loss"][-1], "accuracy": run.manifest.test["accuracy"]}
        told["examples"] = run.manifest.num_examples
        print(json.dumps(told))


main()
