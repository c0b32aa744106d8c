"""The stored queries: what each parameter selects, worked out by hand from ITI TF-2 3.18.4.1.2.3."""

from __future__ import annotations

from typing import Any

import pytest

from tests.metadata import samples as s
from tests.registry import updates
from tests.registry.conftest import Desk
from tests.registry.test_register import D1, D2, D3, F1, UNKNOWN, document, submit
from xds.errors import RegistryFailure
from xds.metadata import names
from xds.metadata.model import Author, Code, Slot
from xds.registry.queries import (
    MULTI_PATIENT_QUERIES,
    STORED_QUERIES,
    find_documents,
    find_documents_by_reference_id,
    find_documents_for_multiple_patients,
    find_folders,
    find_folders_for_multiple_patients,
    find_submission_sets,
    get_all,
    get_associations,
    get_documents,
    get_folders,
    get_related_documents,
    get_submission_set_and_contents,
    get_submission_sets,
)
from xds.registry.registry import Found, Options, StoredQuery
from xds.registry.view import EVERYTHING

APPROVED = f"('{names.APPROVED}')"
DEPRECATED = f"('{names.DEPRECATED}')"
BOTH = f"('{names.APPROVED}','{names.DEPRECATED}')"


def ids(objects: Any) -> set[str]:
    """The ids of objects, to be compared with what was expected."""
    return {each.id for each in objects}


def find(desk: Desk, **parameters: Any) -> set[str]:
    """FindDocuments for the sample patient, approved documents unless said otherwise."""
    given = {"XDSDocumentEntryPatientId": f"'{s.PATIENT}'", "XDSDocumentEntryStatus": APPROVED} | parameters
    return ids(desk.ask(find_documents.ID, **given))


# -- FindDocuments -------------------------------------------------------------------------------------------

#: Three documents that differ in everything a parameter can ask for.
ONE = document(
    D1,
    creation_time="20240101",
    service_start_time="20240110",
    service_stop_time="20240111",
    event_codes=(Code("E1", "2.999.1"), Code("E2", "2.999.1")),
    confidentiality_codes=(s.NORMAL,),
)
TWO = document(
    D2,
    class_code=s.NOTE_GROUP,
    type_code=s.NOTE,
    practice_setting_code=Code("K01", "2.16.578.1.12.4.1.1.8655", "x"),
    healthcare_facility_type_code=Code("86.211", "2.16.578.1.12.4.1.1.1303", "x"),
    format_code=Code("urn:ihe:iti:xds-sd:pdf:2008", "1.3.6.1.4.1.19376.1.2.3", "x"),
    creation_time="202402",
    service_start_time=None,
    service_stop_time=None,
    event_codes=(Code("E2", "2.999.1"),),
    confidentiality_codes=(s.NORMAL, s.BLOCKED),
    authors=(Author(person="11^Bø^Kari^^^^^^&2.16.578.1.12.4.1.4.4&ISO"), Author(person="12^Li^Per")),
)
THREE = document(
    D3,
    creation_time="20240301120000",
    service_start_time="20240301",
    service_stop_time="20240302",
    confidentiality_codes=(s.BLOCKED,),
    authors=(),
)


@pytest.fixture
def three(desk: Desk) -> Desk:
    """A registry with the three documents, and one of another patient."""
    desk.submit(submit(ONE, TWO, THREE))
    desk.submit(submit(document("urn:uuid:00000000-0000-4000-8000-0000000000aa", patient_id=s.OTHER_PATIENT)))
    return desk


