"""The life cycle of registered objects, rule by rule (ITI TF-3 4.2.2, ITI TF-2 3.42.4.1.3 and 3.61.4.1.3).

test_register.py has the registry's ordinary work; here stand the rules of associations, chains, folders, ids
and kinds of document, each as a sentence.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import ENGINES, PARTITIONED
from tests.metadata import samples as s
from tests.registry.conftest import OPEN, Desk
from tests.registry.test_register import document, statuses, submit, without_documents
from xds.errors import RegistryFailure
from xds.metadata import names
from xds.metadata.ebrim import is_uuid
from xds.metadata.model import Association, Code, DocumentEntry, RegistryObject
from xds.metadata.validation import check
from xds.registry import objects
from xds.registry.prepare import Reading
from xds.registry.queries import find_documents, get_all, get_documents
from xds.store.database import Database

pytestmark = pytest.mark.parametrize("engine", [*ENGINES, PARTITIONED], indirect=True, scope="session")

D1, D2, D3, D4, D5, D6 = (f"urn:uuid:00000000-0000-4000-8000-00000000000{n}" for n in range(1, 7))
F1 = "urn:uuid:00000000-0000-4000-8000-0000000000f1"
F2 = "urn:uuid:00000000-0000-4000-8000-0000000000f2"
S1 = "urn:uuid:00000000-0000-4000-8000-0000000000a1"
LINK = "urn:uuid:00000000-0000-4000-8000-0000000000b1"
UNKNOWN = "urn:uuid:00000000-0000-4000-8000-00000000dead"
SET = "SubmissionSet01"
TARGET = "Link/targetObject"

UNRESOLVED = "UnresolvedReferenceException"
METADATA = "XDSRegistryMetadataError"
DEPRECATED = "XDSRegistryDeprecatedDocumentError"
OTHER_PATIENT = "XDSPatientIdDoesNotMatch"
KNOWN, KIND = "registry-reference-known", "registry-reference-kind"


def link(kind: str, source: str, target: str) -> Association:
    return s.association(kind, source, target, entry_uuid="Link")


def new(uuid: str, kind: str, target: str, **changes: Any) -> tuple[RegistryObject, ...]:
    """A submission of a document with one relationship to `target`."""
    return submit(document(uuid, **changes), links=[link(kind, uuid, target)])


def on_demand(uuid: str, number: int = 0, **changes: Any) -> DocumentEntry:
    without = {"object_type": names.ON_DEMAND, "creation_time": None, "hash": None, "size": None}
    return document(uuid, number, **without | changes)


def filed(folder: str, *documents: str) -> list[Association]:
    """The memberships of a folder, each with its companion."""
    into = [s.member(folder, each) for each in documents]
    return [*into, *(s.member(SET, each.entry_uuid) for each in into)]


def everything(desk: Desk) -> dict[str, RegistryObject]:
    """All there is for the patient, by id."""
    both = f"('{names.APPROVED}','{names.DEPRECATED}')"
    found = desk.ask(
        get_all.ID,
        patientId=f"'{s.PATIENT}'",
        XDSDocumentEntryStatus=both,
        XDSSubmissionSetStatus=both,
        XDSFolderStatus=both,
        XDSDocumentEntryType=f"('{names.STABLE}','{names.ON_DEMAND}')",
    )
    return {each.id: each for each in found}


def members(desk: Desk, source: str) -> list[str]:
    """What an object has as members."""
    return [
        each.attributes["targetObject"]
        for each in everything(desk).values()
        if each.attributes.get("sourceObject") == source
        and each.attributes["associationType"] == names.HAS_MEMBER
    ]


# -- what an association may link (ITI TF-3 4.2.2) -----------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in names.RELATIONSHIPS if kind != names.IS_SNAPSHOT_OF])
@pytest.mark.parametrize(("target", "expected"), [(S1, KIND), (F1, KIND), (UNKNOWN, KNOWN)])
def test_a_relationship_ends_at_a_document(desk: Desk, kind: str, target: str, expected: str) -> None:
    """A set, a folder or nothing at all cannot be replaced, transformed, appended or signed."""
    desk.submit(
        s.submission(folders=[s.folder(entry_uuid=F1)], of=s.submission_set(entry_uuid=S1, unique_id="1.2.9"))
    )
    code = UNRESOLVED if expected == KNOWN else METADATA
    assert desk.refused(new(D1, kind, target)) == [(code, expected, TARGET)]


@pytest.mark.parametrize("kind", names.RELATIONSHIPS)
def test_a_relationship_does_not_end_at_an_association(desk: Desk, kind: str) -> None:
    """Associations are no documents either."""
    desk.submit(submit(document(D1)))
    desk.submit(submit(document(D2), links=[s.association(names.SIGNS, D2, D1, entry_uuid=LINK)]))
    assert desk.refused(new(D3, kind, LINK)) == [(METADATA, KIND, TARGET)]


@pytest.mark.parametrize("target", [S1, F1, LINK])
def test_the_only_member_by_reference_is_a_document(desk: Desk, target: str) -> None:
    """Folders and folder memberships belong to the set they came with (ITI TF-3 4.2.2.1.2 and .4)."""
    into = s.member(F1, D1, entry_uuid=LINK)
    desk.submit(
        s.submission(
            document(D1),
            folders=[s.folder(entry_uuid=F1)],
            links=[into, s.member(S1, LINK)],
            of=s.submission_set(entry_uuid=S1, unique_id="1.2.9"),
        )
    )
    again = s.member(SET, target, "Reference", entry_uuid="Again")
    assert desk.refused(submit(document(D2), links=[again])) == [(METADATA, KIND, "Again/targetObject")]


@pytest.mark.parametrize("source", [S1, D1])
def test_nothing_but_a_folder_gains_members_later(desk: Desk, source: str) -> None:
    """A set is complete when it is submitted, and a document has no members."""
    desk.submit(s.submission(document(D1), of=s.submission_set(entry_uuid=S1, unique_id="1.2.9")))
    later = s.member(source, D2, entry_uuid=LINK)
    refused = desk.refused(submit(document(D2), links=[later, s.member(SET, LINK)]))
    assert refused == [(METADATA, KIND, f"{LINK}/sourceObject")]


def test_a_folder_is_no_member_of_a_folder(desk: Desk) -> None:
    """Folders never nest (ITI TF-3 4.2.1.3)."""
    desk.submit(submit(folders=[s.folder(entry_uuid=F1)]))
    nested = submit(folders=[s.folder(entry_uuid=F2, unique_id="1.2.5")], links=filed(F2, F1))
    assert [error[:2] for error in desk.refused(nested)] == [(METADATA, KIND)]


# -- the status of what is referred to -----------------------------------------------------------------------


@pytest.fixture
def replaced(desk: Desk) -> Desk:
    """D1 is deprecated, D2 is its replacement."""
    desk.submit(submit(document(D1)))
    desk.submit(new(D2, names.RPLC, D1))
    return desk


@pytest.mark.parametrize("kind", [kind for kind in names.RELATIONSHIPS if kind != names.IS_SNAPSHOT_OF])
def test_nothing_is_related_to_a_deprecated_document(replaced: Desk, kind: str) -> None:
    """An association may not refer to a deprecated document (ITI TF-2 3.42.4.1.3.5)."""
    refused = replaced.refused(new(D3, kind, D1))
    assert refused == [(DEPRECATED, "registry-document-approved", TARGET)]


def test_a_deprecated_document_is_no_member_by_reference(replaced: Desk) -> None:
    """Not even a set of other documents may take it in."""
    again = s.member(SET, D1, "Reference", entry_uuid="Link")
    refused = replaced.refused(without_documents(again))
    assert refused == [(DEPRECATED, "registry-document-approved", TARGET)]


def test_a_deprecated_folder_gains_nothing(desk: Desk) -> None:
    """A folder must be approved (ITI TF-2 3.42.4.1.3.4)."""
    desk.submit(submit(folders=[s.folder(entry_uuid=F1)]))
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE folder SET status = 2")
    refused = desk.refused(submit(document(D1), links=filed(F1, D1)))
    assert [error[:2] for error in refused] == [(METADATA, "registry-folder-approved")]


# -- chains --------------------------------------------------------------------------------------------------


def test_a_replacement_is_replaced_in_turn(replaced: Desk) -> None:
    """Of a chain of replacements only the last is approved."""
    replaced.submit(new(D3, names.RPLC, D2))
    replaced.submit(new(D4, names.XFRM_RPLC, D3))
    assert statuses(replaced) == {D1: "Deprecated", D2: "Deprecated", D3: "Deprecated", D4: "Approved"}


def test_a_transformation_of_an_addendum_goes_with_the_original(desk: Desk) -> None:
    """Nothing approved hangs on something deprecated, at whatever depth (ITI TF-3 4.2.2.2.3)."""
    desk.submit(submit(document(D1)))
    desk.submit(new(D2, names.APND, D1))
    desk.submit(new(D3, names.XFRM, D2))
    desk.submit(new(D4, names.XFRM, D3))
    desk.submit(new(D5, names.RPLC, D1))
    assert statuses(desk) == dict.fromkeys((D1, D2, D3, D4), "Deprecated") | {D5: "Approved"}


def test_a_replaced_addendum_leaves_its_original_approved(desk: Desk) -> None:
    """Deprecation goes from a document to what hangs on it, never the other way."""
    desk.submit(submit(document(D1)))
    desk.submit(new(D2, names.APND, D1))
    desk.submit(new(D3, names.XFRM, D2))
    desk.submit(new(D4, names.RPLC, D2))
    assert statuses(desk) == {D1: "Approved", D2: "Deprecated", D3: "Deprecated", D4: "Approved"}


def test_a_transformation_may_be_replaced(desk: Desk) -> None:
    """ITI TF-3 4.2.2.2.3 says so; the document it was made from stays as it is."""
    desk.submit(submit(document(D1)))
    desk.submit(new(D2, names.XFRM, D1))
    desk.submit(new(D3, names.RPLC, D2))
    assert statuses(desk) == {D1: "Approved", D2: "Deprecated", D3: "Approved"}


def test_a_document_may_transform_what_it_replaces_and_more(desk: Desk) -> None:
    """One document may replace one, be an addendum to another and sign a third."""
    desk.submit(submit(document(D1), document(D2), document(D3)))
    desk.submit(
        submit(
            document(D4),
            links=[
                s.association(names.RPLC, D4, D1),
                s.association(names.APND, D4, D2),
                s.association(names.SIGNS, D4, D3),
            ],
        )
    )
    assert statuses(desk) == {D1: "Deprecated", D2: "Approved", D3: "Approved", D4: "Approved"}


def test_documents_of_one_message_may_hang_on_each_other(desk: Desk) -> None:
    """A transformation and a signature of a document that comes with them (ITI TF-3 4.2.2.2)."""
    desk.submit(
        submit(
            document(D1),
            document(D2),
            document(D3),
            links=[
                s.association(names.XFRM, D2, D1),
                s.association(names.SIGNS, D3, D1),
                s.association(names.APND, D3, D1, entry_uuid=LINK),
            ],
        )
    )
    assert statuses(desk) == dict.fromkeys((D1, D2, D3), "Approved")


def test_a_transformation_is_not_appended_to(desk: Desk) -> None:
    """An addendum belongs to the original, also when the transformation was registered long ago."""
    desk.submit(submit(document(D1)))
    desk.submit(submit(document(D2), links=[s.association(names.XFRM, D2, D1)]))
    assert desk.refused(new(D3, names.APND, D2)) == [(METADATA, "registry-addendum", TARGET)]
    assert desk.submit(new(D4, names.SIGNS, D2)) is True


def test_a_transformation_that_replaces_its_original_is_appended_to(desk: Desk) -> None:
    """The original is deprecated, so this is what an addendum can belong to (ITI TF-3 4.2.2.2.1)."""
    desk.submit(submit(document(D1)))
    desk.submit(new(D2, names.XFRM_RPLC, D1))
    assert desk.submit(new(D3, names.APND, D2)) is True


def test_a_replacement_of_a_transformation_is_appended_to(desk: Desk) -> None:
    """It was not made from another document itself."""
    desk.submit(submit(document(D1)))
    desk.submit(new(D2, names.XFRM, D1))
    desk.submit(submit(document(D3), links=[s.association(names.RPLC, D3, D2)]))
    assert desk.submit(new(D4, names.APND, D3)) is True


# -- folders -------------------------------------------------------------------------------------------------


def test_all_of_a_folder_may_come_in_one_message(desk: Desk) -> None:
    """Set, documents, folder and memberships at once (ITI TF-3 4.2.2.1.5)."""
    desk.submit(
        submit(document(D1), document(D2), folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1, D2))
    )
    assert sorted(members(desk, F1)) == [D1, D2]


def test_a_new_folder_takes_a_registered_document(desk: Desk) -> None:
    """The document need not be a member of the new set."""
    desk.submit(submit(document(D1)))
    desk.submit(submit(folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1)))
    assert members(desk, F1) == [D1]


def test_a_registered_folder_takes_a_new_document(desk: Desk) -> None:
    """And its lastUpdateTime moves on."""
    desk.submit(submit(folders=[s.folder(entry_uuid=F1)]))
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE folder SET last_update_time = 20200101000000")
    desk.submit(submit(document(D1), links=filed(F1, D1)))
    assert members(desk, F1) == [D1]
    (slot,) = [each for each in everything(desk)[F1].slots if each.name == "lastUpdateTime"]
    assert slot.values[0] > "20200101000000"


def test_a_submitted_last_update_time_is_the_registrys_to_set(desk: Desk) -> None:
    """Folder.lastUpdateTime is overwritten (ITI TF-2 3.42.4.1.3.6), also in an empty folder."""
    desk.submit(submit(folders=[s.folder(entry_uuid=F1, last_update_time="19990101000000")]))
    (slot,) = [each for each in everything(desk)[F1].slots if each.name == "lastUpdateTime"]
    assert slot.values[0] > "20260101000000"


def test_a_folder_and_its_documents_are_one_patients(desk: Desk) -> None:
    """Also when both are registered already and the set is a third one's (ITI TF-3 4.2.2.1.3)."""
    desk.submit(submit(folders=[s.folder(entry_uuid=F1)]))
    desk.submit(submit(document(D1, patient_id=s.OTHER_PATIENT)))
    refused = desk.refused(without_documents(*filed(F1, D1)))
    assert [error[:2] for error in refused] == [(OTHER_PATIENT, "registry-same-patient")]
    both = submit(document(D2, patient_id=s.OTHER_PATIENT), links=filed(F1, D2))
    assert [error[:2] for error in desk.refused(both)] == [(OTHER_PATIENT, "registry-same-patient")]


