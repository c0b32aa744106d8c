"""Every stored query and parameter on the world of world.py, as a table: what is asked, what must be found.

The expected names are worked out by hand from ITI TF-2 3.18.4.1.2.3 and 3.51.4.1.2.3; where that takes a
thought, it stands beside them. Each row is asked for full objects and for references, on both engines, and
again with some documents hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select

from tests import postgres
from tests.registry import world as w
from tests.registry.conftest import Desk
from tests.registry.world import uuid
from xds.metadata import names
from xds.metadata.model import Code
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
    get_documents_and_associations,
    get_folder_and_contents,
    get_folders,
    get_folders_for_document,
    get_related_documents,
    get_submission_set_and_contents,
    get_submission_sets,
)
from xds.registry.view import EVERYTHING, Visibility
from xds.store.database import Database
from xds.store.schema import code as code_table

QUERIES = STORED_QUERIES | MULTI_PATIENT_QUERIES


class World(NamedTuple):
    """A registry with everything of world.py in it, and the name of each entryUUID."""

    desk: Desk
    names: dict[str, str]

    def ask(self, query: str, leaf: bool, visibility: Visibility, asked: dict[str, Any]) -> list[str]:
        """The names of what a query finds, sorted."""
        found = self.desk.ask(query, leaf, visibility, **asked)
        return sorted(self.names[each.id] for each in found)


@pytest.fixture(scope="module")
def world(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Filled once: the tests only ask."""
    if engine == "postgresql":
        url = postgres.new_database()
    else:
        url = f"sqlite:///{Path(tmp_path_factory.mktemp('world'))}/xds.db"
    database = Database(url)
    database.migrate()
    desk = Desk(database)
    w.fill(desk)
    yield World(desk, w.names_by_uuid(desk))
    database.close()
    if engine == "postgresql":
        postgres.drop_database(url)


# -- how values are written ----------------------------------------------------------------------------------


def texts(*values: str) -> str:
    """A list of quoted strings."""
    return "(" + ",".join(f"'{value}'" for value in values) + ")"


def codes(*values: Code) -> str:
    """A list of codes."""
    return texts(*(f"{value.code}^^{value.scheme}" for value in values))


def uuids(*values: str) -> str:
    """A list of the entryUUIDs of names."""
    return texts(*map(uuid, values))


def uids(*values: str) -> str:
    """A list of the uniqueIds of names."""
    return texts(*map(w.unique_id, values))


APPROVED, DEPRECATED = texts(names.APPROVED), texts(names.DEPRECATED)
ANY_STATUS = texts(names.APPROVED, names.DEPRECATED)
STABLE, ON_DEMAND = texts(names.STABLE), texts(names.ON_DEMAND)
ANY_TYPE = texts(names.STABLE, names.ON_DEMAND)
ONLINE, OFFLINE = texts(names.ONLINE), texts(names.OFFLINE)


class Row(NamedTuple):
    """A query, its parameters (without $XDS, and the shared prefix of the query), and the names expected."""

    query: Any
    asked: dict[str, Any]
    expected: set[str]


def rows(query: Any, prefix: str, base: dict[str, Any], *table: tuple[dict[str, Any], set[str]]) -> list[Any]:
    """Test parameters; a name with $ is whole, others get the prefix; None takes one of the base away."""
    made = []
    for changes, expected in table:
        given = {
            (name[1:] if name[0] == "$" else prefix + name): value
            for name, value in (base | changes).items()
            if value is not None
        }
        label = "+".join(changes) or "plain"
        made.append(pytest.param(Row(query, given, expected), id=f"{query.NAME}-{label}"))
    return made


# -- FindDocuments -------------------------------------------------------------------------------------------

#: Anna's approved, stable documents that are online. letter, letter2 and draft are replaced, demand is made
#: on demand, archive is offline.
ALL = {"letter3", "note", "pdf", "addendum", "signature", "image", "final", "snapshot"}
REPLACED = {"letter", "letter2", "draft"}
NOTES = {"note", "pdf", "addendum"}
BOS = {"b_letter", "b_note", "b_again"}
#: Those without a time of service pass every filter on it.
TIMELESS = {"note", "pdf", "signature"}

