"""What a log line of the node looks like, and nothing else about logging.

app.py sets it up in each worker. The node logs reference numbers, codes, rule ids, counts and times; whoever
writes a log line must never put a value from a message into it.
"""

from __future__ import annotations

import json
import logging
import re
import time


class _Lines(logging.Formatter):
    """Time in UTC to the millisecond, level, logger, message; a second's text is made once."""

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._text = ""

    def time_of(self, record: logging.LogRecord) -> str:
        """ISO 8601."""
        second = int(record.created)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._text}.{record.msecs:03.0f}Z"

    def format(self, record: logging.LogRecord) -> str:
        return f"{self.time_of(record)} {record.levelname} {record.name} {record.getMessage()}"


_REFERENCE = re.compile(r"([0-9a-f]{12}) ")
_FIELD = re.compile(r"(?<![^ ])([a-z]+)=([^ ]*)")


class _Objects(_Lines):
    """The same as one JSON object a line: the request's reference number and what is name=value have members
    of their own.
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        said = {"time": self.time_of(record), "level": record.levelname, "logger": record.name}
        if found := _REFERENCE.match(message):
            said["reference"] = found[1]
        said |= {name: value for name, value in _FIELD.findall(message) if name not in said}
        return json.dumps({**said, "message": message}, ensure_ascii=False)


_FORMATS = {"text": _Lines, "json": _Objects}


def set_up(form: str = "text") -> None:
    """The node's own loggers from INFO, everybody else's from WARNING, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_FORMATS[form]())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("xds").setLevel(logging.INFO)
    # What a line does not hold need not be found out for it (logging's own advice on speed).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
