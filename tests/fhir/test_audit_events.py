"""One log, read by everybody who may: a citizen, a parent, a clinician, an administrator, on a real node.

Each sees their part of the same events. What must not be in a view is looked for in the bytes that are
answered, not only in the places where it would be expected.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from tests.access.people import number
from tests.access.test_every_path import Marked
from tests.audit import r4
from tests.audit.profiles import problems
from tests.blackbox import messages as m
from tests.blackbox.wire import FAILURE, SUCCESS, Reply, send
from tests.nodes import Node
from xds.demo.tickets import CLINICIAN, TicketService
from xds.metadata.confidentiality import REFUSALS
from xds.metadata.national import has_control_digits
from xds.security.denials import WSSE

TODAY = datetime.now(UTC).date()
ADULT = number(TODAY.replace(year=TODAY.year - 40, month=1, day=1), 5)
CHILD = number(TODAY.replace(year=TODAY.year - 5, month=1, day=1), 5)
OTHER = number(TODAY.replace(year=TODAY.year - 50, month=1, day=1), 5)
PARENT = number(TODAY.replace(year=TODAY.year - 35, month=1, day=1), 5)
COLLEAGUE = number(TODAY.replace(year=TODAY.year - 45, month=1, day=1), 5)
ALL = "xds:audit/read-all"
SINCE = f"ge{TODAY.year - 1}-01-01"
#: All who read the log by the policy that comes with xds; who files and looks may do so by this one.
POLICY = """
[[policy]]
id = "all"
effect = "permit"
actions = ["read-list", "read-document", "create", "update", "delete"]
callers = ["citizen", "representative", "personnel"]
"""


@dataclass(frozen=True)
class Ward:
    """A node with tickets, and what is asked of it."""

    node: Node
    service: TicketService

    def soap(self, ticket: str, transaction: str, body: str) -> Reply:
        """One SOAP request."""
        header = f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="1">{ticket}</w:Security>'
        return send(self.node, m.plain(body, transaction, header=header))

    def clinician(self, patient: str, person: str = CLINICIAN, purpose: str = "TREAT", acp: str = "") -> str:
        """A ticket."""
        return self.service.saml("personnel", patient=patient, person=person, purpose=purpose, acp=acp)

    def file(self, patient: str, *documents: Marked) -> None:
        """As a clinician."""
        body = m.provide(documents, m.inline(documents), patient=pid(patient))
        reply = self.soap(self.clinician(patient), "ITI-41", body)
        assert reply.outcome == SUCCESS, reply.errors

    def get(
        self, path: str, authorization: Mapping[str, str], method: str = "GET", **more: Any
    ) -> urllib3.BaseHTTPResponse:
        """One request under /fhir."""
        return urllib3.request(
            method, self.node.url + path, headers=dict(authorization), retries=False, **more
        )

    def read(self, authorization: Mapping[str, str], **parameters: str) -> list[dict[str, Any]]:
        """All events of a search, page for page."""
        path = f"/fhir/AuditEvent?{urlencode({'date': SINCE} | parameters)}"
        found: list[dict[str, Any]] = []
        while path:
            answer = self.get(path, self.renewed(authorization, path))
            assert answer.status == 200, answer.data
            bundle = json.loads(answer.data)
            assert r4.schema_problems(bundle) == []
            found += [each["resource"] for each in bundle.get("entry", ())]
            links = {each["relation"]: each["url"] for each in bundle["link"]}
            path = links.get("next", "").removeprefix(self.node.url)
        return found

    def saml(self, ticket: str) -> dict[str, str]:
        """The ticket as a bearer token."""
        token = base64.urlsafe_b64encode(ticket.encode()).rstrip(b"=").decode()
        return {"Authorization": f"Bearer {token}"}

    def controller(self, path: str = "", method: str = "GET", **more: Any) -> dict[str, str]:
        """A data controller's token, with a proof for the address."""
        token = self.service.token(machine=True, scopes=[ALL], **more)
        return {"Authorization": f"DPoP {token}"} | self.proof(token, path, method)

    def proof(self, token: str, path: str, method: str = "GET") -> dict[str, str]:
        return {"DPoP": self.service.proof(method, self.node.url + path.partition("?")[0], token)}

    def renewed(self, authorization: Mapping[str, str], path: str) -> dict[str, str]:
        """With a proof for this request: none is good twice."""
        scheme, _, token = authorization["Authorization"].partition(" ")
        return dict(authorization) | (self.proof(token, path) if scheme == "DPoP" else {})


