"""GetDocumentsAndAssociations (ITI TF-2 3.18.4.1.2.3.7.8): document entries and what is linked to them."""

from typing import Any

from sqlalchemy import CompoundSelect, select, union_all

from xds.registry.queries.parameters import Choice, Shape
from xds.registry.queries.shared import (
    ASSOCIATION_STATUS,
    DOCUMENTS_BY_UNIQUE_ID,
    DOCUMENTS_BY_UUID,
)
from xds.registry.rows import document_ids, document_rows, step, touching
from xds.store.schema import document_entry as d

ID = "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a"
NAME = "GetDocumentsAndAssociations"
_IDS = (DOCUMENTS_BY_UUID, DOCUMENTS_BY_UNIQUE_ID)
PARAMETERS = (*_IDS, ASSOCIATION_STATUS)
CHOICES = (Choice(tuple(each.name for each in _IDS)),)
ONE_PATIENT = True


def statement(shape: Shape) -> CompoundSelect[Any]:
    """Uses the indexes of GetDocuments, then ix_association_source and _target."""
    view = shape.view
    documents = step(document_ids(view).where(*shape.where(*_IDS)), "documents")
    ids = select(documents.c.entry_uuid)
    return union_all(
        document_rows(view).where(d.c.entry_uuid.in_(ids)),
        *touching(view, ids, *shape.where(ASSOCIATION_STATUS)),
    )
