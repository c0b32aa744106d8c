"""ITI-57 Update Document Set: new versions, statuses and associations of what is registered (XDS Metadata
Update).

ITI-92 is the same for document entries of one community, so its module takes `read` and `do` from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Document
from xds.audit.trail import Trail
from xds.metadata import names, updates
from xds.metadata.ebrim import read_object_list
from xds.metadata.updates import Update, UpdateTransaction
from xds.transactions import iti42_register_document_set as iti42
from xds.transactions.schema import required
from xds.transactions.transaction import Node, Transaction, always
from xds.transport.message import Message


@dataclass(frozen=True, slots=True)
class Requested:
    """An update that is valid by itself, and what it should have said otherwise."""

    update: Update
    remarks: iti42.Remarks


def read(node: Node, message: Message, *, transaction: UpdateTransaction) -> Requested:
    """The update, valid by itself. Raises RegistryFailure with all its errors."""
    objects = read_object_list(required(message.body, iti42.OBJECT_LIST))
    errors = updates.check(objects, transaction=transaction, codes=node.codes)
    remarks = iti42.valid(errors, message.reference)
    return Requested(updates.update(objects, transaction=transaction), remarks)


def do(node: Node, request: Requested, access: Access, trail: Trail) -> iti42.Remarks:
    """Carry it out in one transaction; an identical repeat changes nothing and succeeds."""
    iti42.check_patient(request.update.content, access)
    prepared = node.registry.prepare_update(request.update)
    targets = [each.target for each in request.update.status_changes]
    targets += [each.target for each in request.update.submitted]
    named = tuple(Document(entry_uuid=each) for each in dict.fromkeys(targets))
    told = iti42.deed(request.update.content, named)

    def work(connection: Connection) -> None:
        node.registry.update(connection, request.update, prepared, access.visibility)
        trail.done(connection, told)

    node.database.transact(work)
    return request.remarks


def judge(node: Node, request: Requested) -> None:
    """Whether a registry could take it. Raises RegistryFailure."""
    node.registry.judge(node.registry.prepare_update(request.update))


TRANSACTION = Transaction(
    number="ITI-57",
    action="urn:ihe:iti:2010:UpdateDocumentSet",
    response_action="urn:ihe:iti:2010:UpdateDocumentSetResponse",
    element=f"{{{names.LCM}}}SubmitObjectsRequest",
    streams=False,
    fails_softly=True,
    about=iti42.TRANSACTION.about,
    read=partial(read, transaction="ITI-57"),
    asks=always(Action.UPDATE),
    do=do,
    write=iti42.write,
    refuse=iti42.refuse,
    judge=judge,
)
