"""What a network is fed with: arrays with labels, and an order of batches that follows from seed and epoch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Split
from noria.ordered import default_threads, ordered_map

AHEAD = 2  # batches for each thread that are made while the network is busy

Array = NDArray[Any]
Indices = NDArray[np.int64]
Batch = tuple[Array, Array, NDArray[np.float32]]  # inputs; labels (n,) or shares of each label (n, C); weights (n,)


class Inputs(Protocol):
    """Rows that can be taken out by number: an array, or what makes them when they are asked for."""

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, places: Any) -> Array: ...


@dataclass(frozen=True, slots=True)
class Examples:
    """What a network learns from, or is measured on."""

    inputs: Inputs  # (n, ...)
    labels: Indices  # (n,)
    weights: NDArray[np.float32]  # (n,) of the examples' losses

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, places: Indices | slice) -> Batch:
        """Return some examples, as they are."""
        return self.inputs[places], self.labels[places], self.weights[places]

    def input_batches(self, size: int, share: tuple[int, int] = (0, 1)) -> Iterator[Array]:
        """Yield all inputs in order, made ready ahead of who takes them; of a share (k, n) each n-th from k on."""
        starts = range(share[0] * size, len(self), size * share[1])
        threads = default_threads()
        return ordered_map(lambda start: self.inputs[start : start + size], starts, threads=threads, ahead=AHEAD)


Take = Callable[[int], NDArray[np.intp]]  # the size of a batch -> places in it
Vary = Callable[[Batch, Indices, tuple[int, int]], Batch]  # a batch, its places, (epoch, step) -> the varied batch


def as_they_are(batch: Batch, places: Indices, moment: tuple[int, int]) -> Batch:
    """Vary nothing."""
    return batch


@dataclass(frozen=True, slots=True)
class Training:
    """The examples to learn from, in another order each epoch, varied, and made ready ahead of the network."""

    examples: Examples
    batch_size: int
    seed: int
    vary: Vary = as_they_are
    mixes: bool = False  # whether `vary` makes one example of several, and so needs the whole batch

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.examples) // self.batch_size)

    def size_of(self, step: int) -> int:
        """Return how many examples a batch has; the last one may have fewer."""
        return min(self.batch_size, len(self.examples) - step * self.batch_size)

    def batch(self, epoch: int, step: int) -> Batch:
        """Return one batch of an epoch, as the network gets it."""
        places = self.places(epoch, step)
        return self.vary(self.examples.batch(places), places, (epoch, step))

    def batches(self, epoch: int, start: int = 0, take: Take | None = None) -> Iterator[Batch]:
        """Yield the batches of an epoch from `start` on, the whole set in an order of its own.

        Args:
            take: which places of a batch are wanted, where that is not all of it.
        """
        order = self._order(epoch)

        def made(step: int) -> Batch:
            places = order[step * self.batch_size : (step + 1) * self.batch_size]
            if take is None:
                return self.vary(self.examples.batch(places), places, (epoch, step))
            own = take(len(places))
            if not self.mixes:
                return self.vary(self.examples.batch(places[own]), places[own], (epoch, step))
            inputs, labels, weights = self.vary(self.examples.batch(places), places, (epoch, step))
            return inputs[own], labels[own], weights[own]

        return ordered_map(made, range(start, self.steps), threads=default_threads(), ahead=AHEAD)

    def places(self, epoch: int, step: int) -> Indices:
        """Return which examples a batch is made of."""
        return self._order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def _order(self, epoch: int) -> Indices:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.examples))


@dataclass(frozen=True, slots=True)
class Feed:
    """A dataset, ready for a network."""

    train: Training
    held_out: Mapping[Split, Examples]  # validation and test
    shapes: Mapping[str, int]  # what the network is built for, beside the number of labels
    width: int  # of an input: words, or pixels of a side
    input_files: dict[str, bytes] = field(default_factory=dict)  # what the input learnt, by file name
