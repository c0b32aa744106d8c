"""The client and a node that know each other by certificates (ATNA's mutual TLS)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.client.documents import SOURCE_ID, document, new_patient
from tests.test_tls import TlsNode
from xds.cli import main
from xds.client import Client, ClientError, build
from xds.metadata.national import SHARED_HELP

Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsNode]:
    """A node in production settings: whoever connects must show a certificate that it trusts."""
    node = TlsNode(tmp_path_factory.mktemp("secured"))
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def pair(secured: TlsNode) -> Pair:
    """The client's certificate and key."""
    return secured.clients.issue("client", ExtendedKeyUsageOID.CLIENT_AUTH)


def test_a_client_with_a_certificate_is_served(secured: TlsNode, pair: Pair, tmp_path: Path):
    """Submit, find and fetch with certificates on both sides; no synthetic patient is known in production."""
    patient = f"88888810182^^^&{SHARED_HELP}&ISO"  # a felles hjelpenummer, of nobody
    with Client(secured.url, ca_file=secured.servers.file, certificate=pair[0], key=pair[1]) as client:
        client.send(build([document(b"abc")], patient_id=patient, source_id=SOURCE_ID))
        (fetched,) = client.fetch(client.find(patient), tmp_path)
    assert fetched.path.read_bytes() == b"abc"


def test_a_client_without_a_certificate_is_told_so_in_words(secured: TlsNode):
    """The node breaks the connection off before anything is said."""
    with Client(secured.url, ca_file=secured.servers.file) as client, pytest.raises(ClientError):
        client.find(new_patient())


def test_a_node_that_is_not_trusted_gets_nothing(secured: TlsNode, pair: Pair):
    """The system's authorities do not know the node's, so the client does not talk to it."""
    with (
        Client(secured.url, certificate=pair[0], key=pair[1]) as client,
        pytest.raises(ClientError, match="No secure connection"),
    ):
        client.find(new_patient())


def test_the_command_line_takes_certificates(secured: TlsNode, pair: Pair, capfd: pytest.CaptureFixture[str]):
    """--cert, --key and --ca."""
    files = ["--cert", str(pair[0]), "--key", str(pair[1]), "--ca", str(secured.servers.file)]
    assert main(["find", "--patient", "17855599120", "--json", "--url", secured.url, *files]) == 0
    assert capfd.readouterr().out == "[]\n"
