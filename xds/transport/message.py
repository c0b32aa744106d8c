"""One SOAP message in, one answer out: envelope, WS-Addressing and XOP in a form that transactions work on.

The endpoint and the outgoing client call `receive` or `read_message` with a stream and get a `Message`; a
transaction asks it for the bytes of an element and returns an `Answer`, which `write` turns into a stream of
known length. Documents pass through staged files, never through memory. A `cid:` is the only reference that
is ever followed.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Protocol
from urllib.parse import unquote

from lxml import etree

from xds.errors import Fault, FaultCode, XdsError, sender
from xds.transport import addressing, mime, soap, xml
from xds.transport.addressing import Elsewhere
from xds.transport.limits import Limits
from xds.transport.mime import (
    CHUNK,
    Readable,
    decode_base64,
    media_type,
    too_large,
)
from xds.transport.soap import WORDS, Version
from xds.transport.staged import Staged, StagingFolder

XOP: Final = "http://www.w3.org/2004/08/xop/include"
XOP_TYPE: Final = "application/xop+xml"
_INCLUDE = f"{{{XOP}}}Include"
#: The most that XOP parts may put back into the SOAP header, where certificates and signatures travel.
HEADER_INCLUDE_BYTES: Final = 64 * 1024
#: An answer larger than this goes out in chunks of about this size.
LARGE: Final = 192 * 1024
_CHARSETS = frozenset({"", "utf-8", "utf8", "utf-16", "us-ascii"})


class MissingPart(XdsError, LookupError):
    """An element refers to a MIME part that is not there; the transaction knows the error for it."""


class Refused(Fault):
    """A Fault found while reading, with what is known of the message that is refused."""

    def __init__(self, fault: Fault, version: Version, message_id: str = "") -> None:
        super().__init__(
            fault.code,
            fault.reason,
            subcode=fault.subcode,
            status=fault.status,
            not_understood=fault.not_understood,
        )
        self.fault = fault
        self.version = version
        self.message_id = message_id


def new_reference() -> str:
    """A reference number: twelve characters that name one request in answers and in the log."""
    return secrets.token_hex(6)


class Discardable(Protocol):
    """A staged file, or what has some."""

    def discard(self) -> None:
        """Remove what is still there."""


@dataclass(slots=True, eq=False)
class Message:
    """A message that was read.

    `header` is the SOAP Header, `body` the only child of the Body with every xop:Include taken out.
    `unresolved` maps elements to the Content-ID of a part that is not there; `unreferenced` lists
    those of parts that no element names. What either means is for the transaction to say. `remarked` are the
    tags of the header blocks in which there was a comment or a processing instruction, which are gone now.
    `reply_to` is where the answer has to go, when that is not back on the same connection. `envelope` is all
    of the XML, where the message is an answer.
    """

    version: Version
    action: str
    message_id: str
    header: etree._Element | None
    body: etree._Element
    mtom: bool
    reference: str
    unresolved: Mapping[etree._Element, str]
    unreferenced: tuple[str, ...]
    relates_to: str = ""
    remarked: frozenset[str] = frozenset()
    reply_to: str = ""
    envelope: bytes = b""
    _staging: StagingFolder | None = None
    _limits: Limits = field(default_factory=Limits)
    _parts: Mapping[str, Staged] = field(default_factory=dict)
    _contents: dict[etree._Element, Staged] = field(default_factory=dict)
    _adopted: list[Discardable] = field(default_factory=list)
    _included: tuple[etree._Element, ...] = ()

    @property
    def parts(self) -> Mapping[str, Staged]:
        """The MIME parts beside the XML, by Content-ID."""
        return self._parts

    def included(self) -> set[str]:
        """The tags of the Body's elements that had an xop:Include."""
        return {str(element.tag) for element in (*self.unresolved, *self._included)}

    def content(self, element: etree._Element) -> Staged:
        """The bytes of a base64Binary element, from its MIME part or its text; the same at each call.

        Raises MissingPart when the part is not there, Fault(Sender) when the text is not base64.
        """
        if element in self.unresolved:
            raise MissingPart("the element refers to a MIME part that is not in the message")
        if (staged := self._contents.get(element)) is None:
            staged = self._contents[element] = self._inline(element)
        return staged

    def _inline(self, element: etree._Element) -> Staged:
        if len(element):
            raise sender("An element that must hold base64 text holds other elements.")
        assert self._staging is not None
        text = (element.text or "").encode("ascii", "replace").translate(None, b" \t\r\n")
        data = decode_base64(text)
        if len(data) > self._limits.document_bytes:
            raise too_large("A document", "document_bytes", self._limits.document_bytes)
        writer = self._staging.create()
        try:
            writer.write(data)
            return writer.finish()
        except BaseException:
            writer.discard()
            raise

    def adopt(self, staged: Discardable) -> None:
        """Take over what was staged for the answer: it is removed with the message's own files."""
        self._adopted.append(staged)

    def discard(self) -> None:
        """Remove every staged file of the message that has not been moved away."""
        for staged in (*self._parts.values(), *self._contents.values(), *self._adopted):
            staged.discard()


