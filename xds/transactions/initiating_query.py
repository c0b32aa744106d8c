"""ITI-18 at the initiating gateway: one question, asked of the communities it is for (ITI TF-2 3.18, XCA).

A query about a patient goes to all communities, or to those that it names; one for objects by their ids goes
to the one that has them, which may be this one. Answers are joined in the order of the communities file, own
ones first; what cannot be had of a community is an error beside what the others have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from sqlalchemy.exc import OperationalError

from xds.access.gate import Access
from xds.audit.facts import Asked as AskedOf
from xds.audit.facts import Deed, Outcome, for_each_patient, reason_of
from xds.audit.trail import Trail
from xds.errors import DataTypeError, RegistryError, RegistryFailure
from xds.gateway.answers import Handed, Listed
from xds.gateway.initiating import InitiatingGateway
from xds.gateway.remote import Pending, RemoteGateway, Reply, Request
from xds.gateway.rules import broken, unknown
from xds.gateway.tickets import assertion_of
from xds.metadata import names
from xds.metadata.datatypes import CX, bare_oid
from xds.metadata.requests import adhoc_query_request
from xds.registry.queries import PATIENT_QUERIES, STORED_QUERIES
from xds.registry.queries.parameters import values
from xds.registry.registry import Found, StoredQuery
from xds.store.trouble import DatabaseBusy, is_busy
from xds.transactions import iti18_registry_stored_query as iti18
from xds.transactions import rules
from xds.transactions.responses import adhoc_query_response, of_community
from xds.transactions.transaction import Body, Node, log_refusal
from xds.transport.message import Message, Text

#: Which communities a patient's query is for; it is for this gateway and does not go on.
TARGETS: Final = "$targetCommunityIdList"


@dataclass(frozen=True, slots=True)
class Question:
    """A query for other communities: the ticket that goes with it, and the communities and patients that it
    names (CX texts).
    """

    asked: iti18.Asked
    assertion: bytes
    homes: tuple[str, ...]
    patients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """What all communities said; `batches` is None when none of them has answered the question."""

    batches: Iterator[Sequence[bytes]] | None
    errors: tuple[RegistryError, ...]
    status: str
    reference: str


def read(node: Node, message: Message) -> Question:
    """The query, and the communities that it names. Raises RegistryFailure."""
    asked = iti18.read(node, message)
    query = asked.query
    targets = _targets_of(query)
    if query.home and targets:
        raise RegistryFailure(broken("community-once", "AdhocQuery/home"))
    homes = tuple(dict.fromkeys(targets or ([query.home] if query.home else [])))
    if query.id not in STORED_QUERIES:
        raise RegistryFailure(broken("community-query-known", "AdhocQuery/id"))
    patients = _patients_of(query)
    if not patients and len(homes) != 1:
        raise RegistryFailure(broken("community-named", "AdhocQuery/home"))
    return Question(asked, assertion_of(message), homes, patients)


def _targets_of(query: StoredQuery) -> list[str]:
    try:
        return [
            home
            for slot in query.parameters
            if slot.name == TARGETS
            for text in slot.values
            for home in values(text)
        ]
    except DataTypeError:
        raise RegistryFailure(broken("community-listed", TARGETS)) from None


def _patients_of(query: StoredQuery) -> tuple[str, ...]:
    """Whom a query names (CX texts); nobody when it is for objects by their ids.

    What we cannot read of it, or do not look at, another may read as somebody else. Raises RegistryFailure.
    """
    own = PATIENT_QUERIES.get(query.id)
    found: list[str] = []
    for slot in query.parameters:
        if slot.name == own:
            with suppress(DataTypeError):
                found += [str(CX.parse(each)) for text in slot.values for each in values(text)]
                continue
        elif "patient" not in slot.name.lower():
            continue
        raise RegistryFailure(broken("community-patient", "AdhocQuery/Slot"))
    patients = tuple(dict.fromkeys(found))
    if own and len(patients) != 1:
        raise RegistryFailure(broken("community-patient", own))
    return patients


def do(node: Node, request: Question, access: Access, trail: Trail) -> Joined:
    """Ask everybody at the same time; nothing is shown before it is on record who was asked for what."""
    assert node.gateway is not None
    access.check_patients(request.patients, "AdhocQuery")
    targets = _targets(node, node.gateway, request.homes)
    with node.gateway.admitted("ITI-18"):
        pending = _ask(node.gateway, request, targets.gateways, trail)
        own = _own(node, request.asked, access) if targets.own else None
        replies = [each.reply() for each in pending]
    joined = _join(targets.errors, own, replies, request.asked.reference)
    if joined.errors:
        log_refusal(request.asked.reference, "ITI-18", joined.errors)
    trail.seen(*_deeds(own, replies, joined, trail))
    return joined


@dataclass(frozen=True, slots=True)
class _Targets:
    own: bool
    gateways: tuple[RemoteGateway, ...]
    errors: tuple[RegistryError, ...]


def _targets(node: Node, gateway: InitiatingGateway, homes: Sequence[str]) -> _Targets:
    """Who is asked, in the order of the file; and an error for each whom nobody knows."""
    gateways = gateway.gateways  # once: the file may change meanwhile
    if not homes:
        return _Targets(gateway.joins_own, gateways, ())
    own = any(map(node.registry.options.is_home, homes))
    wanted = {bare_oid(home): home for home in homes if not node.registry.options.is_home(home)}
    known = tuple(each for each in gateways if each.community.home in wanted)
    strangers = wanted.keys() - {each.community.home for each in known}
    errors = (unknown(home) for oid, home in wanted.items() if oid in strangers)
    return _Targets(own, known, tuple(errors))


def _ask(
    gateway: InitiatingGateway, request: Question, gateways: Sequence[RemoteGateway], trail: Trail
) -> list[Pending[Listed]]:
    deadline = gateway.query_deadline()
    query = request.asked.query
    leaf = query.return_type == "LeafClass"
    # All parameters and no more: nothing goes on that nobody has looked at.
    parameters = [slot for slot in query.parameters if slot.name != TARGETS]
    pending: list[Pending[Listed]] = []
    for each in gateways:
        community = each.community
        if community.queries and query.id not in community.queries:
            # By ids there is nothing else to say; of a patient the others have their part.
            error = broken("community-query", community.urn, warning=bool(request.patients))
            pending.append(each.not_asked(error))
            continue
        body = adhoc_query_request(query.id, parameters, return_type=query.return_type, home=community.urn)
        sent = Request(body, request.assertion, trail.onward(community.urn), deadline)
        pending.append(each.query(sent, leaf=leaf))
    return pending


def _own(node: Node, asked: iti18.Asked, access: Access) -> Found | RegistryFailure:
    """What this community's registry has, or why it says nothing."""
    home = node.registry.options.home_urn
    try:
        found = node.registry.query(asked.query, access.visibility, home, replica=True)
    except (RegistryFailure, OperationalError, DatabaseBusy) as error:
        return RegistryFailure(*own_errors(error, home, "ITI-18"))
    return replace(found, warnings=of_community(found.warnings, home))


