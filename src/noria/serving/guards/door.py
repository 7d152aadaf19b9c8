"""Who: an API key or an address -> come in, or an error that says why not. The same for HTTP and gRPC."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from noria.errors import ForbiddenError, UnauthenticatedError
from noria.serving.guards.rates import Rates
from noria.serving.settings import Key, Rate, Scope

PREFIX = "noria_"


def new_key() -> tuple[str, str]:
    """Return a key of 256 random bits, and the SHA-256 that is kept of it.

    A hash made for passwords would only cost time: what is random cannot be guessed.
    """
    key = PREFIX + secrets.token_urlsafe(32)
    return key, hash_of(key)


def hash_of(key: str) -> str:
    """Return what is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who was let in."""

    name: str | None = None  # of the key, for the log
    models: tuple[str, ...] = ()  # only for these; empty: for all

    def require_model(self, name: str) -> None:
        """Refuse a model that the key is not for; a request that names none asks for no model.

        Raises:
            ForbiddenError: it is not among those of the key.
        """
        if name and self.models and name not in self.models:
            raise ForbiddenError(f"This API key is not good for the model {name!r}.")


class Guard:
    """Keys and rates of one server. Without any key everybody may do everything."""

    def __init__(self, keys: Sequence[Key], rate: Rate) -> None:
        self._keys = {key.sha256: (key, Rates(key.rate)) for key in keys}
        self._by_address = Rates(rate)

    def admit(self, key: str | None, address: str, *, scope: Scope) -> Visitor:
        """Let a request in; return whose it is.

        Raises:
            UnauthenticatedError: a key is needed, and there is none or one that is not known.
            ForbiddenError: the key is not for this.
            TooManyRequestsError: the key or the address sends too many.
        """
        self._by_address.take(address)
        if not self._keys:
            return Visitor()
        if not key:
            raise UnauthenticatedError("An API key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key`.")
        # Looked up by its hash, so the time it takes tells nothing about the keys that there are.
        known, rates = self._keys.get(hash_of(key), (None, None))
        if known is None or rates is None:
            raise UnauthenticatedError("This API key is not known.")
        rates.take(known.name)
        if scope not in known.scopes:
            raise ForbiddenError(f"This API key is not good for {scope!r}, only for {', '.join(known.scopes)}.")
        return Visitor(known.name, known.models)


def key_in(authorization: str | None, x_api_key: str | None) -> str | None:
    """Return the key of a request from its headers."""
    if authorization and authorization[:7].lower() == "bearer ":
        return authorization[7:].strip()
    return x_api_key
