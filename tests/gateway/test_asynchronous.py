"""Answers that go elsewhere, as whole nodes give and take them (ITI TF-2 V.3, asynchronous exchange).

`pair` is two nodes of ours: one asks with two workers, the other answers later. What is expected is written
by hand from the standard: HTTP 202 with nothing, then a message of its own with wsa:To, wsa:RelatesTo and the
action of the answer; a fault at once, and no contact, for whoever is not listed or not let in.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import falcon.testing
import pytest
import urllib3
from sqlalchemy import NullPool, create_engine

from tests import nodes, postgres
from tests.audit.profiles import problems
from tests.blackbox import messages as m
from tests.blackbox import state
from tests.blackbox.wire import FAILURE, SOAP11, SUCCESS, WSA, Reply, Request, send
from tests.gateway import peers
from tests.gateway.peers import Peer
from tests.gateway.receiver import FAULT, Receiver, until
from tests.gateway.region import (
    HOME,
    HOMES,
    INITIATING,
    RESPONDING,
    Region,
    community,
    entries,
    ids_of,
    query,
    retrieve,
    rules,
    transaction_of,
    urn,
)
from xds.app import create_app
from xds.config import check_to_serve, load
from xds.demo.tickets import TicketService
from xds.errors import SettingsError
from xds.store.database import Database

REPLIES = "/xca/replies"
IHE = "urn:ihe:iti:2007:"
#: Who answers later; and a peer that does.
OTHER, PEER = HOMES[:2]
#: What the peer may take for a query.
SECONDS = 3
#: What a busy machine may add, far below what would come of waiting without an end.
GENEROUS = 10
INVALID, REQUIRED = "InvalidAddressingHeader", "MessageAddressingHeaderRequired"


def document(size: int = 40) -> m.Document:
    """One with bytes and ids of its own."""
    return m.Document(content=secrets.token_bytes(size), id=m.new_uuid())


def endpoint(name: str, address: str, more: str = "") -> str:
    """A header block with an address in it."""
    return f"<a:{name}><a:Address>{address}</a:Address>{more}</a:{name}>"


def change(node: nodes.Node, *statements: str) -> None:
    """Statements in a node's database, from beside it."""
    with create_engine(node.database_url, poolclass=NullPool).begin() as connection:
        for each in statements:
            connection.exec_driver_sql(each)


def count(node: nodes.Node, table: str) -> int:
    """Rows of a table."""
    return int(str(state.rows(node, f"SELECT count(*) FROM {table}")[0][0]))


def nothing_waits(*some: nodes.Node) -> bool:
    """Whether no row and no file of a reply is left."""
    return all(
        count(node, "outgoing_reply") + count(node, "awaited_reply") == 0
        and state.replies(node) + state.staged(node) == []
        for node in some
    )


def figures(node: nodes.Node) -> dict[str, float]:
    """What /metrics says of replies; the worker's that answers."""
    text = urllib3.request("GET", node.url + "/metrics", retries=False).data.decode()
    return {
        name: float(value) for name, value in re.findall(r"^xds_gateway_replies_(\w+) (\S+)$", text, re.M)
    }


@dataclass(frozen=True)
class Pair:
    """Two nodes, a peer, whoever takes replies; and what is filed at the node that answers."""

    region: Region
    asker: nodes.Node
    other: nodes.Node
    peer: Peer
    receiver: Receiver
    document: m.Document

    def request(self, number: str, body: str, address: str = "", header: str = "", **how: object) -> Request:
        """A request to the node that answers; with an address it is to be answered there."""
        header += endpoint("ReplyTo", address) if address else ""
        return self.region.request(RESPONDING, number, body, header=header, **how)

    def ask(self, number: str, body: str, address: str = "", header: str = "", **how: object) -> Reply:
        """Send it."""
        return send(self.other, self.request(number, body, address, header, **how))

    def accepted(self, **how: object) -> None:
        """A query whose answer goes to the receiver."""
        taken = self.ask("ITI-38", m.find_documents(), self.receiver.url, **how)
        assert (taken.status, taken.body) == (202, b""), taken.body

    def find(self, *targets: str) -> Reply:
        """ITI-18 at the node that asks."""
        body = query(m.find_documents(), targets=[urn(each) for each in targets])
        return self.region.ask(self.asker, INITIATING, "ITI-18", body)

    def list_addresses(self, *addresses: str) -> None:
        """Write the communities file of the node that answers."""
        file = self.region.folder / f"communities-of-{OTHER}.toml"
        new = file.with_suffix(".new")
        new.write_text(community(HOME, self.asker.url + RESPONDING, reply_to=list(addresses)))
        os.replace(new, file)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """All of it, running."""
    made: list[nodes.Node] = []

    def make(**settings: object) -> nodes.Node:
        """A node that does not run yet: their addresses stand in each other's files."""
        made.append(nodes.Node(tmp_path_factory.mktemp("node"), **settings))
        return made[-1]

    folder = tmp_path_factory.mktemp("region")
    region = Region(TicketService(folder / "tickets"), make, folder)
    receiver = Receiver().start()
    with Peer(PEER, patient=m.PATIENT) as peer:
        try:
            asker = region.gateway("", HOME, node__workers=2, gateway__own="left-out")
            other = region.gateway("", OTHER)
            asker.environment["XDS_NODE__PUBLIC_URL"] = asker.url
            (folder / f"communities-of-{HOME}.toml").write_text(
                community(OTHER, other.url + RESPONDING, asynchronous=True)
                + community(PEER, peer.url, asynchronous=True, query_seconds=SECONDS, failures=1000)
            )
            one = document()
            found = Pair(region, asker, other, peer, receiver, one)
            found.list_addresses(asker.url + REPLIES, receiver.url)
            asker.start(90)
            other.start(90)
            region.file(other, one)
            yield found
        finally:
            receiver.stop()
            for each in made:
                each.stop()


