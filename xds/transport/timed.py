"""Neither who sends a request nor who receives an answer can keep us waiting for ever.

Every endpoint wraps its input in a `TimedStream`. The server's `read` blocks for as long as the sender is
silent and knows no time-out, so one thread watches all reads; when one takes too long, connections.py hangs
up on those who are silent, and the read ends. It must never answer while a read is under way: Granian 2.8.7
then stands still, the whole worker, until that client closes its connection
(docs/decisions/0008-silent-senders.md). The same thread watches the `ReceiverClock` of each streamed answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from xds.errors import Fault, sender
from xds.transport.connections import SilentConnections, StalledReceivers
from xds.transport.limits import Limits

#: The server fills a read before it returns, so reads start small: slow must not look like silent.
FIRST_READ = 16 * 1024
LARGEST_READ = 256 * 1024

Read = Callable[[int], bytes]


class TimedStream:
    """`read` with a clock: a Fault after `limits.idle_seconds` of silence, `limits.seconds` after the start.

    `length` is the Content-Length when there is one: nothing is read beyond it, and less is a Fault.
    `count` is the number of bytes that were read. "Silence" is less than 16 KiB in `idle_seconds`.
    """

    __slots__ = ("_deadline", "_left", "_limits", "_read", "_rest", "_size", "count", "due")

    def __init__(self, read: Read, limits: Limits, length: int | None = None) -> None:
        self._read = read
        self._limits = limits
        self._left = length
        self._deadline = time.monotonic() + limits.seconds
        self._size = FIRST_READ
        self._rest = b""
        self.count = 0
        #: When the read under way takes too long.
        self.due = self._deadline

    @property
    def idle_seconds(self) -> float:
        """How long its sender may be silent."""
        return self._limits.idle_seconds

    def read(self, size: int = LARGEST_READ) -> bytes:
        """The next bytes, at most `size`; b"" at the end."""
        if not self._rest:
            self._rest = self._next()
        data = self._rest
        if len(data) <= size:
            self._rest = b""
            return data
        self._rest = data[size:]
        return data[:size]

    def drain(self, seconds: float) -> None:
        """Read and forget the rest, for about `seconds`: who is still sending cannot read our answer."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)
        try:
            while self.read():
                pass
        except (Fault, OSError):
            pass

    def _next(self) -> bytes:
        if self._left == 0:
            return b""
        size = self._size if self._left is None else min(self._size, self._left)
        began = time.monotonic()
        if began > self._deadline:
            raise self._late()
        self.due = min(began + self._limits.idle_seconds, self._deadline)
        _watch.start()
        _watch.waiting.add(self)
        try:
            data = self._read(size)
        finally:
            _watch.waiting.discard(self)
        ended = time.monotonic()
        self.count += len(data)
        if self._left is not None:
            self._left -= len(data)
        if len(data) < size and ended >= self.due:  # hung up on, after the little that came
            raise self._late() if ended >= self._deadline else self._silent()
        if not data:
            short, self._left = self._left, 0
            if short:
                raise sender("The request ended before its Content-Length: send it again.")
        self._size = min(self._size * 4, LARGEST_READ) if ended - began < 0.25 else FIRST_READ
        return data

    def _late(self) -> Fault:
        self._left = 0
        return sender("The request took longer than limits.seconds to arrive: send less, or raise the limit.")

    def _silent(self) -> Fault:
        self._left = 0
        return sender("The request stopped arriving for longer than limits.idle_seconds: send it again.")


class ReceiverClock:
    """Runs while a chunk of a streamed answer is on its way to the receiver: `start` and `stop` it.

    The server keeps the thread until it has room for the next chunk. When that takes `idle_seconds` and the
    receiver takes nothing, its connection is ended; the server then closes the answer.
    """

    __slots__ = ("idle_seconds", "since")

    def __init__(self, idle_seconds: float) -> None:
        self.idle_seconds = idle_seconds
        self.since = 0.0

    def start(self) -> None:
        """A chunk was handed out."""
        self.since = time.monotonic()
        _watch.start()
        _watch.sending.add(self)

    def stop(self) -> None:
        """The next chunk is asked for, or the answer is at its end."""
        _watch.sending.discard(self)


class _Watch:
    """The one thread of a process that looks at the reads and answers under way, once a second."""

    def __init__(self) -> None:
        self.waiting: set[TimedStream] = set()
        self.sending: set[ReceiverClock] = set()
        self._connections = SilentConnections()
        self._receivers = StalledReceivers()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def start(self) -> None:
        """Start the thread, if it does not run yet."""
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="xds-watch", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(1)
            now = time.monotonic()
            overdue = [stream for stream in self.waiting.copy() if now > stream.due]
            if overdue:
                self._connections.hang_up(min(stream.idle_seconds for stream in overdue), len(overdue))
            else:
                self._connections.forget()
            # Looked at long before they are late: what a receiver has taken since is what decides.
            slow = [clock for clock in self.sending.copy() if now - clock.since > 1]
            if slow:
                late = sum(now - clock.since > clock.idle_seconds for clock in slow)
                self._receivers.end(min(clock.idle_seconds for clock in slow), late)
            else:
                self._receivers.forget()


_watch = _Watch()
