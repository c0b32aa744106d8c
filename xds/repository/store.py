"""What a place for document bytes must be able to do.

`files.py` is a folder on disk, `s3.py` a bucket; tests/repository holds both to the same. The repository
calls them in one order: bytes first, database row second, so that a crash leaves at most bytes that nobody
can see.
A store must never raise what is no OSError: StoreBusy (xds.store.trouble) for what may succeed later, ENOSPC
or EDQUOT when it is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO, Protocol

from xds.transport.staged import Staged, StagingFolder


class Forgotten(Protocol):
    """What a request left that never came to an end, and how many bytes it is."""

    @property
    def size(self) -> int: ...

    def discard(self) -> None:
        """Remove it; what has ended meanwhile is no error."""


class DocumentStore(Protocol):
    """A store of immutable byte strings under keys it chooses itself; keys sort by the hour they were put."""

    #: Bytes that are arriving, on a disk of this machine.
    staging: StagingFolder
    #: Messages between communities that wait to be sent, or to be read (gateway/replies.py, awaited.py).
    replies: StagingFolder

    def put(self, staged: Staged) -> str:
        """Take over staged bytes and make them durable; returns their key. The staged file is gone then.

        Raises OSError, and then keeps no bytes under any key.
        """

    def has_room(self, size: int) -> bool:
        """Whether `size` more bytes can be taken."""

    def open(self, key: str) -> BinaryIO:
        """The bytes, for reading; raises FileNotFoundError."""

    def size(self, key: str) -> int | None:
        """How many bytes there are under a key, or None when there are none."""

    def remove(self, key: str) -> None:
        """Delete the bytes; a key that is not there is not an error."""

    def keys(self, since: str, before: datetime) -> Iterator[str]:
        """Keys put in the hour `since` or later whose bytes were last written before `before` (UTC)."""

    def forgotten(self, before: datetime) -> Iterator[Forgotten]:
        """Staged files, and uploads, from before `before`: their request never came to an end."""

    def check(self) -> None:
        """Whether the store answers, by a look that costs little; raises OSError."""

    def try_out(self) -> None:
        """Write, read and remove something; raises OSError with a sentence about what is in the way."""
