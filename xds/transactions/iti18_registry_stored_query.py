"""ITI-18 Registry Stored Query: one of the queries of registry/queries (ITI TF-2 3.18).

ITI-51 is the same with other queries, and ITI-38 between communities, so their modules take `read`, `do`,
`write` and `refuse` from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xds.access.gate import UNASKED, Access
from xds.access.policy import Action
from xds.audit.facts import Deed, Outcome, for_each_patient, reason_of
from xds.audit.trail import Trail
from xds.errors import RegistryError
from xds.metadata import names
from xds.metadata.ebrim import read_slots
from xds.registry.registry import Found, StoredQuery, patients_asked_for
from xds.transactions import about
from xds.transactions.responses import adhoc_query_response
from xds.transactions.schema import required
from xds.transactions.transaction import Body, Node, Transaction, always
from xds.transport.message import Message, Text

_OPTION = f"{{{names.QUERY}}}ResponseOption"
_QUERY = f"{{{names.RIM}}}AdhocQuery"


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, and the request's reference number for the warnings of its answer.

    `home` is to stand on each object that is found.
    """

    query: StoredQuery
    reference: str
    home: str = ""


def read(node: Node, message: Message, multi_patient: bool = False) -> Asked:
    """The query as asked; the registry checks all of it."""
    option, query = required(message.body, _OPTION), required(message.body, _QUERY)
    return Asked(
        StoredQuery(
            query.get("id", ""),
            read_slots(query),
            option.get("returnType", "RegistryObject"),  # the schema's default, which is none of IHE's
            query.get("home", ""),
            multi_patient,
        ),
        message.reference,
    )


def do(node: Node, request: Asked, access: Access, trail: Trail) -> tuple[Found, str]:
    """What was found of what the caller may see, and the reference number."""
    for name, pids in patients_asked_for(request.query):
        access.check_patients(pids, name)
    found = node.registry.query(request.query, access.visibility, request.home, replica=True)
    trail.seen(*deeds(found, trail.patients))
    return found, request.reference


def judge(node: Node, request: Asked) -> None:
    """Whether the query can be understood. Raises RegistryFailure."""
    node.registry.understand(request.query, UNASKED.visibility)


def deeds(found: Found, asked: Sequence[str]) -> Iterator[Deed]:
    """One for each patient of whom something was found, or else who was asked for; and what was cut off."""
    deeds = [
        Deed(patient=each.pid, shown=each.shown, masked=each.masked, objects=each.objects)
        for each in found.listed
    ]
    # Of one patient, something may be found under another id: one that theirs was merged into.
    if not deeds or len(asked) > 1:
        told = {each.patient for each in deeds}
        vain = [pid for pid in asked if pid not in told]
        deeds += (
            for_each_patient(Deed(objects=0 if asked else found.objects), vain) if vain or not deeds else ()
        )
    yield from deeds
    if found.warnings:
        reason = reason_of(found.warnings)
        yield from (Deed(patient=each.patient, outcome=Outcome.MINOR, reason=reason) for each in deeds)


def write(result: tuple[Found, str]) -> Body:
    """Success, also when nothing was found (ITI TF-2 3.18.4.1.3); PartialSuccess when it is not all."""
    found, reference = result
    return adhoc_query_response(Text(found.elements), found.warnings, reference)


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
    about=about.query,
    read=read,
    asks=always(Action.READ_LIST),
    do=do,
    write=write,
    refuse=refuse,
    judge=judge,
)