def test_a_replacement_joins_every_folder_of_what_it_replaces(desk: Desk) -> None:
    """A HasMember for each approved folder and one from the set to each of these; the old ones stay."""
    desk.submit(
        submit(
            document(D1),
            folders=[s.folder(entry_uuid=F1), s.folder(entry_uuid=F2, unique_id="1.2.5")],
            links=[*filed(F1, D1), *filed(F2, D1)],
        )
    )
    new_set = s.submission_set(entry_uuid=S1, unique_id="1.2.9")
    desk.submit(s.submission(document(D2), of=new_set, links=[link(names.RPLC, D2, D1)]))
    assert sorted(members(desk, F1)) == sorted(members(desk, F2)) == [D1, D2]
    there = everything(desk)
    made = [
        each.id
        for each in there.values()
        if each.attributes.get("sourceObject") in (F1, F2) and each.attributes["targetObject"] == D2
    ]
    assert sorted(members(desk, S1)) == sorted([D2, *made])


def test_a_replacement_does_not_join_a_deprecated_folder(desk: Desk) -> None:
    """Only approved folders follow."""
    desk.submit(submit(document(D1), folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1)))
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE folder SET status = 2")
    desk.submit(new(D2, names.RPLC, D1))
    with desk.database.read() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM association WHERE type = 1").scalar_one()
    # Set to D1, to the folder, folder to D1, its companion; set to D2.
    assert found == 5


