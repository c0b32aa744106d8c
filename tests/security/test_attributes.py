"""From the attributes of a verified assertion to a `Caller` (norwegian-profile 4.2 to 4.9, ITI TF-2 3.40).

Whole tickets are files in samples/, made after the skeletons of the profile; what a value may look like is in
the tables here, written as it stands on the wire. Nobody has these numbers.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from xds.errors import Denied
from xds.metadata.model import Code
from xds.metadata.national import NATIONAL, SHARED_HELP, TEMPORARY
from xds.security import attributes, values
from xds.security.caller import Caller, CallerKind, Decision, Identifier, Unit
from xds.security.trust import Issuer, TicketKind
from xds.transport import xml

SAMPLES = Path(__file__).parent / "samples"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
EXPIRES = datetime(2026, 1, 15, 13, tzinfo=UTC)
ATTESTED = datetime(2026, 1, 15, 11, 58, tzinfo=UTC)

CLINICIAN, CITIZEN, CHILD = "01815510093", "02825510012", "03835510041"
D_NUMBER, HELP_NUMBER = "41845510057", "88888810182"
#: Month 01 + 40: a help number of some enterprise, or one of Dolly's persons.
LOCAL = "01415510000"
#: A number that is one outside tests too: a felles hjelpenummer, of nobody.
REAL = HELP_NUMBER

ENTERPRISE, RESH, HPR = (f"2.16.578.1.12.4.1.4.{n}" for n in (101, 102, 4))
PERSONNEL_ROLES = "2.16.578.1.12.4.1.1.9060"
HL7_PURPOSES, ISO_PURPOSES = "2.16.840.1.113883.1.11.20448", "1.0.14265.1"
HOME = "2.16.578.1.12.4.1.7.1.1"

XSPA = "urn:oasis:names:tc:xspa:1.0:subject:"
XSPA2 = "urn:oasis:names:tc:xspa:2.0:subject:"
XACML1, XACML2 = "urn:oasis:names:tc:xacml:1.0:", "urn:oasis:names:tc:xacml:2.0:"
TRUST = "urn:nhn:trust-framework:1.0:ext:"
EHELSE = "urn:no:ehelse:saml:1.0:subject:"
PROVIDER = "urn:ihe:iti:xua:2017:subject:provider-identifier"
ACP, DOCID = "urn:ihe:iti:xua:2012:acp", "urn:ihe:iti:bppc:2007:docid"
PATIENT_NEW, PATIENT_OLD = f"{XACML1}resource:resource-id", f"{XACML2}resource:resource-id"
ROLE_NEW, ROLE_OLD = f"{XACML2}subject:role", f"{XSPA}role"
NAME_NEW, NAME_OLD = f"{XACML1}subject:subject-id", f"{XSPA}subject-id"
POLICY = "2.16.578.1.12.4.1.7.2.1"

KJ, HN, HSO = TicketKind.KJERNEJOURNAL, TicketKind.HELSENORGE, TicketKind.HSO
XUA, SYSTEM = TicketKind.XUA, TicketKind.SYSTEM

Sent = Mapping[str, str | Sequence[str]]


def issuer(kind: TicketKind, *, test: bool = True) -> Issuer:
    """An issuer of one kind; nothing else of it matters here but whether it is for tests."""
    return Issuer(
        name=f"urn:xds:test:{kind}",
        kind=kind,
        audiences=frozenset({"urn:xds:test"}),
        lifetime=timedelta(hours=1),
        skew=timedelta(minutes=5),
        test=test,
    )


def assertion(sent: Sent, name_id: str = CLINICIAN) -> etree._Element:
    """An assertion with these attributes; values are XML as on the wire, and a list repeats the value."""
    each = ((name, [value] if isinstance(value, str) else value) for name, value in sent.items())
    attributes = "".join(
        f'<s:Attribute Name="{name}">{"".join(f"<s:AttributeValue>{v}</s:AttributeValue>" for v in many)}'
        "</s:Attribute>"
        for name, many in each
    )
    return xml.parse(
        f'<s:Assertion xmlns:s="{SAML}" ID="_1"><s:Subject><s:NameID>{name_id}</s:NameID></s:Subject>'
        f"<s:AttributeStatement>{attributes}</s:AttributeStatement></s:Assertion>".encode()
    )


def read(element: etree._Element, kind: TicketKind, *, test: bool = True) -> Caller:
    """The Caller of an element, as the gate would get it."""
    return attributes.caller(element, issuer(kind, test=test), expires_at=EXPIRES, attested_at=ATTESTED)


def caller(sent: Sent, kind: TicketKind = KJ, name_id: str | None = None, *, test: bool = True) -> Caller:
    """The Caller of a ticket with these attributes."""
    if name_id is None:
        name_id = {HN: CITIZEN, SYSTEM: "urn:oid:2.16.578.1.12.4.5.480.1.2"}.get(kind, CLINICIAN)
    return read(assertion(sent, name_id), kind, test=test)


def refused(sent: Sent, kind: TicketKind = KJ, name_id: str | None = None, *, test: bool = True) -> bool:
    """Whether such a ticket is denied for what it says, with none of it in the error."""
    with pytest.raises(Denied) as error:
        caller(sent, kind, name_id, test=test)
    return error.value.rule == "ticket-content" and not any(c.isdigit() for c in f"{error.value.args}")


def ce(code: str, system: str, display: str, *, name: str = "Role", type_: str = "xsi:type") -> str:
    """A coded value as HelseID and Helsenorge write it: XML as text, with no xsi declared."""
    return (
        f'&lt;{name} xmlns="urn:hl7-org:v3" {type_}="CE" code="{code}" codeSystem="{system}"'
        f' displayName="{display}"/&gt;'
    )


def ii(number: str, root: str, type_: str = "xsi:type") -> str:
    """An identifier in the same way."""
    return f'&lt;id xmlns="urn:hl7-org:v3" {type_}="II" extension="{number}" root="{root}"/&gt;'


def cx(number: str, authority: str = NATIONAL) -> str:
    """A patient id, escaped as XML asks for."""
    return f"{number}^^^&amp;{authority}&amp;ISO"


# ---- whole tickets

DOCTOR = Code("LE", PERSONNEL_ROLES)
TREATMENT = Code("TREAT", HL7_PURPOSES)


def _expected(kind: CallerKind, sample: str, subject: str, **more: Any) -> Caller:
    return Caller(
        kind=kind,
        issuer=f"urn:xds:test:{sample.partition('-')[0]}",
        issuer_kind=sample.partition("-")[0],
        ticket_id=f"_{sample}",
        subject=subject,
        expires_at=EXPIRES,
        attested_at=ATTESTED,
        **more,
    )


V1_1: dict[str, Any] = {
    "person": Identifier(CLINICIAN, NATIONAL),
    "hpr": "7000010",
    "role": DOCTOR,
    "organisation": Unit(Identifier("100000024", ENTERPRISE), "EKSEMPEL KOMMUNE"),
    "purpose": TREATMENT,
    "patient": Identifier(CITIZEN, NATIONAL),
    "security_level": 4,
    "scopes": frozenset({"journaldokumenter_helsepersonell"}),
    "client": "5a4e9a0e-3d2b-4a53-9f0e-1f5f7f4b7c11",
    "home": HOME,
}
V2_1: dict[str, Any] = V1_1 | {
    "name": "Kari Østby",
    "unit": Unit(Identifier("100000032", ENTERPRISE), "EKSEMPEL SJUKEHEIM"),
    "department": Unit(Identifier("4200001", RESH), "Korttidsavdelingen"),
    "purpose_details": Code("3", "urn:AuditEventHL7Norway/CodeSystem/carerelation"),
    "health_service": Code("KP01", "2.16.578.1.12.4.1.1.8663"),
    "decision": Decision("07b4b65f-0000-4c88-b845-c8fd18702f83", user_selected=True),
    "patient_unit": Unit(Identifier("100000040", ENTERPRISE), "EKSEMPEL LEGEVAKT"),
}
OWN: dict[str, Any] = {
    "person": Identifier(CITIZEN, NATIONAL),
    "name": "Ola Nordvik",
    "organisation": Unit(Identifier("100000024", ENTERPRISE), "Norsk Helsenett"),
    "purpose": Code("13", ISO_PURPOSES),
    "patient": Identifier(CITIZEN, NATIONAL),
    "security_level": 4,
    "scopes": frozenset({"innsynregisterbruk", "innsynregisterinnhold", "innsynpasientjournal", "prover"}),
    "client": f"{HOME}.1",
    "home": HOME,
}
WHOLE = {
    "kjernejournal-old": _expected(
        CallerKind.PERSONNEL, "kjernejournal-old", CLINICIAN, **V1_1, name="KARI ØSTBY"
    ),
    "kjernejournal-new": _expected(CallerKind.PERSONNEL, "kjernejournal-new", CLINICIAN, **V2_1),
    "kjernejournal-hybrid": _expected(CallerKind.PERSONNEL, "kjernejournal-hybrid", CLINICIAN, **V2_1),
    "helsenorge-own": _expected(CallerKind.CITIZEN, "helsenorge-own", CITIZEN, **OWN),
    "helsenorge-representative": _expected(
        CallerKind.REPRESENTATIVE,
        "helsenorge-representative",
        CITIZEN,
        **OWN
        | {
            "patient": Identifier(CHILD, NATIONAL),
            "acp": f"{POLICY}.1",
            "consent_document": "2.16.578.1.12.4.1.7.2.2.1",
        },
    ),
    "hso": _expected(
        CallerKind.PERSONNEL,
        "hso",
        CLINICIAN,
        person=Identifier(CLINICIAN, NATIONAL),
        name="Kari Østby",
        hpr="7000010",
        role=DOCTOR,
        organisation=Unit(Identifier("100000024", ENTERPRISE), "Eksempel universitetssykehus HF"),
        unit=Unit(Identifier("100000032", ENTERPRISE), "Eksempelklinikken"),
        department=Unit(Identifier("4200001", RESH), "Poliklinikken"),
        purpose=Code("1", ISO_PURPOSES),
        purpose_details=Code("yyzqpp+0000000000001", "http://dips.com/carerelation"),
        health_service=Code("S01", "2.16.578.1.12.4.1.1.8655"),
        decision=Decision(
            "yyzqpp+0000000000001", user_selected=True, description="Henvendelse fra pasienten"
        ),
        security_level=4,
        patient=Identifier(CITIZEN, NATIONAL),
        scopes=frozenset({"patient/Document.read"}),
        home=HOME,
    ),
    "xua": _expected(
        CallerKind.PERSONNEL,
        "xua",
        "kari@hospital.example",
        name="Kari Østby",
        hpr="7000010",
        role=DOCTOR,
        organisation=Unit(Identifier("2.16.578.1.12.4.5.100.7"), "Eksempel sykehus"),
        purpose=TREATMENT,
        patient=Identifier(CITIZEN, NATIONAL),
        acp=f"{POLICY}.8",
        consent_document="2.16.578.1.12.4.1.7.2.2.1",
        home="2.16.578.1.12.4.5.100.1",
    ),
    "system": _expected(
        CallerKind.MACHINE,
        "system",
        "urn:oid:2.16.578.1.12.4.5.480.1.2",
        name="Pasientregister",
        organisation=Unit(Identifier("100000024", ENTERPRISE), "Eksempel sykehus"),
        scopes=frozenset({"feed", "query"}),
        home="2.16.578.1.12.4.5.100.1",
    ),
}


def test_every_sample_has_its_caller():
    """The files and the table are the same tickets."""
    assert {path.stem for path in SAMPLES.glob("*.xml")} == set(WHOLE)


@pytest.mark.parametrize("sample", WHOLE)
def test_a_whole_ticket_says_this_of_the_caller(sample: str):
    """Each kind of ticket, after the skeletons of the profile."""
    kind = TicketKind(sample.partition("-")[0])
    assert read(xml.parse((SAMPLES / f"{sample}.xml").read_bytes()), kind) == WHOLE[sample]


def test_a_code_keeps_its_display_name():
    """Equality of codes does not look at it, so it is looked at here."""
    read_ = read(xml.parse((SAMPLES / "kjernejournal-hybrid.xml").read_bytes()), KJ)
    assert read_.role is not None
    assert read_.role.display == "Lege"
    assert read_.health_service is not None
    assert read_.health_service.display == "Legetjeneste ved sykehjem mv."


# ---- each row of the profile's table, by each name

NUMBER = ii("100000024", f"urn:oid:{ENTERPRISE}")
RESH_UNIT = ii("4200001", f"urn:oid:{RESH}")
ENTERPRISE_UNIT = Identifier("100000024", ENTERPRISE)
SERVICE = ce("KP01", "urn:oid:2.16.578.1.12.4.1.1.8663", "Sykehjem", name="HealthcareService")
PURPOSE = ce("TREAT", f"urn:oid:{HL7_PURPOSES}", "Treatment", name="PurposeOfUse")
CITIZENS = ce("13", ISO_PURPOSES, "Subject of care uses", name="PurposeOfUse", type_="type")

ROWS = [
    (KJ, NAME_OLD, "Kari", "name", "Kari"),
    (KJ, NAME_NEW, "Kari", "name", "Kari"),
    (HN, NAME_OLD, "Ola", "name", "Ola"),
    (KJ, f"{XSPA2}npi", "7000010", "hpr", "7000010"),
    (KJ, f"{XSPA}npi", "7000010", "hpr", "7000010"),
    (HN, f"{XSPA2}npi", CITIZEN, "hpr", ""),
    (HN, f"{XSPA2}npi", CITIZEN, "person", Identifier(CITIZEN, NATIONAL)),
    (KJ, PROVIDER, ii("7000010", HPR, "type"), "hpr", "7000010"),
    (HN, PROVIDER, ii(CITIZEN, NATIONAL, "type"), "hpr", ""),
    (KJ, ROLE_OLD, ce("LE", f"urn:oid:{PERSONNEL_ROLES}", "Lege"), "role", DOCTOR),
    (KJ, ROLE_NEW, ce("LE", f"urn:oid:{PERSONNEL_ROLES}", "Lege"), "role", DOCTOR),
    (KJ, f"{XSPA}organization", "Eksempel", "organisation", Unit(None, "Eksempel")),
    (HN, f"{XSPA}organization", "Norsk Helsenett", "organisation", Unit(None, "Norsk Helsenett")),
    (KJ, f"{XSPA}organization-id", NUMBER, "organisation", Unit(ENTERPRISE_UNIT)),
    (HN, f"{XSPA}organization-id", "100000024", "organisation", Unit(ENTERPRISE_UNIT)),
    (KJ, f"{XSPA}child-organization", NUMBER, "unit", Unit(ENTERPRISE_UNIT)),
    (KJ, f"{TRUST}subject:child-organization-name", "Sjukeheim", "unit", Unit(None, "Sjukeheim")),
    (KJ, f"{XSPA}facility", RESH_UNIT, "department", Unit(Identifier("4200001", RESH))),
    (KJ, f"{TRUST}subject:facility-name", "Post 1", "department", Unit(None, "Post 1")),
    (KJ, f"{XSPA}purposeOfUse", PURPOSE, "purpose", TREATMENT),
    (KJ, f"{XACML2}action:purpose", PURPOSE, "purpose", TREATMENT),
    (HN, f"{XSPA}purposeofuse", CITIZENS, "purpose", Code("13", ISO_PURPOSES)),
    (XUA, f"{XSPA}purposeofuse", PURPOSE, "purpose", TREATMENT),
    (KJ, f"{TRUST}care-relationship:purpose-of-use-details", SERVICE, "purpose_details",
     Code("KP01", "2.16.578.1.12.4.1.1.8663")),
    (KJ, "urn:no:ehelse:saml:1.1:subject:healthcareservice", SERVICE, "health_service",
     Code("KP01", "2.16.578.1.12.4.1.1.8663")),
    (KJ, f"{TRUST}care-relationship:healthcare-service", SERVICE, "health_service",
     Code("KP01", "2.16.578.1.12.4.1.1.8663")),
    (KJ, f"{TRUST}care-relationship:decision-ref",
     '&lt;decision-ref&gt;&lt;id value="a-1"/&gt;&lt;user-selected value="False"/&gt;&lt;/decision-ref&gt;',
     "decision", Decision("a-1", user_selected=False)),
    (KJ, PATIENT_OLD, cx(CITIZEN), "patient", Identifier(CITIZEN, NATIONAL)),
    (KJ, PATIENT_NEW, cx(CITIZEN), "patient", Identifier(CITIZEN, NATIONAL)),
    (HN, PATIENT_OLD, cx(CITIZEN), "patient", Identifier(CITIZEN, NATIONAL)),
    (KJ, f"{TRUST}resource:child-organization", NUMBER, "patient_unit", Unit(ENTERPRISE_UNIT)),
    (KJ, f"{TRUST}resource:child-organization-id", NUMBER, "patient_unit", Unit(ENTERPRISE_UNIT)),
    (KJ, f"{TRUST}resource:child-organization-name", "Legevakt", "patient_unit", Unit(None, "Legevakt")),
    (KJ, f"{TRUST}resource:facility", RESH_UNIT, "patient_department", Unit(Identifier("4200001", RESH))),
    (KJ, f"{TRUST}resource:facility-name", "Post 2", "patient_department", Unit(None, "Post 2")),
    (KJ, f"{EHELSE}homeCommunityId", HOME, "home", HOME),
    (KJ, "urn:ihe:iti:xca:2010:homeCommunityId", HOME, "home", HOME),
    (HN, "urn:ihe:iti:xca:2010:homeCommunityId", f"urn:oid:{HOME}", "home", HOME),
    (KJ, f"{EHELSE}SecurityLevel", "4", "security_level", 4),
    (HN, "SecurityLevel", "3", "security_level", 3),
    (KJ, f"{EHELSE}Scope", "journaldokumenter_helsepersonell", "scopes",
     frozenset({"journaldokumenter_helsepersonell"})),
    (HN, "Scope", "innsynregisterbruk,prover", "scopes", frozenset({"innsynregisterbruk", "prover"})),
    (KJ, f"{EHELSE}client_id", "5a4e9a0e", "client", "5a4e9a0e"),
    (HN, "client_id", f"urn:oid:{HOME}.1", "client", f"{HOME}.1"),
    (KJ, ACP, f"urn:oid:{POLICY}.8", "acp", f"{POLICY}.8"),
    (KJ, ACP, f"{POLICY}.8", "acp", f"{POLICY}.8"),
    (HN, ACP, f"urn:oid:{POLICY}.8", "acp", f"{POLICY}.8"),
    (KJ, DOCID, "urn:oid:2.16.578.1.12.4.1.7.2.2.1", "consent_document", "2.16.578.1.12.4.1.7.2.2.1"),
    (HN, DOCID, "2.16.578.1.12.4.1.7.2.2.1", "consent_document", "2.16.578.1.12.4.1.7.2.2.1"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "value", "field", "expected"), ROWS)
def test_an_attribute_is_read_by_each_of_its_names(
    kind: TicketKind, name: str, value: str, field: str, expected: object
):
    """The profile's table of attributes, old and new names, as each kind of ticket writes the value."""
    assert getattr(caller({name: value}, kind), field) == expected


