"""A command -> a JSON file with its exit code, wall seconds and the largest resident size of its processes, in bytes.

Run as a program of its own: Linux lets a child begin with its parent's peak, so the parent must be small, and a
benchmark that has imported NumPy or TensorFlow is not.

    python -I bench/_measure_child.py OUT.json COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    """Run the command and write down what it took."""
    out, command = sys.argv[1], sys.argv[2:]
    start = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    facts = {
        "exit_code": os.waitstatus_to_exitcode(status),
        "seconds": seconds,
        "peak_bytes": usage.ru_maxrss * unit,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }
    with open(out, "w", encoding="utf-8") as file:  # noqa: PTH123 - importing pathlib would make this process larger
        json.dump(facts, file)


main()
