"""What the trust-framework profile of HL7 Norway asks of an AuditEvent that claims it.

`tests/audit/profiles.py` calls it. An event that does not claim the profile is not judged by it, whatever it
looks like; whether it should have claimed it is asked for by the test, with `must_claim`.

Sources: [AE] is fhir-rules 2.1 and norwegian-profile 6.2, read from the package 0.9.8 of HL7 Norway; [TR] is
the trust framework (Tillitsrammeverk) with its rules ATT-n; [1.1] is the table of identifiers,
norwegian-profile 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.audit import vocabulary as v
from tests.audit.reading import (
    Check,
    Node,
    behind,
    code,
    codes,
    contained,
    extensions,
    found,
    nodes,
    numbered,
    text,
    texts,
    values,
)

# The codes below PurposeOfUse in v3-ActReason (value set v3-PurposeOfUse of R4, include is-a PurposeOfUse).
_BELOW_PURPOSE_OF_USE = """
    PurposeOfUse HMARKT HOPERAT CAREMGT DONAT FRAUD GOV HACCRED HCOMPL HDECD HDIRECT HDM HLEGAL HOUTCOMS
    HPRGRP HQUALIMP HSYSADMIN LABELING METAMGT MEMADMIN MILCDM PATADMIN PATSFTY PERFMSR RECORDMGT SYSDEV
    HTEST TRAIN HPAYMT CLMATTCH COVAUTH COVERAGE ELIGDTRM ELIGVER ENROLLM MILDCRG REMITADV HRESCH BIORCH
    CLINTRCH CLINTRCHNPC CLINTRCHPC PRECLINTRCH DSRCH POARCH TRANSRCH PATRQT FAMRQT PWATRNY SUPNWK
    PUBHLTH DISASTER THREAT TREAT CLINTRL COC ETREAT BTG ERTREAT POPHLTH
"""
PURPOSES_OF_USE = frozenset(_BELOW_PURPOSE_OF_USE.split())
# Addresses of the same purposes that are not the code system: value sets, and the OIDs that tokens carry.
NOT_THE_CODE_SYSTEM = (
    "http://terminology.hl7.org/ValueSet/v3-PurposeOfUse",
    "urn:oid:2.16.840.1.113883.1.11.20448",
    "urn:oid:2.16.840.1.113883.5.8",
)
PERSON_SYSTEMS = (v.FNR, v.DNR, v.FHNR, "urn:oid:2.16.578.1.12.4.1.4.5")
PRACTITIONER_SYSTEMS = (v.FNR, v.DNR, v.HPR)


def claims(event: Node) -> bool:
    """Whether the event says that it follows the profile."""
    return v.TRUST_FRAMEWORK in texts(event, "meta.profile")


def problems(event: Node, *, must_claim: bool) -> list[str]:
    """What the profile finds wrong with an event; nothing if it does not claim it and need not."""
    if claims(event):
        return found(CHECKS, event)
    return (
        ["meta.profile: the Norwegian profile is not claimed [AE; asked for by the test]"]
        if must_claim
        else []
    )


def _patient_extension(event: Node) -> Iterator[str]:
    there = extensions(event, v.PATIENT_EXTENSION)
    if len(there) != 1:
        yield f"extension: the patient extension is there {len(there)} times, not once"
    for extension in there:
        patient = behind(event, extension.get("valueReference"))
        if patient is None or patient.get("resourceType") != "Patient":
            yield "extension: the patient extension does not point to a contained Patient"


def _patients(event: Node) -> Iterator[str]:
    subjects = [
        name for name, resource in contained(event).items() if resource.get("resourceType") == "Patient"
    ]
    if len(subjects) > 1:
        yield "contained: more than one Patient; an event is of one patient"
    for name in subjects:
        if not texts(contained(event)[name], "identifier.value"):
            yield f"contained {name}: a Patient without identifier.value"


def _patient_in_entities(event: Node) -> Iterator[str]:
    # Core search parameters do not look into the extension.
    for extension in extensions(event, v.PATIENT_EXTENSION):
        reference = text(extension, "valueReference.reference")
        patient = behind(event, extension.get("valueReference"))
        numbers = {(text(i, "system"), text(i, "value")) for i in nodes(patient, "identifier")}
        persons = [e for e in nodes(event, "entity") if code(e.get("type")) == v.PERSON]
        for entity in persons:
            told = (text(entity, "what.identifier.system"), text(entity, "what.identifier.value"))
            if text(entity, "what.reference") == reference and told not in (numbers | {("", "")}):
                yield "entity: the patient has another number than in the patient extension"
        if not any(text(entity, "what.reference") == reference for entity in persons):
            yield "entity: the patient of the patient extension is no entity of type 1"


def _once(url: str, what: str) -> Check:
    def find(event: Node) -> Iterator[str]:
        if len(extensions(event, url)) > 1:
            yield f"extension: the {what} extension is there more than once"

    return Check("AE extension 0..1", find)


def _encounter(event: Node) -> Iterator[str]:
    for extension in extensions(event, v.ENCOUNTER_EXTENSION):
        encounter = behind(event, extension.get("valueReference"))
        if encounter is None or encounter.get("resourceType") != "Encounter":
            yield "extension: the encounter extension does not point to a contained Encounter"


def _encounters(event: Node) -> Iterator[str]:
    for name, encounter in contained(event).items():
        if encounter.get("resourceType") != "Encounter":
            continue
        if encounter.get("status") != "unknown":
            yield f"contained {name}: Encounter.status is not unknown"
        if code(encounter.get("class")) != (v.NULL_FLAVOR, "UNK"):
            yield f"contained {name}: Encounter.class is not v3-NullFlavor#UNK"
        systems = [system for system, _ in codes(encounter.get("serviceType"))]
        for system in v.HEALTH_SERVICES:
            if systems.count(system) > 1:
                yield f"contained {name}: two codes of {system} in serviceType"
        for place in nodes(encounter, "location"):
            location = behind(event, place.get("location"))
            if location is not None and not nodes(location, "managingOrganization"):
                yield f"contained {name}: the patient's point of care has no managingOrganization"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the care relation."""

    url: str
    value: str
    kind: type


