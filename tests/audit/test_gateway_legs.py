"""What is on record at a gateway: the request that came, and each community that was asked because of it.

The gateway and one community are real nodes, another is a peer that does as it is told, a third is not there.
Number and content of the events are written by hand, from IHE's audit messages (ihe-rules 7.2: a gateway
records as whoever answers ITI-18 and 43, and as whoever asks ITI-38 and 39) and from docs/audit-events.md.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.audit import vocabulary as v
from tests.audit.profiles import problems
from tests.audit.reading import agents_of, code, nodes, text
from tests.audit.reading_log import Logged, digits, problems_of_chain, rows
from tests.blackbox import messages as m
from tests.blackbox.wire import FAILURE, PARTIAL, SUCCESS, Reply
from tests.gateway.peers import Peer, document_id, entry_id
from tests.gateway.region import (
    HOME,
    HOMES,
    INITIATING,
    RESPONDING,
    WHO_MAY,
    Region,
    community,
    query,
    repository,
    retrieve,
    urn,
)
from tests.nodes import Node
from tests.ports import free_port
from xds.audit.event import Node as Own
from xds.audit.event import entry, whole
from xds.audit.facts import Asked, Context, Deed, Document, Query
from xds.audit.views import Documents, View, shown
from xds.demo.tickets import CLINICIAN, TicketService
from xds.metadata.confidentiality import LEVELS, REFUSALS, Restriction
from xds.metadata.model import Code

#: A node of ours, a peer, one that is not there, and one of which nobody knows.
NEAR, FAR, DOWN = HOMES[1:4]
STRANGERS = "2.16.578.1.12.4.5.100.77"
#: Documents that the peer has, and how long it may take.
DOCUMENTS, SECONDS = 2, 3.0
POLICY = f"""{WHO_MAY}
[[policy]]
id = "nobody-coordinates"
effect = "deny"
actions = ["read-list", "read-document"]
callers = ["personnel"]
purposes = ["COC"]
"""
#: Type (DCM) and action of what was asked of the gateway, and of what it asked (ihe-rules 7.2).
ANSWERED = {"ITI-18": ("110112", "E"), "ITI-43": ("110106", "R")}
ASKED = {"ITI-38": ("110112", "E"), "ITI-39": ("110107", "C")}


@dataclass(frozen=True)
class Told:
    """What one event says. `asked` is the community that was asked, empty when we were; `documents` are each
    (uniqueId, community); `shown` are entryUUIDs.
    """

    number: str
    asked: str = ""
    outcome: str = "0"
    reason: str = ""
    documents: tuple[tuple[str, str], ...] = ()
    shown: frozenset[str] = frozenset()
    objects: str = ""


def told(event: Logged) -> Told:
    """The same of an event that was written."""
    return Told(
        number=event.code,
        asked=_community(event.event) if event.code in ASKED else "",
        outcome=event.event["outcome"],
        reason=event.reason,
        documents=tuple(sorted((_id(each), _home(each)) for each in event.entities(v.SYSTEM_OBJECT, "3"))),
        shown=frozenset(event.listed("shown")),
        objects=event.detail("resultCount"),
    )


def _community(event: dict[str, Any]) -> str:
    """Who was asked: the source of documents, the destination of a query."""
    ((_, agent),) = agents_of(event, v.SOURCE_ROLE if _number(event) == "ITI-39" else v.DESTINATION_ROLE)
    return text(agent, "who.identifier.value")


def _number(event: dict[str, Any]) -> str:
    return str(event["subtype"][0]["code"])


def _id(document: dict[str, Any]) -> str:
    return text(document, "what.identifier.value").removeprefix("urn:oid:")


def _home(document: dict[str, Any]) -> str:
    return "".join(
        each["valueString"] for each in nodes(document, "detail") if each["type"] == "ihe:homeCommunityID"
    )


def listed(*entry_uuids: str) -> frozenset[str]:
    """A list as events have it."""
    return frozenset(map(digits, entry_uuids))


def of(home: str, *unique_ids: str) -> tuple[tuple[str, str], ...]:
    """Documents of a community, as `Told` has them."""
    return tuple(sorted((each, urn(home)) for each in unique_ids))


@dataclass
class World:
    """A gateway, whom it asks, and what is on record since it was last looked at."""

    region: Region
    gateway: Node
    near: Node
    far: Peer
    #: Of the gateway's own community and of the near one.
    own: m.Document
    nears: m.Document
    urls: dict[str, str]
    _seen: dict[str, int] = field(default_factory=dict)
    sent: str = ""
    trace: str = ""

    def ask(self, number: str, body: str, ticket: str | None = None, **more: Any) -> Reply:
        """One request at the gateway, under a new trace; what was before is done with."""
        for node in (self.gateway, self.near):
            self.new(node)
        self.far.forget()
        self.sent, self.trace = m.new_message_id(), secrets.token_hex(16)
        headers = (("traceparent", f"00-{self.trace}-00f067aa0ba902b7-01"),)
        return self.region.ask(
            self.gateway,
            INITIATING,
            number,
            body,
            ticket=ticket,
            headers=headers,
            message_id=self.sent,
            **more,
        )

    def new(self, node: Node) -> list[Logged]:
        """Events of a node since this was last asked."""
        seen = self._seen.get(node.database_url, 0)
        found = [each for each in rows(node.database_url) if each.seq > seen]
        self._seen[node.database_url] = seen + len(found)
        return found

    def check(self, *expected: Told, patient: str = m.PATIENT) -> list[Logged]:
        """There are exactly these at the gateway, of one request, with no fault in any."""
        found = self.new(self.gateway)
        assert Counter(map(told, found)) == Counter(expected)
        for each in found:
            assert problems(each.event, must_claim=True) == [], each
            self._check(each)
            assert (each.pid, each.person) == (patient, CLINICIAN)
        assert len({each.request_ids()["reference"] for each in found}) == 1
        return found

    def _check(self, event: Logged) -> None:
        """What every event of a kind has: type, action, who asked whom where, and how to follow it."""
        asked, ids = told(event).asked, event.request_ids()
        kind, action = (ASKED if asked else ANSWERED)[event.code]
        assert (code(event.event["type"]), event.event["action"]) == ((v.DICOM, kind), action)
        gives = event.code in ("ITI-39", "ITI-43")
        (asking,) = agents_of(event.event, v.DESTINATION_ROLE if gives else v.SOURCE_ROLE)
        (answering,) = agents_of(event.event, v.SOURCE_ROLE if gives else v.DESTINATION_ROLE)
        assert asking[1]["network"] == {"address": "127.0.0.1", "type": "2"}
        there = self.urls[asked] if asked else self.gateway.url + INITIATING
        assert answering[1]["network"] == {"address": there, "type": "5"}
        assert (ids["message"], ids["trace"]) == (self.sent, self.trace)
        assert ("message to the community" in ids) is bool(asked)

    def leg(self, events: Sequence[Logged], home: str) -> Logged:
        """The one event about a community."""
        (found,) = [each for each in events if told(each).asked == urn(home)]
        return found

    def fars(self, *numbers: int) -> tuple[str, ...]:
        """UniqueIds of the peer's documents."""
        return tuple(document_id(FAR, each) for each in numbers)


