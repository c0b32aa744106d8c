"""The database, on both engines: transactions are whole, the schema is the migrations' result, and what is
in the way of a request is said. test_sqlite.py and test_postgresql.py have what only one of them does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, bindparam, insert, select

from tests import postgres
from xds.errors import SettingsError
from xds.registry import facets
from xds.store.database import Compiled, Database
from xds.store.schema import maintenance, metadata


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def nothing(engine: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without a table, or without a file."""
    if engine == "sqlite":
        yield f"sqlite:///{tmp_path}/xds.db"
        return
    url = postgres.new_database(template="template0")
    yield url
    postgres.drop_database(url)


def test_the_migrations_make_what_the_schema_says(database: Database) -> None:
    """Alembic finds no difference between the migrated database and the tables in schema.py."""
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    """A node that starts twice does not mind."""
    assert database.is_current()
    database.migrate()
    assert database.is_current()


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    """A write transaction is all or nothing."""
    with pytest.raises(KeyError), database.write() as connection:  # noqa: PT012
        connection.execute(insert(maintenance), {"name": "a", "value": "b"})
        raise KeyError
    with database.read() as connection:
        assert connection.execute(select(maintenance)).all() == []


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://host/x",
        "postgresql+psycopg2://host/x",
    ],
)
def test_a_database_we_cannot_use_is_refused_with_the_key(url: str) -> None:
    """The sentence names the setting."""
    with pytest.raises(SettingsError, match=r"store\.database"):
        Database(url)


def test_a_database_without_tables_is_not_current(nothing: str) -> None:
    """It says so, and does not fail."""
    database = Database(nothing)
    assert not database.is_current()
    database.close()


def test_processes_that_start_together_migrate_once(nothing: str) -> None:
    """One migrates; the others wait for it and find it done."""
    databases = [Database(nothing) for _ in range(4)]
    failed: list[BaseException] = []

    def migrate(database: Database) -> None:
        try:
            database.migrate()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=migrate, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert all(database.is_current() for database in databases)
    for database in databases:
        database.close()


