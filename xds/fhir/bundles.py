"""Pages of a search: the Bundle, its links, and the elements of the registry as resources.

document_references.py and lists.py search with it. A page costs what is on it: the next one is found by the
key of the last row, and more than so many matches are counted only for whoever asks for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from xds.audit.facts import Subject
from xds.fhir.cursor import PARAMETER
from xds.fhir.interaction import Json, Request, query_text
from xds.fhir.mapping import Registered, Relation, resource_id
from xds.fhir.outcomes import Issue, Refused, outcome
from xds.fhir.parameters import Given, Parameter, read
from xds.metadata import names
from xds.metadata.ebrim import read_object_list
from xds.metadata.model import RegistryObject
from xds.registry.registry import Hit, Page
from xds.registry.search import LAST, Search
from xds.store.keys import uuid_urn
from xds.transactions.transaction import Node
from xds.transport import xml

#: Resources on a page: when nothing is said, and at most.
COUNT: Final = 50
MOST: Final = 1_000
#: So far matches are counted; beyond, the total is the least that there is.
COUNTED: Final = 1_000
#: Pages by number are found by leaving rows out, which costs as much as they do.
_MOST_SKIPPED: Final = 100_000


#: What a search of a type of resource is called in the access log.
NAMES: Final = {"DocumentReference": "Find Document References", "List": "Find Document Lists"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A search as it was asked: what the registry is asked of each kind, and how the answer is written.

    `parameters` are those of the first page.
    """

    searches: tuple[Search, ...]
    given: Given
    parameters: tuple[tuple[str, str], ...]
    count_only: bool
    request: Request

    @property
    def pid(self) -> str:
        """Whom it is about (CX text), or nothing."""
        return self.searches[0].pid

    @property
    def subject(self) -> Subject:
        """For the access log: of a later page what was asked, which the request itself does not say."""
        return query_text(NAMES[self.request.kind])(replace(self.request, parameters=self.parameters))


def asked(
    node: Node,
    request: Request,
    table: Mapping[str, Parameter],
    kinds: Callable[[Given], Sequence[int]],
    needed: Sequence[str],
) -> Asked:
    """What a search asks; `needed`: one of these parameters must be there. Raises Refused.

    `kinds` says which kinds of object a search is for.
    """
    parameters = tuple(request.parameters)
    after: int | None = None
    at = 0
    sealed = [value for name, value in parameters if name == PARAMETER]
    if sealed:
        found = request.options.cursors.open(sealed[0])
        if not isinstance(found, list) or found[0] != request.path.partition("/")[0] or len(found) != 4:
            raise Refused(400, Issue("value", f"{PARAMETER} is not of this node: begin the search anew."))
        _, given_before, at, after = found
        parameters = tuple((name, value) for name, value in given_before)
    strict = "handling=strict" in request.headers.get("prefer", "").replace(" ", "")
    given = read(parameters, table, strict=strict, test=node.registry.options.synthetic)
    if not given.pid and not {name for name, _ in given.used} & set(needed):
        raise Refused(
            400, Issue("required", f"A search names one of: {', '.join(('patient.identifier', *needed))}.")
        )
    problems: list[Issue] = []
    size = _number(given, "_count", COUNT, 0, MOST, problems)
    page = _number(given, "_page", 1, 1, _MOST_SKIPPED, problems)
    skipped = (page - 1) * max(size, 1)
    if skipped > _MOST_SKIPPED:
        problems.append(Issue("too-costly", "_page leads too far: follow the links of the pages."))
    newest_first = True
    order = given.one("_sort") or "-date"
    if order.removeprefix("-") not in ("date", "_lastUpdated"):
        if strict:
            problems.append(Issue("not-supported", "_sort: by date or _lastUpdated, either way."))
        given = _without(given, "_sort")
    else:
        newest_first = order.startswith("-")
    wanted_total = given.one("_total") or "estimate"
    if wanted_total not in ("none", "estimate", "accurate"):
        problems.append(Issue("value", "_total: none, estimate or accurate."))
    summary = given.one("_summary")
    if summary not in ("", "count", "false"):
        if strict:
            problems.append(Issue("not-supported", "_summary: count or false."))
        given = _without(given, "_summary")
    count_only = summary == "count" or size == 0
    if problems:
        raise Refused(400, *problems)
    counted = 0
    if wanted_total != "none" or count_only:
        counted = LAST if wanted_total == "accurate" or count_only else COUNTED + 1
    search = Search(
        kind=0,
        pid=given.pid,
        terms=given.terms,
        newest_first=newest_first,
        skipped=0 if sealed else skipped,
        size=0 if count_only else size,
        counted=counted,
    )
    # Where objects of several kinds came at once, those of the kind before stand first.
    step = 1 if newest_first else -1
    searches = tuple(
        replace(search, kind=kind, after=None if after is None else after + step * (number > at))
        for number, kind in enumerate(kinds(given))
    )
    return Asked(searches, given, parameters, count_only, request)


