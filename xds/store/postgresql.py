"""PostgreSQL: READ COMMITTED, row locks, and an end to every waiting.

Used by database.py and, for its connections, replica.py only. Writers lock their patient's row first
(registry/patients.py); nothing here or elsewhere uses advisory locks, table locks outside migrations, or
anything else that a distributed PostgreSQL or a pooler refuses.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Final

import psycopg
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg
from sqlalchemy.exc import IntegrityError, InvalidatePoolError, OperationalError, ProgrammingError

from xds.errors import SettingsError
from xds.store.trouble import DatabaseBusy

#: How long anybody waits: for a free connection, for a lock, and for one statement.
_WAIT_SECONDS: Final = 30
#: How long a migration, for a table that a node or somebody's long transaction uses.
_DDL_WAIT_SECONDS: Final = 2

#: jit: its compiling takes longer than our statements. A thread that dies must not keep a patient locked.
SESSION: Final[Mapping[str, str]] = {
    "jit": "off",
    "lock_timeout": f"{_WAIT_SECONDS}s",
    "statement_timeout": f"{_WAIT_SECONDS * 2}s",
    "idle_in_transaction_session_timeout": f"{_WAIT_SECONDS * 2}s",
}

#: libpq's own: a server whose machine is gone is noticed within half a minute.
NETWORK: Final[Mapping[str, str | int]] = {
    "client_encoding": "utf8",
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": _WAIT_SECONDS * 1000,
}

#: What a server says that is a standby now, or that somebody has made read-only: another may take writes.
_ReadOnly: Final = psycopg.errors.ReadOnlySqlTransaction
_WRITABLE: Final = (
    "SELECT NOT pg_is_in_recovery() AND NOT current_setting('default_transaction_read_only')::boolean"
)

_VERSION_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS alembic_version"
    " (version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


class _Compiler(PGCompiler_psycopg):
    """The patterns of registry/facets.py are Python's; PostgreSQL needs no atomic groups, and has none.

    Its search never goes back over the text, so a plain group is as quick. In a pattern `(?>` can only be a
    group of ours: what users write is escaped.
    """

    def visit_regexp_match_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        column, pattern = self.process(binary.left, **kw), self.process(binary.right, **kw)
        return f"{column} ~ replace({pattern}, '(?>', '(?:')"


class Postgresql:
    """A server, with at most `connections` for reading and as many for writing."""

    error = (psycopg.OperationalError, _ReadOnly)

    def __init__(self, url: URL, connections: int) -> None:
        self.most: tuple[int | None, int | None] = (connections, connections)
        self.writers = engine_of(url, connections, isolation_level="READ COMMITTED")
        # Nothing to roll back after a statement that was committed by itself.
        self.readers = engine_of(url, connections, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)

    def fetch(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        """All rows of one statement; tried once more when the connection breaks under it."""
        try:
            return self._fetch(text, values)
        except OperationalError as error:
            if not error.connection_invalidated:
                raise
            return self._fetch(text, values)

    def _fetch(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        try:
            pooled = self.readers.raw_connection()
        except psycopg.OperationalError as error:
            raise OperationalError(text, None, error) from error
        try:
            raw: Any = pooled.driver_connection
            rows: list[Any] = raw.execute(text, values, binary=True).fetchall()
            return rows
        except psycopg.OperationalError as error:
            if broken := bool(raw.closed):
                pooled.invalidate()
            raise OperationalError(text, None, error, connection_invalidated=broken) from error
        finally:
            pooled.close()

    @contextmanager
    def append(self) -> Iterator[Callable[[str, tuple[Any, ...]], list[Any]]]:
        """A transaction on a connection of the writers."""
        text = ""
        try:
            pooled = self.writers.raw_connection()
        except psycopg.OperationalError as error:
            raise OperationalError(text, None, error) from error
        raw: Any = pooled.driver_connection

        def run(statement: str, values: tuple[Any, ...]) -> list[Any]:
            nonlocal text
            text = statement
            cursor = raw.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

        try:
            yield run
            raw.commit()
        except self.error as error:
            if broken := bool(raw.closed) or isinstance(error, _ReadOnly):
                pooled.invalidate()
            raise OperationalError(text, None, error, connection_invalidated=broken) from error
        finally:
            pooled.close()  # rolls back what was not committed

    def turn(self) -> AbstractContextManager[None]:
        """Writers need no queue: they lock their patient."""
        return nullcontext()

    @contextmanager
    def migration(self) -> Iterator[Connection]:
        """One transaction that holds the version table; others that migrate wait for it, readers do not."""
        with self.readers.connect() as connection:
            if connection.scalar(text("SHOW server_encoding")) != "UTF8":
                raise SettingsError("store.database: the database must be made with ENCODING 'UTF8'")
            # IF NOT EXISTS is no help against somebody who makes it at this very moment.
            with suppress(IntegrityError, ProgrammingError):
                connection.execute(text(_VERSION_TABLE))
        self.readers.dispose()  # whoever asks who else is connected must not find us
        with self.writers.begin() as connection:
            connection.execute(text("LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE"))
            # Behind whoever waits to change a table waits everybody who comes later: it gives up soon.
            connection.execute(text(f"SET LOCAL lock_timeout = '{_DDL_WAIT_SECONDS}s'"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # an index takes as long as it takes
            yield connection

    def leave(self, connection: Connection, error: BaseException) -> None:
        """Give a connection up whose server takes no writes."""
        if isinstance(error, _ReadOnly):
            connection.invalidate(error)

    def check(self, connection: Connection) -> None:
        """Raises DatabaseBusy while the server takes nothing in: a standby, or one made read-only."""
        if connection.scalar(text(_WRITABLE)) is not True:
            raise DatabaseBusy("the database is read-only")

    def exists(self) -> bool:
        """Always: looking into a database makes none."""
        return True

    def close(self) -> None:
        """Close every connection that is not in use."""
        self.readers.dispose()
        self.writers.dispose()


def engine_of(
    url: URL,
    connections: int,
    *,
    session: Mapping[str, str] = SESSION,
    network: Mapping[str, str | int] = NETWORK,
    wait_seconds: float = _WAIT_SECONDS,
    **options: Any,
) -> Engine:
    """An engine with a pool of `connections`, for which nobody waits longer than `wait_seconds`.

    Raises SettingsError for another driver.
    """
    if url.get_driver_name() != "psycopg":
        raise SettingsError("store.database: write postgresql+psycopg://…, the driver that xds uses")
    set_up = " ".join(f"-c {name}={value}" for name, value in session.items())
    given = url.query.get("options", "")
    engine = create_engine(
        url.difference_update_query(["options"]),
        # What the URL says wins: it comes last.
        connect_args={**network, "options": f"{set_up} {given}"},
        pool_size=connections,
        max_overflow=0,
        pool_timeout=wait_seconds,
        pool_use_lifo=True,
        paramstyle="format",
        hide_parameters=True,
        **options,
    )
    engine.dialect.statement_compiler = _Compiler
    event.listen(engine, "checkout", _check)
    event.listen(engine, "handle_error", _told_read_only)
    return engine


def _told_read_only(context: ExceptionContext) -> None:
    """Leave a server that takes no writes, so that the next connection may find the one that does."""
    if isinstance(context.original_exception, _ReadOnly):
        context.is_disconnect = True
        raise OperationalError(context.statement, None, context.original_exception)


def _check(raw: psycopg.Connection[Any], record: Any, pooled: Any) -> None:
    """Replace a connection that the server has closed (restart, failover), without asking the server.

    Nothing is sent to an idle connection but the end, so there is nothing to read from a sound one.
    """
    if raw.closed:
        raise InvalidatePoolError
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    if poll.poll(0):
        raise InvalidatePoolError
