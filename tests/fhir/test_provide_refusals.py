"""Bundles that are refused (fhir-rules 5): each with everything that is wrong, and nothing stored or fetched.

CASES says what is done to a good bundle of one document, and what the node answers: the HTTP status, and of
each issue the FHIR code, the rule, and the FHIRPath, in order. Every bundle is full of a person's data, none
of which may stand in the answer or in the log.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3

from tests.blackbox import messages as m
from tests.blackbox.state import counts
from tests.fhir.messages import (
    JSON,
    LIST_TYPES,
    MHD,
    TYPES,
    URI,
    XML,
    Bundle,
    Issue,
    Json,
    ask,
    binary,
    concept,
    document,
    folder,
    got,
    practitioner,
    published,
    refused,
    resource_of,
    sha1,
    source_patient,
    subject,
    submission_set,
    supersedes,
    told,
)
from tests.nodes import Node
from xds.fhir.r4.xml import to_xml

HOME = "2.16.578.1.12.4.5.100.1.1"
UNKNOWN = "00000000-0000-4000-8000-00000000dead"
REFERENCE = "Bundle.entry[1].resource.ofType(DocumentReference)"
SET = "Bundle.entry[0].resource.ofType(List)"
ATTACHMENT = f"{REFERENCE}.content[0].attachment"


@dataclass(frozen=True)
class Case:
    """A bundle with something wrong: what `change` does to it, and the answer."""

    name: str
    change: Callable[[Bundle], object]
    issues: tuple[Issue, ...]
    status: int = 422


@pytest.fixture(scope="module")
def here(new_node: Callable[..., Node]) -> Node:
    """A node that these tests share, with one document that others are related to."""
    return new_node(node__home_community_id=HOME)


@pytest.fixture(scope="module")
def first(here: Node) -> str:
    """The path of a document of the patient."""
    bundle = Bundle()
    bundle.document(b"first")
    return published(here, bundle)[1]


# ---- what is done to a bundle


def put(path: str, value: Any) -> Callable[[Bundle], None]:
    """Set, or with None remove, what stands at a path below a resource: "1.type" of the document's."""

    def change(bundle: Bundle) -> None:
        number, *steps = path.split(".")
        at: Any = bundle.entries[int(number)]["resource"]
        for step in steps[:-1]:
            at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
        last: Any = int(steps[-1]) if isinstance(at, list) else steps[-1]
        if value is None:
            del at[last]
        else:
            at[last] = value

    return change


def entry(number: int, **changes: Any) -> Callable[[Bundle], None]:
    """Change members of an entry of the bundle; None removes one."""

    def change(bundle: Bundle) -> None:
        for name, value in changes.items():
            if value is None:
                del bundle.entries[number][name]
            else:
                bundle.entries[number][name] = value

    return change


def both(*changes: Callable[[Bundle], object]) -> Callable[[Bundle], None]:
    """Several changes."""

    def change(bundle: Bundle) -> None:
        for each in changes:
            each(bundle)

    return change


def add(
    resource: Json, method: str = "POST", url: str = "", full_url: str | None = None
) -> Callable[..., Any]:
    """One more entry."""
    return lambda bundle: bundle.add(resource, method, url, full_url)


def related(code: str, target: Json) -> Callable[[Bundle], None]:
    """A relation of the document."""
    return put("1.relatesTo", [{"code": code, "target": target}])


def same_unique_id(bundle: Bundle) -> None:
    """A second document with the uniqueId of the first."""
    bundle.document(b"second", masterIdentifier=bundle.resource(1)["masterIdentifier"])


def twice(bundle: Bundle) -> None:
    """A second document whose bytes are those of the first one's Binary."""
    url = bundle.resource(1)["content"][0]["attachment"]["url"]
    bundle.hold(bundle.add(document(attachment={"url": url})))


def held(name: str, **more: Any) -> Json:
    """Members of a DocumentReference whose author is contained, with something more in it."""
    return {"contained": [{**practitioner("doctor"), name: more["value"]}, source_patient()]}


MODIFIER = [{"url": "urn:x:not", "valueBoolean": True}]
OTHER = [{"url": f"{MHD}ihe-HomeCommunityId", "valueOid": "urn:oid:1.2.3"}]
OPERATION = supersedes()["parameter"][0]


def patch(target: str, *, url: str = "", **parts: str) -> Callable[[Bundle], object]:
    """A PATCH entry, with other values in its parts, of a document that is replaced."""
    resource = supersedes()
    for part in resource["parameter"][0]["part"]:
        if part["name"] in parts:
            (name,) = part.keys() - {"name"}
            part[name] = parts[part["name"]]
    return both(related("replaces", {"reference": target}), add(resource, "PATCH", url or target, ""))


def missing(attribute: str, path: str, expression: str) -> Case:
    """A bundle without something that XDS requires."""
    return Case(f"no {attribute}", put(path, None), (("invalid", f"DE-{attribute}-required", expression),))


