"""AuditEvents as DICOM audit messages: held to the schema of PS3.15 A.5.1, and to what ATNA wants in each.

The schema here is written from the standard's text, not copied: for each element its attributes, which are
required, their values, and its children in order. What is expected of a message is worked out by hand from
ITI TF-2 and the event; nothing of it was taken from what the module writes.
"""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from xds.audit.dicom import message
from xds.transport.xml import parse

DCM = "http://dicom.nema.org/resources/ontology/DCM"
TYPES = "http://terminology.hl7.org/CodeSystem"
BALP = "https://profiles.ihe.net/ITI/BALP/CodeSystem"
FNR = "urn:oid:2.16.578.1.12.4.1.4.1"
HPR = "urn:oid:2.16.578.1.12.4.1.4.4"
URI = "urn:ietf:rfc:3986"
QUERY_ID = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"


# ---- the schema (PS3.15 A.5.1)


@dataclass(frozen=True)
class Rule:
    """Attributes with a pattern of their values, and the children as a pattern of their names."""

    children: str = ""
    required: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


_ANY: Final = r"(?s:.+)"
_BASE64: Final = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
#: xsd:dateTime with a zone, without which it would be no moment.
_TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
#: CodedValueType: csd-code, and other-csd-attributes.
_CODED: Final = Rule(
    required={"csd-code": _ANY, "codeSystemName": _ANY, "originalText": _ANY}, optional={"displayName": _ANY}
)
SCHEMA: Final[Mapping[str, Rule]] = {
    "AuditMessage": Rule(
        "EventIdentification,(?:ActiveParticipant,)+AuditSourceIdentification,"
        "(?:ParticipantObjectIdentification,)*"
    ),
    "EventIdentification": Rule(
        "EventID,(?:EventTypeCode,)*(?:EventOutcomeDescription,)?(?:PurposeOfUse,)*",
        required={"EventDateTime": _TIME, "EventOutcomeIndicator": "0|4|8|12"},
        optional={"EventActionCode": "[CRUDE]"},
    ),
    "EventID": _CODED,
    "EventTypeCode": _CODED,
    "EventOutcomeDescription": Rule(text=_ANY),
    "PurposeOfUse": _CODED,
    "ActiveParticipant": Rule(
        "(?:RoleIDCode,)*(?:MediaIdentifier,)?",
        required={"UserID": _ANY, "UserIsRequestor": "true|false"},
        optional={
            "AlternativeUserID": _ANY,
            "UserName": _ANY,
            "NetworkAccessPointID": _ANY,
            "NetworkAccessPointTypeCode": "[1-5]",
        },
    ),
    "RoleIDCode": _CODED,
    "AuditSourceIdentification": Rule(
        "(?:AuditSourceTypeCode,)*",
        required={"AuditSourceID": _ANY},
        optional={"AuditEnterpriseSiteID": _ANY},
    ),
    # One of nine numbers alone, or any code with its system.
    "AuditSourceTypeCode": Rule(
        required={"csd-code": _ANY},
        optional={"codeSystemName": _ANY, "originalText": _ANY, "displayName": _ANY},
    ),
    "ParticipantObjectIdentification": Rule(
        "ParticipantObjectIDTypeCode,(?:ParticipantObjectName,|ParticipantObjectQuery,)"
        "(?:ParticipantObjectDetail,)*(?:ParticipantObjectDescription,)*",
        required={"ParticipantObjectID": _ANY},
        optional={
            "ParticipantObjectTypeCode": "[1-4]",
            "ParticipantObjectTypeCodeRole": "[1-9]|1[0-9]|2[0-6]",
            "ParticipantObjectDataLifeCycle": "[1-9]|1[0-5]",
            "ParticipantObjectSensitivity": _ANY,
        },
    ),
    "ParticipantObjectIDTypeCode": _CODED,
    "ParticipantObjectName": Rule(text=_ANY),
    "ParticipantObjectQuery": Rule(text=_BASE64),
    "ParticipantObjectDetail": Rule(required={"type": _ANY, "value": _BASE64}),
}