def test_a_migration_that_fails_leaves_no_table(nothing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All or nothing: the next attempt starts from the same state."""
    from alembic.runtime.migration import MigrationContext as Context

    def fail(self: Any, *given: Any, **more: Any) -> None:
        connection = self.context.connection
        with_tables.extend(connection.dialect.get_table_names(connection))
        raise KeyError

    with_tables: list[str] = []
    database = Database(nothing)
    with monkeypatch.context() as patched:
        # The last thing a migration does is to note its number.
        patched.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", fail)
        with pytest.raises(KeyError):
            database.migrate()
    assert "document_entry" in with_tables
    with database.read() as connection:
        assert set(connection.dialect.get_table_names(connection)) <= {"alembic_version"}
        assert Context.configure(connection).get_current_revision() is None
    database.migrate()
    assert database.is_current()
    database.close()


def test_a_statement_that_fails_does_not_spoil_the_next(database: Database) -> None:
    """Whatever became of its connection."""
    for _ in range(20):  # more than there are connections
        with pytest.raises(Exception, match="nowhere"):
            database.fetch(Compiled("SELECT nothing FROM nowhere", (), {}), {})
    assert database.fetch(Compiled("SELECT 1", (), {}), {}) == [(1,)]


def test_text_comes_back_as_it_was_and_is_told_apart_by_every_character(database: Database) -> None:
    """Case, accents in both Unicode forms, trailing blanks, controls: a key is equal to itself only."""
    texts = ["a", "A", "a ", "å", "a\u030a", "Å", "aa", "AA", "%", "_", "\\", "\x1f", "\n", "\U0001f600", "'"]
    with database.write() as connection:
        connection.execute(insert(maintenance), [{"name": text, "value": text} for text in texts])
    statement = select(maintenance.c.value).where(maintenance.c.name == bindparam("name"))
    compiled = database.compile(statement, {"name": ""})
    assert [database.fetch(compiled, {"name": text}) for text in texts] == [[(text,)] for text in texts]


# -- the patterns of registry/facets.py ----------------------------------------------------------------------

NAME = "9144889^Fjell (jr.)^Tuva+Å\\^[x]{2}$|?*#\n&2.16.578&ISO"

#: A pattern, and whether it is LIKE the name above (ITI TF-2 3.18.4.1.2.3.5: % any run, _ any one).
PATTERNS = [
    ("%", True),
    ("%%%%%", True),
    (NAME, True),
    ("%Fjell%", True),
    ("%fjell%", False),
    ("Fjell%", False),
    ("9144889^Fjell%", True),
    ("%ISO", True),
    ("%IS", False),
    ("%Fjell%Tuva%ISO", True),
    ("%Tuva%Fjell%", False),
    ("%(jr.)%", True),
    ("%(jr_)%", True),
    ("%(jrx)%", False),
    ("%[x]{2}$|?*#%", True),
    ("%x{2}%", False),
    ("%\\%", True),
    ("%\\d%", False),
    ("%#\n&%", True),
    ("%#_&%", True),
    ("%(?>%", False),
    ("%\\(?>%", False),
    ("^%", False),
    (".*", False),
    ("_" * len(NAME), True),
    ("_" * (len(NAME) + 1), False),
    ("***:%", False),
    ("(?i)%fjell%", False),
    ("%Fjell_%_%Tuva%", True),
    ("%\x85%", False),
]


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS)
def test_a_pattern_means_the_same_on_both_engines(database: Database, pattern: str, expected: bool) -> None:
    """Alone, and as the last of a hundred; only among facets of its letter."""
    others = [f"%no {number}_(%" for number in range(99)]
    assert _found(database, facets.is_like("a", [pattern])) is expected
    assert _found(database, facets.is_like("a", [*others, pattern])) is expected
    assert not _found(database, facets.is_like("z", [pattern]))


@pytest.mark.parametrize("pattern", ["%a" * 60, "%a" * 60 + "_%b", "%" + "_" * 100 + "%b", "%a%_" * 30 + "z"])
def test_a_hostile_pattern_has_an_end(database: Database, pattern: str) -> None:
    """Going back and forth over a long text would take years."""
    assert not _found(
        database, facets.is_like("a", [pattern]), facets.pack([("a", "a" * 50 + "c" * 3000)] * 5)
    )


def test_thousands_of_codes_can_be_asked_for(database: Database) -> None:
    """The number of one that is there among 4000 others, and the same without it."""
    others = list(range(100_000, 104_000))
    assert _found(database, facets.is_one_of("e", [*others, 17]))
    assert not _found(database, facets.is_one_of("e", others))
    assert not _found(database, facets.is_one_of("e", [1, 7, 171]))


def _found(database: Database, pattern: str, column: str = "") -> bool:
    """Whether a row with the name above, and with code 17, is found."""
    packed = column or facets.pack([("a", "Other^Name"), ("a", NAME), ("e", 3), ("e", 17), ("r", "x")])

    def store(connection: Connection) -> None:
        connection.execute(maintenance.delete())
        connection.execute(insert(maintenance), {"name": "facets", "value": packed})

    database.transact(store)
    statement = select(maintenance.c.name).where(maintenance.c.value.regexp_match(bindparam("pattern")))
    return bool(database.fetch(database.compile(statement, {"pattern": ""}), {"pattern": pattern}))


def test_a_plan_says_what_is_pending(nothing: str) -> None:
    """Every step of an empty database, in order; none when it is done."""
    database = Database(nothing)
    steps = database.pending()
    assert [each.revision for each in steps] == [f"000{n}" for n in range(1, len(steps) + 1)]
    assert [each.revision for each in steps if not each.alongside] == ["0003"]
    assert all(each.what.endswith(".") for each in steps)
    database.migrate()
    assert database.pending() == []
    database.close()