FIND_DOCUMENTS = rows(
    find_documents,
    "XDSDocumentEntry",
    {"PatientId": f"'{w.ANNA}'", "Status": APPROVED},
    ({}, ALL),
    ({"PatientId": f"'{w.BO}'"}, BOS),
    ({"PatientId": "'nobody^^^&2.999.1&ISO'"}, set()),
    ({"Status": DEPRECATED}, REPLACED),
    ({"Status": ANY_STATUS}, ALL | REPLACED),
    ({"Status": texts("urn:nobody:knows", names.APPROVED)}, ALL),
    ({"ClassCode": codes(w.NOTES)}, NOTES),
    ({"ClassCode": codes(w.LETTERS)}, ALL - NOTES),
    ({"ClassCode": codes(w.LETTERS, w.NOTES)}, ALL),
    ({"ClassCode": [codes(w.LETTERS), codes(w.NOTES)]}, ALL),  # one Slot, two Values: still OR
    ({"ClassCode": codes(Code(w.NOTES.code, "2.999"))}, set()),  # both parts of a code count
    ({"TypeCode": codes(w.NOTE)}, NOTES),
    ({"TypeCode": codes(w.LETTER, w.NOTE)}, ALL),
    ({"PracticeSettingCode": codes(w.SURGERY)}, {"note"}),
    ({"PracticeSettingCode": codes(w.SURGERY, w.RADIOLOGY)}, {"note", "image"}),
    ({"HealthcareFacilityTypeCode": codes(w.PRACTICE)}, {"note"}),
    ({"HealthcareFacilityTypeCode": codes(w.PRACTICE), "Status": ANY_STATUS}, {"note", "draft"}),
    ({"FormatCode": codes(w.PDF)}, {"note", "pdf"}),
    ({"FormatCode": codes(w.PDF, w.SIGNATURE)}, {"note", "pdf", "signature"}),
    ({"EventCodeList": codes(w.E1)}, {"letter3"}),
    ({"EventCodeList": codes(w.E1, w.E3)}, {"letter3", "image"}),
    ({"EventCodeList": ([codes(w.E1)], [codes(w.E2)])}, {"letter3"}),  # repeated Slots: AND
    ({"EventCodeList": ([codes(w.E1, w.E3)], [codes(w.E2)])}, {"letter3"}),
    ({"EventCodeList": ([codes(w.E1, w.E2)], [codes(w.E2, w.E3)])}, {"letter3", "note"}),
    ({"EventCodeList": ([codes(w.E2)], [codes(w.E3)])}, set()),
    ({"ConfidentialityCode": codes(w.NORMAL)}, ALL - {"addendum"}),
    ({"ConfidentialityCode": codes(w.BLOCKED)}, {"note", "addendum"}),
    ({"ConfidentialityCode": ([codes(w.NORMAL)], [codes(w.BLOCKED)])}, {"note"}),
    ({"ConfidentialityCode": codes(w.E2)}, set()),  # an event code is no confidentiality code
    ({"EventCodeList": codes(w.NORMAL)}, set()),
    ({"AuthorPerson": texts("%Fjell%")}, {"letter3", "signature", "final", "snapshot"}),
    ({"AuthorPerson": texts("%fjell%")}, set()),
    ({"AuthorPerson": texts("12^L_^Per")}, {"note", "addendum"}),
    ({"AuthorPerson": texts("12^L_")}, set()),  # the whole value
    ({"AuthorPerson": texts("11^Bø^Kari")}, {"note"}),
    ({"AuthorPerson": texts("11^%Per")}, set()),  # one author at a time
    ({"AuthorPerson": texts("%Kari", "%Fjell%")}, {"note", "letter3", "signature", "final", "snapshot"}),
    ({"AuthorPerson": texts("%")}, ALL - {"pdf", "image"}),  # those have no author
    # From is included, To is not; missing parts of a time are its beginning: final is of 20240101000000,
    # note of 20240201000000, addendum of 20240301000000, signature of 20240301120000, as is image.
    ({"CreationTimeFrom": "20240301"}, {"addendum", "signature", "image", "snapshot"}),
    ({"CreationTimeFrom": "20240301120000"}, {"signature", "image", "snapshot"}),
    ({"CreationTimeFrom": "20240301120001"}, {"snapshot"}),
    ({"CreationTimeTo": "202402"}, {"letter3", "final"}),
    ({"CreationTimeTo": "20240301"}, {"letter3", "note", "pdf", "final"}),
    ({"CreationTimeTo": "'20240301120000'"}, {"letter3", "note", "pdf", "final", "addendum"}),
    ({"CreationTimeFrom": "2024", "CreationTimeTo": "202402"}, {"letter3", "final"}),
    ({"CreationTimeFrom": "20240101000001", "CreationTimeTo": "20240201000001"}, {"letter3", "note"}),
    ({"CreationTimeFrom": "202402", "CreationTimeTo": "202402"}, set()),
    ({"ServiceStartTimeFrom": "202403"}, TIMELESS | {"addendum", "image"}),
    ({"ServiceStartTimeTo": "2024"}, TIMELESS | {"snapshot"}),
    ({"ServiceStartTimeTo": "20240101000001"}, TIMELESS | {"snapshot", "letter3", "final"}),
    ({"ServiceStartTimeFrom": "2024", "ServiceStartTimeTo": "202402"}, TIMELESS | {"letter3", "final"}),
    ({"ServiceStopTimeFrom": "20240301115959"}, TIMELESS | {"image", "snapshot"}),
    ({"ServiceStopTimeTo": "20240301120000"}, TIMELESS | {"letter3", "final", "addendum"}),
    ({"ServiceStopTimeFrom": "20240105", "ServiceStopTimeTo": "20240106"}, TIMELESS | {"letter3"}),
    ({"ServiceStartTimeFrom": "20240301", "ServiceStopTimeTo": "20240301000001"}, TIMELESS | {"addendum"}),
    ({"Type": STABLE}, ALL),
    ({"Type": ON_DEMAND}, {"demand"}),
    ({"Type": ANY_TYPE}, ALL | {"demand"}),
    ({"Type": texts("urn:uuid:00000000-0000-4000-8000-000000000000")}, set()),
    # A document on demand has no time of creation, so the filter does not hold for it.
    ({"Type": ANY_TYPE, "CreationTimeFrom": "20240401"}, {"snapshot", "demand"}),
    ({"Type": ANY_TYPE, "ServiceStartTimeFrom": "202402"}, TIMELESS | {"addendum", "image"}),
    ({"Type": ANY_TYPE, "EventCodeList": codes(w.E1)}, {"letter3", "demand"}),
    ({"DocumentAvailability": ONLINE}, ALL),
    ({"DocumentAvailability": OFFLINE}, set()),  # not at level 1
    ({"DocumentAvailability": texts("urn:other")}, set()),
    ({"$MetadataLevel": "1"}, ALL),
    ({"$MetadataLevel": "2"}, ALL | {"archive"}),
    ({"$MetadataLevel": "'2'", "DocumentAvailability": OFFLINE}, {"archive"}),
    ({"$MetadataLevel": "2", "DocumentAvailability": texts(names.ONLINE, names.OFFLINE)}, ALL | {"archive"}),
    ({"$NobodyKnows": "('x')"}, ALL),
    # Together: all must hold.
    ({"ClassCode": codes(w.NOTES), "ConfidentialityCode": codes(w.BLOCKED)}, {"note", "addendum"}),
    (
        {"ClassCode": codes(w.NOTES), "AuthorPerson": texts("%Li%"), "FormatCode": codes(w.PDF)},
        {"note"},
    ),
    ({"Status": ANY_STATUS, "EventCodeList": codes(w.E1)}, {"letter", "letter2", "letter3"}),
    (
        {"ClassCode": codes(w.NOTES), "CreationTimeFrom": "202402", "CreationTimeTo": "202403"},
        {"note", "pdf"},
    ),
    ({"PracticeSettingCode": codes(w.SURGERY), "EventCodeList": codes(w.E1)}, set()),
)