def test_every_field_of_a_caller_is_tried():
    """The table above has each field that attributes fill in."""
    about_the_ticket = {"kind", "issuer", "issuer_kind", "ticket_id", "subject", "expires_at", "attested_at"}
    assert {row[3] for row in ROWS} == {each.name for each in fields(Caller)} - about_the_ticket


@pytest.mark.parametrize("kind", [KJ, HN, HSO, XUA, SYSTEM])
def test_what_a_ticket_does_not_say_is_empty(kind: TicketKind):
    """Nothing is filled in, neither a policy nor a level nor a purpose."""
    said = caller({}, kind)
    empty = Caller(
        kind=said.kind, issuer=said.issuer, issuer_kind=kind, ticket_id="_1", subject=said.subject,
        person=said.person,
        expires_at=EXPIRES, attested_at=ATTESTED,
    )  # fmt: skip
    assert said == empty


# ---- the traps: shapes of a value

DECLARED = f'xmlns="urn:hl7-org:v3" xmlns:xsi="{XSI}"'
SHAPES = {
    "a real element": f'<Role {DECLARED} xsi:type="CE" code="LE" codeSystem="{PERSONNEL_ROLES}"/>',
    "an element of another name": f'<Purpose code="LE" codeSystem="{PERSONNEL_ROLES}"/>',
    "white space around it": f'\n  <Role code="LE" codeSystem="{PERSONNEL_ROLES}"/>\n  ',
    "escaped once, xsi not declared": ce("LE", f"urn:oid:{PERSONNEL_ROLES}", "Lege"),
    "escaped once, white space around it": f"\n {ce('LE', PERSONNEL_ROLES, 'Lege')} \n",
    "escaped once, type without prefix": ce("LE", PERSONNEL_ROLES, "Lege", type_="type"),
    "escaped once, another prefix declared": "&lt;a:Role xmlns:a='urn:hl7-org:v3' code='LE'"
    f" codeSystem='{PERSONNEL_ROLES}'/&gt;",
    "escaped once, xsi bound to HL7": f'&lt;Role xmlns:xsi="urn:hl7-org:v3" xsi:type="CE" code="LE"'
    f' codeSystem="{PERSONNEL_ROLES}"/&gt;',
    "escaped twice": f'&amp;lt;Role xsi:type="CE" code="LE" codeSystem="{PERSONNEL_ROLES}"/&amp;gt;',
    "escaped twice, quotation marks too": "&amp;lt;Role code=&amp;quot;LE&amp;quot;"
    f" codeSystem=&amp;quot;{PERSONNEL_ROLES}&amp;quot;/&amp;gt;",
    "with other children": f'<Role code="LE" codeSystem="{PERSONNEL_ROLES}"><originalText>Lege</originalText>'
    "</Role>",
    "CDATA": f'<![CDATA[<Role xsi:type="CE" code="LE" codeSystem="{PERSONNEL_ROLES}"/>]]>',
}  # fmt: skip


