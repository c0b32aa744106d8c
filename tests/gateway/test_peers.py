"""The communities that the gateway is tested against do what they claim.

They are asked with urllib3, zeep and bare sockets, and their answers are read with Python's email package and
lxml: nothing of xds takes part, so that a mistake of ours cannot hide in both sides.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

import psutil
import pytest
import requests
import urllib3
import zeep
from cryptography.x509.oid import ExtendedKeyUsageOID
from lxml import etree

from tests.blackbox.wire import NS, QUERY, RIM, SCHEMAS, SOAP12, WSA, XDS, XOP, element
from tests.gateway import peers
from tests.gateway.peers import (
    APPROVED,
    BEHAVIOURS,
    FAILURE,
    FIND_DOCUMENTS,
    GET_DOCUMENTS,
    NO_SPYNE,
    PARTIAL,
    PATIENT,
    SUCCESS,
    Peer,
    SpyneGateway,
)
from tests.test_tls import Authority

HOME = "urn:oid:2.999.38"
FIND = {"$XDSDocumentEntryPatientId": f"'{PATIENT}'", "$XDSDocumentEntryStatus": f"('{APPROVED}')"}
PUBLISHED = Path(__file__).parents[3] / "shared" / "wsdl"
needs_spyne = pytest.mark.skipif(bool(NO_SPYNE), reason=NO_SPYNE)
needs_wsdl = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="NOT TESTED with zeep: the published WSDL (../shared/wsdl) is not here"
)


# -- Asking.


def envelope(action: str, body: str, reply_to: str = peers.ANONYMOUS) -> bytes:
    """A request with WS-Addressing headers."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{SOAP12}" xmlns:a="{WSA}"><s:Header>'
        f'<a:Action s:mustUnderstand="1">urn:ihe:iti:2007:{action}</a:Action>'
        f"<a:MessageID>urn:uuid:{uuid.uuid4()}</a:MessageID>"
        f"<a:ReplyTo><a:Address>{reply_to}</a:Address></a:ReplyTo></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def query(
    slots: dict[str, str] = FIND,
    *,
    id: str = FIND_DOCUMENTS,
    home: str = "",
    returns: str = "LeafClass",
    **addressing: str,
) -> bytes:
    """ITI-38."""
    listed = "".join(
        f'<r:Slot name="{name}"><r:ValueList><r:Value>{escape(value)}</r:Value></r:ValueList></r:Slot>'
        for name, value in slots.items()
    )
    at = f' home="{home}"' if home else ""
    return envelope(
        "CrossGatewayQuery",
        f'<q:AdhocQueryRequest xmlns:q="{QUERY}" xmlns:r="{RIM}">'
        f'<q:ResponseOption returnComposedObjects="true" returnType="{returns}"/>'
        f'<r:AdhocQuery id="{id}"{at}>{listed}</r:AdhocQuery></q:AdhocQueryRequest>',
        **addressing,
    )


def retrieve(*numbers: int, home: str = HOME, **addressing: str) -> bytes:
    """ITI-39 for documents by their numbers."""
    listed = "".join(
        f"<x:DocumentRequest><x:HomeCommunityId>{home}</x:HomeCommunityId>"
        f"<x:RepositoryUniqueId>{peers.repository_id(HOME)}</x:RepositoryUniqueId>"
        f"<x:DocumentUniqueId>{peers.document_id(HOME, number)}</x:DocumentUniqueId></x:DocumentRequest>"
        for number in numbers
    )
    return envelope(
        "CrossGatewayRetrieve",
        f'<x:RetrieveDocumentSetRequest xmlns:x="{XDS}">{listed}</x:RetrieveDocumentSetRequest>',
        **addressing,
    )


PLAIN = "application/soap+xml; charset=utf-8"
MTOM = (
    'multipart/related; boundary="B"; type="application/xop+xml"; start="<root@test>";'
    ' start-info="application/soap+xml"'
)


def packed(xml: bytes, before: bytes = b"") -> bytes:
    """A multipart message with one part, after those in `before`."""
    return (
        before + b'--B\r\nContent-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"\r\n'
        b"Content-Transfer-Encoding: binary\r\nContent-ID: <root@test>\r\n\r\n" + xml + b"\r\n--B--\r\n"
    )


