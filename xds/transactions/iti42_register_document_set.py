"""ITI-42 Register Document Set-b: a repository registers documents that it holds (ITI TF-2 3.42).

ITI-61 is the same for on-demand documents, so its module takes `read`, `do`, `write` and `refuse` from here;
all who answer with a RegistryResponse that is Success or Failure take the last two.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from xds.errors import RegistryError, RegistryFailure
from xds.metadata import names
from xds.metadata.ebrim import read_object_list
from xds.metadata.model import Submission
from xds.metadata.validation import check, submission
from xds.transactions.responses import registry_response
from xds.transactions.schema import required
from xds.transactions.transaction import Body, Node, Transaction
from xds.transport.message import Message

OBJECT_LIST = f"{{{names.RIM}}}RegistryObjectList"


def read(message: Message, *, transaction: Literal["ITI-42", "ITI-61"]) -> Submission:
    """The submission, valid by itself. Raises RegistryFailure with all its errors."""
    objects = read_object_list(required(message.body, OBJECT_LIST))
    errors = check(objects, transaction=transaction)
    if errors:
        raise RegistryFailure(*errors)
    return submission(objects)


def do(node: Node, request: Submission) -> None:
    """Register it in one transaction; an identical repeat changes nothing and succeeds."""
    prepared = node.registry.prepare(request)
    node.database.transact(lambda connection: node.registry.register(connection, prepared))


def write(result: Any) -> Body:
    """Success: whatever failed was raised."""
    return (registry_response(names.SUCCESS),)


def refuse(errors: Sequence[RegistryError], reference: str) -> Body:
    """Failure: nothing was changed (ITI TF-2 3.42.4.1.3: there is no partial success)."""
    return (registry_response(names.FAILURE, errors, reference),)


TRANSACTION = Transaction(
    number="ITI-42",
    action="urn:ihe:iti:2007:RegisterDocumentSet-b",
    response_action="urn:ihe:iti:2007:RegisterDocumentSet-bResponse",
    element=f"{{{names.LCM}}}SubmitObjectsRequest",
    streams=False,
    fails_softly=True,
    read=partial(read, transaction="ITI-42"),
    do=do,
    write=write,
    refuse=refuse,
)
