"""Who: an API key or an address -> come in, or an error that says why not. The same for HTTP and gRPC."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from noria.errors import ForbiddenError, UnauthenticatedError
from noria.serving.guards.rates import FEW, MANY, Memory, Rates, shared_memory
from noria.serving.settings import Key, Rate, Scope

PREFIX = "noria_"
WORDS = 1000  # characters of an error; over gRPC a client takes 16 KiB, in which a character may need twelve bytes


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
    """Keys and rates of one server. Without any key everybody may do everything but say which models are served."""

    def __init__(self, keys: Sequence[Key], rate: Rate, together: Path | None = None) -> None:
        """Let nobody in yet.

        Args:
            together: a folder that the processes of one server share, which count requests together.
        """
        self._together = together
        self._memories: dict[str, Memory] = {}
        self._addresses = self._memory("addresses", MANY)
        self.change(keys, rate)

    def change(self, keys: Sequence[Key], rate: Rate) -> None:
        """Let these keys in from now on, at this rate of an address; what was counted still counts."""
        self._by_address = Rates(rate, self._addresses)
        self._keys = {key.sha256: (key, Rates(key.rate, self._memory(key.sha256[:16], FEW))) for key in keys}

    def _memory(self, name: str, size: int) -> Memory:
        if name not in self._memories:
            path = self._together / f"rates-{name}" if self._together else None
            self._memories[name] = shared_memory(path, size) if path else bytearray(size)
        return self._memories[name]

    def admit(self, key: str | None, address: str, *, scope: Scope | None) -> Visitor:
        """Let a request in; return whose it is.

        Args:
            scope: what a key must be good for; None: none is needed.

        Raises:
            UnauthenticatedError: a key is needed, and there is none or one that is not known.
            ForbiddenError: the key is not for this.
            TooManyRequestsError: the key or the address sends too many.
        """
        self._by_address.take(network_of(address))
        if scope == "reload" and not self._keys and not _is_local(address):
            raise ForbiddenError("Without API keys only this machine may say which models are served.")
        if scope is None or not self._keys:
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


def shortened(message: str) -> str:
    """Return the beginning of an error's words, which may quote a name of millions of characters."""
    return message if len(message) <= WORDS else message[: WORDS - 1] + "…"


def network_of(address: str) -> str:
    """Return what one person has of addresses: one of IPv4, or a network of 2**64 of IPv6."""
    if ":" not in address:
        return address
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return found.packed[:8].hex()


def _is_local(address: str) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return not address  # of a socket of this machine
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


def key_in(authorization: str | None, x_api_key: str | None) -> str | None:
    """Return the key of a request from its headers."""
    if authorization and authorization[:7].lower() == "bearer ":
        return authorization[7:].strip()
    return x_api_key
