"""Real reviews, and what the check would know of them."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from noria.contracts import Example
from noria.data.suspicions import Looked
from noria.inputs._words import tokens

Row = tuple[str, str]  # text, label
EACH = 800


@pytest.fixture(scope="session")
def films(shared_data: Path) -> list[Row]:
    """English film reviews, as many of each label."""
    with gzip.open(shared_data / "imdb" / "imdb_train.jsonl.gz") as lines:
        rows = [orjson.loads(line) for line in lines]
    return some([(row["text"], ("bad", "good")[row["label"]]) for row in rows])


@pytest.fixture(scope="session")
def hotels(shared_data: Path) -> list[Row]:
    """Chinese hotel reviews, as many of each label."""
    with (shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv").open(encoding="utf-8-sig", newline="") as lines:
        rows = [(row["review"], ("bad", "good")[int(row["label"])]) for row in csv.DictReader(lines)]
    return some([row for row in rows if row[0].strip()])


@pytest.fixture(scope="session")
def looked() -> Callable[..., Looked]:
    """Make what a member is given; the path of each text is its number."""

    def make(rows: list[Row], **settings: object) -> Looked:
        data = [text.encode() for text, _ in rows]
        examples = [
            Example(str(place), label, "", "", "train", None, {"words": len(tokens(text))})
            for place, ((_, label), text) in enumerate(zip(rows, data, strict=True))
        ]
        return Looked(examples, texts=lambda: iter(data), settings=settings)

    return make


def some(rows: list[Row]) -> list[Row]:
    return [row for label in ("bad", "good") for row in [one for one in rows if one[1] == label][:EACH]]
