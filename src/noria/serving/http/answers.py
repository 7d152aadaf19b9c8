"""Beyond TensorFlow Serving: pictures and texts posted as they are, answered with labels; explanations; cards."""

from __future__ import annotations

import codecs
import re
from collections.abc import AsyncGenerator
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from noria.errors import RequestError
from noria.serving.http.door import Route, Visit, json_answer
from noria.serving.servables.bundle import BundleServable
from noria.serving.service import Spec
from noria.serving.versions import require_loaded

MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,18})|/labels/(?P<label>[^/:]{1,128}))?"
TOP = 5
MULTIPART = "multipart/form-data"
CHARSET = re.compile(r"[A-Za-z0-9_.:-]{1,40}")
# Names of Python's codecs, of those that take time in proportion to a text and give nothing but its characters.
CODEC = re.compile(r"utf-(8|8-sig|16|32)(-[bl]e)?|ascii|gb\w+|big5\w*|shift_jis\w*|euc_\w+|cp\d+|iso8859-\d+|koi8-[ru]")


def routes() -> list[Route]:
    """Return the addresses of this protocol."""
    return [
        Route("GET", re.compile("/v1/models"), models, "models", "metadata"),
        Route("GET", re.compile(f"{MODEL}/card"), card, "card", "metadata"),
        Route("POST", re.compile(f"{MODEL}:explain"), explain, "explain", "explain"),
    ]


def takes(media_type: str) -> bool:
    """Tell whether a body of this type is an input as it is, and not JSON."""
    return media_type.startswith(("image/", "text/plain")) or media_type in (MULTIPART, "application/octet-stream")


async def answer(visit: Visit) -> Response:
    """Answer one input, or the files of a form, each with its label and confidence or the reason why not."""
    spec = _spec(visit)
    top = _top(visit)
    named = await _inputs(visit, _wanted(visit, spec))
    work = visit.service.answer(spec, [data for _, data in named], deadline=visit.deadline, top=top)
    visit.version, found = await visit.unless_gone(work)
    told = [{"input": name, **one} for (name, _), one in zip(named, found, strict=True)]
    good = any("error" not in one for one in told)
    whole: dict[str, Any] = {"model": spec.name, "version": visit.version, "answers": told}
    return json_answer(whole if good else {"error": told[0]["error"], **whole}, 200 if good else 422)


async def explain(visit: Visit) -> Response:
    """Answer one text and say what each of its words added, in log-odds."""
    spec = _spec(visit)
    named = await _inputs(visit, _wanted(visit, spec))
    if len(named) != 1:
        raise RequestError("One text at a time is explained.")
    told = await visit.unless_gone(visit.service.explain(spec, named[0][1], deadline=visit.deadline))
    visit.version = told["version"]
    return json_answer(told)


async def models(visit: Visit) -> Response:
    """List the models."""
    return json_answer({"models": [_listed(visit, name) for name in visit.service.models]})


async def card(visit: Visit) -> Response:
    """Say what people may know of a model."""
    return json_answer(visit.service.card(_spec(visit)))


def as_utf8(data: bytes, content_type: str) -> bytes:
    """Return a text as the models take it, where its content type says that it is in another encoding.

    Raises:
        RequestError: the encoding is not known, or the text is not in it.
    """
    kind, parameters = parse_options_header(content_type)
    charset = parameters.get(b"charset", b"").decode("latin-1")
    if not charset or not kind.startswith(b"text/"):
        return data
    try:
        codec = codecs.lookup(charset if CHARSET.fullmatch(charset) else "")
        if not CODEC.fullmatch(codec.name):
            raise LookupError
        return data if codec.name == "utf-8" else codec.decode(data)[0].encode()
    except LookupError:
        known = "UTF-8 and GB18030 are, and other usual ones"
        raise RequestError(f"The charset {charset[:40]!r} is not read; {known}.") from None
    except UnicodeError:
        raise RequestError(f"The text is not in the charset that it is said to be in, {charset}.") from None


def _listed(visit: Visit, name: str) -> dict[str, Any]:
    model = visit.service.models[name]
    if not model.loaded:
        return {"name": name, "input": None, "task": None, "ready": False}
    told = visit.service.card(Spec(name))
    return {"name": name, "input": told["input"], "task": told["task"], "ready": True}


def _spec(visit: Visit) -> Spec:
    found = visit.request.path_params
    return Spec(found["name"], int(found["version"]) if "version" in found else None, found.get("label"))


def _top(visit: Visit) -> int:
    told = visit.request.query_params.get("top", str(TOP))
    if not told.isdecimal() or len(told) > 5 or not 1 <= int(told) <= 10_000:
        raise RequestError(f"top is to be a whole number from 1 to 10,000, not {told[:20]!r}.")
    return int(told)


def _wanted(visit: Visit, spec: Spec) -> str:
    """Return how the media types begin that a model takes (empty: any); a wrong name is told before reading."""
    servable, _ = require_loaded(visit.service.model(spec.name).pick(spec.version, spec.label))
    return servable.media_type if isinstance(servable, BundleServable) else ""


def _require_kind(told: str, wanted: str) -> None:
    """Refuse what says itself that it is no text: bytes of a picture would be read as words."""
    if wanted and told.startswith(("image/", "audio/", "video/")) and not told.startswith(wanted):
        raise RequestError(f"The model takes {wanted}*, not {told[:40]!r}.")


async def _inputs(visit: Visit, wanted: str) -> list[tuple[str, bytes]]:
    """Return the names and the bytes of what was posted.

    Raises:
        RequestError: it is of another kind than `wanted`, or a form that cannot be read.
    """
    body = await visit.body()
    told = visit.request.headers.get("content-type", "")
    kind = told.partition(";")[0].strip().lower()
    _require_kind(kind, wanted)
    if kind != MULTIPART:
        return [("body", as_utf8(body, told))]
    try:
        return await _parts(visit, body, wanted)
    except (MultiPartException, ValueError, KeyError) as error:
        raise RequestError(f"The form cannot be read: {str(error)[:200]}") from None


async def _parts(visit: Visit, body: bytes, wanted: str) -> list[tuple[str, bytes]]:
    limits = visit.service.config.limits

    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        visit.request.headers, whole(), max_files=limits.rows, max_fields=limits.rows, max_part_size=limits.body_bytes
    )
    parser.spool_max_size = limits.body_bytes  # it is in memory already; a read-only machine has no room for files
    form = await parser.parse()
    for _, value in form.multi_items():
        if isinstance(value, UploadFile):
            _require_kind(value.content_type or "", wanted)
    found = [
        (value.filename or field, as_utf8(await value.read(), value.content_type or ""))
        if isinstance(value, UploadFile)
        else (field, value.encode())
        for field, value in form.multi_items()
    ]
    await form.close()
    if not found:
        raise RequestError("The form holds no file and no text.")
    return found
