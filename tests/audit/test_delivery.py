"""Handing events on: receivers that fail in every way, crashes, two at once, refusals, one that is poison."""

from __future__ import annotations

import logging
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy import delete, func, select

from tests.audit import receiving
from tests.audit.receiving import PACE, Play, Repository, Request, repository, syslog_repository
from tests.audit.trails import NODE
from tests.test_tls import Authority
from xds.audit import lease
from xds.audit.delivery import Delivery, Pace
from xds.audit.event import Entry, entry, id_of, recorded_of
from xds.audit.facts import Context, Deed
from xds.audit.lease import Lease
from xds.audit.outbox import Backlog, resend, waiting
from xds.audit.receivers import (
    TAKEN,
    Event,
    FhirReceiver,
    Receiver,
    Refused,
    SyslogReceiver,
    Unavailable,
    receivers,
)
from xds.audit.store import AuditLog
from xds.store.database import Database
from xds.store.schema import audit_event, audit_outbox, audit_receiver

#: Whoever waits for something that happens at once waits so long, on a busy machine.
SECONDS = 30.0


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def fhir() -> Iterator[Repository]:
    with repository() as one:
        yield one


# ---- events


def of_patient(number: int) -> Entry:
    """An event about one of many patients; 0: about none."""
    patient = f"{number:011}^^^&2.16.578.1.12.4.1.4.1&ISO" if number else ""
    return entry(NODE, Context(endpoint="/xds/registry", number="ITI-18"), Deed(patient=patient))


def write(database: Database, numbers: Sequence[int], names: Sequence[str] = ("fhir",)) -> list[str]:
    """One event for each patient of the list, in that order; their ids."""
    log = AuditLog(database, NODE.name, names)
    known: dict[int, Entry] = {number: of_patient(number) for number in set(numbers)}
    ids = []
    for start in range(0, len(numbers), 500):
        some = [known[number] for number in numbers[start : start + 500]]
        with database.write() as connection:
            log.add(connection, some)
            rows = connection.execute(
                select(audit_event.c.recorded).order_by(audit_event.c.recorded.desc()).limit(len(some))
            ).scalars()
            ids += [id_of(NODE.name, recorded) for recorded in reversed(rows.all())]
    return ids


@contextmanager
def handing_on(database: Database, *some: Receiver, pace: Pace = PACE) -> Iterator[Delivery]:
    """Until the end of the block."""
    delivery = Delivery(database, some, pace)
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.close()


def to(fhir: Repository, seconds: float = 5.0) -> FhirReceiver:
    return FhirReceiver(fhir.url, None, seconds)


