"""ITI-41, 43, 18 and 42 byte for byte as the SOAP stacks of the field send them, and the form of every
answer.

Sources of the shapes: Apache CXF 3/4, Apache Axis2 1.6 to 1.8, .NET WCF with MtomMessageEncoder, zeep 4,
SAAJ (Metro). Each stack's envelope, prefixes, header lines, Content-IDs, boundaries and quoting are kept;
the metadata is synthetic.
"""

from __future__ import annotations

import base64
import http.client
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.blackbox import messages as m
from tests.blackbox.bad import edited
from tests.blackbox.messages import Document, Request
from tests.blackbox.wire import (
    FAILURE,
    NOT_AT_HAND,
    PARTIAL,
    SCHEMAS,
    SOAP11,
    SOAP12,
    SUCCESS,
    WSA,
    XOP,
    Reply,
    send,
)
from tests.nodes import Node

BYTES = b"%PDF-1.7\r\n\x00\xff\xfe--uuid:\r\n\r\n--MIMEBoundary\n"
ACTION = m.ACTIONS["ITI-41"]
ID = "urn:uuid:0f4d6d5c-1111-4222-8333-444455556666"


def _prefixed(body: str, **prefixes: str) -> str:
    """The body with other namespace prefixes, as generated stubs choose them."""
    for old, new in prefixes.items():
        body = body.replace(f"<{old}:", f"<{new}:").replace(f"</{old}:", f"</{new}:")
        body = body.replace(f"xmlns:{old}=", f"xmlns:{new}=")
    return body