def test_a_replacement_that_is_put_into_the_folder_by_its_sender_is_in_it_once(desk: Desk) -> None:
    """The registry adds no second membership to the one it was sent."""
    desk.submit(submit(document(D1), folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1)))
    desk.submit(submit(document(D2), links=[link(names.RPLC, D2, D1), *filed(F1, D2)]))
    assert sorted(members(desk, F1)) == [D1, D2]


def test_a_deprecated_document_stays_in_its_folder(desk: Desk) -> None:
    """Memberships are history."""
    desk.submit(submit(document(D1), document(D2), folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1)))
    desk.submit(new(D3, names.RPLC, D1))
    assert sorted(members(desk, F1)) == [D1, D3]
    assert statuses(desk)[D1] == "Deprecated"


def test_a_folder_that_became_another_patients_is_not_joined(desk: Desk) -> None:
    """Two patients that were one when a document was filed may be two again: then it cannot be replaced."""
    desk.submit(submit(document(D1), folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1)))
    desk.submit(submit(document(D6, patient_id=s.OTHER_PATIENT)))
    with desk.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE folder SET patient_pk = (SELECT patient_pk FROM patient WHERE pid LIKE '29844697323%%')"
        )
    refused = desk.refused(new(D2, names.RPLC, D1))
    assert refused == [(OTHER_PATIENT, "registry-same-patient", TARGET)]
    assert statuses(desk) == {D1: "Approved"}


