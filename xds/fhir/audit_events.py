"""AuditEvent: the access log, read by patients, personnel and data controllers (ITI-81).

routes.py hands it requests that gate 1 has let in. Gate 2 says whose log, and with which documents; what is
found goes through audit/views.py, and that it was read is itself on record before it is sent. Nothing here
writes, changes or deletes an event: they come from the node's own deeds alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import falcon
import orjson

from xds.access.gate import Access
from xds.audit.event import instant, person_of
from xds.audit.facts import Deed, Query, Subject, for_each_patient
from xds.audit.search import Event, Found, Page, Scope, Search, find, read
from xds.audit.trail import Trail
from xds.audit.views import Documents, View, named, shown
from xds.errors import sender
from xds.metadata.confidentiality import Restriction
from xds.registry.objects import locate, looking_at
from xds.registry.registry import Registry
from xds.registry.sight import Sight, open_among
from xds.security.caller import Caller, CallerKind
from xds.store.database import Database

#: A search in a body; a URL is bounded by the server.
MOST_BYTES: Final = 64 * 1024
_FORM: Final = "application/x-www-form-urlencoded"
_OID: Final = "urn:oid:"
_UUID: Final = "urn:uuid:"
_KNOWN: Final = looking_at()


class NotThere(Exception):
    """No event of this id, or none that is for this reader."""


class MethodNotAllowed(Exception):
    """There is another method for it: an event is never changed or deleted."""

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed


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


class AuditEvents:
    """The resource type. `may` is gate 2: what a caller may read, or RegistryFailure; `base` is [base]."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        may: Callable[[Caller | None, Trail], Access],
        base: str,
    ) -> None:
        self._database = database
        self._registry = registry
        self._may = may
        self._address = f"{base}/AuditEvent"

    def answer(self, req: falcon.Request, rest: Sequence[str], trail: Trail) -> bytes:
        """The answer to a request for `AuditEvent/…rest`.

        Raises RegistryFailure, Unusable, NotThere, MethodNotAllowed and Fault.
        """
        trail.context.number = "ITI-81"
        posted = list(rest) == ["_search"]
        if req.method != ("POST" if posted else "GET"):
            raise MethodNotAllowed("POST" if posted else "GET")
        if len(rest) > 1:
            raise NotThere
        parameters = parse_qsl(req.query_string, keep_blank_values=True)
        if posted:
            parameters += _form(req)
        one = rest[0] if rest and not posted else ""
        text = f"{req.method} {'/'.join((self._address, *rest))}"
        if not one:
            text += f"?{urlencode(parameters)}"
        trail.context.subject = Subject(query=Query(id="", name="Security Audit Log", text=text.encode()))
        return orjson.dumps(self._one(one, trail) if one else self._page(parameters, trail))

    def _page(self, parameters: Sequence[tuple[str, str]], trail: Trail) -> dict[str, Any]:
        search = read(parameters)
        reader = reader_of(trail.context.caller, self._may(trail.context.caller, trail))
        page = self._find(search, reader)
        events = [each.event for each in page.found]
        self._tell(page.found, reader, trail)
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "type": "searchset",
            "link": self._links(parameters, page),
        }
        if events:
            bundle["entry"] = [
                {
                    "fullUrl": f"{self._address}/{each['id']}",
                    "resource": each,
                    "search": {"mode": "match"},
                }
                for each in events
            ]
        return bundle

    def _one(self, event_id: str, trail: Trail) -> Event:
        search = read([("_id", event_id)])
        reader = reader_of(trail.context.caller, self._may(trail.context.caller, trail))
        page = self._find(search, reader)
        if not page.found:
            raise NotThere
        self._tell(page.found, reader, trail)
        return page.found[0].event

    def _find(self, search: Search, reader: Reader) -> Page:
        if reader.view is View.ALL:
            return find(self._database, search, reader.scope)

        def project(events: Sequence[Event]) -> list[Event | None]:
            documents = self._documents(events, reader)
            return [shown(each, reader.view, documents, reader.own) for each in events]

        return find(self._database, search, reader.scope, project)

    def _documents(self, events: Sequence[Event], reader: Reader) -> Documents:
        """What the reader's own visibility, that of every read, says of the documents in these events."""
        visibility = reader.access.visibility
        single, listed = named(events)
        uuids = {each: _bytes(each.removeprefix(_UUID)) for each in single if each.startswith(_UUID)}
        uuids |= {each: _bytes(each) for each in listed}
        unique_ids = {each: each.removeprefix(_OID) for each in single if each not in uuids}
        sight = self._registry.sight(list(unique_ids.values()), visibility)
        owners = self._registry.owners(list(unique_ids.values()))
        asked = {uuid for uuid in uuids.values() if uuid is not None}
        with self._database.read() as connection:
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

    def _tell(self, found: Sequence[Found], reader: Reader, trail: Trail) -> None:
        """On record with each patient whose log was read."""
        pids = [each.pid for each in found if each.pid] or list(trail.patients)
        if reader.view is not View.ALL and trail.patients:
            pids = list(trail.patients)
        trail.seen(*for_each_patient(Deed(objects=len(found)), pids))

    def _links(self, parameters: Sequence[tuple[str, str]], page: Page) -> list[dict[str, str]]:
        kept = [(name, value) for name, value in parameters if name != "cursor"]
        if len(kept) == len(parameters):
            # What is written meanwhile, by reading too, is no page of this search.
            kept.append(("date", f"lt{instant(time.time_ns() // 1000)}"))
        links = [{"relation": "self", "url": f"{self._address}?{urlencode(parameters)}"}]
        if page.following is not None:
            following = urlencode([*kept, ("cursor", page.following)])
            links.append({"relation": "next", "url": f"{self._address}?{following}"})
        return links


def _bytes(digits: str) -> bytes | None:
    try:
        found = bytes.fromhex(digits.replace("-", ""))
    except ValueError:
        return None
    return found if len(found) == 16 else None


def _form(req: falcon.Request) -> list[tuple[str, str]]:
    if (req.content_type or "").partition(";")[0].strip().lower() != _FORM:
        raise sender(f"A search in a body has the Content-Type {_FORM}.")
    if (req.content_length or 0) > MOST_BYTES:
        raise sender("The search is too long.")
    data = req.bounded_stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise sender("The search is too long.")
    try:
        return parse_qsl(data.decode("ascii"), keep_blank_values=True)
    except ValueError:
        raise sender("The search is not a form.") from None