BY_REFERENCE_ID = rows(
    find_documents_by_reference_id,
    "XDSDocumentEntry",
    {"PatientId": f"'{w.ANNA}'", "Status": APPROVED},
    ({"ReferenceIdList": texts(w.ACC1)}, {"letter3"}),
    ({"ReferenceIdList": texts(w.ACC1), "Status": ANY_STATUS}, {"letter", "letter2", "letter3"}),
    ({"ReferenceIdList": texts("ACC1%")}, {"letter3", "note"}),
    ({"ReferenceIdList": texts("ACC1")}, set()),
    ({"ReferenceIdList": texts(w.ACC10, w.ORDER)}, {"note", "letter3"}),
    ({"ReferenceIdList": ([texts(w.ACC1)], [texts(w.ORDER)])}, {"letter3"}),
    ({"ReferenceIdList": ([texts(w.ACC1)], [texts(w.ACC10)])}, set()),
    ({"ReferenceIdList": texts("%:order")}, {"letter3"}),
    ({"ReferenceIdList": texts("%"), "ClassCode": codes(w.NOTES)}, {"note"}),
    ({"ReferenceIdList": texts("%"), "Type": ON_DEMAND}, set()),
    ({"ReferenceIdList": texts("%"), "PatientId": f"'{w.BO}'"}, set()),
)

# -- FindSubmissionSets, FindFolders -------------------------------------------------------------------------

SETS = {
    "s_letter", "s_letter2", "s_letter3", "s_pdf", "s_addendum", "s_signature", "s_image", "s_draft",
    "s_final", "s_demand", "s_snapshot", "s_archive", "s_empty", "s_cross",
}  # fmt: skip

FIND_SUBMISSION_SETS = rows(
    find_submission_sets,
    "XDSSubmissionSet",
    {"PatientId": f"'{w.ANNA}'", "Status": APPROVED},
    ({}, SETS),
    ({"PatientId": f"'{w.BO}'"}, {"s_b", "s_b_note", "s_b_again"}),
    ({"Status": DEPRECATED}, set()),
    ({"SourceId": texts(w.OTHER_SOURCE)}, {"s_pdf"}),
    ({"SourceId": texts(w.OTHER_SOURCE, w.SOURCE)}, SETS),
    ({"SourceId": texts("2.999.404")}, set()),
    (
        {"SubmissionTimeFrom": "20240301"},
        {"s_addendum", "s_signature", "s_image", "s_snapshot", "s_empty", "s_cross"},
    ),
    ({"SubmissionTimeTo": "2024"}, {"s_draft", "s_archive"}),
    ({"SubmissionTimeFrom": "20240301120000", "SubmissionTimeTo": "20240301120001"}, {"s_signature"}),
    ({"AuthorPerson": "'%Li%'"}, {"s_addendum"}),
    ({"AuthorPerson": "'%Fjell%'"}, SETS - {"s_addendum"}),
    ({"ContentType": codes(w.NOTE)}, {"s_addendum"}),
    ({"ContentType": codes(w.NOTE, w.LETTER)}, SETS),
    (
        {"ContentType": codes(w.LETTER), "SubmissionTimeTo": "20240101000001"},
        {"s_draft", "s_archive", "s_final"},
    ),
)

FIND_FOLDERS = rows(
    find_folders,
    "XDSFolder",
    {"PatientId": f"'{w.ANNA}'", "Status": APPROVED},
    ({}, {"stay", "case", "empty"}),
    ({"PatientId": f"'{w.BO}'"}, {"b_stay"}),
    ({"Status": DEPRECATED}, set()),
    ({"CodeList": codes(w.LETTERS)}, {"stay", "case"}),
    ({"CodeList": codes(w.NOTES)}, {"case", "empty"}),
    ({"CodeList": codes(w.LETTERS, w.NOTES)}, {"stay", "case", "empty"}),
    ({"CodeList": ([codes(w.LETTERS)], [codes(w.NOTES)])}, {"case"}),
    ({"CodeList": codes(w.E1)}, set()),
    # The registry sets it, to now.
    ({"LastUpdateTimeFrom": "2026"}, {"stay", "case", "empty"}),
    ({"LastUpdateTimeTo": "2026"}, set()),
    ({"LastUpdateTimeFrom": "2026", "LastUpdateTimeTo": "9999"}, {"stay", "case", "empty"}),
    ({"LastUpdateTimeFrom": "9999"}, set()),
)

# -- GetAll --------------------------------------------------------------------------------------------------