@pytest.fixture(autouse=True)
def _afresh(pair: Pair) -> Iterator[None]:
    """Each test begins and ends with nothing that waits, and with a receiver that takes everything."""
    pair.receiver.stop()
    pair.receiver.forget()
    pair.receiver.start()
    pair.peer.behave("answers")
    pair.peer.forget()
    yield
    pair.receiver.stop()
    pair.receiver.forget()
    pair.receiver.start()
    until(lambda: nothing_waits(pair.asker, pair.other), 20)


# -- two nodes of ours ---------------------------------------------------------------------------------------


def test_two_nodes_ask_and_answer_each_other_later(pair: Pair) -> None:
    """The same answers as on one connection, byte for byte, whichever worker the reply comes to."""
    before = len(pair.asker.log.read_text())
    for _ in range(8):
        found = pair.find(OTHER)
        assert (found.outcome, rules(found)) == (SUCCESS, [])
        assert entries(found) == [(urn(OTHER), pair.document.unique_id)]
    wanted = retrieve((urn(OTHER), pair.document.unique_id), (urn(OTHER), "1.2.3.4"))
    for mtom in (False, True):
        handed = pair.region.ask(pair.asker, INITIATING, "ITI-43", wanted, mtom=mtom)
        assert handed.documents() == {pair.document.unique_id: pair.document.content}
        assert [each[:2] for each in rules(handed)] == [("XDSDocumentUniqueIdError", urn(OTHER))]

    # Between the two, every answer was a message of its own. Whoever waits for one has it a moment before the
    # log has a line of its coming.
    def came() -> list[tuple[str, str]]:
        log = pair.asker.log.read_text()[before:]
        return re.findall(r"endpoint=/xca/replies action=\S+:(\w+) status=(\d+)", log)

    def asked() -> list[str]:
        return re.findall(r"endpoint=/xca/responding action=\S+ status=(\d+)", pair.other.log.read_text())

    until(lambda: len(came()) >= 10 and len(asked()) >= 10)
    assert came() == [
        *[("CrossGatewayQueryResponse", "202")] * 8,
        *[("CrossGatewayRetrieveResponse", "202")] * 2,
    ]
    assert set(asked()) == {"202"}


def test_many_at_a_time_get_each_its_own(pair: Pair) -> None:
    """Of 30 documents, one each, by 10 at the same time, nobody gets another's; two of 4 MB among them."""
    some = [document(3000) for _ in range(28)] + [document(4_000_000) for _ in range(2)]
    for each in some:
        pair.region.file(pair.other, each)

    def fetch(one: m.Document) -> dict[str, bytes]:
        wanted = retrieve((urn(OTHER), one.unique_id))
        return pair.region.ask(pair.asker, INITIATING, "ITI-43", wanted, mtom=True).documents()

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(fetch, some)) == [{each.unique_id: each.content} for each in some]


