"""List: submission sets and folders, found (ITI-66) and read.

Both are searched in the registry with the caller's visibility; their entries are the members that the caller
sees. A deprecated folder is `retired`, which is what R4 has in the place of superseded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from xds.access.gate import Access
from xds.audit.trail import Trail
from xds.fhir import bundles, mapping
from xds.fhir import parameters as p
from xds.fhir.document_references import (
    by_id,
    check_communities,
    found_and_read,
    not_there,
    seen,
    version_headers,
)
from xds.fhir.interaction import Answer, Json, Request
from xds.fhir.mapping import FOLDER, LIST_TYPES, SUBMISSION_SET, Relation, resource_id
from xds.fhir.outcomes import Issue, Refused
from xds.fhir.parameters import Given, Parameter
from xds.metadata import names
from xds.metadata.entries import folder, submission_set
from xds.registry.registry import Listed, Page
from xds.registry.search import Search, Term
from xds.registry.view import Visibility
from xds.store import schema
from xds.store.keys import uuid_urn
from xds.transactions.transaction import Node

_R4: Final = "http://hl7.org/fhir/SearchParameter/"
_MHD: Final = "https://profiles.ihe.net/ITI/MHD/SearchParameter/"
_KINDS: Final = {SUBMISSION_SET: schema.KIND_SUBMISSION_SET, FOLDER: schema.KIND_FOLDER}
_CODE: Final = frozenset(("not",))
_TEXT: Final = frozenset(("exact", "contains"))
#: MHD's ITI-66 names the deprecated as a document's status does.
_status: Final = p.status_of(
    {names.APPROVED: ("current",), names.DEPRECATED: ("retired", "superseded")}, ("entered-in-error",)
)


PARAMETERS: Final[dict[str, Parameter]] = {
    each.name: each
    for each in (
        Parameter("_id", "token", "_id", p.resource_id, definition=f"{_R4}Resource-id"),
        Parameter("_lastUpdated", "date", "_lastUpdated", p.moment(p.as_key)),
        Parameter("patient", "reference", definition=f"{_R4}clinical-patient"),
        Parameter("patient.identifier", "token"),
        Parameter("code", "token", definition=f"{_R4}clinical-code"),
        Parameter("status", "token", "status", _status, _CODE, f"{_R4}List-status"),
        Parameter("identifier", "token", "identifier", p.any_id, definition=f"{_R4}clinical-identifier"),
        Parameter("date", "date", "date", p.moment(p.as_dtm), definition=f"{_R4}clinical-date"),
        Parameter(
            "designationType", "token", "designationType", p.token, _CODE, f"{_MHD}List-DesignationType"
        ),
        Parameter("sourceId", "token", "sourceId", p.source_id, definition=f"{_MHD}List-SourceId"),
        Parameter("source.given", "string", "source.given", p.text, _TEXT),
        Parameter("source.family", "string", "source.family", p.text, _TEXT),
        Parameter("targetCommunityIdList", "uri", definition=f"{_MHD}IHE-TargetCommunityIdList"),
    )
}
#: What a folder does not have: of one, MHD has it that these are passed over.
_OF_SETS: Final = ("sourceId", "source.")


def _kinds(given: Given) -> Sequence[int]:
    """The kinds of object that a search is for; one when there is none, and nothing of it fits."""
    found = _coded(given)
    return [kind for kind in _KINDS.values() if kind in found] or [schema.KIND_SUBMISSION_SET]


def _coded(given: Given) -> set[int]:
    if "code" not in given.others:
        return set(_KINDS.values())
    codes = map(p.halves, given.others["code"])
    return {_KINDS[code] for system, code in codes if code in _KINDS and system in (None, LIST_TYPES)}


def read_search(node: Node, request: Request) -> bundles.Asked:
    """What a search asks; one by patient says which kind of List it is for."""
    found = bundles.asked(node, request, PARAMETERS, _kinds, ("identifier", "_id"))
    check_communities(node, found.given)
    given = found.given
    if (
        given.pid
        and "code" not in given.others
        and not any(each.filter in ("identifier", "_id") for each in given.terms)
    ):
        raise Refused(400, Issue("required", f"code is {SUBMISSION_SET} or {FOLDER}."))
    if not _coded(given):
        # No List has another code: the search goes on, and nothing can fit it.
        found = replace(found, searches=tuple(replace(each, terms=(_NEVER,)) for each in found.searches))
    return replace(
        found,
        searches=tuple(
            replace(each, terms=tuple(t for t in each.terms if not t.filter.startswith(_OF_SETS)))
            if each.kind == schema.KIND_FOLDER
            else each
            for each in found.searches
        ),
    )


_NEVER: Final = Term("_id", ("",))


def search(node: Node, asked: bundles.Asked, access: Access, trail: Trail) -> Answer:
    """A page of Lists, of one kind or both."""
    access.check_patients([asked.pid] if asked.pid else (), "patient")
    pages = _pages(node, asked.searches, access.visibility)
    found = [
        (hit.key, number, resource)
        for number, (each, page) in enumerate(pages)
        for hit, resource in zip(
            page.hits, lists(node, each.kind, page, access.visibility, asked.request), strict=True
        )
    ]
    found.sort(key=lambda each: (-each[0] if asked.searches[0].newest_first else each[0], each[1]))
    totals = [page.total for _, page in pages if page.total is not None]
    whole = Page(
        hits=tuple(hit for _, page in pages for hit in page.hits),
        elements=iter(()),
        more=any(page.more for _, page in pages),
        last=found[-1][0] if found else None,
        total=sum(totals) if totals else None,
        listed=_together([listed for _, page in pages for listed in page.listed]),
    )
    seen(whole, trail)
    at = found[-1][1] if found else 0
    return Answer(bundles.searchset(asked, whole, [each for _, _, each in found], at))


def _pages(node: Node, searches: Sequence[Search], visibility: Visibility) -> Sequence[tuple[Search, Page]]:
    """A page of each search, which together are one page: what does not fit is left for the next."""
    pages = [node.registry.search(each, visibility, replica=True) for each in searches]
    size = searches[0].size
    if sum(len(page.hits) for page in pages) > size:
        keys = [(hit.key, number) for number, page in enumerate(pages) for hit in page.hits]
        keys.sort(key=lambda each: (-each[0] if searches[0].newest_first else each[0], each[1]))
        for number, each in enumerate(searches):
            fitting = sum(own == number for _, own in keys[:size])
            total = pages[number].total
            own = node.registry.search(replace(each, size=fitting, counted=0), visibility, replica=True)
            pages[number] = replace(own, total=total)
    return list(zip(searches, pages, strict=True))


def _together(listed: Sequence[Listed]) -> tuple[Listed, ...]:
    found: dict[str, Listed] = {}
    for each in listed:
        before = found.get(each.pid)
        found[each.pid] = replace(each, objects=each.objects + before.objects) if before else each
    return tuple(found.values())


def lists(node: Node, kind: int, page: Page, visibility: Visibility, request: Request) -> list[Json]:
    """The resources of a page of one kind."""
    members: dict[bytes, list[Relation]] = {}
    for link in node.registry.links([each.entry_uuid for each in page.hits], (names.HAS_MEMBER,), visibility):
        of = "List" if link.target_kind == schema.KIND_FOLDER else "DocumentReference"
        members.setdefault(link.source, []).append(Relation(of, resource_id(uuid_urn(link.logical))))
    found = []
    for each, hit in bundles.objects_of(page):
        # A document that has versions is a member with each, and one entry.
        of_it = bundles.registered(hit, tuple(dict.fromkeys(members.get(hit.entry_uuid, ()))))
        found.append(
            mapping.set_list(submission_set(each), of_it, request.place)
            if kind == schema.KIND_SUBMISSION_SET
            else mapping.folder_list(folder(each), of_it, request.place)
        )
    return found


def one(node: Node, request: Request, access: Access, trail: Trail) -> Answer:
    """The List of an id."""
    for kind in _KINDS.values():
        page = node.registry.search(by_id(kind, request.ids[0]), access.visibility)
        if page.hits:
            (resource,) = lists(node, kind, page, access.visibility, request)
            seen(page, trail)
            return Answer(resource, headers=version_headers(resource))
    raise not_there()


INTERACTIONS: Final = found_and_read("ITI-66", "List", read_search, search, one)
