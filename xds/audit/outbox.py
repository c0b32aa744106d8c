"""The outbox's rows: what waits for a receiver, what came of it, and putting events in again.

delivery.py reads what waits and writes what became of it; `xds log` and /metrics ask `waiting`, and `xds log`
calls `resend`. store.py puts a row in with each event. Nothing here may leave the outbox but what was taken,
or whose event the log has no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import zstandard
from sqlalchemy import Connection, Select, and_, bindparam, delete, func, literal, or_, select, tuple_, update

from xds.audit.event import id_of, recorded_of, whole
from xds.audit.receivers import Event
from xds.store.bodies import unpack
from xds.store.dialect import insert_new
from xds.store.schema import audit_chain, audit_event, audit_outbox, audit_receiver

#: Of what one patient's events are told apart from others': the CX text; without a patient the row's key.
Key = str | tuple[int, int]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One event that waits for a receiver.

    `event` is None when the log has it no more, or when its row cannot be read: then `trouble` says so.
    """

    recorded: int
    chain: int
    attempts: int
    pid: str | None
    event: Event | None
    trouble: str = ""

    @property
    def key(self) -> Key:
        """Whose it is: events of one key are handed on in their order."""
        return self.pid or (self.recorded, self.chain)


_ROW: Final = (audit_outbox.c.recorded, audit_outbox.c.chain_pk, audit_outbox.c.attempts)
_OF_RECEIVER: Final = (audit_outbox.c.receiver == bindparam("name"), audit_outbox.c.dead == 0)
_IS_ROW: Final = (
    *_OF_RECEIVER,
    audit_outbox.c.recorded == bindparam("at"),
    audit_outbox.c.chain_pk == bindparam("chain"),
)


def _with_events(rows: Any) -> Select[Any]:
    return (
        select(
            rows.c.recorded,
            rows.c.chain_pk,
            rows.c.attempts,
            audit_event.c.pid,
            audit_event.c.body,
            audit_chain.c.node,
        )
        .select_from(rows)
        .outerjoin(
            audit_event,
            and_(audit_event.c.chain_pk == rows.c.chain_pk, audit_event.c.recorded == rows.c.recorded),
        )
        .outerjoin(audit_chain, audit_chain.c.chain_pk == rows.c.chain_pk)
        .order_by(rows.c.recorded, rows.c.chain_pk)
    )


#: The rows first, then their events: so that no engine thinks of joining the whole log.
_FOLLOWING: Final = _with_events(
    select(*_ROW)
    .where(
        *_OF_RECEIVER,
        tuple_(audit_outbox.c.recorded, audit_outbox.c.chain_pk)
        > tuple_(bindparam("at"), bindparam("chain")),
    )
    .order_by(audit_outbox.c.recorded, audit_outbox.c.chain_pk)
    .limit(bindparam("most"))
    .subquery()
)
_OF_PATIENTS: Final = (
    _with_events(audit_outbox)
    .where(
        *_OF_RECEIVER,
        or_(
            audit_event.c.pid.in_(bindparam("pids", expanding=True)),
            audit_outbox.c.recorded.in_(bindparam("times", expanding=True)),
        ),
    )
    .limit(bindparam("most"))
)


def following(connection: Connection, receiver: str, after: tuple[int, int], most: int) -> list[Waiting]:
    """What waits, in order, from behind the row of that time and chain."""
    given = {"name": receiver, "at": after[0], "chain": after[1], "most": most}
    return _waiting(connection.execute(_FOLLOWING, given).all())


def of_keys(connection: Connection, receiver: str, keys: Iterable[Key], most: int) -> list[Waiting]:
    """What waits of these, in order."""
    wanted = set(keys)
    given = {
        "name": receiver,
        "pids": [key for key in wanted if isinstance(key, str)],
        "times": [key[0] for key in wanted if not isinstance(key, str)],
        "most": most,
    }
    return [each for each in _waiting(connection.execute(_OF_PATIENTS, given).all()) if each.key in wanted]


def _waiting(rows: Sequence[Any]) -> list[Waiting]:
    return [
        Waiting(row.recorded, row.chain_pk, row.attempts, row.pid, *_event(row))
        if row.body is not None
        else Waiting(row.recorded, row.chain_pk, row.attempts, None, None)
        for row in rows
    ]


def _event(row: Any) -> tuple[Event | None, str]:
    try:
        (body,) = unpack([bytes(row.body)])
    except (zstandard.ZstdError, LookupError):  # `xds log verify` says more about it
        return None, "the row in the log cannot be read"
    return Event(id_of(row.node, row.recorded), whole(body, row.node, row.recorded)), ""


# ---- what became of it

