"""What an error of the disk, the database engine or the document store means for the request that met it.

app.py asks to answer in the words of the standard, database.py to know what can be tried again, and ITI-41
to know whether its bytes can go at once. It must never guess: an error that it does not know stays an error
of the node.
"""

from __future__ import annotations

import errno
from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError, OperationalError

from xds.errors import XdsError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

# SQLSTATEs: appendix A of the PostgreSQL manual.
_DISK_FULL: Final = "53100"
#: serialization_failure, deadlock_detected: the server chose us, and nothing was written.
#: unique_violation: somebody wrote the same id between our look and our insert; a second look will find it.
_BROKEN_OFF: Final = ("40001", "40P01", "23505")
#: lock_not_available: a lock was not to be had in time.
_LOCK: Final = "55P03"
#: read_only_sql_transaction: a standby, or a server that somebody made read-only.
_READ_ONLY: Final = "25006"
#: Of SQLSTATEs the beginnings: no connection, broken off, out of memory or connections, a lock not to be had
#: in time, no writing here, a statement that took too long, the server going down or coming up.
_BUSY: Final = ("08", *_BROKEN_OFF, "53200", "53300", _LOCK, _READ_ONLY, "57")


class DatabaseBusy(XdsError):
    """No turn to write, or no connection, came in time; nothing was written."""


class StoreBusy(OSError):
    """The document store could not be reached, or would not, as its text says; the same may succeed later."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.EAGAIN, sentence)


def no_room(error: BaseException) -> str:
    """The name of the error number when the disk or the quota is full, else nothing."""
    if isinstance(error, OperationalError) and (
        _sqlstate(error) == _DISK_FULL or "disk is full" in str(error.orig)  # SQLITE_FULL
    ):
        return errno.errorcode[errno.ENOSPC]
    if isinstance(error, OSError) and error.errno in _FULL:
        return errno.errorcode[error.errno]
    return ""


def is_busy(error: BaseException) -> bool:
    """Whether the database or the document store could not be reached in time: it may succeed later."""
    if isinstance(error, DatabaseBusy | StoreBusy):
        return True
    if not isinstance(error, OperationalError):
        return False
    state = _sqlstate(error)
    if state is None:  # SQLite, which has words only
        return any(word in str(error.orig) for word in ("locked", "busy"))
    return state.startswith(_BUSY)


def nothing_written(error: BaseException) -> bool:
    """Whether it is certain that there was no commit, for what was put beside the database to go at once."""
    if isinstance(error, DatabaseBusy | StoreBusy) or no_room(error):
        return True
    if not isinstance(error, OperationalError):
        return False
    state = _sqlstate(error)
    # SQLite says "locked" before it begins, or of a COMMIT that it did not do and that is rolled back.
    return is_busy(error) if state is None else state in (*_BROKEN_OFF, _LOCK, _READ_ONLY)


def was_broken_off(error: DBAPIError) -> bool:
    """Whether this transaction failed for another's sake only, so that it can be done again at once."""
    return (_sqlstate(error) or "").startswith(_BROKEN_OFF)


def was_locked_out(error: DBAPIError) -> bool:
    """Whether it failed for a lock that was not to be had in time, and nothing was written."""
    return _sqlstate(error) == _LOCK


def _sqlstate(error: DBAPIError) -> str | None:
    """PostgreSQL's code of an error; "08" when there is no connection over which to send one."""
    if not isinstance(error.orig, psycopg.Error):
        return None
    return error.orig.sqlstate or "08"
