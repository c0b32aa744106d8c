"""Pages of one kind of object, by filters that can be put together freely: what the FHIR side asks.

registry.py calls `Searches`. The stored queries have their own parameters (queries/); these have FHIR's, and
what a filter asks of a row stands here. Every statement is built on the rows of a view, so gate 2 is in it,
and a page costs what is on it, however much a patient has.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Executable,
    Select,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    union_all,
)

from xds.metadata.datatypes import escape
from xds.registry import rows as of_kind
from xds.registry.elements import STATUSES
from xds.registry.objects import KINDS, read_uuid, versions
from xds.registry.prepare import ASSOCIATION_TYPES
from xds.registry.queries.matches import document_unique_id, unique_id_in, unique_id_of
from xds.registry.rows import Rows, survivor
from xds.registry.view import View, Visibility
from xds.store import schema
from xds.store.codes import SOURCE, Codes, Word
from xds.store.database import Compiled, Database
from xds.store.keys import unique_id_key
from xds.store.schema import association, code, document_entry, folder, patient, submission_set

#: The key of a row, which grows with the time of its registration; behind it logical_uuid and version.
KEY: Final = 7
LOGICAL: Final = 8
VERSION: Final = 9
#: Beyond every time and every key.
LAST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` on and before `high`, of the time of an object; and where it has two, of the second."""

    low: int = 0
    high: int = LAST
    end_low: int = 0
    end_high: int = LAST


@dataclass(frozen=True, slots=True)
class Term:
    """One filter by its name in FILTERS, and its values, of which one must fit.

    Values are texts (codes as code^^codingScheme with either part left out, ids, names) or Intervals.
    """

    filter: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """One page: of the patient with this CX text (empty: of whomever), what fits all `terms`.

    In the order of registration, the newest first or last; `after` is the key behind which the page begins,
    `skipped` how many are left out there. `counted`: how far to count what there is, 0: not at all.
    """

    kind: int
    pid: str = ""
    terms: tuple[Term, ...] = ()
    newest_first: bool = True
    after: int | None = None
    skipped: int = 0
    size: int = 50
    counted: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """An association that begins at one of some objects: its type (URN), and what is at its other end."""

    source: bytes
    type: str
    target_kind: int
    target: bytes
    logical: bytes


# ---- filters


@dataclass(frozen=True, slots=True)
class Filter:
    """`condition` is SQL for a bind name and a number of values, `bind` what is bound under names of it.

    `masked`: it asks for what masking hides, so no masked entry may answer it (registry/masking.py).
    """

    condition: Callable[[str, int], ColumnElement[bool]]
    bind: Callable[[str, Sequence[Any], Codes, Database], Mapping[str, Any]]
    masked: bool = False

    def reversed(self) -> Filter:
        """Whatever it does not fit."""
        return Filter(lambda name, count: not_(self.condition(name, count)), self.bind, self.masked)


#: Of no code and no status.
_NO_NUMBER: Final = -1


def _list(column: ColumnElement[Any], bind: Callable[..., list[Any]], masked: bool = False) -> Filter:
    return Filter(
        lambda name, _: column.in_(bindparam(name, expanding=True)),
        # NULL in the place of nothing would make the reverse NULL too, and fit no row.
        lambda name, values, codes, database: {name: bind(values, codes, database) or [_NO_NUMBER]},
        masked,
    )


def _pattern(column: ColumnElement[str], pattern: Callable[..., str], masked: bool = False) -> Filter:
    return Filter(
        lambda name, _: column.regexp_match(bindparam(name)),
        lambda name, values, codes, database: {name: pattern(values, codes, database)},
        masked,
    )


_LIKE_CODE: Final = select(code.c.code_pk).where(code.c.code == bindparam("code"), ~code.c.scheme.like("% %"))
_LIKE_SCHEME: Final = select(code.c.code_pk).where(code.c.scheme == bindparam("scheme"))


def _codes(values: Sequence[str], codes: Codes, database: Database) -> list[int]:
    """Numbers of codes; a part that is left out stands for whatever there is."""
    whole, found = [], set[int]()
    for value in values:
        text, _, scheme = value.partition("^^")
        if text and scheme:
            whole.append(Word(text, scheme))
            continue
        with database.read() as connection:
            if text:
                found.update(connection.execute(_LIKE_CODE, {"code": text}).scalars())
            else:
                found.update(connection.execute(_LIKE_SCHEME, {"scheme": scheme}).scalars())
    return sorted(found | set(codes.numbers(whole)))


def _code(column: ColumnElement[Any], masked: bool = False) -> Filter:
    return _list(column, _codes, masked)


