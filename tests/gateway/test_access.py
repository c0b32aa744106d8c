"""Who sees what through the gateways: the ticket goes on, and each community decides about what it has.

A gateway with a document of its own stands before two communities of ours, and before a third that is not
ours: it answers whatever it is asked, so that nothing but the gateway itself keeps a request from it. What is
expected follows from docs/gateways.md, docs/access-rules.md and ITI TF-2 3.18, 3.38 and 3.39.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
import urllib3
from lxml import etree

from tests import nodes
from tests.access.people import number
from tests.access.test_every_path import BLOCKED, NORMAL, Marked
from tests.blackbox import messages as m
from tests.blackbox.wire import FAILURE, NS, PARTIAL, RS, SUCCESS, Reply
from tests.gateway import peers
from tests.gateway.peers import Peer
from tests.gateway.region import (
    HOME,
    HOMES,
    INITIATING,
    RESPONDING,
    Region,
    community,
    entries,
    query,
    repository,
    retrieve,
    rules,
    told,
    transaction_of,
    urn,
)
from xds.demo.keys import AUDIENCE
from xds.demo.tickets import TicketService
from xds.metadata.confidentiality import LEVELS, REFUSALS
from xds.registry.queries import PATIENT_QUERIES, STORED_QUERIES
from xds.security.denials import WSSE

TODAY = datetime.now(UTC).date()
NORTH, SOUTH = HOMES[:2]
#: The community that is not ours.
FOREIGN = "2.999.77"
KINDS = {name: (name, REFUSALS) for name in ("NORN_FFL", "NORN_FORANS", "NORN_UNGDOM", "NORU", "NORS")}
KINDS |= {"N": NORMAL, "V": ("V", LEVELS)}
UNKNOWN_QUERY = "urn:uuid:00000000-0000-4000-8000-000000000000"
_people = count()


def new_patient(years: int = 60) -> str:
    """The number of somebody of this age whom no other test knows."""
    return number(TODAY.replace(year=TODAY.year - years, month=1, day=2), 20 + next(_people))


def cx(patient: str) -> str:
    """The number as metadata have it."""
    return f"{patient}^^^&{m.AUTHORITY}&ISO"


def find(patient: str, return_type: str = "LeafClass") -> str:
    """FindDocuments for a patient's approved documents."""
    return m.find_documents(cx(patient), return_type)


def document(patient: str, code: tuple[str, str] = NORMAL) -> Marked:
    """One with bytes and ids of its own."""
    content = f"%PDF {code[0]} ".encode() + secrets.token_bytes(8)
    return Marked(content=content, id=m.new_uuid(), patient=cx(patient), code=code)


def shown(reply: Reply) -> dict[tuple[str, str], str]:
    """Of each document entry, by community and uniqueId: shown or masked."""
    titles = [
        each.find("rim:Name/rim:LocalizedString", NS).get("value")
        for each in reply.content().iterfind(".//rim:ExtrinsicObject", NS)
    ]
    words = ["masked" if title == "Sperret" else "shown" for title in titles]
    return dict(zip(entries(reply), words, strict=True))


@dataclass(frozen=True)
class World:
    """The gateway, the two communities of ours by their home, and the foreign one."""

    region: Region
    gateway: nodes.Node
    communities: Mapping[str, nodes.Node]
    foreign: Peer

    def file(self, home: str, *documents: Marked) -> None:
        """Register one patient's documents in one community, as somebody who may."""
        node = self.gateway if home == HOME else self.communities[home]
        file(self.region, node, *documents)

    def ask(self, transaction: str, body: str, ticket: str, **more: Any) -> Reply:
        """Of the gateway."""
        return self.region.ask(self.gateway, INITIATING, transaction, body, ticket=ticket, **more)

    def refuses(self, body: str, ticket: str, transaction: str = "ITI-18") -> Reply:
        """What the gateway answers to what it must not send on."""
        self.foreign.forget()
        before = {home: self.asked(home) for home in self.communities}
        reply = self.ask(transaction, body, ticket)
        assert self.foreign.requests == [], "it was sent on"
        assert {home: self.asked(home) for home in self.communities} == before, "it was sent on"
        return reply

    def asked(self, home: str) -> int:
        """How many requests of gateways one of our communities has had, by what it counts.

        They are counted before they are answered; the log has a line when the last byte has gone.
        """
        text = urllib3.request("GET", f"{self.communities[home].url}/metrics", retries=False).data.decode()
        counts = re.findall(
            r'^xds_request_seconds_count{.*transaction="ITI-(?:38|39|80)".*} (\S+)$', text, re.M
        )
        return sum(int(float(each)) for each in counts)


def file(region: Region, node: nodes.Node, *documents: Marked) -> None:
    """Register one patient's documents, as somebody who sees everything."""
    patient = documents[0].patient
    ticket = region.ticket(patient=patient.partition("^")[0], purpose="ETREAT")
    body = m.provide(documents, m.inline(documents), patient=patient)
    body = body.replace(m.REPOSITORY_ID, node.environment["XDS_NODE__REPOSITORY_UNIQUE_ID"])
    reply = region.ask(node, m.REPOSITORY, "ITI-41", body, ticket=ticket)
    assert reply.outcome == SUCCESS, reply.errors


@pytest.fixture(scope="module")
def region(new_node: Callable[..., nodes.Node], tmp_path_factory: pytest.TempPathFactory) -> Region:
    """The means to make nodes that believe one ticket service."""
    folder = tmp_path_factory.mktemp("region")
    return Region(TicketService(folder / "tickets"), new_node, folder)


