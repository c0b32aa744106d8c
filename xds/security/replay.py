"""What was used and is good for one use only: assertions of some issuers, and every DPoP proof.

The gate asks it last, when all else about a ticket is good. The memory is a table, so it holds for every
worker and every node on the same database; what cannot be written there was not seen, and is refused with
the request. It must never forget anything before its time is over.
"""

from __future__ import annotations

import hashlib
import threading
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete

from xds.store.database import Database
from xds.store.dialect import insert_new
from xds.store.schema import used_ticket

#: Rows whose time is over are deleted at most this often by one process, in seconds.
_CLEAN_SECONDS: Final = 60
#: And so many seconds later: another node's clock may be behind ours, and ours may be put back, by which
#: what had ended is good again.
_MARGIN: Final = 86_400


class Replay:
    """The tickets and proofs that were used, until they end by themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cleaned = 0.0
        self._lock = threading.Lock()

    def first_use(self, name: str, until: datetime, now: datetime) -> bool:
        """Remember `name` until then; False when it is remembered already, by whatever node."""
        digest = hashlib.sha256(name.encode()).digest()
        clean = self._time_to_clean(now)

        def work(connection: Connection) -> bool:
            if clean:
                connection.execute(
                    delete(used_ticket).where(used_ticket.c.until < int(now.timestamp()) - _MARGIN)
                )
            values = {"digest": digest, "until": int(until.timestamp()) + 1}
            insert = insert_new(used_ticket, self._database.engine.dialect).returning(used_ticket.c.digest)
            return connection.execute(insert, values).first() is not None

        return self._database.transact(work)

    def _time_to_clean(self, now: datetime) -> bool:
        with self._lock:
            if now.timestamp() - self._cleaned < _CLEAN_SECONDS:
                return False
            self._cleaned = now.timestamp()
            return True