CARE_RELATION = (
    Part("decision-ref-id", "valueString", str),
    Part("decision-ref-description", "valueString", str),
    Part("decision-ref-user-selected", "valueBoolean", bool),
    Part("toa", "valueUnsignedInt", int),
)


def _care_relation(event: Node) -> Iterator[str]:
    for extension in extensions(event, v.CARE_RELATION_EXTENSION):
        for part in CARE_RELATION:
            there = extensions(extension, part.url)
            if len(there) != 1:
                yield f"care relation: {part.url} is there {len(there)} times, not once"
            elif type(there[0].get(part.value)) is not part.kind:
                yield f"care relation: {part.url} is no {part.value}"
        known = {part.url for part in CARE_RELATION}
        for url in set(texts(extension, "extension.url")) - known:
            yield f"care relation: unknown part {url}"
        for toa in values(extension, "extension.valueUnsignedInt"):
            # Unix seconds: ten digits from 2001 to 2286. Milliseconds have thirteen.
            if not 10**9 <= toa < 10**10:
                yield "care relation: toa is not in Unix seconds"


def _purposes(event: Node) -> Iterator[str]:
    for path, purpose in numbered(event, "purposeOfEvent"):
        codings = [code(coding) for coding in nodes(purpose, "coding")]
        for system, _ in codings:
            if system in NOT_THE_CODE_SYSTEM:
                yield f"{path}: {system} is not the code system of the purposes, {v.ACT_REASON} is"
        of_use = [value for system, value in codings if system == v.ACT_REASON]
        if len(of_use) != 1:
            yield f"{path}: {len(of_use)} codings of v3-PurposeOfUse, not one"
        for value in of_use:
            if value not in PURPOSES_OF_USE:
                yield f"{path}: {value} is not below PurposeOfUse in v3-ActReason"
        for system in (v.DECISION_TEMPLATE, v.SERVICE_9151):
            if sum(s == system for s, _ in codings) > 1:
                yield f"{path}: more than one coding of {system}"


def _every_agent_has_who(event: Node) -> Iterator[str]:
    for path, agent in numbered(event, "agent"):
        if not nodes(agent, "who"):
            yield f"{path}: no who"


def _who_is_a_role(event: Node) -> Iterator[str]:
    # Reference only to PractitionerRole. Machines and organisations have neither reference nor type in `who`:
    # then there is nothing to hold against the rule.
    for path, agent in numbered(event, "agent"):
        target = behind(event, agent.get("who"))
        if target is not None and target.get("resourceType") != "PractitionerRole":
            yield f"{path}.who: refers to a {target.get('resourceType')}, not to a PractitionerRole"
        if target is None and text(agent, "who.reference"):
            yield f"{path}.who: refers to nothing contained"
        if text(agent, "who.type") not in ("", "PractitionerRole"):
            yield f"{path}.who: type {text(agent, 'who.type')}"


def _the_requestor_is_the_role(event: Node) -> Iterator[str]:
    for path, agent in numbered(event, "agent"):
        target = behind(event, agent.get("who"))
        is_role = target is not None and target.get("resourceType") == "PractitionerRole"
        if agent.get("requestor") is True and not is_role:
            yield f"{path}: the one who asked is no contained PractitionerRole"


