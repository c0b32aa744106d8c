"""Document bytes: put, record, verify, read, sweep, and what happens to damaged or stray ones."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from xds.repository import files
from xds.repository.documents import DamagedDocument, NewDocument, OtherBytes, Repository
from xds.repository.files import FolderStore
from xds.repository.sweep import TooMany, sweep
from xds.store.database import Database
from xds.store.schema import maintenance, stored_document
from xds.transport.staged import Staged


class Shelf:
    """A repository with what a test wants to look at beneath it."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder}/xds.db")
        self.database.migrate()
        self.store = FolderStore(folder / "documents")
        self.repository = Repository("1.2.3", self.database, self.store)

    def stage(self, content: bytes) -> Staged:
        """Bytes as the transport leaves them."""
        writer = self.store.staging.create()
        writer.write(content)
        return writer.finish()

    def keep(self, unique_id: str, content: bytes) -> None:
        """Put and record one document."""
        put = self.repository.put([NewDocument(unique_id, "text/plain", self.stage(content))])
        with self.database.write() as connection:
            assert self.repository.record(connection, put) == []

    def files(self) -> list[Path]:
        """Every file of the store, staged or put."""
        return sorted(path for path in self.store.root.rglob("*") if path.is_file())


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.database.close()


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 1024 * 1024 + 1, 3_000_000])
def test_bytes_come_out_as_they_went_in(shelf: Shelf, size: int) -> None:
    """Whether they are held in memory or read in chunks."""
    content = os.urandom(size)
    shelf.keep("doc", content)
    (document,) = shelf.repository.find(["doc", "other"]).values()
    held = shelf.repository.verify(document)
    assert held is None or held == content
    assert b"".join(shelf.repository.read(document)) == content
    assert (document.size, document.mime_type) == (size, "text/plain")


def test_put_documents_are_invisible_until_they_are_recorded(shelf: Shelf) -> None:
    """Bytes first, row second."""
    shelf.repository.put([NewDocument("doc", "text/plain", shelf.stage(b"x"))])
    assert shelf.repository.find(["doc"]) == {}


def test_a_second_copy_of_a_document_is_handed_back(shelf: Shelf) -> None:
    """The first stays, and the caller is told which bytes nobody needs."""
    shelf.keep("doc", b"x")
    put = shelf.repository.put([NewDocument("doc", "text/plain", shelf.stage(b"x"))])
    with shelf.database.write() as connection:
        assert shelf.repository.record(connection, put) == [put[0].key]
    shelf.repository.remove([put[0].key])
    assert len(shelf.files()) == 1


def test_files_belong_to_the_node_alone(shelf: Shelf) -> None:
    """Nobody else on the machine may read them, and their names tell nothing."""
    shelf.keep("17855599120-epikrise", b"x")
    (file,) = shelf.files()
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0
    assert "17855599120" not in str(file)


@pytest.mark.parametrize("damage", [b"", b"y", b"xx"])
@pytest.mark.parametrize("size", [1, 2_000_000])
def test_damaged_bytes_are_never_handed_out(shelf: Shelf, damage: bytes, size: int) -> None:
    """Shorter, changed and longer bytes are all noticed."""
    shelf.keep("doc", b"x" * size)
    (file,) = shelf.files()
    file.write_bytes(damage + b"x" * (size - 1))
    (document,) = shelf.repository.find(["doc"]).values()
    with pytest.raises(DamagedDocument):
        shelf.repository.verify(document)


def test_missing_bytes_are_noticed(shelf: Shelf) -> None:
    """A row without its file is damage too."""
    shelf.keep("doc", b"x")
    shelf.files()[0].unlink()
    with pytest.raises(DamagedDocument):
        shelf.repository.verify(shelf.repository.find(["doc"])["doc"])


def test_a_store_says_whether_there_is_room(shelf: Shelf) -> None:
    """For nothing always, for an exbibyte never."""
    assert shelf.store.has_room(0)
    assert not shelf.store.has_room(2**60)


# -- sweep ---------------------------------------------------------------------------------------------------


