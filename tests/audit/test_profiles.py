"""The oracle is right about events that are right and about events that are wrong in one way each.

The three examples are structures A, B and C of fhir-rules 2.4 with synthetic values. Every other event is one
of them with the changes of a row; a row that is wrong names the message that it must bring forth. An oracle
that is silent proves nothing: each check must be broken by some row.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.audit import balp, house, ihe, norwegian, r4
from tests.audit import vocabulary as v
from tests.audit.make_r4_schema import CONTAINED, RESOURCES
from tests.audit.profiles import problems
from tests.audit.r4 import schema_problems

A, B, C = "a-stored-query-by-a-doctor", "b-emergency-retrieve", "c-citizen-query"
EXAMPLES = {
    path.stem: json.loads(path.read_text())
    for path in sorted(Path(__file__).with_name("examples").glob("*.json"))
}
PERSONNEL = (A, B)
NUMBER = "12867012107"


@dataclass(frozen=True, slots=True)
class Change:
    """One small change of an event: a value put, added to an array, or cut out."""

    what: str
    path: str
    value: Any = None

    def make(self, event: dict[str, Any]) -> None:
        """Change the event; `contained[prac]` is the resource with that id."""
        steps = [step for step in re.split(r"[.\[\]]+", self.path) if step]
        place: Any = event
        for step in steps[:-1]:
            place = place[_key(place, step)]
        key = _key(place, steps[-1])
        if self.what == "cut":
            del place[key]
        elif self.what == "add":
            place[key].append(copy.deepcopy(self.value))
        else:
            place[key] = copy.deepcopy(self.value)


def _key(place: Any, step: str) -> Any:
    if not isinstance(place, list):
        return step
    if step.isdigit():
        return int(step)
    return next(number for number, item in enumerate(place) if item["id"] == step)


def put(path: str, value: Any) -> Change:
    """A value in the place of another, or where none was."""
    return Change("put", path, value)


def add(path: str, value: Any) -> Change:
    """One more item in an array."""
    return Change("add", path, value)


def cut(path: str) -> Change:
    """A property or an item less."""
    return Change("cut", path)


def changed(example: str, *changes: Change) -> dict[str, Any]:
    """An example with these changes."""
    event: dict[str, Any] = copy.deepcopy(EXAMPLES[example])
    for change in changes:
        change.make(event)
    return event


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": system, "code": code}


def _entity(kind: str, role: str, value: str, **more: Any) -> dict[str, Any]:
    return {
        "what": {"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.7.1.900.1", "value": value}},
        "type": _coding(v.ENTITY_TYPE, kind),
        "role": _coding(v.ENTITY_ROLE, role),
        **more,
    }


def _of(code: str, kind: str, action: str) -> tuple[Change, ...]:
    return (
        put("type", _coding(v.DICOM, kind)),
        put("subtype", [_coding(v.EVENT_TYPE, code)]),
        put("action", action),
    )


def _swap() -> tuple[Change, ...]:
    """Source and destination of example A the other way round."""
    return (
        put("agent[2].type.coding[0].code", "110152"),
        put("agent[3].type.coding[0].code", "110153"),
    )


OURS, THEIRS = "urn:oid:2.16.578.1.12.4.1.7.1.900.1", "urn:oid:2.16.578.1.12.4.1.7.1.900.2"


def _party(role: str, community: str, address: str, kind: str) -> dict[str, Any]:
    return {
        "type": {"coding": [_coding(v.DICOM, role)]},
        "who": {"identifier": {"system": v.URI, "value": community}},
        "requestor": False,
        "network": {"address": address, "type": kind},
    }


def _request_id(name: str, value: str) -> Change:
    return add(
        "entity",
        {"what": {"identifier": {"value": value}}, "type": _coding(*v.REQUEST_ID), "description": name},
    )


OUTGOING = _request_id("message to the community", "urn:uuid:7a1f3c52-90d4-4d0e-8b8e-2f6d5b1c9e01")
TRACE = _request_id("trace", "4bf92f3577b34da6a3ce929d0e0e4736")
ENDPOINT = "https://other.example.no/xca/responding"
#: What we ask of another community: example A as ITI-38, and B as ITI-39.
QUERY_OF_OTHERS = (
    *_of("ITI-38", "110112", "E"),
    put("agent[2]", _party("110153", OURS, "xds.example.no", "1")),
    put("agent[3]", _party("110152", THEIRS, ENDPOINT, "5")),
    put("entity[1].detail[1].valueString", THEIRS),
    OUTGOING,
    TRACE,
)
FETCH_FROM_OTHERS = (
    *_of("ITI-39", "110107", "C"),
    put("agent[3]", _party("110152", OURS, "10.1.2.4", "2")),
    put("agent[4]", _party("110153", THEIRS, ENDPOINT, "5")),
    put("entity[1].detail[1].valueString", THEIRS),
    OUTGOING,
    TRACE,
)
SUBMISSION_SET = _entity("2", "20", "1.2.3.4")
DOCUMENT = _entity("2", "3", "1.2.3.5", detail=[{"type": "Repository Unique Id", "valueString": "1.2.3"}])
REMOVED = _entity("2", "3", "1.2.3.6", lifecycle=_coding(v.LIFECYCLE, "14"))
LOG = {
    "type": _coding(v.ENTITY_TYPE, "2"),
    "role": _coding(v.ENTITY_ROLE, "13"),
    "query": "ZGF0ZT1nZTIwMjYtMDMtMDE=",
}
A_SEARCH = {
    "type": _coding(v.ENTITY_TYPE, "2"),
    "role": _coding(v.ENTITY_ROLE, "24"),
    "query": base64.b64encode(b"GET https://xds.example.no/fhir/List?code=folder").decode(),
}
DATA = _entity("2", "3", "1.2.3.7")
#: The displays that MHD prescribes.
NAMED = (
    put("type.display", ihe.DISPLAYS["110107"]),
    put("agent[2].type.coding[0].display", "Source Role ID"),
    put("agent[3].type.coding[0].display", "Destination Role ID"),
    put("subtype[0].display", "Provide Document Bundle"),
)


def _restful(code: str, interaction: str, action: str) -> tuple[Change, ...]:
    """What is done over FHIR, in FHIR's own terms."""
    return (
        put("type", _coding(v.AUDIT_EVENT_TYPE, "rest") | {"display": "RESTful Operation"}),
        put(
            "subtype",
            [
                _coding(v.RESTFUL, interaction),
                _coding(v.EVENT_TYPE, code) | {"display": ihe.DISPLAYS[code]},
            ],
        ),
        put("action", action),
        put("agent[2].type.coding[0].display", "Source Role ID"),
        put("agent[3].type.coding[0].display", "Destination Role ID"),
    )


