"""SAML assertions of each kind, as text, in the shapes that the issuers of Norway give them; and the SOAP
request that carries one.

`Ticket` has every part that a hostile vector may want to be another. The text has PLACE where the signature
goes (signatures.py).
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from xml.sax.saxutils import escape, quoteattr

from making import people as p
from making.signatures import PLACE

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
PATH = "/xds/registry"
CONTENT_TYPE = "application/soap+xml; charset=UTF-8"

Attributes = tuple[tuple[str, str], ...]  # name -> the XML of an AttributeValue

NIL = f'<saml:AttributeValue xmlns:xsi="{XSI}" xsi:nil="true"/>'


def when(time: datetime) -> str:
    """xs:dateTime in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def text(value: str) -> str:
    """An AttributeValue that is text; XML in it is escaped, as these issuers do."""
    return f"<saml:AttributeValue>{escape(value)}</saml:AttributeValue>"


def xml(value: str) -> str:
    """An AttributeValue that holds an element, as IHE has it; `xsi` is declared."""
    return f'<saml:AttributeValue xmlns:xsi="{XSI}">{value}</saml:AttributeValue>'


def coded(tag: str, code: str, system: str, display: str, kind: str = "xsi:type") -> str:
    """A coded value of HL7 v3 (CE)."""
    return (
        f'<{tag} xmlns="urn:hl7-org:v3" {kind}="CE" code="{code}" codeSystem="{system}"'
        f" displayName={quoteattr(display)}/>"
    )


