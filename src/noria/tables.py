"""What the command line shows as tables: facts as the verbs return them -> tables for a terminal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 3  # examples of a finding; --json has more
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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
            f"{row['agreement']:.1%}",
            f"{row['max_score_difference']:.0e}",
            f"{row['milliseconds']:.1f}",
            Text("FAILED", style="bold red") if row["failures"] else Text("ok", style="green"),
        )
    return table


def new_table(*columns: str) -> Table:
    """A table without lines."""
    from rich.table import Table  # here, because `predict --json` should answer before this would be imported

    return Table(*columns, box=None, pad_edge=False)


def printable(text: str) -> str:
    """A name as valid Unicode, whatever bytes it is made of."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def visible(text: str, *, lines: bool = False) -> str:
    """A name or message for a terminal: control characters, which could move the cursor or colour, as escapes.

    Args:
        lines: keep line breaks, as in a message of several lines.
    """
    return _CONTROLS.sub(
        lambda found: found[0] if lines and found[0] == "\n" else found[0].encode("unicode_escape").decode(),
        printable(text),
    )
