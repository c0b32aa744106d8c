"""GetAll (ITI TF-2 3.18.4.1.2.3.7.4): everything about one patient, and the associations that touch it."""

from typing import Any

from sqlalchemy import CompoundSelect, select, union_all

from xds.registry.queries.matches import patient_id
from xds.registry.queries.parameters import Parameter, Shape
from xds.registry.queries.shared import (
    ASSOCIATION_STATUS,
    AVAILABILITY,
    DOCUMENT_STATUS,
    FOLDER_STATUS,
    MEMBER_FILTERS,
    SET_STATUS,
)
from xds.registry.rows import document_rows, folder_rows, set_rows, step, touching
from xds.store.schema import document_entry as d
from xds.store.schema import folder as f
from xds.store.schema import submission_set as s

ID = "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3"
NAME = "GetAll"
PATIENT = Parameter("$patientId", patient_id(), required=True)
PARAMETERS = (
    PATIENT,
    DOCUMENT_STATUS,
    SET_STATUS,
    FOLDER_STATUS,
    *MEMBER_FILTERS,
    AVAILABILITY,
    ASSOCIATION_STATUS,
)
CHOICES = ()
ONE_PATIENT = False


def statement(shape: Shape) -> CompoundSelect[Any]:
    """Uses the patient's primary-key ranges; for associations ix_association_source and _target."""
    view = shape.view
    documents = document_rows(view).where(
        *shape.where(PATIENT, DOCUMENT_STATUS, *MEMBER_FILTERS, AVAILABILITY)
    )
    sets = set_rows(view).where(*shape.where(PATIENT, SET_STATUS))
    folders = folder_rows(view).where(*shape.where(PATIENT, FOLDER_STATUS))
    # The same again, for the ids alone: an association is given when one end is in the result.
    every = (
        documents.with_only_columns(d.c.entry_uuid),
        sets.with_only_columns(s.c.entry_uuid),
        folders.with_only_columns(f.c.entry_uuid),
    )
    ends = step(union_all(*every), "ends")
    associations = touching(view, select(ends.c.entry_uuid), *shape.where(ASSOCIATION_STATUS))
    return union_all(documents, sets, folders, *associations)
