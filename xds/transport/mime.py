"""multipart/related, read and written as a stream (RFC 2387, RFC 2046).

`read_parts` puts the root part in memory and every other part in a staged file; `part_header` and `closing`
are the pieces of an outgoing message. message.py calls them. Nothing here looks at what a part says, and when
reading fails, nothing stays in the staging folder.
"""

from __future__ import annotations

import binascii
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from xds.errors import Fault, FaultCode, sender
from xds.transport.limits import Limits
from xds.transport.staged import Staged, StagingFolder, Writer

CHUNK: Final = 256 * 1024

_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))', re.DOTALL)
#: RFC 2046 allows 70; what longer boundaries exist in the field stay below this.
_LONGEST_BOUNDARY = 200
#: The parser would log characters of the message.
_SILENT = logging.Logger("xds.transport.mime", logging.CRITICAL + 1)
_SPACE = b" \t\r\n"


class Readable(Protocol):
    """A stream of bytes: at most `size` of them, b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


class TooLarge(Fault):
    """A message, or a piece of one, that passes a limit: where a Fault is no SOAP, HTTP has 413 for it."""


def too_large(what: str, setting: str, limit: int) -> TooLarge:
    """A Fault for a limit in bytes that was passed."""
    return TooLarge(
        FaultCode.SENDER,
        f"{what} is larger than limits.{setting} ({limit} bytes): send less, or have the limit raised.",
    )


@lru_cache(maxsize=256)
def media_type(value: str) -> tuple[str, Mapping[str, str]]:
    """The type, in lower case, and the parameters of a Content-Type; of repeated ones the first counts."""
    parameters: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(value):
        parameters.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted else plain)
    return value.partition(";")[0].strip().lower(), parameters


def content_id(value: str) -> str:
    """A Content-ID without its brackets."""
    return value.strip().removeprefix("<").removesuffix(">")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a multipart message held: the root's bytes and Content-Type, and the other parts by Content-ID.

    A part without a Content-ID, which nobody can refer to, is named by its place: "part 3".
    """

    root: bytes
    root_type: str
    staged: Mapping[str, Staged]


class _Base64:
    """A streaming, strict decoder; line ends and blanks are skipped (RFC 2045, 6.8)."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def write(self, data: bytes | memoryview) -> bytes:
        text = self._rest + bytes(data).translate(None, _SPACE)
        whole = len(text) & ~3
        self._rest = text[whole:]
        if (
            whole
            and b"=" in text[:whole]
            and (self._rest or text[:whole].rstrip(b"=") != text[: text.index(b"=")])
        ):
            raise sender("A MIME part has base64 padding before its end.")
        return decode_base64(text[:whole]) if whole else b""

    def finish(self) -> None:
        if self._rest:
            raise sender("The base64 text of a MIME part is cut short.")


def decode_base64(text: bytes) -> bytes:
    """Strict base64 without blanks. Raises Fault(Sender)."""
    try:
        if len(text) % 4:  # "YWJj=" passes strict_mode
            raise binascii.Error
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise sender("Base64 text in the message is not valid.") from None


@dataclass(slots=True)
class _Reader:
    """The parser's callbacks, and the state of the part at hand."""

    boundary: bytes
    start: str | None
    limits: Limits
    staging: StagingFolder
    staged: dict[str, Staged] = field(default_factory=dict)
    root: bytearray | None = None
    root_type: str = ""
    count: int = 0
    ended: bool = False
    _headers: dict[str, str] = field(default_factory=dict)
    _name: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _header_bytes: int = 0
    _writer: Writer | None = None
    _base64: _Base64 | None = None
    _id: str = ""
    _size: int = 0
    _head: bytes | None = None
    _ids: set[str] = field(default_factory=set)

    def part_begin(self) -> None:
        self.count += 1
        if self.count > self.limits.parts:
            raise TooLarge(
                FaultCode.SENDER,
                f"The message has more MIME parts than limits.parts ({self.limits.parts}): "
                "send fewer documents in one message, or have the limit raised.",
            )
        self._headers = {}
        self._header_bytes = 0

    def _grow_header(self, data: bytes, start: int, end: int, into: bytearray) -> None:
        self._header_bytes += end - start
        if self._header_bytes > self.limits.part_header_bytes:
            raise too_large("The header of a MIME part", "part_header_bytes", self.limits.part_header_bytes)
        into += data[start:end]

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._grow_header(data, start, end, self._name)

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._grow_header(data, start, end, self._value)

    def header_end(self) -> None:
        name = self._name.decode("latin-1").lower()
        if name in self._headers and name.startswith("content-"):
            raise sender("A MIME part has the same Content- header twice.")
        self._headers[name] = self._value.decode("latin-1").strip()
        self._name.clear()
        self._value.clear()

    def headers_finished(self) -> None:
        named = self._headers.get("content-id")
        self._id = content_id(named) if named else f"part {self.count}"
        if self._id in self._ids:
            raise sender("Two MIME parts have the same Content-ID.")
        self._ids.add(self._id)
        encoding = self._headers.get("content-transfer-encoding", "binary").lower()
        if encoding not in ("binary", "8bit", "7bit", "base64"):
            raise sender(
                "A MIME part has a Content-Transfer-Encoding other than binary, 8bit, 7bit or base64: "
                "send it as binary."
            )
        self._base64 = _Base64() if encoding == "base64" else None
        self._size = 0
        self._head = b""
        if self._id == self.start or (self.start is None and self.count == 1):
            self.root = bytearray()
            self.root_type = self._headers.get("content-type", "")
        else:
            self._writer = self.staging.create()

    def part_data(self, data: bytes, start: int, end: int) -> None:
        piece: bytes | memoryview = memoryview(data)[start:end] if end - start < len(data) else data
        if self._head is not None:
            # The parser takes a delimiter right after the empty line for data (RFC 2046, 5.1.1 forbids it).
            opening = b"--" + self.boundary
            piece = self._head + bytes(piece)
            if len(piece) < len(opening):
                self._head = piece
                return
            if piece.startswith(opening):
                raise sender(
                    "A MIME part has no body: an empty body needs an empty line before the next boundary."
                )
            self._head = None
        self._store(piece)

    def _store(self, piece: bytes | memoryview) -> None:
        if self._base64 is not None:
            piece = self._base64.write(piece)
        self._size += len(piece)
        if self._writer is None:
            if self._size > self.limits.root_bytes:
                raise too_large("The root part", "root_bytes", self.limits.root_bytes)
            assert self.root is not None
            self.root += piece
            return
        if self._size > self.limits.document_bytes:
            raise too_large("A document", "document_bytes", self.limits.document_bytes)
        self._writer.write(piece)

    def part_end(self) -> None:
        if self._head:
            self._store(self._head)
        self._head = None
        if self._base64 is not None:
            self._base64.finish()
        if self._writer is not None:
            self.staged[self._id] = self._writer.finish()
            self._writer = None

    def end(self) -> None:
        self.ended = True

    def discard(self) -> None:
        if self._writer is not None:
            self._writer.discard()
        for staged in self.staged.values():
            staged.discard()