#: Every link with an end of Anna's; s_cross takes in a document of Bo's.
LINKS = {
    "s_letter>letter", "s_letter>note", "s_letter>stay", "s_letter>case", "stay>letter", "stay>note",
    "case>letter", "s_letter>(stay>letter)", "s_letter>(stay>note)", "s_letter>(case>letter)",
    # Replacements come into the folders of what they replace.
    "s_letter2>letter2", "letter2 RPLC letter", "stay>letter2", "case>letter2", "s_letter2>(stay>letter2)",
    "s_letter2>(case>letter2)",
    "s_letter3>letter3", "letter3 RPLC letter2", "stay>letter3", "case>letter3", "s_letter3>(stay>letter3)",
    "s_letter3>(case>letter3)",
    "s_pdf>pdf", "pdf XFRM note", "s_addendum>addendum", "addendum APND note",
    "s_signature>signature", "signature signs note", "s_image>image", "s_image>note",
    "s_draft>draft", "s_final>final", "final XFRM_RPLC draft",
    "s_demand>demand", "s_snapshot>snapshot", "snapshot IsSnapshotOf demand",
    "s_archive>archive", "s_empty>empty", "s_cross>b_letter",
}  # fmt: skip

NOTE_LINKS = {
    "s_letter>note", "stay>note", "s_image>note", "pdf XFRM note", "addendum APND note",
    "signature signs note",
}  # fmt: skip


def touching(*ends: str) -> set[str]:
    """The links of Anna's that have one of these, or any set or folder, at an end."""
    found = {link for link in LINKS if link[:2] == "s_" or link.partition(">")[0] in ("stay", "case")}
    return found | {link for link in LINKS if set(re.split(r"[>() ]", link)) & set(ends)}


ONLY_DOCUMENTS = {"$XDSSubmissionSetStatus": DEPRECATED, "$XDSFolderStatus": DEPRECATED}
FOLDERS = {"stay", "case", "empty"}

GET_ALL = rows(
    get_all,
    "XDSDocumentEntry",
    {
        "$patientId": f"'{w.ANNA}'",
        "Status": APPROVED,
        "$XDSSubmissionSetStatus": APPROVED,
        "$XDSFolderStatus": APPROVED,
    },
    # A link comes when one of its ends does: neither does of the first replacement.
    ({}, ALL | SETS | FOLDERS | LINKS - {"letter2 RPLC letter"}),
    ({"Status": ANY_STATUS}, ALL | REPLACED | SETS | FOLDERS | LINKS),
    ({"Status": DEPRECATED}, REPLACED | SETS | FOLDERS | touching(*REPLACED)),
    ({"Type": ANY_TYPE}, ALL | {"demand"} | SETS | FOLDERS | LINKS - {"letter2 RPLC letter"}),
    ({"Type": ON_DEMAND}, {"demand"} | SETS | FOLDERS | touching("demand")),
    ({"$MetadataLevel": "2"}, ALL | {"archive"} | SETS | FOLDERS | LINKS - {"letter2 RPLC letter"}),
    (
        {"$MetadataLevel": "2", "DocumentAvailability": OFFLINE},
        {"archive"} | SETS | FOLDERS | touching("archive"),
    ),
    ({"FormatCode": codes(w.SIGNATURE)}, {"signature"} | SETS | FOLDERS | touching("signature")),
    (ONLY_DOCUMENTS | {"FormatCode": codes(w.PDF)}, {"note", "pdf", "s_pdf>pdf"} | NOTE_LINKS),
    (
        ONLY_DOCUMENTS | {"ConfidentialityCode": codes(w.BLOCKED), "Type": STABLE},
        {"note", "addendum", "s_addendum>addendum"} | NOTE_LINKS,
    ),
    (
        ONLY_DOCUMENTS | {"ConfidentialityCode": ([codes(w.NORMAL)], [codes(w.BLOCKED)])},
        {"note"} | NOTE_LINKS,
    ),
    (
        {"$XDSFolderStatus": DEPRECATED, "$XDSSubmissionSetStatus": APPROVED, "FormatCode": codes(w.E1)},
        SETS | {link for link in LINKS if link[:2] == "s_"},
    ),
    (
        {"$XDSFolderStatus": APPROVED, "$XDSSubmissionSetStatus": DEPRECATED, "FormatCode": codes(w.E1)},
        FOLDERS
        | {"s_letter>stay", "s_letter>case", "s_empty>empty", "stay>letter", "stay>note", "case>letter"}
        | {"stay>letter2", "case>letter2", "stay>letter3", "case>letter3"},
    ),
    ({"$XDSAssociationStatus": APPROVED}, ALL | SETS | FOLDERS | LINKS - {"letter2 RPLC letter"}),
    ({"$XDSAssociationStatus": DEPRECATED}, ALL | SETS | FOLDERS),
    (
        {"$patientId": f"'{w.BO}'"},
        {
            "b_letter",
            "b_note",
            "b_again",
            "s_b",
            "s_b_note",
            "s_b_again",
            "b_stay",
            "s_b>b_letter",
            "s_b>b_stay",
        }
        | {
            "b_stay>b_letter",
            "s_b>(b_stay>b_letter)",
            "s_b_note>b_note",
            "s_b_again>b_again",
            "s_cross>b_letter",
        },
    ),
    ({"$patientId": "'nobody^^^&2.999.1&ISO'"}, set()),
)

# -- by id ---------------------------------------------------------------------------------------------------