def _code_facet(table: Any, letter: str, masked: bool = False) -> Filter:
    def pattern(values: Sequence[str], codes: Codes, database: Database) -> str:
        return _of_facet(letter, [str(each) for each in _codes(values, codes, database)])

    return _pattern(table.c.facets, pattern, masked)


_BETWEEN: Final = "\x1f"


def _of_facet(letter: str, alternatives: Sequence[str]) -> str:
    return f"{_BETWEEN}{letter}(?:{'|'.join(alternatives) or '(?!)'}){_BETWEEN}"


def _status(column: ColumnElement[int]) -> Filter:
    return _list(column, lambda values, codes, database: [STATUSES[each] for each in values])


def _name(table: Any, component: int, form: str) -> Filter:
    """A name of an author (XCN): starts with, is exactly, or contains one of the values.

    Further given names stand in the component behind the first, with blanks between them.
    """

    def pattern(values: Sequence[str], codes: Codes, database: Database) -> str:
        other, after = f"[^{_BETWEEN}^]*", f"[^{_BETWEEN}]*"
        # (What stands before the name, what ends it.)
        places = [(rf"{other}\^" * (component - 1), "[&^]")]
        if component == _GIVEN:
            places.append((rf"{other}\^" * component + f"(?:{other} )?", "[ &^]"))
        some = []
        for value in values:
            text = escape(unicodedata.normalize("NFC", value))
            for before, end in places:
                if form == "exact":
                    some.append(f"{before}{re.escape(text)}(?:{end}{after})?")
                else:
                    skipped = other if form == "contains" else ""
                    some.append(f"{before}{skipped}{_any_case(text)}{after}")
        return _of_facet("a", some)

    return _pattern(table.c.facets, pattern, masked=True)


_FAMILY: Final = 2
_GIVEN: Final = 3
#: Accents that stand behind their letter, in texts that are not composed (NFD).
_ACCENTS: Final = "[\u0300-\u036f]*"


def _folded(character: str) -> str:
    return "".join(
        each for each in unicodedata.normalize("NFKD", character) if not unicodedata.combining(each)
    ).casefold()


#: A letter without accent in lower case -> all letters of Latin alphabets that are the same but for these.
_ALIKE: Final[dict[str, str]] = {}
for _each in map(chr, range(0x21, 0x250)):
    if len(_letter := _folded(_each)) == 1:
        _ALIKE[_letter] = _ALIKE.get(_letter, "") + _each


def _any_case(text: str) -> str:
    """A pattern for the text in whatever case and with whatever accents (FHIR R4, 3.1.1.4.8)."""
    parts = []
    for character in text:
        if re.fullmatch(_ACCENTS, character):
            continue
        alike = (character, character.lower(), character.upper(), *_ALIKE.get(_folded(character), ""))
        some = (re.escape(each) for each in dict.fromkeys(alike) if len(each) == 1)
        parts.append(f"[{''.join(some)}]{_ACCENTS}")
    return "".join(parts)


def _reference(values: Sequence[str], codes: Codes, database: Database) -> str:
    """Reference ids (CXi): `id^authority` by OID or name, `id^` for one without; id alone for any.

    Both are written as HL7 components, so that there is one ^.
    """
    some = []
    for value in values:
        text, caret, given = value.partition("^")
        own = re.escape(given)
        authority = f"[^{_BETWEEN}^]*" if not caret else ""
        if own:
            authority = rf"(?:[^{_BETWEEN}^&]*&{own}&[^{_BETWEEN}^&]*|{own}(?:&[^{_BETWEEN}^]*)?)"
        some.append(rf"{re.escape(text)}\^\^\^{authority}\^[^{_BETWEEN}]*")
    return _of_facet("r", some)


def _moments(column: ColumnElement[Any]) -> Filter:
    """A time within one of some intervals; an object without the time does not fit."""

    def condition(name: str, count: int) -> ColumnElement[bool]:
        return or_(
            *(
                and_(column >= bindparam(f"{name}_{each}_low"), column < bindparam(f"{name}_{each}_high"))
                for each in range(count)
            )
        )

    return Filter(condition, _ends)


def _periods(start: ColumnElement[Any], stop: ColumnElement[Any]) -> Filter:
    """A period by its two ends, of which one may be open."""
    begins, ends = func.coalesce(start, 0), func.coalesce(stop, LAST - 1)

    def condition(name: str, count: int) -> ColumnElement[bool]:
        some = (
            and_(
                begins >= bindparam(f"{name}_{each}_low"),
                begins < bindparam(f"{name}_{each}_high"),
                ends >= bindparam(f"{name}_{each}_end_low"),
                ends < bindparam(f"{name}_{each}_end_high"),
            )
            for each in range(count)
        )
        return and_(or_(start.is_not(None), stop.is_not(None)), or_(*some))

    return Filter(condition, _both_ends)


