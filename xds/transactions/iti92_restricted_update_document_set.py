"""ITI-92 Restricted Update Document Set: new versions of document entries of this community (RMU, XDS
Persistence option).
"""

from __future__ import annotations

from functools import partial

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.trail import Trail
from xds.errors import RegistryFailure
from xds.metadata import names
from xds.registry.update_rules import broken
from xds.transactions import iti42_register_document_set as iti42
from xds.transactions import iti57_update_document_set as iti57
from xds.transactions.transaction import Node, Transaction, always


def do(node: Node, request: iti57.Requested, access: Access, trail: Trail) -> iti42.Remarks:
    """Carry it out in one transaction, when it is meant for this community; it is not forwarded."""
    _check_home(node, request)
    return iti57.do(node, request, access, trail)


def judge(node: Node, request: iti57.Requested) -> None:
    """Whether this community could take it. Raises RegistryFailure."""
    _check_home(node, request)
    iti57.judge(node, request)


def _check_home(node: Node, request: iti57.Requested) -> None:
    the_set = request.update.content.submission_set
    if not node.registry.options.is_home(the_set.home or ""):
        raise RegistryFailure(broken("restricted-home", f"{the_set.entry_uuid}/homeCommunityId"))


TRANSACTION = Transaction(
    number="ITI-92",
    action="urn:ihe:iti:2018:RestrictedUpdateDocumentSet",
    response_action="urn:ihe:iti:2018:RestrictedUpdateDocumentSetResponse",
    element=f"{{{names.LCM}}}SubmitObjectsRequest",
    streams=False,
    fails_softly=True,
    about=iti42.TRANSACTION.about,
    read=partial(iti57.read, transaction="ITI-92"),
    asks=always(Action.UPDATE),
    do=do,
    write=iti42.write,
    refuse=iti42.refuse,
    judge=judge,
)