@pytest.fixture(scope="module")
def world(region: Region) -> Iterator[World]:
    """All four, running."""
    communities = {home: region.node(home) for home in (NORTH, SOUTH)}
    with Peer(FOREIGN, documents=0) as foreign:
        lines = "".join(community(home, node.url + RESPONDING) for home, node in communities.items())
        gateway = region.gateway(lines + community(FOREIGN, foreign.url))
        yield World(region, gateway, communities, foreign)


# ---- one ticket, one patient


#: The parameter by which each query names its patient (ITI TF-2 3.18.4.1.2.3.7).
PATIENT_PARAMETER = {
    "FindDocuments": "$XDSDocumentEntryPatientId",
    "FindDocumentsByReferenceId": "$XDSDocumentEntryPatientId",
    "FindSubmissionSets": "$XDSSubmissionSetPatientId",
    "FindFolders": "$XDSFolderPatientId",
    "GetAll": "$patientId",
}


def about(query_id: str, *patients: str) -> str:
    """A stored query about a patient, with each parameter that it must have; of several patients with a Slot
    for each.
    """
    name = STORED_QUERIES[query_id].NAME
    parameter = PATIENT_PARAMETER[name]
    objects = ["$XDSDocumentEntry", "$XDSSubmissionSet", "$XDSFolder"]
    statuses = objects if name == "GetAll" else [parameter.removesuffix("PatientId")]
    parameters = {f"{each}Status": f"('{m.APPROVED}')" for each in statuses}
    if name == "FindDocumentsByReferenceId":
        parameters["$XDSDocumentEntryReferenceIdList"] = "('1^^^&2.999&ISO^urn:ihe:iti:xds:2013:order')"
    named = "".join(m.slot(parameter, f"'{cx(each)}'") for each in patients)
    return m.query(query_id, parameters).replace("</rim:AdhocQuery>", named + "</rim:AdhocQuery>")


@pytest.mark.parametrize("query_id", sorted(PATIENT_QUERIES), ids=lambda each: STORED_QUERIES[each].NAME)
def test_a_ticket_for_one_patient_asks_about_no_other(query_id: str, world: World) -> None:
    """Whoever is named beside the patient, and whichever communities: nobody else is asked. Nor is anybody
    about two patients, or none.
    """
    own, another = new_patient(), new_patient()
    ticket = world.region.ticket(patient=own, purpose="ETREAT")
    reply = world.ask("ITI-18", about(query_id, own), ticket)
    assert reply.outcome == SUCCESS
    body = about(query_id, another)
    for asked in (
        body,
        query(body, urn(HOME)),
        query(body, NORTH),
        query(body, urn(FOREIGN)),
        query(body, targets=[urn(HOME)]),
        query(body, targets=[urn(FOREIGN), SOUTH, "urn:oid:2.999.404"]),
    ):
        reply = world.refuses(asked, ticket)
        assert reply.outcome == FAILURE
        assert [(each.code, each.rule) for each in reply.errors] == [("XDSRegistryError", "access-patient")]
    for asked in (about(query_id, own, another), about(query_id, another, own), about(query_id)):
        reply = world.refuses(asked, ticket)
        assert (reply.outcome, [each.rule for each in reply.errors]) == (FAILURE, ["community-patient"])


def test_another_patients_documents_are_nowhere_by_their_ids(world: World) -> None:
    """As if nobody had them, in each community: by a query, and by an attempt to fetch them."""
    own, another = new_patient(), new_patient()
    ticket = world.region.ticket(patient=own, purpose="ETREAT")
    others = {home: document(another) for home in (HOME, NORTH, SOUTH)}
    for home, each in others.items():
        world.file(home, each)
        by_id = m.query(m.GET_DOCUMENTS, {"$XDSDocumentEntryEntryUUID": f"('{each.id}')"}, home=urn(home))
        for body in (by_id, query(m.get_documents(each.unique_id), home)):
            reply = world.ask("ITI-18", body, ticket)
            assert (reply.outcome, entries(reply)) == (SUCCESS, [])
    asked = [(urn(home), each.unique_id) for home, each in others.items()]
    reply = world.ask("ITI-43", retrieve(*asked), ticket)
    assert (reply.outcome, reply.documents()) == (FAILURE, {})
    codes = [(each.code, each.location) for each in told(reply)]
    assert codes == [("XDSDocumentUniqueIdError", urn(home)) for home in others]


def test_the_ticket_goes_on_as_its_issuer_signed_it(world: World) -> None:
    """Once, in a header that must be understood, whoever else is asked."""
    patient = new_patient()
    ticket = world.region.ticket(patient=patient)
    world.foreign.forget()
    assert world.ask("ITI-18", find(patient), ticket).outcome == SUCCESS
    (request,) = world.foreign.requests
    envelope = etree.fromstring(request.envelope)
    (security,) = envelope.iterfind(f"{{*}}Header/{{{WSSE}}}Security")
    assert security.get(f"{{{m.SOAP12}}}mustUnderstand") == "1"
    (assertion,) = security.iterfind("{urn:oasis:names:tc:SAML:2.0:assertion}Assertion")
    sent = etree.tostring(etree.fromstring(ticket), method="c14n", exclusive=True)
    assert etree.tostring(assertion, method="c14n", exclusive=True, with_tail=False) == sent


# ---- what each community decides


