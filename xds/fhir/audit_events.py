"""AuditEvent: the access log, read by patients, personnel and data controllers (ITI-81).

Gate 2 says whose log, and with which documents; what is found goes through audit/views.py, and that it was
read is itself on record before it is sent. Nothing here
writes, changes or deletes an event: they come from the node's own deeds alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.event import instant, person_of
from xds.audit.facts import Deed, Query, Subject, for_each_patient
from xds.audit.search import Event, Found, Page, Scope, Search, Unusable, find, is_known, read
from xds.audit.store import newest
from xds.audit.trail import Trail
from xds.audit.views import Documents, View, named, shown
from xds.fhir.interaction import Answer, Interaction, Request
from xds.fhir.outcomes import Issue, Refused
from xds.metadata.confidentiality import Restriction
from xds.registry.objects import locate, looking_at
from xds.registry.sight import Sight, open_among
from xds.security.caller import Caller, CallerKind
from xds.transactions.transaction import Node, always

_OID: Final = "urn:oid:"
_UUID: Final = "urn:uuid:"
_KNOWN: Final = looking_at()


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose eyes, and what gate 2 has said of them."""

    view: View
    scope: Scope
    access: Access
    own: tuple[str, ...] = ()


def reader_of(caller: Caller | None, access: Access) -> Reader:
    """What an access that gate 2 has given lets somebody read."""
    if access.pids is None:
        return Reader(View.ALL, Scope(), access)
    assert caller is not None
    pids = access.pids
    if access.decision is not None and access.decision.all_refused:
        pids = frozenset()  # nothing of the record is shown, so not who read it either
    own = tuple(pid.partition("^")[0] for pid in access.pids)
    if caller.kind in (CallerKind.CITIZEN, CallerKind.REPRESENTATIVE):
        view = View.PATIENT if caller.kind is CallerKind.CITIZEN else View.REPRESENTATIVE
        return Reader(view, Scope(pids), access, own)
    return Reader(View.OWN, Scope(pids, person_of(caller)), access, own)


@dataclass(frozen=True, slots=True)
class Asked:
    """A search of the log; `one`: by the id of an event, which must be there."""

    search: Search
    parameters: Sequence[tuple[str, str]]
    one: bool
    address: str


def read_search(node: Node, request: Request) -> Asked:
    """What a search asks; what is not known is passed over, or refused when the client wants it strict.

    Raises Refused.
    """
    used = [each for each in request.parameters if each[0] in _OF_ANSWERS or is_known(each[0])]
    strict = "handling=strict" in request.headers.get("prefer", "").replace(" ", "")
    if strict and len(used) < len(request.parameters):
        text = "The search has a parameter that is not known here: [base]/metadata names them all."
        raise Refused(400, Issue("not-supported", text))
    return Asked(_read(request.parameters), used, False, f"{request.place.base}/AuditEvent")


def read_one(node: Node, request: Request) -> Asked:
    """The search for one event."""
    (own,) = request.ids
    return Asked(_read([("_id", own)]), (), True, f"{request.place.base}/AuditEvent")


def _read(parameters: Sequence[tuple[str, str]]) -> Search:
    try:
        return read([each for each in parameters if each[0] not in _OF_ANSWERS])
    except Unusable as error:
        names = " ".join(sorted({each.parameter for each in error.problems}))
        raise Refused(400, Issue("invalid", str(error)), reason=f"cannot be read: {names}") from None


#: Parameters of the answer's form, which routes.py has read.
_OF_ANSWERS: Final = frozenset(("_format", "_pretty"))


def answer(node: Node, asked: Asked, access: Access, trail: Trail) -> Answer:
    """The event, or a page of them."""
    reader = reader_of(trail.context.caller, access)
    page = _find(node, asked.search, reader)
    if asked.one and not page.found:
        raise Refused(
            404, Issue("not-found", "There is nothing of this id for you here."), reason="not-found"
        )
    links = _links(node, asked, page)  # as it is before this reading is on record
    _tell(page.found, reader, trail)
    events = [each.event for each in page.found]
    if asked.one:
        return Answer(events[0])
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": links,
    }
    if events:
        bundle["entry"] = [
            {
                "fullUrl": f"{asked.address}/{each['id']}",
                "resource": each,
                "search": {"mode": "match"},
            }
            for each in events
        ]
    return Answer(bundle)


