"""Handing events on: what waits in the outbox goes to each receiver, in order for each patient.

app.py starts one `Delivery` in each worker, with which it ends; of all workers and nodes one thread at a time
works for a receiver (lease.py). What was sent leaves the outbox only afterwards, so that a crash in between
sends it again, with the same id. It must never hold a transaction while it sends, let an event overtake an
earlier one of the same patient, give an event up because its receiver is down, or log anything of an event.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from xds.audit.lease import Lease
from xds.audit.outbox import Key, Waiting, following, of_keys, settle, waiting
from xds.audit.receivers import SILENCE_ATTEMPTS, Receiver, Refused, Result, Unavailable
from xds.store.database import Database
from xds.store.schema import audit_receiver

log = logging.getLogger("xds")

#: Failures in a row, of whatever events, after which the receiver is left alone for a while.
_TRIPS: Final = 8
#: Batches of a round, before those are tried again who failed; and of how many patients at a time.
_BATCHES: Final = 20
_KEYS: Final = 200
#: Whatever the database says of when to try again: at most so many seconds from now.
_LONGEST_DUE: Final = 3600.0

_STATE: Final = select(audit_receiver.c.failures, audit_receiver.c.due, audit_receiver.c.reason).where(
    audit_receiver.c.receiver == bindparam("name")
)
_SAY: Final = (
    update(audit_receiver)
    .where(audit_receiver.c.receiver == bindparam("name"), audit_receiver.c.holder == bindparam("own"))
    .values(failures=bindparam("times"), due=bindparam("then"), reason=bindparam("why"))
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long is waited, in seconds: `lease` for a holder that has died; `pause` after the first failure,
    twice as long after each further one, at most `longest`; `poll` for new events. `batch` is how many events
    are sent between two transactions.
    """

    lease: float = 30.0
    pause: float = 1.0
    longest: float = 60.0
    poll: float = 1.0
    batch: int = 200

    def after(self, failures: int) -> float:
        """The pause after so many failures; not the same for everybody who failed at the same time."""
        return min(self.longest, self.pause * 2.0 ** min(failures - 1, 30)) * random.uniform(0.75, 1.0)


class Delivery:
    """The threads of one worker, one for each receiver; they end with the worker."""

    def __init__(self, database: Database, receivers: Sequence[Receiver], pace: Pace | None = None) -> None:
        self._couriers = [_Courier(database, each, pace or Pace()) for each in receivers]

    def start(self) -> None:
        """Begin to hand on."""
        for each in self._couriers:
            each.start()

    def wake(self) -> None:
        """There are new events."""
        for each in self._couriers:
            each.wake()

    def close(self) -> None:
        """End; a request that somebody is waiting for ends by itself, or with the process."""
        for each in self._couriers:
            each.stop()
        for each in self._couriers:
            each.join(2)


@dataclass(slots=True)
class _Held:
    """A patient whose next event was not taken. `taken` is what `_Courier.taken` was then."""

    failures: int
    due: float
    taken: int


@dataclass(slots=True)
class _Outcome:
    """What a batch came to, as it is written."""

    done: list[Waiting] = field(default_factory=list)
    dead: list[tuple[Waiting, str]] = field(default_factory=list)
    tried: list[Waiting] = field(default_factory=list)
    state: dict[str, Any] | None = None