def test_each_community_decides_about_what_it_has(world: World) -> None:
    """Blocked in one: masked and kept back there. The other's, and the gateway's own, are as they are."""
    patient = new_patient()
    blocked, hidden = document(patient, BLOCKED), document(patient, KINDS["NORN_FFL"])
    plain = {home: document(patient) for home in (HOME, NORTH, SOUTH)}
    world.file(HOME, plain[HOME])
    world.file(NORTH, plain[NORTH], blocked)
    world.file(SOUTH, plain[SOUTH], hidden)
    ids = {(urn(home), each.unique_id): "shown" for home, each in plain.items()}
    masked, refused = (urn(NORTH), blocked.unique_id), (urn(SOUTH), hidden.unique_id)
    everything = [*ids, masked, refused]

    clinician = world.region.ticket(patient=patient)
    reply = world.ask("ITI-18", find(patient), clinician)
    assert (reply.outcome, shown(reply)) == (SUCCESS, ids | {masked: "masked", refused: "shown"})
    assert m.TITLE.encode() in reply.body
    reply = world.ask("ITI-43", retrieve(*everything), clinician)
    assert reply.outcome == PARTIAL
    assert reply.documents() == {each.unique_id: each.content for each in (*plain.values(), hidden)}
    (error,) = told(reply)
    assert (error.code, error.location, error.rule) == ("XDSRepositoryError", urn(NORTH), "retrieve-blocked")

    citizen = world.region.service.saml("citizen", person=patient)
    reply = world.ask("ITI-18", find(patient), citizen)
    assert (reply.outcome, shown(reply)) == (SUCCESS, ids | {masked: "shown"})
    reply = world.ask("ITI-43", retrieve(*everything), citizen)
    assert reply.outcome == PARTIAL
    assert reply.documents() == {each.unique_id: each.content for each in (*plain.values(), blocked)}
    (error,) = told(reply)
    assert (error.code, error.location) == ("XDSDocumentUniqueIdError", urn(SOUTH))
    assert error.rule == "retrieve-document"


@pytest.mark.parametrize("home", [HOME, NORTH])
def test_a_reservation_closes_the_record_where_it_was_made(home: str, world: World) -> None:
    """The gateway's own reservation does not close what others have, nor theirs what it has."""
    patient = new_patient()
    documents = {each: document(patient) for each in (HOME, NORTH, SOUTH)}
    for each, one in documents.items():
        world.file(each, one)
    node = world.gateway if home == HOME else world.communities[home]
    done = node.command("privacy", "reserve", "--patient", patient)
    assert done.returncode == 0, done.stderr
    ticket = world.region.ticket(patient=patient)
    left = [(urn(each), one.unique_id) for each, one in documents.items() if each != home]
    reply = world.ask("ITI-18", find(patient), ticket)
    assert (reply.outcome, entries(reply)) == (SUCCESS, left)
    asked = [(urn(each), one.unique_id) for each, one in documents.items()]
    reply = world.ask("ITI-43", retrieve(*asked), ticket)
    assert reply.outcome == PARTIAL
    assert list(reply.documents()) == [unique_id for _, unique_id in left]
    assert [(each.code, each.location) for each in told(reply)] == [("XDSDocumentUniqueIdError", urn(home))]


@pytest.mark.parametrize("opening", [{"purpose": "ETREAT"}, {"purpose": "BTG"}, {"acp": "5"}], ids=str)
def test_what_opens_a_blocked_document_opens_it_through_the_gateway(
    opening: Mapping[str, str], world: World
) -> None:
    """An emergency and consent to blocked data: listed in full, fetched, and on record as opened there."""
    patient = new_patient()
    own, blocked = document(patient, BLOCKED), document(patient, BLOCKED)
    world.file(HOME, own)
    world.file(NORTH, blocked)
    ticket = world.region.ticket(patient=patient, **opening)
    asked = [(urn(HOME), own.unique_id), (urn(NORTH), blocked.unique_id)]
    reply = world.ask("ITI-18", find(patient), ticket)
    assert (reply.outcome, shown(reply)) == (SUCCESS, dict.fromkeys(asked, "shown"))
    reply = world.ask("ITI-43", retrieve(*asked), ticket)
    assert reply.outcome == SUCCESS
    assert reply.documents() == {own.unique_id: own.content, blocked.unique_id: blocked.content}
    there = world.region.log(world.communities[NORTH], patient=patient)
    opened = [transaction_of(each) for each in there if "break-glass" in json.dumps(each["subtype"])]
    assert sorted(each for each in opened if each != "ITI-41") == ["ITI-38", "ITI-39"]


CHILD = 5
#: Who asks, by the kind of ticket; what else it says; how old the patient is.
CALLERS = {
    "a citizen": ("citizen", {}, 60),
    "a youth of 17": ("citizen", {}, 17),
    "a parent": ("representative", {"acp": "1"}, CHILD),
    "a representative": ("representative", {"acp": "2"}, 60),
    "a clinician": ("personnel", {}, 60),
    "a clinician in an emergency": ("personnel", {"purpose": "ETREAT"}, 60),
}


@pytest.mark.parametrize("caller", CALLERS)
def test_everybody_sees_through_the_gateway_what_they_see_at_the_community(caller: str, world: World) -> None:
    """Object for object, with every code there is; and fetches what they can fetch there."""
    kind, more, years = CALLERS[caller]
    patient = new_patient(years)
    documents = [document(patient, code) for code in KINDS.values()]
    world.file(NORTH, *documents)
    world.file(HOME, *(document(patient, code) for code in KINDS.values()))
    given = {"person": patient} if kind == "citizen" else {"patient": patient, **more}
    ticket = world.region.service.saml(kind, **given)
    node = world.communities[NORTH]
    for return_type in ("LeafClass", "ObjectRef"):
        direct = world.region.ask(node, RESPONDING, "ITI-38", find(patient, return_type), ticket=ticket)
        joined = world.ask("ITI-18", find(patient, return_type), ticket)
        assert (direct.outcome, joined.outcome) == (SUCCESS, SUCCESS)
        theirs = _objects(direct, NORTH)
        assert theirs, "nothing at all is no comparison"
        assert _objects(joined, NORTH) == theirs
        # The gateway's own documents have the same codes, and one rule decides in both.
        assert len(_objects(joined, HOME)) == len(theirs)
    asked = retrieve(*((urn(NORTH), each.unique_id) for each in documents))
    direct = world.region.ask(node, RESPONDING, "ITI-39", asked, ticket=ticket)
    joined = world.ask("ITI-43", asked, ticket)
    assert joined.outcome == direct.outcome
    assert joined.documents() == direct.documents() != {}
    assert [each[:2] for each in rules(joined)] == [each[:2] for each in rules(direct)]


