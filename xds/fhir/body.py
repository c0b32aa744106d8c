"""The body of a FHIR request, read as a stream: a resource, and the documents that were inside it.

The MHD transactions call `receive` before they know anything of what was sent. No document ever stands in
memory: its base64 is decoded and hashed on the way to a staged file, and a short name takes its place. When
reading fails nothing stays staged, and no error holds a value from the body.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from xds.errors import Fault, FaultCode, sender
from xds.fhir.json_sieve import JsonSieve
from xds.fhir.r4.xml import from_xml
from xds.fhir.sieve import Sieve
from xds.fhir.xml_sieve import XmlSieve
from xds.transport import mime
from xds.transport.limits import Limits
from xds.transport.mime import CHUNK, Readable, TooLarge, media_type, too_large
from xds.transport.staged import Staged, StagingFolder

#: As deep as XML may be; whoever walks through a resource may call itself at each level.
MOST_LEVELS: Final = 256
#: Elements and members of one body; a bundle of a thousand documents has some 200,000.
MOST_MEMBERS: Final = 500_000
_CHARSETS: Final = frozenset({"", "utf-8", "utf8", "us-ascii"})


@dataclass(frozen=True, slots=True)
class Received:
    """A resource, and the bytes that were taken out of it.

    `staged` has them under what stands in their place, "urn:xds:staged:0" and so on, and the parts of a
    multipart body under "cid:" and their Content-ID, not percent-encoded. Not all need have a place: a
    member that comes twice counts once. Whoever got a Received must discard it.
    """

    resource: dict[str, Any]
    staged: Mapping[str, Staged]

    def discard(self) -> None:
        """Remove every staged file that has not been moved away."""
        for staged in self.staged.values():
            staged.discard()


@dataclass(frozen=True, slots=True)
class _Format:
    """How a resource is written: what takes the documents out, and what reads the rest."""

    sieve: Callable[[Limits, StagingFolder, int], Sieve]
    read: Callable[[bytearray], dict[str, Any]]


def receive(stream: Readable, content_type: str, limits: Limits, staging: StagingFolder) -> Received:
    """Read one body to the end of `stream`. Raises Fault with an HTTP status that fits: 400, 413 or 415."""
    try:
        kind, parameters = media_type(content_type)
        if kind == "multipart/related":
            return _related(stream, parameters, limits, staging)
        return _received(stream, _format(content_type), limits, staging, {})
    except Fault as fault:
        if fault.code is FaultCode.SENDER and fault.status == 500:  # SOAP's status for everything
            fault.status = 413 if isinstance(fault, TooLarge) else 400
        raise


def _related(
    stream: Readable, parameters: Mapping[str, str], limits: Limits, staging: StagingFolder
) -> Received:
    """A resource as the root part, and documents as the others (RFC 2387)."""
    told = parameters.get("type", "")
    if told:
        _format(told)  # before the documents are read
    parts = mime.read_parts(stream, parameters, limits, staging)
    staged = {f"cid:{name}": part for name, part in parts.staged.items()}
    try:
        found = _format(parts.root_type or told)
        return _received(io.BytesIO(parts.root), found, limits, staging, staged)
    except BaseException:
        for part in staged.values():
            part.discard()
        raise


def _received(
    stream: Readable, found: _Format, limits: Limits, staging: StagingFolder, staged: Mapping[str, Staged]
) -> Received:
    """Sift and read a resource; `staged` came beside it, and stays the caller's until this returns."""
    sieve = found.sieve(limits, staging, limits.parts - len(staged))
    total = 0
    try:
        while piece := stream.read(CHUNK):
            total += len(piece)
            if total > limits.total_bytes:
                raise too_large("The body", "total_bytes", limits.total_bytes)
            sieve.feed(piece)
        sieve.close()
        if not sieve.root or sieve.root.isspace():
            raise sender("The body is empty: send one FHIR resource.")
        return Received(found.read(sieve.root), {**staged, **sieve.staged})
    except BaseException:
        sieve.discard()
        raise


def _check_members(text: bytearray, *marks: bytes) -> None:
    """A text of nothing but brackets takes a hundred times its size when it is read."""
    if sum(map(text.count, marks)) > MOST_MEMBERS:
        raise TooLarge(
            FaultCode.SENDER,
            f"The body has more than {MOST_MEMBERS:,} elements: send less at once.",
            status=413,
        )


def _from_json(text: bytearray) -> dict[str, Any]:
    _check_members(text, b"{", b"[", b",")
    try:
        resource = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _not_json(text, error) from None
    if not isinstance(resource, dict):
        raise sender("The body is JSON but no object: send one FHIR resource.")
    if text.count(b"{") + text.count(b"[") > MOST_LEVELS:
        _check_levels(resource)
    return resource


def _not_json(text: bytearray, error: orjson.JSONDecodeError) -> Fault:
    try:
        text.decode()
    except UnicodeDecodeError:
        return sender("The body is not UTF-8.")
    if text.startswith(b"\xef\xbb\xbf"):
        return sender(
            "The body begins with a byte order mark, which JSON forbids (RFC 8259, 8.1): leave it out."
        )
    return sender(
        f"The body is not JSON at line {error.lineno}, column {error.colno}, "
        "counted without the base64 of its documents."
    )


def _check_levels(resource: dict[str, Any]) -> None:
    level: list[Any] = [resource]
    for _ in range(MOST_LEVELS):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise sender(f"The JSON is nested deeper than {MOST_LEVELS} levels.")


def _from_xml(text: bytearray) -> dict[str, Any]:
    _check_members(text, b"<")
    # The parser reads UTF-16 as well, in which no document was looked for.
    if text.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in text[:2]:
        raise Fault(FaultCode.SENDER, "The XML is in UTF-16: send UTF-8.", status=415)
    return from_xml(bytes(text))


_JSON: Final = _Format(JsonSieve, _from_json)
_XML: Final = _Format(XmlSieve, _from_xml)
_FORMATS: Final[Mapping[str, _Format]] = {
    "application/fhir+json": _JSON,
    "application/json": _JSON,
    "application/fhir+xml": _XML,
    "application/xml": _XML,
    "text/xml": _XML,
}


def _format(content_type: str) -> _Format:
    kind, parameters = media_type(content_type)
    found = _FORMATS.get(kind)
    if found is None:
        raise Fault(
            FaultCode.SENDER,
            f"The Content-Type is not one of {', '.join(_FORMATS)}, "
            "or multipart/related with a root part of one of these types.",
            status=415,
        )
    if parameters.get("charset", "").lower() not in _CHARSETS:
        raise Fault(FaultCode.SENDER, "The Content-Type names a charset other than UTF-8.", status=415)
    if parameters.get("fhirversion", "4.0") != "4.0":
        raise Fault(FaultCode.SENDER, "The Content-Type names another fhirVersion than 4.0.", status=415)
    return found
