"""Tickets: SAML assertions, access tokens and DPoP proofs, by their form, with a trust file as a gate does.

Without a trust file nobody can say whether a ticket is good; what it must say and how is judged all the same,
and every reason is told. Nothing here remembers a ticket, and that one was used before cannot be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from xds.errors import Denied, Fault
from xds.security import claims, jws, proof, saml, show, tokens, wsse
from xds.security.gate import FhirGate, HttpRequest, SoapGate
from xds.security.replay import Replay
from xds.security.trust_store import TrustStore
from xds.transport import soap, xml
from xds.transport.message import Message
from xds.validate import kinds
from xds.validate.desk import Settings
from xds.validate.findings import Finding, note, of_denial, of_fault
from xds.validate.wire import Saved

_HEADER = "Header/Security"
_UNTRUSTED = (
    "Signature, issuer, audience and times of the ticket were not checked: give a trust file (--trust)."
)


class _NeverUsed(Replay):
    """For whoever judges one message alone: nothing was used before."""

    def __init__(self) -> None:  # there is no table to look into
        pass

    def first_use(self, name: str, until: datetime, now: datetime) -> bool:
        return True


def _now(settings: Settings) -> datetime:
    return settings.at or datetime.now(UTC)


def _tried(*checks: Callable[[], object], location: str = "") -> Iterator[Finding]:
    """What each of these checks denies, a reason once."""
    told = set()
    for check in checks:
        try:
            check()
        except Denied as denial:
            if denial.rule not in told:
                told.add(denial.rule)
                yield of_denial(denial, location)
        except Fault as fault:
            yield of_fault(fault)


def of_message(message: Message, settings: Settings) -> list[Finding]:
    """What is wrong with the ticket of a SOAP message; without one and without trust that is no finding."""
    if settings.trust is not None:
        gate = SoapGate(TrustStore(settings.trust), _NeverUsed(), clock=lambda: _now(settings))
        return list(_tried(lambda: gate.caller(message), location=_HEADER))
    if message.header is None or message.header.find(wsse.TAG) is None:
        return []
    if wsse.TAG in message.remarked:
        return [of_denial(Denied("ticket-remarks", ""), _HEADER)]
    try:
        security = wsse.find(message.header, message.version)
    except Denied as denial:
        return [of_denial(denial, _HEADER)]
    return [*_tried(*_parts(security.exact), location=_HEADER), note(_UNTRUSTED)]


def _parts(data: bytes) -> tuple[Callable[[], object], ...]:
    assertion = xml.parse(data, remarks=True)
    return (
        lambda: saml.check_form(assertion),
        lambda: saml.own_signature(assertion),
        lambda: show.unverified(data),
    )


def judge_saml(saved: Saved, settings: Settings) -> tuple[str, list[Finding]]:
    """An assertion by itself, or in its wsse:Security header."""
    data = kinds.assertion(saved.body)
    try:
        root = xml.parse(data, remarks=True)
    except Fault as fault:
        return "a SAML ticket", [of_fault(fault)]
    if root.tag == wsse.TAG:
        whole = root.makeelement(f"{{{soap.SOAP12}}}Header")
        whole.append(root)
        try:
            found = wsse.find(whole, soap.Version.SOAP12)
        except Denied as denial:
            return "a wsse:Security header", [of_denial(denial, _HEADER)]
        data = found.exact
    if settings.trust is None:
        return "a SAML ticket", [*_tried(*_parts(data)), note(_UNTRUSTED)]
    store, now = TrustStore(settings.trust), _now(settings)
    return "a SAML ticket", list(_tried(lambda: show.verified(data, store, now)))


def judge_token(saved: Saved, settings: Settings) -> tuple[str, list[Finding]]:
    """An access token, alone or in the headers of a request."""
    authorization = saved.headers.get("authorization", "")
    text = _last(authorization or saved.body.decode("ascii", "replace"))
    what = "an access token"
    if settings.trust is not None:
        store, now = TrustStore(settings.trust), _now(settings)
        if authorization and saved.method:
            url = (
                saved.target
                if "://" in saved.target
                else f"https://{saved.headers.get('host', '')}{saved.target}"
            )
            request = HttpRequest(saved.method, url, authorization, saved.headers.get("dpop"))
            soap_gate = SoapGate(store, _NeverUsed(), clock=lambda: now)
            gate = FhirGate(store, _NeverUsed(), soap_gate, clock=lambda: now)
            return what, list(_tried(lambda: gate.caller(request)))
        return what, list(_tried(lambda: claims.caller(tokens.verify(text, store.trust, now))))
    found = list(_tried(lambda: _header(text), lambda: show.unverified(text.encode())))
    if dpop := saved.headers.get("dpop"):
        found += _tried(lambda: proof.signed(dpop), location="DPoP")
    return what, [*found, note(_UNTRUSTED)]


def _last(text: str) -> str:
    """The last word, which is the ticket; of nothing it is nothing."""
    return "".join(text.split()[-1:])


def _header(text: str) -> None:
    try:
        header = jws.read(text).header
    except ValueError:
        return  # which show.unverified says too
    tokens.check_header(header)


def judge_proof(saved: Saved, settings: Settings) -> tuple[str, list[Finding]]:
    """A DPoP proof by itself: signed with the key that is in it."""
    text = _last(saved.body.decode("ascii", "replace"))
    found = list(_tried(lambda: proof.signed(text)))
    return "a DPoP proof", [*found, note("Token, method, URL and time of the proof were not checked.")]