def _objects(reply: Reply, home: str) -> list[bytes]:
    found = reply.content().iterfind(".//rim:RegistryObjectList/*", NS)
    return [
        etree.tostring(each, method="c14n", exclusive=True, with_tail=False)
        for each in found
        if each.get("home") == urn(home)
    ]


# ---- gate 1


def _unsigned(ticket: str) -> str:
    text = re.sub(r"<ds:Signature .*?</ds:Signature>", "", ticket, flags=re.DOTALL)
    assert text != ticket
    return text


def bad_tickets(service: TicketService) -> Mapping[str, tuple[str, str]]:
    """Tickets that are no good, and the fault's code (SOAP Message Security 1.1, 12)."""
    good = service.saml("personnel")
    old = service.saml("personnel", now=datetime.now(UTC) - timedelta(hours=3))
    return {
        "none": ("", "InvalidSecurity"),
        "expired": (old, "InvalidSecurityToken"),
        "unsigned": (_unsigned(good), "InvalidSecurityToken"),
        "changed": (good.replace("TREAT", "ETREAT", 1), "FailedCheck"),
        "two": (good + service.saml("personnel"), "InvalidSecurity"),
    }


BAD = ("none", "expired", "unsigned", "changed", "two")
#: Each transaction of the gateways' addresses, with a request that would work.
REQUESTS = {
    "ITI-38": (RESPONDING, m.find_documents()),
    "ITI-39": (RESPONDING, retrieve((urn(HOME), "1.2.3"))),
    "ITI-80": (RESPONDING, m.provide([m.Document()], m.inline([m.Document()]))),
    "ITI-18": (INITIATING, m.find_documents()),
    "ITI-43": (INITIATING, retrieve((urn(NORTH), "1.2.3"), (urn(FOREIGN), "1.2.3"))),
}


@pytest.mark.parametrize("transaction", REQUESTS)
@pytest.mark.parametrize("kind", BAD)
def test_a_ticket_that_is_no_good_is_refused_at_the_gateway(
    kind: str, transaction: str, world: World
) -> None:
    """With a fault of WS-Security, before anybody else hears of it."""
    ticket, code = bad_tickets(world.region.service)[kind]
    path, body = REQUESTS[transaction]
    world.foreign.forget()
    before = {home: world.asked(home) for home in world.communities}
    header = m.home_block(urn(HOME)) if transaction == "ITI-80" else ""
    reply = world.region.ask(world.gateway, path, transaction, body, ticket=ticket, header=header)
    assert (reply.status, reply.fault.code) == (500, f"{{{m.SOAP12}}}Sender")
    assert reply.fault.subcodes == [f"{{{WSSE}}}{code}"]
    assert world.foreign.requests == []
    assert {home: world.asked(home) for home in world.communities} == before


# ---- communities that do not take what the gateway takes

EAST, WEST, DEAF, STERN = HOMES[2:6]
#: A community's policy that lets nobody coordinate care.
NO_COORDINATION = """
[[policy]]
id = "nobody-coordinates"
effect = "deny"
actions = ["read-list", "read-document"]
callers = ["personnel"]
purposes = ["COC"]

[[policy]]
id = "all"
effect = "permit"
actions = ["read-list", "read-document", "create"]
callers = ["personnel"]
"""


@dataclass(frozen=True)
class Divided:
    """A gateway, and communities of which each takes other tickets; one document in each that takes this
    test's, and in the gateway's own.
    """

    region: Region
    gateway: nodes.Node
    communities: Mapping[str, nodes.Node]
    documents: Mapping[str, Marked]


PATIENT = new_patient()


@pytest.fixture(scope="module")
def divided(region: Region) -> Divided:
    """EAST takes the ticket, WEST wants another audience, DEAF does not know the issuer; STERN is like WEST,
    but denies as Norway does, with HTTP 200.
    """
    trust = region.service.trust
    other = trust.with_name("other-audience.toml")
    other.write_text(trust.read_text().replace(f'audiences = ["{AUDIENCE}"]', 'audiences = ["urn:other"]'))
    without = trust.with_name("without-personnel.toml")
    tables = trust.read_text().split("\n\n")
    without.write_text("\n\n".join(each for each in tables if 'kind = "kjernejournal"' not in each))
    policy = region.folder / "no-coordination.toml"
    policy.write_text(NO_COORDINATION)
    communities = {
        EAST: region.node(EAST, access__policy=policy),
        WEST: region.node(WEST, trust=other),
        DEAF: region.node(DEAF, trust=without),
        STERN: region.gateway("", STERN, trust=other, access__denial="registry-error"),
    }
    lines = "".join(community(home, node.url + RESPONDING) for home, node in communities.items())
    gateway = region.gateway(lines, home=HOMES[6])
    documents = {home: document(PATIENT) for home in (HOMES[6], EAST)}
    file(region, gateway, documents[HOMES[6]])
    file(region, communities[EAST], documents[EAST])
    return Divided(region, gateway, communities, documents)


