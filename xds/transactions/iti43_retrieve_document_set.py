"""ITI-43 Retrieve Document Set: documents by id, streamed, checked against their hash (ITI TF-2 3.43).

What the repository does not hold may be a document on demand: on_demand.py finds its entry and has it made.
ITI-39, and the gateway for what is this community's own, take their parts from here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Deed, Document, Outcome, reason_of
from xds.audit.trail import Trail
from xds.errors import RegistryError, RegistryFailure, XdsError
from xds.gateway import rules as gateway
from xds.metadata import names
from xds.registry.sight import Sight
from xds.registry.view import Visibility
from xds.repository.documents import DamagedDocument, StoredDocument
from xds.repository.on_demand import MadeTooLate, MadeTooMuch, NotMade
from xds.transactions import about, on_demand
from xds.transactions.responses import registry_response
from xds.transactions.rules import broken
from xds.transactions.transaction import Body, Node, Transaction, always, log_refusal
from xds.transport.endpoint import trace
from xds.transport.message import Attachment, Discardable, Message
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
    """One document as asked for; `home` is None when it was not given, and then not in the answer either.

    `place` is where in the message it is asked for, for errors.
    """

    home: str | None
    repository_unique_id: str
    document_unique_id: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """One document's bytes; on demand also the uniqueId of this content, and where it is kept if it is."""

    attachment: Attachment
    new_document_unique_id: str = ""
    new_repository_unique_id: str = ""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What can be handed out, in the order asked for, and what cannot; Success when nothing is wrong."""

    documents: tuple[tuple[DocumentRequest, Content], ...]
    errors: tuple[RegistryError, ...]
    reference: str


@dataclass(frozen=True, slots=True)
class Retrieve:
    """The documents asked for, and the reference number for errors beside them.

    `adopt` takes files that were staged for the answer, to be removed when it has been sent. `named`: each
    must be asked of this community by its id (ITI-39).
    """

    requests: tuple[DocumentRequest, ...]
    reference: str
    adopt: Callable[[Discardable], None]
    named: bool = False


#: What came of each document that was asked for, in that order.
Outcomes = Sequence[tuple[DocumentRequest, Content | RegistryError]]


def read(node: Node, message: Message) -> Retrieve:
    """The requests in order."""
    return Retrieve(
        tuple(
            DocumentRequest(
                element.findtext(_HOME),
                element.findtext(_REPOSITORY, ""),
                element.findtext(_DOCUMENT, ""),
                f"DocumentRequest[{number}]",
            )
            for number, element in enumerate(message.body.iterchildren(_REQUEST), start=1)
        ),
        message.reference,
        message.adopt,
    )


def do(node: Node, request: Retrieve, access: Access, trail: Trail) -> Retrieved:
    """Find and verify each document; one that fails has its own error and does not hinder the others."""
    outcomes = retrieve(node, request, access)
    trail.seen(*deeds(node, outcomes, trail.patients))
    return _handed_out(outcomes, request.reference)


def retrieve(node: Node, request: Retrieve, access: Access) -> Outcomes:
    """What of this repository's documents goes out; nothing is shown before it is on record."""
    _check_number(node, request)
    elsewhere = [_elsewhere(node, each, request.named) for each in request.requests]
    here = [
        each.document_unique_id
        for each, wrong in zip(request.requests, elsewhere, strict=True)
        if wrong is None
    ]
    sight = node.registry.sight(here, access.visibility)
    stored = node.repository.find([unique_id for unique_id, each in sight.items() if each is Sight.OPEN])
    size = sum(stored[unique_id].size for unique_id in here if unique_id in stored)
    if size > node.limits.total_bytes:
        raise RegistryFailure(broken("retrieve-size"))
    sound = _verify(node, stored.values(), request.reference)
    make = _Maker(node, request, node.limits.total_bytes - size, access.visibility)
    outcomes: list[tuple[DocumentRequest, Content | RegistryError]] = []
    for each, wrong in zip(request.requests, elsewhere, strict=True):
        unique_id = each.document_unique_id
        made: Content | str
        if wrong is not None:
            outcomes.append((each, wrong))
            continue
        if sight[unique_id] is Sight.MASKED:
            made = "retrieve-blocked"
        elif sight[unique_id] is Sight.HIDDEN:
            # The answer for a document that is not there: nobody learns that there is one.
            made = "retrieve-document"
        elif unique_id not in stored:
            made = make.content(unique_id)
        elif unique_id not in sound:
            made = "retrieve-intact"
        else:
            made = Content(_attachment(node, stored[unique_id], sound[unique_id]))
        if isinstance(made, str):
            error = broken(made, f"{each.place}/DocumentUniqueId", detail=f"({unique_id})")
            outcomes.append((each, error))
        else:
            outcomes.append((each, made))
    return outcomes