class _Courier:
    """The thread that hands on to one receiver, when it holds the lease.

    A patient whose event is not taken is held back, with a pause of its own; others go on. Each round takes
    first what is not held back, so that no number of events that a receiver cannot take stands before the
    rest. When nothing is taken any more, the receiver as a whole gets a pause.
    """

    def __init__(self, database: Database, receiver: Receiver, pace: Pace) -> None:
        self._database, self._receiver, self._pace = database, receiver, pace
        self._name = receiver.name
        self._lease = Lease(database, receiver.name, pace.lease)
        self._thread = threading.Thread(target=self._run, name=f"audit-{receiver.name}", daemon=True)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._holds = False
        self._trouble = ""  # with the database, while there is any
        self._outcomes: list[_Outcome] = []  # not written yet
        # Of the receiver:
        self._failures = 0
        self._due = 0.0
        self._taken = 0  # events, since the start
        self._size = pace.batch  # of a batch of which all or none is taken
        self._held: dict[Key, _Held] = {}
        # Of the batch that is being sent; the lock guards these.
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._tripped: Unavailable | None = None
        self._broken_off = False  # somebody may have been left out who is not held back

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()

    def join(self, seconds: float) -> None:
        if self._thread.is_alive():
            self._thread.join(seconds)

    # -- the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            pause = self._pace.poll
            try:
                if self._hold() and self._work():
                    pause = 0.0
                if self._trouble:
                    log.info("%s: the outbox can be worked on again", self._name)
                    self._trouble = ""
            except Exception as error:  # the thread must live on, whatever the database does
                if self._trouble != (trouble := type(error).__name__):
                    log.error("%s: the outbox cannot be worked on (%s)", self._name, trouble)
                self._trouble = trouble
            if not self._stop.is_set():
                self._wake.wait(pause)
        try:
            self._lease.release()
        except Exception as error:
            log.info("%s: the lease ends by itself (%s)", self._name, type(error).__name__)
        self._receiver.close()

    def _hold(self) -> bool:
        """Whether the work is ours; whoever gets it begins with what the last holder knew."""
        held = self._lease.hold()
        if held and not self._holds:
            with self._database.read() as connection:
                state = connection.execute(_STATE, {"name": self._name}).one()
            left = min(max(state.due / 1000 - time.time(), 0.0), _LONGEST_DUE)
            self._failures, self._due = state.failures, time.monotonic() + left
            self._in_a_row = _TRIPS if state.failures else 0
            self._held.clear()
            log.info("%s: events are handed on by this worker", self._name)
        self._holds = held
        return held

    def _work(self) -> bool:
        """One round; True when there may be more to do at once."""
        self._settle()
        if time.monotonic() < self._due:
            return False
        before, after = self._taken, (0, 0)
        progress = False
        sent = 0
        while sent < _BATCHES:
            with self._database.read() as connection:
                rows = following(connection, self._name, after, self._pace.batch)
            fresh = [row for row in rows if row.key not in self._held]
            if self._receiver.together and len(fresh) > self._size:
                del fresh[self._size :]
                rows = fresh
            elif len(rows) < self._pace.batch:
                sent = _BATCHES  # there are no more
            if fresh:
                sent += 1
                progress |= self._hand_on(fresh, before)
                if self._broken_off:
                    return False
            elif not self._lease.keep():  # many rows of patients who wait take their time
                return False
            if rows:
                after = rows[-1].recorded, rows[-1].chain
        return self._try_again(before) or progress

    def _try_again(self, before: int) -> bool:
        """The patients that are held back and whose pause is over."""
        now = time.monotonic()
        due = [key for key, held in self._held.items() if held.due <= now][:_KEYS]
        if not due:
            return False
        limit = 1 if self._receiver.together else self._pace.batch
        with self._database.read() as connection:
            rows = of_keys(connection, self._name, due, limit)
        progress = self._hand_on(rows, before, again=True)
        if len(rows) < limit:  # otherwise nobody knows who has nothing waiting
            for key in set(due) - {row.key for row in rows}:
                del self._held[key]
        return progress and not self._broken_off

    # -- one batch -----------------------------------------------------------------------------------

    def _hand_on(self, rows: Sequence[Waiting], before: int, *, again: bool = False) -> bool:
        """Send these and write what came of it; True when any of them is settled.

        `before` is how many were taken before this round.
        """
        self._tripped, self._broken_off = None, False
        outcome = _Outcome(
            done=[row for row in rows if row.event is None and not row.trouble],
            dead=[(row, row.trouble) for row in rows if row.trouble],
        )
        start = self._taken
        results = self._send([row for row in rows if row.event is not None])
        failed: list[tuple[Waiting, Unavailable]] = []
        for row, result in results:
            if isinstance(result, Unavailable):
                failed.append((row, result))
                continue
            self._held.pop(row.key, None)
            if isinstance(result, Refused):
                outcome.dead.append((row, result.reason))
            else:
                outcome.done.append(row)
                self._taken += 1
        for row, unavailable in failed:
            self._hold_back(row, unavailable, start, outcome)
        answered = len(results) > len(failed)
        self._see_receiver(answered, again and self._taken > before, outcome)
        if outcome.done or outcome.dead or outcome.tried or outcome.state:
            self._outcomes.append(outcome)
            self._settle()
        return bool(outcome.done or outcome.dead)

    def _hold_back(self, row: Waiting, result: Unavailable, start: int, outcome: _Outcome) -> None:
        """Let the patient wait; or give the event up, when it is the event and not the receiver."""
        held = self._held.get(row.key)
        counts = result.attempts is not None and self._taken > (held.taken if held else start)
        if counts and row.attempts + 1 >= (result.attempts or 0):
            outcome.dead.append((row, result.reason))
            self._held.pop(row.key, None)
            return
        if counts:
            outcome.tried.append(row)
        failures = held.failures + 1 if held else 1
        due = time.monotonic() + self._pace.after(failures)
        self._held[row.key] = _Held(failures, due, self._taken)

    def _see_receiver(self, answered: bool, others: bool, outcome: _Outcome) -> None:
        """What a batch says about the receiver as a whole.

        `others`: this is about patients held back, while others' events were taken a moment ago.
        """
        tripped = self._tripped
        if tripped is not None and not (others and not tripped.after):
            was_well = not self._failures
            self._failures = 1 if answered else self._failures + 1
            pause = max(self._pace.after(self._failures), tripped.after)
            self._due = time.monotonic() + pause
            outcome.state = self._state(pause, tripped.reason)
            if was_well:
                log.error("%s: unavailable: %s", self._name, tripped.reason)
        elif tripped is None and answered and self._failures:
            self._failures, self._due = 0, 0.0
            outcome.state = self._state(0.0, None)
            for held in self._held.values():  # their pauses are from when there was nobody to take them
                held.due = 0.0

    def _state(self, pause: float, reason: str | None) -> dict[str, Any]:
        then = round((time.time() + pause) * 1000) if pause else 0
        return {
            "name": self._name,
            "own": self._lease.holder,
            "times": self._failures,
            "then": then,
            "why": reason,
        }

    def _settle(self) -> None:
        """Write what batches came to; what cannot be written stays, and is not sent again meanwhile."""
        while self._outcomes:
            outcome = self._outcomes[0]

            def write(connection: Connection, outcome: _Outcome = outcome) -> None:
                settle(connection, self._name, done=outcome.done, dead=outcome.dead, tried=outcome.tried)
                if outcome.state is not None:
                    connection.execute(_SAY, outcome.state)

            self._database.transact(write)
            del self._outcomes[0]
            if outcome.dead:
                reasons = ", ".join(sorted({reason for _, reason in outcome.dead}))
                log.error("%s: will never take %d events (%s)", self._name, len(outcome.dead), reasons)
            if outcome.state is not None and not outcome.state["times"]:
                log.info("%s: available again, %d events waiting", self._name, self._backlog())

    def _backlog(self) -> int:
        with self._database.read() as connection:
            return sum(each.waiting for each in waiting(connection) if each.receiver == self._name)

    # -- sending -------------------------------------------------------------------------------------

    def _send(self, rows: Sequence[Waiting]) -> list[tuple[Waiting, Result]]:
        """Send in lanes: each takes a patient's events in order, until one is not taken."""
        if not rows:
            return []
        results: list[tuple[Waiting, Result]] = []
        work: Callable[[], None]
        if self._receiver.together:
            work, lanes = partial(self._send_together, rows, results), 1
        else:
            groups: dict[Key, list[Waiting]] = defaultdict(list)
            for row in rows:
                groups[row.key].append(row)
            queue = deque(groups.values())
            work, lanes = partial(self._send_each, queue, results), min(self._receiver.lanes, len(groups))
        # Threads of a pool would keep a process from ending; these are daemons, and cost little.
        threads = [
            threading.Thread(target=work, name=f"{self._thread.name}-{lane}", daemon=True)
            for lane in range(lanes)
        ]
        for each in threads:
            each.start()
        for each in threads:
            while each.is_alive():
                each.join(self._pace.lease / 10)
                self._keep_lease()
        return results

    def _keep_lease(self) -> None:
        """While the lanes work; when it cannot be kept they stop by themselves, at the latest in its time."""
        try:
            self._lease.keep()
        except Exception as error:
            log.info("%s: the lease was not renewed (%s)", self._name, type(error).__name__)

    def _send_each(self, queue: deque[list[Waiting]], results: list[tuple[Waiting, Result]]) -> None:
        while True:
            try:
                group = queue.popleft()
            except IndexError:
                return
            for row in group:
                if not self._may_send():
                    return
                (result,) = self._deliver([row])
                results.append((row, result))
                self._judge(result)
                if isinstance(result, Unavailable):
                    break

    def _send_together(self, rows: Sequence[Waiting], results: list[tuple[Waiting, Result]]) -> None:
        """All or none: half as many the next time, until one alone is not taken and can be held back."""
        if not self._may_send():
            return
        given = self._deliver(rows)
        for result in given:
            self._judge(result)
        if not isinstance(given[-1], Unavailable):
            self._size = min(self._pace.batch, self._size * 2)
            results.extend(zip(rows, given, strict=True))
        elif len(rows) == 1:
            results.append((rows[0], given[-1]))
        else:
            self._size = len(rows) // 2
            self._broken_off = True

    def _may_send(self) -> bool:
        if self._tripped is None and self._lease.is_held and not self._stop.is_set():
            return True
        self._broken_off = True
        return False

    def _deliver(self, rows: Sequence[Waiting]) -> Sequence[Result]:
        try:
            return self._receiver.deliver([row.event for row in rows if row.event is not None])
        except Exception as error:  # nothing that a receiver does may end the thread
            log.error("%s: an event could not be sent (%s)", self._name, type(error).__name__)
            return [Unavailable(type(error).__name__, attempts=SILENCE_ATTEMPTS)]

    def _judge(self, result: Result) -> None:
        """Stop all lanes when the receiver says so, or when nothing is taken any more."""
        with self._lock:
            if not isinstance(result, Unavailable):
                self._in_a_row = 0
                return
            self._in_a_row += _TRIPS if result.stops else 1
            if self._in_a_row >= _TRIPS and self._tripped is None:
                self._tripped, self._broken_off = result, True
