"""TensorFlow Serving's REST API: status, metadata, predict, classify, regress.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from noria.errors import NotServedError, RequestError
from noria.serving.contracts import Example
from noria.serving.http import answers
from noria.serving.http.body import parse_json
from noria.serving.http.door import Route, Visit, json_answer
from noria.serving.http.tensors_json import dump, examples_from, from_columns, from_rows, to_columns, to_rows
from noria.serving.service import Prediction, Spec
from noria.serving.tensors import Signature, Tensors, TensorSpec
from noria.serving.versions import Version

MODEL = r"/v1/models/(?P<name>[^/:]+)"
CHOICE = r"(?:/versions/(?P<version>[0-9]{1,18})|/labels/(?P<label>[^/:]{1,128}))?"


def routes() -> list[Route]:
    """Return the addresses of this protocol."""
    at = MODEL + CHOICE
    return [
        Route("POST", re.compile(f"{at}:predict"), predict, "predict", "predict"),
        Route("POST", re.compile(f"{at}:classify"), classify, "classify", "predict"),
        Route("POST", re.compile(f"{at}:regress"), regress, "regress", "predict"),
        Route("GET", re.compile(at), status, "status", "metadata"),
        Route("GET", re.compile(f"{at}/metadata"), metadata, "metadata", "metadata"),
    ]


async def predict(visit: Visit) -> Response:
    """Answer rows (`instances`) or columns (`inputs`) of tensors; or pictures and texts posted as they are."""
    kind = visit.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answers.takes(kind):
        return await answers.answer(visit)
    data = await visit.body()
    spec, by_rows, inputs = await visit.aside(lambda: _tensors(visit, data))
    found = await visit.unless_gone(visit.service.predict(spec, inputs, deadline=visit.deadline))
    visit.version = found.version
    size = sum(array.nbytes for array in found.outputs.values())
    return Response(await visit.service.aside(size, lambda: _told(found, by_rows)), media_type="application/json")


async def classify(visit: Visit) -> Response:
    """Answer `tf.train.Example`s with [[label, score], ...] for each."""
    data = await visit.body()
    spec, examples = await visit.aside(lambda: _examples(visit, data))
    work = visit.service.classify(spec, examples, deadline=visit.deadline)
    found = await visit.unless_gone(work)
    visit.version = found.version
    classes, scores = found.outputs.get("classes"), found.outputs.get("scores")
    names = to_columns({"classes": classes}) if classes is not None else None
    numbers = scores.tolist() if scores is not None else None
    rows = len(names if names is not None else numbers or [])
    names = names if names is not None else [[""] * len(row) for row in numbers or []]
    numbers = numbers if numbers is not None else [[0.0] * len(row) for row in names]
    results = [list(map(list, zip(names[row], numbers[row], strict=True))) for row in range(rows)]
    return Response(dump({"results": results}), media_type="application/json")


async def regress(visit: Visit) -> Response:
    """Answer `tf.train.Example`s with one number for each."""
    data = await visit.body()
    spec, examples = await visit.aside(lambda: _examples(visit, data))
    work = visit.service.regress(spec, examples, deadline=visit.deadline)
    found = await visit.unless_gone(work)
    visit.version = found.version
    return Response(dump({"results": found.outputs["outputs"].reshape(-1)}), media_type="application/json")


async def status(visit: Visit) -> Response:
    """Say in which state the versions of a model are."""
    spec = spec_of(visit)
    model = visit.service.model(spec.name)
    number = model.pick(label=spec.label).number if spec.label else spec.version
    found = [one for one in model.status() if number in (None, one.number)]
    if not found:
        raise NotServedError(f"Could not find version {number} of model {spec.name}")
    return json_answer({"model_version_status": [_status(one) for one in found]})


async def metadata(visit: Visit) -> Response:
    """Say what the signatures of a model take and give."""
    spec = spec_of(visit)
    number, signatures = visit.service.signatures(spec)
    told = {name: describe(signature) for name, signature in signatures.items()}
    return json_answer(
        {
            "model_spec": {"name": spec.name, "signature_name": "", "version": str(number)},
            "metadata": {"signature_def": {"signature_def": told}},
        }
    )


def spec_of(visit: Visit, body: Mapping[str, Any] | None = None) -> Spec:
    """Return which model a request is for.

    Raises:
        RequestError: the name of the signature is no text.
    """
    parameters = visit.request.path_params
    signature = (body or {}).get("signature_name", "")
    if not isinstance(signature, str):
        raise RequestError('"signature_name" is to be a text.')
    version = parameters.get("version")
    return Spec(parameters["name"], None if version is None else int(version), parameters.get("label"), signature)


def describe(signature: Signature) -> dict[str, Any]:
    """Return a signature as SignatureDef is written in JSON."""
    return {
        "inputs": {name: _tensor(spec, name) for name, spec in signature.inputs.items()},
        "outputs": {name: _tensor(spec, name) for name, spec in signature.outputs.items()},
        "method_name": signature.method,
    }


def _tensors(visit: Visit, data: bytes) -> tuple[Spec, bool, Tensors]:
    """Return which model is asked, whether by rows, and what; all in one go, so that few trees of JSON are there."""
    body = _json_object(visit, data)
    spec = spec_of(visit, body)
    by_rows = "instances" in body
    if by_rows == ("inputs" in body):
        raise RequestError('The request is to have either "instances" or "inputs".')
    _, signature = visit.service.signature(spec)
    return (
        spec,
        by_rows,
        from_rows(body["instances"], signature) if by_rows else from_columns(body["inputs"], signature),
    )


def _told(found: Prediction, by_rows: bool) -> bytes:
    return dump({"predictions": to_rows(found.outputs)} if by_rows else {"outputs": to_columns(found.outputs)})


def _examples(visit: Visit, data: bytes) -> tuple[Spec, list[Example]]:
    body = _json_object(visit, data)
    return spec_of(visit, body), examples_from(body, visit.service.config.limits.body_bytes)


def _json_object(visit: Visit, data: bytes) -> dict[str, Any]:
    body = parse_json(data, visit.service.config.limits)
    if not isinstance(body, dict):
        raise RequestError("The request is to be a JSON object.")
    return body


def _status(version: Version) -> dict[str, Any]:
    code = "OK" if not version.error else "UNKNOWN"
    return {
        "version": str(version.number),
        "state": version.state,
        "status": {"error_code": code, "error_message": version.error},
    }


def _tensor(spec: TensorSpec, name: str) -> dict[str, Any]:
    sides = [{"size": str(-1 if side is None else side), "name": ""} for side in spec.shape or ()]
    return {
        "dtype": spec.dtype,
        "tensor_shape": {"dim": sides, "unknown_rank": spec.shape is None},
        "name": spec.tensor or name,
    }
