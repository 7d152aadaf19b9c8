"""The report of a run: what is known about the model goes in, `report.html` and `report.json` come out.

The page is drawn from the facts that the JSON holds, so that the two cannot disagree. It is one file: no script, no
request to anywhere, and everything that stems from the data is escaped.
"""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from noria.contracts import Finding, Scored, SetAside
from noria.evaluation import passages, wording
from noria.evaluation.attribution import Attribution
from noria.evaluation.calibration import confidence_histogram, coverage, reliability
from noria.evaluation.concerns import SURE, concerns
from noria.evaluation.metrics import classification
from noria.evaluation.page import view
from noria.evaluation.rendering import rendered

FORMAT = 1  # of report.json; raised when a key changes its meaning
_MISTAKES, _UNCERTAIN, _PAIRS, _STRONGEST = 24, 12, 30, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """All that a report tells. What has a default may be unknown, e.g. where a bundle is evaluated on other data."""

    title: str  # the dataset's name
    task: str
    command: str  # as typed
    created: str  # ISO 8601
    test: Scored  # as the model answers: after temperature scaling
    labels: Sequence[str] = ()  # () for those of `test`
    test_uncalibrated: Scored | None = None
    validation: Scored | None = None
    temperature: float = 1.0
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)  # by epoch: loss, val_loss, accuracy ...
    candidates: Sequence[Mapping[str, Any]] = ()  # each {l2, val_loss, val_accuracy, chosen}
    alarms: Sequence[Mapping[str, Any]] = ()  # of the training: each {kind, epoch, message, remedy}
    num_examples: Mapping[str, int] = field(default_factory=dict)  # train, validation, test, set_aside
    class_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # split -> label -> examples
    set_aside: Sequence[SetAside] = ()
    findings: Sequence[Finding] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)  # by stage, in order, and "total"
    peak_memory_bytes: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    fingerprint: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)  # name, parameters, licence, source ...
    split_note: str = ""
    preview: Callable[[str], bytes | str | None] = lambda _name: None  # an example's name -> JPEG, or text
    attribution: Callable[[str], Attribution | None] = lambda _name: None  # an example's name -> what its words did
    speaking: Sequence[Mapping[str, Any]] = ()  # for each label its `words`, as `speaking_words` returns them
    contact_sheet: bytes | None = None  # JPEG of training pictures, as the network saw them
    continued: Mapping[str, Any] = field(default_factory=dict)  # from a run: `from`, `old`, `new`
    next_steps: Sequence[str] = ()  # commands to type
    noun: tuple[str, str] = ("picture", "pictures")  # what one example is, and many
    held_out: bool = True  # False where the model may have seen the test examples


