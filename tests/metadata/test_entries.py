"""IHE's terms and ebRIM's, both ways."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metadata import samples
from xds.metadata import entries, names
from xds.metadata.ebrim import is_uuid, read_object_list
from xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    LocalizedString,
    RegistryObject,
    Slot,
    SubmissionSet,
)

READERS = {
    DocumentEntry: entries.document_entry,
    SubmissionSet: entries.submission_set,
    Folder: entries.folder,
    Association: entries.association,
}
FULL = [
    samples.rich_document_entry(
        availability_status=names.APPROVED,
        logical_id="urn:uuid:33333333-3333-4333-8333-333333333333",
        version=2,
        home=samples.HOME,
        uri="epikrise.pdf",
        document_availability="urn:ihe:iti:2010:DocumentAvailability:Online",
        authors=(samples.AUTHOR, Author(institutions=("Avdeling uten nummer",))),
        reference_ids=("7^^^&1.2&ISO^urn:ihe:iti:xds:2013:order", "8^^^^urn:x"),
    ),
    samples.submission_set(
        availability_status=names.APPROVED,
        home=samples.HOME,
        comments="K",
        extra_slots=(Slot("urn:x", ("1", "2")),),
    ),
    samples.folder(
        last_update_time="20260311100000",
        availability_status=names.APPROVED,
        logical_id="urn:uuid:33333333-3333-4333-8333-333333333333",
        version=1,
        home=samples.HOME,
        codes=(samples.NOTE_GROUP, samples.DISCHARGE_GROUP),
        extra_slots=(Slot("urn:x", ("1",)),),
    ),
    samples.association(
        names.RPLC,
        "Document01",
        "urn:uuid:33333333-3333-4333-8333-333333333333",
        availability_status=names.APPROVED,
        submission_set_status="Original",
        documentation=Code("c", "1.2.3", "why"),
        extra_slots=(Slot("urn:x", ("1",)),),
    ),
]


@pytest.mark.parametrize("entry", FULL, ids=lambda e: type(e).__name__)
def test_an_entry_survives_being_written_as_xml_and_read(entry: entries.Entry) -> None:
    """Every field, filled, comes back equal through ebRIM XML, display names too."""
    assert not [
        f.name
        for f in dataclasses.fields(entry)
        if f.name != "received" and getattr(entry, f.name) in (None, ())
    ]
    xml = samples.object_list([entries.registry_object(entry)])
    (obj,) = read_object_list(samples.element(xml))
    back = READERS[type(entry)](obj)
    assert entry == back
    assert obj is back.received
    assert str(entry) == str(back)


_VALUE = st.text(min_size=1, max_size=30)
_CODE = st.builds(Code, _VALUE, _VALUE, st.none() | _VALUE)
_MANY = st.lists(_VALUE, max_size=3).map(tuple)
_AUTHOR = st.builds(Author, st.none() | _VALUE, _MANY, _MANY, _MANY, _MANY)
_OPTIONAL = st.none() | _VALUE


@given(
    st.fixed_dictionaries(
        {
            "class_code": _CODE,
            "confidentiality_codes": st.lists(_CODE, max_size=3).map(tuple),
            "event_codes": st.lists(_CODE, max_size=3).map(tuple),
            "authors": st.lists(_AUTHOR, max_size=2).map(tuple),
            "title": _OPTIONAL,
            "comments": _OPTIONAL,
            "uri": _OPTIONAL,
            "service_stop_time": _OPTIONAL,
            "size": st.none() | st.integers(0, 2**63 - 1),
            "version": st.none() | st.integers(0, 99),
            "reference_ids": _MANY,
            "source_patient_info": _MANY,
            "extra_slots": st.lists(st.builds(Slot, _VALUE.map("urn:".__add__), _MANY), max_size=3).map(
                tuple
            ),
        }
    )
)
def test_any_document_entry_survives_the_round_trip(changes: dict[str, object]) -> None:
    """Optional or repeated, empty or not: what is put in comes out."""
    entry = samples.document_entry(**changes)
    assert entry == entries.document_entry(entries.registry_object(entry))


def test_unknown_slots_are_kept_in_order_and_untouched() -> None:
    """Local additions, URN-named or not, come back as they were sent."""
    obj = entries.registry_object(samples.document_entry())
    extra = (Slot("urn:z", (" a ", "", "b")), Slot("plain", ("c",), "urn:type"), Slot("urn:a", ()))
    mixed = replace(obj, slots=(extra[0], *obj.slots, *extra[1:]))
    assert extra == entries.document_entry(mixed).extra_slots


def test_a_document_entry_is_written_the_way_the_standard_codes_it() -> None:
    """Spot check against ITI TF-3 4.2.3: code, author and identifier shapes."""
    obj = entries.registry_object(samples.document_entry())
    by_scheme = {c.attributes["classificationScheme"]: c for c in obj.classifications}
    code = by_scheme["urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a"]
    assert "A00-1" == code.attributes["nodeRepresentation"]
    assert (Slot("codingScheme", ("2.16.578.1.12.4.1.1.9602",)),) == code.slots
    assert (LocalizedString("Epikriser og sammenfatninger"),) == code.name
    author = by_scheme["urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"]
    assert "" == author.attributes["nodeRepresentation"]
    assert [
        "authorPerson",
        "authorInstitution",
        "authorRole",
        "authorSpecialty",
        "authorTelecommunication",
    ] == [slot.name for slot in author.slots]
    assert {"XDSDocumentEntry.patientId", "XDSDocumentEntry.uniqueId"} == {
        i.name[0].value for i in obj.external_identifiers
    }
    ids = [child.id for child in (*obj.classifications, *obj.external_identifiers)]
    assert len(set(ids)) == len(ids)
    assert not any(map(is_uuid, ids))  # symbolic: the registry gives them theirs
    assert {"Document01"} == {c.attributes["classifiedObject"] for c in obj.classifications}
    assert {"Document01"} == {i.attributes["registryObject"] for i in obj.external_identifiers}


def test_a_set_and_a_folder_are_labelled() -> None:
    """The node Classification tells them apart (ITI TF-3 4.2.1.2.1, 4.2.1.3.1)."""
    nodes = [
        [c.attributes["classificationNode"] for c in entries.registry_object(e).classifications
         if "classificationNode" in c.attributes]
        for e in (samples.submission_set(), samples.folder())
    ]  # fmt: skip
    assert [
        ["urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"],
        ["urn:uuid:d9d542f3-6cc4-48b6-8870-ea235fbc94c2"],
    ] == nodes


def test_an_answer_without_required_attributes_is_still_read() -> None:
    """A careless peer's entry gives empty values, not an exception."""
    entry = entries.document_entry(RegistryObject("ExtrinsicObject", {"id": "x"}))
    assert ("x", "", Code("", ""), ()) == (
        entry.entry_uuid,
        entry.unique_id,
        entry.class_code,
        entry.confidentiality_codes,
    )
    assert "" == entries.association(RegistryObject("Association", {})).type


