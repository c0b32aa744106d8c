"""An AuditEvent as a DICOM audit message (PS3.15 A.5), for repositories that take ATNA's syslog.

Whoever empties the outbox calls `message` with the event as it was stored, and sends what it returns through
syslog.py. It must never fail because an event holds less or other than ours do: one that cannot be written
would stand before all that come after it. It says nothing that the event does not say, and looks nothing up
but what the event itself contains.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from lxml import etree

Json = Mapping[str, Any]

_DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_IHE: Final = "urn:ihe:event-type-code"
_TYPES: Final = "http://terminology.hl7.org/CodeSystem"
_BALP: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem"
_OID: Final = "urn:oid:"
_UUID: Final = "urn:uuid:"
_UNKNOWN: Final = "unknown"

#: Code systems as ATNA names them (ITI TF-2 3.18.5); OIDs lose their urn:oid:, others stay as they are.
_SYSTEM_NAMES: Final[Mapping[str, str]] = {_DCM: "DCM", _IHE: "IHE Transactions"}
#: What DCM's codes mean (PS3.16 D), where the event has no display.
_MEANINGS: Final[Mapping[str, str]] = {
    "110101": "Audit Log Used",
    "110106": "Export",
    "110107": "Import",
    "110110": "Patient Record",
    "110112": "Query",
    "110113": "Security Alert",
    "110114": "User Authentication",
    "110150": "Application",
    "110152": "Destination Role ID",
    "110153": "Source Role ID",
}
#: An agent's types that are no roles of it: how it was authenticated, and that it asked (UserIsRequestor).
_NO_ROLES: Final = frozenset((f"{_BALP}/UserAgentTypes", f"{_TYPES}/v3-ParticipationType"))

_ACTIONS: Final = frozenset("CRUDE")
_OUTCOMES: Final = frozenset(("0", "4", "8", "12"))
_NETWORK_TYPES: Final = frozenset("12345")
_MACHINE: Final = "1"
_IP_ADDRESS: Final = "2"
_URI: Final = "5"

#: FHIR's code systems that are DICOM's numbers, and which there are (PS3.15 A.5.1).
_OBJECT_TYPE: Final = f"{_TYPES}/audit-entity-type"
_OBJECT_ROLE: Final = f"{_TYPES}/object-role"
_LIFE_CYCLE: Final = f"{_TYPES}/dicom-audit-lifecycle"
_SOURCE_TYPE: Final = f"{_TYPES}/security-source-type"
_NUMBERS: Final[Mapping[str, range]] = {
    _OBJECT_TYPE: range(1, 4 + 1),
    _OBJECT_ROLE: range(1, 26 + 1),
    _LIFE_CYCLE: range(1, 15 + 1),
    _SOURCE_TYPE: range(1, 9 + 1),
}
_OTHER_OBJECT: Final = "4"

#: What XML 1.0 cannot carry (production 2), half a surrogate pair among it.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACEMENT: Final = "\ufffd"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value: csd-code, codeSystemName and originalText, all required (PS3.15 A.5.1)."""

    code: str
    system: str
    text: str


_NO_CODE: Final = Code(_UNKNOWN, _UNKNOWN, _UNKNOWN)


# ---- FHIR's data types, whatever stands in their place


