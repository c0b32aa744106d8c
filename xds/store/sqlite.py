"""SQLite: one file, any number of readers, one writer at a time across all threads and processes.

Used by database.py only. A write transaction is begun with IMMEDIATE after a turn in an own queue, because
SQLite's own waiting starves the unlucky. It must never be used on a network disk.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import OperationalError

from xds.errors import SettingsError
from xds.store.trouble import DatabaseBusy

#: How long a writer waits for its turn, and SQLite for a lock.
_WAIT_SECONDS: Final = 30.0

#: synchronous=FULL: a registry that has answered Success must not forget, not even at power loss.
#: journal_mode WAL: readers go on beside the one writer. Values from measurement, see docs/decisions/.
_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    f"busy_timeout={_WAIT_SECONDS * 1000:.0f}",
    "foreign_keys=ON",
    "cache_size=-4096",
    "mmap_size=1073741824",
    "wal_autocheckpoint=4000",
    "journal_size_limit=67108864",
    "case_sensitive_like=ON",
)


class Sqlite:
    """A database file; `connections` bounds nothing here, where they are cheap."""

    error = sqlite3.OperationalError

    def __init__(self, url: URL, connections: int) -> None:
        if not url.database or url.database == ":memory:":
            raise SettingsError("store.database: SQLite needs a file, e.g. sqlite:////var/lib/xds/xds.db")
        self.most: tuple[int | None, int | None] = (None, 1)
        self.path = Path(url.database)
        # As many connections as threads ask for, the warm ones first.
        engine = create_engine(url, pool_size=8, max_overflow=-1, pool_use_lifo=True, hide_parameters=True)
        event.listen(engine, "connect", _connect)
        event.listen(engine, "begin", _begin)
        self.readers = engine.execution_options(xds_begin=None)
        self.writers = engine.execution_options(xds_begin="BEGIN IMMEDIATE")
        self._ready: deque[Any] = deque()
        self._queue = _Queue(self.path.with_name(self.path.name + ".lock"))

    def fetch(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        """All rows of one statement, on a connection that is kept ready for it."""
        try:
            raw = self._ready.pop()
        except IndexError:
            raw = self._raw_connection()
        try:
            rows: list[Any] = raw.execute(text, values).fetchall()
        except sqlite3.OperationalError as error:
            raw.close()
            raise OperationalError(text, None, error) from error
        except BaseException:
            raw.close()
            raise
        self._ready.append(raw)
        return rows

    @contextmanager
    def append(self) -> Iterator[Callable[[str, tuple[Any, ...]], list[Any]]]:
        """A transaction on a connection that is kept ready for it; one that failed is not used again."""
        try:
            raw = self._ready.pop()
        except IndexError:
            raw = self._raw_connection()
        text = ""

        def run(statement: str, values: tuple[Any, ...]) -> list[Any]:
            nonlocal text
            text = statement
            rows: list[Any] = raw.execute(statement, values).fetchall()
            return rows

        try:
            raw.execute("BEGIN IMMEDIATE")
            yield run
            raw.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raw.close()  # rolls back
            raise OperationalError(text, None, error) from error
        except BaseException:
            raw.close()
            raise
        self._ready.append(raw)

    def _raw_connection(self) -> Any:
        pooled = self.readers.raw_connection()
        raw = pooled.driver_connection
        pooled.detach()
        return raw

    def turn(self) -> AbstractContextManager[None]:
        """Wait for the one place at the pen."""
        return self._queue.turn()

    @contextmanager
    def migration(self) -> Iterator[Connection]:
        """One write transaction, foreign keys off; makes the file and its folder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._queue.turn(), self.writers.connect() as connection:
            # A table copy under foreign_keys=ON deletes child rows silently; the pragma works outside
            # transactions only.
            raw: Any = connection.connection.dbapi_connection
            raw.execute("PRAGMA foreign_keys=OFF")
            try:
                with connection.begin():
                    yield connection
            finally:
                raw.execute("PRAGMA foreign_keys=ON")

    def leave(self, connection: Connection, error: BaseException) -> None:
        """There is no other server to go to."""

    def check(self, connection: Connection) -> None:
        """Nothing more: whether there is room is asked of the disk."""

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    def close(self) -> None:
        """Close every connection that is not in use."""
        while self._ready:
            self._ready.pop().close()
        self.writers.dispose()


def _connect(raw: sqlite3.Connection, record: Any) -> None:
    # We send BEGIN ourselves: the driver's own is neither atomic for DDL nor IMMEDIATE.
    raw.isolation_level = None
    for pragma in _PRAGMAS:
        raw.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    how = connection.get_execution_options().get("xds_begin")
    if how is not None:
        connection.exec_driver_sql(how)


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
