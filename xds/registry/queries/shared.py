"""The parameters that several stored queries share, declared once, as the tables of ITI TF-2 3.18.4.1.2.3.7
and of XDS Metadata Update give them.
"""

from __future__ import annotations

from typing import Final

from xds.metadata import names
from xds.registry.elements import STATUSES
from xds.registry.prepare import ASSOCIATION_TYPES, AVAILABILITIES, OBJECT_TYPES
from xds.registry.queries.matches import (
    code_facet,
    code_in,
    code_listed,
    document_logical_id,
    document_unique_id,
    like_facet,
    name_in,
    patient_id,
    patient_ids,
    status_in,
    time_from,
    time_to,
    unindexed,
    unique_id_in,
    unique_id_of,
    uuid_in,
)
from xds.registry.queries.parameters import Choice, Parameter
from xds.store import schema
from xds.store.schema import association as a
from xds.store.schema import document_entry as d
from xds.store.schema import folder as f
from xds.store.schema import submission_set as s

IS_MEMBERSHIP: Final = a.c.type == ASSOCIATION_TYPES[names.HAS_MEMBER]

ASSOCIATION_STATUS: Final = Parameter(
    "$XDSAssociationStatus", status_in(a.c.status, STATUSES), many=True, default=(names.APPROVED,)
)
#: The objects whose associations are asked for; as a condition: they are the target.
OBJECTS: Final = Parameter("$uuid", uuid_in(a.c.target_uuid), required=True, many=True)

# -- document entries ----------------------------------------------------------------------------------------

DOCUMENT_STATUS: Final = Parameter(
    "$XDSDocumentEntryStatus", status_in(d.c.status, STATUSES), required=True, many=True
)
DOCUMENT_TYPE: Final = Parameter(
    "$XDSDocumentEntryType", name_in(d.c.object_type, OBJECT_TYPES), many=True, default=(names.STABLE,)
)
AVAILABILITY: Final = Parameter(
    "$XDSDocumentEntryDocumentAvailability", name_in(d.c.availability, AVAILABILITIES), many=True
)
FORMAT_CODE: Final = Parameter(
    "$XDSDocumentEntryFormatCode", code_in(d.c.format_code), many=True, masked=True
)
CONFIDENTIALITY_CODE: Final = Parameter(
    "$XDSDocumentEntryConfidentialityCode", code_facet(d, "c"), many=True, repeat=True
)
#: Filters on the members that the two …AndContents queries and GetAll give.
MEMBER_FILTERS: Final = (FORMAT_CODE, CONFIDENTIALITY_CODE, DOCUMENT_TYPE)

DOCUMENT_PATIENT: Final = Parameter("$XDSDocumentEntryPatientId", patient_id(), required=True)
DOCUMENT_PATIENTS: Final = Parameter("$XDSDocumentEntryPatientId", patient_ids(), many=True)
CLASS_CODE: Final = Parameter("$XDSDocumentEntryClassCode", code_in(unindexed(d.c.class_code)), many=True)
FACILITY_CODE: Final = Parameter(
    "$XDSDocumentEntryHealthcareFacilityTypeCode", code_in(unindexed(d.c.facility_code)), many=True
)
EVENT_CODE: Final = Parameter(
    "$XDSDocumentEntryEventCodeList", code_facet(d, "e"), many=True, repeat=True, masked=True
)
EVENT_CODE_LISTED: Final = Parameter(
    EVENT_CODE.name,
    code_listed(d, schema.KIND_DOCUMENT_ENTRY, d.c.doc_pk),
    many=True,
    repeat=True,
    masked=True,
)
#: What every query that finds documents asks for, but for the patient and the event codes.
FIND_FILTERS: Final = (
    DOCUMENT_STATUS,
    DOCUMENT_TYPE,
    CLASS_CODE,
    Parameter("$XDSDocumentEntryTypeCode", code_in(d.c.type_code), many=True, masked=True),
    Parameter("$XDSDocumentEntryPracticeSettingCode", code_in(d.c.practice_code), many=True, masked=True),
    FACILITY_CODE,
    CONFIDENTIALITY_CODE,
    FORMAT_CODE,
    Parameter("$XDSDocumentEntryAuthorPerson", like_facet(d, "a"), many=True, masked=True),
    Parameter("$XDSDocumentEntryCreationTimeFrom", time_from(d.c.creation_time)),
    Parameter("$XDSDocumentEntryCreationTimeTo", time_to(d.c.creation_time)),
    Parameter("$XDSDocumentEntryServiceStartTimeFrom", time_from(d.c.service_start)),
    Parameter("$XDSDocumentEntryServiceStartTimeTo", time_to(d.c.service_start)),
    Parameter("$XDSDocumentEntryServiceStopTimeFrom", time_from(d.c.service_stop)),
    Parameter("$XDSDocumentEntryServiceStopTimeTo", time_to(d.c.service_stop)),
    AVAILABILITY,
)

DOCUMENTS_BY_UUID: Final = Parameter("$XDSDocumentEntryEntryUUID", uuid_in(d.c.entry_uuid), many=True)
DOCUMENTS_BY_UNIQUE_ID: Final = Parameter("$XDSDocumentEntryUniqueId", document_unique_id(), many=True)
DOCUMENTS_BY_LOGICAL_ID: Final = Parameter(
    "$XDSDocumentEntryLogicalID", document_logical_id(), many=True, level=2
)
DOCUMENT_BY_UUID: Final = Parameter(DOCUMENTS_BY_UUID.name, DOCUMENTS_BY_UUID.match)
DOCUMENT_BY_UNIQUE_ID: Final = Parameter(DOCUMENTS_BY_UNIQUE_ID.name, DOCUMENTS_BY_UNIQUE_ID.match)
ONE_DOCUMENT: Final = Choice((DOCUMENT_BY_UUID.name, DOCUMENT_BY_UNIQUE_ID.name))

# -- submission sets -----------------------------------------------------------------------------------------

SET_STATUS: Final = Parameter(
    "$XDSSubmissionSetStatus", status_in(s.c.status, STATUSES), required=True, many=True
)
SET_BY_UUID: Final = Parameter("$XDSSubmissionSetEntryUUID", uuid_in(s.c.entry_uuid))
SET_BY_UNIQUE_ID: Final = Parameter(
    "$XDSSubmissionSetUniqueId", unique_id_of(s, schema.KIND_SUBMISSION_SET, s.c.set_pk)
)

# -- folders -------------------------------------------------------------------------------------------------

FOLDER_STATUS: Final = Parameter(
    "$XDSFolderStatus", status_in(f.c.status, STATUSES), required=True, many=True
)
FOLDER_UPDATED: Final = (
    Parameter("$XDSFolderLastUpdateTimeFrom", time_from(f.c.last_update_time)),
    Parameter("$XDSFolderLastUpdateTimeTo", time_to(f.c.last_update_time)),
)
FOLDERS_BY_UUID: Final = Parameter("$XDSFolderEntryUUID", uuid_in(f.c.entry_uuid), many=True)
FOLDERS_BY_UNIQUE_ID: Final = Parameter("$XDSFolderUniqueId", unique_id_in(f.c.uid_key), many=True)
FOLDER_BY_UUID: Final = Parameter(FOLDERS_BY_UUID.name, FOLDERS_BY_UUID.match)
FOLDER_BY_UNIQUE_ID: Final = Parameter(FOLDERS_BY_UNIQUE_ID.name, FOLDERS_BY_UNIQUE_ID.match)
