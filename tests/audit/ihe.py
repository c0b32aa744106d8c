"""What IHE's transactions ask of an event: type, action, participants and objects.

`tests/audit/profiles.py` calls it. The rows translate the audit messages of TF-2 (ihe-rules 7.2) to FHIR as
fhir-rules 2.2 says; no FHIR profile of them exists. Most are of the one who answers; what a gateway asks of
others has rows of its own, and which of the two holds is told by where the recorder stands. An event with a
transaction that has no row is reported, so that nothing passes unjudged. Nothing here looks at who the user
is.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.audit import vocabulary as v
from tests.audit.reading import Check, Node, agents_of, code, found, nodes, numbered, text, texts


@dataclass(frozen=True, slots=True)
class Detail:
    """One detail of an entity, by any of its names."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Object:
    """An entity: its codes, and what it must tell."""

    name: str
    type: str
    role: str
    identified: bool = True
    query: bool = False
    details: tuple[Detail, ...] = ()
    lifecycle: str | None = None


REPOSITORY = Detail(("Repository Unique Id",))
HOME = Detail(("ihe:homeCommunityID",))
ENCODING = Detail(("QueryEncoding",))
COMMUNITY = Detail(("urn:ihe:iti:xca:2010:homeCommunityId",))

PATIENT = Object("patient", "1", "1")
# TF-2 3.18.5.1.2: QueryEncoding is required. The home community is told "if known": whoever asks a community
# knows it (TF-2 3.38.5.1.1).
QUERY = Object("query", "2", "24", query=True, details=(ENCODING,))
REMOTE_QUERY = Object("query", "2", "24", query=True, details=(ENCODING, COMMUNITY))
SUBMISSION_SET = Object("submission set", "2", "20")
DOCUMENT = Object("document", "2", "3", details=(REPOSITORY,))
REMOTE_DOCUMENT = Object("document", "2", "3", details=(REPOSITORY, HOME))
REMOVED = Object("removed object", "2", "3", lifecycle="14")
# A search over FHIR (BALP PatientQuery): the request itself, and no id of a query.
SEARCH = Object("query", "2", "24", identified=False, query=True)
# What is read or published over FHIR (BALP PatientRead and PatientCreate; MHD has role 3 for ITI-68).
DATA = Object("data", "2", "3")
# ITI-81: the query of the reader of the log.
LOG = Object("log", "2", "13", identified=False, query=True)
# TF-2 3.8.5.1 names the detail MSH-10. For ITI-44 sources differ in the name (II, message id).
FED_PATIENT = Object("patient", "1", "1", details=(Detail(("MSH-10",)),))
FED_PATIENT_V3 = Object("patient", "1", "1", details=(Detail(("II", "MSH-10", "message id")),))


@dataclass(frozen=True, slots=True)
class Transaction:
    """One row of the table: what the one who answers records of it, or the one who asks."""

    code: str
    type: str
    actions: str
    success: tuple[Object, ...]
    we_send: bool = False  # whether we are the source; 43 and 39 follow the data, all others the request
    we_ask: bool = False
    source: str = "fhir-rules 2.2; ihe-rules 7.2"
    restful: str = ""  # the interaction that a second subtype says, of an event of type rest

    @property
    def kind(self) -> tuple[str, str]:
        """The event's type."""
        return (v.AUDIT_EVENT_TYPE, self.type) if self.restful else (v.DICOM, self.type)

    @property
    def side(self) -> str:
        """For whom the row is, in words."""
        return "the one who asks" if self.we_ask else "the one who answers"


