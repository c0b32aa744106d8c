"""GetFoldersForDocument (ITI TF-2 3.18.4.1.2.3.7.12): the folders that a document is in."""

from sqlalchemy import select

from xds.registry.queries.parameters import Shape
from xds.registry.queries.shared import (
    ASSOCIATION_STATUS,
    DOCUMENT_BY_UNIQUE_ID,
    DOCUMENT_BY_UUID,
    IS_MEMBERSHIP,
    ONE_DOCUMENT,
)
from xds.registry.rows import Rows, document_ids, folder_rows, links, step
from xds.store.schema import association as a
from xds.store.schema import folder as f

ID = "urn:uuid:10cae35a-c7f9-4cf5-b61e-fc3278ffb578"
NAME = "GetFoldersForDocument"
PARAMETERS = (DOCUMENT_BY_UUID, DOCUMENT_BY_UNIQUE_ID, ASSOCIATION_STATUS)
CHOICES = (ONE_DOCUMENT,)
ONE_PATIENT = False


def statement(shape: Shape) -> Rows:
    """Uses the indexes of GetDocuments, then ix_association_target and uq_folder_uuid."""
    view = shape.view
    documents = step(
        document_ids(view).where(*shape.where(DOCUMENT_BY_UUID, DOCUMENT_BY_UNIQUE_ID)), "documents"
    )
    memberships = step(
        links(view, a.c.source_uuid).where(
            a.c.target_uuid.in_(select(documents.c.entry_uuid)),
            IS_MEMBERSHIP,
            *shape.where(ASSOCIATION_STATUS),
        ),
        "memberships",
    )
    folders = select(memberships.c.source_uuid)
    return folder_rows(view).where(f.c.entry_uuid.in_(folders)).order_by(f.c.folder_pk)
