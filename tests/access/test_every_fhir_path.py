"""Every way to a document over FHIR is walked, as people who may not see it: test_every_path.py for /fhir.

A record is asked in every way before something confidential is filed in it, by the ids that are still to
come too, and again afterwards: the answers must be the same, byte for byte. The ways are all that
xds/fhir/resources.py has, so that a new one without a walk is a failure; whoever may see the documents gets
other answers to nearly all of the same questions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.access import over_fhir as f
from tests.access.over_fhir import Call, Client, Who
from tests.access.test_every_path import (
    AT_ONCE,
    BLOCKED,
    CHILD,
    HOME,
    NORMAL,
    POLICY,
    REFUSALS,
    SECRET,
    TODAY,
    Case,
    Record,
    Walk,
    _done,
    number,
)
from tests.audit.reading_log import rows
from tests.blackbox import messages as m
from tests.blackbox.wire import Reply
from tests.nodes import Node
from xds.demo.tickets import CLINICIAN, TicketService
from xds.fhir import document_references, lists
from xds.fhir.resources import INTERACTIONS

#: Who reads the log may do so in part, as with the policy that comes with xds.
pytestmark = pytest.mark.grown

FHIR_POLICY = POLICY.replace('"delete"]\ncallers = ["citizen"', '"delete", "read-log"]\ncallers = ["citizen"')
_SINCE = f"ge{TODAY.year - 1}-01-01"
#: A hash that no document has, and one of another form.
NO_HASH = f'"{"0" * 40}"'


@dataclass(frozen=True)
class Named:
    """What a record's objects are called, as FHIR's clients know them."""

    record: Record

    @property
    def documents(self) -> list[m.Document]:
        """Open and confidential ones."""
        return [each for filing in self.record.filings for each in filing.documents]

    @property
    def ids(self) -> list[str]:
        """Ids of documents."""
        return [f.bare(each.id) for each in self.documents]

    @property
    def lists(self) -> list[str]:
        """Ids of submission sets and folders."""
        sets = [filing.set_uuid for filing in self.record.filings]
        return [f.bare(each) for each in (*sets, self.record.folder, self.record.hidden_folder)]

    @property
    def list_ids(self) -> list[str]:
        """UniqueIds of submission sets and folders."""
        sets = [filing.set_unique_id for filing in self.record.filings]
        return [*sets, *(filing.folder_unique_id for filing in self.record.filings[:2])]


def _values(named: Named, what: str) -> Mapping[str, Sequence[str]]:
    """Parameter -> values that what is confidential fits, beside such as nothing fits."""
    both: dict[str, Sequence[str]] = {
        "_lastUpdated": (f"ge{TODAY.year}", "lt2020"),
        "patient": (),
        "patient.identifier": (f"{f.NATIONAL}|{named.record.patient}", named.record.patient),
        "targetCommunityIdList": (f"urn:oid:{HOME}",),
        "status": ("current", "current,superseded"),
    }
    if what == "List":
        return both | {
            "_id": named.lists,
            "identifier": [f"urn:ietf:rfc:3986|urn:oid:{each}" for each in named.list_ids],
            "code": ("submissionset", "folder"),
            "date": (f"ge{TODAY.year}", "ge2026-03-11"),
            "designationType": ("urn:oid:2.16.578.1.12.4.1.1.9602|A03-2",),
            "sourceId": ("urn:ietf:rfc:3986|urn:oid:2.16.578.1.12.4.5.480.1.2",),
            "source.given": ("Tuva",),
            "source.family": (m.FAMILY[:4], "x"),
            "status": ("current", "current,retired"),
        }
    return both | {
        "_id": named.ids,
        "identifier": [
            *(f"urn:ietf:rfc:3986|urn:oid:{each.unique_id}" for each in named.documents),
            *(f"urn:ietf:rfc:3986|{each.id}" for each in named.documents),
        ],
        "date": (f"ge{TODAY.year}",),
        "author.given": ("Tuva",),
        "author.family": (m.FAMILY[:4], "x"),
        "category": ("urn:oid:2.16.578.1.12.4.1.1.9602|A00-1",),
        "type": ("urn:oid:2.16.578.1.12.4.1.1.9602|A03-2",),
        "setting": ("S03",),
        "facility": ("86.101",),
        "event": ("x",),
        "security-label": ("NORS", "NORN_FFL", "N", "NORU"),
        "format": ("urn:ihe:iti:xds:2017:mimeTypeSufficient",),
        "creation": ("2026-03-11",),
        "period": ("ge2020",),
        "related": ("urn:oid:2.16.578.1.12.4.5.480.9|2026-1", "2026-1"),
    }


#: What every search is asked besides, of the form of the answer.
FORMS = ("", "&_total=accurate", "&_total=none", "&_summary=count", "&_count=1", "&_count=2&_page=2")
FORMS += ("&_sort=date&_count=1", "&_format=xml")


def searches(record: Record) -> Iterator[Call]:
    """Each kind of search by every parameter, with the patient and where that is allowed without."""
    named = Named(record)
    for what, table in (
        ("DocumentReference", document_references.PARAMETERS),
        ("List", lists.PARAMETERS),
    ):
        values = _values(named, what)
        assert set(values) == set(table), "a parameter that is not walked"
        about = f"patient.identifier={f.NATIONAL}|{record.patient}"
        codes = ("",) if what == "DocumentReference" else ("&code=submissionset", "&code=folder")
        for code in codes:
            for form in FORMS:
                yield f.get(f"/{what}?{about}{code}{form}", what)
            body = f"{about}{code}&_count=2".replace("|", "%7C").encode()
            yield Call(f"POST {what}/_search", f"/{what}/_search", body, f.FORM)
            for name, given in values.items():
                for value in given:
                    if name not in ("code", "patient.identifier"):
                        yield f.get(f"/{what}?{about}{code}&{name}={value}&_total=accurate", what)
        for name in ("_id", "identifier"):
            for value in values[name]:
                yield f.get(f"/{what}?{name}={value}", what)
            yield f.get(f"/{what}?{name}={','.join(values[name])}&_summary=count", what)
        for value in values["patient.identifier"]:
            yield f.get(f"/{what}?patient.identifier={value}{codes[0]}", what)


def reads(record: Record) -> Iterator[Call]:
    """Each resource by its id; of a document also parts, and whether it is the one that somebody has."""
    named = Named(record)
    for own in [*named.ids, *named.lists]:
        for what in ("DocumentReference", "List", "Binary"):
            yield f.get(f"/{what}/{own}", what + "/{id}")
        yield f.get(f"/DocumentReference/{own.upper()}", "DocumentReference/{id}")
    for each in named.documents:
        binary = f.get(f"/Binary/{f.bare(each.id)}", "Binary/{id}")
        yield replace(binary, method="HEAD")
        yield binary.with_headers(Range="bytes=0-3")
        yield binary.with_headers(Range="bytes=9000-")
        yield binary.with_headers(Accept="application/fhir+json")
        yield binary.with_headers(Accept="image/png")
        for tag in (f'"{each.sha1}"', NO_HASH, "*"):
            yield binary.with_headers(If_None_Match=tag)
        yield binary.with_headers(Range="bytes=0-3", If_Range=f'"{each.sha1}"')


def log(record: Record) -> Iterator[Call]:
    """The access log by what is named in it."""
    for each in Named(record).documents:
        for name in (f"urn:oid:{each.unique_id}", each.id):
            yield f.get(f"/AuditEvent?date={_SINCE}&entity.identifier={name}&subtype=ITI-41", "AuditEvent")
            body = f"date={_SINCE}&entity.identifier={name}&subtype=ITI-41&outcome=0".encode()
            yield Call("POST AuditEvent/_search", "/AuditEvent/_search", body, f.FORM)
    yield f.get(f"/AuditEvent/{f.bare(m.new_uuid())}", "AuditEvent/{id}")


def attempts(record: Record) -> Iterator[Call]:
    """Everything that changes something, by the ids of each confidential document and of the folder."""
    patient = record.patient
    for number_, each in enumerate(record.secrets):
        own = f.bare(each.id)
        new = f.Paper(patient, unique_id=f"1.2.3.{number_}")
        yield f.patch(own, [{"op": "replace", "path": "/securityLabel/0", "value": f.label("R")}])
        yield f.patch(own, f.relabelled(("R", "2.16.840.1.113883.5.25")), f.FHIR_JSON, "partial")
        yield f.patch(own, [{"op": "test", "path": "/securityLabel/0", "value": f.label("R")}], name="test")
        yield f.patch(own, [{"op": "remove", "path": "/securityLabel/7"}], name="of none").with_headers(
            If_Match='W/"1"'
        )
        yield f.patch(own, [{"op": "remove", "path": "/title"}], name="of more")
        yield f.delete(own)
        for code in f.RELATIONS[: 1 if number_ else None]:
            targets = [f.related(code, identifier=name) for name in (each.unique_id, each.id)]
            targets.append(f.related(code, url=f"DocumentReference/{own}"))
            for target in targets:
                paper = replace(new, relates_to=(target,))
                name = f"{code} {target['target']}"
                resource = f.bundle(patient, paper, set_id="1.2.4")
                yield f.post("/", resource, "", name)
                yield f.post("/Bundle/$validate", resource, name=name)
                yield f.post("/DocumentReference", paper.inside(), name=name)
                yield f.post("/DocumentReference/$validate", paper.inside(), name=name)
        yield f.post(
            "/DocumentReference/$generate-metadata", f.cda(patient, "1.2.5", each.unique_id), name=each.title
        )
        reference = f"DocumentReference/{own}"
        for what, more in (
            ("a folder with it", f.folder(patient, reference)),
            ("the open folder", f.folder(patient, reference, own=f.bare(record.folder))),
            ("the hidden folder", f.folder(patient, reference, own=f.bare(record.hidden_folder))),
            ("superseded", f.superseded(own)),
        ):
            yield f.post("/", f.bundle(patient, new, set_id="1.2.4", more=(more,)), "", f"{what} {own}")
        items = ({"item": {"reference": reference}},)
        yield f.post("/", f.bundle(patient, new, set_id="1.2.4", items=items), "", f"the set {own}")
    grown = f.folder(patient, f"urn:uuid:{f._fixed('1.2.3.9', 1)}", own=f.bare(record.hidden_folder))
    new = f.Paper(patient, unique_id="1.2.3.9")
    yield f.post("/", f.bundle(patient, new, set_id="1.2.4", more=(grown,)), "", "a document for the folder")


def all_calls(record: Record) -> list[Call]:
    """Everything."""
    calls = [*searches(record), *reads(record), *log(record), *attempts(record)]
    return list(dict.fromkeys(calls))


def test_every_interaction_is_walked() -> None:
    """A new one has to be walked here: what there is, is what resources.py names."""
    there = {f"{each.method} {each.path}" for each in INTERACTIONS}
    assert {call.route for call in all_calls(Record(CHILD, NORMAL))} == there


# ---- answers


def same(reply: Reply) -> Any:
    """An answer without what differs between two answers to one question."""
    headers = {
        name.lower(): value
        for name, value in reply.headers.items()
        if name.lower() not in ("date", "content-length", "server", "connection", "keep-alive")
    }
    text = re.sub(rb"reference [0-9a-f]{12}", b"", reply.body)
    text = re.sub(rb"(_cursor=)[\w-]+", rb"\1", text)
    text = re.sub(rb"date=lt[^&\"]+", b"", text)
    # A folder's lastUpdateTime tells that something was filed in it: known, and in docs/access-rules.md.
    if b"folder" in text:
        text = re.sub(rb'"date":"[^"]*"|<date value="[^"]*"/>', b"", text)
    return reply.status, headers, text


class FhirWalk(Walk):
    """The same node, by its FHIR side."""

    def __init__(self, node: Node, service: TicketService) -> None:
        super().__init__(node, service)
        self.client = Client(node, service)

    def over_fhir(self, who: Who, calls: Sequence[Call]) -> dict[str, Any]:
        """What each call gives."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            replies = list(pool.map(lambda call: self.client.ask(who, call), calls))
        faults = [str(call) for call, reply in zip(calls, replies, strict=True) if reply.status >= 500]
        assert faults == [], self.node.errors()
        found = {str(call): same(reply) for call, reply in zip(calls, replies, strict=True)}
        assert len(found) == len(calls), "two calls of one name"
        return found