def coded(code: Code) -> str:
    """A code as a query writes it."""
    return f"{code.code}^^{code.scheme}"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, {D1, D2, D3}),
        ({"XDSDocumentEntryClassCode": f"('{coded(s.NOTE_GROUP)}')"}, {D2}),
        (
            {"XDSDocumentEntryClassCode": [f"('{coded(s.NOTE_GROUP)}')", f"('{coded(s.DISCHARGE_GROUP)}')"]},
            {D1, D2, D3},
        ),
        ({"XDSDocumentEntryClassCode": "('A00-1^^2.999')"}, set()),
        ({"XDSDocumentEntryTypeCode": f"('{coded(s.NOTE)}','{coded(s.DISCHARGE_LETTER)}')"}, {D1, D2, D3}),
        ({"XDSDocumentEntryTypeCode": f"('{coded(s.NOTE)}')"}, {D2}),
        ({"XDSDocumentEntryPracticeSettingCode": "('K01^^2.16.578.1.12.4.1.1.8655')"}, {D2}),
        ({"XDSDocumentEntryHealthcareFacilityTypeCode": "('86.211^^2.16.578.1.12.4.1.1.1303')"}, {D2}),
        ({"XDSDocumentEntryFormatCode": "('urn:ihe:iti:xds-sd:pdf:2008^^1.3.6.1.4.1.19376.1.2.3')"}, {D2}),
        # OR in a list, AND between repeated Slots.
        ({"XDSDocumentEntryEventCodeList": "('E1^^2.999.1','E2^^2.999.1')"}, {D1, D2}),
        ({"XDSDocumentEntryEventCodeList": (["('E1^^2.999.1')"], ["('E2^^2.999.1')"])}, {D1}),
        ({"XDSDocumentEntryConfidentialityCode": f"('{coded(s.NORMAL)}')"}, {D1, D2}),
        (
            {
                "XDSDocumentEntryConfidentialityCode": (
                    [f"('{coded(s.NORMAL)}')"],
                    [f"('{coded(s.BLOCKED)}')"],
                )
            },
            {D2},
        ),
        # An event code is not a confidentiality code, though both are packed in one column.
        ({"XDSDocumentEntryConfidentialityCode": "('E1^^2.999.1')"}, set()),
        # LIKE: % any run, _ one character, the whole value, exact case.
        ({"XDSDocumentEntryAuthorPerson": "('%Fjell%')"}, {D1}),
        ({"XDSDocumentEntryAuthorPerson": "('%fjell%')"}, set()),
        ({"XDSDocumentEntryAuthorPerson": "('Fjell')"}, set()),
        ({"XDSDocumentEntryAuthorPerson": "('12^L_^Per')"}, {D2}),
        ({"XDSDocumentEntryAuthorPerson": "('12^L_')"}, set()),
        ({"XDSDocumentEntryAuthorPerson": "('11^B%','%Fjell%')"}, {D1, D2}),
        # A pattern is held against one author at a time: Bø is one, Per another.
        ({"XDSDocumentEntryAuthorPerson": "('11^%Per')"}, set()),
        ({"XDSDocumentEntryAuthorPerson": "('%')"}, {D1, D2}),
        ({"XDSDocumentEntryAuthorPerson": "('%.%')"}, {D1, D2}),
        ({"XDSDocumentEntryAuthorPerson": "('1.%')"}, set()),
        # Times: from <= value < to, missing parts lowest, an entry without a service time matches.
        ({"XDSDocumentEntryCreationTimeFrom": "20240201"}, {D2, D3}),
        ({"XDSDocumentEntryCreationTimeFrom": "20240202"}, {D3}),
        ({"XDSDocumentEntryCreationTimeTo": "20240301120000"}, {D1, D2}),
        ({"XDSDocumentEntryCreationTimeTo": "20240301120001"}, {D1, D2, D3}),
        ({"XDSDocumentEntryCreationTimeFrom": "2024", "XDSDocumentEntryCreationTimeTo": "202402"}, {D1}),
        ({"XDSDocumentEntryServiceStartTimeFrom": "20240201"}, {D2, D3}),
        ({"XDSDocumentEntryServiceStartTimeTo": "'20240201'"}, {D1, D2}),
        ({"XDSDocumentEntryServiceStopTimeFrom": "20240111"}, {D1, D2, D3}),
        ({"XDSDocumentEntryServiceStopTimeTo": "20240111"}, {D2}),
        # Types: stable documents by default, and there are no others here.
        ({"XDSDocumentEntryType": f"('{names.STABLE}','{names.ON_DEMAND}')"}, {D1, D2, D3}),
        ({"XDSDocumentEntryType": f"('{names.ON_DEMAND}')"}, set()),
        # Statuses not understood are ignored beside one that is.
        ({"XDSDocumentEntryStatus": f"('urn:other','{names.APPROVED}')"}, {D1, D2, D3}),
        ({"XDSDocumentEntryStatus": f"('{names.DEPRECATED}')"}, set()),
        # A parameter nobody knows is ignored.
        ({"XDSDocumentEntryNobodyKnows": "('x')"}, {D1, D2, D3}),
        ({"XDSDocumentEntryPatientId": "'nobody^^^&2.999&ISO'"}, set()),
    ],
)
def test_find_documents_selects(three: Desk, parameters: dict[str, Any], expected: set[str]) -> None:
    """Each parameter selects what the standard says."""
    assert find(three, **parameters) == expected


def test_documents_come_in_the_order_they_were_registered(three: Desk) -> None:
    """Within a submission in the order of the message."""
    found = three.ask(
        find_documents.ID, XDSDocumentEntryPatientId=f"'{s.PATIENT}'", XDSDocumentEntryStatus=APPROVED
    )
    assert [each.id for each in found] == [D1, D2, D3]


def test_object_refs_name_the_same_objects_and_nothing_else(three: Desk) -> None:
    """An ObjectRef has the id, and the home if the object has one."""
    found = three.ask(
        find_documents.ID, False, XDSDocumentEntryPatientId=f"'{s.PATIENT}'", XDSDocumentEntryStatus=APPROVED
    )
    assert [dict(each.attributes) for each in found] == [{"id": D1}, {"id": D2}, {"id": D3}]


# -- by id ---------------------------------------------------------------------------------------------------


