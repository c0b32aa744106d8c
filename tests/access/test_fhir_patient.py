"""Whom a request over FHIR is about, and that there is no way round the answer, on a real node.

A SAML assertion is for the patient that it names. A HelseID token names nobody, so the request does. Each
test is a table of requests and the status that each must get; who may see what of a record is walked in
test_every_fhir_path.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.access import over_fhir as f
from tests.access.over_fhir import NATIONAL, NIN, Call, Client, Paper, Who
from tests.access.test_every_path import TODAY, number
from tests.audit.reading_log import rows
from tests.blackbox import messages as m
from tests.blackbox.wire import Reply
from tests.nodes import Node
from xds.demo.tickets import CLINICIAN, GUARDIAN, TicketService

CREATE, DELETE = "nhn:phr-repo/mhd/create", "nhn:phr-repo/delete-docs-and-refs"
ABSENT = f.bare(m.new_uuid())


def _patient(which: int) -> str:
    return number(TODAY.replace(year=1952, month=1, day=2), which)


ANNA, BO, REFUSING, EMPTY, NOBODY = (_patient(each) for each in range(5))


@dataclass(frozen=True)
class House:
    """A node with the policy that comes with xds, and a document of each of three patients."""

    client: Client
    of: dict[str, str]

    @property
    def service(self) -> TicketService:
        """The tickets that the node believes."""
        return self.client.service

    def ask(self, who: Who, call: Call) -> Reply:
        """One request."""
        return self.client.ask(who, call)

    def status(self, who: Who, call: Call) -> int:
        """How it ends; never with a fault."""
        found = self.ask(who, call).status
        assert found < 500, self.client.node.errors()
        return found


@pytest.fixture(scope="module")
def house(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> House:
    """The node; one of the patients refuses this clinician, and one has a document that nobody sees."""
    service = TicketService(tmp_path_factory.mktemp("tickets"))
    client = Client(new_node(access__ticket="required", trust=service.trust), service)
    machine = f.token(service, machine=True, scopes=[CREATE])
    of = {}
    for patient in (ANNA, BO, REFUSING):
        reply = client.ask(machine, f.post("/DocumentReference", Paper(patient).inside()))
        assert reply.status == 201, reply.body
        of[patient] = json.loads(reply.body)["id"]
    arguments = ("privacy", "refuse", "--patient", REFUSING, "--whom", f"person:{CLINICIAN}")
    done = client.node.command(*arguments)
    assert done.returncode == 0, done.stderr
    return House(client, of)


def _search(patient: str, what: str = "DocumentReference", more: str = "") -> Call:
    return f.get(f"/{what}?patient.identifier={NATIONAL}|{patient}{more}", what)


def _told(reply: Reply) -> tuple[int, bytes]:
    return reply.status, re.sub(rb"reference [0-9a-f]{12}", b"", reply.body)


# ---- who may name whom


@pytest.mark.parametrize("kind", ["personnel", "citizen", "representative", "hso", "xua"])
def test_an_assertion_is_for_the_patient_that_it_names(kind: str, house: House) -> None:
    """Somebody else is refused by parameter and by header, in the same words whether they are there or not;
    their document is like one that nobody has.
    """
    who = f.saml(house.service, kind, ANNA)
    assert house.status(who, _search(ANNA)) == 200
    assert house.status(who, f.get(f"/Binary/{house.of[ANNA]}")) == 200
    for what, more in (("DocumentReference", ""), ("List", "&code=folder")):
        answers = {_told(house.ask(who, _search(each, what, more))) for each in (BO, REFUSING, NOBODY)}
        ((status, body),) = answers
        assert (status, b"[access-patient]" in body) == (403, True)
    for path in (f"/DocumentReference/{house.of[ANNA]}", f"/Binary/{house.of[ANNA]}", f"/Binary/{ABSENT}"):
        call = f.get(path)
        assert house.status(who, call.with_headers(nhn_patient_nin=ANNA)) == (404 if ABSENT in path else 200)
        told = {
            _told(house.ask(who, call.with_headers(nhn_patient_nin=each))) for each in (BO, REFUSING, NOBODY)
        }
        ((status, body),) = told
        assert (status, b"[access-patient]" in body) == (403, True)
    for kind_ in ("DocumentReference", "Binary", "List"):
        ids = (ABSENT, house.of[BO], house.of[REFUSING])
        ((status, _),) = {_told(house.ask(who, f.get(f"/{kind_}/{each}"))) for each in ids}
        assert status == 404


def test_a_token_of_personnel_is_for_whom_the_request_names(house: House) -> None:
    """By parameter, by header, or else by the id of what is theirs; never for somebody beside."""
    named, unnamed = f.token(house.service, patient=ANNA), f.token(house.service)
    for who, call, status in (
        (unnamed, _search(ANNA), 200),
        (unnamed, _search(ANNA, "List", "&code=submissionset"), 200),
        (named, _search(ANNA), 200),
        (named, f.get(f"/DocumentReference?_id={house.of[ANNA]}"), 200),
        (unnamed, f.get(f"/DocumentReference?_id={house.of[ANNA]}"), 403),
        (unnamed, f.get(f"/DocumentReference?identifier={ABSENT}"), 403),
        (unnamed, f.get(f"/DocumentReference/{house.of[ANNA]}"), 200),
        (unnamed, f.get(f"/Binary/{house.of[BO]}"), 200),
        (named, f.get(f"/Binary/{house.of[ANNA]}"), 200),
        (named, f.get(f"/Binary/{house.of[BO]}"), 404),
        (named, f.get(f"/DocumentReference/{house.of[BO]}"), 404),
        (named, f.post("/DocumentReference", Paper(BO).inside()), 400),
        (named, f.post("/DocumentReference", Paper(ANNA).inside()), 201),
        (unnamed, f.post("/DocumentReference", Paper(BO).inside()), 201),
        (unnamed, f.post("/", f.bundle(BO, Paper(BO)), ""), 200),
        (unnamed, f.post("/DocumentReference/$validate", Paper(BO).inside()), 200),
        (unnamed, f.post("/Bundle/$validate", f.bundle(BO, Paper(BO))), 200),
        (unnamed, f.get("/AuditEvent?date=ge2020"), 403),
        (named, f.get("/AuditEvent?date=ge2020"), 200),
        # Who deletes is a machine, by the policy that comes with xds.
        (unnamed, f.delete(house.of[ANNA]), 403),
        (unnamed, f.delete(ABSENT), 403),
    ):
        assert house.status(who, call) == status, call
    found = json.loads(house.ask(named, f.get(f"/DocumentReference?_id={house.of[BO]}")).body)
    assert found["total"] == 0


@pytest.mark.parametrize("named", ["", ANNA, REFUSING, EMPTY, NOBODY])
@pytest.mark.parametrize("kind", ["DocumentReference", "Binary", "List"])
def test_what_is_not_for_personnel_is_one_answer(kind: str, named: str, house: House) -> None:
    """Nobody's id, that of somebody else than is named, that of a patient who refuses: 404, word for word."""
    who = f.token(house.service, patient=named)
    ids = [ABSENT, house.of[REFUSING]] + ([house.of[BO]] if named else [])
    answers = {_told(house.ask(who, f.get(f"/{kind}/{each}"))) for each in ids}
    ((status, body),) = answers
    assert (status, json.loads(body)["issue"][0]["code"]) == (404, "not-found")


