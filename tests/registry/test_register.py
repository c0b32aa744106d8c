"""Registering submissions: the registry's own rules (ITI TF-2 3.42.4.1.3), and what they change."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest

from tests.metadata import samples as s
from tests.registry.conftest import Desk
from xds.errors import RegistryFailure
from xds.metadata import names
from xds.metadata.model import DocumentEntry, Folder, RegistryObject, Slot
from xds.metadata.validation import submission
from xds.registry.queries import find_documents, get_all, get_documents
from xds.registry.view import EVERYTHING

D1 = "urn:uuid:00000000-0000-4000-8000-000000000001"
D2 = "urn:uuid:00000000-0000-4000-8000-000000000002"
D3 = "urn:uuid:00000000-0000-4000-8000-000000000003"
D4 = "urn:uuid:00000000-0000-4000-8000-000000000004"
F1 = "urn:uuid:00000000-0000-4000-8000-0000000000f1"
UNKNOWN = "urn:uuid:00000000-0000-4000-8000-00000000dead"


def document(uuid: str, number: int = 0, **changes: Any) -> DocumentEntry:
    """A document whose uniqueId follows its UUID, or `number`."""
    return s.document_entry(entry_uuid=uuid, unique_id=f"1.2.3.{number or int(uuid[-4:], 16)}", **changes)


_sets = iter(range(1, 10_000))


def submit(*documents: DocumentEntry, **more: Any) -> tuple[RegistryObject, ...]:
    """A submission under a set of its own."""
    patient = documents[0].patient_id if documents else s.PATIENT
    new_set = s.submission_set(unique_id=f"1.2.9.{next(_sets)}", patient_id=patient)
    return s.submission(*documents, of=new_set, **more)


def without_documents(*links: Any) -> tuple[RegistryObject, ...]:
    """A set and links between what is registered already."""
    from xds.metadata.entries import registry_object

    new_set = s.submission_set(unique_id=f"1.2.9.{next(_sets)}")
    return tuple(map(registry_object, (new_set, *links)))


def statuses(desk: Desk, patient: str = s.PATIENT) -> dict[str, str]:
    """Each document's entryUUID and the last word of its status."""
    both = f"('{names.APPROVED}','{names.DEPRECATED}')"
    found = desk.ask(find_documents.ID, XDSDocumentEntryPatientId=f"'{patient}'", XDSDocumentEntryStatus=both)
    return {each.id: each.attributes["status"].rpartition(":")[2] for each in found}


def test_everything_that_was_sent_is_given_back(desk: Desk) -> None:
    """Slots in their order, unknown ones too, names, codes, identifiers: all the message had."""
    sent = s.rich_document_entry(entry_uuid=D1)
    objects = submit(sent)
    desk.submit(objects)
    (got,) = desk.ask(get_documents.ID, XDSDocumentEntryEntryUUID=f"('{D1}')")
    original = next(each for each in objects if each.kind == "ExtrinsicObject")
    assert got.slots == original.slots
    assert got.name == original.name
    assert got.description == original.description
    codes = [(c.attributes.get("nodeRepresentation"), c.slots, c.name) for c in got.classifications]
    assert codes == [
        (c.attributes.get("nodeRepresentation"), c.slots, c.name) for c in original.classifications
    ]
    identifiers = {
        i.attributes["identificationScheme"]: i.attributes["value"] for i in got.external_identifiers
    }
    assert identifiers == {names.DOCUMENT_UNIQUE_ID: sent.unique_id, names.DOCUMENT_PATIENT_ID: s.PATIENT}


def test_the_registry_sets_what_is_its_own(desk: Desk) -> None:
    """Approved whatever was sent, a logical id equal to the id, version 1 (ITI TF-2 3.42.4.1.3.3.5)."""
    desk.submit(submit(document(D1, availability_status=names.DEPRECATED)))
    (got,) = desk.ask(get_documents.ID, XDSDocumentEntryEntryUUID=f"('{D1}')")
    assert got.attributes["status"] == names.APPROVED
    assert got.attributes["lid"] == D1
    assert got.version_info == {"versionName": "1"}