@pytest.mark.parametrize(("sent", "version"), [("3", 3), ("1.1", None), ("", None), ("٣", None)])
def test_a_version_is_a_number_or_none_of_ours(sent: str, version: int | None) -> None:
    """1.1 is the default of the schema and means nothing (XDS Metadata Update counts in integers)."""
    obj = replace(entries.registry_object(samples.folder()), version_info={"versionName": sent})
    assert version == entries.folder(obj).version


# ---- with_repository_values


def _sent(**changes: object) -> RegistryObject:
    return entries.registry_object(
        samples.document_entry(**({"repository_unique_id": None, "hash": None, "size": None} | changes))
    )


def test_the_repository_adds_what_is_absent() -> None:
    """Its id, the hash and the size complete the entry for ITI-42 (ITI TF-2 3.41.4.1.3)."""
    sent = _sent()
    obj = entries.with_repository_values(sent, repository_unique_id="1.2.3", size=17, hash="ab" * 20)
    added = (Slot("repositoryUniqueId", ("1.2.3",)), Slot("hash", ("ab" * 20,)), Slot("size", ("17",)))
    assert (*sent.slots, *added) == obj.slots


def test_the_repository_replaces_its_id_in_place_and_leaves_a_sent_hash_and_size() -> None:
    """A sent hash is there to be compared; a sent repositoryUniqueId is overwritten."""
    sent = _sent(repository_unique_id="9.9", hash="CD" * 20, size=5)
    obj = entries.with_repository_values(sent, repository_unique_id="1.2.3", size=17, hash="ab" * 20)
    expected = [replace(s, values=("1.2.3",)) if s.name == "repositoryUniqueId" else s for s in sent.slots]
    assert tuple(expected) == obj.slots


def test_a_slot_without_values_counts_as_absent_for_the_repository() -> None:
    """An empty ValueList is filled, not doubled."""
    sent = replace(_sent(), slots=(Slot("hash", ()), Slot("size", ()), Slot("repositoryUniqueId", ())))
    obj = entries.with_repository_values(sent, repository_unique_id="1.2", size=0, hash="ab" * 20)
    assert {"repositoryUniqueId": ("1.2",), "hash": ("ab" * 20,), "size": ("0",)} == {
        s.name: s.values for s in obj.slots
    }
    assert 3 == len(obj.slots)
