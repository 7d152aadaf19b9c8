"""What the report's template shows: facts (the content of report.json) go in, rows, sentences and charts come out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from typing import Any

import orjson
from markupsafe import Markup, escape

from noria.evaluation import charts, passages
from noria.evaluation.charts import Line
from noria.evaluation.wording import count, duration, number, percent, points, short_percent

Facts = Mapping[str, Any]

FULL_MATRIX = 30  # classes; above this the table of confused pairs and a coarse picture take over
ALL_CLASSES = 24  # classes; above this only the weakest stand in the open
_WEAKEST = 15
CLASSES_SHOWN = 1000  # a table with more slows a browser down; report.json has them all
REASONS_SHOWN = 12
SET_ASIDE_SHOWN = 200
SPEAKING_SHOWN = 6  # labels whose words stand in the open
_SEVERITIES = {"error": 0, "warning": 1, "info": 2}


def view(facts: Facts) -> dict[str, Any]:
    """Return everything that the template needs beside the facts themselves."""
    test = facts["test"]
    return {
        "scale": charts.accuracy_scale(test["accuracy"], test["interval"], facts["baseline"]["accuracy"]),
        "figures": _key_figures(facts),
        "worries": sorted(
            [*facts["concerns"], *facts["findings"]], key=lambda item: _SEVERITIES.get(item["severity"], 2)
        ),
        "classes": _class_table(test["classes"]),
        "recalls": _recalls(test["classes"]),
        "matrix": _matrix(test["confusion"], facts["labels"]),
        "coarse": _coarse(test["confusion_cells"], facts["labels"]),
        "confidence": _confidence(facts),
        "passages": {key: [_passage(row["explained"]) for row in facts[key]] for key in ("mistakes", "least_certain")},
        "how_explained": _how_explained([*facts["mistakes"], *facts["least_certain"]]),
        "speaking": _speaking(facts["speaking"]),
        "learning": _learning(facts["history"]),
        "split": _split(facts),
        "reasons": _reasons(facts["set_aside"]),
        "set_aside": facts["set_aside"][:SET_ASIDE_SHOWN],
        "seconds": _seconds(facts["seconds"]),
        "config": _config(facts["config"]),
    }


def _key_figures(facts: Facts) -> list[dict[str, str]]:
    test, after, before = facts["test"], facts["reliability"], facts["reliability_uncalibrated"]
    classes = sum(1 for row in test["classes"] if row["support"])
    figures = [
        ("Balanced accuracy", percent(test["balanced_accuracy"]), f"mean recall of {count(classes)} classes"),
        ("Macro F1", percent(test["macro"]["f1"]), f"weighted by class size: {percent(test['weighted']['f1'])}"),
        ("Log loss", number(test["log_loss"]), f"nats; Brier score {number(test['brier'])}"),
        (
            "Calibration error",
            percent(after["ece"]),
            f"before: {percent(before['ece'])}" if before else "expected (ECE)",
        ),
    ]
    if test["top_3_accuracy"] is not None:
        figures.insert(0, ("Top-3 accuracy", percent(test["top_3_accuracy"]), "the truth is among the first three"))
    return [{"name": name, "value": value, "note": note} for name, value, note in figures]


def _class_table(rows: Sequence[Facts]) -> dict[str, Any]:
    """The classes, weakest first; those that were not tested come last."""
    ordered = sorted(rows, key=lambda row: (row["recall"] is None, row["recall"] or 0.0, row["f1"] or 0.0))
    shown = ordered[:CLASSES_SHOWN]
    drawn = [{**row, "bar": charts.bar(row["recall"], "a", row["recall_interval"])} for row in shown]
    cut = len(drawn) if len(drawn) <= ALL_CLASSES else _WEAKEST
    return {"open": drawn[:cut], "folded": drawn[cut:], "left_out": len(ordered) - len(shown)}


def _recalls(rows: Sequence[Facts]) -> Any:
    if len(rows) <= ALL_CLASSES:
        return None
    values = [row["recall"] for row in rows if row["recall"] is not None]
    return charts.spread_chart(values, title="How many classes there are at each recall", x_label="recall of the class")


def _matrix(matrix: Sequence[Sequence[int]] | None, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The cells of the full table: count, share of the row and a shade; [] where there are too many classes."""
    if matrix is None or len(labels) > FULL_MATRIX:
        return []
    rows = []
    for index, counts in enumerate(matrix):
        total = sum(counts)
        cells = [
            {"count": n, "share": percent(n / total) if total else "–", "shade": _shade(n, total, index == column)}
            for column, n in enumerate(counts)
        ]
        rows.append({"label": labels[index], "total": total, "cells": cells})
    return rows


