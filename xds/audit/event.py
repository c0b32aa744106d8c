"""The AuditEvent itself: one deed to one patient's record, as FHIR R4 in bytes.

trail.py calls `entry` for each deed; store.py keeps what it gives, to the byte. Types and actions are those
that IHE gives each transaction for whoever answers it (ITI TF-2, ATNA; FHIR form: docs/audit-events.md).
Id and recorded time are not in it: both are given in the store, and `whole` puts them in.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from xds.audit.facts import Asked, Context, Deed, Document, Outcome, Query
from xds.audit.people import (
    BALP,
    DCM,
    NORWEGIAN,
    OID,
    TRUST_FRAMEWORK,
    TYPES,
    URI,
    Json,
    Who,
    coding,
    dumps,
    system,
    who,
)
from xds.errors import DataTypeError
from xds.metadata.datatypes import CX
from xds.security.caller import Caller
from xds.transport.trace import trace_id

EVENT_CODES: Final = "urn:ihe:event-type-code"
#: Our own codes: break-glass marks what was opened that is closed to others.
OWN_CODES: Final = "urn:no:xds:audit"
OWN_OBJECTS: Final = "urn:no:xds:object-id"
BREAK_GLASS: Final = "break-glass"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a transaction is in the log: its name, type (DCM), action, and which way the data goes.

    `gives`: whoever is asked is the source of what is moved, and not whoever asks.
    """

    name: str
    type: tuple[str, str]
    action: str
    gives: bool = False


_QUERY: Final = ("110112", "Query")
_IMPORT: Final = ("110107", "Import")
_EXPORT: Final = ("110106", "Export")
_RECORD: Final = ("110110", "Patient Record")
_LOG_USED: Final = ("110101", "Audit Log Used")
_SECURITY: Final = ("110113", "Security Alert")
_REST: Final = ("rest", "RESTful Operation")
AUTHENTICATION: Final = ("110114", "User Authentication")

#: By IHE's number; PVK is the push of privacy settings. ITI TF-2 3.n.5, for whoever answers.
KINDS: Final[Mapping[str, Kind]] = {
    "ITI-8": Kind("Patient Identity Feed", _RECORD, "U"),
    "ITI-18": Kind("Registry Stored Query", _QUERY, "E"),
    "ITI-38": Kind("Cross Gateway Query", _QUERY, "E"),
    "ITI-39": Kind("Cross Gateway Retrieve", _EXPORT, "R", gives=True),
    "ITI-41": Kind("Provide and Register Document Set-b", _IMPORT, "C"),
    "ITI-42": Kind("Register Document Set-b", _IMPORT, "C"),
    "ITI-43": Kind("Retrieve Document Set", _EXPORT, "R", gives=True),
    "ITI-44": Kind("Patient Identity Feed", _RECORD, "U"),
    "ITI-51": Kind("Multi-Patient Stored Query", _QUERY, "E"),
    "ITI-57": Kind("Update Document Set", _IMPORT, "U"),
    "ITI-61": Kind("Register On-Demand Document Entry", _IMPORT, "C"),
    "ITI-62": Kind("Remove Metadata", _RECORD, "D"),
    "ITI-65": Kind("Provide Document Bundle", _IMPORT, "C"),
    "ITI-66": Kind("Find Document Lists", _REST, "E"),
    "ITI-67": Kind("Find Document References", _REST, "E"),
    "ITI-68": Kind("Retrieve Document", _REST, "R", gives=True),
    "ITI-80": Kind("Cross Gateway Document Provide", _IMPORT, "C"),
    "ITI-81": Kind("Retrieve ATNA Audit Event", _LOG_USED, "R", gives=True),
    "ITI-86": Kind("Remove Documents", _RECORD, "D"),
    "ITI-92": Kind("Restricted Update Document Set", _IMPORT, "U"),
    "ITI-105": Kind("Simplified Publish", _REST, "C"),
    "ITI-106": Kind("Generate Metadata", _REST, "C"),
    "validate": Kind("Validation of a resource", _REST, "E"),
    "PVK": Kind("Privacy Setting", _RECORD, "U"),
    "privacy": Kind("Privacy Setting by an operator", _RECORD, "U"),
    "patients": Kind("Patient Identity by an operator", _RECORD, "U"),
    "explain": Kind("Explanation by an operator", _RECORD, "R", gives=True),
    "log": Kind("Access Log by an operator", _LOG_USED, "R", gives=True),
    "expire": Kind("Access Log Expired", _LOG_USED, "D", gives=True),
}
#: What is done when no search is asked, but one resource is read by its id.
READ: Final[Mapping[str, Kind]] = {
    number: Kind(KINDS[number].name, _REST, "R", gives=True) for number in ("ITI-66", "ITI-67")
}
#: What the node asks of other communities; ITI TF-2 3.38.5 and 3.39.5, for whoever asks.
ASKED: Final[Mapping[str, Kind]] = {
    "ITI-38": Kind("Cross Gateway Query", _QUERY, "E"),
    "ITI-39": Kind("Cross Gateway Retrieve", _IMPORT, "C", gives=True),
}
#: A request that was refused before it said what it was.
_UNKNOWN: Final = Kind("Unreadable request", _SECURITY, "E")
_IHE: Final = "ITI-"
#: Whoever is not let in has failed to authenticate (ITI TF-2 3.40.5).
_XUA: Final = {"system": EVENT_CODES, "code": "ITI-40", "display": "Provide X-User Assertion"}


