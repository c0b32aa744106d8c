"""The document registry: what the transactions call to register a submission and to answer a stored query.

It owns the database of metadata; register.py has the rules of writing, queries/ the questions. It must never
be asked to read without the caller's visibility being part of the statement (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Final

from sqlalchemy import Connection, literal_column

from xds.errors import RegistryError, RegistryFailure
from xds.metadata.model import Slot, Submission
from xds.metadata.updates import Update
from xds.registry import elements, patients, rows
from xds.registry.prepare import Prepared, prepare, words_of
from xds.registry.queries import MULTI_PATIENT_QUERIES, STORED_QUERIES
from xds.registry.queries.parameters import Shape, read
from xds.registry.register import register
from xds.registry.remove import remove
from xds.registry.rules import broken
from xds.registry.update import prepare_update, update
from xds.registry.view import Visibility
from xds.store.codes import Codes
from xds.store.database import Compiled, Database

#: Far more than well-behaved callers need; others start over.
_KEPT_STATEMENTS: Final = 200


_LEAF: Final = {"LeafClass": True, "ObjectRef": False}
_OID_URN: Final = "urn:oid:"


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


@dataclass(frozen=True, slots=True)
class Found:
    """The elements of an answer's RegistryObjectList, made as they are sent; `warnings`: what is wrong with
    them.
    """

    elements: Iterator[list[bytes]]
    warnings: tuple[RegistryError, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """What a registry is set to.

    `results`: how many objects one answer may hold. `patients`: which patient ids are known, the setting
    patients.source. `authorities`: whose ids the feed announces, patients.authorities. `local_numbers`: as in
    patients.Domain. `home`: this community's OID or nothing. `limited_metadata`: whether it is accepted.
    """

    results: int = 10_000
    patients: str = "national"
    authorities: frozenset[str] = frozenset()
    local_numbers: bool = False
    home: str = ""
    limited_metadata: bool = False

    def is_home(self, community: str) -> bool:
        """Whether this is our community's id, with or without urn:oid:; without one of our own none is."""
        return bool(self.home) and community.removeprefix(_OID_URN) == self.home.removeprefix(_OID_URN)


class Registry:
    """The registry objects of one node."""

    def __init__(self, database: Database, options: Options) -> None:
        self.options = options
        self.domain = patients.Domain(options.patients, options.authorities, options.local_numbers)
        self._database = database
        self._codes = Codes(database)
        self._statements: dict[Any, Compiled] = {}

    def prepare(self, submission: Submission) -> Prepared:
        """All work on a valid submission that needs no lock."""
        prepared = prepare(submission, limited_metadata=self.options.limited_metadata)
        self._codes.learn(words_of(prepared))
        return prepared

    def register(self, connection: Connection, prepared: Prepared) -> bool:
        """Write a submission in the caller's transaction; False when it is an identical repeat."""
        return register(connection, prepared, self._codes, self.domain)

    def update(self, request: Update) -> bool:
        """Carry out an update in a transaction of its own; False when it is an identical repeat."""
        prepared = prepare_update(request)
        self._codes.learn(words_of(prepared))
        return self._database.transact(
            lambda connection: update(connection, request, prepared, self._codes, self.domain)
        )

    def remove(self, connection: Connection, ids: Sequence[str]) -> None:
        """Remove objects by entryUUID in the caller's transaction; raises RegistryFailure (remove.remove)."""
        remove(connection, ids)

    def announce(self, connection: Connection, pids: Collection[str]) -> None:
        """Make patient ids known; raises RegistryFailure (patients.announce)."""
        patients.announce(connection, self.domain, pids)

    def merge(self, connection: Connection, subsumed: str, surviving: str) -> None:
        """Let one patient id stand for two; raises RegistryFailure (patients.merge)."""
        patients.merge(connection, self.domain, subsumed, surviving)

    def query(self, query: StoredQuery, visibility: Visibility) -> Found:
        """What a stored query finds, as far as one answer may hold it. Raises RegistryFailure."""
        errors = self._check(query)
        module = (MULTI_PATIENT_QUERIES if query.multi_patient else STORED_QUERIES).get(query.id)
        if module is None:
            raise RegistryFailure(broken("query-known", "AdhocQuery/id"), *errors)
        leaf = _LEAF.get(query.return_type, False)
        shape, bound = read(
            query.parameters,
            module.PARAMETERS,
            module.CHOICES,
            self._codes,
            leaf=leaf,
            visibility=visibility,
            errors=errors,
        )
        found = self._database.fetch(self._compiled(module, shape, bound), bound)
        warnings: tuple[RegistryError, ...] = ()
        if len(found) > self.options.results:
            del found[self.options.results :]
            warnings = (replace(broken("query-too-many"), warning=True),)
        if not leaf:
            return Found(elements.write_references(found, self._codes), warnings)
        if module.ONE_PATIENT and len({row[rows.PID] for row in found} - {None}) > 1:
            raise RegistryFailure(broken("query-single-patient"))
        return Found(elements.write(found, self._codes), warnings)

    def _check(self, query: StoredQuery) -> list[RegistryError]:
        """What is wrong with a query but for its id and parameters."""
        errors = []
        if query.return_type not in _LEAF:
            errors.append(broken("query-return-type", "ResponseOption/returnType"))
        if query.home and not self.options.is_home(query.home):
            errors.append(broken("query-home", "AdhocQuery/home"))
        return errors

    def _compiled(self, module: ModuleType, shape: Shape, bound: Mapping[str, Any]) -> Compiled:
        """A query's statement, made once for each shape and size: making it costs more than a small query.

        Lists are as long as the next power of two, so that there are few sizes.
        """
        sizes = tuple(
            (name, 1 << (len(value) - 1).bit_length())
            for name, value in bound.items()
            if isinstance(value, list)
        )
        key = module.ID, shape, sizes
        compiled = self._statements.get(key)
        if compiled is None:
            # One more than an answer may hold shows that there are more.
            statement = module.statement(shape).limit(literal_column(str(self.options.results + 1)))
            longest = dict(bound) | {name: [bound[name][0]] * size for name, size in sizes}
            compiled = self._database.compile(statement, longest)
            if len(self._statements) >= _KEPT_STATEMENTS:
                self._statements.clear()
            self._statements[key] = compiled
        return compiled
