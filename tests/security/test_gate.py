"""The gates in this process: what is remembered, what is looked at at each use, and what ends a ticket."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from xds.demo.tickets import TicketService
from xds.errors import Denied
from xds.security import saml, tokens
from xds.security.caller import Caller, CallerKind
from xds.security.gate import FhirGate, HttpRequest, SoapGate
from xds.security.replay import Replay
from xds.security.trust_store import TrustStore
from xds.store.database import Database
from xds.transport.limits import Limits
from xds.transport.message import Message, read_message
from xds.transport.soap import WSSE, WSU
from xds.transport.staged import StagingFolder

NOW = datetime.now(UTC).replace(microsecond=0)
URL = "https://node.example/fhir/DocumentReference"


class Site:
    """A ticket service, a trust store and both gates, with one clock for all."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.ticks = 0.0
        self.service = TicketService(folder / "tickets")
        self.database = Database(f"sqlite:///{folder}/xds.db")
        self.database.migrate()
        self.trust = TrustStore(self.service.trust, clock=lambda: self.now, ticks=lambda: self.ticks)
        replay = Replay(self.database)
        self.soap = SoapGate(self.trust, replay, clock=lambda: self.now)
        self.fhir = FhirGate(self.trust, replay, clock=lambda: self.now)
        self._staging = StagingFolder(folder)

    def message(self, ticket: str) -> Message:
        """A message of this moment with this ticket."""
        header = (
            f'<o:Security xmlns:o="{WSSE}" xmlns:u="{WSU}" s:mustUnderstand="1"><u:Timestamp><u:Created>'
            f"{self.now:%Y-%m-%dT%H:%M:%SZ}</u:Created></u:Timestamp>{ticket}</o:Security>"
        )
        text = (
            '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
            ' xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header><a:Action>urn:x</a:Action>'
            f"{header}</s:Header><s:Body><x/></s:Body></s:Envelope>"
        )
        return read_message(
            io.BytesIO(text.encode()),
            "application/soap+xml",
            Limits(),
            self._staging,
            frozenset({f"{{{WSSE}}}Security"}),
        )

    def ask(self, ticket: str) -> Caller:
        """Through the SOAP gate."""
        return self.soap.caller(self.message(ticket))

    def get(self, token: str, *, scheme: str = "DPoP", proof: str | None = "", **more: str) -> Caller:
        """Through the FHIR gate, with a new proof unless another is given."""
        if proof == "":
            proof = self.service.proof("GET", URL, token, now=self.now)
        request = HttpRequest(more.get("method", "GET"), more.get("url", URL), f"{scheme} {token}", proof)
        return self.fhir.caller(request)

    def change_trust(self, old: str, new: str) -> None:
        """Edit the trust file, and let the store look."""
        text = self.service.trust.read_text()
        assert old in text
        self.service.trust.write_text(text.replace(old, new))
        self.ticks += 2


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A fresh site."""
    one = Site(tmp_path)
    yield one
    one.trust.close()
    one.database.close()


def _refused(site: Site, ticket: str) -> str:
    with pytest.raises(Denied) as denial:
        site.ask(ticket)
    return denial.value.rule


@pytest.mark.parametrize(
    ("kind", "caller"),
    [
        ("personnel", CallerKind.PERSONNEL),
        ("citizen", CallerKind.CITIZEN),
        ("representative", CallerKind.REPRESENTATIVE),
        ("hso", CallerKind.PERSONNEL),
        ("xua", CallerKind.PERSONNEL),
        ("system", CallerKind.MACHINE),
    ],
)
def test_each_kind_of_ticket_makes_its_kind_of_caller(site: Site, kind: str, caller: CallerKind):
    """The sample service's tickets are let in, twice, with the same Caller."""
    ticket = site.service.saml(kind, now=NOW)
    assert site.ask(ticket).kind is caller
    assert site.ask(ticket) == site.ask(ticket)


def test_a_signature_is_checked_once_for_the_same_bytes(site: Site, monkeypatch: pytest.MonkeyPatch):
    """The second use does not verify; a ticket that differs in one byte does."""
    ticket = site.service.saml("personnel", now=NOW)
    site.ask(ticket)

    def never(*_: object) -> None:
        raise AssertionError("verified")

    monkeypatch.setattr(saml, "verify", never)
    site.ask(ticket)
    with pytest.raises(AssertionError, match="verified"):
        site.ask(ticket.replace("Tuva Fjell", "Tuva Fjelt", 1))


def test_a_remembered_ticket_ends_when_it_ends(site: Site):
    """At NotOnOrAfter and the tolerance of 60 seconds it is refused, a second before it is not."""
    ticket = site.service.saml("personnel", minutes=10, now=NOW)
    site.ask(ticket)
    site.now = NOW + timedelta(minutes=11, seconds=-1)
    site.ask(ticket)
    site.now = NOW + timedelta(minutes=11)
    assert _refused(site, ticket) == "ticket-expired"


def test_a_remembered_ticket_is_refused_when_its_issuer_is_no_longer_trusted(site: Site):
    """As soon as the changed trust file is seen, without a restart."""
    ticket = site.service.saml("personnel", now=NOW)
    site.ask(ticket)
    site.change_trust('"urn:xds:demo:kjernejournal"', '"urn:xds:demo:elsewhere"')
    assert _refused(site, ticket) == "ticket-issuer"


def test_a_remembered_ticket_is_refused_when_its_issuers_key_is_replaced(site: Site, tmp_path: Path):
    """A key that is taken out of the trust file takes its tickets with it."""
    ticket = site.service.saml("personnel", now=NOW)
    site.ask(ticket)
    other = TicketService(tmp_path / "other")
    os.replace(tmp_path / "other/saml-certificate.pem", tmp_path / "tickets/saml-certificate.pem")
    site.ticks += 2
    assert _refused(site, ticket) == "ticket-signature"
    site.ask(other.saml("personnel", now=NOW))


