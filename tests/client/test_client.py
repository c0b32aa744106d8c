"""The client against a real node."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from tests.client.documents import LETTER, NOTE, SOURCE_ID, document, new_patient
from tests.nodes import REPOSITORY_ID, Node
from xds.cli import main
from xds.client import (
    Author,
    Client,
    ClientError,
    Code,
    DocumentAddress,
    IncompleteFetch,
    build,
)
from xds.client.client import ANY_STATUS
from xds.metadata import names


@pytest.fixture
def client(node: Node) -> Iterator[Client]:
    """A client of the session's node."""
    with Client(node.url) as client:
        yield client


def test_what_was_submitted_is_found_and_fetched(client: Client, tmp_path: Path):
    """Metadata and bytes come back as they were sent; status and repository are the node's."""
    patient = new_patient()
    file = tmp_path / "letter.txt"
    file.write_text("Blåbær på øya")
    author = Author("^Fjell^Tuva", ("Eksempelsykehuset",))
    prepared = build(
        [document(file, title="Epikrise & «mer»", authors=(author,))], patient_id=patient, source_id=SOURCE_ID
    )
    receipt = client.send(prepared)
    (entry,) = client.find(patient)
    (sent,) = prepared.document_entries
    assert receipt.entry_uuids == (entry.entry_uuid,) == (sent.entry_uuid,)
    assert receipt.unique_ids == (entry.unique_id,)
    assert receipt.submission_set_unique_id == prepared.submission_set.unique_id
    assert entry == replace(
        sent,
        availability_status=names.APPROVED,
        repository_unique_id=REPOSITORY_ID,
        logical_id=sent.entry_uuid,
        version=1,
    )
    (fetched,) = client.fetch([entry], tmp_path / "new" / "folder")
    assert fetched.path.parent == tmp_path / "new" / "folder"
    assert fetched.path.name == f"{entry.unique_id}.txt"
    assert fetched.path.read_bytes() == file.read_bytes()
    assert (fetched.mime_type, fetched.size, fetched.sha1) == ("text/plain", entry.size, entry.hash)
    assert list(fetched.path.parent.iterdir()) == [fetched.path]


def test_a_repeat_of_the_same_submission_registers_nothing_new(client: Client):
    """What a sender does after a time-out: the answer is the first one, and there is one document."""
    patient = new_patient()
    prepared = build([document()], patient_id=patient, source_id=SOURCE_ID)
    assert client.send(prepared) == client.send(prepared)
    assert len(client.find(patient)) == 1


def test_a_submission_built_again_is_another_one(client: Client):
    """The ids are made by `build`, so two builds of the same file are two documents."""
    patient = new_patient()
    for _ in range(2):
        client.send(build([document()], patient_id=patient, source_id=SOURCE_ID))
    assert len(client.find(patient)) == 2


def test_a_replaced_document_is_deprecated(client: Client):
    """It is found with its status only when one asks for it (ITI TF-3 4.2.2.2.3)."""
    patient = new_patient()
    old = client.send(build([document()], patient_id=patient, source_id=SOURCE_ID)).entry_uuids[0]
    new = client.send(
        build([document(b"Helt frisk.", replaces=old)], patient_id=patient, source_id=SOURCE_ID)
    ).entry_uuids[0]
    assert [entry.entry_uuid for entry in client.find(patient)] == [new]
    statuses = {e.entry_uuid: e.availability_status for e in client.find(patient, status=ANY_STATUS)}
    assert statuses == {old: names.DEPRECATED, new: names.APPROVED}


FILTERS = [
    ({}, "ab"),
    ({"type_code": [NOTE]}, "b"),
    ({"type_code": [NOTE, LETTER]}, "ab"),
    ({"class_code": [Code("A00-1", LETTER.scheme)]}, "a"),
    ({"class_code": [Code("A00-1", LETTER.scheme), Code("B00-1", NOTE.scheme)]}, "ab"),
    ({"class_code": [Code("A00-1", "1.2.3")]}, ""),
    ({"created_from": "2026"}, "b"),
    ({"created_to": "2026"}, "a"),
    ({"created_from": datetime(2026, 3, 11, tzinfo=UTC), "created_to": "20260312"}, "b"),
    ({"service_start_from": "20250105", "created_to": "2026"}, "a"),
    ({"service_start_to": "20250105", "created_to": "2026"}, ""),
    ({"service_stop_from": "2025", "service_stop_to": "2027"}, "ab"),
    ({"confidentiality_code": [Code("N", "2.16.840.1.113883.5.25")]}, "ab"),
    ({"format_code": [Code("x", "1.2")]}, ""),
    ({"practice_setting_code": [Code("S03", "2.16.578.1.12.4.1.1.8655")]}, "ab"),
    ({"healthcare_facility_type_code": [Code("86.101", "2.16.578.1.12.4.1.1.1303")]}, "ab"),
    ({"event_code": [Code("x", "1.2")]}, ""),
    ({"author_person": ["%O'Fjell%"]}, "a"),
    ({"status": [names.DEPRECATED]}, ""),
]


