"""What an error of the disk or of the database engine means for the request that met it.

app.py asks to answer in the words of the standard, and ITI-41 to know whether its bytes can go at once.
It must never guess: an error that it does not know stays an error of the node.
"""

from __future__ import annotations

import errno
from typing import Final

from sqlalchemy.exc import OperationalError

from xds.store.database import DatabaseBusy

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def no_room(error: BaseException) -> str:
    """The name of the error number when the disk or the quota is full, else nothing."""
    if isinstance(error, OperationalError) and "disk is full" in str(error.orig):  # SQLITE_FULL
        return errno.errorcode[errno.ENOSPC]
    if isinstance(error, OSError) and error.errno in _FULL:
        return errno.errorcode[error.errno]
    return ""


def is_busy(error: BaseException) -> bool:
    """Whether the database could not be locked in time."""
    if isinstance(error, DatabaseBusy):
        return True
    return isinstance(error, OperationalError) and any(word in str(error.orig) for word in ("locked", "busy"))
