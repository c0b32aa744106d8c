"""The database: how it is opened, read and written, on SQLite now and on other engines through SQLAlchemy.

The registry and the repository get their connections here and nowhere else.
A reader never blocks; a writer is alone (SQLite) or alone on its patient (registry/register.py says how).
It must never hold a statement about documents.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BindParameter,
    Connection,
    Engine,
    Executable,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import ArgumentError

from xds.errors import SettingsError, XdsError

T = TypeVar("T")

_MIGRATIONS: Final = Path(__file__).with_name("migrations")

#: synchronous=FULL: a registry that has answered Success must not forget, not even at power loss.
#: journal_mode WAL: readers go on beside the one writer. Values from measurement, see docs/decisions/.
_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "busy_timeout=30000",
    "foreign_keys=ON",
    "cache_size=-4096",
    "mmap_size=1073741824",
    "wal_autocheckpoint=4000",
    "journal_size_limit=67108864",
    "case_sensitive_like=ON",
)


#: How long a writer waits for its turn, and SQLite for a lock.
_WAIT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as the driver takes it: its text, and where the value of each placeholder is found.

    A place is the name of a bound value and, when that is a list, an index; `constants` are the statement's
    own.
    """

    text: str
    places: tuple[tuple[str, int | None], ...]
    constants: Mapping[str, Any]

    def values(self, bound: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values for the placeholders; a list that is shorter than its places repeats its last value."""
        given = {**self.constants, **bound} if self.constants else bound
        return tuple(
            given[name] if index is None else given[name][min(index, len(given[name]) - 1)]
            for name, index in self.places
        )


def _constant(name: str, bind: BindParameter[Any]) -> Iterator[tuple[str, Any]]:
    """The value of a statement's own parameter, or the values of its list."""
    if bind.expanding:
        yield from ((f"{name}_{index}", value) for index, value in enumerate(bind.value or (), 1))
    else:
        yield name, bind.value


class Database:
    """One engine and the ways to use it: `fetch`, `read`, `write`.

    Safe to share between threads; each worker process opens its own.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url = make_url(url)
        except ArgumentError:
            raise SettingsError(
                "store.database is not a database URL; write e.g. sqlite:////var/lib/xds/xds.db"
            ) from None
        if self.url.get_backend_name() != "sqlite":
            raise SettingsError("store.database: this version runs on SQLite only; write sqlite:///…")
        if not self.url.database or self.url.database == ":memory:":
            raise SettingsError("store.database: SQLite needs a file, e.g. sqlite:////var/lib/xds/xds.db")
        self.path = Path(self.url.database)
        # As many connections as threads ask for, the warm ones first.
        self.engine: Engine = create_engine(self.url, pool_size=8, max_overflow=-1, pool_use_lifo=True)
        event.listen(self.engine, "connect", _connect)
        event.listen(self.engine, "begin", _begin)
        self._readers = self.engine.execution_options(xds_begin=None)
        self._writers = self.engine.execution_options(xds_begin="BEGIN IMMEDIATE")
        self._ready: deque[Any] = deque()
        self._queue = _Queue(self.path.with_name(self.path.name + ".lock"))

    def compile(self, statement: Executable, bound: Mapping[str, Any]) -> Compiled:
        """The text of a statement for values like `bound`: lists may be shorter later, not longer."""
        places: dict[str, tuple[str, int | None]] = {}
        for name, value in bound.items():
            if isinstance(value, list):
                places |= {f"{name}_{index + 1}": (name, index) for index in range(len(value))}
            else:
                places[name] = (name, None)
        compiled: Any = statement.params(bound).compile(  # type: ignore[attr-defined]
            dialect=self.engine.dialect, compile_kwargs={"render_postcompile": True}
        )
        constants = {
            name: value
            for bind, own in compiled.bind_names.items()
            if own not in bound
            for name, value in _constant(own, bind)
        }
        return Compiled(
            compiled.string, tuple(places.get(name, (name, None)) for name in compiled.positiontup), constants
        )

    def fetch(self, compiled: Compiled, bound: Mapping[str, Any]) -> list[Any]:
        """All rows of one compiled statement, as plain tuples.

        The hot path of every read: it goes to the driver, on a connection that is kept ready for it.
        """
        try:
            raw = self._ready.pop()
        except IndexError:
            raw = self._raw_connection()
        try:
            rows: list[Any] = raw.execute(compiled.text, compiled.values(bound)).fetchall()
        except BaseException:
            raw.close()
            raise
        self._ready.append(raw)
        return rows

    def _raw_connection(self) -> Any:
        pooled = self.engine.raw_connection()
        raw = pooled.driver_connection
        pooled.detach()
        return raw

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for one statement; costs no BEGIN and no COMMIT."""
        with self._readers.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction: committed when the block ends, rolled back when it raises."""
        with self._queue.turn(), self._writers.begin() as connection:
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, done in one write transaction.

        `work` may be called again from the start when the engine breaks a transaction off for another's sake,
        so it must do nothing but work on the database.
        """
        with self.write() as connection:
            return work(connection)

    def migrate(self) -> None:
        """Bring the schema to this version; all or nothing, safe to call from several processes."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._queue.turn(), self.engine.connect() as connection:
            # A table copy under foreign_keys=ON deletes child rows silently; the pragma works outside
            # transactions only.
            raw: Any = connection.connection.dbapi_connection
            raw.execute("PRAGMA foreign_keys=OFF")
            try:
                with connection.execution_options(xds_begin="BEGIN IMMEDIATE").begin():
                    command.upgrade(_alembic(connection), "head")
            finally:
                raw.execute("PRAGMA foreign_keys=ON")

    def is_current(self) -> bool:
        """Whether the schema is the one this version needs."""
        if not self.path.exists():
            return False
        with self.read() as connection:
            here = MigrationContext.configure(connection).get_current_revision()
        return here == ScriptDirectory(str(_MIGRATIONS)).get_current_head()

    def close(self) -> None:
        """Close every connection that is not in use."""
        while self._ready:
            self._ready.pop().close()
        self.engine.dispose()


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _connect(raw: sqlite3.Connection, record: Any) -> None:
    # We send BEGIN ourselves: the driver's own is neither atomic for DDL nor IMMEDIATE.
    raw.isolation_level = None
    for pragma in _PRAGMAS:
        raw.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    how = connection.get_execution_options().get("xds_begin")
    if how is not None:
        connection.exec_driver_sql(how)


class DatabaseBusy(XdsError):
    """No turn to write came in time; nothing was written."""


class _Queue:
    """A queue for writers, across threads and processes, with an end to the waiting.

    SQLite's own waiting polls with growing pauses and starves the unlucky (docs/decisions/0003).
    Threads of a process queue at a lock; the one in front asks for the file's lock again and again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._front = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        deadline = time.monotonic() + _WAIT_SECONDS
        if not self._front.acquire(timeout=_WAIT_SECONDS):
            raise DatabaseBusy
        try:
            # Opened for each turn (3 µs): closing it unlocks, whatever happened.
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                while not _locked(descriptor):
                    if time.monotonic() > deadline:
                        raise DatabaseBusy
                    time.sleep(0.0005)
                yield
            finally:
                os.close(descriptor)
        finally:
            self._front.release()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
