"""What a log line of the node looks like, and nothing else about logging.

app.py sets it up in each worker. The node logs reference numbers, codes, rule ids, counts and times; whoever
writes a log line must never put a value from a message into it.
"""

from __future__ import annotations

import logging
import time


class _Lines(logging.Formatter):
    """Time in UTC to the millisecond, level, logger, message; a second's text is made once."""

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._text = ""

    def format(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._text}.{record.msecs:03.0f}Z {record.levelname} {record.name} {record.getMessage()}"


def set_up() -> None:
    """The node's own loggers from INFO, everybody else's from WARNING, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("xds").setLevel(logging.INFO)
    # What a line does not hold need not be found out for it (logging's own advice on speed).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