@pytest.fixture(scope="module")
def region(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> Region:
    """Nodes with a policy by which not everybody may look."""
    folder = tmp_path_factory.mktemp("region")
    return Region(TicketService(folder / "tickets"), new_node, folder)


def _policy(folder: Path) -> Path:
    own = Path("xds/access/policy.toml").read_text().replace('issuers = ["helseid"]\nscopes', "scopes")
    path = folder / "policy-of-gateways.toml"
    path.write_text(own + POLICY)
    return path


@pytest.fixture(scope="module")
def world(region: Region) -> Iterator[World]:
    """All of them; at the end every log is whole, and nothing of anybody is in the gateway's own."""
    near = region.node(NEAR)
    with ExitStack() as ends:
        far = ends.enter_context(Peer(FAR, documents=DOCUMENTS))
        urls = {
            urn(NEAR): near.url + RESPONDING,
            urn(FAR): far.url,
            urn(DOWN): f"http://127.0.0.1:{free_port()}/xca",
        }
        lines = "".join(
            community(home, urls[urn(home)], failures=1000, query_seconds=SECONDS, retrieve_seconds=SECONDS)
            for home in (NEAR, FAR, DOWN)
        )
        gateway = region.gateway(lines, access__policy=_policy(region.folder))
        own, nears = (m.Document(content=secrets.token_bytes(20), id=m.new_uuid()) for _ in range(2))
        region.file(gateway, own)
        region.file(near, nears)
        yield World(region, gateway, near, far, own, nears, urls)
        for node in (gateway, near):
            assert problems_of_chain(node.database_url) == []
        log = gateway.log.read_text()
        assert [each for each in (m.NUMBER, CLINICIAN, "Tuva Fjell") if each in log] == []
        assert "no audit record" not in log


@pytest.fixture(autouse=True)
def _well_again(world: World) -> Iterator[None]:
    yield
    world.far.behave("answers")


# ---- success


def test_a_query_of_several_communities(world: World) -> None:
    """What we were asked, with what is our own; and of each community what it listed, with all ids."""
    targets = [urn(each) for each in (HOME, NEAR, FAR)]
    reply = world.ask("ITI-18", query(m.find_documents(), targets=targets))
    assert reply.outcome == SUCCESS, reply.errors
    found = world.check(
        Told("ITI-18", shown=listed(world.own.id), objects="1"),
        Told("ITI-38", urn(NEAR), shown=listed(world.nears.id), objects="1"),
        Told("ITI-38", urn(FAR), shown=listed(entry_id(FAR, 1), entry_id(FAR, 2)), objects="2"),
    )
    for each in found:
        assert text(each.queries[0], "what.identifier.value") == m.FIND_DOCUMENTS
        home = each.detail("urn:ihe:iti:xca:2010:homeCommunityId")
        assert home == told(each).asked
        assert "AdhocQueryRequest" in each.query_text


def test_documents_of_several_communities(world: World) -> None:
    """All in the event of what was handed out; and each community's as what came from there."""
    asked = [(urn(HOME), world.own.unique_id), (urn(NEAR), world.nears.unique_id)]
    asked += [(urn(FAR), each) for each in world.fars(1, 2)]
    reply = world.ask("ITI-43", retrieve(*asked))
    assert reply.outcome == SUCCESS, reply.errors
    assert len(reply.documents()) == 4
    own, nears, fars = (
        of(HOME, world.own.unique_id),
        of(NEAR, world.nears.unique_id),
        of(FAR, *world.fars(1, 2)),
    )
    found = world.check(
        Told("ITI-43", documents=tuple(sorted(own + nears + fars))),
        Told("ITI-39", urn(NEAR), documents=nears),
        Told("ITI-39", urn(FAR), documents=fars),
    )
    repositories = {
        _id(each): detail["valueString"]
        for event in found
        for each in event.entities(v.SYSTEM_OBJECT, "3")
        for detail in each["detail"]
        if detail["type"] == "Repository Unique Id"
    }
    assert set(repositories.values()) == {repository(each) for each in (HOME, NEAR, FAR)}


def test_a_community_alone(world: World) -> None:
    """By ids, which go to one community: our own registry is not asked, and has listed nothing."""
    body = query(m.get_documents(world.nears.unique_id), urn(NEAR))
    assert world.ask("ITI-18", body).outcome == SUCCESS
    found = world.check(
        Told("ITI-18", objects="1"),
        Told("ITI-38", urn(NEAR), shown=listed(world.nears.id), objects="1"),
    )
    assert {each.detail("urn:ihe:iti:xca:2010:homeCommunityId") for each in found} == {urn(NEAR)}


def test_our_own_community_alone(world: World) -> None:
    """Nobody else is asked, and there is nothing about anybody else."""
    assert world.ask("ITI-18", query(m.find_documents(), urn(HOME))).outcome == SUCCESS
    world.check(Told("ITI-18", shown=listed(world.own.id), objects="1"))
    assert world.ask("ITI-43", retrieve((urn(HOME), world.own.unique_id))).outcome == SUCCESS
    world.check(Told("ITI-43", documents=of(HOME, world.own.unique_id)))
    assert world.far.requests == []


def test_each_end_has_the_same_ids(world: World) -> None:
    """The message that we sent is named in our event as in theirs; the trace is one, but for its parent."""
    targets = [urn(NEAR), urn(FAR)]
    assert world.ask("ITI-18", query(m.find_documents(), targets=targets)).outcome == SUCCESS
    events = world.new(world.gateway)
    sent = [world.leg(events, each).request_ids()["message to the community"] for each in (NEAR, FAR)]
    assert len({world.sent, *sent}) == 3
    (theirs,) = world.new(world.near)
    assert (theirs.code, theirs.request_ids()["message"]) == ("ITI-38", sent[0])
    assert theirs.request_ids()["trace"] == world.trace
    (request,) = world.far.requests
    assert request.message_id == sent[1]
    parent = re.fullmatch(rf"00-{world.trace}-([0-9a-f]{{16}})-01", request.header("traceparent"))
    assert parent
    assert parent[1] != "00f067aa0ba902b7"


def test_a_request_without_a_trace_gets_one(world: World) -> None:
    """So that it can be followed all the same."""
    world.ask("ITI-18", m.find_documents())
    world.new(world.gateway)
    body = query(m.find_documents(), urn(NEAR))
    assert world.region.ask(world.gateway, INITIATING, "ITI-18", body).outcome == SUCCESS
    traces = {each.request_ids()["trace"] for each in (*world.new(world.gateway), *world.new(world.near))}
    (trace,) = traces - {world.trace}
    assert re.fullmatch("[0-9a-f]{32}", trace)


@pytest.mark.parametrize("number", ["ITI-18", "ITI-43"])
def test_all_that_one_trace_has_been_is_found_by_it(number: str, world: World) -> None:
    """ITI-81 and `xds log` find the events of a trace-id, in every log of the way."""
    body = query(m.find_documents(), targets=[urn(HOME), urn(NEAR)])
    if number == "ITI-43":
        body = retrieve((urn(HOME), world.own.unique_id), (urn(NEAR), world.nears.unique_id))
    assert world.ask(number, body).outcome == SUCCESS
    wanted = {"entity.identifier": world.trace}
    other = {"ITI-18": "ITI-38", "ITI-43": "ITI-39"}[number]
    assert sorted(map(_number, world.region.log(world.gateway, **wanted))) == sorted([number, other])
    assert list(map(_number, world.region.log(world.near, **wanted))) == [other]
    for node, count in ((world.gateway, 2), (world.near, 1)):
        done = node.command("log", "--json", "--about", world.trace)
        assert len(done.stdout.splitlines()) == count, done.stderr


# ---- not all, and nothing


UNREACHED = "XDSUnavailableCommunity [community-unreached]"


def test_a_community_that_is_down(world: World) -> None:
    """Its failure is on record with it and with the request, beside the success of the others."""
    assert world.ask("ITI-18", m.find_documents()).outcome == PARTIAL
    found = world.check(
        Told("ITI-18", shown=listed(world.own.id), objects="1"),
        Told("ITI-18", outcome="4", reason=UNREACHED),
        Told("ITI-38", urn(NEAR), shown=listed(world.nears.id), objects="1"),
        Told("ITI-38", urn(FAR), shown=listed(entry_id(FAR, 1), entry_id(FAR, 2)), objects="2"),
        Told("ITI-38", urn(DOWN), outcome="4", reason=UNREACHED),
    )
    assert world.leg(found, DOWN).detail("urn:ihe:iti:xca:2010:homeCommunityId") == urn(DOWN)
    body = retrieve((urn(DOWN), "1.2.3.1"), (urn(NEAR), world.nears.unique_id))
    assert world.ask("ITI-43", body).outcome == PARTIAL
    nears, gone = of(NEAR, world.nears.unique_id), of(DOWN, "1.2.3.1")
    world.check(
        Told("ITI-43", documents=nears),
        Told("ITI-43", outcome="4", reason=UNREACHED, documents=gone),
        Told("ITI-39", urn(NEAR), documents=nears),
        Told("ITI-39", urn(DOWN), outcome="4", reason=UNREACHED, documents=gone),
    )


def test_documents_of_which_a_community_has_some(world: World) -> None:
    """Two events about the community too, each with its own documents; the reason is in its code."""
    (there,), unknown = world.fars(1), f"{FAR}.7.99"
    asked = [(urn(FAR), unknown), (urn(FAR), there), (urn(NEAR), "1.2.3.99")]
    assert world.ask("ITI-43", retrieve(*asked)).outcome == PARTIAL
    reason = "XDSDocumentUniqueIdError"
    world.check(
        Told("ITI-43", documents=of(FAR, there)),
        Told(
            "ITI-43",
            outcome="4",
            reason=reason,
            documents=tuple(sorted(of(FAR, unknown) + of(NEAR, "1.2.3.99"))),
        ),
        Told("ITI-39", urn(FAR), documents=of(FAR, there)),
        Told("ITI-39", urn(FAR), outcome="4", reason=reason, documents=of(FAR, unknown)),
        Told("ITI-39", urn(NEAR), outcome="4", reason=reason, documents=of(NEAR, "1.2.3.99")),
    )


def test_a_community_that_nobody_knows(world: World) -> None:
    """It was not asked, so there is no event about it; what was asked for is on record with its id."""
    unknown = "XDSUnknownCommunity [community-known]"
    reply = world.ask("ITI-18", query(m.get_documents("1.2.3"), urn(STRANGERS)))
    assert reply.outcome == FAILURE
    (event,) = world.check(Told("ITI-18", outcome="4", reason=unknown))
    assert event.detail("urn:ihe:iti:xca:2010:homeCommunityId") == urn(STRANGERS)
    targets = [urn(STRANGERS), urn(NEAR)]
    assert world.ask("ITI-18", query(m.find_documents(), targets=targets)).outcome == PARTIAL
    world.check(
        Told("ITI-18", objects="1"),
        Told("ITI-18", outcome="4", reason=unknown),
        Told("ITI-38", urn(NEAR), shown=listed(world.nears.id), objects="1"),
    )
    body = retrieve((urn(STRANGERS), "1.2.3"), (urn(NEAR), world.nears.unique_id))
    assert world.ask("ITI-43", body).outcome == PARTIAL
    nears = of(NEAR, world.nears.unique_id)
    world.check(
        Told("ITI-43", documents=nears),
        Told("ITI-43", outcome="4", reason=unknown, documents=of(STRANGERS, "1.2.3")),
        Told("ITI-39", urn(NEAR), documents=nears),
    )


@dataclass(frozen=True)
class Fault:
    """What a community does, and what is on record of it: objects listed, documents handed out, and why not
    all.
    """

    does: str
    query_reason: str = ""
    objects: int | None = None
    retrieve_reason: str = ""
    documents: int = 0


def _nothing(does: str, reason: str) -> Fault:
    return Fault(
        does,
        f"XDSUnavailableCommunity [community-{reason}]",
        None,
        f"XDSUnavailableCommunity [community-{reason}]",
    )


FAULTS = (
    _nothing("fault", "fault"),
    _nothing("garbage", "readable"),
    _nothing("reset", "unreached"),
    _nothing("silent", "late"),
    # What a community says itself has no rule here.
    Fault("failure", "XDSRegistryError", None, "XDSRegistryError"),
    Fault("partial", "XDSRegistryError", 2, "XDSRegistryError", 1),
    # It has nothing of the patient, which of a query is an answer.
    Fault("unknown_patient", "", 0, "XDSUnknownPatientId"),
    # Objects of nobody are left out, so they are not on record as shown.
    Fault("no_home", "XDSMissingHomeCommunityId [community-home]", 0, "", 2),
    Fault("fewer_documents", "", 2, "XDSDocumentUniqueIdError [community-document]", 1),
    # A document that nobody asked for is not handed on, so neither is it on record.
    Fault("unasked_documents", "", 2, "", 2),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.does)
def test_a_query_that_a_community_does_not_answer_well(fault: Fault, world: World) -> None:
    """The request has the same successes and failures as what was asked of the community."""
    world.far.behave(fault.does)
    world.ask("ITI-18", query(m.find_documents(), urn(FAR)))
    expected = []
    if fault.objects is not None:
        ids = listed(*(entry_id(FAR, number) for number in range(1, fault.objects + 1)))
        expected += [
            Told("ITI-18", objects=str(fault.objects)),
            Told("ITI-38", urn(FAR), shown=ids, objects=str(fault.objects)),
        ]
    if fault.query_reason:
        expected += [
            Told("ITI-18", outcome="4", reason=fault.query_reason),
            Told("ITI-38", urn(FAR), outcome="4", reason=fault.query_reason),
        ]
    world.check(*expected)
    # One whose connection broke off is asked again, by the same message.
    assert len({each.message_id for each in world.far.requests}) == 1


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.does)
def test_a_retrieval_that_a_community_does_not_answer_well(fault: Fault, world: World) -> None:
    """Documents that came, and those that did not."""
    world.far.behave(fault.does)
    ids = world.fars(1, 2)
    world.ask("ITI-43", retrieve(*((urn(FAR), each) for each in ids)))
    expected = []
    for some, outcome, reason in (
        (ids[: fault.documents], "0", ""),
        (ids[fault.documents :], "4", fault.retrieve_reason),
    ):
        if some:
            expected += [
                Told(number, asked, outcome=outcome, reason=reason, documents=of(FAR, *some))
                for number, asked in (("ITI-43", ""), ("ITI-39", urn(FAR)))
            ]
    world.check(*expected)


