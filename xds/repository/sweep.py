"""Removes bytes that were staged or put but never registered: what a crash or a cut connection leaves behind.

Run by `xds sweep`, from cron or a timer, on any node. It removes nothing younger than the grace time, which
must be longer than the longest upload and registration; it lists only the hours since its last run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select, update

from xds.errors import XdsError
from xds.repository.store import DocumentStore
from xds.store.database import Database
from xds.store.dialect import insert_new
from xds.store.schema import maintenance, stored_document

_NAME: Final = "sweep: hours before this are done"
_WATERMARK: Final = select(maintenance.c.value).where(maintenance.c.name == _NAME)
#: So many strays are no reason to ask.
_FEW: Final = 100
#: Removed in one transaction, in which others may have to wait for the store.
_TOGETHER: Final = 100
_KNOWN: Final = select(stored_document.c.blob_key).where(
    stored_document.c.blob_key.in_(bindparam("keys", expanding=True))
)
_DONE: Final = update(maintenance).where(maintenance.c.name == _NAME).values(value=bindparam("done"))
_UNCLAIM: Final = delete(stored_document).where(
    stored_document.c.doc_uid.in_(bindparam("keys", expanding=True))
)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed: files of unfinished requests, put documents without a row, and their bytes."""

    staged: int
    unregistered: int
    bytes: int


class TooMany(XdsError):
    """Most of what is there has no registration: that looks like the wrong database, not like stray bytes."""


def sweep(
    database: Database,
    store: DocumentStore,
    *,
    grace: timedelta,
    everything: bool = False,
    force: bool = False,
) -> Swept:
    """Remove stray bytes older than `grace`; `everything` lists all hours, not only those since the last.

    Raises TooMany, and removes nothing, when more than half of the documents listed, and more than a hundred,
    are strays, unless `force` says that it is meant: no document must be lost to the wrong database.
    """
    before = datetime.now(UTC) - grace
    with database.read() as connection:
        since = "" if everything else connection.execute(_WATERMARK).scalar_one_or_none() or ""
    # An hour is done when nothing can be put in it any more and all of it was old enough to be looked at.
    done = (before - timedelta(hours=1)).strftime("%Y/%m/%d/%H")
    # A sweep whose clock was ahead has written down an hour that has not been; ours tells how far it can be.
    since = min(since, done)
    listed, strays = 0, []
    for keys in _batches(store.keys(since, before), 500):
        with database.read() as connection:
            known = set(connection.execute(_KNOWN, {"keys": keys}).scalars())
        listed += len(keys)
        strays += [key for key in keys if key not in known]
    if len(strays) > max(_FEW, listed / 2) and not force:
        raise TooMany(
            f"{len(strays)} of {listed} documents are not registered in this database. Nothing was removed:"
            " check that store.database is the one that belongs to store.documents; --force removes them."
        )
    staged = unregistered = size = 0
    for file in store.forgotten(before):
        file.discard()
        staged, size = staged + 1, size + file.size
    for keys in _batches(strays, _TOGETHER):
        for removed in database.transact(partial(_remove, store=store, keys=keys)):
            unregistered, size = unregistered + 1, size + removed
    if done != since:
        with database.write() as connection:
            connection.execute(insert_new(maintenance, connection.dialect), {"name": _NAME, "value": done})
            connection.execute(_DONE, {"done": done})
    return Swept(staged, unregistered, size)


def _remove(connection: Connection, store: DocumentStore, keys: list[str]) -> list[int]:
    """Remove those of the documents that have no row; the bytes of each.

    Their keys are claimed first, by rows that nobody ever sees: whoever is recording one of them is waited
    for, and whoever comes later waits for us and then misses the bytes. So even too short a grace time never
    loses an acknowledged document.
    """
    claims = [
        {"doc_uid": key, "blob_key": key, "sha1": b"", "sha256": b"", "size": 0, "mime": "", "stored_at": 0}
        for key in sorted(keys)
    ]
    statement = insert_new(stored_document, connection.dialect).returning(stored_document.c.blob_key)
    claimed = connection.execute(statement, claims).scalars().all()
    sizes = []
    for key in claimed:
        sizes.append(store.size(key) or 0)
        store.remove(key)
    connection.execute(_UNCLAIM, {"keys": claimed})
    return sizes


def _batches(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(keys)
    while batch := list(islice(iterator, size)):
        yield batch