def faults(element: etree._Element) -> list[str]:
    """What the schema has against an element and all in it."""
    tag = str(element.tag)
    rule = SCHEMA.get(tag)
    if rule is None:
        return [f"{tag} is unknown"]
    found = []
    allowed = {**rule.required, **rule.optional}
    found += [f"{tag} lacks {name}" for name in rule.required if element.get(name) is None]
    for name, value in element.attrib.items():
        if not re.fullmatch(allowed.get(str(name), "(?!)"), str(value)):
            found.append(f"{tag} has {name!r} {value!r}")
    if not re.fullmatch(rule.children, "".join(f"{child.tag!s}," for child in element)):
        found.append(f"{tag} holds {[child.tag for child in element]!r}")
    if not re.fullmatch(rule.text, element.text or ""):
        found.append(f"{tag} says {element.text!r}")
    if tag == "AuditSourceTypeCode":
        is_number = re.fullmatch("[1-9]", element.get("csd-code", "")) is not None
        if not is_number and element.get("codeSystemName") is None:
            found.append("AuditSourceTypeCode: a code without a system")
    if (element.get("NetworkAccessPointID") is None) != (element.get("NetworkAccessPointTypeCode") is None):
        found.append("ActiveParticipant: half an access point")
    return found + [fault for child in element for fault in faults(child)]


def written(event: Mapping[str, Any]) -> etree._Element:
    """The message, which must be well-formed and what the schema says."""
    data = message(event)
    assert data.startswith(b"<?xml")
    root = parse(data)
    assert faults(root) == []
    return root


def code(element: etree._Element | None) -> tuple[str | None, ...]:
    assert element is not None
    return element.get("csd-code"), element.get("codeSystemName"), element.get("originalText")


def codes(parent: etree._Element, tag: str) -> list[tuple[str | None, ...]]:
    return [code(each) for each in parent.findall(tag)]


def details(element: etree._Element) -> dict[str, str]:
    return {
        each.attrib["type"]: base64.b64decode(each.attrib["value"]).decode()
        for each in element.findall("ParticipantObjectDetail")
    }


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# ---- events


def dcm(number: str, display: str = "") -> dict[str, str]:
    return {"system": DCM, "code": number} | ({"display": display} if display else {})


def ihe(number: str, display: str) -> dict[str, str]:
    return {"system": "urn:ihe:event-type-code", "code": number, "display": display}


def entity(type_code: str, role: str, value: str, system: str = URI, **more: Any) -> dict[str, Any]:
    return {
        "what": {"identifier": {"system": system, "value": value}},
        "type": {"system": f"{TYPES}/audit-entity-type", "code": type_code},
        "role": {"system": f"{TYPES}/object-role", "code": role},
        **more,
    }


