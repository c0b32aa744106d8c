"""A proxy between a node and its S3 server that does what networks and servers do on bad days.

Tests give it a `Mood`, which holds for open connections too; `calm` ends it. It is of one test, on a loopback
address, and knows just enough of HTTP to pick out requests by their first line.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

_PIECE = 64 * 1024


@dataclass(frozen=True)
class Mood:
    """What befalls requests whose first line `only` is found in: `times` of them, after `skip` that pass."""

    only: str = ""
    times: int = 1_000_000
    skip: int = 0
    #: The request goes no further, and this comes back; b"" is that nothing ever comes.
    answer: bytes | None = None
    #: So many bytes of the request's body go on; then the connection is cut.
    cut_request: int | None = None
    #: So many bytes of the answer come back; then the connection is cut.
    cut_answer: int | None = None
    #: Seconds between two pieces of the answer, and how many bytes a piece has.
    drip: tuple[float, int] | None = None


class Proxy:
    """Listens on `port`; passes everything to `upstream` when it is calm."""

    def __init__(self, upstream: int, context: ssl.SSLContext | None = None) -> None:
        self.upstream = upstream
        self.lines: list[str] = []
        self._mood, self._left, self._skip = Mood(times=0), 0, 0
        self._context = context
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.listen()

    def listen(self) -> None:
        """Begin to accept, at the same port as before, unless it does."""
        if self._listener is not None:
            return
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and cut those that are open."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            some, self._open = self._open, set()
        for each in some:
            _cut(each)

    def be(self, mood: Mood) -> None:
        """Take on a mood."""
        with self._lock:
            self._mood, self._left, self._skip = mood, mood.times, mood.skip

    def calm(self) -> None:
        """Pass everything."""
        self.be(Mood(times=0))

    def _met(self, line: str) -> Mood | None:
        with self._lock:
            self.lines.append(line)
            if self._left and re.search(self._mood.only, line):
                if self._skip:
                    self._skip -= 1
                    return None
                self._left -= 1
                return self._mood
        return None

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = None
        try:
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
            with self._lock:
                self._open.add(client)
            server = socket.create_connection(("127.0.0.1", self.upstream))
            while self._exchange(client, server):
                pass
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(client)
            for each in (client, server):
                if each is not None:
                    _cut(each)

    def _exchange(self, client: socket.socket, server: socket.socket) -> bool:
        """One request and its answer; False when the connection is at its end."""
        head, body = _head(client)
        if not head:
            return False
        mood = self._met(head.partition(b"\r\n")[0].decode())
        length = _length(head)
        if mood is not None and mood.answer is not None:
            _pass(client, None, length - len(body))
            if mood.answer:
                client.sendall(mood.answer)
            else:
                client.recv(1)  # until it loses patience
            return False
        if b"100-continue" in head.lower():
            raise AssertionError("this proxy does not know Expect")
        most = length if mood is None or mood.cut_request is None else mood.cut_request
        server.sendall(head + body[:most])
        _pass(client, server, min(length, most) - len(body))
        if most < length or (mood is not None and mood.cut_request is not None):
            return False
        head, body = _head(server)
        length = 0 if _has_no_body(self.lines[-1], head) else _length(head)
        if mood is not None and mood.drip is not None:
            client.sendall(head)
            wait, size = mood.drip
            while body or length > 0:
                client.sendall(body[:size])
                length -= len(body[:size])
                body = body[size:] or server.recv(_PIECE)
                time.sleep(wait)
            return True
        if mood is not None and mood.cut_answer is not None:
            if mood.cut_answer:
                client.sendall(head + body[: mood.cut_answer])
                _pass(server, client, mood.cut_answer - len(body))
            else:
                _pass(server, None, length - len(body))  # it was done, and nobody hears of it
            return False
        client.sendall(head + body)
        _pass(server, client, length - len(body))
        return True


def _head(sender: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sender.recv(_PIECE)
        if not piece:
            return b"", b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():  # listings: they end with the chunk of size 0
        while not body.endswith(b"0\r\n\r\n"):
            body += sender.recv(_PIECE)
    return head + b"\r\n\r\n", body


def _length(head: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(found[1]) if found else 0


def _has_no_body(line: str, head: bytes) -> bool:
    return line.startswith("HEAD ") or head.split(b" ", 2)[1] in (b"204", b"304")


def _pass(sender: socket.socket, receiver: socket.socket | None, left: int) -> None:
    while left > 0:
        piece = sender.recv(min(_PIECE, left))
        if not piece:
            raise ConnectionError
        left -= len(piece)
        if receiver is not None:
            receiver.sendall(piece)


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextlib.contextmanager
def before(port: int, context: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy before the server at a port; closed at the end."""
    one = Proxy(port, context)
    try:
        yield one
    finally:
        one.down()


def answer(status: str, body: str = "", kind: str = "application/xml") -> bytes:
    """An answer of HTTP, after which the connection ends."""
    data = body.encode()
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(data)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + data


def error(status: str, code: str) -> bytes:
    """An error as S3 says it."""
    return answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>")
