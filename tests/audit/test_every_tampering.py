"""Whatever somebody changes in the log beside the node, `verify` finds it and says where; and how it is cut.

The changes are made by SQL, as whoever has the database's password would make them, on a log of several
patients on each engine. Retention cuts a log the one permitted way; verify must tell it from every other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from tests.audit.reading_log import Logged, problems_of_chain, rows, verified
from tests.audit.trails import NODE
from xds.audit.event import Entry, entry, instant, microseconds
from xds.audit.facts import Context, Deed, Document, Outcome
from xds.audit.retention import expire
from xds.audit.store import AuditLog, digest
from xds.audit.verify import Head, verify
from xds.store.database import Database
from xds.store.schema import audit_chain, audit_event, audit_outbox

EVENTS = 8
PATIENTS = ("P1", "P2", "P3")
OTHER = replace(NODE, name="other-node")


def _entry(number: int, node: Any = NODE) -> Entry:
    """One event of one of the patients; every third came to nothing."""
    context = Context(
        endpoint="/xds/repository", remote="127.0.0.1", number="ITI-43", reference=f"{number:012x}"
    )
    patient = f"{PATIENTS[number % len(PATIENTS)]}^^^&1.2.3&ISO"
    outcome = Outcome.MINOR if number % 3 == 2 else Outcome.SUCCESS
    reason = "" if outcome is Outcome.SUCCESS else "XDSDocumentUniqueIdError [retrieve-document]"
    document = Document(unique_id=f"1.2.4.{number}", repository="1.2.5")
    made = entry(node, context, Deed(patient=patient, outcome=outcome, reason=reason, documents=(document,)))
    return replace(made, person=f"person-{number}")


class Ledger:
    """A log of two nodes in one database, and what somebody does to it."""

    def __init__(self, database: Database, url: str) -> None:
        self.database = database
        self.url = url
        self.log = AuditLog(database, NODE.name)
        for number in range(EVENTS):
            self.log.write([_entry(number)])
        AuditLog(database, OTHER.name).write([_entry(number, OTHER) for number in range(3)])
        self.chain = self.chains()[NODE.name].chain_pk

    def chains(self) -> dict[str, Any]:
        """The rows of the heads, by node."""
        with self.database.read() as connection:
            return {each.node: each for each in connection.execute(select(audit_chain)).all()}

    def rows(self) -> list[Any]:
        """The rows of the first node, in order."""
        own = select(audit_event).where(audit_event.c.chain_pk == self.chain)
        with self.database.read() as connection:
            return list(connection.execute(own.order_by(audit_event.c.recorded)).all())

    def do(self, *statements: Any) -> None:
        """Something that the node never does."""
        with self.database.write() as connection:
            for each in statements:
                connection.execute(each)

    def change(self, row: Any, **values: Any) -> None:
        """Some columns of one row."""
        self.do(self.row(update(audit_event), row).values(**values))

    def remove(self, *some: Any) -> None:
        """Rows."""
        self.do(*(self.row(delete(audit_event), each) for each in some))

    def put_in(self, row: Any, **values: Any) -> None:
        """A copy of a row, changed in some columns."""
        self.do(insert(audit_event).values({**row._mapping, **values}))

    def head(self, **values: Any) -> None:
        """Some columns of the chain's head."""
        self.do(update(audit_chain).where(audit_chain.c.chain_pk == self.chain).values(**values))

    def cut(self, beginning: Sequence[Any]) -> None:
        """A beginning goes as retention takes it, but no event tells of it."""
        self.remove(*beginning)
        self.head(cut_seq=beginning[-1].seq, cut_hash=bytes(beginning[-1].hash))

    def shorten(self, count: int) -> None:
        """So many rows at the end, and the head set back to what is before them."""
        some = self.rows()
        self.remove(*some[-count:])
        last = some[-count - 1]
        self.head(seq=last.seq, hash=bytes(last.hash), recorded=last.recorded)

    def row(self, statement: Any, row: Any) -> Any:
        """A statement about one row."""
        return statement.where(audit_event.c.chain_pk == row.chain_pk, audit_event.c.recorded == row.recorded)

    def problems(self, *noted: Head) -> list[str]:
        """What verify finds; in the other node's chain it must find nothing."""
        found = verify(self.database, noted)
        assert [each.problems for each in found if each.head.node == OTHER.name] in ([()], [])
        return [problem for each in found for problem in each.problems]

    def noted(self) -> Head:
        """The head of now, as an operator writes it down."""
        (found,) = [each.head for each in verify(self.database) if each.head.node == NODE.name]
        return Head.parse(str(found))