# -- ids -----------------------------------------------------------------------------------------------------


def test_symbolic_ids_are_replaced_wherever_they_stand(desk: Desk) -> None:
    """In id, source, target, classifiedObject and registryObject alike (ITI TF-2 3.42.4.1.3.7)."""
    desk.submit(
        s.submission(
            s.document_entry(),
            s.document_entry(entry_uuid="Document02", unique_id="1.2.3.2"),
            folders=[s.folder()],
            links=[
                *filed("Folder01", "Document01"),
                s.association(names.XFRM, "Document02", "Document01", documentation=Code("1", "1.2.3", "x")),
            ],
        )
    )
    there = everything(desk)
    assert all(map(is_uuid, there))
    for own, each in there.items():
        for child in (*each.classifications, *each.external_identifiers):
            assert is_uuid(child.id)
            assert child.attributes.get("classifiedObject", own) == own
            assert child.attributes.get("registryObject", own) == own
        if each.kind == "Association":
            assert {each.attributes["sourceObject"], each.attributes["targetObject"]} <= set(there)
    kinds = sorted(each.kind for each in there.values())
    assert kinds == ["Association"] * 6 + ["ExtrinsicObject"] * 2 + ["RegistryPackage"] * 2


@pytest.mark.parametrize("taken", [D1, S1, F1, LINK], ids=["document", "set", "folder", "association"])
@pytest.mark.parametrize("by", ["document", "set", "folder", "association"])
def test_an_entry_uuid_names_one_object_of_any_kind(desk: Desk, taken: str, by: str) -> None:
    """A UUID that is registered cannot be given to anything new."""
    desk.submit(
        s.submission(
            document(D1),
            folders=[s.folder(entry_uuid=F1)],
            links=[s.member(F1, D1, entry_uuid=LINK), s.member(S1, LINK)],
            of=s.submission_set(entry_uuid=S1, unique_id="1.2.9"),
        )
    )
    ids = {each: each.title() for each in ("document", "set", "folder", "association")} | {by: taken}
    objects = s.submission(
        document(ids["document"], 90),
        folders=[s.folder(entry_uuid=ids["folder"], unique_id="1.2.3.91")],
        links=[
            s.member(ids["folder"], ids["document"], entry_uuid=ids["association"]),
            s.member(ids["set"], ids["association"], entry_uuid="Companion"),
        ],
        of=s.submission_set(entry_uuid=ids["set"], unique_id="1.2.92"),
    )
    assert desk.refused(objects) == [(METADATA, "registry-entry-uuid-new", f"{taken}/entryUUID")]


