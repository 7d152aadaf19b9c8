"""FastAPI: what people write. `python _serve_fastapi.py BUNDLE PORT PROCESSES [predict]`.

With `predict` Keras' own `predict` in the thread pool of a handler, else the model under `tf.function`; no batching.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

from _serve_keras import KerasModel

BUNDLE, PREDICT = "BENCH_BUNDLE", "BENCH_PREDICT"


def application() -> FastAPI:
    """Return the app of one process."""
    model = KerasModel(os.environ[BUNDLE])
    app = FastAPI()

    def answer(data: bytes) -> dict[str, object]:
        if not os.environ[PREDICT]:
            return model.answer([data])[0]
        return model.best(model.model.predict(model.decode(data)[np.newaxis].astype(np.float32), verbose=0)[0])

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, object]:
        return await run_in_threadpool(answer, await request.body())

    answer(model.warm)
    return app


if __name__ == "__main__":
    os.environ[BUNDLE], os.environ[PREDICT] = sys.argv[1], "predict" if "predict" in sys.argv else ""
    sys.path.insert(0, str(Path(__file__).parent))
    uvicorn.run("_serve_fastapi:application", factory=True, host="127.0.0.1", port=int(sys.argv[2]),
                workers=int(sys.argv[3]), log_level="error")  # fmt: skip
