"""A certificate that is renewed under a running server, over HTTP and gRPC, in all its processes."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from grpc_health.v1 import health_pb2, health_pb2_grpc

from noria.artifacts.bundle import Bundle
from noria.errors import ConfigError
from noria.serving.guards.certificate import read_identity, renewed_identity

ASKED = 12  # connections, of which each process gets some


class Issued:
    """Where a server's certificate and key lie, and what writes them anew as certbot does."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"

    def issue(self, name: str, *, rsa_key: bool = False, days: int = 30, password: bytes = b"") -> str:
        """Write a certificate of this name with a key of its own, and return the certificate."""
        made = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        told = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(told)
            .issuer_name(told)
            .public_key(made.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=90))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(made, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )
        locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        pkcs8 = serialization.PrivateFormat.PKCS8
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(made.private_bytes(serialization.Encoding.PEM, pkcs8, locked))
        return certificate.decode()


class Secured:
    """A server whose certificate this is."""

    def __init__(self, start: Callable[..., Any], bundle: Bundle, folder: Path, *, poll: int, processes: int) -> None:
        self.issued = Issued(folder)
        self.first = self.issued.issue("first", rsa_key=True)
        self.config = folder / "serve.toml"
        tls = f'[tls]\ncertificate = "{self.issued.certificate.name}"\nkey = "{self.issued.key.name}"\n'
        models = f'[[models]]\nname = "m"\npath = "{bundle.path}"\n'
        self.config.write_text(f"[server]\npoll_seconds = {poll}\n{tls}{models}", encoding="utf-8")
        self.server = start("--config", self.config, "--processes", str(processes))
        self.address = self.server.http.removeprefix("https://")

    def shown(self) -> set[str]:
        """Return the certificates that new connections are shown, over HTTP and gRPC."""
        return {_shown_at(at) for at in (self.address, self.server.grpc) for _ in range(ASKED)}

    def reload(self) -> None:
        self.server.process.send_signal(signal.SIGHUP)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.server.log() if line["event"] == name]


def _shown_at(address: str) -> str:
    host, _, port = address.partition(":")
    return ssl.get_server_certificate((host, int(port)))


@pytest.fixture
def secured(start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path) -> Callable[..., Secured]:
    return lambda processes=1, poll=0: Secured(start, texts_bundle, tmp_path, poll=poll, processes=processes)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_renewed_certificate_is_shown_after_sighup_and_no_connection_ends(
    secured: Callable[..., Secured], until: Callable[..., Any], processes: int
) -> None:
    one = secured(processes)
    assert one.shown() == {one.first}
    options = [("grpc.ssl_target_name_override", "localhost")]
    trusted = grpc.ssl_channel_credentials(one.first.encode())
    context = ssl.create_default_context(cadata=one.first)
    host, _, port = one.address.partition(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as kept,
        grpc.secure_channel(one.server.grpc, trusted, options) as channel,
    ):

        def asked() -> bool:
            kept.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}}"):
                piece = kept.recv(65_536)
                assert piece, answer
                answer += piece
            state = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30).status
            return answer.startswith(b"HTTP/1.1 200") and state == health_pb2.HealthCheckResponse.SERVING

        assert asked()
        second = one.issued.issue("second")  # a key of another kind than before
        one.reload()
        until(lambda: one.shown() == {second})
        assert asked()  # the gRPC channel trusts the first one only: it is the connection of before
    assert len(one.events("certificate")) == processes
    assert not one.events("certificate refused")


def test_a_certificate_that_is_written_anew_is_taken_up_without_a_signal(
    secured: Callable[..., Secured], until: Callable[..., Any]
) -> None:
    one = secured(poll=1)
    second = one.issued.issue("second")
    until(lambda: one.shown() == {second})


