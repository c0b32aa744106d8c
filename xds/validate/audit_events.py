"""AuditEvents beyond R4: what IHE's patterns (BALP) and the Norwegian trust framework ask of the access log.

fhir.py calls `judge` with an event in which R4 finds nothing wrong, so that its form is known here. It judges
what others have written, and so must not use what xds itself writes events with (xds/audit).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from xds.validate.findings import Finding, Severity

Event = Mapping[str, Any]
#: What a check finds: rule and place below the event, as FHIRPath.
_Found = Iterator[tuple[str, str]]

NORWEGIAN: Final = "http://hl7.no/fhir/StructureDefinition/no-domain-Trustframework-Auditevent"
_EXTENSION: Final = "http://hl7.no/fhir/StructureDefinition/auditevent-"
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_REST: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_TRANSACTION: Final = "urn:ihe:event-type-code"
_USER_AGENTS: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes"
#: The value set's codes are of the first; the second stands in examples.
_PURPOSES: Final = (
    "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "http://terminology.hl7.org/ValueSet/v3-PurposeOfUse",
)
_FNR: Final = frozenset(f"urn:oid:2.16.578.1.12.4.1.4.{each}" for each in (1, 2))
_HPR: Final = "urn:oid:2.16.578.1.12.4.1.4.4"
_ACT_ONCE: Final = (
    "https://terminology.dips.com/decisiontemplate",
    "urn:oid:2.16.578.1.12.4.1.1.9151",
)
_CARE_RELATION: Final = {
    "decision-ref-id": "valueString",
    "decision-ref-description": "valueString",
    "decision-ref-user-selected": "valueBoolean",
    "toa": "valueUnsignedInt",
}

_QUERY: Final = ((_DICOM, "110112", "E"),)
_IMPORT: Final = ((_DICOM, "110107", "C"), (_DICOM, "110106", "R"))
_EXPORT: Final = ((_DICOM, "110106", "R"), (_DICOM, "110107", "C"))
_UPDATE: Final = ((_DICOM, "110107", "U"), (_DICOM, "110106", "U"))
#: Security Alert and User Authentication: the event is of the ticket, and only names the transaction.
_OF_TICKETS: Final = frozenset(((_DICOM, "110113"), (_DICOM, "110114")))
#: Transaction -> type and action of its event, at the responder and at the initiator.
TRANSACTIONS: Final[Mapping[str, Sequence[tuple[str, str, str]]]] = {
    **dict.fromkeys(("ITI-18", "ITI-38", "ITI-51"), _QUERY),
    **dict.fromkeys(("ITI-39", "ITI-43"), _EXPORT),
    **dict.fromkeys(("ITI-41", "ITI-42", "ITI-61", "ITI-65", "ITI-80"), _IMPORT),
    **dict.fromkeys(("ITI-57", "ITI-92"), _UPDATE),
    **dict.fromkeys(("ITI-62", "ITI-86"), ((_DICOM, "110110", "D"),)),
    # One that is read by its id is read, and not searched for.
    **dict.fromkeys(("ITI-66", "ITI-67"), ((_REST, "rest", "E"), (_REST, "rest", "R"))),
    "ITI-68": ((_REST, "rest", "R"),),
    "ITI-81": ((_DICOM, "110101", "R"),),
    **dict.fromkeys(("ITI-105", "ITI-106"), ((_REST, "rest", "C"),)),
}

_BALP: Final = "BALP 1.1"
_FRAMEWORK: Final = "no:no-domain-Trustframework-Auditevent 0.9.8"
#: Rule -> what must be, and where that is written (docs/validate.md).
SENTENCES: Final[Mapping[str, tuple[str, str]]] = {
    "audit-reference": (
        "A reference that begins with # must name a resource in contained.",
        "FHIR R4, dom-3",
    ),
    "audit-who": ("Every agent must say who it is: identifier, reference or display.", _BALP),
    "audit-network": (
        "Source and destination (DCM 110153, 110152) must have network.address and type.",
        _BALP,
    ),
    "audit-transaction": (
        "Type and action must be those of the transaction in subtype, at the side that writes the event.",
        "ITI TF-2, security audit considerations",
    ),
    "audit-token-policy": (
        "The agent of a token has exactly one policy: the assertion's ID, or urn:ietf:params:oauth:jti: and"
        " the jti (of an opaque token its last 32 characters).",
        f"{_BALP}, access token use",
    ),
    "audit-token-user": (
        "The agent of a token has who.identifier: the issuer as system, the subject as value.",
        f"{_BALP}, access token use",
    ),
    "audit-token-forbidden": (
        "The agent of a token has neither media nor network, and that of an assertion no altId.",
        f"{_BALP}, access token use",
    ),
    "audit-patient-extension": (
        "There must be one auditevent-patient-extension with a valueReference to a Patient that has an"
        " identifier: of several patients each has an event.",
        _FRAMEWORK,
    ),
    "audit-encounter-extension": (
        "There may be one auditevent-encounter-extension, with a valueReference to an Encounter.",
        _FRAMEWORK,
    ),
    "audit-care-relation": (
        "There may be one auditevent-carerelation-metadata-extension; it has each of decision-ref-id,"
        " decision-ref-description (valueString), decision-ref-user-selected (valueBoolean) and toa"
        " (valueUnsignedInt) once, or is left out.",
        _FRAMEWORK,
    ),
    "audit-purpose": (
        "Every purposeOfEvent has exactly one coding of v3-ActReason, and at most one of Volven 9151 and of"
        " the decision templates: detail codes stand in the same CodeableConcept.",
        _FRAMEWORK,
    ),
    "audit-practitioner-role": (
        "who.reference of an agent leads to a PractitionerRole with practitioner, organization and one"
        " location; agents that are no persons have identifier or display instead. One agent has one.",
        _FRAMEWORK,
    ),
    "audit-practitioner": (
        "A Practitioner has a national or HPR number as identifier, and name.text.",
        _FRAMEWORK,
    ),
    "audit-identifier-value": (
        "The number stands in identifier.value: identifier.id is the id of an element.",
        _FRAMEWORK,
    ),
}


def judge(event: Event, place: str = "AuditEvent") -> list[Finding]:
    """Everything that is wrong with an event at this place, in the order of the checks."""
    checks = [*_ALWAYS, *(_CLAIMED if _claims(event) else ())]
    found = dict.fromkeys(each for check in checks for each in check(event))
    return [Finding(Severity.ERROR, rule, "", f"{place}.{where}", *SENTENCES[rule]) for rule, where in found]


def _claims(event: Event) -> bool:
    # A version may stand behind the address (FHIR R4, canonical).
    return any(each.partition("|")[0] == NORWEGIAN for each in event.get("meta", {}).get("profile", ()))


def _codings(concept: Event) -> list[tuple[str, str]]:
    return [(each.get("system", ""), each.get("code", "")) for each in concept.get("coding", ())]


def _referred(event: Event, reference: Event, kind: str) -> Event | None:
    """The contained resource of this kind; a resource that is elsewhere is taken for one, and empty: None is
    what is known to be none.
    """
    literal = reference.get("reference", "")
    if not literal:
        return None
    if not literal.startswith("#"):
        where = literal.partition("/_history/")[0].rpartition("/")[0]
        # A URN says nothing of the kind, and so the reference may.
        told = where.endswith(kind) if where else reference.get("type", kind) == kind
        return {"elsewhere": True} if told else None
    return next(
        (
            each
            for each in event.get("contained", ())
            if each.get("id") == literal[1:] and each.get("resourceType") == kind
        ),
        None,
    )


# -- of every event ------------------------------------------------------------------------------------------


def _references(event: Event) -> _Found:
    known = {f"#{each.get('id')}" for each in event.get("contained", ())} | {"#"}

    def walk(value: Any, where: str) -> _Found:
        if isinstance(value, dict):
            literal = value.get("reference")
            if isinstance(literal, str) and literal.startswith("#") and literal not in known:
                yield "audit-reference", f"{where}.reference"
            for name, each in value.items():
                yield from walk(each, f"{where}.{name}" if where else name)
        elif isinstance(value, list):
            for number, each in enumerate(value):
                yield from walk(each, f"{where}[{number}]")

    return walk(event, "")


def _who(event: Event) -> _Found:
    for number, agent in enumerate(event["agent"]):
        if not {"identifier", "reference", "display"} & set(agent.get("who", ())):
            yield "audit-who", f"agent[{number}].who"


def _network(event: Event) -> _Found:
    for number, agent in enumerate(event["agent"]):
        roles = _codings(agent.get("type", {}))
        if {(_DICOM, "110153"), (_DICOM, "110152")} & set(roles):
            network = agent.get("network", {})
            if not (network.get("address") and network.get("type")):
                yield "audit-network", f"agent[{number}].network"


def _transaction(event: Event) -> _Found:
    kind = event["type"].get("system", ""), event["type"].get("code", ""), event.get("action", "")
    if kind[:2] in _OF_TICKETS:
        return
    for number, subtype in enumerate(event.get("subtype", ())):
        wanted = TRANSACTIONS.get(subtype.get("code", "")) if subtype.get("system") == _TRANSACTION else None
        if wanted is not None and kind not in wanted:
            yield "audit-transaction", f"subtype[{number}]"


def _tokens(event: Event) -> _Found:
    for number, agent in enumerate(event["agent"]):
        codes = {code for system, code in _codings(agent.get("type", {})) if system == _USER_AGENTS}
        if not codes:
            continue
        where = f"agent[{number}]"
        policies = agent.get("policy", ())
        saml = "UserSamlAgent" in codes
        opaque = len(policies) == 1 and len(policies[0]) == 32
        if len(policies) != 1 or not (
            saml or opaque or policies[0].removeprefix("urn:ietf:params:oauth:jti:") not in ("", policies[0])
        ):
            yield "audit-token-policy", f"{where}.policy"
        identifier = agent.get("who", {}).get("identifier", {})
        if not (identifier.get("system") and identifier.get("value")):
            yield "audit-token-user", f"{where}.who.identifier"
        for name in ("media", "network", *(("altId",) if saml else ())):
            if name in agent:
                yield "audit-token-forbidden", f"{where}.{name}"


# -- of what claims the Norwegian profile ------------------------------------------------------------------


def _extensions(event: Event, name: str) -> list[tuple[str, Event]]:
    return [
        (f"extension[{number}]", each)
        for number, each in enumerate(event.get("extension", ()))
        if each.get("url") == _EXTENSION + name
    ]


def _patient(event: Event) -> _Found:
    found = _extensions(event, "patient-extension")
    if len(found) != 1:
        yield "audit-patient-extension", "extension"
    for where, each in found:
        patient = _referred(event, each.get("valueReference", {}), "Patient")
        if patient is None or not ("elsewhere" in patient or patient.get("identifier")):
            yield "audit-patient-extension", f"{where}.valueReference"


def _encounter(event: Event) -> _Found:
    found = _extensions(event, "encounter-extension")
    if len(found) > 1:
        yield "audit-encounter-extension", "extension"
    for where, each in found:
        if _referred(event, each.get("valueReference", {}), "Encounter") is None:
            yield "audit-encounter-extension", f"{where}.valueReference"


def _care_relation(event: Event) -> _Found:
    found = _extensions(event, "carerelation-metadata-extension")
    if len(found) > 1:
        yield "audit-care-relation", "extension"
    for where, each in found:
        parts = [(part.get("url"), *(set(part) - {"url", "id"})) for part in each.get("extension", ())]
        if sorted(parts, key=str) != sorted(_CARE_RELATION.items(), key=str):
            yield "audit-care-relation", where


def _purpose(event: Event) -> _Found:
    for number, purpose in enumerate(event.get("purposeOfEvent", ())):
        systems = [system for system, _ in _codings(purpose)]
        reasons = sum(each in _PURPOSES for each in systems)
        if reasons != 1 or any(systems.count(each) > 1 for each in _ACT_ONCE):
            yield "audit-purpose", f"purposeOfEvent[{number}].coding"


def _roles(event: Event) -> _Found:
    persons = 0
    for number, agent in enumerate(event["agent"]):
        who = agent.get("who", {})
        if "reference" not in who:
            continue
        persons += 1
        role = _referred(event, who, "PractitionerRole")
        if role is None:
            yield "audit-practitioner-role", f"agent[{number}].who.reference"
        elif "elsewhere" not in role:
            yield from _role(event, role)
    if not persons:
        yield "audit-practitioner-role", "agent"


def _role(event: Event, role: Event) -> _Found:
    where = f"contained.where(id='{role['id']}')"
    places = role.get("location", ())
    wanted = (
        ("practitioner", role.get("practitioner", {}), "Practitioner"),
        ("organization", role.get("organization", {}), "Organization"),
        ("location", places[0] if len(places) == 1 else {}, "Location"),
    )
    for name, reference, kind in wanted:
        if _referred(event, reference, kind) is None:
            yield "audit-practitioner-role", f"{where}.{name}"


def _practitioners(event: Event) -> _Found:
    for each in event.get("contained", ()):
        if each.get("resourceType") != "Practitioner":
            continue
        where = f"contained.where(id='{each.get('id', '')}')"
        numbers = [one for one in each.get("identifier", ()) if one.get("system") in {*_FNR, _HPR}]
        if not any(one.get("value") for one in numbers):
            yield "audit-practitioner", f"{where}.identifier"
        if not any(name.get("text") for name in each.get("name", ())):
            yield "audit-practitioner", f"{where}.name"


def _in_value(event: Event) -> _Found:
    for each in event.get("contained", ()):
        identifiers = each.get("identifier", ())
        for number, one in enumerate(identifiers if isinstance(identifiers, list) else ()):
            if "id" in one and "value" not in one:
                where = f"contained.where(id='{each.get('id', '')}')"
                yield "audit-identifier-value", f"{where}.identifier[{number}]"


_ALWAYS: Final[Sequence[Callable[[Event], _Found]]] = (_references, _who, _network, _transaction, _tokens)
_CLAIMED: Final[Sequence[Callable[[Event], _Found]]] = (
    _patient,
    _encounter,
    _care_relation,
    _purpose,
    _roles,
    _practitioners,
    _in_value,
)