@pytest.mark.parametrize("value", SHAPES.values(), ids=SHAPES)
def test_a_coded_value_is_read_in_every_shape(value: str):
    """Attributes count, not the element's name or how often it was escaped."""
    assert caller({ROLE_NEW: value}).role == DOCTOR


def test_a_coded_value_may_be_the_attribute_value_itself():
    """Some write code and codeSystem on saml2:AttributeValue."""
    element = assertion({ROLE_NEW: ""})
    value = element.find(f".//{{{SAML}}}AttributeValue")
    assert value is not None
    value.set("code", "LE")
    value.set("codeSystem", PERSONNEL_ROLES)
    assert read(element, KJ).role == DOCTOR


NOTHING = ["", " \n ", '<Role xmlns="urn:hl7-org:v3"/>', f'<Role xmlns:x="{XSI}" x:nil="true" code="LE"/>',
           '&lt;Role xsi:nil="true" code="LE"/&gt;', '&lt;Role code="" codeSystem="1.2.3"/&gt;']  # fmt: skip


@pytest.mark.parametrize("value", NOTHING)
def test_an_empty_value_or_nil_is_nothing(value: str):
    """An old name is then asked."""
    assert caller({ROLE_NEW: value}).role is None
    assert caller({ROLE_NEW: value, ROLE_OLD: ce("LE", PERSONNEL_ROLES, "Lege")}).role == DOCTOR