@dataclass(frozen=True, slots=True)
class Attachment:
    """Bytes on their way out: `size` is exact, and `chunks` gives them from the start at each call."""

    content_type: str
    size: int
    chunks: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Text:
    """XML that is made while it is sent, once, some pieces at a time; nobody knows how long it will be."""

    batches: Iterator[Sequence[bytes]]


Piece = bytes | Text | Attachment


@dataclass(frozen=True, slots=True)
class Answer:
    """The wsa:Action of an answer and the XML of its body.

    An Attachment stands where the base64 text, or the xop:Include in its place, goes. Every namespace prefix
    that the body uses is declared in it.
    """

    action: str
    body: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Received:
    """An envelope and its parts, before anything in the header was judged."""

    version: Version
    root: etree._Element
    parts: Mapping[str, Staged]
    mtom: bool
    remarked: frozenset[str] = frozenset()

    def discard(self) -> None:
        """Remove the staged parts."""
        for staged in self.parts.values():
            staged.discard()


def expected_version(content_type: str) -> Version:
    """The SOAP version that a Content-Type speaks of: for answers to what cannot be read."""
    kind, parameters = media_type(content_type)
    if kind == "multipart/related":
        kind = media_type(parameters.get("start-info", ""))[0]
    return soap.BY_MEDIA_TYPE.get(kind, Version.SOAP12)


def receive(stream: Readable, content_type: str, limits: Limits, staging: StagingFolder) -> Received:
    """Read one message to the end of `stream`: MIME if there is any, then the envelope. Raises Fault."""
    kind, parameters = media_type(content_type)
    mtom = kind == "multipart/related"
    if mtom:
        if parameters.get("type", XOP_TYPE).lower() != XOP_TYPE:
            raise _wrong_type()
        parts = mime.read_parts(stream, parameters, limits, staging)
        data, staged = parts.root, parts.staged
        kind, parameters = media_type(parts.root_type)
    elif kind in soap.BY_MEDIA_TYPE:
        data, staged = _read_all(stream, limits), {}
    else:
        raise _wrong_type()
    try:
        if mtom and kind != XOP_TYPE:
            raise _wrong_type()
        if parameters.get("charset", "").lower() not in _CHARSETS:
            raise sender("The Content-Type names a charset that is not read here: send UTF-8.")
        root = xml.parse(data, remarks=True)
        remarked = soap.remarked(root)
        xml.drop_remarks(root)
        return Received(soap.version_of(root), root, staged, mtom, remarked)
    except BaseException:
        for part in staged.values():
            part.discard()
        raise


def _wrong_type() -> Fault:
    return Fault(
        FaultCode.SENDER,
        "The Content-Type is not one of application/soap+xml, text/xml, "
        "or multipart/related with a root part of type application/xop+xml.",
        status=415,
    )


def _read_all(stream: Readable, limits: Limits) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := stream.read(CHUNK):
        size += len(piece)
        if size > limits.root_bytes:
            raise too_large("The XML", "root_bytes", limits.root_bytes)
        pieces.append(piece)
    return b"".join(pieces)