@dataclass
class Answer:
    """An HTTP answer, read by other code than that which wrote it."""

    status: int
    headers: Any
    body: bytes

    @property
    def multipart(self) -> bool:
        return self.headers["Content-Type"].startswith("multipart/related")

    def parts(self) -> dict[str, bytes]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = message_from_bytes(head + self.body, policy=HTTP)
        assert not message.defects
        read = {
            str(each["Content-ID"]).strip("<>"): each.get_payload(decode=True)
            for each in message.iter_parts()
        }
        start = message["Content-Type"].params["start"].strip("<>")
        return {"": read.pop(start), **read}

    @property
    def envelope(self) -> etree._Element:
        return element(self.parts()[""] if self.multipart else self.body)

    def header(self, name: str) -> str:
        return self.envelope.findtext(f"{{*}}Header/{{{WSA}}}{name}", "")

    @property
    def content(self) -> etree._Element:
        """The Body's child with its parts put in, by both schemas."""
        (content,) = self.envelope.find("{*}Body")
        parts = self.parts() if self.multipart else {}
        for include in list(content.iter(f"{{{XOP}}}Include")):
            parent = include.getparent()
            parent.remove(include)
            parent.text = base64.b64encode(parts[unquote(include.get("href")).removeprefix("cid:")])
        for schema in SCHEMAS.values():
            assert schema.validate(content), schema.error_log
        return content

    @property
    def outcome(self) -> str:
        return next(each.get("status") for each in self.content.iter() if each.get("status"))

    @property
    def errors(self) -> list[tuple[str, str, str]]:
        return [
            (each.get("errorCode"), each.get("codeContext"), each.get("location"))
            for each in self.content.iterfind(".//rs:RegistryError", NS)
        ]

    @property
    def objects(self) -> list[etree._Element]:
        return list(self.content.find("rim:RegistryObjectList", NS))

    @property
    def documents(self) -> list[tuple[str, bytes]]:
        return [
            (
                each.findtext("xds:DocumentUniqueId", "", NS),
                base64.b64decode(each.findtext("xds:Document", "", NS)),
            )
            for each in self.content.iterfind("xds:DocumentResponse", NS)
        ]


def ask(url: str, body: bytes, content_type: str = PLAIN, **how: Any) -> Answer:
    """One request on a connection of its own; content that is packed stays so."""
    with urllib3.PoolManager(retries=False, **how) as pool:
        answer = pool.request(
            "POST",
            url,
            body=body,
            headers={"Content-Type": content_type, "Connection": "close"},
            timeout=20,
            decode_content=False,
        )
        return Answer(answer.status, answer.headers, answer.data)


def held(*numbers: int) -> list[tuple[str, bytes]]:
    """uniqueId and bytes of documents by their numbers."""
    return [(peers.document_id(HOME, number), peers.content(HOME, number)) for number in numbers]


@contextmanager
def asking(peer: Peer, body: bytes) -> Iterator[socket.socket]:
    """A socket over which a request has been sent; reading from it ends after two seconds."""
    with socket.create_connection(("127.0.0.1", peer.port), timeout=2) as connection:
        head = f"POST /xca HTTP/1.1\r\nHost: test\r\nContent-Type: {PLAIN}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield connection


# -- Fixtures.


@pytest.fixture(scope="module")
def one_peer() -> Iterator[Peer]:
    with Peer(HOME) as peer:
        yield peer


@pytest.fixture
def peer(one_peer: Peer) -> Peer:
    """A community that answers well."""
    one_peer.behave("answers", documents=3)
    one_peer.forget()
    ask(one_peer.url, query())
    one_peer.forget()
    return one_peer


@pytest.fixture(scope="module")
def spyne() -> Iterator[SpyneGateway]:
    with SpyneGateway(HOME) as gateway:
        yield gateway


@pytest.fixture(params=["peer", pytest.param("spyne", marks=needs_spyne)])
def url(request: pytest.FixtureRequest) -> str:
    """Both, for what both can do."""
    return str(request.getfixturevalue(request.param).url)


# -- What they hold.


def test_documents_are_the_same_in_every_process() -> None:
    """Contents follow from home and number; each is different, and has what MIME readers stumble over."""
    contents = {number: peers.content(HOME, number) for number in range(1, 100)}
    assert len(set(contents.values())) == 99
    assert peers.sha1(HOME, 1) == "59a3750895ae9ebfcdbaaa1af827b40cde612050"
    assert peers.sha1("2.999.38", 1) == peers.sha1(HOME, 1) != peers.sha1("2.999.39", 1)
    assert all(each.endswith(b"\r\n") and b"\r\n--" in each for each in contents.values())
    assert {number for number in range(1, 9) if 1000 < len(contents[number]) < 9000} == set(range(1, 9))


@pytest.mark.parametrize("size", [0, 1, 3 * 65536 - 1, 3 * 65536, 1_000_000])
def test_a_pattern_has_its_size_and_hash(size: int) -> None:
    """The bytes of big documents are as many as asked for, and the hash is theirs."""
    data = b"".join(peers.pattern(size))
    assert len(data) == size
    assert peers.pattern_sha1(size) == hashlib.sha1(data, usedforsecurity=False).hexdigest()


# -- Both answer as the standard says.