def _roles(event: Node) -> Iterator[str]:
    for name, role in contained(event).items():
        if role.get("resourceType") != "PractitionerRole":
            continue
        for key in ("practitioner", "organization", "location"):
            there = [behind(event, reference) for reference in nodes(role, key)]
            if len(there) != 1:
                yield f"contained {name}: {len(there)} of {key}, not one"
            elif there[0] is None:
                yield f"contained {name}: {key} is not contained"
        location = behind(event, next(iter(nodes(role, "location")), None))
        if location is not None and not nodes(location, "managingOrganization"):
            yield f"contained {name}: the point of care has no managingOrganization"


def _practitioners(event: Node) -> Iterator[str]:
    for name, practitioner in contained(event).items():
        if practitioner.get("resourceType") != "Practitioner":
            continue
        identifiers = nodes(practitioner, "identifier")
        if not any(i.get("system") in PRACTITIONER_SYSTEMS and text(i, "value") for i in identifiers):
            yield f"contained {name}: neither national number nor HPR number"
        for identifier in identifiers:
            if identifier.get("system") not in PRACTITIONER_SYSTEMS:
                yield f"contained {name}: identifier.system {text(identifier, 'system')} is none here"
        if len(identifiers) != len({text(i, "system") for i in identifiers}):
            yield f"contained {name}: two numbers of one kind"
        if not texts(practitioner, "name.text"):
            yield f"contained {name}: no name.text"
        for concept in nodes(practitioner, "qualification.code"):
            if not any(system == v.AUTHORISATION for system, _ in codes(concept)):
                yield f"contained {name}: qualification.code is not of 9060"


def _number_in_its_element(event: Node) -> Iterator[str]:
    # The guide's own examples write the number as `identifier.id`, which is an id of the element.
    for name, resource in contained(event).items():
        if any("id" in identifier for identifier in nodes(resource, "identifier")):
            yield f"contained {name}: identifier.id is no place for a number"


def _legal_entity(event: Node) -> Iterator[str]:
    # From the role's organization, or one that it is part of: a number of Enhetsregisteret. A system of a
    # municipality or of HelseID's multi-tenant form (urn:oid:1.0.6523) is let through.
    for name, role in contained(event).items():
        if role.get("resourceType") != "PractitionerRole":
            continue
        organization = behind(event, role.get("organization"))
        systems: set[str] = set()
        seen = 0
        while organization is not None and seen < 10:
            systems |= set(texts(organization, "identifier.system"))
            organization = behind(event, organization.get("partOf"))
            seen += 1
        if not systems & {v.ENH, "urn:oid:1.0.6523", "http://data.brreg.no/begrep/28155"}:
            yield f"contained {name}: no legal entity behind its organization"


SYNTAX = {
    v.FNR: re.compile(r"^[0-3]\d{10}$"),
    v.DNR: re.compile(r"^[4-7]\d{10}$"),
    v.FHNR: re.compile(r"^\d{11}$"),
    v.HPR: re.compile(r"^\d{1,9}$"),
    v.ENH: re.compile(r"^\d{9}$"),
    v.RESH: re.compile(r"^\d+$"),
}


def _forms_of_numbers(event: Node) -> Iterator[str]:
    for name, resource in contained(event).items():
        for identifier in nodes(resource, "identifier"):
            form = SYNTAX.get(text(identifier, "system"))
            if form and not form.match(text(identifier, "value")):
                yield f"contained {name}: identifier.value has not the form of {text(identifier, 'system')}"


CHECKS = (
    Check("AE extension:_patient 1..1", _patient_extension),
    Check("AE Patient.identifier 1..*; one event per patient", _patients),
    Check("fhir-rules 2.1, traps: the patient sits in an extension", _patient_in_entities),
    _once(v.ENCOUNTER_EXTENSION, "encounter"),
    _once(v.CARE_RELATION_EXTENSION, "care relation"),
    Check("AE extension:_encounter", _encounter),
    Check("AE Encounter; fhir-rules 2.1, traps: status, class", _encounters),
    Check("AE extension:_careRelationMetaData", _care_relation),
    # A later draft of the profile has the purpose 0..1; the package that is published has 1..1.
    Check("AE purposeOfEvent.coding:PURPOSE_OF_USE_VALUESET 1..1", _purposes),
    Check("AE agent.who 1..1", _every_agent_has_who),
    Check("AE agent.who: only PractitioneRole", _who_is_a_role),
    Check("fhir-rules 2.1, traps: citizen as agent", _the_requestor_is_the_role),
    Check("AE PractitioneRole 1..1", _roles),
    Check("AE Practitioner", _practitioners),
    Check("fhir-rules 2.1, traps: value in identifier.id", _number_in_its_element),
    Check("TR ATT-16", _legal_entity),
    Check("1.1", _forms_of_numbers),
)
