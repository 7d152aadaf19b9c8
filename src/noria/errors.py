"""Every error that Noria raises on purpose, in one tree.

A message says what happened (with the value), what was expected and what to do. The class knows the exit code of
the command line and the HTTP status of a server; a user never sees a traceback for a mistake of their own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NoriaError(Exception):
    """The work failed (exit code 1)."""

    exit_code = 1
    http_status = 500


class UserError(NoriaError):
    """What the user gave is wrong (exit code 2)."""

    exit_code = 2
    http_status = 400


class DataError(UserError):
    """A folder or a table cannot be used as a dataset."""


class ConfigError(UserError):
    """A setting is unknown or has an impossible value."""


class ArtifactError(UserError):
    """A run or a bundle is missing, unfinished, damaged or of another version."""


class UnknownNameError(UserError):
    """A name that is not on a shelf; the message lists the choices and the nearest one."""

    def __init__(self, kind: str, name: str, choices: Iterable[str]) -> None:
        known = sorted(choices)
        nearest = nearest_name(name, known)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"There is no {kind} named {name!r}.{hint} Known: {', '.join(known) or 'none'}.")


class UnreadableInputError(UserError):
    """One file or text cannot be read as what it should be; `str(error)` is the reason, without the file's name."""

    http_status = 422


class MissingExtraError(UserError):
    """An optional component is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what} is not installed. Install it with: pip install "noria[{extra}]"')


class RequestError(UserError):
    """A request to a server is wrong in itself: it can be mended, but not by sending it again."""


class TooLargeError(RequestError):
    """A request is larger than this server takes."""

    http_status = 413


class UnauthenticatedError(RequestError):
    """No key, or one that is not known."""

    http_status = 401


class ForbiddenError(RequestError):
    """The key is known, but not for this."""

    http_status = 403


class NotServedError(RequestError):
    """There is no such model, version, label or address."""

    http_status = 404


class SlowRequestError(RequestError):
    """A request did not arrive in time."""

    http_status = 408


class TooManyRequestsError(RequestError):
    """A key or an address sends more than it may; `retry_after` seconds later it may again."""

    http_status = 429

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BusyError(NoriaError):
    """Sending the request again, `retry_after` seconds later, may succeed."""

    http_status = 503

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineError(NoriaError):
    """The answer was not there in the time that the request allowed."""

    http_status = 504


class WeightsError(NoriaError):
    """Pretrained weights cannot be had."""


class NotSearchedError(NoriaError):
    """A search of a check cannot be made; the check goes on, and a finding tells the reason."""


class VerificationError(NoriaError):
    """An exported file answers differently from the model it was made from."""


def nearest_name(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice that is closest to `name`, or None where none is close."""
    by_lower = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None
