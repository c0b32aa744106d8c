"""Other communities for tests of the initiating gateway, in processes of their own and with nothing of ours.

`Peer` starts a small server on the standard library's asyncio that answers ITI-38 and ITI-39 well, badly or
not at all; what it does is changed while it runs, and what it was asked can be looked at. `SpyneGateway`
starts the gateway of spyne_gateway.py. Both hold the same made-up documents: the functions at the top say
which, so that a test can work out what it should get.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import inspect
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from urllib.parse import urlsplit
from xml.sax.saxutils import escape, quoteattr, unescape

PATIENT = "17855599120^^^&2.16.578.1.12.4.1.4.1&ISO"
SUCCESS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"
FAILURE = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Failure"
PARTIAL = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"
SEVERITY = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:"
APPROVED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
STABLE = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
FIND_DOCUMENTS = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
GET_DOCUMENTS = "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4"
ANONYMOUS = "http://www.w3.org/2005/08/addressing/anonymous"

_PROJECT = Path(__file__).parents[2]

# -- What a community holds: documents 1, 2, 3, … of a home community.


def oid(home: str) -> str:
    """A homeCommunityId without urn:oid:."""
    return home.removeprefix("urn:oid:")


def urn(home: str) -> str:
    """A homeCommunityId as it is sent."""
    return "urn:oid:" + oid(home)


def repository_id(home: str) -> str:
    """The repositoryUniqueId of the one repository that a community has."""
    return oid(home) + ".2"


def document_id(home: str, number: int) -> str:
    """The uniqueId of a document."""
    return f"{oid(home)}.7.{number}"


def entry_id(home: str, number: int) -> str:
    """The entryUUID of its DocumentEntry."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, document_id(home, number))}"


@lru_cache(maxsize=1024)
def content(home: str, number: int) -> bytes:
    """The bytes of a document: 1 to 8 kB with what a careless reader of MIME stumbles over, CRLF last."""
    head = f"%PDF-1.4\r\n% document {number} of {oid(home)}\n\r\r\n--MIMEBoundary\r\n\r\n--\r\n\0".encode()
    size = 1000 + number * 977 % 7000
    return head + hashlib.shake_256(head).digest(size) + b"\r\n"


def sha1(home: str, number: int) -> str:
    """The hash of `content` as metadata has it."""
    return hashlib.sha1(content(home, number), usedforsecurity=False).hexdigest()


#: What big documents are made of; its length can be divided by three, so that its base64 can be repeated.
PATTERN = hashlib.shake_256(b"a big document").digest(3 * 65536)