def own_errors(error: Exception, home: str, transaction: str) -> tuple[RegistryError, ...]:
    """What this community says in the place of an answer; what others have is told beside it.

    Raises an error that is neither a refusal nor a busy database.
    """
    if isinstance(error, RegistryFailure):
        return of_community(error.errors, home)
    if not is_busy(error):
        raise error
    return of_community([rules.broken("node-busy", transaction=transaction)], home)


def _join(
    errors: Sequence[RegistryError],
    own: Found | RegistryFailure | None,
    replies: Sequence[Reply[Listed]],
    reference: str,
) -> Joined:
    """All objects and all errors; Success, Failure or PartialSuccess as the communities agree or not."""
    batches: list[Iterator[Sequence[bytes]]] = []
    told = list(errors)
    succeeded, failed = False, bool(errors)
    if isinstance(own, Found):
        batches.append(iter(own.elements))
        told += own.warnings
        succeeded, failed = True, failed or bool(own.warnings)
    elif own is not None:
        told += own.errors
        failed = True
    for each in replies:
        if each.answer is None:
            assert each.error is not None
            told.append(each.error)
            failed = True
        else:
            told += each.answer.errors
            batches.append(iter((each.answer.objects,)))
            wrong = any(not error.warning for error in each.answer.errors)
            succeeded = succeeded or each.answer.status != names.FAILURE
            failed = failed or wrong or each.answer.status != names.SUCCESS
    status = names.FAILURE if not succeeded else names.PARTIAL_SUCCESS if failed else names.SUCCESS
    return Joined(chain(*batches) if succeeded else None, tuple(told), status, reference)


def _deeds(
    own: Found | RegistryFailure | None,
    replies: Sequence[Reply[Listed]],
    joined: Joined,
    trail: Trail,
) -> Iterator[Deed]:
    """What was asked of us, and of it what we asked of each community (ITI TF-2 3.18.5, 3.38.5)."""
    patients = trail.patients
    if isinstance(own, Found):
        yield from iti18.deeds(replace(own, warnings=()), patients)
    elif joined.status != names.FAILURE:
        objects = sum(len(each.answer.objects) for each in replies if each.answer is not None)
        yield from for_each_patient(Deed(objects=objects), patients)
    if joined.errors:
        wrong = Deed(outcome=Outcome.MINOR, reason=reason_of(joined.errors))
        yield from for_each_patient(wrong, patients)
    for reply in replies:
        if not reply.message_id:
            continue
        asked, answer = asked_of("ITI-38", reply), reply.answer
        errors = reply.answer.errors if reply.answer is not None else (reply.error,) if reply.error else ()
        if answer is not None and answer.status != names.FAILURE:
            seen = Deed(asked=asked, shown=answer.documents, objects=len(answer.objects))
            yield from for_each_patient(seen, patients)
        if errors:
            not_all = Deed(asked=asked, outcome=Outcome.MINOR, reason=reason_of(errors))
            yield from for_each_patient(not_all, patients)


def asked_of(number: str, reply: Reply[Listed] | Reply[Handed]) -> AskedOf:
    """A call for the access log."""
    return AskedOf(
        number=number, home=reply.gateway.community.urn, url=reply.url, message_id=reply.message_id
    )


def write(result: Joined) -> Body:
    """The joined answer; Failure has no objects."""
    text = None if result.batches is None else Text(result.batches)
    return adhoc_query_response(text, result.errors, result.reference, result.status)


#: At /xca/initiating; the registry's own is iti18_registry_stored_query.py.
TRANSACTION = replace(
    iti18.TRANSACTION,
    read=read,
    do=do,
    write=write,
    judge=lambda node, question: iti18.judge(node, question.asked),
)