def test_symbolic_ids_become_the_same_uuid_everywhere(desk: Desk) -> None:
    """An entry's new UUID is also its children's parent and its association's end (ITI TF-2 3.42.4.1.3.7)."""
    desk.submit(s.submission())
    approved = f"('{names.APPROVED}')"
    found = desk.ask(
        get_all.ID,
        patientId=f"'{s.PATIENT}'",
        XDSDocumentEntryStatus=approved,
        XDSSubmissionSetStatus=approved,
        XDSFolderStatus=approved,
    )
    by_kind = {each.kind: each for each in found}
    assert set(by_kind) == {"ExtrinsicObject", "RegistryPackage", "Association"}
    link = by_kind["Association"].attributes
    assert link["targetObject"] == by_kind["ExtrinsicObject"].id
    assert link["sourceObject"] == by_kind["RegistryPackage"].id
    for each in found:
        assert each.id.startswith("urn:uuid:")
        assert {c.attributes["classifiedObject"] for c in each.classifications} <= {each.id}
        assert {i.attributes["registryObject"] for i in each.external_identifiers} <= {each.id}


def test_child_ids_that_meet_other_submissions_are_no_conflict(desk: Desk) -> None:
    """Only ids of objects are global: two submissions may use the same ids for their Classifications."""
    first, second = submit(document(D1)), submit(document(D2))
    children = next(each for each in first if each.kind == "ExtrinsicObject").classifications
    same_ids = [
        dataclasses.replace(
            each,
            classifications=tuple(
                dataclasses.replace(child, attributes={**child.attributes, "id": children[n].id})
                for n, child in enumerate(each.classifications)
            ),
        )
        if each.kind == "ExtrinsicObject"
        else each
        for each in second
    ]
    desk.submit(first)
    assert desk.submit(same_ids) is True


# -- uniqueIds, repeats --------------------------------------------------------------------------------------


def test_an_identical_repeat_changes_nothing(desk: Desk) -> None:
    """The same message again, as after a time-out, is not registered twice."""
    objects = s.submission()
    assert desk.submit(objects) is True
    assert desk.submit(objects) is False
    assert desk.count("document_entry") == desk.count("submission_set") == desk.count("association") == 1


def test_a_repeat_of_a_replacement_is_known_though_its_target_is_deprecated_now(desk: Desk) -> None:
    """The repeat is recognised before its references are judged."""
    desk.submit(submit(document(D1)))
    replacing = submit(document(D2), links=[s.association(names.RPLC, D2, D1)])
    assert desk.submit(replacing) is True
    assert desk.submit(replacing) is False
    assert statuses(desk) == {D1: "Deprecated", D2: "Approved"}


def test_the_set_of_a_submission_with_other_content_is_taken(desk: Desk) -> None:
    """The same SubmissionSet.uniqueId with anything else in it is refused (ITI TF-2 3.42.4.1.3.3.7)."""
    desk.submit(s.submission(document(D1)))
    changed = s.submission(document(D1, title="Noe annet"))
    assert (
        "XDSDuplicateUniqueIdInRegistry",
        "registry-set-unique-id",
        "SubmissionSet01/uniqueId",
    ) in desk.refused(changed)
    assert desk.count("document_entry") == 1


def test_a_set_may_not_take_the_unique_id_of_a_document(desk: Desk) -> None:
    """SubmissionSet.uniqueId is unique over all kinds of object."""
    desk.submit(submit(document(D1, 77)))
    taken = s.submission(document(D2), of=s.submission_set(unique_id="1.2.3.77"))
    assert desk.refused(taken) == [
        ("XDSDuplicateUniqueIdInRegistry", "registry-set-unique-id", "SubmissionSet01/uniqueId")
    ]


