"""BentoML with its adaptive batching, pictures as base64 in JSON; `bentoml serve _serve_bentoml:Pictures`."""

from __future__ import annotations

import base64
import os
from typing import Any

import bentoml

from _serve_keras import KerasModel


@bentoml.service(
    workers=int(os.environ["BENCH_PROCESSES"]), traffic={"timeout": 60}, logging={"access": {"enabled": False}}
)
class Pictures:
    """A service whose method gets the pictures of several requests at once."""

    def __init__(self) -> None:
        self.model = KerasModel(os.environ["BENCH_BUNDLE"])

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=60_000)
    def predict(self, images: list[str]) -> list[dict[str, Any]]:
        """Answer a batch."""
        return self.model.answer([base64.b64decode(one) for one in images])