#: A stored query by a doctor. Month 86: nobody was born then.
QUERY: Final[Mapping[str, Any]] = {
    "resourceType": "AuditEvent",
    "contained": [
        {
            "resourceType": "Practitioner",
            "id": "prac",
            "identifier": [{"system": FNR, "value": "12867012107"}, {"system": HPR, "value": "9144889"}],
            "name": [{"text": "Lege Legesen"}],
        },
        {"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "#prac"}},
        {
            "resourceType": "Patient",
            "id": "pat",
            "identifier": [{"system": FNR, "value": "17855599120"}],
        },
    ],
    "extension": [{"url": "http://example.org/x", "valueReference": {"reference": "#pat"}}],
    "type": dcm("110112", "Query"),
    "subtype": [ihe("ITI-18", "Registry Stored Query")],
    "action": "E",
    "recorded": "2026-03-01T10:11:12.345678Z",
    "outcome": "0",
    "purposeOfEvent": [
        {
            "coding": [
                {"system": f"{TYPES}/v3-ActReason", "code": "TREAT"},
                {"system": "urn:oid:2.16.578.1.12.4.1.1.9151", "code": "1", "display": "Innlagt pasient"},
            ]
        }
    ],
    "agent": [
        {
            "type": {
                "coding": [
                    {"system": f"{BALP}/UserAgentTypes", "code": "UserSamlAgent"},
                    {"system": f"{TYPES}/v3-ParticipationType", "code": "IRCP"},
                ]
            },
            "role": [
                {"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.9060", "code": "LE", "display": "Lege"}]}
            ],
            "who": {
                "reference": "#role",
                "identifier": {"system": "https://issuer.example.no", "value": "abc123"},
                "display": "Lege Legesen",
            },
            "requestor": True,
            "policy": ["_assertion"],
            "purposeOfUse": [{"coding": [{"system": f"{TYPES}/v3-ActReason", "code": "TREAT"}]}],
        },
        {
            "type": {"coding": [{"system": f"{TYPES}/v3-RoleClass", "code": "PROV"}]},
            "who": {
                "identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.101", "value": "999999999"},
                "display": "Foretak HF",
            },
            "requestor": False,
        },
        {
            "type": {"coding": [dcm("110153", "Source Role ID")]},
            "who": {"identifier": {"system": "https://issuer.example.no", "value": "epj-1"}},
            "requestor": False,
            "network": {"address": "10.1.2.3", "type": "2"},
        },
        {
            "type": {"coding": [dcm("110152")]},
            "who": {"identifier": {"system": URI, "value": "urn:oid:2.999.1"}},
            "requestor": False,
            "network": {"address": "https://xds.example.no:8443/registry", "type": "5"},
        },
    ],
    "source": {
        "site": "node-1",
        "observer": {"identifier": {"system": URI, "value": "urn:oid:2.999.1"}, "display": "xds"},
        "type": [{"system": f"{TYPES}/security-source-type", "code": "4", "display": "Application Server"}],
    },
    "entity": [
        {
            "what": {"reference": "#pat", "identifier": {"system": FNR, "value": "17855599120"}},
            "type": {"system": f"{TYPES}/audit-entity-type", "code": "1"},
            "role": {"system": f"{TYPES}/object-role", "code": "1"},
        },
        entity(
            "2",
            "24",
            QUERY_ID,
            description="FindDocuments",
            query=encoded("<AdhocQueryRequest/>"),
            detail=[
                {"type": "QueryEncoding", "valueString": "UTF-8"},
                {"type": "urn:ihe:iti:xca:2010:homeCommunityId", "valueString": "urn:oid:2.999.1"},
            ],
        ),
        {
            "what": {"identifier": {"value": "urn:uuid:0d8d1d2c-0000-4000-8000-000000000001"}},
            "type": {"system": f"{BALP}/BasicAuditEntityType", "code": "XrequestId"},
            "description": "message",
        },
    ],
}


def changed(**parts: Any) -> dict[str, Any]:
    return copy.deepcopy({**QUERY, **parts})


# ---- a stored query (ITI TF-2 3.18.5.1.2)


def test_what_happened() -> None:
    """EventID of DCM, EventTypeCode of IHE, the purpose once for each code."""
    event = written(QUERY)[0]
    assert dict(event.attrib) == {
        "EventActionCode": "E",
        "EventDateTime": "2026-03-01T10:11:12.345678Z",
        "EventOutcomeIndicator": "0",
    }
    assert codes(event, "EventID") == [("110112", "DCM", "Query")]
    assert codes(event, "EventTypeCode") == [("ITI-18", "IHE Transactions", "Registry Stored Query")]
    assert codes(event, "PurposeOfUse") == [
        ("TREAT", "http://terminology.hl7.org/CodeSystem/v3-ActReason", "TREAT"),
        ("1", "2.16.578.1.12.4.1.1.9151", "Innlagt pasient"),
    ]


def test_who_asked() -> None:
    """The number identifies the person; UserName is alias<user@issuer> of ITI-40; roles are the person's."""
    user = written(QUERY).findall("ActiveParticipant")[0]
    assert dict(user.attrib) == {
        "UserID": "12867012107^^^&2.16.578.1.12.4.1.4.1&ISO",
        "AlternativeUserID": "abc123",
        "UserName": "Lege Legesen<abc123@https://issuer.example.no>",
        "UserIsRequestor": "true",
    }
    assert codes(user, "RoleIDCode") == [("LE", "2.16.578.1.12.4.1.1.9060", "Lege")]