@pytest.fixture(scope="module")
def walk(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> FhirWalk:
    """A node with a policy of these tests."""
    folder: Path = tmp_path_factory.mktemp("walk")
    policy = folder / "policy.toml"
    policy.write_text(FHIR_POLICY)
    service = TicketService(folder)
    node = new_node(
        access__ticket="required",
        access__policy=policy,
        trust=service.trust,
        node__home_community_id=HOME,
        fhir__nors_count="told",
        fhir__deprecated="served",
    )
    return FhirWalk(node, service)


# ---- who may not see, and why


def _patient(which: int) -> str:
    return number(TODAY.replace(year=1951, month=1, day=2), which)


@dataclass(frozen=True)
class Hidden(Case):
    """Somebody from whom a code or a setting hides what is filed, with an assertion or a token."""

    by_token: bool = False
    named: bool = False

    def who(self, service: TicketService) -> Who:
        """Themselves; a token names no patient, so that the header may."""
        if self.by_token:
            return f.token(service, patient=self.patient if self.named else "")
        return Who(assertion=self.ticket(service))


PERSON = f"person:{CLINICIAN}"
HIDING = [
    Hidden("a citizen, refused because of danger", "citizen", _patient(0), ("NORN_FFL", REFUSALS)),
    Hidden("a citizen, until it is released", "citizen", _patient(1), ("NORU", REFUSALS)),
    Hidden("a citizen, by a setting", "citizen", _patient(2), refused="citizen"),
    Hidden("a parent", "representative", CHILD, ("NORN_FORANS", REFUSALS), acp="1"),
    Hidden("personnel, by a setting", "personnel", _patient(3), refused=PERSON),
    Hidden("personnel with a token", "personnel", _patient(4), refused=PERSON, by_token=True),
    Hidden("personnel, header", "personnel", _patient(5), refused=PERSON, by_token=True, named=True),
]


def _refuse(walk: FhirWalk, case: Case, record: Record) -> None:
    for each in record.secrets if case.refused else ():
        arguments = ("privacy", "refuse", "--patient", case.patient, "--whom", case.refused)
        _done(walk.node.command(*arguments, "--document", each.id))


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {before[name]} and then {after[name]}"[:2000]
        for name in before
        if before[name] != after[name]
    ]


