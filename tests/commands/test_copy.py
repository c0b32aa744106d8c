"""`xds copy` between engines: rows, documents, broken off and gone on with, damaged, refused."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from tests.conftest import PARTITIONED, new_database
from tests.metadata import samples
from xds.commands import copy as copying
from xds.commands.copy import Side, compare, copy
from xds.errors import XdsError
from xds.metadata.entries import registry_object
from xds.metadata.model import Submission
from xds.registry.registry import Options, Registry
from xds.registry.search import Search
from xds.registry.view import EVERYTHING
from xds.repository.documents import NewDocument, Repository
from xds.repository.files import FolderStore
from xds.store import schema
from xds.store.database import Database
from xds.store.schema import maintenance, outgoing_reply, stored_document

REPOSITORY = "2.16.578.1.12.4.5.100.1.1.2"
DOCUMENTS = 250


def quiet(line: str) -> None:
    """Tell nobody."""


def side(folder: Path, engine: str) -> Side:
    """An empty registry of an engine, with a folder of documents."""
    folder.mkdir()
    url = new_database(engine) if engine != "sqlite" else f"sqlite:///{folder / 'xds.db'}"
    database = Database(url)
    database.migrate()
    return Side(database, FolderStore(folder / "documents"))


def fill(one: Side, documents: int = DOCUMENTS, seed: int = 1) -> dict[str, bytes]:
    """Entries and documents of a few patients; uniqueId -> bytes."""
    chance = random.Random(seed)
    registry = Registry(one.database, Options(patients="open"))
    repository = Repository(REPOSITORY, one.database, one.documents)
    contents = {}
    for number in range(0, documents, 5):
        pid = f"{number % 7}^^^&1.2.3&ISO"
        the_set = samples.submission_set(unique_id=f"1.2.{seed}.{number}", patient_id=pid)
        entries, links = [], []
        for place in range(5):
            data = chance.randbytes(chance.randrange(4_000))
            writer = one.documents.staging.create()
            writer.write(data)
            staged = writer.finish()
            unique_id = f"1.3.{seed}.{number}.{place}"
            contents[unique_id] = data
            entry = samples.rich_document_entry(
                entry_uuid=f"D{place}",
                unique_id=unique_id,
                patient_id=pid,
                hash=staged.sha1,
                size=staged.size,
                repository_unique_id=REPOSITORY,
            )
            entries.append((entry, NewDocument(unique_id, entry.mime_type, staged)))
            links.append(samples.member(the_set.entry_uuid, entry.entry_uuid, "Original"))
        prepared = registry.prepare(
            Submission(
                with_received(the_set),
                tuple(with_received(entry) for entry, _ in entries),
                (),
                tuple(map(with_received, links)),
            )
        )
        put = repository.put([new for _, new in entries])
        with one.database.write() as connection:
            registry.register(connection, prepared, EVERYTHING)
            repository.record(connection, put, {})
    return contents


def with_received(entry: Any) -> Any:
    """As if it had been read from a message."""
    return replace(entry, received=registry_object(entry))


@pytest.fixture(params=["sqlite-postgresql", "postgresql-sqlite", "sqlite-sqlite"])
def sides(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Side, Side, dict[str, bytes]]]:
    """A filled source, an empty target, and what the documents are."""
    engines = request.param.split("-")
    source, target = (side(tmp_path / f"{n}", engine) for n, engine in enumerate(engines))
    yield source, target, fill(source)
    source.database.close()
    target.database.close()


def equal(source: Side, target: Side, contents: dict[str, bytes]) -> None:
    """Every table row for row, every document byte for byte, and what a reader finds."""
    assert compare(source, target, tell=quiet) == []
    for table in (*copying._LASTING, *copying._PASSING):
        rows = []
        for one in (source, target):
            with one.database.read() as connection:
                found = connection.execute(select(table).order_by(*table.primary_key.columns))
                rows.append(
                    [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in found]
                )
        assert rows[0] == rows[1], table.name
    repository = Repository(REPOSITORY, target.database, target.documents)
    stored = repository.find(list(contents))
    assert {name: b"".join(repository.read(each)) for name, each in stored.items()} == contents
    for number in range(7):
        search = Search(schema.KIND_DOCUMENT_ENTRY, f"{number}^^^&1.2.3&ISO", size=1000)
        pages = [
            Registry(one.database, Options(patients="open")).search(search, EVERYTHING)
            for one in (source, target)
        ]
        ours, theirs = (b"".join(p for some in page.elements for p in some) for page in pages)
        assert ours == theirs


def test_a_copy_is_equal_row_by_row_and_byte_by_byte(sides: tuple[Side, Side, dict[str, bytes]]) -> None:
    """And a second one copies nothing; what is new afterwards is registered in the target as ever."""
    source, target, contents = sides
    done = copy(source, target, tell=quiet)
    assert (done.documents, done.bytes) == (DOCUMENTS, sum(map(len, contents.values())))
    equal(source, target, contents)
    again = copy(source, target, tell=quiet)
    assert again.documents == 0
    assert not list(target.documents.staging.path.iterdir())
    # Numbers that the engine gives itself go on behind those that came.
    more = fill(target, 10, seed=2)
    assert len(Repository(REPOSITORY, target.database, target.documents).find(list(more))) == 10


def test_a_copy_into_partitions_is_equal_and_claims_entry_uuids(tmp_path: Path) -> None:
    """There is no other way from a whole database to a divided one; and there is one back."""
    whole, divided, back = (side(tmp_path / each, each) for each in ("sqlite", PARTITIONED, "postgresql"))
    contents = fill(whole, 30)
    for source, target in ((whole, divided), (divided, back)):
        copy(source, target, tell=quiet)
        equal(source, target, contents)
    claimed = []
    for one in (divided, back):
        with one.database.read() as connection:
            claimed.append(set(connection.execute(select(schema.entry_claim.c.entry_uuid)).scalars()))
    with whole.database.read() as connection:
        objects = {
            own
            for table in (schema.document_entry, schema.submission_set, schema.folder, schema.association)
            for own in connection.execute(select(table.c.entry_uuid)).scalars()
        }
    assert claimed == [objects, set()]
    for one in (whole, divided, back):
        one.database.close()


class Killed(BaseException):
    """As a process that is killed: no `except Exception` stops it."""


@pytest.mark.parametrize("after", [1, 3, 4, 7, 11, 14])
def test_a_copy_that_is_killed_goes_on(
    sides: tuple[Side, Side, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """At any commit: what is committed counts, the rest is done again, nothing twice."""
    monkeypatch.setattr(copying, "_ROWS", 60)
    monkeypatch.setattr(copying, "_DOCUMENTS", 40)
    source, target, contents = sides
    left = [after]
    transact = target.database.transact

    def killed(work: Callable[..., Any]) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return transact(work)

    with monkeypatch.context() as patch:
        patch.setattr(target.database, "transact", killed)
        with pytest.raises(Killed):
            copy(source, target, tell=quiet)
    copy(source, target, tell=quiet)
    equal(source, target, contents)


def test_a_damaged_document_stops_the_copy_or_is_left_out(
    sides: tuple[Side, Side, dict[str, bytes]],
) -> None:
    """Told by its key; nothing of its batch is there before that is decided."""
    source, target, _ = sides
    with source.database.read() as connection:
        rows = connection.execute(select(stored_document).order_by(stored_document.c.doc_uid)).all()
    gone, changed = rows[3], rows[120]
    source.documents.remove(gone.blob_key)
    path = source.documents.root / "documents" / changed.blob_key
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(XdsError, match=gone.blob_key):
        copy(source, target, tell=quiet)
    with target.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(stored_document)).scalar() == 0
    done = copy(source, target, tell=quiet, skip_damaged=True)
    assert done.damaged == [gone.blob_key, changed.blob_key]
    assert done.documents == DOCUMENTS - 2
    assert compare(source, target, tell=quiet) == [
        f"stored_document: {DOCUMENTS} rows in the source, {DOCUMENTS - 2} in the target"
    ]


def test_what_is_not_equal_is_told(sides: tuple[Side, Side, dict[str, bytes]]) -> None:
    """A row too few, another hash, changed and missing bytes."""
    source, target, _ = sides
    copy(source, target, tell=quiet)
    with target.database.read() as connection:
        first, second, *_ = connection.execute(select(stored_document)).all()
    target.documents.remove(first.blob_key)
    path = target.documents.root / "documents" / second.blob_key
    path.write_bytes(b"other")
    found = compare(source, target, tell=quiet)
    wanted = [
        f"document {each.blob_key}: the target's bytes are missing or others" for each in (first, second)
    ]
    assert sorted(found) == sorted(wanted)
    target.database.transact(
        lambda connection: connection.execute(
            update(stored_document).where(stored_document.c.doc_uid == first.doc_uid).values(sha256=bytes(32))
        )
    )
    assert any("another hash" in each for each in compare(source, target, tell=quiet, read_back=False))


def test_a_target_with_data_of_its_own_is_refused(tmp_path: Path) -> None:
    """And one that was begun with another source."""
    one, two, other = (side(tmp_path / name, "sqlite") for name in ("one", "two", "other"))
    fill(one, 5)
    fill(other, 5, seed=3)
    with pytest.raises(XdsError, match="data of its own"):
        copy(one, other, tell=quiet)
    copy(one, two, tell=quiet)
    with pytest.raises(XdsError, match="another source"):
        copy(other, two, tell=quiet)


def test_what_is_under_way_between_communities_must_end_first(tmp_path: Path) -> None:
    """Its files are the node's, and would be lost."""
    one, two = (side(tmp_path / name, "sqlite") for name in ("one", "two"))
    row = dict.fromkeys(("node", "url", "content_type", "action", "reference"), "x")
    numbers = dict.fromkeys(("size", "made_at", "until", "due", "attempts"), 1)
    one.database.transact(
        lambda connection: connection.execute(insert(outgoing_reply), {"file": "f", **row, **numbers})
    )
    with pytest.raises(XdsError, match="1 messages between communities"):
        copy(one, two, tell=quiet)


def test_notes_of_the_source_are_kept_and_its_sweep_is_not(tmp_path: Path) -> None:
    """The key of the cursors goes along, so links to next pages stay good."""
    one, two = (side(tmp_path / name, "sqlite") for name in ("one", "two"))
    notes = [{"name": "fhir cursor key", "value": "00"}, {"name": "sweep: hours before", "value": "x"}]
    one.database.transact(lambda connection: connection.execute(insert(maintenance), notes))
    copy(one, two, tell=quiet)
    with two.database.read() as connection:
        found = dict(connection.execute(select(maintenance.c.name, maintenance.c.value)).all())
    assert found["fhir cursor key"] == "00"
    assert "sweep: hours before" not in found
    shutil.rmtree(tmp_path / "one")
    assert os.path.exists(tmp_path / "two")