def _map(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _maps(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _value(identifier: Json) -> str:
    """An Identifier's value; the Norwegian profile's examples (0.9.8) have it where an element has its id."""
    return _text(identifier.get("value")) or _text(identifier.get("id"))


def _plain(identifier: Json) -> str:
    """Its value as IHE's metadata have it: an OID and no URN."""
    return _value(identifier).removeprefix(_OID)


def _cx(identifier: Json) -> str:
    """It as HL7 v2's CX, with the system for assigning authority."""
    value, system = _value(identifier), _text(identifier.get("system"))
    if not value or not system:
        return value
    return f"{value}^^^&{system.removeprefix(_OID)}&{'ISO' if system.startswith(_OID) else 'URI'}"


def _codes(codings: object) -> list[Code]:
    """Codings as coded values; one without a code is none."""
    found = []
    for coding in _maps(codings):
        code, system = _text(coding.get("code")), _text(coding.get("system"))
        meaning = _MEANINGS.get(code, code) if system == _DCM else code
        name = _SYSTEM_NAMES.get(system) or system.removeprefix(_OID) or _UNKNOWN
        if code:
            found.append(Code(code, name, _text(coding.get("display")) or meaning))
    return found


def _number(coding: object, system: str) -> str:
    """The code, where it is one of the numbers that DICOM has for this."""
    given = _map(coding)
    code = _text(given.get("code"))
    is_own = _text(given.get("system")) in (system, "")
    return code if is_own and code in map(str, _NUMBERS[system]) else ""


def _referenced(reference: Json, contained: Mapping[str, Json]) -> Json:
    """The contained resource that is meant; of a PractitionerRole the practitioner, who has the name."""
    found = contained.get(_text(reference.get("reference")), {})
    if found.get("resourceType") == "PractitionerRole":
        found = contained.get(_text(_map(found.get("practitioner")).get("reference")), {})
    return found


def _name(resource: Json) -> str:
    """A resource's name: HumanNames of a person, a text of an organisation."""
    for human in _maps(resource.get("name")):
        given = human.get("given")
        parts = [*(given if isinstance(given, list) else ()), human.get("family")]
        if name := _text(human.get("text")) or " ".join(filter(None, map(_text, parts))):
            return name
    return _text(resource.get("name"))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


def _base64(value: object) -> str:
    """A base64Binary without white space; what is none goes encoded, as the text that it is."""
    text = "".join(_text(value).split())
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return _encoded(_text(value))
    return text


# ---- objects by type and role


@dataclass(frozen=True, slots=True)
class Kind:
    """What objects are identified by, how that is written, and their name where DICOM prescribes one."""

    id_type: Code
    written: Callable[[Json], str] = _value
    name: str = ""


#: By ParticipantObjectTypeCode and -Role (ITI TF-2 3.18.5, 3.41.5, 3.43.5; of the log PS3.15 A.5.3.2).
_KINDS: Final[Mapping[tuple[str, str], Kind]] = {
    ("1", "1"): Kind(Code("2", "RFC-3881", "Patient Number"), written=_cx),
    ("2", "3"): Kind(Code("9", "RFC-3881", "Report Number"), written=_plain),
    ("2", "13"): Kind(Code("12", "RFC-3881", "URI"), name="Security Audit Log"),
    ("2", "20"): Kind(
        Code(
            "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd",
            "IHE XDS Metadata",
            "submission set classificationNode",
        ),
        written=_plain,
    ),
}
_QUERY: Final = ("2", "24")
_REPORT: Final = ("2", "3")
#: What is named by its entryUUID (ITI-62).
_OBJECT_REFERENCE: Final = Kind(
    Code("urn:ihe:iti:2017:ObjectRef", "IHE XDS Metadata", "registry object reference")
)


def _kind(place: tuple[str, str], entity: Json, identifier: Json, transactions: Sequence[Code]) -> Kind:
    if place == _QUERY and transactions:
        # A query is identified by its transaction; with one that was refused ITI-40's code comes first.
        return Kind(transactions[-1])
    if place == _REPORT and _value(identifier).startswith(_UUID):
        return _OBJECT_REFERENCE
    return _KINDS.get(place) or Kind(next(iter(_codes([entity.get("type")])), _NO_CODE))


# ---- the message, in the order of the schema (PS3.15 A.5.1)


def message(event: Mapping[str, Any]) -> bytes:
    """The AuditMessage of one AuditEvent (FHIR R4, as parsed from JSON), in UTF-8 with a declaration."""
    root = etree.Element("AuditMessage")
    contained = {f"#{_text(each.get('id'))}": each for each in _maps(event.get("contained"))}
    agents = _maps(event.get("agent"))
    transactions = [code for code in _codes(event.get("subtype")) if code.system == _SYSTEM_NAMES[_IHE]]
    _add_event(root, event)
    for agent in agents or [{}]:  # the schema wants one
        _add_participant(root, agent, contained)
    _add_source(root, _map(event.get("source")))
    for entity in _maps(event.get("entity")):
        _add_object(root, entity, contained, transactions, next(filter(None, map(_endpoint, agents)), ""))
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def _add_event(root: etree._Element, event: Json) -> None:
    action, outcome = _text(event.get("action")), _text(event.get("outcome"))
    element = _add(
        root,
        "EventIdentification",
        {
            "EventActionCode": action if action in _ACTIONS else "",
            "EventDateTime": _text(event.get("recorded")),
            # 0 is also for what is not known (PS3.15 A.5.1).
            "EventOutcomeIndicator": outcome if outcome in _OUTCOMES else "0",
        },
    )
    _add_code(element, "EventID", next(iter(_codes([event.get("type")])), _NO_CODE))
    for code in _codes(event.get("subtype")):
        _add_code(element, "EventTypeCode", code)
    if description := _text(event.get("outcomeDesc")):
        _add(element, "EventOutcomeDescription", text=description)
    purposes = _maps(event.get("purposeOfEvent"))
    for agent in _maps(event.get("agent")):
        purposes += _maps(agent.get("purposeOfUse"))
    for code in _all_codes(purposes):
        _add_code(element, "PurposeOfUse", code)


def _all_codes(concepts: Sequence[Json]) -> list[Code]:
    """Every coding of CodeableConcepts, each once."""
    return list(dict.fromkeys(code for concept in concepts for code in _codes(concept.get("coding"))))


def _add_participant(root: etree._Element, agent: Json, contained: Mapping[str, Json]) -> None:
    is_requestor = agent.get("requestor") is True
    person = _referenced(_map(agent.get("who")), contained)
    user_id, alternative, name = _person(agent, person) if is_requestor or person else _system(agent)
    address, address_type = _access_point(_map(agent.get("network")))
    element = _add(
        root,
        "ActiveParticipant",
        {
            "UserID": user_id or _UNKNOWN,
            "AlternativeUserID": alternative,
            "UserName": name,
            "UserIsRequestor": "true" if is_requestor else "false",
            "NetworkAccessPointID": address,
            "NetworkAccessPointTypeCode": address_type,
        },
    )
    types = _map(agent.get("type"))
    is_role = [each for each in _maps(types.get("coding")) if _text(each.get("system")) not in _NO_ROLES]
    for code in _all_codes([{"coding": is_role}, *_maps(agent.get("role"))]):
        _add_code(element, "RoleIDCode", code)


def _person(agent: Json, person: Json) -> tuple[str, str, str]:
    """UserID, AlternativeUserID, UserName: the person's number, their id at the issuer's, ITI-40's user name.

    That is alias<user@issuer> (ITI TF-2 3.40.4). The alias is the ticket's SPProvidedID, which events do not
    have; the person's own name takes its place, as there is no other for it.
    """
    who = _map(agent.get("who"))
    identifier = _map(who.get("identifier"))
    subject, issuer = _value(identifier), _text(identifier.get("system"))
    number = next(filter(None, map(_cx, _maps(person.get("identifier")))), "")
    name = _name(person) or _text(agent.get("name")) or _text(who.get("display"))
    user_name = f"{name}<{subject}@{issuer}>" if subject and issuer else name
    alternative = subject if number else _text(agent.get("altId"))
    return number or subject or name, alternative, user_name


def _system(agent: Json) -> tuple[str, str, str]:
    """The same of a system or an organisation: an endpoint by its address (ITI TF-2 3.18.5), others by id."""
    who = _map(agent.get("who"))
    identifier = _map(who.get("identifier"))
    name = _text(agent.get("name")) or _text(who.get("display"))
    is_oid = _text(identifier.get("system")).startswith(_OID)
    own_id = (_cx(identifier) if is_oid else _value(identifier)) or name
    alternative = _text(agent.get("altId"))
    if endpoint := _endpoint(agent):
        return endpoint, alternative or own_id, name
    return own_id, alternative, name


def _endpoint(agent: Json) -> str:
    """The address that was called, of an agent that has one."""
    network = _map(agent.get("network"))
    return _text(network.get("address")) if _text(network.get("type")) == _URI else ""


def _access_point(network: Json) -> tuple[str, str]:
    """NetworkAccessPointID and -TypeCode: both or none. Of a URL the machine, as ATNA wants it."""
    address, kind = _text(network.get("address")), _text(network.get("type"))
    if kind == _URI and (host := _host(address)):
        return host, _IP_ADDRESS if _is_ip_address(host) else _MACHINE
    return (address, kind) if address and kind in _NETWORK_TYPES else ("", "")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _add_source(root: etree._Element, source: Json) -> None:
    observer = _map(source.get("observer"))
    own_id = _value(_map(observer.get("identifier"))) or _text(observer.get("display")) or _UNKNOWN
    element = _add(
        root,
        "AuditSourceIdentification",
        {"AuditEnterpriseSiteID": _text(source.get("site")), "AuditSourceID": own_id},
    )
    for kind in _maps(source.get("type")):
        if number := _number(kind, _SOURCE_TYPE):
            _add(element, "AuditSourceTypeCode", {"csd-code": number})
        for code in _codes([kind] if not number else []):
            _add_code(element, "AuditSourceTypeCode", code)


def _add_object(
    root: etree._Element,
    entity: Json,
    contained: Mapping[str, Json],
    transactions: Sequence[Code],
    endpoint: str,
) -> None:
    what = _map(entity.get("what"))
    resource = _referenced(what, contained)
    identifier = _map(what.get("identifier")) or next(iter(_maps(resource.get("identifier"))), {})
    place = (
        _number(entity.get("type"), _OBJECT_TYPE) or _OTHER_OBJECT,
        _number(entity.get("role"), _OBJECT_ROLE),
    )
    kind = _kind(place, entity, identifier, transactions)
    name = kind.name or _text(entity.get("name")) or _name(resource) or _text(what.get("display"))
    query, description = _base64(entity.get("query")), _text(entity.get("description"))
    more = []
    # The schema has a name or a query, and one of them: the other becomes a detail.
    if query and name:
        more.append(("query", query))
        query = ""
    if description and (query or name):
        more.append(("description", _encoded(description)))
    name = name or description
    # The log is identified by its URI (PS3.15 A.5.3.2).
    own_id = kind.written(identifier) or (endpoint if kind.name else "") or name or _UNKNOWN
    element = _add(
        root,
        "ParticipantObjectIdentification",
        {
            "ParticipantObjectID": own_id,
            "ParticipantObjectTypeCode": place[0],
            "ParticipantObjectTypeCodeRole": place[1],
            "ParticipantObjectDataLifeCycle": _number(entity.get("lifecycle"), _LIFE_CYCLE),
            "ParticipantObjectSensitivity": ",".join(
                code.code for code in _codes(entity.get("securityLabel"))
            ),
        },
    )
    _add_code(element, "ParticipantObjectIDTypeCode", kind.id_type)
    if query:
        _add(element, "ParticipantObjectQuery", text=query)
    else:
        _add(element, "ParticipantObjectName", text=name or own_id)
    for detail, value in (*_details(entity), *more):
        _add(element, "ParticipantObjectDetail", {"type": detail, "value": value})


def _details(entity: Json) -> Iterator[tuple[str, str]]:
    for detail in _maps(entity.get("detail")):
        kind = _text(detail.get("type"))
        value = _base64(detail.get("valueBase64Binary")) or _encoded(_text(detail.get("valueString")))
        if kind and value:
            yield kind, value


# ---- XML


def _add(
    parent: etree._Element, tag: str, attributes: Mapping[str, str] | None = None, text: str | None = None
) -> etree._Element:
    """A new last child, with those attributes that have a value."""
    element = etree.SubElement(parent, tag)
    for name, value in (attributes or {}).items():
        if value:
            element.set(name, _clean(value))
    if text is not None:
        element.text = _clean(text)
    return element


def _add_code(parent: etree._Element, tag: str, code: Code) -> None:
    _add(
        parent,
        tag,
        {"csd-code": code.code, "codeSystemName": code.system, "originalText": code.text},
    )


def _clean(text: str) -> str:
    return _FORBIDDEN.sub(_REPLACEMENT, text)
