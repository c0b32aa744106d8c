"""Outgoing SOAP calls, for our Python client and the gateways.

`SoapClient.call` sends one message and returns the answer, both streamed; `send` and `deliver` are the two
halves of an exchange whose answer goes elsewhere. None of them follows a redirect or decompresses, and every
failure is a ClientError whose sentence can be shown to a user.
"""

from __future__ import annotations

import io
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from lxml import etree

from xds.errors import ClientError, Fault, sender
from xds.transport import addressing, soap
from xds.transport.dial import Clock
from xds.transport.http1 import Answer, KeptConnections, Progress
from xds.transport.limits import Limits
from xds.transport.message import (
    Message,
    Piece,
    Received,
    open_message,
    receive,
    write,
)
from xds.transport.mime import Readable, media_type
from xds.transport.soap import SOAP11, SOAP12, Version
from xds.transport.staged import StagingFolder, Writer
from xds.transport.trouble import NoAnswer, Trouble

__all__ = ["Faulted", "NoAnswer", "Progress", "SoapClient", "Trouble"]


class Faulted(ClientError):
    """The other side answered with a SOAP fault; `subcode` is its (namespace, local name), or None."""

    def __init__(self, message: str, subcode: tuple[str, str] | None) -> None:
        super().__init__(message)
        self.subcode = subcode


#: Statuses with which a SOAP stack may answer a fault; 500 is the rule, SOAP 1.2 gives 400 for Sender.
_SOAP_STATUSES: Final = frozenset({200, 400, 415, 500})
#: Of proxies and servers in front of a node that is not there.
_NOBODY_THERE: Final = frozenset({502, 503, 504})
#: What takes a message whose answer goes elsewhere (SOAP 1.2 part 2, 7.5.1.2; WS-I BP 1.2, 4.7.9).
_TAKEN: Final = frozenset({200, 202, 204})
_QNAME: Final = re.compile(r"(?:([\w.-]{1,60}):)?([\w.-]{1,60})", re.ASCII)
_READABLE: Final = frozenset({"application/soap+xml", "text/xml", "multipart/related"})
_NO_FIELDS: Final = MappingProxyType[str, str]({})
_LIMITS: Final = Limits()
#: Of what says only that a message was taken; and of a fault in its place, which may hold a stack trace.
_MOST_REMARKS: Final = 8 * 1024
_MOST_FAULT: Final = 256 * 1024


class SoapClient:
    """Connections to SOAP endpoints; safe to share between threads.

    `ca_file` holds the authorities trusted instead of the system's; `certificate` and `key` are ours (PEM).
    `connect_seconds` bounds each connection attempt. `connections` are kept for each address when nothing is
    asked; under load more are. TLS 1.2 is the oldest spoken.

    A `deadline` is a moment of time.monotonic() by which a call is over, whatever the other side does. A call
    also ends after `limits.idle_seconds` of silence, and when its answer takes longer than `limits.seconds`.
    `fields` are further fields of the HTTP header.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        connect_seconds: float = 10,
        connections: int = 10,
    ) -> None:
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        self._connections = KeptConnections(context, connections, connect_seconds)

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()

    def call(
        self,
        url: str,
        action: str,
        body: tuple[Piece, ...],
        mtom: bool,
        headers: bytes,
        limits: Limits,
        staging: StagingFolder,
        *,
        version: Version = Version.SOAP12,
        understood: frozenset[str] = frozenset(),
        sent: Progress | None = None,
        received: Progress | None = None,
        deadline: float | None = None,
        fields: Mapping[str, str] = _NO_FIELDS,
        repeat: bool = False,
        message_id: str = "",
    ) -> Message:
        """Send a message and return the answer, whose staged parts the caller discards.

        `headers` is XML of further header blocks. `sent` and `received` get (bytes so far, total or None).
        `repeat` is for requests that may be carried out twice: the message goes out once more when a kept
        connection turns out to be closed before anything of an answer came, unless attachments are streamed
        in it. Raises NoAnswer, whose `kind` says why, or Faulted; both are ClientErrors.
        """
        message_id = message_id or addressing.new_id()
        header = addressing.write(action, message_id, to=url) + headers.decode()
        message = write(version, header, body, mtom, action)
        named = _named(message[0], action, version, fields)
        with _files(), self._ask(url, named, message, limits, deadline, repeat, sent) as answer:
            incoming = _answer(answer, limits, staging, received)
        return open_answer(incoming, message_id, answer.name, limits, staging, understood)

    def send(
        self,
        url: str,
        action: str,
        body: tuple[Piece, ...],
        mtom: bool,
        headers: bytes,
        limits: Limits,
        staging: StagingFolder,
        *,
        reply_to: str,
        message_id: str,
        version: Version = Version.SOAP12,
        understood: frozenset[str] = frozenset(),
        deadline: float | None = None,
        fields: Mapping[str, str] = _NO_FIELDS,
    ) -> Message | None:
        """Send a message whose answer goes to the address `reply_to`, as ITI TF-2 V.3 has it.

        Returns None when the other side has taken it (HTTP 202, or 200 or 204, and nothing more), and the
        answer, as `call` does, when it comes at once all the same: what refuses a message before it is taken
        has no other way. Raises Faulted, NoAnswer.
        """
        header = addressing.write(action, message_id, to=url, reply_to=reply_to) + headers.decode()
        message = write(version, header, body, mtom, action)
        named = _named(message[0], action, version, fields)
        with _files(), self._ask(url, named, message, limits, deadline) as answer:
            incoming = _at_once(answer, limits, staging)
        if incoming is None:
            return None
        return open_answer(incoming, message_id, answer.name, limits, staging, understood)

    def deliver(
        self,
        url: str,
        content_type: str,
        size: int,
        chunks: Callable[[], Iterable[bytes]],
        *,
        deadline: float | None = None,
        fields: Mapping[str, str] = _NO_FIELDS,
        limits: Limits = _LIMITS,
    ) -> None:
        """Send a message that is written already, such as an answer that was kept; any 2xx takes it.

        Raises Faulted, NoAnswer.
        """
        named = {"Content-Type": content_type, **fields}
        with _files(), self._ask(url, named, (content_type, size, chunks()), limits, deadline) as answer:
            if not 200 <= answer.status < 300:
                _refuse(answer, limits)
            with suppress(NoAnswer):  # taken; what else it says is of no use, and read to keep the connection
                _rest(answer, _MOST_REMARKS)

    def _ask(
        self,
        url: str,
        fields: Mapping[str, str],
        message: tuple[str, int | None, Iterable[bytes]],
        limits: Limits,
        deadline: float | None,
        repeat: bool = False,
        sent: Progress | None = None,
    ) -> AbstractContextManager[Answer]:
        _, size, chunks = message
        assert size is not None, "a request is made of bytes and attachments, whose sizes are known"
        clock = Clock(deadline, limits.idle_seconds)
        return self._connections.ask(
            url, fields, size, chunks, clock, seconds=limits.seconds, repeat=repeat, sent=sent
        )


def _named(content_type: str, action: str, version: Version, fields: Mapping[str, str]) -> dict[str, str]:
    """The fields of a message's header, the further ones with them."""
    named = {"Content-Type": content_type, **fields}
    if version is Version.SOAP11:
        named["SOAPAction"] = f'"{action}"'
    return named


