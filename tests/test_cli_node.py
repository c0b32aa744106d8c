"""`xds serve`, `check`, `migrate` and `sweep`: what a user can mend is said in a sentence, without a trace.

Each line of `WRONG` is one thing that is wrong. `folder` stands for the folder that `_folder` fills.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests import postgres
from tests.nodes import Node
from tests.ports import free_port
from tests.test_tls import Authority, TlsNode

TLS = {"tls__certificate": "{folder}/node.crt", "tls__key": "{folder}/node.key"}
TAKEN = "node.listen: the node cannot listen there: Address already in use"
NO_DATABASE = "store.database cannot be opened or written, or is not a database of this node"

#: What is wrong; the command; its settings; exit status; the words that say it.
WRONG: list[tuple[str, str, dict[str, str], int, str]] = [
    (
        "settings in Latin-1",
        "check --config {folder}/latin-1.toml",
        {},
        1,
        "the settings file is not UTF-8",
    ),
    (
        "settings are a folder",
        "check --config {folder}",
        {},
        1,
        "the settings file cannot be read: Is a directory",
    ),
    (
        "settings not there",
        "serve --config {folder}/nowhere.toml",
        {},
        1,
        "the settings file cannot be read: No such file",
    ),
    (
        "a folder for captures that cannot be",
        "serve --capture /proc/nowhere/there",
        {},
        1,
        "node.capture: nothing can be kept there: No such file or directory",
    ),
    ("a host name", "check", {"node__listen": "localhost:8080"}, 1, "write an address such as 127.0.0.1"),
    ("a zone", "check", {"node__listen": "[fe80::1%lo]:80"}, 1, "write an address such as 127.0.0.1"),
    ("a port of other digits", "check", {"node__listen": "127.0.0.1:\uff18\uff10"}, 1, "is not host:port"),
    ("a superscript port", "check", {"node__listen": "127.0.0.1:8²"}, 1, "is not host:port"),
    ("a long port", "check", {"node__listen": "127.0.0.1:" + "8" * 5000}, 1, "is not host:port"),
    (
        "no finite number",
        "check --config {folder}/infinite.toml",
        {},
        1,
        "node.workers is not a whole number",
    ),
    ("too many threads", "check", {"node__threads": "1000000"}, 1, "NODE__THREADS is more than 10000"),
    ("grace before time", "sweep", {"store__sweep_grace_hours": "9" * 12}, 1, "is more than 100000"),
    ("a NUL", "check --config {folder}/nul.toml", {}, 1, "tls.key holds a character that cannot be printed"),
    (
        "no PEM certificate",
        "check",
        TLS | {"tls__certificate": "{folder}/text"},
        1,
        "tls.certificate: the file h",
    ),
    ("no PEM key", "check", TLS | {"tls__key": "{folder}/text"}, 1, "tls.key: the file holds no key in PEM"),
    (
        "a key with a password",
        "check",
        TLS | {"tls__key": "{folder}/locked.key"},
        1,
        "tls.key: the file holds no key in PEM that can be read without a password",
    ),
    ("key of another", "check", TLS | {"tls__key": "{folder}/other.key"}, 1, "the key does not belong to"),
    ("key of another", "serve", TLS | {"tls__key": "{folder}/other.key"}, 1, "the key does not belong to"),
    (
        "no PEM authority",
        "serve",
        TLS | {"tls__client_ca": "{folder}/text"},
        1,
        "tls.client_ca: the file holds",
    ),
    (
        "certificate is a folder",
        "check",
        TLS | {"tls__certificate": "{folder}"},
        1,
        "tls.certificate: the file c",
    ),
    ("hours are no number", "sweep --grace-hours many", {}, 2, "write a number of hours from 0 to 100000"),
    ("hours are not finite", "sweep --grace-hours inf", {}, 2, "write a number of hours from 0 to 100000"),
    ("hours are nan", "sweep --grace-hours nan", {}, 2, "write a number of hours from 0 to 100000"),
    ("hours below nothing", "sweep --grace-hours=-1", {}, 2, "write a number of hours from 0 to 100000"),
    ("hours without end", "sweep --grace-hours 1e9", {}, 2, "write a number of hours from 0 to 100000"),
    (
        "sweep without database",
        "sweep",
        {"store__database": "sqlite:///{folder}/none.db"},
        1,
        "run `xds migrate`",
    ),
    ("sweep of something else", "sweep", {"store__database": "sqlite:///{folder}/text"}, 1, NO_DATABASE),
    ("not a database", "migrate", {"store__database": "sqlite:///{folder}/text"}, 1, NO_DATABASE),
    ("not a database", "check", {"store__database": "sqlite:///{folder}/text"}, 1, NO_DATABASE),
    ("not a database", "serve", {"store__database": "sqlite:///{folder}/text"}, 1, NO_DATABASE),
    ("database is a folder", "check", {"store__database": "sqlite:///{folder}"}, 1, NO_DATABASE),
    (
        "database below a file",
        "migrate",
        {"store__database": "sqlite:///{folder}/text/xds.db"},
        1,
        "store.database cannot be used: ",
    ),
    (
        "database of the future",
        "migrate",
        {"store__database": "sqlite:///{folder}/future.db"},
        1,
        "store.database is of a newer version",
    ),
    ("a port that is none", "check", {"store__database": "sqlite://host:x/y"}, 1, "not a database URL"),
    ("no such driver", "migrate", {"store__database": "sqlite+none:///x.db"}, 1, "not a database URL"),
    (
        "documents below a file",
        "check",
        {"store__documents": "file://{folder}/text/d"},
        1,
        "store.documents can",
    ),
    (
        "documents below a file",
        "serve",
        {"store__documents": "file://{folder}/text/d"},
        1,
        "store.documents can",
    ),
    ("documents are a file", "check", {"store__documents": "file://{folder}/text"}, 1, "store.documents can"),
    ("port in use", "serve", {"node__listen": "127.0.0.1:{taken}"}, 1, TAKEN),
    # TEST-NET-1 (RFC 5737): no machine has this address.
    (
        "another's address",
        "serve",
        {"node__listen": "192.0.2.1:8080"},
        1,
        "node.listen: the node cannot listen",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that are not what a setting asks for, and a certificate with its key."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "text").write_text("This is neither a certificate nor a database.\n" * 50)
    (folder / "latin-1.toml").write_bytes('environment = "prøve"\n'.encode("latin-1"))
    (folder / "infinite.toml").write_text("[node]\nworkers = inf\n")
    (folder / "nul.toml").write_text('[tls]\nkey = "a\\u0000b"\n')
    authority = Authority(folder, "authority")
    authority.issue("other", ExtendedKeyUsageOID.SERVER_AUTH)
    _, key = authority.issue("node", ExtendedKeyUsageOID.SERVER_AUTH)
    (folder / "locked.key").write_bytes(
        serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    future = sqlite3.connect(folder / "future.db")
    future.executescript(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);"
        "INSERT INTO alembic_version VALUES ('9999');"
    )
    future.close()
    return folder


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    """A port on which somebody else listens, ready to share it as servers do."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("command", "settings", "status", "words"),
    [line[1:] for line in WRONG],
    ids=[f"{command.split()[0]}: {what}" for what, command, *_ in WRONG],
)
def test_what_a_user_can_mend_is_a_sentence(
    folder: Path,
    taken: int,
    tmp_path: Path,
    command: str,
    settings: dict[str, str],
    status: int,
    words: str,
) -> None:
    """The exit status tells, the setting is named, nobody sees a stack trace."""
    given = {key: value.format(folder=folder, taken=taken) for key, value in settings.items()}
    said = Node(tmp_path, **given).command(*command.format(folder=folder).split(), timeout=30)
    assert said.returncode == status, said.stderr
    assert words in said.stderr
    assert "Traceback" not in said.stderr
    assert "sqlalche.me" not in said.stderr


