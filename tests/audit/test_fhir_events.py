"""Every interaction over FHIR, every way in which it can end: exactly the right events are on record.

test_every_transaction.py for /fhir, with its node, its table of expected events and its oracle. What is
expected is worked out from MHD's audit profiles and BALP's patterns (fhir-rules 2.2), and from what the log
is for: what was shown of whom, what was fetched, and what somebody tried in vain.
"""

from __future__ import annotations

import base64
import json
import secrets
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.access import over_fhir as f
from tests.access.over_fhir import Call, Paper
from tests.audit import vocabulary as v
from tests.audit.test_every_transaction import (
    CONTENT,
    NOBODY,
    URL,
    Expected,
    Marked,
    World,
    _check_the_end,
    _damage,
    _soon,
    _unsigned,
    _world,
    document,
    new_patient,
)
from tests.audit.test_every_transaction import service as service
from tests.blackbox import messages as m
from tests.blackbox.state import change
from tests.conftest import nodes
from tests.nodes import Node
from xds.audit import dicom, words
from xds.demo.tickets import CLINICIAN, TicketService
from xds.fhir.resources import INTERACTIONS
from xds.store.schema import document_entry

HIDDEN = "NORN_FFL"


@pytest.fixture(scope="module")
def world(
    new_node: Callable[..., Node], service: TicketService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The node of this module; at the end its whole log is looked at."""
    made = _world(new_node, service, tmp_path_factory.mktemp("policy"))
    yield made
    _check_the_end(made)
    made.node.stop()


@pytest.fixture(scope="module")
def postgresql(service: TicketService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same node on the other engine."""
    with nodes("postgresql", tmp_path_factory) as make:
        made = _world(make, service, tmp_path_factory.mktemp("policy"))
        yield made
        _check_the_end(made)


@dataclass(frozen=True)
class Sent:
    """A request, and the events of its success; `about` is what can be read of it, whatever comes of it."""

    call: Call
    events: tuple[Expected, ...]
    about: Expected
    patient: str
    status: int = 200


def ask(world: World, sent: Sent, headers: Mapping[str, str] | None = None, **ticket: Any) -> Any:
    """Send it, with the ticket of a clinician if no headers say who asks; preparations are over."""
    world.personal |= {sent.patient} - {""}
    world.new()
    if headers is None:
        headers = world.bearer(world.ticket("personnel", sent.patient, **ticket))
    own = dict(sent.call.headers) | dict(headers)
    if sent.call.content_type:
        own["Content-Type"] = sent.call.content_type
    method = sent.call.method or sent.call.route.partition(" ")[0]
    return world.http(method, f"/fhir{quote(sent.call.path, safe='/?&=|:$,%')}", own, sent.call.body or None)


# ---- the table: a good request of each interaction, and its events


def _one(world: World, code: str = "N") -> tuple[str, Marked, str]:
    patient = new_patient()
    (one,) = world.filed(patient, code=code)
    return patient, one, f.bare(one.id)


def _find(world: World, code: str = "N") -> Sent:
    patient, one, _ = _one(world, code)
    about = Expected(patient=patient, restful="search")
    call = f.get(f"/DocumentReference?patient.identifier={f.NATIONAL}|{patient}", "DocumentReference")
    return Sent(call, (replace(about, shown=(one.id,), objects="1"),), about, patient)


def _posted(sent: Sent) -> Sent:
    what, _, query = sent.call.path.partition("?")
    body = quote(query, safe="=&").encode()
    call = Call(f"POST {what.strip('/')}/_search", f"{what}/_search", body, f.FORM)
    return replace(sent, call=call)


def _find_lists(world: World) -> Sent:
    patient = new_patient()
    world.filed(patient)
    about = Expected(patient=patient, restful="search")
    path = f"/List?code=submissionset&patient.identifier={f.NATIONAL}|{patient}"
    return Sent(f.get(path, "List"), (replace(about, objects="1"),), about, patient)


def _read(world: World, code: str = "N") -> Sent:
    patient, one, own = _one(world, code)
    about = Expected(patient=patient, restful="read", documents=(one.id,))
    return Sent(f.get(f"/DocumentReference/{own}", "DocumentReference/{id}"), (about,), about, patient)


def _read_list(world: World) -> Sent:
    patient = new_patient()
    world.filed(patient)
    path = f"/fhir/List?code=submissionset&patient.identifier={quote(f.NATIONAL)}%7C{patient}"
    found = world.http("GET", path, world.bearer(world.ticket("personnel", patient)))
    (entry,) = json.loads(found.data)["entry"]
    own = entry["resource"]["id"]
    about = Expected(patient=patient, restful="read", documents=(f"urn:uuid:{own}",))
    return Sent(f.get(f"/List/{own}", "List/{id}"), (about,), about, patient)


def _fetch(world: World, code: str = "N", **headers: str) -> Sent:
    patient, one, own = _one(world, code)
    done = Expected(patient=patient, restful="read", documents=(one.unique_id,))
    call = f.get(f"/Binary/{own}", "Binary/{id}", **headers)
    # What was asked for is the id of the address; what was done is named as ITI-43 names it.
    return Sent(call, (done,), replace(done, documents=(one.id,)), patient)


def paper(patient: str, **more: Any) -> Paper:
    """A document that nobody has yet."""
    return Paper(patient, f"{CONTENT} {secrets.token_hex(4)}".encode(), **more)


def _provide(world: World, **more: Any) -> Sent:
    patient, set_id = new_patient(), m.new_oid()
    some = (paper(patient, **more), paper(patient))
    about = Expected(patient=patient, submission_set=set_id, documents=tuple(each.unique_id for each in some))
    call = f.post("/", f.bundle(patient, *some, set_id=set_id), "")
    return Sent(call, (about,), about, patient)


def _publish(world: World, **more: Any) -> Sent:
    patient = new_patient()
    one = paper(patient, **more)
    about = Expected(patient=patient, submission_set="*", documents=(one.unique_id,), restful="create")
    return Sent(f.post("/DocumentReference", one.inside()), (about,), about, patient, 201)


def _generate(world: World) -> Sent:
    patient, unique_id = new_patient(), m.new_oid()
    about = Expected(patient=patient, submission_set="*", documents=(unique_id,), restful="operation")
    call = f.post("/DocumentReference/$generate-metadata", f.cda(patient, unique_id))
    return Sent(call, (about,), about, patient)


def _change(world: World) -> Sent:
    patient, one, own = _one(world)
    call = f.patch(own, [{"op": "replace", "path": "/securityLabel/0", "value": f.label("R")}])
    done = Expected(patient=patient, submission_set="*", documents=(one.unique_id,))
    about = Expected(patient=patient, documents=(one.id,))
    return Sent(call, (done,), about, patient)


def _remove(world: World) -> Sent:
    patient, set_id = new_patient(), m.new_oid()
    one = document(patient)
    world.file(patient, one, set_id=set_id)
    asked = m.query(m.GET_SET_AND_CONTENTS, {"$XDSSubmissionSetUniqueId": f"'{set_id}'"}, "ObjectRef")
    reply = world.ask("ITI-18", asked, world.ticket("personnel", patient))
    ids = {each.get("id") for each in reply.content().iter("{*}ObjectRef")}
    # With the last document of a set the set goes too, and the link between them.
    done, own = Expected(patient=patient, documents=tuple(ids)), f.bare(one.id)
    about = Expected(patient=patient, documents=(one.id,))
    gone = Expected(patient=patient, documents=(one.unique_id,), number="ITI-86")
    return Sent(f.delete(own), (done, gone), about, patient, 204)


def _validate(world: World, kind: str = "DocumentReference") -> Sent:
    patient = new_patient()
    one = paper(patient)
    resource = one.inside() if kind == "DocumentReference" else f.bundle(patient, one)
    about = Expected(patient=patient, restful="operation")
    return Sent(f.post(f"/{kind}/$validate", resource), (about,), about, patient)


@dataclass(frozen=True)
class Way:
    """One interaction, and a good request."""

    number: str
    good: Callable[[World], Sent]
    name: str

    def __str__(self) -> str:
        return self.name


WAYS = (
    Way("ITI-67", _find, "GET DocumentReference"),
    Way("ITI-67", lambda world: _posted(_find(world)), "POST DocumentReference/_search"),
    Way("ITI-67", _read, "GET DocumentReference/{id}"),
    Way("ITI-66", _find_lists, "GET List"),
    Way("ITI-66", lambda world: _posted(_find_lists(world)), "POST List/_search"),
    Way("ITI-66", _read_list, "GET List/{id}"),
    Way("ITI-68", _fetch, "GET Binary/{id}"),
    Way("ITI-65", _provide, "POST "),
    Way("ITI-105", _publish, "POST DocumentReference"),
    Way("ITI-106", _generate, "POST DocumentReference/$generate-metadata"),
    Way("ITI-57", _change, "PATCH DocumentReference/{id}"),
    Way("ITI-62", _remove, "DELETE DocumentReference/{id}"),
    Way("validate", _validate, "POST DocumentReference/$validate"),
    Way("validate", lambda world: _validate(world, "Bundle"), "POST Bundle/$validate"),
)
ways = pytest.mark.parametrize("way", WAYS, ids=str)
#: Those that look for something or fetch it, and those that change it.
SEARCHES = [way for way in WAYS if "_search" in way.name or way.name in ("GET DocumentReference", "GET List")]
BY_ID = [way for way in WAYS if "{id}" in way.name]
PUBLISHING = [way for way in WAYS if way.number in ("ITI-65", "ITI-105", "ITI-106")]


def test_every_interaction_is_in_the_table() -> None:
    """A new one must have its events here; those of the log are in test_every_transaction.py."""
    there = {f"{each.method} {each.path}" for each in INTERACTIONS if each.kind != "AuditEvent"}
    assert {way.name for way in WAYS} == there


@ways
def test_success(way: Way, world: World) -> None:
    """Each interaction: what was done is on record, with whom it was done to and by whom."""
    sent = way.good(world)
    answer = ask(world, sent)
    assert answer.status == sent.status, answer.data
    world.check(way.number, *sent.events)


@pytest.mark.embedded
@ways
def test_success_on_postgresql(way: Way, postgresql: World) -> None:
    """The other engine."""
    test_success(way, postgresql)


@ways
def test_success_with_a_token(way: Way, world: World) -> None:
    """A HelseID token names no patient; the log does, and the token by its jti."""
    sent = way.good(world)
    token = world.service.token()
    world.secrets.append(token.rpartition(".")[2])
    world.ticket_id = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["jti"]
    method = sent.call.method or sent.call.route.partition(" ")[0]
    headers = world.dpop(token, method, f"/fhir{sent.call.path.partition('?')[0]}")
    answer = ask(world, sent, headers)
    assert answer.status == sent.status, answer.data
    events = sent.events
    if way.number == "validate":  # which is about nobody's record, so nobody is named
        events = tuple(replace(each, patient="") for each in events)
    world.check(way.number, *events)


@ways
@pytest.mark.parametrize("bad", ["no ticket", "a bad signature", "a bad token"])
def test_whoever_is_not_let_in(way: Way, bad: str, world: World) -> None:
    """One event, an authentication that failed, of nobody and about nobody: nothing of the request is
    believed, and what it would have stored is not there.
    """
    sent = way.good(world)
    headers = {
        "no ticket": {},
        "a bad signature": world.bearer(_unsigned(world.ticket("personnel", sent.patient))),
        "a bad token": {"Authorization": "DPoP a.b.c", "DPoP": "a.b.c"},
    }[bad]
    assert ask(world, sent, headers).status == 401
    world.check(way.number, NOBODY)


@ways
def test_a_policy_that_denies(way: Way, world: World) -> None:
    """403; who asked is known, and about whom and what."""
    sent = way.good(world)
    answer = ask(world, sent, purpose="COC")
    assert answer.status == 403, answer.data
    world.check(way.number, replace(sent.about, purpose="COC").refused("access-policy"))


@pytest.mark.parametrize("way", [way for way in WAYS if way.number != "validate"], ids=str)
def test_a_ticket_for_somebody_else(way: Way, world: World) -> None:
    """By name it is refused, by id it is not there; on record with the patient whom it was about."""
    sent, other = way.good(world), new_patient()
    world.personal.add(other)
    headers = world.bearer(world.ticket("personnel", other))
    answer = ask(world, sent, headers)
    if way in BY_ID:
        assert answer.status == 404
        world.check(way.number, sent.about.refused())
    else:
        assert answer.status == 403
        world.check(way.number, sent.about.refused("access-patient"))


@pytest.mark.parametrize("way", BY_ID, ids=str)
def test_an_id_that_nobody_has(way: Way, world: World) -> None:
    """404, on record with the id as it was asked for, and the patient of the ticket."""
    sent, absent = way.good(world), m.new_uuid()
    own = sent.call.path.rpartition("/")[2]
    call = replace(sent.call, path=sent.call.path.replace(own, f.bare(absent)))
    assert ask(world, replace(sent, call=call)).status == 404
    world.check(way.number, replace(sent.about, documents=(absent,)).refused())


@pytest.mark.parametrize("way", BY_ID, ids=str)
def test_a_token_and_an_id_that_nobody_has(way: Way, world: World) -> None:
    """The same 404; the log says why, and no patient, as nobody is known."""
    sent, absent = way.good(world), m.new_uuid()
    own = sent.call.path.rpartition("/")[2]
    call = replace(sent.call, path=sent.call.path.replace(own, f.bare(absent)))
    token = world.service.token()
    world.ticket_id = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["jti"]
    headers = world.dpop(token, call.route.partition(" ")[0], f"/fhir{call.path}")
    assert ask(world, replace(sent, call=call), headers).status == 404
    expected = replace(sent.about, documents=(absent,), patient="")
    world.check(way.number, expected.refused("access-patient"))


@ways
def test_an_answer_that_is_not_acceptable(way: Way, world: World) -> None:
    """406: whoever asked is known, and the address; nothing was shown or done."""
    sent = way.good(world)
    call = replace(sent.call, headers=(("Accept", "image/png"),))
    answer = ask(world, replace(sent, call=call))
    assert answer.status == 406, answer.data
    found = world.new()
    assert [(each.code, each.outcome, each.documents) for each in found if each.outcome == 0] == []
    assert [(each.code, each.outcome) for each in found] == [(way.number, 4)]
    world.check_each()


# ---- searches


@pytest.mark.parametrize("way", SEARCHES, ids=str)
def test_a_search_for_nothing(way: Way, world: World) -> None:
    """That there is nothing is an answer too; the request is on record to the letter, in whatever way it
    came.
    """
    sent, patient = way.good(world), new_patient()
    call = sent.call
    call = replace(
        call,
        path=call.path.replace(sent.patient, patient),
        body=call.body.replace(sent.patient.encode(), patient.encode()),
    )
    answer = ask(world, replace(sent, call=call, patient=patient))
    assert answer.status == 200
    assert json.loads(answer.data)["total"] == 0
    (event,) = world.check(way.number, replace(sent.about, patient=patient, objects="0"))
    method, _, path = call.route.partition(" ")
    assert event.query_text.startswith(f"{method} {URL}/fhir/{path}?")
    assert f"patient.identifier={f.NATIONAL}|{patient}" in event.query_text


@pytest.mark.parametrize("way", SEARCHES, ids=str)
def test_a_search_that_cannot_be_made(way: Way, world: World) -> None:
    """400: refused, with the request."""
    sent = way.good(world)
    call = sent.call
    more = "&date=nais&_count=-1"
    call = replace(call, body=call.body + more.encode() if call.body else b"", path=call.path)
    call = call if call.body else replace(call, path=call.path + more)
    answer = ask(world, replace(sent, call=call))
    assert answer.status == 400, answer.data
    (event,) = world.check(way.number, sent.about.refused())
    assert "date=nais" in event.query_text


def test_pages_of_a_search(world: World) -> None:
    """One event for each page, with what was on that one; the link to the next holds no number."""
    patient = new_patient()
    documents = world.filed(patient, 5)
    path = f"/fhir/DocumentReference?patient.identifier={quote(f.NATIONAL)}%7C{patient}&_count=2"
    left = {each.id for each in documents}
    world.new()
    pages = 0
    while path:
        answer = world.http("GET", path, world.bearer(world.ticket("personnel", patient)))
        bundle = json.loads(answer.data)
        shown = {f"urn:uuid:{each['resource']['id']}" for each in bundle["entry"]}
        about = Expected(patient=patient, restful="search", shown=shown, objects=str(len(shown)))
        world.check("ITI-67", about)
        left -= shown
        pages += 1
        links = {each["relation"]: each["url"] for each in bundle["link"]}
        path = links.get("next", "").removeprefix(URL)
        assert patient not in path
    assert (pages, left) == (3, set())


def test_how_many_there_are(world: World) -> None:
    """_summary=count shows no document: the number is on record and nothing else."""
    patient = new_patient()
    world.filed(patient, 2)
    path = f"/fhir/DocumentReference?patient.identifier={quote(f.NATIONAL)}%7C{patient}&_summary=count"
    world.new()
    answer = world.http("GET", path, world.bearer(world.ticket("personnel", patient)))
    assert json.loads(answer.data)["total"] == 2
    (event,) = world.check("ITI-67", Expected(patient=patient, restful="search", objects="0"))
    assert "_summary=count" in event.query_text


def test_a_machine_finds_documents_of_somebody_by_their_id(world: World) -> None:
    """Nobody is named by ticket or request; the log has whose they are."""
    patient, one, own = _one(world)
    world.new()
    token = world.token("nhn:phr-repo/mhd/create")
    path = f"/fhir/DocumentReference?_id={own}"
    answer = world.http("GET", path, world.dpop(token, "GET", "/fhir/DocumentReference"))
    assert answer.status == 200
    about = Expected(patient=patient, who="machine", restful="search", shown=(one.id,), objects="1")
    world.check("ITI-67", about)


# ---- documents

PARTS: Mapping[str, tuple[dict[str, str], str, int]] = {
    "HEAD": ({}, "HEAD", 200),
    "a part": ({"Range": "bytes=0-3"}, "GET", 206),
    "the last part": ({"Range": "bytes=-3"}, "GET", 206),
    "as a resource": ({"Accept": "application/fhir+json"}, "GET", 200),
    "what somebody has already": ({"If_None_Match": "*"}, "GET", 304),
    "that and another": ({"If_None_Match": '"x", "y"'}, "GET", 200),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_document_in_part(part: str, world: World) -> None:
    """Whoever gets any of it, or is told that it is the one they have, has read it."""
    headers, method, status = PARTS[part]
    sent = _fetch(world, **headers)
    answer = ask(world, replace(sent, call=replace(sent.call, method=method)))
    assert answer.status == status, answer.data
    world.check("ITI-68", *sent.events)


def test_a_part_that_there_is_not(world: World) -> None:
    """416: a failure is on record, with the document."""
    sent = _fetch(world, Range="bytes=90000-")
    assert ask(world, sent).status == 416
    found = world.new()
    assert (found[-1].code, found[-1].outcome, found[-1].pid is not None) == ("ITI-68", 4, True)
    assert len(found) <= 2
    world.check_each()


def test_a_document_that_was_replaced(world: World) -> None:
    """410: there was such a document, and it is named."""
    patient, one, own = _one(world)
    newer = paper(patient, relates_to=(f.related("replaces", identifier=one.unique_id),))
    ticket = world.bearer(world.ticket("personnel", patient))
    assert (
        world.http(
            "POST",
            "/fhir/DocumentReference",
            {**ticket, "Content-Type": f.FHIR_JSON},
            json.dumps(newer.inside()).encode(),
        ).status
        == 201
    )
    sent = Sent(f.get(f"/Binary/{own}"), (), Expected(patient=patient, documents=(one.unique_id,)), patient)
    assert ask(world, sent).status == 410
    world.check("ITI-68", replace(sent.about, restful="read").refused("retrieve-document"))


def test_a_damaged_document(world: World) -> None:
    """Nothing of it goes out, and it is not on record as fetched."""
    patient, one, own = _one(world)
    _damage(world, one)
    sent = Sent(f.get(f"/Binary/{own}"), (), Expected(patient=patient, documents=(one.unique_id,)), patient)
    assert ask(world, sent).status == 500
    world.check("ITI-68", replace(sent.about, restful="read").refused("retrieve-intact"))


def test_a_download_that_breaks_off(world: World) -> None:
    """Whoever hangs up in the middle has fetched it: once, and no more."""
    patient = new_patient()
    one = Paper(patient, CONTENT.encode() + secrets.token_bytes(20_000_000))
    made = ask(world, Sent(f.post("/DocumentReference", one.inside()), (), Expected(), patient))
    assert made.status == 201, made.data
    own = made.headers["Location"].rpartition("/")[2]
    world.new()
    headers = world.bearer(world.ticket("personnel", patient))
    world.sent = {}
    with socket.create_connection(("127.0.0.1", world.node.port), timeout=10) as connection:
        lines = [f"GET /fhir/Binary/{own} HTTP/1.1", "Host: x"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    (event,) = _soon(world)
    assert (event.code, event.outcome, event.documents) == ("ITI-68", 0, [one.unique_id])
    time.sleep(0.5)
    assert world.new() == []


@pytest.mark.parametrize("by", ["search", "id"])
def test_a_blocked_document_that_is_listed(by: str, world: World) -> None:
    """It is on record as masked, not as shown; read by its id, it is named."""
    sent = _find(world, "NORS") if by == "search" else _read(world, "NORS")
    assert ask(world, sent).status == 200
    (event,) = sent.events
    expected = replace(event, shown=(), masked=event.shown) if by == "search" else event
    world.check("ITI-67", expected)


def test_a_blocked_document_that_is_asked_for(world: World) -> None:
    """403, with the rule; what stays closed is a failure, whatever part is asked for, and whatever hash."""
    sent = _fetch(world, "NORS")
    about = sent.events[0].refused("retrieve-blocked")
    for headers in ((), (("Range", "bytes=0-3"),), (("If-None-Match", "*"),), (("Accept", "image/png"),)):
        call = replace(sent.call, headers=headers)
        answer = ask(world, replace(sent, call=call))
        assert answer.status == 403, answer.data
        assert b"[retrieve-blocked]" in answer.data
        world.check("ITI-68", about)


@pytest.mark.parametrize("purpose", ["ETREAT", "BTG"])
def test_a_blocked_document_that_is_opened(purpose: str, world: World) -> None:
    """In an emergency: listed and fetched whole, and each event is marked."""
    for number, sent in (
        ("ITI-67", _find(world, "NORS")),
        ("ITI-67", _read(world, "NORS")),
        ("ITI-68", _fetch(world, "NORS")),
    ):
        assert ask(world, sent, purpose=purpose).status == 200
        (event,) = world.check(number, replace(sent.events[0], purpose=purpose, opened=True))
        (access,) = event.entities(v.CONSENT)
        details = {each["type"]: each["valueString"] for each in access["detail"]}
        assert (details["policy"], details["rule"]) == ("all", "personnel-emergency")


def test_a_blocked_document_that_is_opened_by_consent(world: World) -> None:
    """The patient has consented (access policy .5): fetched, and marked as opened."""
    sent = _fetch(world, "NORS")
    answer = ask(world, sent, acp="5")
    assert answer.status == 200, answer.data
    world.check("ITI-68", replace(sent.events[0], opened=True))


def test_what_is_hidden_is_on_record_as_if_it_were_not_there(world: World) -> None:
    """A citizen's list and read: shown is what is shown."""
    patient = new_patient()
    (plain,), (hidden,) = world.filed(patient), world.filed(patient, code=HIDDEN)
    headers = world.bearer(world.ticket("citizen", patient))
    about = Expected(patient=patient, who="citizen", restful="search")
    call = f.get(f"/DocumentReference?patient.identifier={f.NATIONAL}|{patient}")
    assert ask(world, Sent(call, (), about, patient), headers).status == 200
    world.check("ITI-67", replace(about, shown=(plain.id,), objects="1"))
    for kind, number in (("Binary", "ITI-68"), ("DocumentReference", "ITI-67")):
        call = f.get(f"/{kind}/{f.bare(hidden.id)}")
        assert ask(world, Sent(call, (), about, patient), headers).status == 404
        expected = Expected(patient=patient, who="citizen", restful="read", documents=(hidden.id,))
        world.check(number, expected.refused())


def test_the_log_tells_nobody_whether_what_they_asked_for_is_there(world: World) -> None:
    """A patient's own attempt in vain looks the same in their log, whether something is hidden or not."""
    patient = new_patient()
    (hidden,) = world.filed(patient, code=HIDDEN)
    headers = world.bearer(world.ticket("citizen", patient))
    told = []
    for own in (hidden.id, m.new_uuid()):
        call = f.get(f"/Binary/{f.bare(own)}")
        assert ask(world, Sent(call, (), Expected(), patient), headers).status == 404
        (event,) = world.new()
        one = world.http("GET", f"/fhir/AuditEvent/{event.event['id']}", headers)
        some = world.http("GET", "/fhir/AuditEvent?date=ge2020&subtype=ITI-68", headers)
        bundle = json.loads(some.data)
        told.append((one.status, len(bundle.get("entry", ()))))
        assert f.bare(own) not in json.dumps(bundle.get("entry", ()))
    assert told[0] == told[1]


# ---- publishing


@pytest.mark.parametrize("way", PUBLISHING, ids=str)
def test_what_is_published_again(way: Way, world: World) -> None:
    """A Bundle that is sent again changes nothing and succeeds; a document by itself is there already."""
    sent = way.good(world)
    assert ask(world, sent).status == sent.status
    world.check(way.number, *sent.events)
    answer = ask(world, sent)
    if way.number == "ITI-65":
        assert answer.status == 200, answer.data
        world.check(way.number, *sent.events)
    else:
        assert answer.status in (200, 201, 409), answer.data
        found = world.new()
        assert [(each.code, each.patients) for each in found] == [(way.number, {sent.patient})]
        world.check_each()


BROKEN: Mapping[str, tuple[Callable[[World], Sent], str, int, tuple[str, ...]]] = {
    "no type": (lambda w: _provide(w, without=("type",)), "ITI-65", 422, ("DE-typeCode-required",)),
    "one document": (lambda w: _publish(w, without=("type",)), "ITI-105", 422, ("DE-typeCode-required",)),
    "a relation to nothing": (
        lambda w: _publish(w, relates_to=(f.related("replaces", identifier="1.2.3"),)),
        "ITI-105",
        422,
        ("mhd-related",),
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_a_rule(what: str, world: World) -> None:
    """422 with every rule; on record as what came to nothing."""
    make, number, status, rules = BROKEN[what]
    sent = make(world)
    answer = ask(world, sent)
    assert answer.status == status, answer.data
    (event,) = world.new()
    assert (event.code, event.outcome) == (number, 4)
    assert all(f"[{rule}]" in event.reason for rule in rules)
    world.check_each()


BODIES: Mapping[str, tuple[bytes, str, int]] = {
    "no JSON": (b"{", f.FHIR_JSON, 400),
    "nothing": (b"", f.FHIR_JSON, 400),
    "a list": (b"[]", f.FHIR_JSON, 400),
    "another resource": (b'{"resourceType":"Patient"}', f.FHIR_JSON, 0),
    "no R4": (b'{"resourceType":"Bundle","type":"transaction","nothing":1}', f.FHIR_JSON, 0),
    "another media type": (b"x", "text/plain", 415),
    "bad XML": (b"<Bundle", "application/fhir+xml", 400),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("way", [way for way in WAYS if "POST" in way.name and way not in SEARCHES], ids=str)
def test_a_body_that_cannot_be_read(way: Way, body: str, world: World) -> None:
    """One event of who asked; the patient is the ticket's, as the body says nothing."""
    data, kind, status = BODIES[body]
    sent = way.good(world)
    call = replace(sent.call, body=data, content_type=kind)
    answer = ask(world, replace(sent, call=call))
    assert answer.status == status or (not status and answer.status in (200, 400, 422)), answer.data
    (event,) = world.new()
    outcomes = {0, 4} if way.number == "validate" else {4}
    assert (event.code, event.outcome in outcomes, event.patients) == (way.number, True, {sent.patient})
    world.check_each()


def test_what_is_not_valid_is_on_record_as_looked_at(world: World) -> None:
    """$validate finds something wrong with a Bundle: that is its success; nothing is stored."""
    patient = new_patient()
    call = f.post("/Bundle/$validate", f.bundle(patient, paper(patient, without=("type",))))
    about = Expected(patient=patient, restful="operation")
    answer = ask(world, Sent(call, (), about, patient))
    assert (answer.status, b"DE-typeCode-required" in answer.data) == (200, True)
    world.check("validate", about)


def test_a_request_that_breaks_off(world: World) -> None:
    """The sender hangs up in the middle of a Bundle: one event, and nothing is staged."""
    patient = new_patient()
    world.new()
    headers = world.bearer(world.ticket("personnel", patient))
    world.sent = {}
    with socket.create_connection(("127.0.0.1", world.node.port), timeout=10) as connection:
        lines = ["POST /fhir HTTP/1.1", "Host: x", f"Content-Type: {f.FHIR_JSON}", "Content-Length: 5000"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        connection.sendall(("\r\n".join(lines) + '\r\n\r\n{"resourceType":"Bundle"').encode())
        time.sleep(0.3)
    (event,) = _soon(world)
    assert (event.code, event.outcome in (4, 8), event.patients) == ("ITI-65", True, {patient})
    world.check_each()


# ---- what there is not

NOWHERE = (
    ("PUT", "/DocumentReference/{id}", "ITI-67"),
    ("DELETE", "/Binary/{id}", "ITI-68"),
    ("PUT", "/List/{id}", "ITI-66"),
    ("GET", "/Bundle/$validate", "validate"),
    ("GET", "/Patient/{id}", ""),
    ("GET", "/DocumentReference/{id}/_history", ""),
)


@pytest.mark.parametrize(("method", "path", "number"), NOWHERE)
def test_what_cannot_be_done(method: str, path: str, number: str, world: World) -> None:
    """404 or 405, on record with who asked, and with nothing of an address that could be a person's."""
    patient = new_patient()
    sent = Sent(Call(f"{method} ", path.format(id=patient)), (), Expected(), patient)
    assert ask(world, sent).status in (404, 405)
    (event,) = world.new()
    assert (event.code, event.outcome, event.documents, event.query_text) == (number, 4, [], "")
    assert event.patients == {patient}
    world.check_each("is rest" if number else "no transaction")


# ---- a log that cannot be written


@pytest.fixture
def full(
    new_node: Callable[..., Node], service: TicketService, tmp_path: Path
) -> Iterator[tuple[World, Callable[[], None]]]:
    """A node, and how its log comes to take nothing more."""
    made = _world(new_node, service, tmp_path)

    def fill() -> None:
        with sqlite3.connect(made.node.folder / "xds.db", timeout=30) as connection:
            connection.execute(
                "CREATE TRIGGER full BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
        connection.close()

    yield made, fill
    made.node.stop()


@pytest.mark.embedded
def test_what_cannot_be_on_record_is_not_shown_and_not_done(
    full: tuple[World, Callable[[], None]],
) -> None:
    """Of every interaction: an error instead of an answer, with nothing of anybody; and nothing is stored
    or gone.
    """
    world, fill = full
    prepared = [(way, way.good(world)) for way in WAYS]
    world.new()

    def stored() -> tuple[Any, ...]:
        with sqlite3.connect(world.node.folder / "xds.db", timeout=30) as connection:
            tables = ("document_entry", "submission_set", "association", "stored_document", "uid_claim")
            found = [connection.execute(f"SELECT count(*) FROM {each}").fetchone() for each in tables]
        connection.close()
        return tuple(found)

    before = stored()
    fill()
    for way, sent in prepared:
        answer = ask(world, sent)
        assert answer.status >= 500, way
        outcome = json.loads(answer.data)
        assert outcome["resourceType"] == "OperationOutcome"
        assert CONTENT.encode() not in answer.data
        assert sent.patient not in answer.data.decode()
    assert stored() == before
    assert world.new() == []


def test_an_error_of_the_node_itself(full: tuple[World, Callable[[], None]]) -> None:
    """What is stored cannot be read: 500 that says nothing, and one event of a fault, with what is known."""
    world, _ = full
    for number, make in (("ITI-67", _find), ("ITI-67", _read), ("ITI-68", _fetch)):
        sent = make(world)
        change(world.node, document_entry.update().values(body=b"\0"))
        answer = ask(world, sent)
        assert (answer.status, json.loads(answer.data)["issue"][0]["code"]) == (500, "exception")
        world.check(number, sent.about.refused(outcome="8"))


# ---- where events go


@ways
def test_events_go_out_as_dicom_and_in_words(way: Way, world: World) -> None:
    """Each event is an audit message too, and a line that says what was done."""
    sent = way.good(world)
    ask(world, sent)
    for event in world.new():
        message = dicom.message(event.event)
        assert event.code.encode() in message or event.code == ""
        assert (b"RESTful" in message) == (event.type[1] == "rest")
        said = words.line(event.event)
        assert said.what.startswith(WORDS[way.name] if event.code == way.number else "removed: "), said
        assert said.outcome.startswith("done")
        assert (said.patient, "Tuva Fjell" in said.who) == (sent.patient, True)


WORDS = {
    "GET DocumentReference": "asked for: Find Document References",
    "POST DocumentReference/_search": "asked for: Find Document References",
    "GET DocumentReference/{id}": "fetched: Metadata of a document urn:uuid:",
    "GET List": "asked for: Find Document Lists",
    "POST List/_search": "asked for: Find Document Lists",
    "GET List/{id}": "fetched: A submission set or folder urn:uuid:",
    "GET Binary/{id}": "fetched: A document urn:oid:2.25.",
    "POST ": "registered: Provide Document Bundle urn:oid:2.25.",
    "POST DocumentReference": "registered: A document with its metadata urn:oid:2.25.",
    "POST DocumentReference/$generate-metadata": "registered: A document, with metadata from its header",
    "PATCH DocumentReference/{id}": "changed: Update Document Set",
    "DELETE DocumentReference/{id}": "removed: Remove Metadata",
    "POST DocumentReference/$validate": "asked for: Validation of a resource",
    "POST Bundle/$validate": "asked for: Validation of a resource",
}


@ways
def test_events_are_found_by_what_they_are(way: Way, world: World) -> None:
    """ITI-81: by each of their codes, with the system and without, the patient finds what was done."""
    sent = way.good(world)
    ask(world, sent)
    (event, *_) = world.new()
    citizen = world.bearer(world.ticket("citizen", sent.patient))
    for system, code in event.subtypes:
        for value in (code, f"{system}|{code}"):
            path = f"/fhir/AuditEvent?date=ge2020&subtype={quote(value)}&agent-name=Tuva"
            found = json.loads(world.http("GET", path, citizen).data)
            ids = [each["resource"]["id"] for each in found.get("entry", ())]
            assert event.event["id"] in ids, path
    path = f"/fhir/AuditEvent?date=ge2020&type={event.type[1]}&outcome=0"
    found = json.loads(world.http("GET", path, citizen).data)
    assert event.event["id"] in [each["resource"]["id"] for each in found["entry"]]
    assert CLINICIAN not in json.dumps(found)