def read_parts(
    stream: Readable, parameters: Mapping[str, str], limits: Limits, staging: StagingFolder
) -> Parts:
    """Read a multipart body to its end; `parameters` are those of its Content-Type.

    Raises Fault(Sender) when the message is cut short, malformed or larger than a limit.
    """
    boundary = parameters.get("boundary", "")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY or not boundary.isascii():
        raise sender("The Content-Type multipart/related needs a boundary of 1 to 200 ASCII characters.")
    start = parameters.get("start")
    reader = _Reader(boundary.encode(), content_id(start) if start else None, limits, staging)
    try:
        _feed(stream, reader, limits)
        if reader.root is None:
            raise sender("The multipart message has no root part: `start` names none of its parts.")
    except BaseException:
        reader.discard()
        raise
    return Parts(bytes(reader.root), reader.root_type, reader.staged)


def _feed(stream: Readable, reader: _Reader, limits: Limits) -> None:
    parser = MultipartParser(
        reader.boundary,
        {
            "on_part_begin": reader.part_begin,
            "on_header_field": reader.header_field,
            "on_header_value": reader.header_value,
            "on_header_end": reader.header_end,
            "on_headers_finished": reader.headers_finished,
            "on_part_data": reader.part_data,
            "on_part_end": reader.part_end,
            "on_end": reader.end,
        },
        max_header_count=64,
        max_header_size=limits.part_header_bytes,
    )
    parser.logger = _SILENT
    total = 0
    preamble: bytes | None = b"\r\n"
    # The first delimiter, with the blanks that RFC 2046 allows after it and the parser does not.
    delimiter = re.compile(rb"\r\n--" + re.escape(reader.boundary) + rb"(?:(?=--)|[ \t]*(?=\r\n))")
    while data := stream.read(CHUNK):
        total += len(data)
        if total > limits.total_bytes:
            raise too_large("The message", "total_bytes", limits.total_bytes)
        if preamble is not None:
            preamble += data
            found = delimiter.search(preamble)
            if found is None:
                if len(preamble) > limits.part_header_bytes:
                    raise sender(
                        "The multipart message does not begin with the boundary that its Content-Type names."
                    )
                continue
            data, preamble = b"--" + reader.boundary + preamble[found.end() :], None
        try:
            parser.write(data)
        except MultipartParseError:
            raise sender(
                f"The multipart message is malformed in or near part {max(reader.count, 1)}: "
                "header lines must be unfolded `Name: value` lines that end with CRLF."
            ) from None
    if not reader.ended:
        raise sender(
            "The multipart message ends before its closing boundary: it was cut short, send it again."
            if preamble is None
            else "The multipart message holds no part with the boundary that its Content-Type names."
        )


def part_header(boundary: str, identifier: str, content_type: str, *, first: bool = False) -> bytes:
    """The delimiter and header lines before a part's bytes."""
    return (
        f"{'' if first else chr(13) + chr(10)}--{boundary}\r\nContent-Type: {content_type}\r\n"
        f"Content-Transfer-Encoding: binary\r\nContent-ID: <{identifier}>\r\n\r\n"
    ).encode("latin-1")


def closing(boundary: str) -> bytes:
    """What stands after the last part."""
    return f"\r\n--{boundary}--\r\n".encode()
