"""HL7 v2 messages over TCP in the Minimal Lower Layer Protocol: listening, framing, time-outs, TLS.

app.py starts one `MllpListener` in each worker; the kernel spreads connections over them. Each connection has
a thread, which reads one message after the other, has each answered, and sends the answer before it reads the
next. It knows nothing of what a message says, and must never write any of it to the log.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from xds.transport import connections
from xds.transport.endpoint import trace
from xds.transport.limits import Limits

log = logging.getLogger("xds.transport")

#: Bytes in, bytes out: one message and its acknowledgement, without the frame.
Answer = Callable[[bytes, str], bytes]

START: Final = b"\x0b"
END: Final = b"\x1c\x0d"
#: Far more than any message of a patient feed needs. Taking one of separators apart costs 10 µs a byte.
MOST_BYTES: Final = 64 * 1024
#: Senders keep their connection; one that says nothing for so long makes room for others.
REST_SECONDS: Final = 600.0
#: Connections of one worker; more wait until one of these ends.
MOST_CONNECTIONS: Final = 64
_READ: Final = 64 * 1024


class TooLong(Exception):
    """A message of more than MOST_BYTES."""


class Framer:
    """Finds messages in what arrives, however it is cut into pieces.

    What stands outside a frame is dropped. So is the beginning of a message in which another begins: its
    sender broke off, and one must not be taken for a part of the other.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    @property
    def inside(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)

    def take(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes. Raises TooLong."""
        self._buffer += data
        messages = []
        while (end := self._buffer.find(END, self._searched)) >= 0:
            start = self._buffer.rfind(START, 0, end)
            if start >= 0:
                messages.append(bytes(self._buffer[start + 1 : end]))
            del self._buffer[: end + len(END)]
            self._searched = 0
        start = self._buffer.rfind(START, self._searched)
        if start >= 0:
            del self._buffer[:start]
        elif not self._buffer.startswith(START):
            self._buffer.clear()
        if len(self._buffer) > MOST_BYTES:
            raise TooLong
        self._searched = max(len(self._buffer) - 1, 0)  # the end's first byte may be here already
        return messages


class MllpListener:
    """Listens at (host, port) and has each message answered by `answer`, which gets the sender's address too.

    With `tls` nothing is heard before the handshake. A sender may be silent in the middle of a message for
    `limits.idle_seconds` and take `limits.seconds` for the whole of it. `unread` is told (sender, reason) of
    a message that did not come whole.
    """

    def __init__(
        self,
        address: tuple[str, int],
        answer: Answer,
        limits: Limits,
        tls: ssl.SSLContext | None = None,
        unread: Callable[[str, str], None] = lambda sender, reason: None,
    ) -> None:
        self._answer = answer
        self._unread = unread
        self._limits = limits
        self._tls = tls
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._resting: dict[socket.socket, None] = {}  # between messages, the longest first
        self._closed = False
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # every worker listens
        self._listener.bind(address)
        self._listener.listen()
        self.port = int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Begin to take connections."""
        connections.OTHER_PORTS.add(self.port)
        threading.Thread(target=self._run, name="xds-mllp", daemon=True).start()

    def close(self) -> None:
        """Take no more connections and end those there are, each after its message under way."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open.copy():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._closed:
                    return
                log.error("mllp failed to accept: %s", type(error).__name__)
                time.sleep(1)  # too many open files, for instance: the others go on
                continue
            ending: socket.socket | None = None
            while not self._places.acquire(timeout=0.2):
                if ending not in self._open:  # one makes room enough, however long it takes to go
                    ending = self._end_longest_rest()
            threading.Thread(target=self._serve, args=(connection,), name="xds-mllp", daemon=True).start()

    def _end_longest_rest(self) -> socket.socket | None:
        """Make room for one who waits: those who have nothing to send can connect again when they have.

        The connection that is told to end, None when nobody rests.
        """
        resting = next(iter(self._resting.copy()), None)
        if resting is not None:
            self._resting.pop(resting, None)
            with suppress(OSError):
                resting.shutdown(socket.SHUT_RD)
        return resting

    def _serve(self, accepted: socket.socket) -> None:
        """One connection, from its handshake to its end; what was wrong is logged before it is closed."""
        connection, trouble = accepted, ""
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted.settimeout(self._limits.idle_seconds)
            if self._tls is not None:
                connection = self._tls.wrap_socket(accepted, server_side=True)
            self._open.add(connection)
            self._converse(connection)
        except TooLong:
            trouble = f": a message is longer than {MOST_BYTES} bytes"
        except TimeoutError:
            trouble = ": silent for too long"
        except OSError as error:  # reset, or no TLS
            trouble = f": {type(error).__name__}"
        except Exception as error:
            log.error("mllp failed\n%s", trace(error))
            trouble = ": failed"
        finally:
            log.info("mllp connection ended%s", trouble)
            self._open.discard(connection)
            self._resting.pop(connection, None)
            connection.close()
            self._places.release()

    def _converse(self, connection: socket.socket) -> None:
        """Answer one message after the other until the sender hangs up; tell of one that cannot be read."""
        framer, sender, unread = Framer(), str(connection.getpeername()[0]), "broken off"
        try:
            self._answer_all(connection, framer, sender)
        except TooLong:
            unread = "too long"
            raise
        finally:
            if framer.inside:
                self._unread(sender, unread)

    def _answer_all(self, connection: socket.socket, framer: Framer, sender: str) -> None:
        due = 0.0
        while not self._closed:
            rest = min(self._limits.idle_seconds, due - time.monotonic()) if framer.inside else REST_SECONDS
            if rest <= 0:
                raise TimeoutError
            connection.settimeout(rest)
            if not framer.inside:
                self._resting[connection] = None
            data = connection.recv(_READ)
            self._resting.pop(connection, None)
            if not data:
                break
            before = framer.inside
            messages = framer.take(data)
            connection.settimeout(self._limits.idle_seconds)
            for message in messages:
                connection.sendall(START + self._answer(message, sender) + END)
            if messages or not before:
                due = time.monotonic() + self._limits.seconds
