"""Document bytes in a folder on a local disk.

`documents/YYYY/MM/DD/HH/<random>` for what is published, `staging/` for what is arriving; both in one file
system, so that publishing is a rename. A key never says whose document it is. Published files never change.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from xds.transport.staged import Staged, StagingFolder


class FolderStore:
    """A DocumentStore in a folder; safe to use from several threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._documents = root / "documents"
        self._documents.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.staging = StagingFolder(root / "staging")

    def put(self, staged: Staged) -> str:
        key = f"{datetime.now(UTC):%Y/%m/%d/%H}/{secrets.token_hex(16)}"
        target = self._documents / key
        _sync_file(staged.path)
        made = _make_folders(target.parent, self._documents)
        os.rename(staged.path, target)
        try:
            # The rename and each new folder are names in a folder: they last when that folder is on disk.
            for folder in (target.parent, *made):
                _sync_folder(folder)
        except OSError:
            self.remove(key)
            raise
        return key

    def has_room(self, size: int) -> bool:
        return shutil.disk_usage(self.root).free >= size

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
        limit = before.timestamp()
        for folder in sorted(self._documents.glob("[0-9]*/[0-9]*/[0-9]*/[0-9]*")):
            hour = folder.relative_to(self._documents).as_posix()
            if hour >= since:
                for file in os.scandir(folder):
                    if file.stat().st_mtime <= limit:
                        yield f"{hour}/{file.name}"

    def forgotten(self, before: datetime) -> Iterator[Staged]:
        limit = before.timestamp()
        for file in os.scandir(self.staging.path):
            try:
                found = file.stat()
            except FileNotFoundError:  # its request ended meanwhile
                continue
            if found.st_mtime <= limit:
                yield Staged(Path(file.path), found.st_size, "", "")


def _make_folders(folder: Path, root: Path) -> list[Path]:
    """Create `folder` below `root`; returns the parents that gained a name."""
    changed = []
    missing = []
    while folder != root and not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True, mode=0o700)  # another worker may have made it in between
        changed.append(each.parent)
    return changed


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