def _ends(name: str, values: Sequence[Interval], codes: Codes, database: Database) -> Mapping[str, Any]:
    return {
        f"{name}_{number}_{end}": getattr(value, end)
        for number, value in enumerate(values)
        for end in ("low", "high")
    }


def _both_ends(name: str, values: Sequence[Interval], codes: Codes, database: Database) -> Mapping[str, Any]:
    return {
        f"{name}_{number}_{end}": getattr(value, end)
        for number, value in enumerate(values)
        for end in ("low", "high", "end_low", "end_high")
    }


def _missing(*columns: ColumnElement[Any]) -> Filter:
    return Filter(
        lambda name, _: and_(*(column.is_(None) for column in columns)),
        lambda name, values, codes, database: {},
    )


def _ids(kind: int) -> Filter:
    """An object by any of its ids: entryUUID or logicalID as UUIDs, or uniqueId.

    A UUID of whatever version leads to all versions, of which the view leaves the latest.
    """
    table, key, _ = KINDS[kind]

    def condition(name: str, _: int) -> ColumnElement[bool]:
        uuids: BindParameter[Any] = bindparam(f"{name}_uuids", expanding=True)
        keys = f"{name}_keys"
        if kind == schema.KIND_DOCUMENT_ENTRY:
            has_unique_id = document_unique_id().condition(keys)
        elif kind == schema.KIND_FOLDER:
            has_unique_id = unique_id_in(folder.c.uid_key).condition(keys)
        else:
            has_unique_id = unique_id_of(table, kind, table.c[key]).condition(keys)
        by_unique_id = select(table.c.entry_uuid).where(has_unique_id).correlate(None)
        # One list of entryUUIDs: for two with OR between them PostgreSQL reads the whole table.
        return table.c.entry_uuid.in_(union_all(*_all_versions(table, uuids), by_unique_id))

    def bind(name: str, values: Sequence[str], codes: Codes, database: Database) -> Mapping[str, Any]:
        uuids = [read_uuid(each) for each in values]
        return {
            f"{name}_uuids": [each for each in uuids if each is not None] or [None],
            f"{name}_keys": [unique_id_key(each) for each in values]
            or [None],  # a uniqueId may be a UUID too
        }

    return Filter(condition, bind)


def _uuids(kind: int) -> Filter:
    """An object by a UUID of whatever version alone: the ids of resources."""
    table = KINDS[kind].table
    return Filter(
        lambda name, _: table.c.entry_uuid.in_(
            union_all(*_all_versions(table, bindparam(name, expanding=True)))
        ),
        lambda name, values, codes, database: {
            name: [uuid for each in values if (uuid := read_uuid(each)) is not None] or [None]
        },
    )


def _all_versions(table: Any, uuids: BindParameter[Any]) -> Sequence[Any]:
    """The entryUUIDs of all versions of what has one of the UUIDs in any of its versions."""
    own = table.alias("own")
    named = select(own.c.entry_uuid).where(own.c.entry_uuid.in_(uuids))
    if "logical_uuid" not in table.c:
        return [named]
    logical = select(own.c.logical_uuid).where(own.c.entry_uuid.in_(uuids))
    return [named, *versions(table, logical).selects]


_d, _s, _f = document_entry, submission_set, folder

