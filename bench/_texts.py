"""The text sets, as rows of text and label, and the tables of JSON lines that every side of a text benchmark reads.

IMDB (Maas et al. 2011) comes with its own train and test; the Chinese reviews are split by Noria's own check.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from _harness import Row, data_folder

IMDB_LABELS = ("negative", "positive")


def imdb(limit: int | None = None) -> list[Row]:
    """Return the film reviews with the given `split`, at most `limit` of each label and side."""
    rows = []
    for split in ("train", "test"):
        with gzip.open(data_folder("imdb") / f"imdb_{split}.jsonl.gz", "rt", encoding="utf-8") as file:
            raw = [json.loads(line) for line in file]
        side = [{"text": one["text"], "label": IMDB_LABELS[one["label"]], "split": split} for one in raw]
        rows += _limited(side, limit)
    return rows


def hotel(limit: int | None = None) -> list[Row]:
    """Return Chinese hotel reviews, positive or negative."""
    return _reviews("ChnSentiCorp_htl_all.csv", _sentiment, limit)


def shop(limit: int | None = None) -> list[Row]:
    """Return Chinese shop reviews, positive or negative."""
    return _reviews("online_shopping_10_cats.csv", _sentiment, limit)


def shop_category(limit: int | None = None) -> list[Row]:
    """Return the same shop reviews with the category of the goods, one of ten."""
    return _reviews("online_shopping_10_cats.csv", lambda row: row["cat"], limit)


def write_table(path: Path, rows: Sequence[Row]) -> Path:
    """Write JSON lines with the keys of the rows, packed where the name ends in `.gz`."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    # A level as the command line's: what a user's table would have.
    path.write_bytes(gzip.compress(lines, 6) if path.suffix == ".gz" else lines)
    return path


def read_table(path: Path) -> list[Row]:
    """Read what `write_table` wrote."""
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().split("\n")
    return [json.loads(line) for line in lines if line]


def split_texts_as_noria(rows: Sequence[Row], seed: int, scratch: Path) -> list[Row]:
    """Return the rows with the `split` that Noria's own check gives them: 3:1:1, by label, duplicates on one side.

    Rows that the check sets aside are left out, so that both sides of a comparison see the same texts.
    """
    from noria import api
    from noria.config import load_config

    table = write_table(scratch / "all.jsonl", rows)
    dataset = api.check(table, config=load_config(data=table, seed=seed))
    # An example of a table is named FILE:LINE.
    found = sorted((int(one.path.rpartition(":")[2]) - 1, one.split) for one in dataset.examples)
    return [{**rows[index], "split": split} for index, split in found]


def _reviews(name: str, label: Callable[[Row], str], limit: int | None) -> list[Row]:
    with (data_folder("zh_reviews") / name).open(encoding="utf-8-sig", newline="") as file:
        return _limited([{"text": row["review"], "label": label(row)} for row in csv.DictReader(file)], limit)


def _sentiment(row: Row) -> str:
    return "positive" if row["label"] == "1" else "negative"


def _limited(rows: list[Row], limit: int | None) -> list[Row]:
    """Keep `limit` rows of each label, drawn by a hash of the text, in the order in which they stood."""
    if limit is None:
        return rows
    taken: dict[str, int] = {}
    kept = []
    for index in sorted(range(len(rows)), key=lambda index: hashlib.sha256(rows[index]["text"].encode()).digest()):
        label = rows[index]["label"]
        taken[label] = taken.get(label, 0) + 1
        if taken[label] <= limit:
            kept.append(index)
    return [rows[index] for index in sorted(kept)]