def _lines(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def cxf(document: Document) -> Request:
    """CXF: boundary and ids from UUIDs, everything quoted, "@" bare in the href, JAXB's ns-numbers as
    prefixes."""
    part = "9a3c1f0e-5d1b-4a57-9d1c-2f6f3f0f7d11-1@cxf.apache.org"
    boundary = "uuid:5f0a8a0c-7b3e-4f0a-8a35-7c9b2f1f9a10"
    body = m.provide([document], {"Document01": f'<xop:Include xmlns:xop="{XOP}" href="cid:{part}"/>'})
    body = _prefixed(body, rim="ns2", lcm="ns4", xds="ns6")
    root = (
        f'<soap:Envelope xmlns:soap="{SOAP12}"><soap:Header>'
        f'<Action xmlns="{WSA}" xmlns:wsu="urn:example:wsu" soap:mustUnderstand="true">{ACTION}</Action>'
        f'<MessageID xmlns="{WSA}">{ID}</MessageID><To xmlns="{WSA}">http://localhost/xds/repository</To>'
        f'<ReplyTo xmlns="{WSA}"><Address>{WSA}/anonymous</Address></ReplyTo></soap:Header>'
        f"<soap:Body>{body}</soap:Body></soap:Envelope>"
    )
    return Request(
        m.REPOSITORY,
        f'multipart/related; type="application/xop+xml"; boundary="{boundary}"; '
        f'start="<root.message@cxf.apache.org>"; '
        f'start-info="application/soap+xml"; action="{ACTION}"',
        _lines(
            f'\n--{boundary}\nContent-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"; '
            f'action="{ACTION}"\nContent-Transfer-Encoding: binary\nContent-ID: '
            f"<root.message@cxf.apache.org>\n\n"
        )
        + root.encode()
        + _lines(
            f"\n--{boundary}\nContent-Type: application/pdf\nContent-Transfer-Encoding: "
            f"binary\nContent-ID: <{part}>\n\n"
        )
        + document.content
        + f"\r\n--{boundary}--".encode(),
        headers=(("Accept", "*/*"), ("User-Agent", "Apache-CXF/4.0.4"), ("Connection", "Keep-Alive")),
    )


def axis2(document: Document) -> Request:
    """Axis2: chunked, unquoted boundary, action inside start-info, XML declaration, urn:uuid in the
    Content-ID."""
    boundary, part = "MIMEBoundary_2b1c", "1.3f2e1d0c9b8a7f6e5d4c3b2a190817263544352617182930@apache.org"
    body = m.provide(
        [document], {"Document01": f'<xop:Include href="cid:{part}" xmlns:xop="{XOP}"></xop:Include>'}
    )
    root = (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f'<soapenv:Envelope xmlns:soapenv="{SOAP12}"><soapenv:Header xmlns:wsa="{WSA}">'
        f"<wsa:To>http://localhost:8080/xds/repository</wsa:To><wsa:ReplyTo><wsa:Address>{WSA}/anonymous</wsa:Address>"
        f"</wsa:ReplyTo><wsa:MessageID>{ID}</wsa:MessageID><wsa:Action "
        f'soapenv:mustUnderstand="1">{ACTION}</wsa:Action>'
        f"</soapenv:Header><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
    data = (
        _lines(
            f'--{boundary}\nContent-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"\n'
            f"Content-Transfer-Encoding: binary\nContent-ID: <0.9f8e7d6c@apache.org>\n\n"
        )
        + root.encode()
        + _lines(
            f"\n--{boundary}\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: binary\n"
            f"Content-ID: <{part}>\n\n"
        )
        + document.content
        + _lines(f"\n--{boundary}--\n")
    )
    return Request(
        m.REPOSITORY,
        f"multipart/related; boundary={boundary}; "
        'type="application/xop+xml"; start="<0.9f8e7d6c@apache.org>"; '
        f'start-info="application/soap+xml"; action="{ACTION}"',
        [data[at : at + 1000] for at in range(0, len(data), 1000)],
        headers=(("User-Agent", "Axis2"),),
        chunked=True,
    )


def wcf(document: Document) -> Request:
    """.NET: headers of a part in another order, tempuri ids, the href percent-encoded, default namespaces."""
    boundary = "uuid:5e2d8a2b-aaaa-4bbb-8ccc-000011112222+id=3"
    href = "cid:http%3A%2F%2Ftempuri.org%2F1%2F638400000000000001"
    body = m.provide([document], {"Document01": f'<xop:Include href="{href}" xmlns:xop="{XOP}"/>'})
    body = body.replace("<xds:", "<").replace("</xds:", "</").replace("xmlns:xds=", "xmlns=")
    root = (
        f'<s:Envelope xmlns:s="{SOAP12}" xmlns:a="{WSA}"><s:Header><a:Action '
        f's:mustUnderstand="1">{ACTION}</a:Action>'
        f"<a:MessageID>{ID}</a:MessageID><a:ReplyTo><a:Address>{WSA}/anonymous</a:Address></a:ReplyTo>"
        '<a:To s:mustUnderstand="1">http://localhost:8080/xds/repository</a:To></s:Header>'
        '<s:Body xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
        f"{body}</s:Body></s:Envelope>"
    )
    return Request(
        m.REPOSITORY,
        f'multipart/related; type="application/xop+xml";start="<http://tempuri.org/0>";boundary="{boundary}";'
        'start-info="application/soap+xml"',
        _lines(
            f"\n--{boundary}\nContent-ID: <http://tempuri.org/0>\nContent-Transfer-Encoding: 8bit\n"
            'Content-Type: application/xop+xml;charset=utf-8;type="application/soap+xml"\n\n'
        )
        + root.encode()
        + _lines(
            f"\n--{boundary}\nContent-ID: <http://tempuri.org/1/638400000000000001>\n"
            "Content-Transfer-Encoding: binary\nContent-Type: application/octet-stream\n\n"
        )
        + document.content
        + _lines(f"\n--{boundary}--\n"),
        headers=(("MIME-Version", "1.0"), ("Expect", "100-continue"), ("Accept-Encoding", "gzip, deflate")),
    )


def saaj11(document: Document) -> Request:
    """SAAJ, SOAP 1.1: upper-case parameters, unquoted start, the document first and in base64, SOAPAction as
    header."""
    boundary = "----=_Part_0_1414974931.1700000000000"
    body = m.provide([document], {"Document01": m.include("CID:doc%40example.org")})
    return Request(
        m.REPOSITORY,
        f'Multipart/Related; START="<root>"; TYPE="application/xop+xml"; start-info="text/xml"; '
        f'BOUNDARY="{boundary}"',
        _lines(
            f"preamble to be ignored\n--{boundary}\nContent-Id: <doc@example.org>\n"
            "content-transfer-encoding: BASE64\ncontent-type: application/pdf\n\n"
        )
        + base64.encodebytes(document.content).replace(b"\n", b"\r\n")
        + _lines(
            f'\n--{boundary}  \nContent-Type: application/xop+xml; charset="utf-8"; type="text/xml"\n'
            "Content-Id: <root>\n\n"
        )
        + m.envelope(body, "ITI-41", soap=SOAP11, message_id=ID)
        + _lines(f"\n--{boundary}--\nepilogue to be ignored\n"),
        headers=(("SOAPAction", f'"{ACTION}"'),),
    )


def no_start(document: Document) -> Request:
    """No start parameter: the first part is the root; no start-info, no charset, plain ids."""
    good = m.mtom([document])
    return replace(
        edited(good, ('; type="application/soap+xml"', "")),
        content_type="multipart/related;type=application/xop+xml;boundary=MIMEBoundary_0123456789abcdef",
    )


def zeep_plain(document: Document) -> Request:
    """zeep: no MTOM, inline base64, a declaration, ns-numbers, the action in the Content-Type."""
    body = _prefixed(m.provide([document], m.inline([document])), rim="ns1", lcm="ns0", xds="ns2")
    root = (
        "<?xml version='1.0' encoding='utf-8'?>\n"
        f'<soap-env:Envelope xmlns:soap-env="{SOAP12}"><soap-env:Header xmlns:wsa="{WSA}">'
        f"<wsa:Action>{ACTION}</wsa:Action><wsa:MessageID>{ID}</wsa:MessageID>"
        f"<wsa:To>http://localhost:8080/xds/repository</wsa:To></soap-env:Header>"
        f"<soap-env:Body>{body}</soap-env:Body></soap-env:Envelope>"
    )
    return Request(
        m.REPOSITORY,
        f'application/soap+xml; charset=utf-8; action="{ACTION}"',
        root.encode(),
        headers=(
            ("User-Agent", "Zeep/4.3.2 (www.python-zeep.org)"),
            ("Accept", "*/*"),
            ("SOAPAction", f'"{ACTION}"'),
        ),
    )


def utf16(document: Document) -> Request:
    """UTF-16 with a byte order mark, which every XML processor reads."""
    envelope = m.envelope(m.provide([document], m.inline([document])), "ITI-41", message_id=ID).decode()
    text = '<?xml version="1.0" encoding="UTF-16"?>' + envelope
    return Request(m.REPOSITORY, "application/soap+xml; charset=UTF-16", text.encode("utf-16"))


def wrapped_base64(document: Document) -> Request:
    """Inline base64 in lines of 76 characters, with blanks around it."""
    text = "\n    " + base64.encodebytes(document.content * 20).decode() + "   "
    whole = replace(document, content=document.content * 20)
    return m.plain(m.provide([whole], {"Document01": text}), "ITI-41")


MTOM: dict[str, Callable[[Document], Request]] = {
    "CXF": cxf,
    "Axis2": axis2,
    "WCF": wcf,
    "SAAJ 1.1": saaj11,
    "no start": no_start,
}
PLAIN: dict[str, Callable[[Document], Request]] = {
    "zeep": zeep_plain,
    "UTF-16": utf16,
    "wrapped base64": wrapped_base64,
}
SHAPES = MTOM | PLAIN


@pytest.mark.skipif("published" not in SCHEMAS, reason=NOT_AT_HAND)
def test_the_published_schemas_are_at_hand() -> None:
    """Skipped loudly where they are not; with them every answer of these tests is checked against them
    too."""
    assert "published" in SCHEMAS


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_stacks_iti_41_is_taken_and_answered_in_its_form(
    shape: Callable[[Document], Request], node: Node
) -> None:
    """MTOM to MTOM, plain to plain, the SOAP version of the request, its MessageID in RelatesTo; the bytes
    are kept."""
    document = Document(content=BYTES)
    request = shape(document)
    reply = send(node, request)
    assert (reply.status, reply.outcome) == (200, SUCCESS)
    assert reply.mtom == (shape in MTOM.values())
    assert reply.version == (SOAP11 if shape is saaj11 else SOAP12)
    assert reply.header("Action") == ACTION + "Response"
    assert reply.header("RelatesTo") in (ID, *_ids(request))
    kept = BYTES * 20 if shape is wrapped_base64 else BYTES
    assert send(node, m.mtom_retrieve(document.unique_id)).documents() == {document.unique_id: kept}


def _ids(request: Request) -> list[str]:
    body = request.body if isinstance(request.body, bytes) else b"".join(request.body)
    return [part.split(b"<")[0].decode() for part in body.split(b"MessageID>")[1:2]]


@pytest.mark.parametrize("soap", [SOAP12, SOAP11])
@pytest.mark.parametrize("form", ["MTOM", "plain"])
def test_an_mtom_answer_is_packaged_as_the_standard_says(form: str, soap: str, node: Node) -> None:
    """ITI TF-2 V.8: root first and named by start, type and start-info, each document a binary part, hrefs
    that match."""
    documents = [Document(content=BYTES), Document(id="Document02", content=b"", mime_type="text/plain")]
    assert send(node, m.mtom(documents, soap=soap)).outcome == SUCCESS
    root = m.envelope(m.retrieve(*(each.unique_id for each in documents)), "ITI-43", soap=soap, message_id=ID)
    if form == "plain":
        reply = send(node, Request(m.REPOSITORY, m.media_type(soap), root))
        assert reply.content_type == m.media_type(soap).partition(";")[0]
        assert b"Include" not in reply.body
    else:
        reply = send(node, Request(m.REPOSITORY, *m.multipart(root, soap=soap)))
        inner = "application/soap+xml" if soap == SOAP12 else "text/xml"
        assert ("application/xop+xml", inner) == (reply.parameter("type"), reply.parameter("start-info"))
        parts = reply.parts()
        identifiers = list(parts)
        assert identifiers[0] == reply.parameter("start").strip("<>")
        assert f'type="{inner}"' in parts[identifiers[0]][0]["content-type"]
        includes = reply.envelope().findall(f".//{{{XOP}}}Include")
        assert [each.get("href") for each in includes] == [f"cid:{each}" for each in identifiers[1:]]
        assert [parts[each][0]["content-type"] for each in identifiers[1:]] == [
            "application/pdf",
            "text/plain",
        ]
        assert {headers["content-transfer-encoding"] for headers, _ in parts.values()} == {"binary"}
    assert (reply.version, reply.header("RelatesTo")) == (soap, ID)
    assert reply.documents() == {each.unique_id: each.content for each in documents}
    assert int(reply.headers["Content-Length"]) == len(reply.body)


def test_a_refused_iti_41_is_answered_as_mtom_too(node: Node) -> None:
    """A Failure has the form of the request like a Success."""
    reply = send(node, m.mtom([Document(slots={"hash": "0" * 40})]))
    assert (reply.status, reply.mtom, reply.outcome) == (200, True, FAILURE)


@pytest.mark.parametrize("transaction", ["ITI-18", "ITI-42"])
def test_transactions_without_documents_answer_plainly_whatever_was_sent(
    transaction: str, node: Node
) -> None:
    """ITI-18 and ITI-42 are simple SOAP: one that comes as MTOM is read, and answered as plain SOAP."""
    body = m.find_documents() if transaction == "ITI-18" else m.register([Document()])
    reply = send(node, Request(m.REGISTRY, *m.multipart(m.envelope(body, transaction))))
    assert (reply.status, reply.content_type, reply.outcome) == (200, "application/soap+xml", SUCCESS)


def test_some_documents_known_and_some_not_is_a_partial_success(node: Node) -> None:
    """ITI-43: what there is comes, with an error for each that is not there (ITI TF-2 3.43.4.2.3)."""
    document = Document(content=BYTES)
    assert send(node, m.mtom([document])).outcome == SUCCESS
    reply = send(node, m.mtom_retrieve(m.new_oid(), document.unique_id))
    assert reply.outcome == PARTIAL
    assert reply.documents() == {document.unique_id: BYTES}
    (error,) = reply.errors
    assert (error.code, error.location) == ("XDSDocumentUniqueIdError", "DocumentRequest[1]/DocumentUniqueId")


def test_the_home_community_is_echoed_only_when_it_was_given(node: Node) -> None:
    """ITI-43: ids come back as they were asked (ITI TF-2 3.43.4.2.2)."""
    document = Document(content=BYTES)
    assert send(node, m.mtom([document])).outcome == SUCCESS
    home = "urn:oid:2.16.578.1.12.4.5.100.1.1"
    ask = edited(
        m.plain(m.retrieve(document.unique_id), "ITI-43"),
        (
            "<xds:RepositoryUniqueId>",
            f"<xds:HomeCommunityId>{home}</xds:HomeCommunityId><xds:RepositoryUniqueId>",
        ),
    )
    assert send(node, ask).content().findtext(".//{*}HomeCommunityId") == home
    plain: Reply = send(node, m.plain(m.retrieve(document.unique_id), "ITI-43"))
    assert plain.content().find(".//{*}HomeCommunityId") is None


@pytest.mark.parametrize(
    "header",
    [
        '<u:x xmlns:u="urn:example:u" s:mustUnderstand="1" s:role="urn:example:other"/>',
        '<u:x xmlns:u="urn:example:u" s:mustUnderstand="true" s:role="http://www.w3.org/2003/05/soap-envelope/role/none"/>',
        '<u:x xmlns:u="urn:example:u" s:mustUnderstand="false"/>',
        '<u:x xmlns:u="urn:example:u"/>',
    ],
)
def test_headers_for_others_and_optional_ones_are_passed_over(header: str, node: Node) -> None:
    """SOAP 1.2 part 1, 2.4: only mandatory blocks for a role that the node acts in must be understood."""
    assert send(node, m.plain(m.find_documents(), "ITI-18", header=header)).outcome == SUCCESS


def test_a_message_without_message_id_is_answered_without_relates_to(node: Node) -> None:
    """A missing ReplyTo means anonymous, a missing MessageID leaves nothing to relate to."""
    good = m.plain(m.find_documents(), "ITI-18")
    assert isinstance(good.body, bytes)
    body = re.sub(rb"<a:MessageID>.*</a:MessageID>", b"", good.body)
    reply = send(node, replace(good, body=body))
    assert (reply.outcome, reply.envelope().find(f"{{*}}Header/{{{WSA}}}RelatesTo")) == (SUCCESS, None)


def test_the_action_of_the_http_level_is_ignored(node: Node) -> None:
    """ITI TF-2 V.3: wsa:Action decides; SOAPAction and the action parameter may say anything."""
    good = m.plain(m.find_documents(), "ITI-18")
    reply = send(
        node,
        replace(
            good,
            content_type=f'application/soap+xml; charset=UTF-8; action="{ACTION}"',
            headers=(("SOAPAction", f'"{ACTION}"'),),
        ),
    )
    assert reply.outcome == SUCCESS


@pytest.mark.parametrize("soap", [SOAP12, SOAP11])
def test_the_content_type_of_a_message_may_name_the_other_soap_version(soap: str, node: Node) -> None:
    """The envelope's namespace decides, so a mislabelled one is answered in its own version."""
    other = SOAP11 if soap == SOAP12 else SOAP12
    reply = send(
        node, Request(m.REGISTRY, m.media_type(other), m.envelope(m.find_documents(), "ITI-18", soap=soap))
    )
    assert (reply.version, reply.outcome) == (soap, SUCCESS)
    assert reply.content_type == m.media_type(soap).partition(";")[0]


def test_two_requests_on_one_connection_are_answered_each_by_its_own(node: Node) -> None:
    """Keep-alive: a refused request does not spoil the connection for the next."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    for number in range(6):
        body = m.envelope(m.find_documents(), "ITI-18" if number % 2 else "urn:example:unknown")
        connection.request("POST", m.REGISTRY, body, {"Content-Type": m.media_type(SOAP12)})
        answer = connection.getresponse()
        assert (answer.status, b"Fault" in answer.read()) == ((200, False) if number % 2 else (500, True))
    connection.close()
