"""The database: transactions are whole, the schema is the migrations' result, writers take turns."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, select

from xds.errors import SettingsError
from xds.store.database import Compiled, Database, DatabaseBusy
from xds.store.schema import maintenance, metadata


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/xds.db")
    database.migrate()
    yield database
    database.close()


def test_the_migrations_make_what_the_schema_says(database: Database) -> None:
    """Alembic finds no difference between the migrated database and the tables in schema.py."""
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    """A node that starts twice does not mind."""
    assert database.is_current()
    database.migrate()
    assert database.is_current()


def test_an_empty_database_is_not_current(tmp_path: Path) -> None:
    """And asking does not make the file."""
    database = Database(f"sqlite:///{tmp_path}/none.db")
    assert not database.is_current()
    assert list(tmp_path.iterdir()) == []


def test_workers_that_start_together_migrate_once(tmp_path: Path) -> None:
    """The queue lets one migrate; the others find it done."""
    databases = [Database(f"sqlite:///{tmp_path}/xds.db") for _ in range(4)]
    threads = [threading.Thread(target=database.migrate) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(database.is_current() for database in databases)
    for database in databases:
        database.close()


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    """A write transaction is all or nothing."""
    with pytest.raises(KeyError), database.write() as connection:  # noqa: PT012
        connection.execute(insert(maintenance), {"name": "a", "value": "b"})
        raise KeyError
    with database.read() as connection:
        assert connection.execute(select(maintenance)).all() == []


def test_writers_leave_no_descriptor_behind(database: Database) -> None:
    """Threads come and go; what they opened to wait for their turn goes with the turn."""

    def write() -> None:
        with database.write():
            pass

    def descriptors() -> int:
        return sum(
            "lock" in os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _open(fd)
        )

    for _ in range(3):
        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert descriptors() == 0


def _open(descriptor: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{descriptor}")


def test_a_statement_that_fails_closes_its_connection(database: Database) -> None:
    """And the next one gets another."""
    with pytest.raises(sqlite3.OperationalError):
        database.fetch(Compiled("SELECT nothing FROM nowhere", (), {}), {})
    assert database.fetch(Compiled("SELECT 1", (), {}), {}) == [(1,)]


def test_nothing_is_forgotten_at_power_loss(database: Database) -> None:
    """Every connection syncs at commit (2 is FULL) and journals ahead."""
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:", "mysql://host/x"])
def test_a_database_we_cannot_use_is_refused_with_the_key(url: str) -> None:
    """The sentence names the setting."""
    with pytest.raises(SettingsError, match=r"store\.database"):
        Database(url)


def test_a_writer_does_not_wait_for_ever(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the lock and does not let go: nothing is written, and that is said."""
    monkeypatch.setattr("xds.store.database._WAIT_SECONDS", 0.1)
    with open(f"{database.path}.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DatabaseBusy), database.write():
            raise AssertionError("it is not our turn")
    with database.write() as connection:
        connection.execute(insert(maintenance), {"name": "a", "value": "b"})