# ---- those who are not let in: nothing has gone out


def _unsigned(ticket: str) -> str:
    """With another signature than was made."""
    found = re.search(r"SignatureValue>\s*(\S)", ticket)
    assert found
    return ticket[: found.start(1)] + ("B" if found[1] == "A" else "A") + ticket[found.end(1) :]


@pytest.mark.parametrize("bad", ["no ticket", "a bad signature"])
@pytest.mark.parametrize("number", ["ITI-18", "ITI-43"])
def test_whoever_is_not_let_in(number: str, bad: str, world: World) -> None:
    """Gate 1: one event, of nobody; nobody else hears of it."""
    ticket = "" if bad == "no ticket" else _unsigned(world.region.ticket())
    assert world.ask(number, _body(world, number), ticket).fault.code
    (event,) = world.new(world.gateway)
    assert problems(event.event) == []
    assert (event.code, event.outcome, event.pid, event.person) == (number, 8, None, None)
    assert event.subtypes == [(v.EVENT_TYPE, "ITI-40"), (v.EVENT_TYPE, number)]
    assert event.documents == []
    _nobody_was_asked(world)


def _body(world: World, number: str) -> str:
    if number == "ITI-18":
        return m.find_documents()
    return retrieve((urn(HOME), world.own.unique_id), (urn(FAR), world.fars(1)[0]), (urn(NEAR), "1.2.3"))


