"""ITI-39 Cross Gateway Retrieve: ITI-43 as another community asks it of this one (ITI TF-2 3.39).

Each document must be asked of this community by its id, and every error names it.
"""

from __future__ import annotations

from dataclasses import replace

from xds.access.gate import Access
from xds.audit.trail import Trail
from xds.transactions import iti43_retrieve_document_set as iti43
from xds.transactions.responses import of_community
from xds.transactions.transaction import Node
from xds.transport.message import Message


def read(node: Node, message: Message) -> iti43.Retrieve:
    """The requests in order, of which each must name this community."""
    return replace(iti43.read(node, message), named=True)


def do(node: Node, request: iti43.Retrieve, access: Access, trail: Trail) -> iti43.Retrieved:
    """As in ITI-43, with this community in every error."""
    retrieved = iti43.do(node, request, access, trail)
    return replace(retrieved, errors=of_community(retrieved.errors, node.registry.options.home_urn))


TRANSACTION = replace(
    iti43.TRANSACTION,
    number="ITI-39",
    action="urn:ihe:iti:2007:CrossGatewayRetrieve",
    response_action="urn:ihe:iti:2007:CrossGatewayRetrieveResponse",
    read=read,
    do=do,
    of_community=True,
    asynchronous=True,
)
