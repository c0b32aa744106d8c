"""A circuit breaker: a community that keeps failing is left alone for a while, so that nobody waits for it.

Whoever calls a community asks its Breaker to `begin`, one for each community and worker, and tells the Leave
how it ended. A report counts unless the circuit has opened since its call began: it must never let a slow
call from before prolong a pause, or end one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum


class State(StrEnum):
    """Closed: calls go out. Open: none does. Half-open: one does, and the others wait for how it ends."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Leave:
    """Leave for one call. At most its first report counts.

    A trial that is never reported holds up the others for one pause; see Breaker.begin.
    """

    __slots__ = ("_breaker", "_openings", "_reported")

    def __init__(self, breaker: Breaker, openings: int) -> None:
        self._breaker = breaker
        self._openings = openings
        self._reported = False

    def succeeded(self) -> None:
        """The community answered as it should, be it with an error of its own about the request."""
        self._report(True)

    def failed(self) -> None:
        """It could not be reached, was silent, or answered what cannot be used."""
        self._report(False)

    def _report(self, success: bool) -> None:
        breaker = self._breaker
        with breaker._lock:
            if not self._reported and self._openings == breaker._openings:
                breaker._take(success)
            self._reported = True


class Breaker:
    """Opens after `failures` in a row; `pause_seconds` later one call tries. Threads may share it."""

    def __init__(
        self, failures: int, pause_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = failures
        self._pause = pause_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._state = State.CLOSED
        self._failures = 0
        #: When the circuit opened, or the last trial began.
        self._since = 0.0
        self._openings = 0

    @property
    def state(self) -> State:
        """As the last call left it: open also when the pause is over and nobody has tried."""
        return self._state

    @property
    def failures(self) -> int:
        """In a row, of those that counted."""
        return self._failures

    def begin(self) -> Leave | None:
        """Leave for a call; None: not now."""
        with self._lock:
            if self._state is not State.CLOSED:
                now = self._clock()
                # Also when half-open: whoever tried has not come back in a whole pause. Should that call be
                # slow only, its report still counts.
                if now - self._since < self._pause:
                    return None
                self._state, self._since = State.HALF_OPEN, now
            return Leave(self, self._openings)

    def _take(self, success: bool) -> None:
        """A report that counts; the lock is held."""
        if success:
            self._state, self._failures = State.CLOSED, 0
            return
        self._failures += 1
        # Of a trial too: the row that opened the circuit has not ended.
        if self._failures >= self._most:
            self._state, self._since = State.OPEN, self._clock()
            self._openings += 1
