"""The interface as an OpenAPI 3.1 document, for programs that write clients and for those that try to break servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from noria.serving.http.inference_protocol import DATATYPES
from noria.serving.settings import Limits

Json = dict[str, Any]

_NAME: Json = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "the model, as it was named when the server was started",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"},
}
_VERSION: Json = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "the number of a version",
    "schema": {"type": "integer", "minimum": 0, "maximum": 10**17},
}
_LABEL: Json = {
    "name": "label",
    "in": "path",
    "required": True,
    "description": "a name that was given to a version, e.g. stable",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 128},
}
_TOP: Json = {
    "name": "top",
    "in": "query",
    "required": False,
    "description": "how many labels to list, for inputs posted as they are",
    "schema": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 5},
}
_TIMEOUT: Json = {
    "name": "X-Request-Timeout",
    "in": "header",
    "required": False,
    "description": "seconds after which nobody waits for the answer",
    "schema": {"type": "number", "minimum": 0},
}
_PLACES: dict[str, list[Json]] = {"": [], "/versions/{version}": [_VERSION], "/labels/{label}": [_LABEL]}
_ERRORS = {
    "400": "the request is wrong",
    "401": "a key is needed",
    "403": "the key is not for this",
    "404": "there is no such model, version or label",
    "408": "the request did not arrive in time",
    "413": "the request is too large",
    "422": "what was posted cannot be read",
    "429": "too many requests: see Retry-After",
    "503": "the server is at its capacity: see Retry-After",
    "504": "the answer was not there in time",
}


def describe(limits: Limits, models: Mapping[str, Sequence[int]] | None = None) -> Json:
    """Return the document.

    Args:
        models: the names that are served now, each with its versions; None where not everybody may know them.
    """
    named = _named(models or {})
    paths: Json = {}
    for place in _PLACES:
        at = f"/v1/models/{{name}}{place}"
        told = {"parameters": named[place]}
        paths[at] = {**told, "get": _get("Status of the versions", "ModelStatus", "status", place)}
        paths[f"{at}/metadata"] = {**told, "get": _get("Signatures of the model", "Object", "metadata", place)}
        paths[f"{at}/card"] = {**told, "get": _get("Labels, scores, fingerprint, versions", "Object", "card", place)}
        paths[f"{at}:predict"] = {**told, "post": _predict(limits, place)}
        paths[f"{at}:explain"] = {**told, "post": _explain(place)}
        for verb in ("classify", "regress"):
            paths[f"{at}:{verb}"] = {**told, "post": _on_examples(verb, place)}
    paths["/v1/models"] = {"get": _get("List of the models", "Object", "models")}
    paths |= _inference_protocol(named)
    paths["/healthz"] = {"get": _get("The process answers", "Object", "healthz", errors=())}
    paths["/readyz"] = {"get": _get("Requests may be sent here", "Object", "readyz", errors=("503",))}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Noria",
            "version": version("noria"),
            "summary": "TensorFlow Serving's REST API, the Open Inference Protocol v2, pictures and texts as they are.",
        },
        "security": [{}, {"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(limits),
        },
    }


def _named(models: Mapping[str, Sequence[int]]) -> dict[str, list[Json]]:
    """Return the parameters of each place, with what is served now as the choice of names."""
    if not models:
        return {place: [_NAME, *told] for place, told in _PLACES.items()}
    numbers = sorted({number for versions in models.values() for number in versions})
    name = {**_NAME, "schema": {"type": "string", "enum": list(models)}}
    version_ = {**_VERSION, "schema": {**_VERSION["schema"], "examples": numbers}}
    return {place: [name, *(version_ if one is _VERSION else one for one in told)] for place, told in _PLACES.items()}


def _get(summary: str, schema: str, name: str, place: str = "", errors: tuple[str, ...] | None = None) -> Json:
    return {"summary": summary, "operationId": _unique(name, place), "responses": _responses(schema, errors)}


def _predict(limits: Limits, place: str) -> Json:
    whole = {"schema": {"type": "string", "format": "binary", "maxLength": limits.body_bytes}}
    return {
        "summary": "Answer tensors, or pictures and texts posted as they are",
        "operationId": _unique("predict", place),
        "parameters": [_TOP, _TIMEOUT],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Predict"}},
                "image/*": whole,
                "text/plain": {"schema": {"type": "string"}},
                "multipart/form-data": {
                    "schema": {"type": "object", "additionalProperties": {"type": "string", "format": "binary"}}
                },
            },
        },
        "responses": _responses("Object"),
    }


def _explain(place: str) -> Json:
    return {
        "summary": "Answer one text, and say what each of its words added",
        "operationId": _unique("explain", place),
        "parameters": [_TIMEOUT],
        "requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}},
        "responses": _responses("Object"),
    }


def _on_examples(verb: str, place: str) -> Json:
    return {
        "summary": f"{verb.capitalize()} tf.train.Examples",
        "operationId": _unique(verb, place),
        "parameters": [_TIMEOUT],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Examples"}}},
        },
        "responses": _responses("Object"),
    }


def _inference_protocol(named: Mapping[str, list[Json]]) -> Json:
    paths: Json = {
        "/v2": {"get": _get("What this server is", "Object", "v2", errors=())},
        "/v2/health/live": {"get": _get("The process answers", "Object", "v2_live", errors=())},
        "/v2/health/ready": {"get": _get("Every model answers", "Object", "v2_ready", errors=("503",))},
    }
    for place in ("", "/versions/{version}"):
        at, told = f"/v2/models/{{name}}{place}", {"parameters": named[place]}
        paths[at] = {**told, "get": _get("Tensors of the model", "Object", "v2_model", place)}
        paths[f"{at}/ready"] = {**told, "get": _get("The model answers", "Object", "v2_model_ready", place)}
        paths[f"{at}/infer"] = {
            **told,
            "post": {
                "summary": "Answer tensors, as the Open Inference Protocol has them",
                "operationId": _unique("v2_infer", place),
                "parameters": [_TIMEOUT],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Infer"}}},
                },
                "responses": _responses("Object"),
            },
        }
    return paths


def _responses(schema: str, errors: tuple[str, ...] | None = None) -> Json:
    told = _ERRORS if errors is None else {code: _ERRORS[code] for code in errors}
    good = {"description": "good", "content": {"application/json": {"schema": {"$ref": _ref(schema)}}}}
    bad = {
        code: {"description": words, "content": {"application/json": {"schema": {"$ref": _ref("Object")}}}}
        for code, words in told.items()
    }
    return {"200": good, **bad}


def _ref(schema: str) -> str:
    return f"#/components/schemas/{schema}"


def _unique(name: str, place: str) -> str:
    return name + {"": "", "/versions/{version}": "_of_version", "/labels/{label}": "_of_label"}[place]


def _schemas(limits: Limits) -> Json:
    anything: Json = {"description": "a tensor as nested lists; binary strings as {'b64': base64}"}
    rows: Json = {"type": "array", "minItems": 1, "maxItems": limits.rows, "items": anything}
    value = {"anyOf": [{"type": ["number", "string"]}, {"$ref": _ref("Binary")}]}
    feature = {"anyOf": [*value["anyOf"], {"type": "array", "items": value}]}
    signature: Json = {"type": "string", "description": "by default serving_default"}
    named: Json = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"enum": sorted(DATATYPES.values())},
            "data": {"type": "array", "items": {"type": ["number", "string", "boolean", "array", "object"]}},
        },
    }
    state = {"enum": ["LOADING", "AVAILABLE", "UNLOADING", "END"]}
    return {
        "Object": {"type": "object"},
        "Binary": {
            "type": "object",
            "required": ["b64"],
            "additionalProperties": False,
            "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
        },
        "Predict": {
            "oneOf": [
                {
                    "type": "object",
                    "required": ["instances"],
                    "properties": {"signature_name": signature, "instances": rows},
                },
                {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {"signature_name": signature, "inputs": anything},
                },
            ],
            "examples": [
                {"instances": ["a text"]},
                {"instances": [{"b64": "/9j/4AAQSkZJRg=="}]},
                {"inputs": ["a text", "another"], "signature_name": "serving_default"},
            ],
        },
        "Examples": {
            "type": "object",
            "required": ["examples"],
            "properties": {
                "signature_name": signature,
                "context": {"type": "object", "additionalProperties": feature},
                "examples": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "object", "additionalProperties": feature},
                },
            },
        },
        "Infer": {
            "type": "object",
            "required": ["inputs"],
            "properties": {"id": {"type": "string"}, "inputs": {"type": "array", "items": named}},
        },
        "ModelStatus": {
            "type": "object",
            "required": ["model_version_status"],
            "properties": {
                "model_version_status": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["version", "state", "status"],
                        "properties": {"version": {"type": "string"}, "state": state, "status": {"type": "object"}},
                    },
                }
            },
        },
    }
