"""The document registry: what the transactions call to register a submission and to answer a stored query.

It owns the database of metadata; register.py has the rules of writing, queries/ the questions.
It must never be asked to read without the caller's visibility being part of the statement (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from xds.errors import RegistryFailure
from xds.metadata.model import Slot, Submission
from xds.registry import rows
from xds.registry.prepare import Prepared, prepare, words_of
from xds.registry.queries import STORED_QUERIES
from xds.registry.queries.parameters import Shape, read
from xds.registry.register import register
from xds.registry.rules import broken
from xds.store import schema
from xds.store.codes import Codes
from xds.store.database import Database


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """A stored query as it was asked: its id, its parameters as sent, and whether full objects are wanted."""

    id: str
    parameters: Sequence[Slot]
    leaf: bool


class Registry:
    """The registry objects of one node."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._codes = Codes(database)

    def prepare(self, submission: Submission) -> Prepared:
        """All work on a valid submission that needs no lock."""
        prepared = prepare(submission)
        self._codes.learn(words_of(prepared))
        return prepared

    def register(self, connection: Connection, prepared: Prepared) -> bool:
        """Write a submission in the caller's transaction; False when it is an identical repeat."""
        return register(connection, prepared, self._codes)

    def query(self, query: StoredQuery) -> list[bytes]:
        """The elements of the answer's RegistryObjectList, ready to send. Raises RegistryFailure."""
        module = STORED_QUERIES.get(query.id)
        if module is None:
            raise RegistryFailure(broken("query-known", "AdhocQuery/id"))
        shape, bound = read(
            query.parameters, module.PARAMETERS, module.ALTERNATIVES, self._codes, leaf=query.leaf
        )
        with self._database.read() as connection:
            found = connection.execute(_statement(query.id, shape), bound).all()
        if not query.leaf:
            return rows.write_references(found, self._codes)
        if module.ONE_PATIENT and len({row.pid for row in found if row.kind != schema.KIND_ASSOCIATION}) > 1:
            raise RegistryFailure(broken("query-single-patient"))
        return rows.write(found, self._codes)


@lru_cache(maxsize=512)
def _statement(query_id: str, shape: Shape) -> Any:
    """A query's statement for a shape, built once: building costs more than a small patient's query."""
    return STORED_QUERIES[query_id].statement(shape)