_DOCUMENTS: Final[dict[str, Filter]] = {
    "status": _status(_d.c.status),
    "_id": _uuids(schema.KIND_DOCUMENT_ENTRY),
    "identifier": _ids(schema.KIND_DOCUMENT_ENTRY),
    "category": _code(_d.c.class_code),
    "type": _code(_d.c.type_code, masked=True),
    "setting": _code(_d.c.practice_code, masked=True),
    "facility": _code(_d.c.facility_code),
    "format": _code(_d.c.format_code, masked=True),
    "event": _code_facet(_d, "e", masked=True),
    "security-label": _code_facet(_d, "c"),
    "related": _pattern(_d.c.facets, _reference, masked=True),
    "creation": _moments(_d.c.creation_time),
    "period": _periods(_d.c.service_start, _d.c.service_stop),
    "date": _moments(_d.c.doc_pk),
    "_lastUpdated": _moments(_d.c.doc_pk),
    "creation:missing": _missing(_d.c.creation_time),
    "period:missing": _missing(_d.c.service_start, _d.c.service_stop),
}
_SETS: Final[dict[str, Filter]] = {
    "status": _status(_s.c.status),
    "_id": _uuids(schema.KIND_SUBMISSION_SET),
    "identifier": _ids(schema.KIND_SUBMISSION_SET),
    "designationType": _code(_s.c.content_type),
    "sourceId": _list(
        _s.c.source_pk,
        lambda values, codes, database: codes.numbers([Word(each, SOURCE) for each in values]),
    ),
    "date": _moments(_s.c.submission_time),
    "_lastUpdated": _moments(_s.c.set_pk),
}
_FOLDERS: Final[dict[str, Filter]] = {
    "status": _status(_f.c.status),
    "_id": _uuids(schema.KIND_FOLDER),
    "identifier": _ids(schema.KIND_FOLDER),
    "designationType": _code_facet(_f, "c"),
    "date": _moments(_f.c.last_update_time),
    "_lastUpdated": _moments(_f.c.folder_pk),
}
for _table, _filters, _prefix in ((_d, _DOCUMENTS, "author"), (_s, _SETS, "source")):
    for _part, _component in (("family", _FAMILY), ("given", _GIVEN)):
        for _form in ("starts", "exact", "contains"):
            _filters[f"{_prefix}.{_part}:{_form}"] = _name(_table, _component, _form)
for _filters in (_DOCUMENTS, _SETS, _FOLDERS):
    _filters.update({f"{name}:not": each.reversed() for name, each in _filters.items() if ":" not in name})
    _filters.update(
        {f"{name}:not": each.reversed() for name, each in _filters.items() if name.endswith(":missing")}
    )

#: By kind of object, then by name.
FILTERS: Final[Mapping[int, Mapping[str, Filter]]] = {
    schema.KIND_DOCUMENT_ENTRY: _DOCUMENTS,
    schema.KIND_SUBMISSION_SET: _SETS,
    schema.KIND_FOLDER: _FOLDERS,
}

# ---- statements

_ROWS: Final[Mapping[int, Callable[[View], Rows]]] = {
    schema.KIND_DOCUMENT_ENTRY: of_kind.document_rows,
    schema.KIND_SUBMISSION_SET: of_kind.set_rows,
    schema.KIND_FOLDER: of_kind.folder_rows,
}
_KEYS_OF_PATIENT: Final = (
    select(patient.c.patient_pk)
    .join(survivor, patient.c.survivor_pk == survivor.c.patient_pk)
    .where(survivor.c.pid == bindparam("pid"), survivor.c.merged_into.is_(None))
)
#: How many links one look at a page follows; a folder may have any number of members.
MOST_LINKS: Final = 20_000
_TYPES: Final = {number: urn for urn, number in ASSOCIATION_TYPES.items()}

Kept = Callable[[tuple[Any, ...], Callable[[], Executable], Mapping[str, Any]], Compiled]


@dataclass(frozen=True, slots=True)
class Rowed:
    """The rows of a page, each with its KEY, LOGICAL and VERSION; whether there are more, and how many."""

    rows: Sequence[Sequence[Any]]
    more: bool
    total: int | None


@dataclass(frozen=True, slots=True)
class Searches:
    """Searches in one database; `kept` gives a compiled statement, made once for each shape."""

    database: Database
    codes: Codes
    kept: Kept = field(repr=False)

    def page(self, search: Search, visibility: Visibility, *, replica: bool) -> Rowed:
        """The rows of a page, in order."""
        search = replace(search, terms=tuple(map(_padded, search.terms)))
        view = View(leaf=True, level=1, visibility=visibility)
        bound: dict[str, Any] = {**visibility.values}
        shape = []
        for number, term in enumerate(search.terms):
            own = FILTERS[search.kind][term.filter]
            bound |= own.bind(f"term_{number}", term.values, self.codes, self.database)
            shape.append((term.filter, len(term.values)))
        of: tuple[Any, ...] = (search.kind, visibility.name, tuple(shape), bool(search.pid))
        keys: Sequence[int | None] = [None]
        if search.pid:
            with self.database.read() as connection:
                keys = connection.execute(_KEYS_OF_PATIENT, {"pid": search.pid}).scalars().all()
        paged = {"wanted": search.skipped + search.size + 1, "after": search.after}
        if search.after is None:
            del paged["after"]
        found = []
        for key in keys:
            given = {**bound, **paged, **({} if key is None else {"patient": key})}
            statement = self.kept(
                ("search", *of, search.newest_first, search.after is not None),
                lambda: _page(search, view),
                given,
            )
            found.append(self.database.fetch(statement, given, replica=replica))
        ordered = merge(*found, key=lambda row: -row[KEY] if search.newest_first else row[KEY])
        rows = list(islice(ordered, search.skipped, search.skipped + search.size + 1))
        total = None
        if search.counted:
            total = 0
            for key in keys:
                given = {**bound, "most": search.counted, **({} if key is None else {"patient": key})}
                statement = self.kept(("count", *of), lambda: _count(search, view), given)
                total += self.database.fetch(statement, given, replica=replica)[0][0]
        return Rowed(rows[: search.size], len(rows) > search.size, total)

    def links(self, uuids: Sequence[bytes], types: Sequence[str], visibility: Visibility) -> list[Link]:
        """Associations of these types from these objects to documents and folders as far as they are seen.

        One more than MOST_LINKS shows that there are more.
        """
        if not uuids:
            return []
        bound = {
            **visibility.values,
            "uuids": list(uuids),
            "types": [ASSOCIATION_TYPES[each] for each in types],
        }
        statement = self.kept(("links", visibility.name), lambda: _links(visibility), bound)
        return [
            Link(bytes(source), _TYPES[type_], kind, bytes(target), bytes(logical))
            for source, type_, kind, target, logical, _ in self.database.fetch(statement, bound)
        ]