@dataclass(frozen=True, slots=True)
class Node:
    """What the node says of itself in every event.

    `name` is the node's own in the log, `observer` its community's or repository's OID, `url` the public
    address without path.
    """

    name: str
    observer: str
    url: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An AuditEvent for the store: `body` is its JSON but for id and recorded time.

    `pid` is the patient's CX text or None, `person` the national number of whoever asked, else issuer and
    subject: by these the log is searched. `code` is the transaction.
    """

    pid: str | None
    person: str | None
    code: str
    outcome: int
    body: bytes


def entry(node: Node, context: Context, deed: Deed) -> Entry:
    """The AuditEvent of one deed."""
    caller = context.caller
    known = who(caller) if caller is not None else _NOBODY
    number = context.number if deed.asked is None else deed.asked.number
    kind = ASKED[number] if deed.asked is not None else _kind(context, number, deed)
    not_let_in = caller is None and deed.outcome is Outcome.SERIOUS and _is_denial(deed)
    patient = _patient(deed.patient)
    event: dict[str, Any] = {"resourceType": "AuditEvent"}
    profiles = list(known.profiles)
    contained: list[Any] = list(known.contained)
    extensions: list[Any] = list(known.extensions)
    if patient is not None:
        contained.append({"resourceType": "Patient", "id": "pat", "identifier": [patient]})
        extensions.insert(
            0,
            {
                "url": f"{NORWEGIAN}/auditevent-patient-extension",
                "valueReference": {"reference": "#pat"},
            },
        )
        if known.is_clinician:
            profiles.insert(0, TRUST_FRAMEWORK)
    elif caller is not None and caller.kind in _OF_PATIENT:
        # Whoever asks is described by the patient, who is not known: a bare one, to refer to.
        contained.append({"resourceType": "Patient", "id": "pat"})
    if profiles:
        event["meta"] = {"profile": profiles}
    if contained:
        event["contained"] = contained
    if extensions:
        event["extension"] = extensions
    code, display = AUTHENTICATION if not_let_in else kind.type
    event["type"] = {
        "system": f"{TYPES}/audit-event-type" if code == _REST[0] else DCM,
        "code": code,
        "display": display,
    }
    if subtypes := list(_subtypes(context, number, kind, not_let_in)):
        event["subtype"] = subtypes
    event["action"] = "E" if not_let_in else deed.action or kind.action
    event["period"] = {"start": context.began.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    event["outcome"] = deed.outcome.value
    if deed.reason:
        event["outcomeDesc"] = deed.reason
    if known.purposes is not None:
        event["purposeOfEvent"] = known.purposes
    event["agent"] = [*known.agents, *_machines(node, context, deed.asked, kind, known)]
    event["source"] = _source(node)
    event["entity"] = list(_entities(context, deed, patient, known))
    return Entry(
        pid=deed.patient or None,
        person=person_of(caller) or (f"operator|{context.operator}" if context.operator else None),
        code=number,
        outcome=int(deed.outcome.value),
        body=dumps(event),
    )


def _kind(context: Context, number: str, deed: Deed) -> Kind:
    by_id = context.subject.documents and (deed.query or context.subject.query) is None
    return READ[number] if by_id and number in READ else KINDS.get(number, _UNKNOWN)


_NOBODY: Final = Who()
_OF_PATIENT: Final = frozenset(("citizen", "representative"))


def person_of(caller: Caller | None) -> str | None:
    """By what the log finds whoever asked: their national number, else their name at the issuer's."""
    if caller is None:
        return None
    return (
        caller.person.value
        if caller.person is not None
        else f"{caller.issuer}|{caller.subject or caller.client}"
    )


