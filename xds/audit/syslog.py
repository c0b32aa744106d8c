"""Audit messages to an audit repository: RFC 5424 messages, octet-counted over TLS (RFC 5425; ITI TF-2 3.20).

Whoever empties the outbox has one `SyslogSender` for each repository, calls `send` for each message of a
batch and `confirm` after it, and takes a message for delivered only when `confirm` has returned. It must
never be shared by threads, and must never write a word of a message to the log or into an exception.

Syslog has no acknowledgement. What has been written may lie in a buffer of ours, on the way, or unread in the
receiver's kernel, and all of it is lost without an error when the receiver goes. So a batch ends with the end
of its connection: RFC 5425, 4.4 has the sender say goodbye (close_notify) and the receiver answer, and an
application that reads in order has read everything when it comes to the goodbye. Two more things are looked
at, because an end is also what one sees of a receiver that hung up a moment before the message came: that the
receiver's TCP acknowledged every byte (SIOCOUTQ), and that it sent no reset, as it does when a connection is
closed with unread bytes. SIOCOUTQ alone, on a connection that is kept, would be less: a receiver that has
stopped reading (full disk, full queue) still acknowledges what fits into its kernel, and loses that when it
is started again. The price is a handshake for each batch; the gain, that no connection is ever idle, to be
forgotten by a firewall between two batches.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import ssl
import struct
import termios
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

#: Facility 10 (security), severity 5 (normal but significant): 10 * 8 + 5 (ITI TF-2 3.20.4.1.2).
_PRIORITY: Final = "<85>1"
_APPLICATION: Final = "xds"
#: ITI TF-2 3.20.4.1.2; it has stayed since the messages were those of RFC 3881.
_MESSAGE_ID: Final = "IHE+RFC-3881"
_NOTHING: Final = "-"
#: Longest HOSTNAME and PROCID, and what may not stand in one (RFC 5424, 6).
_MOST_HOST: Final = 255
_MOST_PROCESS: Final = 128
_NOT_PRINTABLE: Final = re.compile(r"[^!-~]")

_READ: Final = 16 * 1024
#: Encrypted at a time.
_WRITE: Final = 256 * 1024
_INT: Final = struct.Struct("i")
#: Receivers have nothing to say, but for session tickets; one that talks without end is none.
_MOST_READS: Final = 64
#: Between two looks at what is not acknowledged yet.
_PAUSE_SECONDS: Final = 0.005


def frame(event_id: str, message: bytes, now: datetime, host: str) -> bytes:
    """The message as RFC 5425, 4.3 sends it: its length in octets, a space, the syslog message.

    PROCID is the event's id. RFC 5424, 6.2.6 leaves it to the sender and gives the id of a transaction for
    an example; a repeat can be told by it, and delivery is at least once. There is no structured data, and
    no byte order mark: IHE advises against one (ITI CP-477), so that MSG is the XML alone, which names its
    encoding itself (MSG-ANY of RFC 5424, 6.4).
    """
    moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = (
        _PRIORITY,
        moment,
        _field(host, _MOST_HOST),
        _APPLICATION,
        _field(event_id, _MOST_PROCESS),
        _MESSAGE_ID,
        _NOTHING,
    )
    whole = " ".join(fields).encode("ascii") + b" " + message
    return b"%d %b" % (len(whole), whole)


def _field(text: str, most: int) -> str:
    return _NOT_PRINTABLE.sub("", text)[:most] or _NOTHING


class SyslogSender:
    """Sends to one audit repository, over one connection for each batch.

    `seconds` is how long each of these may take: connecting to one address with the handshake, writing one
    message, confirming. `context` must check certificate and host name and allow no TLS before 1.2;
    without one everything goes in clear text, which is for tests. The host name is looked up anew for each
    connection.
    """

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, seconds: float) -> None:
        if context is not None and not _is_strict(context):
            raise ValueError(
                "The TLS context must check certificate and host name, and want TLS 1.2 or later."
            )
        self._address = (host, port)
        self._context = context
        self._seconds = seconds
        self._own_host = socket.gethostname()
        self._connection: _Connection | None = None
        self._sent = False  # something over this connection that is not known to be taken
        self._in_doubt = False  # something over an earlier connection, since the last confirm

    def send(self, event_id: str, message: bytes) -> None:
        """Write one message. Raises OSError when that failed.

        That it returns says only that the message is in our own kernel. A connection that the receiver has
        ended is replaced by a new one; whether what went over the old one was taken is for `confirm` to say.
        """
        framed = frame(event_id, message, datetime.now(UTC), self._own_host)
        try:
            self._drop_if_ended()
            if self._connection is None:
                self._connection = _Connection(self._address, self._context, self._seconds)
            self._connection.write(framed, self._deadline())
            self._sent = True
        except OSError:
            self._drop()
            raise

    def confirm(self) -> None:
        """Make sure that all that was sent since the last `confirm` was taken; the next `send` connects anew.

        When it returns, the receiver has ended each connection without a reset, its TCP has acknowledged
        every byte, and (but for a receiver that half-closes, unasked, in the same instant) its process has
        read them all. It does not say that they were stored: a receiver may crash over what it has read, and
        a relay before it may end connections on its own account. Without a close_notify of the receiver,
        which some never send (rsyslog with GnuTLS), the end is TCP's word, and an attacker on the way can
        forge that.

        Raises OSError when the receiver has reset a connection, refused our certificate, or not ended in
        time: then nothing since the last `confirm` may be taken for delivered. Some of it may have been, and
        comes twice when it is sent again. Either way the next batch begins with nothing in doubt.
        """
        try:
            if self._connection is not None:
                self._connection.part(self._deadline())
                self._sent = False
        finally:
            self._drop()
            in_doubt, self._in_doubt = self._in_doubt, False
        if in_doubt:
            raise ConnectionError("The receiver ended a connection before it had taken what was sent.")

    def close(self) -> None:
        """End the connection with a goodbye, and wait for nothing: what is not confirmed stays so."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.say_goodbye(self._deadline())
        self._drop()

    def _deadline(self) -> float:
        return time.monotonic() + self._seconds

    def _drop_if_ended(self) -> None:
        """Leave a connection that the receiver has ended; in good order, everything over it was taken."""
        if self._connection is None:
            return
        try:
            if not self._connection.has_ended():
                return
            self._connection.check_taken(self._deadline())
            self._sent = False
        except OSError:
            pass  # reset, for instance: _drop remembers that there was something
        self._drop()

    def _drop(self) -> None:
        self._in_doubt |= self._sent
        self._sent = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is_strict(context: ssl.SSLContext) -> bool:
    return (
        context.check_hostname
        and context.verify_mode is ssl.CERT_REQUIRED
        and context.minimum_version >= ssl.TLSVersion.TLSv1_2
    )


