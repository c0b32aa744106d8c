"""What the sample tickets say: a SAML assertion of each kind, in the shape that the real issuer gives it.

tickets.py has them signed. A shape is a table of attributes, with the names, the data types and the oddities
of norwegian-profile 4.2 to 4.9 (inner XML as text without its xsi, `type=` without a prefix), because an
integrator's code, and ours, must be able to read them. Nothing here may name somebody who exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from xds.demo.keys import AUDIENCE, issuer
from xds.metadata.national import NATIONAL
from xds.security import values
from xds.security.saml import SAML2
from xds.security.trust import TicketKind
from xds.transport.xml import escape

_XSI: Final = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_EHELSE: Final = "urn:no:ehelse:saml:1.0:subject"
_UNSPECIFIED: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"

ROLES: Final = "2.16.578.1.12.4.1.1.9060"
SERVICES: Final = "2.16.578.1.12.4.1.1.8655"
DECISIONS: Final = "https://terminology.dips.com/decisiontemplate"
PURPOSES: Final = "2.16.840.1.113883.1.11.20448"
ISO_PURPOSES: Final = "1.0.14265.1"
HOME: Final = "2.16.578.1.12.4.5.100.1"
CONSENTS: Final = "2.16.578.1.12.4.1.7.2.2"

#: Organisation numbers that begin with 3 are of Tenor's synthetic enterprises.
ENTERPRISE: Final = ("310000019", "Eksempelsykehuset HF")
POINT_OF_CARE: Final = ("310000027", "Eksempelsykehuset, Øya")
DEPARTMENT: Final = ("999001", "Medisinsk avdeling")
ROLE: Final = ("LE", "Lege")
SERVICE: Final = ("S03", "Indremedisin")
#: What a system may do: register documents, and delete them.
SYSTEM_SCOPES: Final = ("nhn:phr-repo/mhd/create", "nhn:phr-repo/delete-docs-and-refs")
#: What health personnel may give as the reason (norwegian-profile 4.7): its words, and its code in ISO 14265.
REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "TREAT": ("Treatment", "1"),
    "ETREAT": ("Emergency Treatment", "2"),
    "COC": ("Coordination of Care", "1"),
    "BTG": ("Break the Glass", "2"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What can be chosen of a ticket.

    `person` is a number of 11 digits, or a system's id; `patient` a CX text; `purpose` a key of REASONS;
    `acp` the last digit of the access policy, or empty; `decision` the id of the local access decision.
    """

    person: str
    name: str
    hpr: str
    patient: str
    purpose: str
    acp: str
    decision: str


def _attribute(prefix: str, name: str, value: str, friendly: str = "", type_: str = "") -> str:
    """An attribute; no value is xsi:nil, as Kjernejournal writes it. `value` is XML."""
    shown = f' FriendlyName="{escape(friendly)}"' if friendly else ""
    if not value:
        content = f'<{prefix}:AttributeValue {_XSI} xsi:nil="true"/>'
    elif type_:
        content = f"<{prefix}:AttributeValue {_XSI} {type_}>{value}</{prefix}:AttributeValue>"
    else:
        content = f"<{prefix}:AttributeValue>{value}</{prefix}:AttributeValue>"
    return f'<{prefix}:Attribute Name="{escape(name)}"{shown}>{content}</{prefix}:Attribute>'


def _element(name: str, type_: str, attributes: Mapping[str, str]) -> str:
    """A value of HL7 version 3, as XML; `type_` is its type with its attribute."""
    given = "".join(f' {each}="{escape(value)}"' for each, value in attributes.items())
    return f'<{name} xmlns="urn:hl7-org:v3" {type_}{given}/>'


def _coded(name: str, code: str, system: str, display: str) -> str:
    """As Kjernejournal writes it: XML as text, its prefix xsi declared nowhere."""
    system = system if ":" in system else f"urn:oid:{system}"
    values = {"code": code, "codeSystem": system, "displayName": display}
    return escape(_element(name, 'xsi:type="CE"', values))