@pytest.mark.parametrize("of", ["set", "folder"])
@pytest.mark.parametrize("taken", ["1.2.3.1", "1.2.9", "1.2.5"], ids=["document's", "set's", "folder's"])
def test_a_unique_id_of_a_set_or_folder_is_nobody_elses(desk: Desk, of: str, taken: str) -> None:
    """Each kind against each kind (ITI TF-2 3.42.4.1.3.3.7, ITI TF-3 table 4.2.4.1-2)."""
    desk.submit(
        s.submission(
            document(D1),
            folders=[s.folder(entry_uuid=F1, unique_id="1.2.5")],
            of=s.submission_set(unique_id="1.2.9"),
        )
    )
    if of == "set":
        objects = s.submission(document(D2), of=s.submission_set(unique_id=taken))
        where = f"{SET}/uniqueId"
    else:
        objects = submit(folders=[s.folder(unique_id=taken)])
        where = "Folder01/uniqueId"
    assert desk.refused(objects) == [("XDSDuplicateUniqueIdInRegistry", f"registry-{of}-unique-id", where)]


def test_a_known_document_may_come_again_for_another_patient(desk: Desk) -> None:
    """The same bytes are the same document, whoever's record they are filed in (ITI TF-2 3.42.4.1.3.3.1)."""
    desk.submit(submit(document(D1, 5)))
    desk.submit(submit(document(D2, 5, patient_id=s.OTHER_PATIENT)))
    refs = desk.ask(get_documents.ID, leaf=False, XDSDocumentEntryUniqueId="('1.2.3.5')")
    assert {each.id for each in refs} == {D1, D2}


def test_a_third_entry_of_a_document_is_held_against_the_first(desk: Desk) -> None:
    """However often it was registered, and whatever became of the entries, a uniqueId has one hash."""
    desk.submit(submit(document(D1, 5)))
    desk.submit(submit(document(D2, 5), links=[s.association(names.RPLC, D2, D1)]))
    assert desk.submit(submit(document(D3, 5))) is True
    refused = desk.refused(submit(document(D4, 5, hash="ab" * 20)))
    assert refused == [("XDSNonIdenticalHash", "registry-document-same-hash", f"{D4}/uniqueId")]


def test_a_document_that_is_not_assembled_yet_is_registered(desk: Desk) -> None:
    """Size 0 with the hash of nothing is legal (Delayed Document Assembly), and given back so."""
    desk.submit(submit(document(D1, hash=s.EMPTY_SHA1, size=0)))
    (got,) = desk.ask(get_documents.ID, XDSDocumentEntryEntryUUID=f"('{D1}')")
    slots = {each.name: each.values for each in got.slots}
    assert (slots["hash"], slots["size"]) == ((s.EMPTY_SHA1,), ("0",))


def test_answers_name_the_type_of_every_object(desk: Desk) -> None:
    """objectType is the standard's in answers, whatever was sent (ITI TF-3 4.2.3.1.2)."""
    sent = [
        replace(each, attributes={**each.attributes, "objectType": "urn:example:mine"})
        if each.kind != "ExtrinsicObject"
        else each
        for each in submit(document(D1))
    ]
    desk.submit(sent)
    for each in everything(desk).values():
        expected = names.STABLE if each.kind == "ExtrinsicObject" else names.OBJECT_TYPE + each.kind
        assert each.attributes["objectType"] == expected


# -- patients ------------------------------------------------------------------------------------------------


