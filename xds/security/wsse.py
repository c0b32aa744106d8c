"""The wsse:Security header: the one assertion in it, how fresh the message is, and who may send the ticket.

The gate calls `find` before the assertion is verified, `check_timestamp` and `confirm` after it. The header's
own signature counts only as proof that the sender holds a key which the signed assertion names. It must never
read anything of the assertion that saml.py did not give back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lxml import etree

from xds.errors import Denied
from xds.security import saml, xmldsig
from xds.security.denials import denied
from xds.security.keys import wrap
from xds.security.trust import Confirmation
from xds.transport import soap, xml
from xds.transport.soap import WSSE, WSU

TAG: Final = f"{{{WSSE}}}Security"
TIMESTAMP: Final = f"{{{WSU}}}Timestamp"
#: A ticket with all its attributes and a certificate takes 10 to 20 KiB.
MOST_BYTES: Final = 256 * 1024
#: How old a timestamp may be that does not say when it expires, and any that proves a holder's key.
FRESH: Final = timedelta(minutes=5)
#: A signature over more parts of the header than these is no proof of a key.
MOST_REFERENCES: Final = 8

_CREATED: Final = f"{{{WSU}}}Created"
_EXPIRES: Final = f"{{{WSU}}}Expires"
_ID: Final = f"{{{WSU}}}Id"
_OTHER_TOKENS: Final = (
    f"{{{WSSE}}}UsernameToken",
    f"{{{WSSE}}}BinarySecurityToken",
    "{http://schemas.xmlsoap.org/ws/2005/02/sc}SecurityContextToken",
    "{http://docs.oasis-open.org/ws-sx/ws-secureconversation/200512}SecurityContextToken",
)


@dataclass(frozen=True, slots=True, eq=False)
class Security:
    """The header block for this node and the one assertion in it, neither of them verified.

    `exact` is the assertion with the namespaces in scope; the digest of it names the ticket.
    """

    element: etree._Element
    assertion: etree._Element
    exact: bytes


def find(header: etree._Element | None, version: soap.Version) -> Security:
    """The block for this node, with one SAML 2.0 assertion as its child and no other in the SOAP header.

    Raises Denied.
    """
    blocks = [] if header is None else [b for b in header.iterchildren(TAG) if soap.for_us(b, version)]
    if header is None or not blocks:
        raise denied("ticket-missing")
    if len(blocks) > 1:
        raise denied("ticket-header-many")
    block = blocks[0]
    if len(etree.tostring(block, encoding="utf-8", with_tail=False)) > MOST_BYTES:
        raise denied("ticket-size")
    if xml.has_remarks(block):
        raise denied("ticket-remarks")
    if next(block.iter(*saml.ENCRYPTED), None) is not None:
        raise denied("ticket-encrypted")
    assertions = list(header.iter(saml.ASSERTION, saml.ASSERTION_1))
    if len(assertions) > 1:
        raise denied("ticket-many")
    if not assertions or assertions[0].getparent() is not block:
        raise denied(_without_assertion(block))
    if assertions[0].tag != saml.ASSERTION:
        raise denied("ticket-kind")
    return Security(block, assertions[0], etree.tostring(assertions[0], with_tail=False))


def _without_assertion(block: etree._Element) -> str:
    """Why a block that has no assertion of its own is refused."""
    if any(block.find(tag) is not None for tag in _OTHER_TOKENS):
        return "ticket-kind"
    if block.find(f"{{{WSSE}}}SecurityTokenReference") is not None:
        return "ticket-reference"
    return "ticket-missing"


def check_timestamp(security: Security, now: datetime, skew: timedelta) -> None:
    """Raise Denied if there is a wsu:Timestamp and it does not hold `now` (SOAP Message Security 1.1, 10)."""
    stamps = list(security.element.iter(TIMESTAMP))
    if not stamps:
        return
    if len(stamps) != 1 or stamps[0].getparent() is not security.element:
        raise denied("timestamp-form")
    created, expires = _read(stamps[0])
    if not _is_now(created, expires, now, skew):
        raise denied("timestamp-expired")


def _is_now(created: datetime, expires: datetime | None, now: datetime, skew: timedelta) -> bool:
    # The tolerance is given to our own time: a time of the message may be at the end of the calendar.
    ended = created <= now - skew - FRESH if expires is None else expires <= now - skew
    return created <= now + skew and not ended


def _read(stamp: etree._Element) -> tuple[datetime, datetime | None]:
    """Created and Expires. Basic Security Profile 1.1 (R3203, R3224 and after) wants one Created, first."""
    tags = [child.tag for child in stamp]
    if tags not in ([_CREATED], [_CREATED, _EXPIRES]):
        raise denied("timestamp-form")
    try:
        times = [saml.instant(child.text) for child in stamp]
    except ValueError:
        raise denied("timestamp-form") from None
    return times[0], times[1] if len(times) > 1 else None


def confirm(security: Security, ticket: saml.Ticket, now: datetime, *, known_sender: bool) -> None:
    """Raise Denied unless the ticket's subject is confirmed in one of the ways that its issuer may use.

    `known_sender`: the sender showed a client certificate, so it may vouch for its user.
    """
    failed = "ticket-confirmation"
    for confirmation in ticket.confirmations:
        if confirmation.method not in {way.method for way in ticket.issuer.confirmations}:
            continue
        if not _in_time(confirmation, now, ticket.issuer.skew):
            continue
        if confirmation.method == Confirmation.HOLDER_OF_KEY.method:
            if _is_holder(security, confirmation, now, ticket.issuer.skew):
                return
            failed = "ticket-holder"
        elif confirmation.method == Confirmation.BEARER.method or known_sender:
            # Recipient and InResponseTo are about browsers that come with a Response, and Address about
            # theirs (SAML profiles 4.1.4.2): here AudienceRestriction says for whom the ticket is.
            return
    raise denied(failed)


def confirm_bearer(ticket: saml.Ticket, now: datetime) -> None:
    """Raise Denied unless whoever has the ticket may use it: there is no message that could be signed."""
    ways = {way.method for way in ticket.issuer.confirmations} & {Confirmation.BEARER.method}
    if not any(
        each.method in ways and _in_time(each, now, ticket.issuer.skew) for each in ticket.confirmations
    ):
        raise denied("ticket-confirmation")


def _in_time(confirmation: saml.SubjectConfirmation, now: datetime, skew: timedelta) -> bool:
    return (confirmation.not_before is None or confirmation.not_before <= now + skew) and (
        confirmation.not_on_or_after is None or now - skew < confirmation.not_on_or_after
    )


def _is_holder(
    security: Security, confirmation: saml.SubjectConfirmation, now: datetime, skew: timedelta
) -> bool:
    """Whether the header's signature, over its Timestamp, was made with one of the keys of the confirmation.

    With transport security the sender signs the timestamp (WS-SecurityPolicy 1.3, 8.4). The signature may
    cover other parts of the wsse:Security block beside, by wsu:Id; one that reaches outside it is not taken.
    """
    block = security.element
    signatures, stamps = block.findall(xmldsig.SIGNATURE), block.findall(TIMESTAMP)
    if len(signatures) != 1 or len(stamps) != 1:
        return False
    try:
        uris = xmldsig.references(signatures[0], xmldsig.EXCLUSIVE)
    except Denied:
        return False
    uri = f"#{stamps[0].get(_ID, '')}"
    if uris.count(uri) != 1 or len(uris) > MOST_REFERENCES:
        return False
    data = etree.tostring(block, with_tail=False)
    for key in confirmation.keys:
        certificate = wrap(xmldsig.load_key(key))
        signed = xmldsig.verify(data, certificate, id_attribute="Id", count=len(uris), now=now)
        if signed is not None:
            return _is_fresh(signed[uris.index(uri)], now, skew)
    return False


def _is_fresh(stamp: etree._Element, now: datetime, skew: timedelta) -> bool:
    """Whether the sender signed a moment ago: a message that was seen on its way must not do for long."""
    if stamp.tag != TIMESTAMP:
        return False
    try:
        created, expires = _read(stamp)
    except Denied:
        return False
    return _is_now(created, expires, now, skew) and _is_now(created, None, now, skew)