def test_a_known_document_with_the_same_bytes_is_a_second_entry(desk: Desk) -> None:
    """Several entries may share a uniqueId when hash and size agree (ITI TF-2 3.42.4.1.3.3.1)."""
    desk.submit(submit(document(D1, 5)))
    desk.submit(submit(document(D2, 5)))
    found = desk.ask(get_documents.ID, XDSDocumentEntryUniqueId="('1.2.3.5')")
    assert {each.id for each in found} == {D1, D2}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hash": "ab" * 20}, [("XDSNonIdenticalHash", "registry-document-same-hash")]),
        ({"size": 1}, [("XDSNonIdenticalSize", "registry-document-same-size")]),
        (
            {"hash": "ab" * 20, "size": 1},
            [
                ("XDSNonIdenticalHash", "registry-document-same-hash"),
                ("XDSNonIdenticalSize", "registry-document-same-size"),
            ],
        ),
    ],
)
def test_a_known_document_with_other_bytes_is_refused(
    desk: Desk, changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Another hash and another size each have their code."""
    desk.submit(submit(document(D1, 5)))
    assert [error[:2] for error in desk.refused(submit(document(D2, 5, **changes)))] == expected


def test_the_hash_is_compared_without_case(desk: Desk) -> None:
    """SHA-1 in upper case is the same hash."""
    desk.submit(submit(document(D1, 5, hash="ab" * 20)))
    assert desk.submit(submit(document(D2, 5, hash="AB" * 20))) is True


def test_a_document_may_not_take_the_unique_id_of_a_folder(desk: Desk) -> None:
    """The uniqueId of another kind of object is not a document's."""
    desk.submit(submit(folders=[s.folder(unique_id="1.2.3.6")]))
    assert [error[:2] for error in desk.refused(submit(document(D1, 6)))] == [
        ("XDSRegistryMetadataError", "registry-document-unique-id-kind")
    ]


def test_a_folder_may_not_take_a_unique_id_that_is_in_use(desk: Desk) -> None:
    """Folder.uniqueId is used once."""
    desk.submit(submit(folders=[s.folder(unique_id="1.2.3.6")]))
    assert [error[:2] for error in desk.refused(submit(folders=[s.folder(unique_id="1.2.3.6")]))] == [
        ("XDSDuplicateUniqueIdInRegistry", "registry-folder-unique-id")
    ]


def test_an_entry_uuid_is_used_once(desk: Desk) -> None:
    """A submitted UUID that is registered already is refused, whatever kind of object has it."""
    desk.submit(submit(document(D1)))
    assert desk.refused(submit(document(D1, 99))) == [
        ("XDSRegistryMetadataError", "registry-entry-uuid-new", f"{D1}/entryUUID")
    ]


# -- references ----------------------------------------------------------------------------------------------


def test_all_errors_come_at_once(desk: Desk) -> None:
    """Two bad references and a taken uniqueId are three errors of one answer."""
    desk.submit(submit(document(D1, 5)))
    bad = submit(
        document(D2, 5, hash="ab" * 20),
        links=[s.association(names.APND, D2, UNKNOWN), s.association(names.XFRM, D2, D1)],
    )
    desk.submit(submit(document(D3), links=[s.association(names.RPLC, D3, D1)]))
    assert [error[1] for error in desk.refused(bad)] == [
        "registry-reference-known",
        "registry-document-approved",
        "registry-document-same-hash",
    ]


def test_a_relationship_needs_a_document_that_is_there(desk: Desk) -> None:
    """An unknown target is an UnresolvedReferenceException (ITI TF-2 3.42.4.1.3.5)."""
    refused = desk.refused(submit(document(D1), links=[s.association(names.RPLC, D1, UNKNOWN)]))
    assert refused == [
        ("UnresolvedReferenceException", "registry-reference-known", f"{D1[9:]}-{UNKNOWN[9:]}/targetObject")
    ]


def test_a_relationship_does_not_cross_patients(desk: Desk) -> None:
    """Both documents of a relationship are one patient's."""
    desk.submit(submit(document(D1, patient_id=s.OTHER_PATIENT)))
    refused = desk.refused(submit(document(D2), links=[s.association(names.RPLC, D2, D1)]))
    assert [error[:2] for error in refused] == [("XDSPatientIdDoesNotMatch", "registry-same-patient")]
    assert statuses(desk, s.OTHER_PATIENT) == {D1: "Approved"}


def test_a_relationship_to_something_else_than_a_document_is_refused(desk: Desk) -> None:
    """A folder cannot be replaced by a document."""
    desk.submit(submit(folders=[s.folder(entry_uuid=F1)]))
    refused = desk.refused(submit(document(D2), links=[s.association(names.RPLC, D2, F1)]))
    assert [error[:2] for error in refused] == [("XDSRegistryMetadataError", "registry-reference-kind")]


def test_a_set_may_take_in_another_patients_document_by_reference(desk: Desk) -> None:
    """A HasMember with SubmissionSetStatus Reference may cross patients (ITI TF-3 4.2.2.1.1)."""
    desk.submit(submit(document(D1, patient_id=s.OTHER_PATIENT)))
    assert desk.submit(submit(document(D2), links=[s.member("SubmissionSet01", D1, "Reference")])) is True


# -- replacing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [names.RPLC, names.XFRM_RPLC])
def test_a_replacement_deprecates_what_it_replaces(desk: Desk, kind: str) -> None:
    """RPLC and XFRM_RPLC deprecate their target."""
    desk.submit(submit(document(D1)))
    desk.submit(submit(document(D2), links=[s.association(kind, D2, D1)]))
    assert statuses(desk) == {D1: "Deprecated", D2: "Approved"}


@pytest.mark.parametrize("kind", [names.APND, names.XFRM, names.SIGNS])
def test_other_relationships_leave_their_target_approved(desk: Desk, kind: str) -> None:
    """An addendum, a transformation and a signature change nothing in what they are about."""
    desk.submit(submit(document(D1)))
    desk.submit(submit(document(D2), links=[s.association(kind, D2, D1)]))
    assert statuses(desk) == {D1: "Approved", D2: "Approved"}


def test_a_replacement_deprecates_addenda_and_transformations_with_it(desk: Desk) -> None:
    """What hangs on the replaced document goes with it, also what hangs on that; a signature stays."""
    desk.submit(submit(document(D1)))
    desk.submit(submit(document(D2), links=[s.association(names.APND, D2, D1)]))
    desk.submit(submit(document(D3), links=[s.association(names.XFRM, D3, D2)]))
    signature = "urn:uuid:00000000-0000-4000-8000-000000000009"
    desk.submit(submit(document(signature), links=[s.association(names.SIGNS, signature, D1)]))
    desk.submit(submit(document(D4), links=[s.association(names.RPLC, D4, D1)]))
    assert statuses(desk) == {
        D1: "Deprecated",
        D2: "Deprecated",
        D3: "Deprecated",
        D4: "Approved",
        signature: "Approved",
    }


def test_what_is_replaced_cannot_be_replaced_again(desk: Desk) -> None:
    """An association may not refer to a deprecated document."""
    desk.submit(submit(document(D1)))
    desk.submit(submit(document(D2), links=[s.association(names.RPLC, D2, D1)]))
    refused = desk.refused(submit(document(D3), links=[s.association(names.RPLC, D3, D1)]))
    assert [error[:2] for error in refused] == [
        ("XDSRegistryDeprecatedDocumentError", "registry-document-approved")
    ]
    assert statuses(desk) == {D1: "Deprecated", D2: "Approved"}


def test_two_replacements_of_one_document_in_one_message_are_refused(desk: Desk) -> None:
    """The second finds its target deprecated by the first."""
    desk.submit(submit(document(D1)))
    both = submit(
        document(D2),
        document(D3),
        links=[s.association(names.RPLC, D2, D1), s.association(names.RPLC, D3, D1)],
    )
    assert [error[0] for error in desk.refused(both)] == ["XDSRegistryDeprecatedDocumentError"]
    assert statuses(desk) == {D1: "Approved"}


def _members(desk: Desk, folder: str) -> set[str]:
    approved = f"('{names.APPROVED}','{names.DEPRECATED}')"
    found = desk.ask(
        get_all.ID,
        patientId=f"'{s.PATIENT}'",
        XDSDocumentEntryStatus=approved,
        XDSSubmissionSetStatus=approved,
        XDSFolderStatus=approved,
    )
    return {
        each.attributes["targetObject"] for each in found if each.attributes.get("sourceObject") == folder
    }


def _filed(document: DocumentEntry, folder: Folder) -> tuple[RegistryObject, ...]:
    into = s.member(folder.entry_uuid, document.entry_uuid)
    return submit(document, folders=[folder], links=[into, s.member("SubmissionSet01", into.entry_uuid)])


def test_a_replacement_moves_into_the_folders_of_what_it_replaces(desk: Desk) -> None:
    """The registry adds folder to replacement, and the set's link to that link (ITI TF-2 3.42.4.1.3.5)."""
    desk.submit(_filed(document(D1), s.folder(entry_uuid=F1)))
    desk.submit(submit(document(D2), links=[s.association(names.RPLC, D2, D1)]))
    assert _members(desk, F1) == {D1, D2}


def test_an_existing_folder_takes_an_existing_document(desk: Desk) -> None:
    """Set, membership and companion are enough; lastUpdateTime moves on (ITI TF-2 3.42.4.1.3.4 and .6)."""
    desk.submit(submit(document(D1)))
    desk.submit(submit(folders=[s.folder(entry_uuid=F1)]))
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE folder SET last_update_time = 20200101000000")
    into = s.member(F1, D1)
    desk.submit(without_documents(into, s.member("SubmissionSet01", into.entry_uuid)))
    assert _members(desk, F1) == {D1}
    with desk.database.read() as connection:
        assert connection.exec_driver_sql("SELECT last_update_time FROM folder").scalar_one() > 20200101000000


def test_a_deprecated_document_cannot_be_filed(desk: Desk) -> None:
    """Folder membership needs an approved document."""
    desk.submit(submit(document(D1)))
    desk.submit(submit(document(D2), links=[s.association(names.RPLC, D2, D1)]))
    desk.submit(submit(folders=[s.folder(entry_uuid=F1)]))
    into = s.member(F1, D1)
    refused = desk.refused(without_documents(into, s.member("SubmissionSet01", into.entry_uuid)))
    assert [error[0] for error in refused] == ["XDSRegistryDeprecatedDocumentError"]


# -- all or nothing, and races -------------------------------------------------------------------------------


def test_a_refused_submission_leaves_nothing(desk: Desk) -> None:
    """Not even the patient, the claim of a uniqueId, or a number for the set."""
    desk.refused(submit(document(D1), links=[s.association(names.RPLC, D1, UNKNOWN)]))
    tables = ("patient", "document_entry", "submission_set", "association", "uid_claim")
    assert {table: desk.count(table) for table in tables} == dict.fromkeys(tables, 0)


def _race(desk: Desk, submissions: list[tuple[RegistryObject, ...]]) -> list[str]:
    """Submit all at the same moment; what became of each."""
    start = threading.Barrier(len(submissions))
    outcomes: list[str] = []

    def run(objects: tuple[RegistryObject, ...]) -> None:
        prepared = desk.registry.prepare(submission(objects))
        start.wait()
        try:
            with desk.database.write() as connection:
                outcomes.append(
                    "new" if desk.registry.register(connection, prepared, EVERYTHING) else "repeat"
                )
        except RegistryFailure as failure:
            outcomes.append(str(failure.errors[0].code))

    threads = [threading.Thread(target=run, args=(objects,)) for objects in submissions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes)


def test_identical_submissions_at_the_same_moment_are_registered_once(desk: Desk) -> None:
    """One is new, the others are its repeats."""
    objects = s.submission()
    assert _race(desk, [objects] * 8) == ["new"] + ["repeat"] * 7
    assert desk.count("document_entry") == 1


def test_one_of_several_replacements_at_the_same_moment_wins(desk: Desk) -> None:
    """The others find the document replaced."""
    desk.submit(submit(document(D1)))
    rivals = []
    for n in range(8):
        own = f"urn:uuid:00000000-0000-4000-8000-00000000010{n}"
        rivals.append(submit(document(own), links=[s.association(names.RPLC, own, D1)]))
    assert _race(desk, rivals) == ["XDSRegistryDeprecatedDocumentError"] * 7 + ["new"]
    assert list(statuses(desk).values()).count("Approved") == 1


def test_one_of_several_contents_for_a_unique_id_at_the_same_moment_wins(desk: Desk) -> None:
    """Whichever patient it is for, a uniqueId has one hash."""
    rivals = [
        submit(
            document(
                f"urn:uuid:00000000-0000-4000-8000-00000000020{n}",
                5,
                hash=f"{n:02x}" * 20,
                patient_id=(s.PATIENT, s.OTHER_PATIENT)[n % 2],
            )
        )
        for n in range(8)
    ]
    assert _race(desk, rivals) == ["XDSNonIdenticalHash"] * 7 + ["new"]


def test_an_object_that_says_too_much_is_refused(desk: Desk) -> None:
    """Answers hold some objects in memory at a time, so each has a bound far above what is ordinary."""
    much = tuple(Slot(f"urn:example:{n}", ("x" * 250,) * 100) for n in range(50))
    assert desk.refused(submit(document(D1, extra_slots=much))) == [
        ("XDSRegistryMetadataError", "registry-object-size", D1)
    ]
