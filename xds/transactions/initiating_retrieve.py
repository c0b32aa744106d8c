"""ITI-43 at the initiating gateway: documents of several communities, in one answer (ITI TF-2 3.43, XCA).

Each document is asked of the community that its request names, all communities at the same time; own ones
come from this repository. Documents go through files, never through memory, and out as they came in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy.exc import OperationalError

from xds.access.gate import Access
from xds.audit.facts import Deed, Outcome, reason_of
from xds.audit.trail import Trail
from xds.errors import RegistryError, RegistryFailure
from xds.gateway.answers import Handed, Returned
from xds.gateway.initiating import InitiatingGateway
from xds.gateway.remote import Pending, RemoteGateway, Reply, Request
from xds.gateway.rules import broken, unknown
from xds.gateway.tickets import assertion_of
from xds.metadata.datatypes import bare_oid
from xds.metadata.requests import retrieve_document_set_request
from xds.store.trouble import DatabaseBusy
from xds.transactions import iti43_retrieve_document_set as iti43
from xds.transactions import rules
from xds.transactions.initiating_query import asked_of, own_errors
from xds.transactions.iti43_retrieve_document_set import Content, DocumentRequest
from xds.transactions.responses import of_community
from xds.transactions.transaction import Node, log_refusal
from xds.transport.message import Attachment, Message


@dataclass(frozen=True, slots=True)
class Retrieve:
    """The documents asked for, and the ticket with which other communities are asked."""

    asked: iti43.Retrieve
    assertion: bytes


def read(node: Node, message: Message) -> Retrieve:
    """The requests in order."""
    return Retrieve(iti43.read(node, message), assertion_of(message))


def do(node: Node, request: Retrieve, access: Access, trail: Trail) -> iti43.Retrieved:
    """Fetch from everybody at the same time; nothing is shown before it is on record who handed out what."""
    assert node.gateway is not None
    requests = request.asked.requests
    if len(requests) > node.limits.parts:
        raise RegistryFailure(rules.broken("retrieve-number"))
    with node.gateway.admitted("ITI-43"):
        return _retrieved(node, node.gateway, request, access, trail)


def _retrieved(
    node: Node, gateway: InitiatingGateway, request: Retrieve, access: Access, trail: Trail
) -> iti43.Retrieved:
    requests = request.asked.requests
    homes = [each.home or "" for each in requests]
    gateways = {home: gateway.get(home) for home in dict.fromkeys(homes) if home}
    outcomes: _Outcomes = dict(_misaddressed(node, requests, gateways))
    pending = _ask(gateway, request, outcomes, gateways, trail)
    own = [number for number, home in enumerate(homes) if node.registry.options.is_home(home)]
    outcomes |= _own(node, request, own, access)
    errors = {number: [each] for number, each in outcomes.items() if isinstance(each, RegistryError)}
    replies: list[tuple[Reply[Handed], Sequence[int]]] = []
    for call, numbers in pending:
        reply = call.reply()
        replies.append((reply, numbers))
        outcomes |= _handed(reply, [requests[number] for number in numbers], numbers)
        errors[numbers[0]] = _errors(reply, [outcomes[number] for number in numbers])
    joined = [(each, outcomes[number]) for number, each in enumerate(requests)]
    documents = tuple((each, what) for each, what in joined if isinstance(what, Content))
    # One error may stand for several documents: it is told once.
    told = tuple({id(each): each for number in sorted(errors) for each in errors[number]}.values())
    if told:
        log_refusal(request.asked.reference, "ITI-43", told)
    others = {home for home in homes if not node.registry.options.is_home(home)}
    trail.seen(
        *iti43.deeds(node, joined, trail.patients, others), *_deeds(replies, requests, outcomes, trail)
    )
    return iti43.Retrieved(documents, told, request.asked.reference)


_Outcomes = dict[int, Content | RegistryError]
#: What stands between the ids in an error's text.
_WORDS: Final = re.compile(r"[\s()\[\]{}<>,;:'\"]+|\.(?=\s|$)")


def _misaddressed(
    node: Node, requests: Sequence[DocumentRequest], gateways: Mapping[str, RemoteGateway | None]
) -> Iterator[tuple[int, RegistryError]]:
    """The errors of requests that name nobody, or nobody whom we know, by the number of the request."""
    for number, each in enumerate(requests):
        if not each.home:
            yield number, broken("community-of-document", f"{each.place}/HomeCommunityId")
        elif gateways[each.home] is None and not node.registry.options.is_home(each.home):
            yield number, unknown(each.home, each.place)


def _ask(
    gateway: InitiatingGateway,
    request: Retrieve,
    settled: _Outcomes,
    gateways: Mapping[str, RemoteGateway | None],
    trail: Trail,
) -> list[tuple[Pending[Handed], list[int]]]:
    """One call for each community, with the numbers of the requests that are in it."""
    wanted: dict[RemoteGateway, list[int]] = {}
    for number, each in enumerate(request.asked.requests):
        found = gateways.get(each.home or "")
        if found is not None and number not in settled:
            wanted.setdefault(found, []).append(number)
    deadline = gateway.retrieve_deadline()
    pending = []
    for found, numbers in wanted.items():
        asked = (request.asked.requests[number] for number in numbers)
        body = retrieve_document_set_request(
            (found.community.urn, each.repository_unique_id, each.document_unique_id) for each in asked
        )
        sent = Request(body, request.assertion, trail.onward(found.community.urn), deadline)
        call = found.retrieve(sent)
        request.asked.adopt(call)  # whatever becomes of us, its documents are removed at the end
        pending.append((call, numbers))
    return pending


def _own(node: Node, request: Retrieve, numbers: Sequence[int], access: Access) -> _Outcomes:
    """What of this community's own documents goes out; its errors name it."""
    if not numbers:
        return {}
    home = node.registry.options.home_urn
    requests = tuple(request.asked.requests[number] for number in numbers)
    try:
        found = iti43.retrieve(node, replace(request.asked, requests=requests), access)
    except (RegistryFailure, OperationalError, DatabaseBusy) as error:
        return dict.fromkeys(numbers, own_errors(error, home, "ITI-43")[0])
    return {
        number: of_community([what], home)[0] if isinstance(what, RegistryError) else what
        for number, (_, what) in zip(numbers, found, strict=True)
    }