def test_a_record_that_refuses_is_as_one_that_is_empty(house: House) -> None:
    """A search by name tells nothing apart either: no record, an empty one, one that is closed."""
    who = f.token(house.service)
    found = [json.loads(house.ask(who, _search(each)).body) for each in (REFUSING, EMPTY, NOBODY)]
    assert [each["total"] for each in found] == [0, 0, 0]
    assert all("entry" not in each for each in found)


def test_a_machine_has_what_its_scopes_give(house: House) -> None:
    """Whoever the patient is: listing and publishing by one scope, removing by another, documents by none;
    a header opens nothing.
    """
    creating, deleting, reading = (
        f.token(house.service, machine=True, scopes=scopes)
        for scopes in ([CREATE], [DELETE], ["nhn:phr/mhd/read-document"])
    )
    gone = json.loads(house.ask(creating, f.post("/DocumentReference", Paper(BO).inside())).body)["id"]
    for who, call, status in (
        (creating, _search(BO), 200),
        (creating, f.get(f"/DocumentReference/{house.of[REFUSING]}"), 200),
        (creating, f.get(f"/Binary/{house.of[BO]}"), 403),
        (creating, f.get(f"/Binary/{ABSENT}"), 403),
        (creating, f.get(f"/Binary/{house.of[BO]}").with_headers(nhn_patient_nin=BO), 403),
        (creating, f.delete(gone), 403),
        (creating, f.post("/Bundle/$validate", f.bundle(BO, Paper(BO))), 200),
        (reading, _search(BO), 403),
        (reading, _search(BO).with_headers(nhn_patient_nin=BO), 403),
        (reading, f.get(f"/Binary/{house.of[BO]}"), 403),
        (reading, f.post("/Bundle/$validate", f.bundle(BO, Paper(BO))), 403),
        (deleting, f.get(f"/DocumentReference/{gone}"), 403),
        (deleting, f.post("/", f.bundle(BO, Paper(BO)), ""), 403),
        (deleting, f.delete(gone), 204),
        (deleting, f.delete(gone), 404),
        (deleting, f.delete(ABSENT), 404),
    ):
        assert house.status(who, call) == status, call