def test_a_set_takes_in_another_patients_document_and_nothing_more(desk: Desk) -> None:
    """Membership by reference crosses patients (ITI TF-3 4.2.2.1.1); a relationship to it does not."""
    desk.submit(submit(document(D1, patient_id=s.OTHER_PATIENT)))
    reference = s.member(SET, D1, "Reference")
    assert desk.submit(submit(document(D2), links=[reference])) is True
    refused = desk.refused(submit(document(D3), links=[reference, link(names.APND, D3, D1)]))
    assert refused == [(OTHER_PATIENT, "registry-same-patient", TARGET)]
    assert set(statuses(desk, s.OTHER_PATIENT)) == {D1}


# -- on-demand documents (ITI-61) ----------------------------------------------------------------------------


def kinds(desk: Desk) -> dict[str, str]:
    """The documents of both types with their statuses."""
    both = f"('{names.APPROVED}','{names.DEPRECATED}')"
    found = desk.ask(
        find_documents.ID,
        XDSDocumentEntryPatientId=f"'{s.PATIENT}'",
        XDSDocumentEntryStatus=both,
        XDSDocumentEntryType=f"('{names.STABLE}','{names.ON_DEMAND}')",
    )
    return {each.id: each.attributes["status"].rpartition(":")[2] for each in found}


def test_an_on_demand_entry_is_registered_without_content(desk: Desk) -> None:
    """No creationTime, hash or size (ITI TF-3 table 4.3.2.1-3); found when its type is asked for."""
    desk.submit(submit(on_demand(D1)), "ITI-61")
    assert statuses(desk) == {}
    assert kinds(desk) == {D1: "Approved"}
    (got,) = desk.ask(get_documents.ID, XDSDocumentEntryEntryUUID=f"('{D1}')")
    assert not {"creationTime", "hash", "size"} & {each.name for each in got.slots}


def test_several_on_demand_entries_may_have_one_unique_id(desk: Desk) -> None:
    """Another entry is made (ITI TF-2 3.61.4.1.3)."""
    desk.submit(submit(on_demand(D1, 5)), "ITI-61")
    desk.submit(submit(on_demand(D2, 5)), "ITI-61")
    found = desk.ask(get_documents.ID, XDSDocumentEntryUniqueId="('1.2.3.5')")
    assert {each.id for each in found} == {D1, D2}


def test_a_stable_and_an_on_demand_document_do_not_share_a_unique_id(desk: Desk) -> None:
    """Whichever came first (ITI TF-2 3.61.4.1.3)."""
    rule = "registry-document-unique-id-type"
    desk.submit(submit(document(D1, 5)))
    assert desk.refused(submit(on_demand(D2, 5)), "ITI-61") == [(METADATA, rule, f"{D2}/uniqueId")]
    desk.submit(submit(on_demand(D3, 6)), "ITI-61")
    assert desk.refused(submit(document(D4, 6))) == [(METADATA, rule, f"{D4}/uniqueId")]


def test_an_on_demand_entry_is_replaced_by_another(desk: Desk) -> None:
    """The rules of relationships hold for both types."""
    desk.submit(submit(on_demand(D1)), "ITI-61")
    desk.submit(submit(on_demand(D2), links=[link(names.RPLC, D2, D1)]), "ITI-61")
    assert kinds(desk) == {D1: "Deprecated", D2: "Approved"}
    refused = desk.refused(submit(on_demand(D3), links=[link(names.RPLC, D3, D1)]), "ITI-61")
    assert refused == [(DEPRECATED, "registry-document-approved", TARGET)]


def test_an_on_demand_entry_is_filed_in_a_folder(desk: Desk) -> None:
    """ITI-61 carries folders and associations as other submissions do (ITI TF-2 3.61.4.1.2)."""
    desk.submit(submit(on_demand(D1), folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1)), "ITI-61")
    assert members(desk, F1) == [D1]


def test_a_snapshot_is_of_an_on_demand_document(desk: Desk) -> None:
    """IsSnapshotOf leads from a stable to an on-demand entry, which stays approved (ITI TF-3 4.2.2.2.6)."""
    desk.submit(submit(on_demand(D1)), "ITI-61")
    desk.submit(new(D2, names.IS_SNAPSHOT_OF, D1))
    assert kinds(desk) == {D1: "Approved", D2: "Approved"}
    refused = desk.refused(new(D3, names.IS_SNAPSHOT_OF, D2))
    assert refused == [(METADATA, KIND, TARGET)]


def test_a_snapshot_is_of_an_approved_entry_of_the_same_patient(desk: Desk) -> None:
    """The checks of all relationships, in their order."""
    desk.submit(submit(on_demand(D1, patient_id=s.OTHER_PATIENT)), "ITI-61")
    refused = desk.refused(new(D3, names.IS_SNAPSHOT_OF, D1))
    assert refused == [(OTHER_PATIENT, "registry-same-patient", TARGET)]
    desk.submit(submit(on_demand(D4)), "ITI-61")
    desk.submit(submit(on_demand(D5), links=[link(names.RPLC, D5, D4)]), "ITI-61")
    refused = desk.refused(new(D6, names.IS_SNAPSHOT_OF, D4))
    assert refused == [(DEPRECATED, "registry-document-approved", TARGET)]


