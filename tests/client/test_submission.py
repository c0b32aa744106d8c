"""What `build` makes of documents, before anything is sent."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest

from tests.client.documents import LETTER, NOTE, SOURCE_ID, document
from xds.client import Author, ClientError, build, new_oid
from xds.metadata import names, validation
from xds.metadata.entries import registry_object

PATIENT = "17855599120^^^&2.16.578.1.12.4.1.4.1&ISO"


def test_an_oid_is_a_random_uuid_as_a_number_under_2_25():
    """ITU-T X.667: 2.25 and the UUID as one decimal number, here of version 4."""
    oid = new_oid()
    arc = oid.removeprefix("2.25.")
    assert UUID(int=int(arc)).version == 4
    assert len(oid) <= 64
    assert oid != new_oid()


def test_hash_and_size_are_those_of_the_bytes(tmp_path: Path):
    """SHA-1 of "abc" is known from FIPS 180; a file and the same bytes give the same entry."""
    file = tmp_path / "abc.txt"
    file.write_bytes(b"abc")
    prepared = build([document(b"abc"), document(file)], patient_id=PATIENT, source_id=SOURCE_ID)
    for entry, content in zip(prepared.document_entries, prepared.contents, strict=True):
        assert entry.hash == "a9993e364706816aba3e25717850c26c9cd0d89d"
        assert entry.size == 3
        assert b"".join(content.chunks()) == b"abc"


def test_an_empty_document_is_a_document(tmp_path: Path):
    """No bytes at all: the SHA-1 of nothing, size 0."""
    file = tmp_path / "empty.txt"
    file.touch()
    prepared = build([document(file), document(b"")], patient_id=PATIENT, source_id=SOURCE_ID)
    assert {entry.hash for entry in prepared.document_entries} == {"da39a3ee5e6b4b0d3255bfef95601890afd80709"}
    assert [entry.size for entry in prepared.document_entries] == [0, 0]


def test_times_are_written_in_utc():
    """An aware time is converted; a text of any precision is taken as it is."""
    oslo = timezone(timedelta(hours=2))
    prepared = build(
        [document(creation_time=datetime(2026, 7, 1, 1, 30, tzinfo=oslo), service_start_time="202606")],
        patient_id=PATIENT,
        source_id=SOURCE_ID,
    )
    assert prepared.document_entries[0].creation_time == "20260630233000"
    assert prepared.document_entries[0].service_start_time == "202606"


def test_a_time_without_zone_is_refused():
    """Taking it for UTC or for local time would be a guess."""
    naive = datetime.now(UTC).replace(tzinfo=None)
    with pytest.raises(ClientError, match="has no zone"):
        build([document(creation_time=naive)], patient_id=PATIENT, source_id=SOURCE_ID)


def test_every_object_has_a_uuid_of_its_own_and_belongs_to_the_set():
    """Set, entries and associations are named by UUIDs; each entry is an Original member of the set."""
    prepared = build([document(), document()], patient_id=PATIENT, source_id=SOURCE_ID)
    ids = [prepared.submission_set.entry_uuid]
    ids += [each.entry_uuid for each in (*prepared.document_entries, *prepared.associations)]
    assert len(set(ids)) == 5
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", each) for each in ids)
    assert [(a.type, a.source, a.target, a.submission_set_status) for a in prepared.associations] == [
        (names.HAS_MEMBER, ids[0], ids[1], "Original"),
        (names.HAS_MEMBER, ids[0], ids[2], "Original"),
    ]


def test_a_replacement_points_from_the_new_document_to_the_old():
    """ITI TF-3 4.2.2.2.1: RPLC, source the new entry, target the old one."""
    old = "urn:uuid:11111111-2222-4333-8444-555555555555"
    prepared = build([document(replaces=old)], patient_id=PATIENT, source_id=SOURCE_ID)
    link = prepared.associations[-1]
    assert (link.type, link.source, link.target) == (names.RPLC, prepared.document_entries[0].entry_uuid, old)


def test_the_set_takes_type_and_authors_of_the_first_document():
    """They can be given instead."""
    author = Author("^Fjell^Tuva")
    first, second = document(authors=(author,)), document(type_code=NOTE)
    derived = build([first, second], patient_id=PATIENT, source_id=SOURCE_ID).submission_set
    assert (derived.content_type_code, derived.authors) == (LETTER, (author,))
    given = build([first], patient_id=PATIENT, source_id=SOURCE_ID, content_type_code=NOTE).submission_set
    assert given.content_type_code == NOTE


def test_what_is_built_is_valid_metadata():
    """The node's own gate finds nothing to say against it."""
    prepared = build(
        [document(authors=(Author("^Fjell^Tuva", ("Eksempelsykehuset",)),), comments="Prøve")],
        patient_id=PATIENT,
        source_id=SOURCE_ID,
        title="Innsending",
    )
    objects = (prepared.submission_set, *prepared.document_entries, *prepared.associations)
    assert validation.check(tuple(map(registry_object, objects)), transaction="ITI-41") == ()


def test_nothing_to_submit_is_an_error():
    """An empty set would be a message without a meaning."""
    with pytest.raises(ClientError, match="at least one document"):
        build([], patient_id=PATIENT, source_id=SOURCE_ID)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    """The sentence names the file and the reason."""
    with pytest.raises(ClientError, match=r"gone\.pdf cannot be read: No such file"):
        build([document(tmp_path / "gone.pdf")], patient_id=PATIENT, source_id=SOURCE_ID)


@pytest.mark.parametrize("later", [b"longer than before", b"x"])
def test_a_file_that_changes_its_size_while_it_is_sent_stops_the_sending(tmp_path: Path, later: bytes):
    """Bytes that do not fit the metadata must not go out as if they did."""
    file = tmp_path / "note.txt"
    file.write_bytes(b"before")
    (content,) = build([document(file)], patient_id=PATIENT, source_id=SOURCE_ID).contents
    file.write_bytes(later)
    with pytest.raises(ClientError, match=r"note\.txt changed"):
        list(content.chunks())
