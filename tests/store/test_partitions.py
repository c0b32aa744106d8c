"""`xds migrate --partitions`: an empty database is divided by patient, and entryUUIDs stay unique.

That every rule of the registry holds there too is for the modules of tests/registry that run on the engine
`partitioned`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from tests import postgres
from tests.metadata import samples as s
from tests.registry.conftest import Desk
from xds.errors import SettingsError
from xds.registry.view import EVERYTHING
from xds.store.database import Database
from xds.store.keys import uuid_bytes
from xds.store.partitions import DIVIDED
from xds.store.schema import entry_claim, metadata

NUMBER = 3


@pytest.fixture
def whole() -> Iterator[Database]:
    database = Database(postgres.new_database())
    yield database
    database.close()
    postgres.drop_database(str(database.url))


@pytest.fixture
def divided(whole: Database) -> Database:
    whole.migrate(partitions=NUMBER)
    return whole


def _facts(database: Database, query: str) -> set[tuple[object, ...]]:
    with database.read() as connection:
        return {tuple(row) for row in connection.execute(text(query))}


INDEXES = (
    "SELECT c.relname, regexp_replace(regexp_replace(pg_get_indexdef(i.indexrelid), ' ON (ONLY )?', ' ON '),"
    " 'CREATE (UNIQUE )?INDEX', 'CREATE INDEX')"
    " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid"
    " WHERE t.relnamespace = 'public'::regnamespace AND NOT t.relispartition"
)
COLUMNS = (
    "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage::text,"
    " pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0"
)


def test_a_divided_table_has_what_the_whole_one_had(whole: Database) -> None:
    """Columns, defaults, how bodies are stored, and indexes; of unique ones those that name the column."""
    indexes, columns = (_facts(whole, query) for query in (INDEXES, COLUMNS))
    whole.migrate(partitions=NUMBER)
    assert _facts(whole, INDEXES) == indexes
    after = _facts(whole, COLUMNS)
    assert columns <= after
    # A partition is its table with a number behind it.
    assert {(str(name).rpartition("_")[0], *more) for name, *more in after - columns} == {
        row for row in columns if row[0] in {table.name for table, _ in DIVIDED}
    }
    children = _facts(
        whole, "SELECT inhparent::regclass::text, count(*) FROM pg_inherits WHERE inhparent IN (SELECT"
        " partrelid FROM pg_partitioned_table) GROUP BY 1"
    )  # fmt: skip
    assert children == {(table.name, NUMBER) for table, _ in DIVIDED}
    assert whole.is_current()


def test_rows_are_spread_and_entry_uuids_are_unique(divided: Database) -> None:
    """Whoever writes an entryUUID a second time meets the claim, whichever patient it is for."""
    desk = Desk(divided)
    for number in range(1, 41):
        pid = f"{number}^^^&1.2.3&ISO"
        entry = s.document_entry(
            entry_uuid=_uuid(number), unique_id=f"1.2.3.{number}", patient_id=pid, source_patient_id=pid
        )
        assert desk.submit(
            s.submission(entry, of=s.submission_set(unique_id=f"1.2.4.{number}", patient_id=pid))
        )
    spread = [desk.count(f"document_entry_{each:03}") for each in range(NUMBER)]
    assert (sum(spread), min(spread) > 0) == (40, True)
    objects = sum(map(desk.count, ("document_entry", "submission_set", "association", "folder")))
    assert desk.count("entry_claim") == objects
    claim = {"entry_uuid": uuid_bytes(_uuid(1)), "patient_pk": 1}
    with divided.write() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(entry_claim), claim)


def _uuid(number: int) -> str:
    return f"urn:uuid:00000000-0000-4000-8000-{number:012}"


def test_an_entry_uuid_can_be_used_again_when_its_object_is_removed(divided: Database) -> None:
    """As in a whole database: the claim goes with the row."""
    desk = Desk(divided)
    entry = s.document_entry(entry_uuid=_uuid(1))
    the_set = s.submission_set(entry_uuid=_uuid(2))
    for _ in range(2):
        assert desk.submit(s.submission(entry, of=the_set))
        with divided.read() as connection:
            raw = (
                connection.execute(text("SELECT encode(entry_uuid, 'hex') FROM entry_claim")).scalars().all()
            )
        every = [f"urn:uuid:{each[:8]}-{each[8:12]}-{each[12:16]}-{each[16:20]}-{each[20:]}" for each in raw]
        assert len(every) == 3
        divided.transact(lambda connection, ids=every: desk.registry.remove(connection, ids, EVERYTHING))
        assert desk.count("entry_claim") == 0


def test_what_is_divided_stays_so(divided: Database) -> None:
    """Again is nothing to do; another number, or a database with content, is refused."""
    divided.migrate(partitions=NUMBER)
    divided.migrate()
    with pytest.raises(SettingsError, match="has 3 partitions"):
        divided.migrate(partitions=4)


def test_only_an_empty_database_that_nobody_uses_is_divided(whole: Database) -> None:
    """Nothing is lost, and no node is left that takes the tables for whole."""
    assert Desk(whole).submit(s.submission(s.document_entry()))
    node = Database(str(whole.url))
    with node.read():
        pass
    with pytest.raises(SettingsError, match="in use"):
        whole.migrate(partitions=NUMBER)  # an idle connection is enough
    node.close()
    with pytest.raises(SettingsError, match="not empty"):
        whole.migrate(partitions=NUMBER)
    assert Desk(whole).count("document_entry") == 1
    assert len(_facts(whole, "SELECT partrelid FROM pg_partitioned_table")) == 0


def test_a_file_has_no_partitions(tmp_path: object) -> None:
    """SQLite is for one machine."""
    with pytest.raises(SettingsError, match="only PostgreSQL"):
        Database(f"sqlite:///{tmp_path}/xds.db").migrate(partitions=2)


def test_every_table_of_registry_objects_is_divided() -> None:
    """Whatever has an entryUUID and a patient: a table that is added must not be forgotten."""
    of_objects = {name for name, table in metadata.tables.items() if "entry_uuid" in table.c}
    assert of_objects <= {table.name for table, _ in DIVIDED}