# A patient is told "if known" by queries, retrievals and ITI-86 (TF-2, ihe-rules 7.2), so not asked for
# there. An event with the patient extension must have it as entity all the same: tests/audit/norwegian.py.
TRANSACTIONS = (
    Transaction("ITI-18", "110112", "E", (QUERY,)),
    Transaction("ITI-38", "110112", "E", (QUERY,)),
    Transaction("ITI-51", "110112", "E", (QUERY,)),
    Transaction("ITI-43", "110106", "R", (DOCUMENT,), we_send=True),
    Transaction("ITI-39", "110106", "R", (REMOTE_DOCUMENT,), we_send=True),
    Transaction("ITI-41", "110107", "C", (PATIENT, SUBMISSION_SET)),
    Transaction("ITI-42", "110107", "C", (PATIENT, SUBMISSION_SET)),
    Transaction("ITI-61", "110107", "C", (PATIENT, SUBMISSION_SET)),
    Transaction("ITI-80", "110107", "C", (PATIENT, SUBMISSION_SET)),
    Transaction("ITI-57", "110107", "U", (PATIENT, SUBMISSION_SET)),
    Transaction("ITI-92", "110107", "U", (PATIENT, SUBMISSION_SET)),
    Transaction("ITI-62", "110110", "D", (PATIENT, REMOVED)),
    Transaction("ITI-86", "110110", "D", (REMOVED,)),
    # A merge is two records: D of the subsumed identifier, U of the surviving one.
    Transaction("ITI-8", "110110", "CUD", (FED_PATIENT,)),
    Transaction("ITI-44", "110110", "CUD", (FED_PATIENT_V3,)),
    # We send what is read of the log, but BALP's and ITI-81's direction is not stated in the sources: not
    # judged.
    Transaction("ITI-81", "110101", "R", (LOG,), source="fhir-rules 2.2; ITI TF-2 3.81.5"),
    Transaction("ITI-65", "110107", "C", (PATIENT, SUBMISSION_SET)),
    Transaction("ITI-66", "rest", "E", (SEARCH,), restful="search"),
    Transaction("ITI-67", "rest", "E", (SEARCH,), restful="search"),
    Transaction("ITI-68", "rest", "R", (PATIENT, DOCUMENT), we_send=True, restful="read"),
    Transaction("ITI-105", "rest", "C", (PATIENT, DATA), restful="create"),
    Transaction("ITI-106", "rest", "C", (PATIENT, DATA), restful="operation"),
)
# One resource read by its id is no search: BALP's PatientRead, which MHD has no transaction for.
READ = {
    name: Transaction(name, "rest", "R", (PATIENT, DATA), we_send=True, restful="read")
    for name in ("ITI-66", "ITI-67")
}
# The displays of MHD's audit profiles are part of them.
DISPLAYS = {
    "ITI-65": "Provide Document Bundle",
    "ITI-66": "Find Document Lists",
    "ITI-67": "Find Document References",
    "ITI-68": "Retrieve Document",
    "ITI-105": "Simplified Publish",
    "ITI-106": "Generate Metadata",
    "110107": "Import",
    "110152": "Destination Role ID",
    "110153": "Source Role ID",
    "rest": "RESTful Operation",
}
BY_CODE = {row.code: row for row in TRANSACTIONS}
UNDIRECTED = ("ITI-81",)
# An initiating gateway: as any who queries, and as a consumer of documents (ihe-rules 7.2).
ASKED = {
    row.code: row
    for row in (
        Transaction("ITI-38", "110112", "E", (REMOTE_QUERY,), we_send=True, we_ask=True),
        Transaction("ITI-39", "110107", "C", (REMOTE_DOCUMENT,), we_ask=True),
    )
}

# A ticket or token that gate 1 refuses: User Authentication, with the transaction that it was for.
DENIAL = "ITI-40"
DENIAL_TYPE = "110114"
# A transaction beside those above that a denial may be of: the feed of a repository of events.
DENIED_ELSEWHERE = ("ITI-20",)


def transactions_of(event: Node) -> list[str]:
    """The transactions that an event names."""
    return [value for system, value in (code(c) for c in nodes(event, "subtype")) if system == v.EVENT_TYPE]


def _named(event: Node) -> Iterator[str]:
    names = transactions_of(event)
    if not names:
        yield f"subtype: no transaction of {v.EVENT_TYPE}"
    if DENIAL in names:
        return
    if len(names) > 1:
        yield f"subtype: {len(names)} transactions, not one"
    for name in names:
        if name not in BY_CODE:
            yield f"subtype: {name} is no transaction that is known here"


