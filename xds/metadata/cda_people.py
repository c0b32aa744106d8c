"""The people and organisations of a CDA header: whose document it is, who wrote it, who answers for it.

cda.py asks for each once. It takes the numbers that the whole sector knows before those of one enterprise,
must never take one patient's number for another's, and leaves out what must not be seen by all who see
metadata: a number that one enterprise made up, and the national number of health personnel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from xds.errors import DataTypeError
from xds.metadata import hl7v3, identifiers, national
from xds.metadata.cda_notes import Notes, holds
from xds.metadata.code_rules import systems_of
from xds.metadata.datatypes import CX, XCN, XON, XTN, PidField
from xds.metadata.hl7v3 import elements, first, text
from xds.metadata.identifiers import Identifier
from xds.metadata.model import Author, Code

_PATIENT: Final = "recordTarget/patientRole"
_CUSTODIAN: Final = "custodian/assignedCustodian/representedCustodianOrganization"

#: Whose numbers are taken first where there are several.
_OF_PATIENTS: Final = (national.NATIONAL, national.TEMPORARY, national.SHARED_HELP)
_OF_PERSONNEL: Final = (identifiers.HPR,)
_OF_ORGANISATIONS: Final = (
    identifiers.ENTERPRISE,
    identifiers.RESH,
    identifiers.HER,
    identifiers.PHARMACY,
)

_ROLES: Final = systems_of("authorRole")
_SPECIALTIES: Final = systems_of("authorSpecialty")

#: Reads the codes of an element, as cda.py has them.
ReadCodes = Callable[[etree._Element], Sequence[Code]]


# ---- the patient


@dataclass(frozen=True, slots=True)
class Patient:
    """patientId, sourcePatientId and sourcePatientInfo; ids are empty where there is a finding about them."""

    id: str = ""
    source_id: str = ""
    info: tuple[str, ...] = ()


def patient(root: etree._Element, notes: Notes, *, test: bool) -> Patient:
    """Whose document it is; in a `test` people who do not exist are patients."""
    if len(list(elements(root, "recordTarget"))) > 1:
        notes.find("recordTarget", "The document must be about one patient.")
        return Patient()
    known, local = _patient_numbers(root, notes, test=test)
    own, source = _patient_ids(known, local, notes)
    return Patient(own, source, _patient_info(root, [*known, *local], notes))


def _patient_ids(known: Sequence[Identifier], local: Sequence[Identifier], notes: Notes) -> tuple[str, str]:
    """patientId and sourcePatientId: the national number, and the sender's own if it gives one."""
    path = f"{_PATIENT}/id"
    for authority in _OF_PATIENTS:
        chosen = [each for each in known if each.authority == authority]
        if len(chosen) > 1:
            notes.find(path, "There are several national numbers of one kind: a patient has one.")
            return "", ""
        if chosen:
            return _cx(chosen[0]), _cx(local[0] if local else chosen[0])
    if len(local) == 1:
        notes.remark("patientId is the sender's own number: the document has no national one.")
        return _cx(local[0]), _cx(local[0])
    notes.find(
        path,
        "It cannot be told which of the numbers is the patient's: send a national one."
        if local
        else "The patient needs a number that means the same everywhere, and an OID for who gave it out.",
    )
    return "", ""


def _patient_numbers(
    root: etree._Element, notes: Notes, *, test: bool
) -> tuple[list[Identifier], list[Identifier]]:
    """The patient's national numbers, and the others; without those that one enterprise made up."""
    known: dict[Identifier, None] = {}
    local: dict[Identifier, None] = {}
    for each in hl7v3.identifiers(root, f"{_PATIENT}/id"):
        written = str(CX(each.extension, each.authority))
        if not holds(written, CX.parse):
            continue
        found = identifiers.patient(written, test=test)
        if found is None or not found.authority:
            notes.remark("An H-number was left out: it must not leave its enterprise.")
        elif found.authority in _OF_PATIENTS:
            known[found] = None
        else:
            local[found] = None
    return list(known), list(local)


def _patient_info(root: etree._Element, numbers: Sequence[Identifier], notes: Notes) -> tuple[str, ...]:
    found = [("PID-3", _cx(each)) for each in numbers]
    if (element := first(root, f"{_PATIENT}/patient/name")) is not None:
        found.append(("PID-5", str(hl7v3.person_name(element) or "")))
    if (element := first(root, f"{_PATIENT}/patient/birthTime")) is not None:
        try:
            found.append(("PID-7", hl7v3.birth_date(element)))
        except DataTypeError:
            notes.remark("The date of birth was left out: it is no date.")
    if (element := first(root, f"{_PATIENT}/patient/administrativeGenderCode")) is not None:
        found.append(("PID-8", hl7v3.sex(element)))
    if (element := first(root, f"{_PATIENT}/addr")) is not None:
        found.append(("PID-11", hl7v3.address(element)))
    values = [
        notes.value(f"{name} of the patient", PidField(name, content), PidField.parse)
        for name, content in found
        if content
    ]
    return tuple(filter(None, values))


def _cx(number: Identifier) -> str:
    return str(CX(number.value, number.authority))


# ---- who wrote it, and who answers for it


