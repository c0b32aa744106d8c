"""A read replica: a streaming standby that answers a read when it has all that was acknowledged.

database.py asks it first where the caller allows (stored queries, searches), and asks the database itself
when it gives nothing. It keeps nothing in memory that an answer depends on, so any node may follow any other.
It must never answer without having compared itself with the database in this very read, and nothing that is
written may be judged by it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from xds.store.postgresql import NETWORK, SESSION, engine_of

log = logging.getLogger("xds")

#: How long a read waits for the replica to come to the database's position, in steps, in seconds.
_STEPS: Final = (0.001, 0.002, 0.004, 0.008)
#: Seconds for which nobody tries again: a replica that is behind, and one that fails or is no replica.
_BEHIND_REST: Final = 0.1
_TROUBLE_REST: Final = 5.0
#: How long an operator who asks waits for it to catch up, in seconds.
_PATIENCE: Final = 2.0
#: Seconds behind until it is worth a line in the log.
_BEHIND_TOLD: Final = 10.0

#: The database answers instead, so nobody waits long: for a free connection, a statement, a lost machine.
_WAIT_SECONDS: Final = 1.0
_SESSION: Final = {**SESSION, "statement_timeout": "10s"}
_NETWORK: Final = {**NETWORK, "connect_timeout": 2, "keepalives_idle": 3, "tcp_user_timeout": 3000}

# Which cluster, database and tables these are; a physical copy has the same numbers.
_IDENTITY: Final = (
    "concat_ws('/', (SELECT system_identifier FROM pg_control_system()),"
    " (SELECT oid FROM pg_database WHERE datname = current_database()), to_regclass('document_entry')::oid)"
)
_TIMELINE: Final = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
# What is acknowledged is flushed, unless somebody has chosen to lose it.
_FLUSHED: Final = (
    "CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn()"
    " ELSE pg_current_wal_flush_lsn() END::text"
)
# Both are written after something of theirs was replayed: they may be late, never early.
_TIMELINE_OF_STANDBY: Final = (
    "(SELECT upper(lpad(to_hex(greatest(c.timeline_id, r.min_recovery_end_timeline)), 8, '0'))"
    " FROM pg_control_checkpoint() c, pg_control_recovery() r)"
)
_IS_THERE: Final = "coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)"
_POSITION: Final = "SELECT " + ", ".join((_IDENTITY, _TIMELINE, _FLUSHED))
_STATE: Final = "SELECT " + ", ".join(("pg_is_in_recovery()", _IDENTITY, _TIMELINE_OF_STANDBY, _IS_THERE))

#: Straight from a driver: the rows of a statement's text with its values.
Fetch = Callable[[str, tuple[Any, ...]], list[Any]]


class _Unfit(Exception):
    """Why the replica does not answer: in a word for the metrics, in a sentence, and whether that may pass
    by itself in a moment.
    """

    def __init__(self, word: str, sentence: str, *, passes: bool = False) -> None:
        super().__init__(sentence)
        self.word, self.sentence, self.passes = word, sentence, passes


class Replica:
    """The replica at `url` of the database that `primary` asks; raises SettingsError for another driver.

    `counted` is told of each read: what it was answered by ("replica" or "database"), and for which reason
    ("" when by the replica).
    """

    def __init__(
        self, url: URL, connections: int, primary: Fetch, counted: Callable[[str, str], None]
    ) -> None:
        self._engine = engine_of(
            url,
            connections,
            session=_SESSION,
            network=_NETWORK,
            wait_seconds=_WAIT_SECONDS,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
        )
        self._primary = primary
        self._counted = counted
        # Only about whether it is worth asking and what was told: none of it is part of an answer.
        self._rests_until = 0.0
        self._unfit: _Unfit | None = None
        self._unfit_since = 0.0
        self._told = False

    def fetch(self, text: str, values: tuple[Any, ...]) -> list[Any] | None:
        """All rows of a statement as of now or later, or None: ask the database."""
        if self._unfit is not None and time.monotonic() < self._rests_until:
            self._counted("database", self._unfit.word)
            return None
        try:
            rows = self._fetch(text, values)
        except _Unfit as unfit:
            self._not_used(unfit)
            self._counted("database", unfit.word)
            return None
        self._used()
        self._counted("replica", "")
        return rows

    def trouble(self) -> str:
        """What is wrong with it now, in a sentence; nothing when it is fit to be asked."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._fetch("SELECT 1", ())
                return ""
            except _Unfit as unfit:
                if not unfit.passes or time.monotonic() > deadline:
                    return unfit.sentence

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()

    def _fetch(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        identity, timeline, position = self._position()
        try:
            pooled = self._engine.raw_connection()
        except NoConnectionFree:
            raise _Unfit("busy", "no connection to it is free", passes=True) from None
        except (psycopg.Error, OperationalError) as error:
            raise _Unfit("away", f"it cannot be reached ({_kind(error)})") from None
        raw: Any = pooled.driver_connection
        try:
            # On one connection, and before the statement is begun: what a statement sees is settled when it
            # begins, so a condition in the statement itself would come too late.
            self._wait(raw, identity, timeline, position)
            rows: list[Any] = raw.execute(text, values, binary=True).fetchall()
            return rows
        except psycopg.Error as error:
            if raw.closed:
                pooled.invalidate()
                raise _Unfit("away", f"the connection to it was lost ({_kind(error)})") from None
            # It replays something that takes what the statement reads away, or the statement is at fault.
            raise _Unfit("failed", f"a statement failed there ({_kind(error)})", passes=True) from None
        finally:
            pooled.close()

    def _position(self) -> tuple[str, str, str]:
        """Which database it is, its timeline, and up to where everything must be there that was acknowledged.

        Raises OperationalError when the database is away, as the read itself would.
        """
        try:
            ((identity, timeline, position),) = self._primary(_POSITION, ())
        except OperationalError as error:
            if isinstance(error.orig, psycopg.errors.ObjectNotInPrerequisiteState):
                raise _Unfit("standby", "the database itself is a standby") from None
            raise
        except psycopg.Error as error:
            raise _Unfit("refused", f"the database does not tell its position ({_kind(error)})") from None
        return identity, timeline, position

    def _wait(self, raw: Any, identity: str, timeline: str, position: str) -> None:
        for step in (*_STEPS, None):
            is_standby, own, its_timeline, is_there = raw.execute(_STATE, (position,), binary=True).fetchone()
            if not is_standby:
                raise _Unfit("primary", "it is no standby: it takes writes of its own")
            if own != identity:
                raise _Unfit("other", "it is no copy of store.database: another cluster, database or schema")
            if its_timeline != timeline:
                raise _Unfit("timeline", "it has not followed the last failover yet")
            if is_there:
                return
            if step is not None:
                time.sleep(step)
        raise _Unfit("behind", "it is behind the database", passes=True)

    def _not_used(self, unfit: _Unfit) -> None:
        now = time.monotonic()
        if self._unfit is None:
            self._unfit_since = now
        self._unfit = unfit
        self._rests_until = now + (_BEHIND_REST if unfit.passes else _TROUBLE_REST)
        if not self._told and (not unfit.passes or now - self._unfit_since > _BEHIND_TOLD):
            self._told = True
            log.error("store.replica is not used: %s; the database answers", unfit.sentence)

    def _used(self) -> None:
        self._unfit = None
        if self._told:
            self._told = False
            log.info("store.replica is used again")


def _kind(error: Exception) -> str:
    return getattr(error, "sqlstate", None) or type(error).__name__