#: Whoever reads is where the data go.
READING = (
    put("agent[2].type.coding[0].code", "110152"),
    put("agent[3].type.coding[0].code", "110153"),
    put("agent[2].type.coding[0].display", "Destination Role ID"),
    put("agent[3].type.coding[0].display", "Source Role ID"),
)
REPRESENTATIVE = {
    "resourceType": "RelatedPerson",
    "id": "parent",
    "identifier": [{"system": v.FNR, "value": "23848112186"}],
    "patient": {"reference": "#pat"},
}
OAUTH_USER = (
    put("agent[0].type.coding[0]", _coding(*v.USER_OAUTH)),
    put("agent[0].policy", ["urn:ietf:params:oauth:jti:9b2f"]),
)
CLIENT = add("agent[2].type.coding", _coding(*v.APPLICATION))


@dataclass(frozen=True, slots=True)
class Right:
    """An event that is right."""

    name: str
    example: str
    changes: tuple[Change, ...]


RIGHT = (
    Right("gateway query", A, _of("ITI-38", "110112", "E")),
    Right("another community is queried", A, QUERY_OF_OTHERS),
    Right("another community is asked for a document", B, FETCH_FROM_OTHERS),
    Right(
        "another community is queried by a machine",
        C,
        (
            *_of("ITI-38", "110112", "E"),
            cut("meta"),
            put(
                "agent",
                [
                    _party("110153", OURS, "xds.example.no", "1") | {"requestor": True},
                    _party("110152", THEIRS, ENDPOINT, "5"),
                ],
            ),
            put("entity[1].detail[1]", {"type": ihe.COMMUNITY.names[0], "valueString": THEIRS}),
            OUTGOING,
            TRACE,
        ),
    ),
    Right(
        "a community that did not answer",
        B,
        (*FETCH_FROM_OTHERS, put("outcome", "4"), put("outcomeDesc", "XDSUnavailableCommunity")),
    ),
    Right("another community's request in vain", B, (put("outcome", "4"), cut("entity[1].detail[1]"))),
    Right("a query of whom a stranger was meant", A, (*_of("ITI-38", "110112", "E"), put("outcome", "4"))),
    Right("multi-patient query", A, _of("ITI-51", "110112", "E")),
    Right("retrieve", A, (*_of("ITI-43", "110106", "R"), *_swap(), put("entity[1]", DOCUMENT))),
    *(
        Right(code, A, (*_of(code, "110107", action), put("entity[1]", SUBMISSION_SET)))
        for code, action in (
            ("ITI-41", "C"),
            ("ITI-42", "C"),
            ("ITI-61", "C"),
            ("ITI-80", "C"),
            ("ITI-57", "U"),
            ("ITI-92", "U"),
        )
    ),
    Right("remove metadata", A, (*_of("ITI-62", "110110", "D"), put("entity[1]", REMOVED))),
    Right("remove documents", A, (*_of("ITI-86", "110110", "D"), put("entity[1]", REMOVED))),
    *(
        Right(
            f"{code} {action}",
            C,
            (
                *_of(code, "110110", action),
                put("entity[0].detail", [{"type": "MSH-10", "valueBase64Binary": "TVNHMQ=="}]),
            ),
        )
        for code in ("ITI-8", "ITI-44")
        for action in "CUD"
    ),
    Right("a bundle", A, (*_of("ITI-65", "110107", "C"), put("entity[1]", SUBMISSION_SET), *NAMED)),
    *(
        Right(f"{code} over FHIR", A, (*_restful(code, "search", "E"), put("entity[1]", A_SEARCH)))
        for code in ("ITI-66", "ITI-67")
    ),
    *(
        Right(f"{code} by id", A, (*_restful(code, "read", "R"), *READING, put("entity[1]", DATA)))
        for code in ("ITI-66", "ITI-67")
    ),
    Right(
        "a document over FHIR",
        A,
        (*_restful("ITI-68", "read", "R"), *READING, put("entity[1]", DOCUMENT)),
    ),
    *(
        Right(f"{code} over FHIR", A, (*_restful(code, interaction, "C"), put("entity[1]", DATA)))
        for code, interaction in (("ITI-105", "create"), ("ITI-106", "operation"))
    ),
    Right("the log is read", C, (*_of("ITI-81", "110101", "R"), put("entity[1]", LOG))),
    Right(
        "a refused ticket",
        C,
        (
            put("type", _coding(v.DICOM, "110114")),
            put("subtype", [_coding(v.EVENT_TYPE, "ITI-40"), _coding(v.EVENT_TYPE, "ITI-18")]),
            put("outcome", "8"),
            cut("agent[0]"),
            put("agent[0].requestor", True),
            put("meta", {"security": [_coding(v.ACT_REASON, "HTEST")]}),
            cut("entity[1]"),
        ),
    ),
    Right("a machine alone", C, (cut("meta"), cut("agent[0]"), put("agent[0].requestor", True))),
    Right(
        "a parent for a child",
        C,
        (
            add("contained", REPRESENTATIVE),
            put("agent[0].who.reference", "#parent"),
            put("agent[0].who.identifier.value", "23848112186"),
            put("purposeOfEvent[0].coding[0].code", "FAMRQT"),
        ),
    ),
    Right("a failed query has no query", A, (put("outcome", "8"), cut("entity[1]"))),
    Right("an acceptable zone", A, (put("recorded", "2026-03-01T11:11:12+01:00"),)),
    Right("OAuth, minimal", A, (put("meta.profile[1]", v.OAUTH_MINIMAL), *OAUTH_USER)),
    Right("OAuth, comprehensive", A, (put("meta.profile[1]", v.OAUTH_COMPREHENSIVE), *OAUTH_USER, CLIENT)),
    Right(
        "a message id in capitals",
        A,
        (put("entity[2].what.identifier.value", "urn:uuid:0B2F8A80-6A58-4C8E-9F0E-1A2B3C4D5E6F"),),
    ),
    Right("no care relation", A, (cut("extension[2]"),)),
    Right("no encounter", A, (cut("extension[1]"), *(cut(f"contained[{i}]") for i in (10, 9, 8, 7)))),
    Right("an HPR number alone", A, (cut("contained[prac].identifier[0]"),)),
    Right("a machine by its name", A, (put("agent[2].who", {"display": "EPJ i prøve"}),)),
    Right("eleven digits that are no number", A, (put("outcomeDesc", "12345678901 and 123456789012"),)),
)


