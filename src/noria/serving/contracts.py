"""What the stages of serving hand to one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from noria.serving.tensors import Signature, Tensors

Row = Any  # what a worker runs: raw bytes, an array, or for a model of anybody's the whole call
Outcome = Any  # of one row: what the model gave, or a text that says why there is nothing
Example = Mapping[str, Sequence[bytes] | Sequence[float] | Sequence[int]]  # tf.train.Example: name -> values


class Servable(Protocol):
    """One version of one model, open for answering. `decode` and `run` are called by several threads at once."""

    signatures: Mapping[str, Signature]
    refused: Mapping[str, str]  # signatures that cannot be called here, and why
    card: Mapping[str, Any]  # for people: labels, scores, fingerprint, versions
    runtime: str
    batch: int  # how many rows the engine likes at once
    side_by_side: bool  # whether each thread that calls it has a session of its own, of one thread

    def rows(self, signature: str, inputs: Tensors) -> list[Row]:
        """Return what is to be run; cheap, for it runs on the event loop."""
        ...

    def decode(self, rows: Sequence[Row]) -> list[Any]:
        """Return for each row what the engine takes, or a text: why there is nothing to run."""
        ...

    def run(self, decoded: Sequence[Any]) -> list[Outcome]:
        """Return an outcome for each; one that cannot be run does not spoil the others."""
        ...

    def outputs(self, signature: str, outcomes: Sequence[Outcome]) -> Tensors:
        """Return the tensors that a signature promises."""
        ...

    def example_inputs(self, signature: str, examples: Sequence[Example]) -> Tensors:
        """Return the inputs of a signature from `tf.train.Example`s, for classify and regress.

        Raises:
            RequestError: an example lacks what the signature takes.
        """
        ...

    def self_test(self) -> None:
        """Run what the model must answer in a known way, and so warm it up.

        Raises:
            VerificationError: it answers otherwise.
        """
        ...
