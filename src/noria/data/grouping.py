"""What was said of groups and of time, applied to a Listing: each input gets its own group and moment.

A rule for groups is `folder:N` (the N-th folder below the data), `column:NAME` (of a table, whose reader follows it),
or a pattern of names such as `{group}_*.jpg`. A rule for time is `name` or `column:NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from noria.contracts import Candidate, Finding
from noria.data.duplicates import join
from noria.data.readers import Columns, Listing, column_of
from noria.errors import ConfigError

GROUP = "{group}"
KINDS = frozenset({"grouped", "ungrouped"})
_FOLDER = re.compile(r"folder:([1-9][0-9]?)")
_WILD = "*?"
_HELP = (
    "Expected a pattern of names such as {group}_*.jpg or */{group}-*, a folder such as folder:2, or of a table a "
    "column such as column:author."
)
_SHOWN = 20

Rule = Callable[[str], str | None]  # the path of an input -> its group, None where it has none


def rule_of(said: str) -> Rule:
    """Return what finds the group in a path, with forward slashes and relative to the data.

    In a pattern `{group}` is the group: one character or more, as few as fit from the left. `*` is any number of
    characters, `?` one, both never a slash; all else stands for itself. A pattern without a slash is one of the file's
    name, one with a slash of the whole path. The time that it takes grows with the lengths of pattern and path.

    Raises:
        ConfigError: it is no rule.
    """
    if column_of(said) is not None:
        return lambda path: None  # the table's reader knows it
    if said.startswith("folder:"):
        match = _FOLDER.fullmatch(said)
        if match is None:
            raise ConfigError(f"The group {said!r} names no folder. Expected folder:1, folder:2 …")
        level = int(match[1])
        return lambda path: _folder(path, level)
    pattern, whole = _translated(said), "/" in said

    def find(path: str) -> str | None:
        found = pattern.match(path if whole else PurePosixPath(path).name)
        return found["group"] if found else None

    return find


def require_order(said: str) -> None:
    """Raise ConfigError where a rule for time is none."""
    if said and said != "name" and not column_of(said):
        raise ConfigError(f"The order {said!r} is not known. Expected name, or a column such as column:date.")


def grouped(listing: Listing, columns: Columns, path: Path) -> Listing:
    """Return the listing with the groups and moments that were asked for; as it is where none were.

    Inputs that the reader has grouped already, such as the frames of a video, stay together, too. Groups of one name
    are one group, whatever folders they lie in.

    Raises:
        ConfigError: the rule fits nothing, puts all inputs into one group, or is about a table and there is none.
    """
    for said in (columns.group, columns.order):
        if said and column_of(said) and path.is_dir():
            raise ConfigError(f"{said!r} names the column of a table, and {path} is a folder. {_HELP}")
    candidates = list(listing.candidates)
    found = listing.findings
    if columns.group:
        find = rule_of(columns.group)
        by_column = column_of(columns.group) is not None
        groups = [one.group if by_column else find(below(one.path)) for one in candidates]
        found = (*found, *_told(columns.group, candidates, groups))
        candidates = candidates if by_column else _with(candidates, groups)
    if columns.order and any(one.split for one in candidates):
        raise ConfigError(f"The order {columns.order!r} would split by time, and {path} gives a split of its own.")
    if columns.order == "name":
        candidates = [replace(one, order=PurePosixPath(one.path).name) for one in candidates]
    return replace(listing, candidates=candidates, findings=found)


def below(path: str) -> str:
    """Return a path as rules are asked about it: relative to the data."""
    return path.removeprefix("/")


def _folder(path: str, level: int) -> str | None:
    folders = path.split("/")[:-1]
    return folders[level - 1] if len(folders) >= level else None


def _translated(said: str) -> re.Pattern[str]:
    before, group, after = said.partition(GROUP)
    if not group or "{" in before + after or "}" in before + after:
        raise ConfigError(f"The group {said!r} has no part {GROUP}, or other braces. {_HELP}")
    if before.endswith("*") or after.startswith("*"):
        raise ConfigError(
            f"The group {said!r} does not say where {GROUP} begins and ends: put something else than * beside it, "
            "such as the character that separates it from the rest."
        )
    # Each star with what follows it up to the next one is atomic, taken at the first place where it fits: nothing that
    # fits is missed by that, and nothing is tried twice.
    parts = re.split(r"(\*|\{group\})", re.sub(r"\*+", "*", said))
    written = [_fixed(parts[0])]
    stars = list(zip(parts[1::2], parts[2::2], strict=True))
    for number, (star, fixed) in enumerate(stars, start=1):
        free = "[^/]*?" if star == "*" else "(?P<group>[^/]+?)"
        last = number == len(stars)
        written.append(f"{free}{_fixed(fixed)}" if last else f"(?>{free}{_fixed(fixed)})")
    return re.compile("".join(written) + r"\Z", re.DOTALL)


def _fixed(part: str) -> str:
    return "".join("[^/]" if one == "?" else re.escape(one) for one in part)


def _with(candidates: Sequence[Candidate], groups: Sequence[str | None]) -> list[Candidate]:
    """Give each its group; where it has one already, both hold, and the first name of all that so belong together."""
    keys = [
        [(kind, name) for kind, name in (("reader", one.group), ("rule", group)) if name]
        for one, group in zip(candidates, groups, strict=True)
    ]
    if not any(len(some) > 1 for some in keys):
        return [replace(one, group=group) if group else one for one, group in zip(candidates, groups, strict=True)]
    together = join(keys)
    names: dict[int, str] = {}
    for unit, some in zip(together, keys, strict=True):
        for _, name in some:
            names[unit] = min(names.get(unit, name), name)
    return [replace(one, group=names.get(unit)) for one, unit in zip(candidates, together, strict=True)]


def _told(said: str, candidates: Sequence[Candidate], groups: Sequence[str | None]) -> list[Finding]:
    if not candidates:
        return []
    names = {group for group in groups if group}
    missing = [one.path for one, group in zip(candidates, groups, strict=True) if not group]
    first = ", ".join(repr(one.path) for one in candidates[:3])
    if not names:
        raise ConfigError(f"The group {said!r} fits none of the {len(groups):,} inputs. The first are {first}. {_HELP}")
    if len(names) == 1 and not missing and len(candidates) > 1:
        raise ConfigError(
            f"The group {said!r} puts all {len(groups):,} inputs into one group, {min(names)!r}, which "
            f"cannot be split. The first are {first}. {_HELP}"
        )
    members = [one.path for one, group in zip(candidates, groups, strict=True) if group]
    message = (
        f"{len(members):,} inputs are in {len(names):,} {'group' if len(names) == 1 else 'groups'} by {said!r}; each "
        "stays on one side of the split."
    )
    found = [
        Finding("grouped", "info", len(members), tuple(members[:_SHOWN]), message, "--group RULE follows another rule.")
    ]
    if missing:
        message = f"{len(missing):,} of {len(groups):,} inputs have no group by {said!r}; each stands for itself."
        remedy = "If they belong to groups, mend the rule or their names: else the split may tear them apart."
        found.append(Finding("ungrouped", "warning", len(missing), tuple(missing[:_SHOWN]), message, remedy))
    return found
