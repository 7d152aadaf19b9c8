"""What a server tells about itself, where several processes count together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from noria.serving.telemetry import AVAILABLE, ENDED_KEPT, SHARED_FOLDER

EVERY_DAY = """
import sys
import numpy as np
from noria.serving.telemetry import Metrics
metrics = Metrics()
for version in range(1, 41):
    metrics.tell_versions([("m", str(version)), ("other", "1")])
    metrics.count_answers("m", version, np.array([[0.2, 0.8]], np.float32), ["bad", "good"])
sys.stdout.write(metrics.exposition().decode())
"""


def test_versions_that_ended_long_ago_are_not_told_by_processes_that_count_together(tmp_path: Path) -> None:
    shared = {**os.environ, SHARED_FOLDER: str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", EVERY_DAY], env=shared, capture_output=True, text=True, check=True)
    seen: dict[str, set[tuple[str, int]]] = {}
    for family in text_string_to_metric_families(told.stdout):
        for sample in family.samples:
            if "version" in sample.labels:
                seen.setdefault(family.name, set()).add((sample.labels["model"], int(sample.labels["version"])))
    last = {("m", number) for number in range(40 - ENDED_KEPT, 41)}
    assert seen["noria_answers"] == seen["noria_confidence"] == last
    assert seen[AVAILABLE] == last | {("other", 1)}
