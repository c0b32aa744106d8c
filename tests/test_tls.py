"""In production without tickets a node serves only systems whose client certificate it knows."""

from __future__ import annotations

import datetime
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.nodes import Node
from tests.ports import free_port

DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority of its own, for one test run."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = self._builder(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self._certificate = builder.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            # Python 3.13 asks for both (RFC 5280, 4.2.1.1 and 4.2.1.2).
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def issue(self, name: str, purpose: x509.ObjectIdentifier) -> tuple[Path, Path]:
        """Certificate and key files for a name that is also a host on this machine."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self._builder(subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


class TlsNode(Node):
    """A node in production, known by its certificate and knowing its clients by theirs."""

    def __init__(self, folder: Path) -> None:
        self.servers = Authority(folder, "servers")
        self.clients = Authority(folder, "clients")
        certificate, key = self.servers.issue("node", ExtendedKeyUsageOID.SERVER_AUTH)
        self.feed_port = free_port()
        super().__init__(
            folder,
            environment="production",
            patients__source="national",
            patients__mllp_listen=f"0.0.0.0:{self.feed_port}",
            tls__certificate=certificate,
            tls__key=key,
            tls__client_ca=self.clients.file,
            limits__idle_seconds=1,
        )
        self.url = f"https://localhost:{self.port}"
        self._known = self.clients.issue("known", ExtendedKeyUsageOID.CLIENT_AUTH)

    def is_ready(self) -> bool:
        return self.get(self._known).status == 200

    def get(self, client: tuple[Path, Path] | None, path: str = "/health/ready") -> urllib3.BaseHTTPResponse:
        """The readiness of the node, or what else is at a path, asked with a client certificate or not."""
        with urllib3.PoolManager(ssl_context=self._context(client), retries=False, timeout=5) as pool:
            return pool.request("GET", self.url + path)

    def connect(self, port: int = 0, *, known: bool = True) -> ssl.SSLSocket:
        """A connection of a known client, or of one without a certificate; `port` is another than HTTP's."""
        connection = socket.create_connection(("127.0.0.1", port or self.port), timeout=20)
        context = self._context(self._known if known else None)
        return context.wrap_socket(connection, server_hostname="localhost")

    def _context(self, client: tuple[Path, Path] | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.servers.file))
        if client:
            context.load_cert_chain(*map(str, client))
        return context


@pytest.fixture(scope="module")
def tls_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsNode]:
    node = TlsNode(tmp_path_factory.mktemp("tls"))
    node.start()
    yield node
    node.stop()


def test_a_known_system_is_served(tls_node: TlsNode) -> None:
    """Its certificate is from the authority that the node trusts."""
    assert tls_node.is_ready()


def test_a_system_without_a_certificate_is_not_let_in(tls_node: TlsNode) -> None:
    """The connection is refused before any request is read."""
    with pytest.raises(urllib3.exceptions.HTTPError):
        tls_node.get(None)


def test_a_system_with_a_certificate_from_elsewhere_is_not_let_in(tls_node: TlsNode, tmp_path: Path) -> None:
    """Another authority of the same name does not do."""
    stranger = Authority(tmp_path, "clients").issue("known", ExtendedKeyUsageOID.CLIENT_AUTH)
    with pytest.raises(urllib3.exceptions.HTTPError):
        tls_node.get(stranger)


def test_a_silent_sender_is_ended_under_tls_too(tls_node: TlsNode) -> None:
    """Its thread is free again after the idle time, and it can still read why."""
    with tls_node.connect() as connection:
        connection.sendall(
            b"POST /xds/registry HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/soap+xml\r\n"
            b"Content-Length: 100000\r\n\r\n<"
        )
        began = time.monotonic()
        assert b"limits.idle_seconds" in connection.recv(4096)
        assert time.monotonic() - began < 40  # and not 60
    assert tls_node.is_ready()


def test_a_patient_feed_is_heard_from_known_systems_only(tls_node: TlsNode) -> None:
    """MLLP has no tickets: the certificate is its gate. Nothing is announced, as the header is none."""
    message = b"\x0bMSH|\x1c\r"
    with tls_node.connect(tls_node.feed_port) as connection:
        connection.sendall(message)
        assert b"MSA|AR|" in connection.recv(4096)
    heard = b""
    with suppress(OSError), tls_node.connect(tls_node.feed_port, known=False) as stranger:
        stranger.sendall(message)
        heard = stranger.recv(4096)
    assert heard == b""


def test_a_node_in_production_has_no_tools(tls_node: TlsNode) -> None:
    """The page for validating is for test environments alone."""
    reply = tls_node.get(tls_node._known, "/tools/validate")
    assert reply.status == 404
    assert b"alidate a" not in reply.data


def test_a_node_that_cannot_know_its_clients_does_not_start(tmp_path: Path) -> None:
    """Production without tickets and without client certificates is refused, with the keys to set."""
    node = Node(tmp_path, environment="production")
    refused = node.command("serve")
    assert refused.returncode == 1
    assert "tls.client_ca" in refused.stderr
    assert "Traceback" not in refused.stderr