def _numbered(extension: str, root: str, authority: str = "") -> str:
    values = {"extension": extension, "root": f"urn:oid:{root}", "assigningAuthorityName": authority}
    return escape(_element("id", 'xsi:type="II"', values | {"displayable": "false"}))


def _policy(acp: str) -> str:
    return f"urn:oid:{values.ACP}{acp}" if acp else ""


def _kjernejournal(said: Said) -> str:
    """Health personnel, old and new names side by side (norwegian-profile 4.2, 4.3)."""
    xspa, xacml = "urn:oasis:names:tc:xspa:1.0", "urn:oasis:names:tc:xacml"
    ours, care = _EHELSE, "urn:nhn:trust-framework:1.0:ext:care-relationship"
    extended = "urn:nhn:trust-framework:1.0:ext"
    name, patient = escape(said.name), escape(said.patient)
    role = _coded("Role", ROLE[0], ROLES, ROLE[1]) if said.hpr else ""
    purpose = _coded("PurposeOfUse", said.purpose, PURPOSES, REASONS[said.purpose][0])
    service = _coded("HealthcareService", SERVICE[0], SERVICES, SERVICE[1])
    decision = escape(
        f'<decision-ref xmlns="{extended}" id="{escape(said.decision)}" user-selected="false"/>'
    )
    table = [
        (f"{xspa}:subject:subject-id", name),
        (f"{xacml}:1.0:subject:subject-id", name),
        (f"{xspa}:subject:organization", escape(ENTERPRISE[1])),
        (f"{xspa}:subject:organization-id", _numbered(ENTERPRISE[0], values.ENTERPRISE, "Enhetsregisteret")),
        (
            f"{xspa}:subject:child-organization",
            _numbered(POINT_OF_CARE[0], values.ENTERPRISE, "Enhetsregisteret"),
        ),
        (f"{extended}:subject:child-organization-name", escape(POINT_OF_CARE[1])),
        (f"{xspa}:subject:facility", _numbered(DEPARTMENT[0], values.RESH, "RESH")),
        (f"{extended}:subject:facility-name", escape(DEPARTMENT[1])),
        (f"{xspa}:subject:purposeOfUse", purpose),
        (f"{xacml}:2.0:action:purpose", purpose),
        (f"{care}:purpose-of-use-details", _coded("Details", "1", DECISIONS, "Behandling")),
        ("urn:no:ehelse:saml:1.1:subject:healthcareservice", service),
        (f"{care}:healthcare-service", service),
        (f"{care}:decision-ref", decision),
        (f"{xacml}:2.0:resource:resource-id", patient),
        (f"{xacml}:1.0:resource:resource-id", patient),
        ("urn:no:ehelse:saml:1.0:subject:homeCommunityId", HOME),
        ("urn:ihe:iti:xca:2010:homeCommunityId", HOME),
        (f"{ours}:SecurityLevel", "4"),
        (f"{ours}:Scope", "journaldokumenter_helsepersonell"),
        (f"{ours}:client_id", "6b5f6f60-0000-4000-8000-000000000001"),
        (f"{ours}:Authentication_method", ""),
        ("urn:ihe:iti:xua:2012:acp", _policy(said.acp)),
        ("urn:ihe:iti:bppc:2007:docid", ""),
    ]
    if said.hpr:
        table += [
            ("urn:oasis:names:tc:xspa:2.0:subject:npi", said.hpr),
            (f"{xspa}:subject:npi", said.hpr),
            ("urn:ihe:iti:xua:2017:subject:provider-identifier", _numbered(said.hpr, values.HPR, "HPR")),
            (f"{xspa}:subject:role", role),
            (f"{xacml}:2.0:subject:role", role),
        ]
    return "".join(_attribute("saml", *row) for row in table)