def write_report(folder: Path, content: ReportContent) -> Path:
    """Write report.html and report.json into `folder` (created if missing); return the path of the page.

    Each file is written beside its place and then moved there: a reader sees the old one or the new one, whole.
    """
    told = facts(content)
    pages = {
        "report.json": orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
        "report.html": _page(told, content).encode("utf-8"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pages.items():
        _replace(folder / name, data)
    return folder / "report.html"


def render(content: ReportContent) -> str:
    """Return the page as HTML."""
    return _page(facts(content), content)


def facts(content: ReportContent) -> dict[str, Any]:
    """Return all facts of the report, JSON-able: no NaN, no numpy, no text that cannot be stored as UTF-8."""
    test = classification.measure(content.test)
    told = {
        "format": FORMAT,
        **_as_given(content),
        "test": test,
        "baseline": _baseline(content),
        "test_uncalibrated": _summary(content.test_uncalibrated),
        "validation": _summary(content.validation),
        "reliability": reliability(content.test.scores, content.test.truth),
        "reliability_uncalibrated": _reliability(content.test_uncalibrated),
        "confidence_histogram": confidence_histogram(content.test.scores, content.test.truth),
        "coverage": coverage(content.test.scores, content.test.truth),
        "confident_mistakes": _confident_mistakes(content.test),
        "confused_pairs": _confused_pairs(content.test),
        "mistakes": _looked_at(content, classification.confident_mistakes(content.test, _MISTAKES)),
        "least_certain": _looked_at(content, classification.least_certain(content.test, _UNCERTAIN)),
    }
    told["concerns"] = [asdict(concern) for concern in concerns(told)]
    told["verdict"] = _verdict(told)
    plain: dict[str, Any] = _plain(told)
    return plain


def _page(told: Mapping[str, Any], content: ReportContent) -> str:
    # The names in the facts are made storable; the callable wants the true ones.
    previews = {
        "mistakes": _previews(content, classification.confident_mistakes(content.test, _MISTAKES)),
        "least_certain": _previews(content, classification.least_certain(content.test, _UNCERTAIN)),
    }
    return rendered("report.html", f=told, v=view(told), previews=previews, sheet=_shown(content.contact_sheet))


def _previews(content: ReportContent, indices: Sequence[int]) -> list[dict[str, str]]:
    """For each example `image`, a JPEG as data URI, or `text`, or nothing."""
    return [_shown(content.preview(content.test.names[index])) for index in indices]


def _shown(preview: bytes | str | None) -> dict[str, str]:
    if isinstance(preview, bytes):
        return {"image": f"data:image/jpeg;base64,{base64.b64encode(preview).decode()}"}
    return {"text": passages.cut(preview)} if preview else {}


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _as_given(content: ReportContent) -> dict[str, Any]:
    """The fields that are facts already."""
    worked_on = {"test", "test_uncalibrated", "validation", "preview", "attribution", "labels", "set_aside", "findings"}
    worked_on |= {"contact_sheet"}
    given = {name: getattr(content, name) for name in ReportContent.__slots__ if name not in worked_on}
    return {
        **given,
        "labels": content.labels or content.test.labels,
        "set_aside": [asdict(item) for item in content.set_aside],
        "findings": [asdict(item) for item in content.findings],
    }


def _baseline(content: ReportContent) -> dict[str, Any]:
    """How often always answering the class that is most common in training would be right."""
    labels = content.test.labels
    in_test = np.bincount(content.test.truth, minlength=len(labels))
    in_train = content.class_counts.get("train", {})
    counts = [in_train.get(label, 0) for label in labels] if in_train else in_test.tolist()
    commonest = max(range(len(labels)), key=lambda index: counts[index])
    return {"label": labels[commonest], "accuracy": float(in_test[commonest] / len(content.test.truth))}


def _summary(scored: Scored | None) -> dict[str, Any] | None:
    if scored is None or len(scored.truth) == 0:
        return None
    measured = classification.measure(scored)
    return {
        key: measured[key]
        for key in ("num_examples", "accuracy", "interval", "balanced_accuracy", "log_loss", "brier", "mean_confidence")
    }


def _reliability(scored: Scored | None) -> dict[str, Any] | None:
    return None if scored is None or len(scored.truth) == 0 else reliability(scored.scores, scored.truth)


def _confident_mistakes(scored: Scored) -> dict[str, Any]:
    sure = scored.scores.max(axis=1) >= SURE
    wrong = classification.answers(scored) != scored.truth
    return {"confidence": SURE, "of": int(sure.sum()), "count": int((sure & wrong).sum())}


def _confused_pairs(scored: Scored) -> list[dict[str, Any]]:
    cells = classification.confusion_cells(scored.truth, classification.answers(scored), len(scored.labels))
    support = np.bincount(scored.truth, minlength=len(scored.labels))
    return [
        {
            "truth": scored.labels[truth],
            "answer": scored.labels[answer],
            "count": count,
            "share": count / int(support[truth]),
        }
        for truth, answer, count in classification.confused_pairs(cells, _PAIRS)
    ]


def _looked_at(content: ReportContent, indices: Sequence[int]) -> list[dict[str, Any]]:
    rows, scored = [], content.test
    for index in indices:
        first, *rest = (int(i) for i in np.argsort(-scored.scores[index], kind="stable")[:2])
        truth = int(scored.truth[index])
        rows.append(
            {
                "name": scored.names[index],
                "truth": scored.labels[truth],
                "answer": scored.labels[first],
                "right": first == truth,
                "confidence": float(scored.scores[index, first]),
                "second": scored.labels[rest[0]] if rest else None,
                "second_confidence": float(scored.scores[index, rest[0]]) if rest else None,
                "explained": _explained(content.attribution(scored.names[index])),
            }
        )
    return rows


def _explained(attribution: Attribution | None) -> dict[str, Any] | None:
    """The strongest words of a text, and the passage to show, in pieces with what each contributed."""
    if attribution is None:
        return None
    strongest = sorted(attribution.tokens, key=lambda part: -abs(part.contribution))[:_STRONGEST]
    return {
        "method": attribution.method,
        "strongest": [[passages.short(part.text), round(part.contribution, 6)] for part in strongest],
        "passage": passages.passage(attribution.text, attribution.tokens),
    }


def _verdict(told: Mapping[str, Any]) -> dict[str, str]:
    test, baseline, noun = told["test"], told["baseline"], told["noun"]
    examples = f"{wording.count(test['num_examples'])} {noun[0] if test['num_examples'] == 1 else noun[1]}"
    unseen = " it never saw" if told["held_out"] else ""
    error, blind = 1 - test["accuracy"], 1 - baseline["accuracy"]
    fewer = f": the model makes {blind / error:.1f} times fewer mistakes" if 0 < error < blind / 1.05 else ""
    return {
        "sentence": f"On {examples}{unseen}, the model is right {wording.percent(test['accuracy'])} of the time "
        f"(95{wording.NBSP}%: {wording.percent_interval(test['interval'])}).",
        "comparison": f"Always answering “{baseline['label']}”, the most common class, would be right "
        f"{wording.percent(baseline['accuracy'])} of the time{fewer}.",
    }


def _plain(value: Any) -> Any:
    """The same value in the types of JSON; a number that is not finite becomes None."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    return _plain(str(value))
