"""FastAPI with a scikit-learn pipeline, fitted at the start. `python _serve_sklearn.py TABLE PORT word|char`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from starlette.concurrency import run_in_threadpool

from _texts import read_table


def application(rows: list[dict[str, str]], analyzer: str) -> FastAPI:
    """Return the app."""
    train = [row for row in rows if row["split"] == "train"]
    pipeline = make_pipeline(
        TfidfVectorizer(analyzer=analyzer, ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        LogisticRegression(C=10, max_iter=300),
    )
    pipeline.fit([row["text"] for row in train], [row["label"] for row in train])
    labels = pipeline.classes_.tolist()
    app = FastAPI()

    def answer(texts: list[str]) -> list[dict[str, object]]:
        scores = pipeline.predict_proba(texts)
        return [{"label": labels[one.argmax()], "scores": one.tolist()} for one in scores]

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, object]:
        body = await request.json()
        return {"predictions": await run_in_threadpool(answer, body["instances"])}

    return app


if __name__ == "__main__":
    made = application(read_table(Path(sys.argv[1])), sys.argv[3])
    uvicorn.run(made, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
