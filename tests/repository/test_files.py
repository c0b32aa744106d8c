"""What only a folder must do: files of the node's own, on disk for good, that others may remove."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.repository.stores import Shelf, folder_store
from xds.repository import files
from xds.repository.documents import NewDocument
from xds.repository.files import FolderStore
from xds.repository.sweep import sweep


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """A repository in a folder."""
    shelf = Shelf(tmp_path, *folder_store(tmp_path))
    yield shelf
    shelf.database.close()


def test_files_belong_to_the_node_alone(shelf: Shelf) -> None:
    """Nobody else on the machine may read them, and their names tell nothing."""
    shelf.keep("17855599120-epikrise", b"x")
    (file,) = (path for path in shelf.store.root.rglob("*") if path.is_file())
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0
    assert "17855599120" not in str(file)


def test_a_sweep_goes_on_when_a_file_disappears_under_its_eyes(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeat's bytes are removed by their own request at any time."""
    for _ in range(2):
        shelf.repository.put([NewDocument("stray", "text/plain", shelf.stage(b"x"))])
    scandir = os.scandir

    def vanish(folder: str | Path) -> Iterable[os.DirEntry[str]]:
        found = scandir(folder)
        if not re.search(r"/\d{4}/\d\d/\d\d/\d\d$", str(folder)):  # not an hour's folder
            return found
        files = list(found)
        os.unlink(files[0].path)
        return files

    monkeypatch.setattr(os, "scandir", vanish)
    assert sweep(shelf.database, shelf.store, grace=timedelta(0)).unregistered == 1


def test_each_process_makes_sure_itself_that_folders_last(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That another one made them does not say that it has synced them; once is enough for an hour."""
    shelf.keep("doc", b"x")
    synced: list[Path] = []
    sync = files._sync_folder
    monkeypatch.setattr(files, "_sync_folder", lambda path: (synced.append(path), sync(path)))
    second = FolderStore(shelf.store.root)
    key = second.put(shelf.stage(b"y"))
    hour = second.root / "documents" / key.rpartition("/")[0]
    assert set(synced) >= {hour, *list(hour.parents)[:6]}
    synced.clear()
    if second.put(shelf.stage(b"z")).startswith(key.rpartition("/")[0]):
        assert synced == [hour]