def _nobody_was_asked(world: World) -> None:
    assert world.new(world.near) == []
    assert world.far.requests == []


@dataclass(frozen=True)
class Refused:
    """A request that gate 2, or the gateway itself, refuses as a whole."""

    name: str
    number: str
    body: Callable[[World], str]
    reason: str
    purpose: str = "TREAT"
    patient: str = m.PATIENT
    documents: Callable[[World], tuple[tuple[str, str], ...]] = lambda world: ()


REFUSED = (
    Refused("a policy", "ITI-18", lambda world: m.find_documents(), "AccessDenied", "COC"),
    Refused(
        "a policy, of documents",
        "ITI-43",
        lambda world: _body(world, "ITI-43"),
        "AccessDenied",
        "COC",
        documents=lambda world: tuple(
            sorted(of(HOME, world.own.unique_id) + of(FAR, world.fars(1)[0]) + of(NEAR, "1.2.3"))
        ),
    ),
    Refused(
        "somebody else",
        "ITI-18",
        lambda world: m.find_documents(m.OTHER),
        "access-patient",
        patient=m.OTHER,
    ),
    Refused(
        "nobody named",
        "ITI-18",
        lambda world: m.get_documents("1.2.3"),
        "community-named",
    ),
    Refused(
        "named twice",
        "ITI-18",
        lambda world: query(m.find_documents(), urn(FAR), targets=[urn(FAR)]),
        "community-once",
    ),
)


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.name)
def test_what_is_refused_as_a_whole(refused: Refused, world: World) -> None:
    """One event, with what it was about; nobody else hears of it."""
    ticket = world.region.ticket(purpose=refused.purpose)
    assert world.ask(refused.number, refused.body(world), ticket).outcome == FAILURE
    (event,) = world.new(world.gateway)
    assert problems(event.event, must_claim=True) == []
    assert (event.code, event.outcome, event.pid) == (refused.number, 4, refused.patient)
    rule = "access-policy" if refused.reason == "AccessDenied" else refused.reason
    assert re.findall(r"\[([\w-]+)\]", event.reason) == [rule]
    assert told(event).documents == refused.documents(world)
    assert "message to the community" not in event.request_ids()
    _nobody_was_asked(world)