GET_DOCUMENTS = rows(
    get_documents,
    "XDSDocumentEntry",
    {},
    ({"EntryUUID": uuids("letter")}, {"letter"}),  # whatever its status
    ({"EntryUUID": uuids("letter", "note", "nothing")}, {"letter", "note"}),
    ({"EntryUUID": uuids("demand")}, {"demand"}),  # whatever its type
    ({"EntryUUID": uuids("stay")}, set()),
    ({"EntryUUID": uuids("archive")}, set()),
    ({"EntryUUID": uuids("archive"), "$MetadataLevel": "2"}, {"archive"}),
    ({"UniqueId": uids("letter")}, {"letter"}),
    ({"UniqueId": uids("b_note")}, {"b_note", "b_again"}),
    ({"UniqueId": [uids("letter"), uids("note")]}, {"letter", "note"}),
    ({"UniqueId": uids("stay")}, set()),
    ({"LogicalID": uuids("letter", "archive"), "$MetadataLevel": "2"}, {"letter", "archive"}),
)

GET_FOLDERS = rows(
    get_folders,
    "XDSFolder",
    {},
    ({"EntryUUID": uuids("stay")}, {"stay"}),
    ({"EntryUUID": uuids("stay", "empty", "letter")}, {"stay", "empty"}),
    ({"UniqueId": uids("case")}, {"case"}),
    ({"UniqueId": uids("case", "stay", "nothing")}, {"case", "stay"}),
    ({"LogicalID": uuids("stay"), "$MetadataLevel": "2"}, {"stay"}),
)

LETTER2_LINKS = {
    "s_letter2>letter2",
    "letter2 RPLC letter",
    "stay>letter2",
    "case>letter2",
    "letter3 RPLC letter2",
}

GET_ASSOCIATIONS = rows(
    get_associations,
    "",
    {},
    ({"uuid": uuids("note")}, NOTE_LINKS),
    ({"uuid": uuids("letter2")}, LETTER2_LINKS),
    ({"uuid": uuids("empty")}, {"s_empty>empty"}),
    ({"uuid": uuids("stay>note")}, {"s_letter>(stay>note)"}),
    ({"uuid": uuids("s_cross")}, {"s_cross>b_letter"}),
    ({"uuid": uuids("s_cross", "b_letter")}, {"s_cross>b_letter", "s_b>b_letter", "b_stay>b_letter"}),
    ({"uuid": uuids("pdf", "note")}, NOTE_LINKS | {"s_pdf>pdf"}),  # both ends asked for, given once
    ({"uuid": uuids("nothing")}, set()),
    ({"uuid": uuids("note"), "$XDSAssociationStatus": DEPRECATED}, set()),
    ({"uuid": uuids("note"), "$XDSAssociationStatus": ANY_STATUS}, NOTE_LINKS),
    # None that is understood is as none: the default holds.
    ({"uuid": uuids("note"), "$XDSAssociationStatus": texts("urn:other"), "$MetadataLevel": "2"}, NOTE_LINKS),
)

GET_DOCUMENTS_AND_ASSOCIATIONS = rows(
    get_documents_and_associations,
    "XDSDocumentEntry",
    {},
    ({"EntryUUID": uuids("note")}, {"note"} | NOTE_LINKS),
    ({"UniqueId": uids("note")}, {"note"} | NOTE_LINKS),
    ({"EntryUUID": uuids("note", "pdf")}, {"note", "pdf", "s_pdf>pdf"} | NOTE_LINKS),
    ({"EntryUUID": uuids("letter2")}, {"letter2"} | LETTER2_LINKS),
    ({"UniqueId": uids("b_note")}, {"b_note", "b_again", "s_b_note>b_note", "s_b_again>b_again"}),
    ({"EntryUUID": uuids("nothing")}, set()),
    ({"EntryUUID": uuids("stay")}, set()),  # a folder is no document, so nothing touches one
    ({"EntryUUID": uuids("archive")}, set()),
    ({"EntryUUID": uuids("archive"), "$MetadataLevel": "2"}, {"archive", "s_archive>archive"}),
    ({"EntryUUID": uuids("note"), "$XDSAssociationStatus": DEPRECATED}, {"note"}),
)

GET_SUBMISSION_SETS = rows(
    get_submission_sets,
    "",
    {},
    ({"uuid": uuids("letter")}, {"s_letter", "s_letter>letter"}),  # not the folders that have it
    ({"uuid": uuids("note")}, {"s_letter", "s_letter>note", "s_image", "s_image>note"}),  # by reference too
    ({"uuid": uuids("stay")}, {"s_letter", "s_letter>stay"}),
    ({"uuid": uuids("letter", "stay")}, {"s_letter", "s_letter>letter", "s_letter>stay"}),
    ({"uuid": uuids("letter3", "pdf")}, {"s_letter3", "s_letter3>letter3", "s_pdf", "s_pdf>pdf"}),
    ({"uuid": uuids("nothing")}, set()),
    ({"uuid": uuids("s_letter")}, set()),
    ({"uuid": uuids("letter"), "$XDSAssociationStatus": DEPRECATED}, set()),
)

FILED = {
    "s_letter", "letter", "note", "stay", "case", "s_letter>letter", "s_letter>note", "s_letter>stay",
    "s_letter>case", "stay>letter", "stay>note", "case>letter", "s_letter>(stay>letter)",
    "s_letter>(stay>note)", "s_letter>(case>letter)",
}  # fmt: skip
FILED_NOTE = {
    "s_letter", "note", "stay", "case", "s_letter>note", "s_letter>stay", "s_letter>case", "stay>note",
    "s_letter>(stay>note)",
}  # fmt: skip