def _padded(term: Term) -> Term:
    """The term with as many intervals as the next power of two: each number of them has its own statement."""
    if not term.values or not isinstance(term.values[0], Interval):
        return term
    size = 1 << (len(term.values) - 1).bit_length()
    return Term(term.filter, (*term.values, *[term.values[-1]] * (size - len(term.values))))


def _filtered(search: Search, view: View) -> Rows:
    table = KINDS[search.kind].table
    filters = FILTERS[search.kind]
    if search.kind == schema.KIND_FOLDER:
        # Level 1 has no deprecated folders; who filters by status must be able to ask for them.
        view = replace(view, level=2)
    rows = _ROWS[search.kind](view).where(
        *(
            filters[term.filter].condition(f"term_{number}", len(term.values))
            for number, term in enumerate(search.terms)
        )
    )
    if search.pid:
        rows = rows.where(table.c.patient_pk == bindparam("patient"))
    if search.kind == schema.KIND_FOLDER:
        rows = rows.where(folder.c.latest == literal_column("1"))
    is_masked = view.visibility.masked
    if (
        is_masked is not None
        and search.kind == schema.KIND_DOCUMENT_ENTRY
        and any(filters[term.filter].masked for term in search.terms)
    ):
        rows = rows.where(is_masked(table).is_(false()))
    return rows


def _page(search: Search, view: View) -> Any:
    table, name, _ = KINDS[search.kind]
    key = table.c[name]
    rows: Any = _filtered(search, view)
    *before, body = rows.selected_columns
    versioned = "logical_uuid" in table.c
    logical = table.c.logical_uuid if versioned else table.c.entry_uuid
    version = table.c.version if versioned else literal_column("1")
    more = (key, logical.label("logical"), version.label("version"))
    rows = rows.with_only_columns(*before, *more, body)  # body last, as elements.write wants it
    if search.after is not None:
        after: BindParameter[int] = bindparam("after")
        rows = rows.where(key < after if search.newest_first else key > after)
    return rows.order_by(key.desc() if search.newest_first else key).limit(bindparam("wanted"))


def _count(search: Search, view: View) -> Select[Any]:
    rows: Any = _filtered(search, view)
    some = rows.with_only_columns(literal_column("1")).limit(bindparam("most")).subquery()
    return select(func.count()).select_from(some)


def _links(visibility: Visibility) -> Any:
    view = View(leaf=False, level=1, visibility=visibility)
    of_ends = []
    for kind in (schema.KIND_DOCUMENT_ENTRY, schema.KIND_FOLDER):
        end = KINDS[kind].table.alias(f"end_{kind}")
        columns: tuple[ColumnElement[Any], ...] = (
            association.c.source_uuid,
            association.c.type,
            literal_column(str(kind)).label("kind"),
            association.c.target_uuid,
            end.c.logical_uuid,
            association.c.assoc_pk,
        )
        of_ends.append(
            of_kind.links(view, *columns)
            .join(end, end.c.entry_uuid == association.c.target_uuid)
            .where(
                association.c.source_uuid.in_(bindparam("uuids", expanding=True)),
                association.c.type.in_(bindparam("types", expanding=True)),
            )
        )
    return union_all(*of_ends).order_by("assoc_pk").limit(literal_column(str(MOST_LINKS + 1)))
