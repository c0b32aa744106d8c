"""Deleting what is older than the law asks for: never by itself, never unseen.

Run by `xds log expire`, when audit.keep_days says so. Only whole beginnings of a chain go, in the transaction
that writes the event about it; what a receiver has not got yet stays, and all after it. verify.py knows by
that event, and by the hash that is kept, that nobody else cut the chain.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, select, update

from xds.audit.event import Node, entry, instant
from xds.audit.facts import Context, Deed, Query
from xds.audit.store import AuditLog
from xds.store.database import Database
from xds.store.schema import audit_chain, audit_event, audit_outbox

#: Events that one transaction deletes: others wait for it on SQLite.
_TOGETHER: Final = 2_000

_CHAINS: Final = select(audit_chain.c.chain_pk, audit_chain.c.node).order_by(audit_chain.c.chain_pk)
_LOCKED: Final = select(audit_chain).where(audit_chain.c.chain_pk == bindparam("chain")).with_for_update()
#: What a receiver has refused, or nobody hands on any more, holds nothing back.
_WAITING: Final = select(func.min(audit_outbox.c.recorded)).where(
    audit_outbox.c.chain_pk == bindparam("chain"),
    audit_outbox.c.dead == 0,
    audit_outbox.c.receiver.in_(bindparam("receivers", expanding=True)),
)
_FORGET: Final = delete(audit_outbox).where(
    audit_outbox.c.chain_pk == bindparam("chain"), audit_outbox.c.recorded <= bindparam("last")
)
_OLD: Final = (
    select(audit_event.c.recorded, audit_event.c.seq, audit_event.c.hash)
    .where(audit_event.c.chain_pk == bindparam("chain"), audit_event.c.recorded < bindparam("before"))
    .order_by(audit_event.c.recorded)
    .limit(_TOGETHER)
)
_DELETE: Final = delete(audit_event).where(
    audit_event.c.chain_pk == bindparam("chain"), audit_event.c.recorded <= bindparam("last")
)
_CUT: Final = (
    update(audit_chain)
    .where(audit_chain.c.chain_pk == bindparam("chain"))
    .values(cut_seq=bindparam("seq_of_last"), cut_hash=bindparam("hash_of_last"))
)


def expire(database: Database, node: Node, before: int, by: str, receivers: Sequence[str] = ()) -> int:
    """Delete events of all nodes recorded before (µs since 1970); how many. `by` is who told it to.

    `receivers` get the events about it.
    """
    with database.read() as connection:
        chains = connection.execute(_CHAINS).all()
    gone = 0
    # What is written meanwhile is not old, whatever was asked for.
    before = min(before, time.time_ns() // 1000)
    for chain in chains:
        log = AuditLog(database, chain.node, receivers)
        context = Context(endpoint="xds log expire", number="expire", operator=by)
        while some := database.transact(
            lambda connection, chain=chain, log=log, context=context: _expire(  # type: ignore[misc]
                connection, chain, before, log, node, context, by, receivers
            )
        ):
            gone += some
    return gone


def _expire(
    connection: Connection,
    chain: Any,
    before: int,
    log: AuditLog,
    node: Node,
    context: Context,
    by: str,
    receivers: Sequence[str],
) -> int:
    key = {"chain": chain.chain_pk}
    connection.execute(_LOCKED, key).one()
    waiting = connection.execute(_WAITING, {**key, "receivers": list(receivers)}).scalar_one()
    old = connection.execute(
        _OLD, {**key, "before": before if waiting is None else min(before, waiting)}
    ).all()
    if not old:
        return 0
    last = old[-1]
    connection.execute(_DELETE, {**key, "last": last.recorded})
    connection.execute(_FORGET, {**key, "last": last.recorded})
    connection.execute(_CUT, {**key, "seq_of_last": last.seq, "hash_of_last": bytes(last.hash)})
    text = (
        f"{len(old)} events of {chain.node} from {instant(old[0].recorded)} to {instant(last.recorded)},"
        f" numbers {old[0].seq} to {last.seq}, the last with hash {bytes(last.hash).hex()}, by {by}"
    )
    told = Deed(query=Query(id="", name="Security Audit Log", text=text.encode()), objects=len(old))
    log.add(connection, [entry(node, context, told)])
    return len(old)
