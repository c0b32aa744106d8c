"""What only SQLite does: one writer at a time, in a queue; nothing lost at power loss."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import OperationalError

from xds.store.database import Compiled, Database
from xds.store.schema import maintenance
from xds.store.sqlite import _PRAGMAS
from xds.store.trouble import DatabaseBusy, is_busy, nothing_written


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/xds.db")
    database.migrate()
    yield database
    database.close()


def test_a_database_that_is_not_there_is_not_current(tmp_path: Path) -> None:
    """And asking does not make the file."""
    database = Database(f"sqlite:///{tmp_path}/none.db")
    assert not database.is_current()
    assert list(tmp_path.iterdir()) == []


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
    with pytest.raises(OperationalError):
        database.fetch(Compiled("SELECT nothing FROM nowhere", (), {}), {})
    assert database.fetch(Compiled("SELECT 1", (), {}), {}) == [(1,)]


def test_nothing_is_forgotten_at_power_loss(database: Database) -> None:
    """Every connection syncs at commit (2 is FULL) and journals ahead."""
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_a_writer_does_not_wait_for_ever(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the lock and does not let go: nothing is written, and that is said."""
    monkeypatch.setattr("xds.store.sqlite._WAIT_SECONDS", 0.1)
    with open(f"{database.url.database}.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DatabaseBusy), database.write():
            raise AssertionError("it is not our turn")
    with database.write() as connection:
        connection.execute(insert(maintenance), {"name": "a", "value": "b"})


def test_another_program_that_writes_leaves_us_certain_that_we_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes put beside the database may go at once: SQLite has said "locked" before it wrote."""
    monkeypatch.setattr("xds.store.sqlite._PRAGMAS", (*_PRAGMAS, "busy_timeout=50"))
    database = Database(f"sqlite:///{tmp_path}/xds.db")
    database.migrate()
    with closing(sqlite3.connect(tmp_path / "xds.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError) as caught, database.write():
            raise AssertionError("somebody else writes")
    database.close()
    assert is_busy(caught.value)
    assert nothing_written(caught.value)