def pid(patient: str) -> str:
    return m.PATIENT.replace(m.NUMBER, patient)


@pytest.fixture(scope="module")
def ward(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> Ward:
    """A node on which some things have happened."""
    folder: Path = tmp_path_factory.mktemp("ward")
    own = Path("xds/access/policy.toml").read_text()
    policy = folder / "policy.toml"
    policy.write_text(own.replace('issuers = ["helseid"]\nscopes', "scopes") + POLICY)
    service = TicketService(folder)
    return Ward(new_node(access__ticket="required", access__policy=policy, trust=service.trust), service)


@dataclass(frozen=True)
class Past:
    """What was filed, of an adult and of a child."""

    open: Marked
    secret: Marked
    childs: Marked


@pytest.fixture(scope="module")
def past(ward: Ward) -> Past:
    """The same for every reader: filed, looked at by two clinicians and by the citizen."""
    plain = Marked(id=m.new_uuid(), patient=pid(ADULT))
    secret = Marked(id=m.new_uuid(), patient=pid(ADULT), code=("NORN_FFL", REFUSALS))
    childs = Marked(patient=pid(CHILD))
    ward.file(ADULT, plain)
    ward.file(ADULT, secret)
    ward.file(CHILD, childs)
    for person in (CLINICIAN, COLLEAGUE):
        ticket = ward.clinician(ADULT, person)
        assert ward.soap(ticket, "ITI-18", m.find_documents(pid(ADULT))).outcome == SUCCESS
        assert ward.soap(ticket, "ITI-43", m.retrieve(plain.unique_id)).outcome == SUCCESS
        assert ward.soap(ticket, "ITI-43", m.retrieve(secret.unique_id)).outcome == SUCCESS
    citizen = ward.service.saml("citizen", patient=ADULT)
    assert ward.soap(citizen, "ITI-18", m.find_documents(pid(ADULT))).outcome == SUCCESS
    assert ward.soap(ward.clinician(OTHER), "ITI-18", m.find_documents(pid(OTHER))).outcome == SUCCESS
    return Past(plain, secret, childs)


def told(event: Mapping[str, Any]) -> str:
    return next(each["code"] for each in event["subtype"] if each["code"].startswith("ITI-"))


def deeds(events: list[dict[str, Any]]) -> list[str]:
    """Transactions, oldest first, but for readings of the log."""
    return [each for each in map(told, reversed(events)) if each != "ITI-81"]


LOOKS = ["ITI-18", "ITI-43", "ITI-43"]


def test_an_administrator_sees_all_of_it_whole(ward: Ward, past: Past) -> None:
    """Every event of everybody, valid by R4 and profiles, with numbers, tickets and queries."""
    events = ward.read(ward.controller(), **{"patient.identifier": f"|{ADULT}".strip("|")})
    assert deeds(events) == ["ITI-41", "ITI-41", *LOOKS, *LOOKS, "ITI-18"]
    for each in events:
        assert problems(each) == [], told(each)
    text = json.dumps(events)
    for expected in (
        CLINICIAN,
        COLLEAGUE,
        past.open.unique_id,
        past.secret.unique_id,
        '"policy": [',
        '"query"',
    ):
        assert expected in text
    everybody = ward.read(ward.controller())
    patients = {
        resource["identifier"][0]["value"]
        for event in everybody
        for resource in event.get("contained", ())
        if resource["resourceType"] == "Patient" and "identifier" in resource
    }
    assert patients >= {ADULT, CHILD, OTHER}


def test_a_citizen_sees_who_looked_and_no_more(ward: Ward, past: Past) -> None:
    """Names and workplaces of those who looked; no number but their own, nothing of a hidden document."""
    events = ward.read(ward.saml(ward.service.saml("citizen", patient=ADULT)))
    # Filing and fetching the hidden document are not there; a list is, without it.
    assert deeds(events) == ["ITI-41", "ITI-18", "ITI-43", "ITI-18", "ITI-43", "ITI-18"]
    text = json.dumps(events)
    for hidden in (
        CLINICIAN,
        COLLEAGUE,
        past.secret.unique_id,
        _digits(past.secret),
        '"query"',
        '"policy": [',
    ):
        assert hidden not in text, hidden
    numbers = set(re.findall(r"(?<![0-9a-f-])[0-9]{11}(?![0-9a-f-])", text))
    assert not {each for each in numbers if has_control_digits(each)} - {ADULT}
    fetched = next(each for each in events if told(each) == "ITI-43")
    practitioner = next(each for each in fetched["contained"] if each["resourceType"] == "Practitioner")
    assert practitioner["name"] == [{"text": "Tuva Fjell"}]
    assert "identifier" not in practitioner
    assert any(each["resourceType"] == "Organization" and each["name"] for each in fetched["contained"])
    assert past.open.unique_id in json.dumps(fetched["entity"])
    listed = [each for each in events if told(each) == "ITI-18"]
    shown = [
        detail["valueString"]
        for each in listed
        for entity in each["entity"]
        for detail in entity.get("detail", ())
        if detail["type"] == "shown"
    ]
    assert shown == [_digits(past.open)] * 3
    assert "resultCount" not in text


def _digits(document: Marked) -> str:
    return document.id.removeprefix("urn:uuid:").replace("-", "")


def test_a_citizens_own_search_finds_nobody_else(ward: Ward, past: Past) -> None:
    """Whatever is asked: another patient's number, a document, everything."""
    citizen = ward.saml(ward.service.saml("citizen", patient=ADULT))
    for asked in (
        {"patient": OTHER},
        {"patient.identifier": f"urn:oid:2.16.578.1.12.4.1.4.1|{OTHER}"},
        {"entity.identifier": past.secret.unique_id},
        {"entity": f"urn:oid:{past.childs.unique_id}"},
        # What is not shown cannot be found either.
        {"agent.identifier": CLINICIAN},
        {"agent": CLINICIAN},
        {"agent.identifier": "999999990"},
        {"policy": "_1"},
    ):
        assert ward.read(citizen, **asked) == [], asked


def test_a_parent_sees_their_childs_log_and_not_their_own(ward: Ward, past: Past) -> None:
    """By the rule for parents of a child under 12; nobody else's, and no number of the other parent."""
    parent = ward.service.saml("representative", person=PARENT, patient=CHILD, acp="1")
    assert ward.soap(parent, "ITI-18", m.find_documents(pid(CHILD))).outcome == SUCCESS
    other = ward.service.saml("representative", person=OTHER, patient=CHILD, acp="1")
    events = ward.read(ward.saml(other))
    assert deeds(events) == ["ITI-41", "ITI-18"]
    text = json.dumps(events)
    assert PARENT not in text
    assert ADULT not in text
    assert past.childs.unique_id in text


def test_what_somebody_looked_at_themselves_is_theirs(ward: Ward, past: Past) -> None:
    """Who represents an adult by power of attorney does not see what that adult looked at."""
    attorney = ward.service.saml("representative", person=PARENT, patient=ADULT, acp="2")
    events = ward.read(ward.saml(attorney))
    assert deeds(events)[:5] == ["ITI-41", "ITI-18", "ITI-43", "ITI-18", "ITI-43"]
    assert not any(
        agent["requestor"] and agent["who"].get("reference") == "#pat"
        for event in events
        for agent in event["agent"]
    )


def test_a_parent_of_a_youth_sees_nothing(ward: Ward) -> None:
    """The national rule says no to the record, and so to its log."""
    youth = number(TODAY.replace(year=TODAY.year - 14, month=1, day=1), 5)
    ward.file(youth, Marked(patient=pid(youth)))
    parent = ward.service.saml("representative", person=PARENT, patient=youth, acp="1")
    answer = ward.get(f"/fhir/AuditEvent?date={SINCE}", ward.saml(parent))
    assert answer.status == 403
    assert youth not in answer.data.decode()
    assert "access-rule" in json.loads(answer.data)["issue"][0]["diagnostics"]


def test_a_clinician_sees_what_they_did_themselves(ward: Ward, past: Past) -> None:
    """In the record that the ticket is for; not what a colleague or the citizen did."""
    events = ward.read(ward.saml(ward.clinician(ADULT, COLLEAGUE)))
    assert deeds(events) == LOOKS
    text = json.dumps(events)
    assert CLINICIAN not in text
    assert COLLEAGUE in text
    assert ward.read(ward.saml(ward.clinician(CHILD, COLLEAGUE)), subtype="ITI-18") == []


@pytest.mark.parametrize("role", ["machine", "personnel"])
def test_without_the_scope_nobody_is_an_administrator(ward: Ward, role: str) -> None:
    """A token with other scopes gets 403, and the rule."""
    token = ward.service.token(machine=role == "machine")
    path = f"/fhir/AuditEvent?date={SINCE}"
    headers = {"Authorization": f"DPoP {token}"} | ward.proof(token, path)
    answer = ward.get(path, headers)
    assert answer.status == 403
    assert re.search("access-(policy|patient)", answer.data.decode())


def test_reading_the_log_is_on_record(ward: Ward, past: Past) -> None:
    """With the patient whose log it was, and the search."""
    ward.read(ward.controller(), patient=CHILD, subtype="ITI-41")
    events = ward.read(ward.controller(), patient=CHILD, subtype="ITI-81", _count="1")
    query = next(each for each in events[0]["entity"] if "query" in each)
    assert f"patient={CHILD}" in base64.b64decode(query["query"]).decode()
    assert (events[0]["type"]["code"], events[0]["action"]) == ("110101", "R")
    assert query["role"]["code"] == "13"


SEARCHES: tuple[tuple[dict[str, str], list[str]], ...] = (
    ({"subtype": "ITI-43"}, ["ITI-43"] * 4),
    ({"subtype": "urn:ihe:event-type-code|ITI-43"}, ["ITI-43"] * 4),
    ({"subtype": "http://example.org|ITI-43"}, []),
    ({"subtype": "ITI-43,ITI-41"}, ["ITI-41", "ITI-41", "ITI-43", "ITI-43", "ITI-43", "ITI-43"]),
    ({"type": "110112"}, ["ITI-18"] * 3),
    ({"action": "C"}, ["ITI-41"] * 2),
    ({"outcome": "8"}, []),
    ({"outcome": "0", "action": "C"}, ["ITI-41"] * 2),
    ({"agent.identifier": COLLEAGUE}, LOOKS),
    ({"agent": f"Practitioner/{COLLEAGUE}"}, LOOKS),
    ({"agent.identifier": f"urn:oid:2.16.578.1.12.4.1.4.1|{COLLEAGUE}", "action": "E"}, ["ITI-18"]),
    ({"agent-name": "tuva"}, ["ITI-41", "ITI-41", *LOOKS, *LOOKS]),
    ({"agent-role": "LE", "action": "E"}, ["ITI-18"] * 2),
    ({"purpose": "TREAT", "action": "E"}, ["ITI-18"] * 2),
    ({"address": "127."}, ["ITI-41", "ITI-41", *LOOKS, *LOOKS, "ITI-18"]),
    ({"entity-role": "24"}, ["ITI-18"] * 3),
    ({"unknown": "whatever", "action": "C"}, ["ITI-41"] * 2),
)


@pytest.mark.parametrize(("asked", "expected"), SEARCHES, ids=lambda each: str(each)[:60])
@pytest.mark.parametrize("count", ["50", "1"])
def test_each_parameter(
    ward: Ward, past: Past, asked: dict[str, str], expected: list[str], count: str
) -> None:
    """Alone and together, on one page and event by event."""
    assert deeds(ward.read(ward.controller(), patient=ADULT, _count=count, **asked)) == expected


def test_dates_narrow(ward: Ward, past: Past) -> None:
    """By precision and prefix; at least one is required."""
    events = ward.read(ward.controller(), patient=ADULT)
    moment = events[3]["recorded"]
    assert [each["id"] for each in ward.read(ward.controller(), patient=ADULT, date=moment)] == [
        events[3]["id"]
    ]
    assert ward.read(ward.controller(), patient=ADULT, date=f"gt{moment}")[-1]["id"] == events[2]["id"]
    assert ward.read(ward.controller(), patient=ADULT, date=f"lt{moment}")[0]["id"] == events[4]["id"]
    assert ward.read(ward.controller(), patient=ADULT, date=f"{TODAY.year - 2}") == []
    path = "/fhir/AuditEvent?patient=1"
    answer = ward.get(path, ward.renewed(ward.controller(), path))
    assert (answer.status, json.loads(answer.data)["issue"][0]["code"]) == (400, "invalid")
    path = "/fhir/AuditEvent?date=ge2026-13-01&_count=x&_sort=name"
    said = json.loads(ward.get(path, ward.renewed(ward.controller(), path)).data)["issue"][0]["diagnostics"]
    assert all(name in said for name in ("date is", "_count is", "_sort is"))


def test_one_event_is_read_by_its_id(ward: Ward, past: Past) -> None:
    """By whom it may be read, and by nobody else; it cannot be changed."""
    event = ward.read(ward.controller(), patient=ADULT, subtype="ITI-43")[0]
    path = f"/fhir/AuditEvent/{event['id']}"
    assert json.loads(ward.get(path, ward.renewed(ward.controller(), path)).data) == event
    for ticket in (
        ward.service.saml("citizen", patient=OTHER, person=OTHER),
        ward.service.saml("citizen", patient=ADULT),  # the hidden document
        ward.clinician(ADULT),
    ):
        assert ward.get(path, ward.saml(ticket)).status == 404
    for method in ("PUT", "PATCH", "DELETE", "POST"):
        answer = ward.get(path, ward.controller(path, method), method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert (
        ward.get("/fhir/AuditEvent/1/_history", ward.controller("/fhir/AuditEvent/1/_history")).status == 404
    )


def test_a_search_may_come_in_a_body(ward: Ward, past: Past) -> None:
    """POST _search, so that no number is in a URL."""
    path = "/fhir/AuditEvent/_search"
    answer = ward.get(
        path,
        ward.controller(path, "POST") | {"Content-Type": "application/x-www-form-urlencoded"},
        "POST",
        body=urlencode({"date": SINCE, "patient": ADULT, "action": "C"}),
    )
    assert len(json.loads(answer.data)["entry"]) == 2


def test_the_capability_statement_says_so_to_everybody(ward: Ward) -> None:
    """Without a ticket; what it promises is what can be asked."""
    statement = json.loads(ward.get("/fhir/metadata", {}).data)
    assert r4.schema_problems(statement) == []
    (resource,) = [each for each in statement["rest"][0]["resource"] if each["type"] == "AuditEvent"]
    names = {each["name"] for each in resource["searchParam"]}
    assert names >= {
        *("date", "patient", "patient.identifier", "agent", "agent.identifier", "entity", "type", "subtype"),
        *("action", "outcome", "source"),
    }


def bad_bearers(ward: Ward) -> Iterator[tuple[str, str]]:
    ticket = ward.service.saml("citizen", patient=ADULT)
    yield "altered", ticket.replace(ADULT, OTHER)
    yield "no XML", "hello"
    yield "not an assertion", "<a/>"
    yield "cut off", ticket[:-20]
    yield "unsigned", re.sub(r"<ds:Signature.*</ds:Signature>", "", ticket, flags=re.S)


def test_a_bad_assertion_is_a_bad_token(ward: Ward) -> None:
    """401 with a challenge, and on record as a failed authentication."""
    for name, ticket in bad_bearers(ward):
        answer = ward.get(f"/fhir/AuditEvent?date={SINCE}", ward.saml(ticket))
        assert answer.status in (400, 401), name
        assert "WWW-Authenticate" in answer.headers
    events = ward.read(ward.controller(), outcome="8", subtype="ITI-40")
    assert len(events) == len(list(bad_bearers(ward)))
    for each in events:
        assert problems(each) == []
        assert told(each) in ("ITI-40", "ITI-81")


def test_pages_tell_of_nothing_that_is_not_shown(ward: Ward, past: Past) -> None:
    """After the last event that a citizen is shown there is no next page, whatever else there is."""
    citizen = ward.saml(ward.service.saml("citizen", patient=ADULT))
    path = f"/fhir/AuditEvent?{urlencode({'date': SINCE, '_count': '1', '_sort': 'date', 'action': 'C'})}"
    bundle = json.loads(ward.get(path, citizen).data)
    # Filing the hidden document is the second, and nobody tells.
    assert len(bundle["entry"]) == 1
    assert [each["relation"] for each in bundle["link"]] == ["self"]


def test_a_sender_cannot_fill_the_log(ward: Ward) -> None:
    """What is too long for an id is on record with its beginning and its hash."""
    long = "urn:uuid:" + "7" * 100_000
    message = m.plain(m.find_documents(pid(OTHER)), "ITI-18")
    body = re.sub(rb"(<\w+:MessageID>)[^<]*", rb"\g<1>" + long.encode(), message.body)
    assert long.encode() in body
    assert send(ward.node, m.Request(message.path, message.content_type, body)).status == 500
    event = ward.read(ward.controller(), outcome="8", subtype="ITI-40")[0]
    (told_id,) = [
        each["what"]["identifier"]["value"]
        for each in event["entity"]
        if each.get("description") == "message"
    ]
    assert told_id.startswith("urn:uuid:777")
    assert "sha256:" in told_id
    assert len(told_id) <= 256


BAD_SEARCHES = (
    ({"action:not": "E"}, "modifier"),
    ({"_count": "many"}, "_count"),
    ({"cursor": "OTk5OTk5OTk5OTk5OTk5OTk5OTkuMQ"}, "cursor"),
    ({"cursor": "æ"}, "cursor"),
    ({"date": "2026-02-30"}, "date"),
    ({"date": "xx2026"}, "date"),
    ({"type": ""}, "type"),
    ({"type": ",".join(["a"] * 201)}, "type"),
    ({str(number): "x" for number in range(33)}, "parameters"),
)


@pytest.mark.parametrize(("asked", "word"), BAD_SEARCHES, ids=lambda each: str(each)[:40])
def test_a_search_that_cannot_be_made_is_refused_with_why(
    ward: Ward, asked: dict[str, str], word: str
) -> None:
    """400, and what is wrong with which parameter, without its value."""
    path = f"/fhir/AuditEvent?{urlencode({'date': SINCE} | asked)}"
    answer = ward.get(path, ward.renewed(ward.controller(), path))
    assert answer.status == 400
    said = json.loads(answer.data)["issue"][0]["diagnostics"]
    assert word in said
    assert not any(value in said for value in asked.values() if len(value) > 3)


@pytest.mark.parametrize("outcome", ["99999999999999999999", "²", "5"])
def test_an_outcome_that_there_is_not_is_nobodys(ward: Ward, outcome: str) -> None:
    """Nothing is found, and nothing breaks."""
    assert ward.read(ward.controller(), outcome=outcome) == []


def test_the_removal_of_a_hidden_document_is_hidden(ward: Ward) -> None:
    """By the codes that it had; that of an open one is shown, without what it was."""
    patient = number(TODAY.replace(year=TODAY.year - 60, month=1, day=1), 5)
    plain = Marked(id=m.new_uuid(), patient=pid(patient))
    secret = Marked(id=m.new_uuid(), patient=pid(patient), code=("NORN_FFL", REFUSALS))
    for each in (plain, secret):
        ward.file(patient, each)
    remove(ward, patient, plain, secret)
    citizen = ward.saml(ward.service.saml("citizen", patient=patient, person=patient))
    removals = [each for each in ward.read(citizen) if told(each) == "ITI-62"]
    assert len(removals) == 1
    assert "no longer here" in json.dumps(removals)
    assert secret.id not in json.dumps(ward.read(citizen))


def remove(ward: Ward, patient: str, *documents: Marked) -> None:
    """Remove documents of a patient with all that belongs to them (ITI-62)."""
    ticket = ward.clinician(patient, purpose="ETREAT")
    everything = ward.soap(
        ticket, "ITI-18", m.query(GET_ALL, {"$patientId": f"'{pid(patient)}'", **STATUSES})
    )
    ids = [
        (each.get("id"), each.get("sourceObject", ""), each.get("targetObject", ""))
        for each in everything.content().iter("{*}ExtrinsicObject", "{*}RegistryPackage", "{*}Association")
    ]
    for document in documents:
        links = [own for own, source, target in ids if document.id in (source, target)]
        sets = [source for own, source, target in ids if target == document.id]
        reply = ward.soap(ticket, "ITI-62", m.remove_metadata(document.id, *links, *sets))
        assert reply.outcome == SUCCESS, reply.errors


def test_whatever_community_is_named_our_documents_are_ours(ward: Ward) -> None:
    """A repository hands out its own whatever a request says of home: an open document keeps its name in the
    log, and a hidden one is not there as another community's either, also when it has been removed.
    """
    patient = number(TODAY.replace(year=TODAY.year - 61, month=1, day=1), 5)
    plain = Marked(id=m.new_uuid(), patient=pid(patient))
    secret = Marked(id=m.new_uuid(), patient=pid(patient), code=("NORN_FFL", REFUSALS))
    for each in (plain, secret):
        ward.file(patient, each)
    strangers, ticket = "urn:oid:1.2.3.4", ward.clinician(patient)
    for ids in ((plain.unique_id, secret.unique_id), (secret.unique_id,)):
        assert ward.soap(ticket, "ITI-43", m.retrieve(*ids, home=strangers)).outcome == SUCCESS
    for more in ({}, {"repository": "1.2.3.4.2"}):
        assert (
            ward.soap(ticket, "ITI-43", m.retrieve("1.2.3.4.77", home=strangers, **more)).outcome == FAILURE
        )
    citizen = ward.saml(ward.service.saml("citizen", patient=patient, person=patient))

    def shown() -> list[list[str]]:
        """What the citizen sees of the documents of each retrieval, oldest first."""
        events = [each for each in ward.read(citizen) if told(each) == "ITI-43"]
        text = json.dumps(events)
        assert secret.unique_id not in text
        assert "1.2.3.4.77" not in text
        return [
            [
                entity["what"]["identifier"]["value"] if "what" in entity else entity["description"]
                for entity in event["entity"]
                if entity.get("role", {}).get("code") == "3"
            ]
            for event in reversed(events)
        ]

    # Of what was in no repository of ours nobody knows anything but where it should be.
    elsewhere = ["kept by another community"]
    assert shown() == [[f"urn:oid:{plain.unique_id}"], elsewhere]
    remove(ward, patient, plain, secret)
    assert shown() == [["no longer here"], elsewhere]


STATUSES = {
    f"$XDS{kind}Status": "('urn:oasis:names:tc:ebxml-regrep:StatusType:Approved')"
    for kind in ("DocumentEntry", "SubmissionSet", "Folder")
}
#: GetAll (ITI TF-2 3.18.4.1.2.4).
GET_ALL = "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3"
