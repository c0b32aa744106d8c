"""Threads that are kept: all work is done, at the same time, and idle threads end."""

from __future__ import annotations

import threading
import time

from tests.waiting import eventually
from xds.gateway.threads import Threads


def test_work_is_done_at_the_same_time() -> None:
    """Ten that wait for each other all begin."""
    threads, together, done = Threads(), threading.Barrier(10), threading.Semaphore(0)

    def work() -> None:
        together.wait(10)
        done.release()

    for _ in range(10):
        threads.run(work)
    assert all(done.acquire(timeout=10) for _ in range(10))


def test_a_thread_is_used_again_and_ends_when_nobody_wants_it() -> None:
    """One after the other by the same thread; a while after the last it is gone."""
    threads, seen, done = Threads(2), list[threading.Thread](), threading.Semaphore(0)

    def work() -> None:
        seen.append(threading.current_thread())
        done.release()

    for _ in range(5):
        threads.run(work)
        assert done.acquire(timeout=10)
        # Its work says that it is done a moment before it is free.
        assert eventually(lambda: threads._free == 1)
    assert len(set(seen)) == 1
    seen[0].join(10)
    assert not seen[0].is_alive()
    threads.run(work)
    assert done.acquire(timeout=10)
    assert seen[-1] is not seen[0]


def test_work_that_comes_as_a_thread_ends_is_done() -> None:
    """However the two meet: nothing is lost and nothing hangs."""
    threads, done = Threads(0.001), threading.Semaphore(0)
    for _ in range(500):
        threads.run(done.release)
        assert done.acquire(timeout=10)
        time.sleep(0.0011)
