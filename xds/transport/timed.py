"""A request body that cannot keep us waiting for ever.

The server's `read` blocks for as long as the sender is silent, so it runs on a thread of its own and the
reader waits with a clock. Every endpoint wraps its input in a `TimedStream`. One chunk is read ahead and
never more, so memory does not grow with the body. A thread left behind in a blocked read ends when the server
closes the connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import ClassVar

from xds.errors import Fault, FaultCode
from xds.transport.limits import Limits

#: The server fills a read before it returns, so reads start small: slow must not look like silent.
FIRST_READ = 16 * 1024
LARGEST_READ = 256 * 1024

Read = Callable[[int], bytes]
_Answer = SimpleQueue[bytes | BaseException]


class _Thread:
    """One reading thread, used by one stream at a time and kept for the next."""

    _idle: ClassVar[list[_Thread]] = []

    __slots__ = ("_jobs",)

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Read, int, _Answer]] = SimpleQueue()
        threading.Thread(target=self._run, name="xds-body", daemon=True).start()

    @classmethod
    def submit(cls, read: Read, size: int, answer: _Answer) -> None:
        try:
            thread = cls._idle.pop()
        except IndexError:
            thread = cls()
        thread._jobs.put((read, size, answer))

    def _run(self) -> None:
        while True:
            read, size, answer = self._jobs.get()
            result: bytes | BaseException
            try:
                result = read(size)
            except BaseException as error:
                result = error
            # Back among the idle before the answer is known: the next read of this stream finds this thread.
            self._idle.append(self)
            answer.put(result)
            del read, answer, result


class TimedStream:
    """`read` with a clock: a Fault after `limits.idle_seconds` of silence, `limits.seconds` after the start.

    `length` is the Content-Length when there is one: nothing is read beyond it, and less is a Fault.
    `count` is the number of bytes that were read. "Silence" is less than 16 KiB in `idle_seconds`.
    """

    __slots__ = ("_answer", "_asked", "_deadline", "_left", "_limits", "_read", "_rest", "_size", "count")

    def __init__(self, read: Read, limits: Limits, length: int | None = None) -> None:
        self._read = read
        self._limits = limits
        self._left = length
        self._deadline = time.monotonic() + limits.seconds
        self._size = FIRST_READ
        self._answer: _Answer = SimpleQueue()
        self._asked = 0
        self._rest = b""
        self.count = 0

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
        """Read and forget the rest, for at most `seconds`: who is still sending cannot read our answer."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)
        try:
            while self.read():
                pass
        except (Fault, OSError):
            pass

    def _ask(self) -> None:
        size = self._size if self._left is None else min(self._size, self._left)
        self._asked = size
        if size:
            _Thread.submit(self._read, size, self._answer)

    def _next(self) -> bytes:
        if self._left == 0:
            return b""
        if not self._asked:
            self._ask()
        began = time.monotonic()
        wait = min(self._limits.idle_seconds, self._deadline - began)
        try:
            data = self._answer.get(timeout=max(wait, 0))
        except Empty:
            self._left = 0
            if self._deadline <= began + wait:
                raise Fault(
                    FaultCode.SENDER,
                    "The request took longer than limits.seconds to arrive: send less, or raise the limit.",
                ) from None
            raise Fault(
                FaultCode.SENDER,
                "The request stopped arriving for longer than limits.idle_seconds: send it again.",
            ) from None
        self._asked = 0
        if isinstance(data, BaseException):
            raise data
        self.count += len(data)
        if self._left is not None:
            self._left -= len(data)
            if not data:
                raise Fault(FaultCode.SENDER, "The request ended before its Content-Length: send it again.")
        if data:
            if time.monotonic() - began < 0.25:
                self._size = min(self._size * 4, LARGEST_READ)
            else:
                self._size = FIRST_READ
            if self._left != 0:
                self._ask()
        else:
            self._left = 0
        return data