def test_a_nil_attribute_value_is_nothing():
    """HelseID writes what it does not know with xsi:nil, under a prefix of its own."""
    element = assertion({ACP: ""})
    value = element.find(f".//{{{SAML}}}AttributeValue")
    assert value is not None
    value.set(f"{{{XSI}}}nil", "true")
    assert read(element, KJ).acp == ""


@pytest.mark.parametrize("content", [CITIZEN, f'<id extension="{CITIZEN}"/>'])
def test_a_nil_attribute_value_with_content_is_refused(content: str):
    """A ticket for somebody is not one for anybody because it says both."""
    element = assertion({PATIENT_NEW: content})
    value = element.find(f".//{{{SAML}}}AttributeValue")
    assert value is not None
    value.set(f"{{{XSI}}}nil", "1")
    with pytest.raises(Denied, match="ticket-content"):
        read(element, KJ)


UNREADABLE = {
    "not well-formed": "&lt;Role code=&gt;",
    "not closed": '&lt;Role code="LE"&gt;',
    "another prefix that is not declared": '&lt;Role y:type="CE" code="LE"/&gt;',
    "two elements": '&lt;Role code="LE"/&gt;&lt;Role code="SP"/&gt;',
    "two real elements": '<Role code="LE"/><Role code="SP"/>',
    "text beside a real element": 'LE<Role code="LE"/>',
    "text after it": '<Role code="LE"/>LE',
    "text after it, escaped": '&lt;Role code="LE"/&gt; LE',
    "out of its wrapping": "&lt;/value&gt;&lt;value&gt;",
    "a document type": '&lt;!DOCTYPE Role [&lt;!ENTITY a "LE"&gt;]&gt;&lt;Role code="&amp;a;"/&gt;',
    "an entity": '&lt;Role code="&amp;lege;"/&gt;',
    "said in two ways": '&lt;Role code="LE"&gt;&lt;code value="SP"/&gt;&lt;/Role&gt;',
    "said in two spellings": '&lt;Role code-system="1.2.3" codeSystem="1.2.4" code="LE"/&gt;',
    "escaped three times": '&amp;amp;lt;Role code="LE"/&amp;amp;gt;',
    "very long": "x" * (values.LONGEST + 1),
    "very long, inside": f'<Role code="LE"><name>{"x" * (values.LONGEST + 1)}</name></Role>',
    "text beside a child": "<Role>LE<name>Lege</name></Role>",
    "text after a child": '<Role code="LE"><name>Lege</name>LE</Role>',
    "very deep": "&lt;a&gt;" * 300 + "&lt;/a&gt;" * 300,
}


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
def test_a_value_that_is_not_one_is_refused(value: str):
    """Nothing is recovered from what cannot be parsed."""
    assert refused({ROLE_NEW: value})


def test_a_comment_cannot_divide_a_value():
    """The parser drops comments; an element that has one all the same is refused."""
    element = assertion({f"{XSPA}organization-id": "100000024"})
    value = element.find(f".//{{{SAML}}}AttributeValue")
    assert value is not None
    value.append(etree.Comment("x"))
    with pytest.raises(Denied, match="ticket-content"):
        read(element, KJ)
    value.text = None
    with pytest.raises(Denied, match="ticket-content"):
        read(element, KJ)


@pytest.mark.parametrize("name", [NAME_NEW, ACP, f"{EHELSE}Scope", "urn:ihe:iti:xca:2010:homeCommunityId"])
@pytest.mark.parametrize("value", ['<Role code="4"/>', '&lt;Role code="4"/&gt;'])
def test_an_element_where_text_belongs_is_refused(name: str, value: str):
    """A policy or a scope that cannot be read is not the same as none."""
    assert refused({name: value})


# ---- the traps: text

NAMES = {
    "Kari": "Kari",
    "  Kari \n  \u00a0 Østby ": "Kari Østby",
    r"Bj\u00f8rg \u00C5s": "Bjørg Ås",
    r"\ud83d\ude00 Kari": "\U0001f600 Kari",
    r"\u00": r"\u00",
    r"\ud83d": r"\ud83d",  # half a pair is no character
    r"\ude00\ud83d": r"\ude00\ud83d",
    r"\ud83d\u0041": r"\ud83dA",
    r"\U00e6": r"\U00e6",
    r"Kari\u0000\u001b[31m\u202e": "Kari[31m",
    "Kari\u202e\u200b": "Kari",
    r"Kari\u000aGudmund": "Kari Gudmund",
    r"\uffff\ufeffKari": "Kari",
    "Bakke &amp; S\u00f8nn": "Bakke & Sønn",
    "Bakke &amp;amp; S\u00f8nn": "Bakke & Sønn",
    "Bakke &amp;amp;amp; S\u00f8nn": "Bakke & Sønn",
    r"Bakke \u0026amp; S\u00f8nn": "Bakke & Sønn",
}


@pytest.mark.parametrize(("sent", "expected"), NAMES.items())
def test_a_name_is_freed_of_escapes_and_control_characters(sent: str, expected: str):
    """Only whole escapes are one; what would drive a terminal or turn the writing round is left out."""
    assert caller({NAME_NEW: sent}).name == expected