def test_get_documents_finds_by_either_id(three: Desk) -> None:
    """By entryUUID, by uniqueId, several at once; unknown ones are just not there."""
    assert ids(three.ask(get_documents.ID, XDSDocumentEntryEntryUUID=f"('{D1}','{D3}','{UNKNOWN}')")) == {
        D1,
        D3,
    }
    unique = f"('{ONE.unique_id}','{TWO.unique_id}','9.9.9')"
    assert ids(three.ask(get_documents.ID, XDSDocumentEntryUniqueId=unique)) == {D1, D2}


def test_full_objects_of_two_patients_are_refused_and_references_are_not(three: Desk) -> None:
    """XDSResultNotSinglePatient, and no metadata, for LeafClass; never for ObjectRef."""
    both = f"('{D1}','urn:uuid:00000000-0000-4000-8000-0000000000aa')"
    assert refused(three, get_documents.ID, XDSDocumentEntryEntryUUID=both) == [
        ("XDSResultNotSinglePatient", "query-single-patient", "")
    ]
    assert len(three.ask(get_documents.ID, False, XDSDocumentEntryEntryUUID=both)) == 2


@pytest.fixture
def filed(desk: Desk) -> Desk:
    """A set with two documents and a folder that holds one of them, and an older one by reference."""
    desk.submit(submit(document(D3)))
    into = s.member(F1, D1)
    desk.submit(
        s.submission(
            document(D1),
            document(D2, format_code=Code("other", "2.999.2"), confidentiality_codes=(s.BLOCKED,)),
            folders=[s.folder(entry_uuid=F1)],
            links=[
                into,
                s.member("SubmissionSet01", into.entry_uuid),
                s.member("SubmissionSet01", D3, "Reference"),
            ],
        )
    )
    return desk


def links(objects: Any) -> set[tuple[str, str]]:
    """(source, target) of the associations among objects, the set written SS and an association AS."""
    kinds = {each.id: each for each in objects}

    def name(uuid: str) -> str:
        if uuid in (D1, D2, D3, F1):
            return uuid
        return "AS" if uuid in kinds and kinds[uuid].kind == "Association" else "SS"

    return {
        (name(each.attributes["sourceObject"]), name(each.attributes["targetObject"]))
        for each in objects
        if each.kind == "Association"
    }


def test_get_submission_set_and_contents_gives_the_set_its_members_and_the_links(filed: Desk) -> None:
    """The set, the documents (by reference too), the folder, its link, and the set's link to each."""
    found = filed.ask(
        get_submission_set_and_contents.ID, XDSSubmissionSetUniqueId=f"'{s.submission_set().unique_id}'"
    )
    assert ids(found) >= {D1, D2, D3, F1}
    assert links(found) == {("SS", D1), ("SS", D2), ("SS", D3), ("SS", F1), ("SS", "AS"), (F1, D1)}
    assert len([each for each in found if each.kind == "RegistryPackage"]) == 2


def test_a_filtered_document_takes_its_links_with_it(filed: Desk) -> None:
    """A member document that does not pass, and links to it, are left out, a folder link too."""
    unique = f"'{s.submission_set().unique_id}'"
    only_d2 = filed.ask(
        get_submission_set_and_contents.ID,
        XDSSubmissionSetUniqueId=unique,
        XDSDocumentEntryFormatCode="('other^^2.999.2')",
    )
    assert links(only_d2) == {("SS", D2), ("SS", F1)}
    not_d2 = filed.ask(
        get_submission_set_and_contents.ID,
        XDSSubmissionSetUniqueId=unique,
        XDSDocumentEntryConfidentialityCode=f"('{coded(s.NORMAL)}')",
    )
    assert links(not_d2) == {("SS", D1), ("SS", D3), ("SS", F1), ("SS", "AS"), (F1, D1)}


def test_get_submission_set_and_contents_finds_by_uuid_too(filed: Desk) -> None:
    """entryUUID and uniqueId lead to the same answer; an unknown one to an empty one."""
    unique = f"'{s.submission_set().unique_id}'"
    found = filed.ask(get_submission_set_and_contents.ID, XDSSubmissionSetUniqueId=unique)
    own = next(each.id for each in found if each.kind == "RegistryPackage" and each.id != F1)
    same = filed.ask(get_submission_set_and_contents.ID, XDSSubmissionSetEntryUUID=f"'{own}'")
    assert ids(same) == ids(found)
    assert filed.ask(get_submission_set_and_contents.ID, XDSSubmissionSetEntryUUID=f"'{UNKNOWN}'") == ()


# -- GetAll --------------------------------------------------------------------------------------------------


def all_of(desk: Desk, **changes: Any) -> Any:
    """GetAll for the sample patient."""
    given = {
        "patientId": f"'{s.PATIENT}'",
        "XDSDocumentEntryStatus": APPROVED,
        "XDSSubmissionSetStatus": APPROVED,
        "XDSFolderStatus": APPROVED,
    }
    return desk.ask(get_all.ID, **(given | changes))


