"""What the command line shows as tables: facts as the verbs return them -> tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from noria.terminal import visible

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 3  # examples of a finding; --json has more
MOST_ROWS = 10  # labels whose shares changed most, inputs that moved most


def dataset_table(dataset: Any) -> Table:
    """How many examples of each label are on each side."""
    table = new_table("label", "train", "validation", "test")
    counts = Counter((one.label, one.split) for one in dataset.examples)
    for label in dataset.labels:
        sides = (counts[label, side] for side in ("train", "validation", "test"))
        table.add_row(Text(visible(label)), *(f"{count:,}" for count in sides))
    return table


def findings_table(findings: Sequence[dict[str, Any]]) -> Table | str:
    """What a person should know about the data, with the first examples of each finding."""
    if not findings:
        return "Nothing to report."
    table = new_table("", "finding", "count", "what it means")
    for finding in findings:
        colour = {"error": "red", "warning": "yellow"}.get(finding["severity"], "dim")
        shown = ", ".join(visible(name) for name in finding["examples"][:SHOWN])
        more = ", ..." if finding["count"] > SHOWN else ""
        said = visible(f"{finding['message']} {finding['remedy']}".strip()) + (f" ({shown}{more})" if shown else "")
        table.add_row(Text(finding["severity"], style=colour), finding["kind"], f"{finding['count']:,}", Text(said))
    return table


def proof_line(dataset: Any) -> str:
    """What the split tears apart: nothing, where all is well."""
    if dataset.proof is None:
        return ""
    torn = dataset.proof["cross_split_pairs"]
    told = ", ".join(f"{kind.replace('_', ' ')} {count:,}" for kind, count in torn.items())
    together = (
        f"{dataset.proof['examples_together']:,} inputs in {dataset.proof['units_together']:,} units kept together"
    )
    order = dataset.proof.get("time_order")
    newer = f" Learnt from but newer than what is held out: {order['train_newer_than_held_out']:,}." if order else ""
    return f"Pairs across the split: {told} ({together}).{newer}"


def comparison_tables(told: Mapping[str, Any]) -> list[Any]:
    """What `noria.compare_data` tells: what changed, the labels' shares, how far the inputs moved, and which most."""
    counts = new_table("against", "count", visible(told["old"]))
    pairs = {
        "relabelled": [f"{one['path']}: {one['before']} -> {one['label']}" for one in told["relabelled"]],
        "renamed": [f"{one['before']} -> {one['now']}" for one in told["renamed"]],
    }
    for kind in ("added", "gone", "relabelled", "renamed", "edited", "set_aside"):
        names = pairs.get(kind, told[kind])
        more = ", ..." if len(names) > SHOWN else ""
        if not names and kind not in ("added", "gone"):
            continue
        counts.add_row(kind.replace("_", " "), f"{len(names):,}", Text(visible(", ".join(names[:SHOWN]) + more)))
    counts.add_row("kept", f"{told['kept']:,}", "")
    return ["", counts, "", _shares_table(told), "", *_drift_lines(told), ""]


def _shares_table(told: Mapping[str, Any]) -> Table:
    """The share of each label before and now, those that changed most first."""
    sides = {"old": "old", "new": "new"} | ({told["tested"]: "tested"} if told[told["tested"]] else {})
    table = new_table("label", *sides)
    for row in told["labels"][:MOST_ROWS]:
        table.add_row(Text(visible(row["label"])), *(f"{row[side]:.1%}" for side in sides.values()))
    return table


def _drift_lines(told: Mapping[str, Any]) -> list[Any]:
    lines: list[Any] = []
    if shares := told["shares"]:
        lines.append(
            f"Labels: Cramer's V {shares['cramers_v']:.2f} between the {told['tested']} and the others (0 the same "
            f"shares, 1 no label in common), p = {shares['p_value']:.4f}."
        )
    drift = told["drift"]
    if drift is None:
        return [*lines, f"Inputs: not tested, {told['untested']}"]
    low, high = drift["interval"]
    first, second = drift["compared"]
    moved = drift["how_far"] != "not"
    found = f"the {told['tested']} differ {drift['how_far']}" if moved else "no drift"
    lines.append(
        f"Inputs: {found}; told apart {drift['auc']:.1%} of the time (50 % is "
        f"chance; 95 %: {low:.1%} to {high:.1%}), p = {drift['p_value']:.3f}, {first:,} against {second:,}."
    )
    if not moved:
        return lines
    table = new_table("moved most", "label", "less moved are")
    for one in drift["moved_most"][:MOST_ROWS]:
        table.add_row(Text(visible(one["path"])), Text(visible(one["label"])), f"{one['score']:.1%}")
    return [*lines, "", table]


def classes_table(classes: Sequence[dict[str, Any]]) -> Table:
    """The classification report."""
    table = new_table("label", "precision", "recall", "F1", "support")
    for row in classes:
        # None: a ratio of nothing, e.g. the recall of a label that the data lacks.
        figures = ("" if row[key] is None else f"{row[key]:.3f}" for key in ("precision", "recall", "f1"))
        table.add_row(Text(visible(row["label"])), *figures, f"{row['support']:,}")
    return table


def runtimes_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """What each runtime of a bundle did."""
    table = new_table("runtime", "MB", "accuracy", "95 %", "agrees", "differs", "ms", "")
    for column in table.columns:
        column.no_wrap = True
    for row in rows:
        low, high = row["interval"] or (None, None)
        table.add_row(
            row["name"],
            f"{row['bytes'] / 1e6:.2f}",
            "" if row["accuracy"] is None else f"{row['accuracy']:.1%}",
            "" if low is None else f"{low:.1%}-{high:.1%}",
            *((f"{row['agreement']:.1%}", f"{row['max_score_difference']:.0e}") if row["num_examples"] else ("", "")),
            f"{row['milliseconds']:.1f}" if row["num_examples"] else "",
            _verdict(row),
        )
    return table


def _verdict(row: Mapping[str, Any]) -> Text:
    if row["failures"]:
        return Text("FAILED", style="bold red")
    beyond = row.get("beyond", 0)  # bundles of before do not tell
    if not row["num_examples"]:
        return Text("not compared: of a kind that it cannot decode", style="yellow")
    return Text(f"ok, but for {beyond:,} it cannot decode" if beyond else "ok", style="green")


def new_table(*columns: str) -> Table:
    """A table without lines."""
    from rich.table import Table  # here, because `predict --json` should answer before this would be imported

    return Table(*columns, box=None, pad_edge=False)
