"""The log's rows: appended, never changed, each chained by its hash to the one before it of the same node.

trail.py writes here, in the transaction of the deed (`add`) or in one that is shared with whoever waits
(`write`); verify.py reads the chain again. An event is delivered by the outbox rows that are written with it.
It must never write an event outside a transaction that also moves the chain's head.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Executable, bindparam, func, insert, literal_column, select, update
from sqlalchemy.exc import OperationalError

from xds.audit.event import Entry
from xds.store.bodies import AUDIT, pack
from xds.store.database import Compiled, Database, Run
from xds.store.dialect import insert_new
from xds.store.schema import audit_chain, audit_event, audit_outbox
from xds.store.trouble import DatabaseBusy

#: What the first event of a chain is chained to.
ROOT: Final = bytes(32)
#: Entries that share one transaction: beyond that the last would wait longer than it gains.
_TOGETHER: Final = 256

_CHAIN: Final = select(audit_chain.c.chain_pk).where(audit_chain.c.node == bindparam("node"))
#: Whoever has read the head is alone with it until the commit, so that seq is the order of commits.
_HEAD: Final = (
    select(audit_chain.c.seq, audit_chain.c.hash, audit_chain.c.recorded)
    .where(audit_chain.c.chain_pk == bindparam("chain"), audit_chain.c.node == bindparam("node"))
    .with_for_update()
)
_NEWEST: Final = select(func.max(audit_chain.c.recorded))
_MOVE: Final = (
    update(audit_chain)
    .where(audit_chain.c.chain_pk == bindparam("chain"))
    .values(seq=bindparam("to"), hash=bindparam("by"), recorded=bindparam("at"))
)
_INSERT: Final = insert(audit_event).values({each: bindparam(each.name) for each in audit_event.c})
_HAND_ON: Final = insert(audit_outbox).values(
    receiver=bindparam("receiver"),
    recorded=bindparam("recorded"),
    chain_pk=bindparam("chain_pk"),
    dead=literal_column("0"),
    attempts=literal_column("0"),
)


def digest(before: bytes, node: str, row: Any) -> bytes:
    """The hash of a row: of everything in it, and of the row before it."""
    fields = [node, row.seq, row.recorded, row.pid, row.person, row.code, row.outcome]
    return hashlib.sha256(before + orjson.dumps(fields) + bytes(row.body)).digest()


def newest(connection: Connection) -> int:
    """When the last event of all nodes was recorded, in microseconds since 1970."""
    return int(connection.execute(_NEWEST).scalar() or 0)


class AuditLog:
    """The log of one node. `node` names its chain; `receivers` are those whom events are handed on to.

    Safe to share between threads. All processes of a node append to one chain.
    """

    def __init__(self, database: Database, node: str, receivers: Sequence[str] = ()) -> None:
        self.node = node
        self._database = database
        self._receivers = tuple(receivers)
        self._chain: int | None = None
        self._compiled: dict[Executable, Compiled] = {}
        self._lock = threading.Lock()
        self._queue: list[_Waiting] = []
        self._busy = False

    def add(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Append in the caller's write transaction, as the last thing that it does.

        On PostgreSQL whoever appends to the same chain waits from here until the caller's commit.
        """
        if not entries:
            return
        run = partial(self._database.run, connection)
        try:
            self._add(run, self._chain if self._chain is not None else self._own_chain(connection), entries)
        except _NoChain:
            self._add(run, self._own_chain(connection), entries)

    def _add(self, run: Run, chain: int, entries: Sequence[Entry]) -> None:
        bodies = [pack(each.body, AUDIT) for each in entries]
        own = {"chain": chain, "node": self.node}
        heads = run(self._compile(_HEAD, own), own)
        if not heads:
            raise _NoChain
        ((seq, before, recorded),) = heads
        before = bytes(before)
        # Never backwards, whatever the clock does: within a chain the order of time is the order of rows.
        recorded = max(recorded + 1, time.time_ns() // 1000)
        rows = []
        for number, (each, body) in enumerate(zip(entries, bodies, strict=True)):
            row = _Row(chain, seq + 1 + number, recorded + number, each, body)
            before = row.hash = digest(before, self.node, row)
            rows.append(row)
        for row in rows:
            values = row.values()
            run(self._compile(_INSERT, values), values)
            for receiver in self._receivers:
                waits = {"receiver": receiver, "recorded": row.recorded, "chain_pk": chain}
                run(self._compile(_HAND_ON, waits), waits)
        last = rows[-1]
        head = {"chain": chain, "to": last.seq, "by": last.hash, "at": last.recorded}
        run(self._compile(_MOVE, head), head)

    def write(self, entries: Sequence[Entry]) -> None:
        """Append in a transaction that is shared with whoever appends at the same time; returns after it.

        A look at the registry writes nothing else, so that those of many callers may share one commit.
        """
        own = _Waiting(entries)
        with self._lock:
            self._queue.append(own)
            if self._busy:
                leads = False
            else:
                leads = self._busy = True
        if not leads:
            own.turn.wait()
        if not own.done:
            self._lead()
        if own.error is not None:
            raise own.error

    def _lead(self) -> None:
        """Write for all who wait, oneself first, and name who leads next."""
        with self._lock:
            batch, self._queue = self._queue[:_TOGETHER], self._queue[_TOGETHER:]
        try:
            self._commit(batch)
        finally:
            with self._lock:
                if batch and all(isinstance(each.error, DatabaseBusy | OperationalError) for each in batch):
                    # Whoever came meanwhile would wait as long, for the same.
                    for each in self._queue:
                        each.error = batch[0].error
                    batch, self._queue = batch + self._queue, []
                following = self._queue[0] if self._queue else None
                self._busy = following is not None
            for each in batch:
                each.done = True
                each.turn.set()
            if following is not None:
                following.turn.set()

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        every = [entry for each in batch for entry in each.entries]
        try:
            if self._chain is None:
                self._database.transact(lambda connection: self.add(connection, every))
            elif every:
                with self._database.append() as run:
                    self._add(run, self._chain, every)
            for each in batch:
                each.error = None
        except _NoChain:
            self._chain = None
            self._commit(batch)
        except Exception as error:
            if len(batch) == 1 or isinstance(error, (OperationalError, DatabaseBusy)):
                # The database's trouble is everybody's; and of a commit that broke nobody knows.
                for each in batch:
                    each.error = error
                return
            # What one of them cannot write must not be the others' loss.
            for each in batch:
                self._commit([each])

    def _compile(self, statement: Executable, bound: dict[str, Any]) -> Compiled:
        """A statement of every event, once: SQLAlchemy's own way takes longer than the database does."""
        compiled = self._compiled.get(statement)
        if compiled is None:
            compiled = self._compiled[statement] = self._database.compile(statement, bound)
        return compiled

    def _own_chain(self, connection: Connection) -> int:
        """The node's chain, made when this is its first event."""
        found = connection.execute(_CHAIN, {"node": self.node}).scalar_one_or_none()
        if found is None:
            new = {"node": self.node, "seq": 0, "hash": ROOT, "recorded": 0, "cut_seq": 0, "cut_hash": ROOT}
            connection.execute(insert_new(audit_chain, connection.dialect), new)
            return int(connection.execute(_CHAIN, {"node": self.node}).scalar_one())
        self._chain = int(found)  # should it go away again, _NoChain tells
        return self._chain


class _NoChain(Exception):
    """The chain that was known is not there: another database has taken the place of the one before."""


class _Waiting:
    """Entries whose writer waits; `turn` is set when they are written, or when it is the writer's turn."""

    __slots__ = ("done", "entries", "error", "turn")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.turn = threading.Event()
        self.done = False
        # Until it is written, it is not: also when the thread that was to write it ends in the middle.
        self.error: Exception | None = DatabaseBusy()


class _Row:
    """A row that is being made: `digest` reads it as it reads one of the database."""

    __slots__ = ("body", "chain", "code", "hash", "outcome", "person", "pid", "recorded", "seq")

    def __init__(self, chain: int, seq: int, recorded: int, entry: Entry, body: bytes) -> None:
        self.chain, self.seq, self.recorded = chain, seq, recorded
        self.pid, self.person = entry.pid, entry.person
        self.code, self.outcome, self.body = entry.code, entry.outcome, body
        self.hash = b""

    def values(self) -> dict[str, Any]:
        return {
            "chain_pk": self.chain,
            "recorded": self.recorded,
            "seq": self.seq,
            "pid": self.pid,
            "person": self.person,
            "code": self.code,
            "outcome": self.outcome,
            "hash": self.hash,
            "body": self.body,
        }
