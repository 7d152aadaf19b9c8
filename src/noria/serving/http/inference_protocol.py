"""The Open Inference Protocol v2, as KServe and Triton speak it, on the same port.

Source: https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

import re
from importlib.metadata import version
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from noria.errors import NotServedError, RequestError
from noria.serving.http.body import parse_json
from noria.serving.http.door import Route, Visit, json_answer
from noria.serving.http.tensors_json import dump, to_array, to_columns
from noria.serving.protos.tensors import MOST_DIMENSIONS
from noria.serving.service import Spec
from noria.serving.settings import Limits
from noria.serving.tensors import TensorSpec, dtype_of

MODEL = r"/v2/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,18}))?"
DATATYPES: Final = {
    "DT_FLOAT": "FP32",
    "DT_DOUBLE": "FP64",
    "DT_HALF": "FP16",
    "DT_INT8": "INT8",
    "DT_INT16": "INT16",
    "DT_INT32": "INT32",
    "DT_INT64": "INT64",
    "DT_UINT8": "UINT8",
    "DT_UINT16": "UINT16",
    "DT_UINT32": "UINT32",
    "DT_UINT64": "UINT64",
    "DT_BOOL": "BOOL",
    "DT_STRING": "BYTES",
}
_DTYPES: Final = {datatype: dtype for dtype, datatype in DATATYPES.items()}


def routes() -> list[Route]:
    """Return the addresses of this protocol."""
    return [
        Route("GET", re.compile("/v2/?"), server, "metadata", "metadata"),
        Route("GET", re.compile("/v2/health/live"), live, "health", None),
        Route("GET", re.compile("/v2/health/ready"), ready, "health", None),
        Route("GET", re.compile(MODEL), model, "metadata", "metadata"),
        Route("GET", re.compile(f"{MODEL}/ready"), model_ready, "health", "metadata"),
        Route("POST", re.compile(f"{MODEL}/infer"), infer, "infer", "predict"),
    ]


async def server(visit: Visit) -> Response:
    """Say what this server is."""
    return json_answer({"name": "noria", "version": version("noria"), "extensions": []})


async def live(visit: Visit) -> Response:
    """Say that the process answers."""
    return json_answer({"live": True})


async def ready(visit: Visit) -> Response:
    """Say whether every model answers."""
    good = visit.service.ready
    return json_answer({"ready": good}, 200 if good else 503)


async def model_ready(visit: Visit) -> Response:
    """Say whether a model answers."""
    spec = _spec(visit)
    found = visit.service.model(spec.name)
    try:
        number = found.pick(spec.version).number
    except NotServedError:
        return json_answer({"name": spec.name, "ready": False}, 503)
    return json_answer({"name": spec.name, "version": str(number), "ready": True})


async def model(visit: Visit) -> Response:
    """Say what the default signature of a model takes and gives."""
    spec = _spec(visit)
    name, signature = visit.service.signature(spec)
    found = visit.service.model(spec.name)
    return json_answer(
        {
            "name": spec.name,
            "versions": [str(number) for number in sorted(found.loaded)],
            "platform": "noria",
            "inputs": [_described(name, one) for name, one in signature.inputs.items()],
            "outputs": [_described(name, one) for name, one in signature.outputs.items()],
            "parameters": {"signature": name},
        }
    )


async def infer(visit: Visit) -> Response:
    """Answer named tensors, each with its shape, its datatype and its data."""
    data = await visit.body()
    inputs, names, identity = await visit.aside(lambda: _read(data, visit.service.config.limits))
    found = await visit.unless_gone(visit.service.predict(_spec(visit), inputs, deadline=visit.deadline))
    visit.version = found.version
    names = names or list(found.outputs)
    if unknown := [name for name in names if name not in found.outputs]:
        raise RequestError(f"There is no output {unknown[0]!r}. Outputs: {', '.join(found.outputs)}.")
    told: dict[str, Any] = {"model_name": found.name, "model_version": str(found.version)}
    if isinstance(identity, str):
        told["id"] = identity
    told["outputs"] = [_output(name, found.outputs[name]) for name in names]
    size = sum(found.outputs[name].nbytes for name in names)
    return Response(await visit.service.aside(size, lambda: dump(told)), media_type="application/json")


def _read(data: bytes, limits: Limits) -> tuple[dict[str, NDArray[Any]], list[Any], Any]:
    """Return the inputs, the names of the outputs that are asked for, and the request's own name."""
    body = parse_json(data, limits)
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise RequestError('The request is to be an object with a list of "inputs".')
    wanted = body.get("outputs", [])
    names = (
        [one.get("name") if isinstance(one, dict) else None for one in wanted] if isinstance(wanted, list) else [None]
    )
    if not all(isinstance(name, str) for name in names):
        raise RequestError('"outputs" is to be a list of objects with a "name".')
    inputs = dict(_input(one) for one in body["inputs"])
    if len(inputs) < len(body["inputs"]):
        raise RequestError("An input is given twice.")
    return inputs, names, body.get("id")


def _spec(visit: Visit) -> Spec:
    found = visit.request.path_params
    return Spec(found["name"], int(found["version"]) if "version" in found else None)


def _described(name: str, spec: TensorSpec) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": DATATYPES[spec.dtype],
        "shape": [-1 if side is None else side for side in spec.shape or ()],
    }


def _input(told: Any) -> tuple[str, NDArray[Any]]:
    if not isinstance(told, dict) or not isinstance(told.get("name"), str):
        raise RequestError('Each of "inputs" is to be an object with name, shape, datatype and data.')
    name, shape, dtype = told["name"], told.get("shape"), _DTYPES.get(str(told.get("datatype")))
    if dtype is None:
        raise RequestError(f"Input {name!r}: the datatype is to be one of {', '.join(sorted(_DTYPES))}.")
    # Their number is bounded before they are multiplied: a product of a hundred thousand sides takes minutes.
    if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS or not all(map(_is_side, shape)):
        raise RequestError(f"Input {name!r}: the shape is to be a list of at most {MOST_DIMENSIONS} whole numbers.")
    if not isinstance(told.get("data"), list):
        raise RequestError(f"Input {name!r}: data is to be a list; the binary extension is not offered.")
    data = to_array(told["data"], TensorSpec(dtype, None), name).reshape(-1)
    if data.size != prod(shape):
        raise RequestError(f"Input {name!r}: {data.size:,} values do not fill the shape {shape}.")
    try:
        return name, data.reshape(shape)
    except (ValueError, OverflowError):
        raise RequestError(f"Input {name!r}: there is no array of the shape {str(shape)[:100]}.") from None


def _is_side(value: Any) -> bool:
    return type(value) is int and value >= 0


def _output(name: str, array: NDArray[Any]) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": DATATYPES[dtype_of(array)],
        "shape": list(array.shape),
        "data": to_columns({name: np.reshape(array, -1)}),
    }
