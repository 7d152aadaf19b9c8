"""A SavedModel of anybody's, run by TensorFlow: every signature that it has, as it was written.

Loading one runs the graph that its author put in: serve only what you trust.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.errors import ArtifactError, RequestError
from noria.quiet import load_tensorflow, native_output_hidden, require_tensorflow
from noria.serving.contracts import Example
from noria.serving.settings import Limits
from noria.serving.tensors import CLASSIFY, DTYPES, PREDICT, REGRESS, Signature, Tensors, TensorSpec

FILE = "saved_model.pb"
RUNTIME = "tensorflow"
NOT_CALLED = "__saved_model_init_op"
REFERENCE = 100  # more than the number of a type: a variable of TensorFlow 1 itself
Call = Callable[[str, Tensors], dict[str, NDArray[Any]]]
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
    return SavedModelServable(path)


class SavedModelServable:
    """One loaded SavedModel; a row is a whole call, for what its first dimension means is its own affair."""

    batch = 1
    runtime = RUNTIME

    def __init__(self, path: Path) -> None:
        load_tensorflow()
        import tensorflow as tf

        self._tf = tf
        try:
            self.signatures = _signatures(path)
            with native_output_hidden():
                self._call = _loaded(tf, path, self.signatures)
        except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
            raise ArtifactError(f"{path} cannot be loaded by TensorFlow: {_first_line(error)}") from None
        if not self.signatures:
            raise ArtifactError(f"{path} has no signature, so there is nothing to call.")
        self.card: Mapping[str, Any] = {
            "name": path.name,
            "task": "SavedModel",
            "input": "tensors",
            "runtime": RUNTIME,
            "signatures": sorted(self.signatures),
        }

    def rows(self, signature: str, inputs: Tensors) -> list[Any]:
        return [(signature, inputs)]

    def decode(self, rows: Sequence[Any]) -> list[Any]:
        return list(rows)

    def run(self, decoded: Sequence[Any]) -> list[dict[str, NDArray[Any]] | str]:
        return [self._called(signature, inputs) for signature, inputs in decoded]

    def outputs(self, signature: str, outcomes: Sequence[Any]) -> Tensors:
        found: Tensors = outcomes[0]
        return found

    def example_inputs(self, signature: str, examples: Sequence[Example]) -> Tensors:
        from noria.serving.protos import serialised_example

        names = list(self.signatures[signature].inputs)
        if len(names) != 1 or self.signatures[signature].inputs[names[0]].dtype != "DT_STRING":
            raise RequestError(f"The signature {signature!r} does not take tf.Example.")
        array = np.empty(len(examples), np.object_)
        array[:] = [serialised_example(example) for example in examples]
        return {names[0]: array}

    def self_test(self) -> None:
        """Do nothing: no answers of a model of anybody's are known."""

    def _called(self, signature: str, inputs: Tensors) -> dict[str, NDArray[Any]] | str:
        try:
            return self._call(signature, inputs)
        except (self._tf.errors.OpError, ValueError, TypeError) as error:
            return f"the model refuses it: {_first_line(error)}"


def _loaded(tf: Any, path: Path, signatures: Mapping[str, Signature]) -> Call:
    """Return what calls a signature of a SavedModel: as a function, or where that cannot be, in a session."""
    try:
        return _as_functions(tf, path, signatures)
    except (ValueError, KeyError, NotImplementedError, tf.errors.InvalidArgumentError):
        try:
            # Graphs of TensorFlow 1 with variables of its own kind, as in TensorFlow Serving's `saved_model_counter`.
            return _in_session(tf, path, signatures)
        except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError):
            pass  # the first error says more
        raise


def _as_functions(tf: Any, path: Path, signatures: Mapping[str, Signature]) -> Call:
    model = tf.saved_model.load(str(path))
    functions = {name: model.signatures[name] for name in signatures}

    def call(signature: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        specs = signatures[signature]
        types = {name: tf.dtypes.as_dtype(DTYPES[spec.dtype][0]) for name, spec in specs.inputs.items()}
        given = {name: tf.constant(array, types[name]) for name, array in inputs.items()}
        found = functions[signature](**given)
        return {name: found[name].numpy() for name in specs.outputs}

    call.model = model  # type: ignore[attr-defined]  # its functions do not keep it
    return call


def _in_session(tf: Any, path: Path, signatures: Mapping[str, Signature]) -> Call:
    session = tf.compat.v1.Session(graph=tf.Graph())
    tf.compat.v1.saved_model.load(session, ["serve"], str(path))

    def call(signature: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        specs = signatures[signature]
        given = {specs.inputs[name].tensor: array for name, array in inputs.items()}
        found = session.run({name: spec.tensor for name, spec in specs.outputs.items()}, given)
        return {name: np.asarray(value) for name, value in found.items()}

    return call


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _signatures(path: Path) -> dict[str, Signature]:
    """Read what the file says: the loaded functions have lost whether they classify."""
    from tensorflow.core.protobuf import saved_model_pb2

    found = saved_model_pb2.SavedModel()
    found.ParseFromString((path / FILE).read_bytes())
    serving = [graph for graph in found.meta_graphs if "serve" in graph.meta_info_def.tags]
    if not serving:
        raise ArtifactError(f"{path} has no graph that is tagged 'serve'.")
    return {
        name: Signature(
            {key: _spec(tensor) for key, tensor in signature.inputs.items()},
            {key: _spec(tensor) for key, tensor in signature.outputs.items()},
            signature.method_name if signature.method_name in (CLASSIFY, REGRESS) else PREDICT,
            any_shape=True,  # TensorFlow Serving takes [1.0, 2.0] for (-1, 1), as its documentation does
        )
        for name, signature in serving[0].signature_def.items()
        if name != NOT_CALLED and signature.outputs
    }


def _spec(tensor: Any) -> TensorSpec:
    dtype = tensor.dtype - REFERENCE if tensor.dtype > REFERENCE else tensor.dtype
    if dtype not in _NAMES:
        raise ArtifactError(f"a signature has a tensor of type {tensor.dtype}, which is not served")
    shape = tensor.tensor_shape
    sides = None if shape.unknown_rank else tuple(side.size if side.size >= 0 else None for side in shape.dim)
    return TensorSpec(_NAMES[dtype], sides, tensor.name)
