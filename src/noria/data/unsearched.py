"""What a check did not look for, and why -> findings: without them a search that was not made would look clean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from noria.contracts import Finding

KIND = "not_searched"
KINDS = frozenset({KIND})
PARTS = "parts of pictures"  # of near duplicates; they need features

Unsearched = defaultdict[str, list[str]]  # why, and what to do -> what was not looked for


def findings(unsearched: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Return a finding for each reason, its examples the searches that were not made."""
    return [
        Finding(KIND, "info", len(what), tuple(what), f"{_begin(what)}{why}", "Mend that, and run noria check again.")
        for why, what in unsearched.items()
        if what
    ]


def without(finding: Finding, searched: str) -> list[Finding]:
    """Return a finding of this kind as it is once a search has been made; nothing where it told of that one only."""
    why = finding.message.removeprefix(_begin(finding.examples))
    return findings({why: [one for one in finding.examples if one != searched]})


def _begin(what: Sequence[str]) -> str:
    return f"Not looked for: {', '.join(what)}. "