def authors(root: etree._Element, notes: Notes, read: ReadCodes) -> tuple[Author, ...]:
    """The authors; where none names an institution, the custodian is that of the first."""
    sent = [_author(element, notes, read) for element in elements(root, "author")]
    found = [each for each in sent if each.person or each.institutions or each.telecommunications]
    if len(found) < len(sent):
        notes.remark("An author was left out: neither name, institution nor address is known.")
    custodian = first(root, _CUSTODIAN)
    if custodian is not None and not any(each.institutions for each in found):
        institutions = _institutions(custodian, notes)
        if institutions:
            notes.remark("The author's institution is the custodian: no author names one.")
            found[:1] = [replace(found[0] if found else Author(), institutions=institutions)]
    if not found:
        notes.remark("There is no author in the document.")
    return tuple(found)


def legal_authenticator(root: etree._Element, notes: Notes) -> str | None:
    """The XCN of who signed it."""
    element = first(root, "legalAuthenticator/assignedEntity")
    return None if element is None else _person(element, "The legal authenticator", notes) or None


def _author(element: etree._Element, notes: Notes, read: ReadCodes) -> Author:
    author = first(element, "assignedAuthor")
    if author is None:
        return Author()
    organisation = first(author, "representedOrganization")
    roles, specialties = _roles(element, author, notes, read)
    telecommunications = [
        notes.value("A number or address of an author", found, XTN.parse)
        for each in elements(author, "telecom")
        if (found := hl7v3.telecommunication(each)) is not None
    ]
    return Author(
        _person(author, "The name and number of an author", notes) or None,
        () if organisation is None else _institutions(organisation, notes),
        roles,
        specialties,
        tuple(dict.fromkeys(filter(None, telecommunications))),
    )


def _roles(
    element: etree._Element, author: etree._Element, notes: Notes, read: ReadCodes
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """authorRole and authorSpecialty: by the code's system, and where that tells nothing by its place."""
    roles: list[str] = []
    specialties: list[str] = []
    for parent, name, usual in ((element, "functionCode", roles), (author, "code", specialties)):
        for each in elements(parent, name):
            codes = read(each)
            code = hl7v3.preferred(codes, (*_ROLES, *_SPECIALTIES)) or next(iter(codes), None)
            if code is None:
                continue
            into = roles if code.scheme in _ROLES else specialties if code.scheme in _SPECIALTIES else usual
            # A code that names its system is written as an id that names who gave it out.
            into.append(notes.value("A role or specialty", CX(code.code, code.scheme), CX.parse))
    return tuple(filter(None, roles)), tuple(filter(None, specialties))


def _person(role: etree._Element, what: str, notes: Notes) -> str:
    """The XCN of somebody in a role, or of the device in it; empty when nothing is known."""
    element = first(role, "assignedPerson/name")
    name = hl7v3.person_name(element) if element is not None else _device(role)
    number = _preferred(_personnel_numbers(role, notes), _OF_PERSONNEL)
    if name is None and number is None:
        return ""
    name = name or hl7v3.PersonName("")
    person = identifiers.Person(number, name.family, name.given, name.further, name.suffix, name.prefix)
    return notes.value(what, person, XCN.parse)


def _device(role: etree._Element) -> hl7v3.PersonName | None:
    """A machine may be an author; its name stands where that of a person would (ITI TF-3 4.2.3.1.4.2)."""
    for name in ("softwareName", "manufacturerModelName"):
        element = first(role, f"assignedAuthoringDevice/{name}")
        if element is not None and (found := text(element)):
            return hl7v3.PersonName(found)
    return None


def _personnel_numbers(role: etree._Element, notes: Notes) -> list[Identifier]:
    found = []
    for each in hl7v3.identifiers(role, "id"):
        if each.authority in national.AUTHORITIES:
            notes.remark("A national number of health personnel was left out: many see metadata.")
        elif each.extension:
            number = identifiers.hpr_number(each.extension) if each.authority == identifiers.HPR else ""
            found.append(Identifier(number or each.extension, each.authority))
    return found


def _institutions(organisation: etree._Element, notes: Notes) -> tuple[str, ...]:
    """The XONs of an organisation and of what it is a part of, the whole first."""
    found: list[str] = []
    element: etree._Element | None = organisation
    while element is not None:
        whole = first(element, "asOrganizationPartOf/wholeOrganization")
        found.append(_institution(element, notes, is_part=whole is not None))
        element = whole
    return tuple(dict.fromkeys(filter(None, reversed(found))))


def _institution(element: etree._Element, notes: Notes, *, is_part: bool) -> str:
    named = first(element, "name")
    name = "" if named is None else text(named)
    numbers = [
        # An id that is an OID needs nobody who gave it out.
        Identifier(each.extension, each.authority) if each.extension else Identifier(each.authority)
        for each in hl7v3.identifiers(element, "id")
    ]
    number = _preferred(numbers, _OF_ORGANISATIONS)
    if not name and number is None:
        return ""
    known = identifiers.Organisation(name, number)
    if is_part and number is None:
        known = identifiers.department(name)
    return notes.value("An institution", known, XON.parse)


def _preferred(numbers: Sequence[Identifier], authorities: Sequence[str]) -> Identifier | None:
    """The number of the first of these authorities that gave one out, else the first number."""
    ranked = [each for authority in authorities for each in numbers if each.authority == authority]
    return next(iter([*ranked, *numbers]), None)