def test_a_community_that_does_not_take_the_ticket_leaves_the_others_results(divided: Divided) -> None:
    """XDSUnavailableCommunity for one that answers with a fault; its own words from one that answers with an
    error; everything of those who take it, each time anew: one ticket says nothing of the next.
    """
    ask, ticket = divided.region.ask, divided.region.ticket(patient=PATIENT)
    listed = [(urn(home), each.unique_id) for home, each in divided.documents.items()]
    refusals = [
        ("XDSUnavailableCommunity", urn(WEST), "community-fault"),
        ("XDSUnavailableCommunity", urn(DEAF), "community-fault"),
        ("XDSRegistryError", urn(STERN), "wsse:InvalidSecurityToken"),
    ]
    for _ in range(6):  # one more than the failures that open a circuit
        reply = ask(divided.gateway, INITIATING, "ITI-18", find(PATIENT), ticket=ticket)
        assert (reply.outcome, entries(reply)) == (PARTIAL, listed)
        assert rules(reply) == refusals
    assert {each.severity for each in told(reply)} == {"Error"}
    asked = retrieve(*listed, *((urn(home), "1.2.3") for home in (WEST, DEAF, STERN)))
    for mtom in (False, True):
        reply = ask(divided.gateway, INITIATING, "ITI-43", asked, ticket=ticket, mtom=mtom)
        assert (reply.outcome, reply.mtom) == (PARTIAL, mtom)
        assert reply.documents() == {each.unique_id: each.content for each in divided.documents.values()}
        assert rules(reply) == refusals


def test_all_who_are_asked_refuse(divided: Divided) -> None:
    """Failure, without objects."""
    ticket = divided.region.ticket(patient=PATIENT)
    body = query(find(PATIENT), targets=[urn(home) for home in (STERN, WEST)])
    reply = divided.region.ask(divided.gateway, INITIATING, "ITI-18", body, ticket=ticket)
    assert (reply.outcome, entries(reply)) == (FAILURE, [])
    assert [each.location for each in told(reply)] == [urn(WEST), urn(STERN)]


def test_a_communitys_policy_holds_for_what_it_has(divided: Divided) -> None:
    """What the gateway's permits; the gateway's own results are there."""
    ask, ticket = divided.region.ask, divided.region.ticket(patient=PATIENT, purpose="COC")
    own = divided.documents[HOMES[6]]
    body = query(find(PATIENT), targets=[urn(HOMES[6]), urn(EAST)])
    reply = ask(divided.gateway, INITIATING, "ITI-18", body, ticket=ticket)
    assert (reply.outcome, entries(reply)) == (PARTIAL, [(urn(HOMES[6]), own.unique_id)])
    denied = ("XDSRegistryError", urn(EAST), "access-policy")
    assert rules(reply) == [denied]
    asked = [(urn(home), each.unique_id) for home, each in divided.documents.items()]
    reply = ask(divided.gateway, INITIATING, "ITI-43", retrieve(*asked), ticket=ticket)
    assert (reply.outcome, reply.documents()) == (PARTIAL, {own.unique_id: own.content})
    assert [each[1:] for each in rules(reply)] == [denied[1:]]


def test_the_gateways_policy_counts_first(region: Region, world: World) -> None:
    """Whom it denies, nobody else is asked for."""
    policy = region.folder / "gateway-policy.toml"
    policy.write_text(NO_COORDINATION)
    lines = community(FOREIGN, world.foreign.url)
    gateway = region.gateway(lines, home=HOMES[7], access__policy=policy)
    world.foreign.forget()
    ticket = region.ticket(purpose="COC")
    for transaction, body in (
        ("ITI-18", m.find_documents()),
        ("ITI-18", query(m.find_documents(), urn(FOREIGN))),
        ("ITI-43", retrieve((urn(FOREIGN), "1.2.3"))),
    ):
        reply = region.ask(gateway, INITIATING, transaction, body, ticket=ticket)
        assert reply.outcome == FAILURE
        assert [each.rule for each in reply.errors] == ["access-policy"]
    assert world.foreign.requests == []
    reply = region.ask(gateway, INITIATING, "ITI-18", m.find_documents(), ticket=region.ticket())
    assert reply.outcome == SUCCESS
    assert len(world.foreign.requests) == 1


@pytest.mark.parametrize("mtom", [False, True], ids=["plain", "multipart"])
@pytest.mark.parametrize("transaction", REQUESTS)
def test_a_denial_of_the_norwegian_kind(transaction: str, mtom: bool, divided: Divided) -> None:
    """access.denial = registry-error: HTTP 200, one XDSRegistryError located at the community, in the form of
    the request (norwegian-profile 7.2, 7.5) but for ITI-18, which is plain; the same for a ticket for others
    and for none at all.
    """
    path, body = REQUESTS[transaction]
    stern = divided.communities[STERN]
    body = body.replace(HOME, STERN)
    for ticket in ("", divided.region.ticket(), _unsigned(divided.region.ticket())):
        reply = divided.region.ask(
            stern, path, transaction, body, ticket=ticket, mtom=mtom, header=m.home_block(urn(STERN))
        )
        assert (reply.status, reply.outcome) == (200, FAILURE)
        assert reply.mtom is (mtom and transaction != "ITI-18")
        ((code, location),) = [(each.code, each.location) for each in told(reply)]
        assert (code, location) == ("XDSRegistryError", urn(STERN))
        assert reply.errors[0].rule.startswith("wsse:")
        assert not list(reply.content().iter("{*}DocumentResponse", "{*}ExtrinsicObject"))


# ---- attacks: what a community that is not ours might understand in another way than we do