@pytest.fixture
def ledger(database_url: str) -> Any:
    """A log, on each engine."""
    database = Database(database_url)
    yield Ledger(database, database_url)
    database.close()


def test_a_log_that_nobody_has_touched_is_whole(ledger: Ledger) -> None:
    """Every event of both nodes is read, and the heads are where the chains end."""
    found = verified(ledger.url)
    assert [(each.head.node, each.head.seq, each.events, each.first) for each in found] == [
        (NODE.name, EVENTS, EVENTS, 1),
        (OTHER.name, 3, 3, 1),
    ]
    assert problems_of_chain(ledger.url, [each.head for each in found]) == []
    with pytest.raises(ValueError, match="not node"):
        Head.parse("a:b:c")


# ---- columns


@dataclass(frozen=True)
class Change:
    """One column of a row, and what somebody writes there."""

    column: str
    value: Callable[[Any], Any]
    #: What a problem calls the row: verify names it by number and time as they are then.
    seq: int = 0


def _flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


CHANGES = (
    Change("recorded", lambda row: row.recorded + 1),
    Change("seq", lambda row: row.seq + 100, 100),
    Change("pid", lambda row: "P9^^^&1.2.3&ISO"),
    Change("pid", lambda row: None),
    Change("pid", lambda row: ""),
    Change("person", lambda row: "somebody else"),
    Change("person", lambda row: None),
    Change("code", lambda row: "ITI-18"),
    Change("code", lambda row: "expire"),
    Change("outcome", lambda row: 0 if row.outcome else 8),
    Change("hash", lambda row: _flipped(bytes(row.hash), 7)),
    Change("hash", lambda row: bytes(32)),
    Change("body", lambda row: _flipped(bytes(row.body), -1)),
    Change("body", lambda row: _flipped(bytes(row.body), 0)),
    Change("body", lambda row: _flipped(bytes(row.body), 40)),
    Change("body", lambda row: b""),
)


