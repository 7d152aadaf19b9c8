"""The few types that rooms hand to one another; numpy and the standard library only.

`Example`, `SetAside` and `Finding` describe data; `Scored` is what an evaluation is made from, `Parts` what an
explanation is; `Session` is an opened model file; `Progress` is how long work tells where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


# What a finding measured, by name: `p_value`; `noise_rate`, and `noise_rate_interval` (low and high, 95 %),
# with `agreement`: the share of the labels that the model which judges them answers.
Figures = Mapping[str, float | list[float]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a reader found: an input that is not looked at yet, with its label."""

    path: str  # relative to the dataset's root (or absolute in a manifest), with forward slashes; a cell is TABLE:LINE
    label: str
    split: Split | None = None
    group: str | None = None
    order: str | None = None  # its moment, as written, where the split goes by time


@dataclass(frozen=True, slots=True)
class Example:
    """One readable, labelled input."""

    path: str
    label: str
    sha256: str  # of the bytes: the file's, or those of a table's cell as UTF-8
    content_sha256: str  # of what they decode to: equal pixels in another file format are equal here
    split: Split
    group: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)  # e.g. of a picture: width, height, format, mode


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file that is not used, why, and the SHA-256 of its bytes (None where they could not be read)."""

    path: str
    reason: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Suspect:
    """One example that a finding is about, for a person to judge."""

    path: str
    label: str
    score: float = 1.0  # from 0 to 1: how sure the finding is
    other: str = ""  # the path of the example that it is compared with
    suggested: str = ""  # the label that it seems to have


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the data that a person should know before trusting a model made from it."""

    kind: str
    severity: Literal["error", "warning", "info"]
    count: int
    examples: tuple[str, ...]
    message: str
    remedy: str = ""
    suspects: tuple[Suspect, ...] = ()  # all of them, the surest first, where each is to be judged by itself
    figures: Figures = field(default_factory=dict, hash=False)
    files: tuple[str, ...] = ()  # some of the inputs that it is about, where `examples` names something else


@dataclass(frozen=True, slots=True)
class Scored:
    """Answers beside the truth for n examples and C labels."""

    names: tuple[str, ...]  # n names of files or of rows
    labels: tuple[str, ...]  # C label names, in the order of the score columns
    truth: NDArray[np.int64]  # (n,) index of the true label
    scores: NDArray[np.float32]  # (n, C) probabilities, rows sum to 1


@dataclass(frozen=True, slots=True)
class Parts:
    """A text taken apart as its input reads it, so that an answer can be traced back to the words."""

    text: str
    spans: tuple[tuple[int, int], ...]  # (start, end) of each token in `text`, in order
    seen: int  # how many of the tokens the model is given
    occurrences: NDArray[np.int64] | None  # (n, 3) first token, number of tokens, feature; None: ids of words in order


class Session(Protocol):
    """An opened model file. One session belongs to one thread."""

    def run(self, batch: Sequence[Any]) -> NDArray[np.float32]:
        """Return scores (n, C) float32 for n inputs: the arrays that an input reads, or raw bytes (see ACCEPTS)."""
        ...


class Progress(Protocol):
    """Where long work reports to. The library never prints; the command line passes an implementation."""

    def track(self, label: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        """Open a bar; the function that it yields is called with the number of units just done."""
        ...

    def note(self, text: str) -> None:
        """One line of outcome, or of what is about to happen."""
        ...


BEYOND = "of a kind that this graph cannot decode"  # what an exported graph says where its limits are known and told


class Silent:
    """The Progress that says nothing."""

    def track(self, label: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(lambda _done: None)

    def note(self, text: str) -> None:
        return None