def _is_denial(deed: Deed) -> bool:
    return deed.reason.startswith(DENIED)


#: How the reason of a request begins that gate 1 has not let in.
DENIED: Final = "denied: "


@lru_cache(maxsize=1024)
def _patient(pid: str) -> Json | None:
    if not pid:
        return None
    try:
        patient = CX.parse(pid)
    except DataTypeError:
        return {"value": pid}
    return {"system": system(patient.authority), "value": patient.id}


_INTERACTIONS: Final = "http://hl7.org/fhir/restful-interaction"
#: What a transaction is in FHIR's own terms (MHD, audit profiles).
_RESTFUL: Final = {
    "ITI-66": "search",
    "ITI-67": "search",
    "ITI-68": "read",
    "ITI-105": "create",
    "ITI-106": "operation",
    "validate": "operation",
}


def _subtypes(context: Context, number: str, kind: Kind, not_let_in: bool) -> Iterator[Json]:
    if not_let_in:
        yield _XUA
    if kind.type is _REST and not not_let_in and number in _RESTFUL:
        yield {"system": _INTERACTIONS, "code": "read" if kind.action == "R" else _RESTFUL[number]}
    if number.startswith(_IHE):
        yield {"system": EVENT_CODES, "code": number, "display": kind.name}
    elif number:
        yield {"system": OWN_CODES, "code": number, "display": kind.name}
    if context.opened:
        yield {"system": OWN_CODES, "code": BREAK_GLASS, "display": "Opened what is closed to others"}


_SOURCE: Final = {"system": DCM, "code": "110153", "display": "Source Role ID"}
_DESTINATION: Final = {"system": DCM, "code": "110152", "display": "Destination Role ID"}


def _machines(
    node: Node, context: Context, asked: Asked | None, kind: Kind, known: Who
) -> Iterator[Json | orjson.Fragment]:
    """The sender and the node, or the node and whom it asks; 110153 is where the data come from (ITI TF-2
    3.18.5, 3.43.5). Who asks is named by its machine, who is asked by the endpoint.
    """
    if asked is not None:
        own: Json = {
            "type": {"coding": [_DESTINATION if kind.gives else _SOURCE]},
            "who": {"identifier": {"system": URI, "value": node.observer}},
            "requestor": not known.agents,
        }
        if machine := _machine(node.url):
            own["network"] = machine
        yield own
        yield {
            "type": {"coding": [_SOURCE if kind.gives else _DESTINATION]},
            "who": {"identifier": {"system": URI, "value": asked.home}},
            "requestor": False,
            "network": {"address": asked.url, "type": "5"},
        }
        return
    sender: Json = {
        "type": {"coding": [_DESTINATION if kind.gives else _SOURCE]},
        "who": known.client or {"display": context.operator or context.remote or "unknown system"},
        "requestor": not known.agents,
    }
    if context.remote:
        sender["network"] = {"address": context.remote, "type": "2"}
    if context.reply_to:  # the UserID of an asynchronous sender is its ReplyTo (ITI TF-2 3.18.5)
        sender["altId"] = _cut(context.reply_to)
    yield sender
    yield _answering(node, context.endpoint, kind.gives)


@lru_cache(maxsize=16)
def _machine(url: str) -> Json | None:
    """The machine of an address as FHIR's network: by IP address, or by name."""
    host = urlsplit(url).hostname
    if not host:
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return {"address": host, "type": "1"}
    return {"address": host, "type": "2"}


@lru_cache(maxsize=256)
def _answering(node: Node, endpoint: str, gives: bool) -> orjson.Fragment:
    """The node as an agent; endpoints are few."""
    agent: Json = {
        "type": {"coding": [_SOURCE if gives else _DESTINATION]},
        "who": {"identifier": {"system": URI, "value": node.observer}},
        "requestor": False,
    }
    if endpoint.startswith("/") or "://" in endpoint:  # a command has none
        address = endpoint if "://" in endpoint else f"{node.url}{endpoint}"
        agent["network"] = {"address": address, "type": "5"}
    return orjson.Fragment(orjson.dumps(agent))