def judge(node: Node, request: Retrieve) -> None:
    """Whether it can be asked so; where the documents are is not looked at. Raises RegistryFailure."""
    _check_number(node, request)
    if errors := [wrong for each in request.requests if (wrong := _unnamed(each, request.named))]:
        raise RegistryFailure(*errors)


def _check_number(node: Node, request: Retrieve) -> None:
    if len(request.requests) > node.limits.parts:
        raise RegistryFailure(broken("retrieve-number"))


def _unnamed(each: DocumentRequest, named: bool) -> RegistryError | None:
    if named and not each.home:
        return gateway.broken("community-of-document", f"{each.place}/HomeCommunityId")
    return None


def _elsewhere(node: Node, each: DocumentRequest, named: bool) -> RegistryError | None:
    """The error of a request that is not for this community or repository."""
    if (wrong := _unnamed(each, named)) is not None:
        return wrong
    if named and not node.registry.options.is_home(each.home or ""):
        return gateway.broken("community-own", f"{each.place}/HomeCommunityId")
    if not node.repository.is_own(each.repository_unique_id):
        return broken("retrieve-repository", f"{each.place}/RepositoryUniqueId")
    return None


def _handed_out(outcomes: Outcomes, reference: str) -> Retrieved:
    """The answer, and a line in the log for what is missing in it."""
    documents = tuple((each, what) for each, what in outcomes if isinstance(what, Content))
    errors = tuple(what for _, what in outcomes if isinstance(what, RegistryError))
    if errors:
        log_refusal(reference, _NUMBER, errors)
    return Retrieved(documents, errors, reference)


def deeds(
    node: Node, outcomes: Outcomes, asked: Sequence[str], kept_elsewhere: Collection[str] = ()
) -> Iterator[Deed]:
    """What each patient's documents are that go out; and those that do not, with why (ITI TF-2 3.43.5).

    `asked` is whose they are that this registry does not know (CX texts). `kept_elsewhere` are the
    homeCommunityIds whose documents are not this registry's, whatever their ids.
    """

    def is_own(request: DocumentRequest) -> bool:
        own = node.repository.is_own(request.repository_unique_id)
        return own and request.home not in kept_elsewhere

    owners = node.registry.owners({r.document_unique_id for r, _ in outcomes if is_own(r)})
    sent: dict[str, list[Document]] = {}
    left: dict[str, list[tuple[Document, RegistryError]]] = {}
    for each, came_of_it in outcomes:
        owner = owners.get(each.document_unique_id) if is_own(each) else None
        pid = owner.pid if owner is not None else "".join(asked[:1])
        if isinstance(came_of_it, RegistryError):
            left.setdefault(pid, []).append((named(each), came_of_it))
            continue
        some = sent.setdefault(pid, [])
        some.append(about.owned(named(each, came_of_it.attachment.content_type), owner))
        if came_of_it.new_document_unique_id:
            some.append(replace(some[-1], unique_id=came_of_it.new_document_unique_id))
    for pid, some in sent.items():
        yield Deed(patient=pid, documents=tuple(some))
    for pid, with_errors in left.items():
        yield Deed(
            patient=pid,
            outcome=Outcome.MINOR,
            reason=reason_of([error for _, error in with_errors]),
            documents=tuple(document for document, _ in with_errors),
        )


def named(request: DocumentRequest, mime_type: str = "") -> Document:
    """The document as it was asked for, for the access log."""
    return Document(
        unique_id=request.document_unique_id,
        repository=request.repository_unique_id,
        home=request.home or "",
        mime_type=mime_type,
    )


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