def _denials(event: Node) -> Iterator[str]:
    names = transactions_of(event)
    kind = code(event.get("type"))
    if DENIAL not in names:
        if kind == (v.DICOM, DENIAL_TYPE):
            yield f"subtype: type {DENIAL_TYPE} without {DENIAL}"
        return
    if kind != (v.DICOM, DENIAL_TYPE):
        yield f"type: {DENIAL} is not DCM {DENIAL_TYPE}"
    others = [name for name in names if name != DENIAL]
    if len(names) - len(others) != 1 or len(others) != 1:
        yield f"subtype: a denial names {DENIAL} and one transaction"
    for name in others:
        if name not in BY_CODE and name not in DENIED_ELSEWHERE:
            yield f"subtype: {name} is no transaction that is known here"
    if event.get("outcome") == "0":
        yield "outcome: a denial is no success"
    if event.get("action") != "E":
        yield "action: a denial is E"


def _rows(event: Node) -> list[Transaction]:
    """The rows that an event is judged by: none if it is a denial."""
    names = transactions_of(event)
    return [] if DENIAL in names else [_row(event, name) for name in names if name in BY_CODE]


def _row(event: Node, name: str) -> Transaction:
    """That of the side on which the recorder stands; of the one who answers, if that cannot be told."""
    if name in READ and (v.RESTFUL, "read") in map(code, nodes(event, "subtype")):
        return READ[name]
    asking = ASKED.get(name)
    if asking is None:
        return BY_CODE[name]
    ours, theirs = ("source", "destination") if asking.we_send else ("destination", "source")
    return asking if _is_recorder(event, ours) and not _is_recorder(event, theirs) else BY_CODE[name]


def _is_recorder(event: Node, side: str) -> bool:
    observer = _identity(event, "source.observer")
    return any(_identity(agent, "who") == observer for _, agent in agents_of(event, _SIDES[side]))


_SIDES = {"source": v.SOURCE_ROLE, "destination": v.DESTINATION_ROLE}


def asks_another(event: Node) -> bool:
    """Whether the event is of what a gateway has asked of another community."""
    return any(row.we_ask for row in _rows(event))


def _type_and_action(event: Node) -> Iterator[str]:
    for row in _rows(event):
        if code(event.get("type")) != row.kind:
            system = "audit-event-type" if row.restful else "DCM"
            yield f"type: {row.code} is {system} {row.type} for {row.side}"
        if event.get("action") not in tuple(row.actions):
            yield f"action: {row.code} is {' or '.join(row.actions)} for {row.side}"


def _interactions(event: Node) -> Iterator[str]:
    # Two subtypes, of which the first says what it is in FHIR's terms; other transactions have one.
    for row in _rows(event):
        said = [value for system, value in map(code, nodes(event, "subtype")) if system == v.RESTFUL]
        if event.get("outcome") == "0" and said != ([row.restful] if row.restful else []):
            yield f"subtype: {row.code} is {row.restful or 'no interaction'} and not {said}"


def _displays(event: Node) -> Iterator[str]:
    if not {row.code for row in _rows(event)} & DISPLAYS.keys():
        return
    codings = [event.get("type"), *nodes(event, "subtype"), *nodes(event, "agent.type.coding")]
    for coding in codings:
        wanted = DISPLAYS.get(code(coding)[1])
        if wanted and text(coding, "display") != wanted:
            yield f"display: {code(coding)[1]} is called {wanted}"


def _searches(event: Node) -> Iterator[str]:
    for row in _rows(event):
        for path, entity in numbered(event, "entity") if SEARCH in row.success else ():
            if not _is(SEARCH, entity):
                continue
            if "what" in entity:
                yield f"{path}.what: a search has no id"
            try:
                request = base64.b64decode(text(entity, "query"), validate=True).decode()
            except (binascii.Error, ValueError):
                yield f"{path}.query: not base64 of UTF-8 text"
                continue
            if not re.match(r"(GET|POST|HEAD) https?://\S+\?", request):
                yield f"{path}.query: not the request"


def _outcome(event: Node) -> Iterator[str]:
    # 0..1 in R4, but an event without it tells neither success nor failure.
    if "outcome" not in event:
        yield "outcome: not there"


def _objects(event: Node) -> Iterator[str]:
    for row in _rows(event):
        if event.get("outcome") != "0":
            continue
        for wanted in row.success:
            there = [pair for pair in numbered(event, "entity") if _is(wanted, pair[1])]
            if not there:
                yield f"entity: {row.code} without {wanted.name} (type {wanted.type}, role {wanted.role})"
            for path, entity in there:
                yield from _object(wanted, path, entity)


