"""ITI-62 Remove Metadata, once Delete Document Set: registry objects by id, all or none (ITI TF-2 3.62)."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Deed, Document
from xds.audit.trail import Trail
from xds.errors import RegistryError, RegistryFailure
from xds.metadata import names
from xds.metadata.confidentiality import codes_of
from xds.transactions import about
from xds.transactions import iti42_register_document_set as iti42
from xds.transactions.rules import broken
from xds.transactions.transaction import Node, Transaction, always
from xds.transport.message import Message

_REFERENCES = f"{{{names.RIM}}}ObjectRefList/{{{names.RIM}}}ObjectRef"


def read(node: Node, message: Message) -> tuple[str, ...]:
    """The ids as sent, in their order. Raises RegistryFailure when there are none, or more is asked."""
    ids = tuple(element.get("id", "") for element in message.body.iterfind(_REFERENCES))
    errors: list[RegistryError] = []
    if message.body.get("deletionScope") is not None:
        errors.append(broken("remove-scope", "RemoveObjectsRequest/deletionScope"))
    if not ids:
        errors.append(broken("remove-ids", "RemoveObjectsRequest/ObjectRefList"))
    if errors:
        raise RegistryFailure(*errors)
    return ids


def do(node: Node, request: tuple[str, ...], access: Access, trail: Trail) -> None:
    """Remove them in one transaction. The documents stay in their repository until ITI-86 removes them."""

    def work(connection: Connection) -> None:
        removed = node.registry.remove(connection, request, access.visibility)
        trail.done(
            connection,
            *(
                Deed(
                    patient=pid,
                    documents=tuple(
                        Document(entry_uuid=each, codes=codes_of(said)) for each, said in ids.items()
                    ),
                )
                for pid, ids in removed.items()
            ),
        )

    try:
        node.database.transact(work)
    except RegistryFailure:
        # On record with whom it was about, and not with whom the ticket is for.
        if owners := node.registry.owners_of_objects(request):
            trail.context.subject = replace(trail.context.subject, patients=owners)
        raise


TRANSACTION = Transaction(
    number="ITI-62",
    action="urn:ihe:iti:2010:DeleteDocumentSet",
    response_action="urn:ihe:iti:2010:DeleteDocumentSetResponse",
    element=f"{{{names.LCM}}}RemoveObjectsRequest",
    streams=False,
    fails_softly=True,
    about=about.references,
    read=read,
    asks=always(Action.DELETE),
    do=do,
    write=iti42.written,
    refuse=iti42.refuse,
)