#: What became of a document that was not made -> the rule that says so.
_NOT_MADE: Final = {
    NotMade: "retrieve-on-demand-made",
    MadeTooLate: "retrieve-on-demand-time",
    MadeTooMuch: "retrieve-size",
}


class _Maker:
    """The on-demand documents of one request: each is made once, and there is one clock for them all."""

    def __init__(self, node: Node, request: Retrieve, most_bytes: int, visibility: Visibility) -> None:
        self._visibility = visibility
        self._node = node
        self._request = request
        self._left = most_bytes
        self._deadline = time.monotonic() + (node.on_demand.seconds if node.on_demand else 0)
        self._made: dict[str, Content | str] = {}

    def content(self, unique_id: str) -> Content | str:
        """The content of a document that the repository does not hold, or the rule by which there is none."""
        if unique_id not in self._made:
            self._made[unique_id] = self._make(unique_id)
        return self._made[unique_id]

    def _make(self, unique_id: str) -> Content | str:
        node = self._node
        try:
            entry = on_demand.find(node, unique_id, self._visibility)
        except RegistryFailure:
            return "retrieve-on-demand-patient"
        if entry is None:
            return "retrieve-document"
        if node.on_demand is None:
            return "retrieve-on-demand"
        most_bytes = min(self._left, node.limits.document_bytes)
        try:
            made = node.on_demand.make(
                entry, node.repository.store.staging, most_bytes=most_bytes, deadline=self._deadline
            )
        except NotMade as error:
            return self._failed(_NOT_MADE[type(error)], error)
        if made is None:
            return "retrieve-on-demand-content"
        self._request.adopt(made.staged)
        self._left -= made.staged.size
        new_id = on_demand.snapshot_id(entry, made)
        if not made.keep:
            return Content(Attachment(made.mime_type, made.staged.size, made.staged.chunks), new_id)
        try:
            kept = on_demand.keep(node, entry, made)
        except RegistryFailure as failure:
            return self._failed("retrieve-on-demand-kept", failure)
        return Content(_attachment(node, kept, None), new_id, node.repository.unique_id)

    def _failed(self, rule: str, error: XdsError) -> str:
        # The text of what the function raised may be about a person: where it came from is enough.
        log.error("%s %s on demand: %s\n%s", self._request.reference, _NUMBER, rule, trace(error))
        return rule


def write(result: Retrieved) -> Body:
    """The response with each document in its place; ids are echoed as they were asked (ITI TF-2 3.43.4.2)."""
    status = names.SUCCESS
    if any(not error.warning for error in result.errors):
        status = names.PARTIAL_SUCCESS if result.documents else names.FAILURE
    body: list[bytes | Attachment] = [
        f'<xds:RetrieveDocumentSetResponse xmlns:xds="{names.XDS}">'.encode()
        + registry_response(status, result.errors, result.reference)
    ]
    for request, content in result.documents:
        home = (
            ""
            if request.home is None
            else f"<xds:HomeCommunityId>{escape(request.home)}</xds:HomeCommunityId>"
        )
        body += (
            f"<xds:DocumentResponse>{home}"
            f"<xds:RepositoryUniqueId>{escape(request.repository_unique_id)}</xds:RepositoryUniqueId>"
            f"<xds:DocumentUniqueId>{escape(request.document_unique_id)}</xds:DocumentUniqueId>"
            f"{_new('NewRepositoryUniqueId', content.new_repository_unique_id)}"
            f"{_new('NewDocumentUniqueId', content.new_document_unique_id)}"
            f"<xds:mimeType>{escape(content.attachment.content_type)}</xds:mimeType><xds:Document>".encode(),
            content.attachment,
            b"</xds:Document></xds:DocumentResponse>",
        )
    body.append(b"</xds:RetrieveDocumentSetResponse>")
    return tuple(body)


def _new(name: str, value: str) -> str:
    return f"<xds:{name}>{escape(value)}</xds:{name}>" if value else ""


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
    about=about.documents,
    read=read,
    asks=always(Action.READ_DOCUMENT),
    do=do,
    write=write,
    refuse=refuse,
    judge=judge,
)
