"""HTTP/1.1 from the side of the client: one request at a time on connections that are kept, over TLS or not.

client.py asks through `KeptConnections`. Every wait is one operation on a socket that gets what is left of
the time, so nobody who drips, freezes or never reads keeps us past a deadline, and no thread has to watch.
An answer whose end can be understood in two ways is refused. It must never follow a redirect, decompress, or
use a proxy of the environment.
"""

from __future__ import annotations

import os
import re
import select
import socket
import ssl
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from xds.transport.dial import CONTROL, Address, Clock, address, connected
from xds.transport.trouble import broken, insecure, late, unreadable

Progress = Callable[[int, int | None], None]

#: The status line and fields of an answer, and the trailers of a chunked one.
MOST_HEAD: Final = 64 * 1024
#: How long a connection waits for its next request; one beyond the number that is to be kept.
KEPT_SECONDS: Final = 30.0
SPARE_SECONDS: Final = 5.0

#: What is sent or received at a time: on a slow line each piece has the whole patience for itself.
_PIECE: Final = 64 * 1024
#: A first read takes the head and most small answers.
_FIRST: Final = 16 * 1024
_CHUNK_LINE: Final = 256
_STATUS: Final = re.compile(r"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: .*)?")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
#: What says where a request ends and whom it is for is written here alone.
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})


class _Ended(Exception):
    """The other side closed the connection; what that means depends on when."""


def _head(to: Address, fields: Mapping[str, str], size: int) -> bytes:
    lines = [to.opening]
    for name, value in fields.items():
        if CONTROL.search(value) or not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise ValueError("a header field has a name or a value that must not be sent")
        lines.append(f"{name}: {value}\r\n")
    lines.append(f"Content-Length: {size}\r\n\r\n")
    return "".join(lines).encode("latin-1")


# ---- one connection


class _Connection:
    """A socket, and what was received on it and not yet read."""

    __slots__ = ("_look", "_sock", "buffer", "heard", "name", "since", "used")

    def __init__(self, name: str, sock: socket.socket) -> None:
        self.name = name
        self.buffer = bytearray()
        #: Whether it was kept after an answer; whether anything was ever received on it.
        self.used = self.heard = False
        #: Since when it is kept.
        self.since = 0.0
        self._sock = sock
        self._look = select.poll()
        self._look.register(sock, select.POLLIN)

    def is_quiet(self) -> bool:
        """Whether there is nothing to read: who has closed it, or goes on talking, is of no use any more."""
        pending = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return not self.buffer and not pending and not self._look.poll(0)

    def close(self) -> None:
        """What is under way on it ends."""
        self._sock.close()

    def send(self, data: bytes, clock: Clock) -> None:
        """Send all of it. Raises _Ended, NoAnswer."""
        left = memoryview(data)
        try:
            while left:
                self._sock.settimeout(clock.left())
                left = left[self._sock.send(left[:_PIECE]) :]
        except TimeoutError:
            raise late(self.name) from None
        except OSError as error:
            raise _Ended(type(error).__name__) from None

    def receive(self, size: int, clock: Clock) -> bytes:
        """Some bytes, at most `size`; b"" when the other side has ended. Raises _Ended, NoAnswer."""
        try:
            self._sock.settimeout(clock.left())
            return self._sock.recv(size)
        except TimeoutError:
            raise late(self.name) from None
        except ssl.SSLEOFError as error:
            raise _Ended(type(error).__name__) from None
        except OSError as error:
            # With TLS 1.3 the server looks at our certificate only after we have begun to speak.
            if isinstance(error, ssl.SSLError) and not self.heard:
                raise insecure(self.name) from None
            raise _Ended(type(error).__name__) from None

    def fill(self, clock: Clock) -> None:
        """More of an answer that has begun."""
        try:
            data = self.receive(_PIECE, clock)
        except _Ended as ended:
            raise broken(self.name, str(ended)) from None
        if not data:
            raise broken(self.name, "its answer is cut short")
        self.buffer += data

    def line(self, end: bytes, most: int, clock: Clock) -> bytes:
        """What stands before `end`, which is taken too."""
        start, furthest = 0, most + len(end)
        while (at := self.buffer.find(end, start, furthest)) < 0:
            if len(self.buffer) >= furthest:
                raise unreadable(self.name, "its header, or a line of it, is too long.")
            start = max(len(self.buffer) - len(end) + 1, 0)
            self.fill(clock)
        line = bytes(self.buffer[:at])
        del self.buffer[: at + len(end)]
        return line

    def answer(self, clock: Clock) -> Answer:
        """The head of an answer. Raises _Ended when not one byte of it came."""
        self.buffer += self.receive(_FIRST, clock)
        if not self.buffer:
            raise _Ended("no answer")
        self.heard = True
        while True:
            lines = self.line(b"\r\n\r\n", MOST_HEAD, clock).decode("latin-1").split("\r\n")
            status = _STATUS.fullmatch(lines[0])
            if status is None:
                raise unreadable(self.name, "it is not HTTP/1.1.")
            # 100 and the like come before the answer.
            if status[2][0] != "1" or status[2] == "101":
                return Answer(self, clock, int(status[2]), self._fields(lines), last=status[1] == "0")

    def _fields(self, lines: list[str]) -> dict[str, str]:
        fields: dict[str, str] = {}
        name = ""
        for line in lines[1:]:
            if CONTROL.search(line):
                raise unreadable(self.name, "its header has control characters.")
            if line[:1] in (" ", "\t") and name:  # folded, as some write a long Content-Type
                fields[name] += " " + line.strip(" \t")
                continue
            name, colon, value = line.partition(":")
            if not colon or not _NAME.fullmatch(name):
                raise unreadable(self.name, "its header is not made of fields.")
            name, value = name.lower(), value.strip(" \t")
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        return fields


