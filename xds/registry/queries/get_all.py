"""GetAll (ITI TF-2 3.18.4.1.2.3.7.4): everything about one patient, and the associations that touch it."""

from typing import Any

from sqlalchemy import CompoundSelect, or_, select, union_all

from xds.registry.queries.parameters import (
    DOCUMENT_FILTERS,
    DOCUMENT_STATUS,
    PATIENT_ID,
    Parameter,
    Shape,
    status_in,
)
from xds.registry.rows import association_rows, document_rows, folder_rows, set_rows
from xds.store.schema import association as a
from xds.store.schema import document_entry as d
from xds.store.schema import folder as f
from xds.store.schema import submission_set as s

ID = "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3"
NAME = "GetAll"
PARAMETERS = (
    Parameter("$patientId", PATIENT_ID, required=True),
    DOCUMENT_STATUS,
    Parameter("$XDSSubmissionSetStatus", status_in(s.c.status), required=True, many=True),
    Parameter("$XDSFolderStatus", status_in(f.c.status), required=True, many=True),
    *DOCUMENT_FILTERS,
)
ALTERNATIVES = ()
ONE_PATIENT = False


def statement(shape: Shape) -> CompoundSelect[Any]:
    """Uses the patient's primary-key ranges; for associations ix_association_source and _target."""
    view = shape.view
    patient = shape.where("$patientId")
    filters = shape.where("$XDSDocumentEntryStatus", *(each.name for each in DOCUMENT_FILTERS))
    documents = document_rows(view).where(*patient, *filters)
    sets = set_rows(view).where(*patient, *shape.where("$XDSSubmissionSetStatus"))
    folders = folder_rows(view).where(*patient, *shape.where("$XDSFolderStatus"))
    # The same again, for the ids alone: an association is given when one end is in the result.
    ends = union_all(
        documents.with_only_columns(d.c.entry_uuid),
        sets.with_only_columns(s.c.entry_uuid),
        folders.with_only_columns(f.c.entry_uuid),
    ).cte("ends")
    end_ids = select(ends.c.entry_uuid)
    associations = association_rows(view).where(
        or_(a.c.source_uuid.in_(end_ids), a.c.target_uuid.in_(end_ids))
    )
    return union_all(documents, sets, folders, associations)