def _key(repository: str, unique_id: str) -> tuple[str, str]:
    return bare_oid(repository), unique_id


def _handed(reply: Reply[Handed], requests: Sequence[DocumentRequest], numbers: Sequence[int]) -> _Outcomes:
    """The document of each request, or the error in its place; what nobody asked for is not passed on."""
    answer = reply.answer
    if answer is None:
        assert reply.error is not None
        return dict.fromkeys(numbers, reply.error)
    home = reply.gateway.community.urn
    returned = {_key(each.repository, each.unique_id): each for each in answer.documents}
    wrong = [error for error in answer.errors if not error.warning]
    asked = {each.document_unique_id for each in requests}
    about = [asked.intersection(_WORDS.split(error.context)) for error in wrong]
    outcomes: _Outcomes = {}
    for number, each in zip(numbers, requests, strict=True):
        found = returned.get(_key(each.repository_unique_id, each.document_unique_id))
        if found is not None:
            outcomes[number] = _content(found)
            continue
        # An error about this document, or about none: one about another says nothing of this.
        fitting = [
            error
            for error, ids in sorted(zip(wrong, about, strict=True), key=lambda pair: not pair[1])
            if not ids or each.document_unique_id in ids
        ]
        outcomes[number] = (
            fitting[0] if fitting else broken("community-document", home, f"({each.document_unique_id})")
        )
    return outcomes


def _content(returned: Returned) -> Content:
    staged = returned.staged
    return Content(
        Attachment(returned.mime_type, staged.size, staged.chunks),
        returned.new_unique_id,
        returned.new_repository,
    )


def _errors(reply: Reply[Handed], outcomes: Sequence[Content | RegistryError]) -> list[RegistryError]:
    """What a community says went wrong, in its words; and what it does not say."""
    if reply.answer is None:
        return [reply.error] if reply.error is not None else []
    told = list(reply.answer.errors)
    said = set(map(id, told))
    return told + [each for each in outcomes if isinstance(each, RegistryError) and id(each) not in said]


def _deeds(
    replies: Sequence[tuple[Reply[Handed], Sequence[int]]],
    requests: Sequence[DocumentRequest],
    outcomes: _Outcomes,
    trail: Trail,
) -> Iterator[Deed]:
    """Of what was handed out, what came of each community, and what did not (ITI TF-2 3.39.5)."""
    patient = "".join(trail.patients[:1])
    for reply, numbers in replies:
        if not reply.message_id:
            continue
        asked = asked_of("ITI-39", reply)
        came = [number for number in numbers if isinstance(outcomes[number], Content)]
        left = [number for number in numbers if number not in came]
        if came:
            documents = tuple(iti43.named(requests[number]) for number in came)
            yield Deed(patient=patient, asked=asked, documents=documents)
        if left:
            yield Deed(
                patient=patient,
                asked=asked,
                outcome=Outcome.MINOR,
                reason=reason_of(
                    [each for number in left if isinstance(each := outcomes[number], RegistryError)]
                ),
                documents=tuple(iti43.named(requests[number]) for number in left),
            )


#: At /xca/initiating; the repository's own is iti43_retrieve_document_set.py.
TRANSACTION = replace(
    iti43.TRANSACTION,
    read=read,
    do=do,
    judge=lambda node, request: iti43.judge(node, replace(request.asked, named=True)),
)