@pytest.mark.embedded
def test_a_sweep_never_makes_a_database(tmp_path: Path) -> None:
    """A path that was mistyped stays empty."""
    assert Node(tmp_path).command("sweep").returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_the_second_node_on_a_port_leaves_the_database_alone(tmp_path: Path, taken: int) -> None:
    """It is refused before it migrates what may be another's."""
    assert Node(tmp_path, node__listen=f"127.0.0.1:{taken}").command("serve").returncode == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def server_database() -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    url = postgres.new_database(template="template0")
    yield url
    postgres.drop_database(url)


def test_a_database_on_a_server_is_migrated_on_request_only(server_database: str, tmp_path: Path) -> None:
    """Several nodes may share it, so none of them changes it by starting."""
    node = Node(tmp_path, store__database=server_database)
    for command in ("serve", "check", "sweep"):
        said = node.command(command)
        assert said.returncode == 1
        assert "xds migrate" in said.stdout + said.stderr
    for _ in range(2):
        said = node.command("migrate")
        assert (said.returncode, said.stdout, said.stderr) == (0, "The database is up to date.\n", "")
    assert node.command("check").returncode == 0
    try:
        node.start()
    finally:
        node.stop()


def test_a_server_that_cannot_be_used_is_said_without_its_url(server_database: str, tmp_path: Path) -> None:
    """Nobody listens; no such database; not UTF-8. A URL may hold a password."""
    secret = server_database.replace("xds@", "xds:geheim@")
    with psycopg.connect(server_database.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        for url, words in (
            (f"postgresql+psycopg://xds:geheim@127.0.0.1:{free_port()}/xds", "does not answer"),
            (f"{secret}_not", "does not answer, does not let us in, or"),
            (f"{secret.rpartition('/')[0]}/latin", "ENCODING 'UTF8'"),
        ):
            said = Node(tmp_path, store__database=url).command("migrate")
            assert (said.returncode, said.stdout) == (1, "")
            assert words in said.stderr
            assert "geheim" not in said.stderr
            assert "Traceback" not in said.stderr
    finally:
        postgres.drop_database(f"{server_database.rpartition('/')[0]}/latin")


def test_a_node_starts_again_at_once_on_its_port(new_node: Callable[..., Node]) -> None:
    """Connections that the last one has left behind are in nobody's way."""
    node = new_node()
    with socket.create_connection(("127.0.0.1", node.port)):
        node.stop()
    node.start()
    assert node.is_ready()


def test_ipv6_is_served_too(tmp_path: Path) -> None:
    """The address stands in brackets, as in a URL."""
    port = free_port()
    node = Node(tmp_path, node__listen=f"[::1]:{port}")
    node.port, node.url = port, f"http://[::1]:{port}"
    try:
        node.start()
    finally:
        node.stop()


def test_the_client_starts_without_the_parts_of_a_node() -> None:
    """Most of the starting time of `xds find` would be theirs."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, xds.cli; print(*sys.modules)"],
        env=os.environ | {"XDS_CONFIG": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"granian", "alembic", "sqlalchemy", "falcon"}.isdisjoint(loaded)


def test_http_2_without_asking_is_refused(node: Node) -> None:
    """The preface of RFC 9113 3.4 gets no HTTP/2 frame back: many requests would hide in one connection."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        answer = connection.recv(4096)
    # A server's own preface is a SETTINGS frame: 3 bytes length, then type 4.
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_http_2_is_not_negotiated_under_tls(tmp_path: Path) -> None:
    """A client that would rather have h2 gets HTTP/1.1 (ALPN, RFC 7301); one with only h2 gets nothing."""
    node = TlsNode(tmp_path)
    node.start()
    try:
        with _encrypted(node, "h2", "http/1.1") as connection:
            assert connection.selected_alpn_protocol() in (None, "http/1.1")
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
            _encrypted(node, "h2")
    finally:
        node.stop()


def _encrypted(node: TlsNode, *protocols: str) -> ssl.SSLSocket:
    """A connection of a known client that speaks `protocols`, the best first."""
    context = node._context(node._known)
    context.set_alpn_protocols(protocols)
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as plain:
        return context.wrap_socket(plain, server_hostname="localhost")
