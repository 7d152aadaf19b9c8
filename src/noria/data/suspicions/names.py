"""Pictures -> a rule for groups that nobody has given: names or folders that come from one source, and look like it.

Names such as `patient12_03.jpg` may say that pictures belong together, or nothing of the kind. So the pictures are
asked: where the most alike of a label that are no copies share that part of the name far more often than by chance, a
split by single pictures would test what it has taught.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Example, Finding
from noria.data.grouping import GROUP, below, rule_of
from noria.data.similarity._whitening import fit, spread_over
from noria.data.suspicions import Looked

KINDS = frozenset({"possible_groups"})

_FEWEST_GROUPS, _FEWEST_MEMBERS = 5, 3  # of a rule; members on average
_COVERED = 0.8  # of the pictures must have a group by a rule
_TIMES, _MORE, _DEVIATIONS = 1.5, 0.05, 6.0  # chance: so many times, so much above, so many of its deviations above
_MOST, _MOST_OF_LABEL = 6000, 1500  # pictures that are looked at
_DEEPEST = 6  # folders
_SEPARATORS = "_- ."
_WORDS = re.compile(f"[{re.escape(_SEPARATORS)}]")
_SHOWN = 20

_Vectors = NDArray[np.float32]
_Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Kinship:
    """How often the most alike picture of the same label is of the same group."""

    share: float
    chance: float  # the share if groups had nothing to do with how pictures look
    deviations: float  # by which it is above chance, of chance's own

    @property
    def clear(self) -> bool:
        """Whether the groups are of pictures that look alike, beyond doubt and enough to matter."""
        return self.share >= max(_TIMES * self.chance, self.chance + _MORE) and self.deviations >= _DEVIATIONS


def suspicions(looked: Looked) -> list[Finding]:
    """Return a finding with the coarsest rule that the pictures bear out; none where groups are given."""
    examples = looked.examples
    if not examples or any(one.group for one in examples):
        return []
    rules = dict(_rules([below(one.path) for one in examples], [one.label for one in examples]))
    vectors = looked.features() if rules else None
    if vectors is None or not vectors.size:
        return []
    _, truth = np.unique([one.label for one in examples], return_inverse=True)
    chosen = _chosen(truth)
    codes = fit(vectors[chosen]).full(vectors[chosen])
    truth, apart = truth[chosen], [np.asarray(looked.units, np.int64)[chosen]]
    found: list[tuple[str, Kinship]] = []
    # The finest first; a coarser one must be true of pictures that the finer ones do not hold together already.
    numbered = {rule: _numbered(groups) for rule, groups in rules.items()}
    for rule, every in sorted(numbered.items(), key=lambda one: -len(set(one[1]))):
        numbers = np.array(every, np.int64)[chosen]
        if (kin := kinship(codes, truth, apart, numbers)).clear:
            found.append((rule, kin))
            apart.append(numbers)
    if not found:
        return []
    rule, kin = found[-1]
    return [_finding(rule, rules[rule], kin, examples)]


def kinship(codes: _Vectors, truth: _Indices, apart: Sequence[_Indices], groups: _Indices) -> Kinship:
    """Ask each picture for the most alike of its label that is no copy of it.

    Args:
        codes: (n, D), of length 1.
        truth: (n,) the label of each.
        apart: each (n,) equal for pictures that are not to be asked about one another, such as copies.
        groups: (n,) equal for members of one group.
    """
    hits, expected, variance, asked = 0, 0.0, 0.0, 0
    for label in np.unique(truth).tolist():
        of_label = np.flatnonzero(truth == label)
        likeness = codes[of_label] @ codes[of_label].T
        others = np.logical_and.reduce([units[of_label, None] != units[of_label] for units in apart])
        same = (groups[of_label, None] == groups[of_label]) & others
        likeness[~others] = -np.inf
        open_to = others.sum(axis=1)
        able = open_to > 0
        chance = same.sum(axis=1)[able] / open_to[able]
        nearest = likeness.argmax(axis=1)
        hits += int(same[np.arange(len(of_label)), nearest][able].sum())
        expected += float(chance.sum())
        variance += float((chance * (1 - chance)).sum())
        asked += int(able.sum())
    if not asked:
        return Kinship(0.0, 0.0, 0.0)
    return Kinship(hits / asked, expected / asked, (hits - expected) / max(variance, 1e-9) ** 0.5)


def _rules(paths: Sequence[str], labels: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Give the rules that could be meant, each with the group of every path, or "" where it has none."""
    depth = min(_DEEPEST, max(path.count("/") for path in paths))
    said = [f"folder:{level}" for level in range(1, depth + 1)]
    names = [PurePosixPath(path).name for path in paths]
    said += _patterns(names)
    for rule in dict.fromkeys(said):
        find = rule_of(rule)
        groups = [find(path) or "" for path in paths]
        if sum(map(bool, groups)) >= _COVERED * len(paths) and _could_be(_numbered(groups), labels):
            yield rule, groups


