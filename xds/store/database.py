"""The database: how it is opened, read, written and migrated, on SQLite or on PostgreSQL.

The registry and the repository get their connections here and nowhere else; sqlite.py and postgresql.py know
what is special about each, replica.py what may be read elsewhere. A reader never blocks; a writer is alone
(SQLite) or alone on its patient (registry/register.py says how). It must never hold a statement about
documents.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, BindParameter, Connection, Engine, Executable, UpdateBase, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from xds.errors import SettingsError
from xds.store.partitions import divide
from xds.store.postgresql import Postgresql
from xds.store.replica import Replica
from xds.store.sqlite import Sqlite
from xds.store.trouble import DatabaseBusy, was_broken_off, was_locked_out

T = TypeVar("T")

_MIGRATIONS: Final = Path(__file__).with_name("migrations")

#: How often a transaction is begun that the server breaks off for another's sake, and the longest pause
#: between two attempts, in seconds.
_ATTEMPTS: Final = 5
_PAUSE: Final = 0.05
#: How long a migration is begun anew while others use what it changes.
_MIGRATE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Pool:
    """Connections for one purpose now: in use, free (None: as many as are asked for), and how many threads
    wait for one.
    """

    in_use: int
    free: int | None
    waiting: int


class Kind(Protocol):
    """What differs between SQLite and PostgreSQL."""

    @property
    def readers(self) -> Engine:
        """Connections for single statements, without BEGIN and COMMIT."""

    @property
    def writers(self) -> Engine:
        """Connections for write transactions."""

    @property
    def most(self) -> tuple[int | None, int | None]:
        """How many may read at a time, and write, in one process; None is no bound."""

    @property
    def error(self) -> type[Exception] | tuple[type[Exception], ...]:
        """The driver's OperationalError, and what else counts as one."""

    def fetch(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        """All rows of one statement, straight from the driver. Raises OperationalError as SQLAlchemy does."""

    def append(self) -> AbstractContextManager[Callable[[str, tuple[Any, ...]], list[Any]]]:
        """A write transaction, straight from the driver. Raises OperationalError as SQLAlchemy does."""

    def turn(self) -> AbstractContextManager[None]:
        """The right to begin a write transaction. Raises DatabaseBusy."""

    def migration(self) -> AbstractContextManager[Connection]:
        """A transaction in which this process is the only one that migrates."""

    def leave(self, connection: Connection, error: BaseException) -> None:
        """Give a connection up that will never do, after an error of it."""

    def check(self, connection: Connection) -> None:
        """Whether writing is possible at all, by a look that costs little. Raises DatabaseBusy."""

    def exists(self) -> bool:
        """Whether there is a database to look into; asking makes none."""

    def close(self) -> None:
        """Close every connection that is not in use."""


_KINDS: Final[Mapping[str, Callable[[URL, int], Kind]]] = {"sqlite": Sqlite, "postgresql": Postgresql}


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: its number, what it is, and whether nodes of the version before may go on."""

    revision: str
    what: str
    alongside: bool


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


#: Runs a compiled statement with its values, and gives its rows.
Run = Callable[[Compiled, Mapping[str, Any]], list[Any]]


def _uncounted(answered_by: str, reason: str) -> None:
    """Where nobody wants to know."""


def _constant(name: str, bind: BindParameter[Any]) -> Iterator[tuple[str, Any]]:
    """The value of a statement's own parameter, or the values of its list."""
    if bind.expanding:
        yield from ((f"{name}_{index}", value) for index, value in enumerate(bind.value or (), 1))
    else:
        yield name, bind.value


class Database:
    """One database and the ways to use it: `fetch`, `read`, `write`, `transact`.

    Safe to share between threads; each worker process opens its own. `connections` bounds those to a server,
    for reading and for writing each. `replica`: the URL of a standby for the reads that allow it; `counted`
    is told what answered each of these (replica.py). Raises SettingsError for a URL that cannot be used.
    """

    def __init__(
        self,
        url: str,
        connections: int = 8,
        replica: str = "",
        counted: Callable[[str, str], None] = _uncounted,
    ) -> None:
        try:
            self.url = make_url(url)
        except ArgumentError:
            raise SettingsError(
                "store.database is not a database URL; write e.g. sqlite:////var/lib/xds/xds.db"
            ) from None
        kind = _KINDS.get(self.url.get_backend_name())
        if kind is None:
            raise SettingsError("store.database: write sqlite:///… or postgresql+psycopg://…")
        self._kind: Kind = kind(self.url, connections)
        # One item for each thread that uses, or waits for, a connection: a list is changed without a lock.
        self._reading: list[None] = []
        self._writing: list[None] = []
        self._replica: Replica | None = None
        if replica:
            if not isinstance(self._kind, Postgresql):
                raise SettingsError("store.replica is for PostgreSQL: leave it out, or set store.database")
            try:
                standby = make_url(replica)
            except ArgumentError:
                raise SettingsError("store.replica is not a database URL") from None
            self._replica = Replica(standby, connections, self._ask, counted)

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine, for its dialect."""
        return self._kind.writers

    @property
    def is_embedded(self) -> bool:
        """Whether the database is the node's own file, which no other program looks after."""
        return isinstance(self._kind, Sqlite)

    def compile(self, statement: Executable, bound: Mapping[str, Any]) -> Compiled:
        """The text of a statement for values like `bound`: lists may be shorter later, not longer."""
        places: dict[str, tuple[str, int | None]] = {}
        for name, value in bound.items():
            if isinstance(value, list):
                places |= {f"{name}_{index + 1}": (name, index) for index in range(len(value))}
            else:
                places[name] = (name, None)
        if not isinstance(statement, UpdateBase):  # of what writes, each value is a bindparam of its own
            statement = statement.params(bound)  # type: ignore[attr-defined]
        compiled: Any = statement.compile(  # type: ignore[attr-defined]
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

    def fetch(self, compiled: Compiled, bound: Mapping[str, Any], *, replica: bool = False) -> list[Any]:
        """All rows of one compiled statement, as plain tuples: the hot path of every read.

        With `replica` the standby may answer, when it has all that was acknowledged before: for answers only,
        never for what is judged before something is written.
        """
        values = compiled.values(bound)
        if replica and self._replica is not None:
            rows = self._replica.fetch(compiled.text, values)
            if rows is not None:
                return rows
        return self._ask(compiled.text, values)

    def _ask(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        with _waiting(self._reading):
            return self._kind.fetch(text, values)

    def trouble_of_replica(self) -> str:
        """What is wrong with the replica, in a sentence; nothing when all is well, or when there is none."""
        return self._replica.trouble() if self._replica else ""

    def run(self, connection: Connection, compiled: Compiled, bound: Mapping[str, Any]) -> list[Any]:
        """The rows of a compiled statement in a write transaction, straight from the driver."""
        try:
            cursor = connection.connection.driver_connection.execute(  # type: ignore[union-attr]
                compiled.text, compiled.values(bound)
            )
            return cursor.fetchall() if cursor.description else []
        except self._kind.error as error:
            self._kind.leave(connection, error)
            raise OperationalError(compiled.text, None, error) from error

    @contextmanager
    def append(self) -> Iterator[Run]:
        """A write transaction straight on the driver, for compiled statements; no more than a few.

        Committed when the block ends, rolled back when it raises; raises OperationalError as `write` does.
        """
        with _waiting(self._writing), self._kind.turn(), self._kind.append() as execute:
            yield lambda compiled, bound: execute(compiled.text, compiled.values(bound))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for single statements; costs no BEGIN and no COMMIT."""
        with _waiting(self._reading), self._kind.readers.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction: committed when the block ends, rolled back when it raises."""
        with _waiting(self._writing), self._kind.turn(), self._kind.writers.begin() as connection:
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, done in one write transaction.

        `work` may be called again from the start when the engine breaks a transaction off for another's sake,
        so it must do nothing but work on the database.
        """
        for _ in range(_ATTEMPTS - 1):
            try:
                with self.write() as connection:
                    return work(connection)
            except DBAPIError as error:
                if not was_broken_off(error):
                    raise
            time.sleep(random.uniform(0, _PAUSE))
        with self.write() as connection:
            return work(connection)

    def check(self) -> None:
        """Whether it answers, is a registry and can be written to; raises DatabaseBusy and DBAPIError."""
        with self.read() as connection:
            connection.execute(text("SELECT 1 FROM patient LIMIT 1"))
            self._kind.check(connection)

    def pools(self) -> Mapping[str, Pool]:
        """What is in use now, of `readers` and of `writers`."""
        lines = {"readers": self._reading, "writers": self._writing}
        return {
            name: _pool(len(line), most)
            for (name, line), most in zip(lines.items(), self._kind.most, strict=True)
        }

    def migrate(self, partitions: int = 0) -> None:
        """Bring the schema to this version; all or nothing, safe to call from several processes.

        It is begun anew for a minute while a table that it changes is in use. With `partitions` the tables of
        an empty database are divided into that many (partitions.py). Raises SettingsError.
        """
        if partitions and self.is_embedded:
            raise SettingsError("store.database: only PostgreSQL has partitions")
        deadline = time.monotonic() + _MIGRATE_SECONDS
        while True:
            try:
                return self._migrate(partitions)
            except OperationalError as error:
                if not was_locked_out(error) or time.monotonic() > deadline:
                    raise
            time.sleep(1)  # for those who stood behind us

    def _migrate(self, partitions: int) -> None:
        with self._kind.migration() as connection:
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            if partitions:
                divide(connection, partitions)

    def pending(self) -> list[Migration]:
        """What `migrate` would do, in order. Raises CommandError for a database of a newer version."""
        here = None
        if self._kind.exists():
            with self.read() as connection:
                here = MigrationContext.configure(connection).get_current_revision()
        scripts = ScriptDirectory(str(_MIGRATIONS))
        steps = list(scripts.iterate_revisions("head", here or "base"))
        return [
            Migration(each.revision, (each.doc or "").partition("\n")[0], bool(each.module.ALONGSIDE))
            for each in reversed(steps)
        ]

    def is_current(self) -> bool:
        """Whether the schema is the one this version needs."""
        if not self._kind.exists():
            return False
        with self.read() as connection:
            here = MigrationContext.configure(connection).get_current_revision()
        return here == ScriptDirectory(str(_MIGRATIONS)).get_current_head()

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._kind.close()
        if self._replica is not None:
            self._replica.close()


def _pool(standing: int, most: int | None) -> Pool:
    if most is None:
        return Pool(standing, None, 0)
    in_use = min(standing, most)
    return Pool(in_use, most - in_use, standing - in_use)


@contextmanager
def _waiting(line: list[None]) -> Iterator[None]:
    """Stand in line; where no connection becomes free in time the database is busy."""
    line.append(None)
    try:
        yield
    except NoConnectionFree:
        raise DatabaseBusy from None
    finally:
        line.pop()