@lru_cache(maxsize=16)
def _source(node: Node) -> orjson.Fragment:
    """The node as the source of its events."""
    source = {
        "site": node.name,
        "observer": {"identifier": {"system": URI, "value": node.observer}, "display": "xds"},
        "type": [{"system": f"{TYPES}/security-source-type", "code": "4", "display": "Application Server"}],
    }
    return orjson.Fragment(orjson.dumps(source))


# ---- entities


def _code(name: str, code: str, display: str) -> Json:
    return {"system": f"{TYPES}/{name}", "code": code, "display": display}


_PERSON: Final = _code("audit-entity-type", "1", "Person")
_SYSTEM_OBJECT: Final = _code("audit-entity-type", "2", "System Object")
_PATIENT: Final = _code("object-role", "1", "Patient")
_REPORT: Final = _code("object-role", "3", "Report")
_SECURITY_LOG: Final = _code("object-role", "13", "Security Resource")
_JOB: Final = _code("object-role", "20", "Job")
_A_QUERY: Final = _code("object-role", "24", "Query")
_ERASED: Final = _code("dicom-audit-lifecycle", "14", "Logical deletion")
_REQUEST_ID: Final = {"system": f"{BALP}/CodeSystem/BasicAuditEntityType", "code": "XrequestId"}
_CONSENT: Final = {"system": "http://hl7.org/fhir/resource-types", "code": "Consent", "display": "Consent"}
#: Transactions whose documents are gone afterwards.
_ERASING: Final = frozenset(("ITI-62", "ITI-86"))
#: What the id of an HL7 message is called there (ITI TF-2 3.8.5.1, 3.44.5).
_CONTROL_IDS: Final = {"ITI-8": "MSH-10", "ITI-44": "II"}
#: Those whose query is about the log.
_OF_LOG: Final = frozenset(("ITI-81", "log", "expire"))


def _entities(context: Context, deed: Deed, patient: Json | None, known: Who) -> Iterator[Json]:
    if patient is not None:
        of_patient: Json = {
            "what": {"reference": "#pat", "identifier": patient},
            "type": _PERSON,
            "role": _PATIENT,
        }
        if context.control_id:
            of_patient["detail"] = [
                {"type": _CONTROL_IDS.get(context.number, "II"), "valueString": _cut(context.control_id)}
            ]
        yield of_patient
    if (query := deed.query or context.subject.query) is not None:
        yield _query(context, query, deed)
    if the_set := deed.submission_set or context.subject.submission_set:
        yield {"what": {"identifier": unique_id(the_set)}, "type": _SYSTEM_OBJECT, "role": _JOB}
    for document in _documents(context, deed, query):
        yield _document(document, erased=context.number in _ERASING and deed.outcome is Outcome.SUCCESS)
    if context.policy or context.rule or known.consent:
        yield _access(context, known)
    for each, name in (
        (context.reference, "reference"),
        (context.message_id, "message"),
        (deed.asked.message_id if deed.asked is not None else "", "message to the community"),
        (context.trace and trace_id(context.trace), "trace"),
    ):
        if each:
            yield {"what": {"identifier": {"value": _cut(each)}}, "type": _REQUEST_ID, "description": name}


def _documents(context: Context, deed: Deed, query: Query | None) -> Iterable[Document]:
    """Those that the deed names; of what was read by its id and not searched, what was found."""
    if deed.documents or query is not None or not deed.objects:
        return deed.documents
    read = [Document(entry_uuid=f"urn:uuid:{UUID(bytes=each)}") for each in (*deed.shown, *deed.masked)]
    return read or context.subject.documents