def _helsenorge(said: Said) -> str:
    """A citizen, for themselves or for another (norwegian-profile 4.4)."""
    xspa = "urn:oasis:names:tc:xspa"
    number = {"extension": said.person, "root": NATIONAL, "displayable": "false"}
    purpose = {"code": "13", "codeSystem": ISO_PURPOSES, "displayName": "Subject of care uses"}
    table = [
        (f"{xspa}:1.0:subject:subject-id", escape(said.name)),
        (f"{xspa}:1.0:subject:organization", "Norsk Helsenett"),
        (f"{xspa}:1.0:subject:organization-id", ENTERPRISE[0]),
        ("urn:ihe:iti:xca:2010:homeCommunityId", f"urn:oid:{HOME}"),
        (f"{xspa}:2.0:subject:npi", said.person),
        ("urn:ihe:iti:xua:2017:subject:provider-identifier", escape(_element("id", 'type="II"', number))),
        (f"{xspa}:1.0:subject:purposeofuse", escape(_element("PurposeOfUse", 'type="CE"', purpose))),
        ("urn:oasis:names:tc:xacml:2.0:resource:resource-id", escape(said.patient)),
        ("SecurityLevel", "4"),
        ("Scope", "innsynregisterbruk,innsynregisterinnhold,innsynpasientjournal"),
        ("client_id", f"urn:oid:{HOME}.1"),
    ]
    attributes = [_attribute("saml", *row) for row in table]
    if said.acp:
        for name, value, friendly in (
            ("urn:ihe:iti:bppc:2007:docid", f"urn:oid:{CONSENTS}.1", "Acknowledgement Document"),
            ("urn:ihe:iti:xua:2012:acp", _policy(said.acp), "Identifier"),
        ):
            attributes.append(
                _attribute("saml", name, value, f"Patient Privacy Policy {friendly}", 'xsi:Type="anyURI"')
            )
    return "".join(attributes)


def _hso(said: Said) -> str:
    """Health personnel of Helse Sør-Øst: flat strings in groups (norwegian-profile 4.9)."""
    patient, _, authority = said.patient.removesuffix("&ISO").partition("^^^&")
    table = {
        "subject": ("0001", said.name, "2.16.578.1.12.4.3.1.40.25.1"),
        "subject:national-identifier": (said.person, "", NATIONAL),
        "subject:assurance-level": ("4", "", "https://begrep.difi.no/Felles/sikkerhetsnivaa"),
        "subject:organization": (*ENTERPRISE, values.ENTERPRISE),
        "subject:child-organization": (*POINT_OF_CARE, values.ENTERPRISE),
        "subject:facility": (*DEPARTMENT, values.RESH),
        "subject:healthcareservice": (*SERVICE, "8655"),
        "purpose": (REASONS[said.purpose][1], REASONS[said.purpose][0], ISO_PURPOSES),
        "purpose-local": ("1", "Behandling", DECISIONS),
        "resource": (patient, "", authority),
        "homecommunity": (HOME, "", ""),
        "country": ("NO", "", "ISO 3166"),
        "scope": ("patient/Document.read", "", ""),
    }
    if said.hpr:
        table["subject:qualification"] = (said.hpr, "", values.HPR)
        table["subject:qualification:role"] = (*ROLE, ROLES)
    return "".join(
        _attribute("saml", f"hso:{group}:{part}", escape(value))
        for group, triple in table.items()
        for part, value in zip(("id", "name", "system"), triple, strict=True)
        if value
    )