#: Another patient, written so that we cannot read it, or not as one patient. `{}` is the number.
UNREADABLE = {
    "without an end": f"'{{}}^^^&{m.AUTHORITY}&ISO",
    "without its type": f"'{{}}^^^&{m.AUTHORITY}'",
    "with a namespace": f"'{{}}^^^NIN&{m.AUTHORITY}&ISO'",
    "with a type code": f"'{{}}^^^&{m.AUTHORITY}&ISO^NI'",
    "with iso": f"'{{}}^^^&{m.AUTHORITY}&iso'",
    "with urn:oid:": f"'{{}}^^^&urn:oid:{m.AUTHORITY}&ISO'",
    "with a blank": f"' {{}}^^^&{m.AUTHORITY}&ISO'",
    "the number alone": "'{}'",
    "bare": "{}",
    "beside words": f"('{{}}^^^&{m.AUTHORITY}&ISO','somebody')",
    "after our own": f"'{{own}}^^^&{m.AUTHORITY}&ISO' '{{}}^^^&{m.AUTHORITY}&ISO'",
    "in a quote of our own": f"'{{own}}^^^&{m.AUTHORITY}&ISO''{{}}^^^&{m.AUTHORITY}&ISO'",
    "in two parentheses": f"(('{{}}^^^&{m.AUTHORITY}&ISO'))",
    "nobody": "''",
    "nothing": "",
}


@pytest.mark.parametrize("how", UNREADABLE)
def test_a_patient_that_cannot_be_read_is_not_sent_on(how: str, world: World) -> None:
    """Else the gateway would ask whoever is less strict about somebody whom the ticket is not for."""
    own, another = new_patient(), new_patient()
    ticket = world.region.ticket(patient=own)
    value = UNREADABLE[how].format(another, own=own)
    status = {"$XDSDocumentEntryStatus": f"('{m.APPROVED}')"}
    for query_id, rule in ((m.FIND_DOCUMENTS, "community-patient"), (UNKNOWN_QUERY, "community-query-known")):
        body = m.query(query_id, {"$XDSDocumentEntryPatientId": value, **status})
        for asked in (body, query(body, urn(FOREIGN)), query(body, targets=[urn(FOREIGN), urn(NORTH)])):
            reply = world.refuses(asked, ticket)
            assert (reply.outcome, [each.rule for each in reply.errors]) == (FAILURE, [rule])


@pytest.mark.parametrize(
    "name",
    [
        *("$xPatientId", "$patientid", "$PATIENTID", "$XDSDocumentEntryPatientID", "patientId", "$patient"),
        *("$XDSDocumentEntryPatientId ", " $XDSDocumentEntryPatientId", "$XDSDocumentEntryPatientId\u00a0"),
        *("$XDSDocumentEntryPatientIds", "$Patient_Id", "$XDSFolderPatientId", "$patientId"),
    ],
)
def test_a_parameter_that_may_be_meant_for_a_patient_is_not_sent_on(name: str, world: World) -> None:
    """In a query that nobody knows, beside the right one in one that we know, and beside ids."""
    own, another = new_patient(), new_patient()
    ticket = world.region.ticket(patient=own)
    slot = m.slot(name, f"'{cx(another)}'")
    for body in (
        m.query(UNKNOWN_QUERY, {}),
        find(own),
        m.query(m.GET_DOCUMENTS, {"$XDSDocumentEntryUniqueId": "('1.2.3')"}, home=urn(FOREIGN)),
    ):
        with_it = body.replace("</rim:AdhocQuery>", slot + "</rim:AdhocQuery>")
        for asked in (with_it, with_it if " home=" in with_it else query(with_it, urn(FOREIGN))):
            reply = world.refuses(asked, ticket)
            rule = "community-query-known" if UNKNOWN_QUERY in body else "community-patient"
            assert (reply.outcome, [each.rule for each in reply.errors]) == (FAILURE, [rule])


def test_a_query_that_this_gateway_does_not_know_goes_to_nobody(world: World) -> None:
    """Whoever it is about: what another makes of its parameters is not known here."""
    own = new_patient()
    ticket = world.region.ticket(patient=own)
    for parameters in ({}, {"$patientId": f"'{cx(own)}'"}, {"$XDSDocumentEntryPatientId": f"'{cx(own)}'"}):
        for query_id in (UNKNOWN_QUERY, m.FIND_FOR_MULTIPLE_PATIENTS):
            body = m.query(query_id, parameters)
            for asked in (body, query(body, urn(FOREIGN)), query(body, targets=[urn(FOREIGN)])):
                reply = world.refuses(asked, ticket)
                assert [(each.code, each.rule) for each in reply.errors] == [
                    ("XDSUnknownStoredQuery", "community-query-known")
                ]


@pytest.mark.parametrize("value", ["'urn:oid:2.999.77", "urn:oid:2.999.77'", "x y", "('urn:oid:2.999.77','x"])
def test_a_list_of_communities_that_cannot_be_read_is_refused(value: str, world: World) -> None:
    """Nobody is asked rather than everybody."""
    patient = new_patient()
    slot = m.slot("$targetCommunityIdList", value)
    body = find(patient).replace("</rim:AdhocQuery>", slot + "</rim:AdhocQuery>")
    reply = world.refuses(body, world.region.ticket(patient=patient))
    assert (reply.outcome, [each.rule for each in reply.errors]) == (FAILURE, ["community-listed"])


#: Ways to write a community's id, and whether they mean it (RFC 8141, 2: urn and oid in either case).
WRITTEN = {
    "urn:oid:{}": True,
    "{}": True,
    "URN:OID:{}": True,
    "urn:OID:{}": True,
    " urn:oid:{}": False,
    "urn:oid:{} ": False,
    "urn:oid: {}": False,
    "urn:oid:urn:oid:{}": False,
    "urn:oid:{}.0": False,
    "urn:oid:{}.": False,
    "urn:uuid:{}": False,
    "urn:oid:": False,
    " ": False,
}


