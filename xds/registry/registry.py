"""The document registry: what the transactions call to register a submission and to answer a stored query.

It owns the database of metadata; register.py has the rules of writing, queries/ the questions. It must never
be asked to read without the caller's visibility being part of the statement (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Executable, literal_column

from xds.errors import DataTypeError, RegistryError, RegistryFailure
from xds.metadata.confidentiality import Restriction
from xds.metadata.datatypes import CX, bare_oid
from xds.metadata.model import Slot, Submission
from xds.metadata.updates import Update
from xds.registry import elements, patients, rows
from xds.registry.objects import locate, looking_at, read_uuid
from xds.registry.owners import OWNERS, Owned, owner, pids_of
from xds.registry.prepare import Prepared, Reading, prepare, words_of
from xds.registry.queries import MULTI_PATIENT_QUERIES, STORED_QUERIES
from xds.registry.queries.parameters import Shape, read, values
from xds.registry.register import register
from xds.registry.remove import going_with, is_registered, remove
from xds.registry.rows import LISTED
from xds.registry.rules import broken
from xds.registry.search import KEY, LOGICAL, MOST_LINKS, VERSION, Link, Search, Searches
from xds.registry.sight import Sight, documents_by_key, strictest
from xds.registry.update import prepare_update, update
from xds.registry.view import Visibility
from xds.store.codes import Codes
from xds.store.database import Compiled, Database
from xds.store.keys import moment_of, unique_id_key
from xds.store.schema import KIND_DOCUMENT_ENTRY

#: Far more than well-behaved callers need; others start over.
_KEPT_STATEMENTS: Final = 200
#: uniqueIds in one statement.
_TOGETHER: Final = 512


_OWNERS_OF_OBJECTS: Final = looking_at()

_LEAF: Final = {"LeafClass": True, "ObjectRef": False}


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """A stored query as it was asked: its id, its parameters as sent, and the returnType.

    `home` is the community that is asked; `multi_patient`: by ITI-51, which has queries of its own.
    """

    id: str
    parameters: Sequence[Slot]
    return_type: str = "LeafClass"
    home: str = ""
    multi_patient: bool = False


def patients_asked_for(query: StoredQuery) -> Iterator[tuple[str, list[str]]]:
    """Each parameter of a query that names patients, and whom (CX text); what cannot be read is left out, as
    the query will be refused for it.
    """
    for slot in query.parameters:
        if slot.name.endswith("atientId"):
            found = []
            for text in slot.values:
                with suppress(DataTypeError):
                    found += [str(CX.parse(each)) for each in values(text)]
            yield slot.name, found


@dataclass(frozen=True, slots=True)
class Listed:
    """What an answer has of one patient (CX text): how many objects, and the entryUUIDs of documents."""

    pid: str
    objects: int
    shown: Sequence[bytes]
    masked: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Found:
    """The elements of an answer's RegistryObjectList, made as they are sent; `warnings`: what is wrong with
    them. For the access log there is the number of `objects`, and what is `listed` of each patient.
    """

    elements: Iterator[list[bytes]]
    objects: int = 0
    listed: tuple[Listed, ...] = ()
    warnings: tuple[RegistryError, ...] = ()


def _listed(rows: Sequence[Sequence[Any]], leaf: bool) -> tuple[Listed, ...]:
    """By patient. An association has none of its own: it counts for everybody of the answer."""
    told = LISTED[leaf]
    documents: dict[str, tuple[list[bytes], list[bytes]]] = {}
    others: dict[str, int] = {}
    for row in rows:
        pid, masked, uuid = told(row)
        if row[0] == KIND_DOCUMENT_ENTRY:
            if pid not in documents:
                documents[pid] = ([], [])
            documents[pid][masked].append(uuid)
        else:
            others[pid or ""] = others.get(pid or "", 0) + 1
    unowned = others.pop("", 0)
    found = []
    for pid in dict.fromkeys((*documents, *others)):
        shown, masked_ones = documents.get(pid, ([], []))
        objects = len(shown) + len(masked_ones) + others.get(pid, 0) + unowned
        found.append(Listed(pid, objects, shown, masked_ones))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Hit:
    """What of an object on a page is not in its element; `logical` is the UUID of its logical object, `key`
    its place in the order of registration.
    """

    entry_uuid: bytes
    logical: bytes
    version: int
    masked: bool
    key: int

    @property
    def registered(self) -> int:
        """When this version came, in milliseconds since 1970."""
        return moment_of(self.key)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a search: its hits, their elements in the same order, and whether more follow behind `last`.

    `total` is how many there are, as far as they were counted. `listed` is for the access log.
    """

    hits: tuple[Hit, ...]
    elements: Iterator[list[bytes]]
    more: bool
    last: int | None
    total: int | None
    listed: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """What a registry is set to.

    `results`: how many objects one answer may hold. `patients`: which patient ids are known, the setting
    patients.source. `authorities`: whose ids the feed announces, patients.authorities. `synthetic`: as in
    patients.Domain. `home`: this community's OID or nothing. `reading`: how submissions are read.
    """

    results: int = 10_000
    patients: str = "national"
    authorities: frozenset[str] = frozenset()
    synthetic: bool = False
    home: str = ""
    reading: Reading = field(default_factory=Reading)

    @property
    def home_urn(self) -> str:
        """This community's id as it stands in messages, with urn:oid:, or nothing."""
        return self.home and f"urn:oid:{bare_oid(self.home)}"

    def is_home(self, community: str) -> bool:
        """Whether this is our community's id, with or without urn:oid:; without one of our own none is."""
        return bool(self.home) and bare_oid(community) == bare_oid(self.home)