def _is(wanted: Object, entity: Node) -> bool:
    return code(entity.get("type")) == (v.ENTITY_TYPE, wanted.type) and code(entity.get("role")) == (
        v.ENTITY_ROLE,
        wanted.role,
    )


def _object(wanted: Object, path: str, entity: Node) -> Iterator[str]:
    if wanted.identified and not text(entity, "what.identifier.value"):
        yield f"{path}: {wanted.name} without what.identifier.value"
    if wanted.query and not text(entity, "query"):
        yield f"{path}: {wanted.name} without query"
    for detail in wanted.details:
        if not set(detail.names) & set(texts(entity, "detail.type")):
            yield f"{path}: {wanted.name} without detail {' or '.join(detail.names)}"
    if wanted.lifecycle and code(entity.get("lifecycle")) != (v.LIFECYCLE, wanted.lifecycle):
        yield f"{path}: {wanted.name} without lifecycle {wanted.lifecycle}"


def _kinds_of_entities(event: Node) -> Iterator[str]:
    # A patient is a person and not a system object; a code with no system, or that of a value set, is no
    # code.
    for path, entity in numbered(event, "entity"):
        system, value = code(entity.get("type"))
        if system not in (v.ENTITY_TYPE, v.RESOURCE_TYPES, v.BALP_ENTITY):
            yield f"{path}.type: unknown system {system}"
        if system == v.ENTITY_TYPE and value not in ("1", "2", "3", "4"):
            yield f"{path}.type: unknown code {value}"
        role = code(entity.get("role"))
        if "role" in entity and role not in {(v.ENTITY_ROLE, str(number)) for number in range(1, 25)}:
            yield f"{path}.role: no code of {v.ENTITY_ROLE}"
        if (system, value) == v.SYSTEM_OBJECT and role == (v.ENTITY_ROLE, "1"):
            yield f"{path}: role patient on a system object"


