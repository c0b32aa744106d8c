"""Tickets that were found good, by the digest of their exact bytes: a signature is checked once for each.

The gate looks here before it verifies. Whatever changes with time or trust is checked again at every use: a
ticket is forgotten as soon as the trust file or a key changes, and its times are the gate's to look at. It
must never hold anything but what came out of a good signature, and nothing of it leaves the process.
"""

from __future__ import annotations

import hashlib
import threading
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: Enough for a large hospital's personnel within the hour that their tickets live; about 4 KB each.
MOST: Final = 4096


class Remembered(Generic[T]):
    """A bounded memory; the oldest goes first. Safe to share between threads."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._generation = -1
        self._known: dict[bytes, T] = {}
        self._lock = threading.Lock()

    @staticmethod
    def digest(exact: bytes) -> bytes:
        """The name of a ticket."""
        return hashlib.sha256(exact).digest()

    def get(self, digest: bytes, generation: int) -> T | None:
        """What is known of a ticket under this generation of trust."""
        if generation != self._generation:
            return None
        return self._known.get(digest)

    def put(self, digest: bytes, generation: int, known: T) -> None:
        """Remember it; all that was known under another generation is forgotten."""
        with self._lock:
            if generation < self._generation:
                return  # verified under an older trust while a newer one came
            if generation != self._generation:
                self._known = {}
                self._generation = generation
            while len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[digest] = known
