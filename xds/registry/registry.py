"""The document registry: what the transactions call to register a submission and to answer a stored query.

It owns the database of metadata; register.py has the rules of writing, queries/ the questions. It must never
be asked to read without the caller's visibility being part of the statement (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from xds.errors import RegistryFailure
from xds.metadata.model import Slot, Submission
from xds.registry import elements, rows
from xds.registry.prepare import Prepared, prepare, words_of
from xds.registry.queries import STORED_QUERIES
from xds.registry.queries.parameters import Shape, read
from xds.registry.register import register
from xds.registry.rules import broken
from xds.registry.view import Visibility
from xds.store.codes import Codes
from xds.store.database import Compiled, Database

#: Far more than well-behaved callers need; others start over.
_KEPT_STATEMENTS: Final = 200


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """A stored query as it was asked: its id, its parameters as sent, and whether full objects are wanted."""

    id: str
    parameters: Sequence[Slot]
    leaf: bool


@dataclass(frozen=True, slots=True)
class Options:
    """What a registry is set to.

    `results`: how many objects one answer may hold. `patients`: which patient ids are known, the setting
    patients.source. `home`: this community's OID or nothing. `limited_metadata`: whether it is accepted.
    """

    results: int = 10_000
    patients: str = "national"
    home: str = ""
    limited_metadata: bool = False


class Registry:
    """The registry objects of one node."""

    def __init__(self, database: Database, options: Options) -> None:
        self.options = options
        self._database = database
        self._codes = Codes(database)
        self._statements: dict[Any, Compiled] = {}

    def prepare(self, submission: Submission) -> Prepared:
        """All work on a valid submission that needs no lock."""
        prepared = prepare(submission)
        self._codes.learn(words_of(prepared))
        return prepared

    def register(self, connection: Connection, prepared: Prepared) -> bool:
        """Write a submission in the caller's transaction; False when it is an identical repeat."""
        return register(connection, prepared, self._codes)

    def query(self, query: StoredQuery, visibility: Visibility) -> Iterator[list[bytes]]:
        """The elements of the answer's RegistryObjectList, made as they are sent. Raises RegistryFailure."""
        module = STORED_QUERIES.get(query.id)
        if module is None:
            raise RegistryFailure(broken("query-known", "AdhocQuery/id"))
        shape, bound = read(
            query.parameters,
            module.PARAMETERS,
            module.ALTERNATIVES,
            self._codes,
            leaf=query.leaf,
            visibility=visibility,
        )
        found = self._database.fetch(self._compiled(query.id, shape, bound), bound)
        if not query.leaf:
            return elements.write_references(found, self._codes)
        if module.ONE_PATIENT and len({row[rows.PID] for row in found} - {None}) > 1:
            raise RegistryFailure(broken("query-single-patient"))
        return elements.write(found, self._codes)

    def _compiled(self, query_id: str, shape: Shape, bound: Mapping[str, Any]) -> Compiled:
        """A query's statement, made once for each shape and size: making it costs more than a small query.

        Lists are as long as the next power of two, so that there are few sizes.
        """
        sizes = tuple(
            (name, 1 << (len(value) - 1).bit_length())
            for name, value in bound.items()
            if isinstance(value, list)
        )
        key = query_id, shape, sizes
        compiled = self._statements.get(key)
        if compiled is None:
            statement = STORED_QUERIES[query_id].statement(shape)
            longest = dict(bound) | {name: [bound[name][0]] * size for name, size in sizes}
            compiled = self._database.compile(statement, longest)
            if len(self._statements) >= _KEPT_STATEMENTS:
                self._statements.clear()
            self._statements[key] = compiled
        return compiled