class Answer:
    """The status and fields (names in lower case) of an answer; `read` gives its body.

    `length` is what was announced, or None. `whole` says that the body was read to its end, and `last` that
    the connection carries no other answer.
    """

    __slots__ = ("_chunked", "_clock", "_connection", "_left", "fields", "last", "length", "status", "whole")

    def __init__(
        self, connection: _Connection, clock: Clock, status: int, fields: Mapping[str, str], *, last: bool
    ) -> None:
        self._connection = connection
        self._clock = clock
        self.status = status
        self.fields = fields
        encoding, length = fields.get("transfer-encoding"), fields.get("content-length")
        if (
            (encoding is not None and encoding.lower() != "chunked")
            or (length is not None and not _LENGTH.fullmatch(length))
            or (encoding is not None and length is not None)
        ):
            raise unreadable(self.name, "its header does not say plainly where it ends.")
        if status in (204, 304):
            encoding, length = None, "0"
        self._chunked = encoding is not None
        self.length = None if length is None else int(length)
        #: Of the body, or of the chunk at hand; None between chunks, or when it ends with the connection.
        self._left = self.length
        self.whole = self.length == 0
        self.last = last or (self.length is None and not self._chunked) or _says_close(fields)

    @property
    def name(self) -> str:
        """Who answers."""
        return self._connection.name

    def read(self, size: int, /) -> bytes:
        """Some bytes, at most `size`; b"" at the end. Raises NoAnswer."""
        if self.whole:
            return b""
        return self._chunks(size) if self._chunked else self._some(size)

    def _some(self, size: int) -> bytes:
        connection = self._connection
        size = min(size, _PIECE) if self._left is None else min(size, _PIECE, self._left)
        if connection.buffer:
            data = bytes(connection.buffer[:size])
            del connection.buffer[:size]
        else:
            try:
                data = connection.receive(size, self._clock)
            except _Ended as ended:
                raise broken(self.name, str(ended)) from None
        if self._left is not None:
            if not data:
                raise broken(self.name, "its answer is cut short")
            self._left -= len(data)
        self.whole = self._left == 0 if self._left is not None else not data
        return data

    def _chunks(self, size: int) -> bytes:
        """As many chunks as have arrived: a sender of tiny ones must not cost us a turn for each."""
        connection, pieces, got = self._connection, list[bytes](), 0
        while got < size:
            if self._left is None:
                if got and b"\n" not in connection.buffer:
                    break
                self._next_chunk()
                if self.whole:
                    break
            assert self._left is not None
            if not connection.buffer:
                if got:
                    break
                connection.fill(self._clock)
            data = bytes(connection.buffer[: min(self._left, size - got)])
            del connection.buffer[: len(data)]
            pieces.append(data)
            got += len(data)
            self._left -= len(data)
            if self._left == 0:
                if connection.line(b"\r\n", _CHUNK_LINE, self._clock):
                    raise unreadable(self.name, "a chunk of it does not end where it should.")
                self._left = None
        return b"".join(pieces)

    def _next_chunk(self) -> None:
        size = _CHUNK_SIZE.fullmatch(self._connection.line(b"\r\n", _CHUNK_LINE, self._clock))
        if size is None:
            raise unreadable(self.name, "a chunk of it does not begin with its size.")
        self._left = int(size[1], 16)
        if self._left == 0:
            most = MOST_HEAD
            while trailer := self._connection.line(b"\r\n", most, self._clock):
                most -= len(trailer)
            self.whole = True


