"""The circuit breaker: when it lets a call through, and whose report counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from xds.gateway.breaker import Breaker, Leave, State

T = TypeVar("T")
PAUSE = 15.0


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    """Opens at the third failure."""
    return Breaker(3, PAUSE, clock)


def begun(breaker: Breaker) -> Leave:
    """A call that must be let through."""
    call = breaker.begin()
    assert call is not None
    return call


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        begun(breaker).failed()


def looks(breaker: Breaker) -> tuple[State, int]:
    return breaker.state, breaker.failures


# ---- closed


def test_a_new_one_is_closed(breaker: Breaker) -> None:
    """Any number of calls go out at the same time."""
    assert looks(breaker) == (State.CLOSED, 0)
    assert None not in [breaker.begin() for _ in range(100)]


def test_it_opens_at_the_last_of_so_many_failures_in_a_row(breaker: Breaker) -> None:
    """And not before."""
    fail(breaker, 2)
    assert looks(breaker) == (State.CLOSED, 2)
    fail(breaker, 1)
    assert looks(breaker) == (State.OPEN, 3)
    assert breaker.begin() is None


def test_one_failure_can_be_enough(clock: Clock) -> None:
    """Of a community with failures = 1."""
    breaker = Breaker(1, PAUSE, clock)
    fail(breaker, 1)
    assert looks(breaker) == (State.OPEN, 1)


def test_a_success_begins_the_row_anew(breaker: Breaker) -> None:
    """Only failures with nothing between them count together."""
    fail(breaker, 2)
    begun(breaker).succeeded()
    assert looks(breaker) == (State.CLOSED, 0)
    fail(breaker, 2)
    assert looks(breaker) == (State.CLOSED, 2)


def test_time_does_not_end_a_row(breaker: Breaker, clock: Clock) -> None:
    """A community that is asked once a day is not well because a day has passed."""
    for _ in range(3):
        fail(breaker, 1)
        clock.now += 86400
    assert breaker.state is State.OPEN


def test_a_call_reports_once(breaker: Breaker) -> None:
    """What it says after that is not heard."""
    call = begun(breaker)
    for _ in range(5):
        call.failed()
    assert looks(breaker) == (State.CLOSED, 1)
    call.succeeded()
    assert looks(breaker) == (State.CLOSED, 1)
    call = begun(breaker)
    call.succeeded()
    call.failed()
    assert looks(breaker) == (State.CLOSED, 0)


# ---- open, and the trial


@pytest.fixture
def opened(breaker: Breaker) -> Breaker:
    """It has opened just now."""
    fail(breaker, 3)
    return breaker


def test_nobody_is_let_through_before_the_pause_is_over(opened: Breaker, clock: Clock) -> None:
    """Then one, and the next one not."""
    for seconds in (0.0, 1.0, 13.5):
        clock.now += seconds
        assert opened.begin() is None
    clock.now = 1000.0 + PAUSE
    assert opened.state is State.OPEN
    assert opened.begin() is not None
    assert opened.state is State.HALF_OPEN
    assert [opened.begin() for _ in range(10)] == [None] * 10


def test_a_trial_that_succeeds_closes(opened: Breaker, clock: Clock) -> None:
    """With nothing left of the old row."""
    clock.now += PAUSE
    begun(opened).succeeded()
    assert looks(opened) == (State.CLOSED, 0)
    fail(opened, 2)
    assert opened.state is State.CLOSED


def test_a_trial_that_fails_opens_for_another_pause(opened: Breaker, clock: Clock) -> None:
    """From when it failed, not from when it began."""
    clock.now += PAUSE
    trial = begun(opened)
    clock.now += 10
    trial.failed()
    assert looks(opened) == (State.OPEN, 4)
    clock.now += 14.5
    assert opened.begin() is None
    clock.now += 0.5
    assert opened.begin() is not None


def test_a_lost_trial_holds_the_others_up_for_one_pause(opened: Breaker, clock: Clock) -> None:
    """Its thread died; then somebody else tries, and again one only."""
    clock.now += PAUSE
    begun(opened)
    for _ in range(3):
        clock.now += 14.5
        assert opened.begin() is None
        clock.now += 0.5
        assert opened.begin() is not None
        assert opened.begin() is None
    clock.now += PAUSE
    begun(opened).succeeded()
    assert opened.state is State.CLOSED


def test_a_trial_that_takes_longer_than_the_pause_still_counts(opened: Breaker, clock: Clock) -> None:
    """Otherwise a community that answers slowly would never be let in again."""
    clock.now += PAUSE
    slow = begun(opened)
    clock.now += PAUSE
    second = begun(opened)
    slow.succeeded()
    assert looks(opened) == (State.CLOSED, 0)
    second.failed()
    assert looks(opened) == (State.CLOSED, 1)


# ---- reports that come late


def test_late_failures_do_not_prolong_a_pause(breaker: Breaker, clock: Clock) -> None:
    """Calls that began when it was closed, and time out while it is open."""
    old = [begun(breaker) for _ in range(5)]
    fail(breaker, 3)
    clock.now += 10
    for call in old:
        call.failed()
    assert looks(breaker) == (State.OPEN, 3)
    clock.now += 5
    assert breaker.begin() is not None


def test_a_late_success_does_not_close(breaker: Breaker, clock: Clock) -> None:
    """Neither an open circuit nor one whose trial is under way."""
    first, second = begun(breaker), begun(breaker)
    fail(breaker, 3)
    first.succeeded()
    assert looks(breaker) == (State.OPEN, 3)
    clock.now += PAUSE
    trial = begun(breaker)
    second.succeeded()
    assert looks(breaker) == (State.HALF_OPEN, 3)
    assert breaker.begin() is None
    trial.failed()
    assert looks(breaker) == (State.OPEN, 4)


def test_a_late_failure_does_not_stand_for_the_trial(breaker: Breaker, clock: Clock) -> None:
    """Nor does it count when the trial has closed the circuit."""
    first, second = begun(breaker), begun(breaker)
    fail(breaker, 3)
    clock.now += PAUSE
    trial = begun(breaker)
    first.failed()
    assert looks(breaker) == (State.HALF_OPEN, 3)
    trial.succeeded()
    second.failed()
    assert looks(breaker) == (State.CLOSED, 0)


def test_a_trial_of_an_earlier_pause_is_late_too(opened: Breaker, clock: Clock) -> None:
    """Two trials after each other; the one fails, and what the other says came before that."""
    clock.now += PAUSE
    slow = begun(opened)
    clock.now += PAUSE
    begun(opened).failed()
    slow.succeeded()
    assert looks(opened) == (State.OPEN, 4)


# ---- any history

#: What happens next: a call begins; time passes; the call of this number, if there is one, reports.
STEPS = st.one_of(
    st.just(("begin", 0.0)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 4.0, 9.5, 10.0, 25.0])),
    st.tuples(st.sampled_from(["succeeded", "failed"]), st.integers(0, 30)),
    st.tuples(st.just("begin-and-fail"), st.just(0.0)),
)


@settings(max_examples=examples(600), deadline=None)
@given(most=st.integers(1, 4), steps=st.lists(STEPS, max_size=60))
def test_whatever_happens(most: int, steps: list[tuple[str, float]]) -> None:
    """The sentences of the module's page hold after each step, told from the history alone."""
    pause, clock = 10.0, Clock()
    breaker = Breaker(most, pause, clock)
    calls: list[tuple[Leave, int]] = []  # with how many steps came before
    reported: set[int] = set()
    opening = 0  # the step after the last opening
    let_in = opened = clock.now  # when the last call was let in; when it last opened
    row = 0

    def begin(step: int) -> Leave | None:
        nonlocal let_in
        before, call = breaker.state, breaker.begin()
        if before is State.CLOSED:
            assert call is not None
            assert breaker.state is State.CLOSED
        else:
            since = opened if before is State.OPEN else let_in
            assert (call is not None) == (clock.now - since >= pause)
            assert breaker.state is (State.HALF_OPEN if call else before)
        if call is not None:
            let_in = clock.now
            calls.append((call, step))
        return call

    def report(number: int, success: bool, step: int) -> None:
        nonlocal opening, opened, row
        call, began = calls[number]
        before = looks(breaker)
        (call.succeeded if success else call.failed)()
        if number in reported or began < opening:
            assert looks(breaker) == before
        elif success:
            row = 0
            assert looks(breaker) == (State.CLOSED, 0)
        else:
            row += 1
            opens = before[0] is not State.CLOSED or row >= most
            assert looks(breaker) == (State.OPEN if opens else State.CLOSED, row)
            if opens:
                opening, opened = step + 1, clock.now
        reported.add(number)

    for step, (what, value) in enumerate(steps):
        if what == "wait":
            clock.now += value
        elif what == "begin":
            begin(step)
        elif what == "begin-and-fail":
            if begin(step) is not None:
                report(len(calls) - 1, False, step)
        elif value < len(calls):
            report(int(value), what == "succeeded", step)
    # Whatever came before, a community that is well again is asked again after one pause.
    clock.now += pause
    begun(breaker).succeeded()
    assert looks(breaker) == (State.CLOSED, 0)


