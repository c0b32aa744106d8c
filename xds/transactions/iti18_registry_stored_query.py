"""ITI-18 Registry Stored Query: one of the queries of registry/queries (ITI TF-2 3.18)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xds.errors import RegistryError, RegistryFailure
from xds.metadata import names
from xds.metadata.ebrim import read_slots
from xds.registry.registry import StoredQuery
from xds.registry.rules import broken
from xds.registry.view import EVERYTHING
from xds.transactions.responses import adhoc_query_response
from xds.transactions.schema import required
from xds.transactions.transaction import Body, Node, Transaction
from xds.transport.message import Message, Text

_OPTION = f"{{{names.QUERY}}}ResponseOption"
_QUERY = f"{{{names.RIM}}}AdhocQuery"
_LEAF = {"LeafClass": True, "ObjectRef": False}


def read(message: Message) -> StoredQuery:
    """The query as asked. Raises RegistryFailure for a returnType that is not one of the two."""
    option, query = required(message.body, _OPTION), required(message.body, _QUERY)
    return_type = option.get("returnType", "RegistryObject")
    if return_type not in _LEAF:
        raise RegistryFailure(broken("query-return-type", "ResponseOption/returnType"))
    return StoredQuery(query.get("id", ""), read_slots(query), _LEAF[return_type])


def do(node: Node, request: StoredQuery) -> Iterator[list[bytes]]:
    """The elements found."""
    return node.registry.query(request, EVERYTHING)


def write(result: Iterator[list[bytes]]) -> Body:
    """Success, also when nothing was found (ITI TF-2 3.18.4.1.3)."""
    return adhoc_query_response(Text(result))


def refuse(errors: Sequence[RegistryError], reference: str) -> Body:
    """Failure, with no objects."""
    return adhoc_query_response(None, errors, reference)


TRANSACTION = Transaction(
    number="ITI-18",
    action="urn:ihe:iti:2007:RegistryStoredQuery",
    response_action="urn:ihe:iti:2007:RegistryStoredQueryResponse",
    element=f"{{{names.QUERY}}}AdhocQueryRequest",
    streams=False,
    fails_softly=False,
    read=read,
    do=do,
    write=write,
    refuse=refuse,
)
