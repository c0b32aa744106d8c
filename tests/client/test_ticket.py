"""The ticket that the client shows: sent as it is, at every call; and what a refusal is told as."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.client import peer as peers
from tests.client.documents import SOURCE_ID, document, new_patient
from tests.client.peer import SUCCESS, Peer
from xds.client import Client, ClientError, DocumentAddress, build
from xds.transport.xml import parse

WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
SOAP = "http://www.w3.org/2003/05/soap-envelope"
#: Everything that a parser and a writer would change: quotes, references, CDATA, blanks, empty elements, line
#: ends, declarations nobody needs.
TICKET = (
    "<saml:Assertion  xmlns:saml='urn:oasis:names:tc:SAML:2.0:assertion' xmlns:unused=\"urn:x\"\n"
    "\tID='_1' Version = '2.0'><saml:Issuer >a&#x62;c &gt; <![CDATA[<d>]]></saml:Issuer >"
    "<saml:Advice></saml:Advice>"
    '\r\n<x xmlns="" xmlns:s="urn:other">Blåbær &quot;\U0001f600</x>\n</saml:Assertion >'
)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A peer that answers what the test says."""
    with peers.running() as peer:
        peer.body = peers.queried(SUCCESS)
        yield peer


def sent(peer: Peer) -> bytes:
    """What stands in the one wsse:Security header of the last request."""
    (found,) = re.findall(rb"<wsse:Security [^>]*>(.*?)</wsse:Security>", peer.asked[-1], re.DOTALL)
    return found


@pytest.mark.parametrize(
    "ticket", [TICKET, TICKET.encode(), lambda: TICKET], ids=["text", "bytes", "function"]
)
def test_the_ticket_is_sent_byte_for_byte(peer: Peer, ticket):
    """Nothing of it is written anew: a signature covers it."""
    with Client(peer.url, ticket=ticket) as client:
        client.find(new_patient())
    assert sent(peer).endswith(b"</wsu:Timestamp>" + TICKET.encode())
    assert peer.asked[-1].count(b"Assertion  xmlns") == 1


def test_the_header_is_for_the_receiver_to_understand(peer: Peer):
    """A wsse:Security with SOAP's own mustUnderstand, and the assertion as its child."""
    with Client(peer.url, ticket=TICKET) as client:
        client.find(new_patient())
    (security,) = parse(peer.asked[-1]).findall(f"{{{SOAP}}}Header/{{{WSSE}}}Security")
    assert security.get(f"{{{SOAP}}}mustUnderstand") == "1"
    assert [child.tag for child in security] == [
        f"{{{WSU}}}Timestamp",
        "{urn:oasis:names:tc:SAML:2.0:assertion}Assertion",
    ]


def test_the_timestamp_is_of_now_and_lasts_five_minutes(peer: Peer):
    """In UTC, and with an id, so that a signature could name it."""
    before = datetime.now(UTC).replace(microsecond=0)
    with Client(peer.url, ticket=TICKET) as client:
        client.find(new_patient())
    (stamp,) = parse(peer.asked[-1]).iter(f"{{{WSU}}}Timestamp")
    created, expires = (datetime.fromisoformat(each.text or "") for each in stamp)
    assert before <= created <= datetime.now(UTC)
    assert (expires - created).total_seconds() == 300
    assert stamp.get(f"{{{WSU}}}Id")


def test_every_kind_of_call_has_the_ticket(peer: Peer, tmp_path: Path):
    """Submitting (MTOM), both queries, and fetching."""
    patient = new_patient()
    with Client(peer.url, ticket=TICKET) as client:
        client.find(patient)
        client.get_documents("1.2.3")
        peer.body = peers.registry_response(SUCCESS)
        client.send(build([document()], patient_id=patient, source_id=SOURCE_ID))
        peer.body = peers.retrieved(SUCCESS, ("1.2", "1.2.3", "YWJj"))
        client.fetch([DocumentAddress("1.2", "1.2.3")], tmp_path)
    assert [TICKET.encode() in request for request in peer.asked] == [True] * 4


def test_a_function_is_asked_at_every_call(peer: Peer):
    """So a long-lived client can show a new ticket before the old one ends."""
    tickets = iter([TICKET, TICKET.replace("_1", "_2")])
    with Client(peer.url, ticket=lambda: next(tickets)) as client:
        client.find(new_patient())
        client.find(new_patient())
    assert [b"ID='_2'" in request for request in peer.asked] == [False, True]


