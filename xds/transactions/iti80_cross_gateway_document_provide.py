"""ITI-80 Cross Gateway Document Provide: ITI-41 addressed to this community by another (XCDR).

The community stands in the SOAP header, or in a Slot of the request where the sender cannot write headers.
All that comes after is ITI-41; the answer is this community's own, and there is no partial success.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from xds.access.gate import Access
from xds.audit.trail import Trail
from xds.errors import RegistryFailure
from xds.gateway.rules import broken
from xds.metadata import names
from xds.transactions import iti41_provide_and_register_document_set as iti41
from xds.transactions.iti42_register_document_set import Remarks
from xds.transactions.responses import of_community
from xds.transactions.transaction import Node
from xds.transport.message import Message

_XDR: Final = "urn:ihe:iti:xdr:2014"
#: The header block that names the community; the endpoint must say that it is understood.
BLOCK: Final = f"{{{_XDR}}}homeCommunityBlock"
_HOME: Final = f"{{{_XDR}}}homeCommunityId"
_SLOT: Final = (
    f"{{{names.LCM}}}SubmitObjectsRequest/{{{names.RS}}}RequestSlotList"
    f"/{{{names.RIM}}}Slot[@name='homeCommunityId']/{{{names.RIM}}}ValueList/{{{names.RIM}}}Value"
)


def read(node: Node, message: Message) -> iti41.Provided:
    """A submission to this community, as in ITI-41. Raises RegistryFailure."""
    home = community(message)
    if not home:
        raise RegistryFailure(broken("community-addressed"))
    if not node.registry.options.is_home(home):
        raise RegistryFailure(broken("community-own"))
    return iti41.read(node, message)


def do(node: Node, request: iti41.Provided, access: Access, trail: Trail) -> Remarks:
    """As in ITI-41, with this community in every warning."""
    remarks = iti41.do(node, request, access, trail)
    return replace(remarks, warnings=of_community(remarks.warnings, node.registry.options.home_urn))


def community(message: Message) -> str:
    """Whom the message is for: the header counts before the Slot."""
    # Whatever its role: some give the block one of IHE's own, urn:ihe:iti:xd:id.
    blocks = () if message.header is None else message.header.iterchildren(BLOCK)
    for block in blocks:
        return block.findtext(_HOME, "").strip()
    return message.body.findtext(_SLOT, "").strip()


TRANSACTION = replace(
    iti41.TRANSACTION,
    number="ITI-80",
    action="urn:ihe:iti:2015:CrossGatewayDocumentProvide",
    response_action="urn:ihe:iti:2015:CrossGatewayDocumentProvideResponse",
    read=read,
    do=do,
    of_community=True,
)