def test_the_systems() -> None:
    """Source by its id and address; destination by its endpoint, of which the machine is the access point."""
    _, organisation, source, destination = written(QUERY).findall("ActiveParticipant")
    assert dict(organisation.attrib) == {
        "UserID": "999999999^^^&2.16.578.1.12.4.1.4.101&ISO",
        "UserName": "Foretak HF",
        "UserIsRequestor": "false",
    }
    assert codes(organisation, "RoleIDCode") == [
        ("PROV", "http://terminology.hl7.org/CodeSystem/v3-RoleClass", "PROV")
    ]
    assert dict(source.attrib) == {
        "UserID": "epj-1",
        "UserIsRequestor": "false",
        "NetworkAccessPointID": "10.1.2.3",
        "NetworkAccessPointTypeCode": "2",
    }
    assert codes(source, "RoleIDCode") == [("110153", "DCM", "Source Role ID")]
    assert dict(destination.attrib) == {
        "UserID": "https://xds.example.no:8443/registry",
        "AlternativeUserID": "urn:oid:2.999.1",
        "UserIsRequestor": "false",
        "NetworkAccessPointID": "xds.example.no",
        "NetworkAccessPointTypeCode": "1",
    }
    assert codes(destination, "RoleIDCode") == [("110152", "DCM", "Destination Role ID")]


def test_who_says_so() -> None:
    """AuditSourceTypeCode 4: an application server, of the schema's own numbers."""
    source = written(QUERY).find("AuditSourceIdentification")
    assert source is not None
    assert dict(source.attrib) == {"AuditEnterpriseSiteID": "node-1", "AuditSourceID": "urn:oid:2.999.1"}
    assert [dict(each.attrib) for each in source] == [{"csd-code": "4"}]


def test_what_it_was_about() -> None:
    """The patient as CX, the query with its encoding and community, what DICOM has no place for as other."""
    patient, query, request = written(QUERY).findall("ParticipantObjectIdentification")
    assert dict(patient.attrib) == {
        "ParticipantObjectID": "17855599120^^^&2.16.578.1.12.4.1.4.1&ISO",
        "ParticipantObjectTypeCode": "1",
        "ParticipantObjectTypeCodeRole": "1",
    }
    assert code(patient[0]) == ("2", "RFC-3881", "Patient Number")
    assert dict(query.attrib) == {
        "ParticipantObjectID": QUERY_ID,
        "ParticipantObjectTypeCode": "2",
        "ParticipantObjectTypeCodeRole": "24",
    }
    assert code(query[0]) == ("ITI-18", "IHE Transactions", "Registry Stored Query")
    assert query.findtext("ParticipantObjectQuery") == "PEFkaG9jUXVlcnlSZXF1ZXN0Lz4="
    assert details(query) == {
        "QueryEncoding": "UTF-8",
        "urn:ihe:iti:xca:2010:homeCommunityId": "urn:oid:2.999.1",
        "description": "FindDocuments",
    }
    assert dict(request.attrib) == {
        "ParticipantObjectID": "urn:uuid:0d8d1d2c-0000-4000-8000-000000000001",
        "ParticipantObjectTypeCode": "4",
    }
    assert code(request[0]) == ("XrequestId", f"{BALP}/BasicAuditEntityType", "XrequestId")
    assert request.findtext("ParticipantObjectName") == "message"


# ---- others


def test_documents_that_were_fetched() -> None:
    """Role 3, "Report Number"; the OID without urn:oid:; repository and community (ITI TF-2 3.43.5)."""
    event = changed(
        type=dcm("110106"),
        subtype=[ihe("ITI-43", "Retrieve Document Set")],
        action="R",
        entity=[
            entity(
                "2",
                "3",
                "urn:oid:2.999.5.1",
                name="Epikrise",
                securityLabel=[{"system": "urn:oid:2.16.578.1.12.4.1.1.9603", "code": "NORS"}],
                detail=[
                    {"type": "Repository Unique Id", "valueString": "2.999.2"},
                    {"type": "ihe:homeCommunityID", "valueString": "urn:oid:2.999.1"},
                    {"type": "hash", "valueBase64Binary": "AAEC"},
                ],
            )
        ],
    )
    root = written(event)
    assert codes(root[0], "EventID") == [("110106", "DCM", "Export")]
    (document,) = root.findall("ParticipantObjectIdentification")
    assert dict(document.attrib) == {
        "ParticipantObjectID": "2.999.5.1",
        "ParticipantObjectTypeCode": "2",
        "ParticipantObjectTypeCodeRole": "3",
        "ParticipantObjectSensitivity": "NORS",
    }
    assert code(document[0]) == ("9", "RFC-3881", "Report Number")
    assert document.findtext("ParticipantObjectName") == "Epikrise"
    assert details(document) == {
        "Repository Unique Id": "2.999.2",
        "ihe:homeCommunityID": "urn:oid:2.999.1",
        "hash": "\x00\x01\x02",
    }


