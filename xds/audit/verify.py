"""Whether the log is whole: every chain read from its beginning, every hash worked out again.

Run by `xds log verify`, on any node, beside those that write. A row that was changed, taken away or put in
shows where it stood. Whoever can write to the database and works all hashes out anew is found only by a head
that somebody has noted elsewhere, or by what receivers have got. It never writes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import Connection, bindparam, exists, select

from xds.audit.event import instant
from xds.audit.store import digest
from xds.store.bodies import unpack
from xds.store.database import Database
from xds.store.schema import audit_chain, audit_event, audit_outbox

_CHAINS: Final = select(audit_chain).order_by(audit_chain.c.chain_pk)
_CHAIN: Final = select(audit_chain).where(audit_chain.c.chain_pk == bindparam("chain"))
_ROWS: Final = (
    select(audit_event)
    .where(audit_event.c.chain_pk == bindparam("chain"), audit_event.c.recorded > bindparam("after"))
    .order_by(audit_event.c.recorded)
    .limit(1000)
)
#: Events that wait for a receiver, or that one has refused, and that are gone.
_MISSED: Final = (
    select(audit_outbox.c.recorded)
    .where(
        audit_outbox.c.chain_pk == bindparam("chain"),
        ~exists().where(
            audit_event.c.chain_pk == audit_outbox.c.chain_pk,
            audit_event.c.recorded == audit_outbox.c.recorded,
        ),
    )
    .distinct()
    .limit(20)
)
_STRAYS: Final = (
    select(audit_event.c.chain_pk)
    .where(audit_event.c.chain_pk.not_in(select(audit_chain.c.chain_pk)))
    .distinct()
)
#: Problems of one chain that are listed; one cut may break everything after it.
_MOST: Final = 20


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: noted elsewhere, it holds everything before it."""

    node: str
    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.node}:{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """As it is written; raises ValueError."""
        node, seq, found = text.rsplit(":", 2)
        if not node or not seq.isdigit() or len(bytes.fromhex(found)) != 32:
            raise ValueError("not node:number:hash")
        return cls(node, int(seq), found.lower())


@dataclass(frozen=True, slots=True)
class Verified:
    """One chain: how many events were read, from which number on, where it ends, and what is wrong."""

    head: Head
    events: int
    first: int
    problems: tuple[str, ...]


def verify(database: Database, noted: Sequence[Head] = ()) -> tuple[Verified, ...]:
    """Every chain; `noted` are heads of before, which must still be in them."""
    with database.read() as connection:
        chains = connection.execute(_CHAINS).all()
        found = [
            _settled(connection, each, {head.seq: head.hash for head in noted if head.node == each.node})
            for each in chains
        ]
        strays = connection.execute(_STRAYS).scalars().all()
    nodes = {each.node for each in chains}
    lost = [f"the chain of {head.node} is not there" for head in noted if head.node not in nodes]
    lost += [f"there are events of chain {key}, which is not there" for key in strays]
    if lost:
        found.append(Verified(Head("", 0, ""), 0, 0, tuple(lost)))
    return tuple(found)


def _settled(connection: Connection, chain: Any, noted: Mapping[int, str]) -> Verified:
    """Once more from the beginning when the chain was cut while it was read."""
    while True:
        found = _verify(connection, chain, noted)
        now = connection.execute(_CHAIN, {"chain": chain.chain_pk}).one_or_none()
        if not found.problems or now is None or now.cut_seq == chain.cut_seq:
            return found
        chain = now


def _verify(connection: Connection, chain: Any, noted: Mapping[int, str]) -> Verified:
    problems: list[str] = []
    seq, before, events = chain.cut_seq, bytes(chain.cut_hash), 0
    seen_head = chain.seq == chain.cut_seq and before == bytes(chain.hash)
    cut_is_told = chain.cut_seq == 0
    missing = {each: value for each, value in noted.items() if each > chain.cut_seq}
    for row in _rows(connection, chain.chain_pk):
        events += 1
        where = f"number {row.seq} of {instant(row.recorded)}"
        if row.seq != seq + 1:
            problems.append(f"{where}: comes after number {seq}: events were taken away, or put in")
        if digest(before, chain.node, row) != bytes(row.hash):
            problems.append(f"{where}: its hash is not that of what it says and of what was before it")
        seq, before = row.seq, bytes(row.hash)
        if seq == chain.seq:
            seen_head = before == bytes(chain.hash)
        if missing.get(seq) == before.hex():
            del missing[seq]
        cut_is_told = cut_is_told or (
            row.code == "expire" and bytes(chain.cut_hash).hex() in _expired(bytes(row.body))
        )
    if seq > chain.seq:
        # Written meanwhile, with the head; or by somebody who does not know of it.
        now = connection.execute(_CHAIN, {"chain": chain.chain_pk}).one_or_none()
        if now is None or seq > now.seq:
            problems.append(f"number {seq} stands behind the end: it was put in")
    missed = connection.execute(_MISSED, {"chain": chain.chain_pk}).scalars().all()
    problems += [f"the event of {instant(each)} waits for a receiver and is not there" for each in missed]
    if not seen_head:
        problems.append(f"the end, number {chain.seq}, is not there or is another one")
    if not cut_is_told:
        problems.append(f"the events up to number {chain.cut_seq} are gone, and no event tells of it")
    problems += [f"the noted head number {each} is not there or is another one" for each in missing]
    if len(problems) > _MOST:
        problems[_MOST:] = [f"and {len(problems) - _MOST} more"]
    return Verified(
        Head(chain.node, chain.seq, bytes(chain.hash).hex()), events, chain.cut_seq + 1, tuple(problems)
    )


def _expired(body: bytes) -> str:
    """What an event about a deletion says was deleted."""
    try:
        (text,) = unpack([body])
        queries = [each["query"] for each in orjson.loads(text)["entity"] if "query" in each]
        return " ".join(base64.b64decode(each).decode() for each in queries)
    except Exception:  # a damaged one tells nothing, and its hash tells that
        return ""


def _rows(connection: Connection, chain: int) -> Iterator[Any]:
    after = -(2**63)
    while rows := connection.execute(_ROWS, {"chain": chain, "after": after}).all():
        yield from rows
        after = rows[-1].recorded