@pytest.mark.parametrize("case", HIDING, ids=lambda case: case.name)
def test_what_is_hidden_might_as_well_not_be_there(case: Hidden, walk: FhirWalk) -> None:
    """No search, by whatever parameter or id, tells of it; nor does an attempt to fetch or change it, nor the
    log, nor a page's number of blocked documents.
    """
    record, who = Record(case.patient, case.code), case.who(walk.service)
    walk.file(record, record.open)
    # Half of the questions in each case, the other half in the next: together they ask all, twice and more.
    turn = HIDING.index(case) % 2
    calls = [each for which, each in enumerate(all_calls(record)) if which % 2 == turn or each.body]
    seeing = f.saml(walk.service, "personnel", case.patient, purpose="ETREAT")
    # Whoever sees it asks a part of this, which has every route.
    harmless = list(dict.fromkeys((*searches(record), *reads(record))))
    harmless = [each for which, each in enumerate(harmless) if which % 3 == 0 or each.body]
    before, seen = walk.over_fhir(who, calls), walk.over_fhir(seeing, harmless)
    walk.file(record, record.confidential, record.newer)
    _refuse(walk, case, record)
    after = walk.over_fhir(who, calls)
    assert _differing(before, after) == []
    assert not any(SECRET.encode() in body for _, _, body in after.values())
    # An open record answers the open questions, so it was no walk along walls.
    assert sum(status == 200 for status, _, _ in before.values()) > 50
    seen_after = walk.over_fhir(seeing, harmless)
    changed = {name.split()[1].partition("?")[0] for name in seen if seen[name] != seen_after[name]}
    assert changed == {"DocumentReference", "DocumentReference/{id}", "DocumentReference/_search"} | {
        "List",
        "List/{id}",
        "List/_search",
        "Binary/{id}",
    }
    assert any(SECRET.encode() in body for _, _, body in seen_after.values())
    for each in record.secrets:
        fetched = walk.client.ask(seeing, f.get(f"/Binary/{f.bare(each.id)}"))
        assert (fetched.status, fetched.body) == (200, each.content)
    hidden = {each.id for each in record.secrets}
    events = [each for each in rows(walk.node.database_url) if each.pid == record.pid]
    filed = [
        each.event["id"]
        for each in events
        if each.code == "ITI-41" and hidden & {*each.documents, *_of(each.documents, record)}
    ]
    assert len(filed) == 2
    if case.kind != "personnel":  # who reads only what they did themselves
        unknown = same(walk.client.ask(who, f.get(f"/AuditEvent/{f.bare(m.new_uuid())}")))
        for own in filed:
            assert same(walk.client.ask(who, f.get(f"/AuditEvent/{own}"))) == unknown


