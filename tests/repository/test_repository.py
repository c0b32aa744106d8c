"""Document bytes in every store: put, record, verify, read, sweep; and what is damaged or stray."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from tests.repository.stores import Shelf
from xds.repository.documents import DamagedDocument, NewDocument, OtherBytes
from xds.repository.s3 import PART
from xds.repository.sweep import TooMany, sweep
from xds.store.schema import maintenance, stored_document


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 1024 * 1024 + 1, 3_000_000, PART, PART + 1, 2 * PART])
def test_bytes_come_out_as_they_went_in(shelf: Shelf, size: int) -> None:
    """Whether they are held in memory or read in chunks."""
    content = os.urandom(size)
    shelf.keep("doc", content)
    (document,) = shelf.repository.find(["doc", "other"]).values()
    held = shelf.repository.verify(document)
    assert held is None or held == content
    assert b"".join(shelf.repository.read(document)) == content
    assert (document.size, document.mime_type) == (size, "text/plain")


def test_keys_are_of_the_hour_and_tell_nothing(shelf: Shelf) -> None:
    """Nobody who sees a key knows whose document it is; the staged file is gone."""
    shelf.keep("17855599120-epikrise", b"x")
    (key,) = shelf.beneath.keys()
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\d\d/[0-9a-f]{32}", key)
    assert abs(datetime.strptime(key[:13] + "+0000", "%Y/%m/%d/%H%z") - datetime.now(UTC)) < timedelta(
        hours=2
    )
    assert shelf.staged() == []


def test_what_is_not_there_is_said_in_the_same_way(shelf: Shelf) -> None:
    """No size, FileNotFoundError, and nothing to remove."""
    assert shelf.store.size("2026/01/01/00/none") is None
    with pytest.raises(FileNotFoundError):
        shelf.store.open("2026/01/01/00/none")
    shelf.store.remove("2026/01/01/00/none")
    assert list(shelf.store.keys("", datetime.now(UTC))) == []


def test_keys_are_listed_from_an_hour_up_to_a_moment(shelf: Shelf) -> None:
    """What was put before the hour, or written after the moment, is not told."""
    told = ["2024/12/31/23/aa", "2025/01/01/00/bb", "2025/01/01/07/cc", "2025/11/01/00/dd"]
    for key in told:
        shelf.beneath.plant(key, b"x")
    soon = datetime.now(UTC) + timedelta(seconds=2)
    assert sorted(shelf.store.keys("", soon)) == told
    assert sorted(shelf.store.keys("2025/01/01/00", soon)) == told[1:]
    assert sorted(shelf.store.keys("2025/01/01/08", soon)) == told[3:]
    assert sorted(shelf.store.keys("", datetime(2025, 1, 1, 6, tzinfo=UTC))) == []


def test_a_store_can_be_tried_out(shelf: Shelf) -> None:
    """It answers, takes something, and keeps nothing of it."""
    shelf.store.check()
    shelf.store.try_out()
    assert (shelf.beneath.keys(), shelf.staged()) == ([], [])


def test_many_read_and_write_at_a_time(shelf: Shelf) -> None:
    """Threads share a store."""
    staged = [shelf.stage(bytes([n]) * 50_000) for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(shelf.store.put, staged))

        def read(key: str) -> bytes:
            with shelf.store.open(key) as file:
                return file.read()

        assert [found[:1] for found in pool.map(read, keys)] == [bytes([n]) for n in range(16)]


def test_a_document_that_changes_after_it_was_verified_is_not_told_whole(shelf: Shelf) -> None:
    """It is read a second time: its last piece is held back until all of it is known to be the same."""
    content = os.urandom(3_000_000)
    shelf.keep("doc", content)
    (document,) = shelf.repository.find(["doc"]).values()
    assert shelf.repository.verify(document) is None
    for other in (content[:-1], content + b"x", content[:-1] + bytes([content[-1] ^ 1]), b""):
        shelf.beneath.plant(document.key, other)
        got: list[bytes] = []
        with pytest.raises(DamagedDocument):
            got.extend(shelf.repository.read(document))
        assert len(b"".join(got)) < len(content)


def test_bytes_that_change_in_staging_are_not_put(shelf: Shelf) -> None:
    """What becomes a document is what was hashed when it came in, or it is damaged."""
    staged = shelf.stage(b"x" * 100)
    staged.path.write_bytes(b"x" * 99 + b"y")
    try:
        (put,) = shelf.repository.put([NewDocument("doc", "text/plain", staged)])
    except OSError:
        assert shelf.beneath.keys() == []
        return
    with shelf.database.write() as connection:
        shelf.repository.record(connection, [put])
    with pytest.raises(DamagedDocument):
        shelf.repository.verify(shelf.repository.find(["doc"])["doc"])


def test_a_staged_file_that_is_gone_is_not_put(shelf: Shelf) -> None:
    """And nothing of its submission stays."""
    staged = [shelf.stage(b"1"), shelf.stage(b"2")]
    staged[1].discard()
    with pytest.raises(DamagedDocument):
        shelf.repository.put([NewDocument(str(n), "text/plain", each) for n, each in enumerate(staged)])
    assert shelf.beneath.keys() == []


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
    assert len(shelf.beneath.keys()) == 1
    assert shelf.staged() == []


@pytest.mark.parametrize("damage", [b"", b"y", b"xx"])
@pytest.mark.parametrize("size", [1, 2_000_000])
def test_damaged_bytes_are_never_handed_out(shelf: Shelf, damage: bytes, size: int) -> None:
    """Shorter, changed and longer bytes are all noticed."""
    shelf.keep("doc", b"x" * size)
    (key,) = shelf.beneath.keys()
    shelf.beneath.plant(key, damage + b"x" * (size - 1))
    (document,) = shelf.repository.find(["doc"]).values()
    with pytest.raises(DamagedDocument):
        shelf.repository.verify(document)


def test_missing_bytes_are_noticed(shelf: Shelf) -> None:
    """A row without its file is damage too."""
    shelf.keep("doc", b"x")
    shelf.beneath.delete(*shelf.beneath.keys())
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
    assert (len(shelf.beneath.keys()), shelf.staged()) == (1, [])


def test_a_sweep_spares_what_is_younger_than_the_grace_time(shelf: Shelf) -> None:
    """It may be on its way into the registry."""
    shelf.stage(b"x")
    shelf.repository.put([NewDocument("stray", "text/plain", shelf.stage(b"x"))])
    assert sweep(shelf.database, shelf.store, grace=timedelta(hours=1)).bytes == 0
    assert (len(shelf.beneath.keys()), len(shelf.staged())) == (1, 1)


def test_a_sweep_looks_only_at_the_hours_since_the_last(shelf: Shelf) -> None:
    """Unless it is asked to look at everything."""
    shelf.beneath.plant("2020/01/01/00/ab", b"x")
    assert sweep(shelf.database, shelf.store, grace=timedelta(0)).unregistered == 1
    with shelf.database.read() as connection:
        assert connection.execute(select(maintenance.c.value)).scalar_one() > "2020/01/01/00"
    shelf.beneath.plant("2020/01/01/00/cd", b"x")
    assert sweep(shelf.database, shelf.store, grace=timedelta(0)).unregistered == 0
    assert sweep(shelf.database, shelf.store, grace=timedelta(0), everything=True).unregistered == 1


def test_a_sweep_whose_clock_was_ahead_hides_no_hour_from_the_next(shelf: Shelf) -> None:
    """What is put after the clock was put right is looked at, though the mark was of an hour to come."""
    assert sweep(shelf.database, shelf.store, grace=timedelta(days=-400)).unregistered == 0
    hour = datetime.now(UTC) - timedelta(hours=1)
    shelf.beneath.plant(f"{hour:%Y/%m/%d/%H}/ab", b"x")
    assert sweep(shelf.database, shelf.store, grace=timedelta(0)).unregistered == 1


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
    for n in range(203):
        shelf.beneath.plant(f"2026/01/01/00/{n:032x}", b"x")
    with pytest.raises(TooMany, match="203 of 203"):
        sweep(shelf.database, shelf.store, grace=timedelta(0))
    assert len(shelf.beneath.keys()) == 203
    swept = sweep(shelf.database, shelf.store, grace=timedelta(0), force=True)
    assert (swept.unregistered, swept.bytes) == (203, 203)
    assert shelf.beneath.keys() == []


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_damaged_bytes_are_replaced_by_the_same_document_sent_again(shelf: Shelf, damage: str) -> None:
    """Who hears Success can have the document: the good copy is not the one that is thrown away."""
    shelf.keep("doc", b"good")
    (key,) = shelf.beneath.keys()
    shelf.beneath.delete(key) if damage == "missing" else shelf.beneath.plant(key, b"evil")
    again = NewDocument("doc", "text/plain", shelf.stage(b"good"))
    damaged = shelf.repository.damaged([again])
    assert damaged == {"doc"}
    put = shelf.repository.put([again])
    with shelf.database.write() as connection:
        unneeded = shelf.repository.record(connection, put, damaged)
    assert put[0].key not in unneeded
    shelf.repository.remove(unneeded)
    assert shelf.repository.verify(shelf.repository.find(["doc"])["doc"]) == b"good"
    assert len(shelf.beneath.keys()) == 1


def test_the_same_hash_over_other_bytes_is_not_the_same_document(shelf: Shelf) -> None:
    """SHA-1 can be made to collide; SHA-256 decides."""
    shelf.keep("doc", b"one")
    put = shelf.repository.put([NewDocument("doc", "text/plain", shelf.stage(b"two"))])
    with pytest.raises(OtherBytes), shelf.database.write() as connection:
        shelf.repository.record(connection, put)