# ---- communities that are not asked, and a gateway without a registry of its own in its answers


@pytest.fixture(scope="module")
def apart(region: Region, world: World) -> Iterator[World]:
    """A gateway that leaves its own registry out; one community rests after a failure, one has one query."""
    home, tired, choosy = HOMES[5:8]
    urls = {urn(FAR): world.far.url, urn(tired): f"http://127.0.0.1:{free_port()}/xca"}
    lines = (
        community(FAR, world.far.url)
        + community(tired, urls[urn(tired)], failures=1, pause_seconds=600)
        + community(choosy, world.far.url, queries=["GetDocuments"])
    )
    gateway = region.gateway(lines, home, gateway__own="left-out")
    own = m.Document(id=m.new_uuid())
    region.file(gateway, own)
    yield World(region, gateway, world.near, world.far, own, world.nears, urls)
    assert problems_of_chain(gateway.database_url) == []


def test_communities_that_are_not_asked(apart: World) -> None:
    """One that rests, one without the query: an error of the request, and no event of their own."""
    tired = HOMES[6]
    shown = Told("ITI-38", urn(FAR), shown=listed(entry_id(FAR, 1), entry_id(FAR, 2)), objects="2")
    resting = "XDSUnavailableCommunity [community-resting]"
    for at_first in (True, False):
        assert apart.ask("ITI-18", m.find_documents()).outcome == PARTIAL
        reason = f"{UNREACHED if at_first else resting}; XDSUnknownStoredQuery [community-query]"
        leg = [Told("ITI-38", urn(tired), outcome="4", reason=UNREACHED)] if at_first else []
        found = apart.new(apart.gateway)
        assert Counter(map(told, found)) == Counter(
            [Told("ITI-18", objects="2"), Told("ITI-18", outcome="4", reason=reason), shown, *leg]
        )
        assert [problems(each.event, must_claim=True) for each in found] == [[]] * len(found)
    body = retrieve((urn(tired), "1.2.3"))
    assert apart.ask("ITI-43", body).outcome == FAILURE
    assert [told(each) for each in apart.new(apart.gateway)] == [
        Told("ITI-43", outcome="4", reason=resting, documents=of(tired, "1.2.3"))
    ]


