"""MLServer with its adaptive batching, pictures as base64 in its V2 protocol; `mlserver start FOLDER`.

The folder's `model-settings.json` names `_serve_mlserver.Pictures`.
"""

from __future__ import annotations

import json
import os

from mlserver import MLModel
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from _serve_keras import KerasModel


class Pictures(MLModel):
    """A runtime of our own, as MLServer's documentation has them for what it has none for."""

    async def load(self) -> bool:
        """Open the model."""
        self._keras = KerasModel(os.environ["BENCH_BUNDLE"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a batch."""
        answers = self._keras.answer(Base64Codec.decode_input(payload.inputs[0]))
        told = StringCodec.encode_output("top", [json.dumps(one) for one in answers])
        return InferenceResponse(model_name=self.name, outputs=[told])