def _shade(counted: int, total: int, right: bool) -> str:
    """A class of the style sheet: a0..a10 for right answers, b0..b10 for wrong ones (brighter when few)."""
    share = counted / total if total else 0.0
    return f"a{ceil(10 * share)}" if right else f"b{ceil(10 * sqrt(share))}"


def _coarse(cells: Sequence[Sequence[int]], labels: Sequence[str]) -> Any:
    return charts.coarse_heatmap(cells, labels) if len(labels) > FULL_MATRIX else None


def _confidence(facts: Facts) -> dict[str, Any]:
    after, before = facts["reliability"], facts["reliability_uncalibrated"]
    return {
        "reliability": charts.reliability_chart(after, before),
        "histogram": charts.confidence_chart(facts["confidence_histogram"]),
        "coverage": charts.coverage_chart(facts["coverage"]["curve"], after["accuracy"]),
        "sentence": _calibration_sentence(facts),
        "offer": _offer(facts),
    }


def _calibration_sentence(facts: Facts) -> str:
    after, before, temperature = facts["reliability"], facts["reliability_uncalibrated"], facts["temperature"]
    said = f"When the model states a confidence, it is off by {points(after['ece'])} on average."
    if before is None or temperature == 1.0:
        return f"{said} No temperature was applied."
    word = "toned down" if temperature > 1 else "sharpened"
    return (
        f"{said} As trained it was off by {points(before['ece'])}; its confidences were {word} with one number, the "
        f"temperature {temperature:.2f}, fitted on the validation split. No answer changes by that."
    )


def _offer(facts: Facts) -> str:
    """The first round threshold that halves the mistakes, or the one that still answers half of the examples."""
    rows = [row for row in facts["coverage"]["thresholds"] if row["accuracy"] is not None]
    accuracy, many = facts["test"]["accuracy"], facts["noun"][1]
    if not rows or accuracy == 1.0:
        return ""
    halved = next((row for row in rows if 1 - row["accuracy"] <= (1 - accuracy) / 2), None)
    row = halved or next((row for row in reversed(rows) if row["coverage"] >= 0.5), rows[0])
    return (
        f"If it may say “not sure” below a confidence of {short_percent(row['threshold'])}, it answers "
        f"{percent(row['coverage'])} of the {many} and is right {percent(row['accuracy'])} of the time."
    )


def _passage(explained: Facts | None) -> list[dict[str, Any]]:
    """Runs of text: plain, or marked as `for` or `not` (the answer) with a strength from 1 to 4 and what it did."""
    if explained is None:
        return []
    reference = passages.largest([piece[1] or 0.0 for piece in explained["passage"]])
    runs: list[dict[str, Any]] = []
    for text, contribution in explained["passage"]:
        level = passages.strength(contribution or 0.0, reference)
        mark = f"{'for' if contribution > 0 else 'not'} s{level}" if level else ""
        if runs and runs[-1]["mark"] == mark:
            runs[-1]["text"] += text
            runs[-1]["sum"] += contribution or 0.0
        else:
            runs.append({"text": text, "mark": mark, "sum": contribution or 0.0})
    return runs


def _how_explained(rows: Sequence[Facts]) -> str:
    methods = {row["explained"]["method"] for row in rows if row["explained"]}
    if not methods:
        return ""
    if methods == {"exact"}:
        how = "The model adds up what its words and short phrases weigh, so this is exact."
    else:
        how = "Found by leaving words out and asking the model again; words that only work together are shown too weak."
    plain = sum(row["explained"] is None for row in rows)
    if not plain:
        return how
    return f"{how} {plain} of {len(rows)} texts here are without marks: time was up, or they cannot be read any more."


