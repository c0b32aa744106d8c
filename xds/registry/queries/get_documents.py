"""GetDocuments (ITI TF-2 3.18.4.1.2.3.7.5): document entries by entryUUID, uniqueId or logicalID.

A uniqueId may give several.
"""

from xds.registry.queries.parameters import Choice, Shape
from xds.registry.queries.shared import (
    DOCUMENTS_BY_LOGICAL_ID,
    DOCUMENTS_BY_UNIQUE_ID,
    DOCUMENTS_BY_UUID,
)
from xds.registry.rows import Rows, document_rows
from xds.store.schema import document_entry as d

ID = "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4"
NAME = "GetDocuments"
PARAMETERS = (DOCUMENTS_BY_UUID, DOCUMENTS_BY_UNIQUE_ID, DOCUMENTS_BY_LOGICAL_ID)
CHOICES = (Choice(tuple(each.name for each in PARAMETERS)),)
ONE_PATIENT = True


def statement(shape: Shape) -> Rows:
    """Uses uq_document_entry_uuid, or uid_claim and ix_document_entry_uid_key_again."""
    return document_rows(shape.view).where(*shape.where()).order_by(d.c.doc_pk)