CASES = [
    # ---- the Bundle
    Case("no entries", lambda b: b.entries.clear(), (("structure", "", "Bundle.entry"),)),
    Case("two sets", add(submission_set()), (("invalid", "mhd-one-set", "Bundle.entry"),)),
    Case(
        "the set by PUT",
        entry(0, request={"method": "PUT", "url": "List/1"}),
        (
            ("invalid", "mhd-one-set", "Bundle.entry"),
            ("invalid", "mhd-entry", "Bundle.entry[0]"),
        ),
    ),
    Case(
        "a List of another kind",
        add(submission_set(code=concept("other", LIST_TYPES))),
        (("invalid", "mhd-entry", "Bundle.entry[3]"),),
    ),
    Case(
        "a List without code", add(submission_set(code=None)), (("invalid", "mhd-entry", "Bundle.entry[3]"),)
    ),
    Case(
        "an Observation",
        add({"resourceType": "Observation", "status": "final", "code": {"text": "x"}}),
        (("structure", "", "Bundle.entry[3].resource"),),
    ),
    Case("a Practitioner", add(practitioner("x")), (("invalid", "mhd-entry", "Bundle.entry[3]"),)),
    Case(
        "a DocumentReference by DELETE",
        entry(1, request={"method": "DELETE", "url": "DocumentReference/1"}),
        (
            ("invalid", "mhd-entry", "Bundle.entry[1]"),
            ("not-found", "mhd-item", f"{SET}.entry[0].item"),
            ("required", "mhd-document-once", "Bundle.entry[2].resource.ofType(Binary)"),
        ),
    ),
    Case(
        "a DocumentReference by PUT",
        entry(1, request={"method": "PUT", "url": "DocumentReference/1"}),
        (
            ("invalid", "mhd-entry", "Bundle.entry[1]"),
            ("not-found", "mhd-item", f"{SET}.entry[0].item"),
            ("required", "mhd-document-once", "Bundle.entry[2].resource.ofType(Binary)"),
        ),
    ),
    Case(
        "a Binary by PUT",
        entry(2, request={"method": "PUT", "url": "Binary/1"}),
        (("invalid", "mhd-entry", "Bundle.entry[2]"),),
    ),
    Case(
        "a GET of documents",
        lambda b: b.entries.append({"request": {"method": "GET", "url": "DocumentReference?status=current"}}),
        (("invalid", "mhd-entry", "Bundle.entry[3]"),),
    ),
    Case("no request", entry(1, request=None), (("invariant", "", "Bundle"),)),
    Case(
        "a condition",
        entry(
            1, request={"method": "POST", "url": "DocumentReference", "ifNoneExist": f"identifier={m.NUMBER}"}
        ),
        (
            ("invalid", "mhd-entry", "Bundle.entry[1]"),
            ("not-found", "mhd-item", f"{SET}.entry[0].item"),
            ("required", "mhd-document-once", "Bundle.entry[2].resource.ofType(Binary)"),
        ),
    ),
    Case(
        "no fullUrl",
        entry(2, fullUrl=None),
        (
            ("invalid", "mhd-full-url", "Bundle.entry[2].fullUrl"),
            ("required", "mhd-document", f"{ATTACHMENT}.url"),
            ("required", "mhd-document-once", "Bundle.entry[2].resource.ofType(Binary)"),
        ),
    ),
    Case(
        "one fullUrl twice",
        lambda b: b.add(folder(), full_url=b.entries[2]["fullUrl"]),
        (("invariant", "", "Bundle.entry[3]"),),
    ),
    Case(
        "a FHIR document",
        add(
            {
                "resourceType": "Bundle",
                "type": "document",
                "entry": [{"resource": {"resourceType": "Composition"}}],
            }
        ),
        (("not-supported", "mhd-fhir-document", "Bundle.entry[3].resource.ofType(Bundle)"),),
    ),
    # ---- not R4
    Case(
        "an empty array",
        put("1.author", []),
        (
            ("structure", "", "Bundle.entry[1].resource.author"),
            ("invariant", "", "Bundle.entry[1].resource.contained[0]"),
        ),
    ),
    Case("an empty object", put("1.type", {}), (("structure", "", "Bundle.entry[1].resource.type"),)),
    Case("an empty text", put("1.description", ""), (("value", "", "Bundle.entry[1].resource.description"),)),
    Case("null", put("1.description", {"x": 1}), (("value", "", "Bundle.entry[1].resource.description"),)),
    Case("an unknown element", put("1.Kvakkelund", "x"), (("structure", "", "Bundle.entry[1].resource"),)),
    Case("an element of R5", put("1.version", "1"), (("structure", "", "Bundle.entry[1].resource"),)),
    Case(
        "one for many",
        put("1.category", concept("A00-1", TYPES)),
        (("structure", "", "Bundle.entry[1].resource.category"),),
    ),
    Case(
        "a number for a text",
        put("1.description", 17855599120),
        (("value", "", "Bundle.entry[1].resource.description"),),
    ),
    Case(
        "an unknown status",
        put("1.status", "Kvakkelund"),
        (("code-invalid", "", "Bundle.entry[1].resource.status"),),
    ),
    Case("no content", put("1.content", None), (("required", "", "Bundle.entry[1].resource"),)),
    Case("no status", put("1.status", None), (("required", "", "Bundle.entry[1].resource"),)),
    Case(
        "a day that is none",
        put("1.content.0.attachment.creation", "2026-02-31"),
        (("value", "", "Bundle.entry[1].resource.content[0].attachment.creation"),),
    ),
    Case(
        "a period backwards",
        put("1.context.period", {"start": "2026-03-11", "end": "2026-03-09"}),
        (("invariant", "", "Bundle.entry[1].resource.context.period"),),
    ),
    Case(
        "a reference to nothing contained",
        put("1.author", [{"reference": "#Kvakkelund"}]),
        (
            ("invariant", "", "Bundle.entry[1].resource.author[0].reference"),
            ("invariant", "", "Bundle.entry[1].resource.contained[0]"),
        ),
    ),
    Case(
        "something contained that nothing refers to",
        put("1.author", None),
        (("invariant", "", "Bundle.entry[1].resource.contained[0]"),),
    ),
    Case(
        "a size below zero",
        put("1.content.0.attachment.size", -1),
        (("value", "", "Bundle.entry[1].resource.content[0].attachment.size"),),
    ),
    Case(
        "an unknown relation",
        related("extends", {"reference": f"DocumentReference/{UNKNOWN}"}),
        (("code-invalid", "", "Bundle.entry[1].resource.relatesTo[0].code"),),
    ),
    Case(
        "a control character",
        put("1.description", "a\x01b"),
        (("value", "", "Bundle.entry[1].resource.description"),),
    ),
    # ---- not MHD
    Case("superseded", put("1.status", "superseded"), (("invalid", "mhd-status", f"{REFERENCE}.status"),)),
    Case(
        "entered in error",
        put("1.status", "entered-in-error"),
        (("invalid", "mhd-status", f"{REFERENCE}.status"),),
    ),
    Case(
        "a status that is only an extension",
        both(put("1.status", None), put("1._status", {"extension": [{"url": "urn:x", "valueString": "x"}]})),
        (("invalid", "mhd-status", f"{REFERENCE}.status"),),
    ),
    Case("the set retired", put("0.status", "retired"), (("invalid", "mhd-status", f"{SET}.status"),)),
    Case(
        "docStatus", put("1.docStatus", "final"), (("invalid", "mhd-prohibited", f"{REFERENCE}.docStatus"),)
    ),
    Case(
        "a modifier extension",
        put("1.modifierExtension", MODIFIER),
        (("invalid", "mhd-prohibited", f"{REFERENCE}.modifierExtension"),),
    ),
    Case(
        "one of the content",
        put("1.content.0.modifierExtension", MODIFIER),
        (("invalid", "mhd-prohibited", f"{REFERENCE}.content[0].modifierExtension"),),
    ),
    Case(
        "one of an author",
        put("1.contained.0.modifierExtension", MODIFIER),
        (("invalid", "mhd-prohibited", f"{REFERENCE}.contained[0].modifierExtension"),),
    ),
    Case(
        "one of the set",
        put("0.modifierExtension", MODIFIER),
        (("invalid", "mhd-prohibited", f"{SET}.modifierExtension"),),
    ),
    Case(
        "one of a Patient",
        add({**source_patient("p"), "modifierExtension": MODIFIER}),
        (("invalid", "mhd-prohibited", "Bundle.entry[3].resource.ofType(Patient).modifierExtension"),),
    ),
    Case(
        "implicit rules",
        put("1.implicitRules", "urn:x:rules"),
        (("invalid", "mhd-prohibited", f"{REFERENCE}.implicitRules"),),
    ),
    Case(
        "two categories",
        put("1.category", [concept("A00-1", TYPES), concept("B00-1", TYPES)]),
        (("invalid", "mhd-single", f"{REFERENCE}.category[1]"),),
    ),
    Case(
        "two contents",
        lambda b: b.resource(1)["content"].append(b.resource(1)["content"][0]),
        (("invalid", "mhd-single", f"{REFERENCE}.content[1]"),),
    ),
    Case(
        "encounter, orderedBy, emptyReason",
        lambda b: b.set.update(encounter={"display": "x"}, orderedBy={"text": "x"}),
        (
            ("invalid", "mhd-prohibited", f"{SET}.encounter"),
            ("invalid", "mhd-prohibited", f"{SET}.orderedBy"),
        ),
    ),
    Case(
        "entries that are flagged, dated",
        lambda b: b.set["entry"][0].update(flag={"text": "x"}, date="2026"),
        (
            ("invalid", "mhd-prohibited", f"{SET}.entry[0].flag"),
            ("invalid", "mhd-prohibited", f"{SET}.entry[0].date"),
        ),
    ),
    Case(
        "an entry that is deleted",
        put("0.entry.0.deleted", True),
        (("invariant", "", "Bundle.entry[0].resource"),),
    ),
    Case(
        "a folder with source",
        add(folder(source={"display": m.FAMILY})),
        (("invalid", "mhd-prohibited", "Bundle.entry[3].resource.ofType(List).source"),),
    ),
    Case(
        "two designation types",
        lambda b: b.set["extension"].append(b.set["extension"][0]),
        (("invalid", "mhd-single", f"{SET}.extension"),),
    ),
    Case("another community", put("1.extension", OTHER), (("value", "mhd-home", f"{REFERENCE}.extension"),)),
    Case(
        "another community of the set",
        lambda b: b.set["extension"].extend(OTHER),
        (("value", "mhd-home", f"{SET}.extension"),),
    ),
    # ---- documents
    Case(
        "a Binary of nobody",
        add(binary(m.FAMILY.encode())),
        (("required", "mhd-document-once", "Bundle.entry[3].resource.ofType(Binary)"),),
    ),
    Case(
        "a Binary for two",
        twice,
        (
            (
                "required",
                "mhd-document-once",
                "Bundle.entry[3].resource.ofType(DocumentReference).content[0].attachment.url",
            ),
        ),
    ),
    Case(
        "a Binary without data",
        put("2.data", None),
        (("required", "mhd-document-data", "Bundle.entry[2].resource.ofType(Binary).data"),),
    ),
    Case(
        "no address",
        put("1.content.0.attachment.url", None),
        (
            ("required", "mhd-document", f"{ATTACHMENT}.url"),
            ("required", "mhd-document-once", "Bundle.entry[2].resource.ofType(Binary)"),
        ),
    ),
    Case(
        "data beside the address",
        put("1.content.0.attachment.data", "eHg="),
        (("value", "", "Bundle.entry[1].resource.content[0].attachment.data"),),
    ),
    *[
        Case(
            f"the address {url}",
            put("1.content.0.attachment.url", url),
            (
                ("required", "mhd-document", f"{ATTACHMENT}.url"),
                ("required", "mhd-document-once", "Bundle.entry[2].resource.ofType(Binary)"),
            ),
        )
        for url in (
            "http://169.254.169.254/latest/meta-data",
            "https://ehr.example.org/Binary/1",
            "file:///etc/passwd",
            "Binary/1",
            "cid:nobody@example.org",
        )
    ],
    Case(
        "the address urn:xds:staged:0",
        put("1.content.0.attachment.url", "urn:xds:staged:0"),
        (("required", "mhd-document", f"{ATTACHMENT}.url"),),
    ),
    Case(
        "the address of no Binary",
        lambda b: put("1.content.0.attachment.url", b.entries[0]["fullUrl"])(b),
        (
            ("required", "mhd-document", f"{ATTACHMENT}.url"),
            ("required", "mhd-document-once", "Bundle.entry[2].resource.ofType(Binary)"),
        ),
    ),
    Case(
        "another hash",
        put("1.content.0.attachment.hash", sha1(b"other")),
        (("invalid", "document-hash", f"{REFERENCE}.content.attachment.hash"),),
    ),
    Case(
        "the hash of hexadecimal digits",
        put("1.content.0.attachment.hash", "ZGEzOWEzZWU1ZTZiNGIwZDMyNTViZmVmOTU2MDE4OTBhZmQ4MDcwOQ=="),
        (("invalid", "mhd-value", f"{ATTACHMENT}.hash"),),
    ),
    Case(
        "another size",
        put("1.content.0.attachment.size", 4),
        (("invalid", "document-size", f"{REFERENCE}.content.attachment.size"),),
    ),
    Case(
        "another hash and size, and no type",
        both(
            put("1.content.0.attachment.hash", sha1(b"other")),
            put("1.content.0.attachment.size", 4),
            put("1.type", None),
        ),
        (
            ("invalid", "document-hash", f"{REFERENCE}.content.attachment.hash"),
            ("invalid", "document-size", f"{REFERENCE}.content.attachment.size"),
            ("invalid", "DE-typeCode-required", f"{REFERENCE}.type"),
        ),
    ),
    # ---- metadata
    missing("typeCode", "1.type", f"{REFERENCE}.type"),
    missing("classCode", "1.category", f"{REFERENCE}.category"),
    missing("confidentialityCode", "1.securityLabel", f"{REFERENCE}.securityLabel"),
    missing("formatCode", "1.content.0.format", f"{REFERENCE}.content.format"),
    missing("languageCode", "1.content.0.attachment.language", f"{REFERENCE}.content.attachment.language"),
    missing("creationTime", "1.content.0.attachment.creation", f"{REFERENCE}.content.attachment.creation"),
    missing("mimeType", "1.content.0.attachment.contentType", f"{REFERENCE}.content.attachment.contentType"),
    missing("healthcareFacilityTypeCode", "1.context.facilityType", f"{REFERENCE}.context.facilityType"),
    missing("practiceSettingCode", "1.context.practiceSetting", f"{REFERENCE}.context.practiceSetting"),
    missing("uniqueId", "1.masterIdentifier", f"{REFERENCE}.masterIdentifier"),
    Case(
        "no subject", put("1.subject", None), (("invalid", "DE-patientId-required", f"{REFERENCE}.subject"),)
    ),
    Case(
        "no subject at all",
        both(put("1.subject", None), put("0.subject", None)),
        (
            ("invalid", "SS-patientId-required", f"{SET}.subject"),
            ("invalid", "DE-patientId-required", f"{REFERENCE}.subject"),
        ),
    ),
    Case(
        "no designation type, no source id, no date",
        both(put("0.extension", None), put("0.date", None)),
        (
            ("invalid", "SS-contentTypeCode-required", f"{SET}.extension"),
            ("invalid", "SS-sourceId-required", f"{SET}.extension"),
            ("invalid", "SS-submissionTime-required", f"{SET}.date"),
        ),
    ),
    Case(
        "a source id that is no OID",
        put(
            "0.extension.1.valueIdentifier",
            {"system": URI, "value": "urn:uuid:0f3c7a52-1111-4222-8333-000000000001"},
        ),
        (("invalid", "SS-sourceId-type", f"{SET}.extension"),),
    ),
    Case(
        "a code without system",
        put("1.type", {"coding": [{"code": "A03-2"}], "text": m.FAMILY}),
        (
            ("invalid", "mhd-value", f"{REFERENCE}.type"),
            ("invalid", "DE-typeCode-required", f"{REFERENCE}.type"),
        ),
    ),
    Case(
        "a code that its system does not have",
        put("1.type", concept("Kvakkelund", TYPES)),
        (("invalid", "DE-typeCode-code", f"{REFERENCE}.type"),),
    ),
    Case(
        "a uniqueId of no namespace",
        put("1.masterIdentifier", {"system": "https://ehr.example.org/ids", "value": m.FAMILY}),
        (
            ("invalid", "mhd-value", f"{REFERENCE}.masterIdentifier"),
            ("invalid", "DE-uniqueId-required", f"{REFERENCE}.masterIdentifier"),
        ),
    ),
    Case(
        "a subject with an id of no OID",
        put("1.subject", {"identifier": {"system": "https://ehr.example.org/ids", "value": m.NUMBER}}),
        (
            ("invalid", "mhd-value", f"{REFERENCE}.subject"),
            ("invalid", "DE-patientId-required", f"{REFERENCE}.subject"),
        ),
    ),
    Case(
        "a subject elsewhere",
        put("1.subject", {"reference": f"https://ehr.example.org/Patient/{m.NUMBER}"}),
        (
            ("invalid", "mhd-value", f"{REFERENCE}.subject"),
            ("invalid", "DE-patientId-required", f"{REFERENCE}.subject"),
        ),
    ),
    Case(
        "another subject",
        put("1.subject", subject(m.OTHER_NUMBER)),
        (("business-rule", "patientId-message", f"{REFERENCE}.subject"),),
    ),
    Case(
        "a folder of another subject",
        add(folder(subject=subject(m.OTHER_NUMBER))),
        (("business-rule", "patientId-message", "Bundle.entry[3].resource.ofType(List).subject"),),
    ),
    Case(
        "a Patient without identifier",
        lambda b: put(
            "1.subject", {"reference": b.add({"resourceType": "Patient", "name": [{"family": m.FAMILY}]})}
        )(b),
        (
            ("invalid", "mhd-value", f"{REFERENCE}.subject"),
            ("invalid", "DE-patientId-required", f"{REFERENCE}.subject"),
        ),
    ),
    Case(
        "an author elsewhere",
        put("1.author", [{"reference": f"https://ehr.example.org/{m.FAMILY}"}, {"reference": "#doctor"}]),
        (("invalid", "mhd-value", f"{REFERENCE}.author[0]"),),
    ),
    Case(
        "an author with nothing",
        put("1.contained.0", {"resourceType": "Practitioner", "id": "doctor", "gender": "female"}),
        (("invalid", "mhd-value", f"{REFERENCE}.author[0]"),),
    ),
    Case(
        "a title that is too long",
        put("1.content.0.attachment.title", m.TITLE * 100),
        (
            ("invalid", "value-length", f"{REFERENCE}.content.attachment.title"),
            ("invalid", "DE-title-length", f"{REFERENCE}.content.attachment.title"),
        ),
    ),
    Case(
        "an author of a type alone",
        put("1.author", [{"type": "Practitioner"}, {"reference": "#doctor"}]),
        (("invalid", "mhd-value", f"{REFERENCE}.author[0]"),),
    ),
    Case(
        "a Minimal one with nothing that XDS needs",
        lambda b: b.entries[1].update(
            resource={
                k: v for k, v in b.resource(1).items() if k in ("resourceType", "status", "masterIdentifier")
            }
            | {
                "content": [
                    {
                        "attachment": {
                            k: v
                            for k, v in b.resource(1)["content"][0]["attachment"].items()
                            if k in ("contentType", "url")
                        }
                    }
                ]
            }
        ),
        (
            ("invalid", "DE-classCode-required", f"{REFERENCE}.category"),
            ("invalid", "DE-confidentialityCode-required", f"{REFERENCE}.securityLabel"),
            ("invalid", "DE-creationTime-required", f"{REFERENCE}.content.attachment.creation"),
            ("invalid", "DE-formatCode-required", f"{REFERENCE}.content.format"),
            ("invalid", "DE-healthcareFacilityTypeCode-required", f"{REFERENCE}.context.facilityType"),
            ("invalid", "DE-languageCode-required", f"{REFERENCE}.content.attachment.language"),
            ("invalid", "DE-patientId-required", f"{REFERENCE}.subject"),
            ("invalid", "DE-practiceSettingCode-required", f"{REFERENCE}.context.practiceSetting"),
            ("invalid", "DE-sourcePatientId-required", f"{REFERENCE}.context.sourcePatientInfo"),
            ("invalid", "DE-typeCode-required", f"{REFERENCE}.type"),
        ),
    ),
    Case(
        "a reference id without value",
        put("1.context.related", [{"identifier": {"system": URI}}]),
        (("invalid", "mhd-value", f"{REFERENCE}.context.related"),),
    ),
    Case(
        "one uniqueId for two documents",
        same_unique_id,
        (
            (
                "duplicate",
                "uniqueId-message",
                "Bundle.entry[3].resource.ofType(DocumentReference).masterIdentifier",
            ),
        ),
    ),
    # ---- relations
    Case(
        "relation to an unknown document",
        related("replaces", {"reference": f"DocumentReference/{UNKNOWN}"}),
        (("not-found", "mhd-related", f"{REFERENCE}.relatesTo[0].target"),),
    ),
    Case(
        "relation to an id that is none",
        related("replaces", {"reference": f"DocumentReference/{m.NUMBER}"}),
        (("not-found", "mhd-related", f"{REFERENCE}.relatesTo[0].target"),),
    ),
    Case(
        "relation to an unknown identifier",
        related("appends", {"identifier": {"system": URI, "value": f"urn:oid:1.2.{m.NUMBER}"}}),
        (("not-found", "mhd-related", f"{REFERENCE}.relatesTo[0].target"),),
    ),
    Case(
        "relation to an identifier of no OID",
        related("appends", {"identifier": {"system": "https://x", "value": m.FAMILY}}),
        (("not-found", "mhd-related", f"{REFERENCE}.relatesTo[0].target"),),
    ),
    Case(
        "relation elsewhere",
        related("transforms", {"reference": f"https://ehr.example.org/DocumentReference/{UNKNOWN}"}),
        (("not-found", "mhd-related", f"{REFERENCE}.relatesTo[0].target"),),
    ),
    Case(
        "relation to a List",
        related("signs", {"reference": f"List/{UNKNOWN}"}),
        (("value", "", "Bundle.entry[1].resource.relatesTo[0].target"),),
    ),
    Case(
        "relation to nothing",
        related("signs", {"display": m.FAMILY}),
        (("not-found", "mhd-related", f"{REFERENCE}.relatesTo[0].target"),),
    ),
    Case(
        "relation without code",
        put(
            "1.relatesTo",
            [
                {
                    "_code": {"extension": [{"url": "urn:x", "valueString": "x"}]},
                    "target": {"reference": f"DocumentReference/{UNKNOWN}"},
                }
            ],
        ),
        (("not-found", "mhd-related", f"{REFERENCE}.relatesTo[0].target"),),
    ),
    Case(
        "replacement of a document of the bundle",
        lambda b: related("replaces", {"reference": b.document(b"other")})(b),
        (("not-found", "relationship-registered", f"{REFERENCE}.relatesTo"),),
    ),
    Case(
        "relation to itself",
        lambda b: related("appends", {"reference": b.entries[1]["fullUrl"]})(b),
        (("not-found", "relationship-target", f"{REFERENCE}.relatesTo"),),
    ),
    # ---- lists
    Case(
        "an unknown item",
        lambda b: b.hold(f"DocumentReference/{UNKNOWN}"),
        (("not-found", "mhd-item", f"{SET}.entry[1].item"),),
    ),
    Case(
        "an item elsewhere",
        lambda b: b.hold(f"https://ehr.example.org/DocumentReference/{UNKNOWN}"),
        (("not-found", "mhd-item", f"{SET}.entry[1].item"),),
    ),
    Case(
        "a Binary as an item",
        lambda b: b.hold(b.entries[2]["fullUrl"]),
        (("not-found", "mhd-item", f"{SET}.entry[1].item"),),
    ),
    Case(
        "a folder as an item of a folder",
        lambda b: b.folder(b.folder()),
        (("not-found", "mhd-item", "Bundle.entry[4].resource.ofType(List).entry[0].item"),),
    ),
    Case(
        "an unknown folder",
        add(folder(), "PUT", f"List/{UNKNOWN}"),
        (("invalid", "mhd-folder", "Bundle.entry[3].resource.ofType(List)"),),
    ),
    Case(
        "a folder that is put under its identifier",
        add(folder(), "PUT", "List?identifier=x"),
        (("invalid", "mhd-folder", "Bundle.entry[3].resource.ofType(List)"),),
    ),
    Case(
        "a folder without code and title",
        add(folder(extension=None, title=None)),
        (
            ("invalid", "FD-codeList-required", "Bundle.entry[3].resource.ofType(List).extension"),
            ("invalid", "FD-title-required", "Bundle.entry[3].resource.ofType(List).title"),
        ),
    ),
    # ---- PATCH
    Case(
        "PATCH of nothing replaced",
        add(supersedes(), "PATCH", f"DocumentReference/{UNKNOWN}", ""),
        (("invalid", "mhd-patch", "Bundle.entry[3].resource.ofType(Parameters)"),),
    ),
    Case(
        "PATCH of a List",
        add(supersedes(), "PATCH", f"List/{UNKNOWN}", ""),
        (("invalid", "mhd-patch", "Bundle.entry[3].resource.ofType(Parameters)"),),
    ),
    Case(
        "PATCH without operation",
        add({"resourceType": "Parameters"}, "PATCH", f"DocumentReference/{UNKNOWN}", ""),
        (("invalid", "mhd-patch", "Bundle.entry[3].resource.ofType(Parameters)"),),
    ),
    Case(
        "two operations",
        add(
            {"resourceType": "Parameters", "parameter": [OPERATION, OPERATION]},
            "PATCH",
            f"DocumentReference/{UNKNOWN}",
            "",
        ),
        (("invalid", "mhd-patch", "Bundle.entry[3].resource.ofType(Parameters)"),),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bundle_with_something_wrong_is_refused_with_all_that_is(here: Node, case: Case) -> None:
    """In JSON; see the module's text."""
    bundle = Bundle()
    bundle.document()
    case.change(bundle)
    answer = refused(here, lambda: ask(here, "POST", "", bundle.json))
    assert (answer.status, told(answer)) == (case.status, list(case.issues))


IN_XML = ("two sets", "superseded", "an unknown element", "another hash", "no typeCode", "a Binary of nobody")


@pytest.mark.parametrize("case", [each for each in CASES if each.name in IN_XML], ids=lambda case: case.name)
def test_a_bundle_in_xml_is_refused_alike(here: Node, case: Case) -> None:
    """The form makes no difference, but that an element which is not known cannot even be read."""
    bundle = Bundle()
    bundle.document()
    case.change(bundle)
    body = _xml(bundle.json)
    answer = refused(here, lambda: ask(here, "POST", "", body, XML, Accept=XML))
    assert "xml" in answer.headers["Content-Type"]
    if case.name == "an unknown element":
        assert (answer.status, [code for code, _, _ in told(answer)]) == (400, ["structure"])
    else:
        assert (answer.status, told(answer)) == (case.status, list(case.issues))


def _xml(resource: Json) -> bytes:
    known = json.loads(json.dumps(resource).replace('"Kvakkelund": "x"', '"description": "Kvakkelund"'))
    text = to_xml(known)
    return text.replace(b'<description value="Kvakkelund"/>', b'<Kvakkelund value="x"/>')


# ---- what only the registry knows


def replacing(target: str) -> Bundle:
    """A bundle whose document replaces one."""
    bundle = Bundle()
    bundle.document(b"later", relatesTo=[{"code": "replaces", "target": {"reference": target}}])
    return bundle


def test_a_document_is_replaced_once(here: Node) -> None:
    """409: the current one is another (ITI TF-2 3.42.4.1.3.5)."""
    bundle = Bundle()
    bundle.document()
    target = published(here, bundle)[1]
    published(here, replacing(target))
    answer = refused(here, lambda: ask(here, "POST", "", replacing(target).json))
    assert answer.status == 409
    assert told(answer) == [("conflict", "registry-document-approved", f"{REFERENCE}.relatesTo")]


@pytest.mark.parametrize("part", [{"type": "add"}, {"path": "DocumentReference.type"}, {"value": "current"}])
def test_a_patch_in_a_bundle_says_nothing_but_that_a_document_is_replaced(
    here: Node, first: str, part: dict[str, str]
) -> None:
    """Another type of operation, element or value."""
    bundle = Bundle()
    bundle.document()
    patch(first, **part)(bundle)
    answer = refused(here, lambda: ask(here, "POST", "", bundle.json))
    place = "Bundle.entry[3].resource.ofType(Parameters)"
    assert (answer.status, told(answer)) == (422, [("invalid", "mhd-patch", place)])


def test_a_patch_of_a_document_that_is_not_replaced_does_nothing(here: Node, first: str) -> None:
    """Status changes by replacing, and not by itself."""
    bundle = Bundle()
    bundle.document()
    bundle.add(supersedes(), "PATCH", first, "")
    answer = refused(here, lambda: ask(here, "POST", "", bundle.json))
    place = "Bundle.entry[3].resource.ofType(Parameters)"
    assert (answer.status, told(answer)) == (422, [("invalid", "mhd-patch", place)])
    assert got(here, first)["status"] == "current"


@pytest.mark.parametrize("how", ["replaces", "appends", "folder"])
def test_documents_of_somebody_else_are_not_touched(here: Node, first: str, how: str) -> None:
    """A submission is about one patient (ITI TF-2 3.42.4.1.3.3.2)."""
    her = {"subject": subject(m.OTHER_NUMBER), "contained": [practitioner()]}
    bundle = Bundle(**her)
    her["contained"] = [practitioner(), source_patient()]
    if how in ("replaces", "appends"):
        bundle.document(**her, relatesTo=[{"code": how, "target": {"reference": first}}])
    else:
        bundle.folder(first, subject=her["subject"])
    answer = refused(here, lambda: ask(here, "POST", "", bundle.json))
    assert answer.status == 422
    assert [code for code, _, _ in told(answer)] == ["business-rule"] * len(told(answer))


def test_an_entry_uuid_that_is_taken_is_refused(here: Node, first: str) -> None:
    """The sender gave it, so it is the sender's to change."""
    taken = {"use": "official", "system": URI, "value": f"urn:uuid:{first.rpartition('/')[2]}"}
    bundle = Bundle()
    bundle.document(identifier=[taken])
    answer = refused(here, lambda: ask(here, "POST", "", bundle.json))
    issue = ("invalid", "registry-entry-uuid-new", f"{REFERENCE}.identifier")
    assert (answer.status, told(answer)) == (422, [issue])


def test_a_patient_who_is_not_known_is_refused(new_node: Callable[..., Node]) -> None:
    """patients.source = national: a number that nobody can have."""
    node = new_node(patients__source="national")
    nobody = subject("17855599121")
    bundle = Bundle(subject=nobody)
    bundle.document(subject=nobody)
    answer = refused(node, lambda: ask(node, "POST", "", bundle.json))
    assert answer.status == 422
    assert told(answer) == [("not-found", "registry-patient-known", f"{SET}.subject")]
    assert b"17855599121" not in answer.data + node.log.read_bytes()
    node.stop()


def test_no_address_in_a_bundle_is_ever_asked(here: Node) -> None:
    """Neither that of a document nor of a patient, an author, a profile or a schema."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        own = f"http://127.0.0.1:{listener.getsockname()[1]}"
        bundle = Bundle()
        bundle.document(
            contained=[source_patient()],
            author=[{"reference": f"{own}/Practitioner/1"}],
            subject={"reference": f"{own}/Patient/1"},
            attachment={"url": f"{own}/document"},
        )
        bundle.resource(1)["meta"]["profile"] = [f"{own}/profile"]
        bundle.hold(f"{own}/DocumentReference/1")
        for form in (JSON, XML):
            answer = refused(here, lambda form=form: ask(here, "POST", "", bundle.json, form))
            assert answer.status == 422
        with pytest.raises(TimeoutError):
            listener.accept()


# ---- what cannot be read


def good() -> bytes:
    """A bundle in JSON."""
    bundle = Bundle()
    bundle.document()
    return json.dumps(bundle.json).encode()


def good_xml() -> bytes:
    """A bundle in XML."""
    bundle = Bundle()
    bundle.document()
    return to_xml(bundle.json)


DOCTYPE = b'<!DOCTYPE Bundle [<!ENTITY x "Kvakkelund">]>'
UNREADABLE: dict[str, tuple[Callable[[], bytes], str, int, str]] = {
    "nothing": (lambda: b"", JSON, 400, "structure"),
    "no JSON": (lambda: good()[:-1], JSON, 400, "structure"),
    "no Bundle but a list": (lambda: b"[" + good() + b"]", JSON, 400, "structure"),
    "no Bundle but a text": (lambda: b'"Kvakkelund"', JSON, 400, "structure"),
    "a byte order mark": (lambda: b"\xef\xbb\xbf" + good(), JSON, 400, "structure"),
    "no UTF-8": (lambda: good().replace(b"Kvakkelund", b"Kv\xe5kkelund"), JSON, 400, "structure"),
    "too deep": (lambda: b'{"a":' * 3000 + b"1" + b"}" * 3000, JSON, 400, "structure"),
    "no base64": (lambda: good().replace(b'"data": "JVB', b'"data": "J*B'), JSON, 400, "structure"),
    "base64 cut off": (lambda: good().replace(b'"data": "JVB', b'"data": "JV'), JSON, 400, "structure"),
    "XML said to be JSON": (good_xml, JSON, 400, "structure"),
    "JSON said to be XML": (good, XML, 400, "structure"),
    "a DOCTYPE": (lambda: DOCTYPE + good_xml(), XML, 400, "structure"),
    "XML cut off": (lambda: good_xml()[:-5], XML, 400, "structure"),
    "UTF-16": (lambda: good_xml().decode().encode("utf-16"), XML, 415, "not-supported"),
    "another type": (good, "text/plain", 415, "not-supported"),
    "no type": (good, "", 415, "not-supported"),
    "another charset": (good, f"{JSON}; charset=iso-8859-1", 415, "not-supported"),
    "another version": (good, f"{JSON}; fhirVersion=5.0", 415, "not-supported"),
    "parts without boundary": (good, "multipart/related", 400, "structure"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_is_refused(here: Node, what: str) -> None:
    """With the HTTP status that says so (fhir-rules 1.14)."""
    body, content_type, status, code = UNREADABLE[what]
    sent = body()
    answer = refused(here, lambda: ask(here, "POST", "", sent, content_type))
    assert (answer.status, told(answer)) == (status, [(code, "", "")])


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "Kvakkelund"])
def test_a_compressed_body_is_not_taken(here: Node, coding: str) -> None:
    """What it would be when it is unpacked, nobody knows before."""
    answer = refused(here, lambda: ask(here, "POST", "", good(), Content_Encoding=coding))
    assert (answer.status, told(answer)) == (415, [("not-supported", "", "")])


@pytest.mark.parametrize("kind", ["List", "batch", "document", "Parameters"])
def test_only_a_transaction_is_posted_to_the_base(here: Node, kind: str) -> None:
    """Another resource, or a Bundle of another type."""
    bundle = Bundle().json
    body = {"List": submission_set(), "Parameters": {"resourceType": "Parameters"}}.get(
        kind, bundle | {"type": kind}
    )
    answer = refused(here, lambda: ask(here, "POST", "", body))
    assert (answer.status, told(answer)) == (400, [("invalid", "mhd-bundle", "Bundle.type")])


def test_a_part_of_nobody_is_refused(here: Node) -> None:
    """Each part of a multipart message is a document of the bundle."""
    pieces = (
        b"--b\r\nContent-Type: application/fhir+json\r\nContent-ID: <root>\r\n\r\n" + good(),
        b"\r\n--b\r\nContent-ID: <Kvakkelund>\r\n\r\nKvakkelund\r\n--b--\r\n",
    )
    kind = 'multipart/related; boundary=b; type="application/fhir+json"; start="<root>"'
    answer = refused(here, lambda: ask(here, "POST", "", b"".join(pieces), kind))
    assert (answer.status, told(answer)) == (422, [("required", "mhd-document-once", "Bundle")])


@pytest.mark.parametrize(
    ("setting", "limit"),
    [("document_bytes", 1000), ("total_bytes", 6000), ("parts", 2), ("root_bytes", 4000)],
)
def test_limits_hold(new_node: Callable[..., Node], setting: str, limit: int) -> None:
    """A document, the whole, the number of documents, and all but the documents: 413, in both forms."""
    node = new_node(
        **{"limits__document_bytes": 5000, "limits__root_bytes": 20_000, f"limits__{setting}": limit}
    )
    bundle = Bundle()
    for _ in range(3):
        bundle.document(b"x" * 1500)
    for form in (JSON, XML):
        answer = refused(node, lambda form=form: ask(node, "POST", "", bundle.json, form))
        assert (answer.status, told(answer)) == (413, [("too-long", "", "")])
    node.stop()


# ---- anything at all


def everything(first: str) -> Json:
    """A bundle with something of every kind in it."""
    bundle = Bundle()
    bundle.add(source_patient("p"))
    role = {
        "resourceType": "PractitionerRole",
        "id": "role",
        "practitioner": {"reference": "#doctor"},
        "organization": {
            "display": m.FAMILY,
            "identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.101", "value": "310000000"},
        },
        "code": [concept("3", "urn:oid:2.16.578.1.12.4.1.1.9034"), {"text": "x"}],
        "telecom": [{"system": "email", "value": "x@example.org"}],
    }
    patient = {**source_patient(), "address": [{"line": ["a", "b"], "city": "c"}]}
    named = {"type": {"coding": [{"system": URI, "code": "urn:ihe:iti:xds:2013:referral"}]}, "value": "1"}
    bundle.document(
        contained=[practitioner(), patient, role],
        identifier=[{"use": "official", "system": URI, "value": "urn:uuid:" + UNKNOWN}],
        author=[{"reference": "#role"}, {"type": "Organization", "display": "x"}],
        authenticator={"reference": "#doctor"},
        relatesTo=[{"code": "replaces", "target": {"reference": first}}],
        extension=[{"url": f"{MHD}ihe-HomeCommunityId", "valueOid": f"urn:oid:{HOME}"}],
        context={
            "event": [concept("FNG02", "urn:oid:2.16.578.1.12.4.1.1.7210", "x")],
            "period": {"start": "2026-03-09", "end": "2026-03-10T10:00:00Z"},
            "related": [{"identifier": named}],
            "encounter": [{"identifier": {"system": "urn:oid:1.2", "value": "1"}}],
        },
    )
    bundle.folder(bundle.entries[2]["fullUrl"])
    bundle.add(supersedes(), "PATCH", first, "")
    return bundle.json


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place] if place else []
    if isinstance(value, dict):
        return found + [each for name, one in value.items() for each in _places(one, (*place, name))]
    if isinstance(value, list):
        return found + [each for number, one in enumerate(value) for each in _places(one, (*place, number))]
    return found


def _with(bundle: Json, place: tuple[Any, ...], value: Any) -> Json:
    """A copy with another value there; `...` removes it, and EXTENSION leaves only what is beside it."""
    copy = json.loads(json.dumps(bundle))
    at = copy
    for step in place[:-1]:
        at = at[step]
    last = place[-1]
    if value is ...:
        del at[last]
    elif value is not EXTENSION:
        at[last] = value
    elif isinstance(last, str):
        del at[last]
        at[f"_{last}"] = {"extension": [{"url": "urn:x", "valueString": "x"}]}
    else:
        at[last] = None
    return dict(copy)


EXTENSION = object()


@pytest.mark.parametrize(
    "value", [..., EXTENSION, None, [], {}, "Kvakkelund", 1, [{}]], ids=lambda value: str(value)[:8]
)
def test_no_bundle_makes_the_node_fail(here: Node, first: str, value: Any) -> None:
    """Each element of a bundle in turn left out, or something else: it is well or it is told what is wrong,
    with its documents at their end.
    """
    bundle = everything(first)
    assert resource_of(ask(here, "POST", "Bundle/$validate", bundle))["issue"][0]["severity"] == "information"
    before, logged = counts(here), here.log.stat().st_size
    for place in _places(bundle):
        answer = ask(here, "POST", "Bundle/$validate", _with(bundle, place, value))
        assert answer.status in (200, 400), (place, answer.data)
        assert b"Kvakkelund" not in answer.data, place
    assert counts(here) == before
    assert b"Traceback" not in here.log.read_bytes()[logged:]


# ---- what would cost the node much for little


@pytest.mark.parametrize("resource", ["Bundle", "DocumentReference"])
@pytest.mark.parametrize("parameter", [5, ["x"], None, {}, [{"name": "resource", "resource": 3}]])
def test_parameters_of_no_form_are_refused(node: Node, resource: str, parameter: Any) -> None:
    """$validate takes a resource by itself, or in a parameter; anything else is a 400 or told."""
    answer = urllib3.request(
        "POST",
        f"{node.url}/fhir/{resource}/$validate",
        body=json.dumps({"resourceType": "Parameters", "parameter": parameter}),
        headers={"Content-Type": "application/fhir+json"},
        retries=False,
    )
    assert answer.status == 400


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"resourceType":"Bundle","type":"transaction","entry":[%b{}]}' % (b"{}," * 400_000), "json"),
        (
            b'<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/>%b</Bundle>'
            % (b"<entry/>" * 600_000),
            "xml",
        ),
    ],
    ids=["json", "xml"],
)
def test_a_body_of_nothing_but_brackets_is_too_large(node: Node, body: bytes, kind: str) -> None:
    """413: it would take a hundred times its size in memory."""
    answer = urllib3.request(
        "POST",
        f"{node.url}/fhir",
        body=body,
        headers={"Content-Type": f"application/fhir+{kind}"},
        retries=False,
    )
    assert (answer.status, b"elements" in answer.data) == (413, True)


def test_a_bundle_that_names_too_much_is_refused_at_once(node: Node) -> None:
    """More than anybody submits; its size is looked at before anything that grows with it."""
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:a",
                "resource": {
                    "resourceType": "List",
                    "status": "current",
                    "mode": "working",
                    "entry": [{"item": {"reference": f"DocumentReference/{n}"}} for n in range(24_000)],
                },
                "request": {"method": "POST", "url": "List"},
            }
        ],
    }
    answer = urllib3.request(
        "POST",
        f"{node.url}/fhir",
        body=json.dumps(bundle),
        headers={"Content-Type": "application/fhir+json"},
        retries=False,
    )
    assert answer.status == 413
    assert json.loads(answer.data)["issue"][0]["code"] == "too-costly"
