"""A registry of its own for each test, on a database in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import pytest

from tests.metadata import samples
from xds.errors import RegistryFailure
from xds.metadata import names
from xds.metadata.ebrim import read_object_list
from xds.metadata.model import RegistryObject, Slot
from xds.metadata.updates import Update
from xds.metadata.validation import Transaction, check, submission
from xds.registry.queries import MULTI_PATIENT_QUERIES
from xds.registry.registry import Options, Registry, StoredQuery
from xds.registry.view import EVERYTHING, Visibility
from xds.store.database import Database

#: Tests make up patient ids.
OPEN = Options(patients="open")


class Desk:
    """A registry as its users see it: submit objects, ask stored queries.

    `replica`: whether a replica may answer, as for ITI-18.
    """

    replica = False

    def __init__(self, database: Database, options: Options = OPEN) -> None:
        self.database = database
        self.registry = Registry(database, options)

    def submit(self, objects: Sequence[RegistryObject], transaction: Transaction = "ITI-42") -> bool:
        """Register a valid submission; False when it was a repeat."""
        assert check(objects, transaction=transaction) == ()
        prepared = self.registry.prepare(submission(objects))
        return self.database.transact(
            lambda connection: self.registry.register(connection, prepared, EVERYTHING)
        )

    def update(self, request: Update, visibility: Visibility = EVERYTHING) -> bool:
        """Carry out a valid update; False when it was a repeat."""
        prepared = self.registry.prepare_update(request)
        return self.database.transact(
            lambda connection: self.registry.update(connection, request, prepared, visibility)
        )

    def refused(
        self, objects: Sequence[RegistryObject], transaction: Transaction = "ITI-42"
    ) -> list[tuple[str, str, str]]:
        """(code, rule, location) of every error of a submission that must be refused."""
        with pytest.raises(RegistryFailure) as caught:
            self.submit(objects, transaction)
        return [(str(error.code), error.rule, error.location) for error in caught.value.errors]

    def ask(
        self, query: str, leaf: bool = True, visibility: Visibility = EVERYTHING, **parameters: Any
    ) -> tuple[RegistryObject, ...]:
        """The objects that a query answers with; a parameter is a value, a list, or lists (AND)."""
        slots = []
        for name, given in parameters.items():
            for group in given if isinstance(given, tuple) else (given,):
                values = tuple(group) if isinstance(group, list) else (group,)
                slots.append(Slot("$" + name, values))
        return_type = "LeafClass" if leaf else "ObjectRef"
        asked = StoredQuery(query, slots, return_type, multi_patient=query in MULTI_PATIENT_QUERIES)
        answer = b"".join(
            chain.from_iterable(self.registry.query(asked, visibility, replica=self.replica).elements)
        )
        wrapped = (
            f'<rim:RegistryObjectList xmlns:rim="{names.RIM}">'.encode()
            + answer
            + b"</rim:RegistryObjectList>"
        )
        element = samples.element(wrapped)
        if leaf:
            return read_object_list(element)
        return tuple(RegistryObject("ObjectRef", dict(child.attrib)) for child in element)  # type: ignore[arg-type]

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self.database.read() as connection:
            return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


@pytest.fixture
def desk(database_url: str) -> Iterable[Desk]:
    database = Database(database_url)
    yield Desk(database)
    database.close()
