"""Messages: the shapes other stacks send, XOP to the letter, answers in the form asked."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from tests.transport.messages import (
    CXF,
    DOCUMENT,
    SOAP11,
    SOAP12,
    STACKS,
    XOP,
    ZEEP,
    Posted,
    envelope,
    include,
    xop,
)
from xds.errors import Fault, FaultCode
from xds.transport import xml
from xds.transport.limits import Limits
from xds.transport.message import (
    Answer,
    Attachment,
    Message,
    MissingPart,
    Refused,
    read_message,
    write_answer,
)
from xds.transport.staged import StagingFolder

DOC = "{urn:test}Document"


def read(posted: Posted, staging: StagingFolder, limits: Limits | None = None) -> Message:
    return read_message(io.BytesIO(posted.body), posted.content_type, limits or Limits(), staging)


def refusal(posted: Posted, staging: StagingFolder, limits: Limits | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        read(posted, staging, limits)
    assert list(staging.path.iterdir()) == []
    return caught.value


def content(message: Message, tag: str = DOC) -> bytes:
    element = message.body.find(tag)
    assert element is not None
    with message.content(element).open() as file:
        return file.read()


@pytest.mark.parametrize("name", STACKS)
def test_the_messages_of_other_stacks_are_read(staging: StagingFolder, name: str) -> None:
    """CXF, Axis2, .NET, SAAJ and zeep each have their own habits; the document is the same."""
    posted = STACKS[name]
    message = read(posted, staging)

    assert (message.version.value, message.mtom) == (posted.version, posted.mtom)
    assert (message.action, message.message_id) == (posted.action, posted.message_id)
    assert message.body.tag == "{urn:test}Echo"
    assert content(message) == (DOCUMENT if posted.mtom and "saaj" not in name else base64.b64decode(INLINE))
    assert (dict(message.unresolved), message.unreferenced) == ({}, ())
    message.discard()
    assert list(staging.path.iterdir()) == []


INLINE = "JVBERi0xLjQNCi0tbm90IGEgYm91bmRhcnkNCgD/DQo="


def test_the_xop_include_is_taken_out_of_the_body(staging: StagingFolder) -> None:
    """So that the element is empty for the schema (ihe-rules 4.4)."""
    document = read(CXF, staging).body.find(DOC)

    assert document is not None
    assert (len(document), document.text) == (0, None)


def test_references_have_twelve_characters_and_differ(staging: StagingFolder) -> None:
    """They name one request."""
    references = {read(ZEEP, staging).reference for _ in range(20)}

    assert len(references) == 20
    assert {len(reference) for reference in references} == {12}


def test_content_is_the_same_at_each_call(staging: StagingFolder) -> None:
    """Inline text is decoded once."""
    message = read(ZEEP, staging)
    document = message.body.find(DOC)
    assert document is not None

    assert message.content(document) is message.content(document)


def test_a_file_that_was_moved_away_is_left_alone(staging: StagingFolder) -> None:
    """The repository publishes by renaming."""
    message = read(CXF, staging)
    document = message.body.find(DOC)
    assert document is not None
    kept = staging.path / "kept"
    message.content(document).path.rename(kept)
    message.discard()

    assert kept.read_bytes() == DOCUMENT


@pytest.mark.parametrize("text", ["", "  ", "YQ==", " Y Q = = \n", "YWI=", "YWJj"])
def test_inline_base64_may_hold_blanks(staging: StagingFolder, text: str) -> None:
    """xs:base64Binary collapses white space (XML Schema part 2, 3.2.16)."""
    message = read(plain(f'<t:Echo xmlns:t="urn:test"><t:Document>{text}</t:Document></t:Echo>'), staging)

    assert content(message) == base64.b64decode(text)


@pytest.mark.parametrize(
    "text", ["Y", "YQ", "YQ=", "YQ==YQ==", "Y*==", "=", "YWJj=", "YQ=å", "<b/>", "YQ==<b/>"]
)
def test_bad_inline_base64_is_a_sender_fault(staging: StagingFolder, text: str) -> None:
    """And nothing is staged."""
    message = read(plain(f'<t:Echo xmlns:t="urn:test"><t:Document>{text}</t:Document></t:Echo>'), staging)
    with pytest.raises(Fault) as caught:
        content(message)

    assert caught.value.code is FaultCode.SENDER
    assert list(staging.path.iterdir()) == []


def test_an_inline_document_has_the_limit_of_a_document(staging: StagingFolder) -> None:
    """limits.document_bytes counts decoded bytes."""
    for size, fits in ((30, True), (31, False), (33, False), (400, False)):
        text = base64.b64encode(b"x" * size).decode()
        posted = plain(f'<t:Echo xmlns:t="urn:test"><t:Document>{text}</t:Document></t:Echo>')
        message = read(posted, staging, Limits(document_bytes=30))
        if fits:
            assert len(content(message)) == size
        else:
            with pytest.raises(Fault, match=r"limits\.document_bytes"):
                content(message)


def plain(body: str, **parts: str) -> Posted:
    return Posted("application/soap+xml", envelope(body, **parts).encode(), mtom=False)


TWO = (
    f'<t:Echo xmlns:t="urn:test" xmlns:x="{XOP}"><t:Document><x:Include href="cid:a"/></t:Document>'
    '<t:Document><x:Include href="cid:b"/></t:Document></t:Echo>'
)


def test_missing_and_superfluous_parts_are_told_apart(staging: StagingFolder) -> None:
    """What they mean is for the transaction."""
    message = read(xop(envelope(TWO), ("b", b"2"), ("c", b"3")), staging)
    first, second = message.body

    assert dict(message.unresolved) == {first: "a"}
    assert message.unreferenced == ("c",)
    with pytest.raises(MissingPart):
        message.content(first)
    assert message.content(second).size == 1
    message.discard()
    assert list(staging.path.iterdir()) == []


@pytest.mark.parametrize(
    ("identifier", "href"),
    [
        ("a b", "cid:a%20b"),
        ("a+b@c", "cid:a+b%40c"),
        ("a/b", "cid:a/b"),
        ("a", "cid:%3Ca%3E"),
        ("A", "CID:A"),
    ],
)
def test_references_are_unescaped_before_they_are_compared(
    staging: StagingFolder, identifier: str, href: str
) -> None:
    """RFC 2392: a cid is a percent-encoded Content-ID without its brackets."""
    assert content(read(xop(envelope(include(href)), (identifier, b"1")), staging)) == b"1"


XOP_FAULTS = {
    "an address": (include("http://127.0.0.1:9/secret"), "never followed"),
    "a file": (include("file:///etc/passwd"), "never followed"),
    "nothing": (include(""), "never followed"),
    "a relative name": (include("a"), "never followed"),
    "text beside": (include("cid:a").replace("<x:", "YQ==<x:"), "all that its parent"),
    "text after": (include("cid:a").replace('a"/>', 'a"/>YQ=='), "all that its parent"),
    "two in one": (
        include("cid:a").replace("<t:Document>", f'<t:Document><i:Include xmlns:i="{XOP}" href="cid:b"/>'),
        "all",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", XOP_FAULTS)
@pytest.mark.parametrize("packaged", [True, False])
def test_bad_references_are_refused(staging: StagingFolder, name: str, packaged: bool) -> None:
    """Only `cid:` references to present parts, alone in their element (XOP 1.0, 2.1)."""
    body, reason = XOP_FAULTS[name]
    posted = xop(envelope(body), ("a", b"1"), ("b", b"2")) if packaged else plain(body)

    fault = refusal(posted, staging)
    assert (fault.code, reason in fault.reason) == (FaultCode.SENDER, True)
    assert "127.0.0.1" not in fault.reason


def test_one_part_for_two_elements_is_refused(staging: StagingFolder) -> None:
    """The repository moves a part to its place; it can do so once."""
    posted = xop(envelope(TWO.replace("cid:b", "cid:a")), ("a", b"1"))

    assert "same MIME part" in refusal(posted, staging).reason


TOKEN = f'<w:Token xmlns:w="urn:w"><w:Key><x:Include xmlns:x="{XOP}" href="cid:key"/></w:Key></w:Token>'


def test_references_in_the_header_are_put_back_as_base64(staging: StagingFolder) -> None:
    """Some stacks move the certificate of a signature to a part (lessons 2.4)."""
    message = read(xop(envelope(header=TOKEN), ("key", b"abcd")), staging)
    assert message.header is not None

    assert message.header.findtext(".//{urn:w}Key") == "YWJjZA=="
    assert message.unreferenced == ()
    message.discard()
    assert list(staging.path.iterdir()) == []


@pytest.mark.parametrize(("size", "fits"), [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_what_goes_back_into_the_header_is_bounded(staging: StagingFolder, size: int, fits: bool) -> None:
    """64 KiB in all."""
    posted = xop(envelope(header=TOKEN), ("key", b"x" * size))
    if fits:
        assert read(posted, staging).header is not None
    else:
        assert "larger than 65536" in refusal(posted, staging).reason


def test_a_missing_part_of_the_header_is_refused(staging: StagingFolder) -> None:
    """A signature without its bytes cannot be checked."""
    assert "not in the message" in refusal(xop(envelope(header=TOKEN)), staging).reason


WRONG_TYPES = [
    "", "text/plain", "application/json", "application/xml", "multipart/form-data; boundary=B",
    "application/xop+xml", 'multipart/related; type="text/xml"; boundary=B',
    "multipart/mixed; boundary=B", "text/html",
]  # fmt: skip


@pytest.mark.parametrize("content_type", WRONG_TYPES)
def test_other_content_types_are_415(staging: StagingFolder, content_type: str) -> None:
    """RFC 9110, 15.5.16."""
    fault = refusal(Posted(content_type, CXF.body), staging)

    assert (fault.status, fault.code) == (415, FaultCode.SENDER)


def test_a_root_part_of_another_type_is_415(staging: StagingFolder) -> None:
    """SOAP with Attachments is not MTOM."""
    posted = xop(envelope(), ("a", b"1"))
    body = posted.body.replace(b"application/xop+xml", b"text/xml")

    assert refusal(Posted(posted.content_type, body), staging).status == 415


def test_another_charset_is_refused(staging: StagingFolder) -> None:
    """UTF-8 and UTF-16 only."""
    assert "charset" in refusal(Posted("text/xml; charset=iso-8859-1", envelope().encode()), staging).reason


def test_the_envelope_decides_the_version(staging: StagingFolder) -> None:
    """Whatever the content type says."""
    assert read(Posted("text/xml", envelope().encode()), staging).version == "1.2"
    assert read(Posted("application/soap+xml", envelope(soap=SOAP11).encode()), staging).version == "1.1"


def test_a_large_root_is_refused(staging: StagingFolder) -> None:
    """With the name of its setting, for a plain message as for a packaged one."""
    for posted in (ZEEP, CXF):
        assert "limits.root_bytes" in refusal(posted, staging, Limits(root_bytes=100)).reason


@pytest.mark.parametrize("name", ["cxf", "zeep"])
def test_every_truncation_is_a_fault_that_leaves_nothing(staging: StagingFolder, name: str) -> None:
    """Cut at each byte before the end of the envelope or the closing boundary."""
    posted = STACKS[name]
    for length in range(0, len(posted.body), 3):
        assert refusal(Posted(posted.content_type, posted.body[:length]), staging).reason


def test_a_refused_message_is_answered_with_its_own_id_and_version(staging: StagingFolder) -> None:
    """As far as they could be read."""
    fault = refusal(Posted("text/xml", envelope(soap=SOAP11, action=None).encode()), staging)

    assert (fault.version, fault.message_id) == ("1.1", ZEEP.message_id)
    assert refusal(Posted("text/xml", b"<broken"), staging).version == "1.1"
    assert refusal(Posted("application/soap+xml", b"<broken"), staging).version == "1.2"
    assert refusal(Posted('multipart/related; start-info="text/xml"', b""), staging).version == "1.1"


def attachment(data: bytes, step: int = 5) -> Attachment:
    def chunks() -> Iterator[bytes]:
        for start in range(0, len(data), step):
            yield data[start : start + step]

    return Attachment("application/pdf", len(data), chunks)


@settings(max_examples=examples(60), deadline=None)
@given(
    documents=st.lists(st.binary(max_size=40), max_size=3),
    step=st.integers(1, 9),
    mtom=st.booleans(),
    old=st.booleans(),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, documents: list[bytes], step: int, mtom: bool, old: bool
) -> None:
    """In both versions and both forms, and the length announced is the length sent."""
    staging = StagingFolder(tmp_path_factory.mktemp("staging"))
    asked = read(Posted("text/xml", envelope(soap=SOAP11 if old else SOAP12).encode()), staging)
    body: list[bytes | Attachment] = [b'<r xmlns="urn:test">']
    for document in documents:
        body += [b"<Document>", attachment(document, step), b"</Document>"]
    content_type, length, chunks = write_answer(Answer("urn:a&b", (*body, b"</r>")), asked, mtom)
    data = b"".join(chunks)
    answer = read(Posted(content_type, data), staging)

    assert len(data) == length
    assert (answer.mtom, answer.version, answer.action) == (mtom, asked.version, "urn:a&b")
    assert answer.relates_to == asked.message_id
    assert [answer.content(element).path.read_bytes() for element in answer.body] == documents
    assert answer.unreferenced == ()
    answer.discard()


def test_the_action_of_an_answer_must_be_understood(staging: StagingFolder) -> None:
    """ITI TF-2 appendix V.3.2: mustUnderstand on every Action."""
    for name, soap in (("zeep", SOAP12), ("zeep 1.1", SOAP11)):
        _, _, chunks = write_answer(Answer("urn:a", (b"<r/>",)), read(STACKS[name], staging), False)
        action = xml.parse(b"".join(chunks)).find(".//{http://www.w3.org/2005/08/addressing}Action")
        assert action is not None
        assert action.get(f"{{{soap}}}mustUnderstand") == "1"


def test_a_plain_answer_is_one_bytes_object(staging: StagingFolder) -> None:
    """Which the server sends in one go."""
    _, length, chunks = write_answer(Answer("urn:a", (b"<r>", b"x", b"</r>")), read(ZEEP, staging), False)

    assert isinstance(chunks, list)
    assert [len(chunk) for chunk in chunks] == [length]


@pytest.mark.parametrize("mtom", [True, False])
@pytest.mark.parametrize("announced", [3, 5])
def test_an_attachment_of_another_size_breaks_off(staging: StagingFolder, mtom: bool, announced: int) -> None:
    """The length may be sent already: an answer that looks whole would be a lie."""
    answer = Answer("urn:a", (b"<r>", Attachment("a/b", announced, lambda: iter([b"abcd"])), b"</r>"))
    message = read(ZEEP, staging)
    with pytest.raises(RuntimeError):
        list(write_answer(answer, message, mtom)[2])


@pytest.mark.parametrize("kind", ["", "pdf", "a/b\r\nX: 1", "a/bø"])
def test_a_media_type_cannot_break_a_mime_header(staging: StagingFolder, kind: str) -> None:
    """It comes from metadata."""
    answer = Answer("urn:a", (b"<r>", Attachment(kind, 0, lambda: iter(())), b"</r>"))
    _, _, chunks = write_answer(answer, read(CXF, staging), True)

    assert b"\r\nContent-Type: application/octet-stream\r\n" in b"".join(chunks)


@pytest.mark.parametrize("remark", ["<!-- x -->", "<?x y?>"], ids=["comment", "instruction"])
def test_a_remark_in_a_header_block_is_taken_out_and_told(remark: str, tmp_path: Path):
    """The text around it is one text, and the gate is told which block it stood in."""
    xml_ = (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header>'
        f"<a:Action>urn:x</a:Action><t xmlns='urn:t'>on{remark}e</t><u xmlns='urn:t'/>{remark}</s:Header>"
        f"<s:Body>{remark}<b>on{remark}e</b></s:Body></s:Envelope>"
    )
    message = read_message(
        io.BytesIO(xml_.encode()), "application/soap+xml", Limits(), StagingFolder(tmp_path)
    )
    assert message.remarked == {"{urn:t}t"}
    assert message.header is not None
    assert [block.text for block in message.header.iter("{urn:t}t")] == ["one"]
    assert message.body.text == "one"
    assert len(message.body) == 0
