"""ITI-43 Retrieve Document Set: documents by id, streamed, checked against their hash (ITI TF-2 3.43)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from xds.errors import RegistryError, RegistryFailure
from xds.metadata import names
from xds.repository.documents import DamagedDocument, StoredDocument
from xds.transactions.responses import registry_response
from xds.transactions.rules import broken
from xds.transactions.transaction import Body, Node, Transaction, log_refusal
from xds.transport.message import Attachment, Message
from xds.transport.xml import escape

log = logging.getLogger("xds")

_NUMBER: Final = "ITI-43"

#: Small documents that were read to be verified are not read twice, up to this many bytes of one answer.
_HOLD = 4 * 1024 * 1024

_REQUEST = f"{{{names.XDS}}}DocumentRequest"
_HOME = f"{{{names.XDS}}}HomeCommunityId"
_REPOSITORY = f"{{{names.XDS}}}RepositoryUniqueId"
_DOCUMENT = f"{{{names.XDS}}}DocumentUniqueId"


@dataclass(frozen=True, slots=True)
class DocumentRequest:
    """One document as asked for; `home` is None when it was not given, and then not in the answer either."""

    home: str | None
    repository_unique_id: str
    document_unique_id: str


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What can be handed out, in the order asked for, and what cannot."""

    documents: tuple[tuple[DocumentRequest, Attachment], ...]
    errors: tuple[RegistryError, ...]
    reference: str


@dataclass(frozen=True, slots=True)
class Retrieve:
    """The documents asked for, and the reference number for errors beside them."""

    requests: tuple[DocumentRequest, ...]
    reference: str


def read(message: Message) -> Retrieve:
    """The requests in order."""
    return Retrieve(
        tuple(
            DocumentRequest(
                element.findtext(_HOME), element.findtext(_REPOSITORY, ""), element.findtext(_DOCUMENT, "")
            )
            for element in message.body.iterchildren(_REQUEST)
        ),
        message.reference,
    )


def do(node: Node, request: Retrieve) -> Retrieved:
    """Find and verify each document; one that fails has its own error and does not hinder the others."""
    if len(request.requests) > node.limits.parts:
        raise RegistryFailure(broken("retrieve-number"))
    own = node.repository.unique_id
    stored = node.repository.find(
        [r.document_unique_id for r in request.requests if r.repository_unique_id == own]
    )
    asked = [stored[r.document_unique_id] for r in request.requests if r.document_unique_id in stored]
    if sum(document.size for document in asked) > node.limits.total_bytes:
        raise RegistryFailure(broken("retrieve-size"))
    sound = _verify(node, stored.values(), request.reference)
    documents: list[tuple[DocumentRequest, Attachment]] = []
    errors: list[RegistryError] = []
    for number, each in enumerate(request.requests, start=1):
        where = f"DocumentRequest[{number}]"
        if each.repository_unique_id != own:
            errors.append(broken("retrieve-repository", f"{where}/RepositoryUniqueId"))
        elif each.document_unique_id not in stored:
            errors.append(
                broken(
                    "retrieve-document", f"{where}/DocumentUniqueId", detail=f"({each.document_unique_id})"
                )
            )
        elif each.document_unique_id not in sound:
            errors.append(
                broken("retrieve-intact", f"{where}/DocumentUniqueId", detail=f"({each.document_unique_id})")
            )
        else:
            document = stored[each.document_unique_id]
            documents.append((each, _attachment(node, document, sound[each.document_unique_id])))
    if errors:
        log_refusal(request.reference, _NUMBER, errors)
    return Retrieved(tuple(documents), tuple(errors), request.reference)


def _verify(node: Node, documents: Iterable[StoredDocument], reference: str) -> dict[str, bytes | None]:
    """The sound ones by uniqueId, each looked at once; with their bytes when these are few."""
    sound: dict[str, bytes | None] = {}
    held = 0
    for document in documents:
        try:
            content = node.repository.verify(document)
        except DamagedDocument:
            log.error("%s %s damaged or missing: %s", reference, _NUMBER, document.key)
            continue
        held += len(content or b"")
        sound[document.unique_id] = content if held <= _HOLD else None
    return sound


def _attachment(node: Node, document: StoredDocument, content: bytes | None) -> Attachment:
    def chunks() -> Iterator[bytes]:
        return node.repository.read(document) if content is None else iter((content,))

    return Attachment(document.mime_type, document.size, chunks)


def write(result: Retrieved) -> Body:
    """The response with each document in its place; ids are echoed as they were asked (ITI TF-2 3.43.4.2)."""
    status = names.SUCCESS
    if result.errors:
        status = names.PARTIAL_SUCCESS if result.documents else names.FAILURE
    body: list[bytes | Attachment] = [
        f'<xds:RetrieveDocumentSetResponse xmlns:xds="{names.XDS}">'.encode()
        + registry_response(status, result.errors, result.reference)
    ]
    for request, attachment in result.documents:
        home = (
            ""
            if request.home is None
            else f"<xds:HomeCommunityId>{escape(request.home)}</xds:HomeCommunityId>"
        )
        body += (
            f"<xds:DocumentResponse>{home}"
            f"<xds:RepositoryUniqueId>{escape(request.repository_unique_id)}</xds:RepositoryUniqueId>"
            f"<xds:DocumentUniqueId>{escape(request.document_unique_id)}</xds:DocumentUniqueId>"
            f"<xds:mimeType>{escape(attachment.content_type)}</xds:mimeType><xds:Document>".encode(),
            attachment,
            b"</xds:Document></xds:DocumentResponse>",
        )
    body.append(b"</xds:RetrieveDocumentSetResponse>")
    return tuple(body)


def refuse(errors: Sequence[RegistryError], reference: str) -> Body:
    """Failure, with no documents."""
    return write(Retrieved((), tuple(errors), reference))


TRANSACTION = Transaction(
    number=_NUMBER,
    action="urn:ihe:iti:2007:RetrieveDocumentSet",
    response_action="urn:ihe:iti:2007:RetrieveDocumentSetResponse",
    element=f"{{{names.XDS}}}RetrieveDocumentSetRequest",
    streams=True,
    fails_softly=False,
    read=read,
    do=do,
    write=write,
    refuse=refuse,
)
