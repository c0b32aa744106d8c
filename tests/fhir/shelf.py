"""Documents with attributes of one's own, filed by SOAP, and how they are asked for over FHIR.

The tests of reading use it. Every answer that is a resource is checked against FHIR R4 on the way, by the
tests' own schema as far as that goes and by the node's validation; XML is read back and checked the same way.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import quote, unquote, urlencode

from tests.access.people import number
from tests.audit import r4
from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, send
from tests.nodes import Node
from xds.fhir.r4.validation import problems
from xds.fhir.r4.xml import from_xml

FORM = "application/x-www-form-urlencoded"
SYSTEM = f"urn:oid:{m.AUTHORITY}"
_EVENT = "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4"
_AUTHOR = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"
_REFERENCES = "urn:ihe:iti:xds:2013:referenceIdList"


@dataclass(frozen=True)
class Entry(m.Document):
    """`codes`: IHE's name -> (code, codingScheme) in the place of the usual one; `authors` are XCNs, in the
    place of the usual one if there are any; `references` are CXis.
    """

    codes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    events: tuple[tuple[str, str], ...] = ()
    authors: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    def xml(self) -> str:
        """With all of it in its place."""
        text = super().xml()
        for name, (code, scheme) in self.codes.items():
            usual = m.CODES[name]
            was = f'nodeRepresentation="{usual[1]}">{m.slot("codingScheme", usual[2])}'
            at = text.index(was, text.index(f'classificationScheme="{usual[0]}"'))
            now = f'nodeRepresentation="{code}">{m.slot("codingScheme", scheme)}'
            text = text[:at] + now + text[at + len(was) :]
        more = "".join(
            f'<rim:Classification id="ev{n}{self.id}" classificationScheme="{_EVENT}"'
            f' classifiedObject="{self.id}" nodeRepresentation="{code}">{m.slot("codingScheme", scheme)}'
            f'<rim:Name><rim:LocalizedString value="{code}"/></rim:Name></rim:Classification>'
            for n, (code, scheme) in enumerate(self.events)
        )
        if self.authors:
            usual_author = (
                rf'<rim:Classification id="\w+" classificationScheme="{_AUTHOR}".*?</rim:Classification>'
            )
            text = re.sub(usual_author, "", text)
            more += "".join(
                f'<rim:Classification id="au{n}{self.id}" classificationScheme="{_AUTHOR}"'
                f' classifiedObject="{self.id}" nodeRepresentation="">{m.slot("authorPerson", each)}'
                "</rim:Classification>"
                for n, each in enumerate(self.authors)
            )
        text = text.replace("<rim:ExternalIdentifier", more + "<rim:ExternalIdentifier", 1)
        if self.references:
            text = text.replace("<rim:Name>", m.slot(_REFERENCES, self.references) + "<rim:Name>", 1)
        return text


def somebody(which: int) -> str:
    """Another synthetic patient for each number, as the registry has it (CX)."""
    return m.PATIENT.replace(m.NUMBER, number(date(1957, 3, 14), which))


def number_of(patient: str) -> str:
    """The national number of a patient."""
    return patient.partition("^")[0]


def file(node: Node, *documents: m.Document, more: str = "", patient: str = "") -> None:
    """One submission with ITI-41; `more` are further objects, as XML."""
    patient = patient or documents[0].patient
    body = m.provide(documents, m.inline(documents), patient=patient)
    body = body.replace("</rim:RegistryObjectList>", more + "</rim:RegistryObjectList>", 1)
    reply = send(node, m.plain(body, "ITI-41"))
    assert reply.outcome == SUCCESS, [(each.rule, each.location, each.context) for each in reply.errors]


def replaces(new: m.Document, old: str, kind: str = m.REPLACE) -> str:
    """The association that replaces a document of the registry, by entryUUID."""
    return m.association(f"to{old}", kind, new.id, old)


@dataclass(frozen=True)
class Got:
    """An answer over FHIR."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The resource, which is R4."""
        kind = self.headers["Content-Type"]
        if kind == "application/fhir+xml; charset=utf-8":
            resource = from_xml(self.body)
        else:
            assert kind == "application/fhir+json; charset=utf-8"
            resource = json.loads(self.body)
        assert problems(resource) == []
        if resource["resourceType"] in ("Bundle", "OperationOutcome"):
            assert r4.schema_problems(_frame(resource)) == []
        return resource

    @property
    def matches(self) -> list[dict[str, Any]]:
        """The resources of a Bundle that were searched for."""
        assert self.status == 200, self.body
        entries = self.json.get("entry", ())
        return [each["resource"] for each in entries if each["search"]["mode"] == "match"]

    @property
    def outcome(self) -> list[dict[str, Any]]:
        """The issues of the outcome beside the matches, or of the answer that is one."""
        resource = self.json
        if resource["resourceType"] == "OperationOutcome":
            return list(resource["issue"])
        found = [
            each["resource"] for each in resource.get("entry", ()) if each["search"]["mode"] == "outcome"
        ]
        return [issue for each in found for issue in each["issue"]]

    @property
    def links(self) -> dict[str, str]:
        """The Bundle's, by relation."""
        return {each["relation"]: each["url"] for each in self.json["link"]}

    @property
    def told(self) -> list[str]:
        """The diagnostics of an OperationOutcome."""
        return [each["diagnostics"] for each in self.outcome]


