"""DocumentReference: found (ITI-67) and read. What is seen of them is what a stored query shows.

The registry is searched with the caller's visibility, as every read is; what is masked there is masked here.
Publishing, changing and removing them stand in provide.py, publish.py and changes.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Document, Subject
from xds.audit.trail import Trail
from xds.fhir import bundles, mapping
from xds.fhir import parameters as p
from xds.fhir.interaction import Answer, Interaction, Json, Request, query_text
from xds.fhir.mapping import Relation, resource_id
from xds.fhir.outcomes import Issue, Refused
from xds.fhir.parameters import Parameter
from xds.metadata.entries import document_entry
from xds.registry.registry import Found, Page
from xds.registry.search import Search, Term
from xds.registry.view import Visibility
from xds.store import schema
from xds.store.keys import uuid_urn
from xds.transactions.iti18_registry_stored_query import deeds
from xds.transactions.transaction import Node, always

KIND: Final = schema.KIND_DOCUMENT_ENTRY
#: How many blocked documents are on the page, as Norwegian clients count them.
BLOCKED: Final = "NHN-SecurityLabel-Nors-Count"
#: A patient's national number, which so stands in no URL.
PATIENT: Final = "nhn-patient-nin"

_R4: Final = "http://hl7.org/fhir/SearchParameter/"
_MHD: Final = "https://profiles.ihe.net/ITI/MHD/SearchParameter/"
_CODE: Final = frozenset(("not",))
_DATE: Final = frozenset(("missing",))
_TEXT: Final = frozenset(("exact", "contains"))


#: FHIR's other status is of nothing here.
_status: Final = p.status_of({urn: (name,) for urn, name in mapping.STATUSES.items()}, ("entered-in-error",))


def _document(name: str) -> str:
    return f"{_R4}DocumentReference-{name}"


PARAMETERS: Final[dict[str, Parameter]] = {
    each.name: each
    for each in (
        Parameter("_id", "token", "_id", p.resource_id, definition=f"{_R4}Resource-id"),
        Parameter(
            "_lastUpdated",
            "date",
            "_lastUpdated",
            p.moment(p.as_key),
            definition=f"{_R4}Resource-lastUpdated",
            documentation="When this version came; a later document that replaces it does not count.",
        ),
        Parameter("patient", "reference", definition=f"{_R4}clinical-patient"),
        Parameter("patient.identifier", "token"),
        Parameter("status", "token", "status", _status, _CODE, _document("status")),
        Parameter("identifier", "token", "identifier", p.any_id, definition=f"{_R4}clinical-identifier"),
        Parameter("date", "date", "date", p.moment(p.as_key), definition=f"{_R4}clinical-date"),
        Parameter("author.given", "string", "author.given", p.text, _TEXT),
        Parameter("author.family", "string", "author.family", p.text, _TEXT),
        Parameter("category", "token", "category", p.token, _CODE, _document("category")),
        Parameter("type", "token", "type", p.token, _CODE, f"{_R4}clinical-type"),
        Parameter("setting", "token", "setting", p.token, _CODE, _document("setting")),
        Parameter("facility", "token", "facility", p.token, _CODE, _document("facility")),
        Parameter("event", "token", "event", p.token, _CODE, _document("event")),
        Parameter("security-label", "token", "security-label", p.token, _CODE, _document("security-label")),
        Parameter("format", "token", "format", p.token, _CODE, _document("format")),
        Parameter(
            "creation", "date", "creation", p.moment(p.as_dtm), _DATE, f"{_MHD}DocumentReference-Creation"
        ),
        Parameter("period", "date", "period", p.period, _DATE, _document("period")),
        Parameter(
            "related",
            "reference",
            "related",
            p.reference_id,
            definition=_document("related"),
            documentation="By identifier: system|value.",
        ),
        Parameter("targetCommunityIdList", "uri", definition=f"{_MHD}IHE-TargetCommunityIdList"),
    )
}
_RELATIONS: Final = tuple(mapping.RELATIONS)


def read_search(node: Node, request: Request) -> bundles.Asked:
    """What a search asks."""
    found = bundles.asked(node, request, PARAMETERS, lambda given: (KIND,), ("identifier", "_id"))
    check_communities(node, found.given)
    return found


def check_communities(node: Node, given: p.Given) -> None:
    """Raises Refused for a community that is not this one: nobody else is asked over FHIR."""
    for each in given.others.get("targetCommunityIdList", ()):
        if not node.registry.options.is_home(p.plain(each)):
            raise Refused(
                400,
                Issue(
                    "value",
                    "targetCommunityIdList names a community that cannot be asked over FHIR here:"
                    " leave it out, or ask the initiating gateway.",
                    error="XDSUnknownCommunity",
                ),
            )


def search(node: Node, asked: bundles.Asked, access: Access, trail: Trail) -> Answer:
    """A page of DocumentReferences."""
    access.check_patients([asked.pid] if asked.pid else (), "patient")
    page = node.registry.search(asked.searches[0], access.visibility, replica=True)
    resources = document_references(node, page, access.visibility, asked.request)
    seen(page, trail)
    headers = {}
    if asked.request.options.counts_blocked:
        headers[BLOCKED] = str(sum(each.masked for each in page.hits))
    return Answer(bundles.searchset(asked, page, resources), headers=headers)


def seen(page: Page, trail: Trail) -> None:
    """Put on record what of each patient is on the page."""
    trail.seen(*deeds(Found(iter(()), len(page.hits), page.listed), trail.patients))


def document_references(node: Node, page: Page, visibility: Visibility, request: Request) -> list[Json]:
    """The resources of a page."""
    relations: dict[bytes, list[Relation]] = {}
    for link in node.registry.links([each.entry_uuid for each in page.hits], _RELATIONS, visibility):
        relations.setdefault(link.source, []).append(
            Relation("DocumentReference", resource_id(uuid_urn(link.logical)), link.type)
        )
    return [
        mapping.document_reference(
            document_entry(each),
            bundles.registered(hit, tuple(dict.fromkeys(relations.get(hit.entry_uuid, ())))),
            request.place,
        )
        for each, hit in bundles.objects_of(page)
    ]


def by_id(kind: int, own: str) -> Search:
    """The search for one object by the id of its resource."""
    return Search(kind=kind, terms=(Term("_id", tuple(p.resource_id(own))),), size=1)


def one(node: Node, request: Request, access: Access, trail: Trail) -> Answer:
    """The DocumentReference of an id."""
    page = node.registry.search(by_id(KIND, request.ids[0]), access.visibility)
    if not page.hits:
        raise not_there()
    (resource,) = document_references(node, page, access.visibility, request)
    seen(page, trail)
    return Answer(resource, headers=version_headers(resource))


def version_headers(resource: Json) -> dict[str, str]:
    """ETag of a resource that has versions."""
    return {"ETag": f'W/"{resource["meta"]["versionId"]}"'}


def not_there() -> Refused:
    """There is no such resource, or none that is for this caller."""
    return Refused(404, Issue("not-found", "There is nothing of this id for you here."))


def about_one(request: Request) -> Subject:
    """The object of the id, as it was asked for."""
    return Subject(documents=(Document(entry_uuid=f"urn:uuid:{request.ids[0].lower()}"),))


def named_patient(node: Node, request: Request) -> str:
    """Whom a request by id is about: the number in the header, else whose object it is."""
    if number := request.headers.get(PATIENT, ""):
        return p.patient(number, test=node.registry.options.synthetic)
    return next(iter(node.registry.owners_of_objects([f"urn:uuid:{request.ids[0]}"])), "")


def patient_of_search(node: Node, asked: bundles.Asked) -> str:
    """Whom a search is about, by parameter or header; never by what it finds, which may be hidden."""
    if asked.pid:
        return asked.pid
    number = asked.request.headers.get(PATIENT, "")
    return p.patient(number, test=node.registry.options.synthetic) if number else ""


def checked_id(node: Node, request: Request) -> Request:
    """A request by id, whose id may be that of a resource. Raises Refused."""
    check_id(request.ids[0])
    return request


def check_id(own: str) -> None:
    """Raises Refused for an id that no resource has."""
    if not names_uuid(own):
        raise not_there()


def names_uuid(own: str) -> bool:
    """Whether the text is the UUID of a resource."""
    digits = own.replace("-", "").lower()
    return len(own) == 36 and len(digits) == 32 and set(digits) <= set("0123456789abcdef")


def found_and_read(
    number: str,
    kind: str,
    read_search: Callable[[Node, Request], bundles.Asked],
    search: Callable[[Node, Any, Access, Trail], Answer],
    one: Callable[[Node, Any, Access, Trail], Answer],
) -> tuple[Interaction, ...]:
    """The interactions of a resource that is searched by GET and POST, and read by its id."""
    return (
        *(
            Interaction(
                number=number,
                method=method,
                path=path,
                code="search-type",
                about=query_text(bundles.NAMES[kind]),
                read=read_search,
                asks=always(Action.READ_LIST),
                patient=patient_of_search,
                do=search,
            )
            for method, path in (("GET", kind), ("POST", f"{kind}/_search"))
        ),
        Interaction(
            number=number,
            method="GET",
            path=f"{kind}/{{id}}",
            code="read",
            about=about_one,
            read=checked_id,
            asks=always(Action.READ_LIST),
            patient=named_patient,
            do=one,
        ),
    )


INTERACTIONS: Final = found_and_read("ITI-67", "DocumentReference", read_search, search, one)