def _left(deadline: float) -> float:
    """Seconds until then. Raises TimeoutError when there are none."""
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError("The audit repository took too long.")
    return left


class _Connection:
    """TCP, and TLS on it if there is a context. Every method raises OSError for whatever fails.

    TLS works in memory, beside the socket: ssl.SSLSocket takes a reset for an end, and answers an end without
    close_notify with an alert, for which the receiver's TCP sends a reset.
    """

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext | None, seconds: float) -> None:
        try:
            self._socket = socket.create_connection(address, seconds)
        except UnicodeError:
            raise OSError("The audit repository's host is no host name.") from None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=address[0])
                self._shake_hands(self._tls, time.monotonic() + seconds)
        except BaseException:
            self.close()
            raise

    def _shake_hands(self, tls: ssl.SSLObject, deadline: float) -> None:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush(deadline)
                if not (data := self._receive(deadline)):
                    raise ConnectionError("The audit repository ended the TLS handshake.") from None
                self._incoming.write(data)
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush(deadline)  # the alert that says why
                raise
            else:
                self._flush(deadline)
                return

    def write(self, data: bytes, deadline: float) -> None:
        """Hand it to our kernel, all of it."""
        if self._tls is None:
            self._write_plain(data, deadline)
            return
        for start in range(0, len(data), _WRITE):
            self._tls.write(data[start : start + _WRITE])
            self._flush(deadline)

    def _flush(self, deadline: float) -> None:
        self._write_plain(self._outgoing.read(), deadline)

    def _write_plain(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(_left(deadline))
            rest = rest[self._socket.send(rest) :]

    def _receive(self, deadline: float) -> bytes:
        self._socket.settimeout(_left(deadline))
        return self._socket.recv(_READ)

    def _take(self, data: bytes) -> bool:
        """Read what came, of which nothing is kept; whether the receiver has said goodbye."""
        if self._tls is None:
            return False
        self._incoming.write(data)
        try:
            while self._tls.read(_READ):
                pass
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLZeroReturnError:
            pass
        return True

    def has_ended(self) -> bool:
        """Whether the receiver has said or shown that it takes no more.

        What there is to read is read: a socket closed with unread bytes, such as session tickets of TLS 1.3,
        sends a reset, and that may cost the receiver what it has not read yet.
        """
        self._socket.settimeout(0)
        for _ in range(_MOST_READS):
            try:
                data = self._socket.recv(_READ)
            except BlockingIOError:
                return False
            if not data or self._take(data):
                return True
        raise ConnectionError("The audit repository sends more than session tickets.")

    def part(self, deadline: float) -> None:
        """End the connection in good order."""
        # To a receiver that has gone in peace nothing more is said: it could only answer with a reset.
        if not self.has_ended():
            self.say_goodbye(deadline)
        self.check_taken(deadline)

    def say_goodbye(self, deadline: float) -> None:
        """close_notify (RFC 5425, 4.4), and TCP's end for receivers that wait for that."""
        if self._tls is not None:
            with suppress(ssl.SSLWantReadError):  # the answer, which `check_taken` reads
                self._tls.unwrap()
            self._flush(deadline)
        self._socket.shutdown(socket.SHUT_WR)

    def check_taken(self, deadline: float) -> None:
        """Wait for the receiver's end of the connection, and until every byte is acknowledged."""
        while data := self._receive(deadline):
            self._take(data)
        while True:
            # A receiver that closed before a message came has ended in good order, as far as reading shows.
            if number := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(number, os.strerror(number))
            if not self._unacknowledged():
                return
            time.sleep(min(_PAUSE_SECONDS, _left(deadline)))

    def _unacknowledged(self) -> int:
        """Bytes written that the other side's TCP has not acknowledged (Linux: SIOCOUTQ, tcp(7))."""
        answer = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
        return int(_INT.unpack(answer)[0])

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()
