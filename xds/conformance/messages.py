"""Messages from a step: ebRIM, envelopes, MTOM packages and Bundles, written by the standard's tables.

runner.py calls `write` with a step whose names in braces have their values. It is apart from the package's
own writer on purpose, and writes whatever a case asks for, right or wrong.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from xds.conformance import words
from xds.transport.xml import escape

SOAP12: Final = "http://www.w3.org/2003/05/soap-envelope"
SOAP11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
WSA: Final = "http://www.w3.org/2005/08/addressing"
_XMLNS: Final = {
    "rim": "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0",
    "rs": "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0",
    "lcm": "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0",
    "query": "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0",
    "xds": "urn:ihe:iti:xds-b:2007",
    "rmd": "urn:ihe:iti:rmd:2017",
}
_DECLARED: Final = "".join(f' xmlns:{prefix}="{name}"' for prefix, name in _XMLNS.items())
_AUTHOR: Final = "9144889^Prøveland^Tuva^^^^^^&2.16.578.1.12.4.1.4.4&ISO"
_SOURCE: Final = "2.16.578.1.12.4.5.480.1.2"
_BOUNDARY: Final = "xds-conformance-boundary-0123456789"
_ids = itertools.count(1)

#: What gives a name its value: `oid:a`, `patient`.
Value = Callable[[str], str]


@dataclass(frozen=True)
class Message:
    """One HTTP request: `at` is the actor whom it is for, `path` what is added to its address."""

    at: str
    method: str = "POST"
    path: str = ""
    content_type: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    message_id: str = ""
    #: Of the answer, by the transaction.
    answer: str = ""


def write(send: str, says: Mapping[str, Any], value: Value, security: str = "") -> Message:
    """The request of a step; `security` is the WS-Security header of a ticket. Nothing is checked."""
    if send == "http":
        return _http(says)
    if send == "vector":
        return Message(
            at=says["at"],
            method=says["method"],
            path=says["path"],
            body=says["bytes"],
            headers=says["headers"],
        )
    if send == "ITI-65":
        return _bundle(says, value)
    how = words.TRANSACTIONS[send]
    body, parts = _BODIES[send](send, says, value)
    message_id = value("message")
    text = says.get("raw") or _envelope(how, body, says, security, message_id)
    for old, new in says.get("replace", ()):
        if old not in text:
            raise ValueError(f"there is no {old!r} in the message to replace")
        text = text.replace(old, new)
    if says.get("mtom", how.mtom):
        content_type, data = _multipart(text.encode(), parts)
    else:
        kind = "text/xml" if says.get("soap") == "1.1" else "application/soap+xml"
        content_type, data = f"{kind}; charset=UTF-8", text.encode()
    return Message(
        at=says.get("at", how.at),
        content_type=says.get("content_type", content_type),
        body=data,
        message_id=message_id,
        answer=how.answer,
    )


# ---- SOAP


def _envelope(how: words.Transaction, body: str, says: Mapping[str, Any], security: str, own: str) -> str:
    soap = SOAP11 if says.get("soap") == "1.1" else SOAP12
    headers = {
        "Action": f'<a:Action s:mustUnderstand="1">{escape(says.get("action", how.action))}</a:Action>',
        "MessageID": f"<a:MessageID>{own}</a:MessageID>",
        "ReplyTo": f"<a:ReplyTo><a:Address>{words.CONSTANTS['anonymous']}</a:Address></a:ReplyTo>",
    }
    for name in says.get("omit_headers", ()):
        del headers[name]
    return (
        f'<s:Envelope xmlns:s="{soap}" xmlns:a="{WSA}"{_DECLARED}><s:Header>{"".join(headers.values())}'
        f"{says.get('header', '')}{security}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )


Part = tuple[str, str, bytes]


def _multipart(root: bytes, parts: Sequence[Part]) -> tuple[str, bytes]:
    pieces = [
        f"--{_BOUNDARY}\r\nContent-Type: application/xop+xml; charset=UTF-8; "
        'type="application/soap+xml"\r\nContent-Transfer-Encoding: binary\r\n'
        "Content-ID: <root@conformance.example>\r\n\r\n".encode(),
        root,
    ]
    for name, mime, content in parts:
        head = (
            f"\r\n--{_BOUNDARY}\r\nContent-Type: {mime}\r\nContent-Transfer-Encoding: binary\r\n"
            f"Content-ID: <{name}>\r\n\r\n"
        )
        pieces += [head.encode(), content]
    pieces.append(f"\r\n--{_BOUNDARY}--\r\n".encode())
    return (
        f'multipart/related; boundary="{_BOUNDARY}"; type="application/xop+xml"; '
        'start="<root@conformance.example>"; start-info="application/soap+xml"',
        b"".join(pieces),
    )


# ---- ebRIM


def quoteattr(text: str) -> str:
    """A value in its quotes."""
    return f'"{escape(text)}"'


def _own(kind: str) -> str:
    return f"{kind}{next(_ids)}"


def _slot(name: str, values: str | Sequence[str]) -> str:
    each = "".join(
        f"<rim:Value>{escape(text)}</rim:Value>" for text in ([values] if isinstance(values, str) else values)
    )
    return f"<rim:Slot name={quoteattr(name)}><rim:ValueList>{each}</rim:ValueList></rim:Slot>"


def _slots(slots: Mapping[str, Any]) -> str:
    return "".join(_slot(name, value) for name, value in slots.items() if value != [])


def _named(text: str) -> str:
    return f"<rim:Name><rim:LocalizedString value={quoteattr(text)}/></rim:Name>" if text else ""


def _code(scheme: str, code: str, system: str, of: str) -> str:
    return (
        f'<rim:Classification id="{_own("cl")}" classificationScheme="{scheme}" '
        f"classifiedObject={quoteattr(of)} "
        f"nodeRepresentation={quoteattr(code)}>{_slot('codingScheme', system) if system else ''}"
        + _named(code)
        + "</rim:Classification>"
    )


def _node(node: str, of: str) -> str:
    return (
        f'<rim:Classification id="{_own("cl")}" classifiedObject={quoteattr(of)} '
        f'classificationNode="{node}"/>'
    )


def _author(scheme: str, of: str, slots: Mapping[str, Any]) -> str:
    return (
        f'<rim:Classification id="{_own("cl")}" classificationScheme="{scheme}" '
        f"classifiedObject={quoteattr(of)} "
        f'nodeRepresentation="">{_slots(slots)}</rim:Classification>'
    )


def _identifier(scheme: str, text: str, name: str, of: str) -> str:
    return (
        f'<rim:ExternalIdentifier id="{_own("ei")}" registryObject={quoteattr(of)} '
        f'identificationScheme="{scheme}" '
        f"value={quoteattr(text)}>{_named(name)}</rim:ExternalIdentifier>"
    )


def _attributes(**given: str) -> str:
    return "".join(f" {name}={quoteattr(text)}" for name, text in given.items() if text)


def _codes(document: Mapping[str, Any], own: str) -> str:
    omitted, given = document.get("omit", ()), document.get("codes", {})
    found = ""
    for name, (scheme, code, system) in words.CODES.items():
        if name in omitted:
            continue
        pairs = given.get(name, [[code, system]])
        for pair in [pairs] if pairs and isinstance(pairs[0], str) else pairs:
            found += _code(scheme, pair[0], pair[1], own)
    for pair in given.get("eventCodeList", ()):
        found += _code(words.EVENT_CODES, pair[0], pair[1], own)
    return found


def _document(document: Mapping[str, Any], send: str, patient: str, value: Value) -> str:
    name = document.get("name", "a")
    own = document.get("id", value(f"uuid:{name}"))
    omitted = document.get("omit", ())
    patient = document.get("patient", patient)
    slots: dict[str, Any] = {
        "creationTime": "20260311094500",
        "hash": value(f"sha1:{name}"),
        "languageCode": "nb-NO",
        "repositoryUniqueId": value("repository"),
        "size": value(f"size:{name}"),
        "sourcePatientId": patient,
        "sourcePatientInfo": [f"PID-3|{patient}", "PID-5|Syntetisk^Prøve", "PID-8|F"],
    }
    if send == "ITI-61":
        for each in ("creationTime", "hash", "size"):
            del slots[each]
    if send in ("ITI-41", "ITI-80"):
        del slots["repositoryUniqueId"]
    slots.update(document.get("slots", {}))
    kind = words.CONSTANTS["on-demand" if send == "ITI-61" else "stable"]
    text = (
        "<rim:ExtrinsicObject"
        + _attributes(
            id=own,
            lid=document.get("lid", ""),
            home=document.get("home", ""),
            mimeType="" if "mimeType" in omitted else document.get("mime", "text/plain"),
            objectType=document.get("object_type", kind),
        )
        + ">"
        + _slots({key: each for key, each in slots.items() if key not in omitted})
        + _named(document.get("title", f"Document {name}"))
        + ("" if "author" in omitted
           else _author(words.ENTRY_AUTHOR, own, document.get("author", {"authorPerson": _AUTHOR})))
        + _codes(document, own)
    )  # fmt: skip
    if "patientId" not in omitted:
        text += _identifier(words.ENTRY_PATIENT, patient, "XDSDocumentEntry.patientId", own)
    if "uniqueId" not in omitted:
        unique = document.get("uid", value(f"oid:{name}"))
        text += _identifier(words.ENTRY_UNIQUE, unique, "XDSDocumentEntry.uniqueId", own)
    return text + "</rim:ExtrinsicObject>"


def _package(
    package: Mapping[str, Any],
    own: str,
    patient: str,
    node: str,
    schemes: tuple[str, str, str],
    unique: str,
    middle: str,
) -> str:
    omitted = package.get("omit", ())
    kind, of_patient, of_unique = schemes
    text = (
        "<rim:RegistryPackage"
        + _attributes(id=own, lid=package.get("lid", ""), home=package.get("home", ""))
        + ">"
        + _slots({key: each for key, each in package.get("slots", {}).items() if key not in omitted})
        + _named("" if "title" in omitted else package.get("title", "Conformance"))
        + ("" if "label" in omitted else _node(node, own))
        + middle
    )
    if "patientId" not in omitted:
        text += _identifier(of_patient, package.get("patient", patient), f"{kind}.patientId", own)
    if "uniqueId" not in omitted:
        text += _identifier(of_unique, package.get("uid", unique), f"{kind}.uniqueId", own)
    return text


def _set(given: Mapping[str, Any], patient: str, value: Value) -> tuple[str, str]:
    name = given.get("name", "set")
    own = given.get("id", value(f"uuid:{name}"))
    omitted = given.get("omit", ())
    package = {**given, "slots": {"submissionTime": "20260311100000", **given.get("slots", {})}}
    middle = "" if "author" in omitted else _author(words.SET_AUTHOR, own, {"authorPerson": _AUTHOR})
    if "contentTypeCode" not in omitted:
        scheme, *usual = words.CONTENT_TYPE
        code, system = given.get("contentTypeCode", usual)
        middle += _code(scheme, code, system, own)
    schemes = ("XDSSubmissionSet", words.SET_PATIENT, words.SET_UNIQUE)
    text = _package(package, own, patient, words.SET_NODE, schemes, value(f"oid:{name}"), middle)
    if "sourceId" not in omitted:
        text += _identifier(
            words.SET_SOURCE, given.get("sourceId", _SOURCE), "XDSSubmissionSet.sourceId", own
        )
    return own, text + "</rim:RegistryPackage>"


def _folder(given: Mapping[str, Any], patient: str, value: Value) -> str:
    name = given["name"]
    own = given.get("id", value(f"uuid:{name}"))
    middle = "" if "codeList" in given.get("omit", ()) else _code(*words.CODE_LIST, own)
    schemes = ("XDSFolder", words.FOLDER_PATIENT, words.FOLDER_UNIQUE)
    text = _package(given, own, patient, words.FOLDER_NODE, schemes, value(f"oid:{name}"), middle)
    return text + "</rim:RegistryPackage>"


def _association(own: str, kind: str, source: str, target: str, slots: Mapping[str, Any]) -> str:
    return (
        f'<rim:Association id={quoteattr(own)} associationType="{kind}" sourceObject={quoteattr(source)} '
        f"targetObject={quoteattr(target)}>{_slots(slots)}</rim:Association>"
    )


def _submission(send: str, says: Mapping[str, Any], value: Value) -> tuple[str, list[Part]]:
    """The request, with what the standard asks for beside what is named: the set and its members."""
    patient = says.get("patient", value("patient"))
    kind = words.CONSTANTS["HasMember"]
    documents, folders = says.get("documents", []), says.get("folders", [])
    own, text = _set(says.get("set", {}), patient, value)
    objects = [_document(each, send, patient, value) for each in documents]
    objects += [_folder(each, patient, value) for each in folders]
    sets = says.get("set", {}).get("times", 1)
    objects += [text] if sets == 1 else []
    if sets > 1:
        other = _set({"name": "another"}, patient, value)[1]
        objects += [text, other]
    for each in documents:
        if each.get("member", True) is False:
            continue
        slots = {"SubmissionSetStatus": "Original", **each.get("member", {})}
        target = each.get("id", value(f"uuid:{each.get('name', 'a')}"))
        objects.append(_association(value(f"uuid:{each.get('name', 'a')}-member"), kind, own, target, slots))
    for each in folders:
        if each.get("member", True) is False:
            continue
        target = each.get("id", value(f"uuid:{each['name']}"))
        member = value(f"uuid:{each['name']}-member")
        objects.append(_association(member, kind, own, target, each.get("member", {})))
    for each in says.get("associations", ()):
        name = each.get("name", _own("as"))
        link = value(f"uuid:{name}")
        source, target = each.get("source", own), each["target"]
        objects.append(_association(link, each["type"], source, target, each.get("slots", {})))
        if each["type"] == kind and source != own and each.get("companion", True):
            objects.append(_association(value(f"uuid:{name}-companion"), kind, own, link, {}))
    listed = f"<rim:RegistryObjectList>{''.join(objects)}</rim:RegistryObjectList>"
    if send not in ("ITI-41", "ITI-80"):
        return f"<lcm:SubmitObjectsRequest>{listed}</lcm:SubmitObjectsRequest>", []
    parts: list[Part] = []
    bodies = ""
    for each in documents:
        if each.get("bytes", True) is False:
            continue
        name = each.get("name", "a")
        entry = each.get("document_id", each.get("id", value(f"uuid:{name}")))
        if says.get("inline"):
            inner = value(f"base64:{name}")
        else:
            part = f"{name}@conformance.example"
            inner = f'<xop:Include xmlns:xop="http://www.w3.org/2004/08/xop/include" href="cid:{part}"/>'
            parts.append((part, each.get("mime", "text/plain"), value(f"content:{name}").encode()))
        bodies += f"<xds:Document id={quoteattr(entry)}>{inner}</xds:Document>"
    return (
        f"<xds:ProvideAndRegisterDocumentSetRequest><lcm:SubmitObjectsRequest>{listed}</lcm:SubmitObjectsRequest>"
        f"{bodies}</xds:ProvideAndRegisterDocumentSetRequest>",
        parts,
    )


def _query(_: str, says: Mapping[str, Any], value: Value) -> tuple[str, list[Part]]:
    name = says.get("query", "FindDocuments")
    parameters: dict[str, Any] = {
        key: re.sub(r"\{([\w-]+)\}", lambda m: value(m[1]), text)
        for key, text in words.PARAMETERS.get(name, {}).items()
    }
    parameters.update(says.get("parameters", {}))
    slots = ""
    for key, given in parameters.items():
        # A list of lists is the same Slot several times, which means AND.
        for each in given if given and isinstance(given, list) and isinstance(given[0], list) else [given]:
            slots += _slots({key: each})
    return (
        '<query:AdhocQueryRequest><query:ResponseOption returnComposedObjects="true" '
        f"returnType={quoteattr(says.get('return', 'LeafClass'))}/>"
        f"<rim:AdhocQuery{_attributes(id=words.QUERIES.get(name, name), home=says.get('home', ''))}>"
        f"{slots}</rim:AdhocQuery></query:AdhocQueryRequest>",
        [],
    )


def _retrieve(send: str, says: Mapping[str, Any], value: Value) -> tuple[str, list[Part]]:
    listed = ""
    for each in says["requests"]:
        home = each.get("home", value("home") if says.get("at") == "initiating" or send == "ITI-39" else "")
        listed += "<xds:DocumentRequest>" + (
            f"<xds:HomeCommunityId>{escape(home)}</xds:HomeCommunityId>" if home else ""
        )
        listed += (
            f"<xds:RepositoryUniqueId>{escape(each.get('repository', value('repository')))}"
            f"</xds:RepositoryUniqueId><xds:DocumentUniqueId>{escape(each['document'])}</xds:DocumentUniqueId>"
            "</xds:DocumentRequest>"
        )
    root = "rmd:RemoveDocumentsRequest" if send == "ITI-86" else "xds:RetrieveDocumentSetRequest"
    return f"<{root}>{listed}</{root}>", []


def _remove(_: str, says: Mapping[str, Any], value: Value) -> tuple[str, list[Part]]:
    listed = "".join(f"<rim:ObjectRef id={quoteattr(each)}/>" for each in says["ids"])
    return (
        f"<lcm:RemoveObjectsRequest><rim:ObjectRefList>{listed}</rim:ObjectRefList></lcm:RemoveObjectsRequest>",
        [],
    )


def _feed(_: str, says: Mapping[str, Any], value: Value) -> tuple[str, list[Part]]:
    def own(patient: str) -> str:
        number, _, rest = patient.partition("^^^&")
        return f'<id root="{rest.partition("&")[0]}" extension="{number}"/>'

    name = f"PRPA_IN{says.get('kind', '201301')}UV02"
    subsumed = says.get("subsumed", "")
    prior = (
        '<replacementOf typeCode="RPLC"><priorRegistration classCode="REG" moodCode="EVN">'
        '<statusCode code="obsolete"/><subject1 typeCode="SBJ"><priorRegisteredRole classCode="PAT">'
        f"{own(subsumed)}</priorRegisteredRole></subject1></priorRegistration></replacementOf>"
    )
    device = '<device classCode="DEV" determinerCode="INSTANCE"><id root="2.16.578.1.12.4.5.480.9"/></device>'
    return (
        f'<{name} xmlns="urn:hl7-org:v3" ITSVersion="XML_1.0"><id root="{value("oid:feed")}"/>'
        '<creationTime value="20260311100000"/>'
        f'<interactionId root="2.16.840.1.113883.1.6" extension="{name}"/>'
        '<processingCode code="P"/><processingModeCode code="T"/><acceptAckCode code="AL"/>'
        f'<receiver typeCode="RCV">{device}</receiver><sender typeCode="SND">{device}</sender>'
        '<controlActProcess classCode="CACT" moodCode="EVN"><subject typeCode="SUBJ">'
        '<registrationEvent classCode="REG" moodCode="EVN"><statusCode code="active"/>'
        f'<subject1 typeCode="SBJ"><patient classCode="PAT">{own(says.get("patient", value("patient")))}'
        '<statusCode code="active"/><patientPerson classCode="PSN" determinerCode="INSTANCE"><name>'
        "<family>Syntetisk</family></name></patientPerson></patient></subject1>"
        f"{prior if subsumed else ''}</registrationEvent></subject></controlActProcess></{name}>",
        [],
    )


_BODIES: Final[Mapping[str, Callable[[str, Mapping[str, Any], Value], tuple[str, list[Part]]]]] = {
    **dict.fromkeys(("ITI-41", "ITI-42", "ITI-57", "ITI-61", "ITI-80", "ITI-92"), _submission),
    **dict.fromkeys(("ITI-18", "ITI-38", "ITI-51"), _query),
    **dict.fromkeys(("ITI-39", "ITI-43", "ITI-86"), _retrieve),
    "ITI-62": _remove,
    "ITI-44": _feed,
}


# ---- HTTP and FHIR

_FHIR_JSON: Final = "application/fhir+json"
_TYPES: Final = "urn:oid:2.16.578.1.12.4.1.1.9602"
_MHD: Final = words.CONSTANTS["MHD"]


def _http(says: Mapping[str, Any]) -> Message:
    body = json.dumps(says["json"]).encode() if "json" in says else says.get("body", "").encode()
    headers = {"Accept": _FHIR_JSON, **says.get("headers", {})}
    given = headers.pop("Content-Type", _FHIR_JSON if "json" in says else "")
    return Message(
        at=says.get("at", "fhir"),
        method=says.get("method", "GET"),
        path=says.get("path", ""),
        content_type=given,
        body=body,
        headers={name: text for name, text in headers.items() if text},
    )


def _concept(code: str, system: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _unique(oid: str) -> dict[str, Any]:
    return {"use": "usual", "system": "urn:ietf:rfc:3986", "value": f"urn:oid:{oid}"}


def _reference(document: Mapping[str, Any], subject: dict[str, Any], value: Value) -> dict[str, Any]:
    name = document.get("name", "a")
    resource: dict[str, Any] = {
        "resourceType": "DocumentReference",
        "meta": {"profile": [f"{_MHD}IHE.MHD.Comprehensive.DocumentReference"]},
        "contained": [
            {
                "resourceType": "Practitioner",
                "id": "doctor",
                "identifier": [{"system": "urn:oid:2.16.578.1.12.4.1.4.4", "value": "9144889"}],
                "name": [{"family": "Prøveland", "given": ["Tuva"]}],
            },
            {"resourceType": "Patient", "id": "patient", "identifier": [subject["identifier"]],
             "name": [{"family": "Syntetisk", "given": ["Prøve"]}]},
        ],
        "masterIdentifier": _unique(value(f"oid:{name}")),
        "status": "current",
        "type": _concept("A03-2", _TYPES),
        "category": [_concept("A00-1", _TYPES)],
        "subject": subject,
        "author": [{"reference": "#doctor"}],
        "securityLabel": [_concept("N", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality")],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain",
                    "language": "nb-NO",
                    "title": f"Document {name}",
                    "creation": "2026-03-11T10:45:00+01:00",
                    "url": value(f"uuid:{name}-binary"),
                },
                "format": {
                    "system": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
                    "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                },
            }
        ],
        "context": {
            "facilityType": _concept("86.101", "urn:oid:2.16.578.1.12.4.1.1.1303"),
            "practiceSetting": _concept("S03", "urn:oid:2.16.578.1.12.4.1.1.8655"),
            "sourcePatientInfo": {"reference": "#patient"},
        },
    }  # fmt: skip
    resource = copy.deepcopy(resource)  # the patient is that of the whole bundle, and the change of this one
    _change(resource, document.get("change", {}), document.get("drop", ()))
    return resource


def _list(
    kind: str, name: str, subject: dict[str, Any], members: Sequence[str], value: Value
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "List",
        "extension": [
            {"url": f"{_MHD}ihe-designationType", "valueCodeableConcept": _concept("A03-2", _TYPES)}
        ],
        "identifier": [_unique(value(f"oid:{name}"))],
        "status": "current",
        "mode": "working",
        "title": "Conformance",
        "code": _concept(kind, "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"),
        "subject": subject,
    }
    if kind == "submissionset":
        found["extension"].append(
            {
                "url": f"{_MHD}ihe-sourceId",
                "valueIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{_SOURCE}"},
            }
        )
        found["date"] = "2026-03-11T10:00:00Z"
    if members:
        found["entry"] = [{"item": {"reference": each}} for each in members]
    return found


def _bundle(says: Mapping[str, Any], value: Value) -> Message:
    """A transaction with the set first, then each document and its Binary, then folders."""
    patient = says.get("patient", value("patient"))
    number, _, rest = patient.partition("^^^&")
    subject = {"identifier": {"system": f"urn:oid:{rest.partition('&')[0]}", "value": number}}
    documents, folders = says.get("documents", []), says.get("folders", [])
    names = [each.get("name", "a") for each in documents]

    def entry(name: str, resource: dict[str, Any]) -> dict[str, Any]:
        request = {"method": "POST", "url": resource["resourceType"]}
        return {"fullUrl": value(f"uuid:{name}-entry"), "resource": resource, "request": request}

    members = [value(f"uuid:{name}-entry") for name in (*names, *(each["name"] for each in folders))]
    entries = [entry("set", _list("submissionset", "set", subject, members, value))]
    for name, document in zip(names, documents, strict=True):
        entries.append(entry(name, _reference(document, subject, value)))
        binary = {"resourceType": "Binary", "contentType": "text/plain", "data": value(f"base64:{name}")}
        entries.append({**entry(name, binary), "fullUrl": value(f"uuid:{name}-binary")})
    for each in folders:
        inside = [value(f"uuid:{name}-entry") for name in each.get("documents", ())]
        entries.append(entry(each["name"], _list("folder", each["name"], subject, inside, value)))
    made: dict[str, Any] = {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{_MHD}IHE.MHD.Comprehensive.ProvideBundle"]},
        "type": "transaction",
        "entry": entries,
    }
    _change(made, says.get("change", {}), says.get("drop", ()))
    return replace(_http({"json": made, "headers": says.get("headers", {})}), at="fhir", method="POST")


def _change(resource: Any, changes: Mapping[str, Any], drops: Sequence[str]) -> None:
    """Set and remove what stands at paths such as `entry.1.resource.status`."""

    def inner(path: str) -> tuple[Any, Any]:
        *way, last = path.split(".")
        here = resource
        for step in way:
            here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
        return here, int(last) if isinstance(here, list) else last

    for path, new in changes.items():
        here, last = inner(path)
        here[last] = new
    for path in drops:
        here, last = inner(path)
        del here[last]