def _find(node: Node, search: Search, reader: Reader) -> Page:
    if reader.view is View.ALL:
        return find(node.database, search, reader.scope)

    def project(events: Sequence[Event]) -> list[Event | None]:
        documents = _documents(node, events, reader)
        return [shown(each, reader.view, documents, reader.own) for each in events]

    return find(node.database, search, reader.scope, project)


def _documents(node: Node, events: Sequence[Event], reader: Reader) -> Documents:
    """What the reader's own visibility, that of every read, says of the documents in these events."""
    visibility = reader.access.visibility
    single, listed = named(events)
    uuids = {each: _bytes(each.removeprefix(_UUID)) for each in single if each.startswith(_UUID)}
    uuids |= {each: _bytes(each) for each in listed}
    unique_ids = {each: each.removeprefix(_OID) for each in single if each not in uuids}
    sight = node.registry.sight(list(unique_ids.values()), visibility)
    owners = node.registry.owners(list(unique_ids.values()))
    asked = {uuid for uuid in uuids.values() if uuid is not None}
    with node.database.read() as connection:
        opened = open_among(connection, visibility, asked)
        known = locate(connection, _KNOWN, asked).keys()
    rule = reader.access.decision.rule if reader.access.decision is not None else None
    return Documents(
        opened=frozenset(
            {each for each, own in unique_ids.items() if sight[own] is Sight.OPEN and own in owners}
            | {each for each, own in uuids.items() if own in opened and own in known}
        ),
        known=frozenset(
            {each for each, own in unique_ids.items() if own in owners}
            | {each for each, own in uuids.items() if own in known}
        ),
        hidden=Restriction(0) if rule is None else rule.hides | rule.hides_all | rule.delays | rule.masks,
    )


def _tell(found: Sequence[Found], reader: Reader, trail: Trail) -> None:
    """On record with each patient whose log was read."""
    pids = [each.pid for each in found if each.pid] or list(trail.patients)
    if reader.view is not View.ALL and trail.patients:
        pids = list(trail.patients)
    trail.seen(*for_each_patient(Deed(objects=len(found)), pids))


def _links(node: Node, asked: Asked, page: Page) -> list[dict[str, str]]:
    parameters = asked.parameters
    kept = [(name, value) for name, value in parameters if name != "cursor"]
    links = [{"relation": "self", "url": f"{asked.address}?{urlencode(parameters)}"}]
    if page.following is not None:
        if len(kept) == len(parameters):
            # What is written meanwhile, by reading too, is no page of this search. The clock would not do:
            # where it was put back, events of a moment ago are ahead of it.
            with node.database.read() as connection:
                kept.append(("date", f"le{instant(newest(connection))}"))
        following = urlencode([*kept, ("cursor", page.following)])
        links.append({"relation": "next", "url": f"{asked.address}?{following}"})
    return links


def _bytes(digits: str) -> bytes | None:
    try:
        found = bytes.fromhex(digits.replace("-", ""))
    except ValueError:
        return None
    return found if len(found) == 16 else None


def _about(request: Request) -> Subject:
    text = f"{request.method} {request.url}"
    if not request.ids:
        text += f"?{urlencode(request.parameters)}"
    return Subject(query=Query(id="", name="Security Audit Log", text=text.encode()))


INTERACTIONS: Final = tuple(
    Interaction(
        number="ITI-81",
        method=method,
        path=path,
        code=code,
        about=_about,
        read=read_,
        asks=always(Action.READ_LOG),
        do=answer,
    )
    for method, path, code, read_ in (
        ("GET", "AuditEvent", "search-type", read_search),
        ("POST", "AuditEvent/_search", "search-type", read_search),
        ("GET", "AuditEvent/{id}", "read", read_one),
    )
)
