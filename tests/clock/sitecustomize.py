"""A wall clock that a test puts forward and back while a node runs: TEST_CLOCK names a file with seconds.

tests/test_clock.py puts this folder on the path of a node; Python imports it before all else. time.monotonic
and the times of files stay as they are, as they do when a machine's clock is put right.
"""

import datetime
import os
import time

_FILE = os.environ["TEST_CLOCK"]
_time, _time_ns, _gmtime = time.time, time.time_ns, time.gmtime


def _offset() -> int:
    with open(_FILE) as file:
        return int(file.read() or 0)


class _Kind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _datetime)


_datetime = datetime.datetime


class _Moved(_datetime, metaclass=_Kind):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return _datetime.fromtimestamp(time.time(), tz)


time.time = lambda: _time() + _offset()
time.time_ns = lambda: _time_ns() + _offset() * 1_000_000_000
time.gmtime = lambda seconds=None: _gmtime(time.time() if seconds is None else seconds)
datetime.datetime = _Moved  # type: ignore[misc]
