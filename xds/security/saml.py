"""SAML 2.0 assertions: from an element that anybody may have written to a `Ticket` that an issuer signed.

The gate calls `verify` once for each ticket and `check_times` at every use. Form, algorithms and issuer are
looked at before the signature, and once more on the signed element, which is the only one that is read
afterwards. It must never take a key from the message: the trust file says which keys and authorities count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
)
from lxml import etree

from xds.security import xmldsig
from xds.security.denials import denied
from xds.security.keys import check_strength
from xds.security.trust import Authority, Confirmation, Issuer, Trust
from xds.transport import xml

SAML2: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
ASSERTION: Final = f"{{{SAML2}}}Assertion"
#: The assertions of SAML 1.0 and 1.1, which have one namespace.
ASSERTION_1: Final = "{urn:oasis:names:tc:SAML:1.0:assertion}Assertion"
ENCRYPTED: Final = (
    f"{{{SAML2}}}EncryptedAssertion",
    f"{{{SAML2}}}EncryptedID",
    f"{{{SAML2}}}EncryptedAttribute",
    "{http://www.w3.org/2001/04/xmlenc#}EncryptedData",
    "{http://www.w3.org/2001/04/xmlenc#}EncryptedKey",
)
#: Ten times what the largest known ticket has.
MOST_ELEMENTS: Final = 3000
MOST_ATTRIBUTES: Final = 64
_ENTITY: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
_SAML: Final = f"{{{SAML2}}}"
#: What an assertion may hold beside its signature (SAML core 2.3.3); the first three must be there, once.
_ONE_EACH: Final = (f"{_SAML}Issuer", f"{_SAML}Subject", f"{_SAML}Conditions")
_CHILDREN: Final = frozenset(
    {
        *_ONE_EACH,
        xmldsig.SIGNATURE,
        f"{_SAML}Advice",
        f"{_SAML}AuthnStatement",
        f"{_SAML}AttributeStatement",
        f"{_SAML}AuthzDecisionStatement",
    }
)
#: A condition that is not understood leaves open whether an assertion is valid (SAML core 2.5.1.1);
#: ProxyRestriction is about assertions made on the ground of this one, and we make none (ITI TF-2 3.40).
_CONDITIONS: Final = frozenset(
    {f"{_SAML}AudienceRestriction", f"{_SAML}OneTimeUse", f"{_SAML}ProxyRestriction"}
)
_NCNAME: Final = re.compile(r"[^\W\d][\w.\-]{0,254}")
#: xs:dateTime with a time zone: SAML wants UTC (core 1.3.3), and a time without one is nobody's time.
_DATE_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    re.ASCII,
)
_BLANKS: Final = " \t\r\n"

prepare = xmldsig.prepare


@dataclass(frozen=True, slots=True)
class SubjectConfirmation:
    """One way in which the subject may be confirmed (SAML core 2.4.1.1).

    `keys` are those that a holder may prove to have, as SubjectPublicKeyInfo in DER.
    """

    method: str
    not_before: datetime | None
    not_on_or_after: datetime | None
    keys: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """What of a verified assertion is looked at again at each use; all of it was signed.

    `authenticated_at` is the oldest AuthnInstant and `session_not_on_or_after` the first end of a session,
    None where no statement has one. All times are in UTC.
    """

    issuer: Issuer
    id: str
    issued_at: datetime
    not_before: datetime | None
    not_on_or_after: datetime
    session_not_on_or_after: datetime | None
    authenticated_at: datetime | None
    confirmations: tuple[SubjectConfirmation, ...]
    one_time: bool

    @property
    def expires_at(self) -> datetime:
        """When it ends: the assertion, or its session if that ends sooner."""
        return min(self.not_on_or_after, self.session_not_on_or_after or self.not_on_or_after)

    @property
    def once(self) -> bool:
        """Whether it is good for one request: the trust file says so, or the assertion (core 2.5.1.5)."""
        return self.issuer.once or self.one_time


def issuer_name(assertion: etree._Element) -> str:
    """The name that an assertion gives for its issuer, whether true or not; empty when there is none."""
    return assertion.findtext(f"{_SAML}Issuer") or ""


def verify(assertion: etree._Element, trust: Trust, now: datetime) -> tuple[etree._Element, Ticket]:
    """The signed element and its Ticket, valid at `now`. Raises Denied.

    The element is a new one without its signature, made of the very bytes that were signed. Subject
    confirmation is wsse.confirm's.
    """
    check_form(assertion)
    signature = own_signature(assertion)
    issuer = trust.issuers.get(issuer_name(assertion))
    if issuer is None or issuer.kind.is_token:
        raise denied("ticket-issuer")
    data = etree.tostring(assertion, with_tail=False)
    for certificate in _certificates(issuer, signature, now):
        if found := xmldsig.verify(data, certificate, id_attribute="ID", count=1, now=now):
            signed = found[0]
            break
    else:
        raise denied("ticket-signature")
    # The same again, of what was signed: nothing may rest on the two being alike.
    check_form(signed)
    if signed.get("ID") != assertion.get("ID") or issuer_name(signed) != issuer.name:
        raise denied("ticket-signature")
    ticket = _read(signed, issuer)
    check_times(ticket, now)
    return signed, ticket


def check_times(ticket: Ticket, now: datetime) -> None:
    """Raise Denied unless the ticket is valid at `now`, and its attestation is young enough."""
    # The tolerance is given to our own time: a time of the ticket may be at the end of the calendar.
    latest, earliest = now + ticket.issuer.skew, now - ticket.issuer.skew
    starts = (ticket.not_before, ticket.issued_at, ticket.authenticated_at)
    if any(start is not None and latest < start for start in starts):
        raise denied("ticket-early")
    if earliest >= ticket.expires_at:
        raise denied("ticket-expired")
    limit = ticket.issuer.attestation
    if limit is not None and earliest - limit > (ticket.authenticated_at or ticket.issued_at):
        raise denied("ticket-attestation")


def instant(text: str | None) -> datetime:
    """An xs:dateTime, in UTC; fractions below a microsecond are cut off. Raises ValueError."""
    text = (text or "").strip(_BLANKS)
    if not _DATE_TIME.fullmatch(text):
        raise ValueError("not an xs:dateTime with a time zone")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        raise ValueError("outside the calendar") from None


# -- form ----------------------------------------------------------------------------------------------------


def check_form(assertion: etree._Element) -> None:
    """What must hold of an assertion whoever made it (SAML core 2.3.3). Raises Denied."""
    if assertion.tag != ASSERTION:
        raise denied("ticket-kind")
    if xml.has_remarks(assertion):
        raise denied("ticket-remarks")
    # lxml looks each attribute up anew, and signxml writes and reads everything several times.
    elements = list(assertion.iter("*"))
    if len(elements) > MOST_ELEMENTS or any(len(each.attrib) > MOST_ATTRIBUTES for each in elements):
        raise denied("ticket-size")
    if next(assertion.iter(*ENCRYPTED), None) is not None:
        raise denied("ticket-encrypted")
    if sum(1 for _ in assertion.iter(ASSERTION, ASSERTION_1)) != 1:
        raise denied("ticket-many")
    name = assertion.get("ID", "")
    if not _NCNAME.fullmatch(name) or _names(assertion).count(name) != 1:
        raise denied("ticket-ids")
    if assertion.get("Version") != "2.0" or any(child.tag not in _CHILDREN for child in assertion):
        raise denied("ticket-form")
    issuer, subject, conditions = (_one(assertion, tag) for tag in _ONE_EACH)
    if len(issuer) or issuer.get("Format", _ENTITY) != _ENTITY:
        raise denied("ticket-form")
    if len(_one(subject, f"{_SAML}NameID")):
        raise denied("ticket-form")
    if any(condition.tag not in _CONDITIONS for condition in conditions):
        raise denied("ticket-form")


def _names(assertion: etree._Element) -> list[str]:
    """The values of all attributes that anybody could take for an id."""
    return [
        value.strip(_BLANKS)
        for element in assertion.iter("*")
        for attribute, value in element.items()
        if attribute.rpartition("}")[2].lower() == "id"
    ]


def _one(parent: etree._Element, tag: str) -> etree._Element:
    children = parent.findall(tag)
    if len(children) != 1:
        raise denied("ticket-form")
    return children[0]


def own_signature(assertion: etree._Element) -> etree._Element:
    """The one signature, over the whole assertion and nothing else (SAML core 5.4). Raises Denied."""
    signatures = list(assertion.iter(xmldsig.SIGNATURE))
    if not signatures:
        raise denied("ticket-unsigned")
    if len(signatures) != 1 or signatures[0].getparent() is not assertion:
        raise denied("ticket-signature-form")
    uris = xmldsig.references(signatures[0], xmldsig.ENVELOPED, xmldsig.EXCLUSIVE)
    if uris != (f"#{assertion.get('ID')}",):
        raise denied("ticket-signature-form")
    return signatures[0]


# -- keys ----------------------------------------------------------------------------------------------------


def _certificates(issuer: Issuer, signature: etree._Element, now: datetime) -> list[x509.Certificate]:
    """The certificates to try, the likeliest first; all of them are the issuer's. Raises Denied."""
    try:
        hints = xmldsig.embedded(signature)
        needed = issuer.authority is not None or issuer.revoked
        named = [xmldsig.load_certificate(hint) for hint in hints] if needed else []
    except ValueError:
        raise denied("ticket-certificate") from None
    if _revoked(issuer, named):
        raise denied("ticket-certificate")
    if issuer.authority is not None:
        return [_chained(issuer.authority, named, now)]
    usable = [
        key.certificate
        for key in issuer.keys
        if key.is_valid(now) and _is_usable(key.certificate, now) and not _revoked(issuer, [key.certificate])
    ]
    if not usable:
        raise denied("ticket-keys")
    if len(usable) > 1:
        usable.sort(key=lambda certificate: certificate.public_bytes(Encoding.DER) not in hints)
    return usable


