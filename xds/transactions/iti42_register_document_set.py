"""ITI-42 Register Document Set-b: a repository registers documents that it holds (ITI TF-2 3.42).

ITI-61 is the same for on-demand documents, so its module takes `read`, `do`, `write` and `refuse` from here;
all who answer with a RegistryResponse that is Success or Failure take the last two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from sqlalchemy import Connection

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Deed, Document
from xds.audit.trail import Trail
from xds.errors import RegistryError, RegistryFailure
from xds.metadata import names
from xds.metadata.datatypes import CX
from xds.metadata.ebrim import read_object_list
from xds.metadata.model import Submission
from xds.metadata.validation import check, submission
from xds.transactions import about
from xds.transactions.responses import registry_response
from xds.transactions.schema import required
from xds.transactions.transaction import Body, Node, Transaction
from xds.transport.message import Message

OBJECT_LIST = f"{{{names.RIM}}}RegistryObjectList"


@dataclass(frozen=True, slots=True)
class Register:
    """A submission that is valid by itself, what it should have said otherwise, and its reference number."""

    submission: Submission
    remarks: Remarks


@dataclass(frozen=True, slots=True)
class Remarks:
    """The warnings that go out with a Success, and the request's reference number for them."""

    warnings: tuple[RegistryError, ...]
    reference: str


def valid(errors: Sequence[RegistryError], reference: str) -> Remarks:
    """The warnings among what was found. Raises RegistryFailure with everything when there is an error."""
    if not all(each.warning for each in errors):
        raise RegistryFailure(*errors)
    return Remarks(tuple(errors), reference)


def read(node: Node, message: Message, *, transaction: Literal["ITI-42", "ITI-61"]) -> Register:
    """The submission, valid by itself. Raises RegistryFailure with all its errors."""
    objects = read_object_list(required(message.body, OBJECT_LIST))
    remarks = valid(check(objects, transaction=transaction, codes=node.codes), message.reference)
    return Register(submission(objects), remarks)


def asks(objects: Submission) -> Action:
    """A submission that changes what is there is an update (norwegian-profile 5)."""
    changes = any(each.type in _CHANGING for each in objects.associations)
    return Action.UPDATE if changes else Action.CREATE


_CHANGING: Final = frozenset({*names.REPLACEMENTS, names.XFRM, names.APND})


def do(node: Node, request: Register, access: Access, trail: Trail) -> Remarks:
    """Register it in one transaction; an identical repeat changes nothing and succeeds."""
    check_patient(request.submission, access)
    prepared = node.registry.prepare(request.submission)
    told = deed(request.submission)

    def work(connection: Connection) -> None:
        node.registry.register(connection, prepared, access.visibility)
        trail.done(connection, told)

    node.database.transact(work)
    return request.remarks


def judge(node: Node, request: Register) -> None:
    """Whether a registry could take it. Raises RegistryFailure."""
    node.registry.judge(node.registry.prepare(request.submission))


def deed(objects: Submission, changed: tuple[Document, ...] = ()) -> Deed:
    """What a submission does, for the access log; `changed` is what it changes beside what it brings."""
    the_set = objects.submission_set
    return Deed(
        patient=str(CX.parse(the_set.patient_id)),
        submission_set=the_set.unique_id,
        documents=(*about.entries(objects.document_entries), *changed),
    )


def check_patient(objects: Submission, access: Access, transaction: str = "") -> None:
    """Raises RegistryFailure when the submission is about another patient than the ticket."""
    the_set = objects.submission_set
    access.check_patients([str(CX.parse(the_set.patient_id))], f"{the_set.entry_uuid}/patientId", transaction)


def write(result: Remarks) -> Body:
    """Success, with warnings if there are any: whatever failed was raised."""
    return (registry_response(names.SUCCESS, result.warnings, result.reference),)


def written(result: Any) -> Body:
    """Success of what cannot come with warnings."""
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
    about=about.submission,
    read=partial(read, transaction="ITI-42"),
    asks=lambda request: asks(request.submission),
    do=do,
    write=write,
    refuse=refuse,
    judge=judge,
)
