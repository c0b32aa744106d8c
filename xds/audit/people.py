"""Who asked, as AuditEvents name them: a `Caller` as agents, contained resources and extensions of FHIR.

event.py calls `who` for each request; what it gives depends on the ticket alone and is kept for it. Shapes
are those of HL7 Norway's trust-framework AuditEvent and of IHE BALP, where both can be met. It must never
put in what the ticket did not say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from xds.metadata.identifiers import ENTERPRISE, HPR
from xds.metadata.model import Code
from xds.security.caller import Caller, CallerKind, Identifier, Unit

Json = dict[str, Any]

TYPES: Final = "http://terminology.hl7.org/CodeSystem"
DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
URI: Final = "urn:ietf:rfc:3986"
ACT_REASON: Final = f"{TYPES}/v3-ActReason"
BALP: Final = "https://profiles.ihe.net/ITI/BALP"
NORWEGIAN: Final = "http://hl7.no/fhir/StructureDefinition"
#: The profile of one look at one patient by health personnel (hl7.fhir.no.domain.auditevent 0.9.8).
TRUST_FRAMEWORK: Final = f"{NORWEGIAN}/no-domain-Trustframework-Auditevent"

#: The purposes of HL7, by every name that tickets have for their system; of the old ones of ISO 14265 the
#: code of HL7 that the profile asks for.
_VALUE_SETS: Final = frozenset(
    ("2.16.840.1.113883.1.11.20448", "2.16.840.1.113883.5.8", ACT_REASON, f"{TYPES}/v3-PurposeOfUse")
)
_ISO_14265: Final = "1.0.14265.1"
_OF_ISO_14265: Final = {"1": "TREAT", "2": "ETREAT", "5": "HOPERAT", "13": "PATRQT"}

OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")
_HELSEID: Final = "helseid"


@dataclass(frozen=True, slots=True)
class Who:
    """What the events of one ticket have in common.

    `contained`, `extensions` and `agents` are ready for the event; `purposes` is its purposeOfEvent.
    `profiles`: what the event may claim beside what it does. `is_clinician`: everything that the Norwegian
    profile asks of personnel is there. `consent` are the details of the ticket's access policy.
    """

    contained: tuple[orjson.Fragment, ...] = ()
    extensions: tuple[orjson.Fragment, ...] = ()
    agents: tuple[orjson.Fragment, ...] = ()
    purposes: orjson.Fragment | None = None
    profiles: tuple[str, ...] = ()
    is_clinician: bool = False
    client: Json | None = None
    consent: tuple[Json, ...] = ()


def system(oid: str) -> str:
    """An OID as a system of FHIR; what is none stays as it is."""
    return f"urn:oid:{oid}" if oid[:1].isdigit() else oid


def coding(code: Code) -> Json:
    """A code as a Coding."""
    found: Json = {"system": system(code.scheme)} if code.scheme else {}
    found["code"] = code.code
    if code.display:
        found["display"] = code.display
    return found


def identifier(given: Identifier) -> Json:
    """A number and whose it is; an OID is nobody's but a URI."""
    if given.authority:
        return {"system": system(given.authority), "value": given.value}
    if OID.fullmatch(given.value.removeprefix("urn:oid:")):
        return {"system": URI, "value": f"urn:oid:{given.value.removeprefix('urn:oid:')}"}
    return {"system": "urn:no:xds:unknown-authority", "value": given.value}


@lru_cache(maxsize=2048)
def who(caller: Caller) -> Who:
    """What is said of a caller in every event of theirs."""
    contained: list[Json] = []
    extensions: list[Json] = []
    is_clinician = caller.kind is CallerKind.PERSONNEL and _add_role(caller, contained)
    if caller.kind is CallerKind.REPRESENTATIVE:
        _add_representative(caller, contained)
    if encounter := _encounter(caller, contained):
        contained.append(encounter)
        extensions.append(_refers("auditevent-encounter-extension", "enc"))
    if relation := _care_relation(caller):
        extensions.append(relation)
    purposes = _purposes(caller)
    is_token = caller.issuer_kind == _HELSEID
    claimed = (
        "IHE.BasicAudit.OAUTHaccessTokenUse.Minimal"
        if is_token
        else "IHE.BasicAudit.SAMLaccessTokenUse.Minimal"
    )
    has_reason = any(each.get("system") == ACT_REASON for each in purposes)
    return Who(
        contained=tuple(map(_written, contained)),
        extensions=tuple(map(_written, extensions)),
        agents=tuple(map(_written, _agents(caller, purposes, is_token))),
        purposes=_written([{"coding": purposes}]) if purposes else None,
        profiles=(f"{BALP}/StructureDefinition/{claimed}",) if caller.subject and caller.ticket_id else (),
        is_clinician=is_clinician and has_reason,
        client=_client(caller),
        consent=tuple(_consent(caller)),
    )