def test_a_community_for_which_there_is_no_ticket(region: Region, world: World) -> None:
    """Nothing was sent, so there is no event about it (`math.sqrt` takes no tickets)."""
    gateway = region.gateway(
        community(FAR, world.far.url), HOMES[4], gateway__ticket_exchange="math:sqrt", gateway__own="left-out"
    )
    world.far.forget()
    body = retrieve((urn(FAR), world.fars(1)[0]))
    for number, asked in (("ITI-18", m.find_documents()), ("ITI-43", body)):
        assert region.ask(gateway, INITIATING, number, asked).outcome == FAILURE
    reason = "XDSUnavailableCommunity [community-ticket]"
    assert [(each.code, each.outcome, each.reason) for each in rows(gateway.database_url)] == [
        ("ITI-18", 4, reason),
        ("ITI-43", 4, reason),
    ]
    assert world.far.requests == []
    gateway.stop()


def test_a_gateway_that_asks_for_no_tickets(region: Region, world: World) -> None:
    """Nobody is known to have asked: of what we ask of others, we are."""
    home = HOMES[0]
    gateway = region.gateway(community(FAR, world.far.url), home, access__ticket="none")
    body = retrieve((urn(FAR), world.fars(1)[0]))
    assert region.ask(gateway, INITIATING, "ITI-43", body, ticket="").outcome == SUCCESS
    request, leg = rows(gateway.database_url)
    assert [(each.code, each.pid, problems(each.event)) for each in (request, leg)] == [
        ("ITI-43", None, []),
        ("ITI-39", None, []),
    ]
    assert text(request.requestor, "network.address") == "127.0.0.1"
    assert text(leg.requestor, "who.identifier.value") == urn(home)
    gateway.stop()


# ---- what readers are shown


def _read(world: World, ticket: str, **wanted: str) -> tuple[list[dict[str, Any]], str]:
    """The gateway's log as whoever has this ticket reads it: events, and the bytes as they came."""
    token = base64.urlsafe_b64encode(ticket.encode()).decode().rstrip("=")
    parameters = urllib.parse.urlencode({"date": "ge2020-01-01", "_count": "1000"} | wanted)
    answer = urllib3.request(
        "GET",
        f"{world.gateway.url}/fhir/AuditEvent?{parameters}",
        headers={"Authorization": f"Bearer {token}"},
        retries=False,
    )
    assert answer.status == 200, answer.data
    bundle = json.loads(answer.data)
    assert [each["relation"] for each in bundle["link"]] == ["self"]
    return [each["resource"] for each in bundle.get("entry", ())], answer.data.decode()


