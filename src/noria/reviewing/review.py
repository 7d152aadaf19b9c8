"""A checked dataset and its decisions file -> what the page shows, and each answer -> a row of the file.

Inputs are known to the page by number, never by name; what is shown of one are the bytes that were checked.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from noria.artifacts.dataset import Dataset, tidy_label
from noria.contracts import Finding, Suspect
from noria.data import decisions
from noria.data.decisions import Decision, Verdict, cell
from noria.data.findings import ranked
from noria.data.mending import Known, answered_kinds, last_words, of_pair, places_of
from noria.errors import ConfigError, NotServedError, UnreadableInputError, UserError

_VIEWS = 48  # that are kept ready: some tens of MiB
_AT_ONCE = 2  # inputs that are decoded at the same time
_TYING = ("same", "different")

View = bytes | str  # a JPEG, or a text


@dataclass(frozen=True, slots=True)
class _Shown:
    """An input that the page can show."""

    path: str
    label: str
    sha256: str | None
    reason: str = ""  # why it is not used
    facts: Mapping[str, Any] = field(default_factory=dict)


class Review:
    """The findings of a dataset and what was answered. Several threads may use it."""

    def __init__(
        self, dataset: Dataset, before: Dataset, place: Path, close_up: Callable[[bytes], View], *, texts: bool = False
    ) -> None:
        """Begin where the file's last decision left off.

        Args:
            dataset: with the decisions that there are.
            before: the same without them.
            place: the decisions file; it is made with the first answer.
            close_up: what shows an input's bytes.
            texts: whether it shows texts.
        """
        self.place = place
        self.view = functools.lru_cache(maxsize=_VIEWS)(self._view)
        self._before = before
        self._close_up = close_up
        self._texts = texts
        self._findings = _joined(before.findings, dataset.findings)
        self._known = _known(before)
        self._inputs = _inputs(before, self._findings)
        self._number = {one.path: number for number, one in enumerate(self._inputs)}
        self._by_cell = {cell(path): number for path, number in self._number.items()}
        self._lock = threading.Lock()
        self._decoding = threading.BoundedSemaphore(_AT_ONCE)
        self._standing: list[tuple[Decision, tuple[int, ...]]] = []  # with the numbers of its inputs on this page
        self._stacks = defaultdict[int, list[Decision]](list)  # of each input
        self._stamp: tuple[int, int] | None = None  # of the file as it was read
        self._reload()

    @property
    def answers(self) -> int:
        """How many decisions stand in the file."""
        with self._lock:
            return len(self._standing)

    def state(self) -> dict[str, Any]:
        """Return all that the page shows, but for the inputs themselves."""
        with self._lock:
            self._reload()
            return {
                "name": self._before.name,
                "place": str(self.place),
                "shows": "text" if self._texts else "picture",
                "findings": [
                    {
                        "kind": one.kind,
                        "severity": one.severity,
                        "message": one.message,
                        "remedy": _without_the_way_here(one.remedy),
                        "examples": one.examples,
                        "files": [self._number[path] for path in one.files or one.examples if path in self._number],
                        "suspects": [self._row(suspect) for suspect in one.suspects],
                    }
                    for one in self._findings
                ],
                "inputs": [
                    {"path": cell(one.path), "label": one.label, "reason": one.reason, "facts": dict(one.facts)}
                    for one in self._inputs
                ],
                **self._changed(range(len(self._inputs))),
            }

    def answer(
        self, number: int, verdict: Verdict, *, label: str = "", other: int | None = None, finding: str = ""
    ) -> dict[str, Any]:
        """Write down what is said about an input, unless it stands already, and return what the page has to change.

        Args:
            number: of the input.
            verdict: what is said.
            label: to relabel it as.
            other: the input that it is compared with.
            finding: the kind of finding that it was said to; what is kept is kept for that one.

        Raises:
            NotServedError: there is no input of that number.
            ConfigError: the decision lacks what it needs, or the label cannot stand in a table.
            NoriaError: the file cannot be written.
        """
        one = self._input(number)
        compared = None if other is None else self._input(other)
        label = tidy_label(label) if verdict == "relabel" else one.label
        if verdict == "relabel" and (not label or (cell(label) != label and label not in self._labels())):
            raise ConfigError(f"{label!r} is no label: it must not be empty, and on one line.")
        if verdict in ("same", "different") and (compared is None or compared.path == one.path):
            raise ConfigError("There is no other input here to compare this one with.")
        if verdict == "keep" and not (finding or compared):
            raise ConfigError("To keep an input takes the finding that it is kept for.")
        decision = Decision(
            verdict,
            cell(one.path),
            one.sha256 or "",
            label,
            cell(compared.path) if compared else "",
            (compared.sha256 or "") if compared else "",
            finding,
        )
        with self._lock:
            self._reload()
            if self._stands(number, decision):
                return self._changed([number])
            decisions.append(self.place, decision)
            self._push(decision, (number,))
            self._stamp = self._stamped()
            return self._changed([number])

    def undo(self) -> dict[str, Any]:
        """Take the last decision that stands back, and return what the page has to change.

        Raises:
            ConfigError: no decision stands.
            NoriaError: the file cannot be written.
        """
        with self._lock:
            self._reload()
            if not self._standing:
                raise ConfigError("There is nothing to take back.")
            decision = self._standing[-1][0]
            decisions.append(self.place, decisions.taking_back(decision))
            numbers = self._pop()
            self._stamp = self._stamped()
            return {**self._changed(numbers), "undone": {"decision": decision.verdict, "path": decision.path}}

    def close(self) -> int:
        """Wait for an answer that is being written, take no more, and return how many stand."""
        self._lock.acquire()
        return len(self._standing)

    def _view(self, number: int) -> View:
        """Show an input as it was when it was checked.

        Raises:
            NotServedError: there is no input of that number.
            UserError: it is not a readable input, it is no longer there, or its bytes are others.
        """
        one = self._input(number)
        if one.sha256 is None:
            raise UnreadableInputError(one.reason or "its bytes could not be read")
        with self._decoding:
            data = self._before.contents.get(one.sha256)
            if data is None:
                data = self._bytes_of(one)
            return self._close_up(data)

    def _bytes_of(self, one: _Shown) -> bytes:
        try:
            data = (self._before.root / one.path).read_bytes()
        except OSError as error:
            raise UnreadableInputError(f"it cannot be read any more: {error.strerror or error}") from None
        if hashlib.sha256(data).hexdigest() != one.sha256:
            raise UserError("it was changed since it was checked; start the page again")
        return data

    def _input(self, number: int) -> _Shown:
        if not 0 <= number < len(self._inputs):
            raise NotServedError(f"There is no input {number} on this page.")
        return self._inputs[number]

    def _row(self, suspect: Suspect) -> dict[str, Any]:
        number, other = self._number[suspect.path], self._number.get(suspect.other)
        # Neither of two that are set aside is used until one is said to be right, or left out.
        apart = other is not None and bool(self._inputs[number].reason and self._inputs[other].reason)
        return {
            "input": number,
            "other": other,
            "score": round(suspect.score, 4),
            "suggested": suspect.suggested,
            "contradiction": apart,
        }

    def _labels(self) -> list[str]:
        """Those of the dataset, and those that were given here."""
        given = {decision.label for decision, _ in self._standing if decision.verdict == "relabel"}
        return sorted({*self._before.labels, *given, *(one.label for one in self._inputs if one.label)})

    def _stamped(self) -> tuple[int, int] | None:
        try:
            status = self.place.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    def _reload(self) -> None:
        """Read the file again where somebody else has written to it."""
        if self._stamp is not None and self._stamped() == self._stamp:
            return
        self._stamp = self._stamped()
        standing = decisions.read(self.place).standing
        self._standing.clear()
        self._stacks.clear()
        for decision, places in zip(standing, places_of(standing, self._known), strict=True):
            paths = (self._known[place].path for place in places)
            self._push(decision, tuple(self._number[path] for path in paths if path in self._number))

    def _push(self, decision: Decision, numbers: tuple[int, ...]) -> None:
        self._standing.append((decision, numbers))
        for number in numbers:
            self._stacks[number].append(decision)

    def _pop(self) -> tuple[int, ...]:
        _, numbers = self._standing.pop()
        for number in numbers:
            self._stacks[number].pop()
        return numbers

    def _stands(self, number: int, decision: Decision) -> bool:
        """Whether this is already said: twice in the file it would have to be taken back twice."""
        of_pair = decision.verdict in _TYING
        stack = [one for one in self._stacks.get(number, ()) if (one.verdict in _TYING) is of_pair]
        if of_pair:
            words = [one.verdict for one in stack if one.other == decision.other]
            return bool(words) and words[-1] == decision.verdict
        if decision.verdict != "keep":
            return bool(stack) and (stack[-1].verdict, stack[-1].label) == (decision.verdict, decision.label)
        # Of several that are kept for one thing and another, each stands until something else is said.
        kept = itertools.takewhile(lambda one: one.verdict == "keep", reversed(stack))
        return (decision.label, decision.other, decision.finding) in [
            (one.label, one.other, one.finding) for one in kept
        ]

    def _answer(self, number: int) -> dict[str, Any] | None:
        """What was said about an input: what becomes of it, and which findings each word answers, of which pair."""
        stack = self._stacks.get(number)
        if not stack:
            return None
        drop, label = last_words(stack)
        word = stack[next((one for one in (drop, label) if one is not None), -1)]
        answers = [
            {"kind": kind, "word": one.verdict, "other": self._by_cell.get(one.other) if of_pair(one) else None}
            for one in stack
            for kind in sorted(answered_kinds(one))
        ]
        return {"decision": word.verdict, "label": word.label, "answers": answers}

    def _changed(self, numbers: Iterable[int]) -> dict[str, Any]:
        answers = {str(number): self._answer(number) for number in numbers}
        return {"answers": answers, "standing": len(self._standing), "labels": self._labels()}


def _joined(before: Sequence[Finding], after: Sequence[Finding]) -> tuple[Finding, ...]:
    """All that is to be judged, answered or not: what was found without the decisions, and what came up with them."""
    judged = {one.kind: one for one in before if one.suspects}
    for finding in after:
        first = judged.get(finding.kind)
        if not finding.suspects or first is None:
            continue
        there = {(one.path, one.other) for one in first.suspects}
        more = tuple(one for one in finding.suspects if (one.path, one.other) not in there)
        judged[finding.kind] = replace(first, suspects=first.suspects + more)
    rest = [one for one in after if one.kind not in judged]
    return ranked([*judged.values(), *rest])


def _without_the_way_here(remedy: str) -> str:
    """Leave out the command that opens the page: whoever reads this is there."""
    return remedy.replace(" (noria check DATA --page)", "").replace(": noria check DATA --page", "")


def _inputs(dataset: Dataset, findings: Sequence[Finding]) -> list[_Shown]:
    """Each input that a finding names, and what it is compared with, once."""
    suspects = [one for finding in findings for one in finding.suspects]
    labels = {one.path: one.label for one in suspects}
    paths = dict.fromkeys(path for one in suspects for path in (one.path, one.other) if path)
    shown_only = (path for finding in findings if not finding.suspects for path in (*finding.files, *finding.examples))
    there = {*(one.path for one in dataset.examples), *(one.path for one in dataset.set_aside)}
    paths.update(dict.fromkeys(path for path in shown_only if path in there))
    shown = {path: _Shown(path, labels.get(path, ""), None, "it is not there any more") for path in paths}
    for aside in dataset.set_aside:
        if aside.path in paths:
            shown[aside.path] = _Shown(aside.path, labels.get(aside.path, ""), aside.sha256, aside.reason)
    for example in dataset.examples:
        if example.path in paths:
            shown[example.path] = _Shown(example.path, example.label, example.sha256, facts=example.facts)
    return list(shown.values())


def _known(dataset: Dataset) -> list[Known]:
    examples = [Known(one.path, one.sha256, one.label) for one in dataset.examples]
    return examples + [Known(one.path, one.sha256) for one in dataset.set_aside]
