"""Threads for calls to other communities, kept for the next call: a new one costs as much as a small answer.

remote.py runs each call in one. They end when nobody needs them for a while, or with the process, which must
never wait for a community: the standard library's pool waits for its threads at the end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

#: Seconds for which a thread waits for work.
_KEPT: Final = 30.0


class Threads:
    """As many as there is work for at the same time; whoever gives it bounds that."""

    def __init__(self, kept_seconds: float = _KEPT) -> None:
        self._kept_seconds = kept_seconds
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        #: Threads that wait, less the work that is on its way to them.
        self._free = 0

    def run(self, work: Callable[[], None]) -> None:
        """Have it done now; it must not raise. Raises RuntimeError when there can be no more threads."""
        with self._lock:
            if kept := self._free > 0:
                self._free -= 1
        if kept:
            self._work.put(work)
        else:
            threading.Thread(target=self._live, args=(work,), name="xca", daemon=True).start()

    def _live(self, work: Callable[[], None]) -> None:
        while True:
            work()
            del work  # what it holds must not wait with us
            with self._lock:
                self._free += 1
            try:
                work = self._work.get(timeout=self._kept_seconds)
            except Empty:
                with self._lock:
                    if self._free > 0:
                        self._free -= 1
                        return
                work = self._work.get()  # somebody has counted on us