def test_a_sweep_removes_what_was_never_registered_and_nothing_else(shelf: Shelf) -> None:
    """Staged files, put documents without a row; registered documents stay."""
    shelf.keep("doc", b"kept")
    shelf.stage(b"12345")
    shelf.repository.put([NewDocument("stray", "text/plain", shelf.stage(b"123"))])
    swept = sweep(shelf.database, shelf.store, grace=timedelta(0))
    assert (swept.staged, swept.unregistered, swept.bytes) == (1, 1, 8)
    assert shelf.repository.verify(shelf.repository.find(["doc"])["doc"]) == b"kept"
    assert len(shelf.files()) == 1


def test_a_sweep_spares_what_is_younger_than_the_grace_time(shelf: Shelf) -> None:
    """It may be on its way into the registry."""
    shelf.stage(b"x")
    shelf.repository.put([NewDocument("stray", "text/plain", shelf.stage(b"x"))])
    assert sweep(shelf.database, shelf.store, grace=timedelta(hours=1)).bytes == 0
    assert len(shelf.files()) == 2


def test_a_sweep_looks_only_at_the_hours_since_the_last(shelf: Shelf) -> None:
    """Unless it is asked to look at everything."""
    old = shelf.store.root / "documents/2020/01/01/00"
    old.mkdir(parents=True)
    (old / "ab").write_bytes(b"x")
    os.utime(old / "ab", (time.time() - 86400,) * 2)
    assert sweep(shelf.database, shelf.store, grace=timedelta(hours=1)).unregistered == 1
    with shelf.database.read() as connection:
        assert connection.execute(select(maintenance.c.value)).scalar_one() > "2020/01/01/00"
    (old / "cd").write_bytes(b"x")
    os.utime(old / "cd", (time.time() - 86400,) * 2)
    assert sweep(shelf.database, shelf.store, grace=timedelta(hours=1)).unregistered == 0
    assert sweep(shelf.database, shelf.store, grace=timedelta(hours=1), everything=True).unregistered == 1


def test_a_sweep_with_too_short_a_grace_time_loses_no_acknowledged_document(shelf: Shelf) -> None:
    """It takes bytes that were just put; then their registration is refused, not acknowledged."""
    put = shelf.repository.put([NewDocument("doc", "text/plain", shelf.stage(b"x"))])
    assert sweep(shelf.database, shelf.store, grace=timedelta(0)).unregistered == 1
    with pytest.raises(DamagedDocument), shelf.database.write() as connection:
        shelf.repository.record(connection, put)
    with shelf.database.read() as connection:
        assert connection.execute(select(stored_document)).all() == []


def test_many_strays_are_removed_in_batches(shelf: Shelf) -> None:
    """More than one statement can name; and only when it is meant, as the database may be the wrong one."""
    hour = shelf.store.root / "documents/2026/01/01/00"
    hour.mkdir(parents=True)
    for n in range(1203):
        (hour / f"{n:032x}").write_bytes(b"x")
    with pytest.raises(TooMany, match="1203 of 1203"):
        sweep(shelf.database, shelf.store, grace=timedelta(0))
    assert len(shelf.files()) == 1203
    swept = sweep(shelf.database, shelf.store, grace=timedelta(0), force=True)
    assert (swept.unregistered, swept.bytes) == (1203, 1203)
    assert shelf.files() == []


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


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_damaged_bytes_are_replaced_by_the_same_document_sent_again(shelf: Shelf, damage: str) -> None:
    """Who hears Success can have the document: the good copy is not the one that is thrown away."""
    shelf.keep("doc", b"good")
    (file,) = shelf.files()
    file.unlink() if damage == "missing" else file.write_bytes(b"evil")
    again = NewDocument("doc", "text/plain", shelf.stage(b"good"))
    damaged = shelf.repository.damaged([again])
    assert damaged == {"doc"}
    put = shelf.repository.put([again])
    with shelf.database.write() as connection:
        unneeded = shelf.repository.record(connection, put, damaged)
    assert put[0].key not in unneeded
    shelf.repository.remove(unneeded)
    assert shelf.repository.verify(shelf.repository.find(["doc"])["doc"]) == b"good"
    assert len(shelf.files()) == 1


def test_the_same_hash_over_other_bytes_is_not_the_same_document(shelf: Shelf) -> None:
    """SHA-1 can be made to collide; SHA-256 decides."""
    shelf.keep("doc", b"one")
    put = shelf.repository.put([NewDocument("doc", "text/plain", shelf.stage(b"two"))])
    with pytest.raises(OtherBytes), shelf.database.write() as connection:
        shelf.repository.record(connection, put)
