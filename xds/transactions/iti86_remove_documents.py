"""ITI-86 Remove Documents: documents by id, out of this repository and no registry (ITI TF-2 3.86).

Rows go first, in one transaction, then the bytes: a crash in between leaves bytes that nobody can see, never
a row without bytes. A document whose entry is still registered is removed too: the administrator sends both
(ITI-62), in the order that suits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Deed, Document, Outcome, reason_of
from xds.audit.trail import Trail
from xds.errors import RegistryError
from xds.metadata import names
from xds.registry.owners import Owned
from xds.registry.sight import Sight
from xds.transactions import about
from xds.transactions import iti42_register_document_set as iti42
from xds.transactions import iti43_retrieve_document_set as iti43
from xds.transactions.responses import registry_response
from xds.transactions.rules import broken
from xds.transactions.transaction import Body, Node, Transaction, always, log_refusal

log = logging.getLogger("xds")

_NUMBER: Final = "ITI-86"
_NAMESPACE: Final = "urn:ihe:iti:rmd:2017"


@dataclass(frozen=True, slots=True)
class Removed:
    """Whether anything was removed, and what was not."""

    any: bool
    errors: tuple[RegistryError, ...]
    reference: str


def do(node: Node, request: iti43.Retrieve, access: Access, trail: Trail) -> Removed:
    """Remove each document; one that cannot be has its own error and does not hinder the others."""
    repository = node.repository
    own = [r.document_unique_id for r in request.requests if r.repository_unique_id == repository.unique_id]
    sight = node.registry.sight(own, access.visibility)
    owners = node.registry.owners(own)
    own = [each for each in own if sight[each] is Sight.OPEN]

    def work(connection: Connection) -> dict[str, str]:
        gone = repository.withdraw(connection, own)
        missing = tuple(_errors(request.requests, repository.unique_id, gone.keys(), set()))
        trail.done(connection, *_deeds(request.requests, gone, owners, missing, trail.patients))
        return gone

    keys = node.database.transact(work)
    kept = set()
    for unique_id, key in keys.items():
        try:
            repository.remove([key])
        except OSError as error:
            log.error("%s %s not deleted (%s): %s", request.reference, _NUMBER, type(error).__name__, key)
            kept.add(unique_id)
    errors = tuple(_errors(request.requests, repository.unique_id, keys.keys(), kept))
    if errors:
        log_refusal(request.reference, _NUMBER, errors)
    if kept:
        told = [each for each in errors if each.rule == "remove-document-bytes"]
        left = [each for each in request.requests if each.document_unique_id in kept]
        trail.seen(*_deeds(left, {}, owners, told, trail.patients))
    return Removed(len(kept) < len(keys), errors, request.reference)


def _deeds(
    requests: Sequence[iti43.DocumentRequest],
    gone: Mapping[str, str],
    owners: Mapping[str, Owned],
    errors: Sequence[RegistryError],
    asked: Sequence[str],
) -> Iterator[Deed]:
    """The documents of each patient that are gone; and those that are not there, with why."""
    removed: dict[str, list[Document]] = {}
    left: dict[str, list[Document]] = {}
    for unique_id, repository in {r.document_unique_id: r.repository_unique_id for r in requests}.items():
        owner = owners.get(unique_id)
        pid = owner.pid if owner is not None else "".join(asked[:1])
        among = removed if unique_id in gone else left
        named = about.owned(Document(unique_id=unique_id, repository=repository), owner)
        among.setdefault(pid, []).append(named)
    for pid, some in removed.items():
        yield Deed(patient=pid, documents=tuple(some))
    for pid, some in left.items() if errors else ():
        yield Deed(patient=pid, outcome=Outcome.MINOR, reason=reason_of(errors), documents=tuple(some))


def _errors(
    requests: Sequence[iti43.DocumentRequest], own: str, found: Set[str], kept: Set[str]
) -> Iterator[RegistryError]:
    for number, each in enumerate(requests, start=1):
        where, unique_id = f"DocumentRequest[{number}]", each.document_unique_id
        if each.repository_unique_id != own:
            yield broken("remove-document-repository", f"{where}/RepositoryUniqueId")
        elif unique_id not in found:
            yield broken("remove-document-known", f"{where}/DocumentUniqueId", detail=f"({unique_id})")
        elif unique_id in kept:
            yield broken("remove-document-bytes", f"{where}/DocumentUniqueId", detail=f"({unique_id})")


def write(result: Removed) -> Body:
    """Success, Failure, or PartialSuccess when some were removed and some were not."""
    status = names.SUCCESS
    if result.errors:
        status = names.PARTIAL_SUCCESS if result.any else names.FAILURE
    return (registry_response(status, result.errors, result.reference),)


TRANSACTION = Transaction(
    number=_NUMBER,
    action="urn:ihe:iti:2017:RemoveDocuments",
    response_action="urn:ihe:iti:2017:RemoveDocumentsResponse",
    element=f"{{{_NAMESPACE}}}RemoveDocumentsRequest",
    streams=False,
    fails_softly=True,
    about=about.documents,
    read=iti43.read,
    asks=always(Action.DELETE),
    do=do,
    write=write,
    refuse=iti42.refuse,
)
