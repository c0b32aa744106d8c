"""Rows of registry objects put into their tables, and taken out, with the claims on their entryUUIDs.

register.py and update.py write through here, remove.py and `xds copy` keep the claims right. It must never be
left out where objects come or go: a partitioned database has no other guard for entryUUIDs
(store/partitions.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, insert

from xds.registry.objects import KINDS, UUIDS, batches
from xds.store.partitions import is_partitioned
from xds.store.schema import entry_claim, listed_code

#: By the names of the tables.
_INSERTS: Final = {
    table.name: insert(table) for table in (*(kind.table for kind in KINDS.values()), listed_code)
}
_CLAIM: Final = insert(entry_claim)
_GIVE_UP: Final = delete(entry_claim).where(entry_claim.c.entry_uuid.in_(UUIDS))


def store(connection: Connection, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows into the table of a name.

    An entryUUID that somebody has written meanwhile, for whomever, is a unique violation, after which
    Database.transact begins again and the second look finds it.
    """
    if name != listed_code.name:
        claim_uuids(connection, rows)
    connection.execute(_INSERTS[name], rows)


def claim_uuids(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Claim the entryUUIDs of rows where no index keeps them unique."""
    if is_partitioned(connection):
        claims = [{"entry_uuid": each["entry_uuid"], "patient_pk": each["patient_pk"]} for each in rows]
        # One order: no deadlocks.
        connection.execute(_CLAIM, sorted(claims, key=lambda each: bytes(each["entry_uuid"])))


def give_up_uuids(connection: Connection, uuids: Iterable[bytes]) -> None:
    """Let entryUUIDs be used again when their objects are gone."""
    if is_partitioned(connection):
        for some in batches(uuids):
            connection.execute(_GIVE_UP, {"uuids": some})