def _frame(resource: dict[str, Any]) -> dict[str, Any]:
    """A Bundle without the matches in it, which the tests' own schema does not know."""
    frame = json.loads(json.dumps(resource))
    for each in frame.get("entry", ()):
        if each["search"]["mode"] == "match":
            del each["resource"]
    return dict(frame)


def ask(
    node: Node,
    path: str,
    method: str = "GET",
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Got:
    """One request to a path below /fhir, or to a URL that an answer gave."""
    path = path if path.startswith("/") else re.sub(r"^https?://[^/]+", "", path)
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=timeout)
    try:
        given = body.encode() if isinstance(body, str) else body
        connection.request(method, path, given, dict(headers or {}))
        response = connection.getresponse()
        return Got(response.status, response.headers, response.read())
    finally:
        connection.close()


def query(parameters: str | Mapping[str, str] | Iterable[tuple[str, str]], patient: str = "") -> str:
    """Parameters as they stand in a URL: a text is `name=value` and `&`, with %26 and %25 in values."""
    if isinstance(parameters, str):
        given = [tuple(map(unquote, each.partition("=")[::2])) for each in parameters.split("&") if each]
    else:
        given = list(parameters.items() if isinstance(parameters, Mapping) else parameters)
    if patient:
        given.insert(0, ("patient.identifier", f"{SYSTEM}|{number_of(patient)}"))
    return urlencode(given, quote_via=quote)


def search(
    node: Node,
    parameters: str | Mapping[str, str] | Iterable[tuple[str, str]] = "",
    patient: str = "",
    kind: str = "DocumentReference",
    **headers: str,
) -> Got:
    """A search by GET; headers with _ for -."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(node, f"/fhir/{kind}?{query(parameters, patient)}", headers=sent)


def post(
    node: Node,
    parameters: str | Mapping[str, str] | Iterable[tuple[str, str]] = "",
    patient: str = "",
    kind: str = "DocumentReference",
    in_url: str = "",
    **headers: str,
) -> Got:
    """A search by POST, with some parameters in the URL."""
    sent = {"Content-Type": FORM} | {name.replace("_", "-"): value for name, value in headers.items()}
    address = f"/fhir/{kind}/_search" + (f"?{query(in_url)}" if in_url else "")
    return ask(node, address, "POST", query(parameters, patient), sent)


def unique_ids(got: Got) -> list[str]:
    """The uniqueIds of what was found, in order."""
    found = []
    for each in got.matches:
        identifiers = [each["masterIdentifier"]] if "masterIdentifier" in each else each["identifier"]
        (own,) = [one for one in identifiers if one.get("use") == "usual"]
        found.append(own["value"].removeprefix("urn:oid:"))
    return found


def resources(node: Node, patient: str, kind: str = "DocumentReference", parameters: str = "") -> list[Any]:
    """All of a patient on one page, oldest first."""
    return search(node, f"_sort=date&_count=1000&{parameters}", patient, kind).matches


def ids(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of resources."""
    return [str(each["id"]) for each in found]
