"""A PostgreSQL cluster of the tests' own, made from the machine's server binaries and gone at the end.

How to run a test on both engines: ask for the fixture `database_url` (an empty, migrated database for this
test alone) or `desk` (tests/registry), in tests/blackbox for `node` or `new_node`; the test then runs twice,
as `[sqlite]` and `[postgresql]`. To keep a module to one engine write
`pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True, scope="session")`.
`pytest -k "not postgresql"` leaves PostgreSQL out.

Whichever process asks first starts the cluster: `python -m tests.postgres FOLDER PID` runs the server as its
child and ends it, and removes the folder, when the process PID (pytest) is gone or says so. Debian's own
cluster is never touched. Nothing is synced to disk.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.keeper import Kept
from tests.ports import free_port
from xds.store.database import Database
from xds.store.schema import metadata

#: Where the controlling pytest process tells its workers to find, or to start, the cluster.
KEPT = Kept("tests.postgres", "XDS_TEST_POSTGRESQL", "address")
MISSING = "PostgreSQL is NOT TESTED: no server binaries (Debian: apt-get install postgresql)"

_TEMPLATE = "xds_template"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "800",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "max_wal_size": "4GB",
    "log_checkpoints": "off",
}
_numbers = itertools.count()


def binaries() -> Path | None:
    """The folder of initdb and postgres: the newest of Debian's, or where the PATH leads."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    there = found[-1] if found else shutil.which("initdb")
    return Path(there).resolve().parent if there else None


def new_database(*, template: str = _TEMPLATE) -> str:
    """The URL of a new database: migrated, or empty with `template="template0"`. Skips without a server."""
    address = _running()
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        # Half the time of writing each page to the log, which is the default since version 15.
        how = " STRATEGY file_copy" if connection.info.server_version >= 150000 else ""
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}{how}".encode())
    return _url(address, name)


def empty(url: str) -> None:
    """Delete every row of a database: quicker than another, above all on a busy machine."""
    with psycopg.connect(url.replace("+psycopg", ""), options="-c lock_timeout=5s") as connection:
        connection.execute("; ".join(f'DELETE FROM "{name}"' for name in metadata.tables).encode())


def drop_database(url: str) -> None:
    """Remove a database that `new_database` made, whoever is still connected."""
    address, _, name = url.replace("+psycopg", "").rpartition("/")
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _url(address: str, name: str) -> str:
    return f"{address.replace('postgresql:', 'postgresql+psycopg:')}/{name}"


def _running() -> str:
    """The cluster's address as libpq writes it; started by whoever is first."""
    _need()
    return (KEPT.running() / "address").read_text()


def _need() -> None:
    if binaries() is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)


class Cluster:
    """One server in a folder; run as an unprivileged user, because PostgreSQL refuses to run as root."""

    def __init__(self, folder: Path, **settings: str) -> None:
        found = binaries()
        assert found is not None, MISSING
        self._bin = found
        self.folder = folder
        self._data = folder / "data"
        self._settings = _SETTINGS | settings
        self.port = free_port()
        self.address = f"postgresql://xds@127.0.0.1:{self.port}"
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        folder.chmod(0o700)
        self._server: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """initdb; Norwegian order of letters where the server can: nothing may depend on the order."""
        version = subprocess.run([self._bin / "postgres", "-V"], capture_output=True, text=True, check=True)
        major = int(re.findall(r"\d+", version.stdout)[0])
        order = ["--locale-provider=icu", "--icu-locale=nb"] if major >= 15 else []
        command = ["initdb", "-D", self._data, "-U", "xds", "-A", "trust", "-E", "UTF8", "--no-sync"]
        self._run([*command, "--locale=C.UTF-8", *order])

    def start(self, **changes: str) -> None:
        """Start the server, with `changes` of the settings, and wait until it answers."""
        settings = self._settings | changes
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [self._bin / "postgres", "-D", self._data, "-p", str(self.port), *options]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                command, cwd="/", start_new_session=True, stdout=log, stderr=log, **self._as
            )
        for _ in range(600):
            assert self._server.poll() is None, "the server ended"
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(f"{self.address}/postgres", connect_timeout=5).close()
                return
            time.sleep(0.05)
        raise AssertionError("the server did not answer")

    @property
    def url(self) -> str:
        """The migrated database."""
        return _url(self.address, _TEMPLATE)

    @property
    def pid(self) -> int:
        """The server, which is the parent of all its processes."""
        assert self._server is not None, "the server does not run"
        return self._server.pid

    def add_template(self) -> None:
        """Make the migrated database from which others are copied."""
        self.add(_TEMPLATE)

    def add(self, name: str) -> str:
        """A new migrated database: its URL."""
        with psycopg.connect(f"{self.address}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        database = Database(_url(self.address, name))
        database.migrate()
        database.close()
        return _url(self.address, name)

    def stop(self) -> None:
        """End it, and cut off everybody who is connected ("fast shutdown")."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(120)
            self._server = None

    def kill(self) -> None:
        """End the postmaster (SIGKILL), as a loss of power would; its children notice and end."""
        assert self._server is not None
        children = psutil.Process(self._server.pid).children()
        self._server.kill()
        self._server.wait(30)
        self._server = None
        psutil.wait_procs(children, timeout=30)

    def sql(self, statement: str, database: str = _TEMPLATE) -> Any:
        """The first column of the first row of a statement, as its superuser; None without rows."""
        with psycopg.connect(f"{self.address}/{database}", autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def log(self) -> str:
        """What the server has written so far."""
        return (self.folder / "log").read_text(errors="replace")

    def standby(self, name: str, **settings: str) -> Cluster:
        """A streaming standby of this server, in a folder beside it, called `name` there; not started."""
        folder = self.folder / name
        folder.mkdir()
        other = Cluster(folder, **{**self._settings, "cluster_name": name, **settings})
        source = f"host=127.0.0.1 port={self.port} user=xds application_name={name}"
        self._run(["pg_basebackup", "-D", other._data, "-d", source, "-R", "-c", "fast", "--no-sync"])
        return other

    def promote(self) -> None:
        """Make a standby a primary."""
        assert self.sql("SELECT pg_promote()")

    @property
    def runs(self) -> bool:
        """Whether the server is still there."""
        return self._server is not None and self._server.poll() is None

    def _run(self, command: list[Any]) -> None:
        command[0] = self._bin / command[0]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **self._as)
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def cluster(**settings: str) -> Iterator[Cluster]:
    """A cluster for one test, with a migrated database; skips without a server. `settings` are the server's.

    Its standbys are for the test to stop.
    """
    _need()
    folder = Path(tempfile.mkdtemp(prefix="xds-postgresql-"))
    one = Cluster(folder, **settings)
    try:
        one.make()
        one.start()
        one.add_template()
        yield one
    finally:
        one.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _keep(folder: Path, owner: int) -> None:
    """Run the cluster of a test run until its owner ends or ends us."""
    (folder / "keeper").write_text(str(os.getpid()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    one = Cluster(folder)
    try:
        pytest_process = psutil.Process(owner)
        one.make()
        one.start()
        one.add_template()
        (folder / "address.new").write_text(one.address)
        os.rename(folder / "address.new", folder / "address")
        while one.runs and pytest_process.is_running():
            time.sleep(0.5)
    finally:
        one.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), int(sys.argv[2]))