def until(what: Callable[[], Any], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def backlog(database: Database, name: str = "fhir") -> Backlog:
    with database.read() as connection:
        found = [each for each in waiting(connection) if each.receiver == name]
    return found[0] if found else Backlog(name, 0, 0, None, 0, None)


def nothing_waits(database: Database, name: str = "fhir") -> Callable[[], bool]:
    return lambda: backlog(database, name).waiting == 0


# ---- ten thousand


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True, scope="session")
def test_ten_thousand_events_to_a_receiver_that_fails_in_every_way(
    database: Database, fhir: Repository, record_property: Callable[[str, object], None]
) -> None:
    """All arrive; each patient's in order; twice only what may have been lost, and then the same bytes."""
    # Up to four at once for a patient, as a request makes them, and more of the same patient later.
    ids = write(database, [1 + (i // 4) ** 2 % 3001 for i in range(9_900)] + [0] * 100)
    assert len(set(ids)) == 10_000
    failing = [
        (Play.BREAK, 12),
        (Play.ERROR, 60),
        (Play.SILENT, 8),
        (Play.GARBAGE, 12),
        (Play.CLOSED, 1),
        (Play.BUSY, 5),
    ]
    mixed = [pair for play, _ in failing for pair in ((play, 1), (Play.TAKE, 40))] * 2
    fhir.follow(
        *(pair for phase in failing for pair in ((Play.TAKE, 900), phase)),
        (Play.TAKE, 500),
        *mixed,
        (Play.CLOSED, 1),
    )
    start = time.monotonic()
    with handing_on(database, to(fhir, 0.4)):
        until(nothing_waits(database), 120)
    seconds = time.monotonic() - start
    fhir.check()
    assert fhir.ids == set(ids)
    assert backlog(database).dead == 0
    twice = len(fhir.arrivals) - len(ids)
    assert 12 + 8 + 12 <= twice < 200
    record_property(
        "figure", f"10,000 events to a receiver that fails: {seconds:.0f} s, {twice} arrived twice"
    )


# ---- crashes, and two at once


def child(database: Database, url: str, lease: float = 1.0) -> subprocess.Popen[bytes]:
    """A process that hands on."""
    address = database.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.audit.receiving", address, url, str(lease)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2])


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)


def test_a_crash_between_sending_and_commit_loses_nothing(database: Database, fhir: Repository) -> None:
    """The process is killed when the receiver has stored an event and not answered yet; twice."""
    ids = write(database, [1 + i % 40 for i in range(400)])
    for number in (30, 60):
        processes: list[subprocess.Popen[bytes]] = []

        def play(request: Request, number: int = number, processes: Any = processes) -> Play:
            if len(fhir.requests) >= number and processes:
                os.kill(processes[0].pid, signal.SIGKILL)
            return Play.TAKE

        fhir.play = play
        processes.append(child(database, fhir.url, 0.5))
        try:
            assert processes[0].wait(SECONDS) == -signal.SIGKILL
        finally:
            kill(processes[0])
    until(lambda: not fhir._open)  # what was on its way to it has come
    sent, left = len(fhir.arrivals), backlog(database).waiting
    assert sent >= 60
    assert left > 400 - 60  # what was sent last was never settled
    fhir.follow()
    with handing_on(database, to(fhir), pace=replace(PACE, lease=0.5)):
        until(nothing_waits(database))
    fhir.check()
    assert fhir.ids == set(ids)
    assert len(fhir.arrivals) == sent + left > 400


def test_of_two_processes_one_works_and_the_other_takes_over(database: Database, fhir: Repository) -> None:
    """The second sends nothing while the first lives, and goes on where the killed one was."""
    bases = [f"{fhir.url}/a", f"{fhir.url}/b"]
    processes = [child(database, base, 6) for base in bases]
    try:
        write(database, [1 + i % 20 for i in range(100)])
        until(nothing_waits(database))
        for _ in range(10):
            write(database, [1 + i % 20 for i in range(10)])
            time.sleep(0.1)
        until(nothing_waits(database))
        (base,) = {each.base for each in fhir.arrivals}
        first = base.endswith("b")
        assert len(fhir.arrivals) == len(fhir.ids) == 200
        kill(processes[first])
        killed = time.monotonic()
        write(database, [1 + i % 20 for i in range(50)])
        until(nothing_waits(database))
    finally:
        for process in processes:
            kill(process)
    taken_over = fhir.arrivals[200:]
    assert len(taken_over) == len(fhir.ids) - 200 == 50
    assert {each.base for each in taken_over} == {"/fhir/b" if not first else "/fhir/a"}
    assert taken_over[0].at - killed > 1.0  # a renewal may be two seconds old, of the 6
    fhir.check()


def test_whoever_has_lost_the_lease_does_not_go_on(
    database: Database, fhir: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a halt of the process: what was read before is not sent when another has taken over."""
    ids = write(database, [1 + i % 20 for i in range(300)])

    def play(request: Request) -> Play:
        time.sleep(0.01)
        return Play.TAKE

    fhir.play = play
    pace = replace(PACE, lease=1.0)
    first, second = (FhirReceiver(f"{fhir.url}/{base}", None, 5) for base in "ab")
    with handing_on(database, first, pace=pace) as halted:
        for name in ("keep", "hold"):
            monkeypatch.setattr(halted._couriers[0]._lease, name, lambda: False)
        until(lambda: fhir.arrivals)
        with handing_on(database, second, pace=pace):
            until(nothing_waits(database))
    bases = [each.base[-1] for each in fhir.arrivals]
    begin = bases.index("b")
    assert bases[begin:].count("a") <= FhirReceiver.lanes  # what was on its way
    assert fhir.ids == set(ids)
    fhir.check()


class Clock:
    """The time of a Lease."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(self.now * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(lease, "time", clock)
    return clock


def test_a_lease_is_taken_over_when_it_was_not_renewed_for_its_time(database: Database, clock: Clock) -> None:
    """Whoever keeps it has it; whoever lets it go, or is silent, has not."""
    first, second = Lease(database, "fhir", 30), Lease(database, "fhir", 30)
    assert first.hold()
    for _ in range(60):
        assert first.hold()
        assert not second.hold()
        clock.now += 1
    clock.now += 29
    assert not first.is_held
    assert second.hold()
    assert not first.hold()
    second.release()
    assert not second.is_held
    assert first.hold()
    assert not second.hold()


def test_whoever_holds_a_lease_stops_before_another_begins(database: Database, clock: Clock) -> None:
    """However late the other looks; and the same one may have it again, if nobody came."""
    first, second = Lease(database, "fhir", 30), Lease(database, "fhir", 30)
    assert first.hold()
    clock.now += 15
    assert not second.hold()
    clock.now += 14.9
    assert first.is_held
    assert not second.hold()
    clock.now += 0.2
    assert not first.is_held
    assert not first.keep()
    assert not second.hold()
    assert first.hold()
    clock.now += 15
    assert not second.hold()


def test_a_lease_is_not_taken_over_because_of_another_clock(database: Database, clock: Clock) -> None:
    """A holder whose clock is years behind, or ahead, keeps it as long as it renews; and no longer."""
    one = Lease(database, "fhir", 30)
    for held_until in (1_000, 10**15):
        with database.write() as connection:
            connection.execute(delete(audit_receiver))
            connection.execute(
                audit_receiver.insert(),
                {"receiver": "fhir", "holder": "x", "held_until": held_until, "failures": 0, "due": 0},
            )
        for more in range(1, 9):
            assert not one.hold()
            clock.now += 10
            with database.write() as connection:
                connection.execute(audit_receiver.update().values(held_until=held_until + more))
        assert not one.hold()
        clock.now += 30
        assert one.hold()
        one.release()


# ---- refused, poison, resend


def test_a_refused_event_is_dead_and_the_others_go_on(database: Database, fhir: Repository) -> None:
    """Its patient's next too; sent again when somebody says so, the one or all of a period."""
    ids = write(database, [1, 2, 1, 2, 1, 3])
    bad = {ids[0], ids[4]}
    fhir.play = lambda request: Play.REFUSE if request.event["id"] in bad else Play.TAKE
    with handing_on(database, to(fhir)):
        until(nothing_waits(database))
        assert [each.id for each in fhir.arrivals if each.patient.endswith("1")] == [ids[2]]
        assert fhir.ids == set(ids) - bad
        assert backlog(database).dead == 2
        with database.read() as connection:
            rows = connection.execute(select(audit_outbox)).all()
        assert {(row.dead, row.attempts, row.reason) for row in rows} == {(1, 1, "HTTP 422")}
        fhir.follow()
        assert (
            database.transact(
                lambda connection: resend(connection, ["fhir"], event_ids=[ids[0], ids[1]], dead_only=True)
            )
            == 1
        )
        until(lambda: ids[0] in fhir.ids)
        until(nothing_waits(database))
        assert backlog(database).dead == 1
        last = recorded_of(ids[-1]) or 0
        for period, number in (((last, last + 1), 0), ((0, last), 1), ((0, last + 1), 0)):
            count = database.transact(
                lambda connection, period=period: resend(  # type: ignore[misc]
                    connection, ["fhir"], period=period, dead_only=True
                )
            )
            assert count == number
        until(lambda: fhir.ids == set(ids))
    assert len(fhir.arrivals) == 6


def test_what_was_delivered_is_sent_again_when_somebody_says_so(database: Database, fhir: Repository) -> None:
    """By ids or by a period, to each receiver that is named; not twice what waits already."""
    ids = write(database, [1, 2, 1, 2])
    with handing_on(database, to(fhir)):
        until(nothing_waits(database))
    again = {"event_ids": [ids[1].upper(), "no id", id_of("another node", recorded_of(ids[0]) or 0)]}
    period = {"period": (recorded_of(ids[1]), recorded_of(ids[3]))}
    for given, number in ((again, 1), (period, 1), (period, 0), ({}, 0)):
        assert database.transact(lambda c, given=given: resend(c, ["fhir"], **given)) == number  # type: ignore[misc]
    assert database.transact(lambda c: resend(c, ["fhir", "syslog"], period=(0, 2**62))) == 2 + 4
    assert backlog(database, "syslog") == Backlog("syslog", 4, 0, recorded_of(ids[0]), 0, None)
    with handing_on(database, to(fhir)):
        until(nothing_waits(database))
    assert len(fhir.arrivals) == 8
    assert backlog(database, "syslog").waiting == 4
    fhir.check()


def test_resend_revives_what_is_dead_also_when_all_is_asked_for(database: Database, fhir: Repository) -> None:
    """It is not dead beside it."""
    write(database, [1, 2])
    fhir.follow((Play.REFUSE, 1))
    with handing_on(database, to(fhir)):
        until(nothing_waits(database))
    assert backlog(database).dead == 1
    assert database.transact(lambda c: resend(c, ["fhir"], period=(0, 2**62))) == 2
    assert (backlog(database).dead, backlog(database).waiting) == (0, 2)


def test_an_event_that_is_poison_becomes_dead_and_its_patient_goes_on(
    database: Database, fhir: Repository
) -> None:
    """After ten attempts while others are taken; not one of the others waits for it."""
    ids = write(database, [1, 1, 2])
    fhir.play = lambda request: Play.ERROR if request.event["id"] == ids[0] else Play.TAKE
    number = 3
    with handing_on(database, to(fhir)):
        end = time.monotonic() + SECONDS
        while not backlog(database).dead:
            assert time.monotonic() < end
            write(database, [number])
            number += 1
            time.sleep(0.03)
        until(nothing_waits(database))
    with database.read() as connection:
        (row,) = connection.execute(select(audit_outbox)).all()
    assert (id_of(NODE.name, row.recorded), row.attempts, row.reason) == (ids[0], 10, "HTTP 500")
    assert sum(request.event["id"] == ids[0] for request in fhir.requests) >= 10
    assert ids[1] in fhir.ids
    assert len(fhir.ids) == 1 + 1 + (number - 3)
    fhir.check()


def test_many_poison_events_before_all_others_do_not_stop_those(database: Database, fhir: Repository) -> None:
    """However many stand first: the others are taken, and only then is the receiver blamed or they are."""
    poison = set(write(database, range(1, 33)))
    good = set(write(database, range(101, 131)))
    fhir.play = lambda request: Play.ERROR if request.event["id"] in poison else Play.TAKE
    with handing_on(database, to(fhir)):
        until(lambda: fhir.ids == good)


def test_a_patient_with_very_many_events_does_not_stand_before_others(
    database: Database, fhir: Repository
) -> None:
    """More than a batch of them wait for the first, and others are taken meanwhile."""
    ids = write(database, [1] * 60 + [2])
    fhir.play = lambda request: Play.ERROR if request.event["id"] == ids[0] else Play.TAKE
    with handing_on(database, to(fhir), pace=replace(PACE, batch=5)):
        until(lambda: ids[60] in fhir.ids)
        assert len(fhir.ids) == 1
        fhir.follow()
        until(nothing_waits(database))
    fhir.check()


def test_a_receiver_that_is_down_makes_no_event_dead(database: Database, fhir: Repository) -> None:
    """Whatever it says, and however often; and it is not asked without end."""
    write(database, [1 + i % 50 for i in range(100)])
    fhir.play = lambda _: Play.ERROR
    with handing_on(database, to(fhir)):
        until(lambda: backlog(database).failures >= 12)
        state = backlog(database)
        assert (state.waiting, state.dead, state.reason) == (100, 0, "HTTP 500")
        assert len(fhir.requests) < 200
        fhir.follow()
        until(nothing_waits(database))
    assert backlog(database) == Backlog("fhir", 0, 0, None, 0, None)
    fhir.check()


def test_an_event_beside_which_nothing_is_taken_is_not_given_up(database: Database, fhir: Repository) -> None:
    """Nobody can tell whether it is the event or the receiver."""
    write(database, [1])
    fhir.play = lambda _: Play.ERROR
    with handing_on(database, to(fhir), pace=replace(PACE, longest=0.05)):
        until(lambda: len(fhir.requests) >= 15)
        assert (backlog(database).waiting, backlog(database).dead) == (1, 0)
        fhir.follow()
        until(nothing_waits(database))
    assert len(fhir.arrivals) == 1


def test_the_log_has_a_line_for_each_change_and_nothing_of_an_event(
    database: Database, fhir: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    """Unavailable, why; available again, how many wait."""
    caplog.set_level(logging.INFO, "xds")
    write(database, [12867012107 - 80_000_000_00] * 3)
    fhir.play = lambda _: Play.BUSY
    with handing_on(database, to(fhir)):
        until(lambda: backlog(database).failures >= 3)
        fhir.follow()
        until(nothing_waits(database))
    lines = [record.getMessage() for record in caplog.records if record.name == "xds"]
    assert lines == [
        "fhir: events are handed on by this worker",
        "fhir: unavailable: HTTP 503",
        "fhir: available again, 0 events waiting",
    ]


def test_an_event_that_the_log_has_no_more_leaves_the_outbox(database: Database, fhir: Repository) -> None:
    """Retention has taken it; the others are delivered."""
    ids = write(database, [1, 2, 3])
    with database.write() as connection:
        connection.execute(delete(audit_event).where(audit_event.c.recorded == recorded_of(ids[1])))
    with handing_on(database, to(fhir)):
        until(nothing_waits(database))
    assert fhir.ids == {ids[0], ids[2]}


def test_a_row_that_cannot_be_read_stands_before_nobody(database: Database, fhir: Repository) -> None:
    """Somebody has been at the log; it is dead, and said so."""
    ids = write(database, [1, 1, 2, 3])
    for event_id, body in zip(ids, (b"", b"\x02nothing"), strict=False):
        with database.write() as connection:
            row = audit_event.c.recorded == recorded_of(event_id)
            connection.execute(audit_event.update().where(row).values(body=body))
    with handing_on(database, to(fhir)):
        until(nothing_waits(database))
    assert fhir.ids == set(ids[2:])
    assert backlog(database).dead == 2


def test_the_database_away_for_a_while_loses_nothing(
    database: Database, fhir: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent and could not be written is written later, and not sent again meanwhile."""
    ids = write(database, [1, 2, 3])
    transact, failures = database.transact, []

    def failing(work: Any) -> Any:
        if fhir.arrivals and len(failures) < 5:
            failures.append(1)
            raise OSError
        return transact(work)

    monkeypatch.setattr(database, "transact", failing)
    with handing_on(database, to(fhir)):
        until(lambda: len(failures) == 5)
        until(nothing_waits(database))
    assert sorted(each.id for each in fhir.arrivals) == sorted(ids)


def test_waking_hands_on_before_the_next_look(database: Database, fhir: Repository) -> None:
    """And whoever ends it gives the lease back for another to begin at once."""
    for _ in range(2):
        with handing_on(database, to(fhir), pace=Pace(lease=300, poll=100)) as delivery:
            until(lambda: _holder(database))
            time.sleep(0.1)
            write(database, [1])
            delivery.wake()
            until(nothing_waits(database))
        assert not _holder(database)


def _holder(database: Database) -> int | None:
    with database.read() as connection:
        return connection.execute(select(func.max(audit_receiver.c.held_until))).scalar_one()


# ---- FHIR


def an_event() -> Event:
    return Event(
        "8c2f1d5e-0000-8000-8000-000000000001",
        orjson.dumps(
            {
                "resourceType": "AuditEvent",
                "id": "8c2f1d5e-0000-8000-8000-000000000001",
                "recorded": "2026-03-01T10:11:12.345000Z",
            }
        ),
    )


def test_the_request_is_that_of_the_feed(fhir: Repository) -> None:
    """ITI-20, RESTful: POST [base]/AuditEvent; one connection for all of them."""
    receiver = FhirReceiver(fhir.url + "/", None, 5)
    for _ in range(3):
        assert receiver.deliver([an_event()]) == [TAKEN]
    receiver.close()
    request = fhir.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/fhir/AuditEvent", an_event().body)
    assert request.headers["content-type"] == "application/fhir+json"
    assert request.headers["x-request-id"] == an_event().id
    assert fhir.connections == 1


OUTCOME = b'{"resourceType":"OperationOutcome"}'


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (b"200 OK", b"", TAKEN),
        (b"201 Created", b"", TAKEN),
        (b"204 No Content", b"", TAKEN),
        (b"302 Found", b"", Unavailable("HTTP 302", attempts=10)),
        (b"400 Bad Request", OUTCOME, Refused("HTTP 400")),
        (b"400 Bad Request", b"<html>No required SSL certificate", Unavailable("HTTP 400", attempts=10)),
        (b"401 Unauthorized", b"", Unavailable("HTTP 401", stops=True)),
        (b"403 Forbidden", b"", Unavailable("HTTP 403", attempts=10)),
        (b"404 Not Found", b"", Unavailable("HTTP 404", attempts=10)),
        (b"409 Conflict", b"", Unavailable("HTTP 409", attempts=10)),
        (b"413 Content Too Large", b"", Refused("HTTP 413")),
        (b"415 Unsupported Media Type", OUTCOME, Unavailable("HTTP 415", attempts=10)),
        (b"422 Unprocessable Content", b"", Refused("HTTP 422")),
        (b"429 Too Many Requests", b"", Unavailable("HTTP 429", stops=True, after=7)),
        (b"500 Internal Server Error", OUTCOME, Unavailable("HTTP 500", attempts=10)),
        (b"502 Bad Gateway", b"", Unavailable("HTTP 502", attempts=30)),
        (b"503 Service Unavailable", b"", Unavailable("HTTP 503", stops=True, after=7)),
    ],
)
def test_what_a_status_means(
    fhir: Repository, monkeypatch: pytest.MonkeyPatch, status: bytes, body: bytes, result: object
) -> None:
    """Only a word about the event is a refusal."""
    monkeypatch.setitem(receiving._PLAYS, Play.ERROR, receiving._says(status))
    fhir.error_body, fhir.headers = body, b"Retry-After: 7\r\nLocation: http://127.0.0.1:1/\r\n"
    fhir.play = lambda _: Play.ERROR
    receiver = to(fhir)
    assert receiver.deliver([an_event()]) == [result]
    receiver.close()
    assert len(fhir.requests) == 1


def test_a_conflict_over_what_is_there_is_no_failure(fhir: Repository) -> None:
    """The receiver has stored it, its answer was lost, and it knows the id."""
    fhir.follow((Play.BREAK, 1), (Play.CONFLICT, 1))
    receiver = to(fhir)
    broken = "the connection broke, or the answer is none"
    assert receiver.deliver([an_event()]) == [Unavailable(broken, attempts=30)]
    assert receiver.deliver([an_event()]) == [TAKEN]
    receiver.close()


@pytest.mark.parametrize(
    ("play", "result"),
    [
        (Play.BREAK, Unavailable("the connection broke, or the answer is none", attempts=30)),
        (Play.GARBAGE, Unavailable("the connection broke, or the answer is none", attempts=30)),
        (Play.SILENT, Unavailable("no answer in time", attempts=30)),
    ],
)
def test_an_answer_that_is_none(fhir: Repository, play: Play, result: object) -> None:
    """It is not known whether the event was taken."""
    fhir.follow((play, 1))
    receiver = to(fhir, 0.3 if play is Play.SILENT else 5)
    assert receiver.deliver([an_event()]) == [result]
    assert receiver.deliver([an_event()]) == [TAKEN]
    receiver.close()


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("0", 0, 0),
        ("30", 30, 30),
        ("99999999999999999999", 600, 600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2115 07:28:00 GMT", 600, 600),
        ("soon", 0, 0),
        ("-5", 0, 0),
        ("٣", 0, 0),
    ],
)
def test_retry_after_is_honoured_within_bounds(
    fhir: Repository, text: str, least: float, most: float
) -> None:
    """Seconds or a date, at most ten minutes."""
    fhir.headers = f"Retry-After: {text}\r\n".encode()
    fhir.play = lambda _: Play.BUSY
    receiver = to(fhir)
    (result,) = receiver.deliver([an_event()])
    receiver.close()
    assert isinstance(result, Unavailable)
    assert least <= result.after <= most


def test_a_receiver_that_asks_for_time_gets_it(database: Database, fhir: Repository) -> None:
    """Nobody asks before."""
    fhir.headers = b"Retry-After: 1\r\n"
    fhir.follow((Play.BUSY, 1))
    write(database, [1, 1])
    start = time.monotonic()
    with handing_on(database, to(fhir)):
        until(nothing_waits(database))
    assert fhir.arrivals[0].at - start > 0.9


def test_where_nobody_listens_or_nobody_is(fhir: Repository) -> None:
    """It says so, and of nobody's events."""
    fhir.end()
    for url in (fhir.url, "https://nowhere.invalid"):
        receiver = FhirReceiver(url, None, 5)
        assert receiver.deliver([an_event()]) == [Unavailable("cannot be reached", stops=True)]
        receiver.close()


def test_over_tls_both_sides_are_checked(tmp_path: Path) -> None:
    """A receiver of another authority gets nothing; one that does not know us says so, and is no refusal."""
    servers, clients = Authority(tmp_path, "servers"), Authority(tmp_path, "clients")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(clients.file))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(*servers.issue("server", ExtendedKeyUsageOID.SERVER_AUTH))
    own = clients.issue("own", ExtendedKeyUsageOID.CLIENT_AUTH)
    other = servers.issue("other", ExtendedKeyUsageOID.CLIENT_AUTH)
    with repository(server) as there:
        url = there.url.replace("http://127.0.0.1", "https://localhost")
        results = []
        for ca, shown in ((servers, own), (clients, own), (servers, other)):
            (receiver,) = receivers(
                fhir_receiver=url,
                receiver_ca=ca.file,
                receiver_certificate=shown[0],
                receiver_key=shown[1],
                receiver_seconds=5,
            )
            results += receiver.deliver([an_event()])
            receiver.close()
        assert results[0] == TAKEN
        assert isinstance(results[1], Unavailable)
        assert results[1].stops
        assert results[1].reason.startswith("TLS: ")
        assert isinstance(results[2], Unavailable)
        assert len(there.arrivals) == 1


def test_the_receivers_of_the_settings(tmp_path: Path) -> None:
    """By the names of the outbox; what cannot be is said at the start."""
    assert receivers() == ()
    both = receivers(
        fhir_receiver="https://audit.example.no/fhir", syslog_receiver="[::1]:6514", receiver_seconds=3
    )
    assert [each.name for each in both] == ["fhir", "syslog"]
    for each in both:
        each.close()
    for given in (
        {"fhir_receiver": "http://audit.example.no/fhir"},
        {"fhir_receiver": "https://audit.example.no/fhir?x=1"},
        {"syslog_receiver": "audit.example.no"},
        {"syslog_receiver": "audit.example.no:0"},
    ):
        with pytest.raises(ValueError, match=r"^is "):
            receivers(**given)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No such file"):
        receivers(fhir_receiver="https://audit.example.no", receiver_ca=tmp_path / "none.pem")


# ---- syslog


def test_syslog_takes_batches_in_order(database: Database) -> None:
    """Every event once, in the order of recorded; the FHIR receiver's outbox is another."""
    ids = write(database, [1 + i % 7 for i in range(60)], ("syslog", "fhir"))
    with syslog_repository() as there:
        pace = replace(PACE, batch=25)
        with handing_on(database, SyslogReceiver("127.0.0.1", there.port, None, 5), pace=pace):
            until(nothing_waits(database, "syslog"))
        assert there.ids == ids
        assert [len(batch) for batch in there.batches] == [25, 25, 10]
    assert backlog(database).waiting == 60


def test_a_syslog_receiver_that_hangs_up_gets_the_batch_again(database: Database) -> None:
    """All of it, until it was taken; nothing is lost."""
    ids = write(database, [1 + i % 7 for i in range(30)], ("syslog",))
    with syslog_repository() as there:
        refusals = iter([True] * 3)
        there.refusing = lambda _: next(refusals, False)
        with handing_on(database, SyslogReceiver("127.0.0.1", there.port, None, 5)):
            until(nothing_waits(database, "syslog"))
        assert list(dict.fromkeys(there.ids)) == ids  # no first arrival after a later one's
    assert backlog(database, "syslog") == Backlog("syslog", 0, 0, None, 0, None)


def test_one_message_that_a_syslog_receiver_breaks_on_is_found(database: Database) -> None:
    """The batch is halved until it is alone; then others go on without its patient's, and in the end with."""
    ids = write(database, range(1, 13), ("syslog",))
    more = write(database, [4], ("syslog",))
    poison = ids[3].encode()
    with syslog_repository() as there:
        there.refusing = lambda stream: poison in stream
        with handing_on(database, SyslogReceiver("127.0.0.1", there.port, None, 5)):
            until(lambda: set(ids) - set(there.ids) == {ids[3]})
            assert more[0] not in there.ids
            number = 100
            while not backlog(database, "syslog").dead:
                write(database, [number], ("syslog",))
                number += 1
                time.sleep(0.1)
                assert number < 300
            until(lambda: more[0] in there.ids)
            until(nothing_waits(database, "syslog"))
