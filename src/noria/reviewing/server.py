"""A Review -> a page on the loopback interface, for one person at this machine.

Every address carries a random token, and the Host must be ours, so that no other page in the browser and no other user
can ask. Nothing is served but the page's own files, and inputs by their number, as a new JPEG or as text.
"""

from __future__ import annotations

import hmac
import re
import secrets
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from noria.errors import ForbiddenError, NoriaError, NotServedError, RequestError, TooLargeError
from noria.reviewing.review import Review
from noria.tomlfile import explain

LOOPBACK = "127.0.0.1"
_MOST_BYTES = 64 * 1024  # of a body
_SECONDS = 60.0  # that a connection may be silent
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _Answer(BaseModel):
    """What the page posts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: int = Field(ge=0)
    decision: Literal["keep", "drop", "relabel", "same", "different"]
    label: str = Field("", max_length=1000)
    other: int | None = Field(None, ge=0)
    finding: str = Field("", max_length=100)


class ReviewServer:
    """A server of one page, from its making to `close`."""

    def __init__(self, review: Review) -> None:
        self.review = review
        self.token = secrets.token_urlsafe(24)
        handler = type("_Bound", (_Handler,), {"review": review, "token": self.token})
        self._server = ThreadingHTTPServer((LOOPBACK, 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._server.server_port}/{self.token}/"

    def serve(self) -> None:
        """Answer until `close` is called from another thread, or this one is interrupted."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._server.shutdown()

    def close(self) -> str:
        """Let go of the port once an answer that is being written is on the disk; say how many lie where."""
        self._server.server_close()
        answers = self.review.close()
        if not answers and not self.review.place.exists():
            return "No answers; nothing was written."
        noun = "answer" if answers == 1 else "answers"
        return f"{answers:,} {noun} in {self.review.place}; the next check or training applies them."


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    review: Review
    token: str
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    server_version, sys_version = "noria", ""

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_POST(self) -> None:
        self._respond(self._post)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the address holds the token."""

    def _respond(self, work: Any) -> None:
        try:
            kind, content = work(self._rest())
            status = 200
        except RequestError as error:
            self.close_connection = True  # its body may not have been read
            status, kind, content = error.http_status, "application/json", _json({"error": str(error)})
        except NoriaError as error:
            status, kind, content = error.http_status, "application/json", _json({"error": str(error)})
        self._send(status, kind, content)

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        text = kind.startswith("text/") or kind == "application/json"
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if text else kind)
        self.send_header("Content-Length", str(len(content)))
        # A picture stays what it is while the page is open; all else may change.
        self.send_header("Cache-Control", "private, max-age=600" if kind == "image/jpeg" else "no-store")
        for name, value in _SECURITY.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no HTTP, or a method that is not known, as everything else is answered."""
        self.close_connection = True
        self._send(code, "application/json", _json({"error": HTTPStatus(code).phrase}))

    def _rest(self) -> str:
        """What of the address follows the token, once it is certain that our own page asks."""
        ours = {f"{name}:{self.server.server_port}" for name in (LOOPBACK, "localhost")}  # type: ignore[attr-defined]
        if self.headers.get("Host", "") not in ours:
            raise ForbiddenError("This page answers at its own address only.")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise ForbiddenError("This page answers no other page.")
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in ours:
            raise ForbiddenError("This page answers no other page.")
        given, _, rest = self.path.removeprefix("/").partition("/")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
            raise ForbiddenError("The address lacks its token. Open the one that `noria check --page` has shown.")
        return rest.partition("?")[0]

    def _get(self, rest: str) -> tuple[str, bytes]:
        if rest == "state":
            return "application/json", _json(self.review.state())
        if found := re.fullmatch(r"input/([0-9]{1,9})", rest):
            view = self.review.view(int(found[1]))
            return ("text/plain", view.encode()) if isinstance(view, str) else ("image/jpeg", view)
        content = _files().get(rest or "index.html")
        if content is None:
            raise NotServedError("There is nothing at this address.")
        return content

    def _post(self, rest: str) -> tuple[str, bytes]:
        if rest not in ("answer", "undo"):
            raise NotServedError("There is nothing at this address.")
        body = self._body()
        if rest == "undo":
            return "application/json", _json(self.review.undo())
        try:
            answer = _Answer.model_validate(body)
        except ValidationError as error:
            raise RequestError(explain(error, _Answer)) from None
        changed = self.review.answer(
            answer.input, answer.decision, label=answer.label, other=answer.other, finding=answer.finding
        )
        return "application/json", _json(changed)

    def _body(self) -> Any:
        if self.headers.get_content_type() != "application/json" or "Transfer-Encoding" in self.headers:
            raise RequestError("An answer is JSON, with its length.")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length):
            raise RequestError("An answer is JSON, with its length.")
        if int(length) > _MOST_BYTES:
            raise TooLargeError(f"An answer has at most {_MOST_BYTES:,} bytes.")
        try:
            return orjson.loads(self.rfile.read(int(length)))
        except orjson.JSONDecodeError as error:
            raise RequestError(f"It is not valid JSON: {error}.") from None


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


@cache
def _files() -> dict[str, tuple[str, bytes]]:
    """The page's own files: the media type and the bytes of each."""
    folder = resources.files("noria.reviewing").joinpath("ui")
    return {
        one.name: (_KINDS[ending], one.read_bytes())
        for one in folder.iterdir()
        if (ending := one.name[one.name.rfind(".") :]) in _KINDS
    }