GET_SUBMISSION_SET_AND_CONTENTS = rows(
    get_submission_set_and_contents,
    "XDSSubmissionSet",
    {},
    ({"EntryUUID": f"'{uuid('s_letter')}'"}, FILED),
    ({"UniqueId": uids("s_letter")}, FILED),
    ({"EntryUUID": f"'{uuid('letter')}'"}, set()),
    ({"EntryUUID": f"'{uuid('nothing')}'"}, set()),
    # A document that does not pass takes its links with it.
    ({"UniqueId": uids("s_letter"), "$XDSDocumentEntryFormatCode": codes(w.PDF)}, FILED_NOTE),
    ({"UniqueId": uids("s_letter"), "$XDSDocumentEntryConfidentialityCode": codes(w.BLOCKED)}, FILED_NOTE),
    (
        {
            "UniqueId": uids("s_letter"),
            "$XDSDocumentEntryConfidentialityCode": ([codes(w.NORMAL)], [codes(w.BLOCKED)]),
            "$XDSDocumentEntryFormatCode": codes(w.ANY),
        },
        {"s_letter", "stay", "case", "s_letter>stay", "s_letter>case"},
    ),
    # Its links to links of folders that are not its own are not told.
    ({"UniqueId": uids("s_letter2")}, {"s_letter2", "letter2", "s_letter2>letter2"}),
    ({"UniqueId": uids("s_image")}, {"s_image", "image", "note", "s_image>image", "s_image>note"}),
    ({"UniqueId": uids("s_empty")}, {"s_empty", "empty", "s_empty>empty"}),
    ({"UniqueId": uids("s_demand")}, {"s_demand"}),
    (
        {"UniqueId": uids("s_demand"), "$XDSDocumentEntryType": ANY_TYPE},
        {"s_demand", "demand", "s_demand>demand"},
    ),
    ({"UniqueId": uids("s_archive")}, {"s_archive"}),
    ({"UniqueId": uids("s_archive"), "$MetadataLevel": "2"}, {"s_archive", "archive", "s_archive>archive"}),
    ({"UniqueId": uids("s_letter"), "$XDSAssociationStatus": DEPRECATED}, {"s_letter"}),
)

IN_STAY = {
    "stay", "letter", "letter2", "letter3", "note",
    "stay>letter", "stay>letter2", "stay>letter3", "stay>note",
}  # fmt: skip

GET_FOLDER_AND_CONTENTS = rows(
    get_folder_and_contents,
    "XDSFolder",
    {},
    ({"EntryUUID": f"'{uuid('stay')}'"}, IN_STAY),  # what was replaced is still in it
    ({"UniqueId": uids("stay")}, IN_STAY),
    ({"UniqueId": uids("empty")}, {"empty"}),
    ({"UniqueId": uids("s_letter")}, set()),
    ({"UniqueId": uids("stay"), "$XDSDocumentEntryFormatCode": codes(w.PDF)}, {"stay", "note", "stay>note"}),
    (
        {"UniqueId": uids("stay"), "$XDSDocumentEntryConfidentialityCode": codes(w.BLOCKED)},
        {"stay", "note", "stay>note"},
    ),
    ({"UniqueId": uids("stay"), "$XDSDocumentEntryType": ON_DEMAND}, {"stay"}),
    ({"UniqueId": uids("stay"), "$XDSAssociationStatus": DEPRECATED}, {"stay"}),
    ({"UniqueId": uids("stay"), "$MetadataLevel": "2"}, IN_STAY),
)

GET_FOLDERS_FOR_DOCUMENT = rows(
    get_folders_for_document,
    "XDSDocumentEntry",
    {},
    ({"EntryUUID": f"'{uuid('letter')}'"}, {"stay", "case"}),
    ({"EntryUUID": f"'{uuid('letter3')}'"}, {"stay", "case"}),
    ({"UniqueId": uids("note")}, {"stay"}),
    ({"UniqueId": uids("image")}, set()),
    ({"UniqueId": uids("b_letter")}, {"b_stay"}),
    ({"UniqueId": uids("nothing")}, set()),
    ({"UniqueId": uids("note"), "$XDSAssociationStatus": DEPRECATED}, set()),
)

ALL_TYPES = texts(*names.RELATIONSHIPS)

GET_RELATED_DOCUMENTS = rows(
    get_related_documents,
    "XDSDocumentEntry",
    {},
    ({"EntryUUID": uuids("note"), "$AssociationTypes": texts(names.XFRM)}, {"note", "pdf", "pdf XFRM note"}),
    ({"EntryUUID": uuids("pdf"), "$AssociationTypes": texts(names.XFRM)}, {"note", "pdf", "pdf XFRM note"}),
    (
        {"UniqueId": uids("note"), "$AssociationTypes": texts(names.XFRM, names.SIGNS)},
        {"note", "pdf", "pdf XFRM note", "signature", "signature signs note"},
    ),
    (
        {"UniqueId": uids("note"), "$AssociationTypes": ALL_TYPES},
        {
            "note",
            "pdf",
            "pdf XFRM note",
            "signature",
            "signature signs note",
            "addendum",
            "addendum APND note",
        },
    ),
    # One step: letter3 is not related to letter.
    (
        {"EntryUUID": uuids("letter"), "$AssociationTypes": ALL_TYPES},
        {"letter", "letter2", "letter2 RPLC letter"},
    ),
    (
        {"EntryUUID": uuids("letter2"), "$AssociationTypes": ALL_TYPES},
        {"letter", "letter2", "letter3", "letter2 RPLC letter", "letter3 RPLC letter2"},
    ),
    (
        {"EntryUUID": uuids("draft"), "$AssociationTypes": texts(names.XFRM_RPLC)},
        {"draft", "final", "final XFRM_RPLC draft"},
    ),
    # No link of that type, so not even the document; a HasMember links no two documents.
    ({"EntryUUID": uuids("note"), "$AssociationTypes": texts(names.RPLC)}, set()),
    ({"EntryUUID": uuids("image"), "$AssociationTypes": ALL_TYPES}, set()),
    ({"EntryUUID": uuids("letter"), "$AssociationTypes": texts(names.HAS_MEMBER)}, set()),
    ({"EntryUUID": uuids("note"), "$AssociationTypes": texts("urn:other")}, set()),
    # Both ends must be of a type that is asked for, and stable is asked for when nothing is said.
    ({"EntryUUID": uuids("snapshot"), "$AssociationTypes": ALL_TYPES}, set()),
    (
        {"EntryUUID": uuids("snapshot"), "$AssociationTypes": ALL_TYPES, "Type": ANY_TYPE},
        {"snapshot", "demand", "snapshot IsSnapshotOf demand"},
    ),
    ({"EntryUUID": uuids("demand"), "$AssociationTypes": ALL_TYPES, "Type": ON_DEMAND}, set()),
    (
        {"EntryUUID": uuids("note"), "$AssociationTypes": ALL_TYPES, "$XDSAssociationStatus": DEPRECATED},
        set(),
    ),
)

