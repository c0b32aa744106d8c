"""GetRelatedDocuments (ITI TF-2 3.18.4.1.2.3.7.13): the documents that a document is related to, the document
itself, and the links between them.

Without a link of a type that is asked for there is nothing to give, not even the document.
"""

from typing import Any

from sqlalchemy import CompoundSelect, select, union_all

from xds.registry.prepare import ASSOCIATION_TYPES
from xds.registry.queries.matches import name_in
from xds.registry.queries.parameters import Parameter, Shape
from xds.registry.queries.shared import (
    ASSOCIATION_STATUS,
    DOCUMENT_BY_UNIQUE_ID,
    DOCUMENT_BY_UUID,
    DOCUMENT_TYPE,
    ONE_DOCUMENT,
)
from xds.registry.rows import association_rows, document_ids, document_rows, links, step
from xds.store.schema import association as a
from xds.store.schema import document_entry as d

ID = "urn:uuid:d90e5407-b356-4d91-a89f-873917b4b0e6"
NAME = "GetRelatedDocuments"
TYPES = Parameter("$AssociationTypes", name_in(a.c.type, ASSOCIATION_TYPES), required=True, many=True)
PARAMETERS = (DOCUMENT_BY_UUID, DOCUMENT_BY_UNIQUE_ID, TYPES, DOCUMENT_TYPE, ASSOCIATION_STATUS)
CHOICES = (ONE_DOCUMENT,)
ONE_PATIENT = False


def statement(shape: Shape) -> CompoundSelect[Any]:
    """Uses the indexes of GetDocuments, ix_association_source and _target, uq_document_entry_uuid."""
    view = shape.view
    documents = step(
        document_ids(view).where(*shape.where(DOCUMENT_BY_UUID, DOCUMENT_BY_UNIQUE_ID)), "documents"
    )
    document_id = select(documents.c.entry_uuid)
    of_types = links(view, a.c.entry_uuid, a.c.source_uuid, a.c.target_uuid).where(
        *shape.where(TYPES, ASSOCIATION_STATUS)
    )
    from_it = of_types.where(a.c.source_uuid.in_(document_id))
    to_it = of_types.where(a.c.target_uuid.in_(document_id))
    found = step(union_all(from_it, to_it), "found")
    found_ids = union_all(select(found.c.source_uuid), select(found.c.target_uuid))
    ends = step(document_ids(view).where(d.c.entry_uuid.in_(found_ids), *shape.where(DOCUMENT_TYPE)), "ends")
    # A link is given with both its ends, or not at all: a folder's HasMember has only one document.
    end_ids = select(ends.c.entry_uuid)
    related = step(
        select(found).where(found.c.source_uuid.in_(end_ids), found.c.target_uuid.in_(end_ids)), "related"
    )
    related_ids = union_all(select(related.c.source_uuid), select(related.c.target_uuid))
    return union_all(
        document_rows(view).where(d.c.entry_uuid.in_(related_ids)),
        association_rows(view).where(a.c.entry_uuid.in_(select(related.c.entry_uuid))),
    )