def _says_close(fields: Mapping[str, str]) -> bool:
    named = fields.get("connection")
    return named is not None and "close" in (token.strip() for token in named.lower().split(","))


# ---- many connections


class KeptConnections:
    """Connections to any number of addresses; safe to share between threads.

    `kept` are held for each address when nothing is asked; while more are in use at the same time, more stay.
    `connect_seconds` bounds each attempt to connect, and the TLS handshake.
    """

    def __init__(self, context: ssl.SSLContext, kept: int, connect_seconds: float) -> None:
        context.set_alpn_protocols(["http/1.1"])
        self._context = context
        self._kept = kept
        self._connect_seconds = connect_seconds
        self._closed = False
        # By process too: what was open at a fork stays the parent's. There is no lock, which a fork could
        # find locked: to append to a deque and to pop from it is one step.
        self._lines: dict[tuple[int, bool, str, int], deque[_Connection]] = {}
        weakref.finalize(self, _close, self._lines)

    def close(self) -> None:
        """Close every connection that waits; those in use are closed after their answer."""
        self._closed = True
        _close(self._lines)

    @contextmanager
    def ask(
        self,
        url: str,
        fields: Mapping[str, str],
        size: int,
        chunks: Iterable[bytes],
        clock: Clock,
        *,
        seconds: float,
        repeat: bool = False,
        sent: Progress | None = None,
    ) -> Iterator[Answer]:
        """POST `chunks`, which are `size` bytes; the answer must be read before the block is left.

        The answer has `seconds` to come in. With `repeat`, a list of chunks goes out once more when a kept
        connection turns out to be closed before anything of an answer came. Raises NoAnswer.
        """
        to = address(url)
        head = _head(to, fields, size)
        line = self._lines.setdefault((os.getpid(), to.secure, to.host, to.port), deque())
        connection = self._take(line) or self._new(to, clock)
        while True:
            try:
                answer = _exchanged(connection, head, size, chunks, clock, seconds, sent)
                break
            except _Ended as ended:
                connection.close()
                if not (connection.used and repeat and isinstance(chunks, list)):
                    raise broken(to.name, str(ended)) from None
                connection = self._new(to, clock)  # not one that may be closed as well
            except BaseException:
                connection.close()
                raise
        try:
            yield answer
        finally:
            if answer.whole and not answer.last:
                self._keep(line, connection)
            else:
                connection.close()

    def _new(self, to: Address, clock: Clock) -> _Connection:
        return _Connection(to.name, connected(to, self._context, clock, self._connect_seconds))

    def _take(self, line: deque[_Connection]) -> _Connection | None:
        """The one that has waited for the shortest time."""
        oldest = time.monotonic() - KEPT_SECONDS
        with suppress(IndexError):
            while True:
                connection = line.pop()
                if connection.since > oldest and connection.is_quiet():
                    return connection
                connection.close()
        return None

    def _keep(self, line: deque[_Connection], connection: _Connection) -> None:
        now = time.monotonic()
        connection.used, connection.since = True, now
        line.append(connection)
        with suppress(IndexError):  # taken meanwhile
            while line[0].since < now - (SPARE_SECONDS if len(line) > self._kept else KEPT_SECONDS):
                line.popleft().close()
        if self._closed:
            _close(self._lines)


def _close(lines: dict[tuple[int, bool, str, int], deque[_Connection]]) -> None:
    for line in list(lines.values()):
        with suppress(IndexError):
            while True:
                line.pop().close()


def _exchanged(
    connection: _Connection,
    head: bytes,
    size: int,
    chunks: Iterable[bytes],
    clock: Clock,
    seconds: float,
    sent: Progress | None,
) -> Answer:
    went_out = _sent(connection, head, size, chunks, clock, sent)
    clock.within(seconds)
    answer = connection.answer(clock)
    answer.last = answer.last or not went_out
    return answer


def _sent(
    connection: _Connection,
    head: bytes,
    size: int,
    chunks: Iterable[bytes],
    clock: Clock,
    sent: Progress | None,
) -> bool:
    """Whether all of it went out; if not, it may have been answered before the other side hung up."""
    count = 0
    try:
        for chunk in chunks:
            count += len(chunk)
            if count > size:
                break
            connection.send(head + chunk if head else chunk, clock)
            head = b""
            if sent is not None:
                sent(count, size)
        if head and not size:
            connection.send(head, clock)
    except _Ended:
        return False
    if count != size:
        raise RuntimeError("a request does not have the size it was announced with")
    return True
