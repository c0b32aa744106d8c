"""FindDocuments (ITI TF-2 3.18.4.1.2.3.7.1): the document entries of one patient that pass all filters."""

from xds.registry.queries.parameters import (
    CONFIDENTIALITY_CODE,
    DOCUMENT_STATUS,
    DOCUMENT_TYPE,
    FORMAT_CODE,
    PATIENT_ID,
    Parameter,
    Shape,
    code_facet,
    code_in,
    like_facet,
    time_from,
    time_to,
)
from xds.registry.rows import Rows, document_rows
from xds.store.schema import document_entry as d
from xds.store.schema import patient

ID = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
NAME = "FindDocuments"
PARAMETERS = (
    Parameter("$XDSDocumentEntryPatientId", PATIENT_ID, required=True),
    DOCUMENT_STATUS,
    DOCUMENT_TYPE,
    Parameter("$XDSDocumentEntryClassCode", code_in(d.c.class_code), many=True),
    Parameter("$XDSDocumentEntryTypeCode", code_in(d.c.type_code), many=True),
    Parameter("$XDSDocumentEntryPracticeSettingCode", code_in(d.c.practice_code), many=True),
    Parameter("$XDSDocumentEntryHealthcareFacilityTypeCode", code_in(d.c.facility_code), many=True),
    Parameter("$XDSDocumentEntryEventCodeList", code_facet(d, "e"), many=True, repeat=True),
    CONFIDENTIALITY_CODE,
    FORMAT_CODE,
    Parameter("$XDSDocumentEntryAuthorPerson", like_facet(d, "a"), many=True),
    Parameter("$XDSDocumentEntryCreationTimeFrom", time_from(d.c.creation_time)),
    Parameter("$XDSDocumentEntryCreationTimeTo", time_to(d.c.creation_time)),
    Parameter("$XDSDocumentEntryServiceStartTimeFrom", time_from(d.c.service_start)),
    Parameter("$XDSDocumentEntryServiceStartTimeTo", time_to(d.c.service_start)),
    Parameter("$XDSDocumentEntryServiceStopTimeFrom", time_from(d.c.service_stop)),
    Parameter("$XDSDocumentEntryServiceStopTimeTo", time_to(d.c.service_stop)),
)
ALTERNATIVES = ()
ONE_PATIENT = False


def statement(shape: Shape) -> Rows:
    """Uses the patient's primary-key range, or ix_document_entry_find."""
    return document_rows(shape.view).where(*shape.where()).order_by(patient.c.patient_pk, d.c.doc_pk)