def test_a_submission_set() -> None:
    """Role 20; named by its uniqueId (ITI TF-2 3.41.5)."""
    event = changed(subtype=[ihe("ITI-41", "Provide")], entity=[entity("2", "20", "urn:oid:2.999.6")])
    (the_set,) = written(event).findall("ParticipantObjectIdentification")
    assert the_set.get("ParticipantObjectID") == "2.999.6"
    assert code(the_set[0]) == (
        "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd",
        "IHE XDS Metadata",
        "submission set classificationNode",
    )


def test_an_object_that_was_removed() -> None:
    """ITI-62 names objects by entryUUID; 14 is a logical deletion."""
    life_cycle = {"system": f"{TYPES}/dicom-audit-lifecycle", "code": "14"}
    uuid = "urn:uuid:0d8d1d2c-0000-4000-8000-000000000002"
    event = changed(action="D", entity=[entity("2", "3", uuid, lifecycle=life_cycle)])
    (removed,) = written(event).findall("ParticipantObjectIdentification")
    assert removed.get("ParticipantObjectID") == uuid
    assert removed.get("ParticipantObjectDataLifeCycle") == "14"
    assert code(removed[0]) == ("urn:ihe:iti:2017:ObjectRef", "IHE XDS Metadata", "registry object reference")


def test_a_look_at_the_log() -> None:
    """PS3.15 A.5.3.2: identified by its URI, named "Security Audit Log"; the search goes as a detail."""
    log = entity("2", "13", "", query=encoded("date=ge2026"))
    del log["what"]
    event = changed(type=dcm("110101"), subtype=[ihe("ITI-81", "Retrieve ATNA Audit Event")], entity=[log])
    (used,) = written(event).findall("ParticipantObjectIdentification")
    assert used.get("ParticipantObjectID") == "https://xds.example.no:8443/registry"
    assert code(used[0]) == ("12", "RFC-3881", "URI")
    assert used.findtext("ParticipantObjectName") == "Security Audit Log"
    assert details(used) == {"query": "date=ge2026"}


def test_a_refusal() -> None:
    """Serious failure; why; ITI-40 beside the transaction; asked by an address, as no more is known."""
    event = changed(
        type=dcm("110114", "User Authentication"),
        subtype=[ihe("ITI-40", "Provide X-User Assertion"), ihe("ITI-18", "Registry Stored Query")],
        outcome="8",
        outcomeDesc="denied: expired",
        agent=[
            {
                "type": {"coding": [dcm("110153")]},
                "who": {"display": "10.1.2.3"},
                "requestor": True,
                "network": {"address": "10.1.2.3", "type": "2"},
            }
        ],
        entity=[entity("2", "24", QUERY_ID)],
    )
    event.pop("purposeOfEvent")
    root = written(event)
    assert root[0].get("EventOutcomeIndicator") == "8"
    assert root[0].findtext("EventOutcomeDescription") == "denied: expired"
    assert [each[0] for each in codes(root[0], "EventTypeCode")] == ["ITI-40", "ITI-18"]
    (sender,) = root.findall("ActiveParticipant")
    assert (sender.get("UserID"), sender.get("UserIsRequestor")) == ("10.1.2.3", "true")
    assert codes(sender, "RoleIDCode") == [("110153", "DCM", "Source Role ID")]
    (query,) = root.findall("ParticipantObjectIdentification")
    assert code(query[0])[0] == "ITI-18"
    assert query.findtext("ParticipantObjectName") == QUERY_ID