def _written(value: Any) -> orjson.Fragment:
    return orjson.Fragment(dumps(value))


def dumps(value: Any) -> bytes:
    """JSON; what is no text of Unicode (a lone surrogate of a token) becomes a question mark."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_encodable(value))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, (list, tuple)):
        return [_encodable(each) for each in value]
    if isinstance(value, dict):
        return {name: _encodable(each) for name, each in value.items()}
    return value


def _refers(extension: str, target: str) -> Json:
    return {"url": f"{NORWEGIAN}/{extension}", "valueReference": {"reference": f"#{target}"}}


def _organisation(unit: Unit, own_id: str) -> Json:
    found: Json = {"resourceType": "Organization", "id": own_id}
    if unit.identifier is not None:
        found["identifier"] = [identifier(unit.identifier)]
    if unit.name:
        found["name"] = unit.name
    return found


def _add_role(caller: Caller, contained: list[Json]) -> bool:
    """The PractitionerRole and what it refers to; whether all that its profile asks for is known."""
    practitioner: Json = {"resourceType": "Practitioner", "id": "prac"}
    numbers = [identifier(caller.person)] if caller.person is not None else []
    if caller.hpr:
        numbers.append({"system": system(HPR), "value": caller.hpr})
    if numbers:
        practitioner["identifier"] = numbers
    if caller.name:
        practitioner["name"] = [{"text": caller.name}]
    if caller.role is not None:
        practitioner["qualification"] = [{"code": {"coding": [coding(caller.role)]}}]
    role: Json = {"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "#prac"}}
    contained.append(practitioner)
    # The department, or the legal entity where none is named; the point of care is where they work.
    own = caller.organisation or caller.unit
    place = caller.unit or caller.organisation
    if own is not None and place is not None:
        legal = _organisation(own, "legal")
        contained.append(legal)
        role["organization"] = {"reference": "#legal"}
        if caller.department is not None:
            department = _organisation(caller.department, "dept") | {"partOf": {"reference": "#legal"}}
            contained.append(department)
            role["organization"] = {"reference": "#dept"}
        contained.append(_organisation(place, "poc-org"))
        contained.append(_location("poc", "poc-org"))
        role["location"] = [{"reference": "#poc"}]
    contained.append(role)
    # What the profile calls a legal entity is one of Enhetsregisteret.
    legal_entity = own is not None and own.identifier is not None and own.identifier.authority == ENTERPRISE
    return bool(numbers) and legal_entity


def _location(own_id: str, organisation: str) -> Json:
    return {
        "resourceType": "Location",
        "id": own_id,
        "managingOrganization": {"reference": f"#{organisation}"},
    }


def _add_representative(caller: Caller, contained: list[Json]) -> None:
    related: Json = {"resourceType": "RelatedPerson", "id": "rep", "patient": {"reference": "#pat"}}
    if caller.person is not None:
        related["identifier"] = [identifier(caller.person)]
    if caller.name:
        related["name"] = [{"text": caller.name}]
    contained.append(related)


def _encounter(caller: Caller, contained: list[Json]) -> Json | None:
    """Where and for what the patient is seen; class and status, which R4 wants, are nobody's to know."""
    if not (caller.health_service or caller.patient_unit or caller.patient_department):
        return None
    found: Json = {
        "resourceType": "Encounter",
        "id": "enc",
        "status": "unknown",
        "class": {"system": f"{TYPES}/v3-NullFlavor", "code": "UNK", "display": "unknown"},
    }
    if caller.health_service is not None:
        found["serviceType"] = {"coding": [coding(caller.health_service)]}
    if caller.patient_unit is not None:
        contained += [_organisation(caller.patient_unit, "pat-poc-org"), _location("pat-poc", "pat-poc-org")]
        found["location"] = [{"location": {"reference": "#pat-poc"}}]
    if caller.patient_department is not None:
        contained.append(_organisation(caller.patient_department, "pat-dept"))
        found["serviceProvider"] = {"reference": "#pat-dept"}
    return found


def _care_relation(caller: Caller) -> Json | None:
    """All four parts or none: the profile has no place for less."""
    decision = caller.decision
    if (
        decision is None
        or not decision.description
        or decision.user_selected is None
        or caller.attested_at is None
    ):
        return None
    return {
        "url": f"{NORWEGIAN}/auditevent-carerelation-metadata-extension",
        "extension": [
            {"url": "decision-ref-id", "valueString": decision.id},
            {"url": "decision-ref-description", "valueString": decision.description},
            {"url": "decision-ref-user-selected", "valueBoolean": decision.user_selected},
            {"url": "toa", "valueUnsignedInt": int(caller.attested_at.timestamp())},
        ],
    }


