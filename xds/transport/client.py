"""Outgoing SOAP calls, for our Python client and later the gateways.

`SoapClient.call` sends one message and returns the answer, both streamed. It never follows a redirect, never
repeats a call by itself, and every failure is a ClientError whose sentence can be shown to a user.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import urllib3
from lxml import etree
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError, TimeoutError

from xds.errors import ClientError, Fault
from xds.transport import addressing, soap
from xds.transport.limits import Limits
from xds.transport.message import (
    Message,
    Piece,
    Received,
    open_message,
    receive,
    write,
)
from xds.transport.mime import media_type
from xds.transport.soap import SOAP11, SOAP12, Version
from xds.transport.staged import StagingFolder

Progress = Callable[[int, int | None], None]


class Faulted(ClientError):
    """The other side answered with a SOAP fault; `subcode` is its (namespace, local name), or None."""

    def __init__(self, message: str, subcode: tuple[str, str] | None) -> None:
        super().__init__(message)
        self.subcode = subcode


#: Statuses with which a SOAP stack may answer a fault; 500 is the rule, SOAP 1.2 gives 400 for Sender.
_SOAP_STATUSES: Final = frozenset({200, 400, 415, 500})
_QNAME: Final = re.compile(r"(?:([\w.-]{1,60}):)?([\w.-]{1,60})", re.ASCII)
_READABLE: Final = frozenset({"application/soap+xml", "text/xml", "multipart/related"})


class SoapClient:
    """A pool of connections to SOAP endpoints; safe to share between threads.

    `ca_file` holds the authorities trusted instead of the system's; `certificate` and `key` are ours (PEM).
    `connect_seconds` bounds each connection attempt. TLS 1.2 is the oldest spoken.
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
        self._connect_seconds = connect_seconds
        self._pool = urllib3.PoolManager(ssl_context=context, maxsize=connections, retries=False)

    def close(self) -> None:
        """Close every connection."""
        self._pool.clear()

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
    ) -> Message:
        """Send a message and return the answer, whose staged parts the caller discards.

        `headers` is XML of further header blocks. `sent` and `received` get (bytes so far, total or None).
        Raises ClientError when the other side cannot be reached, refuses, or answers something else.
        """
        message_id = addressing.new_id()
        header = addressing.write(action, message_id, to=url) + headers.decode()
        content_type, size, chunks = write(version, header, body, mtom, action)
        assert size is not None, "a request is made of bytes and attachments, whose sizes are known"
        fields = {"Content-Type": content_type, "Content-Length": str(size), "Accept-Encoding": "identity"}
        if version is Version.SOAP11:
            fields["SOAPAction"] = f'"{action}"'
        name = urlsplit(url).netloc.rpartition("@")[2] or url
        try:
            response = self._pool.request(
                "POST",
                url,
                body=_watched(chunks, size, sent),
                headers=fields,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=self._connect_seconds, read=limits.idle_seconds),
            )
            try:
                answer = _answer(response, name, limits, staging, received)
                return _opened(answer, message_id, name, limits, staging, understood)
            except BaseException:
                # What is left on the connection belongs to the failed answer.
                response.close()
                raise
            finally:
                response.release_conn()
        except NewConnectionError:
            raise ClientError(
                f"{name} could not be reached: check the address and that the node is running."
            ) from None
        except TimeoutError:
            raise ClientError(f"{name} did not answer in time: try again, or raise the time limit.") from None
        except SSLError:
            raise ClientError(
                f"No secure connection to {name}: check its certificate, ca_file, and our client certificate."
            ) from None
        except (HTTPError, OSError) as error:
            raise ClientError(
                f"{name} could not be reached or broke off ({type(error).__name__}): "
                "check the address and that the node is running."
            ) from None


def _watched(chunks: Iterable[bytes], size: int, sent: Progress | None) -> Iterator[bytes]:
    count = 0
    for chunk in chunks:
        yield chunk
        count += len(chunk)
        if sent is not None:
            sent(count, size)


class _Incoming:
    """The body of an answer with a clock for the whole and a progress callback."""

    __slots__ = ("_count", "_deadline", "_received", "_response", "_total")

    def __init__(self, response: urllib3.BaseHTTPResponse, seconds: float, received: Progress | None) -> None:
        self._response = response
        self._deadline = time.monotonic() + seconds
        self._received = received
        self._count = 0
        length = response.headers.get("Content-Length", "")
        self._total = int(length) if length.isascii() and length.isdigit() else None

    def read(self, size: int, /) -> bytes:
        data = self._response.read(size)
        if time.monotonic() > self._deadline:
            raise TimeoutError("the answer took too long")
        self._count += len(data)
        if data and self._received is not None:
            self._received(self._count, self._total)
        return data


def _answer(
    response: urllib3.BaseHTTPResponse,
    name: str,
    limits: Limits,
    staging: StagingFolder,
    received: Progress | None,
) -> Received:
    content_type = response.headers.get("Content-Type", "")
    if response.status not in _SOAP_STATUSES or media_type(content_type)[0] not in _READABLE:
        raise ClientError(
            f"{name} answered HTTP {response.status} and no SOAP message: "
            "check that the address is a SOAP endpoint."
        )
    try:
        return receive(_Incoming(response, limits.seconds, received), content_type, limits, staging)
    except Fault as fault:
        raise ClientError(f"The answer of {name} cannot be read: {fault.reason}") from None


def _opened(
    answer: Received,
    message_id: str,
    name: str,
    limits: Limits,
    staging: StagingFolder,
    understood: frozenset[str],
) -> Message:
    try:
        header, body = soap.split(answer.root, answer.version)
        if (reason := _fault_reason(body)) is not None:
            raise Faulted(f"{name} refused the message: {reason}", _subcode(body))
        soap.check_understood(header, answer.version, understood | addressing.UNDERSTOOD)
        properties = addressing.read(header, answer.version, answer=True)
        if properties.relates_to != message_id:
            raise ClientError(
                f"The answer of {name} belongs to another message: its wsa:RelatesTo is not ours."
            )
        return open_message(answer, header, body, properties, limits, staging)
    except Fault as fault:
        answer.discard()
        raise ClientError(f"The answer of {name} cannot be read: {fault.reason}") from None
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
