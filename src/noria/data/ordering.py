"""A split by time: inputs with their moments -> train, the oldest; then validation; test, the newest.

A moment is a number, a date (ISO 8601, also with / or . in it), or a name, in which digits count as numbers. Nothing
that is learnt from is newer than the border: what must stay together goes by its newest member.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from typing import Any

from noria.contracts import SPLITS, Example, Finding, Split
from noria.errors import ConfigError

KINDS = frozenset({"ordered_split", "without_moment"})
FACT = "order"  # of an example: its moment, as written
_DATE = re.compile(r"(\d{4})[-/.年](\d{1,2})(?:[-/.月](\d{1,2})日?)?(?:[T ]+(\S.*))?")
_SHOWN = 20


def assign_in_order(
    moments: Sequence[str | None], units: Sequence[int], *, ratios: Sequence[float], order: str
) -> list[Split]:
    """Return the side of each input.

    Args:
        moments: of each, as written; what has none goes to train.
        units: what has the same number stays together.
        ratios: train : validation : test, kept as exactly as blocks of equal moments allow.
        order: `name`, or the column, for messages.

    Raises:
        ConfigError: moments are neither numbers nor dates, or there are too few different ones.
    """
    newest, sizes = _newest(units, sort_keys(moments, order)), Counter(units)
    ordered = sorted(newest, key=lambda unit: newest[unit])
    blocks = [list(block) for _, block in groupby(ordered, key=lambda unit: newest[unit])]
    sides = _cut([sum(sizes[unit] for unit in block) for block in blocks], ratios, order)
    side_of = {unit: side for block, side in zip(blocks, sides, strict=True) for unit in block}
    return [side_of.get(unit, "train") for unit in units]


def sort_keys(moments: Sequence[str | None], order: str) -> list[Any]:
    """Return what sorts the moments by time, None for none.

    Raises:
        ConfigError: those of a column are neither all numbers nor all dates.
    """
    if order == "name":
        return [None if one is None else _natural(one) for one in moments]
    numbers = [None if one is None else _number(one) for one in moments]
    if all(number is not None for number, one in zip(numbers, moments, strict=True) if one is not None):
        return numbers
    dates = [None if one is None else _date(one) for one in moments]
    strange = [one for date, one in zip(dates, moments, strict=True) if date is None and one is not None]
    if strange:
        raise ConfigError(
            f"The order {order!r}: {len(strange):,} values are neither all numbers nor all dates, the first "
            f"{strange[0]!r}. Expected dates such as 2024-05-31 or 2024-05-31T12:30, or numbers, larger for later."
        )
    return dates


def newer_than_held_out(examples: Sequence[Example], units: Sequence[int], order: str) -> list[tuple[int, int]]:
    """Return the place of each example that is learnt from but newer than the oldest unit of the other sides, and of
    one of that unit; none of a split by time. A unit is as new as its newest member, whatever side that is on.

    Raises:
        ConfigError: moments are neither numbers nor dates.
    """
    keys = sort_keys([one.facts.get(FACT) for one in examples], order)
    newest = _newest(units, keys)
    held_out = [place for place, one in enumerate(examples) if one.split != "train" and units[place] in newest]
    if not held_out:
        return []
    oldest = min(held_out, key=lambda place: newest[units[place]])
    border = newest[units[oldest]]
    learnt = [(place, key) for place, key in enumerate(keys) if examples[place].split == "train"]
    return [(place, oldest) for place, key in learnt if key is not None and key > border]


def _newest(units: Sequence[int], keys: Sequence[Any]) -> dict[int, Any]:
    """Return the largest key of each unit that has one."""
    newest: dict[int, Any] = {}
    for unit, key in zip(units, keys, strict=True):
        if key is not None and (unit not in newest or key > newest[unit]):
            newest[unit] = key
    return newest


def with_moment(facts: Mapping[str, Any], moment: str | None) -> Mapping[str, Any]:
    """Return the facts of an example, with its moment where it has one."""
    return facts if moment is None else {**facts, FACT: moment}


def told_order(examples: Sequence[Example], order: str | None) -> Iterator[Finding]:
    """Yield what a person should know of a split by time."""
    if not order:
        return
    known = [one for one in examples if FACT in one.facts]
    keys = sort_keys([one.facts[FACT] for one in known], order)
    parts = []
    for side in SPLITS:
        here = [(key, one.facts[FACT]) for key, one in zip(keys, known, strict=True) if one.split == side]
        if here:
            first, last = min(here, key=lambda pair: pair[0])[1], max(here, key=lambda pair: pair[0])[1]
            parts.append(f"{side} from {first} to {last}")
    message = f"The split goes by time ({order}): {'; '.join(parts)}. Its classes are divided as time has it."
    paths = tuple(one.path for one in known[:_SHOWN])
    remedy = "--set data.split=[3,1,1] moves its borders; without data.order it goes by chance."
    yield Finding("ordered_split", "info", len(known), paths, message, remedy)
    lacking = tuple(one.path for one in examples if FACT not in one.facts)
    if lacking:
        message = (
            f"{len(lacking):,} inputs without a moment ({order}): they are on the side train, or with what they are "
            "tied to."
        )
        remedy = "Give each its date; one that is newer than the test would be learnt from."
        yield Finding("without_moment", "warning", len(lacking), lacking[:_SHOWN], message, remedy)


def _cut(sizes: Sequence[int], ratios: Sequence[float], order: str) -> list[Split]:
    """Return the side of each block, oldest first."""
    wanted = [side for side, ratio in zip(SPLITS, ratios, strict=True) if ratio > 0]
    if len(sizes) < len(wanted):
        raise ConfigError(
            f"The order {order!r} has {len(sizes)} different moments; a split by time into {', '.join(wanted)} needs "
            f"{len(wanted)} at least."
        )
    ends = list(accumulate(sizes))  # inputs up to and with each block
    shares = list(accumulate(ratio / sum(ratios) for ratio in ratios if ratio > 0))
    sides: list[Split] = []
    for number, (side, share) in enumerate(zip(wanted, shares, strict=True)):
        after = len(wanted) - number - 1  # sides that still need a block each
        fitting = range(len(sides) + 1, len(sizes) - after + 1)
        until = len(sizes) if not after else min(fitting, key=lambda end: abs(ends[end - 1] - share * ends[-1]))
        sides += [side] * (until - len(sides))
    return sides


def _natural(name: str) -> tuple[Any, ...]:
    """Names with digits as numbers, the number's own digits last: 2 before 10, and 02 is not 2."""
    parts = re.split(r"([0-9]+)", name)
    return (*(int(part[:300]) if place % 2 else part for place, part in enumerate(parts)), name)


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if number - number == 0 else None  # neither infinite nor "nan"


def _date(value: str) -> datetime.datetime | None:
    match = _DATE.fullmatch(value.strip())
    try:
        if match is None:
            return _in_utc(datetime.datetime.fromisoformat(value.strip()))
        year, month, day, clock = match.groups()
        date = f"{year}-{int(month):02}-{int(day or 1):02}"
        return _in_utc(datetime.datetime.fromisoformat(f"{date}T{clock}" if clock else date))
    except (ValueError, OverflowError):
        return None


def _in_utc(moment: datetime.datetime) -> datetime.datetime:
    """A moment without a zone is taken as one in UTC."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    return moment.astimezone(datetime.UTC)
