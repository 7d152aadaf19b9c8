"""What to worry about, in words: the facts of a test go in, `Finding`s derived from its numbers come out.

A worry is raised where an interval supports it, not where a number merely looks low.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any

from noria.contracts import Finding
from noria.evaluation.intervals import wilson
from noria.evaluation.wording import count, percent, percent_interval, short_percent

Facts = Mapping[str, Any]

SURE = 0.95  # a wrong answer above this confidence is a "confident mistake"
MANY = 5  # so many examples are named in a sentence
_FEW_TEST_EXAMPLES = 10  # a class with fewer says next to nothing
_WIDE_INTERVAL = 0.10
_IMBALANCE = 10
_GAP = 0.10  # between the accuracy in training and in validation
_ORDER = {"error": 0, "warning": 1, "info": 2}


def concerns(facts: Facts) -> list[Finding]:
    """Return what a reader should know before trusting the model, the gravest first (an empty list: nothing)."""
    checks = (
        _no_better_than_guessing, _weak_classes, _never_answered, _confidence, _confident_mistakes,
        _small_test, _thin_classes, _validation_gap, _learned_by_heart, _imbalance,
    )  # fmt: skip
    found = [finding for check in checks for finding in check(facts)]
    return sorted(found, key=lambda finding: _ORDER[finding.severity])


def _no_better_than_guessing(facts: Facts) -> Iterator[Finding]:
    test, baseline = facts["test"], facts["baseline"]
    if test["interval"][0] <= baseline["accuracy"]:
        yield Finding(
            "no_better_than_guessing", "error", 1, (baseline["label"],),
            f"The model is not clearly better than always answering “{baseline['label']}”, which is right "
            f"{percent(baseline['accuracy'])} of the time (the model: {percent_interval(test['interval'])}).",
            "Look at the pictures below: are the labels right, and can a person tell the classes apart?",
        )  # fmt: skip


def _weak_classes(facts: Facts) -> Iterator[Finding]:
    test = facts["test"]
    # Of many classes some look weak by chance: the level is shared out among them (Bonferroni).
    z = NormalDist().inv_cdf(1 - 0.025 / max(1, len(test["classes"])))
    weak = [row for row in test["classes"] if row["support"] and _recall_at_most(row, z) < test["accuracy"]]
    if not weak:
        return
    weak.sort(key=lambda row: row["recall"])
    said = "; ".join(
        f"“{row['label']}” is recognised {percent(row['recall'])} of the time "
        f"(95{chr(160)}%: {percent_interval(row['recall_interval'])}{_taken_for(row)})"
        for row in weak[:MANY]
    )
    more = f"; and {count(len(weak) - MANY)} more" if len(weak) > MANY else ""
    lead = "One class is" if len(weak) == 1 else f"{len(weak)} classes are"
    yield Finding(
        "weak_classes", "warning", len(weak), tuple(row["label"] for row in weak[:MANY]),
        f"{lead} recognised clearly less often than the average: {said}{more}.",
        "More training examples of these, or a look at whether their labels overlap, will help most.",
    )  # fmt: skip


def _recall_at_most(row: Facts, z: float) -> float:
    return wilson(round(row["recall"] * row["support"]), row["support"], z)[1]


def _taken_for(row: Facts) -> str:
    other = row["taken_for"]
    return f", mostly taken for “{other['label']}”, {other['count']} of {row['support']}" if other else ""


def _never_answered(facts: Facts) -> Iterator[Finding]:
    silent = [row["label"] for row in facts["test"]["classes"] if row["support"] and not row["answered"]]
    if silent:
        yield Finding(
            "never_answered", "warning", len(silent), tuple(silent[:MANY]),
            f"{_classes(len(silent))} never answered, though the test split has examples: {_listed(silent)}.",
            "Give more training examples of these.",
        )  # fmt: skip


def _confidence(facts: Facts) -> Iterator[Finding]:
    test = facts["test"]
    gap = test["mean_confidence"] - test["accuracy"]
    if test["interval"][0] <= test["mean_confidence"] <= test["interval"][1]:
        return
    kind, word = ("overconfident", "surer than it should be") if gap > 0 else ("underconfident", "too modest")
    yield Finding(
        kind, "warning", 1, (),
        f"The model is {word}: its confidence is {percent(test['mean_confidence'])} on average, and it is right "
        f"{percent(test['accuracy'])} of the time ({percent_interval(test['interval'])}).",
        "Do not read its confidence as a probability; more validation examples let it be calibrated better.",
    )  # fmt: skip


def _confident_mistakes(facts: Facts) -> Iterator[Finding]:
    sure = facts["confident_mistakes"]
    if sure["count"]:
        yield Finding(
            "confident_mistakes", "info", sure["count"], tuple(row["name"] for row in facts["mistakes"][:MANY]),
            f"Of the {count(sure['of'])} answers with a confidence of {short_percent(SURE)} or more, "
            f"{count(sure['count'])} {'is' if sure['count'] == 1 else 'are'} wrong. "
            "Such mistakes are often wrong labels.",
            "Look at the most confident mistakes below, and correct the labels that are wrong.",
        )  # fmt: skip


def _small_test(facts: Facts) -> Iterator[Finding]:
    test = facts["test"]
    low, high = test["interval"]
    if high - low > _WIDE_INTERVAL:
        yield Finding(
            "small_test", "warning", test["num_examples"], (),
            f"The test split is small ({count(test['num_examples'])} examples): the accuracy is known only to lie "
            f"between {percent(low)} and {percent(high)}.",
            "Do not choose between models by differences smaller than that.",
        )  # fmt: skip


def _thin_classes(facts: Facts) -> Iterator[Finding]:
    thin = [row["label"] for row in facts["test"]["classes"] if row["support"] < _FEW_TEST_EXAMPLES]
    if thin:
        yield Finding(
            "few_test_examples", "info", len(thin), tuple(thin[:MANY]),
            f"{_classes(len(thin))} tested with fewer than {_FEW_TEST_EXAMPLES} examples, so the figures of "
            f"{'this class' if len(thin) == 1 else 'these classes'} say little: {_listed(thin)}.",
            "Read the intervals, not the percentages.",
        )  # fmt: skip


def _validation_gap(facts: Facts) -> Iterator[Finding]:
    validation, test = facts["validation"], facts["test"]
    if validation and validation["interval"][0] > test["interval"][1]:
        yield Finding(
            "validation_gap", "warning", 1, (),
            f"The model does better on the validation split ({percent(validation['accuracy'])}) than on the test split "
            f"({percent(test['accuracy'])}), by more than chance.",
            "The splits may differ in kind (another camera, another day), or related examples may lie in both "
            "training and validation: give a group to those that belong together.",
        )  # fmt: skip


def _learned_by_heart(facts: Facts) -> Iterator[Finding]:
    seen, unseen = (
        [value for value in facts["history"].get(key, []) if value is not None] for key in ("accuracy", "val_accuracy")
    )
    if not seen or not unseen or seen[-1] - unseen[-1] <= _GAP:
        return
    validation = facts["num_examples"].get("validation", 0)
    if validation and wilson(round(unseen[-1] * validation), validation)[1] >= seen[-1]:
        return
    yield Finding(
        "learned_by_heart", "info", 1, (),
        f"In the last epoch the model was right on {percent(seen[-1])} of the training examples, and on "
        f"{percent(unseen[-1])} of the validation examples: part of what it learned is learned by heart.",
        "More examples, more augmentation or stronger regularisation narrow this gap.",
    )  # fmt: skip


def _imbalance(facts: Facts) -> Iterator[Finding]:
    counts = {label: n for label, n in facts["class_counts"].get("train", {}).items() if n}
    if len(counts) < 2:
        return
    most, fewest = max(counts, key=lambda label: counts[label]), min(counts, key=lambda label: counts[label])
    if counts[most] >= _IMBALANCE * counts[fewest]:
        yield Finding(
            "imbalance", "info", 2, (most, fewest),
            f"“{most}” has {count(counts[most])} training examples, “{fewest}” {count(counts[fewest])}: "
            "accuracy mostly tells about the large classes.",
            "Read the balanced accuracy, too.",
        )  # fmt: skip


def _classes(num: int) -> str:
    return "1 class is" if num == 1 else f"{count(num)} classes are"


def _listed(labels: list[str]) -> str:
    named = ", ".join(f"“{label}”" for label in labels[:MANY])
    return f"{named} and {count(len(labels) - MANY)} more" if len(labels) > MANY else named