def _without(given: Given, name: str) -> Given:
    used = tuple(each for each in given.used if each[0] != name)
    return replace(given, ignored=(*given.ignored, name), used=used)


def _number(given: Given, name: str, default: int, least: int, most: int, problems: list[Issue]) -> int:
    text = given.one(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < least:
        problems.append(Issue("value", f"{name} is a whole number, {least} at least."))
        return default
    return min(int(text), most)


def objects_of(page: Page) -> Iterator[tuple[RegistryObject, Hit]]:
    """The objects on a page, each with what the registry knows of it beside its element; as many are read at
    a time as the registry gives, so that a large page takes the memory of a small one.
    """
    hits = iter(page.hits)
    for pieces in page.elements:
        root = xml.parse(
            b'<rim:RegistryObjectList xmlns:rim="%b">%b</rim:RegistryObjectList>'
            % (names.RIM.encode(), b"".join(pieces))
        )
        yield from zip(read_object_list(root), hits, strict=False)


def registered(hit: Hit, links: Sequence[Relation] = ()) -> Registered:
    """As mapping.py wants it."""
    return Registered(resource_id(uuid_urn(hit.logical)), hit.version, hit.registered, links)


def searchset(asked: Asked, page: Page, resources: Sequence[Json], at: int = 0) -> Json:
    """The Bundle of a page; `at` is the number of the search that gave the last of the resources."""
    request = asked.request
    kind = request.path.partition("/")[0]
    address = f"{request.place.base}/{kind}"
    # Counted for each page anew: a cursor may be shown by somebody who may see less.
    total = page.total
    exact = asked.count_only or asked.given.one("_total") == "accurate" or (total or 0) <= COUNTED
    # What a cursor does not hold: the form of the answer is found before it is opened.
    form = [each for each in asked.given.used if each[0] in ("_format", "fhirVersion") and each[1]]
    here = [each for each in request.parameters if each[0] == PARAMETER][:1]
    used = [*here, *form] if here else [each for each in asked.given.used if each[1]]
    links = [{"relation": "self", "url": f"{address}?{urlencode(used)}"}]
    if page.more and not asked.count_only:
        sealed = request.options.cursors.seal([kind, asked.parameters, at, page.last])
        links.append({"relation": "next", "url": f"{address}?{urlencode([(PARAMETER, sealed), *form])}"})
    issues = []
    if asked.given.ignored:
        issues.append(
            Issue(
                "not-supported",
                f"Left out, as it is not known here: {', '.join(asked.given.ignored)}.",
                severity="warning",
            )
        )
    if not exact:
        issues.append(
            Issue(
                "informational",
                f"There are more than {COUNTED} matches, and total is the least: _total=accurate counts.",
                severity="information",
            )
        )
    entries: list[Json] = [
        {
            "fullUrl": f"{request.place.base}/{each['resourceType']}/{each['id']}",
            "resource": each,
            "search": {"mode": "match"},
        }
        for each in resources
    ]
    if issues and not asked.count_only:
        entries.append(
            {
                "fullUrl": f"urn:uuid:{_OUTCOME}",
                "resource": outcome(issues),
                "search": {"mode": "outcome"},
            }
        )
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    if total is not None:
        bundle["total"] = total
    bundle["link"] = links
    if entries:
        bundle["entry"] = entries
    return bundle


#: The outcome of a page has no address; it is told apart by nothing else.
_OUTCOME: Final = "6a9e7b0c-3c0b-4b6e-9d51-5d5f0b1f0c01"
