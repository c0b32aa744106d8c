"""A SAML assertion -> `Caller`: which attribute says what, by kind of ticket.

gate.py calls `caller` once an assertion's signature, issuer and times were found good; `xds ticket show`
calls it too. The tables are the mapping (norwegian-profile 4.2, 4.3, 4.4, 4.9; ITI TF-2 3.40.4.1.2): a new
name for an attribute is a new word in a line. It must never fill in what the ticket does not say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from lxml import etree

from xds.metadata.national import AUTHORITIES
from xds.security import values
from xds.security.caller import Caller, CallerKind, Identifier, Unit
from xds.security.denials import denied
from xds.security.saml import SAML2
from xds.security.trust import Issuer, TicketKind
from xds.security.values import Parts

_SAML: Final = f"{{{SAML2}}}"
_XSPA: Final = "urn:oasis:names:tc:xspa:1.0:subject:"
_XACML1: Final = "urn:oasis:names:tc:xacml:1.0:"
_XACML2: Final = "urn:oasis:names:tc:xacml:2.0:"
_TRUST: Final = "urn:nhn:trust-framework:1.0:ext:"
_EHELSE: Final = "urn:no:ehelse:saml:1.0:subject:"
_HSO: Final = "hso:"

#: What a group of Helse Sør-Øst says, an attribute for each (norwegian-profile 4.9); assigners are not read.
_GROUP: Final = ("id", "name", "system", "description", "reason", "userSelected", "userselected")


class Several(Enum):
    """What several values mean; the names of a line are asked in order, new before old."""

    REFUSED = "the first name that says something counts, and must say one thing"
    FIRST = "the first name that says something counts, and its first value"
    AGREE = "every name counts, and all must say the same"
    ALL = "every value of every name counts"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that tickets say: where it goes in `Caller`, its attribute names, and how a value is read."""

    field: str
    names: tuple[str, ...]
    read: Callable[[Parts], Any]
    several: Several = Several.REFUSED


#: A provider identifier is the HPR number or, of those who have none, the national number again.
_PROVIDER: Final = "provider"

_CONSENT: Final = (
    Row("acp", ("urn:ihe:iti:xua:2012:acp",), values.policy),
    Row("consent_document", ("urn:ihe:iti:bppc:2007:docid",), values.uri),
)

#: Kjernejournal, Helsenorge and plain XUA.
_PLAIN: Final = (
    Row("name", (f"{_XACML1}subject:subject-id", f"{_XSPA}subject-id"), values.text, Several.FIRST),
    Row(
        _PROVIDER,
        (
            "urn:ihe:iti:xua:2017:subject:provider-identifier",
            f"{_XSPA}npi",
            "urn:oasis:names:tc:xspa:2.0:subject:npi",
        ),
        values.identifier,
        Several.ALL,
    ),
    Row("role", (f"{_XACML2}subject:role", f"{_XSPA}role"), values.code, Several.FIRST),
    Row("organisation.identifier", (f"{_XSPA}organization-id",), values.organisation, Several.AGREE),
    Row("organisation.name", (f"{_XSPA}organization",), values.text, Several.FIRST),
    Row("unit.identifier", (f"{_XSPA}child-organization",), values.organisation),
    Row("unit.name", (f"{_TRUST}subject:child-organization-name",), values.text, Several.FIRST),
    Row("department.identifier", (f"{_XSPA}facility",), values.organisation),
    Row("department.name", (f"{_TRUST}subject:facility-name",), values.text, Several.FIRST),
    Row(
        "purpose",
        (f"{_XACML2}action:purpose", f"{_XSPA}purposeofuse", f"{_XSPA}purposeOfUse"),
        values.code,
    ),
    Row("purpose_details", (f"{_TRUST}care-relationship:purpose-of-use-details",), values.code),
    Row(
        "health_service",
        (
            f"{_TRUST}care-relationship:healthcare-service",
            "urn:no:ehelse:saml:1.1:subject:healthcareservice",
        ),
        values.code,
    ),
    Row("decision", (f"{_TRUST}care-relationship:decision-ref",), values.decision),
    Row(
        "patient",
        (f"{_XACML1}resource:resource-id", f"{_XACML2}resource:resource-id"),
        values.patient,
        Several.AGREE,
    ),
    Row(
        "patient_unit.identifier",
        (f"{_TRUST}resource:child-organization", f"{_TRUST}resource:child-organization-id"),
        values.organisation,
    ),
    Row("patient_unit.name", (f"{_TRUST}resource:child-organization-name",), values.text, Several.FIRST),
    Row("patient_department.identifier", (f"{_TRUST}resource:facility",), values.organisation),
    Row("patient_department.name", (f"{_TRUST}resource:facility-name",), values.text, Several.FIRST),
    Row("home", ("urn:ihe:iti:xca:2010:homeCommunityId", f"{_EHELSE}homeCommunityId"), values.only_oid),
    Row("security_level", (f"{_EHELSE}SecurityLevel", "SecurityLevel"), values.level),
    Row("scopes", (f"{_EHELSE}Scope", "Scope"), values.words, Several.ALL),
    Row("client", (f"{_EHELSE}client_id", "client_id"), values.uri),
    *_CONSENT,
)

