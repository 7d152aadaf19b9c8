"""What people write: FastAPI, and Keras' `predict` in a handler. `python _serve_fastapi.py MODEL.keras PORT`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import keras
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image
from starlette.concurrency import run_in_threadpool

model = keras.saving.load_model(sys.argv[1])
labels = json.loads((Path(sys.argv[1]).parent / "manifest.json").read_text(encoding="utf-8"))["labels"]
size = model.input_shape[1:3]
app = FastAPI()


def answer(data: bytes) -> dict[str, object]:
    """Decode, predict, rank."""
    image = Image.open(io.BytesIO(data)).convert("RGB").resize((size[1], size[0]), Image.Resampling.BILINEAR)
    scores = model.predict(np.asarray(image, np.float32)[np.newaxis], verbose=0)[0]
    best = scores.argsort()[::-1][:5]
    return {"label": labels[best[0]], "top": [[labels[place], float(scores[place])] for place in best]}


@app.post("/predict")
async def predict(request: Request) -> dict[str, object]:
    """Answer one picture."""
    return await run_in_threadpool(answer, await request.body())


golden = Path(sys.argv[1]).parent / "golden"
answer(min(golden.glob("*.jpg")).read_bytes())  # builds what later calls re-use
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