def _of(unique_ids: Sequence[str], record: Record) -> Iterator[str]:
    """The entryUUIDs of confidential documents with these uniqueIds."""
    return (each.id for each in record.secrets if each.unique_id in unique_ids)


@pytest.mark.parametrize(
    ("setting", "by"),
    [("reserve", "token"), ("refuse", "assertion"), ("refuse", "token"), ("refuse", "token and header")],
)
def test_a_record_that_is_closed_to_somebody_is_like_one_that_is_empty(
    setting: str, by: str, walk: FhirWalk
) -> None:
    """A reservation against health personnel, a refusal against this one person: nothing of it is seen."""
    which = ["assertion", "token", "token and header"].index(by) + 3 * (setting == "reserve")
    record = Record(_patient(10 + which), NORMAL)
    who = {
        "assertion": f.saml(walk.service, "personnel", record.patient),
        "token": f.token(walk.service),
        "token and header": f.token(walk.service, patient=record.patient),
    }[by]
    calls = all_calls(record)
    before = walk.over_fhir(who, calls)
    walk.file(record, *record.filings)
    whom = () if setting == "reserve" else ("--whom", PERSON)
    _done(walk.node.command("privacy", setting, "--patient", record.patient, *whom))
    assert _differing(before, walk.over_fhir(who, calls)) == []


