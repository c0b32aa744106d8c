"""Every address of the node is walked: nobody gets in without a ticket, and those who try change nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import falcon.inspect
import pytest

from tests.blackbox import messages as m
from tests.blackbox.state import TABLES, beneath, published, rows, staged
from tests.blackbox.wire import QUERY, SUCCESS, Reply, Request, send
from tests.nodes import REPOSITORY_ID, Node
from tests.security.vectors import fresh
from xds.app import ENDPOINTS, REPLIES, create_app
from xds.config import load
from xds.demo.tickets import TicketService
from xds.fhir.privacy import ADDRESS as PRIVACY
from xds.security.denials import WSSE
from xds.store.database import Database
from xds.transactions.transaction import Transaction

TRANSACTIONS = [(address, each) for address, (_, offered) in ENDPOINTS.items() for each in offered]
#: Each address of a SOAP transaction, and each request element at it.
WALK = pytest.mark.parametrize(
    ("address", "transaction"), TRANSACTIONS, ids=[f"{each.number}-{each.action}" for _, each in TRANSACTIONS]
)
#: What is open to everybody: it says nothing of anybody.
OPEN = [
    *(f"{address}?wsdl" for address in ENDPOINTS),
    "/xds/schema/xds.xsd",
    "/pix/schema/xml.xsd",
    "/xca/schema/xdr.xsd",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/tools/validate",
    "/fhir/metadata",
    "/fhir/.well-known/smart-configuration",
]
#: The same, as the application's router has it.
OPEN_ROUTES = {
    "/xds/schema/{name}",
    "/pix/schema/{name}",
    "/xca/schema/{name}",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/tools/validate",  # of a node in a test environment; it reads nothing but what is given to it
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
FHIR = [
    "/fhir",
    "/fhir/",
    "/fhir/metadata",
    "/fhir/.well-known/smart-configuration",
    "/fhir/DocumentReference",
    "/fhir/DocumentReference/_search",
    "/fhir/DocumentReference?patient=1",
    "/fhir/List/1",
    "/fhir/Binary/1",
    "/fhir/AuditEvent",
    "/fhir/$provide",
    "/fhir//metadata",
    "/fhir/%2e%2e/health/live",
]


HOME = "2.16.578.1.12.4.5.100.1.1"
#: What the policy that comes with xds lets systems do only.
OF_SYSTEMS = ("ITI-44", "ITI-62", "ITI-86")


def _security(ticket: str) -> str:
    """The header block of a ticket; the prefix s is that of the envelope."""
    return f'<wsse:Security xmlns:wsse="{WSSE}" s:mustUnderstand="1">{ticket}</wsse:Security>'


class Guarded:
    """A node that wants tickets and has one document."""

    def __init__(self, node: Node, service: TicketService) -> None:
        self.node = node
        self._clinician = service.saml("personnel", patient=m.PATIENT)
        self._system = service.saml("system")
        self.document = m.Document()
        provided = send(
            node,
            m.plain(
                m.provide([self.document], m.inline([self.document])), "ITI-41", header=self.good("ITI-41")
            ),
        )
        assert provided.outcome == SUCCESS
        found = send(
            node, m.plain(m.get_documents(self.document.unique_id), "ITI-18", header=self.good("ITI-18"))
        ).content()
        self.entry = found.find(".//{*}ExtrinsicObject").get("id")

    def good(self, number: str) -> str:
        """The header with a ticket of somebody who may do the transaction with this number."""
        return _security(self._system if number in OF_SYSTEMS else self._clinician)

    def unsigned(self, number: str) -> str:
        """The header with such a ticket, but without its signature."""
        header = self.good(number)
        unsigned = re.sub("<ds:Signature .*</ds:Signature>", "", header, flags=re.DOTALL)
        assert len(unsigned) < len(header)
        return unsigned

    def bodies(self, transaction: Transaction) -> list[str]:
        """An empty element, which is no valid request; and where there is one, a request that would work."""
        name = re.fullmatch(r"\{(.*)\}(.*)", transaction.element)
        assert name
        unique_id, new = self.document.unique_id, m.Document()
        works = {
            "ITI-18": m.get_documents(unique_id),
            "ITI-38": m.find_documents(),
            "ITI-41": m.provide([new], m.inline([new])),
            "ITI-42": m.register([new]),
            "ITI-43": m.retrieve(unique_id),
            "ITI-51": m.query(
                m.FIND_FOR_MULTIPLE_PATIENTS,
                {
                    "$XDSDocumentEntryPatientId": f"('{m.PATIENT}')",
                    "$XDSDocumentEntryStatus": f"('{m.APPROVED}')",
                },
            ),
            "ITI-57": m.submit(
                m.submission_set(),
                m.association(
                    "as1",
                    m.UPDATE_STATUS,
                    m.SET,
                    self.entry,
                    NewStatus=m.DEPRECATED,
                    OriginalStatus=m.APPROVED,
                ),
            ),
            "ITI-62": m.remove_metadata(self.entry),
            "ITI-86": m.remove_documents(unique_id),
        }
        empty = f'<e:{name[2]} xmlns:e="{name[1]}"/>'
        return [empty, *([works[transaction.number]] if transaction.number in works else [])]

    def everything(self) -> tuple[object, ...]:
        """Every row of every table, every document, and every file that is staged."""
        tables = {table: rows(self.node, f"SELECT * FROM {table}") for table in TABLES}
        under = beneath(self.node)
        documents = {key: under.read(key) for key in published(self.node)}
        return tables, documents, staged(self.node)


@pytest.fixture(scope="module")
def guarded(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    """A node that wants tickets."""
    folder = tmp_path_factory.mktemp("tickets")
    service = TicketService(folder)
    communities = folder / "communities.toml"
    communities.touch()
    node = new_node(
        access__ticket="required",
        trust=service.trust,
        node__home_community_id=HOME,
        communities=communities,
    )
    return Guarded(node, service)


def soap(address: str, action: str, body: str, header: str) -> Request:
    """A request of any action."""
    return Request(address, m.media_type(m.SOAP12), m.envelope(body, action, header=header))


def assert_refused(reply: Reply, code: str) -> None:
    """A fault of WS-Security, and nothing else."""
    assert reply.status == 500
    assert reply.fault.subcodes == [f"{{{WSSE}}}{code}"]


@WALK
def test_no_transaction_is_done_without_a_ticket(
    address: str, transaction: Transaction, guarded: Guarded
) -> None:
    """Neither a request that works nor one that is not even valid: gate 1 comes before all else."""
    before = guarded.everything()
    for body in guarded.bodies(transaction):
        assert_refused(send(guarded.node, soap(address, transaction.action, body, "")), "InvalidSecurity")
    assert guarded.everything() == before


@WALK
def test_no_transaction_is_done_with_an_unsigned_ticket(
    address: str, transaction: Transaction, guarded: Guarded
) -> None:
    """An assertion that anybody could have written opens nothing."""
    before = guarded.everything()
    for body in guarded.bodies(transaction):
        reply = send(
            guarded.node, soap(address, transaction.action, body, guarded.unsigned(transaction.number))
        )
        assert_refused(reply, "InvalidSecurityToken")
    assert guarded.everything() == before


@WALK
def test_each_transaction_looks_at_a_request_with_a_good_ticket(
    address: str, transaction: Transaction, guarded: Guarded
) -> None:
    """The walk is no walk along walls: with a ticket the same request is judged by what it says."""
    empty = guarded.bodies(transaction)[0]
    reply = send(guarded.node, soap(address, transaction.action, empty, guarded.good(transaction.number)))
    assert WSSE.encode() not in reply.body
    assert b"[access-" not in reply.body
    assert reply.status == 200 or b"does not follow the schema" in reply.body


def test_an_mtom_submission_without_a_ticket_leaves_no_file(guarded: Guarded) -> None:
    """Its parts are staged before the ticket is looked at, and removed when it is refused."""
    before = guarded.everything()
    assert_refused(send(guarded.node, m.mtom([m.Document()])), "InvalidSecurity")
    assert guarded.everything() == before


@pytest.mark.parametrize("address", list(ENDPOINTS))
def test_an_action_that_is_not_there_is_not_let_in_either(address: str, guarded: Guarded) -> None:
    """A made-up action is refused, whatever the Body holds."""
    body = f'<e:AdhocQueryRequest xmlns:e="{QUERY}"/>'
    reply = send(guarded.node, soap(address, "urn:xds:no-such-action", body, ""))
    assert reply.status == 500
    assert reply.fault.code.endswith("}Sender")


def test_only_an_answer_that_is_awaited_is_taken(guarded: Guarded) -> None:
    """Where other communities' answers come in, nobody shows a ticket: the MessageID lets them in."""
    before = guarded.everything()
    body = f'<q:AdhocQueryResponse xmlns:q="{QUERY}" status="{SUCCESS}"/>'
    for related in ("", m.new_message_id()):
        header = f"<a:RelatesTo>{related}</a:RelatesTo>" if related else ""
        action = "urn:ihe:iti:2007:CrossGatewayQueryResponse"
        reply = send(guarded.node, soap(REPLIES, action, body, header))
        assert reply.status == 500
        assert reply.fault.code.endswith("}Sender")
    assert guarded.everything() == before


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", FHIR)
def test_nothing_of_fhir_is_answered_without_a_token(path: str, method: str, guarded: Guarded) -> None:
    """Whatever the address below /fhir and whatever the method: 401, a challenge, and no resource.

    Only what the node can do is told to everybody.
    """
    if path in OPEN and method in ("GET", "HEAD"):
        return
    before = guarded.everything()
    reply = send(guarded.node, Request(path, "application/fhir+json", b"{}", method=method))
    assert reply.status == 401
    assert reply.headers.get_all("WWW-Authenticate")
    assert guarded.everything() == before