def test_without_a_ticket_there_is_no_header(peer: Peer):
    """As before."""
    with Client(peer.url) as client:
        client.find(new_patient())
    assert b"Security" not in peer.asked[-1]


@pytest.mark.parametrize(
    "before", ["\ufeff", '<?xml version="1.0" encoding="UTF-8"?>\n', '\ufeff<?xml version="1.0"?>', "\n  "]
)
def test_what_a_file_has_before_the_assertion_is_left_out(peer: Peer, before: str):
    """A declaration may not stand in the middle of a message."""
    with Client(peer.url, ticket=(before + TICKET + "\n").encode()) as client:
        client.find(new_patient())
    assert sent(peer).endswith(b"</wsu:Timestamp>" + TICKET.encode())


WRONG = [
    b"",
    b" \n",
    b"eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
    b"<saml:Assertion ID='_1'/>",
    b"<Assertion/>",
    b"<Assertion xmlns='urn:oasis:names:tc:SAML:1.0:assertion'/>",
    TICKET.encode() + TICKET.encode(),
    TICKET.encode() + b"</wsse:Security>",
    TICKET.encode()[:-1],
    TICKET.encode("latin-1", "replace"),
    TICKET.encode("utf-16"),
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + TICKET.encode(),
    f"<s:Envelope xmlns:s='{SOAP}'>{TICKET}</s:Envelope>".encode(),
    TICKET + "\ud800",
]


@pytest.mark.parametrize("ticket", WRONG)
def test_what_is_no_assertion_is_not_sent(peer: Peer, ticket: str | bytes):
    """Said before anything leaves, and without quoting it; an empty file is not `no ticket`."""
    with Client(peer.url, ticket=ticket) as client, pytest.raises(ClientError) as caught:
        client.find(new_patient())
    assert "not one SAML 2.0 assertion" in str(caught.value)
    assert peer.asked == []


def test_a_function_that_has_none_is_an_error(peer: Peer):
    """Whoever gives a function wants a ticket to be sent."""
    with Client(peer.url, ticket=lambda: "") as client, pytest.raises(ClientError, match="not one SAML"):
        client.find(new_patient())
    assert peer.asked == []


FAULTS = [
    (
        "s:Sender",
        f'xmlns:w="{WSSE}"',
        "w:InvalidSecurityToken",
        "InvalidSecurityToken: ask for a new ticket.",
    ),
    ("s:Sender", f'xmlns:w="{WSU}"', "w:MessageExpired", "MessageExpired: set the clock of this machine."),
    ("s:Sender", f'xmlns="{WSSE}"', " FailedCheck\n", "FailedCheck: ask for a new ticket."),
    ("s:Sender", 'xmlns:w="http://www.w3.org/2005/08/addressing"', "w:ActionNotSupported", ""),
    ("s:Sender", "", "unknown:FailedCheck", ""),
    ("s:Sender", f'xmlns:w="{WSSE}"', "w:" + "x" * 100, ""),
    ("s:Sender", f'xmlns:w="{WSSE}"', "", ""),
]


@pytest.mark.parametrize(("code", "declared", "subcode", "told"), FAULTS)
def test_a_refused_ticket_is_told_with_its_code(
    peer: Peer, code: str, declared: str, subcode: str, told: str
):
    """The code of WS-Security, and what to do; other faults are told as they were."""
    peer.status = 500
    peer.body = (
        f"<s:Fault><s:Code><s:Value>{code}</s:Value><s:Subcode><s:Value {declared}>{subcode}</s:Value>"
        '</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">It is so.</s:Text></s:Reason></s:Fault>'
    )
    with Client(peer.url, ticket=TICKET) as client, pytest.raises(ClientError) as caught:
        client.find(new_patient())
    text = str(caught.value)
    assert "refused the message: It is so." in text
    assert text.endswith(f"\n  {told}" if told else "It is so.")


def test_a_fault_of_soap_1_1_is_told_likewise(peer: Peer):
    """There the code stands in the place of SOAP's own (SOAP Message Security 1.1, 12)."""
    peer.status, peer.enveloped, peer.content_type = 500, False, "text/xml"
    peer.body = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
        f'<faultcode xmlns:w="{WSSE}">w:FailedAuthentication</faultcode><faultstring>No.</faultstring>'
        "</s:Fault></s:Body></s:Envelope>"
    )
    with Client(peer.url) as client, pytest.raises(ClientError, match="FailedAuthentication: ask for a new"):
        client.find(new_patient())
