"""For those who run the server: health, metrics; and for people: the page, and what describes the interface."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from starlette.responses import Response

from noria.serving.http.door import Route, Visit, json_answer
from noria.serving.http.openapi import describe

PAGES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
}
KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def routes() -> list[Route]:
    """Return the addresses that belong to no protocol."""
    return [
        Route("GET", re.compile("/healthz"), healthz, "health", None),
        Route("GET", re.compile("/readyz"), readyz, "health", None),
        Route("GET", re.compile("/monitoring/prometheus/metrics|/metrics"), metrics, "metrics", "metrics"),
        Route("GET", re.compile("/openapi.json"), openapi, "page", None),
        Route("GET", re.compile("/|/docs"), page, "page", None),
        Route("GET", re.compile(r"/ui/(?P<file>[a-z]+\.(?:css|js|svg))"), page, "page", None),
    ]


async def healthz(visit: Visit) -> Response:
    """Say that the process answers: restart it where it does not."""
    return json_answer({"status": "ok"})


async def readyz(visit: Visit) -> Response:
    """Say whether requests may be sent here."""
    good = visit.service.ready
    told = {name: sorted(model.loaded) for name, model in visit.service.models.items()}
    return json_answer({"ready": good, "models": told}, 200 if good else 503)


async def metrics(visit: Visit) -> Response:
    """Tell everything that is counted, in Prometheus' text format."""
    visit.service.observe_queues()
    return Response(visit.service.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def openapi(visit: Visit) -> Response:
    """Describe the interface for programs."""
    service = visit.service
    names = {name: sorted(model.loaded) for name, model in service.models.items()}
    return json_answer(describe(service.config.limits, names if service.config.server.public_status else None))


async def page(visit: Visit) -> Response:
    """Give the page, or what belongs to it."""
    path = visit.request.url.path
    name, kind = PAGES.get(path, (path.rpartition("/")[2], KINDS.get(path[path.rfind(".") :], "")))
    content = _files().get(name)
    if content is None:
        return json_answer({"error": f"There is no {path}."}, 404)
    return Response(content, media_type=kind, headers={"cache-control": "no-cache"})


@cache
def _files() -> dict[str, bytes]:
    folder = resources.files("noria.serving").joinpath("ui")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