@dataclass(frozen=True, slots=True)
class Wrong:
    """An event that is wrong in one way, and what must be said of it."""

    said: str
    changes: tuple[Change, ...]
    example: str = A


WRONG = (
    # The R4 schema.
    Wrong("resource: required", (cut("type"),)),
    Wrong("resource: anyOf: one of recorded", (cut("recorded"),)),
    Wrong("agent: minItems", (put("agent", []),)),
    Wrong("resource: additionalProperties", (put("severity", "high"),)),
    Wrong("contained[6]: additionalProperties", (put("contained[pat].nationalNumber", "1"),)),
    Wrong("contained[6].resourceType: enum", (put("contained[pat].resourceType", "Medication"),)),
    Wrong("action: enum", (put("action", "X"),)),
    Wrong("outcome: enum", (put("outcome", "99"),)),
    Wrong("agent[0].requestor: type", (put("agent[0].requestor", "true"),)),
    Wrong("agent[2].network.type: enum", (put("agent[2].network.type", "7"),)),
    Wrong("contained[10]: required", (cut("contained[enc].class"),)),
    Wrong("contained[10].status: enum", (put("contained[enc].status", "ongoing"),)),
    Wrong("extension[0]: oneOf: exactly one of", (cut("extension[0].valueReference"),)),
    Wrong("entity[1].detail[0]: oneOf", (put("entity[1].detail[0].valueBase64Binary", "UTF+"),)),
    Wrong("id: pattern", (put("id", "an_id"),)),
    Wrong("recorded: pattern", (put("recorded", "2026-03-01T10:11:12"),)),
    Wrong("type.code: pattern", (put("type.code", " 110112"),)),
    Wrong("agent[0].policy[0]: pattern", (put("agent[0].policy[0]", "two words"),)),
    Wrong(
        "extension[2].extension[3].valueUnsignedInt", (put("extension[2].extension[3].valueUnsignedInt", -1),)
    ),
    # R4's invariants.
    Wrong("name and query exclude each other", (put("entity[1].name", "FindDocuments"),)),
    Wrong(
        "contains a resource itself",
        (put("contained[pat].contained", [{"resourceType": "Patient", "id": "x"}]),),
    ),
    Wrong("a resource without an id", (cut("contained[pat].id"),)),
    Wrong("the id is there twice", (put("contained[dept].id", "legal"),)),
    Wrong(
        "contained spare: nothing refers to it",
        (add("contained", {"resourceType": "Patient", "id": "spare"}),),
    ),
    Wrong(
        "meta.lastUpdated is not for", (put("contained[pat].meta", {"lastUpdated": "2026-03-01T10:11:12Z"}),)
    ),
    Wrong("no contained resource #legall", (put("contained[dept].partOf.reference", "#legall"),)),
    Wrong("refers to a Practitioner, not to", (put("contained[role].organization.reference", "#prac"),)),
    Wrong("refers to a Encounter, not to", (put("agent[1].who.reference", "Encounter/1"),), C),
    Wrong("without reference, identifier and display", (put("agent[2].who", {"type": "Device"}),), C),
    Wrong("recorded: no such day", (put("recorded", "2026-02-31T10:11:12.345Z"),)),
    Wrong("recorded: not an instant", (put("recorded", "2026-03-01"),)),
    Wrong("period: ends before it starts", (put("period", {"start": "2026-03-02", "end": "2026-03-01"}),)),
    Wrong("entity[1].query: not base64", (put("entity[1].query", "UEhF=="),)),
    Wrong("not an absolute URI", (put("type.system", "DCM"),)),
    Wrong("not a right urn:uuid", (put("entity[1].what.identifier.value", "urn:uuid:14D4DEBF"),)),
    Wrong("not a right urn:oid", (put("source.observer.identifier.value", "urn:oid:HOME"),)),
    Wrong("not a URI, as its system says", (put("source.observer.identifier.value", "2.16.578.1"),)),
    Wrong("white space in a code", (put("subtype[0].code", "ITI-18 "),)),
    Wrong("neither name nor identifier", (cut("contained[dept].name"), cut("contained[dept].identifier"))),
    Wrong("a value without its system", (put("contained[legal].telecom", [{"value": "22222222"}]),)),
    Wrong("outcomeDesc: empty", (put("outcomeDesc", "  "),)),
    Wrong("agent[2].altId: empty", (put("agent[2].altId", None),)),
    Wrong("agent[0].role: empty", (put("agent[0].role", []),)),
    Wrong("agent[2].network: empty", (put("agent[2].network", {}),)),
    # The Norwegian profile.
    Wrong("the Norwegian profile is not claimed", (cut("meta.profile[0]"),)),
    Wrong("the patient extension is there 0 times", (cut("extension[0]"),)),
    Wrong(
        "the patient extension is there 2 times",
        (add("extension", {"url": v.PATIENT_EXTENSION, "valueReference": {"reference": "#pat"}}),),
    ),
    Wrong("does not point to a contained Patient", (put("extension[0].valueReference.reference", "#prac"),)),
    Wrong("does not point to a contained Patient", (put("extension[0].valueReference", {"display": "Ola"}),)),
    Wrong("a Patient without identifier.value", (cut("contained[pat].identifier[0].value"),)),
    Wrong(
        "more than one Patient",
        (add("contained", {"resourceType": "Patient", "id": "pat2", "identifier": []}),),
    ),
    Wrong("is no entity of type 1", (cut("entity[0].what.reference"),)),
    Wrong("the patient has another number", (put("entity[0].what.identifier.value", "23848112186"),)),
    Wrong(
        "the encounter extension is there more than once",
        (add("extension", {"url": v.ENCOUNTER_EXTENSION, "valueReference": {"reference": "#enc"}}),),
    ),
    Wrong(
        "the care relation extension is there more than once",
        (add("extension", {"url": v.CARE_RELATION_EXTENSION, "extension": []}),),
    ),
    Wrong("does not point to a contained Encounter", (put("extension[1].valueReference.reference", "#pat"),)),
    Wrong("Encounter.status is not unknown", (put("contained[enc].status", "in-progress"),)),
    Wrong("Encounter.class is not v3-NullFlavor#UNK", (put("contained[enc].class.code", "AMB"),)),
    Wrong("two codes of", (add("contained[enc].serviceType.coding", _coding(v.HEALTH_SERVICES[0], "S01")),)),
    Wrong(
        "the patient's point of care has no",
        (put("contained[pat-poc]", {"resourceType": "Location", "id": "pat-poc"}),),
    ),
    Wrong("decision-ref-description is there 0 times", (cut("extension[2].extension[1]"),)),
    Wrong(
        "decision-ref-user-selected is no valueBoolean",
        (put("extension[2].extension[2]", {"url": "decision-ref-user-selected", "valueString": "false"}),),
    ),
    Wrong("unknown part decision", (add("extension[2].extension", {"url": "decision", "valueString": "x"}),)),
    Wrong("toa is not in Unix seconds", (put("extension[2].extension[3].valueUnsignedInt", 1_000),)),
    Wrong("0 codings of v3-PurposeOfUse", (cut("purposeOfEvent[0].coding[0]"),)),
    Wrong("2 codings of v3-PurposeOfUse", (add("purposeOfEvent[0].coding", _coding(v.ACT_REASON, "COC")),)),
    Wrong(
        "0 codings of v3-PurposeOfUse", (add("purposeOfEvent", {"coding": [_coding(v.SERVICE_9151, "1")]}),)
    ),
    Wrong(
        "is not the code system of the purposes",
        (put("purposeOfEvent[0].coding[0].system", norwegian.NOT_THE_CODE_SYSTEM[1]),),
    ),
    Wrong("NOCONS is not below PurposeOfUse", (put("purposeOfEvent[0].coding[0].code", "NOCONS"),)),
    Wrong(
        "more than one coding of https://terminology.dips.com",
        (add("purposeOfEvent[0].coding", _coding(v.DECISION_TEMPLATE, "INNLAGT")),),
    ),
    Wrong("agent[1]: no who", (cut("agent[1].who"),)),
    Wrong("refers to a Organization, not to a PractitionerRole", (put("agent[1].who.reference", "#legal"),)),
    Wrong("agent[3].who: type Device", (put("agent[3].who.type", "Device"),)),
    Wrong(
        "agent[0].who: refers to nothing contained", (put("agent[0].who.reference", "PractitionerRole/1"),)
    ),
    Wrong("the one who asked is no contained PractitionerRole", (cut("agent[0].who.reference"),)),
    Wrong("0 of practitioner, not one", (cut("contained[role].practitioner"),)),
    Wrong("0 of organization, not one", (cut("contained[role].organization"),)),
    Wrong("0 of location, not one", (cut("contained[role].location"),)),
    Wrong("2 of location, not one", (add("contained[role].location", {"reference": "#pat-poc"}),)),
    Wrong("location is not contained", (put("contained[role].location[0]", {"display": "Sykehuset"}),)),
    Wrong("the point of care has no managingOrganization", (cut("contained[poc].managingOrganization"),)),
    Wrong(
        "neither national number nor HPR number",
        (put("contained[prac].identifier", [{"system": v.ENH, "value": "999999901"}]),),
    ),
    Wrong(
        "is none here",
        (put("contained[prac].identifier[1].system", "http://hl7.no/fhir/NamingSystem/HPR"),),
    ),
    Wrong(
        "two numbers of one kind",
        (add("contained[prac].identifier", {"system": v.HPR, "value": "999999991"}),),
    ),
    Wrong("no name.text", (put("contained[prac].name", [{"family": "Prøvelege"}]),)),
    Wrong(
        "qualification.code is not of 9060",
        (put("contained[prac].qualification[0].code.coding[0].system", v.SERVICE_9151),),
    ),
    Wrong("identifier.id is no place for a number", (put("contained[prac].identifier[1].id", "999999990"),)),
    Wrong("no legal entity behind its organization", (cut("contained[dept].partOf"),)),
    Wrong(
        "has not the form of urn:oid:2.16.578.1.12.4.1.4.2",
        (put("contained[pat].identifier[0].system", v.DNR),),
    ),
    Wrong(
        "has not the form of urn:oid:2.16.578.1.12.4.1.4.101",
        (put("contained[legal].identifier[0].value", "90000"),),
    ),
    # IHE's transactions.
    Wrong("subtype: no transaction", (put("subtype[0].system", "urn:ihe:event-type"),)),
    Wrong("subtype: 2 transactions", (add("subtype", _coding(v.EVENT_TYPE, "ITI-38")),)),
    Wrong("ITI-99 is no transaction", (put("subtype[0].code", "ITI-99"),)),
    Wrong("type 110114 without ITI-40", (put("type.code", "110114"),)),
    Wrong("ITI-40 is not DCM 110114", (add("subtype", _coding(v.EVENT_TYPE, "ITI-40")),)),
    Wrong("a denial names ITI-40 and one", (put("type.code", "110114"), put("subtype[0].code", "ITI-40"))),
    Wrong(
        "a denial is no success",
        (put("type.code", "110114"), add("subtype", _coding(v.EVENT_TYPE, "ITI-40"))),
    ),
    Wrong("a denial is E", (put("action", "R"), add("subtype", _coding(v.EVENT_TYPE, "ITI-40")))),
    Wrong("ITI-18 is DCM 110112", (put("type.code", "110106"),)),
    Wrong("ITI-18 is E", (put("action", "R"),)),
    Wrong("ITI-39 is DCM 110106", (put("type.code", "110107"),), B),
    Wrong("ITI-67 is audit-event-type rest", (*_of("ITI-67", "110112", "E"),)),
    Wrong("ITI-67 is search and not []", (*_restful("ITI-67", "search", "E"), cut("subtype[0]"))),
    Wrong("ITI-18 is no interaction and not", (add("subtype", _coding(v.RESTFUL, "search")),)),
    Wrong(
        "display: ITI-67 is called Find Document References",
        (*_restful("ITI-67", "search", "E"), cut("subtype[1].display")),
    ),
    Wrong(
        "display: 110153 is called",
        (*_restful("ITI-67", "search", "E"), put("agent[2].type.coding[0].display", "Source")),
    ),
    Wrong("a search has no id", _restful("ITI-67", "search", "E")),
    Wrong(
        "query: not the request",
        (*_restful("ITI-67", "search", "E"), put("entity[1]", A_SEARCH | {"query": "ZGF0ZQ=="})),
    ),
    Wrong(
        "query: not base64",
        (*_restful("ITI-67", "search", "E"), put("entity[1]", A_SEARCH | {"query": "//8="})),
    ),
    Wrong("ITI-68 without document", (*_restful("ITI-68", "read", "R"), *READING)),
    Wrong("ITI-105 without data", (*_restful("ITI-105", "create", "C"),)),
    Wrong("ITI-65 without submission set", (*_of("ITI-65", "110107", "C"), *NAMED)),
    Wrong("outcome: not there", (cut("outcome"),)),
    Wrong("ITI-18 without query", (cut("entity[1]"),)),
    Wrong("ITI-39 without document", (cut("entity[1]"),), B),
    Wrong("ITI-42 without patient", (*_of("ITI-42", "110107", "C"), cut("entity[0]"))),
    Wrong("ITI-42 without submission set", _of("ITI-42", "110107", "C")),
    Wrong("ITI-81 without log", _of("ITI-81", "110101", "R"), C),
    Wrong(
        "log without query", (*_of("ITI-81", "110101", "R"), put("entity[1]", LOG), cut("entity[1].query")), C
    ),
    Wrong("patient without detail MSH-10", _of("ITI-8", "110110", "C"), C),
    Wrong("without lifecycle 14", (*_of("ITI-62", "110110", "D"), put("entity[1]", DOCUMENT))),
    Wrong("query without what.identifier.value", (cut("entity[1].what"),)),
    Wrong("query without detail QueryEncoding", (cut("entity[1].detail[0]"),)),
    Wrong("document without detail Repository Unique Id", (cut("entity[1].detail[0]"),), B),
    Wrong("document without detail ihe:homeCommunityID", (cut("entity[1].detail[1]"),), B),
    Wrong(
        "entity[1].type: unknown system",
        (put("entity[1].type.system", "http://hl7.org/fhir/ValueSet/audit-entity-type"),),
    ),
    Wrong("entity[1].type: unknown code", (put("entity[1].type.code", "9"),)),
    Wrong("entity[1].role: no code of", (put("entity[1].role.code", "25"),)),
    Wrong("role patient on a system object", (put("entity[0].type.code", "2"),)),
    Wrong("is no id of a stored query", (put("entity[1].what.identifier.value", "urn:oid:1.2.3"),)),
    Wrong("not the AdhocQueryRequest", (put("entity[1].query", "UEhFLw=="),)),
    Wrong("not base64 of UTF-8 text", (put("entity[1].query", "//79"),)),
    Wrong("QueryEncoding is not UTF-8", (put("entity[1].detail[0].valueString", "ISO-8859-1"),)),
    Wrong("a home community that is no urn:oid:", (put("entity[1].detail[1].valueString", "2.16.578.1"),)),
    Wrong("ITI-18 with source and destination the wrong way round", _swap()),
    # What a gateway answers and what it asks: by the direction it is the other, which it is not otherwise.
    *(
        Wrong(
            said,
            (put("agent[3].type.coding[0].code", "110152"), put("agent[4].type.coding[0].code", "110153")),
            B,
        )
        for said in (
            "ITI-39 is DCM 110107 for the one who asks",
            "ITI-39 is C for the one who asks",
            "whoever asks is a machine",
            "whoever is asked is an endpoint",
            "another community was asked, and there is no trace",
            "a message to the community, and only where one was asked",
        )
    ),
    *(
        Wrong(said, (*_of("ITI-38", "110112", "E"), *_swap()))
        for said in (
            "agent[3].network: whoever asks is a machine",
            "agent[2].network: whoever is asked is an endpoint",
            "a message to the community, and only where one was asked",
        )
    ),
    *(
        Wrong(said, (*QUERY_OF_OTHERS, *_swap()))
        for said in (
            "agent[3].network: whoever asks is a machine",
            "agent[2].network: whoever is asked is an endpoint",
            "a message to the community, and only where one was asked",
            "of another community than the one that was asked",
        )
    ),
    Wrong(
        "ITI-39 is DCM 110106 for the one who answers",
        (
            *FETCH_FROM_OTHERS,
            put("agent[3].type.coding[0].code", "110153"),
            put("agent[4].type.coding[0].code", "110152"),
        ),
        B,
    ),
    Wrong("ITI-38 is DCM 110112 for the one who asks", (*QUERY_OF_OTHERS, put("type.code", "110106"))),
    Wrong("ITI-38 is E for the one who asks", (*QUERY_OF_OTHERS, put("action", "R"))),
    Wrong("ITI-39 is DCM 110107 for the one who asks", (*FETCH_FROM_OTHERS, put("type.code", "110106")), B),
    Wrong("ITI-39 is C for the one who asks", (*FETCH_FROM_OTHERS, put("action", "R")), B),
    Wrong("ITI-38 without query", (*QUERY_OF_OTHERS, cut("entity[1]"))),
    Wrong(
        "query without detail urn:ihe:iti:xca:2010:homeCommunityId",
        (*QUERY_OF_OTHERS, cut("entity[1].detail[1]")),
    ),
    Wrong("query without detail QueryEncoding", (*QUERY_OF_OTHERS, cut("entity[1].detail[0]"))),
    Wrong("is no id of a stored query", (*QUERY_OF_OTHERS, put("entity[1].what.identifier.value", "1.2"))),
    Wrong("ITI-39 without document", (*FETCH_FROM_OTHERS, cut("entity[1]")), B),
    Wrong("document without detail ihe:homeCommunityID", (*FETCH_FROM_OTHERS, cut("entity[1].detail[1]")), B),
    Wrong(
        "document without detail Repository Unique Id", (*FETCH_FROM_OTHERS, cut("entity[1].detail[0]")), B
    ),
    *(
        Wrong(
            "of another community than the one that was asked",
            (*changes, put("entity[1].detail[1].valueString", whose)),
            example,
        )
        for example, changes, whose in (
            (A, QUERY_OF_OTHERS, OURS),
            (B, FETCH_FROM_OTHERS, OURS),
            (B, (*FETCH_FROM_OTHERS, put("outcome", "4")), OURS),
            (B, (), THEIRS),
            (A, _of("ITI-38", "110112", "E"), THEIRS),
        )
    ),
    Wrong(
        "a home community that is no urn:oid:",
        (*FETCH_FROM_OTHERS, put("entity[1].detail[1].valueString", "1.2")),
        B,
    ),
    Wrong("0 of 110152 destination", (*QUERY_OF_OTHERS, cut("agent[3]"))),
    Wrong("110153 source without network.address", (*FETCH_FROM_OTHERS, cut("agent[4].network")), B),
    Wrong(
        "source.observer: none of the agents",
        (*QUERY_OF_OTHERS, put("agent[2].who.identifier.value", "urn:oid:1.2.3")),
    ),
    Wrong("2 requestors, not one", (*QUERY_OF_OTHERS, put("agent[2].requestor", True))),
    Wrong(
        "whoever asks is a machine",
        (*QUERY_OF_OTHERS, put("agent[2].network", {"address": ENDPOINT, "type": "5"})),
    ),
    Wrong(
        "whoever is asked is an endpoint",
        (*FETCH_FROM_OTHERS, put("agent[4].network", {"address": "10.9.8.7", "type": "2"})),
        B,
    ),
    Wrong(
        "whoever is asked is an endpoint",
        (put("agent[3].network", {"address": "xds.example.no", "type": "1"}),),
    ),
    Wrong("whoever asks is a machine", (put("agent[2].network", {"address": ENDPOINT, "type": "5"}),)),
    Wrong("0 of 110152 destination", (cut("agent[3]"),)),
    Wrong("2 of 110153 source", (put("agent[1].type.coding[0]", _coding(*v.SOURCE_ROLE)),)),
    Wrong("110153 source without network.address", (cut("agent[2].network"),)),
    Wrong("source.observer: no identifier", (cut("source.observer.identifier"),)),
    Wrong("source.observer: none of the agents", (put("source.observer.identifier.value", "urn:oid:1.2.3"),)),
    Wrong("0 requestors, not one", (put("agent[0].requestor", False),)),
    Wrong("2 requestors, not one", (put("agent[2].requestor", True),)),
    Wrong("type 2 is an IP address", (put("agent[2].network.address", "epj.example.no"),)),
    Wrong("type 5 is a URI", (put("agent[3].network.address", "10.1.2.4"),)),
    Wrong("type 1 is a machine name", (put("agent[2].network.type", "1"),)),
    Wrong("network: address without type", (cut("agent[2].network.type"),)),
    # BALP's patterns.
    Wrong("is no pattern that is known here", (add("meta.profile", f"{v.BALP}IHE.BasicAudit.PatientQuery"),)),
    Wrong("0 of SAML user, not 1..*", (cut("agent[0].type.coding[0]"),)),
    Wrong("SAML user without who.identifier.value", (cut("agent[0].who.identifier"),)),
    Wrong("SAML user with altId", (put("agent[0].altId", "kari"),), C),
    Wrong("SAML user with network", (put("agent[0].network", {"address": "10.1.2.3", "type": "2"}),)),
    Wrong("SAML user with 0 policies", (cut("agent[0].policy"),)),
    Wrong("SAML user with 2 policies", (add("agent[0].policy", "_other"),)),
    Wrong("SAML user with requestor not true", (put("agent[0].requestor", False),)),
    Wrong("SAML organisation without who.display", (cut("agent[1].who.display"),)),
    Wrong("SAML organisation with name", (put("agent[1].name", "Foretaket"),)),
    Wrong("SAML organisation with requestor not false", (put("agent[1].requestor", True),)),
    Wrong("SAML home community without who.identifier", (put("agent[2].who", {"display": "Øst"}),), B),
    Wrong("0 of OAuth user, not 1..*", (put("meta.profile[1]", v.OAUTH_MINIMAL),)),
    Wrong("0 of OAuth client, not 1..1", (put("meta.profile[1]", v.OAUTH_COMPREHENSIVE), *OAUTH_USER)),
    Wrong(
        "policy: not urn:ietf:params:oauth:jti:",
        (put("meta.profile[1]", v.OAUTH_MINIMAL), *OAUTH_USER, put("agent[0].policy", ["9b2f"])),
    ),
    Wrong("a SAML user and an OAuth user", (add("agent[0].type.coding", _coding(*v.USER_OAUTH)),)),
    Wrong(
        "ihe-assuranceLevel without",
        (put("agent[0].extension[0]", {"url": v.ASSURANCE_LEVEL, "valueString": "4"}),),
    ),
    Wrong("ihe-otherId without valueIdentifier.value", (cut("agent[0].extension[1].valueIdentifier.value"),)),
    Wrong("ihe-otherId without a type", (cut("agent[0].extension[1].valueIdentifier.type"),)),
    Wrong("xua:2012:acp more than once", (put("entity[2].detail[1].type", "urn:ihe:iti:xua:2012:acp"),), B),
    Wrong(
        "xua:2012:acp is no valueString",
        (put("entity[2].detail[0]", {"type": "urn:ihe:iti:xua:2012:acp", "valueBase64Binary": "dXJu"}),),
        B,
    ),
    Wrong("a request id without what.identifier.value", (put("entity[2].what", {"display": "x"}),)),
    # Our own rules.
    Wrong("an identifier without value", (cut("agent[2].who.identifier.value"),)),
    Wrong("an identifier without system", (cut("agent[2].who.identifier.system"),)),
    Wrong("a system that is no URI", (put("agent[2].who.identifier.system", "client"),)),
    *(
        Wrong(f"{path}: a national number", (put(path, value),))
        for path, value in (
            ("outcomeDesc", f"No document of {NUMBER}."),
            ("agent[0].name", f"Kari Prøvelege ({NUMBER})"),
            ("agent[0].altId", NUMBER),
            ("agent[0].who.display", NUMBER),
            ("agent[2].who.display", NUMBER),
            ("agent[3].network.address", f"https://xds.example.no/registry?patient={NUMBER}"),
            ("entity[0].what.display", NUMBER),
            ("entity[0].name", NUMBER),
            ("entity[1].description", f"FindDocuments {NUMBER}"),
            ("entity[1].detail[2].valueString", f"{NUMBER}^^^&2.16.578.1.12.4.1.4.1&ISO"),
            ("entity[2].what.identifier.value", NUMBER),
            ("source.site", NUMBER),
        )
    ),
    Wrong("a national number", (put("contained[legal].name", NUMBER),)),
    Wrong(
        "valueBase64Binary: a national number",
        (add("entity[1].detail", {"type": "MSH-10", "valueBase64Binary": "MTI4NjcwMTIxMDc="}),),
    ),
    Wrong(
        "agent[0].purposeOfUse[0].coding[0].system: the address of a value set",
        (put("agent[0].purposeOfUse[0].coding[0].system", norwegian.NOT_THE_CODE_SYSTEM[0]),),
    ),
    Wrong("another community was asked, and there is no trace", (*QUERY_OF_OTHERS, cut("entity[4]"))),
    Wrong("a message to the community, and only where", (*FETCH_FROM_OTHERS, cut("entity[4]")), B),
    Wrong("a message to the community, and only where", (OUTGOING,)),
    Wrong("2 request ids called trace", (*QUERY_OF_OTHERS, TRACE)),
    *(
        Wrong("a trace that is no trace-id", (_request_id("trace", value),))
        for value in (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "4BF92F3577B34DA6A3CE929D0E0E4736",
            "0" * 32,
        )
    ),
    Wrong("a profile is claimed twice", (add("meta.profile", v.TRUST_FRAMEWORK),)),
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_canonical_structures_are_right(name: str) -> None:
    """A, B and C of fhir-rules 2.4; A and B are of health personnel with all data."""
    assert problems(EXAMPLES[name], must_claim=name in PERSONNEL) == []


@pytest.mark.parametrize("row", RIGHT, ids=lambda row: row.name)
def test_what_is_permitted_is_not_found(row: Right) -> None:
    """Each transaction, each kind of token, and what a source leaves open."""
    assert problems(changed(row.example, *row.changes)) == []


@pytest.mark.parametrize("row", WRONG, ids=lambda row: f"{row.example[0]}-{row.said}")
def test_what_is_wrong_is_found(row: Wrong) -> None:
    """One small change, and the message that names it."""
    found = problems(changed(row.example, *row.changes), must_claim=row.example in PERSONNEL)
    assert any(row.said in problem for problem in found), found


def test_each_check_is_broken_by_some_row() -> None:
    """A check that never speaks may as well not be there."""
    checks = [*r4.CHECKS, *norwegian.CHECKS, *ihe.CHECKS, *balp.CHECKS, *house.CHECKS]
    events = [changed(row.example, *row.changes) for row in WRONG]
    silent = [check.find.__name__ for check in checks if not any(list(check.find(event)) for event in events)]
    assert silent == []


def test_each_transaction_has_an_event_that_is_right() -> None:
    """No row of the table stands without an event that passes it."""
    events = [*EXAMPLES.values(), *(changed(row.example, *row.changes) for row in RIGHT)]
    assert {code for event in events for code in ihe.transactions_of(event)} == {*ihe.BY_CODE, ihe.DENIAL}
    asking = [event for event in events if ihe.asks_another(event)]
    assert {code for event in asking for code in ihe.transactions_of(event)} == {*ihe.ASKED}


@pytest.mark.parametrize(
    "event", [{}, {"agent": 1}, {"agent": [1, [2]], "entity": {"a": [None]}, "contained": ["x"]}]
)
def test_no_shape_makes_the_oracle_raise(event: dict[str, Any]) -> None:
    """Whatever is judged, the answer is a list of what is wrong."""
    assert problems(event, must_claim=True) != []


@pytest.mark.parametrize(
    "path", sorted({re.sub(r"\[.*", "", change.path) for row in WRONG for change in row.changes})
)
@pytest.mark.parametrize("value", [None, 1, "x", [], {}, [None], [[]], {"a": {}}])
def test_no_value_makes_the_oracle_raise(path: str, value: Any) -> None:
    """A wrong type is for the schema to find; the other checks pass over it."""
    assert isinstance(problems(changed(A, put(path.partition(".")[0], value))), list)


def test_the_schema_has_what_is_needed() -> None:
    """Each resource has a definition of its own, closed and with its required elements and bindings."""
    schema = json.loads(r4.SCHEMA.read_text())
    definitions = schema["definitions"]
    for name in RESOURCES:
        assert definitions[name]["properties"]["resourceType"] == {"const": name}
        assert definitions[name]["additionalProperties"] is False
        assert "resourceType" in definitions[name]["required"]
    assert {"type", "agent", "source"} <= set(definitions["AuditEvent"]["required"])
    assert definitions["AuditEvent"]["properties"]["outcome"] == {"enum": ["0", "4", "8", "12"]}
    assert definitions["Contained"]["properties"]["resourceType"]["enum"] == sorted(CONTAINED)
    open_ends = [
        name
        for name, definition in definitions.items()
        if "properties" in definition
        and name not in ("Contained", "ResourceList")
        and (definition["additionalProperties"] is not False or "minProperties" not in definition)
    ]
    assert open_ends == []
    wanted = set(re.findall(r"#/definitions/(\w+)", json.dumps(schema)))
    assert wanted <= set(definitions)


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ({"resourceType": "Bundle", "type": "searchset", "total": 0}, ""),
        ({"resourceType": "Bundle", "type": "searchset", "total": -1}, "total: minimum"),
        ({"resourceType": "Bundle", "type": "searchset", "entry": []}, "entry: minItems"),
        ({"resourceType": "Bundle", "type": "list"}, "type: enum"),
        (
            {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": EXAMPLES[A]}]},
            "",
        ),
        (
            {
                "resourceType": "Bundle",
                "type": "searchset",
                "entry": [{"resource": {"resourceType": "AuditEvent"}}],
            },
            "entry[0].resource: required",
        ),
        (
            {
                "resourceType": "Bundle",
                "type": "searchset",
                "entry": [{"resource": {"resourceType": "Basic"}}],
            },
            "entry[0].resource.resourceType: enum",
        ),
        (
            {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]},
            "",
        ),
        ({"resourceType": "OperationOutcome", "issue": [{"severity": "bad", "code": "x"}]}, "severity: enum"),
        (
            {
                "resourceType": "CapabilityStatement",
                "status": "active",
                "date": "2026-03-01",
                "kind": "instance",
                "fhirVersion": "4.0.1",
                "format": ["json"],
                "rest": [{"mode": "server", "resource": [{"type": "AuditEvent"}]}],
            },
            "",
        ),
        ({"resourceType": "CapabilityStatement", "status": "active"}, "resource: anyOf: one of date"),
        ({"resourceType": "DocumentReference"}, "resourceType: enum"),
    ],
    ids=str,
)
def test_other_resources_are_judged_too(resource: dict[str, Any], said: str) -> None:
    """Bundles, outcomes and the capability statement, for the tests of the FHIR side."""
    found = schema_problems(resource)
    assert any(said in problem for problem in found) if said else found == []
