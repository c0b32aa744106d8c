"""Bundles and resources that a document source sends, written by hand from MHD's profiles.

The people are those of tests.blackbox.messages, whose MARKERS stand in every message and must never be seen
in an outcome or a log.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

from tests.blackbox import messages as m
from tests.blackbox.state import counts
from tests.nodes import Node
from xds.fhir.r4.validation import problems
from xds.fhir.r4.xml import from_xml, to_xml

Json = dict[str, Any]
#: (code, rule, FHIRPath)
Issue = tuple[str, str, str]

JSON, XML = "application/fhir+json", "application/fhir+xml"
PROFILES = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD."
MHD = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/"
LIST_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
ID_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/IHE.MHD.MHDIdentifierType"
URI = "urn:ietf:rfc:3986"
NATIONAL = "urn:oid:2.16.578.1.12.4.1.4.1"
TYPES = "urn:oid:2.16.578.1.12.4.1.1.9602"
CONTENT = b"%PDF-1.4\r\n% synthetic\r\n"


def urn() -> str:
    """A urn:uuid: that nobody has used."""
    return f"urn:uuid:{uuid.uuid4()}"


def unique(value: str = "") -> Json:
    """The Identifier of a uniqueId, a new OID if none is given."""
    return {"use": "usual", "system": URI, "value": f"urn:oid:{value or m.new_oid()}"}


def concept(code: str, system: str, display: str | None = None) -> Json:
    """A CodeableConcept."""
    coding = {"system": system, "code": code}
    return {"coding": [coding if display is None else {**coding, "display": display}]}


def subject(number: str = m.NUMBER) -> Json:
    """The patient, by identifier."""
    return {"identifier": {"system": NATIONAL, "value": number}}


def practitioner(own: str = "doctor") -> Json:
    """A doctor, to be contained."""
    return {
        "resourceType": "Practitioner",
        "id": own,
        "identifier": [{"system": "urn:oid:2.16.578.1.12.4.1.4.4", "value": "9144889"}],
        "name": [{"family": m.FAMILY, "given": ["Tuva"]}],
    }


def source_patient(own: str = "patient") -> Json:
    """The patient as the source knows her, to be contained."""
    return {
        "resourceType": "Patient",
        "id": own,
        "identifier": [{"system": NATIONAL, "value": m.NUMBER}],
        "name": [{"family": m.FAMILY, "given": ["Syntetisk"]}],
        "gender": "female",
        "birthDate": "1955-05-17",
    }


def document(**changes: Any) -> Json:
    """A DocumentReference with all that Comprehensive metadata needs, but for the address of its document.

    A change to None leaves an element out; `attachment` and `context` are changes of what is in these.
    """
    attachment = {"contentType": "application/pdf", "language": "nb-NO", "title": m.TITLE,
                  "creation": "2026-03-11T10:45:00+01:00"}  # fmt: skip
    context = {
        "facilityType": concept("86.101", "urn:oid:2.16.578.1.12.4.1.1.1303"),
        "practiceSetting": concept("S03", "urn:oid:2.16.578.1.12.4.1.1.8655"),
        "sourcePatientInfo": {"reference": "#patient"},
    }
    resource: Json = {
        "resourceType": "DocumentReference",
        "meta": {"profile": [f"{PROFILES}Comprehensive.DocumentReference"]},
        "contained": [practitioner(), source_patient()],
        "masterIdentifier": unique(),
        "status": "current",
        "type": concept("A03-2", TYPES),
        "category": [concept("A00-1", TYPES)],
        "subject": subject(),
        "author": [{"reference": "#doctor"}],
        "description": m.COMMENT,
        "securityLabel": [concept("N", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality")],
        "content": [
            {
                "attachment": _changed(attachment, changes.pop("attachment", {})),
                "format": {
                    "system": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
                    "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                },
            }
        ],
        "context": _changed(context, changes.pop("context", {})),
    }
    return _changed(resource, changes)


def minimal(**changes: Any) -> Json:
    """A DocumentReference with what a repository asks for beside Minimal metadata, and nothing contained."""
    return document(
        **{"meta": {"profile": [f"{PROFILES}Minimal.DocumentReference"]}, "contained": None, "author": None,
           "description": None, "context": {"sourcePatientInfo": None}}
        | changes
    )  # fmt: skip


def submission_set(**changes: Any) -> Json:
    """The List of a submission set without entries."""
    return _changed(
        {
            "resourceType": "List",
            "contained": [practitioner()],
            "extension": [
                {"url": f"{MHD}ihe-designationType", "valueCodeableConcept": concept("A03-2", TYPES)},
                {
                    "url": f"{MHD}ihe-sourceId",
                    "valueIdentifier": {"system": URI, "value": "urn:oid:2.16.578.1.12.4.5.480.1.2"},
                },
            ],
            "identifier": [unique()],
            "status": "current",
            "mode": "working",
            "title": m.TITLE,
            "code": concept("submissionset", LIST_TYPES),
            "subject": subject(),
            "date": "2026-03-11T10:00:00Z",
            "source": {"reference": "#doctor"},
            "note": [{"text": m.COMMENT}],
        },
        changes,
    )


def folder(**changes: Any) -> Json:
    """The List of a folder without entries."""
    return _changed(
        {
            "resourceType": "List",
            "extension": [
                {"url": f"{MHD}ihe-designationType", "valueCodeableConcept": concept("A03-2", TYPES)}
            ],
            "identifier": [unique()],
            "status": "current",
            "mode": "working",
            "title": m.TITLE,
            "code": concept("folder", LIST_TYPES),
            "subject": subject(),
        },
        changes,
    )


def _changed(resource: Json, changes: Mapping[str, Any]) -> Json:
    changed = {name: value for name, value in {**resource, **changes}.items() if value is not None}
    return copy.deepcopy(changed)


def items(*references: str) -> list[Json]:
    """Entries of a List."""
    return [{"item": {"reference": each}} for each in references]


def binary(content: bytes, content_type: str = "application/pdf") -> Json:
    """A Binary."""
    return {"resourceType": "Binary", "contentType": content_type, "data": base64.b64encode(content).decode()}


def supersedes() -> Json:
    """The Parameters of a PATCH that says what a replacement does."""
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "DocumentReference.status"},
        {"name": "value", "valueCode": "superseded"},
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


class Bundle:
    """A transaction that is being put together; `set` is its submission set."""

    def __init__(self, profile: str = "Comprehensive", **changes: Any) -> None:
        self.set = submission_set(**changes)
        self.profile = f"{PROFILES}{profile}.ProvideBundle"
        self.entries: list[Json] = []
        self.add(self.set)

    def add(self, resource: Json, method: str = "POST", url: str = "", full_url: str | None = None) -> str:
        """One more entry; its fullUrl."""
        own = urn() if full_url is None else full_url
        entry = {
            "fullUrl": own,
            "resource": resource,
            "request": {"method": method, "url": url or resource["resourceType"]},
        }
        self.entries.append({name: value for name, value in entry.items() if value})
        return own

    def hold(self, *references: str) -> None:
        """Put these into the submission set."""
        self.set.setdefault("entry", []).extend(items(*references))

    def document(self, content: bytes = CONTENT, resource: Json | None = None, **changes: Any) -> str:
        """A DocumentReference with its Binary, in the set; the fullUrl of the former."""
        described = document(**changes) if resource is None else resource
        attachment = described["content"][0]["attachment"]
        attachment.setdefault("url", urn())
        own = self.add(described)
        self.hold(own)
        self.add(binary(content, attachment["contentType"]), full_url=attachment["url"])
        return own

    def folder(self, *references: str, **changes: Any) -> str:
        """A new folder with these documents; its fullUrl."""
        own = self.add(folder(entry=items(*references) or None, **changes))
        self.hold(own)
        return own

    def resource(self, number: int) -> Json:
        """The resource of an entry: 0 is the set, 1 the first document, 2 its Binary."""
        found: Json = self.entries[number]["resource"]
        return found

    @property
    def json(self) -> Json:
        """The Bundle."""
        return {
            "resourceType": "Bundle",
            "meta": {"profile": [self.profile]},
            "type": "transaction",
            "entry": self.entries,
        }


def ask(
    node: Node, method: str, path: str, body: Any = None, content_type: str = JSON, **headers: str
) -> urllib3.BaseHTTPResponse:
    """One request below /fhir; a dict is written as its Content-Type says."""
    if isinstance(body, dict | list):
        body = to_xml(body) if isinstance(body, dict) and "xml" in content_type else json.dumps(body).encode()
    given = {"Content-Type": content_type} if body is not None else {}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    url = node.url + "/fhir" + (path if path.startswith("?") or not path else f"/{path}")
    return urllib3.request(method, url, body=body, headers=given, retries=False, timeout=60)


def resource_of(answer: urllib3.BaseHTTPResponse) -> Json:
    """The resource in an answer, of either form."""
    if "xml" in answer.headers["Content-Type"]:
        return from_xml(answer.data)
    found: Json = json.loads(answer.data)
    return found


def published(node: Node, bundle: Bundle, content_type: str = JSON) -> list[str]:
    """Publish it; the paths below /fhir of what its entries are now."""
    answer = ask(node, "POST", "", bundle.json, content_type)
    assert answer.status == 200, (answer.data, node.errors())
    return paths(node, resource_of(answer))


def paths(node: Node, response: Json) -> list[str]:
    """The locations in a transaction-response, below /fhir."""
    return [each["response"]["location"].removeprefix(f"{node.url}/fhir/") for each in response["entry"]]


def got(node: Node, path: str, **headers: str) -> Json:
    """The resource of a path."""
    answer = ask(node, "GET", path, **headers)
    assert answer.status == 200, answer.data
    return resource_of(answer)


def sha1(content: bytes) -> str:
    """attachment.hash of a document."""
    return base64.b64encode(hashlib.sha1(content).digest()).decode()


def told(answer: urllib3.BaseHTTPResponse) -> list[Issue]:
    """(code, rule, FHIRPath) of each issue of an outcome, which holds nothing that was sent."""
    outcome = resource_of(answer)
    assert problems(outcome) == []
    assert outcome["resourceType"] == "OperationOutcome"
    issues = []
    for each in outcome["issue"]:
        assert each["severity"] == "error", each
        rule = re.search(r"\[([\w-]+)\]$", each.get("details", {}).get("text", ""))
        issues.append((each["code"], rule[1] if rule else "", "".join(each.get("expression", ()))))
    return issues


def refused(node: Node, send: Callable[[], urllib3.BaseHTTPResponse]) -> urllib3.BaseHTTPResponse:
    """The answer to a request that changes nothing and says nothing of a person, in answer and log."""
    before, logged = counts(node), node.log.stat().st_size
    answer = send()
    after = {name: value for name, value in counts(node).items() if name != "replies/"}
    assert after == {name: value for name, value in before.items() if name != "replies/"}
    assert after["staging/"] == 0
    log = node.log.read_bytes()[logged:]
    assert b"status=%d" % answer.status in log
    for marker in m.MARKERS:
        assert marker.encode() not in answer.data
        assert marker.encode() not in log
    assert b"Traceback" not in log
    return answer