@pytest.mark.parametrize("kind", ["citizen", "representative"])
def test_citizens_read_and_do_nothing_else(kind: str, house: House) -> None:
    """By the policy that comes with xds: 403, whether there is anything of that id or not."""
    who = f.saml(house.service, kind, ANNA)
    label = [{"op": "replace", "path": "/securityLabel/0", "value": f.label("R")}]
    calls = [
        f.post("/", f.bundle(ANNA, Paper(ANNA)), ""),
        f.post("/DocumentReference", Paper(ANNA).inside()),
        f.post("/DocumentReference/$generate-metadata", f.cda(ANNA, m.new_oid())),
        f.post("/DocumentReference/$validate", Paper(ANNA).inside()),
        f.post("/Bundle/$validate", f.bundle(ANNA, Paper(ANNA))),
        f.post("/Bundle/$validate", {"resourceType": "Bundle", "type": "transaction"}),
        *(f.patch(own, label) for own in (house.of[ANNA], house.of[BO], ABSENT)),
        *(f.delete(own) for own in (house.of[ANNA], house.of[BO], ABSENT)),
    ]
    for call in calls:
        reply = house.ask(who, call)
        assert (reply.status, f.rules(reply)) == (403, {"access-policy"}), call
    assert house.status(who, f.get(f"/Binary/{house.of[ANNA]}")) == 200


# ---- ways round

SPELLINGS = (
    "rubbish",
    "",
    " ",
    "0",
    ANNA[:-1],
    f"{ANNA}0",
    f"{ANNA},{ANNA}",
    f"{ANNA}, {BO}",
    f"{NATIONAL}|",
    f"|{ANNA}|",
    f"{ANNA}^^^&{m.AUTHORITY}&ISO",
    "' OR 1=1 --",
    "%00",
    "\u00e6\u00f8\u00e5",
    "1" * 3000,
)


@pytest.mark.parametrize("spelling", SPELLINGS, ids=range(len(SPELLINGS)))
def test_a_header_that_names_nobody(spelling: str, house: House) -> None:
    """400, and nothing is looked for; the answer does not say it again."""
    for who in (f.token(house.service), f.saml(house.service, "citizen", ANNA)):
        for path in (
            f"/DocumentReference/{house.of[ANNA]}",
            f"/Binary/{house.of[ANNA]}",
            f"/Binary/{ABSENT}",
        ):
            reply = house.ask(
                who, f.get(path).with_headers(nhn_patient_nin=spelling.encode().decode("latin-1"))
            )
            assert reply.status == 400, reply.body
            assert len(spelling) < 3 or spelling.encode() not in reply.body
        call = _search(ANNA).with_headers(nhn_patient_nin=spelling.encode().decode("latin-1"))
        assert house.status(who, call) == 400


