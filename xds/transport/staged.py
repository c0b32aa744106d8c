"""Bytes that have arrived and are not yet anyone's: files in a staging folder, hashed while they are written.

The MIME reader writes them, the message hands them to a transaction, the repository moves them to their
place. Whoever made a writer must end it with `finish` or `discard`; nothing here decides how long a file
stays.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

#: What is read of a file at a time, in bytes.
CHUNK: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Staged:
    """A finished file: its path, size in bytes, and hashes as lower-case hexadecimal."""

    path: Path
    size: int
    sha1: str
    sha256: str

    def open(self) -> BinaryIO:
        """The bytes, for reading from the start."""
        return self.path.open("rb")

    def chunks(self) -> Iterator[bytes]:
        """The bytes in pieces; memory does not grow with the file."""
        with self.open() as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def discard(self) -> None:
        """Remove the file; one that was moved away or removed before is no error."""
        self.path.unlink(missing_ok=True)


class Writer:
    """One file being written."""

    __slots__ = ("_file", "_path", "_sha1", "_sha256", "size")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "xb", buffering=0, opener=_private)  # noqa: SIM115
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`."""
        self._sha1.update(data)
        self._sha256.update(data)
        left = memoryview(data)
        self.size += len(left)
        while left:
            left = left[self._file.write(left) :]

    def finish(self) -> Staged:
        """Close the file. It is not flushed to the disk: who publishes it does that."""
        self._file.close()
        return Staged(self._path, self.size, self._sha1.hexdigest(), self._sha256.hexdigest())

    def discard(self) -> None:
        """Close and remove the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class StagingFolder:
    """Where staged files live; names are random, so that no name comes from a message."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lasts = False  # whether this process has synced the folder's own name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(self) -> Writer:
        """A new, empty file that only this user can read."""
        return Writer(self.path / secrets.token_hex(16))

    def has_room(self, size: int) -> bool:
        """Whether its disk takes `size` more bytes."""
        return shutil.disk_usage(self.path).free >= size

    def take_over(self, staged: Staged) -> Staged:
        """Move a file of another folder, of the same file system, into this one, as young as a new one."""
        target = self.path / secrets.token_hex(16)
        os.rename(staged.path, target)
        os.utime(target)
        return replace(staged, path=target)

    def make_lasting(self, staged: Staged) -> None:
        """See to it that a file of this folder, and its name, are on disk. Raises OSError."""
        _sync(staged.path, os.O_RDONLY)
        above = () if self._lasts else self.path.parents[:2]
        for folder in (self.path, *above):
            _sync(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._lasts = True

    def measure(self) -> tuple[int, int]:
        """How many files there are, and their bytes."""
        files = size = 0
        for file in os.scandir(self.path):
            with suppress(FileNotFoundError):  # its request ended meanwhile
                size += file.stat().st_size
                files += 1
        return files, size

    def older(self, before: datetime) -> Iterator[Staged]:
        """The files that were last written before `before`; their hashes are not known."""
        limit = before.timestamp()
        for file in os.scandir(self.path):
            try:
                found = file.stat()
            except FileNotFoundError:  # its request ended meanwhile
                continue
            if found.st_mtime <= limit:
                yield Staged(Path(file.path), found.st_size, "", "")


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
