"""FindDocuments (ITI TF-2 3.18.4.1.2.3.7.1): the document entries of one patient that pass all filters."""

from xds.registry.queries.parameters import Shape
from xds.registry.queries.shared import DOCUMENT_PATIENT, EVENT_CODE, FIND_FILTERS
from xds.registry.rows import Rows, document_rows
from xds.store.schema import document_entry as d
from xds.store.schema import patient

ID = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
NAME = "FindDocuments"
PARAMETERS = (DOCUMENT_PATIENT, *FIND_FILTERS, EVENT_CODE)
CHOICES = ()
ONE_PATIENT = False


def statement(shape: Shape) -> Rows:
    """Uses the patient's primary-key range, or ix_document_entry_find."""
    return document_rows(shape.view).where(*shape.where()).order_by(patient.c.patient_pk, d.c.doc_pk)