@pytest.fixture(scope="module")
def looked(world: World) -> str:
    """Somebody has looked for and fetched everything, and what was not there; the trace of it."""
    world.far.behave("answers")
    assert world.ask("ITI-18", m.find_documents()).outcome == PARTIAL
    first = world.trace
    asked = [(urn(HOME), world.own.unique_id), (urn(NEAR), world.nears.unique_id)]
    asked += [(urn(FAR), each) for each in (*world.fars(1, 2), f"{FAR}.7.99")]
    assert world.ask("ITI-43", retrieve(*asked, (urn(DOWN), "1.2.3.4.5.77"))).outcome == PARTIAL
    return f"{first} {world.trace}"


def _of(events: Sequence[dict[str, Any]], trace: str) -> list[dict[str, Any]]:
    return [
        each
        for each in events
        if any(
            entity.get("description") == "trace" and entity["what"]["identifier"]["value"] in trace.split()
            for entity in each["entity"]
        )
    ]


def _elsewhere(world: World) -> list[str]:
    """Whatever names something that another community has."""
    ids = [entry_id(FAR, 1), entry_id(FAR, 2), world.nears.id]
    return [
        *ids,
        *map(digits, ids),
        *world.fars(1, 2),
        f"{FAR}.7.99",
        "1.2.3.4.5.77",
        world.nears.unique_id,
        repository(NEAR),
        repository(FAR),
    ]


@pytest.mark.parametrize("kind", ["citizen", "representative"])
def test_a_patient_sees_who_asked_other_communities_and_not_for_what(
    kind: str, world: World, looked: str
) -> None:
    """Who, when, why, and of which community; no id of theirs, and not how many there were."""
    more = {"person": m.NUMBER} if kind == "citizen" else {"acp": "2"}
    events, raw = _read(world, world.region.service.saml(kind, patient=m.NUMBER, **more))
    assert [each for each in _elsewhere(world) if each in raw] == []
    assert "resultCount" not in raw
    assert '"query"' not in raw
    found = _of(events, looked)
    # The list and its failure, and each community's; the documents likewise, of the peer both ways.
    assert Counter(map(_number, found)) == {"ITI-18": 2, "ITI-38": 3, "ITI-43": 2, "ITI-39": 4}
    for each in found:
        assert each["agent"][0]["name"] == "Tuva Fjell"
        assert each["purposeOfEvent"][0]["coding"][0]["code"] == "TREAT"
        assert each["recorded"]
    legs = [each for each in found if _number(each) in ASKED]
    assert Counter(map(_community, legs)) == {urn(NEAR): 2, urn(FAR): 3, urn(DOWN): 2}
    # Our own document is named, as gate 2 opens it; theirs are there once for each community.
    handed = next(each for each in found if _number(each) == "ITI-43" and each["outcome"] == "0")
    assert Counter(map(_shown, _documents(handed))) == {
        ("", f"urn:oid:{world.own.unique_id}"): 1,
        (urn(NEAR), ""): 1,
        (urn(FAR), ""): 1,
    }
    for each in legs:
        for document in _documents(each):
            assert _shown(document) == (_community(each), "")
            assert document["description"] == "kept by another community"
    assert sorted(len(_documents(each)) for each in legs) == [0, 0, 0, 1, 1, 1, 1]


def _documents(event: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in event["entity"] if each.get("role", {}).get("code") == "3"]


def _shown(document: dict[str, Any]) -> tuple[str, str]:
    """The community, where it is another one, and the id."""
    home = _home(document)
    return "" if home == urn(HOME) else home, text(document, "what.identifier.value")


def test_personnel_see_that_they_asked_other_communities(world: World, looked: str) -> None:
    """Their own deeds: what they sent is theirs, what came of it is another community's to show."""
    events, raw = _read(world, world.region.ticket())
    found = _of(events, looked)
    assert Counter(map(_number, found)) == {"ITI-18": 2, "ITI-38": 3, "ITI-43": 2, "ITI-39": 4}
    assert [each for each in _elsewhere(world) if each in raw] == []
    assert "resultCount" not in raw
    assert {_home(each) for event in found for each in _documents(event)} == {
        *map(urn, (HOME, NEAR, FAR, DOWN))
    }


def test_nobody_else_is_shown_anything(world: World, looked: str) -> None:
    """Another patient, and a clinician who did not ask."""
    for ticket in (
        world.region.service.saml("citizen", person=m.OTHER_NUMBER, patient=m.OTHER_NUMBER),
        world.region.ticket(person=m.OTHER_NUMBER),
    ):
        assert _of(_read(world, ticket)[0], looked) == []


def test_what_is_not_shown_is_not_found(world: World, looked: str) -> None:
    """A search for a document of another community: nothing for the patient, all for a controller."""
    ticket = world.region.service.saml("citizen", person=m.NUMBER, patient=m.NUMBER)
    for wanted in (world.fars(1)[0], f"urn:oid:{world.nears.unique_id}", "1.2.3.4.5.77"):
        assert _read(world, ticket, **{"entity.identifier": wanted})[0] == []
        found = _of(world.region.log(world.gateway, **{"entity.identifier": wanted}), looked)
        assert {_number(each) for each in found} == {"ITI-43", "ITI-39"}