@contextmanager
def _files() -> Iterator[None]:
    """What goes wrong with files of ours is an OSError; those of the connection have been told apart."""
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ClientError(
            f"A file cannot be read or written ({why}): check the folder and its disk."
        ) from error


class _Told:
    """The body of an answer, with a progress callback."""

    __slots__ = ("_answer", "_count", "_received")

    def __init__(self, answer: Answer, received: Progress) -> None:
        self._answer = answer
        self._received = received
        self._count = 0

    def read(self, size: int, /) -> bytes:
        data = self._answer.read(size)
        self._count += len(data)
        if data:
            self._received(self._count, self._answer.length)
        return data


class _Nowhere(StagingFolder):
    """For answers in which there can be no attachment."""

    def __init__(self) -> None:
        """There is no folder."""

    def create(self) -> Writer:
        """Refused."""
        raise sender("It has an attachment, and nothing was asked for.")


# ---- answers


def _answer(
    answer: Answer,
    limits: Limits,
    staging: StagingFolder,
    received: Progress | None = None,
    first: bytes = b"",
) -> Received:
    content_type = answer.fields.get("content-type", "")
    if answer.status not in _SOAP_STATUSES | _TAKEN or media_type(content_type)[0] not in _READABLE:
        raise _no_soap(answer)
    _check_uncompressed(answer)
    if answer.length is not None and answer.length > limits.total_bytes:
        raise NoAnswer(
            Trouble.TOO_LARGE,
            f"The answer of {answer.name} is larger than limits.total_bytes ({limits.total_bytes} bytes).",
        )
    stream: Readable = answer
    if received is not None:
        stream = _Told(answer, received)
    elif first:
        stream = _Begun(first, answer)
    try:
        return receive(stream, content_type, limits, staging)
    except Fault as fault:
        raise _unreadable(answer.name, fault) from None


def _unreadable(name: str, fault: Fault) -> NoAnswer:
    # The sentence of a limit that was passed names its setting, and no other sentence names one.
    kind = Trouble.TOO_LARGE if "limits." in fault.reason else Trouble.UNREADABLE
    return NoAnswer(kind, f"The answer of {name} cannot be read: {fault.reason}")


def _no_soap(answer: Answer) -> NoAnswer:
    if 300 <= answer.status < 400:
        return NoAnswer(
            Trouble.UNREADABLE,
            f"{answer.name} answers with a redirect, which is not followed (HTTP {answer.status}): "
            "use the address to which it leads, if that is known to be right.",
        )
    return NoAnswer(
        Trouble.UNREACHED if answer.status in _NOBODY_THERE else Trouble.UNREADABLE,
        f"{answer.name} answered HTTP {answer.status} and no SOAP message: "
        "check that the address is a SOAP endpoint.",
    )