def test_get_all_gives_everything_of_the_patient(filed: Desk) -> None:
    """Three documents, two sets, one folder, and each association that touches one of them."""
    found = all_of(filed)
    assert (
        sorted(each.kind for each in found)
        == ["Association"] * 7 + ["ExtrinsicObject"] * 3 + ["RegistryPackage"] * 3
    )
    assert (F1, D1) in links(found)


def test_get_all_filters_documents_only(filed: Desk) -> None:
    """Sets and folders stay; a link stays when one of its ends does (ITI TF-2 3.18.4.1.2.3.7.4)."""
    found = all_of(filed, XDSDocumentEntryFormatCode="('other^^2.999.2')")
    assert {each.id for each in found if each.kind == "ExtrinsicObject"} == {D2}
    assert (F1, D1) in links(found)
    nothing_approved = all_of(filed, XDSFolderStatus=f"('{names.DEPRECATED}')")
    assert F1 not in ids(nothing_approved)


# -- refusals ------------------------------------------------------------------------------------------------


def refused(desk: Desk, query: str, **parameters: Any) -> list[tuple[str, str, str]]:
    """(code, rule, location) of every error of a query that must be refused."""
    with pytest.raises(RegistryFailure) as caught:
        desk.ask(query, **parameters)
    return [(str(error.code), error.rule, error.location) for error in caught.value.errors]


PATIENT = {"XDSDocumentEntryPatientId": f"'{s.PATIENT}'"}
MISSING, NUMBER, MALFORMED = "XDSStoredQueryMissingParam", "XDSStoredQueryParamNumber", "XDSRegistryError"