def test_a_display_name_is_freed_of_escapes_too():
    """Inside a coded value the same escapes occur."""
    role = caller({ROLE_NEW: ce("LE", PERSONNEL_ROLES, r"Overl\u00e6rer &amp;amp; lege")}).role
    assert role is not None
    assert role.display == "Overlærer & lege"


SYSTEMS = {
    f"urn:oid:{PERSONNEL_ROLES}": PERSONNEL_ROLES,
    f"urn: oid:{PERSONNEL_ROLES}": PERSONNEL_ROLES,
    f"oid:{PERSONNEL_ROLES}": PERSONNEL_ROLES,
    f"URN:OID:{PERSONNEL_ROLES}": PERSONNEL_ROLES,
    PERSONNEL_ROLES: PERSONNEL_ROLES,
    "8655": "2.16.578.1.12.4.1.1.8655",
    "https://terminology.dips.com/decisiontemplate": "https://terminology.dips.com/decisiontemplate",
    "urn:AuditEventHL7Norway/CodeSystem/carerelation": "urn:AuditEventHL7Norway/CodeSystem/carerelation",
    "http://": "",
    "Ukjent": "",
    "*****": "",
    "urn:oid:": "",
    "urn:oid:2.16..1": "",
    "urn:oid:02.1": "",
    "2" + ".1" * 40: "",
    "": "",
}


@pytest.mark.parametrize(("sent", "expected"), SYSTEMS.items())
def test_a_code_system_is_an_oid_without_prefix_or_a_uri(sent: str, expected: str):
    """A number of four digits is one of Volven's; a code without its system matches no rule."""
    assert caller({ROLE_NEW: ce("LE", sent, "Lege")}).role == Code("LE", expected)


AUTHORITIES = {
    f"urn:oid:{ENTERPRISE}": ENTERPRISE,
    f"urn: oid:{ENTERPRISE}": ENTERPRISE,
    f"oid:{RESH}": RESH,
    RESH: RESH,
    "urn:oid:2.16.578.1.12.4.1.101": ENTERPRISE,  # an arc is missing, as in Helse Sør-Øst's
    "2.16.578.1.12.4.1.102": RESH,
    "http://data.brreg.no/begrep/28155": "",
    "Ukjent": "",
    "*****": "",
    "8655": "",
}


@pytest.mark.parametrize(("sent", "expected"), AUTHORITIES.items())
def test_an_authority_is_an_oid_without_prefix_or_none(sent: str, expected: str):
    """Whatever is not an OID is no authority; two known OIDs are mended."""
    assert caller({f"{XSPA}facility": ii("17", sent)}).department == Unit(Identifier("17", expected))


SCOPES = [
    (["one"], {"one"}),
    (["one", "two"], {"one", "two"}),
    (["one,two, three"], {"one", "two", "three"}),
    (["one two\nthree"], {"one", "two", "three"}),
    (["one,,two,", "two"], {"one", "two"}),
    (["", ","], set()),
]


@pytest.mark.parametrize(("sent", "expected"), SCOPES)
def test_scopes_come_one_by_one_or_as_lists(sent: list[str], expected: set[str]):
    """Attribute values, commas and blanks all part them, and both names are read."""
    assert caller({f"{EHELSE}Scope": sent}).scopes == expected
    assert caller({f"{EHELSE}Scope": sent, "Scope": "more"}).scopes == expected | {"more"}


@pytest.mark.parametrize("sent", ["0", "5", "04", "4.0", "-1", "high", "٤", "1" * 50])
def test_a_security_level_outside_1_to_4_is_none(sent: str):
    """Nothing is rounded, and only ASCII digits are digits."""
    assert caller({f"{EHELSE}SecurityLevel": sent}).security_level is None


DECISIONS = {
    '<d><id value="a"/><user-selected value="True"/></d>': Decision("a", user_selected=True),
    '<d><id>a</id><user-selected>false</user-selected></d>': Decision("a", user_selected=False),
    '<d id="a" user-selected="1"/>': Decision("a", user_selected=True),
    '<d><id value="a"/><user_selected value="0"/><description value="Innlagt"/></d>':
        Decision("a", user_selected=False, description="Innlagt"),
    '<d><id value="a"/><user-selected value="kanskje"/></d>': Decision("a"),
    '<d><user-selected value="true"/></d>': Decision("", user_selected=True),
    "a": Decision("a"),
    "<d/>": None,
}  # fmt: skip


@pytest.mark.parametrize(("sent", "expected"), DECISIONS.items())
def test_a_decision_is_read_from_children_or_attributes(sent: str, expected: Decision | None):
    """decision-ref has no published form; the tokens seen have children with a value."""
    assert caller({f"{TRUST}care-relationship:decision-ref": sent}).decision == expected


# ---- HPR numbers

HPR_NUMBERS = {
    "7000010": "7000010",
    "007000010": "7000010",
    "000007000010": "7000010",
    ii("7000010", f"urn:oid:{HPR}"): "7000010",
    ii("0070000100", HPR): "70000100",
    '<npi code="7000010" codeSystem="2.16.578.1.12.4.1.4.4"/>': "7000010",
    ii("7000010", "2.16.578.1.12.4.3.1.40.25.1"): "",  # a user id of the region
    "7000010A": "",
    "7 000 010": "",
    "1234567890": "",
    "000": "",
    "٧٠٠": "",
    "": "",
}


@pytest.mark.parametrize(("sent", "expected"), HPR_NUMBERS.items())
def test_an_hpr_number_has_one_to_nine_digits(sent: str, expected: str):
    """Leading zeros are left out; what is not such a number is not guessed at."""
    assert caller({f"{XSPA}npi": sent}).hpr == expected


def test_whoever_has_no_hpr_number_may_send_the_national_number_as_one():
    """It is then the person once more, with a root or without (norwegian-profile 4.12)."""
    said = caller({PROVIDER: ii(CLINICIAN, NATIONAL), f"{XSPA}npi": CLINICIAN})
    assert (said.hpr, said.person) == ("", Identifier(CLINICIAN, NATIONAL))


# ---- who it is

PEOPLE = [
    (KJ, CLINICIAN, Identifier(CLINICIAN, NATIONAL)),
    (KJ, f"  {CLINICIAN}\n", Identifier(CLINICIAN, NATIONAL)),
    (HSO, CLINICIAN, Identifier(CLINICIAN, NATIONAL)),
    (HN, D_NUMBER, Identifier(D_NUMBER, TEMPORARY)),
    (HN, HELP_NUMBER, Identifier(HELP_NUMBER, SHARED_HELP)),
    (XUA, CLINICIAN, Identifier(CLINICIAN, NATIONAL)),
    (XUA, "01815510094", None),
    (XUA, "kari", None),
    (SYSTEM, "feed", None),
]


@pytest.mark.parametrize(("kind", "name_id", "expected"), PEOPLE)
def test_the_person_is_named_by_name_id(kind: TicketKind, name_id: str, expected: Identifier | None):
    """The authority follows from the number; plain XUA and systems may have another name."""
    said = caller({}, kind, name_id)
    assert (said.person, said.subject) == (expected, name_id.strip())


NOBODY = [
    "",
    " ",
    "kari",
    "01815510094",
    "0181551009",
    "018155100933",
    "99999999999",
    "٠١٨١٥٥١٠٠٩٣",
    "00000000000",
]


