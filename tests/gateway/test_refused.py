"""What the gateway refuses: strangers, redirects, too large answers, certificates that are not trusted.

Whether somebody was contacted is read from the other side, which counts its connections. A ReplyTo outside
the allow-list is refused in the tests of asynchronous exchange.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.blackbox import messages as m
from tests.blackbox.state import staged
from tests.blackbox.wire import FAILURE, PARTIAL, SUCCESS, Reply
from tests.gateway.peers import PATTERN, Peer, document_id
from tests.gateway.region import (
    HOME,
    HOMES,
    INITIATING,
    RESPONDING,
    Region,
    community,
    entries,
    query,
    retrieve,
    rules,
    urn,
)
from tests.nodes import Node
from tests.test_tls import Authority
from tests.waiting import eventually
from xds.demo.tickets import TicketService

#: Of the gateway: the XML of a message (with its ticket), one document, a whole message.
ROOT, DOCUMENT, TOTAL = 200_000, 2_000_000, 5_000_000
#: One community of each kind; those of TLS are the same two servers, reached rightly and wrongly.
OPEN, SEALED, MUTUAL = HOMES[:3]
TLS = {
    name: f"2.16.578.1.12.4.5.100.{number}"
    for number, name in enumerate(
        (
            "another authority",
            "the machine's authorities",
            "another name",
            "no client certificate",
            "another authority's client certificate",
        ),
        200,
    )
}
STRANGER = "urn:oid:2.16.578.1.12.4.5.100.404"
#: Stored queries for objects by their ids, with a parameter that each takes (ITI TF-2 3.18.4.1.2.3.7).
BY_IDS = {
    "GetDocuments": (m.GET_DOCUMENTS, "$XDSDocumentEntryUniqueId"),
    "GetFolders": ("urn:uuid:5737b14c-8a1a-4539-b659-e03a34a5e1e4", "$XDSFolderUniqueId"),
    "GetAssociations": ("urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155", "$uuid"),
    "GetDocumentsAndAssociations": (
        "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a",
        "$XDSDocumentEntryUniqueId",
    ),
    "GetSubmissionSets": ("urn:uuid:51224314-5390-4169-9b91-b1980040715a", "$uuid"),
    "GetSubmissionSetAndContents": (m.GET_SET_AND_CONTENTS, "$XDSSubmissionSetUniqueId"),
    "GetFolderAndContents": ("urn:uuid:b909a503-523d-4517-8acf-8e5834dfc4c7", "$XDSFolderUniqueId"),
    "GetFoldersForDocument": ("urn:uuid:10cae35a-c7f9-4cf5-b61e-fc3278ffb578", "$XDSDocumentEntryUniqueId"),
    "GetRelatedDocuments": ("urn:uuid:d90e5407-b356-4d91-a89f-873917b4b0e6", "$XDSDocumentEntryUniqueId"),
}


def by_ids(name: str) -> str:
    """Such a query, which names no community."""
    id, parameter = BY_IDS[name]
    more = {"$AssociationTypes": f"('{m.REPLACE}')"} if name == "GetRelatedDocuments" else {}
    value = f"'{m.new_uuid()}'" if parameter == "$uuid" else "'1.2.3'"
    listed = name in ("GetDocuments", "GetFolders", "GetDocumentsAndAssociations") or parameter == "$uuid"
    return m.query(id, {parameter: f"({value})" if listed else value} | more)


class Guarded(Node):
    """A community of ours that lets nobody in without a certificate of `clients`; `known` is such a one."""

    def __init__(
        self,
        folder: Path,
        servers: Authority,
        clients: Authority,
        known: tuple[Path, Path],
        **settings: object,
    ) -> None:
        certificate, key = servers.issue("node", ExtendedKeyUsageOID.SERVER_AUTH)
        tls = {"tls__certificate": certificate, "tls__key": key, "tls__client_ca": clients.file}
        super().__init__(folder, **tls | settings)
        self.url = f"https://localhost:{self.port}"
        self._context = ssl.create_default_context(cafile=servers.file)
        self._context.load_cert_chain(*known)

    def is_ready(self) -> bool:
        with urllib3.PoolManager(ssl_context=self._context, retries=False, timeout=5) as pool:
            return pool.request("GET", self.url + "/health/ready").status == 200


@dataclass(frozen=True)
class World:
    """A gateway, the communities that it may reach, and one that nobody may."""

    region: Region
    gateway: Node
    peers: dict[str, Peer]
    elsewhere: Peer
    ticket: str

    def ask(self, transaction: str, body: str, path: str = INITIATING, **how: Any) -> Reply:
        """Something of the gateway."""
        return self.region.ask(self.gateway, path, transaction, body, ticket=self.ticket, **how)

    def find(self, *homes: str) -> Reply:
        """The patient's documents in these communities."""
        return self.ask("ITI-18", query(m.find_documents(), targets=[urn(home) for home in homes]))

    def fetch(self, home: str, *numbers: int, mtom: bool = True) -> Reply:
        """Documents of a community of peers.py."""
        asked = [(urn(home), document_id(home, number)) for number in numbers]
        return self.ask("ITI-43", retrieve(*asked), mtom=mtom)

    def contacts(self) -> int:
        """How often anybody was asked or connected to."""
        figures = [each.figures for each in (*self.peers.values(), self.elsewhere)]
        return sum(each.requests + each.connections for each in figures)