@pytest.mark.parametrize(
    ("query", "parameters", "expected"),
    [
        (
            "urn:uuid:00000000-0000-4000-8000-000000000000",
            {},
            [("XDSUnknownStoredQuery", "query-known", "AdhocQuery/id")],
        ),
        (
            find_documents.ID,
            {},
            [
                (MISSING, "query-parameter-required", "$XDSDocumentEntryPatientId"),
                (MISSING, "query-parameter-required", "$XDSDocumentEntryStatus"),
            ],
        ),
        (
            find_documents.ID,
            PATIENT | {"XDSDocumentEntryStatus": "('urn:other')"},
            [(MISSING, "query-parameter-required", "$XDSDocumentEntryStatus")],
        ),
        (
            find_documents.ID,
            PATIENT | {"XDSDocumentEntryStatus": []},
            [(MISSING, "query-parameter-required", "$XDSDocumentEntryStatus")],
        ),
        (
            find_documents.ID,
            {"XDSDocumentEntryPatientId": "('a','b')", "XDSDocumentEntryStatus": APPROVED},
            [(NUMBER, "query-parameter-single", "$XDSDocumentEntryPatientId")],
        ),
        (
            find_documents.ID,
            PATIENT | {"XDSDocumentEntryStatus": (["('a')"], ["('b')"])},
            [(NUMBER, "query-parameter-repeated", "$XDSDocumentEntryStatus")],
        ),
        (
            find_documents.ID,
            PATIENT
            | {
                "XDSDocumentEntryStatus": APPROVED,
                "XDSDocumentEntryTypeCode": "('A03-2')",
                "XDSDocumentEntryCreationTimeFrom": "yesterday",
                "XDSDocumentEntryClassCode": "('a",
            },
            [
                (MALFORMED, "query-parameter-value", "$XDSDocumentEntryClassCode"),
                (MALFORMED, "query-parameter-value", "$XDSDocumentEntryTypeCode"),
                (MALFORMED, "query-parameter-value", "$XDSDocumentEntryCreationTimeFrom"),
            ],
        ),
        (
            get_documents.ID,
            {},
            [
                (
                    MISSING,
                    "query-parameter-alternatives",
                    "$XDSDocumentEntryEntryUUID $XDSDocumentEntryUniqueId $XDSDocumentEntryLogicalID",
                )
            ],
        ),
        (
            get_documents.ID,
            {"XDSDocumentEntryEntryUUID": f"('{D1}')", "XDSDocumentEntryUniqueId": "('1.2')"},
            [(NUMBER, "query-parameter-exclusive", "$XDSDocumentEntryEntryUUID $XDSDocumentEntryUniqueId")],
        ),
        (
            get_documents.ID,
            {"XDSDocumentEntryEntryUUID": "('Document01')"},
            [(MALFORMED, "query-parameter-value", "$XDSDocumentEntryEntryUUID")],
        ),
        (
            find_documents.ID,
            {"XDSDocumentEntryPatientId": "nobody at all", "XDSDocumentEntryStatus": APPROVED},
            [(MALFORMED, "query-parameter-value", "$XDSDocumentEntryPatientId")],
        ),
        (
            find_documents.ID,
            PATIENT
            | {
                "XDSDocumentEntryStatus": APPROVED,
                "XDSDocumentEntryEventCodeList": ("('a^^b')",) * 21,
                "XDSDocumentEntryClassCode": ["('a^^b')"] * 8_193,
            },
            [
                (NUMBER, "query-parameter-many", "$XDSDocumentEntryClassCode"),
                (NUMBER, "query-parameter-many", "$XDSDocumentEntryEventCodeList"),
            ],
        ),
        (
            find_documents.ID,
            PATIENT | {"XDSDocumentEntryStatus": APPROVED, "XDSDocumentEntryAuthorPerson": ["('%a%')"] * 101},
            [(MALFORMED, "query-parameter-value", "$XDSDocumentEntryAuthorPerson")],
        ),
        (
            get_submission_set_and_contents.ID,
            {"XDSSubmissionSetUniqueId": "('1.2','1.3')"},
            [(NUMBER, "query-parameter-single", "$XDSSubmissionSetUniqueId")],
        ),
        (
            find_documents.ID,
            PATIENT
            | {
                "XDSDocumentEntryStatus": APPROVED,
                "XDSDocumentEntryClassCode": ["('a^^b')"] * 5_000,
                "XDSDocumentEntryTypeCode": ["('a^^b')"] * 5_000,
            },
            [(NUMBER, "query-values-many", "AdhocQuery")],
        ),
        (
            find_documents.ID,
            PATIENT
            | {
                "XDSDocumentEntryStatus": APPROVED,
                "XDSDocumentEntryAuthorPerson": [f"('{'a' * 250}%')"] * 33,
            },
            [(NUMBER, "query-values-many", "AdhocQuery")],
        ),
        (
            find_documents.ID,
            PATIENT | {"XDSDocumentEntryStatus": APPROVED, "MetadataLevel": "3"},
            [(MALFORMED, "query-parameter-value", "$MetadataLevel")],
        ),
        (
            find_documents.ID,
            {"XDSDocumentEntryStatus": APPROVED, "MetadataLevel": (["1"], ["2"])},
            [
                (NUMBER, "query-parameter-repeated", "$MetadataLevel"),
                (MISSING, "query-parameter-required", "$XDSDocumentEntryPatientId"),
            ],
        ),
        (
            get_documents.ID,
            {"XDSDocumentEntryLogicalID": f"('{D1}')"},
            [(MALFORMED, "query-metadata-level", "$XDSDocumentEntryLogicalID")],
        ),
        (
            get_folders.ID,
            {"XDSFolderLogicalID": f"('{D1}')", "MetadataLevel": "1"},
            [(MALFORMED, "query-metadata-level", "$XDSFolderLogicalID")],
        ),
        (
            get_folders.ID,
            {"XDSFolderLogicalID": f"('{D1}')", "XDSFolderUniqueId": "('1.2')", "MetadataLevel": "2"},
            [(NUMBER, "query-parameter-exclusive", "$XDSFolderUniqueId $XDSFolderLogicalID")],
        ),
        (get_associations.ID, {}, [(MISSING, "query-parameter-required", "$uuid")]),
        (get_submission_sets.ID, {"uuid": "('1.2')"}, [(MALFORMED, "query-parameter-value", "$uuid")]),
        (
            get_related_documents.ID,
            {"XDSDocumentEntryEntryUUID": f"('{D1}','{D2}')"},
            [
                (NUMBER, "query-parameter-single", "$XDSDocumentEntryEntryUUID"),
                (MISSING, "query-parameter-required", "$AssociationTypes"),
            ],
        ),
        (
            find_submission_sets.ID,
            {
                "XDSSubmissionSetPatientId": f"'{s.PATIENT}'",
                "XDSSubmissionSetStatus": APPROVED,
                "XDSSubmissionSetAuthorPerson": "('a','b')",
            },
            [(NUMBER, "query-parameter-single", "$XDSSubmissionSetAuthorPerson")],
        ),
        (
            find_documents_by_reference_id.ID,
            PATIENT | {"XDSDocumentEntryStatus": APPROVED},
            [(MISSING, "query-parameter-required", "$XDSDocumentEntryReferenceIdList")],
        ),
        # A query for several patients must be narrowed by something that is indexed.
        (
            find_documents_for_multiple_patients.ID,
            {"XDSDocumentEntryStatus": APPROVED, "XDSDocumentEntryTypeCode": "('a^^b')"},
            [
                (
                    MISSING,
                    "query-parameter-some",
                    "$XDSDocumentEntryPatientId $XDSDocumentEntryClassCode $XDSDocumentEntryEventCodeList"
                    " $XDSDocumentEntryHealthcareFacilityTypeCode",
                )
            ],
        ),
        (
            find_folders_for_multiple_patients.ID,
            {},
            [
                (MISSING, "query-parameter-required", "$XDSFolderStatus"),
                (MISSING, "query-parameter-some", "$XDSFolderPatientId $XDSFolderCodeList"),
            ],
        ),
    ],
)
def test_a_bad_query_is_refused_with_every_error(
    desk: Desk, query: str, parameters: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    """Missing, repeated, malformed and contradicting parameters each have their code, all in one answer."""
    assert refused(desk, query, **parameters) == expected


#: Query -> its parameter for a patient, and what else it needs.
OF_PATIENTS: dict[str, tuple[str, dict[str, str]]] = {
    find_documents.ID: ("XDSDocumentEntryPatientId", {"XDSDocumentEntryStatus": APPROVED}),
    find_documents_by_reference_id.ID: (
        "XDSDocumentEntryPatientId",
        {"XDSDocumentEntryStatus": APPROVED, "XDSDocumentEntryReferenceIdList": "('%')"},
    ),
    find_submission_sets.ID: ("XDSSubmissionSetPatientId", {"XDSSubmissionSetStatus": APPROVED}),
    find_folders.ID: ("XDSFolderPatientId", {"XDSFolderStatus": APPROVED}),
    get_all.ID: (
        "patientId",
        {f"XDS{kind}Status": APPROVED for kind in ("DocumentEntry", "SubmissionSet", "Folder")},
    ),
    find_documents_for_multiple_patients.ID: (
        "XDSDocumentEntryPatientId",
        {"XDSDocumentEntryStatus": APPROVED},
    ),
    find_folders_for_multiple_patients.ID: ("XDSFolderPatientId", {"XDSFolderStatus": APPROVED}),
}


@pytest.mark.parametrize("query", OF_PATIENTS)
@pytest.mark.parametrize(
    "pid",
    [
        "17855599120",
        "17855599120^^^&2.16.578.1.12.4.1.4.1&iso",
        "17855599120^^^&2.16.578.1.12.4.1.4.1",
        "17855599120^^^NO&2.16.578.1.12.4.1.4.1&ISO",
        "17855599120^^^&2.16.578.1.12.4.1.4.1&ISO^",
        " 17855599120^^^&2.16.578.1.12.4.1.4.1&ISO",
        "17855599120^^^&urn:oid:2.16.578.1.12.4.1.4.1&ISO",
        "",
    ],
)
def test_a_mistyped_patient_id_is_an_error_and_not_a_patient_without_documents(
    three: Desk, query: str, pid: str
) -> None:
    """Also in a list beside a good one; the error says the form and never the value."""
    name, others = OF_PATIENTS[query]
    expected = [(MALFORMED, "query-parameter-value", f"${name}")]
    assert refused(three, query, **others, **{name: f"'{pid}'"}) == expected
    if query in MULTI_PATIENT_QUERIES:
        assert refused(three, query, **others, **{name: f"('{s.PATIENT}','{pid}')"}) == expected
    with pytest.raises(RegistryFailure) as caught:
        three.ask(query, **others, **{name: f"'{pid}'"})
    (error,) = caught.value.errors
    assert "17855599120" not in error.context + error.location


@pytest.mark.parametrize("query", OF_PATIENTS)
def test_a_patient_whom_nobody_knows_has_nothing(three: Desk, query: str) -> None:
    """A sound id with which nothing was registered: Success with an empty list (ITI TF-2 3.18.4.1.3)."""
    name, others = OF_PATIENTS[query]
    assert three.ask(query, **others, **{name: "'29844697323^^^&2.16.578.1.12.4.1.4.9&ISO'"}) == ()


def test_a_hostile_pattern_costs_no_time(three: Desk) -> None:
    """A pattern of many wildcards is matched without going back and forth over the text."""
    hostile = "'" + "%a" * 100 + "'"
    assert find(three, XDSDocumentEntryAuthorPerson=hostile) == set()


def test_every_query_is_asked_by_its_standard_id() -> None:
    """The ids of ITI TF-2 table 3.18.4.1.2.4-1."""
    assert {
        module.NAME: identifier.removeprefix("urn:uuid:") for identifier, module in STORED_QUERIES.items()
    } == {
        "FindDocuments": "14d4debf-8f97-4251-9a74-a90016b0af0d",
        "GetAll": "10b545ea-725c-446d-9b95-8aeb444eddf3",
        "GetDocuments": "5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4",
        "GetSubmissionSetAndContents": "e8e3cb2c-e39c-46b9-99e4-c12f57260b83",
        "FindSubmissionSets": "f26abbcb-ac74-4422-8a30-edb644bbc1a9",
        "FindFolders": "958f3006-baad-4929-a4de-ff1114824431",
        "GetFolders": "5737b14c-8a1a-4539-b659-e03a34a5e1e4",
        "GetAssociations": "a7ae438b-4bc2-4642-93e9-be891f7bb155",
        "GetDocumentsAndAssociations": "bab9529a-4a10-40b3-a01f-f68a615d247a",
        "GetSubmissionSets": "51224314-5390-4169-9b91-b1980040715a",
        "GetFolderAndContents": "b909a503-523d-4517-8acf-8e5834dfc4c7",
        "GetFoldersForDocument": "10cae35a-c7f9-4cf5-b61e-fc3278ffb578",
        "GetRelatedDocuments": "d90e5407-b356-4d91-a89f-873917b4b0e6",
        "FindDocumentsByReferenceId": "12941a89-e02e-4be5-967c-ce4bfc8fe492",
    }
    assert {
        module.NAME: identifier.removeprefix("urn:uuid:")
        for identifier, module in MULTI_PATIENT_QUERIES.items()
    } == {
        "FindDocumentsForMultiplePatients": "3d1bdb10-39a2-11de-89c2-2f44d94eaa9f",
        "FindFoldersForMultiplePatients": "50d3f5ac-39a2-11de-a1ca-b366239e58df",
    }


def test_as_many_values_as_allowed_are_answered(three: Desk) -> None:
    """8,192, of the query that names each twice in its statement."""
    unknown = [f"('2.999.{n}')" for n in range(8_191)]
    found = three.ask(get_documents.ID, XDSDocumentEntryUniqueId=[*unknown, f"('{ONE.unique_id}')"])
    assert ids(found) == {D1}


def test_as_many_ids_as_allowed_are_answered_by_the_query_that_needs_each_thrice(three: Desk) -> None:
    """8,192 of GetAssociations: at the source, at the target, and not at both."""
    unknown = [f"('urn:uuid:00000000-0000-4000-9000-{n:012x}')" for n in range(8_191)]
    found = three.ask(get_associations.ID, False, uuid=[*unknown, f"('{D1}')"])
    assert len(found) == 1


# -- the query itself ----------------------------------------------------------------------------------------


def asked(desk: Desk, query: str, **more: Any) -> Found:
    """FindDocuments for the sample patient, under any id."""
    slots = [
        Slot("$XDSDocumentEntryPatientId", (f"'{s.PATIENT}'",)),
        Slot("$XDSDocumentEntryStatus", (APPROVED,)),
    ]
    return desk.registry.query(StoredQuery(query, slots, **more), EVERYTHING)


def wrong(desk: Desk, query: str, **more: Any) -> list[tuple[str, str, str]]:
    """(code, rule, location) of what is wrong with it."""
    with pytest.raises(RegistryFailure) as caught:
        asked(desk, query, **more)
    return [(str(error.code), error.rule, error.location) for error in caught.value.errors]


UNKNOWN_QUERY = ("XDSUnknownStoredQuery", "query-known", "AdhocQuery/id")


def test_each_transaction_has_its_own_queries(desk: Desk) -> None:
    """ITI-18 does not know those for multiple patients, nor ITI-51 those of ITI-18."""
    assert wrong(desk, find_documents_for_multiple_patients.ID) == [UNKNOWN_QUERY]
    assert wrong(desk, find_documents.ID, multi_patient=True) == [UNKNOWN_QUERY]
    asked(desk, find_documents_for_multiple_patients.ID, multi_patient=True)


@pytest.mark.parametrize("return_type", ["LeafClassWithRepositoryItem", "RegistryObject", "leafclass", ""])
def test_only_the_two_return_types_of_the_standard_are_answered(desk: Desk, return_type: str) -> None:
    """The others of ebRIM are refused, with whatever else is wrong."""
    error = ("XDSRegistryError", "query-return-type", "ResponseOption/returnType")
    assert wrong(desk, find_documents.ID, return_type=return_type) == [error]
    assert wrong(desk, "urn:uuid:0", return_type=return_type) == [UNKNOWN_QUERY, error]


def test_another_community_is_not_known_here(desk: Desk) -> None:
    """The home is this community's, with or without urn:oid:, or is left out; a node may have none."""
    error = ("XDSUnknownCommunity", "query-home", "AdhocQuery/home")
    assert wrong(desk, find_documents.ID, home="urn:oid:1.2.3") == [error]
    for own in ("1.2.3", "urn:oid:1.2.3"):
        at_home = Desk(desk.database, Options(patients="open", home=own))
        for home in ("", "1.2.3", "urn:oid:1.2.3"):
            asked(at_home, find_documents.ID, home=home)
        assert wrong(at_home, find_documents.ID, home="urn:oid:1.2.30") == [error]


@pytest.mark.parametrize("return_type", ["LeafClass", "ObjectRef"])
@pytest.mark.parametrize(("most", "given", "cut"), [(2, 2, True), (3, 3, False), (4, 3, False)])
def test_an_answer_holds_no_more_than_is_set(
    three: Desk, return_type: str, most: int, given: int, cut: bool
) -> None:
    """What fits is answered, with one warning that there is more and what to do."""
    small = Desk(three.database, Options(patients="open", results=most))
    found = asked(small, find_documents.ID, return_type=return_type)
    answer = b"".join(piece for batch in found.elements for piece in batch)
    assert answer.count(b"<rim:ExtrinsicObject ") + answer.count(b"<rim:ObjectRef ") == given
    assert [(str(w.code), w.rule, w.warning) for w in found.warnings] == [
        ("XDSTooManyResults", "query-too-many", True)
    ] * cut


def test_what_is_cut_from_get_all_are_the_links(filed: Desk) -> None:
    """Documents, sets and folders come first: 3 + 2 + 1, then the 7 links."""
    small = Desk(filed.database, Options(patients="open", results=7))
    found = all_of(small)
    assert [each.kind for each in found].count("Association") == 1


# -- metadata levels (XDS Metadata Update) and merged patients -----------------------------------------------


@pytest.fixture
def updated(desk: Desk) -> Desk:
    """Document D1 with a second version D2, both in folder F1, which is deprecated now; D3 signs D2."""
    updates.register(desk, document(D1), s.folder(entry_uuid=F1), links=updates.filed(F1, D1, AS))
    updates.register(desk, document(D3))
    new = document(D2, 1, logical_id=D1)
    updates.send(desk, updates.message(new, updates.member(D2)))
    updates.send(desk, updates.message(*updates.submitted(names.SIGNS, D3, D2, entry_uuid=SIGNS)))
    updates.send(desk, updates.message(updates.status(SIGNS)))
    updates.send(desk, updates.message(updates.status(F1)))
    return desk


AS = "urn:uuid:00000000-0000-4000-8000-0000000000a5"
SIGNS = "urn:uuid:00000000-0000-4000-8000-0000000000a6"
IN_FOLDERS = {"XDSFolderPatientId": f"'{s.PATIENT}'"}


@pytest.mark.parametrize(
    ("query", "parameters", "first_level", "second_level"),
    [
        (get_documents.ID, {"XDSDocumentEntryEntryUUID": f"('{D1}','{D2}')"}, {D2}, {D1, D2}),
        (get_documents.ID, {"XDSDocumentEntryUniqueId": "('1.2.3.1')"}, {D2}, {D1, D2}),
        (find_documents.ID, PATIENT | {"XDSDocumentEntryStatus": BOTH}, {D2, D3}, {D1, D2, D3}),
        (find_documents.ID, PATIENT | {"XDSDocumentEntryStatus": DEPRECATED}, set(), {D1}),
        (find_folders.ID, IN_FOLDERS | {"XDSFolderStatus": BOTH}, set(), {F1}),
        (get_folders.ID, {"XDSFolderEntryUUID": f"('{F1}')"}, set(), {F1}),
        (
            get_related_documents.ID,
            {
                "XDSDocumentEntryEntryUUID": f"'{D3}'",
                "AssociationTypes": f"('{names.SIGNS}')",
                "XDSAssociationStatus": DEPRECATED,
            },
            set(),
            {D3, D2, SIGNS},
        ),
        # Approved links alone are asked for when nothing is said.
        (
            get_related_documents.ID,
            {"XDSDocumentEntryEntryUUID": f"'{D3}'", "AssociationTypes": f"('{names.SIGNS}')"},
            set(),
            set(),
        ),
    ],
)
def test_the_first_level_shows_what_is_current(
    updated: Desk, query: str, parameters: dict[str, Any], first_level: set[str], second_level: set[str]
) -> None:
    """No older version, not even by its entryUUID; no deprecated folder or link. The second shows all."""
    assert ids(updated.ask(query, **parameters)) == first_level
    assert ids(updated.ask(query, **parameters, MetadataLevel="1")) == first_level
    assert ids(updated.ask(query, **parameters, MetadataLevel="2")) == second_level


def test_a_logical_id_leads_to_every_version(updated: Desk) -> None:
    """The id of the first version; that of a later one is nobody's logical id."""
    for asked_for, found in ((D1, {D1, D2}), (D2, set()), (D3, {D3})):
        parameters = {"XDSDocumentEntryLogicalID": f"('{asked_for}')", "MetadataLevel": "2"}
        assert ids(updated.ask(get_documents.ID, **parameters)) == found
    assert ids(updated.ask(get_folders.ID, XDSFolderLogicalID=f"('{F1}')", MetadataLevel="2")) == {F1}


def test_after_a_merge_it_is_one_patient(three: Desk) -> None:
    """Full objects of both ids may be asked for together (ITI TF-2 3.18.4.1.2.3.9)."""
    both = f"('{D1}','urn:uuid:00000000-0000-4000-8000-0000000000aa')"
    with three.database.write() as connection:
        three.registry.merge(connection, s.OTHER_PATIENT, s.PATIENT)
    assert len(three.ask(get_documents.ID, XDSDocumentEntryEntryUUID=both)) == 2
    assert len(find(three)) == 4
    assert find(three, XDSDocumentEntryPatientId=f"'{s.OTHER_PATIENT}'") == set()


@pytest.mark.parametrize("query", [get_documents, get_submission_sets])
def test_by_id_queries_are_for_one_patient(three: Desk, query: Any) -> None:
    """XDSResultNotSinglePatient, and no metadata; GetAssociations has no patient to mix."""
    both = f"('{D1}','urn:uuid:00000000-0000-4000-8000-0000000000aa')"
    name = "uuid" if query is get_submission_sets else "XDSDocumentEntryEntryUUID"
    assert refused(three, query.ID, **{name: both}) == [
        ("XDSResultNotSinglePatient", "query-single-patient", "")
    ]
    assert len(three.ask(get_associations.ID, uuid=both)) == 2