def test_headers_that_disagree(house: House) -> None:
    """With each other, with the parameter, with what is published: 400; what is named twice alike is one."""
    who = f.token(house.service)
    two = (*_search(ANNA).headers, (NIN, ANNA), (NIN, BO))
    for call, status in (
        (_search(ANNA).with_headers(nhn_patient_nin=ANNA), 200),
        (_search(ANNA).with_headers(NHN_PATIENT_NIN=ANNA), 200),
        (_search(ANNA).with_headers(nhn_patient_nin=f"{NATIONAL}|{ANNA}"), 200),
        (_search(ANNA).with_headers(nhn_patient_nin=BO), 400),
        (replace(_search(ANNA), headers=two), 400),
        (replace(f.get(f"/Binary/{house.of[ANNA]}"), headers=two), 400),
        (_search(ANNA, more=f"&patient.identifier={NATIONAL}|{BO}"), 400),
        (_search(ANNA, more=f"&patient={BO}"), 400),
        (_search(ANNA, more=f"&subject.identifier={NATIONAL}|{ANNA}"), 200),
        (_search(f"{ANNA},{NATIONAL}|{BO}"), 400),
        (f.post("/", f.bundle(ANNA, Paper(ANNA)), "").with_headers(nhn_patient_nin=BO), 400),
    ):
        assert house.status(who, call) == status, call
    posted = f"patient.identifier={NATIONAL}%7C{BO}".encode()
    call = Call("POST", f"/DocumentReference/_search?patient.identifier={NATIONAL}%7C{ANNA}", posted, f.FORM)
    assert house.status(who, call) == 400


def test_nobody_is_on_record_who_was_not_asked_about(house: House) -> None:
    """A header that names somebody else than the ticket is refused, and it is on record as that."""
    who = f.saml(house.service, "citizen", ANNA)
    last = max(each.seq for each in rows(house.client.node.database_url))
    for call in (_search(ANNA), f.get(f"/Binary/{house.of[ANNA]}")):
        assert house.status(who, call.with_headers(nhn_patient_nin=BO)) in (400, 403)
    new = [each for each in rows(house.client.node.database_url) if each.seq > last]
    assert [each.outcome for each in new] == [4, 4]
    assert all(not each.listed("shown") for each in new)


@dataclass(frozen=True)
class Trick:
    """A way to write an address, and what it comes to for Bo, of whom something is there, and for nobody."""

    name: str
    path: str
    status: int
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


TRICKS = (
    Trick("capitals", "/DocumentReference/{UPPER}", 404),
    Trick("an escaped id", "/DocumentReference/{escaped}", 404),
    Trick("a slash at the end", "/DocumentReference/{id}/", 404),
    Trick("two slashes", "//DocumentReference/{id}", 404),
    Trick("slashes between", "/DocumentReference//{id}", 404),
    Trick("an escaped slash", "/DocumentReference%2F{id}", 404),
    Trick("another type first", "/Binary/../DocumentReference/{id}", 404),
    Trick("escaped dots", "/Binary/%2e%2e/DocumentReference/{id}", 404),
    Trick("a URN", "/DocumentReference/urn:uuid:{id}", 404),
    Trick("braces", "/DocumentReference/{{{id}}}", 404),
    Trick("without hyphens", "/DocumentReference/{digits}", 404),
    Trick("a version", "/DocumentReference/{id}/_history/1", 404),
    Trick("versions", "/DocumentReference/{id}/_history", 404),
    Trick("a part of metadata", "/metadata/DocumentReference/{id}", 404),
    Trick("behind metadata", "/metadata/../DocumentReference/{id}", 404),
    Trick("a null", "/DocumentReference/{id}%00", 404),
    Trick("a new line", "/DocumentReference/{id}%0a", 404),
    Trick("a path parameter", "/DocumentReference/{id};x=1", 404),
    Trick("not UTF-8", "/DocumentReference/%ff{id}", 404),
    Trick("a search for an id", "/DocumentReference/_search/{id}", 404),
    Trick("everything of a patient", "/DocumentReference/{id}/$everything", 404),
    Trick("another type", "/Patient/{id}", 404),
    Trick("HEAD", "/Binary/{id}", 404, "HEAD"),
    Trick("OPTIONS", "/Binary/{id}", 405, "OPTIONS"),
    Trick("TRACE", "/Binary/{id}", 405, "TRACE"),
    Trick("PUT", "/DocumentReference/{id}", 405, "PUT", body=b"{}"),
    Trick("POST to an id", "/DocumentReference/{id}", 405, "POST", body=b"{}"),
    Trick("a search of a Binary", "/Binary/_search?_id={id}", 405, "POST"),
    Trick("a Binary of that name", "/Binary/_search?_id={id}", 404),
    Trick("a search by GET", "/DocumentReference/_search?_id={id}", 405),
    Trick("everything there is", "/Binary", 404),
    Trick("no type", "/?_id={id}", 405),
    Trick("XML", "/Binary/{id}?_format=xml", 404),
    Trick("another form", "/DocumentReference/{id}?_format=ttl", 406),
    Trick("a form that is a path", "/DocumentReference/{id}?_format=../../etc", 406),
    Trick("forms", "/DocumentReference/{id}?_format=xml&_format=json", 404),
    Trick("another version of FHIR", "/DocumentReference/{id}?fhirVersion=5.0", 406),
    Trick(
        "another method by header",
        "/DocumentReference/{id}",
        405,
        "POST",
        (("X-HTTP-Method-Override", "GET"), ("X-HTTP-Method", "DELETE"), ("X-Method-Override", "PATCH")),
    ),
    Trick("another address by header", "/DocumentReference", 400, headers=(("X-Original-URL", "/metadata"),)),
    Trick("another host", "/Binary/{id}", 404, headers=(("X-Forwarded-Host", "example.org"),)),
    Trick("another prefix", "/Binary/{id}", 404, headers=(("X-Forwarded-Prefix", "/fhir/metadata"),)),
)


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.name)
def test_there_is_no_way_round(trick: Trick, house: House) -> None:
    """Each spelling is refused for somebody else's document and for one that nobody has, in the same words;
    and without a ticket it is not answered at all.
    """
    who = f.saml(house.service, "citizen", ANNA)

    def call(own: str) -> Call:
        path = trick.path.format(
            id=own,
            UPPER=own.upper(),
            digits=own.replace("-", ""),
            escaped="".join(f"%{ord(each):02x}" for each in own),
        )
        kind = f.FORM if "_search" in path else f.FHIR_JSON
        return Call(f"{trick.method} ", path, trick.body, kind, trick.headers, trick.method)

    answers = {_told(house.ask(who, call(own))) for own in (house.of[BO], ABSENT)}
    ((status, body),) = answers
    assert status == trick.status, body
    nobody = house.ask(Who(), call(house.of[BO]))
    assert nobody.status == 401
    assert house.of[BO].encode() not in nobody.body