def instance(extension: str, root: str, kind: str = "xsi:type") -> str:
    """An instance identifier of HL7 v3 (II)."""
    return (
        f'<id xmlns="urn:hl7-org:v3" {kind}="II" extension="{extension}" root="{root}" displayable="false"/>'
    )


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What stands in an assertion; the times are counted from `now`, in minutes."""

    now: datetime
    issuer: str
    name_id: str
    attributes: Attributes
    audience: str = p.AUDIENCE
    not_before: float = 0
    not_on_or_after: float = 60
    issued: float = 0
    login: float | None = -5
    method: str = BEARER
    id: str = ""

    def at(self, minutes: float) -> str:
        """A time of the ticket."""
        return when(self.now + timedelta(minutes=minutes))

    def unsigned(self) -> str:
        """The assertion with PLACE after its Issuer."""
        statement = ""
        if self.login is not None:
            statement = (
                f'<saml:AuthnStatement AuthnInstant="{self.at(self.login)}"'
                f' SessionNotOnOrAfter="{self.at(self.not_on_or_after)}"><saml:AuthnContext>'
                "<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:X509"
                "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
            )
        attributes = "".join(
            f'<saml:Attribute Name="{name}">{value}</saml:Attribute>' for name, value in self.attributes
        )
        return (
            f'<saml:Assertion xmlns:saml="{SAML}" Version="2.0" ID="{self.id or new_id()}"'
            f' IssueInstant="{self.at(self.issued)}"><saml:Issuer>{escape(self.issuer)}</saml:Issuer>{PLACE}'
            f"<saml:Subject><saml:NameID>{self.name_id}</saml:NameID>"
            f'<saml:SubjectConfirmation Method="{self.method}"/></saml:Subject>'
            f'<saml:Conditions NotBefore="{self.at(self.not_before)}"'
            f' NotOnOrAfter="{self.at(self.not_on_or_after)}"><saml:AudienceRestriction><saml:Audience>'
            f"{self.audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
            f"<saml:AttributeStatement>{attributes}</saml:AttributeStatement>{statement}</saml:Assertion>"
        )


def new_id() -> str:
    """An ID that no other assertion has."""
    return f"_{secrets.token_hex(16)}"


# -- kjernejournal (norwegian-profile 4.2, 4.3): XML in text, escaped once, with xsi undeclared

_OLD, _NEW = "urn:oasis:names:tc:xspa:1.0:subject:", "urn:nhn:trust-framework:1.0:ext:"
_EHELSE = "urn:no:ehelse:saml:1.0:subject:"
_ROLE = coded("Role", "LE", "urn:oid:2.16.578.1.12.4.1.1.9060", "Lege")
_TREAT = "2.16.840.1.113883.1.11.20448"
_HPR = text(instance(p.CLINICIAN_HPR, f"urn:oid:{p.HPR}"))
_LEGAL_ENTITY = text(instance(p.ENTERPRISE, f"urn:oid:{p.ENH}"))
_RESOURCE = text(escape(p.cx(p.PATIENT)))  # escaped twice, as seen

OLD_PATIENT = "urn:oasis:names:tc:xacml:2.0:resource:resource-id"

#: By the old names, by the new ones, and what has one name only.
_KJ_OLD: Attributes = (
    (_OLD + "subject-id", text(p.CLINICIAN_NAME)),
    ("urn:oasis:names:tc:xspa:2.0:subject:npi", text(p.CLINICIAN_HPR)),
    (_OLD + "role", text(_ROLE)),
    (_OLD + "purposeOfUse", text(coded("PurposeOfUse", "TREAT", f"urn:oid:{_TREAT}", "Treatment"))),
    (OLD_PATIENT, _RESOURCE),
    (_EHELSE + "homeCommunityId", text(p.HOME)),
    (_EHELSE + "Authentication_method", NIL),
)
_KJ_NEW: Attributes = (
    ("urn:oasis:names:tc:xacml:1.0:subject:subject-id", text(p.CLINICIAN_NAME)),
    (_OLD + "npi", text(p.CLINICIAN_HPR)),
    ("urn:oasis:names:tc:xacml:2.0:subject:role", text(_ROLE)),
    (
        "urn:oasis:names:tc:xacml:2.0:action:purpose",
        text(coded("Purpose", "TREAT", f"urn:oid:{_TREAT}", "Treatment")),
    ),
    ("urn:oasis:names:tc:xacml:1.0:resource:resource-id", _RESOURCE),
    ("urn:ihe:iti:xca:2010:homeCommunityId", text(p.HOME)),
    (_OLD + "child-organization", text(instance(p.UNIT, f"urn:oid:{p.ENH}"))),
    (_NEW + "subject:child-organization-name", text(p.UNIT_NAME)),
    (_OLD + "facility", text(instance(p.DEPARTMENT, f"urn:oid:{p.RESH}"))),
    (_NEW + "subject:facility-name", text(p.DEPARTMENT_NAME)),
    (
        _NEW + "care-relationship:healthcare-service",
        text(coded("HealthcareService", "S03", "urn:oid:2.16.578.1.12.4.1.1.8655", "Indremedisin")),
    ),
    (
        _NEW + "care-relationship:decision-ref",
        text('<decision-ref xmlns="urn:hl7-org:v3" id="d-0001" user-selected="false"/>'),
    ),
)
_KJ_BOTH: Attributes = (
    ("urn:ihe:iti:xua:2017:subject:provider-identifier", _HPR),
    (_OLD + "organization", text(p.ENTERPRISE_NAME)),
    (_OLD + "organization-id", _LEGAL_ENTITY),
    (_EHELSE + "SecurityLevel", text("4")),
    (_EHELSE + "Scope", text("journaldokumenter_helsepersonell")),
    (_EHELSE + "client_id", text("5f1c1c1e-2d0f-4d33-9f0e-6d5b3c0a7e11")),
    ("urn:ihe:iti:xua:2012:acp", NIL),
    ("urn:ihe:iti:bppc:2007:docid", NIL),
)


def kjernejournal(now: datetime, names: str = "hybrid") -> Ticket:
    """Health personnel; `names` are old, new, or hybrid: both."""
    attributes = {"old": _KJ_OLD, "new": _KJ_NEW, "hybrid": _KJ_OLD + _KJ_NEW}[names] + _KJ_BOTH
    return Ticket(now=now, issuer=p.KJERNEJOURNAL, name_id=p.CLINICIAN, attributes=attributes)


def helsenorge(now: datetime, patient: str = p.CITIZEN, acp: str = "") -> Ticket:
    """A citizen (4.4), for themselves or, with an ACP, for another."""
    attributes: Attributes = (
        (_OLD + "subject-id", text(p.CITIZEN_NAME)),
        (_OLD + "organization", text("Norsk Helsenett")),
        (_OLD + "organization-id", text(p.SUPPLIER)),
        ("urn:ihe:iti:xca:2010:homeCommunityId", text(f"urn:oid:{p.HOME}")),
        ("urn:oasis:names:tc:xspa:2.0:subject:npi", text(p.CITIZEN)),
        ("urn:ihe:iti:xua:2017:subject:provider-identifier", text(instance(p.CITIZEN, p.FNR, "type"))),
        (
            _OLD + "purposeofuse",
            text(coded("PurposeOfUse", "13", "1.0.14265.1", "Subject of care uses", "type")),
        ),
        (OLD_PATIENT, text(p.cx(patient))),
        ("SecurityLevel", text("4")),
        ("Scope", text("innsynregisterbruk,innsynregisterinnhold,innsynpasientjournal")),
        ("client_id", text("urn:oid:2.16.578.1.12.4.5.100.9")),
    )
    if acp:
        uri = f'<saml:AttributeValue xmlns:xsi="{XSI}" xsi:Type="anyURI">urn:oid:{acp}</saml:AttributeValue>'
        attributes += (("urn:ihe:iti:xua:2012:acp", uri),)
    return Ticket(now=now, issuer=p.HELSENORGE, name_id=p.CITIZEN, attributes=attributes, not_on_or_after=20)


def hso(now: datetime) -> Ticket:
    """Personnel of Helse Sør-Øst (4.9): flat strings in groups, no AuthnStatement."""
    values = {
        "hso:subject:id": "tuvaov",
        "hso:subject:system": "2.16.578.1.12.4.3.1.40.25.1",
        "hso:subject:name": p.CLINICIAN_NAME,
        "hso:subject:national-identifier:id": p.CLINICIAN,
        "hso:subject:national-identifier:system": p.FNR,
        "hso:subject:qualification:id": p.CLINICIAN_HPR,
        "hso:subject:qualification:system": p.HPR,
        "hso:subject:qualification:role:id": "LE",
        "hso:subject:qualification:role:name": "Lege",
        "hso:subject:qualification:role:system": "2.16.578.1.12.4.1.1.9060",
        "hso:subject:assurance-level:id": "4",
        "hso:subject:assurance-level:system": "https://begrep.difi.no/Felles/sikkerhetsnivaa",
        "hso:subject:organization:id": p.ENTERPRISE,
        "hso:subject:organization:name": p.ENTERPRISE_NAME,
        "hso:subject:organization:system": p.ENH,
        "hso:subject:child-organization:id": p.UNIT,
        "hso:subject:child-organization:name": p.UNIT_NAME,
        "hso:subject:child-organization:system": p.ENH,
        "hso:subject:healthcareservice:id": "S03",
        "hso:subject:healthcareservice:system": "8655",
        "hso:purpose:id": "1",
        "hso:purpose:system": "1.0.14265.1",
        "hso:resource:id": p.PATIENT,
        "hso:resource:system": p.FNR,
        "hso:homecommunity:id": p.HOME,
        "hso:country:id": "NO",
        "hso:scope": "patient/Document.read",
    }
    return Ticket(
        now=now,
        issuer=p.HSO,
        name_id=p.CLINICIAN,
        attributes=tuple((name, text(value)) for name, value in values.items()),
        not_before=-5,
        login=None,
    )


def xua(now: datetime) -> Ticket:
    """Personnel in plain IHE words (ITI TF-2 3.40): coded values are elements."""
    attributes: Attributes = (
        (_OLD + "subject-id", text(p.CLINICIAN_NAME)),
        (_OLD + "organization", text(p.ENTERPRISE_NAME)),
        (_OLD + "organization-id", text(f"urn:oid:{p.ENH}.{p.ENTERPRISE}")),
        ("urn:ihe:iti:xca:2010:homeCommunityId", text(f"urn:oid:{p.HOME}")),
        (_OLD + "npi", text(p.CLINICIAN_HPR)),
        ("urn:ihe:iti:xua:2017:subject:provider-identifier", xml(instance(p.CLINICIAN_HPR, p.HPR))),
        (
            "urn:oasis:names:tc:xacml:2.0:subject:role",
            xml(coded("Role", "LE", "2.16.578.1.12.4.1.1.9060", "Lege")),
        ),
        (_OLD + "purposeofuse", xml(coded("PurposeOfUse", "TREAT", _TREAT, "Treatment"))),
        (OLD_PATIENT, text(p.cx(p.PATIENT))),
    )
    return Ticket(now=now, issuer=p.XUA, name_id=p.CLINICIAN, attributes=attributes)


def system(now: datetime) -> Ticket:
    """A system without a person."""
    attributes: Attributes = (
        (_OLD + "subject-id", text("Fjellheimen pasientadministrasjon")),
        (_OLD + "organization", text(p.ENTERPRISE_NAME)),
        (_OLD + "organization-id", text(instance(p.ENTERPRISE, p.ENH))),
    )
    return Ticket(
        now=now, issuer=p.SYSTEM, name_id="urn:xds:vectors:patient-feed", attributes=attributes, login=None
    )


def once(now: datetime) -> Ticket:
    """As `xua`, by the issuer whose tickets are good for one request."""
    return replace(xua(now), issuer=p.ONCE)


# -- the request


def timestamp(now: datetime, created: float = -1, expires: float = 4) -> str:
    """wsu:Timestamp; the times are minutes from `now`."""
    return (
        f'<wsu:Timestamp xmlns:wsu="{WSU}" wsu:Id="timestamp">'
        f"<wsu:Created>{when(now + timedelta(minutes=created))}</wsu:Created>"
        f"<wsu:Expires>{when(now + timedelta(minutes=expires))}</wsu:Expires></wsu:Timestamp>"
    )


def security(content: str) -> str:
    """The wsse:Security header."""
    return f'<wsse:Security xmlns:wsse="{WSSE}" s:mustUnderstand="1">{content}</wsse:Security>'


def envelope(header: str, patient: str = p.PATIENT, before: str = "") -> str:
    """An ITI-18 FindDocuments with these header blocks; `before` stands before the envelope."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{before}'
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header>'
        '<a:Action s:mustUnderstand="1">urn:ihe:iti:2007:RegistryStoredQuery</a:Action>'
        f"<a:MessageID>urn:uuid:{uuid.uuid4()}</a:MessageID>{header}</s:Header><s:Body>"
        '<query:AdhocQueryRequest xmlns:query="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"'
        ' xmlns:rim="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0">'
        '<query:ResponseOption returnComposedObjects="true" returnType="LeafClass"/>'
        '<rim:AdhocQuery id="urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d">'
        '<rim:Slot name="$XDSDocumentEntryPatientId"><rim:ValueList>'
        f"<rim:Value>'{escape(p.cx(patient))}'</rim:Value></rim:ValueList></rim:Slot>"
        '<rim:Slot name="$XDSDocumentEntryStatus"><rim:ValueList>'
        "<rim:Value>('urn:oasis:names:tc:ebxml-regrep:StatusType:Approved')</rim:Value>"
        "</rim:ValueList></rim:Slot></rim:AdhocQuery></query:AdhocQueryRequest></s:Body></s:Envelope>\n"
    )


def mtom(root: str, content_id: str, content: bytes) -> tuple[str, bytes]:
    """Content type and bytes of an MTOM package with one part."""
    boundary = "MIMEBoundary_vectors"
    body = (
        f'--{boundary}\r\nContent-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"\r\n'
        "Content-Transfer-Encoding: binary\r\nContent-ID: <root@example.org>\r\n\r\n"
        f"{root}\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Transfer-Encoding: binary\r\nContent-ID: <{content_id}>\r\n\r\n"
    ).encode()
    return (
        f'multipart/related; boundary="{boundary}"; type="application/xop+xml"; start="<root@example.org>";'
        ' start-info="application/soap+xml"',
        body + content + f"\r\n--{boundary}--\r\n".encode(),
    )