def _xua(said: Said) -> str:
    """IHE's own names, with values that are elements (ITI TF-2 3.40.4.1.2).

    The level of security, without which the national rules let nobody in, has no name of IHE's.
    """
    typed = f'{_XSI} xsi:type="{{}}"'
    purpose = {
        "code": said.purpose,
        "codeSystem": PURPOSES,
        "displayName": REASONS[said.purpose][0],
    }
    role = {"code": ROLE[0], "codeSystem": ROLES, "displayName": ROLE[1]}
    table = [
        ("urn:oasis:names:tc:xspa:1.0:subject:subject-id", escape(said.name)),
        ("urn:oasis:names:tc:xspa:1.0:subject:organization", escape(ENTERPRISE[1])),
        ("urn:oasis:names:tc:xspa:1.0:subject:organization-id", f"urn:oid:{HOME}"),
        ("urn:ihe:iti:xca:2010:homeCommunityId", f"urn:oid:{HOME}"),
        ("urn:oasis:names:tc:xspa:1.0:subject:purposeofuse",
         _element("PurposeOfUse", typed.format("CE"), purpose)),
        ("urn:oasis:names:tc:xacml:2.0:resource:resource-id", escape(said.patient)),
        (f"{_EHELSE}:SecurityLevel", "4"),
    ]  # fmt: skip
    if said.hpr:
        number = _element("id", typed.format("II"), {"root": values.HPR, "extension": said.hpr})
        table += [
            ("urn:oasis:names:tc:xspa:1.0:subject:npi", said.hpr),
            ("urn:ihe:iti:xua:2017:subject:provider-identifier", number),
            ("urn:oasis:names:tc:xacml:2.0:subject:role", _element("Role", typed.format("CE"), role)),
        ]
    if said.acp:
        table.append(("urn:ihe:iti:xua:2012:acp", _policy(said.acp)))
    return "".join(_attribute("saml2", *row) for row in table)


def _system(said: Said) -> str:
    """A system that nobody sits at, such as a patient feed: whose it is, and its scopes, and no more."""
    table = [
        ("urn:oasis:names:tc:xspa:1.0:subject:organization", escape(ENTERPRISE[1])),
        ("urn:oasis:names:tc:xspa:1.0:subject:organization-id", ENTERPRISE[0]),
        ("urn:ihe:iti:xca:2010:homeCommunityId", f"urn:oid:{HOME}"),
        (f"{_EHELSE}:Scope", " ".join(SYSTEM_SCOPES)),
    ]
    return "".join(_attribute("saml2", *row) for row in table)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What differs between kinds besides their attributes; `before` is how long before its issue it holds."""

    attributes: Callable[[Said], str]
    prefix: str = "saml"
    before: timedelta = timedelta()
    has_login: bool = True


_SHAPES: Final[Mapping[TicketKind, _Shape]] = {
    TicketKind.KJERNEJOURNAL: _Shape(_kjernejournal),
    TicketKind.HELSENORGE: _Shape(_helsenorge),
    TicketKind.HSO: _Shape(_hso, before=timedelta(minutes=5), has_login=False),
    TicketKind.XUA: _Shape(_xua, prefix="saml2"),
    TicketKind.SYSTEM: _Shape(_system, prefix="saml2"),
}


def assertion(kind: TicketKind, said: Said, now: datetime, end: datetime) -> tuple[str, str]:
    """An assertion as XML, with an empty ds:Signature right after its Issuer, and its ID."""
    shape = _SHAPES[kind]
    p, identifier = shape.prefix, f"_{uuid4()}"
    issued, until = _time(now), _time(end)
    parts: Sequence[str] = (
        f'<{p}:Assertion xmlns:{p}="{SAML2}" ID="{identifier}" IssueInstant="{issued}" Version="2.0">',
        f"<{p}:Issuer>{issuer(kind)}</{p}:Issuer>",
        '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="placeholder"/>',
        f'<{p}:Subject><{p}:NameID Format="{_UNSPECIFIED}">{escape(said.person)}</{p}:NameID>',
        f'<{p}:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"/></{p}:Subject>',
        f'<{p}:Conditions NotBefore="{_time(now - shape.before)}" NotOnOrAfter="{until}">',
        f"<{p}:AudienceRestriction><{p}:Audience>{AUDIENCE}</{p}:Audience></{p}:AudienceRestriction>",
        f"</{p}:Conditions>",
        f"<{p}:AttributeStatement>{shape.attributes(said)}</{p}:AttributeStatement>",
        f'<{p}:AuthnStatement AuthnInstant="{issued}" SessionNotOnOrAfter="{until}"><{p}:AuthnContext>'
        f"<{p}:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:X509</{p}:AuthnContextClassRef>"
        f"</{p}:AuthnContext></{p}:AuthnStatement>"
        if shape.has_login
        else "",
        f"</{p}:Assertion>",
    )
    return "".join(parts), identifier


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