def test_snapshots_stay_when_their_on_demand_entry_is_replaced(desk: Desk) -> None:
    """Only addenda and transformations go with a replaced document."""
    desk.submit(submit(on_demand(D1)), "ITI-61")
    desk.submit(new(D2, names.IS_SNAPSHOT_OF, D1))
    desk.submit(submit(on_demand(D3), links=[link(names.RPLC, D3, D1)]), "ITI-61")
    assert kinds(desk) == {D1: "Deprecated", D2: "Approved", D3: "Approved"}


# -- limited metadata ----------------------------------------------------------------------------------------

LABELS = {
    "ExtrinsicObject": "urn:uuid:ab9b591b-83ab-4d03-8f5d-f93b1fb92e85",
    "RegistryPackage": "urn:uuid:5003a9db-8d8d-49e6-bf0c-990e34ac7707",
}
NOTHING = Code("", "")


def limited(uuid: str) -> tuple[RegistryObject, ...]:
    """A document of which nothing is said but what must be, by a set that says as little."""
    fields = ("class_code", "type_code", "format_code", "practice_setting_code")
    coded = dict.fromkeys((*fields, "healthcare_facility_type_code"), NOTHING)
    entry = document(uuid, **coded, confidentiality_codes=(), language_code="", source_patient_id="")
    bare = replace(entry, creation_time=None, authors=(), legal_authenticator=None, title=None)
    said = []
    for each in s.submission(bare, of=s.submission_set(content_type_code=NOTHING)):
        kept = [c for c in each.classifications if c.attributes.get("nodeRepresentation") != ""]
        if each.kind in LABELS:
            own = {"id": "l", "classifiedObject": each.id, "classificationNode": LABELS[each.kind]}
            kept.append(RegistryObject("Classification", own))
        slots = tuple(slot for slot in each.slots if slot.values != ("",))
        said.append(replace(each, slots=slots, classifications=tuple(kept)))
    return tuple(said)


def test_limited_metadata_is_refused_unless_a_setting_says_so(desk: Desk) -> None:
    """registry.limited_metadata is `refused` by default; every labelled object is named."""
    assert check(limited(D1), transaction="ITI-42") == ()
    assert desk.refused(limited(D1)) == [
        (METADATA, "registry-limited-metadata", f"{SET}/limitedMetadata"),
        (METADATA, "registry-limited-metadata", f"{D1}/limitedMetadata"),
    ]


def test_limited_metadata_is_given_back_as_it_came(database_url: str) -> None:
    """With what was left out left out, and the label that says so."""
    database = Database(database_url)
    desk = Desk(database, replace(OPEN, reading=Reading(limited_metadata=True)))
    try:
        sent = limited(D1)
        assert desk.submit(sent) is True
        assert statuses(desk) == {D1: "Approved"}
        (got,) = desk.ask(get_documents.ID, XDSDocumentEntryEntryUUID=f"('{D1}')")
        original = next(each for each in sent if each.kind == "ExtrinsicObject")
        assert got.slots == original.slots
        (label,) = got.classifications
        assert label.attributes["classificationNode"] == LABELS["ExtrinsicObject"]

        for parameter in ("ClassCode", "ConfidentialityCode", "PracticeSettingCode"):
            name = f"XDSDocumentEntry{parameter}"
            found = {
                "XDSDocumentEntryPatientId": f"'{s.PATIENT}'",
                "XDSDocumentEntryStatus": f"('{names.APPROVED}')",
            }
            assert desk.ask(find_documents.ID, **found, **{name: "('A00-1^^2.16.578.1.12.4.1.1.9602')"}) == ()
            with pytest.raises(RegistryFailure):  # a code that is none cannot be asked for
                desk.ask(find_documents.ID, **found, **{name: "('^^')"})
    finally:
        database.close()


# -- a membership, once --------------------------------------------------------------------------------------


def test_a_document_is_filed_in_a_folder_once(desk: Desk) -> None:
    """It is in the folder already, so a second membership would say nothing (ITI TF-3 4.2.2.1.3)."""
    desk.submit(submit(document(D1), folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1)))
    again = s.member(F1, D1, entry_uuid="Link")
    refused = desk.refused(without_documents(again, s.member(SET, "Link")))
    assert refused == [(METADATA, "registry-member-once", TARGET)]
    assert members(desk, F1) == [D1]


