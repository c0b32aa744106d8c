"""ITI-57 Update Document Set: new versions, statuses and associations of what is registered (XDS Metadata
Update).

ITI-92 is the same for document entries of one community, so its module takes `read` and `do` from here.
"""

from __future__ import annotations

from functools import partial

from xds.errors import RegistryFailure
from xds.metadata import names, updates
from xds.metadata.ebrim import read_object_list
from xds.metadata.updates import Update, UpdateTransaction
from xds.transactions import iti42_register_document_set as iti42
from xds.transactions.schema import required
from xds.transactions.transaction import Node, Transaction
from xds.transport.message import Message


def read(message: Message, *, transaction: UpdateTransaction) -> Update:
    """The update, valid by itself. Raises RegistryFailure with all its errors."""
    objects = read_object_list(required(message.body, iti42.OBJECT_LIST))
    errors = updates.check(objects, transaction=transaction)
    if errors:
        raise RegistryFailure(*errors)
    return updates.update(objects, transaction=transaction)


def do(node: Node, request: Update) -> None:
    """Carry it out in one transaction; an identical repeat changes nothing and succeeds."""
    node.registry.update(request)


TRANSACTION = Transaction(
    number="ITI-57",
    action="urn:ihe:iti:2010:UpdateDocumentSet",
    response_action="urn:ihe:iti:2010:UpdateDocumentSetResponse",
    element=f"{{{names.LCM}}}SubmitObjectsRequest",
    streams=False,
    fails_softly=True,
    read=partial(read, transaction="ITI-57"),
    do=do,
    write=iti42.write,
    refuse=iti42.refuse,
)