def pattern(size: int) -> Iterator[bytes]:
    """The bytes of a big document, in pieces."""
    yield from repeat(PATTERN, size // len(PATTERN))
    if size % len(PATTERN):
        yield PATTERN[: size % len(PATTERN)]


def pattern_sha1(size: int) -> str:
    """The SHA-1 of a big document."""
    digest = hashlib.sha1(usedforsecurity=False)
    for piece in pattern(size):
        digest.update(piece)
    return digest.hexdigest()


class Code(NamedTuple):
    """A coded attribute of a DocumentEntry."""

    scheme: str
    code: str
    system: str
    display: str


_TYPES = "2.16.578.1.12.4.1.1.9602"
CODES = (
    Code("urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a", "A00-1", _TYPES, "Epikriser og sammenfatninger"),
    Code("urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f", "N", "2.16.840.1.113883.5.25", "normal"),
    Code(
        "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d",
        "urn:ihe:iti:xds:2017:mimeTypeSufficient",
        "1.3.6.1.4.1.19376.1.2.3",
        "mimeType Sufficient",
    ),
    Code(
        "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1",
        "86.101",
        "2.16.578.1.12.4.1.1.1303",
        "Alminnelige somatiske sykehus",
    ),
    Code("urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead", "S03", "2.16.578.1.12.4.1.1.8655", "Indremedisin"),
    Code("urn:uuid:f0306f51-975f-434e-a61c-c59651d33983", "A03-2", _TYPES, "Epikrise"),
)
AUTHOR_SCHEME = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"
PATIENT_SCHEME = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
UNIQUE_ID_SCHEME = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
_DOCTOR = "9144889^Fjell^Tuva^^^^^^&2.16.578.1.12.4.1.4.4&ISO"


@dataclass(frozen=True, slots=True)
class Entry:
    """A DocumentEntry as plain data, for whoever writes it."""

    id: str
    unique_id: str
    patient: str
    title: str
    comments: str
    slots: dict[str, tuple[str, ...]]
    author: dict[str, tuple[str, ...]]
    mime_type: str = "application/pdf"


def entry(home: str, number: int, patient: str = PATIENT) -> Entry:
    """The DocumentEntry of a document."""
    day = f"202603{1 + number % 28:02}"
    return Entry(
        id=entry_id(home, number),
        unique_id=document_id(home, number),
        patient=patient,
        title=f"Epikrise {number} – blodprøver & røntgen <syntetisk>",
        comments="Syntetisk prøvedokument",
        slots={
            "creationTime": (day + "094500",),
            "hash": (sha1(home, number),),
            "languageCode": ("nb-NO",),
            "legalAuthenticator": (_DOCTOR,),
            "repositoryUniqueId": (repository_id(home),),
            "serviceStartTime": (day + "080000",),
            "serviceStopTime": (day + "090000",),
            "size": (str(len(content(home, number))),),
            "sourcePatientId": (patient,),
            "sourcePatientInfo": (
                f"PID-3|{patient}",
                "PID-5|Testperson^Syntetisk",
                "PID-7|19550517",
                "PID-8|M",
            ),
        },
        author={
            "authorPerson": (_DOCTOR,),
            "authorInstitution": (
                "Eksempelsykehuset HF^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^310000000",
                "Avdeling for prøver^^^^^&2.16.578.1.12.4.1.4.102&ISO^^^^4201234",
            ),
            "authorRole": ("3^^^&2.16.578.1.12.4.1.1.9034&ISO",),
            "authorSpecialty": ("190^^^&2.16.578.1.12.4.1.1.7426&ISO",),
        },
    )


# -- The same as XML.

_NAMESPACES = (
    'xmlns:soapenv="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="http://www.w3.org/2005/08/addressing"'
)
_HEAD = (
    f"<soapenv:Envelope {_NAMESPACES}><soapenv:Header>"
    '<wsa:Action soapenv:mustUnderstand="1">@ACTION@</wsa:Action>'
    "<wsa:MessageID>@MESSAGE@</wsa:MessageID>@TO@@RELATES@</soapenv:Header><soapenv:Body>"
).encode()
_TAIL = b"</soapenv:Body></soapenv:Envelope>"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
_RIM = 'xmlns:rim="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"'
_RS = 'xmlns:rs="urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"'
_QUERY = 'xmlns:query="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"'
_KIND = "urn:oasis:names:tc:ebxml-regrep:ObjectType:RegistryObject:"
#: The MessageIDs of a process differ in their last part.
_OURS, _sent = str(uuid.uuid4())[:23].encode(), count()
_FAULT_ACTION = b"http://www.w3.org/2005/08/addressing/soap/fault"


def _slots(slots: dict[str, tuple[str, ...]]) -> str:
    return "".join(
        f"<rim:Slot name={quoteattr(name)}><rim:ValueList>"
        + "".join(f"<rim:Value>{escape(value)}</rim:Value>" for value in values)
        + "</rim:ValueList></rim:Slot>"
        for name, values in slots.items()
    )


def _text(element: str, text: str) -> str:
    return (
        f'<rim:{element}><rim:LocalizedString xml:lang="nb-NO" charset="UTF-8" value={quoteattr(text)}/>'
        f"</rim:{element}>"
    )


def _classification(of: Entry, place: int, scheme: str, code: str, inside: str) -> str:
    return (
        f'<rim:Classification id="{of.id}-c{place}" objectType="{_KIND}Classification"'
        f' classificationScheme="{scheme}" classifiedObject="{of.id}" nodeRepresentation={quoteattr(code)}>'
        f"{inside}</rim:Classification>"
    )


def _identifier(of: Entry, place: int, scheme: str, name: str, value: str) -> str:
    return (
        f'<rim:ExternalIdentifier id="{of.id}-e{place}" objectType="{_KIND}ExternalIdentifier"'
        f' registryObject="{of.id}" identificationScheme="{scheme}" value={quoteattr(value)}>'
        f"{_text('Name', 'XDSDocumentEntry.' + name)}</rim:ExternalIdentifier>"
    )


def _extrinsic_object(one: Entry) -> str:
    """The rim:ExtrinsicObject; @HOME@ stands where the attribute home goes."""
    return (
        f'<rim:ExtrinsicObject id="{one.id}"@HOME@ lid="{one.id}" mimeType="{one.mime_type}"'
        f' objectType="{STABLE}" status="{APPROVED}">'
        + _slots(one.slots)
        + _text("Name", one.title)
        + _text("Description", one.comments)
        + '<rim:VersionInfo versionName="1"/>'
        + _classification(one, 0, AUTHOR_SCHEME, "", _slots(one.author))
        + "".join(
            _classification(
                one,
                place,
                each.scheme,
                each.code,
                _slots({"codingScheme": (each.system,)}) + _text("Name", each.display),
            )
            for place, each in enumerate(CODES, 1)
        )
        + _identifier(one, 1, PATIENT_SCHEME, "patientId", one.patient)
        + _identifier(one, 2, UNIQUE_ID_SCHEME, "uniqueId", one.unique_id)
        + "</rim:ExtrinsicObject>"
    )


@lru_cache(maxsize=64)
def _objects(
    home: str, patient: str, numbers: tuple[int, ...], shown: str, references: bool = False
) -> bytes:
    """The objects of an answer; `shown` is their attribute home, "" for none."""
    if references:
        objects = "".join(f'<rim:ObjectRef id="{entry_id(home, each)}"@HOME@/>' for each in numbers)
    else:
        objects = "".join(_extrinsic_object(entry(home, each, patient)) for each in numbers)
    return objects.replace("@HOME@", f" home={quoteattr(shown)}" if shown else "").encode()


def _errors(errors: Iterable[Sequence[str]], location: str) -> str:
    """rs:RegistryErrorList of (code, context) or (code, context, "Warning")."""
    listed = "".join(
        f"<rs:RegistryError errorCode={quoteattr(code)} codeContext={quoteattr(context)}"
        f' location={quoteattr(location)} severity="{SEVERITY}{severity[0] if severity else "Error"}"/>'
        for code, context, *severity in errors
    )
    return f"<rs:RegistryErrorList {_RS}>{listed}</rs:RegistryErrorList>" if listed else ""


# -- What is asked, and an answer.


def _root(content_type: str, body: bytes) -> bytes:
    """The root part of a multipart message."""
    named = {
        name.lower(): quoted or plain
        for name, quoted, plain in re.findall(r';\s*([\w-]+)=(?:"([^"]*)"|([^;\s]*))', content_type)
    }
    parts = (b"\r\n" + body).split(b"\r\n--" + named["boundary"].encode())[1:-1]
    heads = [part.partition(b"\r\n\r\n") for part in parts]
    start = named.get("start", "").encode()
    return next((xml for head, _, xml in heads if start in head), heads[0][2])


def _element(name: str) -> re.Pattern[bytes]:
    return re.compile(rb"<(?:[\w.-]+:)?" + name.encode() + rb"(?:\s[^>]*)?>\s*([^<]*?)\s*<")


_ACTION, _MESSAGE_ID = _element("Action"), _element("MessageID")
_REPLY_TO = re.compile(rb"ReplyTo(?:\s[^>]*)?>\s*<(?:[\w.-]+:)?Address(?:\s[^>]*)?>\s*([^<]*?)\s*<")
_REQUEST = re.compile(
    rb"<(?:[\w.-]+:)?DocumentRequest(?:\s[^>]*)?>(.*?)</(?:[\w.-]+:)?DocumentRequest>", re.DOTALL
)
_NAMED = tuple(map(_element, ("HomeCommunityId", "RepositoryUniqueId", "DocumentUniqueId")))


def _first(pattern: re.Pattern[bytes], xml: bytes) -> bytes:
    found = pattern.search(xml)
    return found[1] if found else b""


@dataclass
class Received:
    """One request as it came in. The names of `headers` are in lower case; a chunked `body` is joined."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    #: Which connection, from 1: two requests with the same number came over the same one.
    connection: int
    #: time.monotonic(), which all processes of a machine share.
    at: float
    #: The client's certificate in DER, over TLS.
    certificate: bytes | None = None

    #: Whether it came as multipart/related.
    multipart: bool = field(init=False)
    #: The bytes of the SOAP envelope.
    envelope: bytes = field(init=False, repr=False)
    #: Whether it is ITI-39 (or ITI-43).
    is_retrieve: bool = field(init=False)

    def __post_init__(self) -> None:
        content_type = self.header("content-type")
        self.multipart = content_type.lower().startswith("multipart/related")
        self.envelope = _root(content_type, self.body) if self.multipart else self.body
        self.is_retrieve = b"RetrieveDocumentSetRequest" in self.envelope

    def header(self, name: str) -> str:
        """The first header of this name, or nothing."""
        name = name.lower()
        for each, value in self.headers:
            if each == name:
                return value
        return ""

    @property
    def action(self) -> str:
        """wsa:Action."""
        return unescape(_first(_ACTION, self.envelope).decode())

    @property
    def message_id(self) -> str:
        """wsa:MessageID."""
        return unescape(_first(_MESSAGE_ID, self.envelope).decode())

    @property
    def reply_to(self) -> str:
        """The address in wsa:ReplyTo."""
        return unescape(_first(_REPLY_TO, self.envelope).decode())

    @property
    def documents(self) -> list[tuple[str, str, str]]:
        """HomeCommunityId, RepositoryUniqueId and DocumentUniqueId of each DocumentRequest."""
        return [
            tuple(unescape(_first(each, request).decode()) for each in _NAMED)  # type: ignore[misc]
            for request in _REQUEST.findall(self.envelope)
        ]


class _Stream(NamedTuple):
    """Bytes that are made while they are sent."""

    size: int
    make: Callable[[], Iterable[bytes]]


_Segments = list[bytes | _Stream]


def _length(segments: _Segments) -> int:
    return sum(each.size if isinstance(each, _Stream) else len(each) for each in segments)


def _pieces(segments: _Segments) -> Iterator[bytes]:
    for each in segments:
        if isinstance(each, _Stream):
            yield from each.make()
        else:
            yield each


@dataclass
class _Reply:
    """What is done: an HTTP answer, or bytes as they are if there is no `status`; and what becomes of the
    connection afterwards: "keep", "close", "reset", or "hold" (open, but never used again).
    """

    content: _Segments | Iterator[bytes]
    content_type: str = "application/soap+xml; charset=UTF-8"
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = ()
    end: str = "keep"
    #: Seconds between two pieces.
    pause: float = 0.0
    chunked: bool = False

    def head(self) -> bytes:
        """Status line and headers."""
        lines = [f"HTTP/1.1 {self.status}"]
        if self.content_type:
            lines.append(f"Content-Type: {self.content_type}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        elif isinstance(self.content, list):
            lines.append(f"Content-Length: {_length(self.content)}")
        if self.end == "close":
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode()

    def pieces(self) -> Iterator[bytes]:
        """All bytes on the wire, as they are made."""
        pieces = _pieces(self.content) if isinstance(self.content, list) else self.content
        if self.status:
            yield self.head()
        if self.chunked:
            yield from (b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
            yield b"0\r\n\r\n"
        else:
            yield from pieces


class _Document(NamedTuple):
    """One DocumentResponse."""

    home: str
    repository: str
    unique_id: str
    content: bytes | _Stream


# -- The server.


@lru_cache
def _every(documents: int) -> tuple[int, ...]:
    return tuple(range(1, documents + 1))


class _Community:
    """What the process knows: what it holds, what it does now, what it was asked."""

    def __init__(self, home: str, patient: str, documents: int, keep: int) -> None:
        self.home = urn(home)
        self.patient = patient
        self.documents = documents
        self.plays: dict[bool, Callable[[Received], _Reply]] = {}
        self.delays: dict[bool, float] = {}
        self.requests: deque[Received] = deque(maxlen=keep)
        self.figures = {"requests": 0, "connections": 0, "open": 0, "sent": 0}
        self.posted: list[tuple[str, int]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.behave("both", "answers", {})

    def behave(self, on: str, name: str, parameters: dict[str, Any]) -> None:
        """From now on do this to queries, to retrieves, or to both."""
        given = dict(parameters)
        delay, chunked = float(given.pop("delay", 0)), bool(given.pop("chunked", False))
        behaviour = BEHAVIOURS[name]
        inspect.signature(behaviour).bind(self, None, **given)

        def play(asked: Received) -> _Reply:
            reply = behaviour(self, asked, **given)
            reply.chunked = chunked
            return reply

        for retrieve in {"query": (False,), "retrieve": (True,), "both": (False, True)}[on]:
            self.plays[retrieve], self.delays[retrieve] = play, delay

    def numbers(self, asked: Received) -> tuple[int, ...]:
        """The documents that a query finds: those it names, or all."""
        every = _every(self.documents)
        if GET_DOCUMENTS.encode() not in asked.envelope:
            return every
        return tuple(
            each
            for each in every
            if f"'{entry_id(self.home, each)}'".encode() in asked.envelope
            or f"'{document_id(self.home, each)}'".encode() in asked.envelope
        )

    def serve(self, asked: Received) -> tuple[list[_Document], list[tuple[str, str]]]:
        """The documents that a retrieve is given, and an error for each that it is not."""
        served, errors = [], []
        prefix = document_id(self.home, 0)[:-1]
        for home, repository, unique_id in asked.documents:
            number = unique_id.removeprefix(prefix)
            if not home:
                errors.append(("XDSMissingHomeCommunityId", unique_id))
            elif urn(home) != self.home:
                errors.append(("XDSUnknownCommunity", home))
            elif repository != repository_id(self.home):
                errors.append(("XDSUnknownRepositoryId", repository))
            elif not (number.isdecimal() and 1 <= int(number) <= self.documents):
                errors.append(("XDSDocumentUniqueIdError", unique_id))
            else:
                served.append(_Document(home, repository, unique_id, content(self.home, int(number))))
        return served, errors

    def later(self, work: Any) -> asyncio.Task[None]:
        """Run a coroutine beside the rest."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


class _Connection(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive, one request after the other."""

    def __init__(self, community: _Community) -> None:
        self._community = community
        self._buffer = bytearray()
        self._busy = False
        self._number = 0
        self._writing: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()

    def connection_made(self, transport: Any) -> None:
        figures = self._community.figures
        figures["connections"] += 1
        figures["open"] += 1
        self._number = figures["connections"]
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        self._certificate = tls.getpeercert(binary_form=True) if tls else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._community.figures["open"] -= 1
        self._room.set()
        if self._writing is not None:
            self._writing.cancel()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._take()

    def _take(self) -> None:
        """Answer the next request if all of it is there."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        line, *fields = self._buffer[:end].decode("latin-1").split("\r\n")
        method, path, version = line.split(" ")
        headers = [
            (name.lower(), value.strip()) for name, _, value in (each.partition(":") for each in fields)
        ]
        named = dict(headers)
        taken = self._chunks(end + 4) if "transfer-encoding" in named else self._sized(end + 4, named)
        if taken is None:
            if named.get("expect", "").lower() == "100-continue" and len(self._buffer) == end + 4:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        body, used = taken
        del self._buffer[:used]
        self._busy = True
        asked = Received(method, path, headers, body, self._number, time.monotonic(), self._certificate)
        community = self._community
        community.figures["requests"] += 1
        community.requests.append(asked)
        leave = version == "HTTP/1.0" or named.get("connection", "").lower() == "close"
        play, delay = community.plays[asked.is_retrieve], community.delays[asked.is_retrieve]
        if delay:
            asyncio.get_running_loop().call_later(delay, self._answer, play, asked, leave)
        else:
            self._answer(play, asked, leave)

    def _sized(self, start: int, named: dict[str, str]) -> tuple[bytes, int] | None:
        end = start + int(named.get("content-length", 0))
        return (bytes(self._buffer[start:end]), end) if len(self._buffer) >= end else None

    def _chunks(self, at: int) -> tuple[bytes, int] | None:
        body = b""
        while (line := self._buffer.find(b"\r\n", at)) >= 0:
            size = int(self._buffer[at:line].partition(b";")[0], 16)
            at = line + 2 + size + 2
            if len(self._buffer) < at:
                return None
            if not size:
                return body, at
            body += self._buffer[line + 2 : at - 2]
        return None

    def _answer(self, play: Callable[[Received], _Reply], asked: Received, leave: bool) -> None:
        if self._transport.is_closing():
            return
        reply = play(asked)
        if leave and reply.end == "keep":
            reply.end = "close"
        if not reply.pause and isinstance(reply.content, list) and _length(reply.content) < 1_000_000:
            data = b"".join(reply.pieces())
            self._community.figures["sent"] += len(data)
            self._transport.write(data)
            self._end(reply.end)
        else:
            self._writing = self._community.later(self._write(reply))

    async def _write(self, reply: _Reply) -> None:
        for piece in reply.pieces():
            await self._room.wait()
            if self._transport.is_closing():
                return
            self._transport.write(piece)
            self._community.figures["sent"] += len(piece)
            await asyncio.sleep(reply.pause)
        self._end(reply.end)

    def _end(self, how: str) -> None:
        if how == "close":
            self._transport.close()
        elif how == "reset":
            # Closed with no time to linger: the other side sees a reset.
            with contextlib.suppress(OSError):
                self._transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            self._transport.abort()
        elif how == "keep":
            self._busy = False
            if self._buffer:
                self._take()


# -- How answers are put together.


def _soap_head(
    asked: Received, *, relates_to: bytes | None = None, action: bytes = b"", to: str = ""
) -> bytes:
    """The envelope up to its Body; RelatesTo is the request's MessageID unless it is given."""
    related = _first(_MESSAGE_ID, asked.envelope) if relates_to is None else relates_to
    return (
        _HEAD.replace(b"@ACTION@", action or _first(_ACTION, asked.envelope) + b"Response")
        .replace(b"@MESSAGE@", b"urn:uuid:%b-%012x" % (_OURS, next(_sent)))
        .replace(b"@TO@", f"<wsa:To>{escape(to)}</wsa:To>".encode() if to else b"")
        .replace(b"@RELATES@", b"<wsa:RelatesTo>%b</wsa:RelatesTo>" % related if related else b"")
    )


def _soap(
    asked: Received,
    body: _Segments,
    parts: Iterable[tuple[str, bytes | _Stream]] = (),
    *,
    head: bytes | None = None,
    encoding: str = "UTF-8",
    doctype: bytes = b"",
    **addressing: Any,
) -> _Reply:
    """An envelope around a body; multipart if the request was. The encoding is for bodies that are short."""
    start = _soap_head(asked, **addressing) if head is None else head
    xml: _Segments = [_DECLARATION + doctype + start, *body, _TAIL]
    if encoding != "UTF-8":
        text = b"".join(_pieces(xml)).decode().replace('encoding="UTF-8"', f'encoding="{encoding}"', 1)
        xml = [text.encode(encoding)]
    if not asked.multipart:
        return _Reply(xml, f"application/soap+xml; charset={encoding}")
    boundary, root = f"MIMEBoundary_{uuid.uuid4().hex}", f"0.{uuid.uuid4().hex}@peer.example"
    described = f'application/xop+xml; charset={encoding}; type="application/soap+xml"'
    segments: _Segments = [_part_head(boundary, root, described).removeprefix(b"\r\n"), *xml]
    for name, data in parts:
        segments += [_part_head(boundary, name, "application/octet-stream"), data]
    segments.append(f"\r\n--{boundary}--\r\n".encode())
    return _Reply(
        segments,
        f'multipart/related; boundary={boundary}; type="application/xop+xml"; start="<{root}>";'
        ' start-info="application/soap+xml"',
    )


def _part_head(boundary: str, name: str, described: str) -> bytes:
    return (
        f"\r\n--{boundary}\r\nContent-Type: {described}\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <{name}>\r\n\r\n"
    ).encode()


def _found(status: str, errors: str, objects: bytes) -> _Segments:
    """query:AdhocQueryResponse."""
    return [
        f'<query:AdhocQueryResponse {_QUERY} status="{status}">{errors}'.encode()
        + f"<rim:RegistryObjectList {_RIM}>".encode(),
        objects,
        b"</rim:RegistryObjectList></query:AdhocQueryResponse>",
    ]


def _retrieved(
    asked: Received,
    status: str,
    errors: str,
    documents: Iterable[_Document],
    *,
    missing: bool = False,
    **how: Any,
) -> _Reply:
    """xds:RetrieveDocumentSetResponse with parts, or with base64 if the request was no multipart."""
    body: _Segments = [
        b'<xdsb:RetrieveDocumentSetResponse xmlns:xdsb="urn:ihe:iti:xds-b:2007">'
        + f'<rs:RegistryResponse {_RS} status="{status}">{errors}</rs:RegistryResponse>'.encode()
    ]
    parts: list[tuple[str, bytes | _Stream]] = []
    for each in documents:
        home = f"<xdsb:HomeCommunityId>{escape(each.home)}</xdsb:HomeCommunityId>" if each.home else ""
        body.append(
            f"<xdsb:DocumentResponse>{home}<xdsb:RepositoryUniqueId>{escape(each.repository)}"
            "</xdsb:RepositoryUniqueId><xdsb:DocumentUniqueId>"
            f"{escape(each.unique_id)}</xdsb:DocumentUniqueId><xdsb:mimeType>application/pdf</xdsb:mimeType>"
            "<xdsb:Document>".encode()
        )
        if asked.multipart or missing:
            name = f"{len(parts) + 1}.{uuid.uuid4().hex}@peer.example"
            parts.append((name, each.content))
            body.append(
                f'<xop:Include xmlns:xop="http://www.w3.org/2004/08/xop/include" href="cid:{name}"/>'.encode()
            )
        elif isinstance(each.content, _Stream):
            body.append(_base64(each.content))
        else:
            body.append(base64.b64encode(each.content))
        body.append(b"</xdsb:Document></xdsb:DocumentResponse>")
    body.append(b"</xdsb:RetrieveDocumentSetResponse>")
    return _soap(asked, body, parts[:-1] if missing else parts, **how)


def _base64(stream: _Stream) -> _Stream:
    """Base64 of pieces whose lengths can be divided by three, but for the last."""
    return _Stream((stream.size + 2) // 3 * 4, lambda: map(base64.b64encode, stream.make()))


def _respond(
    community: _Community,
    asked: Received,
    *,
    status: str = SUCCESS,
    errors: Iterable[Sequence[str]] = (),
    home: str | None = None,
    location: str | None = None,
    nothing: bool = False,
    one_less: bool = False,
    **how: Any,
) -> _Reply:
    """A full answer to a query or a retrieve. `home` is what its objects carry, "" for none."""
    listed = _errors(errors, community.home if location is None else location)
    if not asked.is_retrieve:
        shown = community.home if home is None else home
        numbers = () if nothing else community.numbers(asked)
        references = re.search(rb"""returnType=["']ObjectRef""", asked.envelope) is not None
        objects = _objects(community.home, community.patient, numbers, shown, references)
        return _soap(asked, _found(status, listed, objects), **how)
    served, missed = community.serve(asked)
    if not errors and missed:
        status, listed = (PARTIAL if served else FAILURE), _errors(missed, community.home)
    if home is not None:
        served = [each._replace(home=home) for each in served]
    if one_less and len(served) > 1:
        served.pop()
    return _retrieved(asked, status, listed, [] if nothing else served, **how)


# -- The behaviours: functions of the community and the request; the rest are their parameters.


def answers(community: _Community, asked: Received, *, documents: int | None = None) -> _Reply:
    """All is well. `documents`: how many the community holds from now on."""
    if documents is not None:
        community.documents = documents
    return _respond(community, asked)


def garbage(community: _Community, asked: Received, *, size: int = 1000) -> _Reply:
    """200, and random bytes that are said to be SOAP."""
    return _Reply([hashlib.shake_256(b"garbage").digest(size)])


def html(community: _Community, asked: Received) -> _Reply:
    """200, and a page to log in."""
    page = b"<!DOCTYPE html><html><head><title>Logg inn</title></head><body><form><br></form></body></html>"
    return _Reply([page], "text/html; charset=utf-8")


def error(community: _Community, asked: Received, *, status: str = "500 Internal Server Error") -> _Reply:
    """An HTTP error in plain text."""
    return _Reply(
        [b"java.lang.NullPointerException\n\tat no.example.Gateway.answer(Gateway.java:42)\n"],
        "text/plain",
        status,
    )


def fault(
    community: _Community,
    asked: Received,
    *,
    code: str = "Receiver",
    reason: str = "Something went wrong in the other community",
    status: str = "500 Internal Server Error",
) -> _Reply:
    """A SOAP 1.2 fault."""
    body = (
        f"<soapenv:Fault><soapenv:Code><soapenv:Value>soapenv:{code}</soapenv:Value></soapenv:Code>"
        f'<soapenv:Reason><soapenv:Text xml:lang="en">{escape(reason)}</soapenv:Text></soapenv:Reason>'
        "</soapenv:Fault>"
    )
    reply = _soap(asked, [body.encode()], action=_FAULT_ACTION)
    reply.status = status
    return reply


def endless(community: _Community, asked: Received) -> _Reply:
    """An answer to a query whose objects never end; of no said length."""
    many = _objects(community.home, community.patient, tuple(range(1, 21)), community.home)
    start = _soap_head(asked) + _found(SUCCESS, "", b"")[0]  # type: ignore[operator]
    return _Reply(chain([_DECLARATION + start], repeat(many)), end="close")


def endless_parts(community: _Community, asked: Received, *, part_bytes: int = 1000) -> _Reply:
    """A good answer in the first part, then parts without end; with `part_bytes=0` one part without end."""
    boundary = "MIMEBoundary_endless"
    root = _respond(community, Received("", "", [], asked.envelope, 0, 0.0)).content
    first = _part_head(
        boundary, "root@peer.example", 'application/xop+xml; charset=UTF-8; type="application/soap+xml"'
    )

    def more() -> Iterator[bytes]:
        yield first.removeprefix(b"\r\n")
        yield from root
        for number in count(1):
            yield _part_head(boundary, f"{number}@peer.example", "application/octet-stream")
            yield from repeat(PATTERN) if not part_bytes else pattern(part_bytes)

    return _Reply(
        more(),
        f'multipart/related; boundary={boundary}; type="application/xop+xml"; start="<root@peer.example>";'
        ' start-info="application/soap+xml"',
        end="close",
    )


def drip_headers(community: _Community, asked: Received, *, pause: float = 0.1) -> _Reply:
    """Headers without end, byte after byte."""
    lines = chain([b"HTTP/1.1 200 OK\r\n"], (b"X-Drip-%d: drop\r\n" % number for number in count()))
    return _Reply((bytes([each]) for line in lines for each in line), status="", pause=pause, end="hold")


def drip_body(community: _Community, asked: Received, *, pause: float = 0.1, step: int = 1) -> _Reply:
    """A good answer, `step` bytes at a time."""
    reply = _respond(community, asked)
    assert isinstance(reply.content, list)
    whole = b"".join(_pieces(reply.content))
    reply.content = [whole[at : at + step] for at in range(0, len(whole), step)]
    reply.pause = pause
    return reply


def silent(community: _Community, asked: Received) -> _Reply:
    """Nothing, ever."""
    return _Reply([], status="", end="hold")


def reset(community: _Community, asked: Received, *, after: int = 0) -> _Reply:
    """The connection is reset; `after` so many bytes of a good answer."""
    return _Reply([b"".join(islice(_bytes(_respond(community, asked)), after))], status="", end="reset")


def _bytes(reply: _Reply) -> Iterator[bytes]:
    return (bytes([each]) for piece in reply.pieces() for each in piece)


def redirect(community: _Community, asked: Received, *, to: str, status: str = "302 Found") -> _Reply:
    """Sent on to another address."""
    return _Reply([b""], "text/html", status, (("Location", to),))


def large(community: _Community, asked: Received, *, size: int) -> _Reply:
    """An answer to a query of just so many bytes: objects, and blanks at the end. Made while it is sent."""
    start = _DECLARATION + _soap_head(asked) + _found(SUCCESS, "", b"")[0]  # type: ignore[operator]
    end = _found(SUCCESS, "", b"")[2] + _TAIL  # type: ignore[operator]
    one = _objects(community.home, community.patient, (1,), community.home)
    mark, place = entry_id(community.home, 1).encode(), document_id(community.home, 1).encode()

    def numbered(number: int) -> bytes:
        other = b"urn:uuid:00000000-0000-4000-8000-%012x" % number
        return one.replace(mark, other).replace(place + b'"', b'%b.%011d"' % (place, number))

    room = size - len(start) - len(end)
    objects, blanks = divmod(max(room, 0), len(numbered(1)))

    def make() -> Iterator[bytes]:
        yield from map(numbered, range(1, objects + 1))
        yield b" " * blanks

    return _Reply([start, _Stream(max(room, 0), make), end])


def wrong_relates_to(community: _Community, asked: Received) -> _Reply:
    """A good answer to some other message."""
    return _respond(community, asked, relates_to=f"urn:uuid:{uuid.uuid4()}".encode())


def no_relates_to(community: _Community, asked: Received) -> _Reply:
    """A good answer that does not say to what."""
    return _respond(community, asked, relates_to=b"")


def other_home(community: _Community, asked: Received, *, home: str = "urn:oid:2.999.404") -> _Reply:
    """Objects and documents that are said to be of another community."""
    return _respond(community, asked, home=home)


def no_home(community: _Community, asked: Received) -> _Reply:
    """Objects and documents without home."""
    return _respond(community, asked, home="")


def failure(
    community: _Community,
    asked: Received,
    *,
    errors: Sequence[Sequence[str]] = (("XDSRegistryError", "It does not work"),),
    location: str | None = None,
) -> _Reply:
    """Status Failure with these errors."""
    return _respond(community, asked, status=FAILURE, errors=errors, location=location, nothing=True)


def partial(
    community: _Community,
    asked: Received,
    *,
    errors: Sequence[Sequence[str]] = (("XDSRegistryError", "Not all of it works"),),
    location: str | None = None,
) -> _Reply:
    """PartialSuccess: objects and errors; of several documents the last is missing."""
    return _respond(community, asked, status=PARTIAL, errors=errors, location=location, one_less=True)


def unknown_patient(community: _Community, asked: Received) -> _Reply:
    """Failure, because nobody knows the patient."""
    return failure(community, asked, errors=[("XDSUnknownPatientId", community.patient)])


_BLANKS = 1 << 20


@lru_cache(maxsize=1)
def _packed_blanks() -> bytes:
    return gzip.compress(b" " * _BLANKS, mtime=0)


def compressed(community: _Community, asked: Received, *, blanks: int = 0) -> _Reply:
    """A good answer in gzip, asked for or not; with `blanks` megabytes more once it is unpacked."""
    reply = _respond(community, asked)
    assert isinstance(reply.content, list)
    # Several members after one another are one gzip stream (RFC 1952, 2.2); blanks after the XML are allowed.
    reply.content = [
        gzip.compress(b"".join(_pieces(reply.content)), mtime=0),
        *repeat(_packed_blanks(), blanks),
    ]
    reply.headers = (("Content-Encoding", "gzip"),)
    return reply


def entity_bomb(community: _Community, asked: Received, *, external: str = "") -> _Reply:
    """A DTD whose entities grow to a billion words; or, with an address, one entity from outside."""
    laughs = b'<!ENTITY e0 "lol">' + b"".join(
        b'<!ENTITY e%d "%b">' % (level, b"&e%d;" % (level - 1) * 10) for level in range(1, 10)
    )
    outside = f'<!ENTITY e9 SYSTEM "{external}">'.encode()
    doctype = b"<!DOCTYPE bomb [" + (outside if external else laughs) + b"]>"
    head = _soap_head(asked).replace(b"</soapenv:Header>", b"<note>&e9;</note></soapenv:Header>")
    return _soap(asked, _found(SUCCESS, "", b""), head=head, doctype=doctype)


def utf16(community: _Community, asked: Received) -> _Reply:
    """A good answer in UTF-16, and it says so."""
    return _respond(community, asked, encoding="UTF-16")


def not_ours(community: _Community, asked: Received) -> _Reply:
    """Good SOAP about something else."""
    return _soap(asked, [b'<pong xmlns="urn:example:ping"><at>2026-03-11T09:45:00Z</at></pong>'])


def accepted(
    community: _Community,
    asked: Received,
    *,
    later: float = 0.05,
    then: str = "answers",
    parameters: dict[str, Any] | None = None,
    times: int = 1,
) -> _Reply:
    """202, and `later` the answer of another behaviour is sent to wsa:ReplyTo, if that is an address."""
    if asked.reply_to not in ("", ANONYMOUS):
        reply = BEHAVIOURS[then](community, asked, **(parameters or {}))
        community.later(_post(community, asked.reply_to, reply, later, times))
    return _Reply([b""], "", "202 Accepted")


async def _post(community: _Community, url: str, reply: _Reply, later: float, times: int) -> None:
    await asyncio.sleep(later)
    where = urlsplit(url)
    tls = None
    if where.scheme == "https":
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    body = b"".join(_pieces(reply.content) if isinstance(reply.content, list) else reply.content)
    to = f"<wsa:To>{escape(url)}</wsa:To><wsa:RelatesTo>".encode()
    body = body.replace(b"<wsa:RelatesTo>", to, 1)
    request = (
        f"POST {where.path or '/'} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: {reply.content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    for _ in range(times):
        status = 0
        with contextlib.suppress(OSError, TimeoutError, IndexError, ValueError):
            port = where.port or (443 if tls else 80)
            reader, writer = await asyncio.open_connection(where.hostname, port, ssl=tls)
            writer.write(request + body)
            line = await asyncio.wait_for(reader.readline(), 10)
            status = int(line.split()[1])
            writer.close()
        community.posted.append((url, status))


def big(community: _Community, asked: Received, *, megabytes: int) -> _Reply:
    """Every document is `pattern` of so many megabytes (of 1 000 000 bytes), made while it is sent."""
    size = megabytes * 1_000_000
    served, _ = community.serve(asked)
    if not served:
        return _respond(community, asked)
    stream = _Stream(size, lambda: pattern(size))
    return _retrieved(asked, SUCCESS, "", [each._replace(content=stream) for each in served])


def missing_part(community: _Community, asked: Received) -> _Reply:
    """The last document is referred to, but is not there."""
    if not asked.is_retrieve:
        return _respond(community, asked)
    return _retrieved(asked, SUCCESS, "", community.serve(asked)[0], missing=True)


def fewer_documents(community: _Community, asked: Received) -> _Reply:
    """The last document is left out, and nothing is said about it."""
    if not asked.is_retrieve:
        return _respond(community, asked)
    return _retrieved(asked, SUCCESS, "", community.serve(asked)[0][:-1])


def unasked_documents(community: _Community, asked: Received) -> _Reply:
    """A document more than was asked for: the one after the last that the community says it has."""
    if not asked.is_retrieve:
        return _respond(community, asked)
    number = community.documents + 1
    more = _Document(
        community.home,
        repository_id(community.home),
        document_id(community.home, number),
        content(community.home, number),
    )
    return _retrieved(asked, SUCCESS, "", [*community.serve(asked)[0], more])


def same_document_twice(community: _Community, asked: Received) -> _Reply:
    """The first document once more at the end."""
    if not asked.is_retrieve:
        return _respond(community, asked)
    served, _ = community.serve(asked)
    return _retrieved(asked, SUCCESS, "", served + served[:1])


BEHAVIOURS: dict[str, Callable[..., _Reply]] = {
    each.__name__: each
    for each in (
        answers,
        garbage,
        html,
        error,
        fault,
        endless,
        endless_parts,
        drip_headers,
        drip_body,
        silent,
        reset,
        redirect,
        large,
        wrong_relates_to,
        no_relates_to,
        other_home,
        no_home,
        failure,
        partial,
        unknown_patient,
        compressed,
        entity_bomb,
        utf16,
        not_ours,
        accepted,
        big,
        missing_part,
        fewer_documents,
        unasked_documents,
        same_document_twice,
    )
}


# -- The process: settings in its argument, orders on standard input, answers on standard output.


async def _serve(settings: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    community = _Community(settings["home"], settings["patient"], settings["documents"], settings["keep"])
    tls = None
    if settings["certificate"]:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings["client_ca"])
        tls.load_cert_chain(settings["certificate"], settings["key"])
        if settings["client_ca"]:
            tls.verify_mode = ssl.CERT_REQUIRED
    server = await loop.create_server(
        lambda: _Connection(community), "127.0.0.1", settings["port"], ssl=tls, backlog=4096
    )
    orders = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    _say({"port": server.sockets[0].getsockname()[1]})
    while line := await orders.readline():
        try:
            _say(_obey(community, **json.loads(line)))
        except (KeyError, TypeError) as wrong:
            _say({"wrong": f"{type(wrong).__name__}: {wrong}"})


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _obey(community: _Community, do: str, **more: Any) -> dict[str, Any]:
    if do == "behave":
        community.behave(**more)
    elif do == "forget":
        community.requests.clear()
        community.posted.clear()
    elif do == "requests":
        return {"requests": [_written(each) for each in community.requests]}
    return community.figures | {"posted": community.posted, "cpu": time.process_time()}


def _written(one: Received) -> dict[str, Any]:
    return {
        "method": one.method,
        "path": one.path,
        "headers": one.headers,
        "body": base64.b64encode(one.body).decode(),
        "connection": one.connection,
        "at": one.at,
        "certificate": base64.b64encode(one.certificate).decode() if one.certificate else None,
    }


# -- What tests use.


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts since the start. `sent` is bytes given to the system, `cpu` seconds of its processor time;
    `posted` are the address and HTTP status of each answer that was sent to a ReplyTo, 0 for none.
    """

    requests: int
    connections: int
    open: int
    sent: int
    cpu: float
    posted: list[tuple[str, int]] = field(default_factory=list)


class _Process:
    """A module in a process of its own that says its port in its first line, and ends with its input."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
        self._process: subprocess.Popen[str] | None = None
        self._errors: TextIO | None = None
        self.port = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "it is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self._process = subprocess.Popen(
            self._command,
            cwd=_PROJECT,
            env={
                name: value for name, value in os.environ.items() if not name.startswith(("XDS_", "PYTHONW"))
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
        )
        try:
            self.port = self._listen()["port"]
        except BaseException:
            self._stop()
            raise

    def _listen(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError("the peer has ended:\n" + self._said())
        return dict(json.loads(line))

    def _said(self) -> str:
        assert self._errors is not None
        self._errors.seek(0)
        return self._errors.read()

    def end(self) -> None:
        """End it by its id. Fails if it complained while it ran."""
        if self._process is not None:
            said = self._stop()
            assert not said, "the peer complained:\n" + said

    def _stop(self) -> str:
        assert self._process is not None
        assert self._errors is not None
        process, self._process = self._process, None
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                process.wait(5)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(number)
        process.wait()
        with self._errors:
            return self._said()

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Peer(_Process):
    """A community that does as it is told; see the behaviours above for names and parameters.

    `with Peer("2.999.1", documents=3) as peer:` answers well until `peer.behave("silent")`. Every behaviour
    takes `delay`, in seconds, and `chunked`. It keeps the last `keep` requests.
    """

    def __init__(
        self,
        home: str,
        *,
        patient: str = PATIENT,
        documents: int = 3,
        keep: int = 1000,
        port: int = 0,
        certificate: Path | str | None = None,
        key: Path | str | None = None,
        client_ca: Path | str | None = None,
    ) -> None:
        self.home = urn(home)
        self.patient = patient
        self._tls = certificate is not None
        self._lock = threading.Lock()
        files = {"certificate": certificate, "key": key, "client_ca": client_ca}
        settings = {"home": home, "patient": patient, "documents": documents, "keep": keep, "port": port} | {
            name: str(file) if file else None for name, file in files.items()
        }
        super().__init__("tests.gateway.peers", json.dumps(settings))

    @property
    def url(self) -> str:
        """Where it listens; with a certificate its name is localhost."""
        return f"https://localhost:{self.port}/xca" if self._tls else f"http://127.0.0.1:{self.port}/xca"

    def behave(self, name: str, *, on: str = "both", **parameters: Any) -> None:
        """Do this from the next request on; `on` may be "query" or "retrieve"."""
        self._tell("behave", name=name, on=on, parameters=parameters)

    @property
    def requests(self) -> list[Received]:
        """What it was asked, in order."""
        return [
            Received(
                method=each["method"],
                path=each["path"],
                headers=[(name, value) for name, value in each["headers"]],
                body=base64.b64decode(each["body"]),
                connection=each["connection"],
                at=each["at"],
                certificate=base64.b64decode(each["certificate"]) if each["certificate"] else None,
            )
            for each in self._tell("requests")["requests"]
        ]

    def forget(self) -> None:
        """Forget what it was asked; the counts go on."""
        self._tell("forget")

    @property
    def figures(self) -> Figures:
        """How much it was asked, and what it cost."""
        told = self._tell("figures")
        return Figures(**told | {"posted": [(url, status) for url, status in told["posted"]]})

    def wait(self, until: Callable[[Figures], bool], seconds: float = 10) -> Figures:
        """Wait for something that the figures show, such as `lambda f: f.open == 0`."""
        deadline = time.monotonic() + seconds
        while not until(figures := self.figures):
            assert time.monotonic() < deadline, f"not within {seconds} s: {figures}"
            time.sleep(0.01)
        return figures

    def _tell(self, do: str, **more: Any) -> dict[str, Any]:
        assert self._process is not None, "the peer is not running"
        assert self._process.stdin is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
                self._process.stdin.flush()
            except OSError:
                raise AssertionError("the peer has ended:\n" + self._said()) from None
            told = self._listen()
        if "wrong" in told:
            raise ValueError(told["wrong"])
        return told


#: Why there can be no SpyneGateway, for pytest.mark.skipif; empty when there can.
NO_SPYNE = (
    "NOT TESTED against spyne: spyne 2.14 is only for Python up to 3.11"
    if sys.version_info >= (3, 12)
    else ""
)


class SpyneGateway(_Process):
    """A responding gateway on spyne; see spyne_gateway.py."""

    def __init__(
        self, home: str, *, patient: str = PATIENT, documents: int = 3, delay: float = 0, port: int = 0
    ) -> None:
        self.home = urn(home)
        self.patient = patient
        super().__init__(
            "tests.gateway.spyne_gateway",
            *("--port", str(port), "--home", home, "--patient", patient, "--documents", str(documents)),
            *("--delay", str(delay), "--while-stdin"),
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/RespondingGateway"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert not NO_SPYNE, NO_SPYNE
        super().start()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