def _speaking(rows: Sequence[Facts]) -> dict[str, Any]:
    """The words that speak for each label; where there are many labels, all but the first are folded."""
    drawn = []
    for row in rows:
        strongest = max((word["weight"] for word in row["words"]), default=0.0) or 1.0
        words = [{**word, "bar": charts.bar(word["weight"] / strongest)} for word in row["words"]]
        drawn.append({"label": row["label"], "words": words})
    return {"open": drawn[:SPEAKING_SHOWN], "folded": drawn[SPEAKING_SHOWN:]}


def _learning(history: Facts) -> list[Any]:
    drawn = []
    best = _best_epoch(history.get("val_loss_calibrated") or history.get("val_loss", ()))
    for key, title, shares in (("loss", "Loss", False), ("accuracy", "Accuracy", True)):
        lines = [
            Line(name, points, style)
            for name, points, style in (
                ("training", _points(history.get(key, ())), "b"),
                ("validation", _points(history.get(f"val_{key}", ())), "a"),
            )
            if points
        ]
        if lines:
            drawn.append((title, charts.line_chart(lines, title=title, x_label="epoch", shares=shares, mark=best)))
    rate = _points(history.get("learning_rate", ()))
    if len({value for _, value in rate}) > 1:
        line = [Line("learning rate", rate, "a")]
        drawn.append(("Learning rate", charts.line_chart(line, title="Learning rate", x_label="epoch", shares=False)))
    return [{"title": title, "chart": chart} for title, chart in drawn]


def _points(values: Sequence[float | None]) -> list[tuple[float, float]]:
    return [(epoch, value) for epoch, value in enumerate(values, 1) if value is not None]


def _best_epoch(losses: Sequence[float | None]) -> float | None:
    known = [(value, epoch) for epoch, value in enumerate(losses, 1) if value is not None]
    return float(min(known)[1]) if len(known) > 1 else None


def _split(facts: Facts) -> dict[str, Any]:
    names = {"train": "training", "validation": "validation", "test": "test", "set_aside": "set aside"}
    parts = [(name, facts["num_examples"].get(key, 0)) for key, name in names.items() if key in facts["num_examples"]]
    total = sum(n for _, n in parts) or 1
    splits = [split for split in ("train", "validation", "test") if split in facts["class_counts"]]
    rows = [
        {"label": label, "counts": [facts["class_counts"][split].get(label, 0) for split in splits]}
        for label in facts["labels"][:CLASSES_SHOWN]
    ]
    largest = max((sum(row["counts"]) for row in rows), default=0) or 1
    return {
        "bar": charts.stacked_bar(parts) if parts else "",
        "parts": [{"name": name, "count": n, "share": n / total} for name, n in parts],
        "columns": [names[split] for split in splits],
        "left_out": max(0, len(facts["labels"]) - CLASSES_SHOWN),
        "rows": [{**row, "total": sum(row["counts"]), "bar": charts.bar(sum(row["counts"]) / largest)} for row in rows]
        if splits
        else [],
    }


def _reasons(set_aside: Sequence[Facts]) -> list[tuple[str, int]]:
    """How many were set aside for what kind of reason; each one's own details stand in the list of files."""
    counts = Counter(re.split("[:;] ", item["reason"])[0] for item in set_aside).most_common()
    rest = sum(n for _, n in counts[REASONS_SHOWN:])
    return counts[:REASONS_SHOWN] + ([("other reasons", rest)] if rest else [])


def _seconds(seconds: Facts) -> list[dict[str, Any]]:
    stages = {name: value for name, value in seconds.items() if name != "total" and value is not None}
    total = seconds.get("total") or sum(stages.values())
    longest = max(stages.values(), default=0.0) or 1.0
    return [
        {
            "name": name.replace("_", " "),
            "text": duration(value),
            "share": percent(value / total) if total else "–",
            "bar": charts.bar(value / longest),
        }
        for name, value in stages.items()
    ]


def _config(config: Facts) -> Markup:
    """Already escaped, so that its line breaks stay line breaks."""
    return escape(orjson.dumps(config, option=orjson.OPT_INDENT_2).decode()) if config else Markup("")
