"""ITI-38 Cross Gateway Query: ITI-18 as another community asks it of this one (ITI TF-2 3.38).

Every object of the answer and every error names this community, for whoever joins the answers of several.
"""

from __future__ import annotations

from dataclasses import replace

from xds.access.gate import Access
from xds.audit.trail import Trail
from xds.errors import RegistryFailure
from xds.gateway.rules import broken
from xds.registry.queries import PATIENT_QUERIES, STORED_QUERIES
from xds.registry.registry import Found
from xds.transactions import iti18_registry_stored_query as iti18
from xds.transactions.responses import of_community
from xds.transactions.transaction import Node
from xds.transport.message import Message


def read(node: Node, message: Message) -> iti18.Asked:
    """The query as asked; one for objects by their ids must say whose they are (ITI TF-2 3.38.4.1.2.1)."""
    asked = iti18.read(node, message)
    query = asked.query
    if not query.home and query.id in STORED_QUERIES.keys() - PATIENT_QUERIES:
        raise RegistryFailure(broken("community-named", "AdhocQuery/home"))
    return replace(asked, home=node.registry.options.home_urn)


def do(node: Node, request: iti18.Asked, access: Access, trail: Trail) -> tuple[Found, str]:
    """As in ITI-18, with this community in every warning."""
    found, reference = iti18.do(node, request, access, trail)
    return replace(found, warnings=of_community(found.warnings, request.home)), reference


TRANSACTION = replace(
    iti18.TRANSACTION,
    number="ITI-38",
    action="urn:ihe:iti:2007:CrossGatewayQuery",
    response_action="urn:ihe:iti:2007:CrossGatewayQueryResponse",
    # IHE has it in plain SOAP; a gateway that sends all it has as MTOM is answered in kind.
    streams=True,
    read=read,
    do=do,
    of_community=True,
    asynchronous=True,
)