@pytest.mark.parametrize("kind", [KJ, HN, HSO])
@pytest.mark.parametrize("name_id", NOBODY)
def test_a_name_id_that_is_no_national_number_is_refused(kind: TicketKind, name_id: str):
    """These kinds are about people; a wrong control digit is nobody."""
    assert refused({}, kind, name_id)


@pytest.mark.parametrize("kind", [KJ, HN, HSO, XUA])
def test_a_month_raised_by_40_is_somebody_in_tests_only(kind: TicketKind):
    """It means somebody else in each enterprise, and one of Dolly's persons in tests."""
    assert refused({}, kind, LOCAL, test=False)
    assert caller({}, kind, LOCAL).person == Identifier(LOCAL, NATIONAL)


@pytest.mark.parametrize("kind", [KJ, XUA])
def test_a_patient_with_a_month_raised_by_40_is_somebody_in_tests_only(kind: TicketKind):
    """The same holds of the patient."""
    sent = {PATIENT_NEW: cx(LOCAL)}
    assert refused(sent, kind, REAL, test=False)
    assert caller(sent, kind).patient == Identifier(LOCAL, NATIONAL)


@pytest.mark.parametrize("number", [CITIZEN, "29698496140"])
@pytest.mark.parametrize("kind", [KJ, HN, HSO, XUA])
def test_a_synthetic_person_is_somebody_in_tests_only(kind: TicketKind, number: str):
    """Those of Tenor and of Norsk helsenett; outside tests, people who do not exist ask for nothing."""
    assert refused({}, kind, number, test=False)
    assert caller({}, kind, number).person == Identifier(number, NATIONAL)


@pytest.mark.parametrize("kind", [KJ, XUA])
def test_a_synthetic_patient_is_somebody_in_tests_only(kind: TicketKind):
    """Nor does anybody ask about them."""
    sent = {PATIENT_NEW: cx(CITIZEN)}
    assert refused(sent, kind, REAL, test=False)
    assert caller({}, kind, REAL, test=False).person == Identifier(REAL, SHARED_HELP)
    assert caller(sent, kind).patient == Identifier(CITIZEN, NATIONAL)


@pytest.mark.parametrize("name_id", ["", " "])
@pytest.mark.parametrize("kind", [XUA, SYSTEM])
def test_a_ticket_without_a_subject_is_refused(kind: TicketKind, name_id: str):
    """NameID must say something, whatever it is."""
    assert refused({}, kind, name_id)


def test_a_system_is_not_called_by_a_national_number():
    """A person with a system's ticket would be nobody in the log."""
    assert refused({}, SYSTEM, CLINICIAN)


def test_a_system_has_no_person_whatever_it_sends():
    """Neither an HPR number nor a role makes a system health personnel."""
    sent = {
        f"{XSPA}npi": "7000010",
        ROLE_NEW: ce("LE", PERSONNEL_ROLES, "Lege"),
        PROVIDER: ii(CLINICIAN, NATIONAL),
    }
    said = caller(sent, SYSTEM)
    assert (said.kind, said.person, said.hpr, said.role) == (CallerKind.MACHINE, None, "", None)


def test_plain_xua_may_name_the_person_as_provider():
    """With a user name as NameID, the national number stands in the provider identifier."""
    said = caller({PROVIDER: ii(CLINICIAN, NATIONAL)}, XUA, "kari")
    assert (said.subject, said.person) == ("kari", Identifier(CLINICIAN, NATIONAL))


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.attrib.pop("ID"),
        lambda e: e.set("ID", ""),
        lambda e: e.remove(e[0]),
        lambda e: e[0].remove(e[0][0]),
        lambda e: e[0].append(e.makeelement(f"{{{SAML}}}NameID")),
        lambda e: e[0][0].append(e.makeelement("b")),
        lambda e: (
            e.append(e.makeelement(f"{{{SAML}}}Subject")) or e[-1].append(e.makeelement(f"{{{SAML}}}NameID"))
        ),
    ],
)
def test_an_assertion_without_its_id_or_one_subject_is_refused(change: Any):
    """The parts that name the ticket and its holder are there once."""
    element = assertion({})
    change(element)
    with pytest.raises(Denied, match="ticket-content"):
        read(element, KJ)


def test_a_kind_of_token_is_no_assertion():
    """An issuer of JWTs cannot be read as one of SAML."""
    assert refused({}, TicketKind.HELSEID, CLINICIAN)


# ---- said in two ways

TWICE: list[tuple[TicketKind, Sent]] = [
    (KJ, {PROVIDER: ii(CITIZEN, NATIONAL)}),  # another person than NameID
    (HN, {PROVIDER: ii(CLINICIAN, NATIONAL)}),
    (HN, {PROVIDER: ii("17", NATIONAL)}),
    (HN, {f"{XSPA2}npi": CLINICIAN}),
    (HSO, {"hso:subject:national-identifier:id": CITIZEN}),
    (XUA, {PROVIDER: [ii(CITIZEN, NATIONAL), ii(CHILD, NATIONAL)]}),
    (KJ, {PROVIDER: ii("7000010", HPR), f"{XSPA}npi": "7000011"}),
    (KJ, {f"{XSPA}npi": "7000010", f"{XSPA2}npi": "7000011"}),
    (KJ, {f"{XSPA}npi": ["7000010", "7000011"]}),
    (KJ, {PATIENT_NEW: cx(CITIZEN), PATIENT_OLD: cx(CHILD)}),
    (KJ, {PATIENT_NEW: [cx(CITIZEN), CHILD]}),
    (KJ, {PATIENT_NEW: cx("17", "1.2.3"), PATIENT_OLD: cx("17", "1.2.4")}),
    (KJ, {f"{XSPA}organization-id": ["100000024", "100000032"]}),
    (KJ, {f"{XSPA}organization-id": [NUMBER, ii("100000024", RESH)]}),
    (KJ, {ACP: [f"{POLICY}.7", f"{POLICY}.8"]}),
    (KJ, {f"{EHELSE}SecurityLevel": ["3", "4"]}),
    (KJ, {f"{XACML2}action:purpose": [PURPOSE, CITIZENS]}),
    (HSO, {"hso:purpose:id": ["1", "2"], "hso:purpose:system": "1.0.14265.1"}),
    (HSO, {"hso:resource:id": [CITIZEN, CHILD]}),
]


@pytest.mark.parametrize(("kind", "sent"), TWICE)
def test_what_is_said_in_two_ways_is_refused(kind: TicketKind, sent: Sent):
    """No name wins over another where the two are different people, patients or organisations."""
    assert refused(sent, kind)


