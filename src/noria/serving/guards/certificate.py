"""The certificate that is shown to who connects: read from its files and tried, or made for a trial, and shown over
HTTP and gRPC. A renewed one takes over between two connections; those that are open go on.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import ConfigError
from noria.serving.settings import Tls

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

DAYS = 30


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its chain, and its key, both PEM, which were tried together."""

    certificate: bytes
    key: bytes = field(repr=False)
    fingerprint: str  # SHA-256 of the certificate itself, in hexadecimal digits
    expires: datetime

    def told(self) -> dict[str, str]:
        """Return what the log says of it."""
        return {"sha256": self.fingerprint, "expires": self.expires.isoformat()}


def first_identity(tls: Tls, host: str) -> Identity | None:
    """Return what a server shows that starts with these settings; None where it uses no TLS.

    Raises:
        ConfigError: the certificate or the key cannot be used.
    """
    if tls.certificate and tls.key:
        return read_identity(tls.certificate, tls.key)
    return _trial_identity(host) if tls.trial else None


def read_identity(certificate: Path, key: Path) -> Identity:
    """Return a certificate and its key, as they lie in two PEM files.

    Raises:
        ConfigError: a file cannot be read, is no PEM, or one does not belong to the other.
    """
    try:
        return _tried(certificate.read_bytes(), key.read_bytes())
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(f"The certificate {certificate} with the key {key} cannot be used: {error}") from None


def renewed_identity(certificate: Path, key: Path) -> Identity:
    """Return what is to take the place of a certificate that is shown.

    Raises:
        ConfigError: as `read_identity`; or it has expired.
    """
    found = read_identity(certificate, key)
    if found.expires <= datetime.now(UTC):
        raise ConfigError(f"The certificate {certificate} expired on {found.expires:%Y-%m-%d %H:%M} UTC; renew it.")
    return found


def stamp_of(tls: Tls) -> tuple[int, ...]:
    """Return what changes when one of the files is written anew, or another one is put in its place."""
    found: list[int] = []
    for path in (tls.certificate, tls.key):
        try:
            status = path.stat() if path else None
        except OSError:
            status = None
        found += [status.st_ino, status.st_size, status.st_mtime_ns] if status else []
    return tuple(found)


class Shown:
    """What a server shows; each new connection gets the latest.

    Not loaded into the context that is there: one holds a certificate for each kind of key, so a renewed one with a key
    of another kind would only stand beside the old.
    """

    def __init__(self, identity: Identity) -> None:
        """Show a certificate from the first connection on."""
        self.identity = identity
        self.context = _context(identity)  # of the listening socket
        self.context.sni_callback = self._choose  # also called where a client names no host
        self._latest = self.context
        self._told_grpc = identity

    def change(self, identity: Identity) -> bool:
        """Show another certificate to who connects from now on; return whether it is another."""
        if (identity.certificate, identity.key) == (self.identity.certificate, self.identity.key):
            return False
        self._latest, self.identity = _context(identity), identity
        return True

    def grpc_credentials(self) -> Any:
        """Return what a gRPC server asks before each connection."""
        import grpc

        def configuration(identity: Identity) -> Any:
            return grpc.ssl_server_certificate_configuration([(identity.key, identity.certificate)])

        def changed() -> Any:  # called by threads of gRPC, one after another
            if (latest := self.identity) is self._told_grpc:
                return None
            self._told_grpc = latest
            return configuration(latest)

        return grpc.dynamic_ssl_server_credentials(configuration(self.identity), changed)

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._latest


def _tried(certificate: bytes, key: bytes) -> Identity:
    """Raise OSError or ValueError where they cannot be used."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import load_pem_x509_certificate

    if b"ENCRYPTED" in key:
        raise ValueError("the key is encrypted; a server has nobody to ask for its password: store it without one")
    first = load_pem_x509_certificate(certificate)  # of a chain, the server's own
    found = Identity(certificate, key, first.fingerprint(SHA256()).hex(), first.not_valid_after_utc)
    _context(found)
    return found


def _context(identity: Identity) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _named(identity.certificate) as certificate, _named(identity.key) as key:
        made.load_cert_chain(certificate, key)
    return made


@contextmanager
def _named(content: bytes) -> Iterator[str]:
    """Give a name under which OpenSSL, which reads files only, finds what is in memory; on Linux it is on no disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pem")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:  # for its owner alone
        file.write(content)
        file.flush()
        yield file.name


def _trial_identity(host: str) -> Identity:
    """Return a self-signed certificate for this machine, of which there is no file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Noria, for a trial")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return _tried(
        certificate.public_bytes(encoding), key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    )


def _names(host: str) -> list[GeneralName]:
    from cryptography.x509 import DNSName, IPAddress

    names: list[GeneralName] = [DNSName("localhost"), DNSName(socket.gethostname())]
    addresses = {"127.0.0.1", "::1"}
    try:
        addresses.add(str(ipaddress.ip_address(host)))
    except ValueError:
        names.append(DNSName(host))
    return names + [IPAddress(ipaddress.ip_address(one)) for one in sorted(addresses)]