def _purposes(caller: Caller) -> list[Json]:
    """The purpose and its detail, in one concept: the profile wants one code of HL7 in each."""
    found: list[Json] = []
    purpose = caller.purpose
    if purpose is not None:
        scheme = purpose.scheme.removeprefix("urn:oid:")
        if scheme in _VALUE_SETS:
            found.append(coding(Code(purpose.code, ACT_REASON, purpose.display)))
        else:
            if scheme == _ISO_14265 and purpose.code in _OF_ISO_14265:
                found.append({"system": ACT_REASON, "code": _OF_ISO_14265[purpose.code]})
            found.append(coding(purpose))
    if caller.purpose_details is not None:
        found.append(coding(caller.purpose_details))
    return found


def _agents(caller: Caller, purposes: list[Json], is_token: bool) -> list[Json]:
    user: Json = {
        "type": {
            "coding": [
                {
                    "system": f"{BALP}/CodeSystem/UserAgentTypes",
                    "code": "UserOauthAgent" if is_token else "UserSamlAgent",
                },
                {
                    "system": f"{TYPES}/v3-ParticipationType",
                    "code": "IRCP",
                    "display": "information recipient",
                },
            ]
        },
        "who": {"identifier": {"system": caller.issuer, "value": caller.subject or caller.client}},
        "requestor": True,
    }
    references = {
        CallerKind.PERSONNEL: "#role",
        CallerKind.CITIZEN: "#pat",
        CallerKind.REPRESENTATIVE: "#rep",
    }
    if caller.kind in references:
        user["who"]["reference"] = references[caller.kind]
    if caller.name:
        user["who"]["display"] = user["name"] = caller.name
    if caller.role is not None:
        user["role"] = [{"coding": [coding(caller.role)]}]
    if caller.ticket_id:
        user["policy"] = [f"urn:ietf:params:oauth:jti:{caller.ticket_id}" if is_token else caller.ticket_id]
    if purposes:
        user["purposeOfUse"] = [{"coding": purposes}]
    if extensions := list(_of_user(caller)):
        user["extension"] = extensions
    return [user, *_organisations(caller)]


def _of_user(caller: Caller) -> list[Json]:
    found: list[Json] = []
    if caller.security_level is not None:
        level = {
            "system": "https://begrep.difi.no/Felles/sikkerhetsnivaa",
            "code": str(caller.security_level),
        }
        found.append(
            {
                "url": f"{BALP}/StructureDefinition/ihe-assuranceLevel",
                "valueCodeableConcept": {"coding": [level]},
            }
        )
    if caller.hpr:
        kind = {"system": f"{TYPES}/v2-0203", "code": "NPI", "display": "National provider identifier"}
        number = {"type": {"coding": [kind]}, "system": system(HPR), "value": caller.hpr}
        found.append({"url": f"{BALP}/StructureDefinition/ihe-otherId", "valueIdentifier": number})
    return found


def _organisations(caller: Caller) -> list[Json]:
    found: list[Json] = []
    unit = caller.organisation
    if unit is not None and unit.identifier is not None and unit.name:
        kind = {"system": f"{TYPES}/v3-RoleClass", "code": "PROV", "display": "healthcare provider"}
        found.append(
            {
                "type": {"coding": [kind]},
                "who": {"identifier": identifier(unit.identifier), "display": unit.name},
                "requestor": False,
            }
        )
    if caller.home:
        kind = {"system": "urn:ihe:iti:xca:2010", "code": "homeCommunityId"}
        community = {"system": URI, "value": system(caller.home)}
        found.append({"type": {"coding": [kind]}, "who": {"identifier": community}, "requestor": False})
    return found


def _client(caller: Caller) -> Json | None:
    return {"identifier": {"system": caller.issuer, "value": caller.client}} if caller.client else None


def _consent(caller: Caller) -> list[Json]:
    """What the ticket said about the patient's policy (ITI TF-2 3.40, BPPC)."""
    found: list[Json] = []
    if caller.acp:
        found.append({"type": "urn:ihe:iti:xua:2012:acp", "valueString": system(caller.acp)})
    if caller.patient is not None:
        resource = {"type": "urn:oasis:names:tc:xacml:2.0:resource:resource-id"}
        found.append(resource | {"valueString": caller.patient.cx})
    return found