def _is_usable(certificate: x509.Certificate, now: datetime) -> bool:
    try:
        check_strength(certificate.public_key())
    except ValueError:
        return False
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _revoked(issuer: Issuer, certificates: Iterable[x509.Certificate]) -> bool:
    return bool(issuer.revoked) and any(
        (certificate.issuer.rfc4514_string(), certificate.serial_number) in issuer.revoked
        for certificate in certificates
    )


def _check_usage(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    """For signatures, if it says for what (RFC 5280 4.2.1.3); company seals have contentCommitment alone."""
    if usage is not None and not (usage.digital_signature or usage.content_commitment):
        raise ValueError("the key is not for signatures")


_SIGNER: Final = ExtensionPolicy.permit_all().may_be_present(
    x509.KeyUsage, Criticality.AGNOSTIC, _check_usage
)


def _chained(authority: Authority, named: list[x509.Certificate], now: datetime) -> x509.Certificate:
    """The signer's certificate of those in the message, once it leads to a trusted root. Raises Denied."""
    signers = [one for one in named if one.subject.rfc4514_string() == authority.subject]
    if len(signers) != 1:
        raise denied("ticket-certificate")
    verifier = (
        PolicyBuilder()
        .store(Store(list(authority.roots)))
        .time(now)
        .extension_policies(ee_policy=_SIGNER, ca_policy=ExtensionPolicy.webpki_defaults_ca())
        .build_client_verifier()
    )
    try:
        verifier.verify(signers[0], [one for one in named if one is not signers[0]])
    except Exception:  # VerificationError, and whatever an odd extension makes cryptography raise
        raise denied("ticket-certificate") from None
    return signers[0]


# -- what was signed -----------------------------------------------------------------------------------------


def _read(signed: etree._Element, issuer: Issuer) -> Ticket:
    """The Ticket of a signed assertion, for one of the issuer's audiences. Raises Denied."""
    conditions = _one(signed, f"{_SAML}Conditions")
    restrictions = conditions.findall(f"{_SAML}AudienceRestriction")
    # Several audiences are alternatives, several restrictions must all hold (SAML core 2.5.1.4).
    if not restrictions or not all(
        any(
            (audience.text or "").strip(_BLANKS) in issuer.audiences
            for audience in restriction.findall(f"{_SAML}Audience")
        )
        for restriction in restrictions
    ):
        raise denied("ticket-audience")
    statements = signed.findall(f"{_SAML}AuthnStatement")
    try:
        ticket = Ticket(
            issuer=issuer,
            id=signed.get("ID", ""),
            issued_at=instant(signed.get("IssueInstant")),
            not_before=_optional(conditions, "NotBefore"),
            not_on_or_after=instant(conditions.get("NotOnOrAfter")),
            session_not_on_or_after=_first(statements, "SessionNotOnOrAfter"),
            authenticated_at=_first(statements, "AuthnInstant"),
            confirmations=tuple(
                map(_confirmation, _one(signed, f"{_SAML}Subject").findall(f"{_SAML}SubjectConfirmation"))
            ),
            one_time=conditions.find(f"{_SAML}OneTimeUse") is not None,
        )
    except (ValueError, OverflowError):
        raise denied("ticket-form") from None
    start = min(ticket.issued_at, ticket.not_before or ticket.issued_at)
    if ticket.not_on_or_after - start > issuer.lifetime:
        raise denied("ticket-lifetime")
    return ticket


def _confirmation(element: etree._Element) -> SubjectConfirmation:
    method = element.get("Method", "")
    data = element.findall(f"{_SAML}SubjectConfirmationData")
    if len(data) > 1:
        raise ValueError("SubjectConfirmationData stands twice")
    if not data:
        return SubjectConfirmation(method, None, None)
    keys: tuple[bytes, ...] = ()
    if method == Confirmation.HOLDER_OF_KEY.method:
        # Each KeyInfo is another key (SAML core 2.4.1.3).
        keys = tuple(filter(None, map(xmldsig.described_key, data[0].findall(xmldsig.KEY_INFO))))
    return SubjectConfirmation(
        method, _optional(data[0], "NotBefore"), _optional(data[0], "NotOnOrAfter"), keys
    )


def _optional(element: etree._Element, attribute: str) -> datetime | None:
    text = element.get(attribute)
    return None if text is None else instant(text)


def _first(elements: Iterable[etree._Element], attribute: str) -> datetime | None:
    return min(
        (instant(text) for element in elements if (text := element.get(attribute)) is not None), default=None
    )