def test_a_query_finds_entries_with_home_and_true_metadata(url: str) -> None:
    """FindDocuments as LeafClass: valid, related to the request, with home, hash and size as they are."""
    asked = query()
    answer = ask(url, asked)
    assert (answer.status, answer.headers["Content-Type"].lower()) == (200, PLAIN)
    assert answer.header("Action") == "urn:ihe:iti:2007:CrossGatewayQueryResponse"
    assert answer.header("RelatesTo") == re.search(rb"MessageID>(.*?)<", asked)[1].decode()
    assert answer.header("MessageID").startswith("urn:uuid:")
    assert answer.outcome == SUCCESS
    assert [each.get("home") for each in answer.objects] == [HOME] * 3
    for number, each in enumerate(answer.objects, 1):
        slots = {
            slot.get("name"): slot.findtext(".//rim:Value", "", NS) for slot in each.iterfind("rim:Slot", NS)
        }
        content = peers.content(HOME, number)
        assert (slots["hash"], slots["size"]) == (peers.sha1(HOME, number), str(len(content)))
        assert slots["repositoryUniqueId"] == peers.repository_id(HOME)
        assert each.get("id") == peers.entry_id(HOME, number)
        named = {
            of.get("identificationScheme"): of.get("value")
            for of in each.iterfind("rim:ExternalIdentifier", NS)
        }
        assert named == {
            peers.UNIQUE_ID_SCHEME: peers.document_id(HOME, number),
            peers.PATIENT_SCHEME: PATIENT,
        }
        title = each.find("rim:Name/rim:LocalizedString", NS).get("value")
        assert title == f"Epikrise {number} – blodprøver & røntgen <syntetisk>"
        assert len(each.findall("rim:Classification", NS)) == 7


def test_a_query_finds_references_with_home(url: str) -> None:
    """FindDocuments as ObjectRef."""
    answer = ask(url, query(returns="ObjectRef"))
    assert [(each.get("id"), each.get("home")) for each in answer.objects] == [
        (peers.entry_id(HOME, number), HOME) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize("by", ["EntryUUID", "UniqueId"])
def test_a_query_by_id_finds_what_it_names(by: str, url: str) -> None:
    """GetDocuments by either id."""
    name = peers.entry_id if by == "EntryUUID" else peers.document_id
    slots = {f"$XDSDocumentEntry{by}": f"('{name(HOME, 3)}','{name(HOME, 1)}')"}
    answer = ask(url, query(slots, id=GET_DOCUMENTS, home=HOME))
    assert [each.get("id") for each in answer.objects] == [peers.entry_id(HOME, 1), peers.entry_id(HOME, 3)]


def test_a_retrieve_with_mtom_gets_parts(url: str) -> None:
    """ITI-39 as multipart: the documents as parts, to the byte."""
    asked = retrieve(3, 1)
    answer = ask(url, packed(asked), MTOM)
    assert (answer.status, answer.multipart, len(answer.parts())) == (200, True, 3)
    assert answer.header("Action") == "urn:ihe:iti:2007:CrossGatewayRetrieveResponse"
    assert answer.header("RelatesTo") == re.search(rb"MessageID>(.*?)<", asked)[1].decode()
    assert answer.outcome == SUCCESS
    assert answer.documents == held(3, 1)
    assert [each.text for each in answer.content.iterfind(".//xds:HomeCommunityId", NS)] == [HOME, HOME]


def test_a_retrieve_without_mtom_gets_base64(url: str) -> None:
    """ITI-39 as plain SOAP is answered as plain SOAP."""
    answer = ask(url, retrieve(2))
    assert not answer.multipart
    assert answer.documents == held(2)


def test_what_is_not_there_is_an_error_that_names_the_home(url: str) -> None:
    """A retrieve of one document that is there and one that is not; and of one of another community."""
    answer = ask(url, packed(retrieve(2, 99)), MTOM)
    assert (answer.outcome, answer.documents) == (PARTIAL, held(2))
    assert answer.errors == [("XDSDocumentUniqueIdError", peers.document_id(HOME, 99), HOME)]
    answer = ask(url, packed(retrieve(1, home="urn:oid:2.999.1")), MTOM)
    assert (answer.outcome, answer.documents) == (FAILURE, [])
    assert answer.errors == [("XDSUnknownCommunity", "urn:oid:2.999.1", HOME)]


def test_a_connection_is_kept(url: str) -> None:
    """Ten requests, sized or in chunks, over one connection."""
    with urllib3.PoolManager(retries=False) as pool:
        for number in range(10):
            body = query()
            answer = pool.request(
                "POST",
                url,
                body=body if number % 2 else iter([body[:100], body[100:]]),
                headers={"Content-Type": PLAIN},
                timeout=5,
            )
            assert (answer.status, b"Success" in answer.data) == (200, True)
        used = pool.connection_from_url(url)
        assert (used.num_requests, used.num_connections) == (10, 1)


# -- The gateway on spyne.


@needs_spyne
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (query(id="urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3"), "XDSUnknownStoredQuery"),
        (query(FIND | {"$XDSDocumentEntryPatientId": "'1^^^&2.999&ISO'"}), "XDSUnknownPatientId"),
        (query({"$XDSDocumentEntryPatientId": f"'{PATIENT}'"}), "XDSStoredQueryMissingParam"),
        (query({"$XDSDocumentEntryUniqueId": "('1.2')"}, id=GET_DOCUMENTS), "XDSMissingHomeCommunityId"),
        (
            query({"$XDSDocumentEntryUniqueId": "('1.2')"}, id=GET_DOCUMENTS, home="urn:oid:2.1"),
            "XDSUnknownCommunity",
        ),
    ],
    ids=["query", "patient", "parameter", "no home", "other home"],
)
def test_spyne_says_what_is_wrong_with_a_query(asked: bytes, code: str, spyne: SpyneGateway) -> None:
    """Failure with the standard's code and the gateway's home, and an empty list."""
    answer = ask(spyne.url, asked)
    assert (answer.status, answer.outcome, answer.objects) == (200, FAILURE, [])
    assert [(each[0], each[2]) for each in answer.errors] == [(code, HOME)]