@pytest.mark.parametrize("form", WRITTEN)
def test_however_a_community_is_written_a_hidden_document_stays_hidden(form: str, world: World) -> None:
    """At both gateways, by query and by retrieval: nothing of another patient's, and of the own patient's
    what is theirs or XDSUnknownCommunity.
    """
    own, another = new_patient(), new_patient()
    ticket = world.region.ticket(patient=own)
    for home, node in ((HOME, world.gateway), (NORTH, world.communities[NORTH])):
        good, hidden = document(own), document(another)
        world.file(home, good)
        world.file(home, hidden)
        written = form.format(home)
        ways = [(world.gateway, INITIATING, "ITI-18", "ITI-43"), (node, RESPONDING, "ITI-38", "ITI-39")]
        for at, path, listing, fetching in ways:

            def ask(transaction: str, body: str, at: nodes.Node = at, path: str = path) -> Reply:
                return world.region.ask(at, path, transaction, body, ticket=ticket)

            for one, expected in ((good, [good.unique_id]), (hidden, [])):
                reply = ask(listing, m.query(m.GET_DOCUMENTS, _by_uuid(one), home=written))
                fetched = ask(fetching, m.retrieve(one.unique_id, repository=repository(home), home=written))
                if WRITTEN[form]:
                    assert [unique_id for _, unique_id in entries(reply)] == expected
                    assert fetched.documents() == ({good.unique_id: good.content} if expected else {})
                    continue
                for each in (reply, fetched):
                    assert each.outcome == FAILURE
                    assert [error.code for error in told(each)] == ["XDSUnknownCommunity"]
            reply = ask(listing, m.query(m.FIND_DOCUMENTS, _parameters(another), home=written))
            assert (reply.outcome, entries(reply)) == (FAILURE, [])


def _by_uuid(one: Marked) -> dict[str, str]:
    return {"$XDSDocumentEntryEntryUUID": f"('{one.id}')"}


def _parameters(patient: str) -> dict[str, str]:
    return {
        "$XDSDocumentEntryPatientId": f"'{cx(patient)}'",
        "$XDSDocumentEntryStatus": f"('{m.APPROVED}')",
    }


def _requests(*asked: tuple[str, str, str]) -> str:
    """The body of ITI-43 for (community, repository, uniqueId)."""
    bodies = [m.retrieve(each, repository=there, home=home) for home, there, each in asked]
    inner = "".join(re.findall(r"<xds:DocumentRequest>.*?</xds:DocumentRequest>", "".join(bodies)))
    return re.sub(r"<xds:DocumentRequest>.*</xds:DocumentRequest>", inner, bodies[0])


def test_whatever_repository_is_named_a_hidden_document_is_like_none(world: World) -> None:
    """The answers for a document that must not be known of and for one that nobody has are the same."""
    own, another = new_patient(), new_patient()
    ticket = world.region.ticket(patient=own)
    good, hidden = document(own), document(another)
    world.file(NORTH, good)
    world.file(NORTH, hidden)
    there, node = repository(NORTH), world.communities[NORTH]
    forms = {
        there: True,
        f"urn:oid:{there}": True,
        f"URN:OID:{there}": True,
        f" {there}": False,
        f"urn:oid:urn:oid:{there}": False,
        NORTH: False,
        urn(NORTH): False,
        repository(HOME): False,
        "2.999.5": False,
        "": False,
    }
    for form, is_there in forms.items():
        for at, path, transaction in ((world.gateway, INITIATING, "ITI-43"), (node, RESPONDING, "ITI-39")):
            replies = [
                world.region.ask(at, path, transaction, _requests((urn(NORTH), form, each)), ticket=ticket)
                for each in (good.unique_id, hidden.unique_id, m.new_oid())
            ]
            assert replies[0].documents() == ({good.unique_id: good.content} if is_there else {})
            assert [each.documents() for each in replies[1:]] == [{}, {}]
            assert rules(replies[1]) == rules(replies[2])
            assert rules(replies[1])[0][0] == (
                "XDSDocumentUniqueIdError" if is_there else "XDSUnknownRepositoryId"
            )


def test_asking_often_for_a_document_opens_none(world: World) -> None:
    """One request in many forms for an open, a blocked and a hidden document: each comes, or is refused, as
    often as it was asked for.
    """
    own, another = new_patient(), new_patient()
    ticket = world.region.ticket(patient=own)
    for home, node in ((HOME, world.gateway), (NORTH, world.communities[NORTH])):
        good, blocked, hidden = document(own), document(own, BLOCKED), document(another)
        world.file(home, good, blocked)
        world.file(home, hidden)
        there = repository(home)
        forms = [(urn(home), there), (home, f"urn:oid:{there}"), (urn(home), there)]
        body = _requests(*((*form, each.unique_id) for form in forms for each in (blocked, good, hidden)))
        for at, path, transaction in ((world.gateway, INITIATING, "ITI-43"), (node, RESPONDING, "ITI-39")):
            for mtom in (False, True):
                reply = world.region.ask(at, path, transaction, body, ticket=ticket, mtom=mtom)
                assert reply.outcome == PARTIAL
                handed = [
                    [each.findtext(f"xds:{name}", "", NS) for name in ("DocumentUniqueId", "HomeCommunityId")]
                    for each in reply.content().iterfind("xds:DocumentResponse", NS)
                ]
                assert handed == [[good.unique_id, written] for written, _ in forms]
                assert reply.documents() == {good.unique_id: good.content}
                codes = sorted(each.code for each in told(reply))
                assert codes == ["XDSDocumentUniqueIdError"] * 3 + ["XDSRepositoryError"] * 3


