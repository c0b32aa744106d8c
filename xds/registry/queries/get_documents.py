"""GetDocuments (ITI TF-2 3.18.4.1.2.3.7.5): document entries by entryUUID or uniqueId, which may give
several.
"""

from xds.registry.queries.parameters import (
    Parameter,
    Shape,
    document_unique_id,
    uuid_in,
)
from xds.registry.rows import Rows, document_rows
from xds.store.schema import document_entry as d

ID = "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4"
NAME = "GetDocuments"
PARAMETERS = (
    Parameter("$XDSDocumentEntryEntryUUID", uuid_in(d.c.entry_uuid), many=True),
    Parameter("$XDSDocumentEntryUniqueId", document_unique_id(), many=True),
)
ALTERNATIVES = (("$XDSDocumentEntryEntryUUID", "$XDSDocumentEntryUniqueId"),)
ONE_PATIENT = True


def statement(shape: Shape) -> Rows:
    """Uses uq_document_entry_uuid, or uid_claim and ix_document_entry_uid_key_again."""
    return document_rows(shape.view).where(*shape.where()).order_by(d.c.doc_pk)
