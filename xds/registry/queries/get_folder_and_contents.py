"""GetFolderAndContents (ITI TF-2 3.18.4.1.2.3.7.11): a folder, its documents, the links."""

from typing import Any

from sqlalchemy import CompoundSelect, select, union_all

from xds.registry.queries.parameters import Choice, Shape
from xds.registry.queries.shared import (
    ASSOCIATION_STATUS,
    FOLDER_BY_UNIQUE_ID,
    FOLDER_BY_UUID,
    IS_MEMBERSHIP,
    MEMBER_FILTERS,
)
from xds.registry.rows import (
    association_rows,
    document_ids,
    document_rows,
    folder_ids,
    folder_rows,
    links,
    step,
)
from xds.store.schema import association as a
from xds.store.schema import document_entry as d
from xds.store.schema import folder as f

ID = "urn:uuid:b909a503-523d-4517-8acf-8e5834dfc4c7"
NAME = "GetFolderAndContents"
PARAMETERS = (FOLDER_BY_UUID, FOLDER_BY_UNIQUE_ID, *MEMBER_FILTERS, ASSOCIATION_STATUS)
CHOICES = (Choice((FOLDER_BY_UUID.name, FOLDER_BY_UNIQUE_ID.name)),)
ONE_PATIENT = True


def statement(shape: Shape) -> CompoundSelect[Any]:
    """Uses uq_folder_uuid or ix_folder_uid_key, ix_association_source, uq_document_entry_uuid."""
    view = shape.view
    the_folder = step(folder_ids(view).where(*shape.where(FOLDER_BY_UUID, FOLDER_BY_UNIQUE_ID)), "the_folder")
    folder_id = select(the_folder.c.entry_uuid)
    members = step(
        links(view, a.c.entry_uuid, a.c.target_uuid).where(
            a.c.source_uuid.in_(folder_id), IS_MEMBERSHIP, *shape.where(ASSOCIATION_STATUS)
        ),
        "members",
    )
    documents = step(
        document_ids(view).where(
            d.c.entry_uuid.in_(select(members.c.target_uuid)), *shape.where(*MEMBER_FILTERS)
        ),
        "documents",
    )
    document_id = select(documents.c.entry_uuid)
    return union_all(
        folder_rows(view).where(f.c.entry_uuid.in_(folder_id)),
        document_rows(view).where(d.c.entry_uuid.in_(document_id)),
        association_rows(view).where(
            a.c.entry_uuid.in_(select(members.c.entry_uuid).where(members.c.target_uuid.in_(document_id)))
        ),
    )