def test_both_logs_have_it_once_under_the_same_message_id(pair: Pair) -> None:
    """The reply has no event of its own: it is on record with the call (ITI TF-2 3.38.5)."""
    trace = secrets.token_hex(16)
    headers = (("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),)
    before = count(pair.asker, "audit_event")
    body = query(m.find_documents(), targets=[urn(OTHER)])
    assert pair.region.ask(pair.asker, INITIATING, "ITI-18", body, headers=headers).outcome == SUCCESS
    assert count(pair.asker, "audit_event") == before + 2  # what we were asked, and what we asked
    own, there = (
        [each for each in pair.region.log(node) if ids_of(each).get("trace") == trace]
        for node in (pair.asker, pair.other)
    )
    assert (sorted(map(transaction_of, own)), list(map(transaction_of, there))) == (
        ["ITI-18", "ITI-38"],
        ["ITI-38"],
    )
    assert [problems(each) for each in (*own, *there)] == [[], [], []]
    (leg,) = [each for each in own if transaction_of(each) == "ITI-38"]
    assert ids_of(leg)["message to the community"] == ids_of(there[0])["message"]


# -- who answers: what goes out ------------------------------------------------------------------------------


def check_addressed(message: Reply, to: str, request_id: str, action: str) -> None:
    """What the header of an answer that comes later must have (ITI TF-2 V.3)."""
    header = message.envelope().find("{*}Header")
    assert header is not None
    assert message.header("To") == to
    assert message.header("RelatesTo") == request_id
    assert message.header("Action") == action
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", message.header("MessageID"))
    (told,) = header.iterfind(f"{{{WSA}}}Action")
    assert [value for name, value in told.attrib.items() if name.endswith("mustUnderstand")] == ["1"]
    assert header.find(f"{{{WSA}}}ReplyTo") is None


@pytest.mark.parametrize("mtom", [False, True])
@pytest.mark.parametrize("number", ["ITI-38", "ITI-39"])
def test_the_answer_is_a_message_of_its_own(pair: Pair, number: str, mtom: bool) -> None:
    """202 with nothing; then the answer, multipart if the request was."""
    asked = m.find_documents() if number == "ITI-38" else retrieve((urn(OTHER), pair.document.unique_id))
    own = m.new_message_id()
    taken = pair.ask(number, asked, pair.receiver.url, mtom=mtom, message_id=own)
    assert (taken.status, taken.body) == (202, b"")
    (message,) = pair.receiver.wait()
    name = {"ITI-38": "CrossGatewayQueryResponse", "ITI-39": "CrossGatewayRetrieveResponse"}[number]
    check_addressed(message, pair.receiver.url, own, IHE + name)
    assert (message.mtom, message.outcome) == (mtom, SUCCESS)
    if number == "ITI-38":
        assert (urn(OTHER), pair.document.unique_id) in entries(message)
    else:
        assert message.documents() == {pair.document.unique_id: pair.document.content}
    assert "SOAPAction" not in message.headers


def test_a_failure_goes_there_too(pair: Pair) -> None:
    """It is the answer: what was wrong with the query, and that a document is not there."""
    unknown = m.query("urn:uuid:00000000-0000-4000-8000-000000000000", {})
    assert pair.ask("ITI-38", unknown, pair.receiver.url).status == 202
    assert pair.ask("ITI-39", retrieve((urn(OTHER), "1.2.3.4")), pair.receiver.url).status == 202
    messages = pair.receiver.wait(2)
    assert {each.outcome for each in messages} == {FAILURE}
    assert sorted(rules(each)[0] for each in messages) == [
        ("XDSDocumentUniqueIdError", urn(OTHER), "retrieve-document"),
        ("XDSUnknownStoredQuery", urn(OTHER), "query-known"),
    ]


def test_soap_1_1_is_answered_in_kind(pair: Pair) -> None:
    """With SOAPAction, which SOAP 1.1 wants of every request over HTTP (SOAP 1.1, 6.1.1)."""
    security = re.search(
        rb"<w:Security.*</w:Security>", bytes(pair.request("ITI-38", m.find_documents()).body), re.S
    )
    assert security
    header = security[0].decode() + endpoint("ReplyTo", pair.receiver.url)
    data = m.envelope(m.find_documents(), IHE + "CrossGatewayQuery", soap=SOAP11, header=header)
    assert send(pair.other, Request(RESPONDING, m.media_type(SOAP11), data)).status == 202
    (message,) = pair.receiver.wait()
    assert (message.content_type, message.version, message.outcome) == ("text/xml", SOAP11, SUCCESS)
    assert message.headers["SOAPAction"] == f'"{IHE}CrossGatewayQueryResponse"'


@pytest.mark.parametrize("fault_to", ["anonymous", "the same"])
def test_faults_may_be_wanted_at_once_or_there(pair: Pair, fault_to: str) -> None:
    """FaultTo may be anonymous or the address of ReplyTo; faults come at once in any case."""
    address = f"{WSA}/anonymous" if fault_to == "anonymous" else pair.receiver.url
    pair.accepted(header=endpoint("FaultTo", address))
    pair.receiver.wait()
    broken = m.find_documents().replace("AdhocQuery ", "AdhocQuery nonsense='1' ", 1)
    reply = pair.ask("ITI-38", broken, pair.receiver.url, endpoint("FaultTo", address))
    assert (reply.status, reply.fault.code.rpartition("}")[2]) == (500, "Sender")
    assert len(pair.receiver.taken) == 1


# -- who answers: what is refused ----------------------------------------------------------------------------


def check_refused(reply: Reply, subcode: str, problem: str, sentence: str) -> None:
    """A fault of WS-Addressing (SOAP binding, 6.4) about one header."""
    assert reply.status == 500
    assert [each.rpartition("}")[2] for each in (reply.fault.code, reply.fault.subcodes[0])] == [
        "Sender",
        subcode,
    ]
    assert reply.content().findtext(f".//{{{WSA}}}ProblemHeaderQName") == f"a:{problem}"
    assert sentence in reply.fault.reason


@pytest.mark.parametrize("what", ["another port", "a slash", "upper case", "a query", "none", "no URL"])
def test_an_address_that_is_not_listed_is_refused(pair: Pair, what: str) -> None:
    """To the letter; nobody is contacted, nothing is stored, the address does not come back."""
    nobody = Receiver().start()
    listed = pair.receiver.url
    address = {
        "another port": nobody.url,
        "a slash": listed + "/",
        "upper case": listed.replace("replies", "Replies"),
        "a query": listed + "?a=b",
        "none": f"{WSA}/none",
        "no URL": "urn:uuid:00000000-0000-4000-8000-000000000000",
    }[what]
    before = state.counts(pair.other)
    for number, body in (("ITI-38", m.find_documents()), ("ITI-39", retrieve((urn(OTHER), "1.2.3")))):
        reply = pair.ask(number, body, address)
        check_refused(reply, INVALID, "ReplyTo", "have it listed")
        assert address.encode() not in reply.body
    time.sleep(1.5)
    assert (nobody.connections, pair.receiver.connections) == (0, 0)
    assert state.counts(pair.other) == before
    nobody.stop()


def test_what_else_a_request_must_have_or_not(pair: Pair) -> None:
    """A MessageID, no FaultTo elsewhere, nothing that would be sent back word for word, one address."""
    listed = pair.receiver.url
    other = endpoint("FaultTo", pair.asker.url + REPLIES)  # listed too, but another one
    before = state.counts(pair.other)
    check_refused(pair.ask("ITI-38", m.find_documents(), listed, other), INVALID, "FaultTo", "left out")
    check_refused(pair.ask("ITI-38", m.find_documents(), "", other), INVALID, "FaultTo", "same connection")
    parameters = endpoint("ReplyTo", listed, "<a:ReferenceParameters><x>1</x></a:ReferenceParameters>")
    reply = pair.ask("ITI-38", m.find_documents(), "", parameters)
    check_refused(reply, INVALID, "ReplyTo", "ReferenceParameters")
    twice = f"<a:ReplyTo>{f'<a:Address>{listed}</a:Address>' * 2}</a:ReplyTo>"
    check_refused(pair.ask("ITI-38", m.find_documents(), "", twice), INVALID, "ReplyTo", "exactly one")
    for text in (b"", b"<a:MessageID> </a:MessageID>"):
        request = pair.request("ITI-38", m.find_documents(), listed)
        body = re.sub(rb"<a:MessageID>.*?</a:MessageID>", text, bytes(request.body))
        check_refused(send(pair.other, replace(request, body=body)), REQUIRED, "MessageID", "wsa:MessageID")
    time.sleep(1.5)
    assert pair.receiver.connections == 0
    assert state.counts(pair.other) == before


def test_other_transactions_answer_on_the_same_connection_only(pair: Pair) -> None:
    """A listed address is of no use to ITI-80 and ITI-18, nor to whoever asks an initiating gateway."""
    listed = endpoint("ReplyTo", pair.receiver.url)
    provide = m.provide([document()], {})
    for node, path, number, body in (
        (pair.other, RESPONDING, "ITI-80", provide),
        (pair.other, "/xds/registry", "ITI-18", m.find_documents()),
        (pair.asker, INITIATING, "ITI-18", m.find_documents()),
    ):
        reply = pair.region.ask(node, path, number, body, header=listed)
        check_refused(reply, INVALID, "ReplyTo", "answers go on the same connection")
    time.sleep(1.2)
    assert pair.receiver.connections == 0


def test_whoever_is_not_let_in_makes_us_contact_nobody(pair: Pair) -> None:
    """No ticket, a spoiled one, one about somebody else: the answer comes at once, and that is all."""
    before = state.counts(pair.other)
    for ticket in ("", pair.region.ticket().replace(m.NUMBER, "29844697323")):
        reply = pair.ask("ITI-38", m.find_documents(), pair.receiver.url, ticket=ticket)
        assert (reply.status, reply.fault.code.rpartition("}")[2]) == (500, "Sender")
    stranger = pair.region.ticket(patient="29844697323")
    reply = pair.ask("ITI-38", m.find_documents(), pair.receiver.url, ticket=stranger)
    assert (reply.status, reply.outcome) == (200, FAILURE)
    assert [each[2] for each in rules(reply)] == ["access-patient"]
    time.sleep(1.5)
    assert pair.receiver.connections == 0
    assert state.counts(pair.other) == before


@contextmanager
def application(folder: Path, **settings: object) -> Iterator[tuple[falcon.testing.TestClient, nodes.Node]]:
    """A node's application in this process, with no threads of its own."""
    node = nodes.Node(folder, node__home_community_id=OTHER, **settings)
    database = Database(node.database_url)
    database.migrate()
    database.close()
    yield falcon.testing.TestClient(create_app(load(None, node.environment))), node


def test_a_denial_with_http_200_comes_at_once_as_well(pair: Pair, tmp_path: Path) -> None:
    """access.denial = registry-error: it is a Failure, and no answer to be kept."""
    with application(
        tmp_path,
        access__ticket="required",
        access__denial="registry-error",
        trust=pair.region.service.trust,
        communities=pair.region.folder / f"communities-of-{OTHER}.toml",
    ) as (client, node):
        request = pair.request("ITI-38", m.find_documents(), pair.receiver.url, ticket="")
        result = client.simulate_post(RESPONDING, body=request.body, content_type=request.content_type)
        assert (result.status_code, b"XDSRegistryError" in result.content) == (200, True)
        assert nothing_waits(node)


def test_without_a_communities_file_nothing_is_listed(pair: Pair, tmp_path: Path) -> None:
    """And there is nowhere to send answers to."""
    with application(tmp_path) as (client, _):
        request = pair.request("ITI-38", m.find_documents(), pair.receiver.url, ticket="")
        result = client.simulate_post(RESPONDING, body=request.body, content_type=request.content_type)
        assert (result.status_code, b"have it listed" in result.content) == (500, True)
        assert client.simulate_post(REPLIES, body=b"").status_code == 404


# -- who answers: until it is taken --------------------------------------------------------------------------


def test_an_answer_waits_for_a_receiver_that_is_down(pair: Pair) -> None:
    """On disk, for this user alone, with a row; figures say that it waits; it goes out when one is there."""
    pair.receiver.stop()
    own = m.new_message_id()
    pair.accepted(message_id=own)
    (file,) = state.replies(pair.other)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    until(lambda: state.rows(pair.other, "SELECT 1 FROM outgoing_reply WHERE attempts > 1"))
    assert figures(pair.other)["waiting"] == 1
    assert figures(pair.other)["oldest_seconds"] > 0
    pair.receiver.start()
    (message,) = pair.receiver.wait()
    check_addressed(message, pair.receiver.url, own, IHE + "CrossGatewayQueryResponse")
    until(lambda: nothing_waits(pair.other))
    assert figures(pair.other)["waiting"] == figures(pair.other)["oldest_seconds"] == 0


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_an_answer_outlives_the_node(pair: Pair, tmp_path: Path, engine: str) -> None:
    """SIGKILL after 202 and before it is taken; after the restart it is delivered, once."""
    region = replace(pair.region, make=lambda **settings: nodes.Node(tmp_path, **settings), folder=tmp_path)
    more = {"store__database": postgres.new_database()} if engine == "postgresql" else {}
    node = region.gateway(community(HOME, pair.asker.url, reply_to=[pair.receiver.url]), OTHER, **more)
    node.start(90)
    try:
        pair.receiver.stop()
        own = m.new_message_id()
        body, to = retrieve((urn(OTHER), "1.2.3")), endpoint("ReplyTo", pair.receiver.url)
        taken = region.ask(node, RESPONDING, "ITI-39", body, header=to, message_id=own, mtom=True)
        node.kill()
        assert taken.status == 202
        pair.receiver.start()
        assert len(state.replies(node)) == count(node, "outgoing_reply") == 1
        node.start(90)
        (message,) = pair.receiver.wait(seconds=90)  # it may have died while it tried: a lease of 30 s
        check_addressed(message, pair.receiver.url, own, IHE + "CrossGatewayRetrieveResponse")
        assert (message.mtom, message.outcome) == (True, FAILURE)
        until(lambda: nothing_waits(node))
        assert len(pair.receiver.taken) == 1
    finally:
        node.stop()
        if engine == "postgresql":
            postgres.drop_database(node.database_url)


def test_a_receiver_in_trouble_is_asked_again_with_the_same_message(pair: Pair) -> None:
    """A fault that may pass is tried again, with the same MessageID; nothing is lost."""
    pair.receiver.refuse("Receiver", "")
    pair.accepted()
    pair.receiver.wait(3)
    pair.receiver.status, pair.receiver.body = 202, b""
    until(lambda: nothing_waits(pair.other))
    assert len({each.header("MessageID") for each in pair.receiver.taken}) == 1
    assert len({each.body for each in pair.receiver.taken}) == 1


def given_up(node: nodes.Node, number: int = 0) -> list[str]:
    """What the log says of replies that nobody gets, when it tells of so many: why, after the reference.

    It tells of one a moment after the last of it is gone.
    """

    def told() -> list[str]:
        return re.findall(r"ERROR xds [0-9a-f]{12} reply given up: (.*)", node.log.read_text())

    until(lambda: len(told()) >= number)
    return told()


def test_a_receiver_that_waits_no_more_is_left_alone(pair: Pair) -> None:
    """A fault of WS-Addressing says that nobody there waits: the answer came too late."""
    before = given_up(pair.other)
    pair.receiver.refuse()
    pair.accepted()
    until(lambda: nothing_waits(pair.other))
    assert given_up(pair.other, len(before) + 1) == [*before, "Community 9 does not wait for it"]
    assert len(pair.receiver.taken) == 1


def test_an_answer_is_given_up_after_its_day(pair: Pair) -> None:
    """Row and file go, with one line in the log that says nothing of what it was."""
    before, numbers = given_up(pair.other), figures(pair.other)["given_up"]
    pair.receiver.stop()
    pair.accepted()
    ((made_at, ends),) = state.rows(pair.other, "SELECT made_at, until FROM outgoing_reply")
    assert int(str(ends)) - int(str(made_at)) == 24 * 3600 * 1000
    change(pair.other, "UPDATE outgoing_reply SET until = 1")
    until(lambda: nothing_waits(pair.other))
    (line,) = given_up(pair.other, len(before) + 1)[len(before) :]
    assert re.fullmatch(r"not taken in \d attempts", line)
    assert figures(pair.other)["given_up"] == numbers + 1


def test_an_answer_is_given_up_when_its_address_is_listed_no_more(pair: Pair) -> None:
    """The list of now counts; and it can be put back."""
    before = given_up(pair.other)
    pair.receiver.stop()
    pair.accepted()
    pair.list_addresses(pair.asker.url + REPLIES)
    until(lambda: nothing_waits(pair.other))
    told = given_up(pair.other, len(before) + 1)
    assert told == [*before, "no community lists its address any more"]
    pair.receiver.start()
    assert pair.receiver.connections == 0
    pair.list_addresses(pair.asker.url + REPLIES, pair.receiver.url)
    until(lambda: pair.ask("ITI-38", m.find_documents(), pair.receiver.url).status == 202)
    pair.receiver.wait()


def test_a_row_without_its_file_is_dropped_and_a_file_without_a_row_is_swept(pair: Pair) -> None:
    """What a crash, or somebody's hand, leaves; what has both is not touched."""
    before = given_up(pair.other)
    pair.receiver.stop()
    pair.accepted()
    state.replies(pair.other)[0].unlink()
    until(lambda: nothing_waits(pair.other))
    assert given_up(pair.other, len(before) + 1) == [*before, "its file is gone, or not whole"]
    pair.accepted()
    (kept,) = state.replies(pair.other)
    stray = kept.with_name("0" * 32)
    stray.write_bytes(b"<a/>")
    pair.other.command("sweep")
    assert len(state.replies(pair.other)) == 2  # it is young: its row may be about to come
    swept = pair.other.command("sweep", "--grace-hours", "0")
    assert "Removed 1 files of replies" in swept.stdout
    assert state.replies(pair.other) == [kept]
    pair.receiver.start()
    pair.receiver.wait()


def test_no_more_than_a_thousand_wait_for_one_address(pair: Pair) -> None:
    """Who asks for the next is told at once, by the standard's codes; other addresses go on."""
    soon = int(time.time() * 1000) + 400_000
    change(
        pair.other,
        *(
            "INSERT INTO outgoing_reply VALUES"
            f" ('f{number}', 'node-of-{OTHER}', '{pair.receiver.url}', '', '', '', 0, 1, {soon}, {soon}, 0)"
            for number in range(1000)
        ),
    )
    try:
        for number, body, code in (
            ("ITI-38", m.find_documents(), "XDSRegistryBusy"),
            ("ITI-39", retrieve((urn(OTHER), "1.2.3")), "XDSRepositoryBusy"),
        ):
            reply = pair.ask(number, body, pair.receiver.url)
            assert (reply.status, reply.outcome) == (200, FAILURE)
            assert rules(reply) == [(code, urn(OTHER), "reply-room")]
        assert state.replies(pair.other) == []
        assert pair.find(OTHER).outcome == SUCCESS
    finally:
        change(pair.other, "DELETE FROM outgoing_reply")


def test_a_silent_address_holds_up_no_other(pair: Pair) -> None:
    """More answers for it than are sent at a time; meanwhile the other node gets its own."""
    pair.receiver.silent = 5
    for _ in range(9):
        pair.accepted()
    pair.receiver.wait(4)
    began = time.monotonic()
    assert pair.find(OTHER).outcome == SUCCESS
    assert time.monotonic() - began < pair.receiver.silent
    pair.receiver.wait(9, 30)


# -- who asks: what comes in ---------------------------------------------------------------------------------

NOTHING = (
    '<q:AdhocQueryResponse xmlns:q="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"'
    f' xmlns:rim="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0" status="{SUCCESS}">'
    "<rim:RegistryObjectList/></q:AdhocQueryResponse>"
)
UNAVAILABLE = "XDSUnavailableCommunity"


def reply(pair: Pair, relates_to: str, body: str = NOTHING, action: str = "", header: str = "") -> Reply:
    """A message to the node that asks, from outside."""
    related = f"<a:RelatesTo>{relates_to}</a:RelatesTo>" if relates_to else ""
    data = m.envelope(body, action or IHE + "CrossGatewayQueryResponse", header=related + header)
    return send(pair.asker, Request(REPLIES, m.media_type(m.SOAP12), data))


@contextmanager
def waiting(pair: Pair) -> Iterator[tuple[Future[Reply], str]]:
    """A query that the peer has taken and does not answer, and the MessageID under which it came."""
    pair.peer.behave("accepted", later=3600)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(pair.find, PEER)
        until(lambda: pair.peer.requests)
        (request,) = pair.peer.requests
        assert request.reply_to == pair.asker.url + REPLIES
        yield asked, request.message_id


@pytest.mark.parametrize("later", [0, 0.5])
def test_a_foreign_community_answers_later(pair: Pair, later: float) -> None:
    """Objects and documents as it has them, whether the reply comes before our 202 is read or after."""
    pair.peer.behave("accepted", later=later)
    found = pair.find(PEER)
    assert (found.outcome, rules(found)) == (SUCCESS, [])
    assert entries(found) == [(urn(PEER), peers.document_id(PEER, number)) for number in (1, 2, 3)]
    wanted = retrieve(*((urn(PEER), peers.document_id(PEER, number)) for number in (3, 1)))
    handed = pair.region.ask(pair.asker, INITIATING, "ITI-43", wanted, mtom=True)
    assert handed.documents() == {
        peers.document_id(PEER, number): peers.content(PEER, number) for number in (1, 3)
    }
    told = pair.peer.wait(lambda now: len(now.posted) == 2).posted
    assert [status for _, status in told] == [202, 202]


@pytest.mark.parametrize(
    ("then", "outcome", "told"),
    [
        ("fault", FAILURE, [(UNAVAILABLE, "community-fault")]),
        ("not_ours", FAILURE, [(UNAVAILABLE, "community-readable")]),
        ("failure", FAILURE, [("XDSRegistryError", "")]),
        ("unknown_patient", SUCCESS, []),
        ("no_home", "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess", [
            ("XDSMissingHomeCommunityId", "community-home")
        ]),
        ("utf16", SUCCESS, []),
    ],
)  # fmt: skip
def test_a_reply_is_judged_as_an_answer_is(
    pair: Pair, then: str, outcome: str, told: list[tuple[str, str]]
) -> None:
    """Whatever it says, it is taken with 202, and whoever waits is told at once."""
    pair.peer.behave("accepted", then=then)
    found = pair.find(PEER)  # at the deadline it would be community-late
    assert found.outcome == outcome
    assert [(each[0], each[2]) for each in rules(found)] == told
    pair.peer.wait(lambda now: bool(now.posted))
    assert pair.peer.figures.posted == [(pair.asker.url + REPLIES, 202)]


@pytest.mark.parametrize(
    ("behaviour", "told"), [("failure", [("XDSRegistryError", "")]), ("answers", []), ("unknown_patient", [])]
)
def test_an_answer_may_come_at_once(pair: Pair, behaviour: str, told: list[tuple[str, str]]) -> None:
    """A denial before the message is taken has no other way, and says why; it does not open the circuit."""
    pair.peer.behave(behaviour)
    for _ in range(4):
        found = pair.find(PEER)
        assert [(each[0], each[2]) for each in rules(found)] == told
    assert len(pair.peer.requests) == 4


@pytest.mark.parametrize(
    "then", ["wrong_relates_to", "no_relates_to", "garbage", "html", "entity_bomb", "compressed"]
)
def test_a_reply_that_belongs_to_no_call_is_refused(pair: Pair, then: str) -> None:
    """A fault to whoever sent it; the call is over at its deadline, and nothing is left."""
    pair.peer.behave("accepted", then=then)
    began = time.monotonic()
    found = pair.find(PEER)
    assert SECONDS <= time.monotonic() - began < SECONDS + GENEROUS
    assert [each[2] for each in rules(found)] == ["community-late"]
    ((_, status),) = pair.peer.wait(lambda now: bool(now.posted)).posted
    assert status in (415, 500)


def test_a_second_reply_is_refused(pair: Pair) -> None:
    """The first counts, and the second leaves nothing behind."""
    pair.peer.behave("accepted", times=2)
    assert pair.find(PEER).outcome == SUCCESS
    pair.peer.wait(lambda now: len(now.posted) == 2)
    assert [status for _, status in pair.peer.figures.posted] == [202, 500]


def test_a_late_reply_is_refused(pair: Pair) -> None:
    """The call is over at its deadline, whatever comes afterwards."""
    pair.peer.behave("accepted", later=SECONDS + 0.7)
    began = time.monotonic()
    assert [each[2] for each in rules(pair.find(PEER))] == ["community-late"]
    assert SECONDS <= time.monotonic() - began < SECONDS + GENEROUS
    ((_, status),) = pair.peer.wait(lambda now: bool(now.posted)).posted
    assert status == 500


def test_of_many_replies_at_once_one_wins(pair: Pair) -> None:
    """At two workers, at the same moment."""
    with waiting(pair) as (asked, message_id):
        with ThreadPoolExecutor(12) as pool:
            sent = [pool.submit(reply, pair, message_id) for _ in range(12)]
        statuses = sorted(each.result().status for each in sent)
        assert statuses == [202, *[500] * 11]
        assert (asked.result().outcome, entries(asked.result())) == (SUCCESS, [])


def test_a_reply_with_another_action_or_body_is_no_answer(pair: Pair) -> None:
    """It names the call, so the call ends with it: with nothing that could be used."""
    for body, action in (
        (NOTHING, IHE + "CrossGatewayRetrieveResponse"),
        (NOTHING, "urn:oid:1.2.3"),
        ('<pong xmlns="urn:example:ping"/>', ""),
        (
            f'<r:RegistryResponse xmlns:r="urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0" status="{SUCCESS}"/>',
            "",
        ),
    ):
        with waiting(pair) as (asked, message_id):
            taken = reply(pair, message_id, body, action)
            assert (taken.status, taken.body) == (202, b"")
            assert rules(asked.result()) == [(UNAVAILABLE, urn(PEER), "community-readable")]
        pair.peer.forget()


def test_what_is_refused_does_not_use_the_call_up(pair: Pair) -> None:
    """A header that must be understood and is not; then comes the answer."""
    with waiting(pair) as (asked, message_id):
        strange = '<x xmlns="urn:strange" s:mustUnderstand="1"/>'
        refused = reply(pair, message_id, header=strange)
        assert (refused.status, refused.fault.code.rpartition("}")[2]) == (500, "MustUnderstand")
        assert reply(pair, message_id).status == 202
        assert asked.result().outcome == SUCCESS


def test_a_reply_to_nothing_is_a_fault_on_record(pair: Pair) -> None:
    """Sender, about wsa:RelatesTo; one event in the access log, and nothing else."""
    before, events = state.counts(pair.asker), count(pair.asker, "audit_event")
    for relates_to in (m.new_message_id(), ""):
        check_refused(reply(pair, relates_to), INVALID, "RelatesTo", "no request that waits")
    fault = FAULT.format(code="Sender", subcode="").encode()
    assert send(pair.asker, Request(REPLIES, m.media_type(m.SOAP12), fault)).status == 500
    assert state.counts(pair.asker) == before
    assert count(pair.asker, "audit_event") == events + 3
    told = pair.region.log(pair.asker)[-3:]
    assert [(each["outcome"], transaction_of(each)) for each in told] == [
        ("8", "ITI-38"),
        ("8", "ITI-38"),
        ("8", ""),  # a fault does not say of what
    ]
    assert [problems(each) for each in told[:2]] == [[], []]


def test_replies_do_not_wait_for_those_who_wait_for_them(pair: Pair, tmp_path: Path) -> None:
    """More requests than threads: some of these stay free to take replies in, and the rest is told so."""
    region = replace(pair.region, make=lambda **settings: nodes.Node(tmp_path, **settings), folder=tmp_path)
    lines = community(PEER, pair.peer.url, asynchronous=True, query_seconds=40)
    node = region.gateway(lines, HOME, node__threads=4, gateway__own="left-out")
    node.environment["XDS_NODE__PUBLIC_URL"] = node.url
    node.start(90)
    try:
        pair.peer.behave("accepted", later=0.5)
        requests = [region.request(INITIATING, "ITI-18", m.find_documents()) for _ in range(16)]
        began = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            replies = list(pool.map(lambda each: send(node, each), requests))
        assert time.monotonic() - began < 30
        busy = [rules(each) for each in replies if each.outcome != SUCCESS]
        assert busy == [[("XDSRegistryBusy", "", "community-requests")]] * len(busy)
        assert 3 <= len(replies) - len(busy)
    finally:
        node.stop()


# -- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({}, "asynchronous: needs node.public_url"),
        ({"node__public_url": "xds.example.no"}, "asynchronous: needs node.public_url"),
        (
            {"node__public_url": "https://a.example.no", "node__threads": 1},
            "asynchronous: needs node.threads of 2",
        ),
        ({"node__public_url": "https://a.example.no"}, ""),
    ],
)
def test_a_node_that_is_to_be_answered_later_needs_an_address(
    tmp_path: Path, more: dict[str, object], sentence: str
) -> None:
    """Said before it serves, by community and key."""
    file = tmp_path / "communities.toml"
    file.write_text(community(PEER, "https://xca.example.no/xca", asynchronous=True))
    node = nodes.Node(tmp_path, node__home_community_id=HOME, communities=file, **more)
    settings = load(None, node.environment)
    if not sentence:
        check_to_serve(settings)
        return
    expected = f"communities: community 1 (Community 2): {sentence}"
    with pytest.raises(SettingsError, match=re.escape(expected)):
        check_to_serve(settings)


def test_the_receiver_of_replies_describes_itself(pair: Pair) -> None:
    """At its own address."""
    answer = urllib3.request("GET", pair.asker.url + REPLIES + "?wsdl", retries=False)
    assert answer.status == 200
    assert f'location="{pair.asker.url}{REPLIES}"'.encode() in answer.data