class Registry:
    """The registry objects of one node; `codes` are those of the database, if they are not given."""

    def __init__(self, database: Database, options: Options, codes: Codes | None = None) -> None:
        self.options = options
        self.domain = patients.Domain(options.patients, options.authorities, options.synthetic)
        self._database = database
        self._codes = codes or Codes(database)
        self._statements: dict[Any, Compiled] = {}
        self._searches = Searches(database, self._codes, self._kept)

    def prepare(self, submission: Submission) -> Prepared:
        """All work on a valid submission that needs no lock."""
        prepared = prepare(submission, self.options.reading)
        self._codes.learn(words_of(prepared))
        return prepared

    def register(self, connection: Connection, prepared: Prepared, visibility: Visibility) -> bool:
        """Write a submission in the caller's transaction; False when it is an identical repeat.

        What it names and `visibility` does not open is not there.
        """
        return register(connection, prepared, self._codes, self.domain, visibility)

    def prepare_update(self, request: Update) -> Prepared:
        """All work on a valid update that needs no lock."""
        prepared = prepare_update(request, self.options.reading)
        self._codes.learn(words_of(prepared))
        return prepared

    def update(
        self, connection: Connection, request: Update, prepared: Prepared, visibility: Visibility
    ) -> bool:
        """Carry out an update in the caller's transaction; False when it is an identical repeat."""
        return update(connection, request, prepared, self._codes, self.domain, visibility)

    def judge(self, prepared: Prepared) -> None:
        """What `register` and `update` refuse whatever is registered. Raises RegistryFailure."""
        patients.check_permitted(self.domain, prepared.pid, prepared.patient_location)

    def remove(
        self, connection: Connection, ids: Sequence[str], visibility: Visibility
    ) -> Mapping[str, Mapping[str, Restriction]]:
        """Remove objects by entryUUID in the caller's transaction: patient (CX text) -> what was theirs, and
        of documents what their codes said.

        Raises RegistryFailure (remove.remove).
        """
        return remove(connection, ids, visibility)

    def remove_document(
        self, connection: Connection, logical: bytes, unique_id: str, visibility: Visibility
    ) -> tuple[Mapping[str, Mapping[str, Restriction]], bool]:
        """Remove a document with all that is about it alone, as `remove`; and whether an entry still has its
        uniqueId, so that its bytes must stay.
        """
        removed = remove(connection, going_with(connection, logical), visibility)
        return removed, is_registered(connection, unique_id)

    def owners_of_objects(self, ids: Sequence[str]) -> tuple[str, ...]:
        """The patients (CX texts) of these entryUUIDs, as far as they are there."""
        uuids = [uuid for each in ids if (uuid := read_uuid(each)) is not None]
        with self._database.read() as connection:
            keys = {row.survivor_pk for row in locate(connection, _OWNERS_OF_OBJECTS, uuids).values()}
            return tuple(sorted(pids_of(connection, keys).values()))

    def owners(self, unique_ids: Collection[str]) -> Mapping[str, Owned]:
        """Whose these documents are, of those that have an entry."""
        keys = {unique_id_key(each): each for each in unique_ids}
        found: dict[str, Owned] = {}
        listed = sorted(keys)
        for start in range(0, len(listed), _TOGETHER):
            bound = {"keys": listed[start : start + _TOGETHER]}
            rows = self._database.fetch(self._kept(("owners",), lambda: OWNERS, bound), bound)
            found |= {keys[bytes(row[0])]: owner(row) for row in rows}
        return found

    def sight(self, unique_ids: Collection[str], visibility: Visibility) -> Mapping[str, Sight]:
        """What these documents are to a caller; one without an entry is hidden from whoever sees not all."""
        keys = {unique_id_key(each): each for each in unique_ids}
        if not (visibility.is_partial or visibility.owner):
            return dict.fromkeys(unique_ids, Sight.OPEN)
        found: dict[bytes, Sight] = {}
        listed = sorted(keys)
        for start in range(0, len(listed), _TOGETHER):
            bound = {**visibility.values, "keys": listed[start : start + _TOGETHER]}
            compiled = self._kept(("sight", visibility.name), lambda: documents_by_key(visibility), bound)
            found |= strictest(self._database.fetch(compiled, bound))
        return {each: found.get(key, Sight.HIDDEN) for key, each in keys.items()}

    def announce(self, connection: Connection, pids: Collection[str]) -> None:
        """Make patient ids known; raises RegistryFailure (patients.announce)."""
        patients.announce(connection, self.domain, pids)

    def merge(self, connection: Connection, subsumed: str, surviving: str) -> None:
        """Let one patient id stand for two; raises RegistryFailure (patients.merge)."""
        patients.merge(connection, self.domain, subsumed, surviving)

    def query(
        self, query: StoredQuery, visibility: Visibility, home: str = "", *, replica: bool = False
    ) -> Found:
        """What a stored query finds, as far as one answer may hold it. Raises RegistryFailure.

        `home` stands on each object of the answer (ITI TF-2 3.38.4.1.3); without, that of its registration.
        `replica`: whether a replica may answer (Database.fetch).
        """
        module, shape, bound = self.understand(query, visibility)
        leaf = shape.view.leaf
        found = self._database.fetch(self._compiled(module, shape, bound), bound, replica=replica)
        warnings: tuple[RegistryError, ...] = ()
        if len(found) > self.options.results:
            del found[self.options.results :]
            warnings = (replace(broken("query-too-many"), warning=True),)
        if not leaf:
            references = elements.write_references(found, self._codes, home)
            return Found(references, len(found), _listed(found, leaf), warnings)
        if module.ONE_PATIENT and len({row[rows.PID] for row in found} - {None}) > 1:
            raise RegistryFailure(broken("query-single-patient"))
        return Found(elements.write(found, self._codes, home), len(found), _listed(found, leaf), warnings)

    def understand(
        self, query: StoredQuery, visibility: Visibility
    ) -> tuple[ModuleType, Shape, Mapping[str, Any]]:
        """The module of a stored query, the shape of its statement and the values to bind.

        Of the database it needs the numbers of codes alone. Raises RegistryFailure with every error.
        """
        errors = self._check(query)
        module = (MULTI_PATIENT_QUERIES if query.multi_patient else STORED_QUERIES).get(query.id)
        if module is None:
            raise RegistryFailure(broken("query-known", "AdhocQuery/id"), *errors)
        shape, bound = read(
            query.parameters,
            module.PARAMETERS,
            module.CHOICES,
            self._codes,
            leaf=_LEAF.get(query.return_type, False),
            visibility=visibility,
            errors=errors,
        )
        return module, shape, bound

    def search(self, search: Search, visibility: Visibility, *, replica: bool = False) -> Page:
        """A page of what fits the search; each object bears its home, or else this community's.

        `replica`: as in `query`.
        """
        found = self._searches.page(search, visibility, replica=replica)
        hits = tuple(
            Hit(bytes(row[6]), bytes(row[LOGICAL]), row[VERSION], bool(row[5]), row[KEY])
            for row in found.rows
        )
        return Page(
            hits,
            elements.write(found.rows, self._codes),
            found.more,
            found.rows[-1][KEY] if found.rows else None,
            found.total,
            _listed(found.rows, leaf=True),
        )

    def links(self, uuids: Sequence[bytes], types: Sequence[str], visibility: Visibility) -> Sequence[Link]:
        """Associations of these types that begin at these objects. Raises RegistryFailure: too many."""
        found: list[Link] = []
        for start in range(0, len(uuids), _TOGETHER):
            found += self._searches.links(uuids[start : start + _TOGETHER], types, visibility)
        if len(found) > MOST_LINKS:
            raise RegistryFailure(broken("query-too-many"))
        return found

    def _check(self, query: StoredQuery) -> list[RegistryError]:
        """What is wrong with a query but for its id and parameters."""
        errors = []
        if query.return_type not in _LEAF:
            errors.append(broken("query-return-type", "ResponseOption/returnType"))
        if query.home and not self.options.is_home(query.home):
            errors.append(broken("query-home", "AdhocQuery/home"))
        return errors

    def _compiled(self, module: ModuleType, shape: Shape, bound: Mapping[str, Any]) -> Compiled:
        """A query's statement; one more row than an answer may hold shows that there are more."""
        most: ColumnElement[int] = literal_column(str(self.options.results + 1))
        return self._kept((module.ID, shape), lambda: module.statement(shape).limit(most), bound)

    def _kept(
        self, of: tuple[Any, ...], statement: Callable[[], Executable], bound: Mapping[str, Any]
    ) -> Compiled:
        """A statement, made once for each shape and size: making it costs more than a small query.

        Lists are as long as the next power of two, so that there are few sizes.
        """
        sizes = tuple(
            (name, 1 << (len(value) - 1).bit_length())
            for name, value in bound.items()
            if isinstance(value, list)
        )
        key = (*of, sizes)
        compiled = self._statements.get(key)
        if compiled is None:
            longest = dict(bound) | {name: [bound[name][0]] * size for name, size in sizes}
            compiled = self._database.compile(statement(), longest)
            if len(self._statements) >= _KEPT_STATEMENTS:
                self._statements.clear()
            self._statements[key] = compiled
        return compiled
