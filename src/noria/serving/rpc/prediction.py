"""PredictionService: Predict, Classify, Regress, GetModelMetadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.errors import RequestError
from noria.serving.contracts import Example
from noria.serving.protos import examples_of, message
from noria.serving.protos.tensors import to_arrays, to_tensor
from noria.serving.rpc.door import Call, Method, spec_of
from noria.serving.tensors import DTYPES, Signature, TensorSpec, require_names

SIGNATURES = "signature_def"


async def predict(call: Call, request: Any) -> Any:
    """Answer named tensors with named tensors."""
    spec = spec_of(request.model_spec)
    require_names(call.service.signature(spec)[1], request.inputs)
    most = call.service.config.limits.body_bytes
    inputs = await call.service.aside(call.size, lambda: to_arrays(request.inputs, most))
    found = await call.service.predict(spec, inputs, deadline=call.deadline)
    call.version = found.version
    names = list(request.output_filter) or list(found.outputs)
    if unknown := [name for name in names if name not in found.outputs]:
        raise RequestError(
            f"output tensor alias not found in signature: {unknown[0]}. Outputs: {', '.join(found.outputs)}"
        )
    made = message("tensorflow.serving.PredictResponse")()
    for name in names:
        made.outputs[name].CopyFrom(to_tensor(found.outputs[name]))
    _tell_version(made.model_spec, found.name, found.version, found.signature_name)
    return made


async def classify(call: Call, request: Any) -> Any:
    """Answer `tf.train.Example`s with labels and scores."""
    examples = await _examples(call, request)
    found = await call.service.classify(spec_of(request.model_spec), examples, deadline=call.deadline)
    call.version = found.version
    made = message("tensorflow.serving.ClassificationResponse")()
    classes, scores = (_rows(found.outputs, name, len(examples)) for name in ("classes", "scores"))
    for row in range(len(examples)):
        one = made.result.classifications.add()
        for column in range(max(len(classes[row]), len(scores[row]))):
            label = classes[row][column] if classes[row] else ""
            score = scores[row][column] if scores[row] else 0.0
            one.classes.add(label=label.decode("utf-8", "replace") if isinstance(label, bytes) else label, score=score)
    _tell_version(made.model_spec, found.name, found.version, found.signature_name)
    return made


async def regress(call: Call, request: Any) -> Any:
    """Answer `tf.train.Example`s with one number for each."""
    examples = await _examples(call, request)
    found = await call.service.regress(spec_of(request.model_spec), examples, deadline=call.deadline)
    call.version = found.version
    made = message("tensorflow.serving.RegressionResponse")()
    for value in found.outputs["outputs"].reshape(-1).tolist():
        made.result.regressions.add(value=value)
    _tell_version(made.model_spec, found.name, found.version, found.signature_name)
    return made


async def get_model_metadata(call: Call, request: Any) -> Any:
    """Say what the signatures of a model take and give."""
    if list(request.metadata_field) != [SIGNATURES]:
        raise RequestError(
            f"Metadata field {', '.join(request.metadata_field) or 'none'} is not supported; {SIGNATURES} is."
        )
    spec = spec_of(request.model_spec)
    call.version, signatures = call.service.signatures(spec)
    told = message("tensorflow.serving.SignatureDefMap")()
    for name, signature in signatures.items():
        _describe(told.signature_def[name], signature)
    made = message("tensorflow.serving.GetModelMetadataResponse")()
    _tell_version(made.model_spec, spec.name, call.version, "")
    made.metadata[SIGNATURES].type_url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    made.metadata[SIGNATURES].value = told.SerializeToString()
    return made


PREDICTION_METHODS = {
    "Predict": Method(predict, "PredictRequest", "PredictResponse", "predict"),
    "Classify": Method(classify, "ClassificationRequest", "ClassificationResponse", "predict"),
    "Regress": Method(regress, "RegressionRequest", "RegressionResponse", "predict"),
    "GetModelMetadata": Method(get_model_metadata, "GetModelMetadataRequest", "GetModelMetadataResponse", "metadata"),
}


async def _examples(call: Call, request: Any) -> list[Example]:
    most = call.service.config.limits.body_bytes
    return await call.service.aside(call.size, lambda: examples_of(request.input, most))


def _rows(outputs: Mapping[str, Any], name: str, count: int) -> list[list[Any]]:
    return outputs[name].tolist() if name in outputs else [[] for _ in range(count)]


def _tell_version(target: Any, name: str, version: int, signature: str) -> None:
    target.name = name
    target.version.value = version
    target.signature_name = signature


def _describe(target: Any, signature: Signature) -> None:
    target.method_name = signature.method
    for tensors, specs in ((target.inputs, signature.inputs), (target.outputs, signature.outputs)):
        for name, spec in specs.items():
            _describe_tensor(tensors[name], name, spec)


def _describe_tensor(target: Any, name: str, spec: TensorSpec) -> None:
    target.name, target.dtype = spec.tensor or name, DTYPES[spec.dtype][0]
    target.tensor_shape.unknown_rank = spec.shape is None
    for side in spec.shape or ():
        target.tensor_shape.dim.add(size=-1 if side is None else side)
