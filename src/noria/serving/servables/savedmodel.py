"""A SavedModel of anybody's, run by TensorFlow: every signature that it has, as it was written.

Loading one runs the graph that its author put in: serve only what you trust.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.errors import ArtifactError, RequestError, TooLargeError, VerificationError
from noria.quiet import load_tensorflow, native_output_hidden, require_tensorflow
from noria.serving.contracts import Example
from noria.serving.protos import examples_of, serialised_example
from noria.serving.protos.tensors import to_arrays
from noria.serving.servables._warmup import FILE as FILE_OF_REQUESTS
from noria.serving.servables._warmup import made_up, recorded, writes
from noria.serving.settings import Limits
from noria.serving.tensors import (
    CLASSIFY,
    DEFAULT_SIGNATURE,
    DTYPES,
    PREDICT,
    REGRESS,
    Signature,
    Tensors,
    TensorSpec,
    require_inputs,
)

FILE = "saved_model.pb"
RUNTIME = "tensorflow"
NOT_CALLED = "__saved_model_init_op"
REFERENCE = 100  # more than the number of a type: a variable of TensorFlow 1 itself
MOST_BYTES = 2**31  # of what requests beside a model repeat
_NAMES = {number: name for name, (number, _) in DTYPES.items()}


def recognises(path: Path) -> bool:
    """Tell whether a folder is a SavedModel."""
    return (path / FILE).is_file()


def candidates(path: Path, runtime: str | None) -> list[str]:
    """Return the one engine that runs a SavedModel.

    Raises:
        MissingExtraError: TensorFlow is not installed.
    """
    if runtime not in (None, RUNTIME, "savedmodel"):
        raise ArtifactError(f"{path} is a SavedModel, which only TensorFlow runs; the runtime is to be {RUNTIME!r}.")
    require_tensorflow()
    return [RUNTIME]


def open_servable(path: Path, runtime: str, limits: Limits) -> SavedModelServable:
    """Load a SavedModel.

    Raises:
        ArtifactError: TensorFlow cannot load it, or it has no signature.
    """
    return SavedModelServable(path, limits)


class SavedModelServable:
    """One loaded SavedModel; a row is a whole call, for what its first dimension means is its own affair."""

    batch = 1
    side_by_side = False
    runtime = RUNTIME

    def __init__(self, path: Path, limits: Limits) -> None:
        load_tensorflow()
        import tensorflow as tf

        self._tf = tf
        self._path = path
        self._most_rows = limits.rows
        self._warming, self._warm = Lock(), False
        try:
            self.signatures, self.refused = _signatures(path)
            with native_output_hidden():
                self._model = _loaded(tf, path, self.signatures)
        except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
            raise ArtifactError(f"{path} cannot be loaded by TensorFlow: {_first_line(error)}") from None
        self.card: Mapping[str, Any] = {
            "name": path.name,
            "task": "SavedModel",
            "input": "tensors",
            "runtime": RUNTIME,
            "signatures": sorted(self.signatures),
            "refused": self.refused,
        }

    def rows(self, signature: str, inputs: Tensors) -> list[Any]:
        for name, array in inputs.items():
            shape = self.signatures[signature].inputs[name].shape
            # A first side that the signature itself sets is no number of rows.
            if array.ndim and len(array) > self._most_rows and (shape is None or shape[:1] != array.shape[:1]):
                raise TooLargeError(f"{len(array):,} rows in one request, at most {self._most_rows:,} are taken.")
        return [(signature, inputs)]

    def decode(self, rows: Sequence[Any]) -> list[Any]:
        return list(rows)

    def run(self, decoded: Sequence[Any]) -> list[dict[str, NDArray[Any]] | str]:
        return [self._called(signature, inputs) for signature, inputs in decoded]

    def outputs(self, signature: str, outcomes: Sequence[Any]) -> Tensors:
        found: Tensors = outcomes[0]
        return found

    def example_inputs(self, signature: str, examples: Sequence[Example]) -> Tensors:
        names = list(self.signatures[signature].inputs)
        if len(names) != 1 or self.signatures[signature].inputs[names[0]].dtype != "DT_STRING":
            raise RequestError(f"The signature {signature!r} does not take tf.Example.")
        array = np.empty(len(examples), np.object_)
        array[:] = [serialised_example(example) for example in examples]
        return {names[0]: array}

    def self_test(self) -> None:
        """Ask it once, for the first answer of a graph takes long; what answers it ought to give is not known."""
        with self._warming:  # every worker comes here, and there is one graph
            if not self._warm:
                if (self._path / FILE_OF_REQUESTS).is_file():
                    self._ask_recorded()
                else:
                    self._ask_made_up()
            self._warm = True

    def _ask_recorded(self) -> None:
        from google.protobuf.message import DecodeError

        told = f"{self._path / FILE_OF_REQUESTS}, request"
        number = 0
        try:
            for number, request in enumerate(recorded(self._tf, self._path), 1):
                if isinstance(answer := self._answer(request), str):
                    raise VerificationError(f"{told} {number}: {answer}.")
        except (RequestError, DecodeError, self._tf.errors.OpError) as error:
            raise VerificationError(f"{told} {number or 1}: {_first_line(error)}") from None

    def _answer(self, request: Any) -> dict[str, NDArray[Any]] | str:
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            return f"there is no signature {name!r}"
        if hasattr(request, "inputs"):
            inputs: Tensors = to_arrays(request.inputs, MOST_BYTES)
        else:
            inputs = self.example_inputs(name, examples_of(request.input, MOST_BYTES))
        require_inputs(self.signatures[name], inputs)
        return self._called(name, inputs)

    def _ask_made_up(self) -> None:
        for name, signature in self.signatures.items():
            inputs = made_up(signature)
            if inputs is not None and not self._model.writes(name):
                self._called(name, inputs)  # it may refuse them: no text is empty, no picture without a byte

    def _called(self, signature: str, inputs: Tensors) -> dict[str, NDArray[Any]] | str:
        try:
            return self._model.call(signature, inputs)
        except (self._tf.errors.OpError, ValueError, TypeError) as error:
            return f"the model refuses it: {_first_line(error)}"


@dataclass(frozen=True, slots=True)
class _Model:
    """What was loaded: how a signature is called, and whether a call of it changes something that stays."""

    call: Callable[[str, Tensors], dict[str, NDArray[Any]]]
    writes: Callable[[str], bool]


def _loaded(tf: Any, path: Path, signatures: Mapping[str, Signature]) -> _Model:
    """Load a SavedModel as functions, or where that cannot be, in a session."""
    try:
        return _as_functions(tf, path, signatures)
    except (ValueError, KeyError, NotImplementedError, tf.errors.InvalidArgumentError):
        try:
            # Graphs of TensorFlow 1 with variables of its own kind, as in TensorFlow Serving's `saved_model_counter`.
            return _in_session(tf, path, signatures)
        except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError):
            pass  # the first error says more
        raise


def _as_functions(tf: Any, path: Path, signatures: Mapping[str, Signature]) -> _Model:
    model = tf.saved_model.load(str(path))
    functions = {name: model.signatures[name] for name in signatures}

    def call(signature: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        specs = signatures[signature]
        types = {name: tf.dtypes.as_dtype(DTYPES[spec.dtype][0]) for name, spec in specs.inputs.items()}
        given = {name: tf.constant(array, types[name]) for name, array in inputs.items()}
        found = functions[signature](**given)
        return {name: found[name].numpy() for name in specs.outputs}

    def may_write(signature: str, _kept: Any = model) -> bool:  # the functions alone do not keep the model
        graph = functions[signature].graph.as_graph_def()
        nodes = chain(graph.node, *(one.node_def for one in graph.library.function))
        return writes(node.op for node in nodes)

    return _Model(call, may_write)


def _in_session(tf: Any, path: Path, signatures: Mapping[str, Signature]) -> _Model:
    session = tf.compat.v1.Session(graph=tf.Graph())
    tf.compat.v1.saved_model.load(session, ["serve"], str(path))

    def call(signature: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        specs = signatures[signature]
        given = {specs.inputs[name].tensor: array for name, array in inputs.items()}
        found = session.run({name: spec.tensor for name, spec in specs.outputs.items()}, given)
        return {name: np.asarray(value) for name, value in found.items()}

    return _Model(call, lambda _signature: True)  # who has such variables writes to them


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _signatures(path: Path) -> tuple[dict[str, Signature], dict[str, str]]:
    """Read what the file says: the loaded functions have lost whether they classify.

    Returns:
        The signatures, and those that cannot be called here, each with the reason.

    Raises:
        ArtifactError: none can be called.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    found = saved_model_pb2.SavedModel()
    found.ParseFromString((path / FILE).read_bytes())
    serving = [graph for graph in found.meta_graphs if "serve" in graph.meta_info_def.tags]
    if not serving:
        raise ArtifactError(f"{path} has no graph that is tagged 'serve'.")
    signatures, refused = {}, {}
    for name, signature in serving[0].signature_def.items():
        if name == NOT_CALLED or not signature.outputs:
            continue
        try:
            signatures[name] = Signature(
                {key: _spec(tensor, key) for key, tensor in signature.inputs.items()},
                {key: _spec(tensor, key) for key, tensor in signature.outputs.items()},
                signature.method_name if signature.method_name in (CLASSIFY, REGRESS) else PREDICT,
                any_shape=True,  # TensorFlow Serving takes [1.0, 2.0] for (-1, 1), as its documentation does
            )
        except RequestError as error:
            refused[name] = str(error)
    if not signatures:
        reasons = "".join(f" {name}: {why}." for name, why in refused.items())
        raise ArtifactError(f"{path} has no signature that can be called.{reasons}")
    return signatures, refused


def _spec(tensor: Any, name: str) -> TensorSpec:
    from tensorflow.core.framework import types_pb2

    dtype = tensor.dtype - REFERENCE if tensor.dtype > REFERENCE else tensor.dtype
    if dtype not in _NAMES:
        known = tensor.dtype in types_pb2.DataType.values()
        raise RequestError(f"{name!r} is {types_pb2.DataType.Name(tensor.dtype) if known else tensor.dtype}")
    if tensor.WhichOneof("encoding") != "name":
        raise RequestError(f"{name!r} is no dense tensor")
    shape = tensor.tensor_shape
    sides = None if shape.unknown_rank else tuple(side.size if side.size >= 0 else None for side in shape.dim)
    return TensorSpec(_NAMES[dtype], sides, tensor.name)
