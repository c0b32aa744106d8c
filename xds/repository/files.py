"""Document bytes in a folder on a local disk.

`documents/YYYY/MM/DD/HH/<random>` for what is published, `staging/` for what is arriving, `replies/` for
messages that wait; all in one file system, so that publishing is a rename. A key never says whose document
it is. Published files never change.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from xds.transport.staged import Staged, StagingFolder

#: Folders above an hour's whose names must last: day, month, year, documents, root, and what holds the root.
_DEPTH: Final = 5


class FolderStore:
    """A DocumentStore in a folder; safe to use from several threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._documents = root / "documents"
        self._documents.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.staging = StagingFolder(root / "staging")
        self.replies = StagingFolder(root / "replies")
        self._lasting: Path | None = None  # the last hour whose folder this process has synced

    def put(self, staged: Staged) -> str:
        key = f"{datetime.now(UTC):%Y/%m/%d/%H}/{secrets.token_hex(16)}"
        target = self._documents / key
        _sync_file(staged.path)
        self._make_lasting(target.parent)
        os.rename(staged.path, target)
        try:
            _sync_folder(
                target.parent
            )  # the rename is a name in this folder: it lasts when the folder is on disk
        except OSError:
            self.remove(key)
            raise
        return key

    def _make_lasting(self, hour: Path) -> None:
        """See to it that the hour's folder, and every name on the way to it, is on disk.

        Once in each process: that another one has made the folder does not say that it has synced it yet.
        """
        if hour != self._lasting:
            hour.mkdir(parents=True, exist_ok=True, mode=0o700)
            for depth, folder in enumerate(hour.parents):
                _sync_folder(folder)
                if depth == _DEPTH:
                    break
            self._lasting = hour

    def has_room(self, size: int) -> bool:
        return self.staging.has_room(size)

    def open(self, key: str) -> BinaryIO:
        return open(self._documents / key, "rb")

    def size(self, key: str) -> int | None:
        try:
            return (self._documents / key).stat().st_size
        except FileNotFoundError:
            return None

    def remove(self, key: str) -> None:
        (self._documents / key).unlink(missing_ok=True)

    def keys(self, since: str, before: datetime) -> Iterator[str]:
        limit, last = before.timestamp(), f"{before:%Y/%m/%d/%H}"
        for folder in sorted(self._documents.glob("[0-9]*/[0-9]*/[0-9]*/[0-9]*")):
            hour = folder.relative_to(self._documents).as_posix()
            if since <= hour <= last:  # what was put later was written later
                for file in os.scandir(folder):
                    try:
                        found = file.stat()
                    except FileNotFoundError:  # removed meanwhile: not needed, or the registry refused it
                        continue
                    if found.st_mtime <= limit:
                        yield f"{hour}/{file.name}"

    def forgotten(self, before: datetime) -> Iterator[Staged]:
        return self.staging.older(before)

    def check(self) -> None:
        self.staging.create().discard()

    def try_out(self) -> None:
        self.staging.create().discard()


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