def _query(context: Context, query: Query, deed: Deed) -> Json:
    found: Json = {"type": _SYSTEM_OBJECT, "role": _SECURITY_LOG if context.number in _OF_LOG else _A_QUERY}
    if query.id:
        found["what"] = {"identifier": _object_id(query.id)}
    if query.name:
        found["description"] = query.name
    if query.text:
        found["query"] = base64.b64encode(query.text[:_LONGEST_QUERY]).decode()
    details = [{"type": "QueryEncoding", "valueString": "UTF-8"}]
    if home := deed.asked.home if deed.asked is not None else query.home:
        details.append({"type": "urn:ihe:iti:xca:2010:homeCommunityId", "valueString": _cut(system(home))})
    if deed.objects is not None:
        details.append({"type": "resultCount", "valueString": str(deed.objects)})
    # 32 digits for each: thousands of ids are no more than a line (docs/audit-events.md).
    for name, uuids in (("shown", deed.shown), ("masked", deed.masked)):
        if uuids:
            details.append({"type": name, "valueString": b"".join(uuids).hex(" ", 16)})
    return found | {"detail": details}


_UUID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


#: No id of the standards is longer; nor is a query that a client makes.
_LONGEST: Final = 256
_LONGEST_QUERY: Final = 64 * 1024


def _cut(text: str) -> str:
    """A text of a message, as far as anybody needs it: whoever sends must not fill the log.

    Of one that is too long there is the beginning and its SHA-256, by which it can still be known.
    """
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 80]}… sha256:{hashlib.sha256(text.encode(errors='replace')).hexdigest()}"


def unique_id(text: str) -> Json:
    """A uniqueId as an Identifier: an OID is a URI, others are not."""
    text = _cut(text)
    if OID.fullmatch(text):
        return {"system": URI, "value": f"urn:oid:{text}"}
    return {"system": "urn:ihe:iti:xds:2013:uniqueId", "value": text}


def _object_id(text: str) -> Json:
    """The id of a registry object, as it was sent: a UUID, or a symbol of a message that was refused."""
    if _UUID.fullmatch(text.lower()):
        return {"system": URI, "value": text.lower()}
    return {"system": OWN_OBJECTS, "value": _cut(text)}


def _document(document: Document, *, erased: bool) -> Json:
    named = unique_id(document.unique_id) if document.unique_id else _object_id(document.entry_uuid)
    found: Json = {"what": {"identifier": named}, "type": _SYSTEM_OBJECT, "role": _REPORT}
    if erased:
        found["lifecycle"] = _ERASED
    if document.codes:
        found["securityLabel"] = [coding(each) for each in document.codes]
    details = [
        {"type": name, "valueString": _cut(value)}
        for name, value in (
            ("Repository Unique Id", document.repository),
            ("ihe:homeCommunityID", system(document.home)),
            ("mimeType", document.mime_type),
        )
        if value
    ]
    if details:
        found["detail"] = details
    return found


def _access(context: Context, known: Who) -> Json:
    """On which ground: the ticket's policy, and what gate 2 said."""
    caller = context.caller
    what: Json = {"display": "access decision"}
    if caller is not None and caller.consent_document:
        what["identifier"] = {"system": URI, "value": system(caller.consent_document)}
    details = [
        *known.consent,
        *(
            {"type": name, "valueString": value}
            for name, value in (("policy", context.policy), ("rule", context.rule))
            if value
        ),
    ]
    return {"what": what, "type": _CONSENT, "detail": details}


# ---- the whole event

_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Of a time, since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def instant(recorded: int) -> str:
    """Microseconds since 1970 as FHIR's instant."""
    return (_EPOCH + recorded * _MICROSECOND).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def id_of(node: str, recorded: int) -> str:
    """The event's UUID (RFC 9562, version 8): of which node, and when; no two events of a node are of one
    time. The same event has the same id wherever it is handed on.
    """
    own = int.from_bytes(hashlib.sha256(node.encode()).digest()[:8], "big")
    value = (own >> 16 << 80) | (0x8 << 76) | ((own & 0xFFF) << 64) | (0b10 << 62) | recorded
    return str(UUID(int=value))


def recorded_of(event_id: str) -> int | None:
    """When an event with this id was recorded; None for what is no id of ours."""
    try:
        value = UUID(event_id)
    except ValueError:
        return None
    return value.int & (2**62 - 1) if value.version == 8 else None


_START: Final = b'{"resourceType":"AuditEvent",'


def whole(body: bytes, node: str, recorded: int) -> bytes:
    """The AuditEvent as it is read and handed on: with its id and recorded time."""
    own = f'"id":"{id_of(node, recorded)}","recorded":"{instant(recorded)}",'.encode()
    return _START + own + body[len(_START) :]