def test_no_privacy_setting_is_taken_without_a_token(guarded: Guarded) -> None:
    """The Personvernkomponent shows a token too; without one nothing is read of what it sends."""
    before = guarded.everything()
    reply = send(guarded.node, Request(PRIVACY, "application/json", b"{}", method="POST"))
    assert reply.status == 401
    assert guarded.everything() == before


@pytest.mark.parametrize("path", OPEN)
def test_what_says_nothing_of_anybody_is_open(path: str, guarded: Guarded) -> None:
    """Descriptions, schemas, health and figures need no ticket, and hold nothing of a patient."""
    reply = send(guarded.node, Request(path, None, b"", method="GET"))
    assert reply.status == 200
    assert not any(word.encode() in reply.body for word in m.MARKERS)


def test_the_walk_knows_every_address_of_the_application(tmp_path: Path) -> None:
    """A new route has to be walked here, or to be named as open."""
    folder = fresh(tmp_path / "vectors")
    (tmp_path / "communities.toml").touch()
    database = Database(f"sqlite:///{tmp_path}/xds.db")
    database.migrate()
    environment = {
        "XDS_ENVIRONMENT": "test",
        "XDS_PATIENTS__SOURCE": "open",
        "XDS_NODE__REPOSITORY_UNIQUE_ID": REPOSITORY_ID,
        "XDS_STORE__DATABASE": f"sqlite:///{tmp_path}/xds.db",
        "XDS_STORE__DOCUMENTS": f"file://{tmp_path}/documents",
        "XDS_TRUST": str(folder / "trust.toml"),
        "XDS_NODE__HOME_COMMUNITY_ID": HOME,
        "XDS_COMMUNITIES": str(tmp_path / "communities.toml"),
    }
    found = falcon.inspect.inspect_app(create_app(load(None, environment)))
    database.close()
    assert {route.path for route in found.routes} == set(ENDPOINTS) | OPEN_ROUTES | {PRIVACY, REPLIES}
    assert [sink.prefix for sink in found.sinks] == ["/fhir(?:/|$)"]
    assert not found.static_routes