_STORED_QUERY = re.compile(r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def _queries(event: Node) -> Iterator[str]:
    for row in _rows(event):
        if not {QUERY, REMOTE_QUERY} & set(row.success):
            continue
        for path, entity in numbered(event, "entity"):
            if not _is(QUERY, entity):
                continue
            if not _STORED_QUERY.match(text(entity, "what.identifier.value")):
                yield f"{path}: {text(entity, 'what.identifier.value')} is no id of a stored query"
            try:
                request = base64.b64decode(text(entity, "query"), validate=True).decode()
            except (binascii.Error, ValueError):
                yield f"{path}.query: not base64 of UTF-8 text"
                continue
            if "AdhocQueryRequest" not in request and event.get("outcome") == "0":
                yield f"{path}.query: not the AdhocQueryRequest"
            encodings = {
                text(d, "valueString") for d in nodes(entity, "detail") if d.get("type") == "QueryEncoding"
            }
            if encodings - {"UTF-8"}:
                yield f"{path}: QueryEncoding is not UTF-8"


def _homes(event: Node) -> Iterator[str]:
    kinds = (*COMMUNITY.names, *HOME.names)
    # Whatever came of it, we have asked this community; what we were asked may be of a stranger's, in vain.
    judged = [row for row in _rows(event) if row.code in ASKED]
    judged = [row for row in judged if row.we_ask or event.get("outcome") == "0"]
    asked = {_identity(agent, "who")[1] for row in judged for _, agent in _parties(event, row)[1]}
    for path, entity in numbered(event, "entity"):
        for detail in nodes(entity, "detail"):
            home = text(detail, "valueString")
            if detail.get("type") not in kinds:
                continue
            if not home.startswith("urn:oid:"):
                yield f"{path}: a home community that is no urn:oid:"
            elif asked and home not in asked:
                yield f"{path}: of another community than the one that was asked"


def _parties(event: Node, row: Transaction) -> tuple[list[tuple[str, Node]], list[tuple[str, Node]]]:
    """Who asked and who was asked, by the direction of the row."""
    sources, destinations = agents_of(event, v.SOURCE_ROLE), agents_of(event, v.DESTINATION_ROLE)
    return (sources, destinations) if row.we_send == row.we_ask else (destinations, sources)


def _addresses(event: Node) -> Iterator[str]:
    # TF-2 3.18.5 and all after it: who is asked is named by the SOAP endpoint, who asks by a machine.
    for row in (row for row in _rows(event) if row.code not in UNDIRECTED):
        asking, asked = _parties(event, row)
        for path, agent in asking:
            if text(agent, "network.type") not in ("1", "2", ""):
                yield f"{path}.network: whoever asks is a machine by its name or IP address (1, 2)"
        for path, agent in asked:
            if text(agent, "network.type") not in ("5", ""):
                yield f"{path}.network: whoever is asked is an endpoint by its URI (5)"


def _direction(event: Node) -> Iterator[str]:
    rows = [row for row in _rows(event) if row.code not in UNDIRECTED]
    if not rows:
        return
    sources, destinations = agents_of(event, v.SOURCE_ROLE), agents_of(event, v.DESTINATION_ROLE)
    for name, agents in (("110153 source", sources), ("110152 destination", destinations)):
        if len(agents) != 1:
            yield f"agent: {len(agents)} of {name}, not one"
        for path, agent in agents:
            if not text(agent, "network.address"):
                yield f"{path}: {name} without network.address"
    observer = _identity(event, "source.observer")
    for row in rows:
        ours, theirs = (sources, destinations) if row.we_send else (destinations, sources)
        # Who we are is what the observer says. Where client and node have one name, nothing can be told.
        mine = [_identity(agent, "who") == observer for _, agent in ours]
        if not any(mine) and any(_identity(agent, "who") == observer for _, agent in theirs):
            yield f"agent: {row.code} with source and destination the wrong way round"


def _identity(node: Node, path: str) -> tuple[str, str]:
    return text(node, f"{path}.identifier.system"), text(node, f"{path}.identifier.value")


def _observer(event: Node) -> Iterator[str]:
    observer = _identity(event, "source.observer")
    if not observer[1]:
        yield "source.observer: no identifier"
        return
    # MHD's invariant, taken for all transactions: the recorder is one of the agents. A denial may have none.
    if _rows(event) and observer not in [_identity(agent, "who") for agent in nodes(event, "agent")]:
        yield "source.observer: none of the agents"


def _one_requestor(event: Node) -> Iterator[str]:
    asked = [agent for agent in nodes(event, "agent") if agent.get("requestor") is True]
    if len(asked) != 1:
        yield f"agent: {len(asked)} requestors, not one"


def _networks(event: Node) -> Iterator[str]:
    for path, agent in numbered(event, "agent"):
        kind, address = text(agent, "network.type"), text(agent, "network.address")
        if not address:
            continue
        if kind == "2" and not _is_address(address):
            yield f"{path}.network: type 2 is an IP address"
        if kind == "5" and not re.match(r"^[a-z][a-z0-9+.-]*:", address):
            yield f"{path}.network: type 5 is a URI"
        if kind == "1" and (_is_address(address) or "/" in address):
            yield f"{path}.network: type 1 is a machine name"
        if not kind:
            yield f"{path}.network: address without type"


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


CHECKS = (
    Check("fhir-rules 2.2: subtype", _named),
    Check("ihe-rules 7.1, 7.2: Authentication-Failure of XUA", _denials),
    Check("fhir-rules 2.2; ihe-rules 7.2", _type_and_action),
    Check("fhir-rules 2.2: restful interactions", _interactions),
    Check("fhir-rules 2.2: displays", _displays),
    Check("BALP Query", _searches),
    Check("ihe-rules 7.2: outcome", _outcome),
    Check("fhir-rules 2.2; ihe-rules 7.2: objects", _objects),
    Check("R4 audit-entity-type, object-role", _kinds_of_entities),
    Check("ITI TF-2 3.18.5", _queries),
    Check("ihe-rules 7.2: homeCommunityId", _homes),
    Check("ihe-rules 7.2: participants", _addresses),
    Check("fhir-rules 2.2: 110153 and 110152", _direction),
    Check("R4 source.observer; MHD: the recorder is one of the agents", _observer),
    Check("R4 agent.requestor; BALP: one user", _one_requestor),
    Check("R4 network-type", _networks),
)


def problems(event: Node) -> list[str]:
    """What the transaction of an event finds wrong with it."""
    return found(CHECKS, event)