def _pem(files: tuple[Path, Path]) -> dict[str, str]:
    return dict(zip(("certificate", "key"), map(str, files), strict=True))


@pytest.fixture(scope="module")
def world(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All of it running."""
    folder = tmp_path_factory.mktemp("refused")
    ours, theirs, strangers = (Authority(folder, name) for name in ("ours", "theirs", "strangers"))
    us = ours.issue("us", ExtendedKeyUsageOID.CLIENT_AUTH)
    somebody = strangers.issue("somebody", ExtendedKeyUsageOID.CLIENT_AUTH)
    ca = {"ca": str(theirs.file)}
    service = TicketService(folder / "tickets")
    with ExitStack() as stack:

        def guarded(**settings: object) -> Node:
            node = Guarded(folder, theirs, ours, us, **settings)
            stack.callback(node.stop)
            node.start(60)
            return node

        mutual = Region(service, guarded, folder).node(MUTUAL).url + RESPONDING
        server = _pem(theirs.issue("peer", ExtendedKeyUsageOID.SERVER_AUTH))
        peers = {
            OPEN: stack.enter_context(Peer(OPEN, documents=4)),
            SEALED: stack.enter_context(Peer(SEALED, documents=2, **server)),
        }
        elsewhere = stack.enter_context(Peer(HOMES[3]))
        sealed = peers[SEALED].url
        rows: list[tuple[str, str, dict[str, str]]] = [
            (OPEN, peers[OPEN].url, {}),
            (SEALED, sealed, ca),
            (MUTUAL, mutual, ca | _pem(us)),
            (TLS["another authority"], sealed, {"ca": str(strangers.file)}),
            (TLS["the machine's authorities"], sealed, {}),
            (TLS["another name"], sealed.replace("localhost", "127.0.0.1"), ca),
            (TLS["no client certificate"], mutual, ca),
            (TLS["another authority's client certificate"], mutual, ca | _pem(somebody)),
        ]
        more = {"query_seconds": 20, "failures": 1000}
        region = Region(service, new_node, folder)
        gateway = region.gateway(
            "query_seconds = 30\n"
            + "".join(community(home, url, **keys, **more) for home, url, keys in rows),
            limits__root_bytes=ROOT,
            limits__document_bytes=DOCUMENT,
            limits__total_bytes=TOTAL,
        )
        yield World(region, gateway, peers, elsewhere, region.ticket())


# -- Who is meant


@pytest.mark.parametrize("name", BY_IDS)
def test_a_query_by_ids_must_name_its_community(name: str, world: World) -> None:
    """By home, at both gateways; whoever is named must be known. Nobody is contacted for it."""
    before = world.contacts()
    body = by_ids(name)
    missing, unknown = "XDSMissingHomeCommunityId", "XDSUnknownCommunity"
    reply = world.ask("ITI-18", body)
    assert (reply.outcome, rules(reply)) == (FAILURE, [(missing, "AdhocQuery/home", "community-named")])
    reply = world.ask("ITI-38", body, RESPONDING)
    assert (reply.outcome, rules(reply)) == (FAILURE, [(missing, urn(HOME), "community-named")])
    for reply in (
        world.ask("ITI-18", query(body, STRANGER)),
        world.ask("ITI-18", query(body, targets=[STRANGER])),
    ):
        assert (reply.outcome, rules(reply)) == (FAILURE, [(unknown, STRANGER, "community-known")])
    reply = world.ask("ITI-38", query(body, urn(OPEN)), RESPONDING)
    assert (reply.outcome, rules(reply)) == (FAILURE, [(unknown, urn(HOME), "query-home")])
    assert world.contacts() == before


def test_strangers_are_told_one_by_one(world: World) -> None:
    """Of a patient's query and of a retrieval; with nobody else asked it is a Failure."""
    before = world.contacts()
    others = [STRANGER, STRANGER + ".1"]
    reply = world.ask("ITI-18", query(m.find_documents(), targets=others))
    assert reply.outcome == FAILURE
    assert rules(reply) == [("XDSUnknownCommunity", each, "community-known") for each in others]
    assert reply.content().find("{*}RegistryObjectList") is not None
    reply = world.ask("ITI-43", retrieve(*((each, "1.2.3") for each in others)))
    assert (reply.outcome, reply.documents()) == (FAILURE, {})
    assert rules(reply) == [("XDSUnknownCommunity", each, "community-known") for each in others]
    assert world.contacts() == before


@pytest.mark.parametrize("mtom", [False, True])
def test_a_document_request_must_name_its_community(mtom: bool, world: World) -> None:
    """At both gateways, each request by itself."""
    before = world.contacts()
    missing, unknown = "XDSMissingHomeCommunityId", "XDSUnknownCommunity"
    asked = retrieve(("", "1.2.3"), (STRANGER, "1.2.4"), ("", "1.2.5"))
    reply = world.ask("ITI-43", asked, mtom=mtom)
    assert (reply.outcome, reply.mtom) == (FAILURE, mtom)
    assert rules(reply) == [
        (missing, "DocumentRequest[1]/HomeCommunityId", "community-of-document"),
        (unknown, STRANGER, "community-known"),
        (missing, "DocumentRequest[3]/HomeCommunityId", "community-of-document"),
    ]
    reply = world.ask("ITI-39", asked, RESPONDING, mtom=mtom)
    assert (reply.outcome, reply.mtom) == (FAILURE, mtom)
    assert rules(reply) == [
        (missing, urn(HOME), "community-of-document"),
        (unknown, urn(HOME), "community-own"),
        (missing, urn(HOME), "community-of-document"),
    ]
    assert world.contacts() == before


# -- Redirects


@pytest.mark.parametrize(
    "status",
    [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ],
)
def test_a_redirect_is_not_followed(status: str, world: World) -> None:
    """To another host or to the same: who was asked is asked once, and nobody else hears of it."""
    peer = world.peers[OPEN]
    readable = [("XDSUnavailableCommunity", urn(OPEN), "community-readable")]
    for to in (
        world.elsewhere.url,
        world.elsewhere.url.replace("127.0.0.1", "localhost"),
        f"//127.0.0.1:{world.elsewhere.port}/xca",
        peer.url,
        "/xca",
    ):
        peer.behave("redirect", to=to, status=status)
        before = peer.figures.requests
        reply = world.find(OPEN)
        assert (reply.outcome, rules(reply)) == (FAILURE, readable)
        reply = world.fetch(OPEN, 1)
        assert (reply.outcome, rules(reply)) == (FAILURE, readable)
        assert peer.figures.requests == before + 2
    peer.behave("answers")
    figures = world.elsewhere.figures
    assert (figures.connections, figures.requests, world.elsewhere.requests) == (0, 0, [])


# -- Size


@pytest.mark.parametrize("chunked", [False, True])
def test_a_list_may_be_as_large_as_the_limit(chunked: bool, world: World) -> None:
    """One byte more is refused, and named; what others have is there."""
    peer = world.peers[OPEN]
    peer.behave("large", on="query", size=ROOT, chunked=chunked)
    reply = world.find(OPEN, SEALED)
    assert (reply.outcome, rules(reply)) == (SUCCESS, [])
    found = [home for home, _ in entries(reply)]
    assert found == [urn(OPEN)] * (len(found) - 2) + [urn(SEALED)] * 2
    assert len(found) > 10
    for size in (ROOT + 1, 50 * ROOT):
        peer.behave("large", on="query", size=size, chunked=chunked)
        reply = world.find(OPEN, SEALED)
        assert reply.outcome == PARTIAL
        assert rules(reply) == [("XDSUnavailableCommunity", urn(OPEN), "community-size")]
        assert [home for home, _ in entries(reply)] == [urn(SEALED)] * 2
    peer.behave("answers")


@pytest.mark.parametrize("chunked", [False, True])
def test_documents_may_be_as_large_as_the_limits(chunked: bool, world: World) -> None:
    """One document of 2 MB comes, one of 3 MB does not; two come, and three are more than 5 MB in all."""
    peer = world.peers[OPEN]
    refused = [("XDSUnavailableCommunity", urn(OPEN), "community-size")]
    two = (PATTERN * 11)[:2_000_000]
    peer.behave("big", on="retrieve", megabytes=2, chunked=chunked)
    for numbers in ([1], [1, 2]):
        reply = world.fetch(OPEN, *numbers)
        assert (reply.outcome, rules(reply)) == (SUCCESS, [])
        assert reply.documents() == {document_id(OPEN, number): two for number in numbers}
    reply = world.fetch(OPEN, 1, 2, 3)
    assert (reply.outcome, rules(reply), reply.documents()) == (FAILURE, refused, {})
    peer.behave("big", on="retrieve", megabytes=3, chunked=chunked)
    reply = world.fetch(OPEN, 1)
    assert (reply.outcome, rules(reply), reply.documents()) == (FAILURE, refused, {})
    peer.behave("answers")
    assert eventually(lambda: not staged(world.gateway))


# -- Certificates


def test_trusted_certificates_are_taken(world: World) -> None:
    """The server's leads to `ca`; ours is shown where it is wanted, and to nobody else."""
    reply = world.find(MUTUAL, SEALED)
    assert (reply.outcome, rules(reply)) == (SUCCESS, [])
    assert [home for home, _ in entries(reply)] == [urn(SEALED)] * 2
    assert len(world.fetch(SEALED, 1, 2).documents()) == 2
    assert {each.certificate for each in world.peers[SEALED].requests} == {None}
    # Whether the other node has the document is another question; it was asked, and said so.
    assert [each[:2] for each in rules(world.fetch(MUTUAL, 1))] == [("XDSDocumentUniqueIdError", urn(MUTUAL))]


@pytest.mark.parametrize("name", TLS)
def test_what_is_not_trusted_is_not_asked(name: str, world: World) -> None:
    """No request reaches the other side; what others have is there."""
    home = TLS[name]
    refused = [("XDSUnavailableCommunity", urn(home), "community-secure")]
    before = {each: peer.figures.requests for each, peer in world.peers.items()}
    reply = world.find(home, SEALED)
    assert (reply.outcome, rules(reply)) == (PARTIAL, refused)
    assert [each for each, _ in entries(reply)] == [urn(SEALED)] * 2
    reply = world.fetch(home, 1)
    assert (reply.outcome, rules(reply)) == (FAILURE, refused)
    after = {each: peer.figures.requests for each, peer in world.peers.items()}
    assert after == before | {SEALED: before[SEALED] + 1}
