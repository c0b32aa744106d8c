"""Removes what crashes leave of messages that waited: files without a row, and rows whose time is long over.

Run by `xds sweep`, on any node. It removes nothing younger than the grace time, and nothing that a row still
names: an answer that was acknowledged is the courier's (courier.py) for as long as it is tried to be sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select

from xds.errors import XdsError
from xds.gateway.awaited import files
from xds.gateway.replies import now
from xds.store.database import Database
from xds.store.dialect import insert_new
from xds.store.schema import awaited_reply, outgoing_reply
from xds.transport.staged import Staged, StagingFolder

#: So long after its end a row has nobody who would remove it, whatever the clocks of other nodes say (ms).
_MARGIN: Final = 3_600_000
#: So many files without a row are no reason to ask.
_FEW: Final = 100
_TOGETHER: Final = 500

_UNSENT: Final = (
    delete(outgoing_reply).where(outgoing_reply.c.until < bindparam("at")).returning(outgoing_reply.c.file)
)
_UNREAD: Final = (
    delete(awaited_reply).where(awaited_reply.c.until < bindparam("at")).returning(awaited_reply.c.reply)
)
_SENDING: Final = select(outgoing_reply.c.file)
_READING: Final = select(awaited_reply.c.reply).where(awaited_reply.c.reply.is_not(None))
_UNCLAIM: Final = delete(outgoing_reply).where(outgoing_reply.c.file.in_(bindparam("names", expanding=True)))


def sweep(database: Database, folder: StagingFolder, *, grace: timedelta, force: bool = False) -> int:
    """Remove the strays of a folder that are older than `grace`; how many files there were.

    Raises XdsError, and removes nothing, when more than half of the files, and more than a hundred, have no
    row, unless `force` says that it is meant: that looks like the wrong database.
    """
    # The files first: what gets its row meanwhile is seen to have one.
    found = list(folder.older(datetime.now(UTC) - grace))
    with database.read() as connection:
        named = {str(name) for name in connection.execute(_SENDING).scalars()}
        for text in connection.execute(_READING).scalars():
            named |= {each.path.name for each in files(text, folder.path)}
    strays = [each for each in found if each.path.name not in named]
    if len(strays) > max(_FEW, len(found) / 2) and not force:
        raise XdsError(
            f"{len(strays)} of {len(found)} replies are not known to this database. None was removed: check"
            " that store.database is the one that belongs to store.documents; --force removes them."
        )
    removed = _expire(database, folder.path)
    for first in range(0, len(strays), _TOGETHER):
        removed += database.transact(partial(_remove, strays=strays[first : first + _TOGETHER]))
    return removed


def _expire(database: Database, folder: Path) -> int:
    """Of nodes that are no more, and of calls whose process has ended."""
    given = {"at": now() - _MARGIN}

    def work(connection: Connection) -> list[str]:
        names = [str(name) for name in connection.execute(_UNSENT, given).scalars()]
        for text in connection.execute(_UNREAD, given).scalars():
            names += [each.path.name for each in files(text, folder)]
        return names

    removed = 0
    for name in database.transact(work):
        removed += (folder / name).exists()  # else it is another node's
        (folder / name).unlink(missing_ok=True)
    return removed


def _remove(connection: Connection, strays: Sequence[Staged]) -> int:
    """Remove files that have no row.

    Their names are claimed first, by rows that nobody ever sees: whoever is keeping one of them is waited
    for, and whoever comes later waits for us and then misses the file (replies.py). So even too short a grace
    time never loses an answer that was acknowledged.
    """
    statement = insert_new(outgoing_reply, connection.dialect).returning(outgoing_reply.c.file)
    claimed = set(connection.execute(statement, list(_claims(strays))).scalars())
    for each in strays:
        if each.path.name in claimed:
            each.discard()
    connection.execute(_UNCLAIM, {"names": sorted(claimed)})
    return len(claimed)


def _claims(strays: Sequence[Staged]) -> Iterator[dict[str, object]]:
    numbers = dict.fromkeys(("size", "made_at", "until", "due", "attempts"), 0)
    texts = dict.fromkeys(("node", "url", "content_type", "action", "reference"), "")
    for name in sorted(each.path.name for each in strays):
        yield {"file": name, **texts, **numbers}
