"""Who hands on to a receiver: one thread at a time, of all workers and nodes on a database.

delivery.py asks `hold` before each piece of work and `is_held` before each event. A lease is renewed while
its holder lives, and taken over by whoever has seen it unchanged for its whole time. It must never compare
times of two machines: each counts with its own monotonic clock, so that clocks that differ make no second
holder.
"""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from xds.store.database import Database
from xds.store.dialect import insert_new
from xds.store.schema import audit_receiver

#: `held_until` of a lease that its holder has given back.
_FREE: Final = 0

_LOOK: Final = select(audit_receiver.c.holder, audit_receiver.c.held_until).where(
    audit_receiver.c.receiver == bindparam("name")
)
#: Whoever changes the row first has it: the second finds another holder or time in it.
_TAKE: Final = (
    update(audit_receiver)
    .where(
        audit_receiver.c.receiver == bindparam("name"),
        audit_receiver.c.holder == bindparam("before"),
        audit_receiver.c.held_until == bindparam("seen"),
    )
    .values(holder=bindparam("own"), held_until=bindparam("until"))
)
_RENEW: Final = (
    update(audit_receiver)
    .where(audit_receiver.c.receiver == bindparam("name"), audit_receiver.c.holder == bindparam("own"))
    .values(held_until=bindparam("until"))
)


class Lease:
    """The right to hand on to one receiver; one thread asks, others may look whether it `is_held`."""

    def __init__(self, database: Database, receiver: str, seconds: float) -> None:
        self.holder: Final = secrets.token_hex(8)
        self._database = database
        self._name = receiver
        self._seconds = seconds
        self._until = 0.0  # by our monotonic clock; 0: not held
        self._written = 0  # held_until, as we wrote it last
        self._seen: tuple[str, int] | None = None
        self._since = 0.0  # since when nothing has changed in what we saw

    @property
    def is_held(self) -> bool:
        """Whether nobody else can have it yet."""
        return time.monotonic() < self._until

    def hold(self) -> bool:
        """Take it, or keep it; False when somebody else has it."""
        now = time.monotonic()
        if now < self._until:
            return self.keep()
        self._until = 0.0
        with self._database.read() as connection:
            row = connection.execute(_LOOK, {"name": self._name}).one_or_none()
        if row is None:
            return self._database.transact(self._make) and self._held_from(now)
        seen = (str(row.holder), int(row.held_until))
        if seen != self._seen:
            self._seen, self._since = seen, now
        if seen[0] != self.holder and seen[1] != _FREE and now - self._since < self._seconds:
            return False
        given = {"name": self._name, "before": seen[0], "seen": seen[1], "own": self.holder}
        return self._update(_TAKE, given) and self._held_from(now)

    def keep(self) -> bool:
        """Renew it when a third of its time is over; False when it is not held any more."""
        now = time.monotonic()
        if now >= self._until or self._until - now > self._seconds * 2 / 3:
            return now < self._until
        if self._update(_RENEW, {"name": self._name, "own": self.holder}):
            return self._held_from(now)
        self._until = 0.0
        return False

    def release(self) -> None:
        """Give it back, if it is ours."""
        if self._until:
            self._until = 0.0
            given = {"name": self._name, "own": self.holder, "until": _FREE}
            self._database.transact(lambda connection: connection.execute(_RENEW, given))

    def _held_from(self, now: float) -> bool:
        """`now` is from before the database was asked: whoever watches sees the change later."""
        self._until = now + self._seconds
        return True

    def _update(self, statement: Any, given: dict[str, Any]) -> bool:
        given["until"] = self._new_time()
        return self._database.transact(lambda connection: connection.execute(statement, given).rowcount == 1)

    def _make(self, connection: Connection) -> bool:
        new = {
            "receiver": self._name,
            "holder": self.holder,
            "held_until": self._new_time(),
            "failures": 0,
            "due": 0,
        }
        insert = insert_new(audit_receiver, connection.dialect).returning(audit_receiver.c.receiver)
        return connection.execute(insert, new).first() is not None

    def _new_time(self) -> int:
        """For people to read; for those who watch it has only to be another one each time."""
        self._written = max(self._written + 1, time.time_ns() // 1_000_000 + round(self._seconds * 1000))
        return self._written
