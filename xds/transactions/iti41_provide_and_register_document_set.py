"""ITI-41 Provide and Register Document Set-b: documents with their metadata, all or nothing (ITI TF-2 3.41).

Bytes are put where they last, then metadata and document rows are written in one database transaction, then
the answer goes out. A crash in between leaves bytes that nobody can see, never a row without bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from lxml import etree
from sqlalchemy import Connection

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.trail import Trail
from xds.errors import RegistryError, RegistryFailure
from xds.metadata import names
from xds.metadata.ebrim import read_object_list
from xds.metadata.entries import with_repository_values
from xds.metadata.model import RegistryObject, Submission
from xds.metadata.validation import check, submission
from xds.repository.documents import (
    DamagedDocument,
    NewDocument,
    OtherBytes,
    PutDocument,
)
from xds.store.trouble import nothing_written
from xds.transactions import iti42_register_document_set as iti42
from xds.transactions.rules import broken
from xds.transactions.schema import required
from xds.transactions.transaction import Node, Transaction
from xds.transport.message import Message
from xds.transport.staged import Staged

_NUMBER: Final = "ITI-41"
_DOCUMENT = f"{{{names.XDS}}}Document"
_SUBMIT = f"{{{names.LCM}}}SubmitObjectsRequest"
_broken = partial(broken, transaction=_NUMBER)


@dataclass(frozen=True, slots=True)
class Provided:
    """A submission's objects in order, and the bytes of each document entry by the entry's id."""

    objects: tuple[RegistryObject, ...]
    documents: Mapping[str, Staged]
    remarks: iti42.Remarks


def read(node: Node, message: Message) -> Provided:
    """The objects and their staged documents, valid and matching. Raises RegistryFailure with all errors."""
    objects = read_object_list(required(message.body, f"{_SUBMIT}/{iti42.OBJECT_LIST}"))
    errors: list[RegistryError] = list(check(objects, transaction=_NUMBER, codes=node.codes))
    entries = {each.id: each for each in objects if each.kind == "ExtrinsicObject"}
    documents: dict[str, Staged] = {}
    for element in message.body.iterchildren(_DOCUMENT):
        errors += _take(message, element, entries, documents)
    given = {element.get("id", "") for element in message.body.iterchildren(_DOCUMENT)}
    errors += [_broken("document-for-entry", each) for each in entries if each not in given]
    if message.unreferenced:
        errors.append(_broken("part-referred-to", detail=f"({len(message.unreferenced)} are not)"))
    for each, staged in documents.items():
        errors += compare(entries[each], staged)
    return Provided(objects, documents, iti42.valid(errors, message.reference))


def _take(
    message: Message,
    element: etree._Element,
    entries: Mapping[str, RegistryObject],
    documents: dict[str, Staged],
) -> Iterator[RegistryError]:
    """Put a document's bytes beside its entry, or say what is wrong with it."""
    own = element.get("id", "")
    if element in message.unresolved:
        yield _broken("document-for-entry", own)
    elif own not in entries:
        yield _broken("entry-for-document", own)
    elif own in documents:
        yield _broken("document-once", own)
    else:
        documents[own] = message.content(element)


def compare(entry: RegistryObject, staged: Staged) -> Iterator[RegistryError]:
    """What the entry says of its document, and the bytes do not."""
    for slot in entry.slots:
        if slot.name == "hash" and slot.values and slot.values[0].lower() != staged.sha1:
            yield _broken("document-hash", f"{entry.id}/hash")
        if slot.name == "size" and slot.values and slot.values[0].lstrip("0") != str(staged.size).lstrip("0"):
            yield _broken("document-size", f"{entry.id}/size")


def do(node: Node, request: Provided, access: Access, trail: Trail) -> iti42.Remarks:
    """Bytes first, rows second: see the module's text."""
    typed = _completed(node, request)
    iti42.check_patient(typed, access, _NUMBER)
    prepared = node.registry.prepare(typed)
    documents = [
        NewDocument(entry.unique_id, entry.mime_type, request.documents[entry.entry_uuid])
        for entry in typed.document_entries
    ]
    told = iti42.deed(typed)
    put_and_record(
        node,
        documents,
        lambda connection: node.registry.register(connection, prepared, access.visibility),
        lambda connection: trail.done(connection, told),
    )
    return request.remarks


def judge(node: Node, request: Provided) -> None:
    """Whether a registry could take it. Raises RegistryFailure."""
    node.registry.judge(node.registry.prepare(_completed(node, request)))


def _completed(node: Node, request: Provided) -> Submission:
    """The submission as the repository passes it on."""
    return submission(
        tuple(
            with_repository_values(
                each,
                repository_unique_id=node.repository.unique_id,
                size=request.documents[each.id].size,
                hash=request.documents[each.id].sha1,
            )
            if each.id in request.documents
            else each
            for each in request.objects
        )
    )


def asks(request: Provided) -> Action:
    """As in ITI-42."""
    return iti42.asks(submission(request.objects))


def put_and_record(
    node: Node,
    documents: Sequence[NewDocument],
    register: Callable[[Connection], object],
    tell: Callable[[Connection], None],
) -> None:
    """Make bytes last, then write their rows, what `register` writes before and `tell` after, in one
    transaction.

    Both may be called again from the start. Raises RegistryFailure.
    """
    repository = node.repository
    damaged = repository.damaged(documents)
    put: tuple[PutDocument, ...] = ()

    def work(connection: Connection) -> list[str]:
        register(connection)
        unneeded = repository.record(connection, put, damaged)
        tell(connection)
        return unneeded

    try:
        put = repository.put(documents)
        unneeded = node.database.transact(work)
    except DamagedDocument:
        raise RegistryFailure(_broken("node-busy")) from None
    except Exception as error:
        # Any other error leaves the bytes to the sweep: nobody knows then whether there was a commit.
        if isinstance(error, RegistryFailure | OtherBytes) or nothing_written(error):
            repository.discard(each.key for each in put)
        if isinstance(error, OtherBytes):
            raise RegistryFailure(_broken("document-same-bytes", detail=f"({error})")) from None
        raise
    repository.discard(unneeded)


TRANSACTION = Transaction(
    number=_NUMBER,
    action="urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b",
    response_action="urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-bResponse",
    element=f"{{{names.XDS}}}ProvideAndRegisterDocumentSetRequest",
    streams=True,
    fails_softly=True,
    about=iti42.TRANSACTION.about,
    read=read,
    asks=asks,
    do=do,
    write=iti42.write,
    refuse=iti42.refuse,
    judge=judge,
    binary=_DOCUMENT,
)