def test_what_is_asked_of_others_is_not_on_record_as_somebody_elses(world: World) -> None:
    """A uniqueId that is another patient's here, asked of another community under our repository's id."""
    own, another = new_patient(), new_patient()
    hidden = document(another)
    world.file(HOME, hidden)
    before = len(world.region.log(world.gateway, patient=another))
    asked = _requests((urn(FOREIGN), repository(HOME), hidden.unique_id))
    reply = world.ask("ITI-43", asked, world.region.ticket(patient=own))
    assert (reply.outcome, reply.documents()) == (FAILURE, {})
    # Our own look at the log is on record too.
    new = world.region.log(world.gateway, patient=another)[before:]
    assert [transaction_of(each) for each in new if transaction_of(each) != "ITI-81"] == []
    assert [transaction_of(each) for each in world.region.log(world.gateway, patient=own)][:2] == [
        "ITI-43",
        "ITI-39",
    ]


@pytest.mark.parametrize("return_type", ["LeafClass", "ObjectRef", "LeafClassWithRepositoryItem"])
def test_objects_of_strangers_are_not_passed_on(return_type: str, world: World) -> None:
    """Whatever kind of answer is asked for, what is said to be another community's is left out."""
    own = new_patient()
    body = query(find(own).replace('returnType="LeafClass"', f'returnType="{return_type}"'), urn(FOREIGN))
    ticket = world.region.ticket(patient=own)
    try:
        for behaviour in ("other_home", "no_home"):
            world.foreign.behave("answers", documents=2)
            world.ask("ITI-18", body, ticket)
            world.foreign.behave(behaviour)
            reply = world.ask("ITI-18", body, ticket)
            assert not list(reply.content().iter("{*}ExtrinsicObject", "{*}ObjectRef"))
            assert [each.rule for each in told(reply)] == ["community-home"]
    finally:
        world.foreign.behave("answers", documents=0)


def test_a_document_that_was_not_asked_for_is_not_passed_on(world: World) -> None:
    """A community may hand over more than it was asked for; who asks does not get it."""
    own = new_patient()
    ticket = world.region.ticket(patient=own)
    first = peers.document_id(FOREIGN, 1)
    asked = _requests((urn(FOREIGN), peers.repository_id(FOREIGN), first))
    try:
        world.foreign.behave("answers", documents=1)
        world.ask("ITI-18", find(own), ticket)
        world.foreign.behave("unasked_documents")
        reply = world.ask("ITI-43", asked, ticket)
        assert reply.documents() == {first: peers.content(FOREIGN, 1)}
    finally:
        world.foreign.behave("answers", documents=0)


@pytest.mark.parametrize("place", ["RequestSlotList", "Classification"])
def test_what_is_not_looked_at_does_not_go_on(place: str, world: World) -> None:
    """Another patient's id in a Slot that is none of the query's: a reader that takes every Slot finds it."""
    own, another = new_patient(), new_patient()
    slot = m.slot("$XDSDocumentEntryPatientId", f"'{cx(another)}'")
    if place == "RequestSlotList":
        listed = f'<rs:RequestSlotList xmlns:rs="{RS}">{slot}</rs:RequestSlotList>'
        body = find(own).replace("<query:ResponseOption", f"{listed}<query:ResponseOption", 1)
    else:
        inside = f'<rim:Classification id="c" classifiedObject="x" nodeRepresentation="">{slot}'
        body = find(own).replace("</rim:AdhocQuery>", f"{inside}</rim:Classification></rim:AdhocQuery>")
    world.foreign.forget()
    reply = world.ask("ITI-18", body, world.region.ticket(patient=own))
    assert reply.outcome == SUCCESS
    (request,) = world.foreign.requests
    assert another.encode() not in request.envelope


def test_parameters_that_are_about_nobody_go_on_as_they_came(world: World) -> None:
    """Known here or not (ITI TF-2 3.18.4.1.3, XCA); the list of communities is for the gateway alone."""
    own = new_patient()
    more: dict[str, list[str]] = {
        "$XDSDocumentEntryClassCode": ["('A^^1.2.3','B^^1.2.3')"],
        "$urn:example:new": ["'x < &amp; > y'", "('y','o''clock')"],
    }
    body = query(m.query(m.FIND_DOCUMENTS, _parameters(own) | more), targets=[urn(FOREIGN)])
    world.foreign.forget()
    assert world.ask("ITI-18", body, world.region.ticket(patient=own)).outcome == SUCCESS
    (request,) = world.foreign.requests
    sent = {
        each.get("name"): [value.text for value in each.iter("{*}Value")]
        for each in etree.fromstring(request.envelope).iterfind(".//rim:AdhocQuery/rim:Slot", NS)
    }
    assert sent == {name: [value] for name, value in _parameters(own).items()} | more


def test_a_query_does_not_go_on_without_its_own_patient_parameter(world: World) -> None:
    """FindDocuments with the patient of GetAll names nobody, as far as the standard goes."""
    own = new_patient()
    parameters = _parameters(own)
    parameters["$patientId"] = parameters.pop("$XDSDocumentEntryPatientId")
    body = m.query(m.FIND_DOCUMENTS, parameters)
    ticket = world.region.ticket(patient=own)
    for asked in (body, query(body, urn(FOREIGN))):
        assert world.refuses(asked, ticket).outcome == FAILURE


def test_what_is_no_community_does_not_come_back(world: World) -> None:
    """Nobody's name or number stands in an error, and in no log but the access log."""
    own = new_patient()
    ticket, words = world.region.ticket(patient=own), f"{m.FAMILY} {new_patient()}"
    before = world.gateway.log.stat().st_size
    for transaction, body in (
        ("ITI-18", query(find(own), words)),
        ("ITI-18", query(find(own), targets=[words])),
        ("ITI-43", m.retrieve("1.2.3", home=words)),
    ):
        reply = world.refuses(body, ticket, transaction)
        assert [each.rule for each in reply.errors] == ["community-known"]
        assert words not in world.gateway.log.read_text()[before:]
        assert m.FAMILY.encode() not in reply.body