@pytest.mark.parametrize("filters", FILTERS, ids=lambda each: "-".join(each[0]) or "none")
def test_each_filter_finds_what_passes_it(client: Client, filters: tuple[dict, str], two: str):
    """Document a: a letter of 2025; document b: a note of 11 March 2026, without service times."""
    given, expected = filters
    assert "".join(sorted(entry.title or "" for entry in client.find(two, **given))) == expected


@pytest.fixture(scope="module")
def two(node: Node) -> str:
    """A patient with the documents a and b."""
    patient = new_patient()
    letter = document(
        title="a",
        creation_time="20250110120000",
        service_start_time="20250105",
        service_stop_time="20250109",
        authors=(Author("^O'Fjell^Tuva"),),
    )
    note = document(b"Notat", title="b", type_code=NOTE, creation_time="20260311094500")
    with Client(node.url) as client:
        client.send(build([letter, note], patient_id=patient, source_id=SOURCE_ID))
    return patient


def test_documents_are_got_by_either_id(client: Client):
    """entryUUIDs, in upper case too, and uniqueIds, mixed; an unknown one is not an error."""
    receipt = client.send(build([document(), document()], patient_id=new_patient(), source_id=SOURCE_ID))
    got = client.get_documents(
        "urn:uuid:" + receipt.entry_uuids[0][9:].upper(), receipt.unique_ids[1], receipt.unique_ids[0]
    )
    assert {entry.entry_uuid for entry in got} == set(receipt.entry_uuids)
    assert len(got) == 2
    assert client.get_documents("1.2.3.4") == ()
    assert client.get_documents() == ()


def test_a_long_list_of_ids_is_one_query(client: Client):
    """Fifty ids of 45 characters do not fit one Value of 256."""
    prepared = build([document(b"%d" % n) for n in range(50)], patient_id=new_patient(), source_id=SOURCE_ID)
    receipt = client.send(prepared)
    got = client.get_documents(*receipt.entry_uuids)
    assert {entry.entry_uuid for entry in got} == set(receipt.entry_uuids)


def test_every_error_of_a_refused_submission_is_told(client: Client):
    """Two documents, neither with a language tag: both told by code, place and rule, nothing stored."""
    patient = new_patient()
    bad = build(
        [document(language_code="norsk bokmål"), document(language_code="")],
        patient_id=patient,
        source_id=SOURCE_ID,
    )
    with pytest.raises(ClientError) as caught:
        client.send(bad)
    places = [error.location for error in caught.value.errors]
    for entry in bad.document_entries:
        assert f"{entry.entry_uuid}/languageCode" in places
        assert f"{entry.entry_uuid}/languageCode" in str(caught.value)
    assert {error.code for error in caught.value.errors} == {"XDSRepositoryMetadataError"}
    assert all(error.rule for error in caught.value.errors)
    assert "bokmål" not in str(caught.value)
    assert client.find(patient) == ()


def test_documents_that_come_are_kept_when_others_do_not(client: Client, tmp_path: Path):
    """One known and one unknown document: the file of the first, and an error that names the second."""
    patient = new_patient()
    client.send(build([document(b"kept")], patient_id=patient, source_id=SOURCE_ID))
    (entry,) = client.find(patient)
    unknown = DocumentAddress(REPOSITORY_ID, "1.2.3.4")
    with pytest.raises(IncompleteFetch, match="1 of 2 documents did not come") as caught:
        client.fetch([entry, unknown], tmp_path)
    assert [each.path.read_bytes() for each in caught.value.fetched] == [b"kept"]
    assert [error.code for error in caught.value.errors] == ["XDSDocumentUniqueIdError"]
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_to_fetch_is_nothing_fetched(client: Client, tmp_path: Path):
    """No request is made and no folder."""
    assert client.fetch([], tmp_path / "none") == ()
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_written_is_an_error_in_words(client: Client, tmp_path: Path):
    """A file stands where the folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(ClientError, match="cannot be written"):
        client.fetch([DocumentAddress(REPOSITORY_ID, "1.2.3.4")], tmp_path / "file")


def test_progress_counts_to_the_end(client: Client, tmp_path: Path):
    """Both ways the last call has everything: more than the document's bytes, and exactly the total."""
    patient = new_patient()
    content = bytes(3_000_000)
    sent: list[tuple[int, int | None]] = []
    received: list[tuple[int, int | None]] = []
    client.send(
        build([document(content)], patient_id=patient, source_id=SOURCE_ID), sent=lambda *n: sent.append(n)
    )
    client.fetch(client.find(patient), tmp_path, received=lambda *n: received.append(n))
    for calls in (sent, received):
        counts = [count for count, _ in calls]
        assert counts == sorted(counts)
        assert counts[-1] == calls[-1][1] > len(content)
        assert len(calls) > 5