@pytest.mark.parametrize("place", [0, EVENTS // 2, EVENTS - 1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.column)
def test_a_changed_column(change: Change, place: int, ledger: Ledger) -> None:
    """Whichever it is, and to whatever: found, by number and time."""
    row = ledger.rows()[place]
    ledger.change(row, **{change.column: change.value(row)})
    problems = ledger.problems()
    now = next(each for each in ledger.rows() if abs(each.recorded - row.recorded) < 2)
    where = f"number {now.seq} of {instant(now.recorded)}"
    assert any(each.startswith(where) for each in problems), problems


# ---- rows


def _swapped(ledger: Ledger, one: Any, other: Any, *columns: str) -> None:
    ledger.change(one, **{each: getattr(other, each) for each in columns})
    ledger.change(other, **{each: getattr(one, each) for each in columns})


EVERYTHING = ("pid", "person", "code", "outcome", "hash", "body")


@dataclass(frozen=True)
class Tampering:
    """What somebody does to the rows, and what verify must say of it."""

    name: str
    do: Callable[[Ledger, list[Any]], None]
    said: str


DEEDS = (
    Tampering(
        "the first is taken away",
        lambda log, some: log.remove(some[0]),
        r"number 2 of .* comes after number 0",
    ),
    Tampering(
        "one is taken away", lambda log, some: log.remove(some[3]), r"number 5 of .* comes after number 3"
    ),
    Tampering(
        "two are taken away", lambda log, some: log.remove(*some[3:5]), r"number 6 of .* comes after number 3"
    ),
    Tampering(
        "the last is taken away", lambda log, some: log.remove(some[-1]), r"the end, number 8, is not there"
    ),
    Tampering("all are taken away", lambda log, some: log.remove(*some), r"the end, number 8, is not there"),
    Tampering(
        "two change places",
        lambda log, some: _swapped(log, some[2], some[5], *EVERYTHING),
        r"number 3 of .* its hash",
    ),
    Tampering(
        "two change places with their numbers",
        lambda log, some: _swapped(log, some[2], some[5], "seq", *EVERYTHING),
        r"number 6 of .* comes after number 2",
    ),
    Tampering(
        "two change patients",
        lambda log, some: _swapped(log, some[2], some[3], "pid"),
        r"number 3 of .* its hash",
    ),
    Tampering(
        "a copy is put in",
        lambda log, some: log.put_in(some[3], recorded=some[3].recorded + 1),
        r"number 4 of .* comes after number 4",
    ),
    Tampering(
        "a copy is put before the first",
        lambda log, some: log.put_in(some[0], recorded=1, seq=0),
        r"number 0 of .* comes after number 0",
    ),
    Tampering(
        "a copy is put before the beginning of time",
        lambda log, some: log.put_in(some[0], recorded=-1_000_000, seq=0),
        r"number 0 of .* comes after number 0",
    ),
    Tampering(
        "a copy is put at the end",
        lambda log, some: log.put_in(some[3], recorded=some[-1].recorded + 1, seq=some[-1].seq + 1),
        r"number 9 of .* its hash",
    ),
    Tampering(
        "one is moved to the other node's chain",
        lambda log, some: log.change(some[3], chain_pk=log.chains()[OTHER.name].chain_pk),
        r"number 5 of .* comes after number 3",
    ),
    Tampering(
        "the head's number is raised", lambda log, some: log.head(seq=9), r"the end, number 9, is not there"
    ),
    Tampering(
        "the head's number is lowered", lambda log, some: log.head(seq=7), r"the end, number 7, .* another"
    ),
    Tampering(
        "the head's hash is another",
        lambda log, some: log.head(hash=bytes(32)),
        r"the end, number 8, .* another",
    ),
    Tampering(
        "the cut is raised", lambda log, some: log.head(cut_seq=1), r"number 1 of .* comes after number 1"
    ),
    Tampering(
        "the cut's hash is another",
        lambda log, some: log.head(cut_hash=b"x" * 32),
        r"number 1 of .* its hash",
    ),
    Tampering(
        "the beginning is cut as retention cuts it, but for its event",
        lambda log, some: log.cut(some[:3]),
        r"the events up to number 3 are gone, and no event tells of it",
    ),
    Tampering(
        "everything is cut as retention cuts it",
        lambda log, some: log.cut(some),
        r"the events up to number 8 are gone, and no event tells of it",
    ),
    Tampering(
        "the chain is taken away",
        lambda log, some: log.do(delete(audit_chain).where(audit_chain.c.chain_pk == log.chain)),
        r"there are events of chain \d+, which is not there",
    ),
    Tampering(
        "the chain is given to another node",
        lambda log, some: log.head(node="third-node"),
        r"number 1 of .* its hash",
    ),
)


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)
def test_rows_and_heads(deed: Tampering, ledger: Ledger) -> None:
    """Taken away, put in, moved; the head or the cut set otherwise: found, with the place."""
    deed.do(ledger, ledger.rows())
    found = [problem for each in verify(ledger.database) for problem in each.problems]
    assert any(re.match(deed.said, each) for each in found), found


def test_what_no_chain_can_tell_by_itself_is_told_by_a_head_that_was_noted(ledger: Ledger) -> None:
    """The last two are gone and the head set back: whole to look at, but not to whoever noted the head."""
    noted = ledger.noted()
    ledger.shorten(2)
    assert ledger.problems() == []
    assert ledger.problems(noted) == ["the noted head number 8 is not there or is another one"]
    # Nor does it help to go on from there.
    ledger.log.write([_entry(20), _entry(21)])
    assert ledger.problems() == []
    assert ledger.problems(noted) == ["the noted head number 8 is not there or is another one"]


def test_a_log_that_was_written_anew_is_told_by_a_head_that_was_noted(ledger: Ledger) -> None:
    """Whoever works out all hashes again after a change leaves a whole chain, with another head."""
    noted, before = ledger.noted(), bytes(32)
    first = ledger.rows()[0]
    ledger.change(first, pid="P9^^^&1.2.3&ISO")
    for row in ledger.rows():
        before = digest(before, NODE.name, row)
        ledger.change(row, hash=before)
    ledger.head(hash=before)
    assert ledger.problems() == []
    assert ledger.problems(noted) == ["the noted head number 8 is not there or is another one"]


def test_a_chain_that_is_gone_altogether_is_told_by_a_head_that_was_noted(ledger: Ledger) -> None:
    """Rows and head."""
    noted = ledger.noted()
    ledger.remove(*ledger.rows())
    ledger.do(delete(audit_chain).where(audit_chain.c.chain_pk == ledger.chain))
    assert ledger.problems() == []
    assert ledger.problems(noted) == [f"the chain of {NODE.name} is not there"]


def test_a_head_that_was_noted_of_before_is_still_there(ledger: Ledger) -> None:
    """The log goes on, and is whole; a head that never was is not there."""
    noted = ledger.noted()
    ledger.log.write([_entry(20)])
    assert ledger.problems(noted) == []
    wrong = replace(noted, hash="00" * 32)
    assert ledger.problems(noted, wrong) == ["the noted head number 8 is not there or is another one"]


def test_more_than_a_page_of_rows(database_url: str) -> None:
    """What is wrong in the midst of thousands of rows is found as well."""
    database = Database(database_url)
    log = AuditLog(database, NODE.name)
    for start in range(0, 2_200, 200):
        log.write([_entry(start + number) for number in range(200)])
    assert problems_of_chain(database_url) == []
    with database.write() as connection:
        connection.execute(
            update(audit_event).where(audit_event.c.seq == 1_001).values(person="somebody else")
        )
    (found,) = verify(database)
    assert found.events == 2_200
    assert [each.partition(" of ")[0] for each in found.problems] == ["number 1001"]
    database.close()


# ---- retention


def _events(ledger: Ledger, code: str = "") -> list[Logged]:
    return [each for each in rows(ledger.url) if each.node == NODE.name and (not code or each.code == code)]


def _between(ledger: Ledger, number: int) -> int:
    """A time after which the event of this number is."""
    return int(ledger.rows()[number - 1].recorded)


def test_only_what_is_old_goes_and_its_going_is_on_record(ledger: Ledger) -> None:
    """Of every node; the chains stay whole, and the event says what went, until when, and at whose word."""
    noted, before = ledger.noted(), _events(ledger)
    last = ledger.rows()[2]
    assert expire(ledger.database, NODE, _between(ledger, 4), "kari") == 3
    assert ledger.problems(noted) == []
    (told,) = _events(ledger, "expire")
    assert [each.seq for each in _events(ledger)] == [*range(4, EVENTS + 1), EVENTS + 1]
    assert [each.raw for each in _events(ledger)[:-1]] == [each.raw for each in before[3:]]
    assert (told.outcome, told.pid, told.event["action"]) == (0, None, "D")
    assert told.detail("resultCount") == "3"
    for said in ("3 events", "numbers 1 to 3", bytes(last.hash).hex(), instant(last.recorded), "by kari"):
        assert said in told.query_text
    chain = ledger.chains()[NODE.name]
    assert (chain.cut_seq, bytes(chain.cut_hash)) == (3, bytes(last.hash))
    found = {each.head.node: each for each in verify(ledger.database)}
    assert found[NODE.name].first == 4


def test_when_nothing_is_old_enough_nothing_is_done(ledger: Ledger) -> None:
    """No event either: nothing went."""
    before = _events(ledger)
    assert expire(ledger.database, NODE, _between(ledger, 1), "kari") == 0
    assert expire(ledger.database, NODE, 0, "kari") == 0
    assert [each.raw for each in _events(ledger)] == [each.raw for each in before]


def test_everything_is_old(ledger: Ledger) -> None:
    """What is left is the event about it, and the chain goes on after it; a second time that goes too."""
    of_both = max(each.recorded for each in rows(ledger.url)) + 1
    assert expire(ledger.database, NODE, of_both, "kari") == EVENTS + 3
    assert [each.code for each in _events(ledger)] == ["expire"]
    assert ledger.problems() == []
    ledger.log.write([_entry(30)])
    assert ledger.problems() == []
    again = _events(ledger)[-1].recorded
    assert expire(ledger.database, NODE, again, "ola") == 2  # the event of each node's chain
    assert ledger.problems() == []
    assert [each.code for each in _events(ledger)] == ["ITI-43", "expire"]


def test_a_time_to_come_does_not_delete_for_ever(ledger: Ledger) -> None:
    """What tells of the deletion is not old, whatever is said."""
    rounds = []
    transact = ledger.database.transact

    def counted(work: Any) -> Any:
        rounds.append(1)
        assert len(rounds) < 20, "it goes on for ever"
        return transact(work)

    ledger.database.transact = counted  # type: ignore[method-assign]
    expire(ledger.database, NODE, microseconds(datetime.now(UTC) + timedelta(days=1)), "kari")
    assert [each.code for each in _events(ledger)] == ["expire"]
    assert ledger.problems() == []


def test_what_waits_for_a_receiver_holds_itself_and_all_after_it_back(ledger: Ledger) -> None:
    """And goes when the receiver has it."""
    some = ledger.rows()
    waiting = {
        "receiver": "fhir",
        "dead": 0,
        "recorded": some[2].recorded,
        "chain_pk": ledger.chain,
        "attempts": 0,
    }
    ledger.do(insert(audit_outbox).values(waiting))
    assert expire(ledger.database, NODE, _between(ledger, 6), "kari", ["fhir"]) == 2
    assert [each.seq for each in _events(ledger)] == [*range(3, EVENTS + 2)]
    assert ledger.problems() == []
    ledger.do(delete(audit_outbox))
    assert expire(ledger.database, NODE, int(some[5].recorded), "kari") == 3
    assert [each.seq for each in _events(ledger)] == [*range(6, EVENTS + 3)]
    assert ledger.problems() == []


def _cut(ledger: Ledger) -> Sequence[Any]:
    expire(ledger.database, NODE, _between(ledger, 4), "kari")
    return ledger.rows()


AFTER_A_CUT = (
    Tampering(
        "the first is taken away",
        lambda log, some: log.remove(some[0]),
        r"number 5 of .* comes after number 3",
    ),
    Tampering(
        "the first is taken away and the cut moved",
        lambda log, some: log.cut(some[:1]),
        r"the events up to number 4 are gone, and no event tells of it",
    ),
    Tampering(
        "the event about the cut is taken away",
        lambda log, some: log.shorten(1),
        r"the events up to number 3 are gone, and no event tells of it",
    ),
    Tampering(
        "the event about the cut tells nothing any more",
        lambda log, some: log.change(some[-1], body=b"\x02nothing"),
        r"number 9 of .* its hash",
    ),
    Tampering(
        "one byte of the event about the cut",
        lambda log, some: log.change(some[-1], body=_flipped(bytes(some[-1].body), 20)),
        r"number 9 of .* its hash",
    ),
    Tampering(
        "the event about the cut is empty",
        lambda log, some: log.change(some[-1], body=b""),
        r"number 9 of .* its hash",
    ),
    Tampering(
        "another event passes for one about a cut",
        lambda log, some: log.change(some[1], code="expire"),
        r"number 5 of .* its hash",
    ),
    Tampering(
        "the cut is set back",
        lambda log, some: log.head(cut_seq=0, cut_hash=bytes(32)),
        r"number 4 of .* comes",
    ),
    Tampering("a later one", lambda log, some: log.change(some[2], outcome=8), r"number 6 of .* its hash"),
)


@pytest.mark.parametrize("deed", AFTER_A_CUT, ids=lambda deed: deed.name)
def test_tampering_after_a_cut(deed: Tampering, ledger: Ledger) -> None:
    """A log that was cut as it may be is watched like any other."""
    some = list(_cut(ledger))
    assert ledger.problems() == []
    deed.do(ledger, some)
    found = ledger.problems()
    assert any(re.match(deed.said, each) for each in found), found