@pytest.mark.parametrize("path", ["/metadata/", "/metadata//", "//metadata", "/metadata/x", "/metadata%2f"])
def test_only_the_address_of_the_statement_is_open(path: str, house: House) -> None:
    """Another spelling of it wants a ticket, and is nobody's."""
    assert house.status(Who(), f.get(path)) == 401
    assert house.status(f.saml(house.service, "citizen", ANNA), f.get(path)) == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_reading_the_statement_is_open(method: str, house: House) -> None:
    """Whatever else is done to it wants a ticket."""
    call = replace(f.get("/metadata"), method=method)
    assert house.status(Who(), call) == 401
    assert house.status(f.saml(house.service, "citizen", ANNA), call) in (404, 405)


def _bad(service: TicketService) -> list[tuple[str, Any]]:
    good = service.saml("citizen", person=ANNA)
    token = service.token()
    return [
        ("an assertion of somebody who is not trusted", Who(assertion=good.replace("Digest", "digest"))),
        ("a token as a bearer", Who(headers=(("Authorization", f"Bearer {token}"),))),
        ("a token without proof", Who(headers=(("Authorization", f"DPoP {token}"),))),
        ("two tickets", Who(assertion=good, headers=(("Authorization", f"DPoP {token}"),))),
        ("an assertion with a proof", Who(assertion=good, headers=(("DPoP", "a.b.c"),))),
        ("no ticket", Who()),
    ]


@pytest.mark.parametrize("which", range(6))
def test_no_ticket_that_is_bad_is_asked_about_a_patient(which: int, house: House) -> None:
    """401, whatever the header says, and whether it says anything that can be read."""
    name, who = _bad(house.service)[which]
    for header in ({}, {NIN.replace("-", "_"): ANNA}, {NIN.replace("-", "_"): "rubbish"}):
        for path in (f"/Binary/{house.of[ANNA]}", f"/DocumentReference?_id={house.of[ANNA]}", "/Nothing"):
            assert house.status(who, f.get(path).with_headers(**header)) in (400, 401), name


def test_a_guardian_is_no_patient(house: House) -> None:
    """Who represents somebody does not by that read their own record."""
    who = f.saml(house.service, "representative", ANNA)
    assert house.status(who, _search(GUARDIAN)) == 403