def read_message(
    stream: Readable,
    content_type: str,
    limits: Limits,
    staging: StagingFolder,
    understood: frozenset[str] = frozenset(),
    *,
    elsewhere: Elsewhere | None = None,
    answer: bool = False,
) -> Message:
    """Read one request; `understood` are the tags ("{namespace}name") of header blocks that others process.

    `elsewhere`: where its answer may go but back. `answer`: it is itself the answer to a message of ours.
    Raises Refused, a Fault that knows the version and MessageID of the request as far as they could be read.
    Nothing stays staged then.
    """
    version, message_id = expected_version(content_type), ""
    received = None
    try:
        received = receive(stream, content_type, limits, staging)
        version = received.version
        header, body = soap.split(received.root, version)
        message_id = addressing.message_id(header, version)
        soap.check_understood(header, version, understood | addressing.UNDERSTOOD)
        properties = addressing.read(header, version, answer=answer, elsewhere=elsewhere)
        envelope = etree.tostring(received.root, encoding="UTF-8") if answer else b""
        message = open_message(received, header, body, properties, limits, staging)
        message.envelope = envelope
        return message
    except Fault as fault:
        if received is not None:
            received.discard()
        raise Refused(fault, version, message_id) from None
    except BaseException:
        if received is not None:
            received.discard()
        raise


def open_message(
    received: Received,
    header: etree._Element | None,
    body: etree._Element,
    properties: addressing.Addressing,
    limits: Limits,
    staging: StagingFolder,
) -> Message:
    """Resolve XOP and make the Message. Raises Fault; the parts stay the caller's until it returns."""
    parts = received.parts
    used: set[str] = set()
    if header is not None:
        _inline_header(header, parts, used)
    contents: dict[etree._Element, Staged] = {}
    unresolved: dict[etree._Element, str] = {}
    for include in list(body.iter(_INCLUDE)):
        parent, cid = _take(include)
        if cid not in parts:
            unresolved[parent] = cid
        elif cid in used:
            raise sender("Two elements of the message refer to the same MIME part: send one part for each.")
        else:
            used.add(cid)
            contents[parent] = parts[cid]
    return Message(
        version=received.version,
        action=properties.action,
        message_id=properties.message_id,
        header=header,
        body=body,
        mtom=received.mtom,
        reference=new_reference(),
        unresolved=unresolved,
        unreferenced=tuple(cid for cid in parts if cid not in used),
        relates_to=properties.relates_to,
        remarked=received.remarked,
        reply_to=properties.reply_to,
        _staging=staging,
        _limits=limits,
        _parts=parts,
        _contents=contents,
        _included=tuple(contents),
    )


def _inline_header(header: etree._Element, parts: Mapping[str, Staged], used: set[str]) -> None:
    """Put the bytes of XOP parts back into the header, so that signatures can be checked (XOP 1.0, 3.2)."""
    size = 0
    for include in list(header.iter(_INCLUDE)):
        parent, cid = _take(include)
        if cid not in parts:
            raise sender("The SOAP header refers to a MIME part that is not in the message.")
        size += parts[cid].size
        if size > HEADER_INCLUDE_BYTES:
            raise sender(f"The MIME parts of the SOAP header are larger than {HEADER_INCLUDE_BYTES} bytes.")
        used.add(cid)
        with parts[cid].open() as file:
            parent.text = base64.b64encode(file.read()).decode()


def _take(include: etree._Element) -> tuple[etree._Element, str]:
    """Remove an xop:Include; its parent and the Content-ID that it names (XOP 1.0, 2.1)."""
    parent = include.getparent()
    href = include.get("href", "").strip()
    if parent is None or len(parent) != 1 or (parent.text or "").strip() or (include.tail or "").strip():
        raise sender("An xop:Include must be all that its parent element holds.")
    if href[:4].lower() != "cid:":
        raise sender(
            "An xop:Include refers to something other than a MIME part (cid:), which is never followed."
        )
    parent.remove(include)
    parent.text = None
    return parent, mime.content_id(unquote(href[4:]))


def write_answer(answer: Answer, message: Message, mtom: bool) -> tuple[str, int | None, Iterable[bytes]]:
    """Content type, length in bytes if it is known, and the bytes themselves of an answer to `message`."""
    header = addressing.write(answer.action, addressing.new_id(), relates_to=message.message_id)
    return write(message.version, header, answer.body, mtom)


def write_reply(answer: Answer, message: Message, mtom: bool) -> tuple[str, int | None, Iterable[bytes]]:
    """The same of an answer that goes to the message's `reply_to`, as a message of its own."""
    header = addressing.write(
        answer.action, addressing.new_id(), relates_to=message.message_id, to=message.reply_to
    )
    return write(message.version, header, answer.body, mtom, answer.action)


