"""GATE 1 itself: the order in which a ticket is checked, for SOAP and for FHIR.

app.py asks a gate about every request before anything of the request is looked at, and goes on with the
`Caller` that it gives. Every way through ends in a Caller or in Denied; there is none around it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lxml import etree

from xds.errors import Denied, Fault
from xds.security import attributes, claims, proof, saml, tokens, wsse
from xds.security.caller import Caller
from xds.security.denials import denied
from xds.security.remembered import Remembered
from xds.security.replay import Replay
from xds.security.trust import Trust
from xds.security.trust_store import TrustStore
from xds.transport import xml
from xds.transport.message import Message

Clock = Callable[[], datetime]

#: What can be otherwise as soon as the issuer's keys are fetched again.
_KEY_UNKNOWN: Final = frozenset({"ticket-signature", "ticket-keys", "ticket-certificate", "token-key"})


def utc_now() -> datetime:
    """The clock of every gate but a test's."""
    return datetime.now(UTC)


class SoapGate:
    """SAML tickets in the wsse:Security header (ITI-40).

    `known_sender`: client certificates are required, so that a sender may vouch for its user.
    """

    def __init__(
        self, trust: TrustStore, replay: Replay, *, known_sender: bool = False, clock: Clock = utc_now
    ) -> None:
        saml.prepare()
        self._trust = trust
        self._replay = replay
        self._known_sender = known_sender
        self._clock = clock
        self._remembered: Remembered[tuple[saml.Ticket, Caller]] = Remembered()

    def caller(self, message: Message) -> Caller:
        """Who sent the message. Raises Denied."""
        now = self._clock()
        if wsse.TAG in message.remarked:
            raise denied("ticket-remarks")
        security = wsse.find(message.header, message.version)
        trust = self._trust.trust
        digest = Remembered.digest(security.exact)
        known = self._remembered.get(digest, trust.generation)
        if known is None:
            trust, ticket, caller = self._verify(security.assertion, trust, now)
        else:
            ticket, caller = known
        saml.check_times(ticket, now)
        wsse.check_timestamp(security, now, ticket.issuer.skew)
        wsse.confirm(security, ticket, now, known_sender=self._known_sender)
        self._use_once(ticket, caller, now)
        if known is None:
            self._remembered.put(digest, trust.generation, (ticket, caller))
        return caller

    def bearer(self, text: str) -> Caller:
        """Who sent an assertion as an access token (IUA, SAML Token option): base64url, as a bearer only.

        Raises Denied.
        """
        now = self._clock()
        trust = self._trust.trust
        data = _decoded(text)
        digest = Remembered.digest(data)
        known = self._remembered.get(digest, trust.generation)
        if known is None:
            try:
                assertion = xml.parse(data, remarks=True)
            except Fault:
                raise denied("token-header") from None
            trust, ticket, caller = self._verify(assertion, trust, now)
        else:
            ticket, caller = known
        saml.check_times(ticket, now)
        wsse.confirm_bearer(ticket, now)
        self._use_once(ticket, caller, now)
        if known is None:
            self._remembered.put(digest, trust.generation, (ticket, caller))
        return caller

    def _use_once(self, ticket: saml.Ticket, caller: Caller, now: datetime) -> None:
        if ticket.once and not self._replay.first_use(
            f"saml {ticket.issuer.name} {ticket.id}", caller.expires_at + ticket.issuer.skew, now
        ):
            raise denied("ticket-used")

    def _verify(
        self, assertion: etree._Element, trust: Trust, now: datetime
    ) -> tuple[Trust, saml.Ticket, Caller]:
        try:
            signed, ticket = saml.verify(assertion, trust, now)
        except Denied as error:
            issuer = saml.issuer_name(assertion)
            if error.rule not in _KEY_UNKNOWN or not self._trust.refresh(issuer):
                raise
            trust = self._trust.trust
            signed, ticket = saml.verify(assertion, trust, now)
        caller = attributes.caller(
            signed, ticket.issuer, expires_at=ticket.expires_at, attested_at=ticket.authenticated_at
        )
        return trust, ticket, caller


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What of an HTTP request the token and its proof are about.

    `authorization` and `dpop` are the headers' values, None when there is none; several of a name come joined
    by commas, which no token holds. `url` is the request's public URL without query.
    """

    method: str
    url: str
    authorization: str | None
    dpop: str | None


class FhirGate:
    """HelseID access tokens with DPoP in the Authorization header (ITI-72, RFC 9449).

    `saml` takes the assertions that come in their place: citizens have no other ticket.
    """

    def __init__(
        self, trust: TrustStore, replay: Replay, saml: SoapGate | None = None, *, clock: Clock = utc_now
    ) -> None:
        self._saml = saml
        self._trust = trust
        self._replay = replay
        self._clock = clock
        self._remembered: Remembered[tuple[tokens.Token, Caller]] = Remembered()

    @property
    def challenges(self) -> tuple[str, ...]:
        """The authentication schemes that the trust file's issuers of tokens use."""
        schemes = {
            "DPoP" if issuer.dpop else "Bearer"
            for issuer in self._trust.trust.issuers.values()
            if issuer.kind.is_token
        }
        return tuple(sorted(schemes)) or ("DPoP",)

    def caller(self, request: HttpRequest, scopes: frozenset[str] = frozenset()) -> Caller:
        """Who sent the request, with one of these scopes (none: whatever scope). Raises Denied."""
        now = self._clock()
        scheme, text = _authorization(request.authorization)
        if self._saml is not None and scheme == "bearer" and "." not in text:
            if request.dpop is not None:
                raise denied("token-scheme")
            caller = self._saml.bearer(text)
            tokens.check_scopes(caller.scopes, scopes)
            return caller
        trust = self._trust.trust
        digest = Remembered.digest(text.encode("utf-8", "replace"))
        known = self._remembered.get(digest, trust.generation)
        if known is None:
            trust, token, caller = self._verify(text, trust, now)
        else:
            token, caller = known
        tokens.check_times(token, now)
        if (scheme == "dpop") != token.issuer.dpop or (token.thumbprint != "") != token.issuer.dpop:
            raise denied("token-scheme")
        if token.issuer.dpop:
            self._check_proof(request, text, token, now)
        elif request.dpop is not None:
            raise denied("token-scheme")
        tokens.check_scopes(caller.scopes, token.issuer.scopes)
        tokens.check_scopes(caller.scopes, scopes)
        if known is None:
            self._remembered.put(digest, trust.generation, (token, caller))
        return caller

    def _verify(self, text: str, trust: Trust, now: datetime) -> tuple[Trust, tokens.Token, Caller]:
        try:
            token = tokens.verify(text, trust, now)
        except Denied as error:
            if error.rule not in _KEY_UNKNOWN or not self._trust.refresh(tokens.issuer_name(text)):
                raise
            trust = self._trust.trust
            token = tokens.verify(text, trust, now)
        return trust, token, claims.caller(token)

    def _check_proof(self, request: HttpRequest, text: str, token: tokens.Token, now: datetime) -> None:
        if not request.dpop or "," in request.dpop:
            raise denied("proof-missing")
        name, until = proof.check(request.dpop, text, token.thumbprint, request.method, request.url, now)
        if not self._replay.first_use(f"dpop {name}", until, now):
            raise denied("proof-used")


def _decoded(text: str) -> bytes:
    """base64url with or without padding, strictly."""
    try:
        if len(text) > 2 * wsse.MOST_BYTES:
            raise ValueError
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise denied("token-header") from None


def _authorization(header: str | None) -> tuple[str, str]:
    """Scheme in lower case, and token (RFC 9110 11.6.2)."""
    if not header:
        raise denied("token-missing")
    scheme, _, text = header.partition(" ")
    text = text.strip(" ")
    if scheme.lower() not in ("bearer", "dpop") or not text or "," in text or " " in text:
        raise denied("token-header")
    return scheme.lower(), text