ONCE: list[tuple[Sent, str, object]] = [
    ({f"{XSPA}npi": "007000010", f"{XSPA2}npi": "7000010", PROVIDER: ii("7000010", HPR)}, "hpr", "7000010"),
    ({PATIENT_NEW: cx(CITIZEN), PATIENT_OLD: CITIZEN}, "patient", Identifier(CITIZEN, NATIONAL)),
    ({f"{XSPA}organization-id": [NUMBER, "100000024"]}, "organisation", Unit(ENTERPRISE_UNIT)),
    ({f"{XSPA}organization-id": ["17", ii("17", RESH)]}, "organisation", Unit(Identifier("17", RESH))),
    ({ACP: ["", f"urn:oid:{POLICY}.7", f"{POLICY}.7"]}, "acp", f"{POLICY}.7"),
    ({NAME_OLD: "KARI", NAME_NEW: "Kari"}, "name", "Kari"),
    ({NAME_OLD: "KARI", NAME_NEW: ""}, "name", "KARI"),
    ({ROLE_OLD: ce("SP", PERSONNEL_ROLES, ""), ROLE_NEW: ce("LE", PERSONNEL_ROLES, "")}, "role", DOCTOR),
    ({ROLE_NEW: [ce("LE", PERSONNEL_ROLES, ""), ce("SP", PERSONNEL_ROLES, "")]}, "role", DOCTOR),
    ({f"{XSPA}purposeOfUse": CITIZENS, f"{XACML2}action:purpose": PURPOSE}, "purpose", TREATMENT),
    ({f"{EHELSE}homeCommunityId": "1.2.3", "urn:ihe:iti:xca:2010:homeCommunityId": HOME}, "home", HOME),
    ({"SecurityLevel": "2", f"{EHELSE}SecurityLevel": "4"}, "security_level", 4),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "field", "expected"), ONCE)
def test_a_new_name_wins_and_the_same_thing_may_be_said_twice(sent: Sent, field: str, expected: object):
    """A hybrid ticket has both sets of names; their order in the ticket does not matter."""
    assert getattr(caller(sent), field) == expected
    assert getattr(caller(dict(reversed(sent.items()))), field) == expected


def test_attributes_may_be_repeated_and_spread_over_statements():
    """IHE asks to accept all of it (ITI TF-2 3.40.4.1.2)."""
    element = xml.parse(
        f'<s:Assertion xmlns:s="{SAML}" ID="_1"><s:Subject><s:NameID>{CLINICIAN}</s:NameID></s:Subject>'
        '<s:AttributeStatement><s:Attribute Name="Scope"><s:AttributeValue>a</s:AttributeValue>'
        "<s:AttributeValue>b</s:AttributeValue></s:Attribute></s:AttributeStatement><s:AttributeStatement>"
        '<s:Attribute Name="Scope"><s:AttributeValue>c</s:AttributeValue></s:Attribute>'
        f'<s:Attribute Name="{NAME_NEW}"/><s:Attribute/></s:AttributeStatement></s:Assertion>'.encode()
    )
    assert read(element, KJ).scopes == {"a", "b", "c"}


def test_attributes_elsewhere_in_the_assertion_are_not_read():
    """saml2:Advice may hold anything, attributes among it."""
    element = assertion({})
    advice = etree.SubElement(element, f"{{{SAML}}}Advice")
    advice.append(assertion({ROLE_NEW: ce("LE", PERSONNEL_ROLES, "Lege")})[1])
    assert read(element, KJ).role is None


# ---- the patient

PATIENTS = {
    cx(CITIZEN): Identifier(CITIZEN, NATIONAL),
    f"{CITIZEN}^^^&amp;amp;{NATIONAL}&amp;amp;ISO": Identifier(CITIZEN, NATIONAL),
    f"{CITIZEN}^^^&amp;amp;amp;{NATIONAL}&amp;amp;amp;ISO": Identifier(CITIZEN, NATIONAL),
    rf"{CITIZEN}^^^\u0026{NATIONAL}\u0026ISO": Identifier(CITIZEN, NATIONAL),
    f" {CITIZEN} ": Identifier(CITIZEN, NATIONAL),
    D_NUMBER: Identifier(D_NUMBER, TEMPORARY),
    HELP_NUMBER: Identifier(HELP_NUMBER, SHARED_HELP),
    cx(D_NUMBER): Identifier(D_NUMBER, TEMPORARY),  # the authority of fødselsnummer, whatever the number
    ii(CITIZEN, NATIONAL): Identifier(CITIZEN, NATIONAL),
    ii(CITIZEN, "http://"): Identifier(CITIZEN, NATIONAL),
    cx("200000000017", "2.16.578.1.12.4.1.4.5"): Identifier("200000000017", "2.16.578.1.12.4.1.4.5"),
    '<id extension="" root="1.2.3"/>': None,
    "": None,
}


@pytest.mark.parametrize(("sent", "expected"), PATIENTS.items())
def test_the_patient_is_read_in_every_shape(sent: str, expected: Identifier | None):
    """A CX however often escaped, an II, or a number alone."""
    assert caller({PATIENT_OLD: sent}).patient == expected


NO_PATIENTS = [
    cx("02825510013"), "02825510013", "17", "kari", f"{CITIZEN}^^^", f"{CITIZEN}^^^{NATIONAL}",
    f"{CITIZEN}^^^&amp;{NATIONAL}&amp;ISO^PI", f"{CITIZEN}^^^&amp;&amp;ISO", cx(CITIZEN, "2.16.x"), cx(""),
    f"{CITIZEN}~{CHILD}", cx(CITIZEN) + cx(CHILD), '<id root="1.2.3"/>', '<id nummer="17"/>',
    "<id><extension/></id>17",
]  # fmt: skip


@pytest.mark.parametrize("sent", NO_PATIENTS)
def test_a_patient_that_cannot_be_read_is_refused(sent: str):
    """A ticket for some patient must never become a ticket for any."""
    assert refused({PATIENT_NEW: sent})


@pytest.mark.parametrize("name", [ACP, "urn:ihe:iti:xca:2010:homeCommunityId"])
@pytest.mark.parametrize("sent", ["7", "urn:uuid:1", "akutt", "urn:oid:x", "urn:oid:1.2.3 4"])
def test_a_policy_or_home_that_is_no_oid_is_refused(name: str, sent: str):
    """What decides must be readable."""
    assert refused({name: sent})


def test_the_policy_that_stands_for_none_is_none():
    """`.0` is what others write for themselves when nothing was sent (norwegian-profile 4.6)."""
    assert caller({ACP: f"urn:oid:{POLICY}.0"}).acp == ""


def test_a_consent_document_that_is_no_oid_is_kept():
    """Its id is any URI (ITI TF-2 3.40.4.1.2)."""
    assert caller({DOCID: "urn:uuid:1"}).consent_document == "urn:uuid:1"


# ---- citizens

CITIZENS_ASK = [
    ("", "", CallerKind.CITIZEN),
    (CITIZEN, "", CallerKind.CITIZEN),
    (cx(CITIZEN), "", CallerKind.CITIZEN),
    (cx(CITIZEN), f"{POLICY}.0", CallerKind.CITIZEN),
    (cx(CITIZEN), f"{POLICY}.4", CallerKind.CITIZEN),  # of personnel: the access rules decide
    ("", f"{POLICY}.7", CallerKind.CITIZEN),
    (cx(CHILD), f"{POLICY}.1", CallerKind.REPRESENTATIVE),
    (cx(CHILD), f"urn:oid:{POLICY}.2", CallerKind.REPRESENTATIVE),
    (CHILD, f"{POLICY}.3", CallerKind.REPRESENTATIVE),
    (cx(CHILD), f"{POLICY}.4", CallerKind.REPRESENTATIVE),
    (cx(CHILD), "1.2.3", CallerKind.REPRESENTATIVE),
    (cx(CHILD), "", None),
    (cx(CHILD), f"{POLICY}.0", None),
    (cx(CITIZEN, "1.2.3"), "", None),  # the same digits, and somebody else
    (cx(CITIZEN), f"{POLICY}.1", None),
    (cx(CITIZEN), f"{POLICY}.2", None),
    (CITIZEN, f"{POLICY}.3", None),
    ("", f"{POLICY}.1", None),
]


