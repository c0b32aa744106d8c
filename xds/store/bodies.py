"""How the lasting text of a registry object or of an AuditEvent is kept: compressed with a shared dictionary.

Called when one is stored (`pack`) and when it is returned (`unpack`); 8 KB become about 400 bytes,
so that a patient's rows stay together on few pages. The first byte names the dictionary;
bench/train_dictionary.py makes one. A dictionary that has ever been used must never change or go away: add a
new file beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import zstandard

_HERE: Final = Path(__file__).parent
#: The dictionaries to write with: of registry objects, of AuditEvents.
OBJECTS: Final = 1
AUDIT: Final = 2
_DICTIONARIES: Final = {number: _HERE / f"dictionary-{number}.zdict" for number in (OBJECTS, AUDIT)}
#: A negative level stores literals as they are: a quarter longer, and read a quarter faster, than level 3.
_LEVEL: Final = -1

_data = {
    number: zstandard.ZstdCompressionDict(path.read_bytes(), dict_type=zstandard.DICT_TYPE_FULLDICT)
    for number, path in _DICTIONARIES.items()
}
# zstd contexts are not safe to share between threads, and cost more to make than to use.
_local = threading.local()


def pack(body: bytes, dictionary: int = OBJECTS) -> bytes:
    """The stored form of `body`: one byte for the dictionary, then a zstd frame."""
    compressors = getattr(_local, "compressors", None)
    if compressors is None:
        compressors = _local.compressors = {
            number: zstandard.ZstdCompressor(level=_LEVEL, dict_data=data).compress
            for number, data in _data.items()
        }
    packed: bytes = compressors[dictionary](body)
    return bytes((dictionary,)) + packed


def unpack(stored: Sequence[bytes]) -> list[bytes]:
    """The bodies that `pack` was given, each."""
    decompressors = getattr(_local, "decompressors", None)
    if decompressors is None:
        decompressors = _local.decompressors = {
            number: zstandard.ZstdDecompressor(dict_data=data).decompress for number, data in _data.items()
        }
    return [decompressors[body[0]](body[1:]) for body in stored]