def write(
    version: Version, header: str, body: tuple[Piece, ...], mtom: bool, action: str = ""
) -> tuple[str, int | None, Iterable[bytes]]:
    """Lay out an envelope. `header` is XML of header blocks; `action` is named in the content type if given.

    A small message comes as a list of one bytes object, others as a generator that opens one attachment at a
    time: the first chunk is on its way while the next is made, and memory does not grow with the answer.
    """
    before, after = soap.envelope(version, header)
    pieces = (before, *body, after)
    named = f'; action="{action}"' if action else ""
    inner = WORDS[version].media_type
    if mtom:
        return _multipart(pieces, inner, named)
    content_type = f"{inner}; charset=utf-8{named if version is Version.SOAP12 else ''}"
    chunks = _gathered(_plain(pieces))
    first = next(chunks)
    if len(first) < LARGE:
        return content_type, len(first), [first]
    return content_type, _plain_length(pieces), chain((first,), chunks)


def _plain_length(pieces: tuple[Piece, ...]) -> int | None:
    length = 0
    for piece in pieces:
        if isinstance(piece, Text):
            return None
        length += len(piece) if isinstance(piece, bytes) else (piece.size + 2) // 3 * 4
    return length


def _exact(piece: Attachment) -> Iterator[bytes]:
    """The chunks of an attachment; an error when they are not `size` bytes, as that was announced."""
    size = 0
    for chunk in piece.chunks():
        size += len(chunk)
        if size > piece.size:
            break
        yield chunk
    if size != piece.size:
        raise RuntimeError("an attachment does not have the size it was announced with")


def _plain(pieces: tuple[Piece, ...]) -> Iterator[Sequence[bytes]]:
    for piece in pieces:
        match piece:
            case bytes():
                yield (piece,)
            case Text():
                yield from piece.batches
            case Attachment():
                for chunk in _base64(_exact(piece)):
                    yield (chunk,)


def _base64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        data = rest + chunk if rest else chunk
        whole = len(data) - len(data) % 3
        rest = data[whole:]
        if whole:
            yield base64.b64encode(data[:whole] if rest else data)
    if rest:
        yield base64.b64encode(rest)


def _gathered(batches: Iterable[Sequence[bytes]]) -> Iterator[bytes]:
    """The same bytes in chunks of at least LARGE but for the last: each costs the server a turn.

    This is the only place where the pieces of a plain answer are copied.
    """
    gathered: list[bytes] = []
    size = 0
    for batch in batches:
        gathered += batch
        size += sum(map(len, batch))
        if size >= LARGE:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


def _multipart(pieces: tuple[Piece, ...], inner: str, named: str) -> tuple[str, int, Iterable[bytes]]:
    token = secrets.token_hex(16)
    boundary = f"MIMEBoundary_{token}"
    root_id = f"root.{token}@xds"
    root = b""
    parts: list[tuple[bytes, Attachment]] = []
    xml_pieces: list[bytes] = []
    for piece in pieces:
        if not isinstance(piece, Attachment):
            xml_pieces += chain.from_iterable(_plain((piece,)))
            continue
        identifier = f"{len(parts) + 1}.{token}@xds"
        xml_pieces.append(f'<xop:Include xmlns:xop="{XOP}" href="cid:{identifier}"/>'.encode())
        parts.append((mime.part_header(boundary, identifier, _safe_type(piece.content_type)), piece))
    root_type = f'{XOP_TYPE}; charset=UTF-8; type="{inner}"{named}'
    root = mime.part_header(boundary, root_id, root_type, first=True) + b"".join(xml_pieces)
    end = mime.closing(boundary)
    length = len(root) + sum(len(header) + part.size for header, part in parts) + len(end)

    def chunks() -> Iterator[bytes]:
        before = root
        for header, part in parts:
            before += header
            for chunk in _exact(part):
                yield before + chunk if before else chunk
                before = b""
        yield before + end

    content_type = (
        f'multipart/related; type="{XOP_TYPE}"; boundary="{boundary}"; start="<{root_id}>"; '
        f'start-info="{inner}"{named}'
    )
    return content_type, length, chunks() if parts else [root + end]


def _safe_type(content_type: str) -> str:
    """A media type for a MIME header; one that is not printable ASCII becomes application/octet-stream."""
    fit = content_type.isascii() and content_type.isprintable() and "/" in content_type
    return content_type if fit else "application/octet-stream"