def test_a_document_that_was_taken_out_of_a_folder_is_filed_again(desk: Desk) -> None:
    """A deprecated membership is history: it keeps nobody out."""
    desk.submit(submit(document(D1), folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1)))
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE association SET status = 2")
    assert desk.submit(without_documents(*filed(F1, D1))) is True


def test_a_document_is_filed_in_two_folders_and_taken_into_two_sets(desk: Desk) -> None:
    """Once means once between the same two."""
    desk.submit(submit(document(D1), folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1)))
    desk.submit(submit(folders=[s.folder(entry_uuid=F2, unique_id="1.2.5")], links=filed(F2, D1)))
    assert desk.submit(without_documents(s.member(SET, D1, "Reference"))) is True


def test_a_replacement_that_comes_with_its_folder_is_filed_once(desk: Desk) -> None:
    """The registry adds no second membership to the one that the submission has."""
    desk.submit(submit(document(D1), folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1)))
    desk.submit(submit(document(D2), links=[link(names.RPLC, D2, D1), *filed(F1, D2)]))
    assert sorted(members(desk, F1)) == [D1, D2]


def test_a_replacement_of_two_documents_of_a_folder_is_filed_once(desk: Desk) -> None:
    """Each of the two would bring it there."""
    desk.submit(
        submit(document(D1), document(D2), folders=[s.folder(entry_uuid=F1)], links=filed(F1, D1, D2))
    )
    both = [s.association(names.RPLC, D3, each) for each in (D1, D2)]
    desk.submit(submit(document(D3), links=both))
    assert sorted(members(desk, F1)) == [D1, D2, D3]


# -- all that is wrong with a reference ----------------------------------------------------------------------


def test_every_rule_that_a_reference_breaks_is_reported(desk: Desk) -> None:
    """A deprecated document of another patient that is not on demand: in the order of 3.42.4.1.3.5."""
    desk.submit(submit(document(D1, patient_id=s.OTHER_PATIENT)))
    desk.submit(new(D2, names.RPLC, D1, patient_id=s.OTHER_PATIENT))
    assert desk.refused(new(D3, names.IS_SNAPSHOT_OF, D1)) == [
        (DEPRECATED, "registry-document-approved", TARGET),
        (OTHER_PATIENT, "registry-same-patient", TARGET),
        (METADATA, KIND, TARGET),
    ]


def test_an_addendum_to_another_patients_deprecated_transformation_breaks_three_rules(desk: Desk) -> None:
    """Each of them would have to be mended."""
    desk.submit(submit(document(D1, patient_id=s.OTHER_PATIENT)))
    desk.submit(new(D2, names.XFRM, D1, patient_id=s.OTHER_PATIENT))
    desk.submit(new(D3, names.RPLC, D2, patient_id=s.OTHER_PATIENT))
    assert [error[:2] for error in desk.refused(new(D4, names.APND, D2))] == [
        (DEPRECATED, "registry-document-approved"),
        (OTHER_PATIENT, "registry-same-patient"),
        (METADATA, "registry-addendum"),
    ]


# -- many ----------------------------------------------------------------------------------------------------


def test_more_than_one_statement_takes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders, addenda, their addenda, references and claims: each list goes in several statements."""
    monkeypatch.setattr(objects, "_TOGETHER", 2)
    uuids = [f"urn:uuid:00000000-0000-4000-8000-0000000001{n:02d}" for n in range(30)]
    first, others, folders, new_one = uuids[0], uuids[1:8], uuids[10:17], uuids[20]
    desk.submit(submit(document(first)))
    desk.submit(
        submit(*map(document, others[:4]), links=[s.association(names.APND, o, first) for o in others[:4]])
    )
    desk.submit(
        submit(
            *map(document, others[4:]), links=[s.association(names.APND, o, others[0]) for o in others[4:]]
        )
    )
    desk.submit(
        submit(folders=[s.folder(entry_uuid=f, unique_id=f"1.2.6.{n}") for n, f in enumerate(folders)])
    )
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE folder SET last_update_time = 20200101000000")
    desk.submit(without_documents(*(each for f in folders for each in filed(f, first))))
    assert {f: members(desk, f) for f in folders} == {f: [first] for f in folders}
    desk.submit(submit(document(new_one), links=[s.association(names.RPLC, new_one, first)]))
    assert statuses(desk) == dict.fromkeys((first, *others), "Deprecated") | {new_one: "Approved"}
    assert {f: set(members(desk, f)) for f in folders} == {f: {first, new_one} for f in folders}
    with desk.database.read() as connection:
        times = connection.exec_driver_sql("SELECT min(last_update_time) FROM folder").scalar_one()
    assert times > 20200101000000
    changed = [document(f"{each[:-3]}9{each[-2:]}", int(each[-4:], 16), size=1) for each in others]
    assert [error[1] for error in desk.refused(submit(*changed))] == ["registry-document-same-size"] * 7
