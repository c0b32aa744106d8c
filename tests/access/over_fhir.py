"""Requests under /fhir as clients send them, for tests of who may see what and of what is on record.

Paths go out as they are written, so that a test can send any spelling of one. The resources are the least
that MHD's comprehensive metadata allow, of synthetic people; each has a document of its own.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.blackbox import messages as m
from tests.blackbox.wire import Reply, Request, send
from tests.metadata import cda_documents
from tests.nodes import Node
from xds.demo.tickets import TicketService

Json = dict[str, Any]

FHIR_JSON = "application/fhir+json"
JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"
NATIONAL = f"urn:oid:{m.AUTHORITY}"
NIN = "nhn-patient-nin"
_MHD = "https://profiles.ihe.net/ITI/MHD"
_URI = "urn:ietf:rfc:3986"
RELATIONS = ("replaces", "transforms", "signs", "appends")


@dataclass(frozen=True)
class Call:
    """One request; `route` is the interaction that it is for, as `GET DocumentReference/{id}`.

    `path` is what stands behind /fhir, with the query.
    """

    route: str
    path: str
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    method: str = ""
    name: str = ""

    def __str__(self) -> str:
        """What tells it from others."""
        body = zlib.crc32(self.body) if self.body else ""
        return f"{self.route} {self.path} {self.method} {self.name} {dict(self.headers)} {body}"

    def with_headers(self, **headers: str) -> Call:
        """With these headers too; `_` stands for a hyphen."""
        more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return replace(self, headers=(*self.headers, *more))


@dataclass(frozen=True)
class Who:
    """Somebody with a SAML assertion, or with a HelseID token and proofs; neither: nobody."""

    assertion: str = ""
    token: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def shows(self, service: TicketService, method: str, url: str) -> list[tuple[str, str]]:
        """The headers that say who it is."""
        shown = list(self.headers)
        if self.assertion:
            encoded = base64.urlsafe_b64encode(self.assertion.encode()).decode().rstrip("=")
            shown.append(("Authorization", f"Bearer {encoded}"))
        if self.token:
            shown.append(("Authorization", f"DPoP {self.token}"))
            shown.append(("DPoP", service.proof(method, url, self.token)))
        return shown


@dataclass(frozen=True)
class Client:
    """A node's FHIR side; `public` is the node's own scheme and authority, when it is another."""

    node: Node
    service: TicketService
    public: str = ""

    def ask(self, who: Who, call: Call) -> Reply:
        """One request."""
        method = call.method or call.route.partition(" ")[0]
        path = f"/fhir{call.path}"
        url = (self.public or self.node.url) + path.partition("?")[0]
        headers = (*who.shows(self.service, method, url), *call.headers)
        return send(self.node, Request(path, call.content_type, call.body, headers, method))


def saml(service: TicketService, kind: str, patient: str, **more: Any) -> Who:
    """Somebody with an assertion about this patient."""
    if kind == "citizen":
        return Who(assertion=service.saml("citizen", person=patient, **more))
    return Who(assertion=service.saml(kind, patient=patient, **more))


def token(service: TicketService, *, patient: str = "", **more: Any) -> Who:
    """Personnel, or a machine, with a token of HelseID; `patient` is named by the header."""
    headers = ((NIN, patient),) if patient else ()
    return Who(token=service.token(**more), headers=headers)


# ---- calls


def get(path: str, route: str = "", **headers: str) -> Call:
    """A GET; the route is the path if it is not said."""
    return Call(f"GET {route or path.partition('?')[0].strip('/')}", path).with_headers(**headers)


def post(path: str, resource: Any, route: str | None = None, name: str = "") -> Call:
    """A resource that is posted."""
    route = path.strip("/") if route is None else route
    return Call(f"POST {route}", path, json.dumps(resource).encode(), FHIR_JSON, name=name)


def patch(own: str, operations: Any, content_type: str = JSON_PATCH, name: str = "") -> Call:
    """A change of a DocumentReference."""
    body = json.dumps(operations).encode()
    return Call("PATCH DocumentReference/{id}", f"/DocumentReference/{own}", body, content_type, name=name)


def delete(own: str) -> Call:
    """The removal of a DocumentReference."""
    return Call("DELETE DocumentReference/{id}", f"/DocumentReference/{own}")


def bare(uuid: str) -> str:
    """An entryUUID as the id of a resource."""
    return uuid.removeprefix("urn:uuid:")


# ---- resources


def _concept(code: str, system: str) -> Json:
    return {"coding": [{"system": f"urn:oid:{system}", "code": code, "display": code}]}


def _identifier(value: str) -> Json:
    return {"system": _URI, "value": value if value.startswith("urn:") else f"urn:oid:{value}"}


def subject(patient: str) -> Json:
    """A patient by their number."""
    return {"identifier": {"system": NATIONAL, "value": patient}}


def label(code: str = "N", system: str = "2.16.840.1.113883.5.25") -> Json:
    """A security label."""
    return _concept(code, system)


@dataclass(frozen=True)
class Paper:
    """A document to publish, and the DocumentReference of it."""

    patient: str
    content: bytes = b"%PDF-1.4\r\n% synthetic\r\n"
    unique_id: str = field(default_factory=m.new_oid)
    mime_type: str = "application/pdf"
    title: str = m.TITLE
    labels: Sequence[Json] = (label(),)
    relates_to: Sequence[Json] = ()
    without: tuple[str, ...] = ()

    def reference(self, **attachment: Any) -> Json:
        """The resource; its attachment has these elements too."""
        system = "2.16.578.1.12.4.1.1.9602"
        found: Json = {
            "resourceType": "DocumentReference",
            "masterIdentifier": _identifier(self.unique_id),
            "status": "current",
            "type": _concept("A03-2", system),
            "category": [_concept("A00-1", system)],
            "subject": subject(self.patient),
            "securityLabel": list(self.labels),
            "content": [
                {
                    "attachment": {
                        "contentType": self.mime_type,
                        "language": "nb-NO",
                        "creation": "2026-03-11T09:45:00Z",
                        "title": self.title,
                        **attachment,
                    },
                    "format": {
                        "system": "urn:oid:1.3.6.1.4.1.19376.1.2.3",
                        "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                    },
                }
            ],
            "context": {
                "facilityType": _concept("86.101", "2.16.578.1.12.4.1.1.1303"),
                "practiceSetting": _concept("S03", "2.16.578.1.12.4.1.1.8655"),
                "sourcePatientInfo": subject(self.patient),
            },
        }
        if self.relates_to:
            found["relatesTo"] = list(self.relates_to)
        for name in self.without:
            del found[name]
        return found

    def inside(self) -> Json:
        """With the document inside it, as ITI-105 has it."""
        return self.reference(data=base64.b64encode(self.content).decode())


def related(code: str, *, url: str = "", identifier: str = "") -> Json:
    """What a document is to another one that is named by its address, or by an identifier."""
    target: Json = {"reference": url} if url else {"identifier": _identifier(identifier)}
    return {"code": code, "target": target}


def bundle(
    patient: str, *papers: Paper, set_id: str = "", more: Sequence[Json] = (), items: Sequence[Json] = ()
) -> Json:
    """The Bundle of ITI-65: the submission set, each document, and more entries; `items` are in the set's
    own list beside the documents.
    """
    entries: list[Json] = []
    for number, paper in enumerate(papers):
        own, binary = f"urn:uuid:{_fixed(paper.unique_id, 1)}", f"urn:uuid:{_fixed(paper.unique_id, 2)}"
        entries.append(_posted(own, "DocumentReference", paper.reference(url=binary)))
        data = base64.b64encode(paper.content).decode()
        resource = {"resourceType": "Binary", "contentType": paper.mime_type, "data": data}
        entries.append(_posted(binary, "Binary", resource))
        items = [*items, {"item": {"reference": own}}] if number >= 0 else items
    the_set: Json = {
        "resourceType": "List",
        "extension": [
            {
                "url": f"{_MHD}/StructureDefinition/ihe-designationType",
                "valueCodeableConcept": _concept("A03-2", "2.16.578.1.12.4.1.1.9602"),
            },
            {
                "url": f"{_MHD}/StructureDefinition/ihe-sourceId",
                "valueIdentifier": _identifier("2.16.578.1.12.4.5.480.1.2"),
            },
        ],
        "identifier": [{"use": "usual", **_identifier(set_id or m.new_oid())}],
        "status": "current",
        "mode": "working",
        "code": _list_code("submissionset"),
        "subject": subject(patient),
        "date": "2026-03-11T10:00:00Z",
        "entry": list(items),
    }
    entries.insert(0, _posted(f"urn:uuid:{_fixed(set_id or m.new_oid(), 3)}", "List", the_set))
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{_MHD}/StructureDefinition/IHE.MHD.Comprehensive.ProvideBundle"]},
        "type": "transaction",
        "entry": [*entries, *more],
    }


def _fixed(seed: str, number: int) -> str:
    """A UUID that is the same for the same seed."""
    digits = re.sub("[^0-9]", "", seed)[-11:].zfill(11)
    return f"00000000-0000-4000-800{number}-0{digits}"


def _list_code(code: str) -> Json:
    return {"coding": [{"system": f"{_MHD}/CodeSystem/MHDlistTypes", "code": code}]}


def _posted(full_url: str, kind: str, resource: Json) -> Json:
    return {"fullUrl": full_url, "resource": resource, "request": {"method": "POST", "url": kind}}


def folder(patient: str, *documents: str, own: str = "", unique_id: str = "1.2.6") -> Json:
    """The entry of a folder with these documents (references): a new one, or what is put into its own."""
    resource: Json = {
        "resourceType": "List",
        "extension": [
            {
                "url": f"{_MHD}/StructureDefinition/ihe-designationType",
                "valueCodeableConcept": _concept("A03-2", "2.16.578.1.12.4.1.1.9602"),
            }
        ],
        "identifier": [{"use": "usual", **_identifier(unique_id)}],
        "status": "current",
        "mode": "working",
        "title": m.TITLE,
        "code": _list_code("folder"),
        "subject": subject(patient),
        "entry": [{"item": {"reference": each}} for each in documents],
    }
    entry = _posted("urn:uuid:00000000-0000-4000-8004-000000000001", "List", resource)
    if own:
        entry["request"] = {"method": "PUT", "url": f"List/{own}"}
    return entry


def superseded(own: str) -> Json:
    """The entry that says of a document that it is superseded."""
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "DocumentReference.status"},
        {"name": "value", "valueCode": "superseded"},
    ]
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    return {
        "fullUrl": "urn:uuid:00000000-0000-4000-8005-000000000001",
        "resource": parameters,
        "request": {"method": "PATCH", "url": f"DocumentReference/{own}"},
    }


def cda(patient: str, unique_id: str, replaces: str = "") -> Json:
    """The Parameters of ITI-106 with a CDA document of this patient."""
    text = cda_documents.PLAIN.replace(cda_documents.NUMBER, patient)
    text = re.sub(r'<id root="[^"]*"( extension="[^"]*")?/>', f'<id root="{unique_id}"/>', text, count=1)
    if replaces:
        parent = f'<parentDocument><id root="{replaces}"/></parentDocument>'
        text = text.replace(
            "<component>", f'<relatedDocument typeCode="RPLC">{parent}</relatedDocument><component>', 1
        )
    data = base64.b64encode(text.encode()).decode()
    document = {"resourceType": "Binary", "contentType": "text/xml", "data": data}
    return {"resourceType": "Parameters", "parameter": [{"name": "document", "resource": document}]}


def relabelled(*codes: tuple[str, str]) -> Json:
    """A partial DocumentReference that gives a document these labels."""
    return {"resourceType": "DocumentReference", "securityLabel": [label(*each) for each in codes]}


def issues(reply: Reply) -> list[Mapping[str, Any]]:
    """The issues of an OperationOutcome."""
    outcome = json.loads(reply.body)
    assert outcome["resourceType"] == "OperationOutcome", reply.body
    return list(outcome["issue"])


def rules(reply: Reply) -> set[str]:
    """The ids of rules that an OperationOutcome names."""
    return set(re.findall(r"\[([a-z][\w-]+)\]", " ".join(each["diagnostics"] for each in issues(reply))))
