"""The log's rows under many hands: nobody is told that something is written that is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from tests.access.house import DOCTOR
from tests.access.people import caller
from tests.audit.trails import NODE, trail
from xds.audit.event import Entry, entry, id_of, recorded_of, whole
from xds.audit.facts import Context, Deed
from xds.audit.store import AuditLog
from xds.audit.verify import verify
from xds.security.caller import CallerKind
from xds.store.bodies import unpack
from xds.store.database import Database
from xds.store.trouble import DatabaseBusy


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    found = Database(database_url)
    found.migrate()
    yield found
    found.close()


def entries(count: int = 1, patient: str = "") -> list[Entry]:
    context = Context(endpoint="/xds/registry", remote="127.0.0.1", number="ITI-18")
    return [entry(NODE, context, Deed(patient=patient)) for _ in range(count)]


def rows(database: Database) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(text("SELECT seq, recorded FROM audit_event ORDER BY recorded")))


def test_many_threads_and_logs_make_one_chain(database: Database) -> None:
    """Of one node, as its workers do: every event once, in one order, whole."""
    logs = [AuditLog(database, NODE.name) for _ in range(3)]

    def write(log: AuditLog) -> None:
        for _ in range(20):
            log.write(entries(2))

    threads = [threading.Thread(target=write, args=(log,)) for log in logs for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [seq for seq, _ in rows(database)] == list(range(1, 481))
    (chain,) = verify(database)
    assert (chain.events, chain.problems) == (480, ())


def test_what_one_cannot_write_is_not_the_others_loss(database: Database) -> None:
    """A row that the database refuses fails for whoever brought it."""
    log = AuditLog(database, NODE.name)
    log.write(entries())
    bad = [Entry(pid=None, person=None, code=None, outcome=0, body=b"{}")]  # type: ignore[arg-type]
    failed: list[Exception] = []

    def write(some: list[Entry]) -> None:
        try:
            log.write(some)
        except Exception as error:
            failed.append(error)

    threads = [
        threading.Thread(target=write, args=(bad if number == 5 else entries(),)) for number in range(10)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(failed) == 1
    assert len(rows(database)) == 10
    assert verify(database)[0].problems == ()


def test_a_writer_that_ends_in_the_middle_has_written_for_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends it: those who waited are told that nothing is written, and the next write is as ever."""
    log = AuditLog(database, NODE.name)
    log.write(entries())
    begun, told = threading.Event(), []

    class Gone(BaseException):
        """What ends a thread and is no Exception."""

    def end(*_: Any) -> None:
        begun.wait(5)
        raise Gone

    with monkeypatch.context() as patched:
        patched.setattr(log, "_add", end)

        def lead() -> None:
            with pytest.raises(Gone):
                log.write(entries())

        def follow() -> None:
            try:
                log.write(entries())
            except (DatabaseBusy, Gone) as error:
                told.append(error)

        threads = [threading.Thread(target=lead)]
        threads[0].start()
        while not log._busy:
            pass
        threads += [threading.Thread(target=follow) for _ in range(3)]
        for each in threads[1:]:
            each.start()
        while len(log._queue) < 3:
            pass
        begun.set()
        for each in threads:
            each.join(10)
            assert not each.is_alive()
    assert len(told) == 3
    assert len(rows(database)) == 1
    log.write(entries())
    assert len(rows(database)) == 2


def test_another_database_in_the_place_of_the_first_gets_a_chain_of_its_own(database: Database) -> None:
    """A node that runs on while its database is restored writes on, and not into somebody else's chain."""
    log = AuditLog(database, NODE.name)
    log.write(entries())
    for name in ("audit_event", "audit_chain"):
        with database.write() as connection:
            connection.execute(text(f"DELETE FROM {name}"))
    AuditLog(database, "other-node").write(entries())
    log.write(entries())
    with database.write() as connection:
        log.add(connection, entries())
    assert {each.head.node: (each.events, each.problems) for each in verify(database)} == {
        "other-node": (1, ()),
        NODE.name: (2, ()),
    }


def test_an_event_of_one_who_is_called_by_what_is_no_text(database: Database) -> None:
    """A token may hold half a character: it is on record all the same."""
    who = caller(CallerKind.PERSONNEL, DOCTOR, None, name="Fjell \ud800", subject="\udfff")
    asked = trail(database, caller=who)
    asked.seen(Deed())
    with database.read() as connection:
        (body,) = connection.execute(text("SELECT body FROM audit_event")).scalars()
    event = orjson.loads(unpack([bytes(body)])[0])
    assert "Fjell ?" in [each.get("name") for each in event["agent"]]


def test_ids_lead_back_to_their_event(tmp_path: Path) -> None:
    """An id is made of node and time, and is another for each of either."""
    ids = {id_of(node, recorded): (node, recorded) for node in ("a", "b") for recorded in (1, 2, 2**50)}
    assert len(ids) == 6
    assert all(recorded_of(each) == recorded for each, (_, recorded) in ids.items())
    assert [recorded_of(each) for each in ("", "x", "00000000-0000-4000-8000-000000000001")] == [None] * 3
    event = orjson.loads(whole(b'{"resourceType":"AuditEvent","action":"R"}', "a", 1_764_396_000_123_456))
    assert event["recorded"] == "2025-11-29T06:00:00.123456Z"
    assert recorded_of(event["id"]) == 1_764_396_000_123_456