@pytest.mark.parametrize("by", ["personnel", "citizen", "header"])
def test_another_patients_record_is_not_there(by: str, walk: FhirWalk) -> None:
    """By id it is as if nobody had it, and by name it is refused whoever it is: before it has begun, when it
    is there, and as somebody who is in no register.
    """
    which = ["personnel", "citizen", "header"].index(by)
    own, another = Record(_patient(20 + 2 * which), NORMAL), Record(_patient(21 + 2 * which), NORMAL)
    walk.file(own, own.open)
    who = {
        "personnel": f.saml(walk.service, "personnel", own.patient, purpose="ETREAT"),
        "citizen": f.saml(walk.service, "citizen", own.patient),
        "header": f.token(walk.service, patient=own.patient),
    }[by]
    calls = all_calls(another)
    before = walk.over_fhir(who, calls)
    walk.file(another, *another.filings)
    assert _differing(before, walk.over_fhir(who, calls)) == []
    about = [name for name in before if another.patient in name.split()[2]]
    assert len(about) > 50
    wanted = (400, b"another patient") if by == "header" else (403, b"[access-patient]")
    for name in about:
        assert (before[name][0], wanted[1] in before[name][2]) == (wanted[0], True), name
    by_id = [name for name in before if re.match(r"GET (\w+)/\{id\}", name) and "AuditEvent" not in name]
    assert {before[name][0] for name in by_id} == {404}


def test_what_is_blocked_is_listed_without_anything_of_it(walk: FhirWalk) -> None:
    """In every answer: the document by itself, masked. No relation, set or folder is there for its sake; it
    is not fetched, changed or removed by its id; and the header of a page counts it.
    """
    record = Record(_patient(30), BLOCKED)
    who = f.saml(walk.service, "personnel", record.patient)
    walk.file(record, record.open)
    calls, tries = list(dict.fromkeys((*searches(record), *reads(record)))), list(attempts(record))
    before, tried = walk.over_fhir(who, calls), walk.over_fhir(who, tries)
    walk.file(record, record.confidential, record.newer)
    after = walk.over_fhir(who, calls)
    assert _differing(tried, walk.over_fhir(who, tries)) == []
    secrets = {f.bare(each.id) for each in record.secrets}
    masked = 0
    for name, (status, headers, body) in after.items():
        assert SECRET.encode() not in body, name
        route = name.split()[1]
        if route.startswith("List"):
            assert (status, headers, body) == before[name], name
        elif route == "Binary/{id}" and any(each in name for each in secrets):
            assert (status, b"[retrieve-blocked]" in body or "HEAD" in name or not body) == (403, True), name
        elif "DocumentReference" in route and body.startswith(b'{"resourceType":"Bundle"'):
            entries = [each["resource"] for each in json.loads(body).get("entry", ())]
            of_record = [each for each in entries if each["id"] in secrets]
            assert headers["nhn-securitylabel-nors-count"] == str(len(of_record)), name
            masked += len(of_record)
            assert all(_is_masked(each) for each in of_record), name
    assert masked > 30


def _is_masked(resource: Mapping[str, Any]) -> bool:
    said = json.dumps(resource)
    return (
        "relatesTo" not in resource and "Sperret" in said and m.FAMILY not in said and m.COMMENT not in said
    )
