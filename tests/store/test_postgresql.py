"""What only PostgreSQL does: a server that goes away, locks that meet, connections that run out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from falcon.testing import TestClient
from sqlalchemy import Connection, bindparam, insert, select, text, update
from sqlalchemy.exc import OperationalError

from tests import postgres
from tests.store.test_migration_0003 import migrate
from tests.test_app import settings
from tests.waiting import eventually
from xds.app import create_app
from xds.config import load
from xds.store.database import Compiled, Database
from xds.store.schema import maintenance
from xds.store.trouble import DatabaseBusy, is_busy, no_room, nothing_written

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True, scope="session")

ONE = Compiled("SELECT 1", (), {})


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, connections=2)
    yield database
    database.close()


@pytest.fixture
def own(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Cluster]:
    """A server of one's own, to stop and start; its address has a migrated database `xds`."""
    with postgres.cluster() as cluster:
        yield cluster


def _cut(database: Database) -> None:
    """End every session of this database, as a restart or a failover does, and wait until they are gone."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(str(database.url).replace("+psycopg", "")) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid, 10000) {others}".encode())


def test_every_session_is_set(database: Database) -> None:
    """Nobody waits for ever, and what is committed stays."""
    wanted = {
        "jit": "off",
        "lock_timeout": "30s",
        "statement_timeout": "1min",
        "idle_in_transaction_session_timeout": "1min",
        "client_encoding": "UTF8",
        "transaction_isolation": "read committed",
    }
    with database.read() as reading, database.write() as writing:
        for connection in (reading, writing):
            found = {name: connection.scalar(text(f"SHOW {name}")) for name in wanted}
            assert found == wanted


def test_bodies_are_not_compressed_again(database: Database) -> None:
    """They are compressed already ("e" is EXTERNAL)."""
    storage = (
        "SELECT c.relname, a.attstorage FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE a.attname = 'body' AND c.relkind = 'r'"
    )
    with database.read() as connection:
        found = {
            name: bytes(how, "ascii") if isinstance(how, str) else how
            for name, how in connection.exec_driver_sql(storage)
        }
    tables = ("document_entry", "submission_set", "folder", "association", "audit_event")
    assert found == dict.fromkeys(tables, b"e")


def test_connections_that_were_cut_are_replaced(database: Database) -> None:
    """Nobody notices, whichever way the database is asked."""
    for _ in range(2):
        with database.read() as one, database.read() as two:  # both connections are open
            assert one.scalar(text("SELECT 1")) == two.scalar(text("SELECT 1"))
        with database.write() as connection:
            connection.execute(text("SELECT 1"))
        _cut(database)
        assert database.fetch(ONE, {}) == [(1,)]
        _cut(database)
        with database.read() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        with database.write() as connection:
            assert connection.scalar(text("SELECT 1")) == 1


def test_a_read_under_which_the_connection_breaks_is_tried_once_more(database: Database) -> None:
    """Once: the first attempt ends its own session, the second finds that it has been here."""
    with database.write() as connection:
        connection.execute(text("CREATE SEQUENCE tries"))
    try:
        end = "CASE WHEN nextval('tries') = 1 THEN pg_terminate_backend(pg_backend_pid()) END"
        assert database.fetch(Compiled(f"SELECT {end}, 1", (), {}), {}) == [(None, 1)]
        with pytest.raises(OperationalError) as caught:
            database.fetch(Compiled("SELECT pg_terminate_backend(pg_backend_pid())", (), {}), {})
        assert is_busy(caught.value)
    finally:
        with database.write() as connection:
            connection.execute(text("DROP SEQUENCE tries"))


def test_waiting_for_a_connection_has_an_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two connections, both in use: the third caller is told that the database is busy."""
    for pool in (database._kind.readers.pool, database._kind.writers.pool):
        monkeypatch.setattr(pool, "_timeout", 0.1)
    with database.read(), database.read():
        with pytest.raises(DatabaseBusy):
            database.fetch(ONE, {})
        with pytest.raises(DatabaseBusy), database.read():
            pass
        with database.write(), database.write(), pytest.raises(DatabaseBusy), database.write():
            pass
    assert database.fetch(ONE, {}) == [(1,)]


