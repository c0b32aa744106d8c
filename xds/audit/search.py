"""Searching the log by FHIR's parameters (ITI-81): read, narrowed by SQL, matched on the event itself.

fhir/audit_events.py and `xds log` call it. The columns of audit_event narrow a search to a patient, a person
and a time; everything else is compared with the AuditEvent as it was stored, so that there is nothing beside
it that could say something else. Of whom events may be read at all is a `Scope`; it must never be left out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Select, select, tuple_

from xds.audit.event import microseconds, recorded_of, whole
from xds.metadata.national import AUTHORITIES
from xds.store.bodies import unpack
from xds.store.database import Database
from xds.store.schema import audit_chain, audit_event

Event = dict[str, Any]

#: Events on a page: when nothing is said, and at most (fhir-rules 2.5).
COUNT: Final = 50
MOST: Final = 1_000
#: Events that are looked at for one page; a page with fewer hits than asked for has a next one all the same.
_LOOKED_AT: Final = 20_000
#: Bytes of a page, about: a list of thousands of documents is a large event.
_MOST_BYTES: Final = 4_000_000
_BATCH: Final = 50
#: Of a reader who is shown a part; more than that in one search is for narrower dates.
_LOOKED_AT_IN_PART: Final = 3_000
#: Parameters and values of one search.
_MOST_PARAMETERS: Final = 30
_MOST_VALUES: Final = 200
_END: Final = 2**62


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose events may be read: of these patients (CX texts), by this person; None: whoever it is."""

    pids: frozenset[str] | None = None
    person: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a parameter, in words that hold nothing of its value."""

    parameter: str
    detail: str


class Unusable(Exception):
    """A search that cannot be made."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(" ".join(f"{each.parameter} {each.detail}." for each in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search, read and checked. Times are microseconds since 1970, half-open.

    `pids`, `persons` and `outcomes` narrow the rows; `matches` are asked of each event. `cursor` is
    where the page before ended.
    """

    since: int = 0
    until: int = _END
    pids: tuple[frozenset[str], ...] = ()
    persons: frozenset[str] | None = None
    outcomes: frozenset[int] | None = None
    matches: tuple[Callable[[Event], bool], ...] = ()
    count: int = COUNT
    descending: bool = True
    cursor: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One event, as it is shown."""

    event: Event
    recorded: int
    pid: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Events in their order, and the cursor of the next page; None: this was all."""

    found: tuple[Found, ...]
    following: str | None


# ---- what a parameter looks at

#: What a reader is shown of each of some events.
Project = Callable[[Sequence[Event]], Sequence[Event | None]]

_Extract = Callable[[Event], Iterator[tuple[str, str]]]
#: (system, value) of what a token parameter is compared with.


def _identifier(given: Mapping[str, Any]) -> tuple[str, str]:
    return given.get("system", ""), given.get("value", "")


def _contained(event: Event, *types: str) -> Iterator[tuple[str, str]]:
    for each in event.get("contained", ()):
        if each["resourceType"] in types:
            yield from map(_identifier, each.get("identifier", ()))


def _patient(event: Event) -> Iterator[tuple[str, str]]:
    yield from _contained(event, "Patient")


def _agent(event: Event) -> Iterator[tuple[str, str]]:
    for each in event["agent"]:
        if "identifier" in each["who"]:
            yield _identifier(each["who"]["identifier"])
        for extension in each.get("extension", ()):
            if "valueIdentifier" in extension:
                yield _identifier(extension["valueIdentifier"])
    yield from _contained(event, "Practitioner", "RelatedPerson")
    if any(each["who"].get("reference") == "#pat" for each in event["agent"]):
        yield from _patient(event)


def _entity(event: Event) -> Iterator[tuple[str, str]]:
    for each in event.get("entity", ()):
        if "identifier" in (what := each.get("what", {})):
            yield _identifier(what["identifier"])


def _source(event: Event) -> Iterator[tuple[str, str]]:
    yield _identifier(event["source"]["observer"]["identifier"])


def _codings(*path: str) -> _Extract:
    def extract(event: Event) -> Iterator[tuple[str, str]]:
        nodes: list[Any] = [event]
        for name in path:
            nodes = [
                item
                for node in nodes
                if name in node
                for item in (node[name] if isinstance(node[name], list) else [node[name]])
            ]
        for node in nodes:
            if isinstance(node, str):
                yield "", node
            else:
                yield node.get("system", ""), node.get("code", "")

    return extract


#: Token parameters (FHIR R4 AuditEvent, ITI-81, and `purpose` of our own) and what they are compared with.
TOKENS: Final[Mapping[str, _Extract]] = {
    "action": _codings("action"),
    "agent.identifier": _agent,
    "agent-role": _codings("agent", "role", "coding"),
    "entity.identifier": _entity,
    "entity-role": _codings("entity", "role"),
    "entity-type": _codings("entity", "type"),
    "outcome": _codings("outcome"),
    "patient.identifier": _patient,
    "purpose": _codings("purposeOfEvent", "coding"),
    "source.identifier": _source,
    "subtype": _codings("subtype"),
    "type": _codings("type"),
}
#: References: what is referred to is contained in the event, so an id is that of its identifier.
REFERENCES: Final[Mapping[str, _Extract]] = {
    "agent": _agent,
    "entity": _entity,
    "patient": _patient,
    "source": _source,
}
#: Strings and URIs.
STRINGS: Final[Mapping[str, _Extract]] = {
    "address": _codings("agent", "network", "address"),
    "agent-name": _codings("agent", "name"),
    "policy": _codings("agent", "policy"),
    "site": _codings("source", "site"),
}
#: Whether a text is compared as a whole (FHIR: uri), and not from its beginning, whatever its case.
_OUTCOMES: Final = frozenset(("0", "4", "8", "12"))
_EXACT: Final = frozenset(("policy",))
DATES: Final = ("date", "_lastUpdated")
#: The parameters that say how a page is made, and not of what.
_OTHERS: Final = frozenset(("_count", "_sort", "cursor", "_format", "_total", "_pretty", "_id", "_summary"))


_KNOWN: Final = frozenset((*DATES, *TOKENS, *REFERENCES, *STRINGS, *_OTHERS))


def is_known(name: str) -> bool:
    """Whether a parameter of this name says anything here, with a modifier or without."""
    return name in _OTHERS or name.partition(":")[0] in _KNOWN


def read(parameters: Sequence[tuple[str, str]]) -> Search:
    """The search of these parameters; those that are not known are passed over (ITI TF-2 3.81).

    Raises Unusable with everything that is wrong; ITI-81 wants at least one `date`.
    """
    problems: list[Problem] = []
    reader = _Reader(problems)
    if len(parameters) > _MOST_PARAMETERS + 2:  # the two that a next page adds
        raise Unusable(Problem("the search", f"has more than {_MOST_PARAMETERS} parameters"))
    for name, value in parameters:
        reader.take(name, value)
    if not reader.has_date:
        problems.append(Problem("date", "is missing: say from when, and until when, with date=ge… and le…"))
    if problems:
        raise Unusable(*problems)
    return reader.search()


class _Reader:
    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self.has_date = False
        self._since, self._until = 0, _END
        self._pids: list[frozenset[str]] = []
        self._persons: frozenset[str] | None = None
        self._outcomes: frozenset[int] | None = None
        self._matches: list[Callable[[Event], bool]] = []
        self._count, self._descending = COUNT, True
        self._cursor: tuple[int, int] | None = None
        self._values = 0

    def take(self, name: str, value: str) -> None:
        try:
            if not value.isprintable():
                raise ValueError("holds a character that cannot be printed")
            if name in DATES:
                self._date(value)
            elif name in TOKENS:
                self._token(name, value)
            elif name in REFERENCES:
                self._reference(name, value)
            elif name in STRINGS:
                self._string(name, value)
            elif name in _OTHERS:
                self._other(name, value)
            elif name.partition(":")[0] in _KNOWN:
                # Without it more would be found than was asked for (FHIR R4 3.1.1.3).
                raise ValueError("has a modifier that is not supported")
        except ValueError as error:
            self._problems.append(Problem(name, str(error)))

    def search(self) -> Search:
        return Search(
            since=self._since,
            until=self._until,
            pids=tuple(self._pids),
            persons=self._persons,
            outcomes=self._outcomes,
            matches=tuple(self._matches),
            count=self._count,
            descending=self._descending,
            cursor=self._cursor,
        )

    def _listed(self, value: str) -> list[str]:
        """The values of one parameter, any of which will do; `\\,` is a comma of a value."""
        parts = [
            each.replace("\\,", ",").replace("\\|", "|") for each in re.split(r"(?<!\\),", value) if each
        ]
        self._values += len(parts)
        if not parts:
            raise ValueError("is empty")
        if self._values > _MOST_VALUES:
            raise ValueError(f"is too much: there are more than {_MOST_VALUES} values in all")
        return parts

    def _date(self, value: str) -> None:
        self.has_date = True
        if "," in value:
            raise ValueError("is a list: give one time, and another `date` for the other end")
        prefix, text = (value[:2], value[2:]) if value[:2].isalpha() else ("eq", value)
        first, after = span(text)
        bounds = {
            "eq": (first, after),
            "ap": (first, after),
            "ge": (first, _END),
            "gt": (after, _END),
            "sa": (after, _END),
            "le": (0, after),
            "lt": (0, first),
            "eb": (0, first),
        }
        if prefix not in bounds:
            raise ValueError(f"has a prefix that is none of {', '.join(bounds)}")
        since, until = bounds[prefix]
        self._since, self._until = max(self._since, since), min(self._until, until)

    def _token(self, name: str, value: str) -> None:
        extract, wanted = TOKENS[name], [_pair(each) for each in self._listed(value)]
        fits = _fitting(wanted)
        self._matches.append(lambda event: any(map(fits, extract(event))))
        if name == "patient.identifier":
            self._narrow_patients(wanted)
        elif name == "outcome" and all(each[1] in _OUTCOMES for each in wanted):
            self._outcomes = frozenset(int(each[1]) for each in wanted)
        elif name == "agent.identifier":
            self._narrow_persons(wanted)

    def _reference(self, name: str, value: str) -> None:
        extract = REFERENCES[name]
        wanted = [(None, each.rpartition("/")[2]) for each in self._listed(value)]
        fits = _fitting(wanted)
        self._matches.append(lambda event: any(map(fits, extract(event))))
        if name == "patient":
            self._narrow_patients(wanted)
        elif name == "agent":
            self._narrow_persons(wanted)

    def _string(self, name: str, value: str) -> None:
        extract, exact = STRINGS[name], name in _EXACT
        wanted = [each if exact else each.casefold() for each in self._listed(value)]

        def fits(event: Event) -> bool:
            has = [text if exact else text.casefold() for _, text in extract(event)]
            return any(each == own if exact else own.startswith(each) for each in wanted for own in has)

        self._matches.append(fits)

    def _other(self, name: str, value: str) -> None:
        if name == "_count":
            if not value.isascii() or not value.isdigit() or len(value) > 9:
                raise ValueError("is not a whole number")
            self._count = min(max(int(value), 1), MOST)
        elif name == "_sort":
            if value not in ("date", "-date", "_lastUpdated", "-_lastUpdated"):
                raise ValueError("is neither date nor -date")
            self._descending = value.startswith("-")
        elif name == "cursor":
            self._cursor = read_cursor(value)
        elif name == "_id":
            self.has_date = True
            times = [recorded_of(each) for each in self._listed(value)]
            known = [each for each in times if each is not None]
            self._since = max(self._since, min(known, default=_END))
            self._until = min(self._until, max(known, default=-1) + 1)
            ids = frozenset(each.lower() for each in self._listed(value))
            self._matches.append(lambda event: event["id"] in ids)

    def _narrow_patients(self, wanted: Sequence[tuple[str | None, str]]) -> None:
        """To the CX texts that these can be: a number of 11 digits without its system is a national one."""
        if not all(value and (system or re.fullmatch(r"[0-9]{11}", value)) for system, value in wanted):
            return
        pids: set[str] = set()
        for system, value in wanted:
            authorities = [system.removeprefix("urn:oid:")] if system else sorted(AUTHORITIES)
            pids.update(f"{value}^^^&{each}&ISO" for each in authorities)
        self._pids.append(frozenset(pids))

    def _narrow_persons(self, wanted: Sequence[tuple[str | None, str]]) -> None:
        """When all are national numbers, by which the log finds people."""
        if all(re.fullmatch(r"[0-9]{11}", value) for _, value in wanted):
            self._persons = frozenset(value for _, value in wanted)


def _pair(text: str) -> tuple[str | None, str]:
    """`system|value`; a system of None is any, an empty one is none at all, an empty value any."""
    system, bar, value = text.partition("|")
    return (system, value) if bar else (None, text)


def _fitting(wanted: Sequence[tuple[str | None, str]]) -> Callable[[tuple[str, str]], bool]:
    """Whether one of these is meant; an OID may be written as a URN or not."""
    pairs = {(system, value) for system, value in wanted if system is not None and value}
    pairs |= {(system, f"urn:oid:{value}") for system, value in pairs}
    values = {value for system, value in wanted if system is None}
    values |= {f"urn:oid:{value}" for value in values}
    systems = {system for system, value in wanted if system is not None and not value}
    return lambda has: has in pairs or has[1] in values or has[0] in systems


_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)


def span(text: str) -> tuple[int, int]:
    """First and next microsecond of a date or time of FHIR, by its precision; without a zone in UTC."""
    match = _DATE.fullmatch(text.replace(" ", "+"))
    if match is None:
        raise ValueError("is not a date or a time, as 2026-03-01 or 2026-03-01T10:00:00Z")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        start = datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0)
        )
        offset = datetime.fromisoformat(f"2000-01-01T00:00:00{(zone or 'Z').replace('Z', '+00:00')}")
        zoned = start.replace(tzinfo=offset.tzinfo)
        if month is None:
            end = zoned.replace(year=start.year + 1)
        elif day is None:
            end = (zoned + timedelta(days=32)).replace(day=1)
        else:
            steps = {"days": hour is None, "minutes": second is None, "seconds": fraction is None}
            step = next((name for name, is_it in steps.items() if is_it), "")
            length = timedelta(**{step: 1}) if step else timedelta(seconds=10.0 ** (1 - len(fraction)))
            zoned += timedelta(seconds=float(fraction or 0))
            end = zoned + max(length, timedelta(microseconds=1))
        return microseconds(zoned.astimezone(UTC)), microseconds(end.astimezone(UTC))
    except OverflowError:  # the end of the calendar, which many write for no end
        return microseconds(datetime(9999, 12, 31, tzinfo=UTC)), _END
    except ValueError:
        raise ValueError("is not a day of the calendar") from None


def read_cursor(text: str) -> tuple[int, int]:
    """Where a page ended; raises ValueError for what no page has named."""
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (ValueError, binascii.Error):
        decoded = ""
    match = re.fullmatch(r"(\d{1,18})\.(\d{1,9})", decoded)
    if match is None:
        raise ValueError("is not one that a page has named")
    return int(match[1]), int(match[2])


def _write_cursor(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row.recorded}.{row.chain_pk}".encode()).rstrip(b"=").decode()


# ---- finding


def find(database: Database, search: Search, scope: Scope, project: Project | None = None) -> Page:
    """A page of what was searched for, of what may be read.

    `project` makes what a reader is shown of some events, None for those that are not for them. What is
    compared is what is shown: nobody may find by a search what they do not see.
    """
    if project is not None:
        search = replace(search, persons=None)  # the column has the number whether it is shown or not
    found: list[Found] = []
    looked_at = size = 0
    looked_at_last: Any = None
    last: Any = None
    with database.read() as connection:
        nodes: dict[int, str] = {
            row.chain_pk: row.node
            for row in connection.execute(select(audit_chain.c.chain_pk, audit_chain.c.node))
        }
        rows = _rows(connection, search, scope, sorted(nodes))
        while some := list(islice(rows, _BATCH)):
            bodies = unpack([bytes(row.body) for row in some])
            events: Sequence[Event | None] = [
                orjson.loads(whole(body, nodes[row.chain_pk], row.recorded))
                for row, body in zip(some, bodies, strict=True)
            ]
            if project is not None:
                events = project([each for each in events if each is not None])
            for row, body, event in zip(some, bodies, events, strict=True):
                if project is not None and looked_at == _LOOKED_AT_IN_PART:
                    # A cursor would tell when something happened that is not shown.
                    raise Unusable(Problem("date", "covers more than can be searched at once: narrow it"))
                if looked_at == _LOOKED_AT:
                    return Page(tuple(found), _write_cursor(looked_at_last))
                looked_at, looked_at_last = looked_at + 1, row
                if event is None or not all(match(event) for match in search.matches):
                    continue
                if len(found) == search.count or size > _MOST_BYTES:
                    return Page(tuple(found), _write_cursor(last))
                last, size = row, size + len(body)
                found.append(Found(event, row.recorded, row.pid))
    return Page(tuple(found), None)


def _rows(connection: Connection, search: Search, scope: Scope, chains: Sequence[int]) -> Iterator[Any]:
    """The rows, narrowed by their columns, in order; one patient's by their index, others chain by chain."""
    conditions = [audit_event.c.recorded >= search.since, audit_event.c.recorded < search.until]
    pids = [*search.pids, *([] if scope.pids is None else [scope.pids])]
    persons = [] if search.persons is None else [search.persons]
    if scope.person is not None:
        persons.append(frozenset({scope.person}))
    if search.outcomes is not None:
        conditions.append(audit_event.c.outcome.in_(sorted(search.outcomes)))
    if pids:
        conditions.append(audit_event.c.pid.in_(sorted(frozenset.intersection(*pids))))
    if persons:
        conditions.append(audit_event.c.person.in_(sorted(frozenset.intersection(*persons))))
    statement = select(audit_event).where(*conditions)
    if pids or persons:
        return _batches(connection, statement, search)
    parts = [
        _batches(connection, statement.where(audit_event.c.chain_pk == chain), search) for chain in chains
    ]
    return merge(*parts, key=lambda row: (row.recorded, row.chain_pk), reverse=search.descending)


def _batches(connection: Connection, statement: Select[Any], search: Search) -> Iterator[Any]:
    key = tuple_(audit_event.c.recorded, audit_event.c.chain_pk)
    order = [
        each.desc() if search.descending else each
        for each in (audit_event.c.recorded, audit_event.c.chain_pk)
    ]
    after = search.cursor
    while True:
        some = statement.order_by(*order).limit(_BATCH)
        if after is not None:
            some = some.where(key < after if search.descending else key > after)
        rows = connection.execute(some).all()
        yield from rows
        if len(rows) < _BATCH:
            return
        after = (rows[-1].recorded, rows[-1].chain_pk)