_DELETE: Final = delete(audit_outbox).where(*_IS_ROW)
_COUNT: Final = update(audit_outbox).where(*_IS_ROW).values(attempts=audit_outbox.c.attempts + 1)


def settle(
    connection: Connection,
    receiver: str,
    *,
    done: Sequence[Waiting],
    dead: Sequence[tuple[Waiting, str]],
    tried: Sequence[Waiting],
) -> None:
    """Remove what is `done`, put aside what is `dead` for that reason, and count what was `tried` in vain."""
    if done:
        connection.execute(_DELETE, [_place(receiver, each) for each in done])
    for each, reason in dead:
        # Somebody else may have settled it, after our lease ended: what they know is newer.
        if connection.execute(_DELETE, _place(receiver, each)).rowcount:
            new = {
                "receiver": receiver,
                "dead": 1,
                "recorded": each.recorded,
                "chain_pk": each.chain,
                "attempts": each.attempts + 1,
                "reason": reason,
            }
            connection.execute(insert_new(audit_outbox, connection.dialect), new)
    if tried:
        connection.execute(_COUNT, [_place(receiver, each) for each in tried])


def _place(receiver: str, row: Waiting) -> dict[str, Any]:
    return {"name": receiver, "at": row.recorded, "chain": row.chain}


# ---- for operators


@dataclass(frozen=True, slots=True)
class Backlog:
    """A receiver's state: events that wait, and that are dead; when the oldest that waits was recorded (µs);
    failures in a row, and why.
    """

    receiver: str
    waiting: int
    dead: int
    oldest: int | None
    failures: int
    reason: str | None


_COUNTS: Final = select(
    audit_outbox.c.receiver,
    audit_outbox.c.dead,
    func.count().label("events"),
    func.min(audit_outbox.c.recorded).label("oldest"),
).group_by(audit_outbox.c.receiver, audit_outbox.c.dead)
_STATES: Final = select(audit_receiver.c.receiver, audit_receiver.c.failures, audit_receiver.c.reason)


def waiting(connection: Connection) -> list[Backlog]:
    """Of every receiver that has ever been asked, or that something waits for; by name."""
    counts = {(row.receiver, row.dead): row for row in connection.execute(_COUNTS)}
    states = {row.receiver: row for row in connection.execute(_STATES)}
    found = []
    for name in sorted(states.keys() | {receiver for receiver, _ in counts}):
        alive, dead, state = counts.get((name, 0)), counts.get((name, 1)), states.get(name)
        found.append(
            Backlog(
                receiver=name,
                waiting=alive.events if alive else 0,
                dead=dead.events if dead else 0,
                oldest=alive.oldest if alive else None,
                failures=state.failures if state else 0,
                reason=state.reason if state else None,
            )
        )
    return found


_CHAINS: Final = select(audit_chain.c.chain_pk, audit_chain.c.node)


def resend(
    connection: Connection,
    receivers: Sequence[str],
    *,
    event_ids: Sequence[str] = (),
    period: tuple[int, int] | None = None,
    dead_only: bool = False,
) -> int:
    """Put events in again, in the caller's transaction; how many, counted for each receiver.

    Those with these ids, or of a period (microseconds since 1970, half-open): the dead ones only, or all,
    whether they were delivered before or not. What is dead lives again; what waits already is left alone.
    """
    total = 0
    for chain, node in connection.execute(_CHAINS).all():
        spans = [period] if period else []
        for each in event_ids:
            recorded = recorded_of(each)
            if recorded is not None and id_of(node, recorded) == each.lower():
                spans.append((recorded, recorded + 1))
        for receiver in receivers:
            for since, until in spans:
                total += _resend(connection, receiver, chain, since, until, dead_only)
    return total


def _resend(
    connection: Connection, receiver: str, chain: int, since: int, until: int, dead_only: bool
) -> int:
    source = audit_outbox if dead_only else audit_event
    chosen = (source.c.chain_pk == chain, source.c.recorded >= since, source.c.recorded < until)
    dead = (audit_outbox.c.receiver == receiver, audit_outbox.c.dead == 1)
    rows = select(
        literal(receiver), literal(0), source.c.recorded, source.c.chain_pk, literal(0), literal(None)
    ).where(*chosen, *(dead if dead_only else ()))
    columns = ["receiver", "dead", "recorded", "chain_pk", "attempts", "reason"]
    added = connection.execute(
        insert_new(audit_outbox, connection.dialect).from_select(columns, rows),
        execution_options={"preserve_rowcount": True},
    )
    connection.execute(
        delete(audit_outbox).where(
            *dead,
            audit_outbox.c.chain_pk == chain,
            audit_outbox.c.recorded >= since,
            audit_outbox.c.recorded < until,
        )
    )
    return added.rowcount