def test_waiting_for_a_lock_has_an_end(database: Database) -> None:
    """Somebody holds a row and does not let go: nothing is written, and it is busy and no fault."""
    rename = update(maintenance).values(value="b")
    impatient = Database(f"{database.url}?options=-clock_timeout%3D100ms")
    with database.write() as connection:
        connection.execute(insert(maintenance), {"name": "a", "value": "a"})
    with database.write() as holder:
        holder.execute(rename)
        with pytest.raises(OperationalError) as caught:
            impatient.transact(lambda connection: connection.execute(rename))
    assert is_busy(caught.value)
    impatient.close()


def test_a_deadlock_reaches_nobody(database: Database) -> None:
    """Two transactions lock two rows in opposite orders; the one that is broken off is done again."""
    with database.write() as connection:
        connection.execute(insert(maintenance), [{"name": name, "value": ""} for name in "ab"])
        connection.execute(text(f"ALTER DATABASE {database.url.database} SET deadlock_timeout = '10ms'"))
    _cut(database)
    both = threading.Barrier(2)
    begun: list[str] = []
    failed: list[BaseException] = []

    def work(connection: Connection, names: str) -> None:
        begun.append(names)
        for name in names:
            connection.execute(
                update(maintenance)
                .where(maintenance.c.name == name)
                .values(value=maintenance.c.value + names)
            )
            if len(begun) <= 2 and name == names[0]:
                both.wait(10)

    def run(names: str) -> None:
        try:
            database.transact(lambda connection: work(connection, names))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(names,)) for names in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(begun) == 3, "one of them was broken off"
    with database.read() as connection:
        values = connection.execute(select(maintenance.c.value)).scalars().all()
    assert len(set(values)) == 1
    assert sorted(values[0]) == list("aabb"), "each has written once"


#: SQLSTATE, and what is answered: XDS…OutOfResources ("full"), XDS…Busy ("busy"), or a fault ("").
STATES = [
    ("53100", "full"),  # disk_full
    ("53300", "busy"),  # too_many_connections
    ("53200", "busy"),  # out_of_memory
    ("55P03", "busy"),  # lock_not_available
    ("57014", "busy"),  # query_canceled: statement_timeout
    ("57P03", "busy"),  # cannot_connect_now
    ("40P01", "busy"),  # deadlock_detected
    ("08006", "busy"),  # connection_failure
    ("58030", ""),  # io_error: something is broken, and sending again will not help
    ("XX001", ""),  # data_corrupted
]


@pytest.mark.parametrize(("state", "meaning"), STATES)
def test_an_error_of_the_server_means_what_it_means(database: Database, state: str, meaning: str) -> None:
    """Raised by the server itself, on both ways to it."""
    raising = f"DO $$ BEGIN RAISE EXCEPTION SQLSTATE '{state}'; END $$"
    found = []
    for attempt in (lambda: _write(database, raising), lambda: database.fetch(Compiled(raising, (), {}), {})):
        try:
            attempt()
        except Exception as error:
            found.append("full" if no_room(error) else "busy" if is_busy(error) else "")
    assert found == [meaning, meaning]