@pytest.mark.parametrize("fault", ["cut off", "other key", "gone", "expired", "locked"])
def test_a_certificate_that_cannot_be_used_is_refused_with_its_reason_and_the_old_one_stays(
    secured: Callable[..., Secured], until: Callable[..., Any], fault: str
) -> None:
    one = secured()
    words = _spoil(one.issued, fault)
    text = one.config.read_text(encoding="utf-8")
    one.config.write_text(text + text[text.index("[[models]]") :].replace('"m"', '"n"'), encoding="utf-8")
    one.reload()
    until(lambda: one.events("certificate refused"))
    assert words in one.events("certificate refused")[0]["error"]
    assert one.shown() == {one.first}
    with httpx.Client(base_url=one.server.http, verify=False) as client:
        until(lambda: client.get("/v1/models/n").status_code == 200)  # the rest of the reload was not held up
    third = one.issued.issue("third")
    one.reload()
    until(lambda: one.shown() == {third})


def test_a_process_that_is_started_anew_shows_what_the_others_do_where_the_new_certificate_is_broken(
    secured: Callable[..., Secured], until: Callable[..., Any]
) -> None:
    one = secured(2, poll=1)
    second = one.issued.issue("second")
    until(lambda: one.shown() == {second} and len(one.events("certificate")) == 2)
    _spoil(one.issued, "other key")
    pid = one.server.process.pid
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    killed = [int(child) for child in listed if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(killed[0], signal.SIGKILL)
    until(lambda: len([line for line in one.events("loaded") if line["model"] == "m"]) == 2 + 1)
    assert one.shown() == {second}


def test_who_connects_and_makes_no_handshake_is_let_go(
    start: Callable[..., Any], texts_bundle: Bundle, tmp_path: Path
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("[limits]\nheader_seconds = 1\n", encoding="utf-8")
    server = start(f"m={texts_bundle.path}", "--config", config, "--trial-tls", "--grpc", "-1")
    host, _, port = server.http.removeprefix("https://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as made:
        made.sendall(b"\x16\x03\x01")  # the beginning of one
        assert made.recv(100) == b""


def test_a_key_with_a_password_is_told_and_nobody_is_asked_for_it(texts_bundle: Bundle, tmp_path: Path) -> None:
    issued = Issued(tmp_path)
    issued.issue("locked", password=b"secret")
    config = tmp_path / "serve.toml"
    config.write_text('[tls]\ncertificate = "certificate.pem"\nkey = "key.pem"\n', encoding="utf-8")
    command = [sys.executable, "-m", "noria", "serve", f"m={texts_bundle.path}", "--config", str(config), "--json"]
    done = subprocess.run([*command, "--http", "0", "--grpc", "-1"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"is encrypted" in done.stdout
    with pytest.raises(ConfigError, match="is encrypted"):
        read_identity(issued.certificate, issued.key)


def test_a_server_starts_with_an_expired_certificate_but_does_not_change_to_one(tmp_path: Path) -> None:
    issued = Issued(tmp_path)
    issued.issue("old", days=-1)
    assert read_identity(issued.certificate, issued.key).expires < datetime.now(UTC)
    with pytest.raises(ConfigError, match="expired on"):
        renewed_identity(issued.certificate, issued.key)


def test_where_the_system_has_no_files_in_memory_a_certificate_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = Issued(tmp_path)
    issued.issue("old")
    there = read_identity(issued.certificate, issued.key)
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "made"))
    (tmp_path / "made").mkdir()
    assert read_identity(issued.certificate, issued.key) == there
    assert not [*(tmp_path / "made").iterdir()]


def _spoil(issued: Issued, fault: str) -> str:
    """Write what cannot be used, and return a part of what is to be said of it."""
    before = issued.key.read_bytes()
    if fault == "gone":
        issued.certificate.unlink()
        return "No such file"
    if fault == "expired":
        issued.issue("expired", days=-1)
        return "expired on"
    issued.issue("second", password=b"secret" if fault == "locked" else b"")
    if fault == "locked":
        return "is encrypted"
    if fault == "cut off":
        issued.certificate.write_bytes(issued.certificate.read_bytes()[:200])
        return "cannot be used"
    issued.key.write_bytes(before)
    return "cannot be used"