def _patterns(names: Sequence[str]) -> list[str]:
    """Return patterns for the parts of names up to each separator, and up to an end of fixed length."""
    first = os.path.commonprefix(names)  # noqa: RUF071 - characters are meant, no folders
    # What all names begin with belongs to no group; it ends where a word does.
    ends = [match.end() for match in _WORDS.finditer(first)]
    start = first[: ends[-1]] if ends else ""
    found = []
    for separator in _SEPARATORS:
        having = [name[len(start) :] for name in names if separator in PurePosixPath(name[len(start) :]).stem]
        if len(having) < _COVERED * len(names):
            continue
        found.append(f"{_plain(start)}{GROUP}{separator}*")
        tails = {len(PurePosixPath(name).stem.rpartition(separator)[2]) for name in having}
        if len(tails) == 1:
            found.append(f"{GROUP}{separator}{'?' * tails.pop()}.*")
    return found


def _plain(start: str) -> str:
    """Return the beginning of a pattern; characters that mean something there stand for any one."""
    return re.sub(r"[*{}]", "?", start)


def _numbered(groups: Sequence[str]) -> list[int]:
    """Return a number for each group, the place of its first member; what has no group is alone."""
    first: dict[str, int] = {}
    return [first.setdefault(group, place) if group else place for place, group in enumerate(groups)]


def _could_be(groups: Sequence[int], labels: Sequence[str]) -> bool:
    """Whether there are several groups of several members; a group for each label is just the label."""
    count = len(set(groups))
    if count < _FEWEST_GROUPS or len(groups) < _FEWEST_MEMBERS * count:
        return False
    parts = set(zip(groups, labels, strict=True))
    return len(parts) >= 2 * len(set(labels))


def _chosen(truth: _Indices) -> _Indices:
    """Take whole runs of each label's pictures, in their order: members of a group lie side by side by name."""
    labels, counts = np.unique(truth, return_counts=True)
    most = min(_MOST_OF_LABEL, max(1, _MOST // len(labels)))
    kept = []
    for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
        places = np.flatnonzero(truth == label)
        kept.append(places if count <= most else places[_runs(count, most)])
    return np.sort(np.concatenate(kept))


def _runs(count: int, most: int) -> _Indices:
    length = min(50, most)
    starts = spread_over(count - length + 1, most // length)
    return np.unique((starts[:, None] + np.arange(length)).ravel())


def _finding(rule: str, groups: Sequence[str], kin: Kinship, examples: Sequence[Example]) -> Finding:
    members = [one.path for one, group in zip(examples, groups, strict=True) if group]
    count = len(set(groups) - {""})
    return Finding(
        "possible_groups",
        "warning",
        len(members),
        tuple(members[:_SHOWN]),
        f"{len(members):,} pictures are in {count:,} groups by {rule!r}, and look like it: the most alike of the same "
        f"label that is no copy is of the same group for {kin.share:.0%} of them; by chance it would be "
        f"{kin.chance:.0%}.",
        f"If a group is a patient, a camera or a day, keep it on one side of the split (--group '{rule}'): else the "
        "model is tested on sources that it has learnt, and the figures are too good.",
        figures={"same_group": kin.share, "same_group_by_chance": kin.chance},
    )