def _write(database: Database, statement: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(statement)


def test_a_statement_is_prepared_and_lists_keep_their_size(database: Database) -> None:
    """The tenth run is one that the server has seen; values are values, whatever they look like."""
    statement = select(maintenance.c.name).where(maintenance.c.name.in_(bindparam("names", expanding=True)))
    compiled = database.compile(statement, {"names": ["", "", "", ""]})
    names = ["%s", "'; DROP TABLE maintenance; --", "å"]
    with database.write() as connection:
        connection.execute(insert(maintenance), [{"name": name, "value": ""} for name in names])
    for _ in range(10):
        assert sorted(database.fetch(compiled, {"names": names})) == sorted((name,) for name in names)
    with database._kind.readers.connect() as connection:
        prepared = connection.exec_driver_sql("SELECT statement FROM pg_prepared_statements").scalars().all()
    assert any("maintenance.name" in each for each in prepared)


def test_a_node_whose_server_is_away_is_not_ready_and_refuses(own: postgres.Cluster, tmp_path: Path) -> None:
    """It lives, says that it is not ready, and is well again when the server is."""
    database = Database(own.url)
    app = TestClient(create_app(load(None, settings(tmp_path, XDS_STORE__DATABASE=own.url))))
    assert app.simulate_get("/health/ready").status_code == 200
    own.stop()
    assert app.simulate_get("/health/live").status_code == 200
    answer = app.simulate_get("/health/ready")
    assert (answer.status_code, answer.text) == (503, "not ready\ndatabase OperationalError\n")
    for attempt in (lambda: database.fetch(ONE, {}), lambda: _write(database, "SELECT 1")):
        with pytest.raises(OperationalError) as caught:
            attempt()
        assert is_busy(caught.value)
    own.start()
    assert app.simulate_get("/health/ready").status_code == 200
    assert database.fetch(ONE, {}) == [(1,)]
    database.close()


def test_a_server_that_takes_no_writes_is_busy_and_left(own: postgres.Cluster, tmp_path: Path) -> None:
    """SQLSTATE 25006: a primary that became a standby, or was made read-only; well again by itself."""
    database = Database(own.url)
    app = TestClient(create_app(load(None, settings(tmp_path, XDS_STORE__DATABASE=own.url))))
    pooled = _backends(database)
    with psycopg.connect(f"{own.address}/postgres", autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        _wait(lambda: app.simulate_get("/health/ready").status_code == 503)
        answer = app.simulate_get("/health/ready")
        assert answer.text == "not ready\ndatabase DatabaseBusy\n"
        for write in (_append, _run, _execute):
            with pytest.raises(OperationalError) as caught:
                write(database)
            assert is_busy(caught.value)
            assert nothing_written(caught.value)
        assert database.fetch(ONE, {}) == [(1,)]
        connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        connection.execute("SELECT pg_reload_conf()")
        _wait(lambda: app.simulate_get("/health/ready").status_code == 200)
    assert _backends(database).isdisjoint(pooled)
    _execute(database)
    database.close()


INSERT = Compiled("INSERT INTO maintenance (name, value) VALUES ('a', 'b')", (), {})


def _append(database: Database) -> None:
    with database.append() as run:
        run(INSERT, {})


def _run(database: Database) -> None:
    database.transact(lambda connection: database.run(connection, INSERT, {}))


def _execute(database: Database) -> None:
    database.transact(lambda connection: connection.exec_driver_sql(INSERT.text))


def _backends(database: Database) -> set[int]:
    """The server's processes behind the connections for writing: one, when nobody else writes."""
    with database.write() as connection:
        return {int(connection.scalar(text("SELECT pg_backend_pid()")))}


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_without_a_connection_to_spare_is_busy(own: postgres.Cluster) -> None:
    """SQLSTATE 53300, which comes before there is a connection to carry it."""
    name = own.url.rpartition("/")[2]
    with psycopg.connect(f"{own.address}/postgres", autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN")
        connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0".encode())
    database = Database(own.url.replace("//xds@", "//guest@"))
    with pytest.raises(OperationalError) as caught:
        database.fetch(ONE, {})
    assert is_busy(caught.value)
    with pytest.raises(OperationalError) as caught:
        _write(database, "SELECT 1")
    assert is_busy(caught.value)
    database.close()


def test_a_migration_that_must_wait_holds_up_nobody(engine: str) -> None:
    """Somebody's transaction keeps a table that it changes: others read on, and afterwards it is done."""
    older = Database(postgres.new_database(template="template0"))
    migrate(older, "0002")
    address = str(older.url).replace("+psycopg", "")
    with psycopg.connect(address) as long, psycopg.connect(address, autocommit=True) as other:
        long.execute("SELECT count(*) FROM document_entry")
        migrating = threading.Thread(target=older.migrate)
        migrating.start()
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'document_entry'::regclass"
        assert eventually(lambda: other.execute(waits).fetchall() == [(1,)])
        # Behind the one that waits; it would be 30 s, when `long` is still there.
        other.execute("SET lock_timeout = '20s'")
        assert other.execute("SELECT count(*) FROM document_entry").fetchall() == [(0,)]
        assert migrating.is_alive()
        long.rollback()
        migrating.join()
    assert older.is_current()
    older.close()
    postgres.drop_database(str(older.url))


def test_a_migration_gives_up_in_the_end(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is there, and the next one does it."""
    monkeypatch.setattr("xds.store.database._MIGRATE_SECONDS", 0)
    older = Database(postgres.new_database(template="template0"))
    migrate(older, "0002")
    with psycopg.connect(str(older.url).replace("+psycopg", "")) as long:
        long.execute("SELECT count(*) FROM document_entry")
        with pytest.raises(OperationalError):
            older.migrate()
    assert older.pending()[0].revision == "0003"
    older.migrate()
    assert older.is_current()
    older.close()
    postgres.drop_database(str(older.url))
