"""Messages in the shapes that other SOAP stacks send, as bytes; the data of the transport's tests."""

from __future__ import annotations

from dataclasses import dataclass

SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
XOP = "http://www.w3.org/2004/08/xop/include"
ANONYMOUS = f"{WSA}/anonymous"

DOCUMENT = b"%PDF-1.4\r\n--not a boundary\r\n\x00\xff\r\n"


@dataclass(frozen=True)
class Posted:
    """A Content-Type, a body, and what must be read from it."""

    content_type: str
    body: bytes
    version: str = "1.2"
    mtom: bool = True
    message_id: str = "urn:uuid:11111111-1111-4111-8111-111111111111"
    action: str = "urn:test:echo"


def envelope(
    body: str = '<t:Echo xmlns:t="urn:test"/>',
    *,
    soap: str = SOAP12,
    action: str | None = "urn:test:echo",
    message_id: str | None = "urn:uuid:11111111-1111-4111-8111-111111111111",
    header: str = "",
) -> str:
    """A SOAP envelope with WS-Addressing headers; `header` is added to them."""
    return (
        f'<s:Envelope xmlns:s="{soap}" xmlns:a="{WSA}"><s:Header>'
        + (f'<a:Action s:mustUnderstand="1">{action}</a:Action>' if action is not None else "")
        + (f"<a:MessageID>{message_id}</a:MessageID>" if message_id is not None else "")
        + f"{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )


def crlf(text: str) -> bytes:
    """The lines of a MIME message."""
    return text.replace("\n", "\r\n").encode()


def include(href: str) -> str:
    """An element with an XOP reference in the test's body."""
    inside = f'<x:Include xmlns:x="{XOP}" href="{href}"/>'
    return f'<t:Echo xmlns:t="urn:test"><t:Document>{inside}</t:Document></t:Echo>'


#: Apache CXF: quoted parameters, uuid boundary, ids at cxf.apache.org, "@" not escaped in the reference.
CXF = Posted(
    'multipart/related; type="application/xop+xml"; boundary="uuid:6d1c0b4e-0000-4000-8000-000000000001"; '
    'start="<root.message@cxf.apache.org>"; start-info="application/soap+xml"; action="urn:test:echo"',
    crlf(
        "\n--uuid:6d1c0b4e-0000-4000-8000-000000000001\n"
        'Content-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"\n'
        "Content-Transfer-Encoding: binary\n"
        "Content-ID: <root.message@cxf.apache.org>\n\n"
        + envelope(
            include("cid:6d1c0b4e-0000-4000-8000-000000000002-1@cxf.apache.org"),
            header=f"<a:To>http://localhost/soap</a:To><a:ReplyTo><a:Address>{ANONYMOUS}</a:Address></a:ReplyTo>",
        )
        + "\n--uuid:6d1c0b4e-0000-4000-8000-000000000001\n"
        "Content-Type: application/pdf\n"
        "Content-Transfer-Encoding: binary\n"
        "Content-ID: <6d1c0b4e-0000-4000-8000-000000000002-1@cxf.apache.org>\n\n"
    )
    + DOCUMENT
    + b"\r\n--uuid:6d1c0b4e-0000-4000-8000-000000000001--",
)

#: Axis2: unquoted boundary, an escaped action inside start-info, ids with "urn:uuid:", no preamble.
AXIS2 = Posted(
    "multipart/related; boundary=MIMEBoundary_0102030405060708090a; "
    'type="application/xop+xml"; start="<0.1102030405060708090a@apache.org>"; '
    'start-info="application/soap+xml; action=\\"urn:test:echo\\""',
    crlf(
        "--MIMEBoundary_0102030405060708090a\n"
        'Content-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"\n'
        "Content-Transfer-Encoding: binary\n"
        "Content-ID: <0.1102030405060708090a@apache.org>\n\n"
        "<?xml version='1.0' encoding='UTF-8'?>"
        + envelope(include("cid:1.urn:uuid:2102030405060708090A@apache.org"))
        + "\n--MIMEBoundary_0102030405060708090a\n"
        "Content-Type: application/octet-stream\n"
        "Content-Transfer-Encoding: binary\n"
        "Content-ID: <1.urn:uuid:2102030405060708090A@apache.org>\n\n"
    )
    + DOCUMENT
    + b"\r\n--MIMEBoundary_0102030405060708090a--\r\n",
)

#: .NET: header in another order, 8bit root, the id is an address that the reference percent-encodes.
DOTNET = Posted(
    'multipart/related; type="application/xop+xml";start="<http://tempuri.org/0>";'
    'boundary="uuid:00000000-0000-4000-8000-000000000001+id=1";start-info="application/soap+xml"',
    crlf(
        "--uuid:00000000-0000-4000-8000-000000000001+id=1\n"
        "Content-ID: <http://tempuri.org/0>\n"
        "Content-Transfer-Encoding: 8bit\n"
        'Content-Type: application/xop+xml;charset=utf-8;type="application/soap+xml"\n\n'
        + envelope(include("cid:http%3A%2F%2Ftempuri.org%2F1%2F638000000000000000"))
        + "\n--uuid:00000000-0000-4000-8000-000000000001+id=1\n"
        "Content-ID: <http://tempuri.org/1/638000000000000000>\n"
        "Content-Transfer-Encoding: binary\n"
        "Content-Type: application/octet-stream\n\n"
    )
    + DOCUMENT
    + b"\r\n--uuid:00000000-0000-4000-8000-000000000001+id=1--\r\n",
)

#: SAAJ with SOAP 1.1: the document before the root, base64, unquoted start.
SOAP11_MTOM = Posted(
    "Multipart/Related;START=<r>;Type=application/xop+xml;boundary=----=_Part_1.2;start-info=text/xml",
    crlf(
        "preamble\n------=_Part_1.2\nContent-ID: <d>\nContent-Transfer-Encoding: base64\n\n"
        "JVBERi0xLjQNCi0tbm90IGEgYm91bmRh\ncnkNCgD/DQo=\n"
        "\n------=_Part_1.2\nContent-Type: application/xop+xml; type=text/xml\nContent-ID: <r>\n\n"
        + envelope(include("CID:d"), soap=SOAP11)
        + "\n------=_Part_1.2--\n"
    ),
    version="1.1",
)

#: zeep: plain SOAP 1.2 with an XML declaration and line feeds, the document inline.
ZEEP = Posted(
    'application/soap+xml; charset=utf-8; action="urn:test:echo"',
    (
        "<?xml version='1.0' encoding='utf-8'?>\n"
        + envelope(
            '<t:Echo xmlns:t="urn:test"><t:Document>\n  JVBERi0xLjQNCi0tbm90IGEgYm91bmRh\n  cnkNCgD/DQo=\n'
            "</t:Document></t:Echo>"
        )
    ).encode(),
    mtom=False,
)

#: The same in SOAP 1.1.
ZEEP11 = Posted(
    "text/xml; charset=utf-8", ZEEP.body.replace(SOAP12.encode(), SOAP11.encode()), version="1.1", mtom=False
)

STACKS = {
    "cxf": CXF,
    "axis2": AXIS2,
    "dotnet": DOTNET,
    "saaj 1.1": SOAP11_MTOM,
    "zeep": ZEEP,
    "zeep 1.1": ZEEP11,
}


def xop(root: str, *parts: tuple[str, bytes]) -> Posted:
    """An MTOM message with the given root and parts by Content-ID."""
    body = crlf('--B\nContent-Type: application/xop+xml; type="application/soap+xml"\nContent-ID: <r>\n\n')
    body += root.encode()
    for name, data in parts:
        body += crlf(f"\n--B\nContent-ID: <{name}>\n\n") + data
    return Posted(
        'multipart/related; type="application/xop+xml"; start="<r>"; boundary=B', body + b"\r\n--B--\r\n"
    )
