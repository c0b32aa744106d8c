"""Binary: the bytes of a document, streamed (ITI-68), by the id of its DocumentReference.

The registry says whether the caller may have them, and ITI-43 hands them out: there is no other way to a
document here either. Whoever knows or guesses an address gets no further than whoever has searched.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn
from urllib.parse import quote

import orjson

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.trail import Trail
from xds.errors import RegistryError
from xds.fhir import bundles, document_references
from xds.fhir.document_references import about_one, by_id, checked_id, named_patient, not_there
from xds.fhir.interaction import Answer, Interaction, Request
from xds.fhir.mapping import resource_id
from xds.fhir.negotiation import Form, accepted, form_of, unaccepted
from xds.fhir.outcomes import Issue, Refused, refused
from xds.metadata import names
from xds.metadata.entries import document_entry
from xds.metadata.model import DocumentEntry
from xds.store.keys import uuid_urn
from xds.transactions import iti43_retrieve_document_set as iti43
from xds.transactions.rules import broken
from xds.transactions.transaction import Node, always, log_refusal
from xds.transport.message import Attachment
from xds.transport.xml import escape

_NUMBER: Final = "ITI-68"
_HEADERS: Final = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    # A document is shown by whoever asked, and runs nothing in the name of this address.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
}
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


def retrieve(node: Node, request: Request, access: Access, trail: Trail) -> Answer:
    """The document, a part of it, or that it has not changed."""
    page = node.registry.search(by_id(document_references.KIND, request.ids[0]), access.visibility)
    if not page.hits:
        raise not_there()
    ((obj, hit),) = bundles.objects_of(page)
    entry = document_entry(obj)
    wanted = iti43.DocumentRequest(None, entry.repository_unique_id or "", entry.unique_id, "Binary")
    if hit.masked:
        _leave(node, trail, wanted, broken("retrieve-blocked", transaction=_NUMBER), request)
    if entry.availability_status == names.DEPRECATED and not request.options.serves_deprecated:
        gone = Refused(410, Issue("deleted", "The document was replaced: search for the current one."))
        trail.seen(*iti43.deeds(node, [(wanted, broken("retrieve-document"))], trail.patients))
        raise gone
    form = _form(request, entry.mime_type)
    # A part is for who wants the bytes (RFC 9110, 14.2: of GET alone).
    wants_part = request.method == "GET"
    etag = f'"{entry.hash}"' if entry.hash and form is None else ""
    headers = {**_HEADERS, **({"ETag": etag, "Accept-Ranges": "bytes"} if etag else {})}
    if etag and _matches(request.headers.get("if-none-match", ""), etag):
        trail.seen(*iti43.deeds(node, [(wanted, _unread(entry))], trail.patients))
        return Answer(status=304, headers=headers)
    asked = iti43.Retrieve((wanted,), request.reference, request.adopt)
    outcomes = iti43.retrieve(node, asked, access)
    ((_, content),) = outcomes
    part = None
    if wants_part and form is None and isinstance(content, iti43.Content):
        part = _part(request.headers, etag, content.attachment.size)  # or 416, and nothing was shown
    trail.seen(*iti43.deeds(node, outcomes, trail.patients))
    if isinstance(content, RegistryError):
        # ITI-43 names the document in its sentences: an outcome holds no id.
        _leave_with(broken(content.rule), request)
    document = content.attachment
    if form is not None:
        return Answer(raw=_as_resource(document, hit.logical, form), headers=headers)
    headers["Content-Disposition"] = _disposition(entry)
    if part is None:
        return Answer(raw=document, headers=headers)
    headers["Content-Range"] = f"bytes {part.first}-{part.first + part.size - 1}/{document.size}"
    return Answer(raw=part.of(document), status=206, headers=headers)


def _leave(
    node: Node, trail: Trail, wanted: iti43.DocumentRequest, error: RegistryError, request: Request
) -> None:
    trail.seen(*iti43.deeds(node, [(wanted, error)], trail.patients))
    _leave_with(error, request)


def _leave_with(error: RegistryError, request: Request) -> NoReturn:
    log_refusal(request.reference, _NUMBER, [error])
    raise refused([error])


def _unread(entry: DocumentEntry) -> iti43.Content:
    """In the log, who has a document already and asks whether it is the same has read it once more."""
    return iti43.Content(Attachment(entry.mime_type, 0, lambda: iter(())))


def _form(request: Request, mime_type: str) -> Form | None:
    """None for the bytes themselves; or the form of the resource, for whoever takes nothing else (FHIR R4,
    3.1.0.1.11). Raises Refused (406): a document is not turned into another type (ITI TF-2 3.68.4.1.2).
    """
    wanted = [value for name, value in request.parameters if name == "_format" and value]
    if wanted:
        return form_of("", wanted[-1])
    own = mime_type.partition(";")[0].strip().lower()
    accept = request.headers.get("accept", "") or "*/*"
    ranges = ("*/*", f"{own.partition('/')[0]}/*")
    not_wanted = unaccepted(accept)
    for kind, _ in accepted(accept):
        if kind == own or (kind in ranges and own not in not_wanted):
            return None
        for form in Form:
            if kind == form.value:
                return form
    raise Refused(
        406, Issue("not-supported", "The document has another media type than those accepted: accept */*.")
    )


def _matches(header: str, etag: str) -> bool:
    """If-None-Match, by weak comparison (RFC 9110, 13.1.2)."""
    some = [each.strip().removeprefix("W/") for each in header.split(",")]
    return header.strip() == "*" or etag in some


def _disposition(entry: DocumentEntry) -> str:
    title = "".join(each if each.isprintable() else " " for each in entry.title or "")
    name = title.translate(_NOT_IN_NAMES).strip() or "document"
    return f"inline; filename*=UTF-8''{quote(name[:100], safe='')}"


_NOT_IN_NAMES: Final = {ord(each): " " for each in '/\\:*?"<>|'}


@dataclass(frozen=True, slots=True)
class _Part:
    first: int
    size: int

    def of(self, document: Attachment) -> Attachment:
        """These bytes of a document, which is read from its beginning all the same."""

        def chunks() -> Iterator[bytes]:
            left, skipped = self.size, self.first
            for chunk in document.chunks():
                if skipped >= len(chunk):
                    skipped -= len(chunk)
                    continue
                piece = chunk[skipped : skipped + left]
                skipped = 0
                left -= len(piece)
                yield piece
                if not left:
                    return

        return Attachment(document.content_type, self.size, chunks)


def _part(headers: Mapping[str, str], etag: str, size: int | None) -> _Part | None:
    """The one range that is asked for; several are none, and the whole is sent (RFC 9110, 14.2)."""
    match = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    if match is None or size is None or not etag or headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        begin, end = max(0, size - int(last)), size - 1
    else:
        begin, end = int(first), min(int(last or size - 1), size - 1)
        if last and int(last) < begin:
            return None
    if begin >= size or end < begin:
        raise Refused(
            416,
            Issue("invalid", "The document has no such range."),
            headers={"Content-Range": f"bytes */{size}"},
        )
    return _Part(begin, end - begin + 1)


def _as_resource(document: Attachment, logical: bytes, form: Form) -> Attachment:
    """The Binary resource with the document in base64, written as it is read."""
    own = resource_id(uuid_urn(logical))
    if form is Form.JSON:
        kind = orjson.dumps(document.content_type).decode()
        head = f'{{"resourceType":"Binary","id":"{own}","contentType":{kind}'
        opening, closing, tail = ',"data":"', '"', "}"
    else:
        head = (
            f'<Binary xmlns="http://hl7.org/fhir"><id value="{own}"/>'
            f'<contentType value="{escape(document.content_type)}"/>'
        )
        opening, closing, tail = '<data value="', '"/>', "</Binary>"

    def chunks() -> Iterator[bytes]:
        yield head.encode()
        rest, empty = b"", True
        for chunk in document.chunks():
            data = rest + chunk
            whole = len(data) - len(data) % 3
            rest = data[whole:]
            if data and empty:
                yield opening.encode()
                empty = False
            if whole:
                yield base64.b64encode(data[:whole])
        # An element of FHIR is never empty: of no bytes there is no data.
        yield (b"" if empty else base64.b64encode(rest) + closing.encode()) + tail.encode()

    size = None
    if document.size is not None:
        size = len(head.encode()) + len(tail)
        if document.size:
            size += len(opening) + 4 * -(-document.size // 3) + len(closing)
    return Attachment(f"{form.value}; charset=utf-8", size, chunks)


INTERACTIONS: Final = (
    Interaction(
        number=_NUMBER,
        method="GET",
        path="Binary/{id}",
        code="read",
        about=about_one,
        read=checked_id,
        asks=always(Action.READ_DOCUMENT),
        patient=named_patient,
        do=retrieve,
    ),
)
