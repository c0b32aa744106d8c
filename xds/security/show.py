"""A ticket in a file, read for a human: `xds ticket show`.

Verified, it goes the way of the gate, but for what belongs to a request (Timestamp, confirmation, proof,
replay). Unverified, it is only what somebody has written: nothing but the screen may ever get that Caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from lxml import etree

from xds.security import attributes, claims, jws, saml, tokens
from xds.security.caller import Caller
from xds.security.denials import denied
from xds.security.trust import Issuer, TicketKind
from xds.security.trust_store import TrustStore
from xds.transport import xml

_SAML: Final = f"{{{saml.SAML2}}}"

#: What the attribute names of a kind of ticket look like, for a ticket whose issuer nobody knows. In order.
_MARKS: Final[tuple[tuple[TicketKind, Callable[[str], bool]], ...]] = (
    (TicketKind.HSO, lambda name: name.startswith("hso:")),
    (TicketKind.HELSENORGE, lambda name: name == "SecurityLevel"),
    (
        TicketKind.KJERNEJOURNAL,
        # Level and scope have no other name, so every kind has these (norwegian-profile 4.2).
        lambda name: (
            name.startswith(("urn:no:ehelse:saml:", "urn:nhn:"))
            and not name.endswith((":SecurityLevel", ":Scope"))
        ),
    ),
    (TicketKind.XUA, lambda name: name.endswith(":subject-id")),
)


def verified(data: bytes, store: TrustStore, now: datetime) -> Caller:
    """What the ticket says, after it was found good. Raises Denied, or Fault for what is no XML."""
    if not _is_xml(data):
        text = _token(data)
        store.refresh(tokens.issuer_name(text))
        return claims.caller(tokens.verify(text, store.trust, now))
    assertion = _assertion(data)
    store.refresh(saml.issuer_name(assertion))
    signed, ticket = saml.verify(assertion, store.trust, now)
    return attributes.caller(
        signed, ticket.issuer, expires_at=ticket.expires_at, attested_at=ticket.authenticated_at
    )


def unverified(data: bytes) -> Caller:
    """What the ticket says, true or not. Raises Denied when it cannot be read, or Fault."""
    if not _is_xml(data):
        try:
            said = jws.read(_token(data)).claims
        except ValueError:
            raise denied("token-form") from None
        return claims.caller(tokens.of_claims(_unknown(str(said.get("iss", "")), TicketKind.HELSEID), said))
    assertion = _assertion(data)
    names = [each.get("Name", "") for each in assertion.iter(f"{_SAML}Attribute")]
    conditions = assertion.find(f"{_SAML}Conditions")
    login = assertion.find(f"{_SAML}AuthnStatement")
    try:
        end = saml.instant(None if conditions is None else conditions.get("NotOnOrAfter"))
        attested = None if login is None else saml.instant(login.get("AuthnInstant"))
    except ValueError:
        raise denied("ticket-form") from None
    return attributes.caller(
        assertion,
        _unknown(saml.issuer_name(assertion), _kind(names)),
        expires_at=end,
        attested_at=attested,
    )


def _is_xml(data: bytes) -> bool:
    return data.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0")[:1] == b"<"


def _token(data: bytes) -> str:
    """The first line, which may be that of an Authorization header."""
    words = data.decode("ascii", "replace").partition("\n")[0].split()
    if not words:
        raise denied("token-form")
    return words[-1]


def _assertion(data: bytes) -> etree._Element:
    """The assertion, wherever in the message it is."""
    root = xml.parse(data, remarks=True)
    found = list(root.iter(saml.ASSERTION))
    if not found:
        encrypted = next(root.iter(f"{_SAML}EncryptedAssertion"), None) is not None
        raise denied("ticket-encrypted" if encrypted else "ticket-kind")
    if len(found) > 1:
        raise denied("ticket-many")
    if xml.has_remarks(found[0]):
        raise denied("ticket-remarks")
    xml.drop_remarks(root)
    return found[0]


def _kind(names: Iterable[str]) -> TicketKind:
    for kind, fits in _MARKS:
        if any(map(fits, names)):
            return kind
    return TicketKind.SYSTEM


def _unknown(name: str, kind: TicketKind) -> Issuer:
    shown = "".join(c if c.isprintable() else " " for c in name)  # a terminal obeys some characters
    return Issuer(
        name=shown, kind=kind, audiences=frozenset(), lifetime=timedelta.max, skew=timedelta(), test=True
    )