def test_a_ticket_for_one_use_is_good_for_one_use(site: Site):
    """With once = true for the issuer the second message with it is refused; other tickets are not."""
    site.change_trust('kind = "kjernejournal"', 'kind = "kjernejournal"\nonce = true')
    ticket = site.service.saml("personnel", now=NOW)
    site.ask(ticket)
    assert _refused(site, ticket) == "ticket-used"
    site.ask(site.service.saml("personnel", now=NOW))


def test_a_refused_ticket_for_one_use_is_not_used_up_by_somebody_else(site: Site):
    """An altered copy that comes first does not spend the ticket of its owner."""
    site.change_trust('kind = "kjernejournal"', 'kind = "kjernejournal"\nonce = true')
    ticket = site.service.saml("personnel", now=NOW)
    assert _refused(site, ticket.replace("Tuva", "Vuta", 1)) == "ticket-signature"
    site.ask(ticket)


def test_an_old_timestamp_is_refused_with_a_remembered_ticket(site: Site):
    """What is of the message and not of the ticket is looked at at every use."""
    ticket = site.service.saml("personnel", now=NOW)
    message = site.message(ticket)
    site.soap.caller(message)
    site.now = NOW + timedelta(minutes=30)
    with pytest.raises(Denied, match="timestamp-expired"):
        site.soap.caller(message)
    site.ask(ticket)


def test_a_comment_in_the_header_is_refused_with_a_remembered_ticket(site: Site):
    """The comment is gone before the digest is taken, so it must be told otherwise."""
    ticket = site.service.saml("personnel", now=NOW)
    site.ask(ticket)
    assert _refused(site, ticket.replace("Tuva Fjell", "Tuva <!-- -->Fjell", 1)) == "ticket-remarks"


@pytest.mark.parametrize("machine", [False, True])
def test_a_token_is_let_in_with_a_new_proof_each_time(site: Site, machine: bool):
    """Personnel and machines; the same proof twice is refused."""
    token = site.service.token(machine=machine, now=NOW)
    first = site.get(token)
    assert first.kind is (CallerKind.MACHINE if machine else CallerKind.PERSONNEL)
    assert site.get(token) == first
    proof = site.service.proof("GET", URL, token, now=NOW)
    site.get(token, proof=proof)
    with pytest.raises(Denied, match="proof-used"):
        site.get(token, proof=proof)


def test_a_proof_for_another_request_is_refused_with_a_remembered_token(site: Site):
    """Method and URL are of the request, and looked at at every use."""
    token = site.service.token(now=NOW)
    site.get(token)
    with pytest.raises(Denied, match="proof-request"):
        site.get(token, method="POST")
    with pytest.raises(Denied, match="proof-request"):
        site.get(token, url=URL + "/1")


def test_a_bound_token_is_refused_without_its_proof(site: Site):
    """As Bearer, and as DPoP without the header, with an empty one, or with two."""
    token = site.service.token(now=NOW)
    with pytest.raises(Denied, match="token-scheme"):
        site.get(token, scheme="Bearer", proof=None)
    proof = site.service.proof("GET", URL, token, now=NOW)
    for header in (None, "", f"{proof}, {proof}"):
        with pytest.raises(Denied, match="proof-missing"):
            site.fhir.caller(HttpRequest("GET", URL, f"DPoP {token}", header))


def test_a_remembered_token_ends_when_it_ends(site: Site, monkeypatch: pytest.MonkeyPatch):
    """Verified once, refused after exp and the tolerance."""
    token = site.service.token(minutes=5, now=NOW)
    site.get(token)
    monkeypatch.setattr(tokens, "verify", None)
    site.now = NOW + timedelta(minutes=6, seconds=-1)
    site.get(token)
    site.now = NOW + timedelta(minutes=6)
    with pytest.raises(Denied, match="token-expired"):
        site.get(token)


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (None, "token-missing"),
        ("", "token-missing"),
        ("Basic dGVzdDp0ZXN0", "token-header"),
        ("DPoP", "token-header"),
        ("DPoP a b", "token-header"),
        ("DPoP a,DPoP b", "token-header"),
        ("DPoP a", "token-form"),
    ],
)
def test_an_authorization_header_of_another_form_is_refused(site: Site, header: str | None, rule: str):
    """One token, as DPoP or Bearer."""
    with pytest.raises(Denied, match=rule):
        site.fhir.caller(HttpRequest("GET", URL, header, None))


def test_scopes_of_an_operation_are_asked_for_at_every_use(site: Site):
    """A remembered token without the scope is refused, with it let in."""
    token = site.service.token(now=NOW)
    site.get(token)

    def request() -> HttpRequest:
        return HttpRequest("GET", URL, f"DPoP {token}", site.service.proof("GET", URL, token, now=NOW))

    site.fhir.caller(request(), frozenset({"nhn:phr/mhd/read-document", "other"}))
    with pytest.raises(Denied, match="token-scope"):
        site.fhir.caller(request(), frozenset({"nhn:phr-repo/delete-docs-and-refs"}))


def test_saml_issuers_do_not_issue_tokens_nor_the_other_way_round(site: Site):
    """Each side of the node believes its own issuers only."""
    site.change_trust('name = "urn:xds:demo:helseid"', 'name = "urn:xds:demo:swapped"')
    with pytest.raises(Denied, match="token-issuer"):
        site.get(site.service.token(now=NOW))
