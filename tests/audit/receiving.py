"""Audit repositories on this machine: a FHIR one that can be told to fail in many ways, and a syslog one.

`python -m tests.audit.receiving DATABASE URL LEASE` hands on from a database until it is ended.
"""

from __future__ import annotations

import itertools
import re
import socket
import ssl
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson

from tests.audit.test_syslog import frames
from xds.audit.delivery import Delivery, Pace
from xds.audit.receivers import FhirReceiver
from xds.store.database import Database


class Play(Enum):
    """What the repository does with a request."""

    TAKE = auto()
    ERROR = auto()  # 500, and forgets the event
    BUSY = auto()  # 503
    REFUSE = auto()  # 422
    CONFLICT = auto()  # 409
    BREAK = auto()  # stores the event, and ends the connection in the middle of the answer
    SILENT = auto()  # stores the event, and says nothing
    GARBAGE = auto()  # stores the event, and answers no HTTP
    CLOSED = auto()  # the port is closed, and every connection, for `closed_seconds`


#: Plays after which the event is in the repository.
_STORING = frozenset((Play.TAKE, Play.BREAK, Play.SILENT, Play.GARBAGE))


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that was stored; `base` is the address under which it came."""

    id: str
    patient: str
    recorded: str
    body: bytes
    base: str
    at: float


@dataclass(frozen=True, slots=True)
class Request:
    """An event that was sent, whatever became of it."""

    method: str
    path: str
    headers: dict[str, str]
    event: dict[str, Any]
    body: bytes


class Repository:
    """Takes AuditEvents by POST. `play` says what happens to each; it is called for one after the other."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.play: Callable[[Request], Play] = lambda _: Play.TAKE
        self.headers = b""
        self.error_body = b"{}"
        self.closed_seconds = 0.3
        self.arrivals: list[Arrival] = []
        self.requests: list[Request] = []
        self.connections = 0
        self._lock = threading.Lock()
        self._over = False
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/fhir"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def follow(self, *plan: tuple[Play, int]) -> None:
        """Each play for so many requests; then take everything."""
        plays = itertools.chain(
            itertools.chain.from_iterable(itertools.repeat(play, count) for play, count in plan),
            itertools.repeat(Play.TAKE),
        )
        self.play = lambda _: next(plays)

    # -- what was stored

    def firsts(self) -> dict[str, list[Arrival]]:
        """The first arrival of each event, by patient and in the order of arrival."""
        seen, found = set(), defaultdict(list)
        for each in list(self.arrivals):
            if each.id not in seen:
                seen.add(each.id)
                found[each.patient].append(each)
        return found

    def check(self) -> None:
        """In order for each patient, and what came twice is the same to the byte."""
        for patient, events in self.firsts().items():
            recorded = [each.recorded for each in events]
            assert not patient or recorded == sorted(recorded), patient
        bodies: dict[str, bytes] = {}
        for each in list(self.arrivals):
            assert bodies.setdefault(each.id, each.body) == each.body

    @property
    def ids(self) -> set[str]:
        return {each.id for each in list(self.arrivals)}

    # -- the server

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                with self._lock:
                    if self._over:
                        return
                time.sleep(self.closed_seconds)
                with self._lock:
                    if self._over:
                        return
                    self._listener = socket.create_server(("127.0.0.1", self.port))
                continue
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    if not (data := connection.recv(65536)):
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                size = re.search(rb"(?i)content-length: (\d+)", head)
                length = int(size[1]) if size else 0
                while len(buffer) < length:
                    if not (data := connection.recv(65536)):
                        return
                    buffer += data
                body, buffer = buffer[:length], buffer[length:]
                if not self._answer(connection, head.decode(), body):
                    return
        except OSError:
            return
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _answer(self, connection: socket.socket, head: str, body: bytes) -> bool:
        """Whether the connection goes on."""
        line, *fields = head.split("\r\n")
        method, path, _ = line.split(" ")
        base = path.partition("/AuditEvent")[0]
        if method == "GET":
            there = path.rpartition("/")[2] in self.ids
            connection.sendall(_http(b"200 OK" if there else b"404 Not Found", b"{}"))
            return True
        event = orjson.loads(body)
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in fields)}
        request = Request(method, path, headers, event, body)
        patient = next(
            (
                each["identifier"][0]["value"]
                for each in event.get("contained", ())
                if each["resourceType"] == "Patient" and "identifier" in each
            ),
            "",
        )
        with self._lock:
            self.requests.append(request)
            play = self.play(request)
            if play in _STORING:
                self.arrivals.append(
                    Arrival(event["id"], patient, event["recorded"], body, base, time.monotonic())
                )
            if play is Play.CLOSED:
                self._close_all()
        return _PLAYS[play](self, connection)

    def _close_all(self) -> None:
        """Nobody listens; whoever was connected is not any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        with self._lock:
            self._over = True
            self._close_all()
        for each in self._threads:
            each.join(5)
            assert not each.is_alive()


def _http(status: bytes, body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, headers, len(body), body)


def _says(status: bytes, body: bytes = b"") -> Callable[[Repository, socket.socket], bool]:
    def play(repository: Repository, connection: socket.socket) -> bool:
        content = body if status.startswith(b"2") else repository.error_body
        connection.sendall(_http(status, content, repository.headers))
        return True

    return play


def _break(repository: Repository, connection: socket.socket) -> bool:
    connection.sendall(_http(b"201 Created", b"x" * 100)[:-60])
    return False


def _be_silent(repository: Repository, connection: socket.socket) -> bool:
    while connection.recv(65536):
        pass
    return False


def _garbage(repository: Repository, connection: socket.socket) -> bool:
    connection.sendall(b"\x00\x01 neither here\r\nnor there\r\n\r\n")
    return False


_PLAYS: dict[Play, Callable[[Repository, socket.socket], bool]] = {
    Play.TAKE: _says(b"201 Created"),
    Play.ERROR: _says(b"500 Internal Server Error"),
    Play.BUSY: _says(b"503 Service Unavailable"),
    Play.REFUSE: _says(b"422 Unprocessable Content"),
    Play.CONFLICT: _says(b"409 Conflict"),
    Play.BREAK: _break,
    Play.SILENT: _be_silent,
    Play.GARBAGE: _garbage,
    Play.CLOSED: lambda repository, connection: False,
}


@contextmanager
def repository(tls: ssl.SSLContext | None = None) -> Iterator[Repository]:
    """Runs until the end of the block; over TLS when there is a context."""
    one = Repository(tls)
    try:
        yield one
    finally:
        one.end()


class SyslogRepository:
    """Takes syslog messages in clear text. With `refusing` it hangs up in the middle of each batch."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.refusing: Callable[[bytes], bool] = lambda _: False
        self._over = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                stream = b""
                while data := connection.recv(65536):
                    stream += data
                    if self.refusing(stream):
                        # With unread or unsent bytes: the sender sees a reset.
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                        break
                else:
                    self.batches.append(frames(stream))

    @property
    def ids(self) -> list[str]:
        """PROCID of each message, in the order of arrival."""
        return [message.split(b" ")[4].decode() for batch in list(self.batches) for message in batch]

    def end(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


@contextmanager
def syslog_repository() -> Iterator[SyslogRepository]:
    """Runs until the end of the block."""
    one = SyslogRepository()
    try:
        yield one
    finally:
        one.end()


#: Quick, for tests.
PACE = Pace(lease=10.0, pause=0.02, longest=0.2, poll=0.02)


def _hand_on(database_url: str, url: str, lease: str) -> None:
    pace = Pace(float(lease), PACE.pause, PACE.longest, PACE.poll)
    delivery = Delivery(Database(database_url), [FhirReceiver(url, None, 5)], pace)
    delivery.start()
    threading.Event().wait()


if __name__ == "__main__":
    _hand_on(*sys.argv[1:4])