def _check_uncompressed(answer: Answer) -> None:
    if answer.fields.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise NoAnswer(
            Trouble.UNREADABLE,
            f"The answer of {answer.name} cannot be read: it is compressed (Content-Encoding), "
            "which was not asked for.",
        )


def _rest(answer: Answer, most: int) -> bytes:
    """The body; of one that is larger than `most`, a little more than that."""
    data = bytearray()
    while len(data) <= most and (piece := answer.read(most)):
        data += piece
    return bytes(data)


class _Begun:
    """The body of an answer of which a first piece has been read."""

    __slots__ = ("_answer", "_first")

    def __init__(self, first: bytes, answer: Answer) -> None:
        self._first = first
        self._answer = answer

    def read(self, size: int, /) -> bytes:
        data, self._first = self._first[:size], self._first[size:]
        return data or self._answer.read(size)


def _at_once(answer: Answer, limits: Limits, staging: StagingFolder) -> Received | None:
    """The message in the place of a mere receipt; None when there is none."""
    if media_type(answer.fields.get("content-type", ""))[0] in _READABLE:
        if answer.status not in _TAKEN:
            return _answer(answer, limits, staging)
        first = answer.read(_MOST_REMARKS) if answer.length != 0 else b""
        return _answer(answer, limits, staging, first=first) if first else None
    if answer.status not in _TAKEN:
        raise _no_soap(answer)
    # Some say in words that they have taken it; with 200 that is more likely the page of another server.
    most = _MOST_REMARKS if answer.status == 202 else 0
    if answer.length != 0 and len(_rest(answer, most or 1)) > most:
        raise NoAnswer(
            Trouble.UNREADABLE,
            f"{answer.name} answered HTTP {answer.status} and a page that says nothing of the message.",
        )
    return None


def _refuse(answer: Answer, limits: Limits) -> None:
    """Raise what a status says that is no success: the fault in it, if there is one."""
    if answer.status in _SOAP_STATUSES:
        _raise_fault(answer, _rest(answer, _MOST_FAULT), limits)
    raise _no_soap(answer)


def _raise_fault(answer: Answer, data: bytes, limits: Limits) -> None:
    """Raise the fault that a body is, if it is one."""
    content_type = answer.fields.get("content-type", "")
    if media_type(content_type)[0] not in _READABLE or len(data) > _MOST_FAULT:
        return
    _check_uncompressed(answer)
    try:
        received = receive(io.BytesIO(data), content_type, limits, _Nowhere())
        _, body = soap.split(received.root, received.version)
    except Fault as fault:
        raise _unreadable(answer.name, fault) from None
    _check_no_fault(body, answer.name)


def _check_no_fault(body: etree._Element, name: str) -> None:
    if (reason := _fault_reason(body)) is not None:
        raise Faulted(f"{name} refused the message: {reason}", _subcode(body))


def open_answer(
    answer: Received,
    message_id: str,
    name: str,
    limits: Limits,
    staging: StagingFolder,
    understood: frozenset[str],
) -> Message:
    """The message in what `name` answered to the message with that id; its parts are gone when it is none.

    Raises Faulted, NoAnswer.
    """
    try:
        header, body = soap.split(answer.root, answer.version)
        _check_no_fault(body, name)
        soap.check_understood(header, answer.version, understood | addressing.UNDERSTOOD)
        properties = addressing.read(header, answer.version, answer=True)
        if properties.relates_to != message_id:
            raise NoAnswer(
                Trouble.UNREADABLE,
                f"The answer of {name} belongs to another message: its wsa:RelatesTo is not ours.",
            )
        return open_message(answer, header, body, properties, limits, staging)
    except Fault as fault:
        answer.discard()
        raise _unreadable(name, fault) from None
    except BaseException:
        answer.discard()
        raise


def _fault_reason(body: etree._Element) -> str | None:
    """The text of a SOAP fault; None when the body is not one."""
    if body.tag == f"{{{SOAP12}}}Fault":
        texts = [text for text in body.iter(f"{{{SOAP12}}}Text") if text.text]
        texts.sort(
            key=lambda text: not text.get("{http://www.w3.org/XML/1998/namespace}lang", "").startswith("en")
        )
        reason = texts[0].text if texts else ""
    elif body.tag == f"{{{SOAP11}}}Fault":
        reason = body.findtext("faultstring")
    else:
        return None
    return (reason or "").strip() or "it gave no reason."


def _subcode(fault: etree._Element) -> tuple[str, str] | None:
    """The more exact code of a fault; SOAP 1.1 has it in the place of its own."""
    path = f"{{{SOAP12}}}Code/{{{SOAP12}}}Subcode/{{{SOAP12}}}Value"
    value = fault.find(path if fault.tag == f"{{{SOAP12}}}Fault" else "faultcode")
    match = _QNAME.fullmatch((value.text or "").strip()) if value is not None else None
    if value is None or match is None:
        return None
    return value.nsmap.get(match[1]) or "", match[2]