#: Helse Sør-Øst. Readers of codes and identifiers get a group; of the local purpose's id and name nobody
#: knows which is the template and which the decision, so both are told as they were sent.
_REGIONAL: Final = (
    Row("name", ("hso:subject:name", "hso:subject:national-identifier:name"), values.text, Several.FIRST),
    Row(
        _PROVIDER,
        ("hso:subject:qualification", "hso:subject:national-identifier"),
        values.identifier,
        Several.ALL,
    ),
    Row("role", ("hso:subject:qualification:role", "hso:subject:role"), values.code, Several.FIRST),
    Row("organisation.identifier", ("hso:subject:organization",), values.organisation, Several.AGREE),
    Row("organisation.name", ("hso:subject:organization:name",), values.text, Several.FIRST),
    Row("unit.identifier", ("hso:subject:child-organization",), values.organisation),
    Row("unit.name", ("hso:subject:child-organization:name",), values.text, Several.FIRST),
    Row("department.identifier", ("hso:subject:facility",), values.organisation),
    Row("department.name", ("hso:subject:facility:name",), values.text, Several.FIRST),
    Row("purpose", ("hso:purpose",), values.code),
    Row("purpose_details", ("hso:purpose-local",), values.code),
    Row("health_service", ("hso:subject:healthcareservice",), values.code),
    Row("decision", ("hso:purpose-local",), values.decision),
    Row("patient", ("hso:resource",), values.patient, Several.AGREE),
    Row("patient_unit.identifier", ("hso:resource:child-organization",), values.organisation),
    Row("patient_unit.name", ("hso:resource:child-organization:name",), values.text, Several.FIRST),
    Row("patient_department.identifier", ("hso:resource:facility",), values.organisation),
    Row("patient_department.name", ("hso:resource:facility:name",), values.text, Several.FIRST),
    Row("home", ("hso:homecommunity:id",), values.only_oid),
    Row("security_level", ("hso:subject:assurance-level:id",), values.level),
    Row("scopes", ("hso:scope", "hso:scope:id"), values.words, Several.ALL),
    *_CONSENT,
)

