"""What a place for document bytes must be able to do.

`files.py` is the folder on disk; other engines implement the same methods. The repository calls them in one
order: bytes first, database row second, so that a crash leaves at most bytes that nobody can see.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO, Protocol

from xds.transport.staged import Staged, StagingFolder


class DocumentStore(Protocol):
    """A store of immutable byte strings under keys it chooses itself; keys sort by the hour they were put."""

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

    def forgotten(self, before: datetime) -> Iterator[Staged]:
        """Staged files that were last written before `before`: their request never came to an end."""
