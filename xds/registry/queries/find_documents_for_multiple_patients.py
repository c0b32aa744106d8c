"""FindDocumentsForMultiplePatients (ITI TF-2 3.51.4.1.2.1.1): FindDocuments for several patients, or for all.

One of the parameters that have an index over all patients must be given.
"""

from xds.registry.queries.parameters import Choice, Shape
from xds.registry.queries.shared import (
    CLASS_CODE,
    DOCUMENT_PATIENTS,
    EVENT_CODE_LISTED,
    FACILITY_CODE,
    FIND_FILTERS,
)
from xds.registry.rows import Rows, document_rows
from xds.store.schema import document_entry as d

ID = "urn:uuid:3d1bdb10-39a2-11de-89c2-2f44d94eaa9f"
NAME = "FindDocumentsForMultiplePatients"
PARAMETERS = (DOCUMENT_PATIENTS, *FIND_FILTERS, EVENT_CODE_LISTED)
CHOICES = (
    Choice(
        (DOCUMENT_PATIENTS.name, CLASS_CODE.name, EVENT_CODE_LISTED.name, FACILITY_CODE.name), several=True
    ),
)
ONE_PATIENT = False


def statement(shape: Shape) -> Rows:
    """Uses the patients' primary-key ranges, ix_document_entry_class, …_facility or listed_code.

    In no order: sorting would mean reading all there is before cutting the answer.
    """
    documents = document_rows(shape.view).where(*shape.where())
    if not shape.has(DOCUMENT_PATIENTS):
        documents = documents.where(
            *(column.in_(shape.bound(each)) for each, column in _INDEXED if shape.has(each))
        )
    return documents


#: FIND_FILTERS keep the planner off these indexes.
_INDEXED = ((CLASS_CODE, d.c.class_code), (FACILITY_CODE, d.c.facility_code))
