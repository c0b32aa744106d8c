"""Whatever form a ticket comes in, nothing of it is left; what is no ticket stays as it was."""

from __future__ import annotations

import base64
import gzip
import re
import time
from urllib.parse import quote

import pytest

from xds.transport.redact import hides, line, pieces

TICKET = "Zkvernknurr"
HELD = {
    "header": f'<wsse:Security xmlns:wsse="urn:x" a="1"><x>{TICKET}</x></wsse:Security>',
    "without a prefix": f"<Security\n>{TICKET}</Security >",
    "a prefix in other letters": f"<ø:Security>{TICKET}</ø:Security>",
    "a sign in a value": f"<w:Security a='>' b='/>'>{TICKET}</w:Security>",
    "within its own kind": f"<Security><Security/><Security>x</Security>{TICKET}</Security>",
    "an end in a comment": "<w:Security><!-- </w:Security> --><s:Assertion>"
    f"{TICKET}</s:Assertion></w:Security>",
    "assertion": f'<saml:Assertion ID="{TICKET}"><saml:Advice><saml:Assertion>{TICKET}</saml:Assertion>'
    f"</saml:Advice>{TICKET}</saml:Assertion>",
    "a long prefix": f"<{'p' * 300}:Security>{TICKET}</{'p' * 300}:Security>",
    "an assertion with an end in a comment": f"<Assertion><!-- </Assertion> -->{TICKET}</Assertion>",
    "an assertion with an end in CDATA": f"<Assertion><![CDATA[</Assertion>]]>{TICKET}</Assertion>",
    "an assertion with an end in an instruction": f"<Assertion><?a </Assertion>?>{TICKET}</Assertion>",
    "a comment without an end": f"<Assertion><!-- </Assertion>{TICKET}",
    "encrypted": f"<EncryptedAssertion>{TICKET}</EncryptedAssertion>",
    "without an end": f"<w:Security><a>{TICKET}</a>",
    "an end that is none": f"<w:Security><a>{TICKET}</a></w:Security x='",
    "damaged": f'<w:Security a="<b>{TICKET}</b></w:Security>',
    "token": f"eyJhbGciOiJFUzI1NiJ9.{TICKET}AAAA.{TICKET}",
    "token in a URL in a URL": f"/a?b=c%3DeyJhbGciOiJFUzI1NiJ9.{TICKET}AAAA.{TICKET}",
}


@pytest.mark.parametrize("name", HELD)
def test_nothing_of_a_ticket_is_left(name: str) -> None:
    """And what stands before it is."""
    left = b"".join(pieces(f"<a>before {HELD[name]}".encode()))
    assert left.startswith(b"<a>before ")
    assert TICKET.encode() not in left
    assert re.search(rb"taken.out", left)


@pytest.mark.parametrize(
    "left", ["", ".", f".{TICKET}", f".{TICKET}.", f".{TICKET}.{TICKET}.{TICKET}.{TICKET}"]
)
def test_in_a_line_nothing_of_a_token_is_left_where_it_was_cut(left: str) -> None:
    """Signed or encrypted, whole or not, and with anything before it."""
    for before in ("", "next=%2Fa%3Ft%3D", "Bearer "):
        assert line(f"{before}eyJhbGciOi{TICKET}{left} x") == f"{before}[token-taken-out] x"
    assert line("GET /eyJ?a=eyJ.b.c HTTP/1.1") == "GET /eyJ?a=eyJ.b.c HTTP/1.1"


def test_what_is_no_ticket_stays() -> None:
    """What only sounds like one, what is before, between and behind, and bytes that are no text."""
    held, rest = HELD["header"].encode(), b"<SecurityLabel/>\xff\0<x:Assertions>eyJ.a.b</x:Assertions>"
    left = b"".join(pieces(rest + held + rest + held + rest))
    mark = b"<!-- ticket taken out -->"
    assert left == rest + mark + rest + mark + rest
    assert b"".join(pieces(b"")) == b""


ASSERTION = (
    f'<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">{TICKET * 9}</saml:Assertion>'
)
BEARER = base64.urlsafe_b64encode(ASSERTION.encode()).decode()


@pytest.mark.parametrize("before", ["", "/fhir?access_token=", "a=b%3D", "Bearer "])
@pytest.mark.parametrize("bearer", [BEARER, quote(base64.b64encode(ASSERTION.encode())), BEARER[:70]])
def test_in_a_line_nothing_of_an_assertion_in_base64_is_left(before: str, bearer: str) -> None:
    """In the address, by mistake, or in another header field; what is no XML stays."""
    assert line(f"{before}{bearer} x") == f"{before}[token-taken-out] x"
    certificate = "MIIB" + BEARER
    assert line(certificate) == certificate


@pytest.mark.parametrize("before", ["", "x", "xx", "<Envelope>"])
def test_an_assertion_in_base64_is_told(before: str) -> None:
    """In a form, in JSON, or all of the body: a document in base64 is kept."""
    for coded in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes):
        assert hides(b'{"data":"' + coded((before + ASSERTION).encode()) + b'"}')
        assert not hides(b'{"data":"' + coded(b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>') + b'"}')


@pytest.mark.parametrize("sign", ["&lt;", "&#60;", "&#x3C;", "\\u003c", "\\u003C", "%3C"])
def test_a_ticket_as_the_text_of_something_else_is_told(sign: str) -> None:
    """As the value of an element, in JSON, in a form."""
    for name in ("saml:Assertion", "Security", "wsse%3ASecurity", "EncryptedAssertion"):
        assert hides(f"<a>{sign}{name} a='b'>".encode())
    assert not hides(f"<a>{sign}saml:Assertions and {sign}b>Assertion".encode())


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("name", ["header", "assertion", "without a prefix"])
def test_a_ticket_in_other_bytes_is_told(name: str, codec: str) -> None:
    """What cannot be redacted is known, so that it is not kept."""
    assert hides(HELD[name].encode(codec))
    assert not hides(HELD[name].encode())


def test_what_is_compressed_is_told_whatever_its_head_says() -> None:
    """Nobody can find a ticket in it."""
    assert hides(gzip.compress(ASSERTION.encode()))


def test_a_part_in_base64_is_told() -> None:
    """A root part may be; one in quoted-printable, where a name may be in two lines, is refused and kept."""
    quoted = b"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<w:Secu=\r\nrity>"
    assert hides(quoted)
    assert not hides(quoted.replace(b"quoted-printable", b"8bit"))
    assert hides(b"--b\r\nContent-Transfer-Encoding: BASE64\r\n\r\nPFNlY3VyaXR5Pg==\r\n--b--")
    assert not hides(b"--b\r\nContent-Transfer-Encoding: binary\r\n\r\n<a/>\r\n--b--")


def test_it_takes_no_longer_than_the_message_is_long() -> None:
    """What opens again and again and never ends is looked through once; so are values that do not end."""
    assert b"".join(pieces(b"<Security>" * 200_000)).count(b"taken out") == 1
    assert b"".join(pieces(b'<Security a="' * 200_000)).count(b"taken out") == 1
    for repeated in (b"-eyJ", b"eyJ", b"<p", b"eyJaaaaaaaa."):
        began = time.process_time()
        assert b"".join(pieces(repeated * 100_000))
        assert time.process_time() - began < 5, repeated