@pytest.mark.parametrize(("patient", "policy", "expected"), CITIZENS_ASK)
def test_a_citizen_asks_for_oneself_or_with_a_policy_for_another(
    patient: str, policy: str, expected: CallerKind | None
):
    """Another's record needs a policy; one's own with a policy of representation says two things."""
    sent = {PATIENT_OLD: patient, ACP: policy}
    if expected is None:
        assert refused(sent, HN)
    else:
        assert caller(sent, HN).kind == expected


@pytest.mark.parametrize("number", range(1, 9))
def test_personnel_may_come_with_any_policy(number: int):
    """Whether it is theirs to have is for the access rules."""
    said = caller({PATIENT_NEW: cx(CITIZEN), ACP: f"{POLICY}.{number}"})
    assert (said.kind, said.acp) == (CallerKind.PERSONNEL, f"{POLICY}.{number}")


# ---- Helse Sør-Øst's groups

GROUPS: list[tuple[Sent, str, object]] = [
    ({"hso:subject:organization:id": "100000024"}, "organisation", Unit(ENTERPRISE_UNIT)),
    ({"hso:subject:organization:id": "", "hso:subject:organization:system": RESH}, "organisation", None),
    ({"hso:subject:facility:name": "Post 1"}, "department", Unit(None, "Post 1")),
    ({"hso:subject:role:id": "17", "hso:subject:role:system": "8655"}, "role",
     Code("17", "2.16.578.1.12.4.1.1.8655")),
    ({"hso:subject:qualification:id": "7000010"}, "hpr", "7000010"),
    ({"hso:subject:qualification:id": "7000010", "hso:subject:qualification:system": "*****"}, "hpr",
     "7000010"),
    ({"hso:purpose-local:userSelected": "false"}, "decision", Decision("", user_selected=False)),
    ({"hso:purpose-local:id": "T", "hso:purpose-local:reason": "akutt"}, "decision",
     Decision("T", description="akutt")),
    ({"hso:resource:system": NATIONAL}, "patient", None),
    ({"hso:resource:id": CITIZEN, "hso:resource:assigner": "Ukjent"}, "patient",
     Identifier(CITIZEN, NATIONAL)),
    ({"hso:resource:id": "17", "hso:resource:system": "1.2.3"}, "patient", Identifier("17", "1.2.3")),
    ({"hso:resource:facility:id": "4200001", "hso:resource:facility:system": "2.16.578.1.12.4.1.102"},
     "patient_department", Unit(Identifier("4200001", RESH))),
    ({"hso:subject:assurance-level:id": "3"}, "security_level", 3),
    ({"hso:scope": ["a", "b"]}, "scopes", frozenset({"a", "b"})),
    ({ACP: f"urn:oid:{POLICY}.7"}, "acp", f"{POLICY}.7"),
    ({ROLE_NEW: ce("LE", PERSONNEL_ROLES, "Lege")}, "role", None),  # another kind's name
    ({"hso:subject:role:id": ["LE", "SP"], "hso:subject:role:system": ["8655", "8451"]}, "role",
     Code("LE", "2.16.578.1.12.4.1.1.8655")),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "field", "expected"), GROUPS)
def test_a_group_is_read_whatever_of_it_is_missing(sent: Sent, field: str, expected: object):
    """Any attribute of a group may be missing or empty."""
    assert getattr(caller(sent, HSO), field) == expected


@pytest.mark.parametrize(
    "sent",
    [
        {"hso:subject:role:id": ["a", "b"], "hso:subject:role:system": ["1.2.3"]},
        {"hso:resource:id": "02825510013", "hso:resource:system": NATIONAL},
        {"hso:resource:id": "17"},
        {"hso:subject:role:id": "<a code='1'/>"},
        {"hso:purpose-local:userSelected": "true", "hso:purpose-local:userselected": "false"},
    ],
)
def test_a_group_that_cannot_be_put_together_is_refused(sent: Sent):
    """Nobody can tell which code has which system."""
    assert refused(sent, HSO)


# ---- anything at all

_NAMES = sorted({name for shape in attributes.SHAPES.values() for row in shape.rows for name in row.names})
_SUFFIXES = ["", ":id", ":name", ":system", ":userSelected", ":description"]
_CHARACTERS = st.characters(
    exclude_categories=["Cs"], exclude_characters=[*map(chr, range(32)), "\ufffe", "\uffff"]
)
_TEXTS = st.one_of(
    st.text(_CHARACTERS),
    st.text("<>&;\"'=/ -_^~|\\u0123456789abcdefABCDEF.:{}xmlnsicodeQgtla\t\n"),
    st.sampled_from([*SHAPES.values(), *NAMES, *PATIENTS, *SYSTEMS, *UNREADABLE.values(), *HPR_NUMBERS]),
)


@given(
    kind=st.sampled_from(list(TicketKind)),
    name_id=st.one_of(st.just(CLINICIAN), _TEXTS),
    sent=st.lists(
        st.tuples(st.sampled_from(_NAMES), st.sampled_from(_SUFFIXES), _TEXTS, st.booleans()), max_size=6
    ),
)
def test_no_text_does_anything_but_be_read_or_refused(
    kind: TicketKind, name_id: str, sent: list[tuple[str, str, str, bool]]
):
    """Whatever stands in a ticket, there is a Caller without control characters, or Denied."""
    element = assertion({}, "")
    element[0][0].text = name_id
    for name, suffix, text, escaped in sent:
        attribute = etree.SubElement(
            element[1], f"{{{SAML}}}Attribute", Name=name + suffix * name.startswith("hso")
        )
        value = etree.SubElement(attribute, f"{{{SAML}}}AttributeValue")
        if escaped:
            value.text = text
        else:
            etree.SubElement(value, "v", code=text, extension=text, root=text).text = text
    said, rule = None, ""
    try:
        said = read(element, kind)
    except Denied as error:
        rule = error.rule
    assert said is not None or rule == "ticket-content"
    for text in _texts(said):
        assert not {unicodedata.category(c) for c in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert not set(text) & {"\ufffe", "\uffff"}


def _texts(value: Any) -> list[str]:
    """Every text in a Caller."""
    if is_dataclass(value):
        return [text for each in fields(value) for text in _texts(getattr(value, each.name))]
    if isinstance(value, frozenset):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


@given(number=st.integers(0, 0xFFFF), low=st.integers(0, 0xFFFF))
def test_every_escape_is_a_character_or_stays_as_it_is(number: int, low: int):
    """Never half a pair, which could not be written down."""
    text = values.plain(rf"x\u{number:04x}\u{low:04X}x")
    text.encode()
    pair = 0xD800 <= number < 0xDC00 <= low < 0xE000
    assert ("\\" in text) == (
        not pair and (0xD800 <= number < 0xE000 or 0xD800 <= low < 0xE000 or 0x5C in (number, low))
    )