@pytest.mark.parametrize(
    ("resource", "number"),
    [
        (
            {"resourceType": "Patient", "id": "x", "identifier": [{"system": FNR, "value": "17855599120"}]},
            "17855599120^^^&2.16.578.1.12.4.1.4.1&ISO",
        ),
        (
            {
                "resourceType": "RelatedPerson",
                "id": "x",
                "identifier": [{"system": FNR, "id": "12867012107"}],
                "name": [{"given": ["Mor", "Anna"], "family": "Hansen"}],
            },
            "12867012107^^^&2.16.578.1.12.4.1.4.1&ISO",
        ),
        ({"resourceType": "Patient", "id": "x"}, None),
    ],
)
def test_a_citizen_or_who_acts_for_one(resource: dict[str, Any], number: str | None) -> None:
    """Their number from the contained resource; without one, their id at the issuer's."""
    who = {"reference": "#x", "identifier": {"system": "https://issuer.example.no", "value": "sub-1"}}
    event = changed(contained=[resource], agent=[{"who": who, "requestor": True}], entity=[])
    (user,) = written(event).findall("ActiveParticipant")
    assert user.get("UserID") == (number or "sub-1")
    assert user.get("AlternativeUserID") == ("sub-1" if number else None)
    name = "Mor Anna Hansen" if "name" in resource else ""
    assert user.get("UserName") == f"{name}<sub-1@https://issuer.example.no>"


@pytest.mark.parametrize(
    ("address", "kind", "point"),
    [
        ("https://xds.example.no/registry", "5", ("xds.example.no", "1")),
        ("https://10.1.2.3:8443/registry", "5", ("10.1.2.3", "2")),
        ("https://[2001:db8::1]/registry", "5", ("2001:db8::1", "2")),
        ("https://[broken/registry", "5", ("https://[broken/registry", "5")),
        ("node.example.no", "1", ("node.example.no", "1")),
        ("10.1.2.3", "9", (None, None)),
        ("", "2", (None, None)),
    ],
)
def test_access_points(address: str, kind: str, point: tuple[str | None, str | None]) -> None:
    """ATNA knows machine names and IP addresses; address and type come together or not at all."""
    agent = {"who": {"display": "x"}, "requestor": False, "network": {"address": address, "type": kind}}
    (participant,) = written(changed(agent=[agent])).findall("ActiveParticipant")
    found = participant.get("NetworkAccessPointID"), participant.get("NetworkAccessPointTypeCode")
    assert found == point


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ({"system": FNR, "value": "17855599120"}, "17855599120^^^&2.16.578.1.12.4.1.4.1&ISO"),
        ({"system": "https://example.no/id", "value": "7"}, "7^^^&https://example.no/id&URI"),
        ({"value": "7"}, "7"),
        ({}, "unknown"),
    ],
)
def test_the_patient_as_cx(identifier: dict[str, str], expected: str) -> None:
    """ISO for an OID, URI for another system, nothing where there is none (HL7 v2, HD.3)."""
    patient = entity("1", "1", "")
    patient["what"] = {"identifier": identifier}
    (written_patient,) = written(changed(entity=[patient])).findall("ParticipantObjectIdentification")
    assert written_patient.get("ParticipantObjectID") == expected


# ---- anything at all


def test_what_xml_cannot_carry_is_replaced() -> None:
    """U+0000, U+FFFE and half a surrogate pair; markup, quotes and line ends come through as they are."""
    name = 'Å <b> & "x"\n\x00\x1f\ufffe\ud800'
    patient = entity("1", "1", "7", system="", name=name)
    event = changed(entity=[patient], outcomeDesc="\x0b", outcome="4")
    root = written(event)
    assert root.findtext(".//ParticipantObjectName") == 'Å <b> & "x"\n\ufffd\ufffd\ufffd\ufffd'


def test_an_empty_event_is_written_but_for_its_time() -> None:
    """Nothing is made up; the time is the one thing that cannot be left out or replaced."""
    assert faults(parse(message({}))) == ["EventIdentification lacks EventDateTime"]


_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data())
def test_no_event_fails(data: st.DataObject) -> None:
    """Whatever stands in the place of one part of it, the message is what the schema says."""
    event = changed()
    place: Any = event
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(_JSON)
    event["recorded"] = QUERY["recorded"]
    written(event)