# -- ITI-51 --------------------------------------------------------------------------------------------------

MANY_DOCUMENTS = rows(
    find_documents_for_multiple_patients,
    "XDSDocumentEntry",
    {"Status": APPROVED},
    ({"PatientId": texts(w.ANNA)}, ALL),
    ({"PatientId": texts(w.BO, w.CARL)}, {"b_letter", "b_note", "b_again", "c_letter"}),
    ({"PatientId": texts(w.BO, "nobody^^^&2.999.1&ISO")}, BOS),
    ({"ClassCode": codes(w.NOTES)}, NOTES | {"b_note", "b_again"}),
    ({"ClassCode": codes(w.LETTERS, w.NOTES)}, ALL | {"b_letter", "b_note", "b_again", "c_letter"}),
    ({"ClassCode": codes(w.NOTES), "PatientId": texts(w.BO, w.CARL)}, {"b_note", "b_again"}),
    ({"EventCodeList": codes(w.E1)}, {"letter3", "b_letter"}),
    ({"EventCodeList": codes(w.E1, w.E2)}, {"letter3", "note", "b_letter"}),
    ({"EventCodeList": ([codes(w.E1)], [codes(w.E2)])}, {"letter3"}),
    ({"EventCodeList": codes(w.E1), "Type": ANY_TYPE}, {"letter3", "b_letter", "demand"}),
    ({"EventCodeList": codes(w.E1), "Status": ANY_STATUS}, {"letter", "letter2", "letter3", "b_letter"}),
    ({"EventCodeList": codes(w.E1), "PatientId": texts(w.BO)}, {"b_letter"}),
    ({"HealthcareFacilityTypeCode": codes(w.PRACTICE)}, {"note", "c_letter"}),
    ({"HealthcareFacilityTypeCode": codes(w.PRACTICE), "ClassCode": codes(w.LETTERS)}, {"c_letter"}),
    ({"ClassCode": codes(w.NOTES), "FormatCode": codes(w.PDF)}, {"note", "pdf"}),
    ({"ClassCode": codes(w.NOTES), "AuthorPerson": texts("%Li%")}, {"note", "addendum"}),
    ({"ClassCode": codes(w.NOTES), "CreationTimeFrom": "20240301"}, {"addendum", "b_note", "b_again"}),
    ({"ClassCode": codes(w.NOTES), "ServiceStartTimeTo": "2024"}, {"note", "pdf", "b_note", "b_again"}),
    ({"ClassCode": codes(w.NOTES), "ConfidentialityCode": codes(w.BLOCKED)}, {"note", "addendum"}),
    ({"ClassCode": codes(w.LETTERS), "PracticeSettingCode": codes(w.RADIOLOGY)}, {"image"}),
    ({"ClassCode": codes(w.LETTERS), "TypeCode": codes(w.NOTE)}, set()),
    ({"PatientId": texts(w.ANNA, w.BO), "$MetadataLevel": "2", "DocumentAvailability": OFFLINE}, {"archive"}),
)

MANY_FOLDERS = rows(
    find_folders_for_multiple_patients,
    "XDSFolder",
    {"Status": APPROVED},
    ({"PatientId": texts(w.ANNA, w.BO)}, {"stay", "case", "empty", "b_stay"}),
    ({"PatientId": texts(w.BO)}, {"b_stay"}),
    ({"CodeList": codes(w.LETTERS)}, {"stay", "case", "b_stay"}),
    ({"CodeList": ([codes(w.LETTERS)], [codes(w.NOTES)])}, {"case"}),
    ({"CodeList": codes(w.LETTERS), "PatientId": texts(w.BO, w.CARL)}, {"b_stay"}),
    ({"CodeList": codes(w.E1)}, set()),
    ({"CodeList": codes(w.NOTES), "LastUpdateTimeFrom": "2026"}, {"case", "empty"}),
    ({"CodeList": codes(w.NOTES), "LastUpdateTimeTo": "2026"}, set()),
    ({"CodeList": codes(w.NOTES), "Status": DEPRECATED}, set()),
)

#: What FindDocuments finds, by the two other queries that have its filters.
WITH_REFERENCES = {"letter", "letter2", "letter3", "note"}
ALIKE = [
    pytest.param(Row(query, row.asked | more, row.expected & only), id=f"{query.NAME}-as-{each.id}")
    for query, more, only in (
        (find_documents_by_reference_id, {"XDSDocumentEntryReferenceIdList": texts("%")}, WITH_REFERENCES),
        (find_documents_for_multiple_patients, {}, ALL | REPLACED | {"demand", "archive"} | BOS),
    )
    for each in FIND_DOCUMENTS
    for row in each.values
]