def test_a_data_controller_sees_all_of_it(world: World, looked: str) -> None:
    """Every id, and how many."""
    raw = json.dumps(_of(world.region.log(world.gateway), looked))
    for each in (*world.fars(1, 2), world.nears.unique_id, digits(entry_id(FAR, 1)), digits(world.nears.id)):
        assert each in raw
    assert '"resultCount"' in raw


def test_the_log_in_words(world: World, looked: str) -> None:
    """An operator reads of whom was asked what; what came from a community was not registered here."""
    first, second = looked.split()
    lines = world.gateway.command("log", "--about", first).stdout
    assert f"asked {urn(FAR)}: Cross Gateway Query FindDocuments 2 shown" in lines
    assert f"asked {urn(DOWN)}: Cross Gateway Query FindDocuments " in lines
    assert UNREACHED in lines
    assert "asked for: Registry Stored Query FindDocuments 1 shown" in lines
    lines = world.gateway.command("log", "--about", second).stdout
    assert f"fetched from {urn(NEAR)}: Cross Gateway Retrieve urn:oid:{world.nears.unique_id} " in lines
    assert f"fetched from {urn(FAR)}: Cross Gateway Retrieve" in lines
    assert "fetched: Retrieve Document Set" in lines
    assert "registered" not in lines
    # Whoever answers has been asked, and has handed out.
    lines = world.near.command("log", "--about", first).stdout
    assert "asked for: Cross Gateway Query FindDocuments 1 shown" in lines
    lines = world.near.command("log", "--about", second).stdout
    assert "fetched: Cross Gateway Retrieve" in lines


# ---- an event by itself


def _event(url: str, number: str, **deed: Any) -> dict[str, Any]:
    """What a gateway at this address writes of a call to the peer's community."""
    asked = Asked(number=number, home=urn(FAR), url="https://far.example.no/xca", message_id=m.new_uuid())
    context = Context(endpoint=INITIATING, number="ITI-18", trace=f"00-{'4' * 32}-{'1' * 16}-01")
    written = entry(Own("gateway", urn(HOME), url), context, Deed(patient=m.PATIENT, asked=asked, **deed))
    return dict(json.loads(whole(written.body, "gateway", 1)))


@pytest.mark.parametrize(
    ("url", "network"),
    [
        ("https://xds.example.no:8443", {"address": "xds.example.no", "type": "1"}),
        ("http://192.0.2.7:8080", {"address": "192.0.2.7", "type": "2"}),
        ("http://[2001:db8::7]", {"address": "2001:db8::7", "type": "2"}),
        ("", None),
    ],
)
def test_whoever_asks_is_a_machine(url: str, network: dict[str, str] | None) -> None:
    """By its name or its IP address, as far as it has one (DICOM PS3.15 A.5.1)."""
    (own, _) = _event(url, "ITI-38")["agent"]
    assert own.get("network") == network


def test_a_name_that_is_known_here_too_is_not_told_of_another_community() -> None:
    """A list of another community's stays away whatever is in it. A document is named where gate 2 opens one
    of that name here; one whose codes our registry knew is not another community's.
    """
    ids = frozenset(("11" * 16, "urn:oid:1.2.3"))
    knows = Documents(opened=ids, known=ids, hidden=Restriction.NORN_FFL)
    listed_ = _event("", "ITI-38", query=Query(id=m.FIND_DOCUMENTS), shown=[b"\x11" * 16], objects=1)
    assert "11" * 16 in json.dumps(shown(listed_, View.ALL, knows))
    for view in (View.PATIENT, View.REPRESENTATIVE, View.OWN):
        event = shown(listed_, view, knows)
        assert event
        assert "11" * 16 not in json.dumps(event)
    document = Document(unique_id="1.2.3", repository="1.2.3.9", home=urn(FAR))
    nothing = Documents(frozenset(), frozenset(), Restriction.NORN_FFL)
    hides = Documents(frozenset(), ids, Restriction.NORN_FFL)
    secret = replace(document, codes=(Code("NORN_FFL", REFUSALS),))
    plain = replace(document, codes=(Code("N", LEVELS),))
    for one, documents, expected in (
        (document, knows, "urn:oid:1.2.3"),
        (document, nothing, "kept by another community"),
        (document, hides, None),
        (secret, nothing, None),
        (plain, nothing, "no longer here"),
        (replace(document, home=urn(HOME)), nothing, "no longer here"),
        (replace(document, repository=HOME), nothing, "no longer here"),
    ):
        for view in (View.PATIENT, View.OWN):
            event = shown(_event("", "ITI-39", documents=(one,)), view, documents)
            if expected is None:
                assert event is None
                continue
            assert event
            (told_,) = _documents(event)
            assert told_.get("description", text(told_, "what.identifier.value")) == expected