@needs_spyne
def test_spyne_goes_by_the_action(spyne: SpyneGateway) -> None:
    """Another action for the same body is a fault."""
    answer = ask(spyne.url, query().replace(b"CrossGatewayQuery<", b"RegistryStoredQuery<"))
    assert answer.status == 500
    values = [each.text for each in answer.envelope.iter(f"{{{SOAP12}}}Value")]
    assert values == ["soap12env:Sender", "ActionNotSupported"]


@needs_spyne
def test_spyne_finds_the_root_part_wherever_it_is(spyne: SpyneGateway) -> None:
    """The root is the part that `start` names, also when it is the last."""
    before = b"--B\r\nContent-Type: text/plain\r\nContent-ID: <other@test>\r\n\r\nnothing\r\n"
    assert ask(spyne.url, packed(retrieve(1), before), MTOM).documents == held(1)


@needs_spyne
@needs_wsdl
def test_zeep_understands_spyne(spyne: SpyneGateway) -> None:
    """A client of a third make, by the published WSDL: a query, then a retrieve as plain SOAP.

    Not strict, as zeep knows no substitution groups, which the objects in a RegistryObjectList are.
    """
    loose = zeep.Settings(strict=False)
    with requests.Session() as session:
        client = zeep.Client(
            str(PUBLISHED / "iti38.wsdl"), transport=zeep.Transport(session=session), settings=loose
        )
        binding = "{urn:ihe:iti:xds-b:2007}RespondingGateway_Binding_Soap12"
        slots = [
            {"name": name, "ValueList": {"_value_1": [{"Value": value}]}} for name, value in FIND.items()
        ]
        found = client.create_service(binding, spyne.url).RespondingGateway_CrossGatewayQuery(
            ResponseOption={"returnType": "LeafClass", "returnComposedObjects": True},
            AdhocQuery={"id": FIND_DOCUMENTS, "Slot": slots},
        )
        assert found.status == SUCCESS
        assert [(each.get("id"), each.get("home")) for each in found.RegistryObjectList._raw_elements] == [
            (peers.entry_id(HOME, number), HOME) for number in (1, 2, 3)
        ]
        client = zeep.Client(str(PUBLISHED / "iti39.wsdl"), transport=zeep.Transport(session=session))
        got = client.create_service(binding, spyne.url).RespondingGateway_CrossGatewayRetrieve(
            DocumentRequest=[
                {
                    "HomeCommunityId": HOME,
                    "RepositoryUniqueId": peers.repository_id(HOME),
                    "DocumentUniqueId": peers.document_id(HOME, number),
                }
                for number in (1, 2)
            ]
        )
        assert [(each.DocumentUniqueId, each.Document) for each in got.DocumentResponse] == held(1, 2)