def test_a_unique_id_never_leads_out_of_the_folder(client: Client, tmp_path: Path):
    """An id may be any text; the file's name keeps what is safe in it, and a hash of the rest."""
    patient = new_patient()
    wild = ("../../etc/passwd", "..", "a/b", "a_b", "x" * 128)
    documents = [document(each.encode(), unique_id=each + patient[:11]) for each in wild]
    client.send(build(documents, patient_id=patient, source_id=SOURCE_ID))
    fetched = client.fetch(client.find(patient), tmp_path / "in")
    assert len({each.path for each in fetched}) == len(wild)
    assert {each.path.parent for each in fetched} == {tmp_path / "in"}
    assert {each.path.read_text() for each in fetched} == set(wild)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_fetched_file_is_for_its_owner_only(client: Client, tmp_path: Path):
    """Health data: nobody else on the machine may read it."""
    patient = new_patient()
    client.send(build([document()], patient_id=patient, source_id=SOURCE_ID))
    (fetched,) = client.fetch(client.find(patient), tmp_path)
    assert fetched.path.stat().st_mode & 0o777 == 0o600


def test_the_same_submission_is_sent_again_after_the_node_was_away(new_node: Callable[..., Node]):
    """A node that is down gives an error in words; when it is back the same submission goes through."""
    node = new_node()
    node.stop()
    patient = new_patient()
    prepared = build([document()], patient_id=patient, source_id=SOURCE_ID)
    with Client(node.url) as client:
        with pytest.raises(ClientError, match=rf"127\.0\.0\.1:{node.port}"):
            client.send(prepared)
        node.start()
        client.send(prepared)
        assert len(client.find(patient)) == 1
    node.stop()


def test_an_answer_that_was_cut_off_is_given_with_its_warning(
    new_node: Callable[..., Node], capsys: pytest.CaptureFixture[str]
):
    """Three of four entries and the registry's word that there are more; `xds find` prints both."""
    node = new_node(registry__results=3)
    patient = new_patient()
    with Client(node.url) as client:
        receipt = client.send(build([document()] * 4, patient_id=patient, source_id=SOURCE_ID))
        found = [client.find(patient), client.get_documents(*receipt.entry_uuids)]
        assert client.find(patient, type_code=[NOTE]).warnings == ()
    for entries in found:
        assert len(entries) == len({entry.entry_uuid for entry in entries} & set(receipt.entry_uuids)) == 3
        (warning,) = entries.warnings
        assert (warning.code, warning.rule, warning.warning) == ("XDSTooManyResults", "query-too-many", True)
    assert main(["find", "--patient", patient, "--json", "--url", node.url]) == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)) == 3
    assert said.err.startswith("Warning: XDSTooManyResults: There is more than one answer may hold")
    node.stop()


def test_a_document_larger_than_the_node_takes_is_refused_in_words(
    new_node: Callable[..., Node], tmp_path: Path
):
    """The limit's name is what an operator needs to hear."""
    node = new_node(limits__document_bytes=1000)
    with Client(node.url) as client, pytest.raises(ClientError, match="document_bytes"):
        client.send(build([document(bytes(2000))], patient_id=new_patient(), source_id=SOURCE_ID))
    node.stop()


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://[::1", "http://x:y"]
)
def test_what_is_no_address_is_said_at_once(url: str):
    """Before anything is sent."""
    with pytest.raises(ClientError, match="An address is written"):
        Client(url)


def test_a_certificate_that_is_none_is_said_at_once(tmp_path: Path):
    """A file that is not there, and one that is not PEM."""
    with pytest.raises(ClientError, match="cannot be used"):
        Client(ca_file=tmp_path / "none.pem")
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(ClientError, match="cannot be used"):
        Client(certificate=tmp_path / "bad.pem")
    assert issubclass(ssl.SSLError, OSError)


@pytest.mark.slow
def test_a_large_document_passes_without_filling_memory(new_node: Callable[..., Node], tmp_path: Path):
    """60 MB out and in: the client's own memory grows by less than 16 MB, and the bytes are the same."""
    node = new_node(limits__document_bytes=100_000_000)
    file = tmp_path / "large.pdf"
    piece = hashlib.sha512(b"seed").digest() * 16_384  # 1 MiB
    with file.open("wb") as out:
        for _ in range(60):
            out.write(piece)
    patient = new_patient()
    peak = 0

    def watch(count: int, total: int | None) -> None:
        nonlocal peak
        peak = max(peak, psutil.Process().memory_info().rss)

    with Client(node.url) as client:
        prepared = build([document(file)], patient_id=patient, source_id=SOURCE_ID)
        before = psutil.Process().memory_info().rss
        client.send(prepared, sent=watch)
        (fetched,) = client.fetch(client.find(patient), tmp_path / "back", received=watch)
    node.stop()
    assert fetched.sha1 == prepared.document_entries[0].hash
    assert peak - before < 16_000_000
