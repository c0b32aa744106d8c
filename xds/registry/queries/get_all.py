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
from xds.store.schema import patient as p
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
    patient = shape.where("$patientId")
    documents = [*patient, *shape.where("$XDSDocumentEntryStatus", *(each.name for each in DOCUMENT_FILTERS))]
    sets = [*patient, *shape.where("$XDSSubmissionSetStatus")]
    folders = [*patient, *shape.where("$XDSFolderStatus")]
    # The same conditions again, for the ids alone: an association is given when one end is in the result.
    ends = union_all(
        select(d.c.entry_uuid).join_from(d, p, d.c.patient_pk == p.c.patient_pk).where(*documents),
        select(s.c.entry_uuid).join_from(s, p, s.c.patient_pk == p.c.patient_pk).where(*sets),
        select(f.c.entry_uuid).join_from(f, p, f.c.patient_pk == p.c.patient_pk).where(*folders),
    ).cte("ends")
    return union_all(
        document_rows(leaf=shape.leaf).where(*documents),
        set_rows(leaf=shape.leaf).where(*sets),
        folder_rows(leaf=shape.leaf).where(*folders),
        association_rows(leaf=shape.leaf).where(
            or_(
                a.c.source_uuid.in_(select(ends.c.entry_uuid)), a.c.target_uuid.in_(select(ends.c.entry_uuid))
            )
        ),
    )