@needs_spyne
def test_spyne_waits_answers_several_at_once_and_ends() -> None:
    """With a delay four requests take as long as one; afterwards there is no process."""
    with SpyneGateway(HOME, documents=1, delay=2) as gateway:
        pid, begun = gateway.pid, time.monotonic()
        threads = [threading.Thread(target=ask, args=(gateway.url, query())) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert 2 <= time.monotonic() - begun < 4 * 2
    assert not psutil.pid_exists(pid)


# -- A peer records, counts and ends.


def test_a_peer_keeps_what_it_was_asked(peer: Peer) -> None:
    """HTTP's headers, the body, and the envelope out of its part; connections have numbers."""
    first, second = query(), retrieve(1, 2)
    ask(peer.url, first)
    ask(peer.url + "/other", packed(second), MTOM)
    one, two = peer.requests
    assert (one.method, one.path, one.envelope, one.body) == ("POST", "/xca", first, first)
    assert (one.header("Content-Type"), one.action) == (PLAIN, "urn:ihe:iti:2007:CrossGatewayQuery")
    assert one.message_id.encode() in first
    assert (two.path, two.envelope, two.body) == ("/xca/other", second, packed(second))
    assert (two.multipart, two.is_retrieve, two.reply_to) == (True, True, peers.ANONYMOUS)
    assert two.documents == [
        (HOME, peers.repository_id(HOME), peers.document_id(HOME, each)) for each in (1, 2)
    ]
    assert two.connection == one.connection + 1
    assert one.at < two.at < time.monotonic()
    peer.forget()
    assert peer.requests == []


def test_a_peer_keeps_only_so_many_requests() -> None:
    """It can run in a benchmark for long; then it is gone."""
    with Peer(HOME, keep=2) as peer:
        pid = peer.pid
        bodies = [query() for _ in range(3)]
        for each in bodies:
            ask(peer.url, each)
        assert [each.body for each in peer.requests] == bodies[1:]
        assert peer.figures.requests == 3
    assert not psutil.pid_exists(pid)


def test_a_peer_ends_with_whoever_started_it() -> None:
    """Its standard input ends, it ends, even in the middle of an endless answer."""
    with Peer(HOME) as peer:
        peer.behave("endless")
        with asking(peer, query()) as connection:
            assert connection.recv(1)
            peer._process.stdin.close()
            assert peer._process.wait(30) == 0


def test_orders_that_make_no_sense_are_refused(peer: Peer) -> None:
    """An unknown behaviour or parameter is an error at once, and nothing changes."""
    with pytest.raises(ValueError, match="no_such"):
        peer.behave("no_such")
    with pytest.raises(ValueError, match="unexpected"):
        peer.behave("answers", no_such=1)
    assert ask(peer.url, query()).outcome == SUCCESS


def test_a_behaviour_can_be_for_one_transaction_alone(peer: Peer) -> None:
    """Queries fail, retrieves do not."""
    peer.behave("fault", on="query")
    assert ask(peer.url, query()).status == 500
    assert ask(peer.url, retrieve(1)).documents == held(1)


def test_many_requests_wait_at_the_same_time(peer: Peer) -> None:
    """200 requests that each wait 0.3 s: all in little more, for little work each."""
    peer.behave("answers", delay=0.3)
    before, begun, asked = peer.figures, time.monotonic(), query()
    head = f"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {len(asked)}\r\n\r\n".encode()
    connections = [socket.create_connection(("127.0.0.1", peer.port), timeout=10) for _ in range(200)]
    for each in connections:
        each.sendall(head + asked)
    for each in connections:
        assert each.recv(15) == b"HTTP/1.1 200 OK"
        each.close()
    assert 0.3 <= time.monotonic() - begun < 60 == 200 * 0.3
    assert (peer.figures.cpu - before.cpu) / 200 < 0.005


def test_tls_asks_for_a_certificate_and_keeps_it(tmp_path: Path) -> None:
    """With `client_ca` only clients that it knows come in, and the test sees who."""
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    certificate, key = theirs.issue("gateway", ExtendedKeyUsageOID.SERVER_AUTH)
    known = ours.issue("client", ExtendedKeyUsageOID.CLIENT_AUTH)
    with Peer(HOME, certificate=certificate, key=key, client_ca=ours.file) as peer:
        assert peer.url.startswith("https://localhost:")
        with_one = {"ca_certs": str(theirs.file), "cert_file": str(known[0]), "key_file": str(known[1])}
        assert ask(peer.url, query(), **with_one).outcome == SUCCESS
        (request,) = peer.requests
        assert request.certificate == ssl.PEM_cert_to_DER_cert(known[0].read_text())
        with pytest.raises(urllib3.exceptions.HTTPError):
            ask(peer.url, query(), ca_certs=str(theirs.file))
        assert peer.figures.requests == 1


# -- Answers that are not good.


def test_an_answer_comes_after_its_delay_and_in_chunks(peer: Peer) -> None:
    """`delay` and `chunked` go with any behaviour."""
    peer.behave("answers", delay=0.2, chunked=True, documents=5)
    begun = time.monotonic()
    answer = ask(peer.url, query())
    assert time.monotonic() - begun >= 0.2
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert len(answer.objects) == 5


@pytest.mark.parametrize(
    ("name", "status", "content_type"),
    [
        ("garbage", 200, "application/soap+xml"),
        ("html", 200, "text/html"),
        ("error", 500, "text/plain"),
        ("fault", 500, "application/soap+xml"),
        ("not_ours", 200, "application/soap+xml"),
    ],
)
def test_what_is_no_answer(name: str, status: int, content_type: str, peer: Peer) -> None:
    """HTTP status and type as they should be, and no document sharing in it."""
    peer.behave(name)
    answer = ask(peer.url, query())
    assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (status, content_type)
    assert b"AdhocQueryResponse>" not in answer.body
    if name in ("fault", "not_ours"):
        assert answer.header("RelatesTo") == peer.requests[0].message_id
        tag = answer.envelope.find("{*}Body")[0].tag
        assert tag == (f"{{{SOAP12}}}Fault" if name == "fault" else "{urn:example:ping}pong")
    elif name == "garbage":
        with pytest.raises(etree.XMLSyntaxError):
            element(answer.body)


@pytest.mark.parametrize("name", ["endless", "endless_parts"])
def test_an_endless_answer_goes_on_until_nobody_reads(name: str, peer: Peer) -> None:
    """Three megabytes and no end, no length said; it stops when the other side hangs up."""
    peer.behave(name)
    sent = peer.figures.sent
    with asking(peer, query()) as connection:
        data = bytearray()
        while len(data) < 3_000_000:
            data += connection.recv(1 << 16)
        assert peer.figures.open == 1
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    assert b"content-length" not in head.lower()
    if name == "endless":
        assert body.startswith(b"<?xml")
        assert body.count(b"<rim:ExtrinsicObject") > 100
    else:
        assert len(re.findall(rb"Content-ID: <\d+@", body)) > 1000
    figures = peer.wait(lambda now: now.open == 0)
    assert 3_000_000 <= figures.sent - sent < 60_000_000


def test_one_part_can_be_endless_too(peer: Peer) -> None:
    """A good root part, and a second without end."""
    peer.behave("endless_parts", part_bytes=0)
    with asking(peer, retrieve(1)) as connection:
        data = bytearray()
        while len(data) < 3_000_000:
            data += connection.recv(1 << 16)
    assert data.count(b"--MIMEBoundary_endless\r\n") == 2
    assert b"RetrieveDocumentSetResponse>" in data


def test_headers_drip(peer: Peer) -> None:
    """Bytes come one by one, and the headers have no end."""
    peer.behave("drip_headers", pause=0.01)
    with asking(peer, query()) as connection:
        begun = time.monotonic()
        data = b"".join(connection.recv(1) for _ in range(60))
        assert time.monotonic() - begun > 0.5
    assert data.startswith(b"HTTP/1.1 200 OK\r\nX-Drip-0: drop\r\n")
    assert b"\r\n\r\n" not in data


def test_a_body_drips(peer: Peer) -> None:
    """Headers at once, then the body bit by bit; it is a good answer in the end."""
    peer.behave("drip_body", pause=0.01, step=500)
    begun = time.monotonic()
    answer = ask(peer.url, query())
    assert time.monotonic() - begun > 0.2
    assert len(answer.objects) == 3


def test_silence(peer: Peer) -> None:
    """The request is taken, and nothing comes back."""
    peer.behave("silent")
    with asking(peer, query()) as connection:
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert len(peer.requests) == 1
    peer.wait(lambda now: now.open == 0)


def test_a_reset(peer: Peer) -> None:
    """The connection is broken after the request, or in the middle of the answer."""
    peer.behave("reset")
    with asking(peer, query()) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    peer.behave("reset", after=200)
    with pytest.raises(urllib3.exceptions.HTTPError):
        ask(peer.url, query())


def test_a_redirect(peer: Peer) -> None:
    """302 to where it is told."""
    peer.behave("redirect", to="http://127.0.0.1:9/elsewhere")
    with urllib3.PoolManager() as pool:
        answer = pool.request("POST", peer.url, body=query(), redirect=False, retries=False)
        assert (answer.status, answer.headers["Location"]) == (302, "http://127.0.0.1:9/elsewhere")


@pytest.mark.parametrize("size", [20_000, 5_000_000])
def test_a_large_answer_has_just_that_size(size: int, peer: Peer) -> None:
    """Valid, with objects that all differ."""
    peer.behave("large", size=size)
    answer = ask(peer.url, query())
    assert len(answer.body) == size == int(answer.headers["Content-Length"])
    ids = [each.get("id") for each in answer.objects]
    unique = [
        each.find(f"rim:ExternalIdentifier[@identificationScheme='{peers.UNIQUE_ID_SCHEME}']", NS).get(
            "value"
        )
        for each in answer.objects
    ]
    assert len(ids) == len(set(ids)) == len(set(unique)) > size // 20_000


def test_relates_to_can_be_wrong_or_absent(peer: Peer) -> None:
    """A good answer otherwise."""
    peer.behave("wrong_relates_to")
    answer = ask(peer.url, query())
    assert answer.header("RelatesTo") not in ("", peer.requests[0].message_id)
    assert len(answer.objects) == 3
    peer.behave("no_relates_to")
    assert ask(peer.url, query()).header("RelatesTo") == ""


@pytest.mark.parametrize(("name", "shown"), [("other_home", "urn:oid:2.999.404"), ("no_home", None)])
def test_home_can_be_wrong_or_absent(name: str, shown: str | None, peer: Peer) -> None:
    """On entries, on references and in retrieved documents."""
    peer.behave(name)
    for returns in ("LeafClass", "ObjectRef"):
        assert [each.get("home") for each in ask(peer.url, query(returns=returns)).objects] == [shown] * 3
    answer = ask(peer.url, packed(retrieve(1)), MTOM)
    assert answer.content.findtext("xds:DocumentResponse/xds:HomeCommunityId", None, NS) == shown
    assert answer.documents == held(1)


def test_failures(peer: Peer) -> None:
    """Errors as given, at the community's home or where it is told; a retrieve gets them too."""
    errors = [("XDSRegistryBusy", "<busy> & full"), ("XDSTooManyResults", "ditto")]
    peer.behave("failure", errors=errors)
    answer = ask(peer.url, query())
    assert (answer.status, answer.outcome, answer.objects) == (200, FAILURE, [])
    assert answer.errors == [(code, context, HOME) for code, context in errors]
    assert ask(peer.url, packed(retrieve(1)), MTOM).errors == answer.errors
    peer.behave("failure", location="somewhere")
    assert ask(peer.url, query()).errors == [("XDSRegistryError", "It does not work", "somewhere")]
    peer.behave("unknown_patient")
    assert ask(peer.url, query()).errors == [("XDSUnknownPatientId", PATIENT, HOME)]


def test_partial_success(peer: Peer) -> None:
    """Objects and errors; of two documents the second is missing."""
    peer.behave("partial", errors=[("XDSRegistryError", "half"), ("XDSRegistryError", "odd", "Warning")])
    answer = ask(peer.url, query())
    assert (answer.outcome, len(answer.objects), len(answer.errors)) == (PARTIAL, 3, 2)
    assert [each.get("severity") for each in answer.content.iterfind(".//rs:RegistryError", NS)] == [
        peers.SEVERITY + "Error",
        peers.SEVERITY + "Warning",
    ]
    answer = ask(peer.url, packed(retrieve(1, 2)), MTOM)
    assert (answer.outcome, answer.documents, len(answer.errors)) == (PARTIAL, held(1), 2)


def test_a_compressed_answer(peer: Peer) -> None:
    """gzip without being asked; it can grow a thousandfold."""
    peer.behave("compressed")
    answer = ask(peer.url, query())
    assert answer.headers["Content-Encoding"] == "gzip"
    answer.body = gzip.decompress(answer.body)
    assert len(answer.objects) == 3
    peer.behave("compressed", blanks=20)
    answer = ask(peer.url, query())
    assert len(answer.body) < 100_000
    assert len(gzip.decompress(answer.body)) > 20_000_000


def test_an_entity_bomb(peer: Peer) -> None:
    """A document type with entities: libxml2 itself refuses to unfold it; or one from outside."""
    peer.behave("entity_bomb")
    answer = ask(peer.url, query())
    assert answer.body.count(b"<!ENTITY") == 10
    with pytest.raises(etree.XMLSyntaxError, match=r"(?i)entit|amplification|loop"):
        etree.fromstring(answer.body, etree.XMLParser(resolve_entities=True, no_network=True))
    peer.behave("entity_bomb", external="http://127.0.0.1:9/secret")
    assert b'SYSTEM "http://127.0.0.1:9/secret"' in ask(peer.url, query()).body


@pytest.mark.parametrize(
    ("body", "content_type"), [(query(), PLAIN), (packed(retrieve(1)), MTOM)], ids=["38", "39"]
)
def test_an_answer_in_utf_16(body: bytes, content_type: str, peer: Peer) -> None:
    """Another encoding, declared in the XML and in the type."""
    peer.behave("utf16")
    answer = ask(peer.url, body, content_type)
    xml = answer.parts()[""] if answer.multipart else answer.body
    assert xml.startswith((b"\xff\xfe", b"\xfe\xff"))
    assert answer.outcome == SUCCESS
    if answer.multipart:
        assert answer.documents == held(1)


# -- Answers that come later.


class Inbox:
    """Takes what is sent to a ReplyTo."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.answers.append(Answer(0, self.headers, body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/reply"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def end(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    one = Inbox()
    yield one
    one.end()


def test_an_answer_comes_later_to_reply_to(peer: Peer, inbox: Inbox) -> None:
    """202 with nothing; then the answer, with To and RelatesTo, of a query and of a retrieve."""
    peer.behave("accepted", later=0.05)
    for body, content_type in (
        (query(reply_to=inbox.url), PLAIN),
        (packed(retrieve(2, reply_to=inbox.url)), MTOM),
    ):
        answer = ask(peer.url, body, content_type)
        assert (answer.status, answer.body) == (202, b"")
    figures = peer.wait(lambda now: len(now.posted) == 2)
    assert figures.posted == [(inbox.url, 202)] * 2
    found, got = sorted(inbox.answers, key=lambda each: each.multipart)
    assert len(found.objects) == 3
    assert got.documents == held(2)
    assert [each.header("To") for each in (found, got)] == [inbox.url] * 2
    assert [each.header("RelatesTo") for each in (found, got)] == [each.message_id for each in peer.requests]


def test_a_later_answer_can_be_bad_or_come_twice(peer: Peer, inbox: Inbox) -> None:
    """`then` is any behaviour with an end; nobody listening is a status of 0."""
    peer.behave(
        "accepted", then="failure", parameters={"errors": [["XDSRegistryBusy", "full"]]}, times=2, later=0
    )
    ask(peer.url, query(reply_to=inbox.url))
    peer.wait(lambda now: len(now.posted) == 2)
    assert [each.errors for each in inbox.answers] == [[("XDSRegistryBusy", "full", HOME)]] * 2
    peer.behave("accepted", later=0)
    ask(peer.url, query(reply_to="http://127.0.0.1:9/closed"))
    assert peer.wait(lambda now: len(now.posted) == 3).posted[2] == ("http://127.0.0.1:9/closed", 0)


def test_without_an_address_nothing_comes_later(peer: Peer) -> None:
    """202, and no more."""
    peer.behave("accepted", later=0)
    assert ask(peer.url, query()).status == 202
    time.sleep(0.1)
    assert peer.figures.posted == []


# -- Documents that are not as asked for.


def test_a_big_document_is_made_while_it_is_sent(peer: Peer) -> None:
    """50 MB as a part; the process does not grow by as much."""
    peer.behave("big", megabytes=50)
    process = psutil.Process(peer.pid)
    before = process.memory_info().rss
    digest, size = hashlib.sha1(usedforsecurity=False), 0
    with urllib3.PoolManager(retries=False) as pool:
        answer = pool.request(
            "POST", peer.url, body=packed(retrieve(1)), headers={"Content-Type": MTOM}, preload_content=False
        )
        length = int(answer.headers["Content-Length"])
        data = answer.read(4096)
        at = data.index(b"\r\n\r\n", data.index(b"application/octet-stream")) + 4
        digest.update(data[at:])
        size = len(data) - at
        while size < 50_000_000 and (data := answer.read(min(1 << 20, 50_000_000 - size))):
            digest.update(data)
            size += len(data)
        assert answer.read().startswith(b"\r\n--MIMEBoundary_")
        answer.release_conn()
    assert (size, digest.hexdigest()) == (50_000_000, peers.pattern_sha1(50_000_000))
    assert length > 50_000_000
    assert process.memory_info().rss - before < 20_000_000


def test_a_big_document_without_mtom_is_base64(peer: Peer) -> None:
    """Several, in plain SOAP."""
    peer.behave("big", megabytes=1)
    documents = ask(peer.url, retrieve(1, 2)).documents
    assert [hashlib.sha1(data, usedforsecurity=False).hexdigest() for _, data in documents] == [
        peers.pattern_sha1(1_000_000)
    ] * 2


def test_a_part_is_missing(peer: Peer) -> None:
    """The last document is referred to, and is not there."""
    peer.behave("missing_part")
    answer = ask(peer.url, packed(retrieve(1, 2)), MTOM)
    assert len(answer.parts()) == 2
    assert len(list(answer.envelope.iter(f"{{{XOP}}}Include"))) == 2


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("fewer_documents", (1,)), ("unasked_documents", (1, 2, 4)), ("same_document_twice", (1, 2, 1))],
)
def test_other_documents_than_were_asked_for(name: str, numbers: tuple[int, ...], peer: Peer) -> None:
    """Of documents 1 and 2; and the status says that all is well. Queries are answered as ever."""
    peer.behave(name)
    answer = ask(peer.url, packed(retrieve(1, 2)), MTOM)
    assert (answer.outcome, answer.documents) == (SUCCESS, held(*numbers))
    assert len(ask(peer.url, query()).objects) == 3


def test_every_behaviour_has_been_tried() -> None:
    """A new behaviour wants a test: its name stands in this module."""
    text = Path(__file__).read_text()
    assert [name for name in BEHAVIOURS if f'"{name}"' not in text] == []


def test_nothing_of_ours_is_in_the_peers() -> None:
    """Neither module imports xds, or lets another do so."""
    for name in ("peers", "spyne_gateway"):
        text = Path(peers.__file__).with_name(name + ".py").read_text()
        assert not re.search(r"^\s*(?:from|import)\s+xds\b", text, re.M)
        assert set(re.findall(r"^from (tests[\w.]*)", text, re.M)) <= {"tests.gateway"}
