"""scikit-learn's road: TF-IDF of words with logistic regression, or of characters with a linear SVM.

Words: 1- and 2-grams, sublinear counts, those of one text alone left out, C = 10. Characters: 1- to 3-grams, the same
otherwise, C = 1. Both learn from every training text and choose nothing.

    python bench/_tfidf_recipe.py TABLE.jsonl OUT.json --variant words
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from _text_recipe import Given, Ready, run


def words() -> Pipeline:
    """Return word n-grams with logistic regression."""
    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2), LogisticRegression(C=10, max_iter=1000)
    )


def characters() -> Pipeline:
    """Return character n-grams with a linear support vector machine."""
    return make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2), LinearSVC())


PIPELINES: dict[str, Callable[[], Pipeline]] = {"words": words, "characters": characters}


def train(given: Given) -> Ready:
    """Fit the pipeline and save it."""
    rows = [*given.train, *given.validation]
    pipeline = PIPELINES[given.variant]()
    pipeline.fit([row["text"] for row in rows], [row["label"] for row in rows])
    joblib.dump(pipeline, given.folder / "model.joblib")

    def answer(texts: Sequence[str]) -> list[str]:
        return [str(label) for label in pipeline.predict(texts)]

    return Ready(answer, lambda text: answer([text])[0], {"features": len(pipeline[0].vocabulary_)})


if __name__ == "__main__":
    run(__doc__, train, tuple(PIPELINES))