TABLE = [
    *FIND_DOCUMENTS,
    *BY_REFERENCE_ID,
    *FIND_SUBMISSION_SETS,
    *FIND_FOLDERS,
    *GET_ALL,
    *GET_DOCUMENTS,
    *GET_FOLDERS,
    *GET_ASSOCIATIONS,
    *GET_DOCUMENTS_AND_ASSOCIATIONS,
    *GET_SUBMISSION_SETS,
    *GET_SUBMISSION_SET_AND_CONTENTS,
    *GET_FOLDER_AND_CONTENTS,
    *GET_FOLDERS_FOR_DOCUMENT,
    *GET_RELATED_DOCUMENTS,
    *MANY_DOCUMENTS,
    *MANY_FOLDERS,
    *ALIKE,
]


@pytest.mark.parametrize("row", TABLE)
def test_a_query_finds_exactly_what_the_standard_says(world: World, row: Row) -> None:
    """Each object once, as full objects and as references alike."""
    assert [world.ask(row.query.ID, leaf, EVERYTHING, row.asked) for leaf in (True, False)] == [
        sorted(row.expected)
    ] * 2


# -- with documents hidden (gate 2) --------------------------------------------------------------------------


def where_code_is_not(column: str, code: Code) -> Visibility:
    """Hides the documents with a code."""
    numbers = select(code_table.c.code_pk).where(
        code_table.c.code == code.code, code_table.c.scheme == code.scheme
    )
    return Visibility(f"{column} {code.code}", lambda table: table.c[column].not_in(numbers))


HIDDEN = {
    "note": (where_code_is_not("practice_code", w.SURGERY), {"note"}),
    "notes": (where_code_is_not("class_code", w.NOTES), NOTES | {"b_note", "b_again"}),
}


def named(name: str) -> set[str]:
    """The objects that a name names: for a link all that it leads to."""
    return set(re.split(r"[>() ]", name))


def unseen_packages(links: set[str], hidden: set[str]) -> set[str]:
    """The sets and folders that are not seen for the sake of any document, by all links there are."""
    ends = [(source, target) for source, _, target in (name.partition(">") for name in links if ">" in name)]
    members: dict[str, set[str]] = {source: set() for source, _ in ends}
    for source, target in ends:
        members[source].add(target)
    gone = set()
    for folder in FOLDERS | {"b_stay"}:
        if folder in members and members[folder] <= hidden:
            gone.add(folder)
    for name in members:
        if name.startswith("s_"):
            # The end of a set's link to a link is the document that was filed.
            reached = {end.strip("()").rpartition(">")[2] for end in members[name]}
            if reached <= hidden | gone:
                gone.add(name)
    return gone


def still_found(row: Row, hidden: set[str]) -> set[str]:
    """What is left of a row: nothing hidden, no link that leads to it, nothing found through it."""
    found = {name for name in row.expected if not named(name) & hidden}
    if row.query in (get_submission_sets, get_related_documents):
        linked = {end for name in found if not name.isidentifier() for end in named(name)}
        return {name for name in found if not name.isidentifier() or name in linked}
    if row.query is get_folders_for_document and any(
        uuid(name) in value or w.unique_id(name) in value for name in hidden for value in row.asked.values()
    ):
        return set()
    return found


@pytest.mark.parametrize("row", TABLE)
def test_a_hidden_document_is_never_told_of(world: World, row: Row) -> None:
    """Not itself, not by a link nor a link to a link, and it leads nowhere; all else is found as before."""
    for visibility, hidden in HIDDEN.values():
        for leaf in (True, False):
            found = world.ask(row.query.ID, leaf, visibility, row.asked)
            gone = hidden | unseen_packages(set(world.names.values()), hidden)
            assert found == sorted(still_found(row, gone)), (visibility.name, leaf)


@pytest.mark.parametrize(
    ("query", "asked", "expected"),
    [
        (get_documents, {"XDSDocumentEntryEntryUUID": uuids("note")}, set()),
        (get_documents, {"XDSDocumentEntryUniqueId": uids("note")}, set()),
        (get_documents_and_associations, {"XDSDocumentEntryUniqueId": uids("note")}, set()),
        (get_associations, {"uuid": uuids("note")}, set()),
        (get_associations, {"uuid": uuids("stay>note")}, set()),
        (get_associations, {"uuid": uuids("pdf")}, {"s_pdf>pdf"}),
        (get_submission_sets, {"uuid": uuids("note")}, set()),
        (get_folders_for_document, {"XDSDocumentEntryEntryUUID": uuids("note")}, set()),
        (
            get_related_documents,
            {"XDSDocumentEntryEntryUUID": uuids("pdf"), "AssociationTypes": ALL_TYPES},
            set(),
        ),
        (
            get_submission_set_and_contents,
            {"XDSSubmissionSetUniqueId": uids("s_image")},
            {"s_image", "image", "s_image>image"},
        ),
        (
            get_folder_and_contents,
            {"XDSFolderUniqueId": uids("stay")},
            IN_STAY - {"note", "stay>note"},
        ),
    ],
)
def test_what_a_hidden_note_takes_with_it(
    world: World, query: Any, asked: dict[str, Any], expected: set[str]
) -> None:
    """By hand, for the note that may not be seen."""
    visibility, _ = HIDDEN["note"]
    assert world.ask(query.ID, True, visibility, asked) == sorted(expected)


# -- the table itself ----------------------------------------------------------------------------------------


def test_the_table_has_every_query_and_every_parameter() -> None:
    """Each at least once; those of ITI-18 and ITI-51 that look alike each for itself."""
    asked = {(row.query.ID, name) for (row,) in (each.values for each in TABLE) for name in row.asked}
    declared = {(own, p.name[1:]) for own, module in QUERIES.items() for p in module.PARAMETERS}
    assert declared - asked == set()
