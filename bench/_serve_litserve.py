"""LitServe with its batching, pictures as base64 in JSON. `python _serve_litserve.py BUNDLE PORT PROCESSES`."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from typing import Any

import litserve

from _serve_keras import KerasModel

MOST, WAIT = 16, 0.005  # of a batch: pictures, seconds


class Pictures(litserve.LitAPI):
    """The stages as LitServe's documentation has them."""

    def setup(self, device: str) -> None:
        self.model = KerasModel(sys.argv[1])

    def decode_request(self, request: dict[str, str]) -> Any:
        return self.model.decode(base64.b64decode(request["image"]))

    def batch(self, inputs: Sequence[Any]) -> Any:
        return inputs

    def predict(self, x: Sequence[Any]) -> Any:
        return self.model.scores(x)

    def unbatch(self, output: Any) -> list[Any]:
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        return self.model.best(output)


if __name__ == "__main__":
    server = litserve.LitServer(
        Pictures(max_batch_size=MOST, batch_timeout=WAIT), accelerator="cpu", workers_per_device=int(sys.argv[3])
    )
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error")
