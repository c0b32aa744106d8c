"""Row keys made by the application: 63 bits, growing with time, no sequence to queue for.

Used by the registry for every row. Time-ordered, so that rows of one patient come out in the order they went
in; the low bits start at random in each process, so that processes do not collide.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
import time
from datetime import UTC, datetime
from typing import Final

_LOW_BITS: Final = 22
_EPOCH_MS: Final = 1_704_067_200_000  # 2024-01-01T00:00:00Z; 41 bits of milliseconds reach into 2093
_counter = itertools.count(secrets.randbits(_LOW_BITS))


def new_key() -> int:
    """The next key of this process."""
    milliseconds = int(time.time() * 1000) - _EPOCH_MS
    return (milliseconds << _LOW_BITS) | (next(_counter) & ((1 << _LOW_BITS) - 1))


def key_at(milliseconds: int) -> int:
    """The least key of a moment, in milliseconds since 1970: the keys of what came before are less."""
    return max(0, milliseconds - _EPOCH_MS) << _LOW_BITS


def moment_of(key: int) -> int:
    """When a key was made, in milliseconds since 1970."""
    return (key >> _LOW_BITS) + _EPOCH_MS


def now() -> int:
    """The time of the rows: YYYYMMDDhhmmss in UTC, as a number."""
    return int(datetime.now(UTC).strftime("%Y%m%d%H%M%S"))


def uuid_bytes(urn: str) -> bytes:
    """The 16 bytes of a `urn:uuid:` name."""
    return bytes.fromhex(urn[9:].replace("-", ""))


def uuid_urn(value: bytes) -> str:
    """The `urn:uuid:` name of 16 bytes, in lower case as the standard writes it."""
    text = value.hex()
    return f"urn:uuid:{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def unique_id_key(unique_id: str) -> bytes:
    """What stands for a uniqueId of any length in an index: the first 16 bytes of its SHA-256."""
    return hashlib.sha256(unique_id.encode()).digest()[:16]