# ---- threads


class SlowTime(float):
    """Lets the other threads go on between what is found out and what is made of it."""

    def __sub__(self, other: float) -> float:
        passed = float(self) - other
        time.sleep(0.002)
        return passed


class SlowClock(Clock):
    """Lets the other threads go on while somebody reads it."""

    def __call__(self) -> float:
        time.sleep(0.002)
        return SlowTime(self.now)


def at_once(work: Callable[[], T], threads: int = 16) -> list[T]:
    """What comes of it in as many threads."""
    together = threading.Barrier(threads)

    def begin() -> T:
        together.wait()
        return work()

    with ThreadPoolExecutor(threads) as pool:
        return [each.result() for each in [pool.submit(begin) for _ in range(threads)]]


def test_of_many_threads_one_tries() -> None:
    """However many want to at the very moment at which the pause is over, or a trial is given up."""
    clock = SlowClock()
    breaker = Breaker(1, PAUSE, clock)
    fail(breaker, 1)
    for _ in range(20):
        clock.now += PAUSE
        (trial,) = filter(None, at_once(breaker.begin))
        assert breaker.state is State.HALF_OPEN
    trial.failed()
    assert looks(breaker) == (State.OPEN, 2)


def test_a_call_that_several_threads_report_counts_once() -> None:
    """One opening, one failure."""
    breaker = Breaker(1, PAUSE, SlowClock())
    call = begun(breaker)
    at_once(call.failed)
    assert looks(breaker) == (State.OPEN, 1)