#: Readers that take the value of one attribute, and never a group.
_OF_ONE: Final = frozenset(
    {values.text, values.words, values.level, values.uri, values.only_oid, values.policy}
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What is particular to a kind of ticket.

    `numbered`: NameID is a national number. `person`: there may be a human. `register`: provider identifiers
    may be HPR numbers; Helsenorge sends the citizen's national number as one.
    """

    kind: CallerKind
    rows: tuple[Row, ...]
    numbered: bool = False
    person: bool = True
    register: bool = True


SHAPES: Final[Mapping[TicketKind, Shape]] = {
    TicketKind.KJERNEJOURNAL: Shape(CallerKind.PERSONNEL, _PLAIN, numbered=True),
    TicketKind.HELSENORGE: Shape(CallerKind.CITIZEN, _PLAIN, numbered=True, register=False),
    TicketKind.HSO: Shape(CallerKind.PERSONNEL, _REGIONAL, numbered=True),
    TicketKind.XUA: Shape(CallerKind.PERSONNEL, _PLAIN),
    TicketKind.SYSTEM: Shape(
        CallerKind.MACHINE,
        tuple(row for row in _PLAIN if row.field not in (_PROVIDER, "role")),
        person=False,
        register=False,
    ),
}
#: Units of Caller, each put together of two rows.
_UNITS: Final = ("organisation", "unit", "department", "patient_unit", "patient_department")
#: Policies by which a citizen acts for somebody else (norwegian-profile 4.6).
REPRESENTING: Final = frozenset(f"{values.ACP}{number}" for number in (1, 2, 3))


def caller(
    assertion: etree._Element, issuer: Issuer, *, expires_at: datetime, attested_at: datetime | None
) -> Caller:
    """Who asks, by a saml2:Assertion of which nothing is unsigned; the times are the verified ones.

    Raises Denied("ticket-content") when something that the kind of ticket must say is missing, unreadable, or
    said in two ways.
    """
    shape = SHAPES.get(issuer.kind)
    if shape is None:
        raise denied("ticket-content")
    subject = _name_id(assertion)
    said = _said(assertion, shape.rows)
    providers: Sequence[Identifier] = said.pop(_PROVIDER, ())
    for unit in _UNITS:
        number, name = said.pop(f"{unit}.identifier", None), said.pop(f"{unit}.name", "")
        said[unit] = Unit(number, name) if number or name else None
    person = _person(shape, subject, providers, issuer)
    said["hpr"] = _hpr(providers) if shape.register else ""
    if (patient := said.get("patient")) is not None and patient.authority in AUTHORITIES:
        _check_national(patient.value, issuer)
    return Caller(
        kind=_citizen(said, person) if shape.kind is CallerKind.CITIZEN else shape.kind,
        issuer=issuer.name,
        issuer_kind=issuer.kind.value,
        ticket_id=_id(assertion),
        subject=subject,
        person=person,
        expires_at=expires_at,
        attested_at=attested_at,
        **said,
    )


# ---- the element


def _id(assertion: etree._Element) -> str:
    found = str(assertion.get("ID", ""))
    if not found or not found.isprintable():
        raise denied("ticket-content")
    return found


def _name_id(assertion: etree._Element) -> str:
    """The text of the one NameID, as it stands there."""
    found = assertion.findall(f"{_SAML}Subject/{_SAML}NameID")
    if len(found) != 1 or len(found[0]):
        raise denied("ticket-content")
    subject = (found[0].text or "").strip()
    if not subject or len(subject) > values.LONGEST or not subject.isprintable():
        raise denied("ticket-content")
    return subject


def _said(assertion: etree._Element, rows: Iterable[Row]) -> dict[str, Any]:
    """What each row finds, by field; fields without anything are left out.

    Values may stand in several statements, under a name that is repeated, or beside each other (ITI TF-2
    3.40.4.1.2).
    """
    sent: dict[str, list[etree._Element]] = defaultdict(list)
    for attribute in assertion.iterfind(f"{_SAML}AttributeStatement/{_SAML}Attribute"):
        sent[str(attribute.get("Name", ""))] += attribute.findall(f"{_SAML}AttributeValue")
    found = ((row, _of_row(row, sent)) for row in rows)
    return {row.field: value for row, value in found if value}


def _of_row(row: Row, sent: Mapping[str, Sequence[etree._Element]]) -> Any:
    by_name = []
    for name in row.names:
        read = [row.read(each) for each in _parts(name, row, sent)]
        if there := [each for each in read if each]:
            by_name.append(there)
            if row.several in (Several.FIRST, Several.REFUSED):
                break
    together = [each for one_name in by_name for each in one_name]
    if not together:
        return None
    if row.several is Several.FIRST:
        return together[0]
    if row.several is Several.ALL:
        return frozenset().union(*together) if isinstance(together[0], frozenset) else together
    return _agreed(together)


def _parts(name: str, row: Row, sent: Mapping[str, Sequence[etree._Element]]) -> list[Parts]:
    if name.startswith(_HSO) and row.read not in _OF_ONE:
        return _group(name, sent)
    return [values.parts(value) for value in sent.get(name, ())]


def _group(name: str, sent: Mapping[str, Sequence[etree._Element]]) -> list[Parts]:
    """A group's parts; where its attributes have several values, the first of each belong together."""
    columns = {
        part: [values.text(values.parts(value)) for value in sent[f"{name}:{part}"]]
        for part in _GROUP
        if sent.get(f"{name}:{part}")
    }
    if not columns:
        return []
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:  # nobody can tell which belong together
        raise denied("ticket-content")
    return [
        values.collected([("id", ""), *((part, column[i]) for part, column in columns.items())])
        for i in range(lengths.pop())
    ]


def _agreed(found: Sequence[Any]) -> Any:
    """The one thing that all of `found` say; a number without its authority agrees with one that has it."""
    best = next((each for each in found if isinstance(each, Identifier) and each.authority), found[0])
    for each in found:
        same = each == best or (
            isinstance(each, Identifier) and not each.authority and each.value == best.value
        )
        if not same:
            raise denied("ticket-content")
    return best


# ---- what the parts mean together


def _person(shape: Shape, subject: str, providers: Sequence[Identifier], issuer: Issuer) -> Identifier | None:
    """The human: NameID, and every provider identifier that is a national number, which must be the same."""
    numbers = {
        each.value
        for each in providers
        if each.authority in AUTHORITIES
        or (not each.authority and values.national(each.value, test=True) is not None)
    }
    if shape.numbered or values.national(subject, test=True) is not None:
        numbers.add(subject)
    if not numbers:
        return None
    if not shape.person or len(numbers) > 1:
        raise denied("ticket-content")
    return _check_national(numbers.pop(), issuer)


def _check_national(number: str, issuer: Issuer) -> Identifier:
    """The number with its authority.

    Synthetic people ask, and are asked about, in tests only. One with its month raised by 40 means somebody
    else in each enterprise; in tests it is one of Dolly's.
    """
    found = values.national(number, test=issuer.test)
    if found is None:
        raise denied("ticket-content")
    return found


def _hpr(providers: Iterable[Identifier]) -> str:
    numbers = {number for each in providers if (number := values.hpr(each))}
    if len(numbers) > 1:
        raise denied("ticket-content")
    return numbers.pop() if numbers else ""


def _citizen(said: Mapping[str, Any], person: Identifier | None) -> CallerKind:
    """Whether a citizen asks about themselves or somebody else (norwegian-profile 4.4).

    Somebody else's record needs a policy that says why, and one's own must not come with such a policy.
    """
    policy, patient = said.get("acp", ""), said.get("patient")
    own = patient is None or patient == person
    if (own and policy in REPRESENTING) or (not own and not policy):
        raise denied("ticket-content")
    return CallerKind.CITIZEN if own else CallerKind.REPRESENTATIVE
